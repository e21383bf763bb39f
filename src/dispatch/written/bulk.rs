//! Large open transactions: nothing of them grows without bound at the leader.
//!
//! Once a transaction has written more than may be kept in memory for it, it
//! claims the tables that it writes as a whole, its rows move to a scratch
//! file, and every change goes into the log as it comes, in pieces without
//! effect. Its last entry names the pieces and how many changes of each
//! count; what is taken back just does not count. A transaction that ends
//! otherwise abandons its pieces, and those of a process that ended are
//! forgotten by the next opening.
//!
//! A change of the schema begins another step: the pieces before it go into
//! the log as they are, and the rows of a table that it lays out anew are
//! written anew in the scratch file, beside the old ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::changes::Changes;
use crate::dispatch::claim::ClaimKey;
use crate::dispatch::cluster::DataCluster;
use crate::dispatch::order::Completed;
use crate::dispatch::pieces::{abandon, log_piece};
use crate::dispatch::relaid::{Relaid, Shift};
use crate::dispatch::rules::Rules;
use crate::endpoint::Overlay;
use crate::engine::sqlite::scratch::Scratch;
use crate::error::{Error, Result, SqlState};
use crate::log::command::Pieced;
use crate::types::id::{Index, TableId, TransactionId};
use crate::types::overlay::Spilled;
use crate::types::piece::{self, Piece};
use crate::types::write::RowHash;
use crate::types::{Row, Value, encode};

/// A piece's size, roughly.
const PIECE_BYTES: usize = 512 << 10;

/// Bytes of all pieces of one open transaction.
const PIECES_BYTES_MAX: u64 = 64 << 30;

/// What a large transaction has written.
pub struct Bulk {
    cluster: Arc<DataCluster>,
    /// What its pieces have in common.
    of: TransactionId,
    /// The schema changes before its first row.
    began: usize,
    scratch: Scratch,
    rules: BTreeMap<TableId, Arc<Rules>>,
    /// Tables that were emptied, each with the number of the change.
    emptied: Vec<(u64, TableId)>,
    /// Tables all of whose rows are here, though they were not emptied.
    whole: BTreeSet<TableId>,
    /// What the schema changes since it began took the place of.
    steps: Vec<BulkStep>,
    /// How many changes there are.
    number: u64,
    changes: Changes,
    sent: Vec<Sent>,
    flight: Option<Flight>,
    /// Bytes of all pieces so far.
    bytes: u64,
    /// What must not be lost sight of, met where it could not be told.
    failure: Option<Error>,
    /// Pieces are in the log that no entry will name unless it commits.
    open: bool,
}

/// Where a schema change came in between, and what was before it.
struct BulkStep {
    /// Which step of the transaction it began.
    step: usize,
    /// The changes of rows before it.
    number: u64,
    /// The schema changes before the rows that follow, of the transaction.
    changes: usize,
    rules: BTreeMap<TableId, Arc<Rules>>,
    whole: BTreeSet<TableId>,
}

/// A piece in the log, or on its way there.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The changes before its first.
    from: u64,
    /// How many of its changes count.
    changes: u64,
    index: Index,
}

/// The piece on its way into the log.
struct Flight {
    place: usize,
    landed: oneshot::Receiver<Result<Piece>>,
}

impl Bulk {
    /// For a transaction that has changed the schema so many times.
    pub fn new(cluster: &Arc<DataCluster>, changes: usize) -> Result<Bulk> {
        let name = format!("{:016x}", cluster.runtime.random_u64());
        Ok(Bulk {
            cluster: cluster.clone(),
            of: cluster.ids.next(),
            began: changes,
            scratch: Scratch::create(&cluster.space.directory, &name)?,
            rules: BTreeMap::new(),
            emptied: Vec::new(),
            whole: BTreeSet::new(),
            steps: Vec::new(),
            number: 0,
            changes: Changes::default(),
            sent: Vec::new(),
            flight: None,
            bytes: 0,
            failure: None,
            open: false,
        })
    }

    /// The changes made so far; a mark for [`Bulk::undo_to`].
    pub fn mark(&self) -> u64 {
        self.number
    }

    /// Neither changed anything nor taken anything in.
    pub fn is_empty(&self) -> bool {
        self.number == 0 && self.rules.is_empty() && self.whole.is_empty()
    }

    pub fn rules(&self) -> &BTreeMap<TableId, Arc<Rules>> {
        &self.rules
    }

