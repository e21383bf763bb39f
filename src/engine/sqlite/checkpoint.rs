//! Moves the write-ahead log into the file and makes it durable, beside the
//! writer and never in its way.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::watch::Watch;
use super::{StorageError, file};

/// The log is moved into the file once this many pages have been written to
/// it: enough that pages written again and again are copied once.
const CHECKPOINT_PAGES: u64 = if cfg!(test) { 64 } else { 8192 };

/// A connection that only checkpoints.
pub struct Checkpointer {
    connection: Connection,
    watch: Arc<Watch>,
    /// How many pages of the log are known to be in the file.
    moved_pages: u64,
}

impl Checkpointer {
    pub fn open(path: &Path, watch: &Arc<Watch>) -> Result<Checkpointer, StorageError> {
        Ok(Checkpointer {
            connection: file::open_reader(path)?,
            watch: Arc::clone(watch),
            moved_pages: 0,
        })
    }

    /// Makes every commit so far survive a power loss. The log's file alone
    /// is synced: what was moved out of it before was synced then.
    pub fn make_durable(&self) -> Result<(), StorageError> {
        let synced = std::fs::File::open(self.watch.log_path()).and_then(|log| log.sync_data());
        synced.map_err(|error| StorageError::failed(format!("sync: {error}")))
    }

    /// Checkpoints if the log has grown enough; readers and the writer go on.
    pub fn run_if_due(&mut self) -> Result<(), StorageError> {
        let written = self.watch.log_pages();
        if written < self.moved_pages {
            // The writer has started the log anew.
            self.moved_pages = 0;
        }
        if written - self.moved_pages < CHECKPOINT_PAGES {
            return Ok(());
        }
        let connection = &self.connection;
        let moved: Option<i64> = self.watch.checkpoint(|| {
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            Ok(connection.query_row(sql, [], |row| row.get(2))?)
        })?;
        // Pages that a reader still needs stay for the next time.
        if let Some(moved) = moved {
            self.moved_pages = u64::try_from(moved).unwrap_or(0);
        }
        Ok(())
    }

    /// Moves all of the log into the file and empties it, before the process ends.
    pub fn finish(&mut self) -> Result<(), StorageError> {
        let connection = &self.connection;
        self.watch.checkpoint(|| {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            Ok(connection.query_row(sql, [], |_| Ok(()))?)
        })?;
        Ok(())
    }
}
