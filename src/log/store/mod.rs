//! The durable log: entries, vote, committed and purged marks, snapshot.
//!
//! Entries that openraft has purged stay readable for deliverers until the
//! log's own floor passes them; only then are they removed, a few at a time.
//! The committed mark is written with entries, now and then: it may lag after a
//! crash, and the next leader commits again what it lags by.
//!
//! Not handled: a disk that lies about fsync; a database file that is edited.

mod database;
mod openraft_storage;
mod tail;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use self::database::{Change, Key};
use self::tail::Tail;
use self::writer::{Done, Job, Removal};
use super::codec;
use super::raft::{Entry, LogId, SnapshotMeta, Vote};
use super::room::Room;
use crate::runtime::{DirectoryLock, Disk, Runtime, Worker};

/// The database's name in the log's directory.
const FILE: &str = "log.db";

/// The committed mark on disk lags by at most so many entries, and one append.
const COMMITTED_LAG: u64 = 64;

/// Is there a log in a directory? One that was emptied is none; it is not opened
/// to find out, for that would clear what lies beside it.
pub(super) fn is_there(disk: &Disk, directory: &Path) -> bool {
    disk.length(&directory.join(FILE)).is_ok_and(|it| it > 0)
}

/// Which log this is: the group it belongs to and the node that keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) group: uuid::Uuid,
    pub(super) node: u64,
}

/// A handle to the log on disk. Cheap to clone.
#[derive(Clone)]
pub(super) struct Store(Arc<Shared>);

struct Shared {
    runtime: Runtime,
    writer: Worker<Job>,
    reader: Arc<Mutex<Connection>>,
    tail: Arc<Mutex<Tail>>,
    marks: Mutex<Marks>,
    /// The last entry taken in, on disk or not.
    appended: watch::Sender<u64>,
    removal: Arc<Removal>,
    room: Arc<Room>,
}

/// Where the log stands.
#[derive(Clone, Debug)]
struct Marks {
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// The committed index on disk.
    committed_stored: u64,
    /// openraft knows no entry up to here.
    purged: Option<LogId>,
    /// The last entry, or `purged` when there is none behind it.
    last: Option<LogId>,
    /// The first entry that openraft appended behind `purged`, if any.
    begin: u64,
    /// The first entry that deliverers may still need.
    first: u64,
    /// Behind the last entry that is there, purged or not; all from `first` on are.
    end: u64,
}

impl Marks {
    /// The committed mark, if what is on disk lags far behind it.
    fn committed_to_save(&self) -> Option<LogId> {
        self.committed
            .filter(|id| id.index >= self.committed_stored + COMMITTED_LAG)
    }
}

impl Store {
    /// Opens the log in a directory, or makes one. `identity` is asked when
    /// there is none yet, and given the stored one to check otherwise.
    pub(super) async fn open(
        runtime: &Runtime,
        directory: &Path,
        identity: impl FnOnce(Option<Identity>) -> Result<Identity, String> + Send + 'static,
    ) -> Result<(Store, Identity), String> {
        let directory = directory.to_owned();
        let (seam, disk, place) = (runtime.clone(), runtime.disk(), directory.clone());
        let opened = runtime.blocking(move || open(&seam, &directory, identity));
        let opened = opened.await?;
        let removal = Arc::new(Removal {
            next: AtomicU64::new(opened.stored_first),
            end: AtomicU64::new(0),
        });
        let room = Arc::new(Room::new(disk, place));
        let writer = writer::start(
            runtime,
            opened.path,
            opened.connection,
            (removal.clone(), room.clone()),
            opened.lock,
        )?;
        let last = opened.marks.last.map_or(0, |id| id.index);
        let store = Store(Arc::new(Shared {
            runtime: runtime.clone(),
            writer,
            reader: Arc::new(Mutex::new(opened.reader)),
            tail: Arc::new(Mutex::new(Tail::new(last))),
            marks: Mutex::new(opened.marks),
            appended: watch::Sender::new(last),
            removal,
            room,
        }));
        store.0.update_removal();
        Ok((store, opened.identity))
    }

