//! A hash over the outcomes that are kept for entries that come again.
//!
//! What a client was told of a transaction must be told again, by any replica.
//! Message texts are left out, as in the chain.

use rusqlite::params;

use super::{Pinned, Sum, damage};
use crate::engine::sqlite::StorageError;
use crate::engine::sqlite::position::OUTCOME_WINDOW;
use crate::types::Value;
use crate::types::encode::encoded_row_hash;
use crate::types::id::Index;
use crate::types::write::Outcome;

/// Entries hashed at once, whatever the limit: each may hold many outcomes.
const ENTRIES_MAX: u64 = 256;

/// Hashes the outcomes of entries behind one, of those that every replica
/// keeps that stands at `at`, or behind the last entry before it.
pub fn sum(
    pinned: &Pinned,
    at: Index,
    after: Option<&[Value]>,
    limit: u64,
) -> Result<Sum, StorageError> {
    let after = match after {
        Some([Value::Int(index)]) => *index,
        _ => at.0.saturating_sub(OUTCOME_WINDOW) as i64,
    };
    let limit = limit.min(ENTRIES_MAX);
    let mut sum = Sum {
        index: pinned.index(),
        rows: 0,
        hash: 0,
        last: None,
    };
    let sql = "SELECT log_index, outcomes FROM _pyql_outcomes \
               WHERE log_index > ?1 ORDER BY log_index LIMIT ?2";
    let mut statement = pinned.connection.prepare(sql).map_err(damage)?;
    let mut rows = statement
        .query(params![after, limit as i64])
        .map_err(damage)?;
    let mut last = after;
    while let Some(row) = rows.next().map_err(damage)? {
        let (index, bytes): (i64, Vec<u8>) = row
            .get(0)
            .and_then(|index| Ok((index, row.get(1)?)))
            .map_err(damage)?;
        let outcomes: Vec<Outcome> = rmp_serde::from_slice(&bytes)
            .map_err(|error| StorageError::Unreadable(format!("stored outcomes: {error}")))?;
        let hash = encoded_row_hash(&canonical(index, &outcomes)).0;
        sum.hash = sum.hash.wrapping_add(hash);
        sum.rows += 1;
        last = index;
    }
    if sum.rows >= limit {
        sum.last = Some(vec![Value::Int(last)]);
    }
    Ok(sum)
}

fn canonical(index: i64, outcomes: &[Outcome]) -> Vec<u8> {
    let mut out = index.to_le_bytes().to_vec();
    for Outcome { id, result } in outcomes {
        for number in [id.node.0, id.boot.0, id.number] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        match result {
            Ok(applied) => {
                out.push(1);
                out.extend_from_slice(&(applied.rows.len() as u64).to_le_bytes());
                for rows in &applied.rows {
                    out.extend_from_slice(&rows.to_le_bytes());
                }
                out.extend_from_slice(&applied.hash.0.to_le_bytes());
            }
            Err(failure) => {
                out.push(0);
                out.extend_from_slice(&failure.state);
            }
        }
    }
    out
}
