//! The node's side of the copies of one data cluster.
//!
//! One task per replica owns its life: it delivers agreed entries in log order,
//! grants leases, and repairs the replica when it has fallen out. What the
//! replicas answer meets in the [`tally`]; a write is answered once every
//! in-sync replica has applied it and they agree. A failure here becomes a
//! command in the log, never an error of a client.

mod ahead;
pub mod deliver;
pub(crate) mod floor;
mod kept;
pub mod lease;
mod progress;
pub mod repair;
pub mod tally;
mod verify;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::catalog::{Cluster, Replica, ReplicaState, Settled};
use crate::endpoint::{Endpoint, Position, Stamp};
use crate::log::Log;
use crate::log::command::Command;
use crate::metrics::Metrics;
use crate::runtime::{Moment, Runtime, TaskSet};
use crate::types::id::{ClusterId, Incarnation, Index, ReplicaId, TransactionId};
use crate::types::write::Outcome;
use lease::Leadership;
pub use progress::{Pace, Progress};
use tally::{Tally, Voter};

/// All replicas of one data cluster, as the leader serves them.
pub struct Replicas {
    pub(crate) runtime: Runtime,
    pub(crate) log: Arc<Log>,
    pub(crate) cluster: ClusterId,
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) metrics: Arc<Metrics>,
    members: RwLock<BTreeMap<ReplicaId, Arc<Member>>>,
    tally: Mutex<Tally>,
    waiters: Mutex<HashMap<TransactionId, Waiter>>,
    stable: watch::Sender<Index>,
    settled: Mutex<Option<Settled>>,
    /// The last in-sync replica fails: no new write may enter the log.
    stalled: watch::Sender<bool>,
    tasks: TaskSet,
}

/// Who waits for what becomes of a transaction, and since when.
struct Waiter {
    since: Moment,
    answer: oneshot::Sender<Decided>,
}

/// What became of a transaction: the entry it is in and its outcome there.
pub type Decided = (Index, Outcome);

/// One replica as its task sees it.
pub struct Member {
    pub id: ReplicaId,
    pub endpoint: Arc<dyn Endpoint>,
    /// Reads under way, for choosing the least busy.
    pub in_flight: AtomicUsize,
    status: Mutex<Status>,
}

/// Where a replica stands, to the node's knowledge.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// `None` until it has been asked.
    pub position: Option<Position>,
    /// When its applied index last moved.
    pub moved: Option<Moment>,
    /// Its latest request for a lease.
    pub asks: Option<Stamp>,
    /// When the last lease was granted.
    pub granted: Option<Moment>,
    /// It is being taken out; until then it may still answer reads.
    pub leaving: Option<Leaving>,
    /// Only a fresh copy helps: it differs from the others.
    pub must_copy: bool,
    /// It lost a vote: before it is copied, the rows that differ are kept.
    pub keep_differences: bool,
    /// What a repair is doing, for people.
    pub progress: Option<Progress>,
    /// How far it was when last heard of.
    pub reached: Option<Index>,
    /// The incarnation in which it was last in sync while this node led.
    pub lived: Option<Incarnation>,
    /// A copy is under way that will need the log's entries after this index.
    pub copying_after: Option<Index>,
    /// A transaction that it cannot apply.
    pub poisoned: Option<(Index, TransactionId)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Leaving {
    /// Its lease may last for an unknown time yet.
    Held,
    /// Its lease is void from this moment on.
    Until(Moment),
}

impl Member {
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        change(&mut self.status.lock())
    }

    pub fn applied(&self) -> Index {
        self.status
            .lock()
            .position
            .as_ref()
            .map_or(Index(0), |position| position.applied)
    }

    pub fn incarnation(&self) -> Option<Incarnation> {
        self.status
            .lock()
            .position
            .as_ref()
            .map(|position| position.incarnation)
    }
}

impl Replicas {
    pub fn new(
        runtime: Runtime,
        log: Arc<Log>,
        cluster: ClusterId,
        leadership: Arc<Leadership>,
        metrics: Arc<Metrics>,
        tasks: TaskSet,
    ) -> Arc<Replicas> {
        Arc::new(Replicas {
            runtime,
            log,
            cluster,
            leadership,
            metrics,
            members: RwLock::default(),
            tally: Mutex::default(),
            waiters: Mutex::default(),
            stable: watch::Sender::new(Index(0)),
            settled: Mutex::default(),
            stalled: watch::Sender::new(false),
            tasks,
        })
    }

    /// Adds a replica's endpoint and starts its task.
    pub fn add(self: &Arc<Self>, id: ReplicaId, endpoint: Arc<dyn Endpoint>) {
        let member = Arc::new(Member {
            id,
            endpoint,
            in_flight: AtomicUsize::new(0),
            status: Mutex::default(),
        });
        self.members.write().insert(id, member.clone());
        let replicas = self.clone();
        self.tasks
            .spawn("deliver", async move { replicas.serve(member).await });
    }

