//! Transactions larger than an entry: cut into pieces, each of which the log
//! takes without effect until a last entry names them all.

use std::slice;
use std::sync::Arc;

use crate::error::Result;
use crate::log::Log;
use crate::log::command::{Command, PieceEntry};
use crate::types::id::{ClusterId, TransactionId};
use crate::types::piece::{self, Piece};
use crate::types::value::about_bytes;
use crate::types::write::{Assigned, Assignment, RowChange, Write};

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
        Write::Update { key, set, .. } => {
            about_bytes(key) + set.iter().map(assigned_size).sum::<usize>()
        }
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

fn assigned_size(assignment: &Assignment) -> usize {
    let value = match &assignment.value {
        Assigned::Constant(value) => about_bytes(slice::from_ref(value)),
        Assigned::Expression { text, parameters } => text.len() + about_bytes(parameters),
    };
    value + 8
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::id::TableId;
    use crate::types::write::RowHash;
    use crate::types::{Array, Type, Value};

    const LARGE: usize = 2 * ENTRY_BYTES_MAX;

    #[test]
    fn a_large_value_counts_wherever_it_is_written() {
        let table = TableId(1);
        let text = || Value::text("x".repeat(LARGE));
        let array = || Value::Array(Arc::new(Array::one_dimensional(Type::Text, vec![text()])));
        let update = |value| Write::Update {
            table,
            key: vec![Value::Int(1)],
            set: vec![Assignment { column: 1, value }],
        };
        let of_itself = Assigned::Expression {
            text: "t || $1".into(),
            parameters: vec![text()],
        };
        let rows = |before, after| Write::Rows {
            table,
            changes: vec![RowChange {
                key: vec![Value::Int(1)],
                before,
                after: Some(after),
            }],
        };
        let writes = [
            Write::Insert {
                table,
                rows: vec![vec![text()]],
            },
            Write::Insert {
                table,
                rows: vec![vec![array()]],
            },
            update(Assigned::Constant(text())),
            update(Assigned::Constant(array())),
            update(of_itself),
            Write::Delete {
                table,
                key: vec![text()],
            },
            rows(None, vec![text()]),
            rows(Some(RowHash(1)), vec![text()]),
        ];
        for write in writes {
            let size = size_of(slice::from_ref(&write));
            assert!((LARGE..LARGE + 200).contains(&size), "{size} of {write:?}");
        }
    }
}
