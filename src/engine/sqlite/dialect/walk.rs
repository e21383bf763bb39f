//! Walks expressions and queries: children, rebuilding, what they refer to.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::plan::expression::{Expression, ExpressionKind, Window};
use crate::plan::function::{FunctionBody, Volatility};
use crate::plan::query::{Body, Distinct, From, Query, RelationId, SortBy};
use crate::types::id::TableId;

/// The expressions directly inside one; not those of its subqueries.
pub(super) fn children(expression: &Expression) -> Vec<&Expression> {
    use ExpressionKind as K;
    match &expression.kind {
        K::Constant(_) | K::Parameter(_) | K::Column { .. } => Vec::new(),
        K::Exists { .. } | K::Scalar(_) | K::ArrayQuery(_) => Vec::new(),
        K::Call { arguments, .. } | K::Extreme { arguments, .. } => arguments.iter().collect(),
        K::And(items) | K::Or(items) | K::Coalesce(items) => items.iter().collect(),
        K::Array(items) | K::Record(items) => items.iter().collect(),
        K::Aggregate(aggregate) => {
            let keys = aggregate.order_by.iter().map(|(key, _, _)| key);
            let arguments = aggregate.arguments.iter();
            arguments.chain(&aggregate.filter).chain(keys).collect()
        }
        K::Window(window) => window_children(window),
        K::Cast { operand, .. } | K::Not(operand) => vec![operand],
        K::IsNull { operand, .. } | K::IsTruth { operand, .. } => vec![operand],
        K::IsDistinct { left, right, .. } => vec![left, right],
        K::Case {
            branches,
            otherwise,
        } => {
            let pairs = branches.iter().flat_map(|(when, then)| [when, then]);
            pairs.chain(otherwise.as_deref()).collect()
        }
        K::NullIf { left, equal } => vec![left, equal],
        K::InList { operand, list, .. } => std::iter::once(&**operand).chain(list).collect(),
        K::AnyArray { operand, array, .. } => vec![operand, array],
        K::AnyQuery { operands, .. } => operands.iter().collect(),
        K::Subscript { array, indexes } => std::iter::once(&**array).chain(indexes).collect(),
        K::Slice {
            array,
            lower,
            upper,
        } => {
            let bounds = [lower.as_deref(), upper.as_deref()];
            std::iter::once(&**array)
                .chain(bounds.into_iter().flatten())
                .collect()
        }
    }
}

fn window_children(window: &Window) -> Vec<&Expression> {
    let keys = window.order_by.iter().map(|(key, _, _)| key);
    let arguments = window.arguments.iter();
    arguments
        .chain(&window.filter)
        .chain(&window.partition_by)
        .chain(keys)
        .collect()
}

/// The same expression with each direct child replaced by what `change` makes
/// of it. Aggregates, windows and subqueries are not entered.
pub(super) fn rebuild(
    expression: &Expression,
    change: &mut dyn FnMut(&Expression) -> Result<Expression>,
) -> Result<Expression> {
    use ExpressionKind as K;
    let mut rebuilt = expression.clone();
    match &mut rebuilt.kind {
        K::Constant(_) | K::Parameter(_) | K::Column { .. } => {}
        K::Exists { .. } | K::Scalar(_) | K::ArrayQuery(_) => {}
        K::Aggregate(_) | K::Window(_) => {}
        K::Call { arguments, .. } | K::Extreme { arguments, .. } => each(arguments, change)?,
        K::And(items) | K::Or(items) | K::Coalesce(items) => each(items, change)?,
        K::Array(items) | K::Record(items) => each(items, change)?,
        K::Cast { operand, .. } | K::Not(operand) => **operand = change(operand)?,
        K::IsNull { operand, .. } | K::IsTruth { operand, .. } => **operand = change(operand)?,
        K::IsDistinct { left, right, .. } => {
            **left = change(left)?;
            **right = change(right)?;
        }
        K::Case {
            branches,
            otherwise,
        } => {
            for (when, then) in branches {
                *when = change(when)?;
                *then = change(then)?;
            }
            if let Some(otherwise) = otherwise {
                **otherwise = change(otherwise)?;
            }
        }
        K::NullIf { left, equal } => {
            **left = change(left)?;
            **equal = change(equal)?;
        }
        K::InList { operand, list, .. } => {
            **operand = change(operand)?;
            each(list, change)?;
        }
        K::AnyArray { operand, array, .. } => {
            **operand = change(operand)?;
            **array = change(array)?;
        }
        K::AnyQuery { operands, .. } => each(operands, change)?,
        K::Subscript { array, indexes } => {
            **array = change(array)?;
            each(indexes, change)?;
        }
        K::Slice {
            array,
            lower,
            upper,
        } => {
            **array = change(array)?;
            for bound in [lower, upper].into_iter().flatten() {
                **bound = change(bound)?;
            }
        }
    }
    Ok(rebuilt)
}

fn each(
    items: &mut [Expression],
    change: &mut dyn FnMut(&Expression) -> Result<Expression>,
) -> Result<()> {
    for item in items {
        *item = change(item)?;
    }
    Ok(())
}

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
            From::Function { call, .. } => self.enter(call),
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
pub(super) fn names_common(query: &Query, id: crate::plan::query::CommonTableId) -> bool {
    let mut found = false;
    Visit {
        expression: &mut |_| {},
        from: &mut |item| found |= matches!(item, From::Common { common, .. } if *common == id),
    }
    .query(query);
    found
}
