//! Brings agreed entries to one replica, in log order.
//!
//! One delivery is under way at a time. A repeat is harmless: the replica
//! returns the stored outcomes. A replica that hangs, fails for good, falls
//! far behind the others or comes back as another is taken out.

use std::sync::Arc;
use std::time::Duration;

use super::repair::Poison;
use super::{Member, Replicas};
use crate::catalog::{Replica, ReplicaState};
use crate::endpoint::{Applied, Apply, Delivery, DeliveryContent, Fault, Position};
use crate::error::SqlState;
use crate::log::LogEntry;
use crate::log::command::Command;
use crate::runtime::Moment;
use crate::types::id::{Index, TransactionId};
use crate::types::write::{Failure, Outcome};

/// How often an idle replica hears of us, and asks for its lease.
const TICK: Duration = Duration::from_millis(100);

/// A delivery's entries, in bytes of their log form.
pub(super) const DELIVERY_BYTES_MAX: usize = 4 << 20;

/// A replica at work must show a sign of life this often.
const SILENT_MAX: Duration = Duration::from_millis(500);

/// While all replicas are silent their disk is busy, and taking some of them
/// out would only make it busier: that is waited for so long.
const SILENT_TOGETHER_MAX: Duration = Duration::from_secs(10);

/// A delivery may take so long, or [`SLOWER_MAX`] times as long as the fastest replica's.
const SLOW_MIN: Duration = Duration::from_secs(2);
const SLOWER_MAX: f64 = 3.0;

/// A failing delivery is tried so often, with [`RETRY_WAIT`] in between, doubling.
const TRIES_MAX: u32 = 5;
const RETRY_WAIT: Duration = Duration::from_millis(20);

/// The last in-sync replica is tried again for ever, this often.
const STALLED_WAIT: Duration = Duration::from_millis(500);

/// A replica that starts anew so far behind the last write is repaired first:
/// nobody waits for it.
const WELCOME_ENTRIES: u64 = 256;

/// An idle replica's index is moved on once the log is so far ahead of it.
const IDLE_ENTRIES_MAX: u64 = 4096;

