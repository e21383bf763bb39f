//! Transactions larger than an entry: cut into pieces, each of which the log
//! takes without effect until a last entry names them all.

use std::sync::Arc;

use crate::error::Result;
use crate::log::Log;
use crate::log::command::{Command, PieceEntry};
use crate::types::id::{ClusterId, TransactionId};
use crate::types::piece::{self, Piece};
use crate::types::value::about_bytes;
use crate::types::write::{RowChange, Write};

/// An entry's size, roughly; a larger transaction enters in pieces.
pub(super) const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Logs writes of a large transaction that have no effect yet.
pub(super) async fn log_piece(
    log: &Log,
    cluster: ClusterId,
    of: TransactionId,
    writes: &[Write],
) -> Result<Piece> {
    let entry = PieceEntry {
        cluster,
        of,
        bytes: piece::pack(writes)?,
    };
    let proposed = log.propose(Command::Piece(Arc::new(entry))).await?;
    proposed.answer.check()?;
    Ok(Piece {
        index: proposed.index,
        changes: piece::changes(writes),
    })
}

/// Lets the log forget the pieces of a transaction that will not be completed.
/// A leader that ends before it comes to that needs none: the next opening
/// forgets them.
pub(super) async fn abandon(log: &Log, of: TransactionId) {
    if let Err(error) = log.propose(Command::Abandon(of)).await {
        tracing::debug!(%error, "pieces are not abandoned");
    }
}

/// About how many bytes a transaction takes in the log.
pub(super) fn size_of(writes: &[Write]) -> usize {
    writes.iter().map(write_size).sum::<usize>() + 32
}

fn write_size(write: &Write) -> usize {
    match write {
        Write::Insert { rows, .. } => rows.iter().map(|row| about_bytes(row)).sum::<usize>() + 8,
        Write::Update { key, set, .. } => about_bytes(key) + set.len() * 40,
        Write::Delete { key, .. } => about_bytes(key),
        Write::Rows { changes, .. } => changes
            .iter()
            .map(|change| {
                about_bytes(&change.key)
                    + 17
                    + change.after.as_ref().map_or(1, |row| about_bytes(row))
            })
            .sum(),
        Write::Truncate { tables } => tables.len() * 5,
        Write::EndOfStatement => 1,
    }
}

/// Cuts writes into pieces of about an entry's size, keeping their order.
pub(super) fn split(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for write in writes {
        for write in split_write(write) {
            let size = write_size(&write);
            if bytes + size > ENTRY_BYTES_MAX && bytes > 0 {
                pieces.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(piece) = pieces.last_mut() {
                piece.push(write);
            }
        }
    }
    pieces
}

/// Cuts a write of many rows. Changes in place stay together: rows that swap
/// unique values need each other.
fn split_write(write: Write) -> Vec<Write> {
    match write {
        Write::Insert { table, rows } => cut(rows, |row| about_bytes(row))
            .into_iter()
            .map(|rows| Write::Insert { table, rows })
            .collect(),
        Write::Rows { table, changes }
            if changes
                .iter()
                .all(|change| change.before.is_none() || change.after.is_none()) =>
        {
            let size = |change: &RowChange| {
                about_bytes(&change.key) + change.after.as_ref().map_or(1, |row| about_bytes(row))
            };
            cut(changes, size)
                .into_iter()
                .map(|changes| Write::Rows { table, changes })
                .collect()
        }
        other => vec![other],
    }
}

/// Pieces of half an entry's size.
fn cut<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for item in items {
        bytes += size(&item);
        piece.push(item);
        if bytes > ENTRY_BYTES_MAX / 2 {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