    pub fn members(&self) -> Vec<Arc<Member>> {
        self.members.read().values().cloned().collect()
    }

    pub fn member(&self, id: ReplicaId) -> Option<Arc<Member>> {
        self.members.read().get(&id).cloned()
    }

    /// The cluster as the log has it now; `None` once it is dropped.
    pub fn definition(&self) -> Option<Arc<Cluster>> {
        self.log.state().catalog.cluster(self.cluster).cloned()
    }

    pub(crate) fn replica(&self, id: ReplicaId) -> Option<Replica> {
        self.definition()?.replicas.get(&id).cloned()
    }

    /// The index up to which all in-sync replicas have applied the log.
    pub fn stable(&self) -> Index {
        *self.stable.borrow()
    }

    pub fn stable_watch(&self) -> watch::Receiver<Index> {
        self.stable.subscribe()
    }

    /// What in-sync replicas last agreed on, for the next entry to carry.
    pub fn settled(&self) -> Option<Settled> {
        *self.settled.lock()
    }

    pub fn is_stalled(&self) -> bool {
        *self.stalled.borrow()
    }

    /// Follows whether the last in-sync replica fails.
    pub fn stalled_watch(&self) -> watch::Receiver<bool> {
        self.stalled.subscribe()
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        if self.stalled.send_replace(stalled) != stalled {
            tracing::warn!(cluster = %self.cluster, stalled, "last in-sync replica");
        }
    }

    /// Waits for what becomes of a transaction; to be called before it is proposed.
    pub fn expect(&self, id: TransactionId) -> oneshot::Receiver<Decided> {
        let (answer, receiver) = oneshot::channel();
        let since = self.runtime.now();
        self.waiters.lock().insert(id, Waiter { since, answer });
        receiver
    }

    /// The transaction never entered the log.
    pub fn forget(&self, id: TransactionId) {
        self.waiters.lock().remove(&id);
    }

    /// Tells who waits for a transaction what became of it.
    pub(crate) fn answer(&self, index: Index, outcome: Outcome) {
        if let Some(waiter) = self.waiters.lock().remove(&outcome.id) {
            let _ = waiter.answer.send((index, outcome));
        }
    }

    /// The last replica fails, and may for long: whoever has waited too long
    /// for what is in the log hears that its outcome is unknown. What is not in
    /// it was refused at once.
    pub(crate) fn give_up_waiting(&self) {
        let now = self.runtime.now();
        let mut waiters = self.waiters.lock();
        waiters.retain(|_, waiter| now.since(waiter.since) < STALLED_ANSWER_MAX);
    }

    /// The data cluster is dropped: nobody will apply what still waits.
    pub(crate) fn abandon(&self) {
        self.waiters.lock().clear();
    }

    pub(crate) fn stopped(&self) -> &CancellationToken {
        self.tasks.token()
    }

    pub(crate) fn with_tally<T>(&self, act: impl FnOnce(&mut Tally) -> T) -> T {
        act(&mut self.tally.lock())
    }

    /// Decides what can be decided now: answers writes, moves the stable index,
    /// starts taking out who answered differently.
    pub(crate) fn settle(self: &Arc<Self>) {
        let Some(definition) = self.definition() else {
            return;
        };
        let (voters, hold) = self.voters(&definition);
        if voters.is_empty() {
            return;
        }
        // Answers leave in log order: the lock is held while they do.
        let mut tally = self.tally.lock();
        let decision = tally.decide(&voters, hold);
        if let Some((index, chain)) = decision.chain {
            *self.settled.lock() = Some(Settled { index, chain });
        }
        if decision.losers.is_empty() {
            let reached = voters.iter().map(|voter| voter.applied).chain(hold).min();
            let moved = self.stable.send_if_modified(|stable| {
                let moves = reached.is_some_and(|reached| reached > *stable);
                *stable = reached.filter(|_| moves).unwrap_or(*stable);
                moves
            });
            if moved {
                // Before the writes are answered: their clients may read at once.
                let stable = self.stable();
                let members = self.members.read();
                members
                    .values()
                    .for_each(|it| it.endpoint.stable_at(stable));
            }
        }
        if !decision.settled.is_empty() {
            let mut waiters = self.waiters.lock();
            for (index, outcomes) in decision.settled {
                for outcome in outcomes {
                    if let Some(waiter) = waiters.remove(&outcome.id) {
                        let _ = waiter.answer.send((index, outcome));
                    }
                }
            }
        }
        drop(tally);
        for loser in decision.losers {
            self.start_taking_out(loser, "its answer differs from the others'", true);
        }
    }

