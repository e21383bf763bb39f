//! Applying entries to real files.

mod bench;
mod pieces;
mod random;

use std::sync::Arc;

use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{
    Action, Column, ForeignKey, Index as TableIndex, IndexColumn, IndexKey, Namespace, PrimaryKey,
    Table,
};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::apply::{Content, Entry, Injection, Manner};
use crate::engine::sqlite::testing::{self, numbered};
use crate::engine::sqlite::writer::{Portion, Writer};
use crate::plan::context::RandomState;
use crate::types::encode::row_hash;
use crate::types::id::{ColumnId, Index, ObjectId, SchemaVersion, TableId, Term};
use crate::types::write::{Assigned, Assignment, Outcome, RowChange, Transaction, Write};
use crate::types::{Type, Value};

const PARENT: TableId = TableId(1);
const CHILD: TableId = TableId(2);

fn column(id: u16, name: &str, ty: Type, not_null: bool) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null,
        default: None,
        identity: None,
        hidden: false,
    }
}

fn table(id: TableId, name: &str, columns: Vec<Column>) -> Table {
    Table {
        id,
        namespace: Namespace::Public,
        name: name.to_owned(),
        next_column: columns.len() as u16 + 1,
        columns,
        key: PrimaryKey::Declared {
            id: ObjectId(id.0 + 10),
            name: format!("{name}_pkey"),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    }
}

/// `p(id int primary key, name text unique not null)` and
/// `c(id int primary key, p int references p)`.
fn tables() -> Vec<SchemaChange> {
    let mut parent = table(
        PARENT,
        "p",
        vec![
            column(1, "id", Type::Int4, true),
            column(2, "name", Type::Text, true),
        ],
    );
    parent.indexes.push(TableIndex {
        id: ObjectId(21),
        name: "p_name_key".to_owned(),
        columns: vec![IndexColumn {
            key: IndexKey::Column(ColumnId(2)),
            descending: false,
            nulls_first: false,
        }],
        unique: true,
        constraint: true,
        nulls_not_distinct: false,
        predicate: None,
        options: Default::default(),
    });
    let mut child = table(
        CHILD,
        "c",
        vec![
            column(1, "id", Type::Int4, true),
            column(2, "p", Type::Int4, false),
        ],
    );
    child.foreign_keys.push(ForeignKey {
        id: ObjectId(22),
        name: "c_p_fkey".to_owned(),
        columns: vec![ColumnId(2)],
        parent: PARENT,
        parent_columns: vec![ColumnId(1)],
        on_delete: Action::NoAction,
        on_update: Action::NoAction,
        match_full: false,
        deferrable: true,
        initially_deferred: true,
    });
    vec![
        SchemaChange::CreateTable(parent),
        SchemaChange::CreateTable(child),
    ]
}

fn int(i: i64) -> Value {
    Value::Int(i)
}

fn insert(table: TableId, row: Vec<Value>) -> Write {
    Write::Insert {
        table,
        rows: vec![row],
    }
}

fn parent(key: i64, name: &str) -> Vec<Value> {
    vec![int(key), Value::text(name)]
}

fn rename(key: i64, name: &str) -> Write {
    Write::Update {
        table: PARENT,
        key: vec![int(key)],
        set: vec![Assignment {
            column: 1,
            value: Assigned::Constant(Value::text(name)),
        }],
    }
}

fn delete(table: TableId, key: i64) -> Write {
    Write::Delete {
        table,
        key: vec![int(key)],
    }
}

fn transaction(number: u64, writes: Vec<Write>) -> Transaction {
    Transaction {
        id: numbered(number),
        writes,
    }
}

struct Replica {
    writer: Writer,
    _directory: tempfile::TempDir,
}

impl Replica {
    /// A new file with the tables, at index 1.
    fn new() -> Replica {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::open(&directory.path().join("r.db"), Index(0)).unwrap();
        let mut replica = Replica {
            writer,
            _directory: directory,
        };
        let changes = tables();
        let entry = Entry {
            index: Index(1),
            content: testing::first_schema(&changes),
            skip: &[],
        };
        let outcomes = replica.deliver(0, 1, vec![entry]).unwrap();
        assert!(outcomes[0].result.is_ok());
        replica
    }

    fn reopen(self) -> Replica {
        let path = self.writer.path().to_owned();
        drop(self.writer);
        Replica {
            writer: Writer::open(&path, Index(0)).unwrap(),
            _directory: self._directory,
        }
    }

    fn deliver(
        &mut self,
        after: u64,
        upto: u64,
        entries: Vec<Entry<'_>>,
    ) -> Result<Vec<Outcome>, StorageError> {
        let portion = Portion {
            term: Term(1),
            after: Index(after),
            upto: Index(upto),
            entries,
        };
        self.writer.apply(&portion, &mut |_| {})
    }

    /// One entry of these transactions right after the position.
    fn apply(&mut self, transactions: &[Transaction]) -> Result<Vec<Outcome>, StorageError> {
        let applied = self.writer.standing().applied.0;
        let entry = batch(applied + 1, transactions);
        self.deliver(applied, applied + 1, vec![entry])
    }

    fn rows(&self, table: &str) -> Vec<(i64, String)> {
        let connection = rusqlite::Connection::open(self.writer.path()).unwrap();
        let sql = format!("SELECT * FROM {table} ORDER BY 1");
        let mut statement = connection.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| {
            let second = match row.get_ref(1)? {
                rusqlite::types::ValueRef::Integer(i) => i.to_string(),
                rusqlite::types::ValueRef::Text(t) => String::from_utf8(t.to_vec()).unwrap(),
                _ => "null".to_owned(),
            };
            Ok((row.get(0)?, second))
        });
        rows.unwrap().map(|row| row.unwrap()).collect()
    }
}

