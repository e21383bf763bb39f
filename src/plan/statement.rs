//! Statements as plans carry them.

use std::sync::Arc;

use super::Plan;
use super::expression::Expression;
use super::given::Given;
use super::query::{CommonTable, From, OutputColumn, Query, RelationId};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::Table;
use crate::types::id::{ColumnId, ObjectId, TableId};

#[derive(Clone, Debug)]
pub enum Statement {
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Compound(Box<Compound>),
    Truncate {
        tables: Vec<TableId>,
        restart_identity: bool,
    },
    Schema(SchemaStatement),
    Copy(Copy),
    Explain {
        plan: Arc<Plan>,
        analyze: bool,
        format: ExplainFormat,
    },
    Transaction(TransactionStatement),
    Session(SessionStatement),
    Admin(AdminStatement),
    /// VACUUM, ANALYZE, CHECKPOINT, REINDEX, CLUSTER: accepted, changes no result.
    Maintenance {
        tag: &'static str,
    },
    /// IF NOT EXISTS and IF EXISTS that found nothing to do, and the like.
    Nothing {
        tag: &'static str,
        notice: Option<String>,
    },
    /// An empty statement.
    Empty,
}

/// INSERT. Every row is complete: defaults and generated keys are expressions.
#[derive(Clone, Debug)]
pub struct Insert {
    pub with: Vec<CommonTable>,
    pub table: Arc<Table>,
    /// The new row in RETURNING, the existing row in ON CONFLICT.
    pub relation: RelationId,
    pub source: InsertSource,
    pub on_conflict: Option<OnConflict>,
    pub returning: Option<Returning>,
}

/// A statement with common tables that write: several statements, all on the
/// same view of the tables. None sees what another wrote, but for what its
/// RETURNING gives.
#[derive(Clone, Debug)]
pub struct Compound {
    /// In the order in which they run.
    pub steps: Vec<Step>,
    /// The statement itself among them.
    pub main: usize,
}

#[derive(Clone, Debug)]
pub struct Step {
    pub plan: Arc<Plan>,
    /// The table under which later steps find the rows it gives.
    pub gives: Option<TableId>,
}

impl Compound {
    /// The statement that has the WITH.
    pub fn main(&self) -> &Statement {
        &self.steps[self.main].plan.statement
    }
}

#[derive(Clone, Debug)]
pub enum InsertSource {
    /// Full rows in the table's column order.
    Values(Vec<Vec<Expression>>),
    /// For each table column its place in the query's result, or an
    /// expression computed once per row.
    Query {
        query: Box<Query>,
        columns: Vec<InsertColumn>,
    },
}

#[derive(Clone, Debug)]
pub enum InsertColumn {
    /// Place in the query's result; the query has been made to yield the column's type.
    Result(usize),
    Default(Expression),
}

#[derive(Clone, Debug)]
pub struct OnConflict {
    /// The unique index or primary key that decides; `None`: any of them.
    pub target: Option<Vec<ObjectId>>,
    /// `None` is DO NOTHING.
    pub update: Option<ConflictUpdate>,
}

#[derive(Clone, Debug)]
pub struct ConflictUpdate {
    /// The row proposed for insertion.
    pub excluded: RelationId,
    pub set: Vec<(usize, Expression)>,
    pub filter: Option<Expression>,
    /// Yields the new values in the order of `set`, then the condition; where
    /// they cannot be computed from the two rows alone.
    pub query: Option<Given>,
}

#[derive(Clone, Debug)]
pub struct Update {
    pub with: Vec<CommonTable>,
    pub table: Arc<Table>,
    pub relation: RelationId,
    pub alias: String,
    /// Places in the row and their new values, of the columns' types.
    pub set: Vec<(usize, Expression)>,
    pub from: Vec<From>,
    pub filter: Option<Expression>,
    pub returning: Option<Returning>,
}

#[derive(Clone, Debug)]
pub struct Delete {
    pub with: Vec<CommonTable>,
    pub table: Arc<Table>,
    pub relation: RelationId,
    pub alias: String,
    pub using: Vec<From>,
    pub filter: Option<Expression>,
    pub returning: Option<Returning>,
}

/// RETURNING: expressions over the written row (and, for UPDATE and DELETE,
/// the other relations of the statement).
#[derive(Clone, Debug)]
pub struct Returning {
    pub expressions: Vec<Expression>,
    pub columns: Vec<OutputColumn>,
    /// Yields the expressions where they cannot be computed from the row alone.
    pub query: Option<Given>,
}

#[derive(Clone, Debug)]
pub struct SchemaStatement {
    pub changes: Vec<SchemaChange>,
    /// What must hold before the log; looked up on a replica.
    pub checks: Vec<SchemaCheck>,
    pub tag: &'static str,
    pub notices: Vec<String>,
    /// CREATE TABLE AS: fills the visible columns of the new table, whose id
    /// is in `changes`; the tag is then SELECT with the number of rows.
    pub fill: Option<Box<Query>>,
    /// Added columns whose values differ from row to row (a generated key, a
    /// volatile default): written in the same transaction.
    pub column_fills: Vec<ColumnFill>,
    /// Sequences that start again: their next value is this.
    pub restarts: Vec<(ObjectId, i64)>,
}

