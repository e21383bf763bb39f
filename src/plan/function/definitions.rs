//! Objects as SQL text: pg_get_expr, pg_get_indexdef, pg_get_constraintdef…

use std::borrow::Cow;
use std::ops::Range;

use super::arguments::{boolean, int, text};
use super::definition::{Definition, scalar};
use super::pretty::pretty;
use super::string::quote_identifier;
use super::{Call, Function, FunctionRef, Parameter, Returns, names, oids, registry};
use crate::catalog::schema::{
    Action, ForeignKey, Index, IndexKey, Namespace, PrimaryKey, Schema, Table,
};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::types::Value;
use crate::types::id::{ColumnId, ObjectId};

/// What stands in `pg_node_tree` columns is SQL text already.
pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("pg_get_expr", "text oid -> text", expression).stable(),
    scalar("pg_get_expr", "text oid bool -> text", expression).stable(),
    scalar("pg_get_indexdef", "oid -> text", index_definition).stable(),
    scalar("pg_get_indexdef", "oid int4 bool -> text", index_definition).stable(),
    scalar(
        "pg_index_column_has_property",
        "regclass int4 text -> bool",
        column_property,
    )
    .stable(),
    scalar(
        "pg_index_has_property",
        "regclass text -> bool",
        index_property,
    )
    .stable(),
    scalar("pg_indexam_has_property", "oid text -> bool", |_, a| {
        Ok(match (int(&a[0])?, &**text(&a[1])?) {
            (BTREE, "can_order" | "can_unique" | "can_multi_col") => Value::Bool(true),
            (BTREE, "can_exclude" | "can_include") => Value::Bool(false),
            _ => Value::Null,
        })
    })
    .stable(),
    scalar("pg_get_constraintdef", "oid -> text", constraint_definition).stable(),
    scalar(
        "pg_get_constraintdef",
        "oid bool -> text",
        constraint_definition,
    )
    .stable(),
    scalar(
        "pg_get_serial_sequence",
        "text text -> text",
        serial_sequence,
    )
    .stable(),
    scalar("pg_get_viewdef", "oid -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_viewdef", "oid bool -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_triggerdef", "oid -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_triggerdef", "oid bool -> text", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
    scalar("pg_get_ruledef", "oid -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_ruledef", "oid bool -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_partkeydef", "oid -> text", |_, _| Ok(Value::Null)).stable(),
    scalar("pg_get_partition_constraintdef", "oid -> text", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
    scalar("pg_get_statisticsobjdef_columns", "oid -> text", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
    scalar("pg_get_function_result", "oid -> text", |_, a| {
        Ok(function(&a[0])?.map_or(Value::Null, |f| Value::text(returned(&f))))
    })
    .stable(),
    scalar("pg_get_function_arguments", "oid -> text", taken).stable(),
    scalar("pg_get_function_identity_arguments", "oid -> text", taken).stable(),
    scalar("pg_get_function_sqlbody", "oid -> text", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
    scalar("pg_get_functiondef", "oid -> text", |_, _| Ok(Value::Null)).stable(),
]];

fn expression(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let shown = with_schemas(text(&arguments[0])?, call.context);
    let is_pretty = arguments.get(2).map(boolean).transpose()?.unwrap_or(false);
    Ok(match is_pretty {
        true => Value::text(pretty(&shown)),
        false => Value::text(&*shown),
    })
}

/// Stored text names the relations of schema public without it; here behind it,
/// if `search_path` does not find them.
fn with_schemas<'a>(stored: &'a str, context: &Context) -> Cow<'a, str> {
    if names::is_visible(Namespace::Public, context) {
        return Cow::Borrowed(stored);
    }
    let mut out = stored.to_owned();
    for range in relation_names(stored).into_iter().rev() {
        let name = &stored[range.clone()];
        if name.starts_with('"') || !name.contains('.') {
            out.insert_str(range.start, "public.");
        }
    }
    Cow::Owned(out)
}

/// Where stored text names relations, as in `nextval('t_id_seq'::regclass)`.
pub fn relation_names(stored: &str) -> Vec<Range<usize>> {
    const CAST: &str = "'::regclass";
    let mut found = Vec::new();
    for (end, _) in stored.match_indices(CAST) {
        // A quote within the name stands doubled.
        let before = stored[..end].replace("''", "__");
        found.extend(before.rfind('\'').map(|quote| quote + 1..end));
    }
    found
}

