//! COMMIT: what a transaction wrote goes to the log.

use super::OpenTransaction;
use crate::catalog::change::{SchemaChange, SchemaStep};
use crate::dispatch::claim::Held;
use crate::dispatch::order::{Completed, Content, Order, ReadSet};
use crate::dispatch::refused::Refused;
use crate::dispatch::submit::submit;
use crate::error::Result;
use crate::log::command::{Pieced, SchemaEntry};
use crate::plan::statement::Isolation;
use crate::types::id::Index;
use crate::types::write::Write;

impl OpenTransaction {
    /// Logs what was written and waits until every in-sync replica has it.
    /// Deferred constraints have been checked by the caller.
    pub async fn commit(mut self) -> Result<Option<Index>> {
        let read = self.read_set();
        let mut written = std::mem::take(&mut self.written);
        let bulk = match written.take_bulk() {
            Some(bulk) => Some(bulk.complete().await?),
            None => None,
        };
        let writes = written.into_writes();
        let logged = !writes.is_empty() || !self.changes.is_empty() || bulk.is_some();
        if !logged && !self.drew && self.sequences.is_empty() {
            self.rollback();
            return Ok(None);
        }
        let schema = match self.base.take().or(self.schema.take()) {
            Some(schema) => schema,
            None => self.cluster.definition()?.schema.clone(),
        };
        let id = self.cluster.ids.next();
        let content = match (self.changes.is_empty(), bulk) {
            (true, None) => Content::Writes(writes),
            (true, Some(completed)) => Content::Pieced(completed),
            (false, bulk) => {
                let (mut steps, pieces) = self.take_steps(writes, bulk);
                let then = steps.split_off(1);
                let first = steps.pop().unwrap_or_default();
                Content::Schema(Box::new(SchemaEntry {
                    cluster: self.cluster.id,
                    id,
                    before: schema.version,
                    changes: first.changes,
                    writes: first.writes,
                    then,
                    pieces,
                    counters: Vec::new(),
                    settled: None,
                }))
            }
        };
        self.submitted = true;
        let order = Order {
            id,
            content,
            schema,
            read,
            counters: self.sequences.moved(),
        };
        let decided = submit(&self.cluster, Held::Of(self.owner), order).await;
        self.snapshot = None;
        let (index, _) = decided.map_err(Refused::into_error)?;
        Ok(Some(index))
    }

    /// Changes and rows in the order in which they were made; at least one step.
    fn take_steps(
        &mut self,
        writes: Vec<Write>,
        bulk: Option<Completed>,
    ) -> (Vec<SchemaStep>, Option<Pieced>) {
        // The rows behind so many changes, and how many pieces come before them.
        let mut rows = Vec::new();
        for earlier in std::mem::take(&mut self.earlier) {
            rows.push((earlier.changes, 0, earlier.written.into_writes()));
        }
        let all = self.changes.len();
        let mut pieces = None;
        match bulk {
            None => rows.push((all, 0, writes)),
            Some(completed) => {
                let all = completed.pieced.pieces.len();
                let ends = completed.steps.iter().skip(1).map(|(_, before)| *before);
                for ((changes, from), to) in completed.steps.iter().zip(ends.chain([all])) {
                    rows.push((*changes, to - from, Vec::new()));
                }
                if let Some((_, _, last)) = rows.last_mut() {
                    *last = completed.last;
                }
                pieces = Some(completed.pieced);
            }
        }
        let mut changes = std::mem::take(&mut self.changes).into_iter();
        let mut steps: Vec<SchemaStep> = Vec::new();
        let mut taken = 0;
        for (until, pieces, writes) in rows {
            let next: Vec<SchemaChange> = changes.by_ref().take(until - taken).collect();
            taken += next.len();
            match steps.last_mut() {
                // Nothing was written in between.
                Some(last) if last.pieces == 0 && last.writes.is_empty() => {
                    last.changes.extend(next);
                    (last.pieces, last.writes) = (pieces, writes);
                }
                _ => steps.push(SchemaStep {
                    changes: next,
                    pieces,
                    writes,
                }),
            }
        }
        (steps, pieces)
    }

    fn read_set(&self) -> Option<ReadSet> {
        let snapshot = self.snapshot_index()?;
        let serializable = self.isolation == Isolation::Serializable && !self.written.is_empty();
        serializable.then(|| ReadSet {
            snapshot,
            tables: self.tables_read.iter().copied().collect(),
        })
    }
}
