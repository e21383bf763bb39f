//! A scratch file: the rows that one large open transaction has written.
//!
//! Every change has a number. A table keeps the latest version of each
//! written row, and beside it the versions that later changes took the place
//! of, so that a view of any moment can be read while the transaction goes
//! on, and ROLLBACK TO can go back to it.
//!
//! The file serves one transaction and goes with it; it need not survive
//! anything.

mod layout;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::types::{ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, params_from_iter};

pub use layout::Layout;

use super::file::beside;
use super::{StorageError, collations, values};
use crate::catalog::schema::Table;
use crate::error::{Error, Result, SqlState};
use crate::types::id::TableId;
use crate::types::overlay::SpilledRows;
use crate::types::{Row, Value, encode};

/// Page cache of the connection that writes, in KiB.
const WRITER_CACHE_KIB: i64 = 16_384;

/// Page cache of each connection that reads, in KiB.
const READER_CACHE_KIB: i64 = 2_048;

/// Idle connections that read.
const READERS_IDLE: usize = 4;

/// Rows that a view hands out at a time.
const VIEW_ROWS: usize = 256;

/// Statements kept prepared.
const STATEMENT_CACHE: usize = 256;

/// The file's extension, by which leftovers are known.
const EXTENSION: &str = "scratch";

/// The written rows of one transaction.
pub struct Scratch {
    file: Arc<File>,
    /// Only ever used by the transaction; the lock lets it be shared.
    writer: Mutex<Connection>,
    /// A transaction of the writer is open: views do not see it yet.
    dirty: bool,
    tables: BTreeMap<TableId, Arc<Layout>>,
    /// Layouts that others took the place of, and at which step.
    replaced: Vec<(usize, Arc<Layout>)>,
    /// Layouts made so far; no two share a name.
    layouts: i64,
}

/// What a key is in a scratch file.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// `None`: deleted.
    pub row: Option<Row>,
    /// The change that made it.
    pub number: u64,
}

/// The file itself, gone with its last user.
struct File {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
}

