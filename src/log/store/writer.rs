//! The thread that writes the log: one transaction, and one fsync, for all
//! jobs that have gathered; entries that nobody needs go a few at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::storage::LogFlushed;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::raft::Group;
use super::super::room::Room;
use super::database::{self, Change};
use super::tail::Tail;
use crate::runtime::{DirectoryLock, Next, Runtime, Worker};

/// Entries removed in one transaction.
const REMOVE_AT_ONCE: u64 = 256;

/// The pause between removals when nothing else is written.
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// Bytes written after which the WAL is copied into the database file.
const CHECKPOINT_BYTES: u64 = 8 << 20;

/// A WAL of this size is restarted even though the writer waits for it, so
/// that it cannot grow for ever under constant load.
const RESTART_BYTES: u64 = 16 << 20;

/// Changes that become durable together.
pub(super) struct Job {
    pub(super) changes: Vec<Change>,
    pub(super) done: Done,
}

/// Whom to tell that a job is on disk.
pub(super) enum Done {
    Nobody,
    /// Entries up to `last`, which the tail may then let go.
    Appended {
        flushed: LogFlushed<Group>,
        tail: Arc<Mutex<Tail>>,
        last: u64,
    },
    Reply(oneshot::Sender<Result<(), String>>),
}

impl Done {
    fn tell(self, result: &Result<(), String>) {
        match self {
            Done::Nobody => {}
            Done::Appended {
                flushed,
                tail,
                last,
            } => {
                if result.is_ok() {
                    tail.lock().flushed(last);
                }
                flushed.log_io_completed(result.clone().map_err(std::io::Error::other));
            }
            // Who asked may have gone.
            Done::Reply(reply) => drop(reply.send(result.clone())),
        }
    }
}

/// Entries from `next` to before `end` are on disk and needed by nobody.
pub(super) struct Removal {
    pub(super) next: AtomicU64,
    pub(super) end: AtomicU64,
}

pub(super) fn start(
    runtime: &Runtime,
    path: PathBuf,
    connection: Connection,
    (removal, room): (Arc<Removal>, Arc<Room>),
    lock: DirectoryLock,
) -> Result<Worker<Job>, String> {
    let checkpointer = start_checkpointer(runtime, path)?;
    let mut writer = Writer {
        connection,
        removal,
        room,
        checkpointer,
        unchecked: 0,
        broken: None,
        _lock: lock,
    };
    let started = runtime.worker("pyql-log", move |jobs| writer.run(jobs));
    started.map_err(|error| format!("the log's writer cannot start: {error}"))
}

struct Writer {
    connection: Connection,
    removal: Arc<Removal>,
    room: Arc<Room>,
    checkpointer: Worker<()>,
    /// Bytes written since the last checkpoint was asked for.
    unchecked: u64,
    /// The first failure. A log that failed to write once writes no more: the
    /// system may have dropped pages that a later fsync would call durable.
    broken: Option<String>,
    /// Nobody else opens the log before its last write is done.
    _lock: DirectoryLock,
}

impl Writer {
    fn run(&mut self, jobs: Vec<Job>) -> Next {
        let removal = self.next_removal();
        if !jobs.is_empty() || removal.is_some() {
            let result = self.write(&jobs, removal);
            for job in jobs {
                job.done.tell(&result);
            }
        }
        if self.broken.is_none() && self.next_removal().is_some() {
            Next::JobOrAfter(REMOVE_PAUSE)
        } else {
            Next::Job
        }
    }

    fn next_removal(&self) -> Option<(u64, u64)> {
        let next = self.removal.next.load(Ordering::Acquire);
        let end = self.removal.end.load(Ordering::Acquire);
        let end = end.min(next + REMOVE_AT_ONCE);
        (end > next).then_some((next, end))
    }

    fn write(&mut self, jobs: &[Job], removal: Option<(u64, u64)>) -> Result<(), String> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let written = loop {
            let changes = jobs.iter().flat_map(|job| &job.changes);
            match database::write(&self.connection, changes, removal) {
                // Nothing of it is there, and no sync was asked for.
                Err(error) if is_full(&error) && self.room.give_up() => {}
                written => break written,
            }
        };
        if let Err(error) = written {
            let message = format!("the log cannot be written: {error}");
            tracing::error!("{message}");
            self.broken = Some(message.clone());
            return Err(message);
        }
        if let Some((_, end)) = removal {
            self.removal.next.store(end, Ordering::Release);
        }
        let changes = jobs.iter().flat_map(|job| &job.changes);
        self.unchecked += changes.map(size).sum::<u64>();
        if self.unchecked >= CHECKPOINT_BYTES {
            self.unchecked = 0;
            // Only ends with the writer.
            let _ = self.checkpointer.send(());
        }
        Ok(())
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

fn size(change: &Change) -> u64 {
    match change {
        Change::Put { bytes, .. } | Change::Meta { bytes, .. } => bytes.len() as u64,
        Change::Snapshot { meta, state } => (meta.len() + state.len()) as u64,
        Change::Truncate { .. } => 0,
    }
}

/// Copies the WAL into the database file beside the writer.
fn start_checkpointer(runtime: &Runtime, path: PathBuf) -> Result<Worker<()>, String> {
    let connection = database::connect_again(&path)?;
    let wal = path.with_extension("db-wal");
    let disk = runtime.disk();
    let run = move |_: Vec<()>| {
        let long = disk.length(&wal).is_ok_and(|bytes| bytes > RESTART_BYTES);
        let passive = database::checkpoint(&connection, false);
        let done = match passive {
            Ok(()) if long => database::checkpoint(&connection, true),
            other => other,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the log's WAL was not copied");
        }
        Next::Job
    };
    let started = runtime.worker("pyql-log-wal", run);
    started.map_err(|error| format!("the log's checkpointer cannot start: {error}"))
}
