//! Every call to the file system fails once, in every way, while entries are
//! prepared, applied, and the log is moved into the file: what was applied afterwards is
//! what a run without faults applied.

use std::ffi::c_int;
use std::path::Path;

use rusqlite::ffi;

use super::Manner::{self, After, Before, Lasting, Torn};
use super::Operation as On;
use super::{Armed, Fault, arm};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::Table;
use crate::engine::sqlite::apply::Entry;
use crate::engine::sqlite::checkpoint::Checkpointer;
use crate::engine::sqlite::position::Standing;
use crate::engine::sqlite::testing::{self, numbered};
use crate::engine::sqlite::writer::{Portion, Writer};
use crate::engine::sqlite::{StorageError, hash};
use crate::types::id::{Index, TableId, Term};
use crate::types::write::{Assigned, Assignment, Transaction, Write};
use crate::types::{Type, Value};

const TABLE: TableId = TableId(16384);

/// Entries, each a batch, applied one after the other.
const ENTRIES: u64 = 6;

/// So often a delivery is tried before the file is opened anew.
const TRIES: usize = 3;

fn table() -> Table {
    let columns = [("id", Type::Int8), ("text", Type::Text)];
    Table::clone(&testing::table_of(TABLE.0, "t", &columns))
}

/// In memory where that is to be had: a sweep syncs many thousand times.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.unwrap()
}

/// A batch of several transactions; the third violates the primary key.
fn transactions(entry: u64) -> Vec<Transaction> {
    let row = |key: u64, text: &str| vec![Value::Int(key as i64), Value::text(text)];
    let insert = |rows| Write::Insert { table: TABLE, rows };
    let first = entry * 100;
    let long = "x".repeat(2000);
    let writes = vec![
        vec![insert((0..40).map(|n| row(first + n, &long)).collect())],
        vec![Write::Update {
            table: TABLE,
            key: vec![Value::Int(first as i64)],
            set: vec![Assignment {
                column: 1,
                value: Assigned::Constant(Value::text("changed")),
            }],
        }],
        vec![
            insert(vec![row(first + 50, "a")]),
            insert(vec![row(first, "b")]),
        ],
        vec![Write::Delete {
            table: TABLE,
            key: vec![Value::Int(first as i64 + 1)],
        }],
    ];
    let number = |(place, writes)| Transaction {
        id: numbered(entry * 10 + place),
        writes,
    };
    (0..).zip(writes).map(number).collect()
}

/// A replica that lives through a fault.
struct Subject {
    directory: tempfile::TempDir,
    writer: Option<Writer>,
    checkpointer: Option<Checkpointer>,
}

impl Subject {
    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("r.db")
    }

    fn new() -> Subject {
        Subject {
            directory: directory(),
            writer: None,
            checkpointer: None,
        }
    }

    fn open(&mut self) -> Result<&mut Writer, StorageError> {
        if self.writer.is_none() {
            let writer = Writer::open(&self.path(), Index(0))?;
            self.checkpointer = Some(Checkpointer::open(&self.path(), writer.watch())?);
            self.writer = Some(writer);
        }
        Ok(self.writer.as_mut().expect("it was just opened"))
    }

    fn deliver(&mut self, index: u64) -> Result<(), StorageError> {
        let transactions = transactions(index);
        let changes = [SchemaChange::CreateTable(table())];
        let content = match index {
            1 => testing::first_schema(&changes),
            _ => testing::batch(&transactions),
        };
        let portion = Portion {
            term: Term(1),
            after: Index(index - 1),
            upto: Index(index),
            entries: vec![Entry {
                index: Index(index),
                content,
                skip: &[],
            }],
        };
        let writer = self.open()?;
        // Every other one is prepared before; of these, half are discarded.
        if index.is_multiple_of(2) {
            writer.prepare(&portion)?;
        }
        if index.is_multiple_of(4) && writer.has_prepared() {
            return writer.commit_prepared(&mut |_| {}).map(drop);
        }
        writer.apply(&portion, &mut |_| {}).map(drop)
    }

    /// Delivers all entries and checkpoints in between; a fault that lasts
    /// ends once it has struck a few times.
    fn live(&mut self, armed: Option<&Armed>) -> Result<(Standing, hash::Sum), String> {
        for index in 1..=ENTRIES {
            for attempt in 0.. {
                let Err(error) = self.deliver(index) else {
                    break;
                };
                if matches!(error, StorageError::Tampered(_)) {
                    return Err(format!("entry {index}: taken for a foreign hand: {error}"));
                }
                match attempt {
                    TRIES => {
                        armed.inspect(|armed| armed.disarm());
                        self.writer = None;
                        self.checkpointer = None;
                    }
                    many if many > TRIES => return Err(format!("entry {index}: {error}")),
                    _ => {}
                }
            }
            // One that fails is tried again at the next.
            let _ = self.checkpointer.as_mut().map(|it| it.run_if_due());
        }
        armed.inspect(|armed| armed.disarm());
        let writer = self.open().map_err(|error| error.to_string())?;
        let standing = writer.standing();
        writer.check().map_err(|error| error.to_string())?;
        self.writer = None;
        self.checkpointer = None;
        let stored = self.open().map_err(|error| error.to_string())?.standing();
        if stored != standing {
            return Err(format!("it stood at {standing:?}, the file at {stored:?}"));
        }
        intact(&self.path())?;
        Ok((standing, hash::whole(&self.path(), TABLE)))
    }
}

