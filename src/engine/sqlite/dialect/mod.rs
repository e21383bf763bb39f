//! Renders queries into SQLite's SQL, with PostgreSQL's meaning.
//!
//! What SQLite does alike is rendered natively: comparisons, boolean logic,
//! CASE, joins, grouping, set operations, most window functions. Every other
//! expression becomes one call of `pyql_compute`, which evaluates the whole
//! subtree with the planner's own evaluator over the columns it names; other
//! aggregates become `pyql_fold`, functions in FROM and LATERAL the
//! table-valued `pyql_rows`. [`Rendered`] carries what those calls refer to by
//! number, so that the SQL text stays the same for the same query and can
//! name prepared statements.
//!
//! Every item of FROM is called `r` and its relation's number, every result
//! column `c` and its place. COLLATE is written wherever a type has an order
//! of its own: an inherited collation is never relied on, because SQLite lets
//! an explicit one escape from a nested expression.
//!
//! Not handled: what has no form here is refused with 0A000 before anything runs.

mod aggregate;
mod compute;
mod expression;
pub(super) mod from;
mod select;
mod set;
mod subquery;
mod walk;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalog::schema::{Namespace, Table};
use crate::error::Result;
use crate::plan::expression::Expression;
use crate::plan::function::FunctionRef;
use crate::plan::query::{Query, RelationId};
use crate::types::id::TableId;
use crate::types::{Type, Value};

/// The relation whose columns are the arguments of a `pyql_compute` call.
pub const LEAVES: RelationId = RelationId(u32::MAX);

/// The tables that an overlay lies over, and whether it hides all their rows.
pub type Overlaid = BTreeMap<TableId, bool>;

/// A query in SQLite's words, and what its calls refer to.
#[derive(Debug, Default)]
pub struct Rendered {
    pub sql: String,
    /// A hash of the text: the same for the same query.
    pub identity: u64,
    /// What `?1`, `?2`… stand for.
    pub bindings: Vec<Binding>,
    /// The types of the result's columns.
    pub columns: Vec<Type>,
    pub computed: Vec<Computed>,
    pub folds: Vec<Fold>,
    pub sources: Vec<Source>,
}

/// A value bound to a parameter of the rendered SQL.
#[derive(Debug)]
pub enum Binding {
    Parameter(usize),
    Constant(Value),
    /// Depends on parameters and settings only: computed once, before the query.
    Computed(Expression),
}

/// What a `pyql_compute` call evaluates: an expression over [`LEAVES`].
#[derive(Debug)]
pub struct Computed {
    pub expression: Expression,
    pub leaves: Vec<Type>,
}

/// What a `pyql_fold` call aggregates. Its arguments are followed by the sort keys.
#[derive(Debug)]
pub struct Fold {
    pub kind: FoldKind,
    pub arguments: Vec<Type>,
    pub result: Type,
    pub distinct: bool,
    pub order: Vec<FoldKey>,
}

#[derive(Debug)]
pub enum FoldKind {
    Aggregate(FunctionRef),
    /// ARRAY(query): the values of the one argument.
    Array,
    /// LATERAL: an array of records, one for each row.
    Records,
}

#[derive(Clone, Debug)]
pub struct FoldKey {
    pub ty: Type,
    pub descending: bool,
    pub nulls_first: bool,
}

/// What a `pyql_rows` item yields.
#[derive(Debug)]
pub enum Source {
    /// Functions in FROM, side by side, over [`LEAVES`].
    Calls {
        calls: Vec<Expression>,
        leaves: Vec<Type>,
        ordinality: bool,
        /// Each call is one column: several are one record.
        packed: bool,
    },
    /// The elements of the array that is its argument; one NULL for NULL.
    Elements(Type),
    /// The records of the array that is its argument, one column for each field.
    Records(Vec<Type>),
    /// What the transaction wrote of a table: the types of its columns and
    /// the places of its key.
    Overlay {
        table: TableId,
        types: Vec<Type>,
        key: Vec<usize>,
    },
}

/// Renders a query. `overlaid` names the tables with written rows.
pub fn render(query: &Query, overlaid: &Overlaid) -> Result<Rendered> {
    let mut renderer = Renderer {
        out: Rendered::default(),
        overlaid,
        relations: HashMap::new(),
        parameters: HashMap::new(),
        side_by_side: HashMap::new(),
        made: 0,
        lazy: 0,
    };
    let sql = renderer.query(query)?;
    renderer.out.identity = xxhash_rust::xxh3::xxh3_64(sql.as_bytes());
    renderer.out.sql = sql;
    renderer.out.columns = query.columns.iter().map(|c| c.ty.clone()).collect();
    Ok(renderer.out)
}

/// The tables that a query reads, subqueries included.
pub fn tables(query: &Query) -> Vec<TableId> {
    walk::tables(query)
}

struct Renderer<'a> {
    out: Rendered,
    overlaid: &'a Overlaid,
    /// The items of FROM seen so far; inner queries may name outer ones.
    relations: HashMap<RelationId, Relation>,
    /// Parameters already bound, and as which `?N`.
    parameters: HashMap<usize, usize>,
    /// Functions moved from a SELECT list into FROM.
    side_by_side: HashMap<RelationId, Vec<Expression>>,
    /// Relations made up here.
    made: u32,
    /// Depth of branches that may not be reached, so must not be computed ahead.
    lazy: usize,
}

/// How the columns of an item of FROM are called.
#[derive(Clone)]
enum Relation {
    Table(Arc<Table>),
    Derived,
}

impl Renderer<'_> {
    fn bind(&mut self, binding: Binding) -> String {
        self.out.bindings.push(binding);
        format!("?{}", self.out.bindings.len())
    }

    fn parameter(&mut self, index: usize) -> String {
        if let Some(place) = self.parameters.get(&index) {
            return format!("?{place}");
        }
        let sql = self.bind(Binding::Parameter(index));
        self.parameters.insert(index, self.out.bindings.len());
        sql
    }

    /// Renders what may not be reached at run time.
    fn lazily<T>(&mut self, render: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.lazy += 1;
        let rendered = render(self);
        self.lazy -= 1;
        rendered
    }
}

/// An identifier in quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name that a relation's rows are stored under.
pub fn stored_name(table: &Table) -> String {
    let schema = match table.namespace {
        Namespace::Public => return format!("main.{}", quoted(&table.name)),
        Namespace::Pyql => "pyql",
        Namespace::PgCatalog => "pg_catalog",
        Namespace::InformationSchema => "information_schema",
    };
    quoted(&format!("{schema}.{}", table.name))
}

fn alias(relation: RelationId) -> String {
    format!("r{}", relation.0)
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
