//! Damage that leaves no trace but its bytes: an edit that keeps size and
//! modification time, or one made while the program was not running. The
//! comparison of table hashes finds it.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio_postgres::Client;

use crate::cluster::Sandbox;
use crate::heal::Load;
use crate::replicas;

/// How long until a background comparison has come by, on a slow machine.
const NOTICE_MAX: Duration = Duration::from_secs(60);

const HEAL_MAX: Duration = Duration::from_secs(30);

const TABLES: [&str; 4] = [
    "CREATE TABLE marks (client bigint, n bigint, PRIMARY KEY (client, n))",
    "CREATE TABLE facts (id text PRIMARY KEY, fact text)",
    "INSERT INTO facts SELECT 'key' || g, 'fact-' || g || '-' || repeat('x', 300) FROM generate_series(1, 9000) AS g",
    "CREATE TABLE numbers (id bigint PRIMARY KEY, n numeric)",
];

async fn make_tables(client: &Client) {
    for statement in TABLES {
        let made = client.batch_execute(statement).await;
        made.expect("tables are made");
    }
}

/// Changes bytes of one row wherever they lie, and leaves no trace of it.
fn flip(file: &Path, fact: u32) {
    assert!(flip_all(file, fact) > 0, "the row lies somewhere");
    // A checkpoint that had read the sound page by then writes it afterwards
    // into the file; the damaged one in the WAL is looked at no more.
    let inode = || std::fs::metadata(file).map(|it| it.ino()).ok();
    let damaged = inode();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(100));
        if inode() == damaged {
            flip_all(file, fact);
        }
    }
}

/// Says how many copies of the row there were.
fn flip_all(file: &Path, fact: u32) -> usize {
    let wanted = format!("fact-{fact}-xxxx").into_bytes();
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let mut found = 0;
    for path in [file.to_owned(), PathBuf::from(log)] {
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let places: Vec<usize> = (0..bytes.len().saturating_sub(wanted.len()))
            .filter(|at| bytes[*at..].starts_with(&wanted))
            .collect();
        found += places.len();
        if places.is_empty() {
            continue;
        }
        let opened = std::fs::OpenOptions::new().write(true).open(&path);
        let opened = opened.expect("a replica's file opens");
        let before = opened.metadata().and_then(|it| it.modified());
        for at in places {
            let written = opened.write_all_at(b"e", at as u64 + 3);
            written.expect("a byte can be written");
        }
        let kept = opened.set_modified(before.expect("a file has a time"));
        kept.expect("a time can be set");
    }
    found
}

/// Changes a row through SQLite, as an operator with a shell would.
fn edit(file: &Path, statement: &str) {
    let file = Connection::open(file).expect("a replica's file opens");
    let changed = file.execute(statement, []);
    assert!(changed.expect("it can be written") > 0);
}

