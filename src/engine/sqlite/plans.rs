//! Rendered queries, kept by the identity of the query, and which of them are slow.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::dialect::{self, Overlaid, Rendered};
use crate::error::Result;
use crate::plan::query::Query;
use crate::types::overlay::Overlay;

/// Rendered queries kept for one replica.
const MAX_PLANS: usize = 2048;

/// How long a query that was slow once runs on a slow thread.
const SLOW_TIME: Duration = Duration::from_secs(5);

/// Marks kept; when there are more, those that have decayed go.
const MAX_MARKS: usize = 4096;

pub(super) struct Plans {
    cache: Cache<(usize, Overlaid), Kept>,
    marks: Mutex<HashMap<u64, Instant>>,
    /// How many there are, so that the common case takes no lock.
    marked: AtomicUsize,
}

#[derive(Clone)]
struct Kept {
    /// Keeps the query's address from being used again.
    query: Weak<Query>,
    rendered: Arc<Rendered>,
}

impl Plans {
    pub(super) fn new() -> Plans {
        Plans {
            cache: Cache::new(MAX_PLANS),
            marks: Mutex::new(HashMap::new()),
            marked: AtomicUsize::new(0),
        }
    }

    pub(super) fn get(
        &self,
        query: &Arc<Query>,
        overlay: Option<&Overlay>,
    ) -> Result<Arc<Rendered>> {
        let overlaid = overlay.map_or_else(Overlaid::new, |overlay| overlaid(query, overlay));
        let key = (Arc::as_ptr(query) as usize, overlaid);
        if let Some(kept) = self.cache.get(&key)
            && std::ptr::eq(kept.query.as_ptr(), Arc::as_ptr(query))
        {
            return Ok(kept.rendered);
        }
        let rendered = Arc::new(dialect::render(query, &key.1)?);
        let kept = Kept {
            query: Arc::downgrade(query),
            rendered: rendered.clone(),
        };
        self.cache.insert(key, kept);
        Ok(rendered)
    }

    pub(super) fn is_slow(&self, rendered: &Rendered) -> bool {
        if self.marked.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut marks = self.marks.lock();
        let slow = match marks.get(&rendered.identity) {
            Some(since) if since.elapsed() < SLOW_TIME => true,
            Some(_) => {
                marks.remove(&rendered.identity);
                false
            }
            None => false,
        };
        self.marked.store(marks.len(), Ordering::Relaxed);
        slow
    }

    pub(super) fn mark_slow(&self, rendered: &Rendered) {
        let mut marks = self.marks.lock();
        if marks.len() >= MAX_MARKS {
            marks.retain(|_, since| since.elapsed() < SLOW_TIME);
        }
        if marks.len() < MAX_MARKS {
            marks.insert(rendered.identity, Instant::now());
        }
        self.marked.store(marks.len(), Ordering::Relaxed);
    }
}

/// The overlay's tables that the query reads.
fn overlaid(query: &Query, overlay: &Overlay) -> Overlaid {
    dialect::tables(query)
        .into_iter()
        .filter_map(|id| overlay.table(id).map(|truncated| (id, truncated)))
        .collect()
}