    /// The in-sync replicas, and how far one has applied that is leaving.
    fn voters(&self, definition: &Cluster) -> (Vec<Voter>, Option<Index>) {
        let now = self.runtime.now();
        let members = self.members.read();
        let mut voters = Vec::with_capacity(members.len());
        let mut hold: Option<Index> = None;
        for (id, replica) in &definition.replicas {
            let Some(member) = members.get(id) else {
                continue;
            };
            let status = member.status.lock();
            let applied = status
                .position
                .as_ref()
                .map_or(Index(0), |position| position.applied);
            if replica.state == ReplicaState::InSync {
                voters.push(Voter {
                    replica: *id,
                    applied,
                    since: replica.since,
                });
            } else if status.leaving.is_some_and(|leaving| leaving.holds(now)) {
                hold = Some(hold.map_or(applied, |hold| hold.min(applied)));
            }
        }
        (voters, hold)
    }

    /// Takes a replica out in a task of its own, once.
    pub(crate) fn start_taking_out(self: &Arc<Self>, id: ReplicaId, reason: &str, vote: bool) {
        let Some(member) = self.member(id) else {
            return;
        };
        let first = member.update(|status| {
            status.must_copy |= vote;
            status.keep_differences |= vote;
            let first = status.leaving.is_none();
            status.leaving.get_or_insert(Leaving::Held);
            first
        });
        if first {
            let (replicas, reason) = (self.clone(), reason.to_owned());
            self.tasks.spawn("take out", async move {
                replicas.take_out(&member, reason, vote).await;
            });
        }
    }

    /// Logs that a replica is out of sync and waits until its lease is void.
    /// `false`: it is the last one and stays.
    pub(crate) async fn take_out(
        self: &Arc<Self>,
        member: &Member,
        reason: String,
        vote: bool,
    ) -> bool {
        let is_last = self.definition().is_none_or(|definition| {
            let mut in_sync = definition.in_sync();
            in_sync.all(|replica| replica.id == member.id)
        });
        if is_last {
            member.update(|status| status.leaving = None);
            return false;
        }
        let barred = vote && self.loses_once_too_often(member.id);
        let state = if barred {
            ReplicaState::Barred
        } else {
            ReplicaState::OutOfSync
        };
        match barred {
            false => {
                tracing::warn!(cluster = %self.cluster, replica = %member.id, reason, "out of sync");
            }
            true => {
                tracing::error!(cluster = %self.cluster, replica = %member.id, reason, "lost its third vote within an hour: it stays out until an operator has it repaired");
            }
        }
        member.update(|status| status.leaving.get_or_insert(Leaving::Held).to_owned());
        let logged = self
            .log_state(member.id, state, None, vote, Some(reason))
            .await;
        if !logged {
            member.update(|status| status.leaving = None);
            return false;
        }
        let void = self.lease_void(member).await;
        member.update(|status| status.leaving = Some(Leaving::Until(void)));
        let now = self.runtime.now();
        if void > now {
            self.runtime.sleep(void.since(now)).await;
        }
        member.update(|status| status.leaving = None);
        self.settle();
        true
    }

    /// Proposes a replica's state until it is logged; `false` when refused.
    pub(crate) async fn log_state(
        &self,
        replica: ReplicaId,
        state: ReplicaState,
        incarnation: Option<Incarnation>,
        lost_vote: bool,
        reason: Option<String>,
    ) -> bool {
        let lost_vote_at = lost_vote.then(|| self.runtime.unix_micros());
        let cluster = self.cluster;
        let command = Command::Replica {
            cluster,
            replica,
            state,
            incarnation,
            lost_vote_at,
            reason,
        };
        match self.log.propose(command).await {
            Ok(proposed) => match proposed.answer.refused {
                None => true,
                Some((_, message)) => {
                    tracing::warn!(%cluster, %replica, message, "state of a replica refused");
                    false
                }
            },
            Err(error) => {
                tracing::warn!(%cluster, %replica, %error, "state of a replica not logged");
                false
            }
        }
    }

    /// Is a vote lost now one too many within the hour? The log knows of those
    /// before, over restarts and changes of leadership.
    fn loses_once_too_often(&self, replica: ReplicaId) -> bool {
        let since = self.runtime.unix_micros() - LOST_VOTES_WITHIN.as_micros() as i64;
        let lost = self.replica(replica).map_or(0, |it| {
            it.lost_votes_at.iter().filter(|at| **at > since).count()
        });
        lost + 1 >= LOST_VOTES_MAX
    }
}

/// A write in the log waits so long for a last replica that fails; then its
/// client hears 08007.
const STALLED_ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// So many lost votes within [`LOST_VOTES_WITHIN`] keep a replica out for good.
const LOST_VOTES_MAX: usize = 3;
const LOST_VOTES_WITHIN: std::time::Duration = std::time::Duration::from_secs(3600);

impl Leaving {
    fn holds(self, now: Moment) -> bool {
        match self {
            Leaving::Held => true,
            Leaving::Until(void) => void > now,
        }
    }
}

#[cfg(test)]
mod tests;
