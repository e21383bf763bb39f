//! The rows an open transaction has written, over the replicas' tables.
//!
//! Pure. Rows are kept by table and primary key with the hash of what the
//! replicas hold; unique keys are indexed, so that looking one up needs no
//! query; an undo log serves failed statements and savepoints.
//!
//! A change of the schema begins anew ([`Written::after`]) with all rows so
//! far as they lie after it. Those are there to be read; the log gets, behind
//! the change, what is written from then on.

pub mod bulk;
mod changes;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::claim::ClaimKey;
use super::relaid::{Relaid, Shift, sort_by_key};
use super::rules::{Rules, UniqueKey};
use crate::catalog::schema::Table;
use crate::endpoint::{Overlay, OverlayRow, OverlayTable};
use crate::error::{Error, Result, SqlState};
use crate::types::id::TableId;
use crate::types::value::about_bytes;
use crate::types::write::{RowChange, RowHash, Write};
use crate::types::{Row, Value, compare, encode};
use bulk::Bulk;

/// What one open transaction may keep in memory, roughly, where its rows
/// cannot move out of it.
pub const TRANSACTION_BYTES_MAX: usize = 1 << 30;

/// Bytes that a written row takes beside its values, roughly.
const ROW_OVERHEAD: usize = 200;

#[derive(Default)]
pub struct Written {
    overlay: Arc<Overlay>,
    /// The keys written, each with what a replica has then.
    before: HashMap<(TableId, Vec<u8>), Option<RowHash>>,
    uniques: BTreeMap<TableId, Arc<Uniques>>,
    rules: BTreeMap<TableId, Arc<Rules>>,
    /// The tables emptied.
    emptied: BTreeSet<TableId>,
    undo: Vec<Undo>,
    bytes: usize,
    /// Not all of it can be taken back by the undo log.
    inherits: bool,
    /// Everything, once it is much; then the fields above are empty.
    bulk: Option<Box<Bulk>>,
}

/// The keys of the live rows that have a unique key.
type Uniques = HashMap<ClaimKey, Vec<Vec<u8>>>;

enum Undo {
    Row {
        table: TableId,
        key: Vec<u8>,
        previous: Option<OverlayRow>,
        /// Nothing had been known of the key before.
        first: bool,
    },
    Table {
        table: TableId,
        previous: Option<Arc<OverlayTable>>,
        /// It had been emptied before.
        emptied: bool,
    },
}

