//! Constraint violations in PostgreSQL's words.
//!
//! SQLite's own messages are not trusted: what a row breaks is looked up, in
//! the order in which PostgreSQL would have found it.

use rusqlite::params_from_iter;

use super::database::Database;
use super::side;
use super::table::{StoredTable, Unique, UniquePart, conditions};
use super::{Done, Stop};
use crate::catalog::schema::{ForeignKey, Table};
use crate::engine::sqlite::{quote, values};
use crate::error::SqlState;
use crate::types::settings::{Io, Settings};
use crate::types::write::Failure;
use crate::types::{Type, Value, text};

/// PostgreSQL cuts each value of a failing row after this many bytes.
const SHOWN_BYTES: usize = 64;

pub(super) fn failure(state: SqlState, message: String) -> Failure {
    Failure {
        state: state.0,
        message,
        detail: None,
        table: None,
        column: None,
        constraint: None,
    }
}

/// NOT NULL of every column, then MATCH FULL of foreign keys is left to [`check_match`].
pub(super) fn check_not_null(table: &StoredTable, row: &[Value]) -> Done<()> {
    if row.len() != table.table.columns.len() {
        return Err(Stop::Storage(format!(
            "a row of {} has {} values",
            table.table.name,
            row.len()
        )));
    }
    for (place, (column, value)) in table.table.columns.iter().zip(row).enumerate() {
        if value.is_null() && (column.not_null || table.key.contains(&place)) {
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                column.name, table.table.name
            );
            return Err(Stop::Refused(Box::new(Failure {
                detail: Some(failing_row(&table.table, row)),
                table: Some(table.table.name.clone()),
                column: Some(column.name.clone()),
                ..failure(SqlState::NOT_NULL_VIOLATION, message)
            })));
        }
    }
    Ok(())
}

/// CHECK constraints of a row that no evaluation has seen yet.
pub(super) fn check_conditions(table: &StoredTable, row: &[Value]) -> Done<()> {
    for (check, condition) in &table.checks {
        if condition.evaluate(row, &[])? == Value::Bool(false) {
            let message = format!(
                "new row for relation \"{}\" violates check constraint \"{}\"",
                table.table.name, check.name
            );
            return Err(Stop::Refused(Box::new(Failure {
                detail: Some(failing_row(&table.table, row)),
                table: Some(table.table.name.clone()),
                constraint: Some(check.name.clone()),
                ..failure(SqlState::CHECK_VIOLATION, message)
            })));
        }
    }
    Ok(())
}

/// MATCH FULL, which SQLite takes for MATCH SIMPLE.
pub(super) fn check_match(table: &StoredTable, row: &[Value]) -> Done<()> {
    for key in table.table.foreign_keys.iter().filter(|key| key.match_full) {
        let values = places(&table.table, key);
        let nulls = values.iter().filter(|place| row[**place].is_null()).count();
        if nulls > 0 && nulls < values.len() {
            let detail = "MATCH FULL does not allow mixing of null and nonnull key values.";
            return Err(Stop::Refused(Box::new(missing_parent(
                &table.table,
                key,
                detail.to_owned(),
            ))));
        }
    }
    Ok(())
}

/// The first unique constraint that `row` breaks, as the failure it is. `own`
/// is the key of the row that changes, if the row is there already.
pub(super) fn find_duplicate(
    database: &Database,
    table: &StoredTable,
    row: &[Value],
    own: Option<&[Value]>,
) -> Done<Option<Box<Failure>>> {
    for unique in table.uniques.iter().filter(|unique| !unique.deferrable) {
        let Some(found) = unique.values(row)? else {
            continue;
        };
        let taken = match &unique.side_table {
            Some(side) => {
                let own = own.map(crate::types::encode::encode_key);
                side::is_taken(database, side, &found, own.as_deref())?
            }
            None => is_taken(database, table, unique, &found, own)?,
        };
        if taken {
            return Ok(Some(Box::new(duplicate_of(table, unique, &found))));
        }
    }
    Ok(None)
}

