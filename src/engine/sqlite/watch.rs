//! Notices what others do to a replica's file: writes through another
//! connection, replacement, deletion, truncation.
//!
//! Only our writer commits and only our own checkpoints write the main file,
//! so whatever else moves is foreign. A checkpoint therefore runs through the
//! watch and leaves new marks.
//!
//! Not noticed here: an edit that keeps size and modification time. The table
//! hashes find it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::StorageError;
use super::file::beside;

/// What was last seen of the file and its log.
pub struct Watch {
    database: PathBuf,
    log: PathBuf,
    /// Pages in the write-ahead log, as the writer's last commit left it.
    log_pages: AtomicU64,
    seen: Mutex<Seen>,
}

struct Seen {
    database: Option<Mark>,
    log: Option<Mark>,
    /// `None`: whatever is found next is taken for ours.
    data_version: Option<i64>,
    /// A checkpoint of ours is writing the main file.
    checkpointing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Mark {
    fn of(path: &Path) -> Result<Option<Mark>, StorageError> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Mark::from(&metadata))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::failed(format!("stat: {error}"))),
        }
    }

    fn same_file(&self, other: &Mark) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

impl From<&Metadata> for Mark {
    fn from(metadata: &Metadata) -> Mark {
        Mark {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Watch {
    /// Starts from what is there now; the connection must have read once, so
    /// that the write-ahead log exists.
    pub fn start(database: &Path, connection: &Connection) -> Result<Watch, StorageError> {
        let log = beside(database, "-wal");
        let seen = Seen {
            database: Mark::of(database)?,
            log: Mark::of(&log)?,
            data_version: Some(data_version(connection)?),
            checkpointing: false,
        };
        Ok(Watch {
            database: database.to_owned(),
            log,
            log_pages: AtomicU64::new(0),
            seen: Mutex::new(seen),
        })
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    pub fn log_pages(&self) -> u64 {
        self.log_pages.load(Ordering::Relaxed)
    }

    pub(super) fn committed(&self, log_pages: u64) {
        self.log_pages.store(log_pages, Ordering::Relaxed);
    }

    /// Runs a checkpoint of ours, whose writes are no one else's; `None` while
    /// another one runs.
    pub fn checkpoint<T>(
        &self,
        run: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        {
            let mut seen = self.seen.lock();
            if seen.checkpointing {
                return Ok(None);
            }
            self.check_files(&mut seen)?;
            seen.checkpointing = true;
        }
        let result = run();
        let mut seen = self.seen.lock();
        seen.checkpointing = false;
        match Mark::of(&self.database) {
            // A file put in our place meanwhile stays unknown, for the next check to find.
            Ok(Some(found)) if seen.database.is_some_and(|known| known.same_file(&found)) => {
                seen.database = Some(found);
            }
            _ => {}
        }
        result.map(Some)
    }

    /// Whether the path still leads to the file that was opened.
    pub fn is_in_place(&self) -> bool {
        let seen = self.seen.lock();
        match (seen.database, Mark::of(&self.database)) {
            (Some(known), Ok(Some(found))) => found.same_file(&known) && found.size >= known.size,
            _ => false,
        }
    }

    /// Fails with [`StorageError::Tampered`] if anything moved that we did not
    /// move. `connection` is the writer's.
    pub fn check(&self, connection: &Connection) -> Result<(), StorageError> {
        let mut seen = self.seen.lock();
        self.check_files(&mut seen)?;
        let found = data_version(connection)?;
        match *seen.data_version.get_or_insert(found) {
            known if known == found => Ok(()),
            _ => tampered("another program wrote to the file"),
        }
    }

    /// A failure of the writer's connection makes it count as if another had
    /// written. What really wrote in that moment the table hashes find.
    pub(super) fn after_failure(&self, connection: &Connection) {
        self.seen.lock().data_version = data_version(connection).ok();
    }

    fn check_files(&self, seen: &mut Seen) -> Result<(), StorageError> {
        let Some(found) = Mark::of(&self.database)? else {
            return tampered("the file was deleted");
        };
        if let Some(known) = seen.database {
            if !found.same_file(&known) {
                return tampered("the file was replaced");
            }
            if found.size < known.size {
                return tampered("the file was truncated");
            }
            if found != known && !seen.checkpointing {
                return tampered("the file was written to");
            }
        }
        let log = Mark::of(&self.log)?;
        match (seen.log, log) {
            (Some(_), None) => return tampered("the write-ahead log was deleted"),
            (Some(known), Some(found)) if !found.same_file(&known) => {
                return tampered("the write-ahead log was replaced");
            }
            (Some(known), Some(found)) if found.size < known.size => {
                return tampered("the write-ahead log was truncated");
            }
            _ => seen.log = log,
        }
        Ok(())
    }
}

fn tampered<T>(what: &str) -> Result<T, StorageError> {
    Err(StorageError::Tampered(what.to_owned()))
}

/// Changes when another connection has committed to the database.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