    /// Are all rows of a table here?
    pub fn is_emptied(&self, table: TableId) -> bool {
        let mut emptied = self.emptied.iter();
        self.whole.contains(&table) || emptied.any(|(_, emptied)| *emptied == table)
    }

    pub fn tables(&self) -> BTreeSet<TableId> {
        let emptied = self.emptied.iter().map(|(_, table)| *table);
        let known = self.rules.keys().chain(&self.whole).copied();
        known.chain(emptied).collect()
    }

    /// What reads lay over the tables.
    pub fn overlay(&mut self) -> Result<Arc<Overlay>> {
        self.check()?;
        let tables = self.tables().into_iter();
        let tables = tables
            .map(|table| (table, self.is_emptied(table)))
            .collect();
        let rows = self.scratch.view(self.number)?;
        Ok(Arc::new(Overlay {
            tables: BTreeMap::new(),
            spilled: Some(Spilled { tables, rows }),
            given: BTreeMap::new(),
        }))
    }

    /// Whether the key was written, so that no replica need be asked.
    pub fn knows(&self, table: TableId, key: &[Value]) -> Result<bool> {
        let written = self.rules.contains_key(&table);
        Ok(self.is_emptied(table) || (written && self.scratch.get(table, key)?.is_some()))
    }

    /// The live rows that have a unique key. `key` is given for the primary one.
    pub fn rows_with(
        &self,
        table: TableId,
        claim: ClaimKey,
        key: Option<&[Value]>,
    ) -> Result<Vec<Row>> {
        let Some(rules) = self.rules.get(&table) else {
            return Ok(Vec::new());
        };
        if let Some(key) = key {
            let found = self.scratch.get(table, key)?;
            return Ok(found.and_then(|version| version.row).into_iter().collect());
        }
        let mut found = Vec::new();
        for key in self.scratch.noted(claim.bits(), table)? {
            let row = self.scratch.get(table, &key)?.and_then(|it| it.row);
            if let Some(row) = row
                && rules
                    .unique_keys(&row)?
                    .iter()
                    .any(|own| own.claim == claim)
            {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// The live rows with these values at these places.
    pub fn rows_equal(
        &self,
        table: TableId,
        places: &[usize],
        values: &[Value],
    ) -> Result<Vec<Row>> {
        if !self.rules.contains_key(&table) {
            return Ok(Vec::new());
        }
        let equal: Vec<(usize, Value)> =
            places.iter().copied().zip(values.iter().cloned()).collect();
        self.scratch.rows_with(table, &equal)
    }

    pub fn count_rows(&self, table: TableId) -> Result<u64> {
        match self.rules.contains_key(&table) {
            true => self.scratch.count_rows(table),
            false => Ok(0),
        }
    }

    /// Writes a row (`None`: deletes it). `committed` is the hash of the row as
    /// the replicas have it; it only counts when the key is written first.
    pub fn put(
        &mut self,
        rules: &Arc<Rules>,
        key: Vec<Value>,
        committed: Option<RowHash>,
        row: Option<Row>,
    ) -> Result<()> {
        self.check()?;
        let table = rules.table.id;
        self.add_table(rules)?;
        let number = self.number + 1;
        let fresh = match &row {
            Some(row) if committed.is_none() => self.scratch.add(table, row, number)?,
            _ => false,
        };
        let before = match fresh {
            true => None,
            false => {
                let previous = self.scratch.get(table, &key)?;
                let known = previous.is_some();
                self.scratch.put(table, &key, row.as_ref(), number, known)?;
                match previous {
                    Some(version) => version.row.map(|row| encode::row_hash(&row)),
                    None => committed.filter(|_| !self.is_emptied(table)),
                }
            }
        };
        self.note_uniques(rules, &key, row.as_ref())?;
        self.number = number;
        self.changes.push(table, key, before, row);
        Ok(())
    }

    /// Adds a row whose key nobody but the transaction itself can have. Gives
    /// it back, and does nothing, if one of its rows has the key.
    pub fn add(&mut self, rules: &Arc<Rules>, row: Row) -> Result<Option<Row>> {
        self.check()?;
        self.add_table(rules)?;
        let number = self.number + 1;
        if !self.scratch.add(rules.table.id, &row, number)? {
            let key = rules.key_of(&row);
            let previous = self.scratch.get(rules.table.id, &key)?;
            if previous.is_some_and(|version| version.row.is_some()) {
                return Ok(Some(row));
            }
            self.put(rules, key, None, Some(row))?;
            return Ok(None);
        }
        if rules.uniques.len() > 1 {
            self.note_uniques(rules, &rules.key_of(&row), Some(&row))?;
        }
        self.number = number;
        self.changes.add(rules.table.id, row);
        Ok(None)
    }

    /// A row of this key as it was before the first change here, or before
    /// the first since the schema changed; nothing if it is known.
    pub fn take_in(&mut self, rules: &Arc<Rules>, key: &[Value], row: Option<&Row>) -> Result<()> {
        self.check()?;
        self.add_table(rules)?;
        let table = rules.table.id;
        if self.scratch.get(table, key)?.is_some() {
            return Ok(());
        }
        let number = self.steps.last().map_or(0, |step| step.number);
        self.scratch.put(table, key, row, number, false)?;
        self.note_uniques(rules, key, row)
    }

    pub fn is_all_of(&mut self, table: TableId) {
        self.whole.insert(table);
    }

    /// The live rows behind one that come next in the order of their keys.
    pub fn next_rows(&mut self, table: TableId, after: Option<&Row>) -> Result<Vec<Row>> {
        match self.rules.contains_key(&table) {
            true => self.scratch.view(self.number)?.rows(table, &[], after),
            false => Ok(Vec::new()),
        }
    }

    /// The schema changes: what was written so far comes before it in the
    /// log. `changes` counts those of the transaction, this one included.
    pub async fn begin_step(&mut self, shift: &Shift, step: usize, changes: usize) -> Result<()> {
        self.send().await?;
        self.steps.push(BulkStep {
            step,
            number: self.number,
            changes,
            rules: self.rules.clone(),
            whole: self.whole.clone(),
        });
        self.whole.extend(shift.created);
        if let Some(table) = shift.dropped {
            self.rules.remove(&table);
            self.whole.remove(&table);
        }
        for (table, rules) in &shift.rules {
            let Some(old) = self.rules.get(table).cloned() else {
                continue;
            };
            let relaid = shift.relaid.as_ref().filter(|it| it.table == *table);
            let indexed = |rules: &Rules| {
                let uniques: Vec<_> = rules.uniques.iter().map(|it| it.object).collect();
                (uniques, searched(rules))
            };
            if relaid.is_some() || indexed(&old) != indexed(rules) {
                self.relay(rules, relaid.map(|it| &**it))?;
            }
            self.rules.insert(*table, rules.clone());
        }
        Ok(())
    }

    /// Writes a table's rows anew, as they lie now.
    fn relay(&mut self, rules: &Rules, relaid: Option<&Relaid>) -> Result<()> {
        let table = &rules.table;
        let moves = relaid.is_some_and(Relaid::moves_keys);
        let step = self.steps.last().map_or(0, |step| step.step);
        let old = self.scratch.begin_anew(table, &searched(rules), step)?;
        let number = self.steps.last().map_or(0, |step| step.number);
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = self.scratch.versions(&old, after.as_deref(), moves)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = Some(last.0.clone());
            for (key, row) in rows {
                count += 1;
                let row = match (row, relaid) {
                    (Some(row), Some(relaid)) => Some(relaid.row(&row, count)?),
                    (row, _) => row,
                };
                let key = match &row {
                    Some(row) => rules.key_of(row),
                    None => key,
                };
                let row = row.as_ref();
                self.scratch.put(table.id, &key, row, number, false)?;
                self.note_uniques(rules, &key, row)?;
            }
        }
    }

    fn add_table(&mut self, rules: &Arc<Rules>) -> Result<()> {
        let table = &rules.table;
        if !self.rules.contains_key(&table.id) {
            self.scratch.add_table(table, &searched(rules))?;
            self.rules.insert(table.id, rules.clone());
        }
        Ok(())
    }

    fn note_uniques(&mut self, rules: &Rules, key: &[Value], row: Option<&Row>) -> Result<()> {
        let Some(row) = row.filter(|_| rules.uniques.len() > 1) else {
            return Ok(());
        };
        for unique in rules.unique_keys(row)?.iter().filter(|it| !it.is_primary()) {
            self.scratch
                .note_unique(unique.claim.bits(), rules.table.id, key)?;
        }
        Ok(())
    }

    /// Empties a table.
    pub fn truncate(&mut self, table: TableId) {
        self.number += 1;
        self.emptied.push((self.number, table));
        self.changes.truncate(table);
        if self.rules.contains_key(&table)
            && let Err(error) = self.scratch.empty(table, self.number)
        {
            self.failure.get_or_insert(error);
        }
    }

    /// Takes back all changes after a mark, which is of a step.
    pub fn undo_to(&mut self, mark: u64, step: usize) {
        let kept = self.steps.partition_point(|it| it.step <= step);
        if mark >= self.number && kept == self.steps.len() {
            return;
        }
        if let Some(first) = self.steps.drain(kept..).next() {
            self.rules = first.rules;
            self.whole = first.whole;
        }
        let has = |table| self.rules.contains_key(&table);
        if let Err(error) = self.scratch.return_to(mark, step, has) {
            self.failure.get_or_insert(error);
        }
        self.emptied.retain(|(number, _)| *number <= mark);
        let buffered_from = self.number - self.changes.count();
        self.changes.keep(mark.saturating_sub(buffered_from));
        for sent in &mut self.sent {
            sent.changes = sent.changes.min(mark.saturating_sub(sent.from));
        }
        self.number = mark;
    }

    pub fn is_due(&self) -> bool {
        self.changes.bytes() >= PIECE_BYTES
    }

    /// Sends what has gathered on its way into the log. One piece at a time
    /// is on its way, while the next gathers.
    pub async fn send(&mut self) -> Result<()> {
        self.land().await?;
        if self.changes.is_empty() {
            return Ok(());
        }
        self.bytes += self.changes.bytes() as u64;
        if self.bytes > PIECES_BYTES_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the transaction has written more than may be kept for it",
            ));
        }
        self.scratch.commit()?;
        let mut from = self.number - self.changes.count();
        for writes in self.changes.take_cut(PIECE_BYTES) {
            self.land().await?;
            let changes = piece::changes(&writes);
            let (tell, landed) = oneshot::channel();
            self.flight = Some(Flight {
                place: self.sent.len(),
                landed,
            });
            self.sent.push(Sent {
                from,
                changes,
                index: Index(0),
            });
            from += changes;
            self.open = true;
            let (log, cluster, of) = (self.cluster.log.clone(), self.cluster.id, self.of);
            self.cluster.tasks.spawn("piece", async move {
                let _ = tell.send(log_piece(&log, cluster, of, &writes).await);
            });
        }
        Ok(())
    }

    /// Waits for the piece that is on its way.
    async fn land(&mut self) -> Result<()> {
        if let Some(flight) = &mut self.flight {
            let landed = (&mut flight.landed).await;
            let place = flight.place;
            self.flight = None;
            let gone = || Error::unavailable("the node is shutting down");
            match landed.map_err(|_| gone()).and_then(|landed| landed) {
                Ok(piece) => self.sent[place].index = piece.index,
                Err(error) => drop(self.failure.get_or_insert(error)),
            }
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        match &self.failure {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// What remains to be said once all is written.
    pub async fn complete(mut self) -> Result<Completed> {
        self.land().await?;
        self.sent.retain(|sent| sent.changes > 0);
        let step = |step: &BulkStep| {
            let before = self.sent.partition_point(|sent| sent.from < step.number);
            (step.changes, before)
        };
        let steps = self.steps.iter().map(step);
        let steps = std::iter::once((self.began, 0)).chain(steps).collect();
        let pieces = self.sent.iter().map(|sent| Piece {
            index: sent.index,
            changes: sent.changes,
        });
        let pieced = Pieced {
            of: self.of,
            pieces: pieces.collect(),
        };
        // Whoever logs the last entry sees to the pieces now.
        self.open = false;
        Ok(Completed {
            pieced,
            last: self.changes.take(),
            tables: self.tables(),
            steps,
        })
    }
}

/// The columns by which rows are found quickly.
fn searched(rules: &Rules) -> Vec<Vec<usize>> {
    let parents = rules.parents.iter();
    parents.map(|it| it.child_places.clone()).collect()
}

impl Drop for Bulk {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (flight, log, of) = (self.flight.take(), self.cluster.log.clone(), self.of);
        self.cluster.tasks.spawn("abandon", async move {
            if let Some(flight) = flight {
                // It must be there before it can be forgotten.
                let _ = flight.landed.await;
            }
            abandon(&log, of).await;
        });
    }
}