/// A unique key that two rows have.
pub(super) fn duplicate_of(table: &StoredTable, unique: &Unique, found: &[Value]) -> Failure {
    let message = format!(
        "duplicate key value violates unique constraint \"{}\"",
        unique.name
    );
    Failure {
        detail: Some(format!(
            "Key ({})=({}) already exists.",
            part_names(&table.table, unique),
            part_values(&table.table, unique, found)
        )),
        table: Some(table.table.name.clone()),
        constraint: Some(unique.name.clone()),
        ..failure(SqlState::UNIQUE_VIOLATION, message)
    }
}

fn is_taken(
    database: &Database,
    table: &StoredTable,
    unique: &Unique,
    found: &[Value],
    own: Option<&[Value]>,
) -> Done<bool> {
    let places: Vec<usize> = unique
        .parts
        .iter()
        .filter_map(|part| match part {
            UniquePart::Column(place) => Some(*place),
            UniquePart::Expression(..) => None,
        })
        .collect();
    let mut sql = format!(
        "SELECT 1 FROM {} WHERE {}",
        quote(&table.table.name),
        conditions(&table.table, &places, 1)
    );
    let mut parameters: Vec<_> = found.iter().map(values::encode).collect();
    if let Some(own) = own {
        let other = conditions(&table.table, &table.key, places.len() + 1);
        sql.push_str(&format!(" AND NOT ({other})"));
        parameters.extend(own.iter().map(values::encode));
    }
    let row = database.first(&sql, params_from_iter(parameters), |_| Ok(()))?;
    Ok(row.is_some())
}

fn part_names(table: &Table, unique: &Unique) -> String {
    let names = unique.parts.iter().map(|part| match part {
        UniquePart::Column(place) => table.columns[*place].name.clone(),
        UniquePart::Expression(_, text) => text.clone(),
    });
    names.collect::<Vec<_>>().join(", ")
}

fn part_values(table: &Table, unique: &Unique, found: &[Value]) -> String {
    let shown = unique
        .parts
        .iter()
        .zip(found)
        .map(|(part, value)| match part {
            UniquePart::Column(place) => show(value, &table.columns[*place].ty),
            UniquePart::Expression(expression, _) => show(value, expression.ty()),
        });
    shown.collect::<Vec<_>>().join(", ")
}

/// A child row without its parent.
pub(super) fn missing_parent(table: &Table, key: &ForeignKey, detail: String) -> Failure {
    let message = format!(
        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
        table.name, key.name
    );
    Failure {
        detail: Some(detail),
        table: Some(table.name.clone()),
        constraint: Some(key.name.clone()),
        ..failure(SqlState::FOREIGN_KEY_VIOLATION, message)
    }
}

/// A parent row that went while `child` refers to it.
pub(super) fn still_referenced(
    parent: &Table,
    child: &Table,
    key: &ForeignKey,
    detail: String,
) -> Failure {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    Failure {
        detail: Some(detail),
        table: Some(child.name.clone()),
        constraint: Some(key.name.clone()),
        ..failure(SqlState::FOREIGN_KEY_VIOLATION, message)
    }
}

/// Where the columns of a foreign key stand in its own table's rows.
pub(super) fn places(table: &Table, key: &ForeignKey) -> Vec<usize> {
    let places = key.columns.iter().filter_map(|id| table.position(*id));
    places.collect()
}

/// `(a, b)=(1, x)` as PostgreSQL's details have it.
pub(super) fn key_text(table: &Table, places: &[usize], row: &[Value]) -> String {
    let names: Vec<&str> = places
        .iter()
        .map(|place| table.columns[*place].name.as_str())
        .collect();
    let shown: Vec<String> = places
        .iter()
        .map(|place| show(&row[*place], &table.columns[*place].ty))
        .collect();
    format!("({})=({})", names.join(", "), shown.join(", "))
}

fn failing_row(table: &Table, row: &[Value]) -> String {
    let shown: Vec<String> = table
        .columns
        .iter()
        .zip(row)
        .filter(|(column, _)| !column.hidden)
        .map(|(column, value)| cut(show(value, &column.ty)))
        .collect();
    format!("Failing row contains ({}).", shown.join(", "))
}

fn cut(mut text: String) -> String {
    if text.len() > SHOWN_BYTES {
        let end = (0..=SHOWN_BYTES)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn show(value: &Value, ty: &Type) -> String {
    if value.is_null() {
        return "null".to_owned();
    }
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let mut out = String::new();
    text::output(value, ty, io, &mut out);
    out
}