fn batch(index: u64, transactions: &[Transaction]) -> Entry<'_> {
    Entry {
        index: Index(index),
        content: testing::batch(transactions),
        skip: &[],
    }
}

/// SQLSTATE and texts of a refused transaction, or rows of one that applied.
fn told(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(applied) => format!("{:?}", applied.rows),
        Err(failure) => format!(
            "{} {} | {}",
            failure.sql_state(),
            failure.message,
            failure.detail.as_deref().unwrap_or("-")
        ),
    }
}

fn mixed_batch() -> Vec<Transaction> {
    vec![
        transaction(10, vec![insert(PARENT, parent(1, "one"))]),
        transaction(11, vec![insert(PARENT, parent(2, "two"))]),
        transaction(
            12,
            vec![
                insert(CHILD, vec![int(1), int(1)]),
                insert(CHILD, vec![int(2), int(99)]),
            ],
        ),
        transaction(13, vec![insert(CHILD, vec![int(3), int(2)])]),
        transaction(
            14,
            vec![
                insert(CHILD, vec![int(4), int(3)]),
                insert(PARENT, parent(3, "three")),
            ],
        ),
        transaction(15, vec![insert(PARENT, parent(4, "one"))]),
        transaction(16, vec![delete(PARENT, 2)]),
        transaction(17, vec![rename(1, "uno")]),
    ]
}

#[test]
fn violators_in_mid_batch_fail_alone() {
    let mut replica = Replica::new();
    let outcomes = replica.apply(&mixed_batch()).unwrap();
    let told: Vec<String> = outcomes.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "[1]",
            "[1]",
            "23503 insert or update on table \"c\" violates foreign key constraint \"c_p_fkey\" \
             | Key (p)=(99) is not present in table \"p\".",
            "[1]",
            "[1, 1]",
            "23505 duplicate key value violates unique constraint \"p_name_key\" \
             | Key (name)=(one) already exists.",
            "23503 update or delete on table \"p\" violates foreign key constraint \"c_p_fkey\" \
             on table \"c\" | Key (id)=(2) is still referenced from table \"c\".",
            "[1]",
        ]
    );
    let names = [(1, "uno"), (2, "two"), (3, "three")];
    assert_eq!(replica.rows("p"), names.map(|(k, n)| (k, n.to_owned())));
    assert_eq!(
        replica.rows("c"),
        [(3, "2".to_owned()), (4, "3".to_owned())]
    );
}

