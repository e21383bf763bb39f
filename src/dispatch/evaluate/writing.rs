//! The writing statements, as evaluation takes them.

use std::sync::Arc;

use crate::catalog::schema::Table;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::plan::evaluation::{self, Evaluation};
use crate::plan::expression::Expression;
use crate::plan::query::{Query, RelationId};
use crate::plan::statement::{Compound, Delete, Insert, Returning, Statement, Update};
use crate::types::id::TableId;

/// A statement that writes rows, or a step of one.
pub enum Writing<'a> {
    Insert(&'a Insert),
    Change(Change<'a>),
    Compound(&'a Compound),
    /// A query that a statement of several steps asks.
    Query(Arc<Query>),
}

impl<'a> Writing<'a> {
    pub fn of(plan: &'a Plan) -> Result<Writing<'a>> {
        Ok(match &plan.statement {
            Statement::Insert(insert) => Writing::Insert(insert),
            Statement::Update(update) => {
                let evaluation = plan.evaluation(|| evaluation::of_update(update))?;
                Writing::Change(Change::of_update(update, evaluation))
            }
            Statement::Delete(delete) => {
                let evaluation = plan.evaluation(|| evaluation::of_delete(delete))?;
                Writing::Change(Change::of_delete(delete, evaluation))
            }
            Statement::Compound(compound) => Writing::Compound(compound),
            Statement::Query(query) => Writing::Query(plan.shared_query(query)),
            _ => return Err(Error::internal("no writing statement")),
        })
    }

    /// The tables it writes.
    pub(super) fn tables(&self) -> Result<Vec<TableId>> {
        Ok(match self {
            Writing::Insert(insert) => vec![insert.table.id],
            Writing::Change(change) => vec![change.table.id],
            Writing::Query(_) => Vec::new(),
            Writing::Compound(compound) => {
                let mut tables = Vec::with_capacity(compound.steps.len());
                for step in &compound.steps {
                    tables.extend(Writing::of(&step.plan)?.tables()?);
                }
                tables.sort();
                tables.dedup();
                tables
            }
        })
    }

    /// Do parts of it read the tables as they were when it began?
    pub(super) fn needs_moment(&self) -> bool {
        let queries =
            |returning: Option<&Returning>| returning.is_some_and(|it| it.query.is_some());
        match self {
            Writing::Compound(_) => true,
            Writing::Query(_) => false,
            Writing::Change(change) => queries(change.returning),
            Writing::Insert(insert) => {
                let conflict = insert.on_conflict.as_ref();
                let update = conflict.and_then(|conflict| conflict.update.as_ref());
                queries(insert.returning.as_ref()) || update.is_some_and(|it| it.query.is_some())
            }
        }
    }
}

/// An UPDATE or a DELETE.
pub struct Change<'a> {
    pub table: &'a Arc<Table>,
    pub relation: RelationId,
    /// What an UPDATE sets; `None` for DELETE.
    pub set: Option<&'a [(usize, Expression)]>,
    pub returning: Option<&'a Returning>,
    pub evaluation: Arc<Evaluation>,
}

impl<'a> Change<'a> {
    pub fn of_update(update: &'a Update, evaluation: Arc<Evaluation>) -> Change<'a> {
        Change {
            table: &update.table,
            relation: update.relation,
            set: Some(&update.set),
            returning: update.returning.as_ref(),
            evaluation,
        }
    }

    pub fn of_delete(delete: &'a Delete, evaluation: Arc<Evaluation>) -> Change<'a> {
        Change {
            table: &delete.table,
            relation: delete.relation,
            set: None,
            returning: delete.returning.as_ref(),
            evaluation,
        }
    }
}
