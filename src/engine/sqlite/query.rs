//! Runs one rendered query on one connection, row by row.
//!
//! Any connection will do that [`prepare_connection`] has seen: a replica's
//! file or the system's relations in memory.

use std::ops::ControlFlow;
use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput};
use rusqlite::{Connection, ErrorCode, Statement};

use super::dialect::{Binding, LEAVES};
use super::execution::{self, Execution};
use super::{collations, functions, rows, values, windows, written};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::{RowScope, evaluate};
use crate::types::{Row, Type, Value};

/// Prepared statements that a connection keeps.
const STATEMENT_CACHE: usize = 256;

/// Why a query ended early.
#[derive(Debug)]
pub enum Failure {
    /// The statement's own error: the same on any replica.
    Statement(Error),
    /// The progress handler stopped it: over budget, or cancelled.
    Interrupted,
    /// The database failed.
    Database(String),
}

/// Registers what rendered queries need: collations, functions, row sources.
pub fn prepare_connection(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    collations::register(connection)?;
    functions::register(connection)?;
    windows::register(connection)?;
    rows::register(connection)?;
    written::register(connection)
}

/// Runs a query and hands out its rows until `take` breaks or fails.
pub fn run(
    connection: &Connection,
    execution: &Arc<Execution>,
    take: &mut dyn FnMut(Row) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let rendered = &execution.rendered;
    let _entered = execution::enter(execution.clone());
    let mut statement = connection.prepare_cached(&rendered.sql).map_err(refused)?;
    bind(&mut statement, execution)?;
    let mut rows = statement.raw_query();
    while let Some(stored) = rows.next().map_err(failed)? {
        let row = read_row(stored, &rendered.columns)?;
        if take(row)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// All rows of a query, for callers who know that they are few.
pub fn collect(connection: &Connection, execution: &Arc<Execution>) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    run(connection, execution, &mut |row| {
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn read_row(stored: &rusqlite::Row<'_>, columns: &[Type]) -> Result<Row, Failure> {
    let mut row = Vec::with_capacity(columns.len());
    for (place, ty) in columns.iter().enumerate() {
        let value = stored.get_ref(place).map_err(failed)?;
        row.push(values::decode(value, ty).map_err(|e| Failure::Database(e.message().to_owned()))?);
    }
    Ok(row)
}

/// A borrowed value on its way to SQLite.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(values::encode(self.0))
    }
}

fn bind(statement: &mut Statement<'_>, execution: &Execution) -> Result<(), Failure> {
    for (place, binding) in execution.rendered.bindings.iter().enumerate() {
        // The text may have left out what was bound last.
        if place >= statement.parameter_count() {
            break;
        }
        let bound = match binding {
            Binding::Constant(value) => statement.raw_bind_parameter(place + 1, Bound(value)),
            Binding::Parameter(index) => match execution.parameters.get(*index) {
                Some(value) => statement.raw_bind_parameter(place + 1, Bound(value)),
                None => return Err(Failure::Statement(no_parameter(*index))),
            },
            Binding::Computed(expression) => {
                let scope = RowScope {
                    relation: LEAVES,
                    row: &[],
                    parameters: &execution.parameters,
                };
                let value = evaluate(expression, &scope, &execution.context);
                let value = value.map_err(Failure::Statement)?;
                statement.raw_bind_parameter(place + 1, Bound(&value))
            }
        };
        bound.map_err(failed)?;
    }
    Ok(())
}

fn no_parameter(index: usize) -> Error {
    Error::new(
        SqlState::UNDEFINED_PARAMETER,
        format!("there is no parameter ${}", index + 1),
    )
}

/// What a failed step means.
fn failed(error: rusqlite::Error) -> Failure {
    if let Some(own) = execution::take_failure() {
        return Failure::Statement(own);
    }
    let rusqlite::Error::SqliteFailure(code, message) = &error else {
        return Failure::Database(error.to_string());
    };
    match (code.code, message.as_deref()) {
        (ErrorCode::OperationInterrupted, _) => Failure::Interrupted,
        (ErrorCode::TooBig, _) => Failure::Statement(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            "a value is too long",
        )),
        // SQLite's own sum, which stands for sum(integer) only.
        (ErrorCode::Unknown, Some("integer overflow")) => Failure::Statement(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            "bigint out of range",
        )),
        (ErrorCode::Unknown, Some("argument of ntile must be a positive integer")) => {
            Failure::Statement(Error::new(
                SqlState(*b"22014"),
                "argument of ntile must be greater than zero",
            ))
        }
        (ErrorCode::Unknown, Some("second argument to nth_value must be a positive integer")) => {
            Failure::Statement(Error::new(
                SqlState(*b"22016"),
                "argument of nth_value must be greater than zero",
            ))
        }
        (ErrorCode::Unknown, Some(text)) if text.starts_with("frame ") => {
            Failure::Statement(Error::new(SqlState(*b"22013"), bad_offset(text)))
        }
        (ErrorCode::Unknown, Some(text)) => Failure::Statement(Error::internal(format!(
            "the engine stopped the query: {text}"
        ))),
        _ => Failure::Database(error.to_string()),
    }
}

/// What PostgreSQL says of a frame's offset that SQLite does not take.
fn bad_offset(text: &str) -> String {
    // SQLite wants a number for RANGE, an integer for ROWS and GROUPS.
    if text.ends_with("number") {
        return "invalid preceding or following size in window function".to_owned();
    }
    let end = match text.contains("starting") {
        true => "starting",
        false => "ending",
    };
    format!("frame {end} offset must not be negative")
}

/// What the refusal to prepare a statement means: SQLite has limits of its own.
fn refused(error: rusqlite::Error) -> Failure {
    const TOO_MUCH: [&str; 6] = [
        "too many",
        "too large",
        "too deep",
        "overflow",
        "at most",
        "Recursion limit",
    ];
    let text = match &error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        rusqlite::Error::SqliteFailure(code, Some(text)) if code.code == ErrorCode::Unknown => text,
        _ => return failed(error),
    };
    Failure::Statement(if text.contains("recursive") || text.contains("circular") {
        Error::unsupported("a recursive query of this form")
    } else if TOO_MUCH.iter().any(|sign| text.contains(sign)) {
        Error::new(SqlState::STATEMENT_TOO_COMPLEX, "statement too complex")
            .detail(format!("The engine says: {text}."))
    } else {
        Error::internal(format!("the engine refused the query: {text}"))
    })
}
