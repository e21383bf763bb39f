//! Looking rows up by their keys: the transaction's own first, then a replica.
//!
//! A key is claimed before it is looked up, and looked up on the latest state,
//! so that what is found stays true until the transaction ends.

use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator};
use crate::catalog::schema::Table;
use crate::dispatch::read;
use crate::dispatch::rules::{Rules, UniqueKey};
use crate::dispatch::transaction::Basis;
use crate::plan::query::Query;
use crate::types::id::Index;
use crate::types::{Row, Value, compare};

impl Evaluator<'_> {
    /// The row that has a unique key now, and where it was read.
    pub(super) async fn find_unique(
        &mut self,
        rules: &Arc<Rules>,
        key: &UniqueKey,
    ) -> Attempt<Option<(Row, Basis)>> {
        let table = &rules.table;
        self.bring_in(&[table.id]).await?;
        let primary = key.is_primary().then_some(&*key.values);
        let written = &self.transaction.written;
        if let Some(row) = written.row_with(table.id, key.claim, primary)? {
            return Ok(Some((row, Basis::Fresh)));
        }
        let lookup = &rules.unique(key).lookup;
        let (index, committed) = self.committed(table, lookup, &key.values).await?;
        let first = committed.into_iter().next();
        Ok(first.map(|row| (row, Basis::Read(index))))
    }

    /// Committed rows as the replicas have them now, without those that the
    /// transaction has written over, and the index they were read at.
    pub(super) async fn committed(
        &mut self,
        table: &Arc<Table>,
        query: &Arc<Query>,
        values: &[Value],
    ) -> Attempt<(Index, Vec<Row>)> {
        self.bring_in(&[table.id]).await?;
        let cluster = &self.transaction.cluster;
        if self.transaction.written.is_truncated(table.id) {
            return Ok((cluster.replicas.stable(), Vec::new()));
        }
        let question = self.question_now(query.clone(), values.into());
        let (index, rows) = read::read_all(cluster, &question).await?;
        let rules = self.rules(table)?;
        let mut current = Vec::with_capacity(rows.len());
        for row in rows {
            if !self
                .transaction
                .written
                .knows(table.id, &rules.key_of(&row))?
            {
                current.push(row);
            }
        }
        Ok((index, current))
    }
}

/// Do two keys hold the same values, nulls included?
pub(super) fn same_values(a: &[Value], b: &[Value]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| match (a.is_null(), b.is_null()) {
            (true, true) => true,
            (false, false) => compare::same(a, b),
            _ => false,
        })
}