impl Scratch {
    /// Makes an empty file in a directory. `name` is not used there.
    pub fn create(directory: &Path, name: &str) -> Result<Scratch> {
        std::fs::create_dir_all(directory)
            .map_err(|error| failed(&format!("{}: {error}", directory.display())))?;
        let path = directory.join(name).with_extension(EXTENSION);
        let writer = connect(&path, WRITER_CACHE_KIB).map_err(broken)?;
        let setup = writer.execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE uniques (claim BLOB, place INTEGER, key BLOB,
                 PRIMARY KEY (claim, place, key)) WITHOUT ROWID;",
        );
        let file = Arc::new(File {
            path,
            readers: Mutex::default(),
        });
        setup.map_err(broken)?;
        Ok(Scratch {
            file,
            writer: Mutex::new(writer),
            dirty: false,
            tables: BTreeMap::new(),
            replaced: Vec::new(),
            layouts: 0,
        })
    }

    /// Removes what a process that ended has left in a directory.
    pub fn clear(directory: &Path) {
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ours = [EXTENSION, "scratch-wal", "scratch-shm"];
            if ours.iter().any(|end| name.ends_with(end)) {
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// Makes room for a table's rows. Rows are also found quickly by the
    /// columns at each of `searched`.
    pub fn add_table(&mut self, table: &Arc<Table>, searched: &[Vec<usize>]) -> Result<()> {
        if self.tables.contains_key(&table.id) {
            return Ok(());
        }
        self.begin()?;
        self.layouts += 1;
        let layout = Layout::new(table, self.layouts);
        self.writer
            .lock()
            .execute_batch(&layout.create(searched))
            .map_err(broken)?;
        self.tables.insert(table.id, Arc::new(layout));
        Ok(())
    }

    /// Makes room for a table's rows as they lie from a step on; gives the
    /// layout so far, whose rows stay.
    pub fn begin_anew(
        &mut self,
        table: &Arc<Table>,
        searched: &[Vec<usize>],
        step: usize,
    ) -> Result<Arc<Layout>> {
        let old = self.layout(table.id)?;
        self.tables.remove(&table.id);
        self.replaced.push((step, old.clone()));
        self.add_table(table, searched)?;
        Ok(old)
    }

    /// The next latest versions under a layout, in the order of their keys,
    /// behind a key; `live` leaves out what was deleted.
    pub fn versions(
        &self,
        layout: &Layout,
        after: Option<&[Value]>,
        live: bool,
    ) -> Result<Vec<(Vec<Value>, Option<Row>)>> {
        let writer = self.writer.lock();
        let (latest, columns) = (layout.latest(), layout.columns());
        let key = layout.names(layout.key.iter().copied());
        let mut conditions = vec![if live { "_pyql_live" } else { "1" }.to_owned()];
        if let Some(after) = after {
            let places: Vec<String> = (1..=after.len()).map(|n| format!("?{n}")).collect();
            conditions.push(format!("({key}) > ({})", places.join(", ")));
        }
        let sql = format!(
            "SELECT {columns}, _pyql_live, _pyql_number FROM {latest} WHERE {} \
             ORDER BY {key} LIMIT {VIEW_ROWS}",
            conditions.join(" AND ")
        );
        let mut statement = writer.prepare_cached(&sql).map_err(broken)?;
        let after = after.unwrap_or_default().iter().map(values::encode);
        let mut stored = statement.query(params_from_iter(after)).map_err(broken)?;
        let mut versions = Vec::new();
        while let Some(stored) = stored.next().map_err(broken)? {
            let row = layout.version(stored)?.row;
            versions.push((layout.key_of(stored)?, row));
        }
        Ok(versions)
    }

    /// The latest version of a key, if it was written at all.
    pub fn get(&self, table: TableId, key: &[Value]) -> Result<Option<Version>> {
        let layout = self.layout(table)?;
        let writer = self.writer.lock();
        let mut statement = writer.prepare_cached(&layout.get).map_err(broken)?;
        let mut rows = statement.query(params_from_iter(key.iter().map(values::encode)));
        let rows = rows.as_mut().map_err(|error| broken_ref(error))?;
        match rows.next().map_err(broken)? {
            Some(stored) => layout.version(stored).map(Some),
            None => Ok(None),
        }
    }

    /// Adds the first version of a key: `false`, and nothing done, if it has one.
    pub fn add(&mut self, table: TableId, row: &Row, number: u64) -> Result<bool> {
        self.begin()?;
        let layout = self.layout(table)?;
        let writer = self.writer.lock();
        let mut statement = writer.prepare_cached(&layout.insert).map_err(broken)?;
        layout.bind(&mut statement, row, number)?;
        Ok(statement.raw_execute().map_err(broken)? == 1)
    }

    /// Writes the next version of a key; `row` `None` deletes it. `previous`
    /// says that it has a version already.
    pub fn put(
        &mut self,
        table: TableId,
        key: &[Value],
        row: Option<&Row>,
        number: u64,
        previous: bool,
    ) -> Result<()> {
        self.begin()?;
        let layout = self.layout(table)?;
        let writer = self.writer.lock();
        if previous {
            let number = SqlValue::Integer(number as i64);
            let parameters = key.iter().map(values::encode);
            let parameters = parameters.chain([ToSqlOutput::Owned(number)]);
            let mut statement = writer.prepare_cached(&layout.supersede);
            let statement = statement.as_mut().map_err(|error| broken_ref(error))?;
            statement
                .execute(params_from_iter(parameters))
                .map_err(broken)?;
        }
        let mut statement = writer.prepare_cached(&layout.replace).map_err(broken)?;
        match row {
            Some(row) => layout.bind(&mut statement, row, number)?,
            None => layout.bind_deleted(&mut statement, key, number)?,
        }
        statement.raw_execute().map_err(broken)?;
        Ok(())
    }

    /// Deletes all rows that were written of a table; says nothing of others.
    pub fn empty(&mut self, table: TableId, number: u64) -> Result<()> {
        self.begin()?;
        let layout = self.layout(table)?;
        let (latest, older) = (layout.latest(), layout.older());
        let columns = layout.columns();
        let writer = self.writer.lock();
        writer
            .execute(
                &format!(
                    "INSERT INTO {older} ({columns}, _pyql_live, _pyql_number, _pyql_over)
                     SELECT {columns}, _pyql_live, _pyql_number, ?1 FROM {latest}"
                ),
                [number as i64],
            )
            .and_then(|_| writer.execute(&format!("DELETE FROM {latest}"), []))
            .map_err(broken)?;
        Ok(())
    }

    /// Goes back to what was there in a step after the change `number`, when
    /// `has` told which tables had rows.
    pub fn return_to(
        &mut self,
        number: u64,
        step: usize,
        has: impl Fn(TableId) -> bool,
    ) -> Result<()> {
        self.begin()?;
        self.tables.retain(|table, _| has(*table));
        let kept = self.replaced.partition_point(|(made, _)| *made <= step);
        for (_, layout) in self.replaced.drain(kept..).rev() {
            self.tables.insert(layout.table.id, layout);
        }
        for layout in self.tables.values() {
            let (latest, older) = (layout.latest(), layout.older());
            let columns = layout.columns();
            self.writer
                .lock()
                .execute_batch(&format!(
                    "DELETE FROM {latest} WHERE _pyql_number > {number};
                     INSERT INTO {latest} ({columns}, _pyql_live, _pyql_number)
                     SELECT {columns}, _pyql_live, _pyql_number FROM {older}
                     WHERE _pyql_over > {number} AND _pyql_number <= {number};
                     DELETE FROM {older} WHERE _pyql_over > {number};"
                ))
                .map_err(broken)?;
        }
        Ok(())
    }

    /// Remembers that a key may have a unique value.
    pub fn note_unique(&mut self, claim: u128, table: TableId, key: &[Value]) -> Result<()> {
        self.begin()?;
        let mut bytes = Vec::with_capacity(16);
        encode::encode_row(key, &mut bytes);
        let place = self.layout(table)?.number;
        let sql = "INSERT OR IGNORE INTO uniques (claim, place, key) VALUES (?1, ?2, ?3)";
        let writer = self.writer.lock();
        let mut statement = writer.prepare_cached(sql).map_err(broken)?;
        statement
            .execute((&claim.to_be_bytes()[..], place, &bytes))
            .map_err(broken)?;
        Ok(())
    }

    /// The keys that were noted under a unique value; some have it no more.
    pub fn noted(&self, claim: u128, table: TableId) -> Result<Vec<Vec<Value>>> {
        let place = self.layout(table)?.number;
        let sql = "SELECT key FROM uniques WHERE claim = ?1 AND place = ?2";
        let writer = self.writer.lock();
        let mut statement = writer.prepare_cached(sql).map_err(broken)?;
        let keys = statement.query_map((&claim.to_be_bytes()[..], place), |row| {
            row.get::<_, Vec<u8>>(0)
        });
        let keys: rusqlite::Result<Vec<Vec<u8>>> = keys.map_err(broken)?.collect();
        let keys = keys.map_err(broken)?;
        keys.iter().map(|key| encode::decode_row(key)).collect()
    }

    /// All live rows with these values at these places.
    pub fn rows_with(&self, table: TableId, equal: &[(usize, Value)]) -> Result<Vec<Row>> {
        let layout = self.layout(table)?;
        layout.select(&self.writer.lock(), equal, None, u64::MAX, None)
    }

    pub fn count_rows(&self, table: TableId) -> Result<u64> {
        let layout = self.layout(table)?;
        let sql = format!("SELECT count(*) FROM {} WHERE _pyql_live", layout.latest());
        let count: i64 = self
            .writer
            .lock()
            .query_row(&sql, [], |row| row.get(0))
            .map_err(broken)?;
        Ok(count as u64)
    }

    /// What is there after the change `number`, for readers on any thread.
    pub fn view(&mut self, number: u64) -> Result<Arc<dyn SpilledRows>> {
        self.commit()?;
        Ok(Arc::new(View {
            file: self.file.clone(),
            tables: self.tables.clone(),
            number,
        }))
    }

    /// Lets go of what the writer's transaction holds in memory and in its log.
    pub fn commit(&mut self) -> Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.writer.lock().execute_batch("COMMIT").map_err(broken)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        if !self.dirty {
            self.writer.lock().execute_batch("BEGIN").map_err(broken)?;
            self.dirty = true;
        }
        Ok(())
    }

    fn layout(&self, table: TableId) -> Result<Arc<Layout>> {
        let layout = self.tables.get(&table).cloned();
        layout.ok_or_else(|| Error::internal(format!("no scratch rows of table {table}")))
    }
}

