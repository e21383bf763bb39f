//! A replica as its deliverer and readers meet it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Embedded, EmbeddedConfig};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Schema, Table};
use crate::endpoint::{
    Applied, Apply, Delivery, DeliveryContent, Endpoint, Fault, Grant, HashRequest, Level,
    Position, Read, ReadError, RowStream, Subject, TableHash,
};
use crate::engine::sqlite::apply::constant_context;
use crate::log::command::{Batch, SchemaEntry};
use crate::plan::expression::Expression;
use crate::plan::query::{Body, Distinct, From, OutputColumn, Query, RelationId, Select};
use crate::runtime::Runtime;
use crate::types::id::{
    Boot, ClusterId, ColumnId, Incarnation, Index, NodeId, ObjectId, SchemaVersion, TableId, Term,
    TransactionId,
};
use crate::types::write::{Transaction, Write};
use crate::types::{Type, Value};

const TABLE: TableId = TableId(16384);

fn cluster() -> ClusterId {
    ClusterId(uuid::Uuid::from_u128(7))
}

fn id(number: u64) -> TransactionId {
    TransactionId {
        node: NodeId(1),
        boot: Boot(1),
        number,
    }
}

/// The entry that makes table `t(id int8 primary key)`.
fn schema(index: u64) -> Delivery {
    let table = Table {
        id: TABLE,
        namespace: Namespace::Public,
        name: "t".to_owned(),
        columns: vec![Column {
            id: ColumnId(1),
            name: "id".to_owned(),
            ty: Type::Int8,
            not_null: true,
            default: None,
            identity: None,
            hidden: false,
        }],
        next_column: 2,
        key: PrimaryKey::Declared {
            id: ObjectId(16385),
            name: "t_pkey".to_owned(),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    };
    let entry = SchemaEntry {
        cluster: cluster(),
        id: id(index),
        before: SchemaVersion(0),
        changes: vec![SchemaChange::CreateTable(table)],
        writes: Vec::new(),
        then: Vec::new(),
        pieces: None,
        counters: Vec::new(),
        settled: None,
    };
    Delivery {
        index: Index(index),
        content: DeliveryContent::Schema(Arc::new(entry)),
        skip: Vec::new(),
        taken_back: false,
    }
}

/// An entry that inserts its own index as a row.
fn insert(index: u64) -> Delivery {
    let write = Write::Insert {
        table: TABLE,
        rows: vec![vec![Value::Int(index as i64)]],
    };
    let batch = Batch {
        cluster: cluster(),
        schema: SchemaVersion(1),
        transactions: vec![Transaction {
            id: id(index),
            writes: vec![write],
        }],
        counters: Vec::new(),
        settled: None,
        pieces: None,
    };
    Delivery {
        index: Index(index),
        content: DeliveryContent::Batch(Arc::new(batch)),
        skip: Vec::new(),
        taken_back: false,
    }
}

struct Replica {
    embedded: Embedded,
    directory: tempfile::TempDir,
}

impl Replica {
    async fn new() -> Replica {
        let directory = tempfile::tempdir().unwrap();
        let embedded = open(&directory).await;
        Replica {
            embedded,
            directory,
        }
    }

    async fn reopen(self) -> Replica {
        self.embedded.close().await;
        let embedded = open(&self.directory).await;
        Replica {
            embedded,
            directory: self.directory,
        }
    }

    async fn position(&self) -> Position {
        self.embedded.position().await.unwrap()
    }

    fn request(&self, position: &Position, entries: Vec<Delivery>) -> Apply {
        Apply {
            cluster: cluster(),
            term: Term(1),
            incarnation: position.incarnation,
            after: position.applied,
            upto: entries.last().map_or(position.applied, |e| e.index),
            entries,
            grant: None,
            stable: Index(0),
        }
    }

    /// Applies entries where the replica stands.
    async fn apply(&self, entries: Vec<Delivery>) -> Result<Applied, Fault> {
        let request = self.request(&self.position().await, entries);
        self.embedded.apply(request).await
    }

    async fn rows(&self) -> u64 {
        self.hash().await.rows
    }

    async fn hash(&self) -> TableHash {
        let position = self.position().await;
        let request = hash_request(&position, position.applied, 1000);
        self.embedded.table_hash(request).await.unwrap()
    }
}

/// `SELECT id FROM t` of this incarnation.
fn select(position: &Position, level: Level) -> Read {
    let DeliveryContent::Schema(entry) = schema(5).content else {
        unreachable!("it makes a schema entry");
    };
    let SchemaChange::CreateTable(table) = entry.changes[0].clone() else {
        unreachable!("it makes a table");
    };
    let relation = RelationId(0);
    let query = Query {
        with: Vec::new(),
        body: Body::Select(Box::new(Select {
            distinct: Distinct::No,
            projection: vec![Expression::column(relation, 0, Type::Int8)],
            from: vec![From::Table {
                relation,
                table: Arc::new(table),
                alias: "t".to_owned(),
            }],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        })),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        columns: vec![OutputColumn {
            name: "id".to_owned(),
            ty: Type::Int8,
            origin: None,
        }],
        locks: Vec::new(),
    };
    Read {
        incarnation: position.incarnation,
        level,
        schema: position.schema,
        query: Arc::new(query),
        parameters: Arc::from([]),
        context: Arc::new(constant_context(&Arc::new(Schema::empty()))),
        overlay: None,
        snapshot: None,
        cancel: CancellationToken::new(),
    }
}

/// The ids that a read gives.
async fn ids(embedded: &Embedded, read: Read) -> Result<Vec<i64>, ReadError> {
    let rows = embedded.read(read).await?;
    let RowStream::Ready(rows) = rows.stream else {
        panic!("a short query is done at once");
    };
    let ids = rows.iter().map(|row| match row[0] {
        Value::Int(id) => id,
        _ => panic!("{row:?}"),
    });
    Ok(ids.collect())
}

async fn open(directory: &tempfile::TempDir) -> Embedded {
    let config = EmbeddedConfig {
        path: directory.path().join("replica.db"),
        cluster: cluster(),
        born: Index(4),
    };
    Embedded::open(config, &Runtime::real()).await.unwrap()
}

#[tokio::test]
async fn a_delivery_names_place_incarnation_and_term() {
    let replica = Replica::new().await;
    let position = replica.position().await;
    assert_eq!(position.applied, Index(4));
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    let here = replica.position().await;
    assert_eq!((here.applied, here.schema), (Index(6), SchemaVersion(1)));
    let good = replica.request(&here, vec![insert(7)]);
    let cases = [
        Apply {
            after: Index(9),
            upto: Index(10),
            entries: vec![insert(10)],
            ..good.clone()
        },
        Apply {
            incarnation: Incarnation(1),
            ..good.clone()
        },
        Apply {
            term: Term(0),
            ..good.clone()
        },
        Apply {
            cluster: ClusterId(uuid::Uuid::nil()),
            ..good.clone()
        },
    ];
    let mut faults = Vec::new();
    for request in cases {
        faults.push(replica.embedded.apply(request).await.unwrap_err());
    }
    assert!(matches!(&faults[0], Fault::NotThere(place) if place.applied == here.applied));
    assert!(matches!(faults[1], Fault::Incarnation(known) if known == here.incarnation));
    assert!(matches!(faults[2], Fault::StaleTerm(Term(1))));
    assert!(matches!(faults[3], Fault::Failed(_)));
    assert_eq!(replica.position().await.chain, here.chain);
    let first = replica.embedded.apply(good.clone()).await.unwrap();
    let again = replica.embedded.apply(good).await.unwrap();
    assert_eq!(first.outcomes, again.outcomes);
    assert_eq!(first.position.chain, again.position.chain);
}

/// What was prepared is committed by the delivery that begins with it, and by
/// no other; idle deliveries in between do not matter.
#[tokio::test]
async fn what_was_prepared_waits_for_its_delivery() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5)]).await.unwrap();
    let at = replica.position().await;
    let (six, seven, other) = (insert(6), insert(7), insert(6));
    replica
        .embedded
        .prepare(replica.request(&at, vec![six.clone()]));
    replica.apply(Vec::new()).await.unwrap();
    assert_eq!(replica.rows().await, 0, "it is not there yet");
    let both = replica.request(&at, vec![six.clone(), seven]);
    let applied = replica.embedded.apply(both).await.unwrap();
    assert_eq!(applied.outcomes.len(), 2);
    assert_eq!(applied.position.applied, Index(7));
    assert_eq!(replica.rows().await, 2);

    let again = Replica::new().await;
    again.apply(vec![schema(5)]).await.unwrap();
    let at = again.position().await;
    again
        .embedded
        .prepare(again.request(&at, vec![six.clone()]));
    let skipping = Delivery {
        skip: vec![id(6)],
        ..six
    };
    let none = again.request(&at, vec![skipping]);
    assert_eq!(again.embedded.apply(none).await.unwrap().outcomes, []);
    assert_eq!(again.rows().await, 0);
    let at = again.position().await;
    let mut late = again.request(&at, vec![insert(7)]);
    late.incarnation = Incarnation(1);
    again.embedded.prepare(late);
    again.embedded.prepare(again.request(&at, vec![other]));
    again.embedded.check().await.unwrap();
    again.apply(vec![insert(7)]).await.unwrap();
    assert_eq!(again.rows().await, 1);
}

