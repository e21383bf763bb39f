//! Syntax trees: PostgreSQL's grammar as the parser leaves it, no name resolved.
//!
//! Places ([`Place`]) are bytes into the statement's text, so that errors can
//! point at what they mean. Keyword syntax (`EXTRACT(… FROM …)`, `TRIM`) has
//! become calls, as in PostgreSQL's own raw parse tree.

mod clause;
mod write;

use super::statement::{
    AdminStatement, ExplainFormat, SessionStatement, TransactionStatement as Transaction,
};
use super::statement::{CopyFormat, CopyHeader};
use crate::catalog::schema::Action;
use crate::plan::query::{JoinKind, LockStrength, LockWait, SetOperator};
pub use write::{Assignment, ConflictTarget, Delete, Insert, OnConflict, Overriding, Update};

pub use clause::{
    Comment, CommentObject, GroupBy, GroupItem, Over, WindowBound, WindowFrame, WindowSpec,
};

/// A byte offset into the statement's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u32);

/// An identifier, folded and cut as PostgreSQL does.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub text: String,
    pub place: Place,
}

/// `a.b.c`.
pub type Path = Vec<Name>;

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub place: Place,
    pub node: Node,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    /// Digits alone.
    Integer(String),
    /// With a point or an exponent.
    Decimal(String),
    String(String),
    /// `$1` is 1.
    Parameter(u32),
    Column(Path),
    /// `*` or `t.*`.
    Star(Path),
    /// Prefix when `left` is missing.
    Operator {
        symbol: String,
        left: Option<Box<Expr>>,
        right: Box<Expr>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull {
        operand: Box<Expr>,
        negated: bool,
    },
    IsTruth {
        operand: Box<Expr>,
        value: Option<bool>,
        negated: bool,
    },
    IsDistinct {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Between {
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
        symmetric: bool,
    },
    InList {
        operand: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    InQuery {
        operand: Box<Expr>,
        query: Box<Query>,
        negated: bool,
    },
    Like {
        operator: LikeOperator,
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<Box<Expr>>,
        negated: bool,
    },
    /// `left op ANY (…)` or `ALL`.
    Quantified {
        left: Box<Expr>,
        symbol: String,
        all: bool,
        right: Quantified,
    },
    Cast {
        operand: Box<Expr>,
        ty: TypeName,
    },
    Call(Box<Call>),
    /// GROUPING(…).
    Grouping(Vec<Expr>),
    /// CURRENT_DATE and its kin, with their precision.
    Special {
        name: &'static str,
        precision: Option<u8>,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Coalesce(Vec<Expr>),
    NullIf(Box<Expr>, Box<Expr>),
    Extreme {
        greatest: bool,
        arguments: Vec<Expr>,
    },
    Exists(Box<Query>),
    Scalar(Box<Query>),
    ArrayQuery(Box<Query>),
    Array(Vec<Expr>),
    Row(Vec<Expr>),
    Subscript {
        operand: Box<Expr>,
        index: Box<Expr>,
    },
    Slice {
        operand: Box<Expr>,
        lower: Option<Box<Expr>>,
        upper: Option<Box<Expr>>,
    },
    /// `(operand).field`, or all its fields: `(operand).*`.
    Field {
        operand: Box<Expr>,
        field: Option<Name>,
    },
    Collate {
        operand: Box<Expr>,
        collation: Path,
    },
    /// DEFAULT as a value to be written.
    Default,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LikeOperator {
    Like,
    ILike,
    Similar,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Quantified {
    Query(Box<Query>),
    Array(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: Path,
    pub arguments: Vec<Expr>,
    /// The names that the last arguments were given by, `days => 3`.
    pub names: Vec<Name>,
    /// `count(*)`.
    pub star: bool,
    pub distinct: bool,
    pub variadic: bool,
    pub order_by: Vec<SortItem>,
    /// WITHIN GROUP (ORDER BY …).
    pub within: Vec<SortItem>,
    pub filter: Option<Expr>,
    pub over: Option<Over>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TypeName {
    pub place: Place,
    pub path: Vec<String>,
    pub modifiers: Vec<i64>,
    /// Number of `[]`.
    pub dimensions: u32,
    /// INTERVAL's fields, as `year to month`.
    pub fields: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortItem {
    pub by: Expr,
    pub descending: bool,
    pub nulls_first: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub place: Place,
    pub with: Option<With>,
    pub body: QueryBody,
    pub order_by: Vec<SortItem>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    pub locks: Vec<Lock>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct With {
    pub recursive: bool,
    pub tables: Vec<CommonTable>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CommonTable {
    pub name: Name,
    pub columns: Vec<Name>,
    pub materialized: Option<bool>,
    pub body: CommonBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CommonBody {
    Query(Box<Query>),
    /// INSERT, UPDATE or DELETE.
    Writes(Box<Statement>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum QueryBody {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    SetOperation {
        operator: SetOperator,
        all: bool,
        left: Box<Query>,
        right: Box<Query>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    pub distinct: Distinct,
    pub targets: Vec<Target>,
    pub from: Vec<FromItem>,
    pub filter: Option<Expr>,
    pub group_by: GroupBy,
    pub having: Option<Expr>,
    pub windows: Vec<(Name, WindowSpec)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Distinct {
    No,
    Rows,
    On(Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub expr: Expr,
    pub alias: Option<Name>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Alias {
    pub name: Name,
    pub columns: Vec<Name>,
    /// Of each column, in a column definition list; else empty.
    pub types: Vec<TypeName>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FromItem {
    Table {
        path: Path,
        alias: Option<Alias>,
    },
    Subquery {
        query: Box<Query>,
        alias: Option<Alias>,
        lateral: bool,
        place: Place,
    },
    Function {
        call: Expr,
        /// The other calls of ROWS FROM.
        more: Vec<Expr>,
        alias: Option<Alias>,
        ordinality: bool,
        lateral: bool,
    },
    Join {
        kind: JoinKind,
        left: Box<FromItem>,
        right: Box<FromItem>,
        condition: JoinCondition,
        alias: Option<Alias>,
        place: Place,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum JoinCondition {
    None,
    Natural,
    Using(Vec<Name>),
    On(Box<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    pub strength: LockStrength,
    pub of: Vec<Path>,
    pub wait: LockWait,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    Empty,
    Query(Box<Query>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Truncate {
        tables: Vec<Path>,
        restart_identity: bool,
        cascade: bool,
    },
    Copy(Box<Copy>),
    CreateTable(Box<CreateTable>),
    CreateTableAs(Box<CreateTableAs>),
    CreateIndex(Box<CreateIndex>),
    AlterTable(Box<AlterTable>),
    AlterIndexRename {
        path: Path,
        name: Name,
        if_exists: bool,
    },
    CreateSequence {
        path: Path,
        if_not_exists: bool,
        options: Vec<SequenceOption>,
    },
    AlterSequence {
        path: Path,
        if_exists: bool,
        options: Vec<SequenceOption>,
        rename: Option<Name>,
    },
    Drop(Drop),
    Comment(Comment),
    Lock {
        tables: Vec<Path>,
        exclusive: bool,
        no_wait: bool,
    },
    Explain {
        statement: Box<Statement>,
        analyze: bool,
        format: ExplainFormat,
    },
    Transaction(Transaction),
    Session(SessionStatement),
    /// PREPARE: the types are not resolved yet.
    Prepare {
        name: String,
        types: Vec<TypeName>,
        text: String,
    },
    Admin(AdminStatement),
    Maintenance {
        tag: &'static str,
        tables: Vec<Path>,
    },
    /// Accepted without effect, e.g. CREATE EXTENSION plpgsql.
    Nothing {
        tag: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub source: CopySource,
    pub from: bool,
    pub format: CopyFormat,
    pub delimiter: Option<String>,
    pub null: Option<String>,
    pub header: CopyHeader,
    pub quote: Option<String>,
    pub escape: Option<String>,
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CopySource {
    Table(Path, Option<Vec<Name>>),
    Query(Box<Query>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    pub path: Path,
    pub if_not_exists: bool,
    pub elements: Vec<TableElement>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TableElement {
    Column(ColumnDefinition),
    Constraint(TableConstraint),
    /// LIKE source INCLUDING …; which parts are taken.
    Like(Path, Vec<LikeOption>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LikeOption {
    Defaults,
    Constraints,
    Identity,
    Indexes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    pub name: Name,
    pub ty: TypeName,
    pub constraints: Vec<ColumnConstraint>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnConstraint {
    pub name: Option<Name>,
    pub place: Place,
    pub kind: ColumnConstraintKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnConstraintKind {
    NotNull,
    Null,
    /// The expression and its source text.
    Default(Expr),
    Identity {
        always: bool,
        options: Vec<SequenceOption>,
    },
    Check(Expr),
    Unique(KeyOptions),
    PrimaryKey(KeyOptions),
    References(Reference),
    Collate(Path),
}

#[derive(Clone, Debug, PartialEq)]
pub struct TableConstraint {
    pub name: Option<Name>,
    pub place: Place,
    pub kind: TableConstraintKind,
    pub not_valid: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TableConstraintKind {
    Check(Expr),
    Unique {
        columns: Vec<Name>,
        options: KeyOptions,
    },
    PrimaryKey {
        columns: Vec<Name>,
        options: KeyOptions,
    },
    /// ADD … USING INDEX name.
    UsingIndex {
        primary: bool,
        index: Name,
    },
    ForeignKey {
        columns: Vec<Name>,
        reference: Reference,
    },
}

/// What a primary key or unique constraint may say beside its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyOptions {
    pub nulls_not_distinct: bool,
    pub include: Vec<Name>,
    pub deferrable: bool,
    pub initially_deferred: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    pub table: Path,
    /// Empty: the parent's primary key.
    pub columns: Vec<Name>,
    pub on_delete: Action,
    pub on_update: Action,
    pub match_full: bool,
    pub deferrable: bool,
    pub initially_deferred: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateTableAs {
    pub path: Path,
    pub if_not_exists: bool,
    pub columns: Vec<Name>,
    pub query: Query,
    pub with_data: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateIndex {
    pub name: Option<Name>,
    pub table: Path,
    pub if_not_exists: bool,
    pub unique: bool,
    pub nulls_not_distinct: bool,
    pub columns: Vec<SortItem>,
    pub include: Vec<Name>,
    pub filter: Option<Expr>,
    pub method: Option<Name>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AlterTable {
    pub path: Path,
    pub if_exists: bool,
    pub actions: Vec<AlterAction>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum AlterAction {
    AddColumn {
        definition: ColumnDefinition,
        if_not_exists: bool,
    },
    DropColumn {
        name: Name,
        if_exists: bool,
        cascade: bool,
    },
    RenameColumn {
        from: Name,
        to: Name,
    },
    RenameTable(Name),
    RenameConstraint {
        from: Name,
        to: Name,
    },
    SetDefault {
        column: Name,
        default: Option<Expr>,
    },
    SetNotNull {
        column: Name,
        not_null: bool,
    },
    SetType {
        column: Name,
        ty: TypeName,
        using: Option<Expr>,
    },
    AddIdentity {
        column: Name,
        always: bool,
        options: Vec<SequenceOption>,
    },
    SetIdentity {
        column: Name,
        always: Option<bool>,
        options: Vec<SequenceOption>,
    },
    DropIdentity {
        column: Name,
        if_exists: bool,
    },
    AddConstraint(TableConstraint),
    DropConstraint {
        name: Name,
        if_exists: bool,
        cascade: bool,
    },
    ValidateConstraint(Name),
    /// DEFERRABLE and INITIALLY DEFERRED, as far as they are said.
    AlterConstraint {
        name: Name,
        deferral: Option<(bool, bool)>,
    },
    /// OWNER TO, SET (…), CLUSTER ON: change no result.
    Nothing,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SequenceOption {
    Type(TypeName),
    Start(i64),
    Restart(Option<i64>),
    Increment(i64),
    Min(Option<i64>),
    Max(Option<i64>),
    Cycle(bool),
    /// `None` is OWNED BY NONE.
    OwnedBy(Option<Path>),
    /// SEQUENCE NAME, of an identity column's.
    Name(Path),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Drop {
    pub kind: DropKind,
    pub paths: Vec<Path>,
    pub if_exists: bool,
    pub cascade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropKind {
    Table,
    Index,
    Sequence,
    /// What can never be made: a view, a type…
    Lacking(&'static str),
}
