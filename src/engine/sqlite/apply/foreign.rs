//! Foreign keys: the engine counts what is unresolved, and when the count is
//! not zero this finds which row broke which key.

use std::sync::Arc;

use rusqlite::params_from_iter;

use super::database::Database;
use super::table::{StoredTable, conditions};
use super::violation::{key_text, missing_parent, places, still_referenced};
use super::{Done, Stop};
use crate::catalog::schema::{ForeignKey, Table};
use crate::engine::sqlite::{quote, values};
use crate::types::write::Failure;
use crate::types::{Row, Value};

/// A row of a table with references that the transaction has written.
pub(super) struct Touched {
    pub(super) table: Arc<StoredTable>,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    EndOfStatement,
    EndOfTransaction,
}

/// Refuses if a key that must hold at this moment does not.
pub(super) fn check(
    database: &Database,
    schema: &crate::catalog::schema::Schema,
    touched: &[Touched],
    moment: Moment,
) -> Done<()> {
    if !database.has_unresolved_keys() {
        return Ok(());
    }
    // A deferrable key may have been deferred by its session, which then sees to it.
    let due = |key: &ForeignKey| moment == Moment::EndOfTransaction || !key.deferrable;
    for touch in touched {
        if let Some(failure) = orphaned_children(database, touch, &due)? {
            return Err(Stop::Refused(Box::new(failure)));
        }
        if let Some(failure) = absent_parents(database, schema, touch, &due)? {
            return Err(Stop::Refused(Box::new(failure)));
        }
    }
    match moment {
        Moment::EndOfStatement => Ok(()),
        Moment::EndOfTransaction => Err(Stop::Storage(
            "a foreign key is unresolved that no written row explains".to_owned(),
        )),
    }
}

/// A parent key of `touch` that went while children still have it.
fn orphaned_children(
    database: &Database,
    touch: &Touched,
    due: &impl Fn(&ForeignKey) -> bool,
) -> Done<Option<Failure>> {
    let Some(before) = &touch.before else {
        return Ok(None);
    };
    let parent = &touch.table.table;
    for (child, key) in touch.table.children.iter().filter(|(_, key)| due(key)) {
        let parent_places = parent_places(parent, key);
        let gone: Vec<&Value> = parent_places.iter().map(|place| &before[*place]).collect();
        if gone.iter().any(|value| value.is_null())
            || exists(database, parent, &parent_places, &gone)?
            || !exists(database, child, &places(child, key), &gone)?
        {
            continue;
        }
        let detail = format!(
            "Key {} is still referenced from table \"{}\".",
            key_text(parent, &parent_places, before),
            child.name
        );
        return Ok(Some(still_referenced(parent, child, key, detail)));
    }
    Ok(None)
}

/// A foreign key of `touch`'s row as it is now that finds no parent.
fn absent_parents(
    database: &Database,
    schema: &crate::catalog::schema::Schema,
    touch: &Touched,
    due: &impl Fn(&ForeignKey) -> bool,
) -> Done<Option<Failure>> {
    let Some(after) = &touch.after else {
        return Ok(None);
    };
    let table = &touch.table.table;
    for key in table.foreign_keys.iter().filter(|key| due(key)) {
        let Some(parent) = schema.table(key.parent) else {
            continue;
        };
        let child_places = places(table, key);
        let wanted: Vec<&Value> = child_places.iter().map(|place| &after[*place]).collect();
        // A later write of the transaction may have changed the row again.
        let mut present = touch.table.key.clone();
        present.extend(&child_places);
        let row: Vec<&Value> = present.iter().map(|place| &after[*place]).collect();
        if wanted.iter().any(|value| value.is_null())
            || exists(database, parent, &parent_places(parent, key), &wanted)?
            || !exists(database, table, &present, &row)?
        {
            continue;
        }
        let detail = format!(
            "Key {} is not present in table \"{}\".",
            key_text(table, &child_places, after),
            parent.name
        );
        return Ok(Some(missing_parent(table, key, detail)));
    }
    Ok(None)
}

fn parent_places(parent: &Table, key: &ForeignKey) -> Vec<usize> {
    let places = key.parent_columns.iter();
    places.filter_map(|id| parent.position(*id)).collect()
}

fn exists(database: &Database, table: &Table, places: &[usize], wanted: &[&Value]) -> Done<bool> {
    let sql = format!(
        "SELECT 1 FROM {} WHERE {}",
        quote(&table.name),
        conditions(table, places, 1)
    );
    let parameters = wanted.iter().map(|value| values::encode(value));
    let row = database.first(&sql, params_from_iter(parameters), |_| Ok(()))?;
    Ok(row.is_some())
}
