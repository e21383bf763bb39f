//! Statements of several steps.
//!
//! A statement whose WITH writes is several statements that must not see each
//! other's work: all of them read the tables as they were when it began, and
//! learn of each other by what RETURNING gave only. A row that was there
//! changes once; who comes second passes it over, as on PostgreSQL. What
//! foreign keys ask is done when all steps are.
//!
//! Not handled: what steps give each other is kept in memory.

use super::evaluator::{Attempt, Done, Evaluator};
use super::moment::Moment;
use super::writing::Writing;
use crate::dispatch::rules::Rules;
use crate::error::{Error, Result};
use crate::plan::statement::Compound;
use crate::types::Row;

impl Evaluator<'_> {
    /// The steps of a statement whose WITH writes; what the statement itself did.
    pub(super) async fn compound(&mut self, compound: &Compound) -> Attempt<Done> {
        let mut main = Done::default();
        for (at, step) in compound.steps.iter().enumerate() {
            let writing = Writing::of(&step.plan)?;
            let mut done = Box::pin(self.work(&writing)).await?;
            if let Some(table) = step.gives {
                let rows = std::mem::take(&mut done.returning);
                self.moment()?.give(table, rows);
            }
            if at == compound.main {
                main = done;
            }
        }
        Ok(main)
    }

    fn moment(&mut self) -> Result<&mut Moment> {
        let moment = self.moment.as_mut();
        moment.ok_or_else(|| Error::internal("a statement of several steps without a view"))
    }

    /// Leaves out rows that another step of the statement has changed.
    pub(super) fn drop_changed(&self, rules: &Rules, found: &mut Vec<(Row, Row)>) {
        if let Some(moment) = &self.moment {
            found.retain(|(row, _)| !moment.has_changed(rules, row));
        }
    }

    /// Carries out what was put off until all steps were done.
    pub(super) async fn act_on_postponed(&mut self) -> Attempt<()> {
        let Some(moment) = &mut self.moment else {
            return Ok(());
        };
        for (rules, old, new) in moment.take_postponed() {
            self.act_on_children(&rules, &old, new.as_ref(), 0).await?;
        }
        Ok(())
    }
}
