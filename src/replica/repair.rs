//! Brings a replica that fell out back in sync, while reads and writes go on.
//!
//! If its database still holds a true prefix of the log's writes it replays
//! the rest; otherwise it is copied afresh from one that is in sync. Before it
//! counts again its chain is compared with the others' at the same index.

use std::sync::Arc;
use std::time::Duration;

use super::{Member, Replicas};
use crate::catalog::{Replica, ReplicaState};
use crate::endpoint::{Fault, Position};
use crate::types::id::{Index, TransactionId};

/// How long a repair that failed waits before the next try.
const REPAIR_RETRY: Duration = Duration::from_millis(500);

/// A replica this close behind the log may be put in sync; it then catches up
/// while writes wait for it.
const NEAR_ENTRIES: u64 = 8;

/// A copy may take this long before another source is tried.
const COPY_MAX: Duration = Duration::from_secs(3600);

impl Replicas {
    /// One step of repair; `true` when the next may follow at once.
    pub(super) async fn repair(self: &Arc<Self>, member: &Arc<Member>, replica: &Replica) -> bool {
        let step = match replica.state {
            ReplicaState::CatchingUp => self.catch_up(member, replica).await,
            _ => self.start_repair(member).await,
        };
        match step {
            Ok(more) => more,
            Err(fault) => {
                if !self.is_stalled() {
                    tracing::warn!(cluster = %self.cluster, replica = %member.id, %fault, "repair failed");
                }
                // A new life may still replay; anything else asks for a copy.
                let copy = !matches!(fault, Fault::Incarnation(_));
                member.update(|status| {
                    status.position = None;
                    status.must_copy |= copy;
                    status.copying_after = None;
                });
                if replica.state == ReplicaState::CatchingUp {
                    let reason = Some(fault.to_string());
                    self.log_state(member.id, ReplicaState::OutOfSync, None, false, reason)
                        .await;
                }
                self.runtime.sleep(REPAIR_RETRY).await;
                true
            }
        }
    }

    /// Chooses between replay and copy.
    async fn start_repair(self: &Arc<Self>, member: &Arc<Member>) -> Result<bool, Fault> {
        if member.status().leaving.is_some() {
            self.runtime.sleep(Duration::from_millis(10)).await;
            return Ok(true);
        }
        member.update(|status| status.position = None);
        let position = match self.known_position(member).await {
            Ok(position) if !member.status().must_copy && self.can_replay(&position) => position,
            _ => self.copy(member).await?,
        };
        self.with_tally(|tally| tally.forget(member.id));
        self.catches_up(member, position.applied);
        let incarnation = Some(position.incarnation);
        Ok(self
            .log_state(
                member.id,
                ReplicaState::CatchingUp,
                incarnation,
                false,
                None,
            )
            .await)
    }

    /// Does the log reach back to it, and does what is known of its chain agree?
    fn can_replay(&self, position: &Position) -> bool {
        let differs = self.settled().is_some_and(|settled| {
            settled.index == position.applied && settled.chain != position.chain
        });
        self.reaches(position) && !differs
    }

    /// Does the log hold every write that a position lacks?
    pub(super) fn reaches(&self, position: &Position) -> bool {
        let first = self.log.first_index();
        let last = self.definition().map_or(first, |it| it.last_write);
        position.applied >= last || position.applied.0 + 1 >= first.0
    }

    async fn copy(self: &Arc<Self>, member: &Arc<Member>) -> Result<Position, Fault> {
        let definition = self.definition();
        let in_sync = definition.iter().flat_map(|cluster| cluster.in_sync());
        let source = in_sync
            .filter(|replica| replica.id != member.id)
            .filter_map(|replica| self.member(replica.id))
            .max_by_key(|source| source.applied());
        let source = source.ok_or_else(|| Fault::Failed("no replica to copy from".to_owned()))?;
        if self.is_stalled() {
            return Err(Fault::Failed("the only source fails".to_owned()));
        }
        self.log_state(member.id, ReplicaState::Copying, None, false, None)
            .await;
        let told = self.copy_begins(member);
        tracing::info!(cluster = %self.cluster, replica = %member.id, source = %source.id, "copying");
        member.update(|status| status.copying_after = Some(source.applied()));
        let copied = self.runtime.timeout(COPY_MAX, async {
            let chunks = source.endpoint.copy_out(told).await?;
            // What a foreign hand did to the source must not spread.
            if let Err(fault) = source.endpoint.check().await {
                let _ = self.runtime.disk().remove(&chunks.path);
                return Err(fault);
            }
            if member.status().keep_differences {
                self.keep_differences(member, &chunks).await;
            }
            member.endpoint.copy_in(chunks).await
        });
        let position = copied
            .await
            .map_err(|_| Fault::Failed("the copy took too long".to_owned()))??;
        self.note_position(member, position.clone());
        member.update(|status| {
            status.must_copy = false;
            status.keep_differences = false;
            status.copying_after = None;
        });
        Ok(position)
    }

