//! JSON values as values of a column's type.
//!
//! Lenient where the original was (numbers in texts, any value in a text
//! column), but a value that does not fit is refused, never cut.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Number;

use super::json::Json;
use crate::catalog::schema::Column;
use crate::error::{Error, Result, SqlState};
use crate::types::settings::Io;
use crate::types::{Type, Value, text};

/// Beyond this a float no longer tells neighbouring whole numbers apart.
const LARGEST_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// A value for this column, its length not yet checked: the statement's own
/// assignment does that.
pub fn convert(json: &Json, column: &Column, io: Io<'_>) -> Result<Value> {
    of_type(json, &column.ty.without_modifier(), io).map_err(|error| error.column(&column.name))
}

/// A value to compare this column with, and its type: a number with a
/// fraction, or one too large, may well be compared with whole numbers.
pub(super) fn comparand(json: &Json, column: &Column, io: Io<'_>) -> Result<(Value, Type)> {
    let ty = column.ty.without_modifier();
    match (convert(json, column, io), json) {
        (Err(_), Json::Number(number)) if ty.is_integer() => {
            let value = text::input(&number.to_string(), &Type::NUMERIC, io)?;
            Ok((value, Type::NUMERIC))
        }
        (value, _) => Ok((value?, ty)),
    }
}

fn of_type(json: &Json, ty: &Type, io: Io<'_>) -> Result<Value> {
    match (json, ty) {
        (Json::Null, _) => Ok(Value::Null),
        (_, Type::Json | Type::Jsonb) => text::input(&printed(json), ty, io),
        (Json::Text(value), Type::Bytea) => STANDARD
            .decode(value.trim_ascii())
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|_| {
                Error::new(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    "invalid base64 for type bytea",
                )
            }),
        (Json::Text(value), _) if ty.is_string() => text::input(value, ty, io),
        (Json::Text(value), _) => text::input(value.trim_ascii(), ty, io),
        (Json::Bool(value), Type::Bool) => Ok(Value::Bool(*value)),
        (Json::Bool(value), _) if ty.is_integer() => Ok(Value::Int(i64::from(*value))),
        (Json::Bool(value), _) if ty.is_string() => {
            Ok(Value::text(if *value { "True" } else { "False" }))
        }
        (Json::Number(number), _) if ty.is_integer() => integer(number, ty, io),
        (Json::Number(number), _) if ty.is_number() || ty.is_string() => {
            text::input(&number.to_string(), ty, io)
        }
        (Json::Number(number), Type::Bool) => match number.as_i64() {
            Some(0) => Ok(Value::Bool(false)),
            Some(1) => Ok(Value::Bool(true)),
            _ => Err(mismatch(json, ty)),
        },
        (Json::List(_) | Json::Object(_), _) if ty.is_string() => {
            text::input(&printed(json), ty, io)
        }
        _ => Err(mismatch(json, ty)),
    }
}

/// A whole number, however it is written: `1000`, `1000.0`, `1e3`.
fn integer(number: &Number, ty: &Type, io: Io<'_>) -> Result<Value> {
    let text = number.to_string();
    if text.contains(['.', 'e', 'E'])
        && let Some(value) = number.as_f64()
        && value.fract() == 0.0
        && value.abs() < LARGEST_EXACT_FLOAT
    {
        return text::input(&(value as i64).to_string(), ty, io);
    }
    text::input(&text, ty, io)
}

fn printed(json: &Json) -> String {
    let mut out = String::new();
    json.print(&mut out);
    out
}

fn mismatch(json: &Json, ty: &Type) -> Error {
    Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!("{} is no value of type {ty}", json.kind()),
    )
}
