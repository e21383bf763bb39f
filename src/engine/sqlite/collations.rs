//! The orders that SQLite lacks: numeric, interval, jsonb, and arrays and
//! records. A connection must have them before it touches a replica's file.
//!
//! Text that no value of the type prints as sorts by its bytes, after nothing
//! in particular: a collation cannot fail.

use std::cmp::Ordering;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::values;
use crate::types::{Numeric, Type, Value, compare};

/// Registers all collations on a connection.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation("pyql_numeric", numeric)?;
    connection.create_collation("pyql_interval", |a, b| by_type(a, b, &Type::INTERVAL))?;
    connection.create_collation("pyql_jsonb", jsonb)?;
    connection.create_collation("pyql_value", canonical)
}

fn numeric(a: &str, b: &str) -> Ordering {
    match (small_integer(a), small_integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => match (Numeric::parse(a), Numeric::parse(b)) {
            (Ok(a), Ok(b)) => a.compare(&b),
            _ => a.cmp(b),
        },
    }
}

/// Most numerics are short integers, for which no big number need be made.
fn small_integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn by_type(a: &str, b: &str, ty: &Type) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let read = |text: &str| values::decode(ValueRef::Text(text.as_bytes()), ty);
    match (read(a), read(b)) {
        (Ok(a), Ok(b)) => compare::compare(&a, &b),
        _ => a.cmp(b),
    }
}

fn jsonb(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    compare::compare(&Value::Jsonb(Arc::from(a)), &Value::Jsonb(Arc::from(b)))
}

fn canonical(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (values::from_hex(a), values::from_hex(b)) {
        (Some(a), Some(b)) => compare::compare(&a, &b),
        _ => a.cmp(b),
    }
}
