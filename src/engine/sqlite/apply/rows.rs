//! The kinds of write, row by row.

use std::sync::Arc;

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, params_from_iter};

use super::database::is_constraint;
use super::foreign::Touched;
use super::side::{self, Entered};
use super::table::StoredTable;
use super::violation::{check_conditions, check_match, check_not_null, failure, find_duplicate};
use super::{Done, Running, Stop};
use crate::engine::sqlite::{stored_row, values};
use crate::error::SqlState;
use crate::types::encode::row_hash;
use crate::types::id::TableId;
use crate::types::write::{Assigned, Assignment, RowChange};
use crate::types::{Row, Value};

impl Running<'_> {
    /// Point insert of whole rows.
    pub(super) fn insert(&mut self, id: TableId, rows: &[Row]) -> Done<u64> {
        let table = self.table(id)?;
        let mut insert = self.database.prepare(&table.insert)?;
        for row in rows {
            check_not_null(&table, row)?;
            check_conditions(&table, row)?;
            self.add_row_by(&mut insert, &table, row)?;
            self.after_image(row);
        }
        Ok(rows.len() as u64)
    }

    /// Point update of the row of this key, if there is one.
    pub(super) fn update(&mut self, id: TableId, key: &[Value], set: &[Assignment]) -> Done<u64> {
        let table = self.table(id)?;
        let Some(before) = self.find_row(&table, key)? else {
            return Ok(0);
        };
        let mut after = before.clone();
        for assignment in set {
            let place = usize::from(assignment.column);
            let Some(column) = table.table.columns.get(place) else {
                return Err(Stop::Storage(format!("no column {place} to assign")));
            };
            after[place] = match &assignment.value {
                Assigned::Constant(value) => value.clone(),
                Assigned::Expression { text, parameters } => table
                    .expression(text, self.tables.schema())?
                    .assign(&before, parameters, &column.ty)?,
            };
        }
        check_not_null(&table, &after)?;
        check_conditions(&table, &after)?;
        self.change_row(&table, before, &after)?;
        self.after_image(&after);
        Ok(1)
    }

    /// Point delete of the row of this key, if there is one.
    pub(super) fn delete(&mut self, id: TableId, key: &[Value]) -> Done<u64> {
        let table = self.table(id)?;
        if !table.has_side_tables() && table.children.is_empty() {
            let parameters = params_from_iter(key.iter().map(values::encode));
            return Ok(self.database.execute(&table.delete, parameters)? as u64);
        }
        let Some(before) = self.find_row(&table, key)? else {
            return Ok(0);
        };
        self.remove_row(&table, before)?;
        Ok(1)
    }

    /// Evaluated rows: checked against what they were computed from, then
    /// removed and moved, changed in place, added.
    pub(super) fn change_rows(&mut self, id: TableId, changes: &[RowChange]) -> Done<u64> {
        let table = self.table(id)?;
        let mut befores = Vec::with_capacity(changes.len());
        for change in changes {
            if let Some(after) = &change.after {
                check_not_null(&table, after)?;
            }
            befores.push(self.check_before(&table, change)?);
        }
        let moves = moving(&table, changes, &befores);
        let mut added = Vec::new();
        let mut in_place = Vec::new();
        for (place, (change, before)) in changes.iter().zip(befores).enumerate() {
            match (before, &change.after) {
                (Some(before), Some(after)) if !moves[place] => in_place.push((before, after)),
                (Some(before), after) => {
                    self.remove_row(&table, before)?;
                    added.extend(after);
                }
                (None, after) => added.extend(after),
            }
        }
        for (before, after) in in_place {
            self.change_row(&table, before, after)?;
        }
        for row in added {
            self.add_row(&table, row)?;
        }
        for row in changes.iter().filter_map(|change| change.after.as_ref()) {
            self.after_image(row);
        }
        Ok(changes.len() as u64)
    }

    pub(super) fn truncate(&mut self, tables: &[TableId]) -> Done<u64> {
        let mut rows = 0;
        for id in tables {
            let table = self.table(*id)?;
            let name = crate::engine::sqlite::quote(&table.table.name);
            rows += self.database.execute(&format!("DELETE FROM {name}"), [])?;
            for side in table.uniques.iter().filter_map(|u| u.side_table.as_ref()) {
                let side = crate::engine::sqlite::quote(side);
                self.database.execute(&format!("DELETE FROM {side}"), [])?;
            }
        }
        Ok(rows as u64)
    }

    /// The row before a change, if it is still what the change was computed from.
    fn check_before(&self, table: &StoredTable, change: &RowChange) -> Done<Option<Row>> {
        let Some(expected) = change.before else {
            return Ok(None);
        };
        match self.find_row(table, &change.key)? {
            Some(row) if row_hash(&row) == expected => Ok(Some(row)),
            _ => Err(Stop::Refused(Box::new(failure(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to concurrent update".to_owned(),
            )))),
        }
    }

    fn find_row(&self, table: &StoredTable, key: &[Value]) -> Done<Option<Row>> {
        if key.len() != table.key.len() {
            return Err(Stop::Storage(format!(
                "a key of {} has {} values",
                table.table.name,
                key.len()
            )));
        }
        let parameters = params_from_iter(key.iter().map(values::encode));
        let read = |row: &rusqlite::Row<'_>| Ok(stored_row(row, &table.table));
        let found = self.database.first(&table.select, parameters, read)?;
        // A row that cannot be read is this replica's failure, whatever its SQLSTATE.
        found
            .transpose()
            .map_err(|error| Stop::Storage(error.to_string()))
    }

    fn add_row(&mut self, table: &Arc<StoredTable>, row: &Row) -> Done<()> {
        let mut insert = self.database.prepare(&table.insert)?;
        self.add_row_by(&mut insert, table, row)
    }

    fn add_row_by(
        &mut self,
        insert: &mut CachedStatement<'_>,
        table: &Arc<StoredTable>,
        row: &Row,
    ) -> Done<()> {
        check_match(table, row)?;
        let parameters = params_from_iter(row.iter().map(values::encode));
        match self.database.execute_by(insert, parameters) {
            Ok(_) => {}
            Err(error) if is_constraint(&error) => {
                return Err(self.duplicate(table, row, None, &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        self.enter(table, row)?;
        self.note_late(table, row)?;
        self.touch(table, None, Some(row));
        Ok(())
    }

    fn change_row(&mut self, table: &Arc<StoredTable>, before: Row, after: &Row) -> Done<()> {
        check_match(table, after)?;
        let changed: Vec<usize> = (0..after.len())
            .filter(|place| before[*place] != after[*place])
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        if table.has_side_tables() {
            side::leave(self.database, table, &before)?;
        }
        let own: Vec<Value> = table
            .key
            .iter()
            .map(|place| before[*place].clone())
            .collect();
        let set = changed.iter().map(|place| values::encode(&after[*place]));
        let parameters: Vec<ToSqlOutput<'_>> = set.chain(own.iter().map(values::encode)).collect();
        let sql = table.update(&changed);
        match self.database.execute(&sql, params_from_iter(parameters)) {
            Ok(1) => {}
            Ok(rows) => return Err(Stop::Storage(format!("an update met {rows} rows"))),
            Err(error) if is_constraint(&error) => {
                return Err(self.duplicate(table, after, Some(&own), &error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        self.enter(table, after)?;
        self.note_late(table, after)?;
        self.touch(table, Some(before), Some(after));
        Ok(())
    }

    fn remove_row(&mut self, table: &Arc<StoredTable>, before: Row) -> Done<()> {
        if table.has_side_tables() {
            side::leave(self.database, table, &before)?;
        }
        let key = table
            .key
            .iter()
            .map(|place| values::encode(&before[*place]));
        match self
            .database
            .execute(&table.delete, params_from_iter(key))?
        {
            1 => {}
            rows => return Err(Stop::Storage(format!("a delete met {rows} rows"))),
        }
        self.touch(table, Some(before), None);
        Ok(())
    }

    fn note_late(&mut self, table: &Arc<StoredTable>, row: &Row) -> Done<()> {
        match table.has_deferrable() {
            true => self.late.note(table, row),
            false => Ok(()),
        }
    }

    /// Adds side entries of a row that is in its table already.
    fn enter(&self, table: &StoredTable, row: &Row) -> Done<()> {
        if !table.has_side_tables() {
            return Ok(());
        }
        match side::enter(self.database, table, row)? {
            Entered::Yes => Ok(()),
            Entered::Taken => {
                let own: Vec<Value> = table.key.iter().map(|p| row[*p].clone()).collect();
                Err(self.duplicate(table, row, Some(&own), "a side table refused"))
            }
        }
    }

    /// What a refused statement broke.
    fn duplicate(
        &self,
        table: &StoredTable,
        row: &Row,
        own: Option<&[Value]>,
        message: &str,
    ) -> Stop {
        if !self.database.in_transaction() {
            return Stop::Storage(format!("{message}; the transaction ended"));
        }
        match find_duplicate(self.database, table, row, own) {
            Ok(Some(failure)) => Stop::Refused(failure),
            Ok(None) => Stop::Storage(format!("no duplicate explains: {message}")),
            Err(stop) => stop,
        }
    }

    fn touch(&mut self, table: &Arc<StoredTable>, before: Option<Row>, after: Option<&Row>) {
        if table.has_references() {
            self.touched.push(Touched {
                table: Arc::clone(table),
                before,
                after: after.cloned(),
            });
        }
    }
}

/// Which changes must be removed and added rather than made in place: those
/// that change their key, and, where several rows change a unique value, all
/// that do, since one may take what another has yet to leave.
fn moving(table: &StoredTable, changes: &[RowChange], befores: &[Option<Row>]) -> Vec<bool> {
    let pairs = || {
        let both = changes.iter().zip(befores);
        both.map(|(change, before)| before.as_ref().zip(change.after.as_ref()))
    };
    let key_moves = |(before, after): (&Row, &Row)| {
        let mut places = table.key.iter();
        places.any(|place| before[*place] != after[*place])
    };
    let unique_moves = |(before, after): (&Row, &Row)| {
        let places = 0..before.len();
        let mut changed = places.filter(|place| before[*place] != after[*place]);
        changed.any(|place| table.is_in_unique(place))
    };
    let several = changes.len() > 1;
    pairs()
        .map(|pair| pair.is_some_and(|pair| key_moves(pair) || (several && unique_moves(pair))))
        .collect()
}
