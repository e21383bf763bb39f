//! What an operator meets: a directory that is not what it was, data clusters
//! that come and go, a schema that others change all the time.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::Sandbox;

/// How long a start that is refused may take.
const REFUSED_MAX: &str = "30";

/// How long the files of a dropped data cluster may stay.
const REMOVED_MAX: Duration = Duration::from_secs(10);

/// What a sort may take in memory; its rows are 300 MB.
const SORT_MIB_MAX: u64 = 100;

/// A start that ends by itself, and what it said. Flags given here come instead
/// of those that every start has.
fn start(data: &Path, extra: &[&str]) -> (bool, String) {
    let mut flags = vec!["sandbox", "--http", "127.0.0.1:0"];
    if !extra.contains(&"--pg") {
        flags.extend(["--pg", "127.0.0.1:0"]);
    }
    flags.extend(extra);
    let output = Command::new("timeout")
        .args([REFUSED_MAX, env!("CARGO_BIN_EXE_pyql")])
        .args(flags)
        .arg("--data")
        .arg(data)
        .output()
        .expect("pyql starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code() == Some(1), said)
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.is_ok_and(|it| it.success()));
}

/// A log that is gone, emptied or older than the replicas is not gone on with:
/// what was acknowledged would be forgotten. Put back, all is there.
pub(crate) async fn a_lost_log_is_told(data: &Path) -> Vec<String> {
    let (log, kept, old) = (data.join("log"), data.join("kept"), data.join("old"));
    let mut sandbox = Sandbox::on(data);
    sandbox.terminate();
    copy(&log, &old);
    sandbox.restart();
    let client = sandbox.client().await;
    client
        .batch_execute("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 100)")
        .await
        .expect("rows are written");
    for number in 0..50 {
        let insert = format!("INSERT INTO t VALUES ({number})");
        client
            .batch_execute(&insert)
            .await
            .expect("rows are written");
    }
    drop(client);
    sandbox.terminate();
    std::fs::rename(&log, &kept).expect("the log is there");
    let mut wrong = Vec::new();
    let mut refused = |what: &str, said: &str| {
        // Each try is one more start: none may write anything.
        for _ in 0..2 {
            let (failed, output) = start(data, &[]);
            if !failed || !output.contains(said) {
                wrong.push(format!("{what}: ended {failed}, said {output}"));
            }
        }
    };
    refused("gone", "there is no log in");
    std::fs::create_dir_all(&log).expect("a directory can be made");
    std::fs::write(log.join("log.db"), "").expect("a file can be made");
    refused("emptied", "there is no log in");
    std::fs::write(log.join("log.db"), "no log").expect("a file can be made");
    refused("foreign", "not a database");
    std::fs::remove_dir_all(&log).expect("it is there");
    copy(&old, &log);
    refused("old", "entries that were acknowledged are lost");
    std::fs::remove_dir_all(&log).expect("it is there");
    std::fs::rename(&kept, &log).expect("the log is there");
    sandbox.restart();
    let client = sandbox.client().await;
    let count = client.query_one("SELECT count(*) FROM t", &[]).await;
    let count: i64 = count.expect("rows are read").get(0);
    if count != 150 {
        wrong.push(format!("put back: {count} rows"));
    }
    wrong
}

/// A directory or port that cannot be had is named.
pub(crate) fn a_start_that_fails_says_why(data: &Path) -> Vec<String> {
    let sandbox = Sandbox::on(data);
    let other = data.join("other");
    let port = format!("127.0.0.1:{}", sandbox.pg);
    let file = data.join("file");
    std::fs::write(&file, "").expect("a file can be made");
    let cases: [(&Path, &[&str], &str); 4] = [
        (data, &[], "is in use by another process"),
        (&file, &[], "cannot make"),
        (&other, &["--pg", &port], "Address already in use"),
        (&other, &["--pg", "nowhere"], "is no address"),
    ];
    let mut wrong = Vec::new();
    for (data, extra, expected) in cases {
        let (failed, said) = start(data, extra);
        if !failed || !said.contains(expected) {
            wrong.push(format!("{expected}: ended {failed}, said {said}"));
        }
    }
    wrong
}

