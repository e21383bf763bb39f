//! What every request becomes: a [`Plan`]. Pure: no I/O, no clock.
//!
//! SQL text goes through `parse` and `bind`; PYQL JSON through `pyql`.
//! A plan is data; `dispatch` interprets it and the engines' dialects render it.

pub mod bind;
pub mod coerce;
pub mod context;
pub mod deparse;
pub mod evaluate;
pub mod expression;
pub mod function;
pub mod parse;
pub mod point;
pub mod query;
pub mod statement;
pub mod syntax;
pub mod visit;

use crate::types::Type;
use crate::types::id::{SchemaVersion, TableId};
use query::OutputColumn;
use statement::Statement;

/// One planned statement.
#[derive(Clone, Debug)]
pub struct Plan {
    pub statement: Statement,
    /// Types of `$1…`, inferred or given.
    pub parameters: Vec<Type>,
    /// What it returns; empty for none.
    pub columns: Vec<OutputColumn>,
    /// The user tables it reads or writes.
    pub tables: Vec<TableId>,
    /// It reads the system's relations (and then no user table).
    pub system: bool,
    /// The schema it was planned against.
    pub schema_version: SchemaVersion,
}
