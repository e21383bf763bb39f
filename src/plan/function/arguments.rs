//! Takes argument values out of their variants. Resolution has fixed the
//! types, so a mismatch is our own fault and says so.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::types::{Array, Interval, Numeric, Value};

#[cold]
fn mismatch(wanted: &str, value: &Value) -> Error {
    Error::internal(format!("expected {wanted} argument, found {value:?}"))
}

macro_rules! getters {
    ($($name:ident($variant:ident, $wanted:literal) -> $ty:ty;)*) => {$(
        pub(super) fn $name(value: &Value) -> Result<$ty> {
            match value {
                Value::$variant(inner) => Ok(*inner),
                other => Err(mismatch($wanted, other)),
            }
        }
    )*};
}

getters! {
    boolean(Bool, "a boolean") -> bool;
    int(Int, "an integer") -> i64;
    float(Float, "a float") -> f64;
    date(Date, "a date") -> i32;
    time(Time, "a time") -> i64;
    timestamp(Timestamp, "a timestamp") -> i64;
    timestamptz(Timestamptz, "a timestamptz") -> i64;
    interval(Interval, "an interval") -> Interval;
}

/// An int4 argument, which the caller's type has kept in range.
pub(super) fn int4(value: &Value) -> Result<i32> {
    i32::try_from(int(value)?).map_err(|_| mismatch("an int4", value))
}

pub(super) fn numeric(value: &Value) -> Result<&Numeric> {
    match value {
        Value::Numeric(inner) => Ok(inner),
        other => Err(mismatch("a numeric", other)),
    }
}

/// Anything kept as text, json included.
pub(super) fn text(value: &Value) -> Result<&Arc<str>> {
    match value {
        Value::Text(inner) | Value::Json(inner) | Value::Jsonb(inner) => Ok(inner),
        other => Err(mismatch("a text", other)),
    }
}

pub(super) fn bytes(value: &Value) -> Result<&Arc<[u8]>> {
    match value {
        Value::Bytes(inner) => Ok(inner),
        other => Err(mismatch("a bytea", other)),
    }
}

pub(super) fn array(value: &Value) -> Result<&Arc<Array>> {
    match value {
        Value::Array(inner) => Ok(inner),
        other => Err(mismatch("an array", other)),
    }
}