/// What a data cluster takes on disk goes with it.
pub(crate) async fn dropped_clusters_leave_nothing(data: &Path) -> Vec<String> {
    let sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    let files = || -> Vec<_> {
        let found = std::fs::read_dir(data.join("replicas")).expect("a directory of replicas");
        found.flatten().map(|entry| entry.file_name()).collect()
    };
    let before = files().len();
    for name in ["one", "two", "three"] {
        let make = format!("CREATE DATABASE {name}");
        client.batch_execute(&make).await.expect("it is made");
        let own = sandbox.client_as("demo", "demo1234", name).await;
        let own = own.expect("it is served");
        own.batch_execute("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000)")
            .await
            .expect("rows are written");
        drop(own);
        let drop = format!("DROP DATABASE {name}");
        client.batch_execute(&drop).await.expect("it is dropped");
    }
    let deadline = Instant::now() + REMOVED_MAX;
    while files().len() > before && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match files() {
        left if left.len() == before => Vec::new(),
        left => vec![format!("{before} files before, then {left:?}")],
    }
}

/// Statements that take long go through while others make and drop tables.
pub(crate) async fn a_busy_schema_stops_nobody(data: &Path) -> Vec<String> {
    let sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    client
        .batch_execute("CREATE TABLE kept (id int PRIMARY KEY, v text UNIQUE)")
        .await
        .expect("it is made");
    let stopped = Arc::new(AtomicBool::new(false));
    let busy = sandbox.client().await;
    let stop = stopped.clone();
    let changes = tokio::task::spawn(async move {
        let mut made = 0;
        while !stop.load(Ordering::Relaxed) {
            busy.batch_execute("CREATE TABLE passing (id int PRIMARY KEY); DROP TABLE passing")
                .await
                .expect("a table comes and goes");
            made += 1;
        }
        made
    });
    let mut wrong = Vec::new();
    for _ in 0..2 {
        for statement in [
            "INSERT INTO kept SELECT g, 'v' || g FROM generate_series(1, 4000) AS g",
            "UPDATE kept SET v = v || '!' WHERE id % 2 = 0",
            "BEGIN; DELETE FROM kept WHERE id <= 2000; SELECT count(*) FROM kept; COMMIT",
            "DELETE FROM kept",
        ] {
            if let Err(error) = client.batch_execute(statement).await {
                let told = error.as_db_error().map(ToString::to_string);
                wrong.push(format!("{statement}: {told:?}"));
                let _ = client.batch_execute("ROLLBACK").await;
            }
        }
    }
    stopped.store(true, Ordering::Relaxed);
    let made = changes.await.expect("it ends");
    println!("{made} tables came and went");
    wrong
}

/// A sort of more than memory should hold spills, and gives its rows.
pub(crate) async fn a_large_sort_stays_small() -> Vec<String> {
    let sandbox = Sandbox::start();
    let client = sandbox.client().await;
    let query = "SELECT length(r), g FROM (
        SELECT g, repeat('x', 2000) AS r FROM generate_series(1, 150000) AS g ORDER BY g % 977, r, g
        ) AS sorted OFFSET 149999";
    let before = sandbox.memory_mib();
    let asked = client.query_one(query, &[]);
    tokio::pin!(asked);
    let mut most = before;
    let last = loop {
        tokio::select! {
            last = &mut asked => break last,
            () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(sandbox.memory_mib()),
        }
    };
    let mut wrong = Vec::new();
    match last {
        Ok(row) if (row.get::<_, i32>(0), row.get::<_, i32>(1)) == (2000, 149_480) => {}
        other => wrong.push(format!("{other:?}")),
    }
    if most > before + SORT_MIB_MAX {
        wrong.push(format!("{before} MiB before the sort, then {most}"));
    }
    wrong
}
