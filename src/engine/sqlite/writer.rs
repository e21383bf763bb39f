//! The one connection that writes a replica's file.
//!
//! It belongs to one thread. Each run of entries is one database transaction
//! that also moves the position; after a failure nothing of it is there and
//! the writer stands where the file says.

mod prepared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, OpenFlags};

use super::apply::{self, Broken, Content, Database, Entry, SchemaWork, Tables};
use super::position::{self, Standing};
use super::watch::Watch;
use super::{StorageError, copy, file, gather, work};
use crate::catalog::schema::Schema;
use crate::types::id::{Index, SchemaVersion, TableId, Term};
use crate::types::write::Outcome;

/// Statements kept prepared: a few per table of a usual schema.
const STATEMENT_CACHE: usize = 512;

/// Page cache of the writer, in KiB.
const CACHE_KIB: i64 = 65_536;

/// Pages of a new file. Small ones: a write logs whole pages, three replicas
/// do so on one disk, and rows are usually short.
const PAGE_BYTES: u32 = 1024;

/// Steps of SQLite's machine, about 0.2 ms, between two counts of its work.
const STEPS_PER_COUNT: i32 = 10_000;

/// Pages in the write-ahead log at which the writer itself stops to move them.
const MAX_LOG_PAGES: u64 = if cfg!(test) { 512 } else { 32_768 };

/// A replica's file, opened for writing.
pub struct Writer {
    path: PathBuf,
    database: Database,
    watch: Arc<Watch>,
    standing: Standing,
    schema: Arc<Schema>,
    tables: Tables,
    /// `None` while that is unknown.
    checks_foreign_keys: Option<bool>,
    /// In the database transaction that is open.
    prepared: Option<Run>,
    /// Moves while this writer works.
    work: Option<Arc<AtomicU64>>,
}

/// Entries whose work is done in one database transaction that is still open.
struct Run {
    /// The position as it is in the transaction.
    after: Standing,
    /// The schema, if they change it.
    schema: Option<Arc<Schema>>,
    /// The last entry that changes each table.
    changed: BTreeMap<TableId, Index>,
    outcomes: Vec<Outcome>,
}

/// Entries to apply.
pub struct Portion<'a> {
    pub term: Term,
    pub after: Index,
    pub upto: Index,
    pub entries: Vec<Entry<'a>>,
}

impl Portion<'_> {
    /// Whether the entries ascend between `after` and `upto`.
    fn is_in_order(&self) -> bool {
        let entries = self.entries.iter().map(|entry| entry.index);
        let mut last = self.after;
        for index in entries {
            if index <= last {
                return false;
            }
            last = index;
        }
        last <= self.upto
    }
}

/// What a run of entries is about to change.
pub struct Change<'a> {
    /// The last entry that changes each table.
    pub tables: &'a BTreeMap<TableId, Index>,
    /// The entry that changes the schema.
    pub schema: Option<Index>,
}

