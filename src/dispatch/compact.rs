//! Keeps the log short: what no replica needs any more is forgotten.

use std::sync::Arc;
use std::time::Duration;

use super::Dispatch;
use crate::types::id::Index;

/// How often the log's length is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The log is compacted once so many entries can go.
const COMPACT_ENTRIES: u64 = 4096;

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
                dispatch.compact(COMPACT_ENTRIES).await;
            }
        });
    }

    /// Compacts the log if at least `worthwhile` entries can go.
    pub(super) async fn compact(&self, worthwhile: u64) {
        let Some(floor) = self.floor() else {
            return;
        };
        if floor.0 < self.log.first_index().0.saturating_add(worthwhile) {
            return;
        }
        match self.log.compact(floor).await {
            Ok(()) => tracing::debug!(%floor, "the log is compacted"),
            Err(error) => tracing::warn!(%error, "the log is not compacted"),
        }
    }

    /// The least that any data cluster needs; `None` while one does not know.
    fn floor(&self) -> Option<Index> {
        let state = self.log.state();
        let mut floor = state.applied;
        for id in state.catalog.clusters.keys() {
            if Some(*id) == state.catalog.system_cluster {
                continue;
            }
            let cluster = self.clusters.get(id).map(|cluster| cluster.clone())?;
            floor = floor.min(cluster.replicas.floor(state.applied)?);
        }
        Some(floor)
    }
}
