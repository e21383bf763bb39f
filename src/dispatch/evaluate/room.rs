//! Keeps a large transaction from growing without bound while it writes.

use super::evaluator::{Attempt, Evaluator};
use crate::dispatch::claim::Mode;
use crate::dispatch::rules::Rules;
use crate::dispatch::written::bulk::Bulk;
use crate::error::{Error, Result, SqlState};
use crate::types::id::TableId;

/// Keys that a large transaction claims one by one; past it, it claims the
/// tables that its rows refer to.
const CLAIMS_MAX: usize = 1 << 16;

/// Foreign keys remembered until the statement ends; past it, and whenever
/// they have doubled, those that hold are dropped.
const PENDING_MIN: usize = 8192;

/// Foreign keys that a transaction may put off until its end.
const DEFERRED_MAX: usize = 1 << 20;

impl Evaluator<'_> {
    /// Called between rows: moves a transaction that has grown large out of
    /// memory, and sends on what has gathered.
    pub(super) async fn make_room(&mut self) -> Attempt<()> {
        if self.pending.is_due(PENDING_MIN) {
            self.drop_what_holds().await?;
        }
        let transaction = &mut *self.transaction;
        if transaction.deferred.len() > DEFERRED_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the transaction has put off more keys than may be kept for it",
            )
            .into());
        }
        let limit = transaction.cluster.space.transaction_bytes;
        let large = transaction.written.bytes() > limit;
        if large && transaction.written.bulk().is_none() {
            self.claim_written().await?;
            let transaction = &mut *self.transaction;
            let bulk = Bulk::new(&transaction.cluster, transaction.changes.len())?;
            transaction.written.spill(bulk)?;
        }
        let bulk = self.transaction.written.bulk();
        if !bulk.is_some_and(|bulk| bulk.is_due()) {
            return Ok(());
        }
        self.claim_written().await?;
        match self.transaction.written.bulk() {
            Some(bulk) => Ok(bulk.send().await?),
            None => Ok(()),
        }
    }

    /// Claims the tables written so far as a whole, and those that the rows
    /// refer to once too many of their keys are claimed.
    async fn claim_written(&mut self) -> Result<()> {
        for table in self.transaction.written.tables() {
            self.claim_whole(table).await?;
        }
        let transaction = &*self.transaction;
        if transaction.cluster.claims.mark(transaction.owner) <= CLAIMS_MAX {
            return Ok(());
        }
        for parent in self.transaction.written.parents() {
            self.claim_shared(parent).await?;
        }
        Ok(())
    }

    /// Claims a table for writing any of its rows.
    pub(super) async fn claim_whole(&mut self, table: TableId) -> Result<()> {
        if !self.transaction.whole.written.contains(&table) {
            self.claim_table(table, Mode::Update).await?;
            self.transaction.whole.written.insert(table);
        }
        Ok(())
    }

    /// Claims that nobody else writes to a table.
    pub(super) async fn claim_shared(&mut self, table: TableId) -> Result<()> {
        let whole = &self.transaction.whole;
        if !whole.shared.contains(&table) && !whole.written.contains(&table) {
            self.claim_table(table, Mode::Share).await?;
            self.transaction.whole.shared.insert(table);
        }
        Ok(())
    }

    /// Rows of a table claimed as a whole lose their keys: nobody may refer
    /// to one meanwhile.
    pub(super) async fn guard_children(&mut self, rules: &Rules) -> Result<()> {
        if self.transaction.whole.written.contains(&rules.table.id) {
            for reference in &rules.children {
                self.claim_shared(reference.child.id).await?;
            }
        }
        Ok(())
    }

    /// Looks at the keys remembered so far. One that holds now holds
    /// at the end: whatever breaks it is remembered by itself.
    async fn drop_what_holds(&mut self) -> Attempt<()> {
        for check in self.pending.take() {
            if !self.holds(&check).await? {
                self.pending.push(check);
            }
        }
        self.pending.looked_at();
        Ok(())
    }
}
