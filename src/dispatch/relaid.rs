//! How one change of the schema lays a table's rows out anew. Pure.
//!
//! A replica does the same to its rows when it applies the change; that both
//! come to the same is checked by the hashes of the rows that follow.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::Rules;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{PrimaryKey, Schema, Table};
use crate::engine::sqlite::apply::Conversion;
use crate::error::{Error, Result};
use crate::types::id::TableId;
use crate::types::{Row, Value, compare};

/// A table whose rows lie otherwise after a change, or under other names.
pub struct Relaid {
    pub table: TableId,
    pub from: Arc<Table>,
    pub to: Arc<Table>,
    /// Where each new column comes from.
    sources: Vec<Source>,
}

/// What a change of the schema does to the written rows.
#[derive(Default)]
pub struct Shift {
    /// A table made: nothing of it is on a replica.
    pub created: Option<TableId>,
    pub dropped: Option<TableId>,
    pub relaid: Option<Arc<Relaid>>,
    /// What the tables that it touches ask of their rows after it.
    pub rules: BTreeMap<TableId, Arc<Rules>>,
}

enum Source {
    Place(usize),
    Constant(Value),
    Converted(Box<Conversion>),
    /// A hidden key: counts the rows in the order of the old key.
    Number,
}

impl Relaid {
    /// `None`: a replica's rows can be read as if the change had been made.
    pub fn of(
        change: &SchemaChange,
        before: &Arc<Schema>,
        after: &Arc<Schema>,
    ) -> Result<Option<Relaid>> {
        let table = match change {
            SchemaChange::RenameTable { table, .. }
            | SchemaChange::RenameColumn { table, .. }
            | SchemaChange::AddColumn { table, .. }
            | SchemaChange::DropColumn { table, .. }
            | SchemaChange::SetType { table, .. }
            | SchemaChange::AddPrimaryKey { table, .. }
            | SchemaChange::DropPrimaryKey { table, .. } => *table,
            _ => return Ok(None),
        };
        let (Some(from), Some(to)) = (before.table(table), after.table(table)) else {
            return Err(Error::internal("a changed table is not there"));
        };
        let source = |column: &crate::catalog::schema::Column| {
            let place = from.position(column.id);
            Ok(match (change, place) {
                (
                    SchemaChange::SetType {
                        column: set, using, ..
                    },
                    Some(_),
                ) if *set == column.id => {
                    let ty = &column.ty;
                    Source::Converted(Box::new(Conversion::parse(using, from, before, ty)?))
                }
                (_, Some(place)) => Source::Place(place),
                (SchemaChange::AddColumn { fill, .. }, None) => Source::Constant(fill.clone()),
                (SchemaChange::DropPrimaryKey { .. }, None) => Source::Number,
                _ => return Err(Error::internal("a column comes from nowhere")),
            })
        };
        Ok(Some(Relaid {
            table,
            sources: to.columns.iter().map(source).collect::<Result<_>>()?,
            from: from.clone(),
            to: to.clone(),
        }))
    }

    /// Do rows get other keys, so that a deleted one's cannot be told?
    pub fn moves_keys(&self) -> bool {
        let key = self.to.key_positions();
        let stays = |place: &usize| matches!(self.sources[*place], Source::Place(_));
        hidden(&self.from) != hidden(&self.to) || !key.iter().all(stays)
    }

    /// Do the rows' places in the order of their keys matter?
    pub fn counts(&self) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| matches!(source, Source::Number))
    }

    /// A row after the change; `number` is its place in the order of the old keys.
    pub fn row(&self, row: &Row, number: i64) -> Result<Row> {
        let value = |source: &Source| match source {
            Source::Place(place) => Ok(row[*place].clone()),
            Source::Constant(value) => Ok(value.clone()),
            Source::Converted(conversion) => conversion.of(row),
            Source::Number => Ok(Value::Int(number)),
        };
        self.sources.iter().map(value).collect()
    }
}

fn hidden(table: &Table) -> bool {
    matches!(table.key, PrimaryKey::Hidden { .. })
}

/// Sorts rows by the table's key.
pub(super) fn sort_by_key(table: &Table, rows: &mut [Row]) {
    let key = table.key_positions();
    rows.sort_by(|a, b| {
        let mut parts = key
            .iter()
            .map(|place| compare::compare(&a[*place], &b[*place]));
        parts
            .find(|part| *part != Ordering::Equal)
            .unwrap_or(Ordering::Equal)
    });
}
