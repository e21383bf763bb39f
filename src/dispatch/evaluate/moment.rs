//! The one view that all parts of a statement read, and statements of several
//! steps.
//!
//! A statement whose WITH writes is several statements that must not see each
//! other's work: all of them read the tables as they were when it began, and
//! learn of each other by what RETURNING gave only. A row that was there
//! changes once; who comes second passes it over, as on PostgreSQL. What
//! foreign keys ask is done when all steps are.
//!
//! The same view answers subqueries over the written rows, in RETURNING and
//! in ON CONFLICT DO UPDATE.
//!
//! Not handled: what steps give each other is kept in memory.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::read::{self, Held, Question};
use super::super::refused::Refused;
use super::super::rules::Rules;
use super::super::transaction::Closer;
use super::{Attempt, Done, Evaluator, Writing};
use crate::endpoint::{Level, Overlay};
use crate::error::{Error, Result, SqlState};
use crate::plan::given::Given;
use crate::plan::statement::{Compound, Returning};
use crate::types::id::TableId;
use crate::types::{Row, encode};

/// The view, and what the statement has done since.
pub struct Moment {
    held: Held,
    _closer: Option<Closer>,
    overlay: Arc<Overlay>,
    /// Keys that rows had which the statement changed or deleted.
    changed: HashSet<(TableId, u128)>,
    /// Keys of rows that it wrote.
    made: HashSet<(TableId, u128)>,
    /// Rows that lost or changed their keys, for foreign keys to look at.
    postponed: Vec<(Arc<Rules>, Row, Option<Row>)>,
    /// Rows have changed since: the statement must begin again.
    pub outdated: bool,
}

fn hash_of(rules: &Rules, row: &Row) -> (TableId, u128) {
    (rules.table.id, encode::row_hash(&rules.key_of(row)).0)
}

impl Moment {
    /// The transaction's snapshot, or the replicas as they are now.
    pub async fn take(evaluator: &mut Evaluator<'_>) -> Result<Moment, Refused> {
        let schema = evaluator.schema.clone();
        let transaction = &mut *evaluator.transaction;
        let (held, closer) = match transaction.snapshot(&schema).await? {
            Some(held) => (held, None),
            None => {
                let version = transaction.read_version(&schema, &evaluator.reads)?;
                let level = Level::Evaluate(transaction.cluster.replicas.stable());
                let held = read::hold_snapshot(&transaction.cluster, level, version).await?;
                let closer = Closer::new(&transaction.cluster, &held);
                (held, Some(closer))
            }
        };
        Ok(Moment {
            held,
            _closer: closer,
            overlay: transaction.written.overlay()?.unwrap_or_default(),
            changed: HashSet::new(),
            made: HashSet::new(),
            postponed: Vec::new(),
            outdated: false,
        })
    }

    /// What a question is asked on.
    pub fn view(&self) -> (Level, Held, Arc<Overlay>) {
        let level = Level::Evaluate(self.held.index);
        (level, self.held.clone(), self.overlay.clone())
    }

    /// Has the statement itself made this row?
    pub fn has_made(&self, rules: &Rules, row: &Row) -> bool {
        self.made.contains(&hash_of(rules, row))
    }

    pub fn note_made(&mut self, rules: &Rules, row: &Row) {
        self.made.insert(hash_of(rules, row));
    }

    /// Remembers changed rows; what foreign keys ask of them is put off.
    pub fn note_changed(&mut self, rules: &Arc<Rules>, changes: &[(Row, Option<Row>)]) {
        for (old, new) in changes {
            self.changed.insert(hash_of(rules, old));
            if let Some(new) = new {
                self.note_made(rules, new);
            }
            if !rules.children.is_empty() {
                let change = (rules.clone(), old.clone(), new.clone());
                self.postponed.push(change);
            }
        }
    }

    pub fn take_postponed(&mut self) -> Vec<(Arc<Rules>, Row, Option<Row>)> {
        std::mem::take(&mut self.postponed)
    }

    fn give(&mut self, table: TableId, rows: Vec<Row>) {
        let overlay = Arc::make_mut(&mut self.overlay);
        overlay.given.insert(table, Arc::new(rows));
    }
}

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

    pub(super) fn moment(&mut self) -> Result<&mut Moment> {
        let moment = self.moment.as_mut();
        moment.ok_or_else(|| Error::internal("a statement of several steps without a view"))
    }

    /// Leaves out rows that another step of the statement has changed.
    pub(super) fn drop_changed(&self, rules: &Rules, found: &mut Vec<(Row, Row)>) {
        if let Some(moment) = &self.moment {
            found.retain(|(row, _)| !moment.changed.contains(&hash_of(rules, row)));
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

    /// The rows of a query over rows at hand, one list for each of its tables.
    pub(in crate::dispatch) async fn over_given(
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

/// A row that the statement has itself written is in the way of ON CONFLICT DO UPDATE.
pub fn second_time() -> Error {
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    Error::new(SqlState::CARDINALITY_VIOLATION, message).hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
    )
}
