//! Pieces: the rows of a transaction that is too large for one entry.
//!
//! A piece lies in the log without effect until the transaction's last entry
//! names it, and how many of its changes count: ROLLBACK TO takes back the
//! end of one. Its writes are packed in the canonical encoding, behind a
//! version byte of their own.
//!
//! Not handled: point updates and deletes, which are never large.

use super::encode;
use super::id::{Index, TableId};
use super::write::{RowChange, RowHash, Write};
use super::{Row, Value};
use crate::error::{Error, Result, SqlState};
use serde::{Deserialize, Serialize};

/// The form that [`pack`] writes.
const VERSION: u8 = 1;

/// A piece as the last entry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub index: Index,
    /// How many of its changes count, from the first.
    pub changes: u64,
}

/// The pieces of one transaction, one in memory at a time. They may be read
/// again and again.
pub trait Pieces: Send + Sync {
    fn count(&self) -> usize;

    /// The writes of a piece that count.
    fn read(&self, place: usize) -> Result<Vec<Write>, String>;
}

mod tag {
    pub(super) const INSERT: u8 = 1;
    pub(super) const ROWS: u8 = 2;
    pub(super) const TRUNCATE: u8 = 3;
    pub(super) const END_OF_STATEMENT: u8 = 4;
}

mod present {
    pub(super) const BEFORE: u8 = 1;
    pub(super) const AFTER: u8 = 2;
}

/// How many changes writes hold.
pub fn changes(writes: &[Write]) -> u64 {
    let of = |write: &Write| match write {
        Write::Insert { rows, .. } => rows.len() as u64,
        Write::Rows { changes, .. } => changes.len() as u64,
        _ => 1,
    };
    writes.iter().map(of).sum()
}

/// Packs writes for a piece.
pub fn pack(writes: &[Write]) -> Result<Vec<u8>> {
    let mut out = vec![VERSION];
    for write in writes {
        match write {
            Write::Insert { table, rows } => {
                head(tag::INSERT, *table, rows.len(), &mut out);
                rows.iter()
                    .for_each(|row| encode::encode_row(row, &mut out));
            }
            Write::Rows { table, changes } => {
                head(tag::ROWS, *table, changes.len(), &mut out);
                changes
                    .iter()
                    .for_each(|change| put_change(change, &mut out));
            }
            Write::Truncate { tables } => {
                out.push(tag::TRUNCATE);
                put_count(tables.len(), &mut out);
                for table in tables {
                    out.extend_from_slice(&table.0.to_be_bytes());
                }
            }
            Write::EndOfStatement => out.push(tag::END_OF_STATEMENT),
            Write::Update { .. } | Write::Delete { .. } => {
                return Err(Error::internal("a point write is no piece"));
            }
        }
    }
    Ok(out)
}

/// The first `changes` of a piece's changes.
pub fn unpack(bytes: &[u8], changes: u64) -> Result<Vec<Write>> {
    let mut input = bytes;
    if take_byte(&mut input)? != VERSION {
        return Err(corrupt("unknown version"));
    }
    let mut left = changes;
    let mut writes = Vec::new();
    while left > 0 {
        let tag = take_byte(&mut input)?;
        let write = match tag {
            tag::INSERT => {
                let (table, count) = take_head(&mut input)?;
                let rows = take_some(&mut input, count, &mut left, encode::take_row)?;
                Write::Insert { table, rows }
            }
            tag::ROWS => {
                let (table, count) = take_head(&mut input)?;
                let changes = take_some(&mut input, count, &mut left, take_change)?;
                Write::Rows { table, changes }
            }
            tag::TRUNCATE => {
                left -= 1;
                let count = take_count(&mut input)?;
                let tables = (0..count).map(|_| take_table(&mut input));
                Write::Truncate {
                    tables: tables.collect::<Result<_>>()?,
                }
            }
            tag::END_OF_STATEMENT => {
                left -= 1;
                Write::EndOfStatement
            }
            _ => return Err(corrupt("unknown write")),
        };
        writes.push(write);
    }
    Ok(writes)
}

fn head(tag: u8, table: TableId, count: usize, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&table.0.to_be_bytes());
    put_count(count, out);
}

