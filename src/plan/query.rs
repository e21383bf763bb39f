//! Queries as the planner leaves them: every name resolved, every type known.
//!
//! This is the form that dispatch evaluates and that each engine's dialect
//! renders. It is data: pure, comparable, free of the SQL parser's types.

use std::sync::Arc;

use super::expression::Expression;
use crate::catalog::schema::Table;
use crate::types::Type;

/// Numbers the items of all FROM clauses of one plan; unique within it, so
/// that a column reference needs no scoping rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub with: Vec<CommonTable>,
    pub body: Body,
    pub order_by: Vec<SortKey>,
    pub limit: Option<Expression>,
    pub offset: Option<Expression>,
    pub columns: Vec<OutputColumn>,
    /// Rows to claim: FOR UPDATE and its weaker forms.
    pub locks: Vec<RowLock>,
}

impl Query {
    /// A query without columns or rows: holds the place of another.
    pub fn nothing() -> Query {
        Query {
            with: Vec::new(),
            body: Body::Values(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: Vec::new(),
            locks: Vec::new(),
        }
    }
}

/// A result column as Describe tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputColumn {
    pub name: String,
    pub ty: Type,
    /// The stored column it is, if it is nothing else: table oid and attnum.
    pub origin: Option<(u32, u16)>,
}

/// WITH name AS \[NOT\] \[MATERIALIZED\] (query).
#[derive(Clone, Debug, PartialEq)]
pub struct CommonTable {
    pub id: CommonTableId,
    pub name: String,
    pub query: Query,
    pub recursive: bool,
    pub materialized: Option<bool>,
}

/// Numbers the common tables of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommonTableId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Select(Box<Select>),
    /// Rows of equal length; the types are the query's columns'.
    Values(Vec<Vec<Expression>>),
    SetOperation {
        operator: SetOperator,
        all: bool,
        left: Box<Query>,
        right: Box<Query>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperator {
    Union,
    Intersect,
    Except,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub distinct: Distinct,
    /// One for each of the query's columns, then any that only ORDER BY needs
    /// (`SortBy::Column` counts them all).
    pub projection: Vec<Expression>,
    /// Comma-separated items; empty for a SELECT without FROM.
    pub from: Vec<From>,
    pub filter: Option<Expression>,
    pub group_by: Vec<Expression>,
    /// Has GROUP BY, HAVING or an aggregate: yields one row per group.
    pub grouped: bool,
    pub having: Option<Expression>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Distinct {
    No,
    Rows,
    On(Vec<Expression>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// A stored or system relation; columns are places in the table's row.
    Table {
        relation: RelationId,
        table: Arc<Table>,
        alias: String,
    },
    /// A common table of this or an outer query.
    Common {
        relation: RelationId,
        common: CommonTableId,
        alias: String,
    },
    Subquery {
        relation: RelationId,
        query: Box<Query>,
        alias: String,
        lateral: bool,
    },
    /// A function in FROM, e.g. generate_series; `columns` as its result.
    Function {
        relation: RelationId,
        call: Expression,
        /// Further calls that run side by side with it.
        more: Vec<Expression>,
        alias: String,
        columns: Vec<OutputColumn>,
        ordinality: bool,
        lateral: bool,
    },
    Join {
        kind: JoinKind,
        left: Box<From>,
        right: Box<From>,
        on: Option<Expression>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    Cross,
    Inner,
    Left,
    Right,
    Full,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    pub by: SortBy,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SortBy {
    /// A place in the projection.
    Column(usize),
    Expression(Expression),
}

#[derive(Clone, Debug, PartialEq)]
pub struct RowLock {
    pub strength: LockStrength,
    /// The relations of FROM it covers.
    pub relations: Vec<RelationId>,
    pub wait: LockWait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockStrength {
    KeyShare,
    Share,
    NoKeyUpdate,
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    Wait,
    NoWait,
    SkipLocked,
}
