//! Keys changed lately, for those who read before they claimed.
//!
//! Kept only while someone reads: an evaluation under way or an open snapshot.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::key::{ClaimKey, KeyHash};
use super::mode::Mode;
use crate::types::id::Index;

/// Keys remembered as changed for open snapshots; past this the oldest
/// snapshots are given up (their transactions end with 40001).
const RECENT_KEYS_MAX: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Changed {
    /// Snapshots in use, by the index they are at least at.
    snapshots: BTreeMap<Index, usize>,
    /// Keys changed after the oldest of them, with the entry that did it.
    recent: HashMap<ClaimKey, Change, KeyHash>,
    order: VecDeque<(Index, ClaimKey)>,
    /// Snapshots older than this were given up.
    forgotten: Index,
}

/// The last entries that changed what a key names.
#[derive(Clone, Copy, Default)]
struct Change {
    any: Index,
    /// Made or removed the key itself.
    of_key: Index,
}

impl Changed {
    pub(super) fn is_watched(&self) -> bool {
        !self.snapshots.is_empty()
    }

    pub(super) fn watch(&mut self, index: Index) {
        *self.snapshots.entry(index).or_default() += 1;
    }

    pub(super) fn unwatch(&mut self, index: Index) {
        if let Some(count) = self.snapshots.get_mut(&index) {
            *count -= 1;
            if *count == 0 {
                self.snapshots.remove(&index);
            }
        }
        match self.snapshots.keys().next().copied() {
            Some(oldest) => self.forget(oldest),
            None => {
                self.recent.clear();
                self.order.clear();
            }
        }
    }

    /// Did an entry after `index` change what a claim of this mode relies on?
    /// Also true when it cannot be known any more.
    pub(super) fn since(&self, key: ClaimKey, mode: Mode, index: Index) -> bool {
        let Some(change) = self.recent.get(&key) else {
            return index < self.forgotten;
        };
        let changed = match mode {
            Mode::KeyShare => change.of_key,
            _ => change.any,
        };
        index < self.forgotten || changed > index
    }

    pub(super) fn remember(&mut self, index: Index, keys: &[(ClaimKey, Mode)]) {
        for (key, mode) in keys.iter().filter(|(_, mode)| mode.writes()) {
            let change = self.recent.entry(*key).or_default();
            change.any = change.any.max(index);
            if mode.changes_key() {
                change.of_key = change.of_key.max(index);
            }
            self.order.push_back((index, *key));
        }
        while self.order.len() > RECENT_KEYS_MAX {
            if let Some((index, _)) = self.order.front() {
                self.forgotten = self.forgotten.max(*index);
                self.forget(self.forgotten);
            }
        }
    }

    /// Forgets changes up to an index.
    fn forget(&mut self, upto: Index) {
        while let Some((index, key)) = self.order.front().copied() {
            if index > upto {
                break;
            }
            self.order.pop_front();
            if self.recent.get(&key).is_some_and(|it| it.any == index) {
                self.recent.remove(&key);
            }
        }
    }
}
