//! A hash over rows of a table: the wrapping sum of the hashes of their
//! canonical encodings, so that neither engine nor order matters.
//!
//! A large table is hashed a piece at a time, in the order of its key, each on
//! a snapshot and a connection of its own: what a cache holds says nothing
//! about the file, and no snapshot is held for long. Each row is looked up in
//! the table's indexes as well: damage there would hide it from readers. With
//! the last piece their entries are counted: one that belongs to no row would
//! show what is not there, or refuse what may be.

pub mod outcomes;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Rows, Statement, ToSql};

use super::apply::SideLookup;
use super::{StorageError, file, position, stored_row, values};
use crate::catalog::schema::{IndexColumn, IndexKey, Schema, Table};
use crate::types::encode::{encode_row, encoded_row_hash};
use crate::types::id::{Index, TableId};
use crate::types::{Row, Value};

/// A piece ends once its rows take so many bytes in their canonical encoding.
const PIECE_BYTES: usize = 4 << 20;

/// Rows of a table to hash.
#[derive(Clone, Debug)]
pub struct Piece {
    pub table: TableId,
    /// Behind the row of this key; `None`: from the first.
    pub after: Option<Vec<Value>>,
    /// At most so many rows.
    pub limit: u64,
}

/// What they add up to, at one index.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    pub index: Index,
    pub rows: u64,
    pub hash: u128,
    /// The key of the last row, if others may follow.
    pub last: Option<Vec<Value>>,
}

/// A connection that will hold a snapshot.
pub struct Waiting(Connection);

/// One that holds it.
pub struct Pinned {
    connection: Connection,
    index: Index,
}

impl Waiting {
    pub fn open(path: &Path) -> Result<Waiting, StorageError> {
        Ok(Waiting(file::open_reader(path)?))
    }

    /// Takes the snapshot; quick enough for the writer to wait for.
    pub fn pin(self) -> Result<Pinned, StorageError> {
        self.0.execute_batch("BEGIN")?;
        let index = position::applied(&self.0)?;
        Ok(Pinned {
            connection: self.0,
            index,
        })
    }
}

impl Pinned {
    pub fn index(&self) -> Index {
        self.index
    }

    /// Hashes a piece; `None`: there is no such table.
    pub fn sum(&self, piece: &Piece) -> Result<Option<Sum>, StorageError> {
        let schema = position::load_schema(&self.connection).map_err(|error| match error {
            // It is there, and was readable when it was written.
            StorageError::Failed(message) => StorageError::Unreadable(message),
            other => other,
        })?;
        let Some(table) = schema.table(piece.table) else {
            return Ok(None);
        };
        let limit = i64::try_from(piece.limit).unwrap_or(i64::MAX);
        let mut statement = self
            .connection
            .prepare(&select(table, piece))
            .map_err(damage)?;
        let key = piece.after.iter().flatten().map(values::encode);
        let mut bound: Vec<Box<dyn ToSql + '_>> = Vec::new();
        bound.extend(key.map(|value| Box::new(value) as Box<dyn ToSql>));
        bound.push(Box::new(limit));
        let bound: Vec<&dyn ToSql> = bound.iter().map(|value| &**value).collect();
        let rows = statement.query(bound.as_slice()).map_err(damage)?;
        let mut sum = self.add_up(rows, (table, &schema), piece.limit)?;
        if sum.last.is_none() {
            let entries = self.count_entries(table)?;
            sum.hash = sum.hash.wrapping_add(encoded_row_hash(&entries).0);
        }
        Ok(Some(sum))
    }

    fn add_up(
        &self,
        mut rows: Rows<'_>,
        (table, schema): (&Arc<Table>, &Arc<Schema>),
        limit: u64,
    ) -> Result<Sum, StorageError> {
        let mut sum = Sum {
            index: self.index,
            rows: 0,
            hash: 0,
            last: None,
        };
        let mut bytes = 0;
        let mut encoded = Vec::new();
        let mut lookups = self.lookups(table)?;
        let mut sides = SideLookup::all(&self.connection, table, schema)?;
        while let Some(row) = rows.next().map_err(damage)? {
            let row = stored_row(row, table)
                .map_err(|error| StorageError::Unreadable(error.to_string()))?;
            sum.rows += 1;
            for lookup in &mut lookups {
                lookup.find(&row)?;
            }
            for side in &mut sides {
                if !side.has(&row)? {
                    return Err(lacks_a_row(table));
                }
            }
            encoded.clear();
            encode_row(&row, &mut encoded);
            sum.hash = sum.hash.wrapping_add(encoded_row_hash(&encoded).0);
            bytes += encoded.len();
            if sum.rows >= limit || bytes >= PIECE_BYTES {
                sum.last = Some(key_of(table, &row));
                break;
            }
        }
        Ok(sum)
    }
}

