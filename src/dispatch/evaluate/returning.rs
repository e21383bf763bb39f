//! RETURNING, and other queries over rows at hand.

use std::sync::Arc;

use super::evaluator::{Attempt, Done, Evaluator};
use super::scope::Relations;
use crate::dispatch::read::{self, Question};
use crate::dispatch::refused::Refused;
use crate::error::{Error, Result};
use crate::plan::evaluate::evaluate;
use crate::plan::given::Given;
use crate::plan::query::RelationId;
use crate::plan::statement::Returning;
use crate::types::{Row, Value};

impl Evaluator<'_> {
    pub(super) fn return_row(
        &self,
        returning: Option<&Returning>,
        relation: RelationId,
        row: &Row,
        others: &[((RelationId, usize), Value)],
        done: &mut Done,
    ) -> Result<()> {
        let Some(returning) = returning else {
            return Ok(());
        };
        if returning.query.is_some() {
            // Computed for all of them at the end.
            let others = others.iter().map(|(_, value)| value);
            done.returning
                .push(row.iter().chain(others).cloned().collect());
            return Ok(());
        }
        let relations = [(relation, row.as_slice())];
        let scope = Relations {
            relations: &relations,
            others,
            parameters: &self.parameters,
        };
        let values = returning.expressions.iter();
        let values = values.map(|value| evaluate(value, &scope, &self.context));
        done.returning.push(values.collect::<Result<Row>>()?);
        Ok(())
    }

    /// The rows of a query over rows at hand, one list for each of its tables.
    pub(super) async fn over_given(
        &mut self,
        given: &Given,
        rows: Vec<Vec<Row>>,
    ) -> Result<Vec<Row>, Refused> {
        let query = self.settled(given.query.clone()).await?;
        let question = self.question(query).await?;
        let mut overlay = question.overlay.clone().unwrap_or_default();
        let with_rows = Arc::make_mut(&mut overlay);
        for (table, rows) in given.tables.iter().zip(rows) {
            with_rows.given.insert(*table, Arc::new(rows));
        }
        let question = Question {
            overlay: Some(overlay),
            ..question
        };
        Ok(read::read_all(&self.transaction.cluster, &question)
            .await?
            .1)
    }

    /// What RETURNING gives, where it takes a look at the tables.
    pub(super) async fn finish_returning(
        &mut self,
        returning: Option<&Returning>,
        done: &mut Done,
    ) -> Attempt<()> {
        if let Some(given) = returning.and_then(|returning| returning.query.as_ref()) {
            let rows = std::mem::take(&mut done.returning);
            let expected = rows.len();
            done.returning = self.over_given(given, vec![rows]).await?;
            if done.returning.len() != expected {
                return Err(Error::internal("RETURNING gave another number of rows").into());
            }
        }
        Ok(())
    }
}
