//! Statements over more rows than are kept in memory: evaluated on one
//! snapshot, taken in portions.
//!
//! The table is claimed as a whole before the rows are read, so that nothing
//! waits while they flow but for keys of other tables.
//!
//! Not handled: an UPDATE that sets unique columns, and a DELETE whose actions
//! may come back to the same rows: their rows are read at once. What
//! RETURNING gives is kept until the statement ends.

use std::sync::Arc;

use super::evaluator::Evaluator;
use super::found::Found;
use super::writing::Change;
use crate::catalog::schema::Action;
use crate::dispatch::read;
use crate::dispatch::refused::Refused;
use crate::dispatch::rules::{KeyPart, Rules};
use crate::endpoint::RowStream;
use crate::plan::query::Query;
use crate::types::Row;
use crate::types::id::{Index, TableId};
use crate::types::value::about_bytes;

impl Evaluator<'_> {
    /// The rows of a query that says what is written to a table. When they are
    /// many, and may be taken in portions, the whole table is claimed first.
    pub(super) async fn found(
        &mut self,
        table: TableId,
        query: &Arc<Query>,
        portions: bool,
    ) -> Result<Found, Refused> {
        if let Some((index, rows)) = self.rows_unless_large(query, portions).await? {
            return Ok(Found::at_once(index, rows));
        }
        self.claim_whole(table).await?;
        let question = self.question(query.clone()).await?;
        let found = read::read(&self.transaction.cluster, &question).await?;
        Ok(Found::portions(found))
    }

    /// The rows of a query and where they were read; `None` when they are so
    /// many that they are to be taken in portions, if they may.
    async fn rows_unless_large(
        &mut self,
        query: &Arc<Query>,
        portions: bool,
    ) -> Result<Option<(Index, Vec<Row>)>, Refused> {
        let limit = self.transaction.cluster.space.transaction_bytes;
        let question = self.question(query.clone()).await?;
        let found = read::read(&self.transaction.cluster, &question).await?;
        let mut batches = match found.stream {
            RowStream::Ready(rows) => return Ok(Some((found.index, rows))),
            RowStream::Flowing(batches) => batches,
        };
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            bytes += batch.iter().map(|row| about_bytes(row)).sum::<usize>();
            rows.extend(batch);
            if portions && bytes > limit {
                return Ok(None);
            }
        }
        Ok(Some((found.index, rows)))
    }

    /// May an UPDATE of these columns, or a DELETE, take its rows in portions?
    /// No row's change may then depend on another's, and what actions change
    /// must not come back to the rows.
    pub(super) fn may_take_portions(&self, change: &Change<'_>, rules: &Rules) -> bool {
        let Some(set) = change.set else {
            return rules.children.iter().all(|reference| {
                let child = reference.child.id;
                let is_leaf = self.schema.children_of(child).next().is_none();
                reference.key.on_delete == Action::NoAction || (child != rules.table.id && is_leaf)
            });
        };
        let sets = |place: &usize| set.iter().any(|(set, _)| set == place);
        rules.uniques.iter().all(|unique| {
            unique.predicate.is_none()
                && unique.parts.iter().all(|part| match part {
                    KeyPart::Column(place) => !sets(place),
                    KeyPart::Expression(..) => false,
                })
        })
    }
}
