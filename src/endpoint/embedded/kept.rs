//! Rows kept for the operator, in a file beside the replica's: one JSON object
//! a line, the newest last. Whoever has seen them may remove the file.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::file::beside;
use crate::types::difference::Difference;

/// Rows that are remembered; older ones stay in the file.
pub(super) const ROWS_MAX: usize = 2000;

/// A longer file is begun anew.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) fn path(replica: &Path) -> PathBuf {
    beside(replica, ".kept")
}

/// What a file holds, as far as it can be read.
pub(super) fn load(path: &Path) -> Vec<Difference> {
    let Ok(file) = std::fs::File::open(path) else {
        return Vec::new();
    };
    let lines = std::io::BufReader::new(file).lines().map_while(Result::ok);
    let mut rows: Vec<Difference> = lines
        .filter_map(|line| serde_json::from_str(&line).ok())
        .collect();
    let surplus = rows.len().saturating_sub(ROWS_MAX);
    rows.drain(..surplus);
    rows
}

pub(super) fn add(path: &Path, rows: &[Difference]) -> Result<(), StorageError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut lines, row).map_err(failed)?;
        lines.push(b'\n');
    }
    let long = std::fs::metadata(path).is_ok_and(|it| it.len() > FILE_BYTES_MAX);
    let mut options = std::fs::OpenOptions::new();
    options
        .create(true)
        .write(true)
        .append(!long)
        .truncate(long);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(&lines)
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Failed(format!("kept rows: {error}"))
}