/// `pg_am.oid` of the one kind of index there is.
const BTREE: i64 = 403;

/// What a column of an index can do, as any B-tree's.
fn column_property(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let found = find_index(schemas(call), int(&arguments[0])?);
    let place = usize::try_from(int(&arguments[1])? - 1);
    let columns = found.as_ref().map(|index| index.columns.as_slice());
    let Some((_, order)) = columns.zip(place.ok()).and_then(|(all, at)| all.get(at)) else {
        return Ok(Value::Null);
    };
    let descends = order.contains("DESC");
    let nulls_first = match descends {
        true => !order.contains("NULLS LAST"),
        false => order.contains("NULLS FIRST"),
    };
    Ok(match &**text(&arguments[2])? {
        "asc" => Value::Bool(!descends),
        "desc" => Value::Bool(descends),
        "nulls_first" => Value::Bool(nulls_first),
        "nulls_last" => Value::Bool(!nulls_first),
        "orderable" | "returnable" | "search_array" | "search_nulls" => Value::Bool(true),
        "distance_orderable" => Value::Bool(false),
        _ => Value::Null,
    })
}

fn index_property(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let found = find_index(schemas(call), int(&arguments[0])?);
    let known = ["clusterable", "index_scan", "bitmap_scan", "backward_scan"];
    let name = &**text(&arguments[1])?;
    Ok(match found.is_some() && known.contains(&name) {
        true => Value::Bool(true),
        false => Value::Null,
    })
}

/// One of our functions.
fn function(oid: &Value) -> Result<Option<FunctionRef>> {
    let oid = int(oid)?;
    Ok(registry::all().find(|function| i64::from(oids::of(function)) == oid))
}

/// The types of a function's arguments.
fn taken(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(function) = function(&arguments[0])? else {
        return Ok(Value::Null);
    };
    let last = function.arguments.len().saturating_sub(1);
    let shown = function
        .arguments
        .iter()
        .enumerate()
        .map(|(place, parameter)| {
            let shown = match parameter {
                Parameter::Of(ty) => names::type_name(ty),
                other => other.to_string(),
            };
            match function.variadic && place == last {
                true => format!("VARIADIC {shown}[]"),
                false => shown,
            }
        });
    Ok(Value::text(shown.collect::<Vec<_>>().join(", ")))
}

/// The type that a function gives.
fn returned(function: &Function) -> String {
    let set = if function.is_set() { "SETOF " } else { "" };
    match &function.result {
        Returns::Of(ty) => format!("{set}{}", names::type_name(ty)),
        Returns::Element => format!("{set}anyelement"),
        Returns::Array => format!("{set}anyarray"),
        Returns::Compatible => format!("{set}anycompatible"),
        Returns::CompatibleArray => format!("{set}anycompatiblearray"),
        Returns::Columns(columns) => {
            let columns = columns.iter().map(|(name, ty)| format!("{name} {ty}"));
            format!("TABLE({})", columns.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `CREATE INDEX` for an index, a primary key's included.
pub fn index(schemas: [&Schema; 2], id: ObjectId) -> Option<String> {
    find_index(schemas, id.0.into()).map(|index| index.definition(false, false))
}

fn schemas<'a>(call: &Call<'a>) -> [&'a Schema; 2] {
    [&call.context.schema, &call.context.system]
}

/// One index, the primary key's included.
struct Shown<'a> {
    table: &'a Table,
    name: &'a str,
    unique: bool,
    nulls_not_distinct: bool,
    columns: Vec<(String, &'static str)>,
    include: &'a [ColumnId],
    predicate: Option<&'a str>,
}

fn column_name(table: &Table, id: ColumnId) -> String {
    let column = table.column(id);
    column.map_or_else(|| "?".to_owned(), |column| quote_identifier(&column.name))
}

fn names_of(table: &Table, ids: &[ColumnId]) -> String {
    let names: Vec<String> = ids.iter().map(|id| column_name(table, *id)).collect();
    names.join(", ")
}

fn find_index<'a>(schemas: [&'a Schema; 2], oid: i64) -> Option<Shown<'a>> {
    let id = ObjectId(u32::try_from(oid).ok()?);
    let mut tables = schemas
        .into_iter()
        .flat_map(|schema| schema.tables.values());
    tables.find_map(|table| {
        if let PrimaryKey::Declared {
            id: key,
            name,
            columns,
            include,
        } = &table.key
            && *key == id
        {
            return Some(Shown {
                table,
                name,
                unique: true,
                nulls_not_distinct: false,
                columns: columns
                    .iter()
                    .map(|c| (column_name(table, *c), ""))
                    .collect(),
                include,
                predicate: None,
            });
        }
        let index = table.indexes.iter().find(|index| index.id == id)?;
        Some(show(table, index))
    })
}