impl Pinned {
    /// Counts the entries of a table's indexes. Every row has one in each over
    /// plain columns: more is damage. How many a side table has is for the
    /// replicas to agree on.
    fn count_entries(&self, table: &Table) -> Result<Vec<u8>, StorageError> {
        let name = super::quote(&table.name);
        // A bare count(*) goes to the smallest index, whatever it is told.
        let count = |from: &str| {
            let sql = format!("SELECT coalesce(sum(1), 0) FROM {from}");
            let read = self.connection.query_row(&sql, [], |row| row.get(0));
            read.map_err(damage)
        };
        let mut rows: Option<i64> = None;
        let mut entries = Vec::new();
        for index in &table.indexes {
            if super::schema::has_side_table(index) {
                let side = super::quote(&super::schema::side_table_name(index.id));
                let found: i64 = count(&side)?;
                entries.extend_from_slice(&found.to_le_bytes());
            }
            if super::schema::create_index(table, index).is_none() {
                continue;
            }
            let own = super::quote(&super::schema::index_name(index.id));
            let found: i64 = count(&format!("{name} INDEXED BY {own}"))?;
            let expected = match rows {
                Some(rows) => rows,
                None => *rows.insert(count(&format!("{name} NOT INDEXED"))?),
            };
            if found != expected {
                return Err(StorageError::Unreadable(format!(
                    "an index of table \"{}\" has {found} entries for {expected} rows",
                    table.name
                )));
            }
        }
        Ok(entries)
    }

    /// One for each index over plain columns.
    fn lookups<'a>(&'a self, table: &'a Table) -> Result<Vec<Lookup<'a>>, StorageError> {
        let mut lookups = Vec::new();
        for index in &table.indexes {
            let place = |part: &IndexColumn| match &part.key {
                IndexKey::Column(id) => table.columns.iter().position(|it| it.id == *id),
                IndexKey::Expression(..) => None,
            };
            let places: Option<Vec<usize>> = index.columns.iter().map(place).collect();
            let Some(mut places) = places else {
                continue;
            };
            places.extend(table.key_positions());
            let conditions = places.iter().enumerate().map(|(number, place)| {
                let name = super::quote(&table.columns[*place].name);
                format!("{name} IS ?{}", number + 1)
            });
            let conditions: Vec<String> = conditions.collect();
            let index = super::quote(&super::schema::index_name(index.id));
            let sql = format!(
                "SELECT 1 FROM {} INDEXED BY {index} WHERE {}",
                super::quote(&table.name),
                conditions.join(" AND ")
            );
            lookups.push(Lookup {
                statement: self.connection.prepare(&sql).map_err(damage)?,
                places,
                table,
            });
        }
        Ok(lookups)
    }
}

/// Finds rows by an index alone.
struct Lookup<'c> {
    statement: Statement<'c>,
    /// Columns of the index, then of the key.
    places: Vec<usize>,
    table: &'c Table,
}

impl Lookup<'_> {
    fn find(&mut self, row: &Row) -> Result<(), StorageError> {
        let values = self.places.iter().filter_map(|place| row.get(*place));
        let bound: Vec<_> = values.map(values::encode).collect();
        let bound: Vec<&dyn ToSql> = bound.iter().map(|value| value as &dyn ToSql).collect();
        match self.statement.exists(bound.as_slice()).map_err(damage)? {
            true => Ok(()),
            false => Err(lacks_a_row(self.table)),
        }
    }
}

fn lacks_a_row(table: &Table) -> StorageError {
    StorageError::Unreadable(format!("an index of table \"{}\" lacks a row", table.name))
}

/// What cannot be read is damaged, unless the reading itself failed.
pub(super) fn damage(error: rusqlite::Error) -> StorageError {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, OperationInterrupted, OutOfMemory,
        SystemIoFailure,
    };
    let failed = matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | OperationInterrupted
                | OutOfMemory
                | SystemIoFailure
        )
    );
    match failed {
        true => StorageError::from(error),
        false => StorageError::Unreadable(super::describe(&error)),
    }
}

fn key_of(table: &Table, row: &Row) -> Vec<Value> {
    let places = super::schema::key_columns(table).into_iter();
    places
        .filter_map(|id| table.columns.iter().position(|column| column.id == id))
        .filter_map(|place| row.get(place).cloned())
        .collect()
}

fn select(table: &Table, piece: &Piece) -> String {
    let key = super::schema::key_columns(table);
    let names = super::schema::names(table, &key);
    let mut sql = format!(
        "SELECT {} FROM {} NOT INDEXED",
        super::schema::all_names(table),
        super::quote(&table.name)
    );
    if let Some(after) = &piece.after {
        let marks = vec!["?"; after.len()].join(", ");
        sql.push_str(&format!(" WHERE ({names}) > ({marks})"));
    }
    if !key.is_empty() {
        sql.push_str(&format!(" ORDER BY {names}"));
    }
    sql.push_str(" LIMIT ?");
    sql
}

#[cfg(test)]
mod tests;

/// All rows of a table.
#[cfg(test)]
pub(super) fn whole(path: &Path, table: TableId) -> Sum {
    let pinned = Waiting::open(path).and_then(Waiting::pin);
    let piece = Piece {
        table,
        after: None,
        limit: u64::MAX,
    };
    let sum = pinned.and_then(|pinned| pinned.sum(&piece));
    sum.expect("it is readable").expect("the table is there")
}
