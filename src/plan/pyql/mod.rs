//! PYQL JSON → the statement that means it.
//!
//! A request becomes PostgreSQL text with every name quoted and every value a
//! parameter of its column's type; the session plans that text as any other,
//! so that both doors share one binder and one plan cache. No text of a client
//! but names found in the schema ever enters a statement.
//!
//! Not handled: OR, ordering, limits and aggregates, which PYQL lacks.

mod condition;
mod define;
mod describe;
mod join;
mod json;
mod value;

use std::sync::Arc;

pub use condition::{Condition, conditions};
pub use define::create_table;
pub use describe::describe;
pub use join::Scope;
pub use json::Json;
pub use value::convert;

use crate::catalog::schema::{Column, Namespace, PrimaryKey, Schema, Table};
use crate::error::{Error, Result, SqlState};
use crate::types::settings::Io;
use crate::types::{Type, Value};

/// A request as a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translation {
    pub sql: String,
    pub types: Vec<Option<Type>>,
    pub parameters: Vec<Value>,
    /// Under which name each result column goes back to the client.
    pub keys: Vec<String>,
}

impl Translation {
    /// A statement without parameters, so far.
    pub fn of(sql: String) -> Translation {
        Translation {
            sql,
            ..Translation::default()
        }
    }

    /// Appends a value as the next parameter.
    fn push_parameter(&mut self, value: Value, ty: Type) {
        self.parameters.push(value);
        self.types.push(Some(ty));
        self.sql.push('$');
        self.sql.push_str(&self.parameters.len().to_string());
    }

    fn push_where(&mut self, scope: &Scope, conditions: Vec<Condition>) {
        for (number, condition) in conditions.into_iter().enumerate() {
            self.sql
                .push_str(if number == 0 { " WHERE " } else { " AND " });
            condition.render(scope, self);
        }
    }
}

/// Finds a table of the data cluster; 42P01 when there is none.
pub fn table<'a>(schema: &'a Schema, name: &str) -> Result<&'a Arc<Table>> {
    schema.table_named(Namespace::Public, name).ok_or_else(|| {
        Error::new(
            SqlState::UNDEFINED_TABLE,
            format!("table {name} was not found"),
        )
        .table(name)
    })
}

/// `{"select": …, "where": …, "join": …}`. Rows come in the order of the
/// tables' primary keys, so that every engine answers alike.
pub fn select(schema: &Schema, table: &Arc<Table>, body: &Json, io: Io<'_>) -> Result<Translation> {
    let wanted = body
        .get("select")
        .ok_or_else(|| Error::new(SqlState::SYNTAX_ERROR, "missing selection"))?;
    let scope = Scope::new(schema, table, body.get("join"))?;
    let columns = selection(&scope, wanted)?;
    let conditions = match body.get("where") {
        Some(condition) => conditions(condition, &scope, io)?,
        None => Vec::new(),
    };
    Ok(render_select(&scope, columns, conditions))
}

/// All rows of a table.
pub fn select_all(table: &Arc<Table>) -> Translation {
    let scope = Scope::of(table);
    let columns = scope.all_columns();
    render_select(&scope, columns, Vec::new())
}

/// The row of a key, as the key stands in a URL.
pub fn select_key(table: &Arc<Table>, key: &str, io: Io<'_>) -> Result<Translation> {
    let scope = Scope::of(table);
    let columns = scope.all_columns();
    let conditions = vec![key_condition(table, key, io)?];
    Ok(render_select(&scope, columns, conditions))
}

/// One row. Columns that are not given get their defaults.
pub fn insert(table: &Table, row: &Json, io: Io<'_>) -> Result<Translation> {
    let Json::Object(members) = row else {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "a row must be an object of columns and values",
        ));
    };
    let mut names = Vec::new();
    let mut values = Translation::default();
    for (name, value) in members {
        let column = column(table, name)?;
        // A null key that is generated asks for the next one, as on MySQL and SQLite.
        if *value == Json::Null && is_generated(column) {
            continue;
        }
        if !names.is_empty() {
            values.sql.push_str(", ");
        }
        names.push(quote(&column.name));
        let (value, ty) = (convert(value, column, io)?, column.ty.without_modifier());
        values.push_parameter(value, ty);
    }
    let head = format!("INSERT INTO {}", relation(table));
    values.sql = if names.is_empty() {
        format!("{head} DEFAULT VALUES")
    } else {
        format!("{head} ({}) VALUES ({})", names.join(", "), values.sql)
    };
    Ok(values)
}

/// `{"set": {…}, "where": …}`; both are needed, neither may be empty.
pub fn update(table: &Arc<Table>, body: &Json, io: Io<'_>) -> Result<Translation> {
    let (Some(set), Some(condition)) = (body.get("set"), body.get("where")) else {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "missing key-values set: {\"column_name\": \"value\"} and where: {\"column_name\": \"value\"}",
        ));
    };
    let scope = Scope::of(table);
    let conditions = some_conditions(condition, &scope, io)?;
    render_update(&scope, set, conditions, io)
}

/// Sets columns of the row of a key.
pub fn update_key(table: &Arc<Table>, key: &str, set: &Json, io: Io<'_>) -> Result<Translation> {
    let condition = key_condition(table, key, io)?;
    render_update(&Scope::of(table), set, vec![condition], io)
}