#[test]
fn refusals_have_postgresql_s_words() {
    let cases = [
        (
            insert(PARENT, vec![int(1), Value::Null]),
            "23502 null value in column \"name\" of relation \"p\" violates not-null constraint \
             | Failing row contains (1, null).",
        ),
        (
            insert(PARENT, parent(5, "x")),
            "23505 duplicate key value violates unique constraint \"p_pkey\" \
             | Key (id)=(5) already exists.",
        ),
        (
            insert(CHILD, vec![int(1), int(6)]),
            "23503 insert or update on table \"c\" violates foreign key constraint \"c_p_fkey\" \
             | Key (p)=(6) is not present in table \"p\".",
        ),
        (
            Write::Rows {
                table: PARENT,
                changes: vec![RowChange {
                    key: vec![int(5)],
                    before: Some(row_hash(&parent(5, "other"))),
                    after: None,
                }],
            },
            "40001 could not serialize access due to concurrent update | -",
        ),
    ];
    let mut replica = Replica::new();
    let first = [transaction(2, vec![insert(PARENT, parent(5, "five"))])];
    replica.apply(&first).unwrap();
    for (number, (write, expected)) in cases.into_iter().enumerate() {
        let outcomes = replica.apply(&[transaction(100 + number as u64, vec![write])]);
        assert_eq!(told(&outcomes.unwrap()[0]), expected);
    }
}

#[test]
fn rows_may_swap_keys_and_unique_values() {
    let mut replica = Replica::new();
    let rows = [parent(1, "a"), parent(2, "b"), parent(3, "c")];
    let writes = rows.iter().map(|row| insert(PARENT, row.clone())).collect();
    replica.apply(&[transaction(2, writes)]).unwrap();
    let change = |before: &Vec<Value>, after: Option<Vec<Value>>| RowChange {
        key: vec![before[0].clone()],
        before: Some(row_hash(before)),
        after,
    };
    let swap = Write::Rows {
        table: PARENT,
        changes: vec![
            change(&rows[0], Some(parent(2, "b"))),
            change(&rows[1], Some(parent(1, "c"))),
            change(&rows[2], Some(parent(3, "a"))),
        ],
    };
    let outcomes = replica.apply(&[transaction(3, vec![swap])]).unwrap();
    assert_eq!(told(&outcomes[0]), "[3]");
    let expected = [(1, "c"), (2, "b"), (3, "a")];
    assert_eq!(replica.rows("p"), expected.map(|(k, n)| (k, n.to_owned())));
}

#[test]
fn a_repeat_gives_the_same_outcomes_and_changes_nothing() {
    let mut replica = Replica::new();
    let transactions = mixed_batch();
    let first = replica.apply(&transactions).unwrap();
    let standing = replica.writer.standing();
    let rows = replica.rows("p");
    let again = replica
        .deliver(1, 2, vec![batch(2, &transactions)])
        .unwrap();
    assert_eq!(first, again);
    // Half of it known, half new: only the new half is done.
    let more = [transaction(30, vec![delete(PARENT, 1)])];
    let entries = vec![batch(2, &transactions), batch(3, &more)];
    let mut replica = replica.reopen();
    let both = replica.deliver(1, 3, entries).unwrap();
    assert_eq!(both[..first.len()], first);
    assert_eq!(both.len(), first.len() + 1);
    assert_ne!(replica.writer.standing().chain, standing.chain);
    assert_eq!(replica.rows("p").len(), rows.len() - 1);
    let gap = replica.deliver(9, 10, Vec::new());
    assert_eq!(gap, Err(StorageError::NotThere));
}

#[test]
fn skipped_transactions_leave_no_trace() {
    let (mut with, mut without) = (Replica::new(), Replica::new());
    let transactions = mixed_batch();
    let skip = [numbered(12), numbered(15), numbered(16)];
    let entry = Entry {
        skip: &skip,
        ..batch(2, &transactions)
    };
    with.deliver(1, 2, vec![entry]).unwrap();
    let kept = transactions.iter().filter(|t| !skip.contains(&t.id));
    let kept: Vec<Transaction> = kept.cloned().collect();
    without.deliver(1, 2, vec![batch(2, &kept)]).unwrap();
    assert_eq!(with.writer.standing(), without.writer.standing());
    assert_eq!(with.rows("c"), without.rows("c"));
}

