//! Applies agreed writes: entries in log order, all of a run in one database
//! transaction together with the position.
//!
//! First without savepoints; when a client transaction is refused after it
//! has changed something, all is rolled back and done again with a savepoint
//! around each client transaction. A refusal (class 22 and 23, and 40001 for
//! rows that are no longer what they were) is an outcome, the same on every
//! replica; anything else is a failure of this replica, and nothing of the run
//! is there.
//!
//! The chain depends on the entries alone, never on how they were delivered.

mod database;
mod expression;
mod foreign;
mod late;
mod rows;
mod side;
mod table;
mod violation;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{StorageError, schema};
pub(super) use database::Database;
#[cfg(test)]
pub(super) use database::{Injection, Manner};
pub use expression::Conversion;
#[cfg(test)]
pub(crate) use expression::constant_context;
use foreign::{Moment, Touched};
pub(super) use side::{SideLookup, fill as fill_side_table};
use table::StoredTable;
pub(super) use table::Tables;

use crate::catalog::change::{SchemaChange, SchemaStep};
use crate::catalog::schema::Schema;
use crate::error::{Error, SqlState};
use crate::types::encode::encode_row;
use crate::types::id::{Index, SchemaVersion, TableId, TransactionId};
use crate::types::piece::Pieces;
use crate::types::write::{Applied, Failure, Outcome, RowHash, Transaction, Write};
use crate::types::{Row, Value};

/// Rows of a large transaction remembered to say which of them broke a foreign
/// key. The evaluator has checked them: past this the oldest are forgotten.
const TOUCHED_MAX: usize = 100_000;

/// One log entry as the engine takes it.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub index: Index,
    pub content: Content<'a>,
    /// Transactions to leave out: repeats and voids.
    pub skip: &'a [TransactionId],
}

#[derive(Clone, Copy)]
pub enum Content<'a> {
    Transactions {
        schema: SchemaVersion,
        transactions: &'a [Transaction],
        /// What comes before the writes of the first transaction, the only one.
        pieces: Option<&'a dyn Pieces>,
    },
    Schema {
        id: TransactionId,
        before: SchemaVersion,
        changes: &'a [SchemaChange],
        writes: &'a [Write],
        then: &'a [SchemaStep],
        /// No replica could apply it: only its version is gone.
        taken_back: bool,
        pieces: Option<&'a dyn Pieces>,
    },
}

impl Entry<'_> {
    pub(super) fn is_schema(&self) -> bool {
        matches!(self.content, Content::Schema { .. })
    }

    /// Notes which tables the entry's own writes may change. Those of pieces
    /// are noted as they are applied.
    pub(super) fn note_tables(&self, changed: &mut BTreeMap<TableId, Index>) {
        let mut note = |write: &Write| note_table(write, self.index, changed);
        match self.content {
            Content::Transactions { transactions, .. } => {
                transactions.iter().flat_map(|t| &t.writes).for_each(note);
            }
            Content::Schema { writes, then, .. } => {
                writes.iter().for_each(&mut note);
                then.iter().flat_map(|step| &step.writes).for_each(note);
            }
        }
    }
}

/// Notes which tables a write may change.
fn note_table(write: &Write, index: Index, changed: &mut BTreeMap<TableId, Index>) {
    match write {
        Write::Insert { table, .. }
        | Write::Update { table, .. }
        | Write::Delete { table, .. }
        | Write::Rows { table, .. } => {
            changed.insert(*table, index);
        }
        Write::Truncate { tables } => {
            changed.extend(tables.iter().map(|table| (*table, index)));
        }
        Write::EndOfStatement => {}
    }
}

/// Why a write did not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client's own error.
    Refused(Box<Failure>),
    /// The replica's.
    Storage(String),
}

pub(super) type Done<T> = Result<T, Stop>;

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Storage(super::describe(&error))
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Stop {
        Stop::Storage(error.to_string())
    }
}

/// An evaluation's error: the client's if the data forbid it, else ours.
impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        let report = error.report();
        if !matches!(&report.state.class(), b"22" | b"23") {
            return Stop::Storage(error.to_string());
        }
        Stop::Refused(Box::new(Failure {
            state: report.state.0,
            message: report.message.clone(),
            detail: report.detail.clone(),
            table: report.table.clone(),
            column: report.column.clone(),
            constraint: report.constraint.clone(),
        }))
    }
}

/// Why a run of entries ended early.
pub(super) enum Broken {
    /// Do it again with a savepoint around each client transaction.
    NeedsSavepoints,
    Failed(StorageError),
}

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Broken {
        Broken::Failed(error.into())
    }
}

