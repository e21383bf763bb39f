//! Walks over expressions with the queries in them, and over queries.

use std::collections::BTreeSet;

use super::evaluate::walk;
use super::expression::{Expression, ExpressionKind};
use super::query::{Body, CommonTableId, Distinct, From, Query, RelationId, Select, SortBy};

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

/// The same, to change it.
pub fn subquery_mut(expression: &mut Expression) -> Option<&mut Query> {
    match &mut expression.kind {
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

/// [`expressions`], to change them.
pub fn expressions_mut(query: &mut Query, visit: &mut dyn FnMut(&mut Expression)) {
    own_expressions_mut(query, visit);
    queries_beside_mut(query, &mut |inner| expressions_mut(inner, visit));
}

/// Calls `visit` with each query directly inside this one: of WITH, of FROM,
/// of its expressions, and the sides of a set operation.
pub fn subqueries_mut(query: &mut Query, visit: &mut dyn FnMut(&mut Query)) {
    queries_beside_mut(query, visit);
    own_expressions_mut(query, &mut |part| inside_mut(part, visit));
}

/// Those of WITH, of FROM, and the sides of a set operation.
fn queries_beside_mut(query: &mut Query, visit: &mut dyn FnMut(&mut Query)) {
    for common in &mut query.with {
        visit(&mut common.query);
    }
    match &mut query.body {
        Body::Select(select) => {
            for item in &mut select.from {
                queries_of_from_mut(item, visit);
            }
        }
        Body::SetOperation { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Body::Values(_) => {}
    }
}

/// Calls `visit` with each expression in a query, those of all queries within
/// and the parts of each included.
pub fn each_expression_mut(query: &mut Query, visit: &mut dyn FnMut(&mut Expression)) {
    own_expressions_mut(query, &mut |part| each_part_mut(part, visit));
    subqueries_mut(query, &mut |inner| each_expression_mut(inner, visit));
}

fn each_part_mut(expression: &mut Expression, visit: &mut dyn FnMut(&mut Expression)) {
    visit(expression);
    walk::each_child(expression, &mut |child| each_part_mut(child, visit));
}

/// The outermost expressions of this query alone.
fn own_expressions_mut(query: &mut Query, visit: &mut dyn FnMut(&mut Expression)) {
    match &mut query.body {
        Body::Select(select) => {
            if let Distinct::On(keys) = &mut select.distinct {
                keys.iter_mut().for_each(&mut *visit);
            }
            select.projection.iter_mut().for_each(&mut *visit);
            for item in &mut select.from {
                expressions_of_from_mut(item, visit);
            }
            let parts = select.filter.iter_mut().chain(&mut select.group_by);
            parts.chain(&mut select.having).for_each(&mut *visit);
        }
        Body::Values(rows) => rows.iter_mut().flatten().for_each(&mut *visit),
        Body::SetOperation { .. } => {}
    }
    for key in &mut query.order_by {
        if let SortBy::Expression(by) = &mut key.by {
            visit(by);
        }
    }
    let limits = query.limit.iter_mut().chain(&mut query.offset);
    limits.for_each(visit);
}

fn expressions_of_from_mut(from: &mut From, visit: &mut dyn FnMut(&mut Expression)) {
    match from {
        From::Table { .. } | From::Common { .. } | From::Subquery { .. } => {}
        From::Function { call, more, .. } => {
            visit(call);
            more.iter_mut().for_each(visit);
        }
        From::Join {
            left, right, on, ..
        } => {
            expressions_of_from_mut(left, visit);
            expressions_of_from_mut(right, visit);
            on.iter_mut().for_each(visit);
        }
    }
}

fn queries_of_from_mut(from: &mut From, visit: &mut dyn FnMut(&mut Query)) {
    match from {
        From::Subquery { query, .. } => visit(query),
        From::Join { left, right, .. } => {
            queries_of_from_mut(left, visit);
            queries_of_from_mut(right, visit);
        }
        From::Table { .. } | From::Common { .. } | From::Function { .. } => {}
    }
}

fn inside_mut(expression: &mut Expression, visit: &mut dyn FnMut(&mut Query)) {
    walk::each_child(expression, &mut |child| inside_mut(child, visit));
    if let Some(query) = subquery_mut(expression) {
        visit(query);
    }
}

/// Whether any part of the query, at whatever depth, satisfies `test`.
pub fn any_within(query: &Query, test: &mut dyn FnMut(&Expression) -> bool) -> bool {
    let mut found = false;
    expressions(query, &mut |part| {
        found = found || part_within(part, test);
    });
    found
}

/// The same of an expression.
pub fn part_within(expression: &Expression, test: &mut dyn FnMut(&Expression) -> bool) -> bool {
    let mut found = test(expression);
    children(expression, &mut |child| {
        found = found || part_within(child, test);
    });
    found || subquery(expression).is_some_and(|query| any_within(query, test))
}

/// The relations that items of FROM make.
pub fn relations_of(from: &[From]) -> BTreeSet<RelationId> {
    let mut names = Names::default();
    from.iter().for_each(|item| names.from(item));
    names.own
}

/// Does the query name a column or a common table of the queries around it?
pub fn depends_on_outside(query: &Query) -> bool {
    let mut names = Names::default();
    names.query(query);
    !names.used.is_subset(&names.own) || !names.used_commons.is_subset(&names.own_commons)
}

/// Relations and common tables that are made and used somewhere within.
#[derive(Default)]
struct Names {
    own: BTreeSet<RelationId>,
    used: BTreeSet<RelationId>,
    own_commons: BTreeSet<CommonTableId>,
    used_commons: BTreeSet<CommonTableId>,
}

impl Names {
    fn query(&mut self, query: &Query) {
        for common in &query.with {
            self.own_commons.insert(common.id);
            self.query(&common.query);
        }
        match &query.body {
            Body::Select(select) => select.from.iter().for_each(|item| self.from(item)),
            Body::SetOperation { left, right, .. } => {
                self.query(left);
                self.query(right);
            }
            Body::Values(_) => {}
        }
        expressions(query, &mut |part| self.expression(part));
    }

    fn from(&mut self, from: &From) {
        match from {
            From::Table { relation, .. } | From::Function { relation, .. } => {
                self.own.insert(*relation);
            }
            From::Common {
                relation, common, ..
            } => {
                self.own.insert(*relation);
                self.used_commons.insert(*common);
            }
            From::Subquery {
                relation, query, ..
            } => {
                self.own.insert(*relation);
                self.query(query);
            }
            From::Join { left, right, .. } => {
                self.from(left);
                self.from(right);
            }
        }
    }

    fn expression(&mut self, expression: &Expression) {
        if let ExpressionKind::Column { relation, .. } = expression.kind {
            self.used.insert(relation);
        }
        children(expression, &mut |child| self.expression(child));
        if let Some(query) = subquery(expression) {
            self.query(query);
        }
    }
}
