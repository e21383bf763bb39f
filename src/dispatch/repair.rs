//! What an operator may ask of a replica. Repairs themselves run unasked.

use super::Dispatch;
use crate::catalog::ReplicaState;
use crate::error::{Error, Result, SqlState};
use crate::log::command::Command;
use crate::types::id::{ClusterId, ReplicaId};

impl Dispatch {
    /// Has a replica repaired: one in sync is taken out first, a barred one
    /// admitted again. `copy` asks for a fresh copy where the log would do.
    /// 55000 when it is the last one in sync.
    pub async fn repair(&self, cluster: ClusterId, replica: ReplicaId, copy: bool) -> Result<()> {
        let unknown = || Error::new(SqlState::UNDEFINED_OBJECT, "the replica does not exist");
        let replicas = &self.cluster(cluster)?.replicas;
        let definition = replicas.definition().ok_or_else(unknown)?;
        let state = definition
            .replicas
            .get(&replica)
            .map(|it| it.state)
            .ok_or_else(unknown)?;
        let member = replicas.member(replica).ok_or_else(unknown)?;
        let reason = "an operator asked for a repair".to_owned();
        if copy {
            member.update(|status| status.must_copy = true);
        }
        match state {
            ReplicaState::InSync => {
                if replicas.take_out(&member, reason, false).await {
                    return Ok(());
                }
                member.update(|status| status.must_copy = false);
                Err(Error::new(
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "the replica is the last one in sync",
                ))
            }
            ReplicaState::Barred => {
                let command = Command::Replica {
                    cluster,
                    replica,
                    state: ReplicaState::OutOfSync,
                    incarnation: None,
                    lost_vote_at: None,
                    reason: Some(reason),
                };
                self.agree(command).await
            }
            _ => Ok(()),
        }
    }

    /// How many entries of the log lie between a replica and the last write of
    /// its data cluster; 0 in sync.
    pub fn lacking(&self, cluster: ClusterId, replica: ReplicaId) -> Result<u64> {
        let replicas = &self.cluster(cluster)?.replicas;
        let (Some(definition), Some(member)) = (replicas.definition(), replicas.member(replica))
        else {
            return Ok(0);
        };
        let state = definition.replicas.get(&replica).map(|it| it.state);
        let applied = member.applied().0.max(definition.born.0);
        Ok(match state {
            Some(ReplicaState::InSync) | None => 0,
            Some(_) => definition.last_write.0.saturating_sub(applied),
        })
    }
}
