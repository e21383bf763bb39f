//! INSERT: the rows it proposes, one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use super::evaluator::{Attempt, Done, Evaluator};
use super::found::Found;
use crate::error::Result;
use crate::plan::evaluate::{evaluate, is_evaluable};
use crate::plan::expression::Expression;
use crate::plan::query::{Body, OutputColumn, Query};
use crate::plan::statement::{Insert, InsertColumn, InsertSource};
use crate::types::Row;
use crate::types::id::Index;

impl Evaluator<'_> {
    pub(super) async fn insert(&mut self, insert: &Insert) -> Attempt<Done> {
        let mut done = Done::default();
        let mut touched = HashSet::new();
        match &insert.source {
            InsertSource::Values(rows) => {
                let rows = self.proposed(insert, rows).await?;
                self.insert_rows(insert, rows, &mut touched, &mut done)
                    .await?;
            }
            InsertSource::Query { query, columns } => {
                let query = with_of(insert, query);
                self.note_reads();
                let mut found = match query.locks.is_empty() {
                    true => {
                        let query = self.settled(query).await?;
                        self.found(insert.table.id, &query, true).await?
                    }
                    false => Found::at_once(Index(0), self.rows_locked(query).await?),
                };
                loop {
                    let results = found.next().await?;
                    if results.is_empty() {
                        break;
                    }
                    let rows = self.inserted(results, columns)?;
                    self.insert_rows(insert, rows, &mut touched, &mut done)
                        .await?;
                }
            }
        }
        self.finish_returning(insert.returning.as_ref(), &mut done)
            .await?;
        Ok(done)
    }

    /// Inserts complete rows; `touched` are the keys that ON CONFLICT has met.
    async fn insert_rows(
        &mut self,
        insert: &Insert,
        rows: Vec<Row>,
        touched: &mut HashSet<Vec<u8>>,
        done: &mut Done,
    ) -> Attempt<()> {
        let rules = self.rules(&insert.table)?;
        for row in rows {
            let inserted = match &insert.on_conflict {
                None => Some(self.insert_row(&rules, row).await?),
                Some(conflict) => {
                    self.insert_or(&rules, insert, conflict, row, touched)
                        .await?
                }
            };
            self.make_room().await?;
            let Some(row) = inserted else { continue };
            done.rows += 1;
            let returning = insert.returning.as_ref();
            self.return_row(returning, insert.relation, &row, &[], done)?;
        }
        Ok(())
    }

    /// Complete rows out of the results of an INSERT's query.
    fn inserted(&self, results: Vec<Row>, columns: &[InsertColumn]) -> Result<Vec<Row>> {
        let complete = |result: Row| {
            let row = columns.iter().map(|column| match column {
                InsertColumn::Result(place) => Ok(result[*place].clone()),
                InsertColumn::Default(expression) => {
                    evaluate(expression, &*self.parameters, &self.context)
                }
            });
            row.collect::<Result<Row>>()
        };
        results.into_iter().map(complete).collect()
    }

    /// The complete rows that VALUES propose.
    async fn proposed(&mut self, insert: &Insert, rows: &[Vec<Expression>]) -> Attempt<Vec<Row>> {
        if rows.iter().flatten().all(is_evaluable) {
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {
                let row = row
                    .iter()
                    .map(|e| evaluate(e, &*self.parameters, &self.context));
                values.push(row.collect::<Result<Row>>()?);
            }
            return Ok(values);
        }
        let columns = insert.table.columns.iter().map(|column| {
            let ty = column.ty.clone();
            OutputColumn {
                name: column.name.clone(),
                ty,
                origin: None,
            }
        });
        let query = Query {
            with: insert.with.clone(),
            body: Body::Values(rows.to_vec()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: columns.collect(),
            locks: Vec::new(),
        };
        let query = self.settled(Arc::new(query)).await?;
        Ok(self.rows_of(query).await?.1)
    }
}

/// The query of an INSERT … SELECT with the CTEs of both.
fn with_of(insert: &Insert, query: &Query) -> Arc<Query> {
    let mut query = query.clone();
    let mut with = insert.with.clone();
    with.append(&mut query.with);
    query.with = with;
    Arc::new(query)
}
