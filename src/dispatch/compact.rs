//! Keeps the log short: what no replica needs any more is forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::Dispatch;
use crate::catalog::ReplicaState;
use crate::error::Result;
use crate::replica::floor::{AWAY_BYTES_MAX, Reach};
use crate::types::id::Index;

/// How often the log's length is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The log is compacted once so much of it can go.
const WORTHWHILE: Worthwhile = Worthwhile {
    entries: 4096,
    bytes: 64 << 20,
};

/// From how many entries or bytes on it is worth the work.
#[derive(Clone, Copy, Debug)]
struct Worthwhile {
    entries: u64,
    bytes: u64,
}

impl Dispatch {
    /// Starts the task that compacts the log.
    pub(super) fn compact_now_and_then(self: &Arc<Self>) {
        let (dispatch, stop) = (Arc::downgrade(self), self.tasks.token().clone());
        let runtime = self.runtime.clone();
        self.tasks.spawn("compact", async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = runtime.sleep(LOOK_EVERY) => {}
                }
                let Some(dispatch) = dispatch.upgrade() else {
                    return;
                };
                if let Err(error) = dispatch.compact(WORTHWHILE).await {
                    tracing::warn!(%error, "the log is not compacted");
                }
            }
        });
    }

    /// Compacts the log if that is worth the work.
    async fn compact(&self, worthwhile: Worthwhile) -> Result<()> {
        let Some(floor) = self.floor().await? else {
            return Ok(());
        };
        let entries = (floor.0 + 1).saturating_sub(self.log.first_index().0);
        let long = entries >= worthwhile.entries;
        if long || entries > 0 && self.log.size_up_to(floor).await? >= worthwhile.bytes {
            self.log.compact(floor).await?;
            tracing::debug!(%floor, "the log is compacted");
        }
        Ok(())
    }

    /// The least that any data cluster needs; `None` while one does not know.
    async fn floor(&self) -> Result<Option<Index>> {
        let state = self.log.state();
        let mut clusters = state.catalog.clusters.values();
        let someone_is_away = clusters.any(|cluster| {
            let mut replicas = cluster.replicas.values();
            replicas.any(|replica| replica.state != ReplicaState::InSync)
        });
        let end = state.applied;
        let bytes_after = match someone_is_away {
            true => self.log.bytes_after(AWAY_BYTES_MAX).await?,
            false => Index(0),
        };
        let reach = Reach { end, bytes_after };
        let mut floor = end;
        for id in state.catalog.clusters.keys() {
            if Some(*id) == state.catalog.system_cluster {
                continue;
            }
            let needs = self.clusters.get(id);
            let needs = needs.and_then(|cluster| cluster.replicas.floor(reach));
            let Some(needs) = needs else {
                return Ok(None);
            };
            floor = floor.min(needs);
        }
        Ok(Some(floor))
    }
}