#[tokio::test]
async fn a_restart_keeps_rows_and_changes_the_incarnation() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    let before = replica.position().await;
    let replica = replica.reopen().await;
    let after = replica.position().await;
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(
        (after.applied, after.chain, after.schema),
        (before.applied, before.chain, before.schema)
    );
    replica.apply(vec![insert(7)]).await.unwrap();
    assert_eq!(replica.rows().await, 2);
}

#[tokio::test]
async fn commits_become_durable() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    let worked = replica.embedded.work_done();
    let many = (1000..4000).map(|n| vec![Value::Int(n)]).collect();
    let mut large = insert(7);
    if let DeliveryContent::Batch(batch) = &mut large.content {
        let rows = Write::Insert {
            table: TABLE,
            rows: many,
        };
        Arc::make_mut(batch).transactions[0].writes.push(rows);
    }
    replica.apply(vec![large]).await.unwrap();
    assert!(replica.embedded.work_done() > worked);
    assert!(replica.embedded.alive().await.is_ok());
    for _ in 0..100 {
        if replica.position().await.durable == Index(7) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}", replica.position().await);
}

/// Under test the log is moved early and often.
#[tokio::test]
async fn checkpoints_go_on_beside_writes_and_reads_and_are_not_taken_for_foreign_hands() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5)]).await.unwrap();
    let here = replica.position().await;
    let began = std::time::Instant::now();
    let mut index = 6;
    while began.elapsed() < Duration::from_secs(3) {
        let mut entry = insert(index);
        if let DeliveryContent::Batch(batch) = &mut entry.content {
            let ids = (0..50).map(|n| (index as i64 * 7919 + n * 104_729) % 1_000_003);
            let changes = ids.map(|n| Write::Delete {
                table: TABLE,
                key: vec![Value::Int(n)],
            });
            let rows = (0..100).map(|n| vec![Value::Int(index as i64 * 100_000 + n)]);
            let rows = Write::Insert {
                table: TABLE,
                rows: rows.collect(),
            };
            let writes = &mut Arc::make_mut(batch).transactions[0].writes;
            writes.extend(changes.chain([rows]));
        }
        let applied = replica.apply(vec![entry]).await.unwrap();
        assert!(applied.outcomes[0].result.is_ok());
        let read = select(&here, Level::Session(Index(index)));
        assert!(replica.embedded.read(read).await.is_ok());
        index += 1;
    }
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    let path = replica.embedded.path();
    let log = size(&path.with_extension("db-wal"));
    assert!(size(path) > 64 * 4096, "the log never moved into the file");
    assert!(log < 4096 * 4096, "the log grew to {log} bytes");
    assert_eq!(replica.position().await.incarnation, here.incarnation);
    let replica = replica.reopen().await;
    let log = replica.embedded.path().with_extension("db-wal");
    assert!(size(&log) < 64 * 4096, "the end left the log");
    assert_eq!(replica.position().await.applied, Index(index - 1));
}

