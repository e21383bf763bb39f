//! Recognises statements that speak of rows by their whole primary key: the
//! fast path of reads and writes.

use std::sync::Arc;

use super::coerce;
use super::evaluate::{is_evaluable, volatility};
use super::expression::{Expression, ExpressionKind};
use super::function::Volatility;
use super::query::{Body, Distinct, From, Query, RelationId};
use super::statement::{Insert, InsertSource, Returning, Statement};
use super::visit;
use crate::catalog::schema::Table;
use crate::types::Type;

/// A statement by key. `key` has one expression for each key column, in the
/// key's order, none of which looks at a row.
#[derive(Debug)]
pub enum Point<'a> {
    /// Whole rows in the table's column order.
    Insert {
        table: &'a Arc<Table>,
        rows: &'a [Vec<Expression>],
    },
    /// New values of columns outside the key; they may look at the row itself.
    Update {
        table: &'a Arc<Table>,
        relation: RelationId,
        key: Vec<&'a Expression>,
        set: &'a [(usize, Expression)],
    },
    Delete {
        table: &'a Arc<Table>,
        relation: RelationId,
        key: Vec<&'a Expression>,
    },
}

/// A query of at most one row by its key.
#[derive(Debug)]
pub struct PointRead<'a> {
    pub table: &'a Arc<Table>,
    pub relation: RelationId,
    pub key: Vec<&'a Expression>,
    pub projection: &'a [Expression],
}

/// The point write that a statement is, if it is one.
pub fn write(statement: &Statement) -> Option<Point<'_>> {
    match statement {
        Statement::Insert(insert) => point_insert(insert),
        Statement::Update(update) => {
            let plain = update.with.is_empty() && update.from.is_empty();
            if !plain || !returns_plainly(update.returning.as_ref()) {
                return None;
            }
            let keys = update.table.key_positions();
            let fixed =
                |(place, value): &(usize, Expression)| !keys.contains(place) && is_evaluable(value);
            if !update.set.iter().all(fixed) {
                return None;
            }
            let key = key_of(&update.table, update.relation, update.filter.as_ref())?;
            Some(Point::Update {
                table: &update.table,
                relation: update.relation,
                key,
                set: &update.set,
            })
        }
        Statement::Delete(delete) => {
            let plain = delete.with.is_empty() && delete.using.is_empty();
            if !plain || !returns_plainly(delete.returning.as_ref()) {
                return None;
            }
            let key = key_of(&delete.table, delete.relation, delete.filter.as_ref())?;
            Some(Point::Delete {
                table: &delete.table,
                relation: delete.relation,
                key,
            })
        }
        _ => None,
    }
}

/// The point read that a query is, if it is one.
pub fn read(query: &Query) -> Option<PointRead<'_>> {
    let bare = query.with.is_empty()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && query.locks.is_empty();
    let Body::Select(select) = &query.body else {
        return None;
    };
    let [
        From::Table {
            relation, table, ..
        },
    ] = select.from.as_slice()
    else {
        return None;
    };
    let plain = !select.grouped && select.distinct == Distinct::No;
    if !bare || !plain || !select.projection.iter().all(is_evaluable) {
        return None;
    }
    Some(PointRead {
        table,
        relation: *relation,
        key: key_of(table, *relation, select.filter.as_ref())?,
        projection: &select.projection,
    })
}

fn point_insert(insert: &Insert) -> Option<Point<'_>> {
    let plain = insert.with.is_empty()
        && insert.on_conflict.is_none()
        && returns_plainly(insert.returning.as_ref());
    match &insert.source {
        InsertSource::Values(rows) if plain && rows.iter().flatten().all(is_evaluable) => {
            Some(Point::Insert {
                table: &insert.table,
                rows,
            })
        }
        _ => None,
    }
}

/// RETURNING can be computed from the row alone.
fn returns_plainly(returning: Option<&Returning>) -> bool {
    returning.is_none_or(|returning| returning.expressions.iter().all(is_evaluable))
}

/// The values of a whole key if the condition is their equality and nothing else.
fn key_of<'a>(
    table: &Table,
    relation: RelationId,
    filter: Option<&'a Expression>,
) -> Option<Vec<&'a Expression>> {
    let places = table.key_positions();
    let filter = filter?;
    let conditions = match &filter.kind {
        ExpressionKind::And(conditions) => conditions.as_slice(),
        _ => std::slice::from_ref(filter),
    };
    if places.is_empty() || conditions.len() != places.len() {
        return None;
    }
    let mut key: Vec<Option<&Expression>> = vec![None; places.len()];
    for condition in conditions {
        let (column, value) = equality(condition, relation)?;
        let at = places.iter().position(|place| *place == column)?;
        if key[at].is_some() || !comparable(&table.columns[column].ty, &value.ty) {
            return None;
        }
        key[at] = Some(value);
    }
    key.into_iter().collect()
}

/// `column = value` or the other way round.
fn equality(condition: &Expression, relation: RelationId) -> Option<(usize, &Expression)> {
    let ExpressionKind::Call {
        function,
        arguments,
    } = &condition.kind
    else {
        return None;
    };
    let [left, right] = arguments.as_slice() else {
        return None;
    };
    if function.operator != Some("=") {
        return None;
    }
    match (own_column(left, relation), own_column(right, relation)) {
        (Some(column), None) if is_fixed(right) => Some((column, right)),
        (None, Some(column)) if is_fixed(left) => Some((column, left)),
        _ => None,
    }
}

/// A column of the relation, perhaps under a cast that changes no value.
fn own_column(expression: &Expression, relation: RelationId) -> Option<usize> {
    match &expression.kind {
        ExpressionKind::Column {
            relation: found,
            column,
        } if *found == relation => Some(*column),
        ExpressionKind::Cast { operand, .. }
            if coerce::is_relabel(&operand.ty, &expression.ty)
                && !matches!(operand.ty, Type::Char(_)) =>
        {
            own_column(operand, relation)
        }
        _ => None,
    }
}

/// The same for every row: no column, subquery or volatile function.
fn is_fixed(expression: &Expression) -> bool {
    let mut has_column = false;
    visit::columns(expression, &mut |_, _| has_column = true);
    !has_column && is_evaluable(expression) && volatility(expression) < Volatility::Volatile
}

/// Equal values of both types are the same value to a key look-up.
fn comparable(column: &Type, value: &Type) -> bool {
    let text = |ty: &Type| matches!(ty, Type::Text | Type::Varchar(_));
    column.same_base(value)
        || (column.is_integer() && value.is_integer())
        || (text(column) && text(value))
}
