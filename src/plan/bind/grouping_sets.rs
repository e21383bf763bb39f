//! GROUP BY with several grouping sets: GROUPING SETS, ROLLUP, CUBE.
//!
//! The query becomes plain ones that every engine has: its FROM and WHERE once,
//! as a common table; above that one grouped SELECT for each set, which yields
//! the keys (NULL where the set lacks them), the aggregates and what GROUPING
//! says, united by UNION ALL; and the select list, HAVING, windows and order on
//! top of these.

use std::collections::BTreeSet;

use super::Binder;
use super::select::Targets;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::walk;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, CommonTable, Distinct, From, OutputColumn, Query, RelationId, Select, SetOperator,
    SortBy, SortKey,
};
use crate::plan::syntax::{Expr, GroupBy, GroupItem, Place};
use crate::plan::visit;
use crate::types::{Type, Value};

/// The most grouping sets of one query, and keys of one CUBE, as in PostgreSQL.
const MAX_SETS: usize = 4096;
const MAX_CUBE: usize = 12;

/// The most arguments of GROUPING: they become the bits of an int4.
const MAX_GROUPING: usize = 31;

/// What a query is grouped by.
pub(super) struct Grouping {
    pub(super) keys: Vec<Expression>,
    /// Places in `keys`; one set is plain GROUP BY.
    pub(super) sets: Vec<Vec<usize>>,
}

impl Grouping {
    /// The keys that every set has.
    pub(super) fn common(&self) -> Vec<Expression> {
        let places = 0..self.keys.len();
        let everywhere = places.filter(|at| self.sets.iter().all(|set| set.contains(at)));
        everywhere.map(|at| self.keys[at].clone()).collect()
    }
}