/// `{"where": …}`; needed, and not empty.
pub fn delete(table: &Arc<Table>, body: &Json, io: Io<'_>) -> Result<Translation> {
    let condition = body.get("where").ok_or_else(|| {
        Error::new(
            SqlState::SYNTAX_ERROR,
            "missing key-value pair \"where\": {\"column\": \"value\"} for delete",
        )
    })?;
    let scope = Scope::of(table);
    let conditions = some_conditions(condition, &scope, io)?;
    Ok(render_delete(&scope, conditions))
}

/// Deletes the row of a key.
pub fn delete_key(table: &Arc<Table>, key: &str, io: Io<'_>) -> Result<Translation> {
    let condition = key_condition(table, key, io)?;
    Ok(render_delete(&Scope::of(table), vec![condition]))
}

/// The columns of a `select` member, with their keys.
pub fn selection(scope: &Scope, wanted: &Json) -> Result<Vec<(String, usize, usize)>> {
    let wrong = || {
        Error::new(
            SqlState::SYNTAX_ERROR,
            "select must be a list of columns or [\"*\"]",
        )
    };
    let names: Vec<&str> = match wanted {
        Json::Text(name) => vec![name],
        Json::List(list) => {
            let names = list.iter().map(|item| item.as_text().ok_or_else(wrong));
            names.collect::<Result<_>>()?
        }
        _ => return Err(wrong()),
    };
    if names.is_empty() {
        return Err(wrong());
    }
    if names.contains(&"*") {
        return Ok(scope.all_columns());
    }
    let mut columns: Vec<(String, usize, usize)> = Vec::with_capacity(names.len());
    for name in names {
        if columns.iter().all(|(key, ..)| key != name) {
            let (table, column) = scope.resolve(name)?;
            columns.push((name.to_owned(), table, column));
        }
    }
    Ok(columns)
}

fn render_select(
    scope: &Scope,
    columns: Vec<(String, usize, usize)>,
    conditions: Vec<Condition>,
) -> Translation {
    let mut translation = Translation::of("SELECT ".to_owned());
    for (number, (key, table, column)) in columns.into_iter().enumerate() {
        if number > 0 {
            translation.sql.push_str(", ");
        }
        translation.sql.push_str(&scope.name(table, column));
        translation.keys.push(key);
    }
    translation.sql.push_str(" FROM ");
    scope.render_from(&mut translation.sql);
    translation.push_where(scope, conditions);
    let order = scope.key_order();
    if !order.is_empty() {
        translation.sql.push_str(" ORDER BY ");
        translation.sql.push_str(&order.join(", "));
    }
    translation
}

fn render_update(
    scope: &Scope,
    set: &Json,
    conditions: Vec<Condition>,
    io: Io<'_>,
) -> Result<Translation> {
    let members = match set {
        Json::Object(members) if !members.is_empty() => members,
        _ => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "set must be an object of columns and values, and not empty",
            ));
        }
    };
    let table = scope.base();
    let mut translation = Translation::of(format!("UPDATE {} SET ", relation(table)));
    for (number, (name, value)) in members.iter().enumerate() {
        if number > 0 {
            translation.sql.push_str(", ");
        }
        let column = column(table, name)?;
        translation.sql.push_str(&quote(&column.name));
        translation.sql.push_str(" = ");
        translation.push_parameter(convert(value, column, io)?, column.ty.without_modifier());
    }
    translation.push_where(scope, conditions);
    Ok(translation)
}

fn render_delete(scope: &Scope, conditions: Vec<Condition>) -> Translation {
    let mut translation = Translation::of(format!("DELETE FROM {}", relation(scope.base())));
    translation.push_where(scope, conditions);
    translation
}

/// Conditions of a write: without any it would change every row, which the
/// client must not get by a slip.
fn some_conditions(condition: &Json, scope: &Scope, io: Io<'_>) -> Result<Vec<Condition>> {
    let conditions = conditions(condition, scope, io)?;
    if conditions.is_empty() {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "where must not be empty: it would mean every row",
        ));
    }
    Ok(conditions)
}

/// The one column by which URLs name rows.
pub fn key_column(table: &Table) -> Result<usize> {
    match (&table.key, table.key_positions().as_slice()) {
        (PrimaryKey::Declared { .. }, [column]) => Ok(*column),
        (PrimaryKey::Declared { .. }, _) => Err(Error::unsupported(format_args!(
            "a row of table {} by its key of several columns",
            table.name
        ))),
        _ => Err(Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("table {} has no primary key", table.name),
        )),
    }
}

fn key_condition(table: &Arc<Table>, key: &str, io: Io<'_>) -> Result<Condition> {
    let position = key_column(table)?;
    let key = Json::Text(key.to_owned());
    Condition::equal(&Scope::of(table), 0, position, &key, io)
}

fn is_generated(column: &Column) -> bool {
    let counts = |default: &String| default.starts_with("nextval(");
    column.identity.is_some() || column.default.as_ref().is_some_and(counts)
}

fn column<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    table
        .column_named(name)
        .map(|(_, column)| column)
        .ok_or_else(|| unknown_column(table, name))
}

fn unknown_column(table: &Table, name: &str) -> Error {
    let valid: Vec<String> = table
        .visible()
        .map(|(_, column)| format!("'{}'", column.name))
        .collect();
    Error::new(
        SqlState::UNDEFINED_COLUMN,
        format!(
            "invalid key provided '{name}' not found in table {}, valid keys [{}]",
            table.name,
            valid.join(", ")
        ),
    )
    .table(&table.name)
    .column(name)
}

/// A table where a statement names it.
fn relation(table: &Table) -> String {
    format!("public.{}", quote(&table.name))
}

/// A name as a quoted identifier.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