#[test]
fn chains_do_not_depend_on_how_entries_were_delivered() {
    let first = mixed_batch();
    let second = [
        transaction(40, vec![rename(1, "eins"), Write::EndOfStatement]),
        transaction(41, vec![insert(PARENT, parent(9, "eins"))]),
    ];
    let mut together = Replica::new();
    together
        .deliver(1, 5, vec![batch(2, &first), batch(4, &second)])
        .unwrap();
    let mut apart = Replica::new();
    apart.deliver(1, 2, vec![batch(2, &first)]).unwrap();
    let mut apart = apart.reopen();
    apart.deliver(2, 3, Vec::new()).unwrap();
    apart.deliver(3, 5, vec![batch(4, &second)]).unwrap();
    assert_eq!(together.writer.standing(), apart.writer.standing());
    assert_eq!(together.rows("p"), apart.rows("p"));
}

/// Every error code at every statement of a batch: the delivery fails, nothing
/// of it is there, and the next try ends as if nothing had happened.
#[test]
fn any_fault_at_any_statement_leaves_the_same_chain() {
    const CODES: [std::ffi::c_int; 14] = [
        rusqlite::ffi::SQLITE_ERROR,
        rusqlite::ffi::SQLITE_INTERNAL,
        rusqlite::ffi::SQLITE_PERM,
        rusqlite::ffi::SQLITE_ABORT,
        rusqlite::ffi::SQLITE_BUSY,
        rusqlite::ffi::SQLITE_LOCKED,
        rusqlite::ffi::SQLITE_NOMEM,
        rusqlite::ffi::SQLITE_READONLY,
        rusqlite::ffi::SQLITE_INTERRUPT,
        rusqlite::ffi::SQLITE_IOERR,
        rusqlite::ffi::SQLITE_CORRUPT,
        rusqlite::ffi::SQLITE_FULL,
        rusqlite::ffi::SQLITE_CANTOPEN,
        rusqlite::ffi::SQLITE_PROTOCOL,
    ];
    let transactions = mixed_batch();
    let mut undisturbed = Replica::new();
    let expected = undisturbed.apply(&transactions).unwrap();
    let manners = [Manner::Statement, Manner::RollsBack, Manner::Afterwards];
    for statement in 0.. {
        let mut replica = Replica::new();
        for (code, manner) in CODES.iter().flat_map(|c| manners.map(|m| (*c, m))) {
            *replica.writer.injection() = Some(Injection {
                after: statement,
                code,
                manner,
            });
            let first = replica.apply(&transactions);
            let what = format!("statement {statement}, code {code}, {manner:?}");
            if replica.writer.injection().take().is_some() {
                // The batch has fewer statements.
                assert_eq!(first, Ok(expected));
                assert!(statement > 30);
                return;
            }
            // A statement that fails by itself hides what was to come after it.
            let hidden = manner == Manner::Afterwards && first.as_ref() == Ok(&expected);
            assert!(first.is_err() || hidden, "{what}: {first:?}");
            if replica.writer.standing().applied == Index(1) {
                assert_eq!(replica.rows("p"), [], "{what}");
            } else {
                // The commit took place; what follows is a repeat.
                assert_eq!(manner, Manner::Afterwards, "{what}");
                break;
            }
        }
        let again = replica.deliver(1, 2, vec![batch(2, &transactions)]);
        assert_eq!(again.as_ref(), Ok(&expected), "statement {statement}");
        assert_eq!(replica.writer.standing(), undisturbed.writer.standing());
    }
}

