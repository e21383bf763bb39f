//! A transaction block, explicit or implicit: its modes, savepoints, failure.

use std::sync::Arc;

use super::reply::TransactionStatus;
use super::variables::SessionVariables;
use crate::catalog::schema::Schema;
use crate::dispatch::deferral::Deferral;
use crate::dispatch::sequence::OwnSequences;
use crate::dispatch::transaction::OpenTransaction;
use crate::plan::statement::{Isolation, TransactionModes};
use crate::types::id::ObjectId;

/// Where a session stands between transactions.
#[derive(Default)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) failed: bool,
    pub(super) modes: TransactionModes,
    /// `now()` of the transaction.
    pub(super) time: Option<i64>,
    pub(super) transaction: Option<OpenTransaction>,
    pub(super) deferral: Deferral,
    /// A query was run, so that its snapshot and level are chosen.
    pub(super) queried: bool,
    pub(super) savepoints: Vec<Savepoint>,
    pub(super) outside: Option<Outside>,
}

/// What a savepoint takes the session back to. The open transaction, once there
/// is one, keeps its own list of the same names for rows and claims.
pub(super) struct Savepoint {
    pub(super) name: String,
    pub(super) variables: SessionVariables,
    pub(super) outside: Option<Outside>,
    pub(super) deferral: Deferral,
}

/// The settings at a block's start, and those with what was SET but not SET LOCAL.
pub(super) type Outside = (SessionVariables, SessionVariables);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    None,
    /// Several statements in one message or pipeline.
    Implicit,
    Explicit,
}

impl Block {
    pub(super) fn is_failed(&self) -> bool {
        self.failed
    }

    /// What was written since the innermost savepoint is given up at once,
    /// claims included: a failed block keeps nobody waiting.
    pub(super) fn fail(&mut self) {
        if self.kind == Kind::None {
            return;
        }
        self.failed = true;
        if let Some(mut transaction) = self.transaction.take()
            && transaction.fail_to_savepoint()
        {
            self.transaction = Some(transaction);
        }
    }

    pub(super) fn status(&self) -> TransactionStatus {
        match (self.kind, self.failed) {
            (Kind::Explicit, true) => TransactionStatus::Failed,
            (Kind::Explicit, false) => TransactionStatus::InTransaction,
            _ => TransactionStatus::Idle,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.kind != Kind::None
    }

    /// Open savepoints.
    pub(super) fn depth(&self) -> usize {
        self.savepoints.len()
    }

    pub(super) fn time(&self) -> Option<i64> {
        self.time
    }

    /// The schema as the open transaction has changed it.
    pub(super) fn schema(&self) -> Option<Arc<Schema>> {
        let transaction = self
            .transaction
            .as_ref()
            .filter(|open| !open.changes.is_empty())?;
        transaction.schema.clone()
    }

    pub(super) fn set_constraints(&mut self, keys: Option<&[ObjectId]>, deferred: bool) {
        self.deferral.set(keys, deferred);
        if let Some(transaction) = &mut self.transaction {
            transaction.deferral = self.deferral.clone();
        }
    }

    /// The sequences that the open transaction has made or restarted.
    pub(super) fn sequences(&self) -> Option<Arc<OwnSequences>> {
        self.transaction.as_ref().map(|open| open.sequences.clone())
    }

    pub(super) fn changes_schema(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(|open| !open.changes.is_empty())
    }

    pub(super) fn open_transaction(&mut self) -> Option<&mut OpenTransaction> {
        self.transaction.as_mut()
    }

    /// What SET default_transaction_… does later is not for this block.
    pub(super) fn fix_modes(&mut self, variables: &SessionVariables) {
        self.modes.isolation = Some(self.isolation(variables));
        self.modes.read_only = Some(self.is_read_only(variables));
    }

    pub(super) fn isolation(&self, variables: &SessionVariables) -> Isolation {
        self.modes
            .isolation
            .unwrap_or_else(|| variables.isolation("default_transaction_isolation"))
    }

    pub(super) fn is_read_only(&self, variables: &SessionVariables) -> bool {
        self.modes
            .read_only
            .unwrap_or_else(|| variables.flag("default_transaction_read_only"))
    }

    /// Drops everything, rolled back.
    pub(super) fn abandon(&mut self) {
        drop(std::mem::take(self));
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            transaction.rollback();
        }
    }
}
