//! A writing statement inside an open transaction: evaluated as a query,
//! claimed, checked, and kept as rows.
//!
//! A statement that finds a key changed between its reading and its claiming
//! is taken back and evaluated again; its claims stay, so it gets there.

use super::evaluator::{ATTEMPTS_MAX, Attempt, Done, Evaluator, Interrupted};
use super::moment::Moment;
use super::writing::Writing;
use crate::catalog::Counter;
use crate::dispatch::claim::Mode;
use crate::dispatch::refused::{Refused, cancelled};
use crate::error::{Error, Result, SqlState};
use crate::types::id::TableId;

/// How often a statement is evaluated again before it claims its whole table.
const ATTEMPTS_BEFORE_TABLE: usize = 20;

impl Evaluator<'_> {
    /// Runs the statement; on an error everything it wrote is taken back.
    pub async fn run(&mut self, writing: &Writing<'_>) -> Result<Done, Refused> {
        let place = self.transaction.place();
        for attempt in 0..ATTEMPTS_MAX {
            let outcome = self.attempt(writing, attempt).await;
            let moment = self.moment.take();
            if let Ok(done) = outcome {
                self.transaction
                    .schema
                    .get_or_insert_with(|| self.schema.clone());
                return Ok(done);
            }
            self.transaction.return_to(&place);
            self.pending.take();
            match outcome {
                Err(Interrupted::Refused(refused)) if moment.is_none_or(|it| !it.outdated) => {
                    return Err(refused);
                }
                _ if self.patience.cancel.is_cancelled() => return Err(cancelled().into()),
                _ => {}
            }
        }
        let message = "could not serialize access: the rows change too fast";
        Err(Error::new(SqlState::SERIALIZATION_FAILURE, message).into())
    }

    async fn attempt(&mut self, writing: &Writing<'_>, attempt: usize) -> Attempt<Done> {
        // What came before it waits is what it may see.
        self.transaction.snapshot(&self.schema).await?;
        let mode = if attempt >= ATTEMPTS_BEFORE_TABLE {
            Mode::ForUpdate
        } else {
            Mode::Intent
        };
        for table in writing.tables()? {
            self.claim_table(table, mode).await?;
        }
        // What changes from here on is remembered until the keys are claimed.
        let claims = self.transaction.cluster.claims.clone();
        let _watch = claims.watch_from(self.transaction.cluster.replicas.stable());
        if writing.needs_moment() {
            self.moment = Some(Moment::take(self.transaction, &self.schema, &self.reads).await?);
        }
        let done = self.work(writing).await?;
        self.act_on_postponed().await?;
        self.check_references().await?;
        Ok(done)
    }

    pub(super) async fn work(&mut self, writing: &Writing<'_>) -> Attempt<Done> {
        match writing {
            Writing::Insert(insert) => self.insert(insert).await,
            Writing::Change(change) => self.change(change).await,
            Writing::Compound(compound) => self.compound(compound).await,
            Writing::Query(query) => {
                self.note_reads();
                let returning = self.rows_locked(query.clone()).await?;
                Ok(Done { rows: 0, returning })
            }
        }
    }

    /// Empties tables; the caller has found that no others refer to them.
    pub async fn truncate(&mut self, tables: &[TableId]) -> Result<(), Refused> {
        for table in tables {
            self.claim_table(*table, Mode::Update).await?;
        }
        for table in tables {
            self.transaction.written.truncate(*table);
        }
        self.transaction
            .schema
            .get_or_insert_with(|| self.schema.clone());
        Ok(())
    }

    /// TRUNCATE … RESTART IDENTITY: sequences that the tables own start again, for
    /// others once the transaction is committed.
    pub fn restart_sequences(&mut self, tables: &[TableId]) {
        let owned = self.schema.sequences.values().filter(|sequence| {
            let owner = sequence.owner;
            owner.is_some_and(|(table, _)| tables.contains(&table))
        });
        for sequence in owned {
            let counter = Counter::before_first(sequence);
            self.transaction.sequences.own(sequence.id, counter);
        }
    }
}
