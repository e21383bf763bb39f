//! Replicas whose files are deleted, put back, cut or written to while clients
//! read and write: they are noticed, taken out and repaired, and nobody meets
//! an error.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio_postgres::Client;

use crate::cluster::Sandbox;
use crate::replicas;

/// How long until damage is noticed at an idle replica.
const NOTICE_MAX: Duration = Duration::from_secs(5);

/// How long a repair of so few rows may take.
const HEAL_MAX: Duration = Duration::from_secs(20);

const WRITERS: i64 = 3;

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Delete,
    /// An older copy, moved to its place.
    Older,
    /// An older copy, written over it.
    OlderInPlace,
    Truncate,
    /// Another program writes into it.
    Write,
}

impl Damage {
    fn to(self, file: &Path, older: &Path) {
        let done = match self {
            Damage::Delete => std::fs::remove_file(file),
            Damage::Older => {
                let beside = file.with_extension("older");
                std::fs::copy(older, &beside).and_then(|_| std::fs::rename(&beside, file))
            }
            Damage::OlderInPlace => std::fs::copy(older, file).map(|_| ()),
            Damage::Truncate => std::fs::OpenOptions::new()
                .write(true)
                .open(file)
                .and_then(|open| open.set_len(open.metadata()?.len() / 2)),
            Damage::Write => {
                write_into(file);
                Ok(())
            }
        };
        done.expect("a file can be damaged");
    }

    /// Shows clients what nobody wrote, until it is noticed.
    fn deceives(self) -> bool {
        matches!(
            self,
            Damage::OlderInPlace | Damage::Truncate | Damage::Write
        )
    }
}

/// Changes rows behind the replica's back, in the table of marks.
fn write_into(file: &Path) {
    let file = Connection::open(file).expect("a replica's file opens");
    file.busy_timeout(Duration::from_secs(5))
        .expect("a time limit");
    let named = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%noise%'";
    let table: String = file
        .query_row(named, [], |row| row.get(0))
        .expect("there is a table of noise");
    let changed = file.execute(&format!("DELETE FROM \"{table}\""), []);
    assert!(changed.expect("it can be written") > 0);
}

/// A consistent copy of a replica as it is now.
fn keep_copy(file: &Path, to: &Path) {
    let source = Connection::open(file).expect("a replica's file opens");
    source
        .backup("main", to, None::<fn(rusqlite::backup::Progress)>)
        .expect("a copy can be made");
}

/// Readers and writers that must not notice anything.
pub(crate) struct Load {
    stopped: Arc<AtomicBool>,
    written: Arc<AtomicI64>,
    /// What readers see may be wrong for the moment.
    deceived: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    pub(crate) async fn start(sandbox: &Sandbox) -> Load {
        let mut load = Load {
            stopped: Arc::default(),
            written: Arc::default(),
            deceived: Arc::default(),
            clients: Vec::new(),
        };
        for number in 0..WRITERS {
            let client = sandbox.client().await;
            let (stopped, written) = (load.stopped.clone(), load.written.clone());
            let deceived = load.deceived.clone();
            load.clients.push(tokio::task::spawn(async move {
                write(&client, number, &stopped, &written, &deceived).await
            }));
        }
        load
    }

    pub(crate) async fn stop(self) -> (i64, Vec<String>) {
        self.stopped.store(true, Ordering::Relaxed);
        let mut wrong = Vec::new();
        for client in self.clients {
            wrong.extend(client.await.expect("a client ends"));
        }
        (self.written.load(Ordering::Relaxed), wrong)
    }
}

