//! Transactions too large for memory: what they write is read back on the
//! way, taken back, committed, killed; the replicas are equal afterwards.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use tokio_postgres::{Client, Error};

use crate::cluster::Sandbox;
use crate::replicas;

/// What a transaction may keep in memory: a few hundred rows.
const MEMORY: &str = "100000";

/// Rows of the large COPY.
const ROWS: i64 = 100_000;

/// Rows of a message of COPY data.
const CHUNK: i64 = 2000;

const TABLES: &str = "
CREATE TABLE kinds (kind int PRIMARY KEY);
INSERT INTO kinds SELECT generate_series(0, 9);
CREATE TABLE items (
  id bigint PRIMARY KEY, code text UNIQUE, kind int REFERENCES kinds, n int CHECK (n >= 0));
CREATE TABLE small (id bigint PRIMARY KEY, n int);
INSERT INTO small VALUES (1, 1);";

/// What went wrong, in words.
struct Findings(Vec<String>);

impl Findings {
    fn expect(&mut self, what: &str, found: impl Into<String>, expected: impl Into<String>) {
        let (found, expected) = (found.into(), expected.into());
        if found != expected {
            self.0.push(format!("{what}: {found}, not {expected}"));
        }
    }
}

pub(crate) async fn large_transactions(data: &Path) -> Vec<String> {
    let extra = ["--transaction-memory".to_owned(), MEMORY.to_owned()];
    let mut sandbox = Sandbox::with(data, &extra);
    let mut findings = Findings(Vec::new());
    let client = sandbox.client().await;
    client.batch_execute(TABLES).await.expect("tables are made");
    taken_back(&sandbox, &client, &mut findings).await;
    refused(&client, &mut findings).await;
    statements(&client, &mut findings).await;
    pieces_are_forgotten(data, &client, &mut findings).await;
    killed(&mut sandbox, &mut findings).await;
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        findings.0.push("the exit was not clean".to_owned());
    }
    let left = std::fs::read_dir(data.join("scratch")).map_or(0, Iterator::count);
    findings.expect("files left", left.to_string(), "0");
    findings.0.extend(replicas::differences(data));
    findings.0
}

/// Rows `from..to` of the table `items`, some of them sent.
async fn copy(client: &Client, from: i64, to: i64, end: bool) -> Result<u64, Error> {
    let sink = client.copy_in::<_, Bytes>("COPY items FROM STDIN").await?;
    futures::pin_mut!(sink);
    let mut next = from;
    while next < to {
        let mut text = String::new();
        for id in next..to.min(next + CHUNK) {
            let _ = writeln!(text, "{id}\tcode {id}\t{}\t{}", id % 10, id % 1000);
        }
        sink.send(Bytes::from(text)).await?;
        next += CHUNK;
    }
    match end {
        true => sink.finish().await,
        false => {
            sink.flush().await?;
            std::future::pending().await
        }
    }
}

async fn one(client: &Client, sql: &str) -> String {
    let read = async {
        let row = client.query_one(sql, &[]).await?;
        row.try_get::<_, i64>(0)
    };
    match read.await {
        Ok(number) => number.to_string(),
        Err(error) => error
            .code()
            .map_or(error.to_string(), |it| it.code().to_owned()),
    }
}

async fn run(client: &Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => "done".to_owned(),
        Err(error) => error
            .code()
            .map_or(error.to_string(), |it| it.code().to_owned()),
    }
}

/// Own rows are seen on the way, nobody else's eyes see them, and they go.
async fn taken_back(sandbox: &Sandbox, client: &Client, findings: &mut Findings) {
    let other = sandbox.client().await;
    run(client, "BEGIN").await;
    let copied = copy(client, 0, ROWS, true).await.map_err(|e| e.to_string());
    findings.expect("copied", format!("{copied:?}"), format!("Ok({ROWS})"));
    let reads = [
        ("SELECT count(*) FROM items", ROWS),
        (
            "SELECT sum(n)::bigint FROM items WHERE kind = 3",
            ROWS / 10 * 498,
        ),
        ("SELECT id FROM items WHERE id = 99999", 99_999),
        ("SELECT id FROM items WHERE code = 'code 4711'", 4711),
        (
            "SELECT count(*) FROM items JOIN kinds USING (kind) WHERE id < 100",
            100,
        ),
    ];
    for (sql, expected) in reads {
        findings.expect(sql, one(client, sql).await, expected.to_string());
    }
    let count = "SELECT count(*) FROM items";
    findings.expect("seen by another", one(&other, count).await, "0");
    findings.expect(
        "beside it",
        run(&other, "UPDATE small SET n = n + 1").await,
        "done",
    );
    findings.expect("rollback", run(client, "ROLLBACK").await, "done");
    findings.expect("after ROLLBACK", one(client, count).await, "0");
    let copied = copy(client, 0, ROWS, true).await.map_err(|e| e.to_string());
    findings.expect("copied again", format!("{copied:?}"), format!("Ok({ROWS})"));
    findings.expect("after it", one(&other, count).await, ROWS.to_string());
}

/// Constraints are told at their statement, and nothing of it stays.
async fn refused(client: &Client, findings: &mut Findings) {
    let of = |result: Result<u64, Error>| match result {
        Ok(rows) => rows.to_string(),
        Err(error) => error
            .code()
            .map_or(error.to_string(), |it| it.code().to_owned()),
    };
    let twice = copy(client, ROWS - 1, ROWS + 20_000, true).await;
    findings.expect("a key that is there", of(twice), "23505");
    let insert = "INSERT INTO items SELECT g % 30000 + 1000000, g::text, 0, 0 FROM generate_series(1, 40000) g";
    findings.expect("a key of its own", run(client, insert).await, "23505");
    let orphan = "INSERT INTO items SELECT g, g::text, g / 100000, 0 FROM generate_series(1000000, 1040000) g";
    findings.expect("no parent", run(client, orphan).await, "23503");
    let negative = "UPDATE items SET n = 100 - n";
    findings.expect("a check", run(client, negative).await, "23514");
    let code = "INSERT INTO items SELECT g, 'code ' || g - 1000000, 1, 0 FROM generate_series(1020000, 1020010) g";
    findings.expect("another's code", run(client, code).await, "23505");
    let parent = "DELETE FROM kinds WHERE kind = 4";
    findings.expect("a parent", run(client, parent).await, "23503");
    let count = "SELECT count(*) FROM items";
    findings.expect("after all", one(client, count).await, ROWS.to_string());
}

