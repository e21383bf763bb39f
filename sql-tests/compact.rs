//! The log is kept short while the program runs, and what it forgot is not
//! needed any more: neither at the next start nor by a replica that lost its file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::cluster::Sandbox;
use crate::replicas;

/// More entries than the log keeps for nobody.
const ENTRIES: i64 = 5000;

/// How long until the log is looked at and cut.
const COMPACT_MAX: Duration = Duration::from_secs(60);

const HEAL_MAX: Duration = Duration::from_secs(30);

/// The log's file, somewhere under the data directory.
fn log_file(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let paths: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
    let here = paths.iter().find(|path| path.ends_with("log.db")).cloned();
    let below = || paths.iter().find_map(|path| log_file(path));
    here.or_else(below)
}

/// The first entry, and how many there are.
fn length(file: &Path) -> (i64, i64) {
    let log = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let log = log.expect("the log opens");
    log.busy_timeout(Duration::from_secs(5))
        .expect("a time limit");
    let asked = "SELECT coalesce(min(idx), 0), count(*) FROM entries";
    let read = log.query_row(asked, [], |row| Ok((row.get(0)?, row.get(1)?)));
    read.expect("the log is readable")
}

pub(crate) async fn the_log_is_kept_short(data: &Path) -> Vec<String> {
    let mut sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    let made = client
        .batch_execute("CREATE TABLE marks (n bigint PRIMARY KEY)")
        .await;
    made.expect("a table is made");
    let mut wrong = Vec::new();
    for n in 0..ENTRIES {
        if let Err(error) = client.execute("INSERT INTO marks VALUES ($1)", &[&n]).await {
            wrong.push(format!("write {n}: {error:?}"));
        }
    }
    let log = log_file(data).expect("there is a log");
    let deadline = Instant::now() + COMPACT_MAX;
    while length(&log).1 >= ENTRIES && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (first, count) = length(&log);
    if first <= 1 || count >= ENTRIES {
        wrong.push(format!("the log begins at {first} and has {count} entries"));
    }
    drop(client);
    // What is left is enough to go on; a replica without its file is copied.
    for lost in [None, Some(1)] {
        sandbox.kill();
        if let Some(lost) = lost {
            std::fs::remove_file(replicas::file(data, lost)).expect("it was there");
        }
        sandbox.restart();
        let client = sandbox.client().await;
        let found = client.query_one("SELECT count(*) FROM marks", &[]).await;
        match found.map(|row| row.get::<_, i64>(0)) {
            Ok(ENTRIES) => {}
            other => wrong.push(format!("after a restart without {lost:?}: {other:?}")),
        }
        if !replicas::heals(&client, HEAL_MAX).await {
            wrong.push(format!("not healed without {lost:?}"));
        }
    }
    let client = sandbox.client().await;
    if let Err(error) = client.execute("INSERT INTO marks VALUES (-1)", &[]).await {
        wrong.push(format!("a write afterwards: {error:?}"));
    }
    drop(client);
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        wrong.push("the end was not clean".to_owned());
    }
    wrong.extend(replicas::differences(data));
    wrong
}
