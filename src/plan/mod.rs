//! What every request becomes: a [`Plan`]. Pure: no I/O, no clock.
//!
//! SQL text goes through `parse` and `bind`; PYQL JSON through `pyql`.
//! A plan is data; `dispatch` interprets it and the engines' dialects render it.

pub mod bind;
pub mod coerce;
pub mod context;
pub mod deparse;
pub mod evaluate;
pub mod evaluation;
pub mod expression;
pub mod function;
pub mod given;
pub mod parse;
pub mod pin;
pub mod point;
pub mod pyql;
pub mod query;
pub mod statement;
pub mod syntax;
pub mod visit;

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::types::Type;
use crate::types::id::{SchemaVersion, TableId};
use evaluation::Evaluation;
use query::{OutputColumn, Query};
use statement::Statement;

/// One planned statement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The SQL it was made from, to plan again when the schema moves; empty
    /// for PYQL.
    pub text: Arc<str>,
    pub statement: Statement,
    /// Types of `$1…`, inferred or given.
    pub parameters: Vec<Type>,
    /// What it returns; empty for none.
    pub columns: Vec<OutputColumn>,
    /// The user tables it reads or writes.
    pub tables: Vec<TableId>,
    /// It names relations of the system.
    pub system: bool,
    /// Some query in it, at whatever depth, has FOR UPDATE or its like.
    pub locking: bool,
    /// The schema it was planned against.
    pub schema_version: SchemaVersion,
    pub derived: Derived,
}

/// What is worked out from a plan once, when first asked for.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    query: OnceLock<Arc<Query>>,
    evaluation: OnceLock<Arc<Evaluation>>,
}

impl Plan {
    /// A plan that does nothing: an empty statement.
    pub fn empty() -> Plan {
        Plan {
            text: Arc::from(""),
            statement: Statement::Empty,
            parameters: Vec::new(),
            columns: Vec::new(),
            tables: Vec::new(),
            system: false,
            locking: false,
            schema_version: SchemaVersion::default(),
            derived: Derived::default(),
        }
    }

    /// A query over the system's relations alone, which asks no replica.
    pub fn is_system_query(&self) -> bool {
        let reads = match &self.statement {
            Statement::Query(_) => true,
            Statement::Copy(copy) => !copy.is_in(),
            Statement::Explain { plan, .. } => return plan.is_system_query(),
            _ => false,
        };
        self.system && self.tables.is_empty() && reads
    }

    /// The statement's query as one shared value, so that engines can know it again.
    pub fn shared_query(&self, query: &Query) -> Arc<Query> {
        self.derived
            .query
            .get_or_init(|| Arc::new(query.clone()))
            .clone()
    }

    /// How the statement is evaluated.
    pub fn evaluation(&self, make: impl FnOnce() -> Result<Evaluation>) -> Result<Arc<Evaluation>> {
        if let Some(made) = self.derived.evaluation.get() {
            return Ok(made.clone());
        }
        let made = Arc::new(make()?);
        Ok(self.derived.evaluation.get_or_init(|| made).clone())
    }
}
