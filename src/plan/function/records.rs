//! JSON as rows of given columns: json_to_record, json_to_recordset.
//!
//! Not handled: columns that are arrays, and the populate functions.

use super::Call;
use super::arguments::{array, int, text};
use super::definition::{Definition, rows};
use super::names;
use crate::error::{Error, Result, SqlState};
use crate::types::json::navigate::{self, Kind};
use crate::types::{Row, Type, Value, json, text as text_io};

pub(super) const TABLES: &[&[Definition]] = &[&[
    rows(
        "pyql_to_records",
        "text json text[] oid[] int4[] -> record",
        records,
    ),
    rows(
        "pyql_to_records",
        "text jsonb text[] oid[] int4[] -> record",
        records,
    ),
]];

struct Column<'a> {
    name: &'a str,
    ty: Type,
}

fn records(call: &Call<'_>, arguments: &[Value]) -> Result<Vec<Row>> {
    let (function, source) = (text(&arguments[0])?, text(&arguments[1])?);
    let lists = (
        array(&arguments[2])?,
        array(&arguments[3])?,
        array(&arguments[4])?,
    );
    let mut columns = Vec::with_capacity(lists.0.values.len());
    let described = lists
        .0
        .values
        .iter()
        .zip(&lists.1.values)
        .zip(&lists.2.values);
    for ((name, oid), modifier) in described {
        let base = u32::try_from(int(oid)?).ok().and_then(Type::from_oid);
        let base = base.ok_or_else(|| Error::internal("a column of an unknown type"))?;
        let modifier = i32::try_from(int(modifier)?).unwrap_or(-1);
        columns.push(Column {
            name: text(name)?,
            ty: names::with_modifier(base, modifier),
        });
    }
    let refused = |what: &str| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            // PostgreSQL names its inner function here.
            match function.ends_with("set") {
                true => format!("cannot call {function} on {what}"),
                false => format!("cannot call populate_composite on {what}"),
            },
        )
    };
    let is_set = function.ends_with("set");
    match (navigate::kind(source), is_set) {
        (Kind::Object, false) => Ok(vec![record(call, source, &columns)?]),
        (Kind::Array, true) => navigate::elements(source)
            .map(|element| match navigate::kind(element) {
                Kind::Object => record(call, element, &columns),
                _ => Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("argument of {function} must be an array of objects"),
                )),
            })
            .collect(),
        (Kind::Object, true) => Err(refused("an object")),
        (Kind::Array, false) => Err(refused("an array")),
        _ => Err(refused("a scalar")),
    }
}

fn record(call: &Call<'_>, object: &str, columns: &[Column<'_>]) -> Result<Row> {
    let cell = |column: &Column<'_>| {
        let Some(part) = navigate::field(object, column.name) else {
            return Ok(Value::Null);
        };
        match &column.ty {
            Type::Json => Ok(Value::Json(part.into())),
            Type::Jsonb => json::canonical(part).map(Value::Jsonb),
            Type::Array(_) => Err(Error::unsupported("an array column of a json record")),
            ty => match navigate::as_text(part) {
                Some(text) => text_io::input(&text, ty, call.io()),
                None => Ok(Value::Null),
            },
        }
    };
    columns.iter().map(cell).collect()
}