/// Writes, and reads what it wrote.
async fn write(
    client: &Client,
    number: i64,
    stopped: &AtomicBool,
    written: &AtomicI64,
    deceived: &AtomicBool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut n: i64 = 0;
    while !stopped.load(Ordering::Relaxed) && wrong.len() < 5 {
        let began = Instant::now();
        let insert = "INSERT INTO marks (client, n) VALUES ($1, $2)";
        match client.execute(insert, &[&number, &n]).await {
            Ok(_) => {
                n += 1;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => wrong.push(format!("write {number}/{n}: {error:?}")),
        }
        let count = "SELECT count(*) FROM marks WHERE client = $1";
        let trusted = !deceived.load(Ordering::Relaxed);
        match client.query_one(count, &[&number]).await {
            Ok(row) if row.get::<_, i64>(0) == n => {}
            Ok(row) if trusted && !deceived.load(Ordering::Relaxed) => {
                let saw: i64 = row.get(0);
                wrong.push(format!("client {number} wrote {n} marks and sees {saw}"));
            }
            Ok(_) => {}
            Err(error) => wrong.push(format!("read {number}/{n}: {error:?}")),
        }
        if began.elapsed() > Duration::from_secs(3) {
            wrong.push(format!("client {number} waited {:?}", began.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    wrong
}

async fn make_tables(client: &Client) {
    for statement in [
        "CREATE TABLE marks (client bigint, n bigint, PRIMARY KEY (client, n))",
        "CREATE TABLE noise (noise bigint PRIMARY KEY, padding text)",
        "INSERT INTO noise SELECT g, repeat('x', 500) FROM generate_series(1, 500) AS g",
    ] {
        client
            .batch_execute(statement)
            .await
            .expect("tables are made");
    }
}

/// Waits until some replica is out; `false` when nobody notices.
async fn is_noticed(client: &Client) -> bool {
    let deadline = Instant::now() + NOTICE_MAX;
    while Instant::now() < deadline {
        if replicas::states(client)
            .await
            .iter()
            .any(|it| it != "in_sync")
        {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    false
}

async fn reasons(client: &Client) -> Vec<Option<String>> {
    let asked = "SELECT state || ': ' || coalesce(reason, '') FROM pyql.replicas ORDER BY id";
    let rows = client.query(asked, &[]).await.expect("the system answers");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Damages replicas of a running sandbox, with load and without.
pub(crate) async fn damage_is_repaired(data: &Path) -> Vec<String> {
    let mut sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    make_tables(&client).await;
    let older = data.join("older.db");
    keep_copy(&replicas::file(data, 0), &older);
    // The copy was a foreign connection, though one that wrote nothing.
    let mut wrong = Vec::new();
    let mut load = Some(Load::start(&sandbox).await);
    let all = [
        Damage::Delete,
        Damage::Older,
        Damage::OlderInPlace,
        Damage::Truncate,
        Damage::Write,
    ];
    let of_one = all.map(|damage| (damage, 1));
    let of_two = [(Damage::Delete, 2), (Damage::Write, 2)];
    for idle in [false, true] {
        for (place, (damage, count)) in of_one.into_iter().chain(of_two).enumerate() {
            let files: Vec<PathBuf> = (0..count)
                .map(|nth| replicas::file(data, (place + nth) % 3))
                .collect();
            if let Some(load) = &load {
                load.deceived.store(damage.deceives(), Ordering::Relaxed);
            }
            files.iter().for_each(|file| damage.to(file, &older));
            if !is_noticed(&client).await {
                wrong.push(format!("{damage:?} of {count}, idle {idle}: not noticed"));
            }
            if !replicas::heals(&client, HEAL_MAX).await {
                let reasons = reasons(&client).await;
                wrong.push(format!(
                    "{damage:?} of {count}, idle {idle}: not repaired, {reasons:?}"
                ));
                return wrong;
            }
            if let Some(load) = &load {
                load.deceived.store(false, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        if let Some(load) = load.take() {
            let (written, met) = load.stop().await;
            println!("{written} marks under repairs");
            wrong.extend(met);
        }
    }
    drop(client);
    wrong.extend(missing_at_start(&mut sandbox, data).await);
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        wrong.push("the end was not clean".to_owned());
    }
    wrong.extend(replicas::differences(data));
    wrong
}

/// Files that are not there when the node starts.
async fn missing_at_start(sandbox: &mut Sandbox, data: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for missing in [&[1][..], &[0, 2]] {
        let client = sandbox.client().await;
        let count = "SELECT count(*) FROM marks";
        let before: i64 = client
            .query_one(count, &[])
            .await
            .expect("marks are there")
            .get(0);
        drop(client);
        sandbox.kill();
        let files: Vec<PathBuf> = missing
            .iter()
            .map(|place| replicas::file(data, *place))
            .collect();
        for file in files {
            std::fs::remove_file(file).expect("it was there");
        }
        sandbox.restart();
        let client = sandbox.client().await;
        let after = client.query_one(count, &[]).await;
        match after {
            Ok(row) if row.get::<_, i64>(0) == before => {}
            Ok(row) => wrong.push(format!(
                "without {missing:?} {} marks of {before} are seen",
                row.get::<_, i64>(0)
            )),
            Err(error) => wrong.push(format!("without {missing:?}: {error:?}")),
        }
        if !replicas::heals(&client, HEAL_MAX).await {
            let reasons = reasons(&client).await;
            wrong.push(format!("without {missing:?} at start: {reasons:?}"));
        }
    }
    wrong
}

/// Writes one mark.
const MARK: &str = "INSERT INTO marks VALUES ($1, 0)";

/// The last replica is never taken out: writes fail with 57P03 until it is back.
pub(crate) async fn the_last_one_stays(data: &Path) -> Vec<String> {
    let sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    make_tables(&client).await;
    let mut wrong = Vec::new();
    let files: Vec<PathBuf> = (0..3).map(|place| replicas::file(data, place)).collect();
    // A directory in its place: neither can it be opened nor replaced.
    for file in &files {
        std::fs::rename(file, file.with_extension("kept")).expect("it is there");
        std::fs::create_dir(file).expect("its name is free");
        std::fs::write(file.join("full"), "").expect("a directory takes files");
    }
    // Those that entered the log before it was noticed wait for their result.
    let mut waiting = Vec::new();
    let mut refused = 0;
    let deadline = Instant::now() + HEAL_MAX;
    for n in 0_i64.. {
        let writer = sandbox.client().await;
        let mut write = tokio::task::spawn(async move { writer.execute(MARK, &[&n]).await });
        match tokio::time::timeout(Duration::from_secs(1), &mut write).await {
            Err(_) => waiting.push((n, write)),
            Ok(Ok(Err(error))) if error.code().map(|it| it.code()) == Some("57P03") => refused += 1,
            Ok(other) => wrong.push(format!("a write without any replica: {other:?}")),
        }
        if refused > 2 || Instant::now() > deadline {
            break;
        }
    }
    if refused <= 2 {
        wrong.push("writes are not refused".to_owned());
    }
    for file in &files {
        std::fs::remove_dir_all(file).expect("it is ours");
        std::fs::rename(file.with_extension("kept"), file).expect("it was kept");
    }
    if !replicas::heals(&client, HEAL_MAX).await {
        wrong.push(format!("not repaired: {:?}", reasons(&client).await));
        return wrong;
    }
    let mut done = Vec::new();
    for (n, write) in waiting {
        match write.await.expect("a client ends") {
            Ok(_) => done.push(n),
            Err(error) => wrong.push(format!("a write that waited: {error:?}")),
        }
    }
    if let Err(error) = client.execute(MARK, &[&1000_i64]).await {
        wrong.push(format!("after the repair: {error:?}"));
    }
    done.push(1000);
    let rows = client
        .query("SELECT client FROM marks ORDER BY 1", &[])
        .await;
    let found: Vec<i64> = rows
        .expect("marks are readable")
        .iter()
        .map(|row| row.get(0))
        .collect();
    if found != done {
        wrong.push(format!("acknowledged {done:?}, found {found:?}"));
    }
    wrong
}
