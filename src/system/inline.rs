//! Statements over the system's relations and user tables at once.
//!
//! A replica knows no system relation. So the rows that the statement needs of
//! each are put into the statement itself, as constants, before it goes to a
//! replica: only the columns that it names. They are those of the moment at
//! which the statement is run, so that a write has the same rows everywhere.
//!
//! Not handled: relations of more values than [`MAX_VALUES`].

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::relation::{self, Relation};
use super::{System, View};
use crate::catalog::schema::{Namespace, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::Expression;
use crate::plan::query::{Body, From, OutputColumn, Query, RelationId};
use crate::plan::statement::{CopyDirection, InsertSource, Statement};
use crate::plan::visit;
use crate::types::id::TableId;
use crate::types::{Row, Value};

/// The most values that system relations may bring into one statement.
const MAX_VALUES: usize = 200_000;

impl System {
    /// Puts the rows of system relations into a statement that names them.
    pub fn inline(&self, view: &View, statement: &mut Statement) -> Result<()> {
        let mut inlining = Inlining {
            view,
            known: HashMap::new(),
            values: 0,
        };
        let mut used = BTreeSet::new();
        expressions(statement, &mut |expression| {
            visit::columns(expression, &mut |relation, column| {
                used.insert((relation, column));
            });
        });
        let mut outcome = Ok(());
        each_from(statement, &mut |from| {
            if outcome.is_ok() {
                outcome = inlining.replace(from, &used);
            }
        });
        outcome
    }
}

type Used = BTreeSet<(RelationId, usize)>;

struct Inlining<'a> {
    view: &'a View,
    /// Rows of relations that the statement names more than once.
    known: HashMap<TableId, Arc<Vec<Row>>>,
    values: usize,
}

impl Inlining<'_> {
    fn replace(&mut self, from: &mut From, used: &Used) -> Result<()> {
        let From::Table {
            relation,
            table,
            alias,
        } = &*from
        else {
            return Ok(());
        };
        if table.namespace == Namespace::Public {
            return Ok(());
        }
        let rows = self.rows(table)?;
        let named = (0..table.columns.len()).filter(|at| used.contains(&(*relation, *at)));
        self.values += rows.len() * named.count().max(1);
        if self.values > MAX_VALUES {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("{} is too large beside user tables", table.name),
            )
            .detail(format!(
                "At most {MAX_VALUES} values of system relations may stand in one statement."
            )));
        }
        let cells = |row: &Row| {
            let cells = table.columns.iter().enumerate();
            let cell = |(at, column): (usize, &crate::catalog::schema::Column)| {
                let value = match used.contains(&(*relation, at)) {
                    true => row[at].clone(),
                    false => Value::Null,
                };
                Expression::constant(value, column.ty.clone())
            };
            cells.map(cell).collect::<Vec<_>>()
        };
        let columns = table.columns.iter().map(|column| OutputColumn {
            name: column.name.clone(),
            ty: column.ty.clone(),
            origin: None,
        });
        let query = match rows.is_empty() {
            true => none(table),
            false => Query {
                body: Body::Values(rows.iter().map(cells).collect()),
                columns: columns.collect(),
                ..Query::nothing()
            },
        };
        *from = From::Subquery {
            relation: *relation,
            query: Box::new(query),
            alias: alias.clone(),
            lateral: false,
        };
        Ok(())
    }

    fn rows(&mut self, table: &Table) -> Result<Arc<Vec<Row>>> {
        if let Some(rows) = self.known.get(&table.id) {
            return Ok(rows.clone());
        }
        let named = |relation: &&Relation| relation.table.id == table.id;
        let Some(relation) = relation::all().iter().find(named) else {
            return Err(Error::internal("a system relation that is not there"));
        };
        let rows = Arc::new(relation.rows(self.view));
        self.known.insert(table.id, rows.clone());
        Ok(rows)
    }
}

/// No row of the table's columns: one that a condition takes away.
fn none(table: &Table) -> Query {
    let nulls = table
        .columns
        .iter()
        .map(|column| Expression::constant(Value::Null, column.ty.clone()));
    let columns = table.columns.iter().map(|column| OutputColumn {
        name: column.name.clone(),
        ty: column.ty.clone(),
        origin: None,
    });
    Query {
        body: Body::Values(vec![nulls.collect()]),
        limit: Some(Expression::constant(
            Value::Int(0),
            crate::types::Type::Int8,
        )),
        columns: columns.collect(),
        ..Query::nothing()
    }
}