impl Binder<'_> {
    /// The keys and sets of a GROUP BY clause.
    pub(super) fn grouping(
        &mut self,
        group_by: &GroupBy,
        targets: &mut Targets,
    ) -> Result<Grouping> {
        let mut keys = Vec::new();
        let mut sets = vec![Vec::new()];
        for item in &group_by.items {
            let further = self.item_sets(item, &mut keys, targets)?;
            if sets.len().saturating_mul(further.len()) > MAX_SETS {
                return Err(too_many_sets());
            }
            let crossed = sets.iter().flat_map(|set: &Vec<usize>| {
                further.iter().map(|more| [set.as_slice(), more].concat())
            });
            sets = crossed.collect();
        }
        for set in &mut sets {
            set.sort_unstable();
            set.dedup();
        }
        if group_by.distinct {
            let mut seen = BTreeSet::new();
            sets.retain(|set| seen.insert(set.clone()));
        }
        Ok(Grouping { keys, sets })
    }

    fn item_sets(
        &mut self,
        item: &GroupItem,
        keys: &mut Vec<Expression>,
        targets: &mut Targets,
    ) -> Result<Vec<Vec<usize>>> {
        match item {
            GroupItem::Keys(list) => Ok(vec![self.group_keys(list, keys, targets)?]),
            GroupItem::Rollup(lists) => {
                let parts = self.key_lists(lists, keys, targets)?;
                let lengths = (0..=parts.len()).rev();
                Ok(lengths.map(|length| parts[..length].concat()).collect())
            }
            GroupItem::Cube(lists) => {
                if lists.len() > MAX_CUBE {
                    return Err(Error::new(
                        SqlState::TOO_MANY_COLUMNS,
                        format!("CUBE is limited to {MAX_CUBE} elements"),
                    ));
                }
                let parts = self.key_lists(lists, keys, targets)?;
                let chosen = |mask: usize| {
                    let parts = parts.iter().enumerate();
                    let parts = parts.filter(|(at, _)| mask >> at & 1 == 1);
                    parts.flat_map(|(_, part)| part.clone()).collect()
                };
                Ok((0..1 << parts.len()).rev().map(chosen).collect())
            }
            GroupItem::Sets(items) => {
                let mut sets = Vec::new();
                for item in items {
                    sets.extend(self.item_sets(item, keys, targets)?);
                    if sets.len() > MAX_SETS {
                        return Err(too_many_sets());
                    }
                }
                Ok(sets)
            }
        }
    }

    fn key_lists(
        &mut self,
        lists: &[Vec<Expr>],
        keys: &mut Vec<Expression>,
        targets: &mut Targets,
    ) -> Result<Vec<Vec<usize>>> {
        let lists = lists.iter();
        lists
            .map(|list| self.group_keys(list, keys, targets))
            .collect()
    }

    fn group_keys(
        &mut self,
        list: &[Expr],
        keys: &mut Vec<Expression>,
        targets: &mut Targets,
    ) -> Result<Vec<usize>> {
        let mut places = Vec::with_capacity(list.len());
        for expr in list {
            let key = self.group_key(expr, targets)?;
            let known = keys.iter().position(|other| *other == key);
            places.push(known.unwrap_or(keys.len()));
            if known.is_none() {
                keys.push(key);
            }
        }
        Ok(places)
    }

    /// GROUPING(…): its arguments are checked once the keys are known.
    pub(super) fn grouping_call(&mut self, list: &[Expr], place: Place) -> Result<Expression> {
        let clause = self.scopes.last().map(|scope| scope.clause);
        if let Some(what) = clause.and_then(|clause| clause.forbids_aggregates()) {
            return Err(self.error(
                SqlState::GROUPING_ERROR,
                place,
                format!("grouping operations are not allowed in {what}"),
            ));
        }
        if list.len() > MAX_GROUPING {
            return Err(self.error(
                SqlState::TOO_MANY_ARGUMENTS,
                place,
                "GROUPING must have fewer than 32 arguments",
            ));
        }
        // What they name need not stand in GROUP BY by itself.
        let before = match self.scopes.last_mut() {
            Some(scope) => std::mem::replace(&mut scope.in_aggregate, true),
            None => false,
        };
        let keys = self.expressions(list);
        if let Some(scope) = self.scopes.last_mut() {
            scope.in_aggregate = before;
            scope.aggregates = true;
        }
        Ok(Expression {
            kind: ExpressionKind::Grouping(keys?),
            ty: Type::Int4,
        })
    }

    /// Writes GROUPING out where there is one set only: all its bits are 0.
    pub(super) fn settle_grouping(
        &self,
        expression: &mut Expression,
        keys: &[Expression],
    ) -> Result<()> {
        if let ExpressionKind::Grouping(asked) = &expression.kind {
            if asked.iter().any(|key| !keys.contains(key)) {
                return Err(not_a_key());
            }
            *expression = Expression::constant(Value::Int(0), Type::Int4);
            return Ok(());
        }
        let mut outcome = Ok(());
        walk::each_child(expression, &mut |child| {
            if outcome.is_ok() {
                outcome = self.settle_grouping(child, keys);
            }
        });
        outcome
    }

    /// Makes a SELECT of several grouping sets one that needs none.
    pub(super) fn spread(
        &mut self,
        select: Select,
        grouping: &Grouping,
        order_by: &mut [SortKey],
    ) -> Result<(Select, CommonTable)> {
        let scope = self.scopes.last();
        let own = scope.map(|scope| scope.relations.iter().copied().collect());
        let around = self.scopes.iter().flat_map(|scope| &scope.relations);
        let mut spread = Spread {
            grouping,
            own: own.unwrap_or_default(),
            known: around.copied().collect(),
            top: self.relation(),
            pieces: Vec::new(),
        };
        let (mut projection, mut having) = (select.projection, select.having);
        let mut distinct = select.distinct;
        projection
            .iter_mut()
            .try_for_each(|e| spread.lift(e, false))?;
        having.iter_mut().try_for_each(|e| spread.lift(e, false))?;
        if let Distinct::On(keys) = &mut distinct {
            keys.iter_mut().try_for_each(|e| spread.lift(e, false))?;
        }
        for key in order_by {
            if let SortBy::Expression(by) = &mut key.by {
                spread.lift(by, false)?;
            }
        }
        let columns = spread.source_columns();
        let common = CommonTable {
            id: self.common(),
            name: "source".to_owned(),
            query: source(select.from, select.filter, &columns),
            recursive: false,
            materialized: Some(true),
        };
        let mut arms = Vec::with_capacity(grouping.sets.len());
        for set in &grouping.sets {
            let relation = self.relation();
            arms.push(spread.arm(set, relation, &common, &columns)?);
        }
        let united = arms.into_iter().reduce(unite);
        let united = united.ok_or_else(|| Error::internal("no grouping set"))?;
        let select = Select {
            distinct,
            projection,
            from: vec![From::Subquery {
                relation: spread.top,
                query: Box::new(united),
                alias: "grouped".to_owned(),
                lateral: false,
            }],
            filter: having,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        };
        Ok((select, common))
    }
}

