//! Values as the catalogs hold them.

use std::sync::Arc;

use crate::types::{Array, Type, Value};

pub(crate) fn int(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn oid(oid: u32) -> Value {
    Value::Int(oid.into())
}

/// The one-byte type.
pub(crate) fn letter(letter: char) -> Value {
    Value::text(letter.to_string())
}

pub(crate) fn optional(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::text)
}

/// What information_schema says for a truth.
pub(crate) fn yes_or_no(yes: bool) -> Value {
    Value::text(if yes { "YES" } else { "NO" })
}

pub(crate) fn list(element: Type, values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(Arc::new(Array::one_dimensional(
        element,
        values.into_iter().collect(),
    )))
}

pub(crate) fn int2_vector(values: impl IntoIterator<Item = i64>) -> Value {
    vector(Type::Int2, values)
}

pub(crate) fn oid_vector(values: impl IntoIterator<Item = u32>) -> Value {
    vector(Type::Oid, values.into_iter().map(i64::from))
}

/// Vectors count from 0.
fn vector(element: Type, values: impl IntoIterator<Item = i64>) -> Value {
    let values: Vec<Value> = values.into_iter().map(Value::Int).collect();
    let dimensions = vec![(i32::try_from(values.len()).unwrap_or(i32::MAX), 0)];
    let dimensions = if values.is_empty() {
        Vec::new()
    } else {
        dimensions
    };
    Value::Array(Arc::new(Array {
        element,
        dimensions,
        values,
    }))
}