/// The outermost expressions of a statement.
fn expressions(statement: &Statement, expression: &mut dyn FnMut(&Expression)) {
    match statement {
        Statement::Query(query) => visit::expressions(query, expression),
        Statement::Insert(insert) => {
            insert
                .with
                .iter()
                .for_each(|common| visit::expressions(&common.query, expression));
            match &insert.source {
                InsertSource::Query { query, .. } => visit::expressions(query, expression),
                InsertSource::Values(rows) => rows.iter().flatten().for_each(&mut *expression),
            }
            let updates = insert.on_conflict.iter().filter_map(|c| c.update.as_ref());
            for update in updates {
                update.set.iter().for_each(|(_, value)| expression(value));
                update.filter.iter().for_each(&mut *expression);
            }
            let returned = insert.returning.iter().flat_map(|r| &r.expressions);
            returned.for_each(expression);
        }
        Statement::Update(update) => {
            update
                .with
                .iter()
                .for_each(|common| visit::expressions(&common.query, expression));
            update.set.iter().for_each(|(_, value)| expression(value));
            for from in &update.from {
                visit::from_expressions(from, expression);
            }
            update.filter.iter().for_each(&mut *expression);
            let returned = update.returning.iter().flat_map(|r| &r.expressions);
            returned.for_each(expression);
        }
        Statement::Delete(delete) => {
            delete
                .with
                .iter()
                .for_each(|common| visit::expressions(&common.query, expression));
            for from in &delete.using {
                visit::from_expressions(from, expression);
            }
            delete.filter.iter().for_each(&mut *expression);
            let returned = delete.returning.iter().flat_map(|r| &r.expressions);
            returned.for_each(expression);
        }
        Statement::Schema(schema) => {
            let fill = schema.fill.iter();
            fill.for_each(|fill| visit::expressions(fill, expression));
        }
        Statement::Copy(copy) => {
            if let CopyDirection::Out { query } = &copy.direction {
                visit::expressions(query, expression);
            }
        }
        _ => {}
    }
}

/// Hands out every item of FROM of a statement, of whatever depth.
fn each_from(statement: &mut Statement, visit: &mut dyn FnMut(&mut From)) {
    match statement {
        Statement::Query(query) => query_from(query, visit),
        Statement::Insert(insert) => {
            for common in &mut insert.with {
                query_from(&mut common.query, visit);
            }
            match &mut insert.source {
                InsertSource::Query { query, .. } => query_from(query, visit),
                InsertSource::Values(rows) => {
                    let values = rows.iter_mut().flatten();
                    values.for_each(|value| expression_from(value, visit));
                }
            }
            let conflicts = insert.on_conflict.iter_mut();
            for update in conflicts.filter_map(|c| c.update.as_mut()) {
                for (_, value) in &mut update.set {
                    expression_from(value, visit);
                }
                let filter = update.filter.iter_mut();
                filter.for_each(|filter| expression_from(filter, visit));
            }
        }
        Statement::Update(update) => {
            for common in &mut update.with {
                query_from(&mut common.query, visit);
            }
            for (_, value) in &mut update.set {
                expression_from(value, visit);
            }
            update.from.iter_mut().for_each(|it| item(it, visit));
            let filter = update.filter.iter_mut();
            filter.for_each(|filter| expression_from(filter, visit));
        }
        Statement::Delete(delete) => {
            for common in &mut delete.with {
                query_from(&mut common.query, visit);
            }
            delete.using.iter_mut().for_each(|it| item(it, visit));
            let filter = delete.filter.iter_mut();
            filter.for_each(|filter| expression_from(filter, visit));
        }
        Statement::Schema(schema) => {
            let fill = schema.fill.iter_mut();
            fill.for_each(|fill| query_from(fill, visit));
        }
        Statement::Copy(copy) => {
            if let CopyDirection::Out { query } = &mut copy.direction {
                query_from(query, visit);
            }
        }
        _ => {}
    }
}

fn query_from(query: &mut Query, found: &mut dyn FnMut(&mut From)) {
    // What is put in place of a relation holds none itself.
    visit::subqueries_mut(query, &mut |inner| query_from(inner, found));
    if let Body::Select(select) = &mut query.body {
        for from in &mut select.from {
            bare(from, found);
        }
    }
}

/// An item of FROM with the queries in it.
fn item(from: &mut From, found: &mut dyn FnMut(&mut From)) {
    match from {
        From::Subquery { query, .. } => query_from(query, found),
        From::Function { call, more, .. } => {
            expression_from(call, found);
            more.iter_mut()
                .for_each(|call| expression_from(call, found));
        }
        From::Join {
            left, right, on, ..
        } => {
            item(left, found);
            item(right, found);
            on.iter_mut().for_each(|on| expression_from(on, found));
        }
        From::Table { .. } | From::Common { .. } => found(from),
    }
}

/// An item of FROM whose queries have been seen.
fn bare(from: &mut From, found: &mut dyn FnMut(&mut From)) {
    match from {
        From::Join { left, right, .. } => {
            bare(left, found);
            bare(right, found);
        }
        other => found(other),
    }
}

fn expression_from(expression: &mut Expression, found: &mut dyn FnMut(&mut From)) {
    crate::plan::evaluate::walk::each_child(expression, &mut |child| {
        expression_from(child, found);
    });
    if let Some(query) = visit::subquery_mut(expression) {
        query_from(query, found);
    }
}