fn show<'a>(table: &'a Table, index: &'a Index) -> Shown<'a> {
    let columns = index.columns.iter().map(|column| {
        let key = match &column.key {
            IndexKey::Column(id) => column_name(table, *id),
            // A plain call needs no parentheses of its own.
            IndexKey::Expression(text, _) if is_call(text) => text.clone(),
            IndexKey::Expression(text, _) => format!("({text})"),
        };
        let order = match (column.descending, column.nulls_first) {
            (false, false) => "",
            (false, true) => " NULLS FIRST",
            (true, true) => " DESC",
            (true, false) => " DESC NULLS LAST",
        };
        (key, order)
    });
    Shown {
        table,
        name: &index.name,
        unique: index.unique,
        nulls_not_distinct: index.nulls_not_distinct,
        columns: columns.collect(),
        include: &index.options.include,
        predicate: index.predicate.as_deref(),
    }
}

/// `name(…)` whose first parenthesis closes at the end.
fn is_call(text: &str) -> bool {
    let Some((name, rest)) = text.split_once('(') else {
        return false;
    };
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let mut depth = 1_i32;
    let closes = rest.char_indices().find(|(_, c)| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    plain && closes.is_some_and(|(at, _)| at + 1 == rest.len())
}

fn index_definition(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(index) = find_index(schemas(call), int(&arguments[0])?) else {
        return Ok(Value::Null);
    };
    let column = match arguments.get(1) {
        Some(column) => int(column)?,
        None => 0,
    };
    if column != 0 {
        let found = usize::try_from(column - 1)
            .ok()
            .and_then(|place| index.columns.get(place));
        let included = usize::try_from(column - 1)
            .ok()
            .and_then(|place| index.include.get(place.checked_sub(index.columns.len())?))
            .map(|id| column_name(index.table, *id));
        let key = match &included {
            Some(name) => name,
            None => found.map_or("", |(key, _)| key.as_str()),
        };
        let is_pretty = arguments.get(2).map(boolean).transpose()?;
        return Ok(match is_pretty.unwrap_or(false) && key.starts_with("((") {
            true => Value::text(pretty(key)),
            false => Value::text(key),
        });
    }
    let is_pretty = arguments.get(2).map(boolean).transpose()?.unwrap_or(false);
    let bare = is_pretty && names::is_visible(index.table.namespace, call.context);
    Ok(Value::text(index.definition(is_pretty, bare)))
}

impl Shown<'_> {
    /// `bare`: the table without its schema.
    fn definition(&self, is_pretty: bool, bare: bool) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(key, order)| match is_pretty && key.starts_with("((") {
                true => format!("{}{order}", pretty(key)),
                false => format!("{key}{order}"),
            })
            .collect();
        let mut out = format!(
            "CREATE {}INDEX {} ON {}{} USING btree ({})",
            if self.unique { "UNIQUE " } else { "" },
            quote_identifier(self.name),
            match bare {
                true => String::new(),
                false => format!("{}.", names::namespace_name(self.table.namespace)),
            },
            quote_identifier(&self.table.name),
            columns.join(", ")
        );
        out.push_str(&including(self.table, self.include));
        if self.nulls_not_distinct {
            out.push_str(" NULLS NOT DISTINCT");
        }
        if let Some(predicate) = self.predicate {
            out.push_str(" WHERE ");
            out.push_str(&match is_pretty {
                true => pretty(predicate),
                false => in_parentheses(predicate),
            });
        }
        out
    }
}

fn in_parentheses(text: &str) -> String {
    let closed = match text.starts_with('(') {
        true => is_call(&format!("x{text}")),
        false => is_call(text) || text.chars().all(|c| c.is_alphanumeric() || c == '_'),
    };
    match closed {
        true => text.to_owned(),
        false => format!("({text})"),
    }
}