#[tokio::test]
async fn a_foreign_hand_begins_a_new_incarnation() {
    type Tamper = fn(&std::path::Path, &std::path::Path);
    let write: Tamper = |path, _| {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute("DELETE FROM t", []).unwrap();
    };
    let replace: Tamper = |path, old| {
        std::fs::copy(old, path.with_extension("new")).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    };
    let delete: Tamper = |path, _| std::fs::remove_file(path).unwrap();
    let truncate: Tamper = |path, _| {
        let file = std::fs::OpenOptions::new().write(true).open(path);
        file.unwrap().set_len(0).unwrap();
    };
    let garbage: Tamper = |path, _| std::fs::write(path, [b'x'; 8192]).unwrap();
    let cases = [
        ("write", write),
        ("replace", replace),
        ("delete", delete),
        ("truncate", truncate),
        ("garbage", garbage),
    ];
    for (name, tamper) in cases {
        let good = Replica::new().await;
        good.apply(vec![schema(5), insert(6)]).await.unwrap();
        let replica = Replica::new().await;
        replica.apply(vec![schema(5)]).await.unwrap();
        let old = replica.embedded.copy_out(Arc::default()).await.unwrap();
        replica.apply(vec![insert(6)]).await.unwrap();
        let before = replica.position().await;
        tamper(replica.embedded.path(), &old.path);
        let next = replica.request(&before, vec![insert(7)]);
        let fault = replica.embedded.apply(next.clone()).await.unwrap_err();
        assert!(matches!(fault, Fault::Tampered(_)), "{name}: {fault}");
        let after = replica.position().await;
        assert_ne!(after.incarnation, before.incarnation, "{name}");
        assert_ne!(after.chain, before.chain, "{name}");
        let fault = replica.embedded.apply(next).await.unwrap_err();
        assert!(matches!(fault, Fault::Incarnation(_)), "{name}: {fault}");
        // Healed by a copy of a good one.
        let source = good.embedded.copy_out(Arc::default()).await.unwrap();
        let healed = replica.embedded.copy_in(source).await.unwrap();
        assert_eq!(healed.chain, good.position().await.chain, "{name}");
        assert_ne!(healed.incarnation, after.incarnation, "{name}");
        replica.apply(vec![insert(7)]).await.unwrap();
        good.apply(vec![insert(7)]).await.unwrap();
        let hash = replica.hash().await;
        assert_eq!(hash, good.hash().await);
        assert_eq!(hash.rows, 2, "{name}");
        assert_eq!(
            replica.embedded.check().await.map_err(|f| f.to_string()),
            Ok(())
        );
    }
}

