//! Leases: who may answer strong reads, and until when.
//!
//! The lease is the replica's own, counted by its clock from the moment it
//! asked. The leader grants one only while it can prove that it leads, and
//! before it answers a write that a replica lacks it waits until that
//! replica's last lease is void. Clocks may differ in rate by a tenth.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Member, Replicas};
use crate::catalog::ReplicaState;
use crate::endpoint::Grant;
use crate::log::Log;
use crate::runtime::{Moment, Runtime};
use crate::types::id::Index;

/// D: how long a lease lasts after the moment it was asked for.
pub const LEASE: Duration = Duration::from_millis(500);

/// P: how old a proof of leadership may be when a lease is granted.
pub const PROOF_AGE_MAX: Duration = Duration::from_millis(150);

/// How often leadership is proven.
const PROOF_EVERY: Duration = Duration::from_millis(60);

/// How long a replica may take to say that it has given up its lease.
const REVOKE_WAIT: Duration = Duration::from_millis(50);

/// This node's leadership: its opening and its latest proof.
pub struct Leadership {
    runtime: Runtime,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// The entry with which this node's sequencers started, and when it was applied.
    opening: Option<(Index, Moment)>,
    proven: Option<Moment>,
}

impl Leadership {
    pub fn new(runtime: Runtime) -> Arc<Leadership> {
        Arc::new(Leadership {
            runtime,
            state: Mutex::default(),
        })
    }

    /// The opening of this leader has been applied.
    pub fn opened(&self, index: Index) {
        self.state.lock().opening = Some((index, self.runtime.now()));
    }

    pub fn opening(&self) -> Option<Index> {
        self.state.lock().opening.map(|(index, _)| index)
    }

    /// Proves leadership again and again; never returns.
    pub async fn prove(&self, log: Arc<Log>) {
        loop {
            match log.prove_leadership().await {
                Ok(moment) => self.state.lock().proven = Some(moment),
                Err(error) => tracing::debug!(%error, "leadership not proven"),
            }
            self.runtime.sleep(PROOF_EVERY).await;
        }
    }

    /// The opening, if leases may be granted now.
    fn may_grant(&self) -> Option<Index> {
        let state = *self.state.lock();
        let proven = state.proven?;
        let fresh = self.runtime.now().since(proven) <= PROOF_AGE_MAX;
        state.opening.filter(|_| fresh).map(|(index, _)| index)
    }

    pub(super) fn opened_at(&self) -> Option<Moment> {
        self.state.lock().opening.map(|(_, moment)| moment)
    }
}

impl Replicas {
    /// The lease to send with the next delivery, if the replica may have one.
    pub(super) fn grant(&self, member: &Member) -> Option<Grant> {
        let opening = self.leadership.may_grant()?;
        let replica = self.replica(member.id)?;
        member.update(|status| {
            let position = status.position.as_ref()?;
            let entitled = replica.state == ReplicaState::InSync
                && replica.incarnation == Some(position.incarnation)
                && position.applied >= opening.max(replica.since)
                && status.leaving.is_none();
            let asked = status.asks.filter(|_| entitled)?;
            status.granted = Some(self.runtime.now());
            Some(Grant {
                asked,
                for_time: LEASE,
                opening,
            })
        })
    }

    /// From when on a replica that was taken out cannot answer strong reads:
    /// now if it says so, else when its last lease must have ended.
    pub(super) async fn lease_void(&self, member: &Member) -> Moment {
        let revoked = self
            .runtime
            .timeout(REVOKE_WAIT, member.endpoint.revoke())
            .await;
        let now = self.runtime.now();
        if matches!(revoked, Ok(Ok(()))) {
            return now;
        }
        let status = member.status();
        match (status.granted, self.leadership.opened_at()) {
            (Some(granted), _) => granted + LEASE.mul_f64(1.1),
            (None, Some(opened)) => opened + (LEASE + PROOF_AGE_MAX).mul_f64(1.1),
            (None, None) => now + (LEASE + PROOF_AGE_MAX).mul_f64(1.1),
        }
    }
}