    /// How much may yet be written.
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.0.room
    }

    /// The first entry that is kept for deliverers.
    pub(super) fn first(&self) -> u64 {
        self.0.marks.lock().first
    }

    /// Behind the last entry that is there, purged by openraft or not.
    pub(super) fn end(&self) -> u64 {
        self.0.marks.lock().end
    }

    /// Deliverers need no entry before `first` any more.
    pub(super) async fn forget_before(&self, first: u64) -> Result<(), String> {
        {
            let mut marks = self.0.marks.lock();
            if first <= marks.first {
                return Ok(());
            }
            marks.first = first;
        }
        self.0.update_removal();
        self.write(vec![meta(Key::First, &first)?]).await
    }

    /// Entries `from..=to` in order, as far as `limit` bytes go but at least one.
    /// The caller knows that they exist: a missing one is damage.
    pub(super) async fn entries(
        &self,
        mut from: u64,
        to: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, String> {
        let mut found: Vec<Entry> = Vec::new();
        while from <= to && found.is_empty() {
            let in_memory = {
                let tail = self.0.tail.lock();
                (tail.range(from, to, limit), tail.first())
            };
            match in_memory {
                (Some(entries), _) if !entries.is_empty() => found = entries,
                (_, first) => {
                    let to = first.map_or(to, |first| to.min(first.saturating_sub(1)).max(from));
                    found = self.stored(from, to, limit).await?;
                }
            }
            from = found.last().map_or(from, |entry| entry.log_id.index + 1);
        }
        Ok(found)
    }

    async fn stored(&self, from: u64, to: u64, limit: usize) -> Result<Vec<Entry>, String> {
        let reader = self.0.reader.clone();
        let read = move || -> Result<Vec<Entry>, String> {
            let rows = database::entries(&reader.lock(), from, to, limit)
                .map_err(|error| format!("the log cannot be read: {error}"))?;
            let mut entries = Vec::with_capacity(rows.len());
            for (expected, (index, bytes)) in (from..).zip(rows) {
                if index != expected {
                    return Err(format!("the log has lost entry {expected}"));
                }
                entries.push(decode_entry(index, &bytes)?);
            }
            if entries.is_empty() {
                return Err(format!("the log has lost entry {from}"));
            }
            Ok(entries)
        };
        self.0.runtime.blocking(read).await
    }

    /// The entry behind which at most so many bytes of entries lie.
    pub(super) async fn bytes_after(&self, bytes: u64) -> Result<u64, String> {
        let reader = self.0.reader.clone();
        let read = move || database::bytes_after(&reader.lock(), bytes);
        let found = self.0.runtime.blocking(read).await;
        found.map_err(|error| format!("the log cannot be read: {error}"))
    }

    /// How many bytes the entries up to `to` take.
    pub(super) async fn size_up_to(&self, to: u64) -> Result<u64, String> {
        let reader = self.0.reader.clone();
        let from = self.first();
        let read = move || database::size(&reader.lock(), from, to);
        let found = self.0.runtime.blocking(read).await;
        found.map_err(|error| format!("the log cannot be read: {error}"))
    }

    /// Follows the last entry taken in. It may be replaced by another yet.
    pub(super) fn appended(&self) -> watch::Receiver<u64> {
        self.0.appended.subscribe()
    }

    /// Entries from `from` on as far as they are in memory, agreed on or not.
    pub(super) fn recent(&self, from: u64, limit: usize) -> Vec<Entry> {
        let tail = self.0.tail.lock();
        tail.range(from, u64::MAX, limit).unwrap_or_default()
    }

    /// One entry that is known to be there, read on the calling thread.
    pub(super) fn entry_now(&self, index: u64) -> Result<Entry, String> {
        let recent = self.0.tail.lock().range(index, index, 0);
        if let Some(entry) = recent.and_then(|entries| entries.into_iter().next()) {
            return Ok(entry);
        }
        let stored = database::entries(&self.0.reader.lock(), index, index, 0)
            .map_err(|error| format!("the log cannot be read: {error}"))?;
        match stored.get(&index) {
            Some(bytes) => decode_entry(index, bytes),
            None => Err(format!("the log has lost entry {index}")),
        }
    }

    /// Keeps the state machine's state as of `meta`.
    pub(super) async fn save_snapshot(
        &self,
        meta: &SnapshotMeta,
        state: Vec<u8>,
    ) -> Result<(), String> {
        let meta = encode(meta)?;
        self.write(vec![Change::Snapshot { meta, state }]).await
    }

    /// Takes over another node's snapshot with the entries behind its floor,
    /// which deliverers here may need; openraft then purges up to it.
    pub(super) async fn install(
        &self,
        snapshot: &SnapshotMeta,
        state: Vec<u8>,
        first: u64,
        entries: &[Entry],
    ) -> Result<(), String> {
        let mut changes = vec![
            Change::Snapshot {
                meta: encode(snapshot)?,
                state,
            },
            meta(Key::First, &first)?,
        ];
        for entry in entries {
            changes.push(Change::Put {
                index: entry.log_id.index,
                bytes: encode(entry)?,
            });
        }
        // What was here may have lost against what is now agreed.
        self.0.tail.lock().clear();
        self.write(changes).await?;
        let mut marks = self.0.marks.lock();
        marks.first = first;
        let end = snapshot.last_log_id.map_or(0, |id| id.index + 1);
        marks.end = marks.end.max(end);
        Ok(())
    }

    /// The stored snapshot: its meta and the encoded state.
    pub(super) async fn snapshot(&self) -> Result<Option<(SnapshotMeta, Vec<u8>)>, String> {
        let reader = self.0.reader.clone();
        let read = move || database::snapshot(&reader.lock());
        let found = self.0.runtime.blocking(read).await;
        match found.map_err(|error| format!("the snapshot cannot be read: {error}"))? {
            Some((meta, state)) => {
                let meta = codec::decode(&meta)
                    .map_err(|error| format!("the snapshot cannot be read: {error}"))?;
                Ok(Some((meta, state)))
            }
            None => Ok(None),
        }
    }

    /// Writes what is queued, closes the writer. Later writes fail.
    pub(super) async fn close(&self) {
        let moved = {
            let marks = self.0.marks.lock();
            let stored = marks.committed_stored;
            marks.committed.filter(|id| id.index > stored)
        };
        if let Some(committed) = moved
            && let Ok(change) = meta(Key::Committed, &committed)
        {
            let changes = vec![change];
            let done = Done::Nobody;
            let _ = self.0.writer.send(Job { changes, done });
        }
        self.0.writer.close(&self.0.runtime).await;
    }

    /// Makes changes and waits until they are on disk.
    async fn write(&self, changes: Vec<Change>) -> Result<(), String> {
        let (reply, written) = oneshot::channel();
        let done = Done::Reply(reply);
        let closed = || "the log is closed".to_owned();
        self.0
            .writer
            .send(Job { changes, done })
            .map_err(|_| closed())?;
        written.await.map_err(|_| closed())?
    }
}

