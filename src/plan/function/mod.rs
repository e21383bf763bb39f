//! Functions, operators and aggregates: one definition each, with PostgreSQL's
//! names, and one implementation in Rust that the evaluator and the SQLite
//! engine share.
//!
//! The definitions stand in tables, one file per topic; `registry` reads them
//! once, `resolve` chooses among them as PostgreSQL does.

mod acl;
mod aggregate;
mod arguments;
mod array;
mod bits;
mod comment;
mod compare;
mod conversion;
mod datetime;
mod decimal;
mod definition;
pub mod definitions;
mod degrees;
mod digest;
mod float;
mod integer;
mod json;
mod json_build;
mod like;
mod md5;
mod memo;
pub mod names;
mod notation;
pub mod oids;
mod ordered;
pub mod pretty;
mod records;
mod regex;
pub mod registry;
pub mod resolve;
mod rows;
mod sequence;
mod signature;
mod statistics;
pub mod string;
mod system;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod unbuilt;
mod window;

pub use system::SERVER_VERSION;

use std::fmt;

use crate::error::Result;
use crate::plan::context::Context;
use crate::plan::expression::Expression;
use crate::types::settings::Io;
use crate::types::{Row, Type, Value};

/// A function, operator or aggregate that a plan may call.
pub struct Function {
    /// `pg_proc.proname`; operators are called by their function (`int4pl`).
    pub name: &'static str,
    /// The name with its argument types, e.g. `int4pl_int4_int4`: unique.
    pub sql_id: String,
    /// The operator that calls it; prefix if it takes one argument.
    pub operator: Option<&'static str>,
    pub arguments: Vec<Parameter>,
    /// The last parameter may repeat; its type here is that of one argument.
    pub variadic: bool,
    pub result: Returns,
    pub volatility: Volatility,
    /// NULL in, NULL out, without a call.
    pub strict: bool,
    pub body: FunctionBody,
}

/// A parameter's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    Of(Type),
    /// PostgreSQL's pseudo-types; all of one call agree.
    AnyElement,
    AnyArray,
    AnyNonArray,
    /// These need not agree, but must have a common type.
    Compatible,
    CompatibleArray,
    /// Takes whatever comes, each argument by itself.
    Any,
}

/// A result's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Returns {
    Of(Type),
    /// The type that AnyElement stands for.
    Element,
    /// The array type over it.
    Array,
    /// The same for Compatible.
    Compatible,
    CompatibleArray,
    /// Rows of these columns; their type is `record`.
    Columns(Vec<(String, Type)>),
}

/// When a repeated call with the same arguments may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    /// Fixed within a statement: settings, time, schema.
    Stable,
    Volatile,
}

/// Evaluates a call.
pub type Evaluate = fn(&Call<'_>, &[Value]) -> Result<Value>;

/// Evaluates a call to all its rows.
pub type EvaluateRows = fn(&Call<'_>, &[Value]) -> Result<Vec<Row>>;

/// What a call knows beside its arguments.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub context: &'a Context,
    pub arguments: ArgumentTypes<'a>,
    pub result_type: &'a Type,
}

/// The types of a call's arguments, from wherever they are at hand.
#[derive(Clone, Copy)]
pub enum ArgumentTypes<'a> {
    Expressions(&'a [Expression]),
    Types(&'a [Type]),
    Pair(&'a Type, &'a Type),
}

#[derive(Clone, Copy)]
pub enum FunctionBody {
    Scalar(Evaluate),
    /// Folds rows.
    Aggregate(fn(&Call<'_>) -> Box<dyn Accumulator>),
    /// An ordered-set aggregate: folds rows that come in the order of WITHIN
    /// GROUP, its direct arguments before what it is ordered by.
    Ordered(fn(&Call<'_>) -> Box<dyn Accumulator>),
    /// Only meaningful with OVER: row_number, rank, lag…
    Window,
    /// Yields rows, e.g. generate_series; may stand in FROM only.
    Rows(EvaluateRows),
}

/// The running state of one aggregate over one group. A strict aggregate is
/// not stepped with a NULL argument.
pub trait Accumulator: Send {
    fn step(&mut self, arguments: &[Value]) -> Result<()>;
    fn finish(&mut self) -> Result<Value>;
}

/// A definition, compared by identity.
#[derive(Clone, Copy)]
pub struct FunctionRef(pub &'static Function);

impl Call<'_> {
    /// The type of an argument; `unknown` past the last.
    pub fn argument_type(&self, index: usize) -> &Type {
        let ty = match self.arguments {
            ArgumentTypes::Expressions(expressions) => expressions.get(index).map(|e| &e.ty),
            ArgumentTypes::Types(types) => types.get(index),
            ArgumentTypes::Pair(left, right) => [left, right].get(index).copied(),
        };
        ty.unwrap_or(&Type::Unknown)
    }

    pub fn io(&self) -> Io<'_> {
        self.context.io()
    }
}

impl Function {
    /// PostgreSQL's `proname(argument types)`.
    pub fn signature(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(Parameter::to_string).collect();
        format!("{}({})", self.name, arguments.join(","))
    }

    pub fn is_aggregate(&self) -> bool {
        matches!(self.body, FunctionBody::Aggregate(_))
    }

    /// An aggregate that needs WITHIN GROUP.
    pub fn is_ordered_set(&self) -> bool {
        matches!(self.body, FunctionBody::Ordered(_))
    }

    pub fn is_window(&self) -> bool {
        matches!(self.body, FunctionBody::Window)
    }

    /// Yields rows: may stand in FROM only.
    pub fn is_set(&self) -> bool {
        matches!(self.body, FunctionBody::Rows(_))
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Parameter::Of(ty) => write!(f, "{ty}"),
            Parameter::AnyElement => f.write_str("anyelement"),
            Parameter::AnyArray => f.write_str("anyarray"),
            Parameter::AnyNonArray => f.write_str("anynonarray"),
            Parameter::Compatible => f.write_str("anycompatible"),
            Parameter::CompatibleArray => f.write_str("anycompatiblearray"),
            Parameter::Any => f.write_str("\"any\""),
        }
    }
}

impl PartialEq for FunctionRef {
    fn eq(&self, other: &FunctionRef) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl fmt::Debug for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.sql_id)
    }
}

impl std::ops::Deref for FunctionRef {
    type Target = Function;

    fn deref(&self) -> &Function {
        self.0
    }
}
