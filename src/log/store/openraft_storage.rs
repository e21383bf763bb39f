//! The store as openraft's log storage. All writes go through one queue, in order.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogReader, StorageIOError};

use super::super::raft::{Entry, Group, LogId, StorageError, Vote};
use super::database::{Change, Key};
use super::writer::{Done, Job};
use super::{Store, encode, meta};

/// Bytes of entries in one message to a follower; one entry may be larger.
const REPLICATION_BYTES: usize = 4 << 20;

fn read_failed(message: String) -> StorageError {
    StorageIOError::read_logs(AnyError::error(message)).into()
}

fn write_failed(message: String) -> StorageError {
    StorageIOError::write_logs(AnyError::error(message)).into()
}

impl Store {
    /// The entries of a range that openraft may see, complete up to `limit` bytes.
    async fn visible(&self, from: u64, end: u64, limit: usize) -> Result<Vec<Entry>, StorageError> {
        let (first, last) = {
            let marks = self.0.marks.lock();
            let first = marks.purged.map_or(0, |purged| purged.index + 1);
            match marks.last {
                Some(last) if last.index >= first => (first.max(marks.begin), last.index),
                _ => return Ok(Vec::new()),
            }
        };
        let mut from = from.max(first);
        let to = end.saturating_sub(1).min(last);
        let mut found = Vec::new();
        while end > 0 && from <= to {
            let some = self.entries(from, to, limit).await.map_err(read_failed)?;
            from = some.last().map_or(from, |entry| entry.log_id.index + 1);
            found.extend(some);
            if limit < usize::MAX {
                break;
            }
        }
        Ok(found)
    }
}

impl RaftLogReader<Group> for Store {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.visible(from, end, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        self.visible(start, end, REPLICATION_BYTES).await
    }
}

impl RaftLogStorage<Group> for Store {
    type LogReader = Store;

    async fn get_log_state(&mut self) -> Result<LogState<Group>, StorageError> {
        let marks = self.0.marks.lock();
        Ok(LogState {
            last_purged_log_id: marks.purged,
            last_log_id: marks.last,
        })
    }

    async fn get_log_reader(&mut self) -> Store {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let failed = |message: String| {
            StorageError::from(StorageIOError::write_vote(AnyError::error(message)))
        };
        let change = meta(Key::Vote, vote).map_err(failed)?;
        self.write(vec![change]).await.map_err(failed)?;
        self.0.marks.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.0.marks.lock().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let mut marks = self.0.marks.lock();
        marks.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.0.marks.lock().committed)
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: LogFlushed<Group>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut changes = Vec::new();
        let mut appended = Vec::new();
        for entry in entries {
            if let openraft::EntryPayload::Normal(proposal) = &entry.payload {
                proposal.appended.set();
            }
            let bytes = encode(&entry).map_err(write_failed)?;
            let index = entry.log_id.index;
            appended.push((entry, bytes.len()));
            changes.push(Change::Put { index, bytes });
        }
        let Some(last) = appended.last().map(|(entry, _)| entry.log_id) else {
            callback.log_io_completed(Ok(()));
            return Ok(());
        };
        {
            let mut marks = self.0.marks.lock();
            let next = appended[0].0.log_id.index;
            if marks.last == marks.purged {
                marks.begin = next;
            }
            if marks.end != next {
                marks.first = next;
                changes.push(meta(Key::First, &next).map_err(write_failed)?);
            }
            marks.end = last.index + 1;
            marks.last = Some(last);
            if let Some(committed) = marks.committed_to_save() {
                changes.push(meta(Key::Committed, &committed).map_err(write_failed)?);
                marks.committed_stored = committed.index;
            }
        }
        {
            let mut tail = self.0.tail.lock();
            for (entry, bytes) in appended {
                tail.push(entry, bytes);
            }
        }
        let done = Done::Appended {
            flushed: callback,
            tail: self.0.tail.clone(),
            last: last.index,
        };
        self.0
            .writer
            .send(Job { changes, done })
            .map_err(|_| write_failed("the log is closed".to_owned()))?;
        self.0.appended.send_replace(last.index);
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let before = match since.index.checked_sub(1) {
            Some(before) => self.visible(before, since.index, usize::MAX).await?.pop(),
            None => None,
        };
        {
            let mut marks = self.0.marks.lock();
            marks.last = before.map(|entry| entry.log_id).or(marks.purged);
            marks.end = since.index;
        }
        self.0.tail.lock().truncate(since.index);
        let last = since.index.saturating_sub(1);
        self.0.appended.send_replace(last);
        let change = Change::Truncate { since: since.index };
        self.write(vec![change]).await.map_err(write_failed)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let purged = {
            let mut marks = self.0.marks.lock();
            marks.purged = marks.purged.max(Some(upto));
            marks.last = marks.last.max(marks.purged);
            marks.purged
        };
        let change = meta(Key::Purged, &purged).map_err(write_failed)?;
        self.write(vec![change]).await.map_err(write_failed)?;
        self.0.update_removal();
        Ok(())
    }
}