/// What the parts above the groups take from them.
struct Spread<'a> {
    grouping: &'a Grouping,
    /// The relations of the query's own FROM, and those with all around it.
    own: BTreeSet<RelationId>,
    known: BTreeSet<RelationId>,
    /// The relation of the groups.
    top: RelationId,
    /// Its columns, as expressions over the query's FROM.
    pieces: Vec<Expression>,
}

impl Spread<'_> {
    /// Replaces what a group yields by the columns of `top`.
    fn lift(&mut self, expression: &mut Expression, in_subquery: bool) -> Result<()> {
        let is_key = self.grouping.keys.contains(expression);
        let is_piece = match &expression.kind {
            _ if is_key => true,
            ExpressionKind::Aggregate(_) => !in_subquery || self.is_own_aggregate(expression),
            ExpressionKind::Grouping(asked) => {
                if asked.iter().any(|key| !self.grouping.keys.contains(key)) {
                    return Err(not_a_key());
                }
                true
            }
            ExpressionKind::Column { relation, .. } => self.own.contains(relation),
            _ => false,
        };
        if is_piece {
            let place = self.pieces.iter().position(|piece| piece == expression);
            let place = place.unwrap_or(self.pieces.len());
            let column = Expression::column(self.top, place, expression.ty.clone());
            let piece = std::mem::replace(expression, column);
            if place == self.pieces.len() {
                self.pieces.push(piece);
            }
            return Ok(());
        }
        let mut outcome = Ok(());
        walk::each_child(expression, &mut |child| {
            if outcome.is_ok() {
                outcome = self.lift(child, in_subquery);
            }
        });
        if let Some(query) = visit::subquery_mut(expression) {
            visit::expressions_mut(query, &mut |part| {
                if outcome.is_ok() {
                    outcome = self.lift(part, true);
                }
            });
        }
        outcome
    }

    /// An aggregate within a subquery that belongs to this query.
    fn is_own_aggregate(&self, expression: &Expression) -> bool {
        let (mut own, mut inner) = (false, false);
        visit::columns(expression, &mut |relation, _| {
            own |= self.own.contains(&relation);
            inner |= !self.known.contains(&relation);
        });
        own && !inner
    }

    /// The columns of FROM that the pieces and keys name.
    fn source_columns(&self) -> Vec<Expression> {
        let mut columns: Vec<Expression> = Vec::new();
        for piece in self.pieces.iter().chain(&self.grouping.keys) {
            collect(piece, &self.own, &mut columns);
        }
        if columns.is_empty() {
            columns.push(Expression::constant(Value::Int(1), Type::Int4));
        }
        columns
    }

    /// The groups of one set.
    fn arm(
        &self,
        set: &[usize],
        relation: RelationId,
        common: &CommonTable,
        columns: &[Expression],
    ) -> Result<Query> {
        let over = |expression: &Expression| {
            let mut changed = expression.clone();
            over_source(&mut changed, relation, columns);
            changed
        };
        let mut group_by: Vec<Expression> = Vec::new();
        for at in set {
            group_by.push(over(&self.grouping.keys[*at]));
        }
        let mut projection = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            let key = self.grouping.keys.iter().position(|key| key == piece);
            projection.push(match (&piece.kind, key) {
                (_, Some(at)) if !set.contains(&at) => {
                    Expression::constant(Value::Null, piece.ty.clone())
                }
                (ExpressionKind::Grouping(asked), _) => self.bits(asked, set),
                (ExpressionKind::Column { .. }, None) => {
                    // Fixed by a primary key that every set has.
                    group_by.push(over(piece));
                    over(piece)
                }
                _ => over(piece),
            });
        }
        let types = projection.iter().map(|piece| piece.ty.clone());
        let columns = named(types);
        Ok(plain(
            Select {
                distinct: Distinct::No,
                projection,
                from: vec![From::Common {
                    relation,
                    common: common.id,
                    alias: common.name.clone(),
                }],
                filter: None,
                group_by,
                grouped: true,
                having: None,
            },
            columns,
        ))
    }

    /// A bit for each key that the set lacks, the last one lowest.
    fn bits(&self, asked: &[Expression], set: &[usize]) -> Expression {
        let bits = asked.iter().fold(0_i64, |bits, asked| {
            let at = self.grouping.keys.iter().position(|key| key == asked);
            let has = at.is_some_and(|at| set.contains(&at));
            bits << 1 | i64::from(!has)
        });
        Expression::constant(Value::Int(bits), Type::Int4)
    }
}

