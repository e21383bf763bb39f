//! A value of a neutral type, as every layer passes it on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::interval::Interval;
use super::numeric::Numeric;
use super::ty::Type;

/// One value. Which [`Type`] it has is known from the column or expression;
/// the variant alone tells its family (an `Int` may be an int2, int4, int8 or
/// an oid).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Null,
    Bool(bool),
    /// int2, int4, int8, oid and the reg types.
    Int(i64),
    /// float4 (already rounded to it) and float8; -0 only in expressions.
    Float(f64),
    Numeric(Numeric),
    /// text, varchar, char (without its padding), name, "char", unknown.
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// Days since 2000-01-01; `i32::MIN`/`MAX` are -infinity/infinity.
    Date(i32),
    /// Microseconds since midnight, 24:00:00 included.
    Time(i64),
    /// Microseconds since 2000-01-01 00:00; `i64::MIN`/`MAX` are -infinity/infinity.
    Timestamp(i64),
    /// The same in UTC.
    Timestamptz(i64),
    Interval(Interval),
    Uuid([u8; 16]),
    /// The text as it was given.
    Json(Arc<str>),
    /// The text as PostgreSQL prints a jsonb: keys sorted, blanks normalised.
    Jsonb(Arc<str>),
    Array(Arc<Array>),
    /// A row value; only in expressions.
    Record(Arc<[Value]>),
}

/// An array value: PostgreSQL's dimensions, lower bounds and elements in row-major order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Array {
    pub element: Type,
    /// (length, lower bound) of each dimension; empty for the empty array.
    pub dimensions: Vec<(i32, i32)>,
    pub values: Vec<Value>,
}

/// The values of a table's row in column order, or of a result row.
pub type Row = Vec<Value>;

impl Value {
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// About how many bytes values take where they are kept or sent.
pub fn about_bytes(values: &[Value]) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) | Value::Jsonb(text) => text.len() + 5,
        Value::Bytes(bytes) => bytes.len() + 5,
        Value::Numeric(_) | Value::Uuid(_) => 24,
        Value::Array(array) => 32 + about_bytes(&array.values),
        Value::Record(values) => 32 + about_bytes(values),
        _ => 9,
    };
    values.iter().map(value).sum()
}

impl Array {
    /// A one-dimensional array with lower bound 1 (none for no values).
    pub fn one_dimensional(element: Type, values: Vec<Value>) -> Array {
        let dimensions = if values.is_empty() {
            Vec::new()
        } else {
            vec![(values.len() as i32, 1)]
        };
        Array {
            element,
            dimensions,
            values,
        }
    }
}
