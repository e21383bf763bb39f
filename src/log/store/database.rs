//! The log's own SQLite database: tables, statements, and what is checked at opening.
//!
//! WAL with `synchronous=FULL`: a commit is on disk when it returns. The
//! writer never checkpoints; see [`super::writer`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::super::codec;
use crate::engine::sqlite::gather;

/// Marks our files: `PRAGMA application_id`.
const APPLICATION_ID: i32 = 0x7079_716c;

/// The layout of the tables: `PRAGMA user_version`.
const LAYOUT_VERSION: i32 = 1;

/// How long a connection waits for another of this process (the checkpointer).
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Pages that SQLite keeps in memory per connection, in KiB (negative: not pages).
const CACHE_KIB: i32 = -8192;

/// One change of the database. A job's changes are in one transaction.
#[derive(Debug)]
pub(super) enum Change {
    Put {
        index: u64,
        bytes: Vec<u8>,
    },
    Meta {
        key: Key,
        bytes: Vec<u8>,
    },
    /// Removes the entries from this index on.
    Truncate {
        since: u64,
    },
    Snapshot {
        meta: Vec<u8>,
        state: Vec<u8>,
    },
}

/// The singletons that are kept beside the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Identity,
    Vote,
    Committed,
    Purged,
    /// The first entry that deliverers may still need.
    First,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Key::Identity => "identity",
            Key::Vote => "vote",
            Key::Committed => "committed",
            Key::Purged => "purged",
            Key::First => "first",
        }
    }
}

/// Opens the log for writing; makes the tables of a new one. The message of
/// an error tells an operator what is wrong with the file.
pub(super) fn open(path: &Path) -> Result<Connection, String> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let failed = |error: rusqlite::Error| format!("the log cannot be opened: {error}");
    let number = |pragma: &str| {
        let get = |row: &rusqlite::Row<'_>| row.get::<_, i32>(0);
        connection.query_row(&format!("PRAGMA {pragma}"), [], get)
    };
    let application = number("application_id").map_err(failed)?;
    let version = number("user_version").map_err(failed)?;
    let objects: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    match (application, version, objects) {
        (0, 0, 0) => create(&connection).map_err(failed)?,
        (APPLICATION_ID, LAYOUT_VERSION, _) => {}
        (APPLICATION_ID, other, _) => {
            return Err(format!(
                "the log has layout version {other}: this program knows version {LAYOUT_VERSION}"
            ));
        }
        _ => return Err("the log's file is not a log of pyql".to_owned()),
    }
    Ok(connection)
}

/// A second connection, for readers and for the checkpointer.
pub(super) fn connect_again(path: &Path) -> Result<Connection, String> {
    connect(path, OpenFlags::empty())
}

fn connect(path: &Path, extra: OpenFlags) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | extra;
    gather::register().map_err(|error| format!("the log cannot be opened: {error}"))?;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags_and_vfs(path, flags, gather::NAME)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Makes a commit's sync a real one; see `gather`.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    };
    open().map_err(|error| format!("the log cannot be opened: {error}"))
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
         CREATE TABLE meta (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
         CREATE TABLE snapshot (
             id INTEGER PRIMARY KEY CHECK (id = 1), meta BLOB NOT NULL, state BLOB NOT NULL);
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {LAYOUT_VERSION};
         COMMIT;"
    ))
}

/// Makes the changes of several jobs, and removes a few entries that nobody
/// needs any more, in one transaction.
pub(super) fn write<'a>(
    connection: &Connection,
    changes: impl Iterator<Item = &'a Change>,
    removed: Option<(u64, u64)>,
) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = make_all(connection, changes, removed)
        .and_then(|()| connection.prepare_cached("COMMIT")?.execute([]));
    match done {
        Ok(_) => Ok(()),
        Err(error) => {
            // The first error is what matters; nothing is written after it.
            let _ = connection.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

fn make_all<'a>(
    connection: &Connection,
    changes: impl Iterator<Item = &'a Change>,
    removed: Option<(u64, u64)>,
) -> rusqlite::Result<()> {
    for change in changes {
        make(connection, change)?;
    }
    if let Some((from, end)) = removed {
        connection
            .prepare_cached("DELETE FROM entries WHERE idx >= ?1 AND idx < ?2")?
            .execute(params![from as i64, end as i64])?;
    }
    Ok(())
}

fn make(connection: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Put { index, bytes } => connection
            .prepare_cached("INSERT OR REPLACE INTO entries (idx, data) VALUES (?1, ?2)")?
            .execute(params![*index as i64, bytes])?,
        Change::Meta { key, bytes } => connection
            .prepare_cached("INSERT OR REPLACE INTO meta (name, data) VALUES (?1, ?2)")?
            .execute(params![key.name(), bytes])?,
        Change::Truncate { since } => connection
            .prepare_cached("DELETE FROM entries WHERE idx >= ?1")?
            .execute(params![*since as i64])?,
        Change::Snapshot { meta, state } => connection
            .prepare_cached("INSERT OR REPLACE INTO snapshot (id, meta, state) VALUES (1, ?1, ?2)")?
            .execute(params![meta, state])?,
    };
    Ok(())
}