/// Applies the transactions of one entry; the database transaction is open.
pub(super) fn transactions(
    database: &Database,
    tables: &mut Tables,
    entry: &Entry<'_>,
    changed: &mut BTreeMap<TableId, Index>,
    savepoints: bool,
) -> Result<Vec<Outcome>, Broken> {
    let Content::Transactions {
        transactions,
        pieces,
        ..
    } = entry.content
    else {
        return Ok(Vec::new());
    };
    let index = entry.index;
    let mut pieces = pieces;
    let mut outcomes = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        if entry.skip.contains(&transaction.id) {
            continue;
        }
        let mut note = |write: &Write| note_table(write, index, changed);
        let pieces = pieces.take();
        let whole = Whole {
            pieces,
            places: 0..pieces.map_or(0, |pieces| pieces.count()),
            writes: &transaction.writes,
            note: &mut note,
        };
        let result = one(database, tables, whole, savepoints);
        let result = result.map_err(|broken| match broken {
            Broken::Failed(StorageError::Failed(message)) => {
                Broken::Failed(StorageError::Transaction {
                    index,
                    transaction: transaction.id,
                    message,
                })
            }
            other => other,
        })?;
        outcomes.push(Outcome {
            id: transaction.id,
            result,
        });
    }
    Ok(outcomes)
}

/// All writes of one client transaction, or of a step of one.
struct Whole<'a> {
    pieces: Option<&'a dyn Pieces>,
    /// Which of the pieces.
    places: Range<usize>,
    writes: &'a [Write],
    /// Told of each write of a piece.
    note: &'a mut dyn FnMut(&Write),
}

/// Applies one client transaction, or leaves nothing of it.
fn one(
    database: &Database,
    tables: &mut Tables,
    whole: Whole<'_>,
    savepoints: bool,
) -> Result<Result<Applied, Failure>, Broken> {
    if savepoints {
        database.execute("SAVEPOINT client", [])?;
    }
    let changed_before = database.rows_changed();
    let done = Running::new(database, tables).whole(whole);
    let failure = match done {
        Ok(applied) => {
            if savepoints {
                database.execute("RELEASE client", [])?;
            }
            return Ok(Ok(applied));
        }
        Err(Stop::Storage(message)) => {
            return Err(Broken::Failed(StorageError::Failed(message)));
        }
        Err(Stop::Refused(failure)) => *failure,
    };
    if !database.in_transaction() {
        return Err(Broken::Failed(StorageError::failed(
            "the database ended the transaction",
        )));
    }
    if savepoints {
        database.execute("ROLLBACK TO client", [])?;
        database.execute("RELEASE client", [])?;
    } else if database.rows_changed() != changed_before {
        return Err(Broken::NeedsSavepoints);
    }
    Ok(Err(failure))
}

/// What a schema entry asks for.
pub(super) struct SchemaWork<'a> {
    pub(super) changes: &'a [SchemaChange],
    pub(super) writes: &'a [Write],
    pub(super) then: &'a [SchemaStep],
    pub(super) pieces: Option<&'a dyn Pieces>,
}

impl SchemaWork<'_> {
    /// Applies changes and rows step by step; returns the schema after them.
    /// The rows were checked before the log, so a refusal means that this
    /// replica differs.
    pub(super) fn apply(
        &self,
        database: &Database,
        before: &Arc<Schema>,
    ) -> Result<(Arc<Schema>, Applied), StorageError> {
        let all = self.pieces.map_or(0, |pieces| pieces.count());
        let later: usize = self.then.iter().map(|step| step.pieces).sum();
        let first = (self.changes, self.writes, all.saturating_sub(later));
        let then = self.then.iter();
        let then = then.map(|step| (&step.changes[..], &step.writes[..], step.pieces));
        let mut schema = Arc::clone(before);
        let (mut rows, mut hash, mut place) = (Vec::new(), None, 0);
        for (changes, writes, pieces) in std::iter::once(first).chain(then) {
            schema = schema::apply(database, &schema, changes)?;
            let mut tables = Tables::new(Arc::clone(&schema));
            let mut running = Running::new(database, &mut tables);
            running.hash = hash.take();
            let whole = Whole {
                pieces: self.pieces,
                places: place..place + pieces,
                writes,
                // The change of the schema is noted for all tables.
                note: &mut |_| {},
            };
            let done = running.writes(whole, &mut rows);
            let done = done.and_then(|()| running.check_keys(Moment::EndOfTransaction));
            done.map_err(|stop| match stop {
                Stop::Storage(message) => StorageError::Failed(message),
                Stop::Refused(failure) => StorageError::Failed(failure.message),
            })?;
            hash = running.hash.take();
            place += pieces;
        }
        // However many steps, they make one version.
        let after = Arc::make_mut(&mut schema);
        after.version = SchemaVersion(before.version.0 + 1);
        let hash = RowHash(hash.map_or(0, |hash| hash.digest128()));
        Ok((schema, Applied { rows, hash }))
    }
}