fn intact(path: &Path) -> Result<(), String> {
    let file = rusqlite::Connection::open(path).unwrap();
    let found: Result<String, _> = file.query_row("PRAGMA integrity_check", [], |row| row.get(0));
    match found.as_deref() {
        Ok("ok") => Ok(()),
        other => Err(format!("the file is damaged: {other:?}")),
    }
}

/// What fails, with which codes, and how.
const CASES: [(On, &[c_int], &[Manner]); 9] = [
    (On::Open, &[ffi::SQLITE_CANTOPEN], &[Before, Lasting]),
    (
        On::Read,
        &[ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_CORRUPTFS],
        &[Before, Lasting],
    ),
    (
        On::Write,
        &[ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_FULL],
        &[Before, After, Torn, Lasting],
    ),
    (
        On::Sync,
        &[ffi::SQLITE_IOERR_FSYNC],
        &[Before, After, Lasting],
    ),
    (
        On::Truncate,
        &[ffi::SQLITE_IOERR_TRUNCATE],
        &[Before, After, Lasting],
    ),
    (On::Size, &[ffi::SQLITE_IOERR_FSTAT], &[Before, Lasting]),
    (
        On::Lock,
        &[ffi::SQLITE_IOERR_LOCK, ffi::SQLITE_BUSY],
        &[Before],
    ),
    (
        On::ShmMap,
        &[
            ffi::SQLITE_IOERR_SHMMAP,
            ffi::SQLITE_IOERR_SHMSIZE,
            ffi::SQLITE_IOERR_SHMOPEN,
            ffi::SQLITE_IOERR_NOMEM,
        ],
        &[Before, Lasting],
    ),
    (
        On::ShmLock,
        &[ffi::SQLITE_IOERR_SHMLOCK, ffi::SQLITE_BUSY],
        &[Before],
    ),
];

#[test]
fn any_fault_of_the_file_system_leaves_the_same_chain() {
    super::register();
    let expected = Subject::new().live(None).unwrap();
    assert_eq!(expected.0.applied, Index(ENTRIES));
    let mut wrong = Vec::new();
    let mut calls = 0;
    for (operation, codes, manners) in CASES {
        for (code, manner) in codes.iter().flat_map(|c| manners.iter().map(|m| (*c, *m))) {
            for after in 0.. {
                let mut subject = Subject::new();
                let path = subject.path().to_string_lossy().into_owned();
                let fault = Fault {
                    path,
                    operation,
                    after,
                    code,
                    manner,
                };
                let told = format!("{operation:?} {after}, code {code}, {manner:?}");
                let armed = arm(fault);
                match subject.live(Some(&armed)) {
                    Ok(lived) if lived == expected => {}
                    Ok(lived) => wrong.push(format!("{told}: {lived:?}")),
                    Err(error) => wrong.push(format!("{told}: {error}")),
                }
                if armed.hits() == 0 || wrong.len() > 20 {
                    calls += after;
                    break;
                }
            }
        }
    }
    println!("{calls} calls failed");
    assert!(calls > 100, "{calls} calls");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