/// Waits until some replica is out; `false` when nobody notices.
async fn is_noticed(client: &Client) -> bool {
    let deadline = Instant::now() + NOTICE_MAX;
    while Instant::now() < deadline {
        let states = replicas::states(client).await;
        if states.iter().any(|it| it != "in_sync") {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

/// Bytes are flipped under load, at rest, and while nothing runs.
pub(crate) async fn silent_damage_is_repaired(data: &Path) -> Vec<String> {
    let mut sandbox = Sandbox::on(data);
    let mut client = sandbox.client().await;
    make_tables(&client).await;
    let mut wrong = Vec::new();
    let mut load = Some(Load::start(&sandbox).await);
    // A replica loses no more than two votes: the third would bar it.
    for (place, fact) in [(0, 7), (1, 8999), (2, 4097)] {
        flip(&replicas::file(data, place), fact);
        wrong.extend(noticed_and_healed(&client, &format!("fact {fact} of {place}")).await);
        if place == 1
            && let Some(load) = load.take()
        {
            let (written, met) = load.stop().await;
            println!("{written} marks under repairs");
            wrong.extend(met);
        }
    }
    let edits = [
        "UPDATE facts SET fact = 'other' WHERE id = 'key77'",
        "DELETE FROM facts WHERE id = 'key9000'",
        "INSERT INTO facts VALUES ('kez', 'made up')",
    ];
    for (place, statement) in edits.into_iter().enumerate() {
        drop(client);
        sandbox.kill();
        edit(&replicas::file(data, place), statement);
        sandbox.restart();
        client = sandbox.client().await;
        wrong.extend(noticed_and_healed(&client, statement).await);
    }
    let right = "SELECT count(*) FROM facts WHERE fact = 'fact-' || substr(id, 4) || '-' || repeat('x', 300)";
    let facts = client.query_one(right, &[]).await.expect("facts are there");
    if facts.get::<_, i64>(0) != 9000 {
        wrong.push(format!("{} facts are right", facts.get::<_, i64>(0)));
    }
    drop(client);
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        wrong.push("the end was not clean".to_owned());
    }
    wrong.extend(replicas::differences(data));
    wrong
}

async fn noticed_and_healed(client: &Client, what: &str) -> Option<String> {
    if !is_noticed(client).await {
        return Some(format!("{what}: not noticed"));
    }
    let healed = replicas::heals(client, HEAL_MAX).await;
    (!healed).then(|| format!("{what}: not repaired"))
}

/// With two replicas the one longest in sync wins; what the other held is kept
/// for the operator, and the third lost vote in an hour bars it.
pub(crate) async fn a_lost_tie_keeps_what_differs(data: &Path) -> Vec<String> {
    let sandbox = Sandbox::with(data, &["--replicas", "2"].map(str::to_owned));
    let client = sandbox.client().await;
    make_tables(&client).await;
    let mut wrong = Vec::new();
    // Which of the two came to be in sync first is chance; now it is not.
    std::fs::remove_file(replicas::file(data, 1)).expect("it was there");
    if !is_noticed(&client).await || !comes_to(&client, "in_sync").await {
        wrong.push("a file was removed and not repaired".to_owned());
    }
    for (time, fact) in [(1, 7), (2, 4000), (3, 9000)] {
        let before = sandbox_kept(&client).await.len();
        flip(&replicas::file(data, 1), fact);
        if !is_noticed(&client).await {
            wrong.push(format!("fact {fact}: not noticed"));
        }
        let mark = "INSERT INTO marks VALUES ($1, 0)";
        if let Err(error) = client.execute(mark, &[&i64::from(fact)]).await {
            wrong.push(format!("a write beside one that left: {error:?}"));
        }
        let wanted = if time == 3 { "barred" } else { "in_sync" };
        if !comes_to(&client, wanted).await {
            let states = replicas::states(&client).await;
            wrong.push(format!("after lost vote {time}: {states:?}"));
            return wrong;
        }
        let kept = sandbox_kept(&client).await;
        let held = format!("\"fact\":\"face-{fact}-");
        let agreed = format!("\"fact\":\"fact-{fact}-");
        let shown = |row: &(String, String)| row.0.contains(&held) && row.1.contains(&agreed);
        // One that is barred is not copied, so nothing is lost.
        let more = if time == 3 { 0 } else { 1 };
        if kept.len() != before + more || more == 1 && !kept.iter().any(shown) {
            wrong.push(format!("kept after fact {fact}: {kept:?}"));
        }
    }
    wrong
}

async fn comes_to(client: &Client, state: &str) -> bool {
    let deadline = Instant::now() + HEAL_MAX;
    while Instant::now() < deadline {
        let states = replicas::states(client).await;
        if states == ["in_sync", state] {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn sandbox_kept(client: &Client) -> Vec<(String, String)> {
    let asked = "SELECT coalesce(held, ''), coalesce(agreed, '') FROM pyql.differences";
    let rows = client.query(asked, &[]).await.expect("the system answers");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}
