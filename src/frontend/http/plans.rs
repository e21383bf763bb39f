//! Plans of earlier requests. A request has a session of its own, so what a
//! session remembers would be planned anew each time.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::plan::Plan;
use crate::plan::pyql::Translation;
use crate::types::id::ClusterId;

/// How many plans are kept.
const KEPT_PLANS: usize = 2048;
/// Longer statements (long lists) are planned each time.
const MAX_KEPT_BYTES: usize = 4096;

/// Of which data cluster, statement and parameter types a plan is.
type Key = (ClusterId, String, Vec<u32>);

/// Plans by what was asked; whether one is still current, its session says.
pub(super) struct PlanCache(Cache<Key, Arc<Plan>>);

impl PlanCache {
    pub(super) fn new() -> PlanCache {
        PlanCache(Cache::new(KEPT_PLANS))
    }

    /// The place of a statement's plan, if it is worth one.
    pub(super) fn key(cluster: ClusterId, statement: &Translation) -> Option<Key> {
        if statement.sql.len() > MAX_KEPT_BYTES {
            return None;
        }
        let types = statement.types.iter().flatten().map(|ty| ty.oid());
        Some((cluster, statement.sql.clone(), types.collect()))
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Plan>> {
        self.0.get(key)
    }

    pub(super) fn keep(&self, key: Key, plan: Arc<Plan>) {
        self.0.insert(key, plan);
    }
}
