//! Copies of a whole file: out of a snapshot, and in, in place of what is there.
//!
//! The pages are copied as they are, so both sides are SQLite of one version.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::background::Pace;
use super::file::beside;
use super::position::{self, Standing};
use super::{StorageError, file};
use crate::catalog::schema::Schema;

/// Pages copied in one step: a few milliseconds.
const STEP_PAGES: i32 = 256;

/// What is copied is synced after so many steps.
const SYNC_STEPS: u32 = 8;

/// The share of one thread's time that a copy takes, at low priority.
const COPY_SHARE: f64 = 0.5;

/// What the names of copies go on with after the file's own.
const COPY_SUFFIX: &str = ".copy-";

/// Writes a copy of the file at its applied index to `target`, which must not
/// exist. It takes its time, and tells how far it is: rows done, of how many.
pub fn copy_out(
    path: &Path,
    target: &Path,
    tell: &dyn Fn(u64, u64),
) -> Result<(Standing, Arc<Schema>), StorageError> {
    let source = file::open_reader(path)?;
    source.execute_batch("BEGIN")?;
    // The first read opens the snapshot that the backup then copies.
    let standing = position::load(&source)?;
    let schema = position::load_schema(&source)?;
    let rows = count_rows(&source, &schema)?;
    tell(0, rows);
    let mut copy = Connection::open(target)?;
    // Until it is whole and synced, a copy is worth nothing.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let file = std::fs::File::open(target).map_err(io)?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        let mut pace = Pace::of_share(COPY_SHARE);
        let mut steps = 0_u32;
        loop {
            match backup.step(STEP_PAGES)? {
                StepResult::Done => break,
                StepResult::More => {}
                other => return Err(StorageError::failed(format!("the copy ended as {other:?}"))),
            }
            let progress = backup.progress();
            let pages = u64::try_from(progress.pagecount).unwrap_or(0).max(1);
            let left = u64::try_from(progress.remaining).unwrap_or(0);
            tell(rows * pages.saturating_sub(left) / pages, rows);
            steps += 1;
            // A little at a time: others sync to the same disk.
            if steps.is_multiple_of(SYNC_STEPS) {
                file.sync_data().map_err(io)?;
            }
            pace.rest();
        }
    }
    source.execute_batch("COMMIT")?;
    drop(copy);
    file.sync_all().map_err(io)?;
    tell(rows, rows);
    Ok((standing, schema))
}

fn count_rows(source: &Connection, schema: &Schema) -> Result<u64, StorageError> {
    let mut rows = 0;
    for table in schema.tables.values() {
        let count = format!("SELECT count(*) FROM {}", super::quote(&table.name));
        let count: i64 = source.query_row(&count, [], |row| row.get(0))?;
        rows += count.unsigned_abs();
    }
    Ok(rows)
}

/// Where a copy stands.
pub fn inspect(copy: &Path) -> Result<Standing, StorageError> {
    let connection = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    position::load(&connection)
}

/// Removes copies that nobody took away before the process ended.
pub fn remove_leftovers(path: &Path) -> Result<(), StorageError> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let prefix = format!("{}{COPY_SUFFIX}", name.to_string_lossy());
    for file in std::fs::read_dir(directory).map_err(io)? {
        let file = file.map_err(io)?;
        if file.file_name().to_string_lossy().starts_with(&prefix) {
            remove(&file.path())?;
        }
    }
    Ok(())
}

/// Where a copy of the file is written.
pub fn copy_path(path: &Path, random: u64) -> PathBuf {
    beside(path, &format!("{COPY_SUFFIX}{random:016x}"))
}

/// Puts a copy in the place of the database; the copy's own file is used up.
/// Nothing may have the old one open but readers that leave the files alone
/// when they close.
///
/// A crash at any moment leaves the old database, the new one, or a mark by
/// which [`clear_broken_replacement`] knows that there is neither.
pub fn replace(path: &Path, copy: &Path) -> Result<(), StorageError> {
    let incoming = beside(path, ".incoming");
    if std::fs::rename(copy, &incoming).is_err() {
        // On another file system.
        std::fs::copy(copy, &incoming).map_err(io)?;
        remove(copy)?;
    }
    sync(&incoming)?;
    let mark = beside(path, ".replacing");
    std::fs::File::create(&mark).map_err(io)?;
    sync_directory(path)?;
    remove_log(path)?;
    std::fs::rename(&incoming, path).map_err(io)?;
    sync_directory(path)?;
    std::fs::remove_file(&mark).map_err(io)?;
    sync_directory(path)
}

/// Removes what a replacement that a crash interrupted left behind.
pub fn clear_broken_replacement(path: &Path) -> Result<(), StorageError> {
    if !beside(path, ".replacing").exists() {
        return Ok(());
    }
    remove_log(path)?;
    remove(path)?;
    remove(&beside(path, ".incoming"))?;
    remove(&beside(path, ".replacing"))
}

/// Puts a file that cannot be opened out of the way, for the operator to see.
pub fn set_aside(path: &Path) -> Result<(), StorageError> {
    remove_log(path)?;
    match std::fs::rename(path, beside(path, ".damaged")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    }
}

/// Removes the write-ahead log and its index, which belong to another file.
pub fn remove_log(path: &Path) -> Result<(), StorageError> {
    remove(&beside(path, "-wal"))?;
    remove(&beside(path, "-shm"))
}

fn remove(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), StorageError> {
    let file = std::fs::File::open(path).map_err(io)?;
    file.sync_all().map_err(io)
}

fn sync_directory(path: &Path) -> Result<(), StorageError> {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => sync(directory),
        _ => Ok(()),
    }
}

fn io(error: std::io::Error) -> StorageError {
    StorageError::failed(format!("files: {error}"))
}
