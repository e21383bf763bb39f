//! Up to where the log may be forgotten, as far as one data cluster is concerned.
//!
//! An in-sync replica may fall back to what is durable, a copy under way goes on
//! from its source's index: the log keeps what comes after. A replica that is
//! away is waited for up to a number of entries; past it it is copied afresh.
//! Replicas of an idle data cluster are moved on with the log by their deliverers.
//!
//! Not handled: a bound in bytes for replicas that are away.

use super::{Member, Replicas};
use crate::catalog::{Replica, ReplicaState};
use crate::types::id::Index;

/// Entries kept for replicas that are away.
const AWAY_ENTRIES_MAX: u64 = 16_384;

impl Replicas {
    /// No replica needs this entry or an earlier one; `None` while one that
    /// counts has not said where it stands. `end` is the log's end, read before.
    pub(crate) fn floor(&self, end: Index) -> Option<Index> {
        let Some(definition) = self.definition() else {
            return Some(end);
        };
        let mut floor = end;
        for replica in definition.replicas.values() {
            let needs = match self.member(replica.id) {
                Some(member) => self.needs_after(&member, replica, end)?,
                // Another node's: it keeps what that node may ask for.
                None => Index(end.0.saturating_sub(AWAY_ENTRIES_MAX)),
            };
            floor = floor.min(needs);
        }
        Some(floor)
    }

    fn needs_after(&self, member: &Member, replica: &Replica, end: Index) -> Option<Index> {
        let status = member.status();
        match replica.state {
            ReplicaState::InSync => {
                let position = status.position?;
                Some(position.durable.min(position.applied))
            }
            ReplicaState::Copying | ReplicaState::CatchingUp => {
                let stands = status.position.map(|position| position.durable);
                Some(status.copying_after.or(stands).unwrap_or(Index(0)))
            }
            _ => {
                let kept = Index(end.0.saturating_sub(AWAY_ENTRIES_MAX));
                Some(status.reached.unwrap_or(Index(0)).max(kept))
            }
        }
    }
}
