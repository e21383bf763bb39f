//! Walks over expressions with the queries in them, and over queries.

use super::evaluate::walk;
use super::expression::{Expression, ExpressionKind};
use super::query::{Body, Distinct, From, Query, RelationId, Select, SortBy};

/// Calls `visit` with each direct part of an expression, its queries left out.
pub fn children<'a>(expression: &'a Expression, visit: &mut dyn FnMut(&'a Expression)) {
    walk::children(expression).into_iter().for_each(visit);
}

/// The query that an expression holds itself, if it is a subquery.
pub fn subquery(expression: &Expression) -> Option<&Query> {
    match &expression.kind {
        ExpressionKind::Exists { query, .. }
        | ExpressionKind::Scalar(query)
        | ExpressionKind::ArrayQuery(query)
        | ExpressionKind::AnyQuery { query, .. } => Some(query),
        _ => None,
    }
}

/// Calls `visit` with each column named in an expression, subqueries included.
pub fn columns(expression: &Expression, visit: &mut dyn FnMut(RelationId, usize)) {
    if let ExpressionKind::Column { relation, column } = expression.kind {
        visit(relation, column);
    }
    children(expression, &mut |child| columns(child, visit));
    if let Some(query) = subquery(expression) {
        expressions(query, &mut |part| columns(part, visit));
    }
}

/// How many expressions it is made of, those of its subqueries included.
pub fn size(expression: &Expression) -> usize {
    let mut count = 1;
    children(expression, &mut |child| count += size(child));
    if let Some(query) = subquery(expression) {
        expressions(query, &mut |part| count += size(part));
    }
    count
}

/// Whether any part of it, subqueries left out, satisfies `test`.
pub fn any(expression: &Expression, test: &mut dyn FnMut(&Expression) -> bool) -> bool {
    if test(expression) {
        return true;
    }
    let mut found = false;
    children(expression, &mut |child| found = found || any(child, test));
    found
}

/// Calls `visit` with the outermost expressions of a query and its subqueries in FROM.
pub fn expressions<'a>(query: &'a Query, visit: &mut dyn FnMut(&'a Expression)) {
    for common in &query.with {
        expressions(&common.query, visit);
    }
    match &query.body {
        Body::Select(select) => select_expressions(select, visit),
        Body::Values(rows) => rows.iter().flatten().for_each(&mut *visit),
        Body::SetOperation { left, right, .. } => {
            expressions(left, visit);
            expressions(right, visit);
        }
    }
    for key in &query.order_by {
        if let SortBy::Expression(by) = &key.by {
            visit(by);
        }
    }
    query.limit.iter().for_each(&mut *visit);
    query.offset.iter().for_each(visit);
}

fn select_expressions<'a>(select: &'a Select, visit: &mut dyn FnMut(&'a Expression)) {
    if let Distinct::On(keys) = &select.distinct {
        keys.iter().for_each(&mut *visit);
    }
    select.projection.iter().for_each(&mut *visit);
    for item in &select.from {
        from_expressions(item, visit);
    }
    select.filter.iter().for_each(&mut *visit);
    select.group_by.iter().for_each(&mut *visit);
    select.having.iter().for_each(visit);
}

/// Calls `visit` with the expressions of a FROM item.
pub fn from_expressions<'a>(from: &'a From, visit: &mut dyn FnMut(&'a Expression)) {
    match from {
        From::Table { .. } | From::Common { .. } => {}
        From::Subquery { query, .. } => expressions(query, visit),
        From::Function { call, more, .. } => {
            visit(call);
            more.iter().for_each(visit);
        }
        From::Join {
            left, right, on, ..
        } => {
            from_expressions(left, visit);
            from_expressions(right, visit);
            on.iter().for_each(visit);
        }
    }
}