/// SQLite's own errors rather than injected ones.
#[test]
fn a_full_or_locked_database_is_the_replica_s_fault_and_passes() {
    let mut undisturbed = Replica::new();
    let mut replica = Replica::new();
    let long = |n: u64| parent(n as i64, &format!("{n}{}", "x".repeat(3000)));
    let many = |first: u64| -> Vec<_> {
        let numbers = first..first + 20;
        numbers
            .map(|n| transaction(n, vec![insert(PARENT, long(n))]))
            .collect()
    };
    let (first, second) = (many(100), many(200));
    let pages = "PRAGMA max_page_count";
    replica.writer.sql(&format!("{pages} = 20")).unwrap();
    let full = replica.apply(&first).unwrap_err();
    assert!(full.to_string().contains("(SQLite code 13)"), "{full}");
    assert_eq!(replica.rows("p"), []);
    replica.writer.sql(&format!("{pages} = 1000000")).unwrap();
    assert_eq!(replica.apply(&first), undisturbed.apply(&first));

    replica.writer.sql("PRAGMA busy_timeout = 1").unwrap();
    let other = rusqlite::Connection::open(replica.writer.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = replica.apply(&second).unwrap_err();
    assert!(busy.to_string().contains("(SQLite code 5)"), "{busy}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(replica.apply(&second), undisturbed.apply(&second));
    assert_eq!(replica.writer.standing(), undisturbed.writer.standing());
}

#[test]
fn what_others_do_to_the_file_is_found() {
    type Tamper = fn(&std::path::Path, &std::path::Path);
    let foreign_write: Tamper = |path, _| {
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute("DELETE FROM p", []).unwrap();
    };
    let replaced: Tamper = |path, old| std::fs::rename(old, path).unwrap();
    let overwritten: Tamper = |path, old| {
        std::fs::copy(old, path).unwrap();
    };
    let deleted: Tamper = |path, _| std::fs::remove_file(path).unwrap();
    let truncated: Tamper = |path, _| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    };
    let log_deleted: Tamper = |path, _| {
        let log = format!("{}-wal", path.display());
        std::fs::remove_file(log).unwrap();
    };
    let cases = [
        ("foreign write", foreign_write),
        ("replaced", replaced),
        ("overwritten", overwritten),
        ("deleted", deleted),
        ("truncated", truncated),
        ("log deleted", log_deleted),
    ];
    for (name, tamper) in cases {
        let mut replica = Replica::new();
        let old = replica.writer.path().with_extension("old");
        std::fs::copy(replica.writer.path(), &old).unwrap();
        let first = [transaction(2, vec![insert(PARENT, parent(1, "one"))])];
        replica.apply(&first).unwrap();
        assert_eq!(replica.writer.check(), Ok(()), "{name}");
        tamper(replica.writer.path(), &old);
        let checked = replica.writer.check();
        assert!(
            matches!(checked, Err(StorageError::Tampered(_))),
            "{name}: {checked:?}"
        );
        let more = [transaction(3, vec![insert(PARENT, parent(2, "two"))])];
        let applied = replica.apply(&more);
        assert!(
            matches!(applied, Err(StorageError::Tampered(_))),
            "{name}: {applied:?}"
        );
    }
}

#[test]
fn tables_of_every_type_hold_what_was_written() {
    let types = [
        Type::Int8,
        Type::Bool,
        Type::Float8,
        Type::NUMERIC,
        Type::Text,
        Type::Bytea,
        Type::Timestamp(None),
    ];
    let columns = types
        .iter()
        .enumerate()
        .map(|(n, ty)| column(n as u16 + 1, &format!("c{n}"), ty.clone(), false));
    let mut wide = table(TableId(5), "Wide \"one\"", columns.collect());
    wide.key = PrimaryKey::Declared {
        id: ObjectId(50),
        name: "wide_pkey".to_owned(),
        columns: vec![ColumnId(4), ColumnId(1)],
        include: Vec::new(),
    };
    let row = vec![
        int(i64::MIN),
        Value::Bool(true),
        Value::Float(f64::NAN),
        Value::Numeric("12.50".parse().unwrap()),
        Value::text("a'b"),
        Value::Bytes(Arc::from(&b"\0\xff"[..])),
        Value::Timestamp(-1),
    ];
    let mut replica = Replica::new();
    let changes = [SchemaChange::CreateTable(wide)];
    let writes = [insert(TableId(5), row.clone())];
    let entry = Entry {
        index: Index(2),
        content: Content::Schema {
            id: numbered(2),
            before: SchemaVersion(1),
            changes: &changes,
            writes: &writes,
            then: &[],
            taken_back: false,
            pieces: None,
        },
        skip: &[],
    };
    replica.deliver(1, 2, vec![entry]).unwrap();
    // The before-hash is of the row as it is read back.
    let gone = [transaction(
        3,
        vec![Write::Rows {
            table: TableId(5),
            changes: vec![RowChange {
                key: vec![Value::Numeric("12.5".parse().unwrap()), int(i64::MIN)],
                before: Some(row_hash(&row)),
                after: None,
            }],
        }],
    )];
    let entry = Entry {
        index: Index(3),
        content: Content::Transactions {
            schema: SchemaVersion(2),
            transactions: &gone,
            pieces: None,
        },
        skip: &[],
    };
    let outcomes = replica.deliver(2, 3, vec![entry]).unwrap();
    assert_eq!(told(&outcomes[0]), "[1]");
}
