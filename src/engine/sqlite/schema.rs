//! How a schema lies in a SQLite file: the text of its tables and indexes.
//!
//! Tables and columns bear their own names. A single integer key is the rowid;
//! any other key makes the table WITHOUT ROWID. Foreign keys are deferred and
//! without actions: their actions come as rows, and the engine only counts
//! what is unresolved. CHECKs are the planner's to evaluate and are not
//! declared.
//!
//! A unique index that SQLite cannot express exactly (expressions, a
//! condition, NULLS NOT DISTINCT) is enforced by a side table that holds the
//! canonical encoding of each entry; see `apply::side`.

mod change;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt::Write as _;

use super::quote;
use crate::catalog::schema::{Column, ForeignKey, Index, IndexKey, PrimaryKey, Schema, Table};
use crate::error::{Error, Result};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId};

pub(super) use change::apply;

/// A column's declared type, which sets affinity and collation (`docs/types.md`).
pub fn storage_type(ty: &Type) -> &'static str {
    match ty {
        Type::Float4 | Type::Float8 => "REAL",
        Type::Numeric(_) => "TEXT COLLATE pyql_numeric",
        Type::Interval(_) => "TEXT COLLATE pyql_interval",
        Type::Jsonb => "TEXT COLLATE pyql_jsonb",
        Type::Bytea => "BLOB",
        ty if ty.is_integer() => "INTEGER",
        Type::Bool | Type::Date | Type::Time(_) | Type::Timestamp(_) | Type::Timestamptz(_) => {
            "INTEGER"
        }
        _ => "TEXT",
    }
}

/// Refuses, before the log, what a file could not hold faithfully: names that
/// SQLite takes for one (its identifiers ignore ASCII case) or keeps for
/// itself, and foreign keys between types that are stored differently.
pub fn check_storable(schema: &Schema) -> Result<()> {
    let mut tables = HashSet::new();
    for table in schema.tables.values() {
        let lower = table.name.to_ascii_lowercase();
        if lower.starts_with("sqlite_") || lower.starts_with("_pyql_") {
            return Err(Error::unsupported(format!("the table name {}", table.name)));
        }
        if !tables.insert(lower) {
            let what = format!("a second table named {} apart from case", table.name);
            return Err(Error::unsupported(what));
        }
        let mut columns = HashSet::new();
        for column in &table.columns {
            if !columns.insert(column.name.to_ascii_lowercase()) {
                let what = format!("a second column named {} apart from case", column.name);
                return Err(Error::unsupported(what));
            }
        }
        for key in &table.foreign_keys {
            check_foreign_types(table, key, schema)?;
        }
    }
    Ok(())
}

fn check_foreign_types(table: &Table, key: &ForeignKey, schema: &Schema) -> Result<()> {
    let Some(parent) = schema.table(key.parent) else {
        return Ok(());
    };
    for (own, referred) in key.columns.iter().zip(&key.parent_columns) {
        let (Some(own), Some(referred)) = (table.column(*own), parent.column(*referred)) else {
            continue;
        };
        let (own, referred) = (&own.ty, &referred.ty);
        let exact = |ty: &Type| ty.is_integer() || matches!(ty, Type::Numeric(_));
        let float = |ty: &Type| matches!(ty, Type::Float4 | Type::Float8);
        let alike = own.same_base(referred)
            || (own.is_string() && referred.is_string())
            || (exact(own) && exact(referred))
            || (float(own) && float(referred));
        if !alike {
            let what = format!("a foreign key from {own} to {referred}");
            return Err(Error::unsupported(what));
        }
    }
    Ok(())
}

