//! The state machine as openraft drives it, and as the rest of the node reads it.
//!
//! State is in memory; what is durable is the log and, per compaction, one
//! snapshot. At start the snapshot is loaded and openraft applies what the
//! log holds behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, Snapshot, StorageIOError};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::apply::{Machine, State};
use super::codec;
use super::command::{Answer, Command};
use super::raft::{Entry, Group, LogId, Membership, SnapshotMeta, StorageError};
use super::store::Store;
use crate::runtime::Runtime;
use crate::types::id::{Index, Term, TransactionId};

/// A handle to the state. Cheap to clone.
#[derive(Clone)]
pub(super) struct StateMachine(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    store: Store,
    held: Mutex<Held>,
    published: ArcSwap<State>,
    applied: watch::Sender<Index>,
    /// Set once openraft runs: until then it asks for the snapshot's meta alone.
    running: AtomicBool,
}

/// The machine and what openraft wants to know with it, as of one entry.
#[derive(Clone, Default)]
pub(super) struct Held {
    pub(super) machine: Machine,
    pub(super) applied: Option<LogId>,
    pub(super) membership: Membership,
}

impl StateMachine {
    /// Loads the stored snapshot.
    pub(super) async fn load(runtime: &Runtime, store: &Store) -> Result<StateMachine, String> {
        let held = match store.snapshot().await? {
            Some((meta, state)) => Held::decode(&meta, &state)?,
            None => Held::default(),
        };
        let state = held.machine.state();
        let applied = watch::Sender::new(state.applied);
        Ok(StateMachine(Arc::new(Inner {
            runtime: runtime.clone(),
            store: store.clone(),
            held: Mutex::new(held),
            published: ArcSwap::from_pointee(state),
            applied,
            running: AtomicBool::new(false),
        })))
    }

    pub(super) fn set_running(&self) {
        self.0.running.store(true, Ordering::Release);
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Acquire)
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.0.runtime
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn state(&self) -> Arc<State> {
        self.0.published.load_full()
    }

    pub(super) fn applied(&self) -> watch::Receiver<Index> {
        self.0.applied.subscribe()
    }

    /// A copy of everything as of now.
    pub(super) fn held(&self) -> Held {
        self.0.held.lock().clone()
    }

    /// For each entry, the transactions that have no effect, and whether it
    /// is a schema change that was taken back.
    pub(super) fn skipped(&self, entries: &[Entry]) -> Vec<(Vec<TransactionId>, bool)> {
        let held = self.0.held.lock();
        let skipped = |entry: &Entry| {
            let index = Index(entry.log_id.index);
            let command = command(entry).map(Arc::as_ref);
            (
                held.machine.skipped(index, command),
                held.machine.is_voided_change(index, command),
            )
        };
        entries.iter().map(skipped).collect()
    }

    /// Replaces everything by another node's state.
    pub(super) fn replace(&self, held: Held) {
        *self.0.held.lock() = held;
        self.publish();
    }

    fn publish(&self) {
        let state = self.0.held.lock().machine.state();
        let applied = state.applied;
        self.0.published.store(Arc::new(state));
        self.0.applied.send_replace(applied);
    }
}

impl Held {
    pub(super) fn decode(meta: &SnapshotMeta, state: &[u8]) -> Result<Held, String> {
        let machine = codec::decode(state)
            .map_err(|error| format!("the snapshot cannot be read: {error}"))?;
        Ok(Held {
            machine,
            applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
        })
    }

    fn apply(&mut self, entry: &Entry) -> Answer {
        self.applied = Some(entry.log_id);
        if let EntryPayload::Membership(membership) = &entry.payload {
            self.membership = Membership::new(Some(entry.log_id), membership.clone());
        }
        let index = Index(entry.log_id.index);
        let term = Term(entry.log_id.leader_id.term);
        self.machine
            .apply(index, term, command(entry).map(Arc::as_ref))
    }
}

/// What an entry says; `None` for the group's own entries.
pub(super) fn command(entry: &Entry) -> Option<&Arc<Command>> {
    match &entry.payload {
        EntryPayload::Normal(proposal) => Some(&proposal.command),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}

fn failed(message: String) -> StorageError {
    StorageIOError::read_state_machine(AnyError::error(message)).into()
}

impl RaftStateMachine<Group> for StateMachine {
    type SnapshotBuilder = super::snapshot::Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), StorageError> {
        let held = self.0.held.lock();
        Ok((held.applied, held.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let answers = {
            let mut held = self.0.held.lock();
            entries.into_iter().map(|it| held.apply(&it)).collect()
        };
        self.publish();
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> super::snapshot::Builder {
        super::snapshot::Builder::new(self.clone())
    }

    async fn begin_receiving_snapshot(
        &mut self,
    ) -> Result<Box<std::io::Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: Box<std::io::Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let installed = super::snapshot::install(self, meta, data.into_inner()).await;
        installed.map_err(failed)
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Group>>, StorageError> {
        super::snapshot::current(self).await.map_err(failed)
    }
}