impl Shared {
    /// Entries that neither openraft nor a deliverer needs may be removed.
    fn update_removal(&self) {
        let marks = self.marks.lock();
        let end = marks
            .purged
            .map_or(0, |purged| marks.first.min(purged.index + 1));
        self.removal.end.store(end, Ordering::Release);
    }
}

/// What opening found.
struct Opened {
    path: PathBuf,
    connection: Connection,
    reader: Connection,
    identity: Identity,
    marks: Marks,
    /// The first entry on disk: those before the marks are yet to be removed.
    stored_first: u64,
    lock: DirectoryLock,
}

fn open(
    runtime: &Runtime,
    directory: &Path,
    identity: impl FnOnce(Option<Identity>) -> Result<Identity, String>,
) -> Result<Opened, String> {
    let disk = runtime.disk();
    let failed = |error: std::io::Error| format!("the log cannot be opened: {error}");
    disk.create_directory(directory).map_err(failed)?;
    let lock = disk.lock(directory).map_err(failed)?;
    let path = directory.join(FILE);
    let connection = database::open(&path)?;
    let reader = database::connect_again(&path)?;
    let stored: Option<Identity> = database::meta(&connection, Key::Identity)?;
    let identity = identity(stored)?;
    if stored.is_none() {
        let change = meta(Key::Identity, &identity)?;
        database::write(&connection, [change].iter(), None)
            .map_err(|error| format!("the log cannot be written: {error}"))?;
        disk.sync_parent(&path).map_err(failed)?;
    }
    let (marks, stored_first) = load(&connection)?;
    Ok(Opened {
        path,
        connection,
        reader,
        identity,
        marks,
        stored_first,
        lock,
    })
}

