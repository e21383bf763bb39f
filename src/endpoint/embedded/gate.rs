//! What a replica may answer, and when.
//!
//! A strong read needs a lease that holds after its snapshot was taken: every
//! write acknowledged before the read began is then in it. Its rows leave when
//! no table it read has changed, within the snapshot, since the stable index:
//! what other replicas lack must not be seen yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::endpoint::{Grant, Level, Stamp};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::connections::Snapshot;
use crate::engine::sqlite::read::{Admit, ReadFailure};
use crate::engine::sqlite::writer::Change;
use crate::runtime::Runtime;
use crate::types::id::{Incarnation, Index, SchemaVersion, TableId};

/// A read waits this long for the replica or the stable index to come up to
/// it; then another replica is asked.
const READ_WAIT: Duration = Duration::from_secs(1);

/// What readers and the writer's thread share.
pub(super) struct Gate {
    runtime: Runtime,
    incarnation: AtomicU64,
    lease: Mutex<Option<Lease>>,
    /// Grants asked for up to here count no more.
    revoked: Mutex<Stamp>,
    applied: watch::Sender<Index>,
    stable: watch::Sender<Index>,
    durable: AtomicU64,
    /// Grows while the writer's database is at work.
    work: Arc<AtomicU64>,
    /// The writer moves its log into the file, which counts no work.
    moving_log: AtomicBool,
    changes: RwLock<Changes>,
}

struct Lease {
    incarnation: Incarnation,
    /// Strong reads are answered before this moment.
    until: Stamp,
}

/// The last change of each table, noted before it can be seen.
#[derive(Default)]
struct Changes {
    /// Of tables not named below.
    floor: Index,
    tables: HashMap<TableId, Index>,
}