    /// Delivers the rest; puts the replica in sync once it is near and its chain agrees.
    async fn catch_up(
        self: &Arc<Self>,
        member: &Arc<Member>,
        replica: &Replica,
    ) -> Result<bool, Fault> {
        let position = self.known_position(member).await?;
        if replica.incarnation != Some(position.incarnation) {
            return Err(Fault::Incarnation(position.incarnation));
        }
        let more = self.deliver(member, &position, replica).await;
        let Some(now) = member.status().position else {
            return Ok(true);
        };
        self.catches_up(member, now.applied);
        let target = *self.log.applied().borrow();
        let behind = self.behind(now.applied, target);
        if more || behind > NEAR_ENTRIES {
            return Ok(true);
        }
        match self.chain_agrees(member, &now) {
            Some(false) => Err(Fault::Tampered(
                "its chain differs from the others'".to_owned(),
            )),
            // The next entry, or the next tick, may find both at one place.
            None => Ok(false),
            Some(true) => {
                let back = self.log_in_sync(member, &now).await;
                if back {
                    tracing::info!(cluster = %self.cluster, replica = %member.id, "in sync again");
                    member.update(|status| status.progress = None);
                }
                Ok(back)
            }
        }
    }

    /// Entries of this cluster's log that a position lacks, at most.
    pub(super) fn behind(&self, applied: Index, target: Index) -> u64 {
        let last = self
            .definition()
            .map_or(target, |cluster| cluster.last_write);
        last.min(target).0.saturating_sub(applied.0)
    }

    /// Compares with in-sync replicas seen at the same index; `None`: none was.
    pub(super) fn chain_agrees(&self, member: &Member, position: &Position) -> Option<bool> {
        let in_sync: Vec<_> = {
            let definition = self.definition()?;
            definition.in_sync().map(|replica| replica.id).collect()
        };
        if in_sync.iter().all(|id| *id == member.id) {
            return Some(true);
        }
        let positions: Vec<Position> = self
            .members()
            .into_iter()
            .filter(|other| other.id != member.id && in_sync.contains(&other.id))
            .filter_map(|other| other.status().position)
            .collect();
        // Read after the positions: no write that they contain lies behind it.
        let last = self.definition()?.last_write;
        let direct = positions.into_iter().find_map(|other| {
            // Other clusters' entries leave the chain as it is.
            let together = other.applied == position.applied
                || (other.applied >= last && position.applied >= last);
            together.then_some(other.chain == position.chain)
        });
        direct.or_else(|| self.with_tally(|tally| tally.compare(member.id, &in_sync)))
    }

    /// Notes that a transaction fails for good on a replica, and says where else it does.
    pub(super) fn note_poison(&self, member: &Member, index: Index, id: TransactionId) -> Poison {
        member.update(|status| status.poisoned = Some((index, id)));
        let definition = self.definition();
        let in_sync = definition.iter().flat_map(|cluster| cluster.in_sync());
        let others: Vec<_> = in_sync
            .filter_map(|replica| self.member(replica.id))
            .collect();
        if others.iter().any(|other| other.applied() >= index) {
            return Poison::Here;
        }
        let everywhere = others
            .iter()
            .all(|other| other.status().poisoned == Some((index, id)));
        if everywhere {
            Poison::Everywhere
        } else {
            Poison::Unknown
        }
    }
}

/// Where a transaction cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    Everywhere,
    /// Another replica has applied it.
    Here,
    /// Others are still at it.
    Unknown,
}
