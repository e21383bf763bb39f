//! Up to where the log may be forgotten, as far as one data cluster is concerned.
//!
//! An in-sync replica may fall back to what is durable, a copy under way goes on
//! from its source's index: the log keeps what comes after. A replica that is
//! away is waited for up to a number of entries and of bytes; past them it is
//! copied afresh. Replicas of an idle data cluster are moved on with the log by
//! their deliverers.

use super::{Member, Replicas};
use crate::catalog::{Replica, ReplicaState};
use crate::types::id::Index;

/// Entries kept for replicas that are away.
const AWAY_ENTRIES_MAX: u64 = 16_384;

/// Bytes of the log kept for them: more takes longer to replay than a copy.
pub(crate) const AWAY_BYTES_MAX: u64 = 256 << 20;

/// The log's end, and how much of it is kept for replicas that are away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) end: Index,
    /// What comes after this entry takes at most [`AWAY_BYTES_MAX`].
    pub(crate) bytes_after: Index,
}

impl Reach {
    /// Nothing up to here is kept for a replica that is away.
    fn away(self) -> Index {
        Index(self.end.0.saturating_sub(AWAY_ENTRIES_MAX)).max(self.bytes_after)
    }
}

impl Replicas {
    /// No replica needs this entry or an earlier one; `None` while one that
    /// counts has not said where it stands. `reach` is the log's, read before.
    pub(crate) fn floor(&self, reach: Reach) -> Option<Index> {
        let end = reach.end;
        let Some(definition) = self.definition() else {
            return Some(end);
        };
        let mut floor = end;
        for replica in definition.replicas.values() {
            let needs = match self.member(replica.id) {
                Some(member) => needs_after(&member, replica, reach)?,
                // Another node's: it keeps what that node may ask for.
                None => reach.away(),
            };
            floor = floor.min(needs);
        }
        Some(floor)
    }
}

fn needs_after(member: &Member, replica: &Replica, reach: Reach) -> Option<Index> {
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
        _ => Some(status.reached.unwrap_or(Index(0)).max(reach.away())),
    }
}
