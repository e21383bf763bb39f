//! What a query's names can see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::catalog::schema::{Namespace, Table};
use crate::plan::expression::Expression;
use crate::plan::query::{CommonTableId, OutputColumn, RelationId};
use crate::plan::syntax::{Place, WindowSpec};

/// One query level.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) items: Vec<Item>,
    /// All relations of its FROM, to tell its columns from outer ones.
    pub(super) relations: Vec<RelationId>,
    /// Those that an outer join of it may leave without a row.
    pub(super) nullable: BTreeSet<RelationId>,
    /// Derived relations that must tell whether they have a row, and their columns.
    pub(super) marked: BTreeMap<RelationId, Vec<OutputColumn>>,
    /// Its FROM is still there to be marked.
    pub(super) markable: bool,
    pub(super) clause: Clause,
    /// LATERAL references to earlier items of the same FROM are allowed here.
    pub(super) lateral: bool,
    /// It has an aggregate of its own.
    pub(super) aggregates: bool,
    /// We stand inside an aggregate's arguments.
    pub(super) in_aggregate: bool,
    pub(super) in_window: bool,
    /// Where its select list first calls a function that yields rows.
    pub(super) set_call: Option<Place>,
    /// Where columns were first named outside of aggregates.
    pub(super) uses: HashMap<(RelationId, usize), (Place, String)>,
    pub(super) windows: Vec<(String, WindowSpec)>,
}

/// What is being bound, since aggregates and others are not allowed everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Clause {
    #[default]
    Targets,
    From,
    On,
    Where,
    GroupBy,
    Having,
    OrderBy,
    DistinctOn,
    Limit,
    Values,
    Set,
    Returning,
    Check,
    Default,
    Index,
    Predicate,
    Transform,
    Window,
}

impl Clause {
    /// How PostgreSQL's error names a clause that must not hold an aggregate.
    pub(super) fn forbids_aggregates(self) -> Option<&'static str> {
        Some(match self {
            Clause::Targets | Clause::Having | Clause::OrderBy | Clause::DistinctOn => return None,
            Clause::Window => return None,
            Clause::From => "functions in FROM",
            Clause::On => "JOIN conditions",
            Clause::Where => "WHERE",
            Clause::GroupBy => "GROUP BY",
            Clause::Limit => "LIMIT",
            Clause::Values => "VALUES",
            Clause::Set => "UPDATE",
            Clause::Returning => "RETURNING",
            Clause::Check => "check constraints",
            Clause::Default => "DEFAULT expressions",
            Clause::Index => "index expressions",
            Clause::Predicate => "index predicates",
            Clause::Transform => "transform expressions",
        })
    }

    /// The same for window functions.
    pub(super) fn forbids_windows(self) -> Option<&'static str> {
        match self {
            Clause::Having => Some("HAVING"),
            Clause::Window => Some("window definitions"),
            other => other.forbids_aggregates(),
        }
    }

    /// Clauses of a definition rather than a query: no subqueries.
    pub(super) fn forbids_subqueries(self) -> Option<&'static str> {
        Some(match self {
            Clause::Check => "check constraint",
            Clause::Default => "DEFAULT expression",
            Clause::Index => "index expression",
            Clause::Predicate => "index predicate",
            Clause::Transform => "transform expression",
            _ => return None,
        })
    }
}

/// A relation or join in sight.
#[derive(Clone)]
pub(super) struct Item {
    /// Its alias, or its name; empty for a join without one.
    pub(super) alias: String,
    /// The stored relation behind it, if it may be named by its schema.
    pub(super) table: Option<Arc<Table>>,
    /// It goes by its own name.
    pub(super) unaliased: bool,
    pub(super) relation: Option<RelationId>,
    pub(super) columns: Vec<ItemColumn>,
    /// `alias.column` finds it.
    pub(super) named: bool,
    /// A bare `column` finds it.
    pub(super) bare: bool,
    /// A join's alias hides it: its name is known but cannot be used.
    pub(super) covered: bool,
    /// Only LATERAL items may see it yet.
    pub(super) lateral_only: bool,
    /// They may: it is not on the nullable side of the join.
    pub(super) lateral_allowed: bool,
}

#[derive(Clone)]
pub(super) struct ItemColumn {
    pub(super) name: String,
    pub(super) expression: Expression,
    /// The stored column it is: table oid and attnum.
    pub(super) origin: Option<(u32, u16)>,
    pub(super) hidden: bool,
}

/// A common table in sight.
#[derive(Clone)]
pub(super) struct CommonEntry {
    pub(super) name: String,
    pub(super) id: CommonTableId,
    pub(super) columns: Vec<OutputColumn>,
    /// How often it was named; tells whether a query is recursive.
    pub(super) references: usize,
    pub(super) gives: Gives,
}

/// What naming a common table gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Rows,
    /// It writes without RETURNING.
    Nothing,
    /// It writes, and its name, here, is named within it.
    Itself(Place),
}

impl Item {
    /// A stored relation under an alias.
    pub(super) fn table(table: &Arc<Table>, relation: RelationId, alias: Option<&str>) -> Item {
        let user = table.namespace == Namespace::Public;
        let column = |(place, column): (usize, &crate::catalog::schema::Column)| ItemColumn {
            name: column.name.clone(),
            expression: Expression::column(relation, place, column.ty.clone()),
            origin: Some((table.id.0, column.id.0)).filter(|_| user || table.id.0 != 0),
            hidden: column.hidden,
        };
        Item {
            alias: alias.unwrap_or(&table.name).to_owned(),
            table: Some(Arc::clone(table)),
            unaliased: alias.is_none(),
            relation: Some(relation),
            columns: table.columns.iter().enumerate().map(column).collect(),
            named: true,
            bare: true,
            covered: false,
            lateral_only: false,
            lateral_allowed: true,
        }
    }

    /// A subquery, common table or function.
    pub(super) fn derived(alias: &str, relation: RelationId, columns: &[OutputColumn]) -> Item {
        let column = |(place, column): (usize, &OutputColumn)| ItemColumn {
            name: column.name.clone(),
            expression: Expression::column(relation, place, column.ty.clone()),
            origin: column.origin,
            hidden: false,
        };
        Item {
            alias: alias.to_owned(),
            table: None,
            unaliased: false,
            relation: Some(relation),
            columns: columns.iter().enumerate().map(column).collect(),
            named: true,
            bare: true,
            covered: false,
            lateral_only: false,
            lateral_allowed: true,
        }
    }

    pub(super) fn visible(&self) -> impl Iterator<Item = &ItemColumn> {
        self.columns.iter().filter(|column| !column.hidden)
    }
}