fn collect(expression: &Expression, own: &BTreeSet<RelationId>, found: &mut Vec<Expression>) {
    if let ExpressionKind::Column { relation, .. } = &expression.kind
        && own.contains(relation)
        && !found.contains(expression)
    {
        found.push(expression.clone());
    }
    visit::children(expression, &mut |child| collect(child, own, found));
    if let Some(query) = visit::subquery(expression) {
        visit::expressions(query, &mut |part| collect(part, own, found));
    }
}

/// Names the columns of the common table in place of those of FROM.
fn over_source(expression: &mut Expression, relation: RelationId, columns: &[Expression]) {
    if let Some(at) = columns.iter().position(|column| column == expression)
        && matches!(expression.kind, ExpressionKind::Column { .. })
    {
        *expression = Expression::column(relation, at, expression.ty.clone());
        return;
    }
    walk::each_child(expression, &mut |child| {
        over_source(child, relation, columns);
    });
    if let Some(query) = visit::subquery_mut(expression) {
        visit::expressions_mut(query, &mut |part| over_source(part, relation, columns));
    }
}

/// FROM and WHERE with the columns that the groups need.
fn source(from: Vec<From>, filter: Option<Expression>, columns: &[Expression]) -> Query {
    let types = columns.iter().map(|column| column.ty.clone());
    plain(
        Select {
            distinct: Distinct::No,
            projection: columns.to_vec(),
            from,
            filter,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        },
        named(types),
    )
}

fn unite(left: Query, right: Query) -> Query {
    let columns = left.columns.clone();
    Query {
        columns,
        body: Body::SetOperation {
            operator: SetOperator::Union,
            all: true,
            left: Box::new(left),
            right: Box::new(right),
        },
        ..Query::nothing()
    }
}

fn plain(select: Select, columns: Vec<OutputColumn>) -> Query {
    Query {
        body: Body::Select(Box::new(select)),
        columns,
        ..Query::nothing()
    }
}

fn named(types: impl Iterator<Item = Type>) -> Vec<OutputColumn> {
    let column = |(at, ty)| OutputColumn {
        name: format!("column{}", at + 1),
        ty,
        origin: None,
    };
    types.enumerate().map(column).collect()
}

fn not_a_key() -> Error {
    Error::new(
        SqlState::GROUPING_ERROR,
        "arguments to GROUPING must be grouping expressions of the associated query level",
    )
}

fn too_many_sets() -> Error {
    Error::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        format!("too many grouping sets present (maximum {MAX_SETS})"),
    )
}