fn hash_request(position: &Position, at: Index, limit: u64) -> HashRequest {
    HashRequest {
        incarnation: position.incarnation,
        subject: Subject::Table(TABLE),
        after: None,
        limit,
        from: at,
        at,
    }
}

#[tokio::test]
async fn rows_are_hashed_at_the_place_that_was_asked_for() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5)]).await.unwrap();
    let position = replica.position().await;
    // Entries 6 to 9 come in one delivery, which stops for a moment behind 7.
    let waiting = replica
        .embedded
        .table_hash(hash_request(&position, Index(7), 10));
    let deliver = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let entries = (6..10).map(insert).collect();
        replica.apply(entries).await.unwrap()
    };
    let (hash, applied) = tokio::join!(waiting, deliver);
    let hash = hash.unwrap();
    assert_eq!((hash.rows, applied.outcomes.len(), hash.last), (2, 4, None));
    assert_eq!(replica.position().await.applied, Index(9));
    // The place has been passed, or is not reached.
    let passed = hash_request(&position, Index(7), 10);
    let passed = replica.embedded.table_hash(passed).await;
    assert!(matches!(passed, Err(Fault::NotThere(_))), "{passed:?}");
    let ahead = hash_request(&position, Index(11), 10);
    let ahead = replica.embedded.table_hash(ahead).await;
    assert!(matches!(ahead, Err(Fault::Failed(_))), "{ahead:?}");
    let mut between = hash_request(&position, Index(20), 10);
    between.from = Index(8);
    assert_eq!(replica.embedded.table_hash(between).await.unwrap().rows, 4);
}

#[tokio::test]
async fn pieces_of_a_table_add_up_to_it() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5)]).await.unwrap();
    let entries = (6..17).map(insert).collect();
    replica.apply(entries).await.unwrap();
    let position = replica.position().await;
    let whole = replica.hash().await;
    let (mut rows, mut hash, mut after) = (0, 0u128, None);
    for _ in 0..4 {
        let mut request = hash_request(&position, position.applied, 3);
        request.after = after.take();
        let piece = replica.embedded.table_hash(request).await.unwrap();
        rows += piece.rows;
        hash = hash.wrapping_add(piece.hash);
        after = piece.last;
    }
    assert_eq!((rows, hash, after), (whole.rows, whole.hash, None));
}