/// CREATE TABLE for `table` under the name `name`. `filled` is the table whose
/// rows it takes: a column that those lack is filled later, so it must take
/// NULL until then.
pub(super) fn create_table(
    table: &Table,
    schema: &Schema,
    name: &str,
    filled: Option<&Table>,
) -> String {
    let key = key_columns(table);
    let rowid = rowid_column(table);
    let mut text = format!("CREATE TABLE {} (", quote(name));
    for (place, column) in table.columns.iter().enumerate() {
        if place > 0 {
            text.push_str(", ");
        }
        let _ = write!(text, "{} {}", quote(&column.name), storage_type(&column.ty));
        if rowid == Some(column.id) {
            text.push_str(" PRIMARY KEY");
        } else if key.contains(&column.id) || (column.not_null && is_filled(filled, column)) {
            text.push_str(" NOT NULL");
        }
    }
    if rowid.is_none() && !key.is_empty() {
        let _ = write!(text, ", PRIMARY KEY ({})", names(table, &key));
    }
    for foreign in &table.foreign_keys {
        text.push_str(&foreign_key(table, foreign, schema));
    }
    text.push(')');
    if rowid.is_none() && !key.is_empty() {
        text.push_str(" WITHOUT ROWID");
    }
    text
}

fn is_filled(filled: Option<&Table>, column: &Column) -> bool {
    filled.is_none_or(|rows| rows.column(column.id).is_some())
}

fn foreign_key(table: &Table, key: &ForeignKey, schema: &Schema) -> String {
    let parent = match schema.table(key.parent) {
        Some(parent) => parent,
        None => table,
    };
    format!(
        ", FOREIGN KEY ({}) REFERENCES {} ({}) DEFERRABLE INITIALLY DEFERRED",
        names(table, &key.columns),
        quote(&parent.name),
        names(parent, &key.parent_columns),
    )
}

/// CREATE INDEX, or `None` where no index over plain columns stands for it.
pub(super) fn create_index(table: &Table, index: &Index) -> Option<String> {
    let mut columns = Vec::new();
    for part in &index.columns {
        let IndexKey::Column(id) = &part.key else {
            return None;
        };
        let direction = if part.descending { " DESC" } else { "" };
        columns.push(format!("{}{direction}", quote(&table.column(*id)?.name)));
    }
    // Without its condition an index still finds rows; it must not refuse any.
    // Neither may one whose keys count only when the transaction ends.
    let unique = index.unique && index.predicate.is_none() && !index.options.deferrable;
    Some(format!(
        "CREATE {}INDEX {} ON {} ({})",
        if unique { "UNIQUE " } else { "" },
        quote(&index_name(index.id)),
        quote(&table.name),
        columns.join(", "),
    ))
}

pub(super) fn index_name(id: ObjectId) -> String {
    format!("_pyql_index_{id}")
}

/// Whether the index is enforced by a side table.
pub(super) fn has_side_table(index: &Index) -> bool {
    let plain = |key: &IndexKey| matches!(key, IndexKey::Column(_));
    index.unique
        && !index.options.deferrable
        && (index.predicate.is_some()
            || index.nulls_not_distinct
            || !index.columns.iter().all(|part| plain(&part.key)))
}

pub(super) fn side_table_name(id: ObjectId) -> String {
    format!("_pyql_unique_{id}")
}

/// `entry` is the index entry, `owner` the key of the row it belongs to.
pub(super) fn create_side_table(id: ObjectId) -> String {
    format!(
        "CREATE TABLE {} (entry BLOB PRIMARY KEY, owner BLOB NOT NULL) WITHOUT ROWID",
        quote(&side_table_name(id))
    )
}

pub(super) fn key_columns(table: &Table) -> Vec<ColumnId> {
    match &table.key {
        PrimaryKey::Declared { columns, .. } => columns.clone(),
        PrimaryKey::Hidden { column, .. } => vec![*column],
        PrimaryKey::None => Vec::new(),
    }
}

/// The column that is SQLite's rowid, if one is.
fn rowid_column(table: &Table) -> Option<ColumnId> {
    match key_columns(table).as_slice() {
        [id] if table.column(*id).is_some_and(is_integer) => Some(*id),
        _ => None,
    }
}

fn is_integer(column: &Column) -> bool {
    column.ty.is_integer()
}

/// Quoted column names, separated by commas.
pub(super) fn names(table: &Table, columns: &[ColumnId]) -> String {
    let names: Vec<String> = columns
        .iter()
        .filter_map(|id| table.column(*id))
        .map(|column| quote(&column.name))
        .collect();
    names.join(", ")
}

pub(super) fn all_names(table: &Table) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| quote(&column.name))
        .collect();
    names.join(", ")
}
