//! Functions, operators and aggregates: one definition each, with PostgreSQL's
//! names, and one implementation in Rust that the evaluator and the SQLite
//! engine share.

use std::fmt;

use crate::error::Result;
use crate::plan::context::Context;
use crate::types::{Type, Value};

/// A function, operator or aggregate that a plan may call.
pub struct Function {
    /// `pg_proc.proname`; operators are called by their function (`int4pl`).
    pub name: &'static str,
    pub arguments: &'static [Parameter],
    /// The last parameter may repeat.
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
}

/// When a repeated call with the same arguments may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    Immutable,
    /// Fixed within a statement: settings, time, schema.
    Stable,
    Volatile,
}

/// Evaluates a call: the context, the arguments, their types, the result type.
pub type Evaluate = fn(&Call<'_>, &[Value]) -> Result<Value>;

/// What a call knows beside its arguments.
pub struct Call<'a> {
    pub context: &'a Context,
    pub argument_types: &'a [Type],
    pub result_type: &'a Type,
}

pub enum FunctionBody {
    Scalar(Evaluate),
    /// Folds rows.
    Aggregate(fn(&[Type]) -> Box<dyn Accumulator>),
    /// Only meaningful with OVER: row_number, rank, lag…
    Window,
    /// Yields rows, e.g. generate_series; may stand in FROM only.
    Rows(fn(&Call<'_>, &[Value]) -> Result<Vec<Vec<Value>>>),
}

/// The running state of one aggregate over one group.
pub trait Accumulator: Send {
    fn step(&mut self, arguments: &[Value]) -> Result<()>;
    fn finish(&mut self) -> Result<Value>;
}

/// A definition, compared by identity.
#[derive(Clone, Copy)]
pub struct FunctionRef(pub &'static Function);

impl PartialEq for FunctionRef {
    fn eq(&self, other: &FunctionRef) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl fmt::Debug for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.name, self.0.arguments.len())
    }
}

impl std::ops::Deref for FunctionRef {
    type Target = Function;

    fn deref(&self) -> &Function {
        self.0
    }
}
