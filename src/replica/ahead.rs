//! Work on entries before they are agreed on.
//!
//! While the log brings an entry to disk, and to other nodes, replicas already
//! carry it out in a transaction that they do not end. Once it is agreed on,
//! the delivery has only to commit; an entry that comes to nothing is rolled
//! back. So a write waits for the slower of log and replicas, not for both.
//!
//! One entry at a time is prepared, so that what is prepared is what comes.
//!
//! Only a plain batch is prepared: nothing that changes a schema or the state of
//! a replica, nothing that comes in pieces.

use tokio::sync::watch;

use super::deliver::DELIVERY_BYTES_MAX;
use super::{Member, Replicas};
use crate::catalog::ReplicaState;
use crate::endpoint::{Apply, DeliveryContent};
use crate::log::LogEntry;
use crate::log::command::Command;

impl Replicas {
    /// Has the replica prepare what comes next, as soon as there is something;
    /// then never returns: the delivery is next.
    pub(super) async fn prepare_ahead(&self, member: &Member, appended: &mut watch::Receiver<u64>) {
        loop {
            let last = *appended.borrow_and_update();
            if last > self.log.applied().borrow().0
                && let Some(request) = self.expected(member)
            {
                member.endpoint.prepare(request);
                return std::future::pending().await;
            }
            if appended.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// What will probably be delivered next to a replica that has all there is.
    fn expected(&self, member: &Member) -> Option<Apply> {
        self.leadership.opening()?;
        let definition = self.definition()?;
        let replica = definition.replicas.get(&member.id)?;
        let position = member.status().position?;
        let is_ready = replica.state == ReplicaState::InSync
            && replica.incarnation == Some(position.incarnation)
            && definition.last_write <= position.applied;
        if !is_ready {
            return None;
        }
        // Other clusters' batches are nothing to it; whatever else comes first
        // may change what there is to deliver.
        let is_others = |entry: &LogEntry| matches!(entry.command.as_deref(), Some(Command::Batch(batch)) if batch.cluster != self.cluster);
        let ahead = self.log.ahead(DELIVERY_BYTES_MAX);
        let next = ahead.into_iter().find(|entry| !is_others(entry))?;
        let entry = self.delivery(next)?;
        if !matches!(entry.content, DeliveryContent::Batch(_)) {
            return None;
        }
        Some(Apply {
            cluster: self.cluster,
            term: self.log.term(),
            incarnation: position.incarnation,
            after: position.applied,
            upto: entry.index,
            entries: vec![entry],
            grant: None,
            stable: self.stable(),
        })
    }
}
