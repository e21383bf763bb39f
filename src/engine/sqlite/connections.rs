//! Connections that read a replica's file, and what bounds a query on them.
//!
//! A [`ReadConnection`] sees one snapshot at a time: that of the statement
//! which reads the position, kept open while the query runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::query::{self, Failure};
use crate::types::id::{Index, SchemaVersion};

/// Steps of SQLite's machine between two looks at the budget: about 20 µs.
const STEPS_PER_TICK: i32 = 1_000;

/// Idle connections kept; more come and go under load.
const MAX_IDLE: usize = 32;

/// Open connections of one replica, idle ones included.
const MAX_CONNECTIONS: usize = 256;

/// A reader waits for nobody in WAL mode, except while the file is recovered.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Page cache of one connection, in KiB.
const CACHE_KIB: i64 = 8_192;

/// The position that a snapshot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub applied: Index,
    pub schema: SchemaVersion,
}

pub struct ReadConnection {
    connection: Connection,
    bound: Arc<Bound>,
}

/// What stops a query on a connection.
struct Bound {
    /// Ticks left; the largest number means no limit.
    ticks: AtomicUsize,
    stop: Mutex<Option<Stop>>,
}

/// Asked at every tick: true stops the query.
pub(super) type Stop = Box<dyn Fn() -> bool + Send>;

impl Bound {
    /// Called every tick; true stops the query.
    fn is_spent(&self) -> bool {
        let stopped = self.stop.lock().as_ref().is_some_and(|stop| stop());
        let ticks = self.ticks.load(Ordering::Relaxed);
        if ticks != usize::MAX {
            self.ticks.store(ticks.saturating_sub(1), Ordering::Relaxed);
        }
        stopped || ticks == 0
    }
}

impl ReadConnection {
    /// Opens an existing replica's file for reading.
    pub fn open(path: &Path) -> rusqlite::Result<ReadConnection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // The last one to close must not checkpoint: that is the writer's.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // A large sort spills: one query must not take all memory.
        connection.pragma_update(None, "temp_store", "FILE")?;
        query::prepare_connection(&connection)?;
        let bound = Arc::new(Bound {
            ticks: AtomicUsize::new(usize::MAX),
            stop: Mutex::new(None),
        });
        let watched = bound.clone();
        connection.progress_handler(STEPS_PER_TICK, Some(move || watched.is_spent()))?;
        Ok(ReadConnection { connection, bound })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sets what stops the following queries; `None` is no limit of ticks.
    pub(super) fn limit(&self, ticks: Option<usize>, stop: Option<Stop>) {
        let ticks = ticks.unwrap_or(usize::MAX);
        self.bound.ticks.store(ticks, Ordering::Relaxed);
        *self.bound.stop.lock() = stop;
    }

    /// Runs `body` on one snapshot and tells it where that stands.
    pub(super) fn on_snapshot<T>(
        &self,
        body: impl FnOnce(Snapshot) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let database = |error: rusqlite::Error| Failure::Database(error.to_string());
        let mut statement = self
            .connection
            .prepare_cached("SELECT applied, schema_version FROM main._pyql_position WHERE id = 0")
            .map_err(database)?;
        let mut rows = statement.query([]).map_err(database)?;
        let row = rows.next().map_err(database)?;
        let row = row.ok_or_else(|| Failure::Database("the position is missing".to_owned()))?;
        let number = |place| row.get::<_, i64>(place).map(|n| n as u64).map_err(database);
        let snapshot = Snapshot {
            applied: Index(number(0)?),
            schema: SchemaVersion(number(1)?),
        };
        // The statement stays unfinished, which holds its snapshot for `body`.
        body(snapshot)
    }

    /// Begins a transaction that stays open until the connection is closed.
    pub(super) fn hold(&self) -> Result<Snapshot, Failure> {
        let database = |error: rusqlite::Error| Failure::Database(error.to_string());
        self.connection.execute_batch("BEGIN").map_err(database)?;
        self.on_snapshot(Ok)
    }
}

/// The connections of one replica.
pub struct Connections {
    path: PathBuf,
    idle: Mutex<Vec<ReadConnection>>,
    open: AtomicUsize,
    /// Counts the files that have stood at the path.
    file: AtomicUsize,
}

/// A connection borrowed from [`Connections`].
pub struct Borrowed {
    connection: Option<ReadConnection>,
    home: Arc<Connections>,
    file: usize,
}

impl Connections {
    pub fn new(path: PathBuf) -> Arc<Connections> {
        Arc::new(Connections {
            path,
            idle: Mutex::new(Vec::new()),
            open: AtomicUsize::new(0),
            file: AtomicUsize::new(0),
        })
    }

    /// An idle connection, or a new one.
    pub fn borrow(self: &Arc<Connections>) -> Result<Borrowed, Failure> {
        let (file, idle) = {
            let mut idle = self.idle.lock();
            (self.file.load(Ordering::Acquire), idle.pop())
        };
        let connection = match idle {
            Some(connection) => connection,
            None => {
                if self.open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                    return Err(Failure::Database(
                        "too many readers of the replica".to_owned(),
                    ));
                }
                ReadConnection::open(&self.path).map_err(|error| {
                    self.open.fetch_sub(1, Ordering::Relaxed);
                    Failure::Database(error.to_string())
                })?
            }
        };
        Ok(Borrowed {
            connection: Some(connection),
            home: self.clone(),
            file,
        })
    }

    /// Another file stands at the path now: closes idle connections to the
    /// old one; borrowed ones are closed when they come back.
    pub fn file_changed(&self) {
        let closed = {
            let mut idle = self.idle.lock();
            // Under the lock: an idle connection always belongs to the current file.
            self.file.fetch_add(1, Ordering::AcqRel);
            std::mem::take(&mut *idle)
        };
        self.open.fetch_sub(closed.len(), Ordering::Relaxed);
    }
}

impl Borrowed {
    /// Closes the connection instead of giving it back: it failed or holds a transaction.
    pub fn discard(mut self) {
        if self.connection.take().is_some() {
            self.home.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl std::ops::Deref for Borrowed {
    type Target = ReadConnection;

    fn deref(&self) -> &ReadConnection {
        self.connection
            .as_ref()
            .expect("taken only by discard and drop, which consume it")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        connection.limit(None, None);
        let mut idle = self.home.idle.lock();
        let current = self.file == self.home.file.load(Ordering::Acquire);
        if current && idle.len() < MAX_IDLE && connection.connection.is_autocommit() {
            idle.push(connection);
        } else {
            self.home.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