/// A moment of a scratch file.
struct View {
    file: Arc<File>,
    tables: BTreeMap<TableId, Arc<Layout>>,
    number: u64,
}

impl SpilledRows for View {
    fn holds(&self, table: TableId, key: &[Value]) -> Result<bool> {
        let Some(layout) = self.tables.get(&table) else {
            return Ok(false);
        };
        self.file.read(|connection| {
            let mut statement = connection.prepare_cached(&layout.holds).map_err(broken)?;
            let number = ToSqlOutput::Owned(SqlValue::Integer(self.number as i64));
            let parameters = key.iter().map(values::encode).chain([number]);
            statement
                .exists(params_from_iter(parameters))
                .map_err(broken)
        })
    }

    fn rows(
        &self,
        table: TableId,
        equal: &[(usize, Value)],
        after: Option<&Row>,
    ) -> Result<Vec<Row>> {
        let Some(layout) = self.tables.get(&table) else {
            return Ok(Vec::new());
        };
        self.file.read(|connection| {
            layout.select(connection, equal, after, self.number, Some(VIEW_ROWS))
        })
    }
}

impl File {
    fn read<T>(&self, body: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.readers.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, READER_CACHE_KIB).map_err(broken)?,
        };
        let outcome = body(&connection);
        let mut readers = self.readers.lock();
        if readers.len() < READERS_IDLE {
            readers.push(connection);
        }
        outcome
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.readers.lock().clear();
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&self.path, end));
        }
    }
}

fn connect(path: &Path, cache_kib: i64) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; \
         PRAGMA busy_timeout = 2000;"
    ))?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    collations::register(&connection)?;
    Ok(connection)
}

fn broken(error: rusqlite::Error) -> Error {
    broken_ref(&error)
}

fn broken_ref(error: &rusqlite::Error) -> Error {
    failed(&super::describe(error))
}

fn failed(message: &str) -> Error {
    let error = StorageError::failed(message);
    Error::new(
        SqlState::IO_ERROR,
        format!("the transaction's rows cannot be kept: {error}"),
    )
}

#[cfg(test)]
mod tests;
