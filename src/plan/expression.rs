//! Typed expressions: operators and functions resolved to one definition each.

use super::function::FunctionRef;
use super::query::{Query, RelationId};
use crate::types::{Type, Value};

/// An expression and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub kind: ExpressionKind,
    pub ty: Type,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    Constant(Value),
    /// `$1` is parameter 0.
    Parameter(usize),
    /// A column of an item of this or an outer query's FROM.
    Column {
        relation: RelationId,
        column: usize,
    },
    /// A function or operator with a plain call: strict or not, as its definition says.
    Call {
        function: FunctionRef,
        arguments: Vec<Expression>,
    },
    Aggregate(Box<Aggregate>),
    /// GROUPING of these keys: the planner writes it out, no engine sees it.
    Grouping(Vec<Expression>),
    Window(Box<Window>),
    /// To this expression's type, modifier included; `explicit` truncates
    /// where an assignment would fail.
    Cast {
        operand: Box<Expression>,
        explicit: bool,
    },
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    IsNull {
        operand: Box<Expression>,
        negated: bool,
    },
    /// IS \[NOT\] TRUE / FALSE / UNKNOWN (`value: None`).
    IsTruth {
        operand: Box<Expression>,
        value: Option<bool>,
        negated: bool,
    },
    /// IS \[NOT\] DISTINCT FROM; both sides have one type.
    IsDistinct {
        left: Box<Expression>,
        right: Box<Expression>,
        negated: bool,
    },
    /// CASE with conditions; a simple CASE has its comparisons written out.
    Case {
        branches: Vec<(Expression, Expression)>,
        otherwise: Option<Box<Expression>>,
    },
    Coalesce(Vec<Expression>),
    /// NULLIF: `equal` is the comparison of `left` with the right side.
    NullIf {
        left: Box<Expression>,
        equal: Box<Expression>,
    },
    /// GREATEST or LEAST over one type.
    Extreme {
        greatest: bool,
        arguments: Vec<Expression>,
    },
    /// `operand = ANY (list)` with the comparison resolved: IN over values.
    InList {
        operand: Box<Expression>,
        list: Vec<Expression>,
        equal: FunctionRef,
        negated: bool,
    },
    /// `operand op ANY/ALL (array)`.
    AnyArray {
        operand: Box<Expression>,
        array: Box<Expression>,
        operator: FunctionRef,
        all: bool,
    },
    /// `(operands) op ANY/ALL (query)`; IN is `= ANY`, NOT IN is `<> ALL`.
    AnyQuery {
        operands: Vec<Expression>,
        query: Box<Query>,
        operators: Vec<FunctionRef>,
        all: bool,
    },
    Exists {
        query: Box<Query>,
        negated: bool,
    },
    /// A query of one column used as a value.
    Scalar(Box<Query>),
    /// ARRAY(query).
    ArrayQuery(Box<Query>),
    /// ARRAY[...] with elements of one type.
    Array(Vec<Expression>),
    /// ROW(...).
    Record(Vec<Expression>),
    /// `array[index]…`.
    Subscript {
        array: Box<Expression>,
        indexes: Vec<Expression>,
    },
    /// `array[lower:upper]`.
    Slice {
        array: Box<Expression>,
        lower: Option<Box<Expression>>,
        upper: Option<Box<Expression>>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub function: FunctionRef,
    /// Empty for count(*).
    pub arguments: Vec<Expression>,
    /// How many of them are the same for all rows of a group: those that stand
    /// before WITHIN GROUP.
    pub direct: usize,
    pub distinct: bool,
    pub filter: Option<Expression>,
    pub order_by: Vec<(Expression, bool, bool)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub function: FunctionRef,
    pub arguments: Vec<Expression>,
    pub filter: Option<Expression>,
    pub partition_by: Vec<Expression>,
    /// Expression, descending, nulls first.
    pub order_by: Vec<(Expression, bool, bool)>,
    pub frame: Option<Frame>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub units: FrameUnits,
    pub start: FrameBound,
    pub end: FrameBound,
    pub exclusion: Exclusion,
}

/// Which rows around the current one a frame leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    NoOthers,
    CurrentRow,
    Group,
    Ties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameUnits {
    Rows,
    Range,
    Groups,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FrameBound {
    UnboundedPreceding,
    Preceding(Expression),
    CurrentRow,
    Following(Expression),
    UnboundedFollowing,
}

impl Expression {
    pub fn constant(value: Value, ty: Type) -> Expression {
        Expression {
            kind: ExpressionKind::Constant(value),
            ty,
        }
    }

    pub fn column(relation: RelationId, column: usize, ty: Type) -> Expression {
        Expression {
            kind: ExpressionKind::Column { relation, column },
            ty,
        }
    }

    pub fn is_null_constant(&self) -> bool {
        matches!(self.kind, ExpressionKind::Constant(Value::Null))
    }
}