/// Reads a singleton. Its bytes were checked by the codec.
pub(super) fn meta<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    key: Key,
) -> Result<Option<T>, String> {
    let bytes: Option<Vec<u8>> = connection
        .prepare_cached("SELECT data FROM meta WHERE name = ?1")
        .and_then(|mut statement| {
            statement
                .query_row([key.name()], |row| row.get(0))
                .optional()
        })
        .map_err(|error| format!("the log's {} cannot be read: {error}", key.name()))?;
    bytes
        .map(|bytes| codec::decode(&bytes))
        .transpose()
        .map_err(|error| format!("the log's {} cannot be read: {error}", key.name()))
}

/// The first and last index stored, if any.
pub(super) fn range(connection: &Connection) -> Result<Option<(u64, u64)>, String> {
    let ends: (Option<i64>, Option<i64>) = connection
        .query_row(
            "SELECT (SELECT min(idx) FROM entries), (SELECT max(idx) FROM entries)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(|error| format!("the log cannot be read: {error}"))?;
    match ends {
        (Some(first), Some(last)) => match (u64::try_from(first), u64::try_from(last)) {
            (Ok(first), Ok(last)) => Ok(Some((first, last))),
            _ => Err("the log holds an entry with a negative index".to_owned()),
        },
        _ => Ok(None),
    }
}

/// The stored bytes of entries `from..=to`, up to `limit` bytes but at least one.
pub(super) fn entries(
    connection: &Connection,
    from: u64,
    to: u64,
    limit: usize,
) -> rusqlite::Result<BTreeMap<u64, Vec<u8>>> {
    let mut statement = connection
        .prepare_cached("SELECT idx, data FROM entries WHERE idx BETWEEN ?1 AND ?2 ORDER BY idx")?;
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![from as i64, to])?;
    let mut found = BTreeMap::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let bytes: Vec<u8> = row.get(1)?;
        size += bytes.len();
        if size > limit && !found.is_empty() {
            break;
        }
        found.insert(row.get::<_, i64>(0)? as u64, bytes);
    }
    Ok(found)
}

/// The entry behind which at most so many bytes of entries lie. Their lengths
/// are read, not the entries.
pub(super) fn bytes_after(connection: &Connection, bytes: u64) -> rusqlite::Result<u64> {
    let mut statement =
        connection.prepare_cached("SELECT idx, length(data) FROM entries ORDER BY idx DESC")?;
    let mut rows = statement.query([])?;
    let mut sum = 0_u64;
    while let Some(row) = rows.next()? {
        let length: i64 = row.get(1)?;
        sum = sum.saturating_add(length.unsigned_abs());
        if sum > bytes {
            return Ok(row.get::<_, i64>(0)? as u64);
        }
    }
    Ok(0)
}

/// How many bytes these entries take.
pub(super) fn size(connection: &Connection, from: u64, to: u64) -> rusqlite::Result<u64> {
    let sum = "SELECT coalesce(sum(length(data)), 0) FROM entries WHERE idx BETWEEN ?1 AND ?2";
    let to = i64::try_from(to).unwrap_or(i64::MAX);
    connection
        .prepare_cached(sum)?
        .query_row(params![from as i64, to], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Meta and state of the stored snapshot.
pub(super) fn snapshot(connection: &Connection) -> rusqlite::Result<Option<(Vec<u8>, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT meta, state FROM snapshot WHERE id = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Copies the WAL into the database file without waiting for anyone; with
/// `restart`, makes the writer wait so that the WAL starts from its beginning.
pub(super) fn checkpoint(connection: &Connection, restart: bool) -> rusqlite::Result<()> {
    let mode = if restart { "RESTART" } else { "PASSIVE" };
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}
