//! Unique keys that count only when the transaction ends.
//!
//! SQLite cannot put them off: their indexes refuse nothing, and the keys
//! that a transaction wrote are looked up when it is done.

use std::sync::Arc;

use rusqlite::params_from_iter;

use super::database::Database;
use super::table::{StoredTable, Unique, UniquePart};
use super::violation::duplicate_of;
use super::{Done, Stop};
use crate::engine::sqlite::{quote, values};
use crate::types::id::TableId;
use crate::types::{Row, Value};

/// Keys remembered one by one; past this whole tables are looked at.
const KEYS_MAX: usize = 100_000;

/// The keys that a transaction wrote.
#[derive(Default)]
pub(super) struct Late {
    keys: Vec<(Arc<StoredTable>, usize, Vec<Value>)>,
    /// Tables of which every key is looked at.
    whole: Vec<Arc<StoredTable>>,
}

impl Late {
    pub(super) fn note(&mut self, table: &Arc<StoredTable>, row: &[Value]) -> Done<()> {
        let is_whole = |id: TableId| self.whole.iter().any(|table| table.table.id == id);
        if is_whole(table.table.id) {
            return Ok(());
        }
        if self.keys.len() >= KEYS_MAX {
            for (table, ..) in std::mem::take(&mut self.keys) {
                if !self.whole.iter().any(|it| it.table.id == table.table.id) {
                    self.whole.push(table);
                }
            }
            if !self.whole.iter().any(|it| it.table.id == table.table.id) {
                self.whole.push(table.clone());
            }
            return Ok(());
        }
        for (place, unique) in table.uniques.iter().enumerate() {
            if unique.deferrable
                && let Some(values) = unique.values(row)?
            {
                self.keys.push((table.clone(), place, values));
            }
        }
        Ok(())
    }

    /// Refuses if two rows have one of the keys.
    pub(super) fn check(&self, database: &Database) -> Done<()> {
        for (table, place, values) in &self.keys {
            let unique = &table.uniques[*place];
            let same: Vec<String> = columns(table, unique)
                .iter()
                .enumerate()
                .map(|(number, column)| format!("{column} IS ?{}", number + 1))
                .collect();
            let sql = format!(
                "SELECT 1 FROM {} WHERE {} LIMIT 1 OFFSET 1",
                quote(&table.table.name),
                same.join(" AND ")
            );
            let parameters = params_from_iter(values.iter().map(values::encode));
            if database.first(&sql, parameters, |_| Ok(()))?.is_some() {
                return Err(refused(table, unique, values));
            }
        }
        for table in &self.whole {
            for unique in table.uniques.iter().filter(|unique| unique.deferrable) {
                check_all(database, table, unique)?;
            }
        }
        Ok(())
    }
}

/// Refuses if any two rows of the table have the same key.
fn check_all(database: &Database, table: &StoredTable, unique: &Unique) -> Done<()> {
    let columns = columns(table, unique);
    let nulls = match unique.nulls_not_distinct {
        true => String::new(),
        false => {
            let known: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
            format!("WHERE {}", known.join(" AND "))
        }
    };
    let all: Vec<String> = table.table.columns.iter().map(|c| quote(&c.name)).collect();
    let sql = format!(
        "SELECT {} FROM {} {nulls} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
        all.join(", "),
        quote(&table.table.name),
        columns.join(", ")
    );
    let read = |row: &rusqlite::Row<'_>| Ok(crate::engine::sqlite::stored_row(row, &table.table));
    let found = database.first(&sql, [], read)?;
    let found: Option<Row> = found
        .transpose()
        .map_err(|error| Stop::Storage(error.to_string()))?;
    match found.map(|row| unique.values(&row)).transpose()?.flatten() {
        Some(values) => Err(refused(table, unique, &values)),
        None => Ok(()),
    }
}

fn columns(table: &StoredTable, unique: &Unique) -> Vec<String> {
    let places = unique.parts.iter().filter_map(|part| match part {
        UniquePart::Column(place) => Some(quote(&table.table.columns[*place].name)),
        UniquePart::Expression(..) => None,
    });
    places.collect()
}

fn refused(table: &StoredTable, unique: &Unique, values: &[Value]) -> Stop {
    Stop::Refused(Box::new(duplicate_of(table, unique, values)))
}