impl Gate {
    pub(super) fn new(runtime: Runtime, born: Index) -> Gate {
        let incarnation = AtomicU64::new(runtime.random_u64());
        Gate {
            runtime,
            incarnation,
            lease: Mutex::new(None),
            revoked: Mutex::new(Stamp(0)),
            applied: watch::Sender::new(born),
            stable: watch::Sender::new(Index(0)),
            durable: AtomicU64::new(0),
            work: Arc::default(),
            moving_log: AtomicBool::new(false),
            changes: RwLock::default(),
        }
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::Acquire))
    }

    /// This moment, as the stamp of a request for a lease.
    pub(super) fn now(&self) -> Stamp {
        let since = self.runtime.now().elapsed_since_start();
        Stamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn applied(&self) -> Index {
        *self.applied.borrow()
    }

    pub(super) fn durable(&self) -> Index {
        Index(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn work(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.work)
    }

    pub(super) fn is_moving_log(&self) -> bool {
        self.moving_log.load(Ordering::Relaxed)
    }

    pub(super) fn while_moving_log<T>(&self, body: impl FnOnce() -> T) -> T {
        self.moving_log.store(true, Ordering::Relaxed);
        let done = body();
        self.moving_log.store(false, Ordering::Relaxed);
        done
    }

    /// Forgets whatever the old life allowed.
    pub(super) fn begin_incarnation(&self, applied: Index) {
        let mut lease = self.lease.lock();
        *lease = None;
        let random = self.runtime.random_u64();
        self.incarnation.store(random, Ordering::Release);
        self.durable.store(0, Ordering::Release);
        self.applied.send_replace(applied);
        self.stable.send_replace(Index(0));
        *self.changes.write() = Changes {
            floor: applied,
            ..Changes::default()
        };
    }

    /// What is about to be committed.
    pub(super) fn announce(&self, change: &Change<'_>) {
        let mut changes = self.changes.write();
        if let Some(index) = change.schema {
            changes.floor = index;
            changes.tables.clear();
        }
        changes.tables.extend(change.tables);
    }

    /// Where the replica stands after a delivery, whatever became of it.
    pub(super) fn applied_to(&self, applied: Index) {
        self.applied.send_if_modified(|known| {
            let moved = *known != applied;
            *known = applied;
            moved
        });
    }

    pub(super) fn stable_at(&self, stable: Index) {
        self.stable.send_if_modified(|known| {
            let later = *known < stable;
            *known = stable.max(*known);
            later
        });
    }

    /// A grant that came with a delivery for this incarnation.
    pub(super) fn take_grant(&self, grant: &Grant, applied: Index) {
        let for_time = u64::try_from(grant.for_time.as_nanos()).unwrap_or(0);
        // A stamp from the future is none of ours.
        if applied < grant.opening || grant.asked > self.now() {
            return;
        }
        let until = Stamp(grant.asked.0.saturating_add(for_time));
        let mut lease = self.lease.lock();
        // Asked for before the lease was given up: on its way at that time.
        if grant.asked <= *self.revoked.lock() {
            return;
        }
        let later = lease.as_ref().is_none_or(|known| known.until < until);
        if later {
            *lease = Some(Lease {
                incarnation: self.incarnation(),
                until,
            });
        }
    }

    /// Gives the lease up, with those that are on their way.
    pub(super) fn revoke(&self) {
        let mut lease = self.lease.lock();
        *lease = None;
        *self.revoked.lock() = self.now();
    }

    /// Syncs, and takes as durable what was applied before.
    pub(super) fn make_durable(
        &self,
        sync: impl FnOnce() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let (incarnation, applied) = (self.incarnation(), self.applied());
        if self.durable() == applied {
            return Ok(());
        }
        sync()?;
        let _lease = self.lease.lock(); // begin_incarnation waits
        if self.incarnation() == incarnation {
            self.durable.store(applied.0, Ordering::Release);
        }
        Ok(())
    }

    fn check_lease(&self) -> Result<(), ReadFailure> {
        let now = self.now();
        let lease = self.lease.lock();
        match lease.as_ref() {
            Some(lease) if now < lease.until && lease.incarnation == self.incarnation() => Ok(()),
            Some(_) => Err(ReadFailure::NotNow("its lease has run out")),
            None => Err(ReadFailure::NotNow("it has no lease")),
        }
    }

    fn check_incarnation(&self, incarnation: Incarnation) -> Result<(), ReadFailure> {
        if incarnation == self.incarnation() {
            return Ok(());
        }
        Err(ReadFailure::NotNow("it has another incarnation"))
    }

    /// Before a snapshot is taken for a read of this level: waits until the
    /// replica has what it must have.
    pub(super) async fn enter(
        &self,
        level: Level,
        incarnation: Incarnation,
    ) -> Result<(), ReadFailure> {
        self.check_incarnation(incarnation)?;
        let wanted = match level {
            Level::Strong => return self.check_lease(),
            Level::Any => return Ok(()),
            Level::Quorum(index) | Level::Session(index) | Level::Evaluate(index) => index,
        };
        if self.applied() >= wanted {
            return Ok(());
        }
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= wanted);
        match self.runtime.timeout(READ_WAIT, reached).await {
            Ok(Ok(_)) => self.check_incarnation(incarnation),
            _ => Err(ReadFailure::NotNow("it has not applied enough")),
        }
    }

    /// What decides, once a read's snapshot is taken, whether it may be
    /// answered from. A `held` snapshot was judged when it was opened.
    pub(super) fn admit(
        self: &Arc<Gate>,
        level: Level,
        incarnation: Incarnation,
        schema: SchemaVersion,
        held: bool,
    ) -> Admit {
        let gate = Arc::clone(self);
        let applied_before = self.applied();
        Arc::new(move |snapshot: Snapshot| {
            gate.check_incarnation(incarnation)?;
            if !held && snapshot.applied < applied_before {
                gate.begin_incarnation(snapshot.applied);
                return Err(ReadFailure::NotNow("its database went back"));
            }
            if schema != snapshot.schema {
                return Err(ReadFailure::Schema(snapshot.schema));
            }
            match level {
                Level::Strong if !held => gate.check_lease(),
                _ => Ok(()),
            }
        })
    }

    /// Before rows of a snapshot leave: nothing is among them that others lack.
    pub(super) async fn leave(
        &self,
        level: Level,
        index: Index,
        tables: impl FnOnce() -> Vec<TableId>,
    ) -> Result<(), ReadFailure> {
        let waits = matches!(level, Level::Strong | Level::Quorum(_));
        if !waits || *self.stable.borrow() >= index {
            return Ok(());
        }
        self.wait_until_stable(index, &tables()).await
    }

    pub(super) async fn wait_until_stable(
        &self,
        index: Index,
        tables: &[TableId],
    ) -> Result<(), ReadFailure> {
        let changed = {
            let changes = self.changes.read();
            let last = |table| *changes.tables.get(table).unwrap_or(&changes.floor);
            tables.iter().map(last).max().unwrap_or(Index(0))
        };
        // What came after the snapshot is not in it.
        let wanted = changed.min(index);
        if *self.stable.borrow() >= wanted {
            return Ok(());
        }
        let mut stable = self.stable.subscribe();
        let reached = stable.wait_for(|stable| *stable >= wanted);
        match self.runtime.timeout(READ_WAIT, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ReadFailure::NotNow("others lack what it would show")),
        }
    }
}

#[cfg(test)]
mod tests;
