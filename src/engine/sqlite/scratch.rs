//! A scratch file: the rows that one large open transaction has written.
//!
//! Every change has a number. A table keeps the latest version of each
//! written row, and beside it the versions that later changes took the place
//! of, so that a view of any moment can be read while the transaction goes
//! on, and ROLLBACK TO can go back to it.
//!
//! The file serves one transaction and goes with it; it need not survive
//! anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::types::{ToSql, ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, Statement, params_from_iter};

use super::schema::storage_type;
use super::{StorageError, collations, quote, stored_row, values};
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

/// How a table lies in the file.
pub struct Layout {
    number: i64,
    table: Arc<Table>,
    key: Vec<usize>,
    insert: String,
    replace: String,
    supersede: String,
    get: String,
    holds: String,
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
            let mut path = self.path.clone().into_os_string();
            path.push(end);
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Layout {
    fn new(table: &Arc<Table>, number: i64) -> Layout {
        let mut layout = Layout {
            number,
            table: table.clone(),
            key: table.key_positions(),
            insert: String::new(),
            replace: String::new(),
            supersede: String::new(),
            get: String::new(),
            holds: String::new(),
        };
        let (columns, latest, older) = (layout.columns(), layout.latest(), layout.older());
        let width = table.columns.len();
        let places: Vec<String> = (1..=width + 2).map(|place| format!("?{place}")).collect();
        let places = places.join(", ");
        let all = format!("{columns}, _pyql_live, _pyql_number");
        layout.insert = format!("INSERT OR IGNORE INTO {latest} ({all}) VALUES ({places})");
        layout.replace = format!("INSERT OR REPLACE INTO {latest} ({all}) VALUES ({places})");
        let has_key = layout.has_key();
        let next = layout.key.len() + 1;
        layout.supersede = format!(
            "INSERT INTO {older} ({all}, _pyql_over) SELECT {all}, ?{next} FROM {latest} WHERE {has_key}"
        );
        layout.get = format!("SELECT {all} FROM {latest} WHERE {has_key}");
        layout.holds = format!(
            "SELECT 1 FROM {latest} WHERE {has_key} AND _pyql_number <= ?{next} UNION ALL \
             SELECT 1 FROM {older} WHERE {has_key} AND _pyql_number <= ?{next} AND _pyql_over > ?{next}"
        );
        layout
    }

    fn latest(&self) -> String {
        format!("latest_{}", self.number)
    }

    fn older(&self) -> String {
        format!("older_{}", self.number)
    }

    fn columns(&self) -> String {
        self.names(0..self.table.columns.len())
    }

    fn names(&self, places: impl IntoIterator<Item = usize>) -> String {
        let names = places.into_iter().map(|place| self.name(place));
        names.collect::<Vec<_>>().join(", ")
    }

    fn name(&self, place: usize) -> String {
        quote(&self.table.columns[place].name)
    }

    fn has_key(&self) -> String {
        let parts = self.key.iter().zip(1..);
        let parts = parts.map(|(place, number)| format!("{} = ?{number}", self.name(*place)));
        parts.collect::<Vec<_>>().join(" AND ")
    }

    fn create(&self, searched: &[Vec<usize>]) -> String {
        let columns: Vec<String> = (0..self.table.columns.len())
            .map(|place| {
                let ty = storage_type(&self.table.columns[place].ty);
                format!("{} {ty}", self.name(place))
            })
            .collect();
        let (columns, key) = (columns.join(", "), self.names(self.key.iter().copied()));
        let (latest, older) = (self.latest(), self.older());
        let both = format!("{columns}, _pyql_live INTEGER, _pyql_number INTEGER");
        let mut sql = format!(
            "CREATE TABLE {latest} ({both}, PRIMARY KEY ({key})) WITHOUT ROWID;
             CREATE TABLE {older} ({both}, _pyql_over INTEGER,
                 PRIMARY KEY ({key}, _pyql_over)) WITHOUT ROWID;"
        );
        for (number, places) in searched.iter().enumerate() {
            let names = self.names(places.iter().copied());
            sql.push_str(&format!(
                "CREATE INDEX {latest}_{number} ON {latest} ({names});"
            ));
        }
        sql
    }

    fn bind(&self, statement: &mut Statement<'_>, row: &Row, number: u64) -> Result<()> {
        let bound = row.iter().map(values::encode).chain(marks(true, number));
        bind(statement, bound)
    }

    fn bind_deleted(
        &self,
        statement: &mut Statement<'_>,
        key: &[Value],
        number: u64,
    ) -> Result<()> {
        let mut row = vec![Value::Null; self.table.columns.len()];
        for (place, value) in self.key.iter().zip(key) {
            row[*place] = value.clone();
        }
        let bound = row.iter().map(values::encode).chain(marks(false, number));
        bind(statement, bound)
    }

    fn key_of(&self, stored: &rusqlite::Row<'_>) -> Result<Vec<Value>> {
        let part = |place: &usize| {
            let value = stored.get_ref(*place).map_err(broken)?;
            values::decode(value, &self.table.columns[*place].ty)
        };
        self.key.iter().map(part).collect()
    }

    fn version(&self, stored: &rusqlite::Row<'_>) -> Result<Version> {
        let width = self.table.columns.len();
        let live: bool = stored.get(width).map_err(broken)?;
        let number: i64 = stored.get(width + 1).map_err(broken)?;
        Ok(Version {
            row: match live {
                true => Some(stored_row(stored, &self.table)?),
                false => None,
            },
            number: number as u64,
        })
    }

    /// Live rows after the change `number`, in the order of their keys.
    fn select(
        &self,
        connection: &Connection,
        equal: &[(usize, Value)],
        after: Option<&Row>,
        number: u64,
        limit: Option<usize>,
    ) -> Result<Vec<Row>> {
        let columns = self.columns();
        let key = self.names(self.key.iter().copied());
        let mut bound: Vec<ToSqlOutput<'_>> = Vec::new();
        let mut conditions = String::from("_pyql_live");
        for (place, value) in equal {
            bound.push(values::encode(value));
            conditions.push_str(&format!(" AND {} = ?{}", self.name(*place), bound.len()));
        }
        if let Some(after) = after {
            let first = bound.len() + 1;
            bound.extend(self.key.iter().map(|place| values::encode(&after[*place])));
            let places: Vec<String> = (first..=bound.len()).map(|n| format!("?{n}")).collect();
            conditions.push_str(&format!(" AND ({key}) > ({})", places.join(", ")));
        }
        let (latest, older) = (self.latest(), self.older());
        let mut sql = format!("SELECT {columns} FROM {latest} WHERE {conditions}");
        if number != u64::MAX {
            bound.push(ToSqlOutput::Owned(SqlValue::Integer(number as i64)));
            let n = bound.len();
            sql.push_str(&format!(
                " AND _pyql_number <= ?{n} UNION ALL SELECT {columns} FROM {older} \
                 WHERE {conditions} AND _pyql_number <= ?{n} AND _pyql_over > ?{n}"
            ));
        }
        if let Some(limit) = limit {
            let order: Vec<String> = self
                .key
                .iter()
                .map(|place| (place + 1).to_string())
                .collect();
            sql.push_str(&format!(" ORDER BY {} LIMIT {limit}", order.join(", ")));
        }
        let mut statement = connection.prepare_cached(&sql).map_err(broken)?;
        let mut stored = statement.query(params_from_iter(bound)).map_err(broken)?;
        let mut rows = Vec::new();
        while let Some(row) = stored.next().map_err(broken)? {
            rows.push(stored_row(row, &self.table)?);
        }
        Ok(rows)
    }
}

fn marks(live: bool, number: u64) -> [ToSqlOutput<'static>; 2] {
    [i64::from(live), number as i64].map(|mark| ToSqlOutput::Owned(SqlValue::Integer(mark)))
}

fn bind<'a>(
    statement: &mut Statement<'_>,
    bound: impl Iterator<Item = ToSqlOutput<'a>>,
) -> Result<()> {
    for (value, place) in bound.zip(1..) {
        statement
            .raw_bind_parameter(place, &value as &dyn ToSql)
            .map_err(broken)?;
    }
    Ok(())
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
mod tests {
    use super::*;
    use crate::catalog::schema::{Column, Namespace, PrimaryKey};
    use crate::types::Type;
    use crate::types::id::{ColumnId, ObjectId};

    const T: TableId = TableId(7);

    /// t(k numeric, n int, primary key (k))
    fn table() -> Arc<Table> {
        let column = |id, name: &str, ty| Column {
            id: ColumnId(id),
            name: name.to_owned(),
            ty,
            not_null: false,
            default: None,
            identity: None,
            hidden: false,
        };
        Arc::new(Table {
            id: T,
            namespace: Namespace::Public,
            name: "t".to_owned(),
            next_column: 3,
            columns: vec![
                column(1, "k", Type::Numeric(None)),
                column(2, "n", Type::Int4),
            ],
            key: PrimaryKey::Declared {
                id: ObjectId(9),
                name: "t_pkey".to_owned(),
                columns: vec![ColumnId(1)],
                include: Vec::new(),
            },
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        })
    }

    fn key(k: &str) -> Vec<Value> {
        vec![Value::Numeric(k.parse().unwrap())]
    }

    fn row(k: &str, n: i64) -> Row {
        vec![key(k)[0].clone(), Value::Int(n)]
    }

    fn seen(view: &Arc<dyn SpilledRows>) -> Vec<i64> {
        let mut numbers = Vec::new();
        let mut after: Option<Row> = None;
        loop {
            let rows = view.rows(T, &[], after.as_ref()).unwrap();
            let Some(last) = rows.last() else {
                return numbers;
            };
            after = Some(last.clone());
            numbers.extend(rows.iter().map(|row| match row[1] {
                Value::Int(n) => n,
                _ => panic!("an integer"),
            }));
        }
    }

    #[test]
    fn a_view_stays_and_a_return_takes_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::create(directory.path(), "one").unwrap();
        scratch.add_table(&table(), &[vec![1]]).unwrap();
        assert!(scratch.add(T, &row("1", 10), 1).unwrap());
        assert!(!scratch.add(T, &row("1.0", 11), 2).unwrap(), "1 is 1.0");
        assert!(scratch.add(T, &row("2", 20), 2).unwrap());
        let early = scratch.view(2).unwrap();
        scratch
            .put(T, &key("1"), Some(&row("1", 12)), 3, true)
            .unwrap();
        scratch.put(T, &key("2"), None, 4, true).unwrap();
        scratch.put(T, &key("3"), None, 5, false).unwrap();
        let late = scratch.view(5).unwrap();
        assert_eq!(seen(&early), [10, 20]);
        assert_eq!(seen(&late), [12]);
        assert!(late.holds(T, &key("3.00")).unwrap());
        assert!(!early.holds(T, &key("3")).unwrap());
        assert!(early.holds(T, &key("2")).unwrap());
        assert_eq!(late.rows(T, &[(1, Value::Int(12))], None).unwrap().len(), 1);
        assert_eq!(late.rows(T, &[(1, Value::Int(10))], None).unwrap().len(), 0);
        scratch.empty(T, 6).unwrap();
        scratch.add(T, &row("4", 40), 7).unwrap();
        assert_eq!(seen(&scratch.view(7).unwrap()), [40]);
        assert_eq!(seen(&late), [12]);
        scratch.return_to(6, 0, |_| true).unwrap();
        assert_eq!(scratch.count_rows(T).unwrap(), 0);
        scratch.return_to(3, 0, |_| true).unwrap();
        assert_eq!(seen(&scratch.view(3).unwrap()), [12, 20]);
        let again = scratch.get(T, &key("1")).unwrap();
        assert_eq!(again.map(|version| version.number), Some(3));
        scratch.return_to(0, 0, |_| true).unwrap();
        assert_eq!(scratch.get(T, &key("1")).unwrap(), None);
        drop((early, late));
        drop(scratch);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_long_view_comes_in_the_order_of_its_keys() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("old.scratch-wal"), "x").unwrap();
        Scratch::clear(directory.path());
        let mut scratch = Scratch::create(directory.path(), "one").unwrap();
        scratch.add_table(&table(), &[]).unwrap();
        for n in 0..1000_u64 {
            let k = (n * 7 % 1000) as i64;
            let added = scratch.add(T, &row(&k.to_string(), k), n + 1).unwrap();
            assert!(added);
        }
        let view = scratch.view(1000).unwrap();
        for n in 0..1000_u64 {
            let k = n.to_string();
            let number = 1001 + n;
            scratch
                .put(T, &key(&k), Some(&row(&k, 5000)), number, true)
                .unwrap();
            if n == 500 {
                scratch.commit().unwrap();
            }
        }
        assert_eq!(seen(&view), (0..1000).collect::<Vec<i64>>());
        let after = scratch.view(1500).unwrap();
        assert_eq!(seen(&after).iter().filter(|n| **n == 5000).count(), 500);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }
}
