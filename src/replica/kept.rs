//! Before a replica that lost a vote is copied afresh, the rows in which it
//! differs are kept for the operator: the others may have been wrong.

use std::collections::HashSet;

use super::deliver::DELIVERY_BYTES_MAX;
use super::{Member, Replicas};
use crate::catalog::schema::Table;
use crate::endpoint::{CopySource, DeliveryContent, Fault};
use crate::error::Result;
use crate::types::Value;
use crate::types::difference::Written;
use crate::types::encode::encode_key;
use crate::types::id::{Index, TableId};
use crate::types::write::Write;

/// Keys noted of one table; past it any row of it may have been written.
const KEYS_MAX: usize = 200_000;

impl Replicas {
    /// Keeps what differs between a replica and a copy. A failure keeps
    /// nothing and stops no repair.
    pub(super) async fn keep_differences(&self, member: &Member, copy: &CopySource) {
        let kept = async {
            let stands = member.endpoint.position().await?.applied;
            let written = self.written_between(stands, copy).await;
            let written = written.map_err(|error| Fault::Failed(error.to_string()))?;
            member.endpoint.keep_differences(copy, written).await
        };
        match kept.await {
            Ok(rows) => {
                tracing::warn!(cluster = %self.cluster, replica = %member.id, rows, "differing rows are kept");
            }
            Err(fault) => {
                tracing::warn!(cluster = %self.cluster, replica = %member.id, %fault, "differing rows are not kept");
            }
        }
    }

    /// What entries behind an index and up to a copy's wrote.
    async fn written_between(&self, after: Index, copy: &CopySource) -> Result<Written> {
        let mut written = Written::default();
        if after.0 + 1 < self.log.first_index().0 && after < copy.index {
            written.everything = true;
            return Ok(written);
        }
        let mut upto = after;
        while upto < copy.index {
            let from = Index(upto.0 + 1);
            let read = self.log.entries(from, DELIVERY_BYTES_MAX).await?;
            if read.is_empty() {
                break;
            }
            for entry in read.iter().filter(|entry| entry.index <= copy.index) {
                match self.content(entry) {
                    Some(DeliveryContent::Batch(batch)) => {
                        let writes = batch.transactions.iter().flat_map(|it| &it.writes);
                        writes.for_each(|write| note(write, copy, &mut written));
                    }
                    // A schema change or a very large transaction: any row.
                    Some(_) => written.everything = true,
                    None => {}
                }
            }
            upto = read.last().map_or(copy.index, |entry| entry.index);
        }
        Ok(written)
    }
}

fn note(write: &Write, copy: &CopySource, written: &mut Written) {
    let (id, keys) = match write {
        Write::EndOfStatement => return,
        Write::Truncate { tables } => {
            written.tables.extend(tables.iter().map(|id| (*id, None)));
            return;
        }
        Write::Insert { table, .. }
        | Write::Update { table, .. }
        | Write::Delete { table, .. }
        | Write::Rows { table, .. } => (*table, copy.schema.table(*table)),
    };
    let keys = keys.and_then(|table| keys_of(write, table));
    add(id, keys, written);
}

/// The keys of the rows that a write makes, changes or removes; `None`: they
/// cannot be told.
fn keys_of(write: &Write, table: &Table) -> Option<Vec<Vec<u8>>> {
    let places = table.key_positions();
    let of_row = |row: &Vec<Value>| {
        let values: Option<Vec<Value>> = places.iter().map(|at| row.get(*at).cloned()).collect();
        values.map(|values| encode_key(&values))
    };
    match write {
        Write::Insert { rows, .. } => rows.iter().map(of_row).collect(),
        Write::Update { key, set, .. } => {
            let moves = set
                .iter()
                .any(|it| places.contains(&usize::from(it.column)));
            (!moves).then(|| vec![encode_key(key)])
        }
        Write::Delete { key, .. } => Some(vec![encode_key(key)]),
        Write::Rows { changes, .. } => {
            let befores = changes.iter().map(|change| Some(encode_key(&change.key)));
            let afters = changes.iter().filter_map(|change| change.after.as_ref());
            befores.chain(afters.map(of_row)).collect()
        }
        Write::Truncate { .. } | Write::EndOfStatement => None,
    }
}

fn add(table: TableId, keys: Option<Vec<Vec<u8>>>, written: &mut Written) {
    let known = written.tables.entry(table);
    let known = known.or_insert_with(|| Some(HashSet::new()));
    match (keys, known.as_mut()) {
        (Some(keys), Some(all)) if all.len() + keys.len() <= KEYS_MAX => all.extend(keys),
        _ => *known = None,
    }
}