impl Written {
    pub fn is_empty(&self) -> bool {
        self.overlay.tables.is_empty() && self.bulk.as_ref().is_none_or(|it| it.is_empty())
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn bulk(&mut self) -> Option<&mut Bulk> {
        self.bulk.as_deref_mut()
    }

    pub fn take_bulk(&mut self) -> Option<Bulk> {
        self.bulk.take().map(|bulk| *bulk)
    }

    /// The rows for a read to lay over the tables; `None` when there are none.
    pub fn overlay(&mut self) -> Result<Option<Arc<Overlay>>> {
        if self.is_empty() {
            return Ok(None);
        }
        match &mut self.bulk {
            Some(bulk) => bulk.overlay().map(Some),
            None => Ok(Some(self.overlay.clone())),
        }
    }

    pub fn is_truncated(&self, table: TableId) -> bool {
        if let Some(bulk) = &self.bulk {
            return bulk.is_emptied(table);
        }
        self.overlay
            .tables
            .get(&table)
            .is_some_and(|table| table.truncated)
    }

    /// Whether the key was written or its table emptied, so that no replica
    /// knows better.
    pub fn knows(&self, table: TableId, key: &[Value]) -> Result<bool> {
        if let Some(bulk) = &self.bulk {
            return bulk.knows(table, key);
        }
        let written = self.overlay.tables.get(&table);
        Ok(written.is_some_and(|written| {
            written.truncated || written.rows.contains_key(&encode::encode_key(key))
        }))
    }

    /// The live written row that has a unique key; `key` is its values if it
    /// is the primary one.
    pub fn row_with(
        &self,
        table: TableId,
        unique: ClaimKey,
        key: Option<&[Value]>,
    ) -> Result<Option<Row>> {
        if let Some(bulk) = &self.bulk {
            return Ok(bulk.rows_with(table, unique, key)?.into_iter().next());
        }
        Ok(self.live_with(table, unique).next().cloned())
    }

    /// How many live written rows have a unique key, which may be put off.
    pub fn count_with(&self, table: TableId, unique: ClaimKey) -> Result<usize> {
        match &self.bulk {
            Some(bulk) => Ok(bulk.rows_with(table, unique, None)?.len()),
            None => Ok(self.live_with(table, unique).count()),
        }
    }

    fn live_with(&self, table: TableId, unique: ClaimKey) -> impl Iterator<Item = &Row> {
        let written = self.overlay.tables.get(&table);
        let keys = self.uniques.get(&table).and_then(|keys| keys.get(&unique));
        let keys = keys.into_iter().flatten();
        keys.filter_map(move |key| written?.rows.get(key)?.row.as_ref())
    }

    /// The live written rows with these values at these places.
    pub fn rows_equal(
        &self,
        table: TableId,
        places: &[usize],
        values: &[Value],
    ) -> Result<Vec<Row>> {
        if let Some(bulk) = &self.bulk {
            return bulk.rows_equal(table, places, values);
        }
        let equal = |row: &&Row| {
            let own = places.iter().map(|place| &row[*place]);
            own.zip(values)
                .all(|(own, value)| !own.is_null() && compare::same(own, value))
        };
        Ok(self.rows(table).filter(equal).cloned().collect())
    }

    pub fn count_rows(&self, table: TableId) -> Result<u64> {
        match &self.bulk {
            Some(bulk) => bulk.count_rows(table),
            None => Ok(self.rows(table).count() as u64),
        }
    }

    fn rows(&self, table: TableId) -> impl Iterator<Item = &Row> {
        let written = self.overlay.tables.get(&table);
        written
            .into_iter()
            .flat_map(|written| written.rows.values())
            .filter_map(|row| row.row.as_ref())
    }

    /// Adds a row none of whose unique keys is on a replica. If a written row
    /// has one of them, nothing is done and that key given back.
    pub fn add(&mut self, rules: &Arc<Rules>, row: Row) -> Result<Option<UniqueKey>> {
        // The scratch file itself finds primary keys.
        if self.bulk.is_none() || rules.uniques.len() > 1 {
            for key in rules.unique_keys(&row)? {
                let primary = key.is_primary().then_some(&*key.values);
                let looked_up = primary.is_none() || self.bulk.is_none();
                let table = rules.table.id;
                if looked_up && self.row_with(table, key.claim, primary)?.is_some() {
                    return Ok(Some(key));
                }
            }
        }
        let Some(bulk) = &mut self.bulk else {
            self.put(rules, rules.key_of(&row), None, Some(row))?;
            return Ok(None);
        };
        let Some(row) = bulk.add(rules, row)? else {
            return Ok(None);
        };
        let mut keys = rules.unique_keys(&row)?.into_iter();
        let taken = keys.find(UniqueKey::is_primary);
        taken
            .map(Some)
            .ok_or_else(|| Error::internal("a row without a primary key is a duplicate"))
    }

    /// Writes a row (`None`: deletes it). `committed` is the row of this key as
    /// the replicas have it; it only counts when the key is written first.
    pub fn put(
        &mut self,
        rules: &Arc<Rules>,
        key: Vec<Value>,
        committed: Option<&Row>,
        row: Option<Row>,
    ) -> Result<()> {
        if let Some(bulk) = &mut self.bulk {
            return bulk.put(rules, key, committed.map(|row| encode::row_hash(row)), row);
        }
        let table = rules.table.id;
        self.rules.entry(table).or_insert_with(|| rules.clone());
        let bytes = encode::encode_key(&key);
        let known = self.overlay.tables.get(&table);
        let inherited = known.and_then(|known| known.rows.get(&bytes));
        let committed = match inherited {
            Some(inherited) => inherited.row.as_ref(),
            None => committed.filter(|_| known.is_none_or(|known| !known.truncated)),
        };
        let first = match self.before.entry((table, bytes.clone())) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(committed.map(|row| encode::row_hash(row)));
                true
            }
        };
        self.bytes += ROW_OVERHEAD + bytes.len() + row.as_ref().map_or(0, |row| about_bytes(row));
        if self.bytes > TRANSACTION_BYTES_MAX {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "the transaction has written more than may be kept for it",
            ));
        }
        let previous = self.replace(table, bytes.clone(), Some(OverlayRow { key, row }))?;
        self.undo.push(Undo::Row {
            table,
            key: bytes,
            previous,
            first,
        });
        Ok(())
    }

    fn replace(
        &mut self,
        table: TableId,
        key: Vec<u8>,
        new: Option<OverlayRow>,
    ) -> Result<Option<OverlayRow>> {
        let overlay = Arc::make_mut(&mut self.overlay);
        let written = Arc::make_mut(overlay.tables.entry(table).or_default());
        let previous = written.rows.remove(&key);
        let Some(rules) = self.rules.get(&table) else {
            return Ok(previous);
        };
        let uniques = Arc::make_mut(self.uniques.entry(table).or_default());
        if let Some(row) = previous.as_ref().and_then(|previous| previous.row.as_ref()) {
            for unique in rules.unique_keys(row)? {
                if let Some(keys) = uniques.get_mut(&unique.claim) {
                    keys.retain(|other| *other != key);
                }
            }
        }
        if let Some(row) = new.as_ref().and_then(|new| new.row.as_ref()) {
            for unique in rules.unique_keys(row)? {
                uniques.entry(unique.claim).or_default().push(key.clone());
            }
        }
        if let Some(new) = new {
            written.rows.insert(key, new);
        }
        Ok(previous)
    }

    /// Empties a table.
    pub fn truncate(&mut self, table: TableId) {
        if let Some(bulk) = &mut self.bulk {
            return bulk.truncate(table);
        }
        let overlay = Arc::make_mut(&mut self.overlay);
        let previous = overlay.tables.insert(table, all_there_is());
        let emptied = !self.emptied.insert(table);
        self.undo.push(Undo::Table {
            table,
            previous,
            emptied,
        });
    }

    /// The rows as they lie after a change of the schema, nothing written
    /// since. What may be deleted or changed under a key that `shift` moves
    /// was taken in whole before. Not for rows that are not in memory.
    pub fn after(&self, shift: &Shift) -> Result<Written> {
        let mut next = Written {
            overlay: self.overlay.clone(),
            uniques: self.uniques.clone(),
            rules: self.rules.clone(),
            bytes: self.bytes,
            inherits: true,
            ..Written::default()
        };
        let tables = &mut Arc::make_mut(&mut next.overlay).tables;
        if let Some(table) = shift.created {
            tables.insert(table, all_there_is());
        }
        if let Some(table) = shift.dropped {
            tables.remove(&table);
            next.uniques.remove(&table);
            next.rules.remove(&table);
        }
        if let Some(relaid) = &shift.relaid
            && let Some(written) = tables.get_mut(&relaid.table)
        {
            let rules = shift.rules.get(&relaid.table);
            let rules = rules.ok_or_else(|| Error::internal("rules are lost"))?;
            *written = Arc::new(relay(written, relaid, rules)?);
        }
        for (table, rules) in &shift.rules {
            if !next.rules.contains_key(table) {
                continue;
            }
            next.rules.insert(*table, rules.clone());
            let rows = tables.get(table).into_iter().flat_map(|it| &it.rows);
            let mut uniques = Uniques::new();
            for (key, written) in rows {
                let Some(row) = &written.row else { continue };
                for unique in rules.unique_keys(row)? {
                    uniques.entry(unique.claim).or_default().push(key.clone());
                }
            }
            next.uniques.insert(*table, Arc::new(uniques));
        }
        Ok(next)
    }

    /// Takes in a row as the replicas have it, unless its key was written.
    pub fn take_in(&mut self, rules: &Arc<Rules>, row: Row) -> Result<()> {
        let key = rules.key_of(&row);
        if let Some(bulk) = &mut self.bulk {
            return bulk.take_in(rules, &key, Some(&row));
        }
        let table = rules.table.id;
        self.inherits = true;
        self.rules.entry(table).or_insert_with(|| rules.clone());
        let bytes = encode::encode_key(&key);
        let known = self.overlay.tables.get(&table);
        if known.is_some_and(|known| known.rows.contains_key(&bytes)) {
            return Ok(());
        }
        self.bytes += ROW_OVERHEAD + bytes.len() + about_bytes(&row);
        let row = Some(row);
        self.replace(table, bytes, Some(OverlayRow { key, row }))?;
        Ok(())
    }

    /// All rows of a table were taken in.
    pub fn is_all_of(&mut self, table: TableId) {
        if let Some(bulk) = &mut self.bulk {
            return bulk.is_all_of(table);
        }
        self.inherits = true;
        let overlay = Arc::make_mut(&mut self.overlay);
        Arc::make_mut(overlay.tables.entry(table).or_default()).truncated = true;
    }

    /// Whether something is known of the table's rows.
    pub fn holds(&self, table: TableId) -> bool {
        match &self.bulk {
            Some(bulk) => bulk.tables().contains(&table),
            None => self.overlay.tables.contains_key(&table),
        }
    }

    /// The live rows of a table, in the order of their keys: all, or those
    /// behind a row that come next. None: there are no more.
    pub fn next_rows(&mut self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>> {
        if let Some(bulk) = &mut self.bulk {
            return bulk.next_rows(table.id, after);
        }
        if after.is_some() {
            return Ok(Vec::new());
        }
        let mut rows: Vec<Row> = self.rows(table.id).cloned().collect();
        sort_by_key(table, &mut rows);
        Ok(rows)
    }

    /// A place to return to.
    pub fn mark(&self) -> usize {
        match &self.bulk {
            Some(bulk) => bulk.mark() as usize,
            None => self.undo.len(),
        }
    }

    /// Takes back all that was written after a mark, which is of a step.
    pub fn undo_to(&mut self, mark: usize, step: usize) {
        if let Some(bulk) = &mut self.bulk {
            return bulk.undo_to(mark as u64, step);
        }
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Row {
                    table,
                    key,
                    previous,
                    first,
                }) => {
                    if first {
                        // Its claim may go, and then others may change it.
                        self.before.remove(&(table, key.clone()));
                    }
                    // Its unique keys were computed before, so this cannot fail anew.
                    let _ = self.replace(table, key, previous);
                }
                Some(Undo::Table {
                    table,
                    previous,
                    emptied,
                }) => {
                    let overlay = Arc::make_mut(&mut self.overlay);
                    match previous {
                        Some(previous) => overlay.tables.insert(table, previous),
                        None => overlay.tables.remove(&table),
                    };
                    if !emptied {
                        self.emptied.remove(&table);
                    }
                }
                None => return,
            }
        }
        if mark == 0 && !self.inherits {
            *self = Written::default();
        }
    }

    /// The tables written to.
    pub fn tables(&self) -> BTreeSet<TableId> {
        match &self.bulk {
            Some(bulk) => bulk.tables(),
            None => self.overlay.tables.keys().copied().collect(),
        }
    }

    /// Moves everything out of memory, change by change: what was a mark stays one.
    pub fn spill(&mut self, mut bulk: Bulk) -> Result<()> {
        let undo = std::mem::take(&mut self.undo);
        let mut tables = Arc::unwrap_or_clone(std::mem::take(&mut self.overlay)).tables;
        // Backwards, each step finds what it made.
        let mut changes = Vec::with_capacity(undo.len());
        for step in undo.into_iter().rev() {
            match step {
                Undo::Row {
                    table,
                    key,
                    previous,
                    ..
                } => {
                    let written = Arc::make_mut(tables.entry(table).or_default());
                    let Some(made) = written.rows.remove(&key) else {
                        return Err(Error::internal("a written row is lost"));
                    };
                    let committed = self.before.get(&(table, key.clone())).copied().flatten();
                    if let Some(previous) = previous {
                        written.rows.insert(key, previous);
                    }
                    changes.push((table, Some((made, committed))));
                }
                Undo::Table {
                    table, previous, ..
                } => {
                    match previous {
                        Some(previous) => tables.insert(table, previous),
                        None => tables.remove(&table),
                    };
                    changes.push((table, None));
                }
            }
        }
        // What is left was there from the start.
        for (table, written) in &tables {
            if written.truncated {
                bulk.is_all_of(*table);
            }
            for OverlayRow { key, row } in written.rows.values() {
                let rules = self.rules.get(table);
                let rules = rules.ok_or_else(|| Error::internal("rules are lost"))?;
                bulk.take_in(rules, key, row.as_ref())?;
            }
        }
        for (table, change) in changes.into_iter().rev() {
            match change {
                None => bulk.truncate(table),
                Some((OverlayRow { key, row }, committed)) => {
                    let rules = self.rules.get(&table);
                    let rules = rules.ok_or_else(|| Error::internal("rules are lost"))?;
                    bulk.put(rules, key, committed, row)?;
                }
            }
        }
        *self = Written {
            bulk: Some(Box::new(bulk)),
            ..Written::default()
        };
        Ok(())
    }

    /// The tables that written rows may refer to.
    pub fn parents(&self) -> BTreeSet<TableId> {
        let rules = match &self.bulk {
            Some(bulk) => bulk.rules(),
            None => &self.rules,
        };
        let parents = rules.values().flat_map(|rules| &rules.parents);
        parents.map(|reference| reference.parent.id).collect()
    }

    /// What the log is to carry. Rows whose keys change go and come as separate
    /// changes, so that the list may be cut anywhere.
    pub fn into_writes(mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        if !self.emptied.is_empty() {
            writes.push(Write::Truncate {
                tables: self.emptied.iter().copied().collect(),
            });
        }
        let mut phases: [BTreeMap<TableId, Vec<RowChange>>; 3] = Default::default();
        // Rows that were only read are not among these.
        for ((table, bytes), before) in std::mem::take(&mut self.before) {
            let before = before.filter(|_| !self.emptied.contains(&table));
            let written = self.overlay.tables.get(&table);
            // What was written before its table was emptied is gone.
            let Some(OverlayRow { key, row }) = written.and_then(|it| it.rows.get(&bytes)) else {
                continue;
            };
            let phase = match (&before, row) {
                (None, None) => continue,
                (Some(hash), Some(row)) if encode::row_hash(row) == *hash => continue,
                (Some(_), None) => 0,
                (Some(_), Some(_)) => 1,
                (None, Some(_)) => 2,
            };
            phases[phase].entry(table).or_default().push(RowChange {
                key: key.clone(),
                before,
                after: row.clone(),
            });
        }
        for (table, mut changes) in phases.into_iter().flatten() {
            // One order everywhere, whatever the hash map's.
            changes.sort_by_cached_key(|change| encode::encode_key(&change.key));
            writes.push(Write::Rows { table, changes });
        }
        writes
    }
}

fn all_there_is() -> Arc<OverlayTable> {
    Arc::new(OverlayTable {
        truncated: true,
        rows: HashMap::new(),
    })
}

/// A table's rows as a change lays them out.
fn relay(written: &OverlayTable, relaid: &Relaid, rules: &Rules) -> Result<OverlayTable> {
    let mut rows = HashMap::with_capacity(written.rows.len());
    if !relaid.moves_keys() {
        for (bytes, OverlayRow { key, row }) in &written.rows {
            let row = row.as_ref().map(|row| relaid.row(row, 0)).transpose()?;
            let key = key.clone();
            rows.insert(bytes.clone(), OverlayRow { key, row });
        }
    } else {
        let live = written.rows.values().filter_map(|it| it.row.clone());
        let mut live: Vec<Row> = live.collect();
        if relaid.counts() {
            sort_by_key(&relaid.from, &mut live);
        }
        for (row, number) in live.iter().zip(1..) {
            let row = relaid.row(row, number)?;
            let key = rules.key_of(&row);
            let bytes = encode::encode_key(&key);
            let row = Some(row);
            rows.insert(bytes, OverlayRow { key, row });
        }
    }
    Ok(OverlayTable {
        truncated: written.truncated,
        rows,
    })
}
