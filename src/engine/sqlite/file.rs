//! How a connection to a replica's file is set up, whoever opens it.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{StorageError, collations};

/// The file beside a database's whose name goes on so; SQLite's own are
/// `-wal` and `-shm`.
pub fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// What every connection to a replica's file needs: nothing mapped (a
/// truncated file would end the process), nothing deleted at close (the path
/// may by then belong to another file), our collations.
pub(super) fn prepare(connection: &Connection) -> Result<(), StorageError> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // A quoted name that is no column is an error, never a string.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    use_log(connection)?;
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0; \
         PRAGMA mmap_size = 0; PRAGMA busy_timeout = 2000;",
    )?;
    collations::register(connection)?;
    Ok(())
}

/// Opens a replica's file for a reader that is not one of the pool.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StorageError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON")?;
    Ok(connection)
}

/// Sees to it that there is a write-ahead log: the change is made, and may
/// fail, only after the pragma has told of it.
fn use_log(connection: &Connection) -> Result<(), StorageError> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    match mode.as_str() {
        "wal" => Ok(()),
        other => Err(StorageError::failed(format!("its journal stays {other}"))),
    }
}
