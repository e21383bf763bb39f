//! What expressions and queries refer to.

use std::collections::BTreeSet;

use crate::plan::evaluate::walk::children;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::{FunctionBody, Volatility};
use crate::plan::query::{Body, CommonTableId, Distinct, From, Query, RelationId, SortBy};
use crate::types::id::TableId;

/// Whether the condition holds for this expression or any inside it;
/// subqueries count as one expression.
pub(super) fn any(expression: &Expression, holds: &dyn Fn(&Expression) -> bool) -> bool {
    holds(expression) || children(expression).into_iter().any(|e| any(e, holds))
}

/// Its value is the same for all rows of a query: it names no column, asks no
/// subquery, aggregates nothing and is not volatile.
pub(super) fn is_fixed(expression: &Expression) -> bool {
    use ExpressionKind as K;
    !any(expression, &|e| match &e.kind {
        K::Column { .. } => true,
        _ => needs_engine(e) || is_volatile_call(e) || is_set_call(e),
    })
}

/// Only the engine can yield it: the evaluator sees no rows.
pub(super) fn needs_engine(expression: &Expression) -> bool {
    use ExpressionKind as K;
    matches!(
        expression.kind,
        K::Aggregate(_)
            | K::Window(_)
            | K::AnyQuery { .. }
            | K::Exists { .. }
            | K::Scalar(_)
            | K::ArrayQuery(_)
    )
}

pub(super) fn is_volatile_call(expression: &Expression) -> bool {
    match &expression.kind {
        ExpressionKind::Call { function, .. } => function.volatility == Volatility::Volatile,
        _ => false,
    }
}

/// A function that yields rows.
pub(super) fn is_set_call(expression: &Expression) -> bool {
    match &expression.kind {
        ExpressionKind::Call { function, .. } => matches!(function.body, FunctionBody::Rows(_)),
        _ => false,
    }
}

/// Every expression of a query, of all depths, and every item of FROM.
struct Visit<'a> {
    expression: &'a mut dyn FnMut(&Expression),
    from: &'a mut dyn FnMut(&From),
}

impl Visit<'_> {
    fn query(&mut self, query: &Query) {
        for common in &query.with {
            self.query(&common.query);
        }
        match &query.body {
            Body::Select(select) => {
                select.from.iter().for_each(|item| self.from(item));
                let lists = [&select.projection, &select.group_by];
                lists.into_iter().flatten().for_each(|e| self.enter(e));
                if let Distinct::On(keys) = &select.distinct {
                    keys.iter().for_each(|e| self.enter(e));
                }
                let conditions = select.filter.iter().chain(&select.having);
                conditions.for_each(|e| self.enter(e));
            }
            Body::Values(rows) => rows.iter().flatten().for_each(|e| self.enter(e)),
            Body::SetOperation { left, right, .. } => {
                self.query(left);
                self.query(right);
            }
        }
        for key in &query.order_by {
            if let SortBy::Expression(expression) = &key.by {
                self.enter(expression);
            }
        }
        let bounds = query.limit.iter().chain(&query.offset);
        bounds.for_each(|e| self.enter(e));
    }

    fn from(&mut self, item: &From) {
        (self.from)(item);
        match item {
            From::Table { .. } | From::Common { .. } => {}
            From::Subquery { query, .. } => self.query(query),
            From::Function { call, more, .. } => {
                self.enter(call);
                more.iter().for_each(|call| self.enter(call));
            }
            From::Join {
                left, right, on, ..
            } => {
                self.from(left);
                self.from(right);
                on.iter().for_each(|e| self.enter(e));
            }
        }
    }

    fn enter(&mut self, expression: &Expression) {
        use ExpressionKind as K;
        (self.expression)(expression);
        match &expression.kind {
            K::AnyQuery { query, .. }
            | K::Exists { query, .. }
            | K::Scalar(query)
            | K::ArrayQuery(query) => self.query(query),
            _ => {}
        }
        for child in children(expression) {
            self.enter(child);
        }
    }
}

pub(super) fn tables(query: &Query) -> Vec<TableId> {
    let mut found = BTreeSet::new();
    Visit {
        expression: &mut |_| {},
        from: &mut |item| {
            if let From::Table { table, .. } = item {
                found.insert(table.id);
            }
        },
    }
    .query(query);
    found.into_iter().collect()
}

/// The relations whose columns an item of FROM names.
pub(super) fn named_relations(item: &From) -> BTreeSet<RelationId> {
    let mut found = BTreeSet::new();
    Visit {
        expression: &mut |expression| {
            if let ExpressionKind::Column { relation, .. } = &expression.kind {
                found.insert(*relation);
            }
        },
        from: &mut |_| {},
    }
    .from(item);
    found
}

/// The relations that an item of FROM makes.
pub(super) fn made_relations(item: &From, found: &mut BTreeSet<RelationId>) {
    match item {
        From::Table { relation, .. }
        | From::Common { relation, .. }
        | From::Subquery { relation, .. }
        | From::Function { relation, .. } => {
            found.insert(*relation);
        }
        From::Join { left, right, .. } => {
            made_relations(left, found);
            made_relations(right, found);
        }
    }
}

/// Whether the query names a common table.
pub(super) fn names_common(query: &Query, id: CommonTableId) -> bool {
    let mut found = false;
    Visit {
        expression: &mut |_| {},
        from: &mut |item| found |= matches!(item, From::Common { common, .. } if *common == id),
    }
    .query(query);
    found
}