/// The chain after these outcomes; unchanged by none.
pub(super) fn chain_after(chain: u128, outcomes: &[Outcome]) -> u128 {
    if outcomes.is_empty() {
        return chain;
    }
    let mut hash = Xxh3::new();
    hash.update(&chain.to_be_bytes());
    for Outcome { id, result } in outcomes {
        hash.update(&id.node.0.to_be_bytes());
        hash.update(&id.boot.0.to_be_bytes());
        hash.update(&id.number.to_be_bytes());
        match result {
            Ok(applied) => {
                hash.update(&SqlState::SUCCESS.0);
                hash.update(&(applied.rows.len() as u64).to_be_bytes());
                for rows in &applied.rows {
                    hash.update(&rows.to_be_bytes());
                }
                hash.update(&applied.hash.0.to_be_bytes());
            }
            Err(failure) => hash.update(&failure.state),
        }
    }
    hash.digest128()
}

/// One client transaction under way.
struct Running<'a> {
    database: &'a Database,
    tables: &'a mut Tables,
    /// Rows of tables with foreign keys, in the order they were written.
    touched: Vec<Touched>,
    late: late::Late,
    /// Over all after-images.
    hash: Option<Box<Xxh3>>,
    scratch: Vec<u8>,
}

impl<'a> Running<'a> {
    fn new(database: &'a Database, tables: &'a mut Tables) -> Running<'a> {
        Running {
            database,
            tables,
            touched: Vec::new(),
            late: late::Late::default(),
            hash: None,
            scratch: Vec::new(),
        }
    }

    fn whole(mut self, whole: Whole<'_>) -> Done<Applied> {
        let mut rows = Vec::new();
        self.writes(whole, &mut rows)?;
        self.end(rows)
    }

    /// Pieces one at a time, so that only one is in memory.
    fn writes(&mut self, whole: Whole<'_>, rows: &mut Vec<u64>) -> Done<()> {
        if let Some(pieces) = whole.pieces {
            for place in whole.places {
                let writes = pieces.read(place).map_err(Stop::Storage)?;
                writes.iter().for_each(&mut *whole.note);
                // One number for each piece: there may be very many writes.
                let mut changed = Vec::new();
                self.some(&writes, &mut changed)?;
                rows.push(changed.iter().sum());
                self.forget_touched();
            }
        }
        self.some(whole.writes, rows)
    }

    fn some(&mut self, writes: &[Write], rows: &mut Vec<u64>) -> Done<()> {
        for write in writes {
            rows.push(match write {
                Write::Insert { table, rows } => self.insert(*table, rows)?,
                Write::Update { table, key, set } => self.update(*table, key, set)?,
                Write::Delete { table, key } => self.delete(*table, key)?,
                Write::Rows { table, changes } => self.change_rows(*table, changes)?,
                Write::Truncate { tables } => self.truncate(tables)?,
                Write::EndOfStatement => {
                    self.check_keys(Moment::EndOfStatement)?;
                    0
                }
            });
        }
        Ok(())
    }

    fn end(self, rows: Vec<u64>) -> Done<Applied> {
        self.check_keys(Moment::EndOfTransaction)?;
        self.late.check(self.database)?;
        let hash = self.hash.map_or(0, |hash| hash.digest128());
        Ok(Applied {
            rows,
            hash: RowHash(hash),
        })
    }

    /// While every key is resolved, none of the rows so far can be what breaks
    /// one later: whatever does is touched then.
    fn forget_touched(&mut self) {
        if !self.database.has_unresolved_keys() || self.touched.len() > TOUCHED_MAX {
            self.touched.clear();
        }
    }

    fn check_keys(&self, moment: Moment) -> Done<()> {
        foreign::check(self.database, self.tables.schema(), &self.touched, moment)
    }

    fn table(&mut self, id: TableId) -> Done<Arc<StoredTable>> {
        let table = self.tables.get(id)?;
        table.ok_or_else(|| Stop::Storage(format!("no table {id}")))
    }

    fn after_image(&mut self, row: &Row) {
        self.scratch.clear();
        let row: &[Value] = row;
        encode_row(row, &mut self.scratch);
        let hash = self.hash.get_or_insert_with(|| Box::new(Xxh3::new()));
        hash.update(&self.scratch);
    }
}
