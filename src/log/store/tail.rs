//! The recent entries, in memory: what replication and delivery mostly read.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::command::Command;
use super::super::raft::Entry;

/// Bytes of entries that are kept in memory; more only while they are not on disk yet.
const TAIL_BYTES: usize = 32 << 20;

/// Consecutive entries that end with the log's last.
#[derive(Default)]
pub(super) struct Tail {
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
    /// Entries up to here are on disk; later ones must stay.
    flushed: u64,
}

impl Tail {
    /// Starts after what is on disk.
    pub(super) fn new(last: u64) -> Tail {
        Tail {
            flushed: last,
            ..Tail::default()
        }
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(|(entry, _)| entry.log_id.index)
    }

    /// Adds the next entry; one that does not follow on starts the tail anew.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        let follows = self
            .entries
            .back()
            .is_none_or(|(last, _)| last.log_id.index + 1 == entry.log_id.index);
        if !follows {
            self.clear();
        }
        let bytes = bytes * copies(&entry);
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
    }

    /// Entries up to here are on disk: older ones may go.
    pub(super) fn flushed(&mut self, index: u64) {
        self.flushed = self.flushed.max(index);
        while self.bytes > TAIL_BYTES {
            match self.entries.front() {
                Some((entry, bytes)) if entry.log_id.index <= self.flushed => {
                    self.bytes -= bytes;
                    self.entries.pop_front();
                }
                _ => break,
            }
        }
    }

    pub(super) fn truncate(&mut self, since: u64) {
        while let Some((entry, bytes)) = self.entries.back() {
            if entry.log_id.index < since {
                break;
            }
            self.bytes -= bytes;
            self.entries.pop_back();
        }
        self.flushed = self.flushed.min(since.saturating_sub(1));
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Entries `from..=to` if the tail reaches back to `from`, up to `limit` bytes but at least one.
    pub(super) fn range(&self, from: u64, to: u64, limit: usize) -> Option<Vec<Entry>> {
        let first = self.first()?;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let mut size = 0;
        let mut found = Vec::new();
        for (entry, bytes) in self.entries.iter().skip(skip) {
            size += bytes;
            if entry.log_id.index > to || (size > limit && !found.is_empty()) {
                break;
            }
            found.push(entry.clone());
        }
        Some(found)
    }
}

/// How often an entry's bytes are in memory: a piece is bytes twice over, as
/// its content and as it was encoded.
fn copies(entry: &Entry) -> usize {
    match super::super::state_machine::command(entry).map(Arc::as_ref) {
        Some(Command::Piece(_)) => 2,
        _ => 1,
    }
}
