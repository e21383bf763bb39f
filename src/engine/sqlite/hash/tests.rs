//! Bytes changed in a file, wherever they lie.

use super::{Piece, Sum, Waiting, outcomes};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Index as TableIndex, IndexColumn, IndexKey, Table};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::apply::Entry;
use crate::engine::sqlite::testing::{self, numbered};
use crate::engine::sqlite::writer::{Portion, Writer};
use crate::types::id::{ColumnId, Index, ObjectId, TableId, Term};
use crate::types::write::{Transaction, Write};
use crate::types::{Type, Value};

const TABLE: TableId = TableId(16384);
const ROWS: i64 = 500;

fn table() -> Table {
    let columns = [("id", Type::Int8), ("word", Type::Text), ("n", Type::Int4)];
    let mut table = Table::clone(&testing::table_of(TABLE.0, "t", &columns));
    let column = |id| IndexColumn {
        key: IndexKey::Column(ColumnId(id)),
        descending: id == 3,
        nulls_first: false,
    };
    table.indexes.push(TableIndex {
        id: ObjectId(20000),
        name: "t_word".to_owned(),
        columns: vec![column(2), column(3)],
        unique: false,
        constraint: false,
        nulls_not_distinct: false,
        predicate: None,
        options: Default::default(),
    });
    // SQLite cannot say that; it has a side table.
    table.indexes.push(TableIndex {
        id: ObjectId(20001),
        name: "t_word_key".to_owned(),
        columns: vec![column(2)],
        unique: true,
        constraint: false,
        nulls_not_distinct: false,
        predicate: Some("n IS NOT NULL".into()),
        options: Default::default(),
    });
    table
}

/// A file with rows, some of them with NULLs, all in the main file.
fn make(path: &std::path::Path) {
    let mut writer = Writer::open(path, Index(0)).unwrap();
    let changes = [SchemaChange::CreateTable(table())];
    let row = |n: i64| {
        let number = if n % 7 == 0 {
            Value::Null
        } else {
            Value::Int(n % 5)
        };
        vec![Value::Int(n), Value::text(format!("word-{n:04}-")), number]
    };
    let writes = vec![Write::Insert {
        table: TABLE,
        rows: (0..ROWS).map(row).collect(),
    }];
    let transactions = [Transaction {
        id: numbered(2),
        writes,
    }];
    let schema = testing::first_schema(&changes);
    let rows = testing::batch(&transactions);
    let entry = |index, content| Entry {
        index: Index(index),
        content,
        skip: &[],
    };
    let portion = Portion {
        term: Term(1),
        after: Index(0),
        upto: Index(2),
        entries: vec![entry(1, schema), entry(2, rows)],
    };
    let outcomes = writer.apply(&portion, &mut |_| {}).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
    drop(writer);
    let file = rusqlite::Connection::open(path).unwrap();
    let moved = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    moved.unwrap();
}

#[test]
fn a_byte_changed_in_a_row_or_in_an_index_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.db");
    make(&path);
    let piece = Piece {
        table: TABLE,
        after: None,
        limit: 10_000,
    };
    let sum = || {
        let pinned = Waiting::open(&path).and_then(|waiting| waiting.pin())?;
        pinned.sum(&piece)
    };
    let right = sum().unwrap().unwrap();
    assert_eq!((right.rows, &right.last), (ROWS as u64, &None));
    let bytes = std::fs::read(&path).unwrap();
    let wanted = b"word-0123-";
    let places: Vec<usize> = (0..bytes.len() - wanted.len())
        .filter(|at| bytes[*at..].starts_with(wanted))
        .collect();
    assert_eq!(places.len(), 4, "in the table, its indexes and side table");
    let mut seen = Vec::new();
    for at in places {
        let mut damaged = bytes.clone();
        damaged[at + 2] = b'X';
        std::fs::write(&path, damaged).unwrap();
        seen.push(match sum() {
            Err(StorageError::Unreadable(_)) => "unreadable",
            Ok(Some(other)) if other != right => "another sum",
            other => panic!("not seen: {other:?}"),
        });
    }
    // A row that one of them does not know is found in all cases.
    assert_eq!(seen, ["unreadable"; 4]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(sum().unwrap().unwrap(), right);
}

/// Entries without rows, lacking entries, and outcomes that were changed.
#[test]
fn what_stands_beside_the_rows_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("r.db");
    make(&path);
    let bytes = std::fs::read(&path).unwrap();
    let rows = || {
        let piece = Piece {
            table: TABLE,
            after: None,
            limit: 10_000,
        };
        let pinned = Waiting::open(&path).and_then(Waiting::pin)?;
        pinned.sum(&piece).map(|sum| sum.unwrap())
    };
    let told = || {
        let pinned = Waiting::open(&path).and_then(Waiting::pin)?;
        outcomes::sum(&pinned, Index(2), None, 100)
    };
    let right: [Sum; 2] = [rows().unwrap(), told().unwrap()];
    assert_eq!((right[1].rows, &right[1].last), (2, &None));
    let index = "sqlite_schema WHERE name = '_pyql_index_20000'";
    let cases = [
        (
            vec![
                format!("PRAGMA writable_schema = ON; CREATE TABLE kept AS SELECT * FROM {index}; DELETE FROM {index}"),
                "DELETE FROM t WHERE id = 7; PRAGMA writable_schema = ON; \
                 INSERT INTO sqlite_schema SELECT * FROM kept; DELETE FROM sqlite_schema WHERE name = 'kept'"
                    .to_owned(),
            ],
            "unreadable",
        ),
        (vec!["DELETE FROM _pyql_unique_20001 WHERE entry = (SELECT min(entry) FROM _pyql_unique_20001)".to_owned()], "unreadable"),
        (vec!["INSERT INTO _pyql_unique_20001 VALUES (x'00', x'00')".to_owned()], "another sum"),
        (vec!["DELETE FROM _pyql_outcomes WHERE log_index = 2".to_owned()], "other outcomes"),
        (vec!["UPDATE _pyql_outcomes SET outcomes = x'c0'".to_owned()], "outcomes unreadable"),
    ];
    for (scripts, expected) in cases {
        for script in &scripts {
            let file = rusqlite::Connection::open(&path).unwrap();
            file.execute_batch(script).unwrap();
            let moved = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            moved.unwrap();
        }
        let seen = match (rows(), told()) {
            (Err(StorageError::Unreadable(_)), _) => "unreadable",
            (Ok(sum), _) if sum != right[0] => "another sum",
            (_, Err(StorageError::Unreadable(_))) => "outcomes unreadable",
            (_, Ok(sum)) if sum != right[1] => "other outcomes",
            other => panic!("not seen: {scripts:?}: {other:?}"),
        };
        assert_eq!(seen, expected, "{scripts:?}");
        std::fs::write(&path, &bytes).unwrap();
        for other in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(path.with_extension(other));
        }
    }
}
