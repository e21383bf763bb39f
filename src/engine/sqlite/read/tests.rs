//! Budget, streams, cancelling and snapshots, on a file with a writer beside.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::engine::sqlite::query::prepare_connection;
use crate::engine::sqlite::testing::*;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{Body, From};
use crate::types::id::Index;
use crate::types::{Type, Value};

/// Far more than a budget can pass over.
const ROWS: i64 = 20_000;

struct File {
    writer: Connection,
    reader: Reader,
    _directory: TempDir,
}

fn file() -> File {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("replica");
    let writer = Connection::open(&path).unwrap();
    prepare_connection(&writer).unwrap();
    writer
        .execute_batch(
            r#"PRAGMA journal_mode = wal;
            CREATE TABLE _pyql_position (
                id INTEGER PRIMARY KEY CHECK (id = 0), applied, schema_version);
            INSERT INTO _pyql_position VALUES (0, 7, 3);
            CREATE TABLE t ("id" INTEGER PRIMARY KEY, "na""me" TEXT, "n" TEXT COLLATE pyql_numeric);"#,
        )
        .unwrap();
    writer
        .execute(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?1)
             INSERT INTO t SELECT n, 'row ' || n, n FROM s",
            [ROWS],
        )
        .unwrap();
    File {
        writer,
        reader: Reader::new(path, SlowReads::Threads),
        _directory: directory,
    }
}

fn request(query: Query) -> ReadRequest {
    ReadRequest {
        query: Arc::new(query),
        parameters: Arc::from([Value::Int(3)]),
        context: context(),
        overlay: None,
        snapshot: None,
        cancel: CancellationToken::new(),
    }
}

fn admit() -> Admit {
    Arc::new(|_| Ok(()))
}

fn point() -> Query {
    let mut select = select(vec![name()]);
    let parameter = Expression {
        kind: ExpressionKind::Parameter(0),
        ty: Type::Int4,
    };
    select.filter = Some(operate("=", id(), parameter));
    query(select)
}

/// Every row against every row: never done.
fn endless() -> Query {
    let mut select = select(vec![id()]);
    let other = crate::plan::query::RelationId(1);
    let From::Table { table, alias, .. } = select.from[0].clone() else {
        unreachable!("select reads a table");
    };
    select.from.push(From::Table {
        relation: other,
        table,
        alias,
    });
    let sum = operate("+", id(), Expression::column(other, 0, Type::Int4));
    select.filter = Some(operate("<", sum, int(0)));
    query(select)
}

async fn all(answer: Answer) -> Result<Vec<Row>> {
    match answer {
        Answer::Ready(rows) => Ok(rows),
        Answer::Flowing(mut receiver) => {
            let mut rows = Vec::new();
            while let Some(batch) = receiver.recv().await {
                rows.extend(batch?);
            }
            Ok(rows)
        }
    }
}

#[tokio::test]
async fn point_reads_are_ready_and_tell_their_snapshot() {
    let file = file();
    let (snapshot, answer) = file.reader.read(request(point()), admit()).await.unwrap();
    assert_eq!(
        (snapshot.applied, snapshot.schema),
        (Index(7), SchemaVersion(3))
    );
    assert!(matches!(&answer, Answer::Ready(rows) if *rows == [[Value::text("row 3")]]));
}

#[tokio::test]
async fn long_reads_flow_and_are_marked() {
    let file = file();
    let scan = request(query(select(vec![id(), name()])));
    let (_, answer) = file.reader.read(scan.clone(), admit()).await.unwrap();
    assert!(matches!(answer, Answer::Flowing(_)));
    assert_eq!(all(answer).await.unwrap().len(), ROWS as usize);
    let rendered = file.reader.plans.get(&scan.query, None).unwrap();
    assert!(file.reader.plans.is_slow(&rendered));
}

