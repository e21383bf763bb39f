//! A statement at work in an open transaction: what it claims, and what it asks
//! of the replicas. What statements do with that lies in the files above.

use std::sync::Arc;

use super::moment::Moment;
use crate::catalog::schema::{Schema, Table};
use crate::dispatch::claim::{ClaimKey, Contended, Mode};
use crate::dispatch::deferral::Pending;
use crate::dispatch::read::{self, Question};
use crate::dispatch::refused::Refused;
use crate::dispatch::rules::Rules;
use crate::dispatch::transaction::{Basis, Claim, OpenTransaction, Patience};
use crate::endpoint::Level;
use crate::error::{Error, Result};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::plan::statement::Isolation;
use crate::types::id::{Index, TableId};
use crate::types::{Row, Value};

/// How often a statement is evaluated again because what it read has changed.
pub(super) const ATTEMPTS_MAX: usize = 100;

/// One statement at work in a transaction.
pub struct Evaluator<'a> {
    pub transaction: &'a mut OpenTransaction,
    pub schema: Arc<Schema>,
    pub context: Arc<Context>,
    pub parameters: Arc<[Value]>,
    pub patience: Patience,
    /// The tables the statement reads, for SERIALIZABLE.
    pub reads: Vec<TableId>,
    /// A query in it locks rows.
    pub locking: bool,
    /// Foreign keys to look at when the statement ends.
    pub pending: Pending,
    /// What all parts of the statement read, where that must be the same.
    pub moment: Option<Moment>,
}

/// What a writing statement did.
#[derive(Debug, Default)]
pub struct Done {
    pub rows: u64,
    pub returning: Vec<Row>,
}

/// Why an attempt ended early.
pub(super) enum Interrupted {
    /// Something changed since it was read: evaluate again.
    Stale,
    Refused(Refused),
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Interrupted {
        Interrupted::Refused(Refused::Error(error))
    }
}

impl From<Refused> for Interrupted {
    fn from(refused: Refused) -> Interrupted {
        Interrupted::Refused(refused)
    }
}

impl Interrupted {
    /// For callers that hold all they look at: nothing can change under them.
    pub(in crate::dispatch) fn into_refused(self) -> Refused {
        match self {
            Interrupted::Refused(refused) => refused,
            Interrupted::Stale => Error::internal("a claimed key changed").into(),
        }
    }
}

pub(super) type Attempt<T> = Result<T, Interrupted>;

impl<'a> Evaluator<'a> {
    /// For a statement without parameters that reads nothing by itself.
    pub fn new(
        transaction: &'a mut OpenTransaction,
        schema: Arc<Schema>,
        context: Arc<Context>,
        patience: Patience,
    ) -> Evaluator<'a> {
        Evaluator {
            transaction,
            schema,
            context,
            parameters: Arc::from([]),
            patience,
            reads: Vec::new(),
            locking: false,
            pending: Pending::default(),
            moment: None,
        }
    }
}

impl Evaluator<'_> {
    /// Claims a table: `Intent` to write rows, `Update` for all of it.
    pub async fn claim_table(&mut self, table: TableId, mode: Mode) -> Result<()> {
        let key = ClaimKey::table(table);
        self.transaction
            .claim(key, mode, Basis::Snapshot, Contended::Wait, &self.patience)
            .await
            .map(|_| ())
    }

    pub fn rules(&self, table: &Arc<Table>) -> Result<Arc<Rules>> {
        self.transaction
            .cluster
            .rules(&self.schema, table, &self.context)
    }

    /// A question on the transaction's own view: its snapshot and its rows.
    pub async fn question(&mut self, query: Arc<Query>) -> Result<Question, Refused> {
        let snapshot = self.transaction.snapshot(&self.schema).await?;
        let schema = self.transaction.read_version(&self.schema, &self.reads)?;
        let (level, snapshot, overlay) = match &self.moment {
            Some(moment) => {
                let (level, held, overlay) = moment.view();
                (level, Some(held), Some(overlay))
            }
            None => {
                let index = snapshot.as_ref().map(|held| held.index);
                let stable = || self.transaction.cluster.replicas.stable();
                let level = Level::Evaluate(index.unwrap_or_else(stable));
                (level, snapshot, self.transaction.written.overlay()?)
            }
        };
        Ok(Question {
            query,
            parameters: self.parameters.clone(),
            context: self.context.clone(),
            schema,
            level,
            overlay,
            snapshot,
            cancel: self.patience.cancel.clone(),
        })
    }

    pub(super) async fn rows_of(
        &mut self,
        query: Arc<Query>,
    ) -> Result<(Index, Vec<Row>), Refused> {
        let question = self.question(query).await?;
        read::read_all(&self.transaction.cluster, &question).await
    }

    /// Remembers what a serializable transaction has read.
    pub fn note_reads(&mut self) {
        if self.transaction.isolation == Isolation::Serializable {
            self.transaction
                .tables_read
                .extend(self.reads.iter().copied());
        }
    }

    pub(super) async fn claim_key(
        &mut self,
        table: TableId,
        key: ClaimKey,
        mode: Mode,
        basis: Basis,
    ) -> Attempt<()> {
        let transaction = &self.transaction;
        let claim = match transaction.whole.covers(table, mode) {
            true => transaction.judge(key, mode, basis)?,
            false => {
                let claim = transaction.claim(key, mode, basis, Contended::Wait, &self.patience);
                claim.await?
            }
        };
        match claim {
            Claim::Stale => Err(Interrupted::Stale),
            Claim::Held | Claim::Skipped => Ok(()),
        }
    }

    /// A question on what the replicas have now, whatever the transaction's
    /// snapshot shows and whatever it has written.
    pub(super) fn question_now(&self, query: Arc<Query>, parameters: Arc<[Value]>) -> Question {
        Question {
            query,
            parameters,
            context: self.context.clone(),
            schema: self.transaction.stored_schema(&self.schema).version,
            level: Level::Evaluate(self.transaction.cluster.replicas.stable()),
            overlay: None,
            snapshot: None,
            cancel: self.patience.cancel.clone(),
        }
    }

    /// The rows of a query over the tables as they are now, with what the
    /// transaction has written.
    pub(super) async fn rows_now(&mut self, query: Query) -> Result<Vec<Row>, Refused> {
        let mut question = self.question_now(Arc::new(query), Arc::from([]));
        question.overlay = self.transaction.written.overlay()?;
        Ok(read::read_all(&self.transaction.cluster, &question)
            .await?
            .1)
    }
}