/// An added column that gets `value`, computed once per row, in every row.
#[derive(Clone, Debug)]
pub struct ColumnFill {
    pub table: TableId,
    pub column: ColumnId,
    pub value: Expression,
}

/// A condition on existing rows.
#[derive(Clone, Debug)]
pub enum SchemaCheck {
    /// A unique index or key over these columns finds no duplicates.
    Unique {
        table: TableId,
        columns: Vec<Expression>,
        relation: RelationId,
        filter: Option<Expression>,
        nulls_not_distinct: bool,
        name: String,
    },
    NotNull {
        table: TableId,
        column: usize,
    },
    /// The table has no row: a column of this name is added NOT NULL without a
    /// value (else 23502).
    NoRows {
        table: TableId,
        column: String,
    },
    /// The condition is not false for any row.
    Holds {
        table: TableId,
        relation: RelationId,
        condition: Expression,
        constraint: String,
        /// NOT VALID was said: rows may violate it, which is not supported.
        not_valid: bool,
    },
    /// Each row's foreign key finds its parent.
    ForeignKey {
        table: TableId,
        relation: RelationId,
        /// The key's columns and, over the rows that are there, their values.
        columns: Vec<(String, Expression)>,
        parent: TableId,
        parent_columns: Vec<usize>,
        constraint: String,
        not_valid: bool,
    },
}

#[derive(Clone, Debug)]
pub struct Copy {
    pub direction: CopyDirection,
    pub format: CopyFormat,
    pub delimiter: u8,
    pub null: String,
    pub header: CopyHeader,
    pub quote: u8,
    pub escape: u8,
}

impl Copy {
    /// COPY FROM?
    pub fn is_in(&self) -> bool {
        matches!(self.direction, CopyDirection::In { .. })
    }
}

#[derive(Clone, Debug)]
pub enum CopyDirection {
    /// COPY table FROM STDIN: the columns that lines fill, in their order; the
    /// others get `defaults`.
    In {
        table: Arc<Table>,
        columns: Vec<usize>,
        defaults: Vec<(usize, Expression)>,
    },
    /// COPY … TO STDOUT.
    Out { query: Box<Query> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    No,
    Yes,
    Match,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TransactionStatement {
    Begin(TransactionModes),
    /// `and_chain` starts the next transaction at once with the same modes.
    Commit {
        and_chain: bool,
    },
    Rollback {
        and_chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// SET TRANSACTION.
    Modes(TransactionModes),
    /// SET SESSION CHARACTERISTICS AS TRANSACTION.
    SessionModes(TransactionModes),
    /// SET CONSTRAINTS ALL | names; true is DEFERRED.
    Constraints {
        names: Option<Vec<String>>,
        deferred: bool,
    },
    /// LOCK TABLE: claims the whole tables.
    Lock {
        tables: Vec<TableId>,
        exclusive: bool,
        no_wait: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// READ UNCOMMITTED is taken as this.
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

impl Isolation {
    /// As settings spell it.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read committed",
            Isolation::RepeatableRead => "repeatable read",
            Isolation::Serializable => "serializable",
        }
    }

    /// What settings spell so, in small letters.
    pub fn named(name: &str) -> Option<Isolation> {
        Some(match name {
            "read committed" | "read uncommitted" => Isolation::ReadCommitted,
            "repeatable read" => Isolation::RepeatableRead,
            "serializable" => Isolation::Serializable,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum SessionStatement {
    /// `None` is DEFAULT; a list is joined by commas.
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    Show {
        name: String,
    },
    ShowAll,
    Reset {
        name: String,
    },
    ResetAll,
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP, upper-case.
    Discard(&'static str),
    /// PREPARE name (types) AS statement text.
    Prepare {
        name: String,
        types: Vec<crate::types::Type>,
        text: String,
    },
    /// EXECUTE name (argument texts).
    Execute {
        name: String,
        arguments: Vec<String>,
    },
    /// `None` is ALL.
    Deallocate(Option<String>),
    Declare {
        name: String,
        text: String,
        /// `None` is neither SCROLL nor NO SCROLL.
        scroll: Option<bool>,
        hold: bool,
        binary: bool,
    },
    Fetch {
        name: String,
        count: FetchCount,
        move_only: bool,
    },
    /// `None` is ALL.
    Close(Option<String>),
}

/// Where FETCH and MOVE go from the current row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchCount {
    /// So many rows onward, backward if negative; 0 is the current row again.
    Rows(i64),
    /// The row of this number, from the end if negative.
    Absolute(i64),
    /// The row so many behind the current one.
    Relative(i64),
}

impl FetchCount {
    /// More rows than any cursor has.
    pub const ALL: FetchCount = FetchCount::Rows(i64::MAX);
    pub const BACKWARD_ALL: FetchCount = FetchCount::Rows(-i64::MAX);
}

#[derive(Clone, Debug, PartialEq)]
pub enum AdminStatement {
    CreateDatabase {
        name: String,
        owner: Option<String>,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    CreateUser {
        name: String,
        password: Option<String>,
        admin: bool,
    },
    AlterUser {
        name: String,
        password: Option<String>,
        admin: Option<bool>,
    },
    DropUser {
        name: String,
        if_exists: bool,
    },
    /// GRANT or REVOKE CONNECT ON DATABASE.
    Grant {
        database: String,
        users: Vec<String>,
        revoke: bool,
    },
}