fn constraint_definition(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = int(&arguments[0])?;
    let is_pretty = arguments.get(1).map(boolean).transpose()?.unwrap_or(false);
    for schema in schemas(call) {
        for table in schema.tables.values() {
            if let Some(text) = constraint_of(call, table, oid, is_pretty) {
                return Ok(Value::text(text));
            }
        }
    }
    Ok(Value::Null)
}

fn constraint_of(call: &Call<'_>, table: &Table, oid: i64, is_pretty: bool) -> Option<String> {
    let is = |id: &ObjectId| i64::from(id.0) == oid;
    if let PrimaryKey::Declared {
        id,
        columns,
        include,
        ..
    } = &table.key
        && is(id)
    {
        let (columns, include) = (names_of(table, columns), including(table, include));
        return Some(format!("PRIMARY KEY ({columns}){include}"));
    }
    if let Some(check) = table.checks.iter().find(|check| is(&check.id)) {
        let shown = match is_pretty {
            true => pretty(&check.expression),
            false => in_parentheses(&check.expression),
        };
        return Some(format!("CHECK ({shown})"));
    }
    if let Some(key) = table.foreign_keys.iter().find(|key| is(&key.id)) {
        return Some(foreign_key(call.context, table, key));
    }
    let index = table
        .indexes
        .iter()
        .find(|index| is(&index.id) && index.constraint)?;
    let shown = show(table, index);
    let columns: Vec<&str> = shown.columns.iter().map(|(key, _)| key.as_str()).collect();
    let nulls = if index.nulls_not_distinct {
        " NULLS NOT DISTINCT"
    } else {
        ""
    };
    let kind = match index.options.primary {
        true => "PRIMARY KEY",
        false => "UNIQUE",
    };
    Some(format!(
        "{kind}{nulls} ({}){}{}{}",
        columns.join(", "),
        including(table, &index.options.include),
        match index.options.deferrable {
            true => " DEFERRABLE",
            false => "",
        },
        match index.options.initially_deferred {
            true => " INITIALLY DEFERRED",
            false => "",
        },
    ))
}

/// ` INCLUDE (a, b)`, or nothing.
fn including(table: &Table, include: &[ColumnId]) -> String {
    match include.is_empty() {
        true => String::new(),
        false => format!(" INCLUDE ({})", names_of(table, include)),
    }
}

fn foreign_key(context: &Context, table: &Table, key: &ForeignKey) -> String {
    let mut schemas = context.schemas().into_iter();
    let parent = schemas.find_map(|schema| schema.table(key.parent));
    let (parent_name, parent_columns) = match parent {
        Some(parent) => (
            names::shown_name(parent.namespace, &parent.name, context),
            names_of(parent, &key.parent_columns),
        ),
        None => ("?".to_owned(), "?".to_owned()),
    };
    let mut out = format!(
        "FOREIGN KEY ({}) REFERENCES {parent_name}({parent_columns})",
        names_of(table, &key.columns)
    );
    if key.match_full {
        out.push_str(" MATCH FULL");
    }
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        let action = match action {
            Action::NoAction => continue,
            Action::Restrict => "RESTRICT",
            Action::Cascade => "CASCADE",
            Action::SetNull => "SET NULL",
            Action::SetDefault => "SET DEFAULT",
        };
        out.push_str(&format!(" ON {event} {action}"));
    }
    if key.deferrable {
        out.push_str(" DEFERRABLE");
    }
    if key.initially_deferred {
        out.push_str(" INITIALLY DEFERRED");
    }
    out
}

fn serial_sequence(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (table_name, column_name) = (text(&arguments[0])?, text(&arguments[1])?);
    let oid = names::relation_oid(table_name, call.context)?
        .ok_or_else(|| names::unknown_relation(table_name))?;
    let schema = &call.context.schema;
    let table = schema.tables.values().find(|table| table.id.0 == oid);
    let table = table.ok_or_else(|| names::unknown_relation(table_name))?;
    let Some((_, column)) = table.column_named(column_name) else {
        return Err(Error::new(
            SqlState::UNDEFINED_COLUMN,
            format!(
                "column \"{column_name}\" of relation \"{}\" does not exist",
                table.name
            ),
        ));
    };
    let mut sequences = schema.sequences.values();
    let owned = sequences.find(|sequence| sequence.owner == Some((table.id, column.id)));
    Ok(owned.map_or(Value::Null, |sequence| {
        Value::text(format!("public.{}", quote_identifier(&sequence.name)))
    }))
}
