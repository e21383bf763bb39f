//! UPDATE and DELETE: rows are found by a query, changed, and given back.

use std::sync::Arc;

use super::evaluator::{Attempt, Done, Evaluator};
use super::found::Seen;
use super::scope::Relations;
use super::writing::Change;
use crate::dispatch::rules::Rules;
use crate::dispatch::transaction::Basis;
use crate::error::Result;
use crate::plan::evaluate::evaluate;
use crate::plan::evaluation::Evaluation;
use crate::plan::expression::Expression;
use crate::plan::query::RelationId;
use crate::types::id::Index;
use crate::types::{Row, Value};

impl Evaluator<'_> {
    pub(super) async fn change(&mut self, change: &Change<'_>) -> Attempt<Done> {
        let rules = self.rules(change.table)?;
        self.note_reads();
        let query = self.settled(change.evaluation.query.clone()).await?;
        let portions = self.may_take_portions(change, &rules);
        let mut found = self.found(change.table.id, &query, portions).await?;
        let mut seen = Seen::of(&query);
        let mut done = Done::default();
        loop {
            let rows = found.next().await?;
            if rows.is_empty() {
                break;
            }
            let mut rows = seen.first(&rules, rows);
            self.drop_changed(&rules, &mut rows);
            self.change_found(change, &rules, found.index, rows, &mut done)
                .await?;
        }
        self.finish_returning(change.returning, &mut done).await?;
        Ok(done)
    }

    /// Changes rows that were found at `index`, each with what was found beside it.
    async fn change_found(
        &mut self,
        change: &Change<'_>,
        rules: &Arc<Rules>,
        index: Index,
        found: Vec<(Row, Row)>,
        done: &mut Done,
    ) -> Attempt<()> {
        let mut changes = Vec::with_capacity(found.len());
        let mut beside = Vec::with_capacity(found.len());
        for (old, rest) in found {
            let new = match change.set {
                None => None,
                Some(set) => {
                    let new = self.updated(change, set, &old, &rest)?;
                    rules.check(&new, &self.context)?;
                    Some(new)
                }
            };
            changes.push((old, new));
            beside.push(rest);
        }
        self.change_rows(rules, &changes, Basis::Read(index))
            .await?;
        self.make_room().await?;
        done.rows += changes.len() as u64;
        for ((old, new), rest) in changes.iter().zip(&beside) {
            let others = others(&change.evaluation, rest);
            let row = new.as_ref().unwrap_or(old);
            self.return_row(change.returning, change.relation, row, &others, done)?;
        }
        Ok(())
    }

    /// The new row of an UPDATE.
    fn updated(
        &self,
        change: &Change<'_>,
        set: &[(usize, Expression)],
        old: &Row,
        rest: &[Value],
    ) -> Result<Row> {
        let mut new = old.clone();
        for (place, expression) in set {
            let mut computed = change.evaluation.computed.iter();
            new[*place] = match computed.position(|computed| computed == place) {
                Some(number) => rest[number].clone(),
                None => {
                    let relations = [(change.relation, old.as_slice())];
                    let scope = Relations {
                        relations: &relations,
                        others: &[],
                        parameters: &self.parameters,
                    };
                    evaluate(expression, &scope, &self.context)?
                }
            };
        }
        Ok(new)
    }
}

fn others(evaluation: &Evaluation, rest: &[Value]) -> Vec<((RelationId, usize), Value)> {
    let values = rest.iter().skip(evaluation.computed.len()).cloned();
    evaluation.others.iter().copied().zip(values).collect()
}