#[tokio::test]
async fn a_running_read_is_cancelled() {
    let file = file();
    let endless = request(endless());
    let cancel = endless.cancel.clone();
    let (_, answer) = file.reader.read(endless, admit()).await.unwrap();
    let began = Instant::now();
    cancel.cancel();
    let error = all(answer).await.unwrap_err();
    assert_eq!(error.state(), SqlState::QUERY_CANCELED);
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_reader_that_goes_stops_its_threads() {
    let file = file();
    let (_, answer) = file.reader.read(request(endless()), admit()).await.unwrap();
    drop(file.reader);
    assert!(all(answer).await.is_err());
}

#[tokio::test]
async fn held_snapshots_stay_as_they_are() {
    let file = file();
    let (held, snapshot) = file.reader.open_snapshot(&admit()).unwrap();
    assert_eq!(snapshot.applied, Index(7));
    file.writer
        .execute_batch(
            r#"BEGIN; UPDATE t SET "na""me" = 'new'; UPDATE _pyql_position SET applied = 8; COMMIT"#,
        )
        .unwrap();
    let mut old = request(point());
    old.snapshot = Some(held);
    let (snapshot, answer) = file.reader.read(old.clone(), admit()).await.unwrap();
    assert_eq!(snapshot.applied, Index(7));
    assert_eq!(all(answer).await.unwrap(), [[Value::text("row 3")]]);
    let (snapshot, answer) = file.reader.read(request(point()), admit()).await.unwrap();
    assert_eq!(snapshot.applied, Index(8));
    assert_eq!(all(answer).await.unwrap(), [[Value::text("new")]]);
    file.reader.close_snapshot(held);
    let closed = file.reader.read(old, admit()).await;
    assert!(matches!(closed, Err(ReadFailure::NotNow(_))));
}

/// A stream whose client pauses leaves its snapshot to the next query.
#[tokio::test]
async fn a_paused_stream_holds_no_snapshot_up() {
    let file = file();
    let (held, _) = file.reader.open_snapshot(&admit()).unwrap();
    let on_held = |query: Query| {
        let mut request = request(query);
        request.snapshot = Some(held);
        request
    };
    let scan = query(select(vec![id(), name()]));
    let (_, paused) = file
        .reader
        .read(on_held(scan.clone()), admit())
        .await
        .unwrap();
    for _ in 0..3 {
        let (_, answer) = file.reader.read(on_held(point()), admit()).await.unwrap();
        assert_eq!(all(answer).await.unwrap(), [[Value::text("row 3")]]);
    }
    let (_, second) = file.reader.read(on_held(scan), admit()).await.unwrap();
    assert_eq!(all(second).await.unwrap().len(), ROWS as usize);
    assert_eq!(all(paused).await.unwrap().len(), ROWS as usize);
}

/// Clients that pause keep no thread from those that read.
#[tokio::test]
async fn paused_streams_leave_threads() {
    let file = file();
    let scan = request(query(select(vec![id(), name()])));
    let mut paused = Vec::new();
    for _ in 0..40 {
        let (_, answer) = file.reader.read(scan.clone(), admit()).await.unwrap();
        paused.push(answer);
    }
    for answer in paused {
        assert_eq!(all(answer).await.unwrap().len(), ROWS as usize);
    }
}

#[tokio::test]
async fn who_is_not_admitted_gets_nothing() {
    let file = file();
    let refuse: Admit = Arc::new(|snapshot| Err(ReadFailure::Schema(snapshot.schema)));
    let refused = file.reader.read(request(point()), refuse).await;
    assert!(matches!(
        refused,
        Err(ReadFailure::Schema(SchemaVersion(3)))
    ));
}

#[tokio::test]
async fn errors_of_the_statement_end_the_stream() {
    let file = file();
    let mut failing = select(vec![operate("/", id(), operate("-", id(), int(ROWS)))]);
    failing.filter = Some(operate(">", id(), int(0)));
    let failing = query(failing);
    assert!(matches!(failing.body, Body::Select(_)));
    let (_, answer) = file.reader.read(request(failing), admit()).await.unwrap();
    let error = all(answer).await.unwrap_err();
    assert_eq!(error.state(), SqlState::DIVISION_BY_ZERO);
}

/// Not a check: prints what a point read costs. Run with `--release --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_a_point_read() {
    const READS: u32 = 200_000;
    let file = file();
    let request = request(point());
    let admit = admit();
    let began = Instant::now();
    for _ in 0..READS {
        let answer = file.reader.read(request.clone(), admit.clone()).await;
        assert!(answer.is_ok());
    }
    println!("{:?} per read", began.elapsed() / READS);
}