/// Statements over many rows, savepoints among them.
async fn statements(client: &Client, findings: &mut Findings) {
    let steps = [
        "BEGIN",
        "UPDATE items SET n = n + 1",
        "SAVEPOINT a",
        "DELETE FROM items WHERE id % 2 = 0",
        "SAVEPOINT b",
        "INSERT INTO items SELECT g, 'code ' || g, 1, 7 FROM generate_series(0, 39998, 2) g",
        "UPDATE items SET n = 0",
        "ROLLBACK TO b",
        "INSERT INTO items SELECT g, 'again ' || g, 2, 5 FROM generate_series(0, 98, 2) g",
        "UPDATE items SET code = 'new ' || id WHERE id < 1000",
        "UPDATE items SET id = id + 5000000 WHERE id >= 90000",
    ];
    for step in steps {
        findings.expect(step, run(client, step).await, "done");
    }
    let half = ROWS / 2;
    // The odd numbers below 1000 have an average of 500, and each became one
    // more; then the fifty that came anew.
    let sum = half * 501 + 50 * 5;
    let reads = [
        ("SELECT count(*) FROM items", half + 50),
        ("SELECT sum(n)::bigint FROM items", sum),
        ("SELECT count(*) FROM items WHERE code LIKE 'new %'", 550),
        ("SELECT count(*) FROM items WHERE id >= 5000000", 5000),
        ("SELECT id FROM items WHERE code = 'code 99999'", 5_099_999),
    ];
    for (sql, expected) in reads {
        findings.expect(sql, one(client, sql).await, expected.to_string());
    }
    findings.expect("commit", run(client, "COMMIT").await, "done");
    for (sql, expected) in reads {
        findings.expect(sql, one(client, sql).await, expected.to_string());
    }
    let steps = [
        "BEGIN",
        "DELETE FROM items",
        "SAVEPOINT a",
        "INSERT INTO items SELECT g, g::text, 0, 0 FROM generate_series(1, 20000) g",
        "ROLLBACK TO a",
        "INSERT INTO items VALUES (1, 'one', 1, 1)",
        "TRUNCATE items",
        "INSERT INTO items SELECT g, g::text, 0, 3 FROM generate_series(1, 30000) g",
        "COMMIT",
    ];
    for step in steps {
        findings.expect(step, run(client, step).await, "done");
    }
    let sum = "SELECT sum(n)::bigint FROM items";
    findings.expect(sum, one(client, sum).await, "90000");
    let steps = [
        "BEGIN",
        "CREATE TABLE made (id int PRIMARY KEY, n int)",
        "INSERT INTO made SELECT g, 1 FROM generate_series(1, 30000) g",
        "UPDATE made SET n = 2 WHERE id <= 10",
        "CREATE TABLE copied AS SELECT * FROM items",
    ];
    for end in ["ROLLBACK", "COMMIT"] {
        for step in steps.iter().chain(&[end]) {
            findings.expect(step, run(client, step).await, "done");
        }
    }
    let sum = "SELECT sum(n)::bigint FROM made";
    findings.expect(sum, one(client, sum).await, "30010");
    let sum = "SELECT sum(n)::bigint FROM copied";
    findings.expect(sum, one(client, sum).await, "90000");
}

/// The log forgets what was taken back.
async fn pieces_are_forgotten(data: &Path, client: &Client, findings: &mut Findings) {
    run(client, "BEGIN").await;
    let copied = copy(client, 1_000_000, 1_060_000, true).await;
    findings.expect("copied to be forgotten", copied.is_ok().to_string(), "true");
    run(client, "ROLLBACK").await;
    for _ in 0..60 {
        let writes = (0..100).map(|_| client.execute("UPDATE small SET n = n + 1", &[]));
        futures::future::join_all(writes).await;
    }
    let log = rusqlite::Connection::open(data.join("log").join("log.db")).expect("it opens");
    let mut bytes = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let size = log.query_row("SELECT sum(length(data)) FROM entries", [], |row| {
            row.get(0)
        });
        bytes = size.unwrap_or(0_i64);
        if bytes < 4_000_000 {
            return;
        }
    }
    findings.0.push(format!("the log holds {bytes} bytes"));
}

/// kill -9 on the way, and right after the answer.
async fn killed(sandbox: &mut Sandbox, findings: &mut Findings) {
    let client = sandbox.client().await;
    let count = "SELECT count(*) FROM items";
    let before = one(&client, count).await;
    let half = copy(&client, 2_000_000, 2_150_000, false);
    let _ = tokio::time::timeout(Duration::from_secs(3), half).await;
    sandbox.kill();
    sandbox.restart();
    let client = sandbox.client().await;
    findings.expect("after a kill", one(&client, count).await, before);
    run(&client, "TRUNCATE items").await;
    let copied = copy(&client, 0, 100_000, true).await;
    findings.expect("copied before a kill", copied.is_ok().to_string(), "true");
    sandbox.kill();
    sandbox.restart();
    let client = sandbox.client().await;
    findings.expect("after the answer", one(&client, count).await, "100000");
}