/// Reads the marks and checks that the entries they speak of are there.
fn load(connection: &Connection) -> Result<(Marks, u64), String> {
    let purged: Option<LogId> = database::meta(connection, Key::Purged)?;
    let committed: Option<LogId> = database::meta(connection, Key::Committed)?;
    let first: u64 = database::meta(connection, Key::First)?.unwrap_or(0);
    let range = database::range(connection)?;
    let needed = purged.map_or(0, |purged| purged.index + 1);
    let last = match range {
        Some((_, last)) if last >= needed => {
            let row = database::entries(connection, last, last, usize::MAX)
                .map_err(|error| format!("the log cannot be read: {error}"))?;
            let bytes = row
                .get(&last)
                .ok_or_else(|| format!("the log has lost entry {last}"))?;
            Some(decode_entry(last, bytes)?.log_id)
        }
        _ => purged,
    };
    let stored_first = range.map_or(needed, |(first, _)| first);
    let begins_late = |(first, last)| purged.is_some() && last >= needed && first > needed;
    if range.is_some_and(begins_late) || range.is_some_and(|(found, _)| found > first) {
        return Err(format!("the log has lost entry {needed}"));
    }
    let snapshot = database::snapshot(connection)
        .map_err(|error| format!("the snapshot cannot be read: {error}"))?;
    let covered = match &snapshot {
        Some((meta, _)) => {
            codec::decode::<SnapshotMeta>(meta)
                .map_err(|error| format!("the snapshot cannot be read: {error}"))?
                .last_log_id
        }
        None => None,
    };
    if covered < purged {
        return Err("the log has lost its snapshot".to_owned());
    }
    if committed > last.max(covered) {
        let index = committed.map_or(0, |id| id.index);
        return Err(format!(
            "the log has lost entries: entry {index} was committed and is not there"
        ));
    }
    let marks = Marks {
        vote: database::meta(connection, Key::Vote)?,
        committed,
        committed_stored: committed.map_or(0, |id| id.index),
        purged,
        last,
        begin: stored_first.max(needed),
        first,
        end: range.map_or(first, |(_, last)| last + 1),
    };
    Ok((marks, stored_first))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    codec::encode(value).map_err(|error| error.to_string())
}

fn decode_entry(index: u64, bytes: &[u8]) -> Result<Entry, String> {
    let entry: Entry = codec::decode(bytes)
        .map_err(|error| format!("the log's entry {index} cannot be read: {error}"))?;
    if entry.log_id.index != index {
        return Err(format!(
            "the log's entry {index} says that it is entry {}",
            entry.log_id.index
        ));
    }
    Ok(entry)
}

fn meta<T: Serialize>(key: Key, value: &T) -> Result<Change, String> {
    Ok(Change::Meta {
        key,
        bytes: encode(value)?,
    })
}

#[cfg(test)]
pub(super) mod tests;
