//! The orders that SQLite lacks: numeric, interval, jsonb, and arrays and
//! records. A connection must have them before it touches a replica's file.
//!
//! Text that no value of the type prints as has some fixed place: a collation
//! cannot fail.

use std::cmp::Ordering;
use std::sync::Arc;

use rusqlite::Connection;

use super::values;
use crate::types::{Value, compare};

/// Registers all collations on a connection.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation("pyql_numeric", compare::compare_numeric_texts)?;
    connection.create_collation("pyql_interval", compare::compare_interval_texts)?;
    connection.create_collation("pyql_jsonb", jsonb)?;
    connection.create_collation("pyql_value", canonical)
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
