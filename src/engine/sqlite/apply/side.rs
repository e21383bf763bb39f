//! Side tables: unique indexes that SQLite cannot express.
//!
//! An entry is the canonical key encoding of the index's values, its owner
//! that of the row's primary key. A row whose condition does not hold, or
//! with a NULL in it (unless nulls are not distinct), has no entry.

use std::sync::Arc;

use rusqlite::params;

use super::database::{Database, is_constraint};
use super::table::{self, StoredTable, Unique, UniquePart};
use super::{Done, Stop};
use crate::catalog::schema::{Index, Schema, Table};
use crate::engine::sqlite::hash::damage;
use crate::engine::sqlite::schema::{all_names, has_side_table, side_table_name};
use crate::engine::sqlite::{StorageError, quote, stored_row};
use crate::error::Result;
use crate::types::Value;
use crate::types::encode::encode_key;

impl Unique {
    /// The values that must be unique, or `None` for a row that is not in the index.
    pub(super) fn values(&self, row: &[Value]) -> Result<Option<Vec<Value>>> {
        if let Some(predicate) = &self.predicate
            && predicate.evaluate(row, &[])? != Value::Bool(true)
        {
            return Ok(None);
        }
        let mut values = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            values.push(match part {
                UniquePart::Column(place) => row[*place].clone(),
                UniquePart::Expression(expression, _) => expression.evaluate(row, &[])?,
            });
        }
        let distinct = !self.nulls_not_distinct && values.iter().any(Value::is_null);
        Ok((!distinct).then_some(values))
    }
}

/// Whether each entry could be made; the place of the unique that refused.
pub(super) enum Entered {
    Yes,
    Taken,
}

/// Adds a new row's entries.
pub(super) fn enter(database: &Database, table: &StoredTable, row: &[Value]) -> Done<Entered> {
    for unique in &table.uniques {
        let Some(side) = &unique.side_table else {
            continue;
        };
        let Some(values) = unique.values(row)? else {
            continue;
        };
        let sql = format!("INSERT INTO {} VALUES (?1, ?2)", quote(side));
        match database.execute(&sql, params![encode_key(&values), owner(table, row)]) {
            Ok(_) => {}
            Err(error) if is_constraint(&error) => return Ok(Entered::Taken),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Entered::Yes)
}

/// Makes all entries of a side table from the rows that are there.
pub(in crate::engine::sqlite) fn fill(
    database: &Database,
    table: &Arc<Table>,
    schema: &Arc<Schema>,
    index: &Index,
) -> Result<(), StorageError> {
    let failed = |stop: Stop| match stop {
        Stop::Storage(message) => StorageError::Failed(message),
        Stop::Refused(failure) => StorageError::Failed(failure.message),
    };
    let unique = table::unique(index, table, schema).map_err(|e| failed(e.into()))?;
    let key = table.key_positions();
    let select = format!("SELECT {} FROM {}", all_names(table), quote(&table.name));
    let insert = format!(
        "INSERT INTO {} VALUES (?1, ?2)",
        quote(&side_table_name(index.id))
    );
    let mut statement = database.connection().prepare(&select)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = stored_row(row, table).map_err(|e| failed(e.into()))?;
        if let Some(values) = unique.values(&row).map_err(|e| failed(e.into()))? {
            let owner: Vec<Value> = key.iter().map(|place| row[*place].clone()).collect();
            database.execute(&insert, params![encode_key(&values), encode_key(&owner)])?;
        }
    }
    Ok(())
}

/// Finds the entries of rows in one side table.
pub(in crate::engine::sqlite) struct SideLookup<'c> {
    unique: Unique,
    key: Vec<usize>,
    statement: rusqlite::Statement<'c>,
}

impl<'c> SideLookup<'c> {
    /// One for each side table of a table.
    pub(in crate::engine::sqlite) fn all(
        connection: &'c rusqlite::Connection,
        table: &Arc<Table>,
        schema: &Arc<Schema>,
    ) -> Result<Vec<SideLookup<'c>>, StorageError> {
        let sided = table.indexes.iter().filter(|index| has_side_table(index));
        let lookup = |index: &Index| {
            let unique = table::unique(index, table, schema);
            let side = quote(&side_table_name(index.id));
            let sql = format!("SELECT 1 FROM {side} WHERE entry = ?1 AND owner = ?2");
            Ok(SideLookup {
                unique: unique.map_err(|error| StorageError::failed(error.to_string()))?,
                key: table.key_positions(),
                statement: connection.prepare(&sql).map_err(damage)?,
            })
        };
        sided.map(lookup).collect()
    }

    /// Whether a row has its entry, if it needs one.
    pub(in crate::engine::sqlite) fn has(&mut self, row: &[Value]) -> Result<bool, StorageError> {
        let values = self.unique.values(row);
        let values = values.map_err(|error| StorageError::failed(error.to_string()))?;
        let Some(values) = values else {
            return Ok(true);
        };
        let owner: Vec<Value> = self.key.iter().map(|place| row[*place].clone()).collect();
        let entry = params![encode_key(&values), encode_key(&owner)];
        self.statement.exists(entry).map_err(damage)
    }
}

/// Removes a row's entries.
pub(super) fn leave(database: &Database, table: &StoredTable, row: &[Value]) -> Done<()> {
    for unique in &table.uniques {
        let Some(side) = &unique.side_table else {
            continue;
        };
        let Some(values) = unique.values(row)? else {
            continue;
        };
        let sql = format!("DELETE FROM {} WHERE entry = ?1", quote(side));
        if database.execute(&sql, [encode_key(&values)])? != 1 {
            return Err(Stop::Storage(format!("{} lacks an entry", unique.name)));
        }
    }
    Ok(())
}

/// Whether another row than `own` has these values.
pub(super) fn is_taken(
    database: &Database,
    side: &str,
    values: &[Value],
    own: Option<&[u8]>,
) -> Done<bool> {
    let sql = format!("SELECT owner FROM {} WHERE entry = ?1", quote(side));
    let owner: Option<Vec<u8>> = database.first(&sql, [encode_key(values)], |row| row.get(0))?;
    Ok(owner.is_some_and(|owner| Some(owner.as_slice()) != own))
}

/// The encoding of a row's own key.
pub(super) fn owner(table: &StoredTable, row: &[Value]) -> Vec<u8> {
    let key: Vec<Value> = table.key.iter().map(|place| row[*place].clone()).collect();
    encode_key(&key)
}