fn take_head(input: &mut &[u8]) -> Result<(TableId, u64)> {
    Ok((take_table(input)?, take_count(input)?))
}

fn put_change(change: &RowChange, out: &mut Vec<u8>) {
    let before = change.before.map_or(0, |_| present::BEFORE);
    let after = change.after.as_ref().map_or(0, |_| present::AFTER);
    out.push(before | after);
    encode::encode_row(&change.key, out);
    if let Some(RowHash(hash)) = change.before {
        out.extend_from_slice(&hash.to_be_bytes());
    }
    if let Some(row) = &change.after {
        encode::encode_row(row, out);
    }
}

fn take_change(input: &mut &[u8]) -> Result<RowChange> {
    let there = take_byte(input)?;
    if there & !(present::BEFORE | present::AFTER) != 0 {
        return Err(corrupt("unknown change"));
    }
    let key: Vec<Value> = encode::take_row(input)?;
    let before = match there & present::BEFORE {
        0 => None,
        _ => Some(RowHash(u128::from_be_bytes(take_fixed(input)?))),
    };
    let after: Option<Row> = match there & present::AFTER {
        0 => None,
        _ => Some(encode::take_row(input)?),
    };
    Ok(RowChange { key, before, after })
}

/// As many of `count` items as may be taken.
fn take_some<T>(
    input: &mut &[u8],
    count: u64,
    left: &mut u64,
    take: impl Fn(&mut &[u8]) -> Result<T>,
) -> Result<Vec<T>> {
    let wanted = count.min(*left);
    *left -= wanted;
    (0..wanted).map(|_| take(input)).collect()
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    // A piece is far smaller than what four bytes can count.
    out.extend_from_slice(&(count as u32).to_be_bytes());
}

fn take_count(input: &mut &[u8]) -> Result<u64> {
    Ok(u64::from(u32::from_be_bytes(take_fixed(input)?)))
}

fn take_table(input: &mut &[u8]) -> Result<TableId> {
    Ok(TableId(u32::from_be_bytes(take_fixed(input)?)))
}

fn take_byte(input: &mut &[u8]) -> Result<u8> {
    take_fixed::<1>(input).map(|[byte]| byte)
}

fn take_fixed<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (bytes, rest) = input
        .split_first_chunk::<N>()
        .ok_or_else(|| corrupt("too short"))?;
    *input = rest;
    Ok(*bytes)
}

fn corrupt(what: &str) -> Error {
    Error::new(
        SqlState::DATA_CORRUPTED,
        format!("invalid piece of a transaction: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes() -> Vec<Write> {
        let row = |n: i64| vec![Value::Int(n), Value::text("x"), Value::Null];
        let change = |n, before: Option<u128>, after: Option<Row>| RowChange {
            key: vec![Value::Int(n)],
            before: before.map(RowHash),
            after,
        };
        vec![
            Write::Truncate {
                tables: vec![TableId(7), TableId(8)],
            },
            Write::Insert {
                table: TableId(7),
                rows: vec![row(1), row(2), row(3)],
            },
            Write::EndOfStatement,
            Write::Rows {
                table: TableId(8),
                changes: vec![
                    change(1, Some(5), None),
                    change(2, Some(6), Some(row(2))),
                    change(3, None, Some(row(3))),
                ],
            },
        ]
    }

    #[test]
    fn what_is_packed_comes_back_as_far_as_it_counts() {
        let writes = writes();
        let bytes = pack(&writes).unwrap();
        assert_eq!(changes(&writes), 8);
        assert_eq!(unpack(&bytes, 8).unwrap(), writes);
        for count in 0..8 {
            let some = unpack(&bytes, count).unwrap();
            assert_eq!(changes(&some), count);
        }
        let Write::Insert { rows, .. } = &unpack(&bytes, 3).unwrap()[1] else {
            panic!("the second write is an insert");
        };
        assert_eq!(rows.len(), 2);
        assert!(unpack(&bytes, 9).is_err(), "there are no more");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = pack(&writes()).unwrap();
        for end in 0..bytes.len() {
            assert!(unpack(&bytes[..end], 8).is_err(), "{end}");
        }
        let mut newer = bytes;
        newer[0] = VERSION + 1;
        assert!(unpack(&newer, 8).is_err());
    }
}
