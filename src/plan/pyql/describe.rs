//! A table as the REST API describes it, whichever door made it.
//!
//! `mods` are in the forms that MySQL prints, on every engine.

use serde_json::{Map, Value as Json, json};

use super::is_generated;
use crate::catalog::schema::{Action, Column, ForeignKey, IndexKey, PrimaryKey, Schema, Table};
use crate::types::Type;

/// `{"columns": …, "primary_key": …, "foreign_keys": …}`.
///
/// A key of several columns is a list, a missing one null; of a foreign key of
/// several columns each is described by itself.
pub fn describe(schema: &Schema, table: &Table) -> Json {
    let key = declared_key(table);
    let columns: Vec<Json> = table
        .visible()
        .map(|(_, column)| {
            json!({
                "name": column.name,
                "type": type_name(&column.ty),
                "mods": mods(table, column),
            })
        })
        .collect();
    let primary_key = match key.as_slice() {
        [] => Json::Null,
        [name] => json!(name),
        names => json!(names),
    };
    json!({
        "columns": columns,
        "primary_key": primary_key,
        "foreign_keys": foreign_keys(schema, table),
    })
}

/// The PYQL type nearest to a column's.
pub(super) fn type_name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int2 | Type::Int4 | Type::Int8 => "int",
        Type::Float4 | Type::Float8 | Type::Numeric(_) => "float",
        Type::Bytea => "blob",
        _ => "str",
    }
}

fn declared_key(table: &Table) -> Vec<&str> {
    match &table.key {
        PrimaryKey::Declared { columns, .. } => columns
            .iter()
            .filter_map(|id| table.column(*id))
            .map(|column| column.name.as_str())
            .collect(),
        _ => Vec::new(),
    }
}

fn mods(table: &Table, column: &Column) -> String {
    let mut words = Vec::new();
    if column.not_null {
        words.push("NOT NULL".to_owned());
    }
    if is_generated(column) {
        words.push("AUTO_INCREMENT".to_owned());
    } else if let Some(default) = &column.default {
        words.push(format!("DEFAULT {}", plain_default(default)));
    } else if !column.not_null && !matches!(type_name(&column.ty), "str" | "blob") {
        words.push("DEFAULT NULL".to_owned());
    }
    let unique = table.indexes.iter().any(|index| {
        let only_this = match index.columns.as_slice() {
            [only] => only.key == IndexKey::Column(column.id),
            _ => false,
        };
        index.unique && index.predicate.is_none() && only_this
    });
    if unique {
        words.push("UNIQUE".to_owned());
    }
    words.join(" ")
}

/// A text constant without the cast that the catalog's text carries.
fn plain_default(default: &str) -> &str {
    match default.rfind("'::") {
        Some(end) if default.starts_with('\'') => &default[..=end],
        _ => default,
    }
}

fn foreign_keys(schema: &Schema, table: &Table) -> Json {
    let mut keys = Map::new();
    for key in &table.foreign_keys {
        let Some(parent) = schema.table(key.parent) else {
            continue;
        };
        for (local, other) in key.columns.iter().zip(&key.parent_columns) {
            if let (Some(local), Some(other)) = (table.column(*local), parent.column(*other)) {
                let value = json!({
                    "table": parent.name,
                    "ref": other.name,
                    "mods": key_mods(key),
                });
                keys.insert(local.name.clone(), value);
            }
        }
    }
    if keys.is_empty() {
        Json::Null
    } else {
        Json::Object(keys)
    }
}

/// With one leading blank, as the original shows them.
fn key_mods(key: &ForeignKey) -> String {
    let mut mods = String::new();
    for (event, action) in [("DELETE", key.on_delete), ("UPDATE", key.on_update)] {
        if let Some(words) = action_words(action) {
            mods.push_str(&format!(" ON {event} {words}"));
        }
    }
    mods
}

fn action_words(action: Action) -> Option<&'static str> {
    match action {
        Action::NoAction => None,
        Action::Restrict => Some("RESTRICT"),
        Action::Cascade => Some("CASCADE"),
        Action::SetNull => Some("SET NULL"),
        Action::SetDefault => Some("SET DEFAULT"),
    }
}