/// Told of a change before it can be seen.
pub type Announce<'a> = &'a mut dyn FnMut(&Change<'_>);

impl Writer {
    /// Opens the file, or makes one that stands at `born`.
    pub fn open(path: &Path, born: Index) -> Result<Writer, StorageError> {
        copy::clear_broken_replacement(path)?;
        let mut connection = connect(path)?;
        position::prepare(&connection, born)?;
        let standing = position::load(&connection)?;
        let schema = position::load_schema(&connection)?;
        let watch = Arc::new(Watch::start(path, &connection)?);
        let told = Arc::clone(&watch);
        connection.wal_hook(Some(move |_: &mut Wal, pages| {
            told.committed(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }))?;
        Ok(Writer {
            path: path.to_owned(),
            database: Database::new(connection),
            watch,
            standing,
            tables: Tables::new(Arc::clone(&schema)),
            schema,
            checks_foreign_keys: None,
            prepared: None,
            work: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Looks for what others did to the file.
    pub fn check(&mut self) -> Result<(), StorageError> {
        self.discard()?;
        self.noting_failure(self.look())
    }

    fn noting_failure<T>(&self, done: Result<T, StorageError>) -> Result<T, StorageError> {
        if !matches!(done, Ok(_) | Err(StorageError::Tampered(_))) {
            self.watch.after_failure(self.database.connection());
        }
        done
    }

    fn look(&self) -> Result<(), StorageError> {
        self.watch.check(self.database.connection())?;
        let found = position::load(self.database.connection())?;
        if found.applied != self.standing.applied || found.chain != self.standing.chain {
            return Err(StorageError::Tampered(
                "the position in the file moved".to_owned(),
            ));
        }
        Ok(())
    }

    /// Applies entries that follow the position; those applied before give
    /// the outcomes they had.
    pub fn apply(
        &mut self,
        portion: &Portion<'_>,
        announce: Announce<'_>,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.count();
        let done = self.apply_portion(portion, announce);
        self.noting_failure(done)
    }

    fn count(&self) {
        if let Some(counter) = &self.work {
            work::count_with(counter);
        }
    }

    fn apply_portion(
        &mut self,
        portion: &Portion<'_>,
        announce: Announce<'_>,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.watch.check(self.database.connection())?;
        let applied = self.standing.applied;
        if portion.after > applied {
            return Err(StorageError::NotThere);
        }
        if !portion.is_in_order() {
            return Err(StorageError::failed("entries out of their order"));
        }
        let known = portion
            .entries
            .partition_point(|entry| entry.index <= applied);
        let (repeated, new) = portion.entries.split_at(known);
        if !portion.entries.is_empty() || portion.upto > applied {
            self.discard()?;
        }
        let mut outcomes = self.repeat(repeated)?;
        if portion.upto <= applied {
            return Ok(outcomes);
        }
        let mut rest = new;
        loop {
            let (run, later) = rest.split_at(run_length(rest));
            let upto = if later.is_empty() {
                portion.upto
            } else {
                run.last().map_or(portion.upto, |entry| entry.index)
            };
            match self.run(run, upto, portion.term, announce) {
                Ok(more) => outcomes.extend(more),
                Err(error) => {
                    self.settle_after_failure()?;
                    return Err(error);
                }
            }
            rest = later;
            if rest.is_empty() {
                return Ok(outcomes);
            }
        }
    }

    /// The stored outcomes of entries that were applied before.
    fn repeat(&self, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, StorageError> {
        let mut outcomes = Vec::new();
        for entry in entries {
            let stored = position::load_outcomes(self.database.connection(), entry.index)?;
            outcomes.extend(stored.ok_or(StorageError::NotThere)?);
        }
        Ok(outcomes)
    }

    fn run(
        &mut self,
        entries: &[Entry<'_>],
        upto: Index,
        term: Term,
        announce: Announce<'_>,
    ) -> Result<Vec<Outcome>, StorageError> {
        let run = self.carry_out(entries, upto, term)?;
        self.commit(run, announce)
    }

    /// One database transaction over the entries, but for its end.
    fn carry_out(
        &mut self,
        entries: &[Entry<'_>],
        upto: Index,
        term: Term,
    ) -> Result<Run, StorageError> {
        match self.try_carry_out(entries, upto, term, false) {
            Err(Broken::NeedsSavepoints) => {
                self.roll_back()?;
                match self.try_carry_out(entries, upto, term, true) {
                    Ok(run) => Ok(run),
                    Err(Broken::Failed(error)) => Err(error),
                    Err(Broken::NeedsSavepoints) => Err(StorageError::failed(
                        "a savepoint did not undo a transaction",
                    )),
                }
            }
            Ok(run) => Ok(run),
            Err(Broken::Failed(error)) => Err(error),
        }
    }

    fn try_carry_out(
        &mut self,
        entries: &[Entry<'_>],
        upto: Index,
        term: Term,
        savepoints: bool,
    ) -> Result<Run, Broken> {
        let alters = entries.iter().any(Entry::is_schema);
        self.check_foreign_keys(!alters)?;
        self.database.execute("BEGIN IMMEDIATE", [])?;
        let mut after = Standing {
            applied: upto,
            term: term.max(self.standing.term),
            ..self.standing
        };
        let mut schema = Arc::clone(&self.schema);
        let mut outcomes = Vec::new();
        let mut changed = BTreeMap::new();
        for entry in entries {
            let done = self.entry(entry, &mut schema, &mut changed, savepoints)?;
            after.chain = apply::chain_after(after.chain, &done);
            position::store_outcomes(&self.database, entry.index, &done).map_err(Broken::Failed)?;
            outcomes.extend(done);
        }
        position::forget_outcomes(&self.database, self.standing.applied, upto)
            .map_err(Broken::Failed)?;
        after.schema = schema.version;
        position::store(&self.database, &after)?;
        entries
            .iter()
            .for_each(|entry| entry.note_tables(&mut changed));
        Ok(Run {
            after,
            schema: alters.then_some(schema),
            changed,
            outcomes,
        })
    }

    fn commit(&mut self, run: Run, announce: Announce<'_>) -> Result<Vec<Outcome>, StorageError> {
        let alters = run.schema.is_some();
        announce(&Change {
            tables: &run.changed,
            schema: alters.then_some(run.after.applied),
        });
        self.database.execute("COMMIT", [])?;
        self.standing = run.after;
        if let Some(schema) = run.schema {
            self.take_schema(schema);
        }
        Ok(run.outcomes)
    }

    /// Whether the engine enforces foreign keys; see `schema::change`. Takes
    /// effect outside a transaction only, and costs every prepared statement.
    fn check_foreign_keys(&mut self, wanted: bool) -> rusqlite::Result<()> {
        if self.checks_foreign_keys == Some(wanted) {
            return Ok(());
        }
        self.checks_foreign_keys = None;
        let on = if wanted { "ON" } else { "OFF" };
        self.database
            .execute(&format!("PRAGMA foreign_keys = {on}"), [])?;
        self.checks_foreign_keys = Some(wanted);
        Ok(())
    }

    fn entry(
        &mut self,
        entry: &Entry<'_>,
        schema: &mut Arc<Schema>,
        changed: &mut BTreeMap<TableId, Index>,
        savepoints: bool,
    ) -> Result<Vec<Outcome>, Broken> {
        match entry.content {
            Content::Transactions {
                schema: version, ..
            } => {
                self.expect_version(version)?;
                let tables = &mut self.tables;
                apply::transactions(&self.database, tables, entry, changed, savepoints)
            }
            Content::Schema {
                before,
                taken_back: true,
                ..
            } => {
                self.expect_version(before)?;
                let mut after = Schema::clone(schema);
                after.version.0 += 2;
                *schema = Arc::new(after);
                position::store_schema(&self.database, schema).map_err(Broken::Failed)?;
                Ok(Vec::new())
            }
            Content::Schema { id, .. } if entry.skip.contains(&id) => Ok(Vec::new()),
            Content::Schema {
                id,
                before,
                changes,
                writes,
                then,
                taken_back: false,
                pieces,
            } => {
                self.expect_version(before)?;
                let failed = |error| match error {
                    StorageError::Failed(message) => Broken::Failed(StorageError::Transaction {
                        index: entry.index,
                        transaction: id,
                        message,
                    }),
                    other => Broken::Failed(other),
                };
                let work = SchemaWork {
                    changes,
                    writes,
                    then,
                    pieces,
                };
                let applied = work.apply(&self.database, schema);
                let (after, applied) = applied.map_err(failed)?;
                position::store_schema(&self.database, &after).map_err(failed)?;
                *schema = after;
                Ok(vec![Outcome {
                    id,
                    result: Ok(applied),
                }])
            }
        }
    }

    fn expect_version(&self, version: SchemaVersion) -> Result<(), Broken> {
        if version == self.schema.version {
            return Ok(());
        }
        Err(Broken::Failed(StorageError::failed(format!(
            "an entry for schema {version}, the replica has {}",
            self.schema.version
        ))))
    }

    fn take_schema(&mut self, schema: Arc<Schema>) {
        self.database.connection().flush_prepared_statement_cache();
        self.tables = Tables::new(Arc::clone(&schema));
        self.schema = schema;
    }

    fn roll_back(&self) -> Result<(), StorageError> {
        if self.database.in_transaction() {
            self.database.run("ROLLBACK")?;
            // It hides errors that it met.
            self.watch.after_failure(self.database.connection());
        }
        Ok(())
    }

    /// After a failure: nothing is open, and the position is what the file
    /// has. A commit that failed may yet have committed.
    fn settle_after_failure(&mut self) -> Result<(), StorageError> {
        self.roll_back()?;
        self.standing = position::load(self.database.connection())?;
        if self.standing.schema != self.schema.version {
            let schema = position::load_schema(self.database.connection())?;
            self.take_schema(schema);
        }
        Ok(())
    }

    /// Counts on while the database works, so that a long delivery can be told
    /// from a hung one. Never interrupts.
    pub fn count_work(&mut self, counter: Arc<AtomicU64>) -> Result<(), StorageError> {
        self.work = Some(Arc::clone(&counter));
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        let connection = self.database.connection_mut();
        Ok(connection.progress_handler(STEPS_PER_COUNT, Some(count))?)
    }

    /// Moves the log into the file if it has grown past all measure: beside a
    /// busy writer the checkpointer never comes to its end.
    pub fn bound_log(&self) -> Result<(), StorageError> {
        if self.watch.log_pages() < MAX_LOG_PAGES || self.has_prepared() {
            return Ok(());
        }
        let connection = self.database.connection();
        self.watch.checkpoint(|| {
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            Ok(connection.query_row(sql, [], |_| Ok(()))?)
        })?;
        Ok(())
    }

    /// Makes the chain one that no other replica has, so that the rows are
    /// copied afresh: nobody knows what a foreign hand did to them.
    pub fn distrust(&mut self, random: u128) -> Result<(), StorageError> {
        self.discard()?;
        let mut standing = position::load(self.database.connection())?;
        standing.chain = random;
        position::store(&self.database, &standing)?;
        self.standing = standing;
        Ok(())
    }
}

/// How many of the first entries go in one database transaction: a schema
/// change is alone.
fn run_length(entries: &[Entry<'_>]) -> usize {
    match entries.iter().position(Entry::is_schema) {
        Some(0) => 1,
        Some(others) => others,
        None => entries.len(),
    }
}

/// A connection that may write. Only checkpoints that the watch knows of run.
fn connect(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    gather::register().map_err(StorageError::failed)?;
    let connection = Connection::open_with_flags_and_vfs(path, flags, gather::NAME)?;
    // Of a file that is there already, it changes nothing.
    connection.execute_batch(&format!("PRAGMA page_size = {PAGE_BYTES}"))?;
    file::prepare(&connection)?;
    connection.execute_batch(gather::PRAGMAS)?;
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{CACHE_KIB}; PRAGMA foreign_keys = ON;"
    ))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    Ok(connection)
}

#[cfg(test)]
impl Writer {
    pub(super) fn sql(&self, sql: &str) -> rusqlite::Result<()> {
        self.database.connection().execute_batch(sql)
    }

    pub(super) fn injection(&self) -> std::cell::RefMut<'_, Option<apply::Injection>> {
        self.database.injection.borrow_mut()
    }
}