impl Replicas {
    /// The life of one replica; ends when the cluster is dropped or the node stops.
    pub(super) async fn serve(self: Arc<Self>, member: Arc<Member>) {
        let mut applied = self.log.applied();
        let mut appended = self.log.appended();
        let stopped = self.stopped().clone();
        while !stopped.is_cancelled() {
            let busy = self.step(&member).await;
            if self.replica(member.id).is_none() {
                self.abandon();
                member.endpoint.remove().await;
                return;
            }
            if busy {
                continue;
            }
            let changed = async {
                let changed = applied.changed().await;
                changed.is_ok()
            };
            tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                changed = changed => if !changed { return },
                () = self.prepare_ahead(&member, &mut appended) => {}
                () = self.runtime.sleep(TICK) => {}
            }
        }
    }

    /// Does what the replica's state asks for; `true` when there may be more to do.
    async fn step(self: &Arc<Self>, member: &Arc<Member>) -> bool {
        let Some(replica) = self.replica(member.id) else {
            return false;
        };
        if self.leadership.opening().is_none() {
            return false;
        }
        match replica.state {
            ReplicaState::InSync => self.keep_in_sync(member, &replica).await,
            ReplicaState::Barred => false,
            _ => self.repair(member, &replica).await,
        }
    }

    async fn keep_in_sync(self: &Arc<Self>, member: &Arc<Member>, replica: &Replica) -> bool {
        let position = match self.known_position(member).await {
            Ok(position) => position,
            Err(fault) => return self.failed_for_good(member, fault.to_string(), true).await,
        };
        if replica.incarnation != Some(position.incarnation) {
            return self.welcome_back(member, &position).await;
        }
        let more = self.deliver(member, &position, replica).await;
        if member.status().position.is_some() {
            self.set_recovered(member);
        }
        more
    }

    /// An in-sync replica with a new life. It goes on if it stands near the
    /// others and its chain is theirs; a second life under one leader must show
    /// that, after a start nobody may be there to compare with. Otherwise it is
    /// repaired; the last one goes on with what it has.
    async fn welcome_back(self: &Arc<Self>, member: &Arc<Member>, position: &Position) -> bool {
        let status = member.status();
        let replayable = self.reaches(position);
        let near = self.behind(position.applied, *self.log.applied().borrow()) <= WELCOME_ENTRIES;
        let same = match self.chain_agrees(member, position) {
            Some(same) => same,
            None => status.lived.is_none(),
        };
        if replayable && near && same && !status.must_copy {
            return self.log_in_sync(member, position).await;
        }
        let copy = status.must_copy || !replayable;
        let reason = "its database went back or was changed".to_owned();
        if self.take_out(member, reason, false).await {
            member.update(|status| {
                status.must_copy |= copy;
                status.position = None;
            });
            return true;
        }
        self.set_stalled(true);
        member.update(|status| status.must_copy = false);
        if replayable {
            return self.log_in_sync(member, position).await;
        }
        tracing::error!(cluster = %self.cluster, replica = %member.id, "the last replica lacks entries that the log has forgotten");
        member.update(|status| status.position = None);
        self.runtime.sleep(STALLED_WAIT).await;
        true
    }

    /// Logs that a replica is in sync in this life.
    pub(super) async fn log_in_sync(&self, member: &Member, position: &Position) -> bool {
        let incarnation = Some(position.incarnation);
        let state = ReplicaState::InSync;
        let logged = self
            .log_state(member.id, state, incarnation, false, None)
            .await;
        if logged {
            member.update(|status| {
                status.lived = incarnation;
                status.moved = Some(self.runtime.now());
            });
        }
        logged
    }

    /// The position as last reported, or as the replica tells it now.
    pub(super) async fn known_position(&self, member: &Member) -> Result<Position, Fault> {
        if let Some(position) = member.status().position {
            return Ok(position);
        }
        let asked = self
            .runtime
            .timeout(SILENT_MAX, member.endpoint.position())
            .await;
        let position = asked.map_err(|_| Fault::Failed("it does not answer".to_owned()))??;
        self.note_position(member, position.clone());
        Ok(position)
    }

    pub(super) fn note_position(&self, member: &Member, position: Position) {
        let now = self.runtime.now();
        let replica = self.replica(member.id);
        // A life that the log does not know has no vote yet.
        if replica.is_some_and(|it| it.incarnation == Some(position.incarnation)) {
            self.with_tally(|tally| tally.chain(member.id, position.applied, position.chain));
        }
        member.update(|status| {
            if status.reached != Some(position.applied) {
                status.moved = Some(now);
            }
            status.reached = Some(position.applied);
            status.position = Some(position);
        });
    }

    /// Sends what the replica lacks, or just a grant; `true` when it lacks more.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        member: &Arc<Member>,
        position: &Position,
        replica: &Replica,
    ) -> bool {
        let (request, more) = match self.request(member, position, replica).await {
            Ok(prepared) => prepared,
            Err(error) if !self.reaches(position) => {
                return self.failed_for_good(member, error.to_string(), true).await;
            }
            Err(error) => {
                tracing::error!(cluster = %self.cluster, %error, "entries cannot be read");
                return false;
            }
        };
        let mut wait = RETRY_WAIT;
        for attempt in 1.. {
            match self.attempt(member, &request).await {
                Ok(applied) => {
                    self.accept(member, &request, applied);
                    return more;
                }
                Err(fault) => {
                    if !self.is_transient(member, &fault) || attempt >= TRIES_MAX {
                        return self.give_up(member, &request, fault).await;
                    }
                    self.runtime.sleep(wait).await;
                    wait *= 2;
                }
            }
        }
        false
    }

    /// The next delivery after a position.
    async fn request(
        &self,
        member: &Member,
        position: &Position,
        replica: &Replica,
    ) -> crate::error::Result<(Apply, bool)> {
        let target = *self.log.applied().borrow();
        // Read after the target: covers every write up to it.
        let written = self.definition().map_or(target, |it| it.last_write);
        let (entries, upto) = match written <= position.applied {
            true => (Vec::new(), target.max(position.applied)),
            false => self.entries_after(position.applied, target).await?,
        };
        let must_reach = self
            .leadership
            .opening()
            .unwrap_or_default()
            .max(replica.since);
        let idle = entries.is_empty()
            && position.applied >= must_reach
            && upto.0.saturating_sub(position.applied.0) < IDLE_ENTRIES_MAX;
        let upto = if idle { position.applied } else { upto };
        let request = Apply {
            cluster: self.cluster,
            term: self.log.term(),
            incarnation: position.incarnation,
            after: position.applied,
            upto,
            entries,
            grant: self.grant(member),
            stable: self.stable(),
        };
        Ok((request, !idle && upto < target))
    }

    /// This cluster's entries after an index, and how far they reach.
    async fn entries_after(
        &self,
        after: Index,
        target: Index,
    ) -> crate::error::Result<(Vec<Delivery>, Index)> {
        let mut deliveries = Vec::new();
        let mut upto = after;
        // Pieces and other clusters' entries give nothing to deliver: read on.
        while deliveries.is_empty() && upto < target {
            let read = self
                .log
                .entries(Index(upto.0 + 1), DELIVERY_BYTES_MAX)
                .await?;
            if read.is_empty() {
                break;
            }
            for entry in read.into_iter().take_while(|entry| entry.index <= target) {
                upto = entry.index;
                deliveries.extend(self.delivery(entry));
            }
        }
        Ok((deliveries, upto))
    }

    /// What an entry brings a replica, if anything.
    pub(super) fn delivery(&self, entry: LogEntry) -> Option<Delivery> {
        Some(Delivery {
            index: entry.index,
            content: self.content(&entry)?,
            skip: entry.skip,
            taken_back: entry.taken_back,
        })
    }

    pub(super) fn content(&self, entry: &LogEntry) -> Option<DeliveryContent> {
        match entry.command.as_deref()? {
            Command::Batch(batch) if batch.cluster == self.cluster => {
                Some(match self.log.pieces(batch.pieces.as_ref()) {
                    None => DeliveryContent::Batch(batch.clone()),
                    Some(pieces) => DeliveryContent::Pieced(batch.clone(), pieces),
                })
            }
            Command::Schema(schema) if schema.cluster == self.cluster => {
                Some(match self.log.pieces(schema.pieces.as_ref()) {
                    None => DeliveryContent::Schema(schema.clone()),
                    Some(pieces) => DeliveryContent::PiecedSchema(schema.clone(), pieces),
                })
            }
            _ => None,
        }
    }

    /// Applies once, with an eye on the clock.
    async fn attempt(
        self: &Arc<Self>,
        member: &Arc<Member>,
        request: &Apply,
    ) -> Result<Applied, Fault> {
        let began = self.runtime.now();
        let apply = member.endpoint.apply(request.clone());
        tokio::pin!(apply);
        loop {
            tokio::select! {
                biased;
                applied = &mut apply => {
                    if !request.entries.is_empty() {
                        let took = self.runtime.now().since(began);
                        self.metrics.applied(member.id.0, took);
                    }
                    return applied;
                }
                () = self.runtime.sleep(TICK) => {}
            }
            let alive = self
                .runtime
                .timeout(SILENT_MAX, member.endpoint.alive())
                .await;
            let waited = self.runtime.now().since(began);
            if alive.is_err()
                && (waited >= SILENT_TOGETHER_MAX || self.keeps_waiting(member, request.upto))
            {
                return Err(Fault::Failed(SILENT.to_owned()));
            }
            self.renew_lease(member).await;
            let counts = self
                .replica(member.id)
                .is_some_and(|replica| replica.state == ReplicaState::InSync);
            if counts && self.is_too_slow(member, request.upto, began) {
                return Err(Fault::Failed(SLOW.to_owned()));
            }
        }
    }

    /// Keeps the lease of a replica alive while it is at work: what it has
    /// applied before covers every write that was answered.
    async fn renew_lease(&self, member: &Member) {
        let grant = self.grant(member);
        let renewed = self
            .runtime
            .timeout(SILENT_MAX, member.endpoint.renew(grant))
            .await;
        if let Ok(Ok(asks)) = renewed {
            member.update(|status| status.asks = Some(asks));
        }
    }

    /// Is it alone in not having come to an index, or one of few?
    fn keeps_waiting(&self, member: &Member, upto: Index) -> bool {
        let Some(definition) = self.definition() else {
            return true;
        };
        let mut others = definition
            .in_sync()
            .filter(|replica| replica.id != member.id)
            .filter_map(|replica| self.member(replica.id))
            .peekable();
        others.peek().is_none() || others.any(|other| other.applied() >= upto)
    }

    /// Far slower than the fastest of the others with the same entries?
    fn is_too_slow(&self, member: &Member, upto: Index, began: Moment) -> bool {
        let elapsed = self.runtime.now().since(began);
        if elapsed < SLOW_MIN {
            return false;
        }
        let others = self.members();
        let others = others.iter().filter(|other| other.id != member.id);
        let fastest = others
            .filter_map(|other| {
                let status = other.status();
                let done = status
                    .position
                    .filter(|position| position.applied >= upto)
                    .is_some();
                status
                    .moved
                    .filter(|_| done)
                    .map(|moved| moved.since(began))
            })
            .min();
        fastest.is_some_and(|fastest| elapsed.as_secs_f64() > SLOWER_MAX * fastest.as_secs_f64())
    }

    fn accept(self: &Arc<Self>, member: &Member, request: &Apply, applied: Applied) {
        let last = request.entries.last().map(|entry| entry.index);
        let chain = applied.position.chain;
        let mut outcomes = applied.outcomes.into_iter();
        let mut decidable = Vec::with_capacity(request.entries.len());
        for entry in &request.entries {
            let expected = match &entry.content {
                DeliveryContent::Batch(batch) | DeliveryContent::Pieced(batch, _) => {
                    let sent = batch.transactions.iter();
                    sent.filter(|t| !entry.skip.contains(&t.id)).count()
                }
                DeliveryContent::Schema(schema) | DeliveryContent::PiecedSchema(schema, _) => {
                    usize::from(!entry.skip.contains(&schema.id))
                }
            };
            decidable.push((
                entry.index,
                outcomes.by_ref().take(expected).collect::<Vec<_>>(),
            ));
        }
        self.with_tally(|tally| {
            for (index, outcomes) in decidable {
                tally.report(member.id, index, outcomes);
            }
            // Replicas may stop at different indexes, but after the same entries.
            if let Some(last) = last {
                tally.chain(member.id, last, chain);
            }
        });
        member.update(|status| status.asks = Some(applied.asks));
        self.note_position(member, applied.position);
        self.settle();
    }

    fn is_transient(&self, member: &Member, fault: &Fault) -> bool {
        match fault {
            Fault::Failed(reason) => reason != SILENT && reason != SLOW,
            Fault::Poisoned { .. } => true,
            Fault::NotThere(position) => {
                // Someone moved it on: where it stands is asked again.
                self.note_position(member, Position::clone(position));
                false
            }
            Fault::Incarnation(_) | Fault::StaleTerm(_) | Fault::Tampered(_) => false,
        }
    }

    async fn give_up(
        self: &Arc<Self>,
        member: &Arc<Member>,
        request: &Apply,
        fault: Fault,
    ) -> bool {
        match fault {
            Fault::StaleTerm(term) => {
                tracing::warn!(cluster = %self.cluster, %term, "a later leader delivers");
                false
            }
            Fault::NotThere(position) if position.applied >= request.after => true,
            Fault::Incarnation(_) => {
                member.update(|status| status.position = None);
                true
            }
            Fault::Poisoned {
                index,
                transaction,
                ref message,
            } => match self.note_poison(member, index, transaction) {
                Poison::Everywhere => {
                    let cluster = self.cluster;
                    let command = Command::Void {
                        cluster,
                        index,
                        transaction,
                    };
                    tracing::error!(%cluster, %index, %transaction, message, "voided");
                    let voided = self.log.propose(command).await;
                    let voided = voided.is_ok_and(|it| it.answer.refused.is_none());
                    if voided {
                        self.answer(index, void_outcome(transaction, message));
                    }
                    voided
                }
                Poison::Unknown => {
                    self.runtime.sleep(TICK).await;
                    true
                }
                Poison::Here => self.failed_for_good(member, fault.to_string(), false).await,
            },
            Fault::Tampered(_) | Fault::NotThere(_) => {
                self.failed_for_good(member, fault.to_string(), true).await
            }
            Fault::Failed(_) => self.failed_for_good(member, fault.to_string(), false).await,
        }
    }

    /// Takes the replica out, or waits if it is the last one.
    async fn failed_for_good(
        self: &Arc<Self>,
        member: &Arc<Member>,
        reason: String,
        copy: bool,
    ) -> bool {
        member.update(|status| {
            status.must_copy |= copy;
            status.position = None;
        });
        let state = self.replica(member.id).map(|replica| replica.state);
        if state != Some(ReplicaState::InSync) {
            if state == Some(ReplicaState::CatchingUp) {
                let out = ReplicaState::OutOfSync;
                self.log_state(member.id, out, None, false, Some(reason))
                    .await;
            }
            self.runtime.sleep(STALLED_WAIT).await;
            return true;
        }
        if self.take_out(member, reason.clone(), false).await {
            return true;
        }
        // The last one: its database is all there is, so it is used as it is.
        if !self.is_stalled() {
            tracing::error!(cluster = %self.cluster, replica = %member.id, reason, "the last replica in sync fails");
        }
        self.set_stalled(true);
        self.give_up_waiting();
        member.update(|status| status.must_copy = false);
        self.runtime.sleep(STALLED_WAIT).await;
        true
    }

    fn set_recovered(&self, member: &Member) {
        let definition = self.definition();
        let in_sync = definition.iter().flat_map(|cluster| cluster.in_sync());
        if self.is_stalled() && in_sync.into_iter().any(|replica| replica.id == member.id) {
            self.set_stalled(false);
        }
    }
}

/// What the client of a transaction hears that no replica can apply.
fn void_outcome(id: TransactionId, message: &str) -> Outcome {
    Outcome {
        id,
        result: Err(Failure {
            state: SqlState::IO_ERROR.0,
            message: format!("no replica can apply the transaction: {message}"),
            detail: None,
            table: None,
            column: None,
            constraint: None,
        }),
    }
}

const SILENT: &str = "it was silent for too long";
const SLOW: &str = "it was much slower than the others";