#[tokio::test]
async fn a_schema_change_that_was_taken_back_counts_the_version_on() {
    let replica = Replica::new().await;
    let mut taken_back = schema(5);
    taken_back.taken_back = true;
    taken_back.skip.push(id(5));
    let applied = replica.apply(vec![taken_back]).await.unwrap();
    assert_eq!(applied.outcomes, []);
    assert_eq!(applied.position.schema, SchemaVersion(2));
    let mut again = schema(6);
    if let DeliveryContent::Schema(entry) = &mut again.content {
        Arc::make_mut(entry).before = SchemaVersion(2);
    }
    replica.apply(vec![again]).await.unwrap();
    assert_eq!(replica.rows().await, 0);
}

#[tokio::test]
async fn a_replica_is_rebuilt_by_replay_after_its_file_is_gone() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    let before = replica.position().await;
    std::fs::remove_file(replica.embedded.path()).unwrap();
    assert!(replica.embedded.check().await.is_err());
    let empty = replica.position().await;
    assert_eq!((empty.applied, empty.chain), (Index(4), 0));
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    assert_eq!(replica.position().await.chain, before.chain);
}

#[tokio::test]
async fn reads_are_answered_from_one_snapshot_at_their_level() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5), insert(6)]).await.unwrap();
    let here = replica.position().await;
    let read = async |level| ids(&replica.embedded, select(&here, level)).await;
    assert!(matches!(
        read(Level::Strong).await,
        Err(ReadError::NotNow(_))
    ));
    assert_eq!(read(Level::Any).await.unwrap(), [6]);
    assert_eq!(read(Level::Evaluate(Index(6))).await.unwrap(), [6]);
    // A lease and a stable index come with the next delivery.
    let mut beat = replica.request(&here, Vec::new());
    let asked = replica.embedded.apply(beat.clone()).await.unwrap().asks;
    beat.stable = Index(6);
    beat.grant = Some(Grant {
        asked,
        for_time: Duration::from_secs(60),
        opening: Index(5),
    });
    replica.embedded.apply(beat).await.unwrap();
    assert_eq!(read(Level::Strong).await.unwrap(), [6]);
    let (held, index) = replica
        .embedded
        .open_snapshot(Level::Strong, here.incarnation, here.schema)
        .await
        .unwrap();
    assert_eq!(index, Index(6));
    replica.apply(vec![insert(7)]).await.unwrap();
    // Others lack row 7 yet: its read waits in vain.
    assert!(matches!(
        read(Level::Strong).await,
        Err(ReadError::NotNow(_))
    ));
    assert_eq!(read(Level::Session(Index(7))).await.unwrap(), [6, 7]);
    let mut old = select(&here, Level::Strong);
    old.snapshot = Some(held);
    assert_eq!(ids(&replica.embedded, old.clone()).await.unwrap(), [6]);
    replica.embedded.close_snapshot(held).await;
    assert!(ids(&replica.embedded, old).await.is_err());
    let mut planned_before = select(&here, Level::Any);
    planned_before.schema = SchemaVersion(0);
    let refused = ids(&replica.embedded, planned_before).await;
    assert!(matches!(refused, Err(ReadError::Schema(SchemaVersion(1)))));
    let mut other_life = select(&here, Level::Any);
    other_life.incarnation = Incarnation(3);
    let refused = ids(&replica.embedded, other_life).await;
    assert!(matches!(refused, Err(ReadError::NotNow(_))));
}

#[tokio::test]
async fn a_transaction_that_fails_again_and_again_is_poisoned_and_skipped() {
    let replica = Replica::new().await;
    replica.apply(vec![schema(5)]).await.unwrap();
    let mut bad = insert(6);
    if let DeliveryContent::Batch(batch) = &mut bad.content {
        let batch = Arc::make_mut(batch);
        let write = Write::Insert {
            table: TableId(1),
            rows: Vec::new(),
        };
        batch.transactions.push(Transaction {
            id: id(60),
            writes: vec![write],
        });
    }
    for _ in 0..2 {
        let fault = replica.apply(vec![bad.clone()]).await.unwrap_err();
        assert!(matches!(fault, Fault::Failed(_)), "{fault}");
    }
    let fault = replica.apply(vec![bad.clone()]).await.unwrap_err();
    assert!(
        matches!(fault, Fault::Poisoned { index: Index(6), transaction, .. } if transaction == id(60)),
        "{fault}"
    );
    assert_eq!(replica.rows().await, 0);
    bad.skip.push(id(60));
    let applied = replica.apply(vec![bad]).await.unwrap();
    assert_eq!(applied.outcomes.len(), 1);
    assert_eq!(replica.rows().await, 1);
}
