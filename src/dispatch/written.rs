//! The rows an open transaction has written, over the replicas' tables.
//!
//! Pure. Rows are kept by table and primary key with the hash of what the
//! replicas hold; unique keys are indexed, so that looking one up needs no
//! query; an undo log serves failed statements and savepoints.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::claim::ClaimKey;
use super::rules::Rules;
use crate::endpoint::{Overlay, OverlayRow, OverlayTable};
use crate::error::{Error, Result, SqlState};
use crate::types::id::TableId;
use crate::types::write::{RowChange, RowHash, Write};
use crate::types::{Row, Value, encode};

/// What one open transaction may keep in memory, roughly.
pub const TRANSACTION_BYTES_MAX: usize = 1 << 30;

/// Bytes that a written row takes beside its values, roughly.
const ROW_OVERHEAD: usize = 200;

#[derive(Default)]
pub struct Written {
    overlay: Arc<Overlay>,
    before: HashMap<(TableId, Vec<u8>), Option<RowHash>>,
    uniques: HashMap<ClaimKey, Vec<Vec<u8>>>,
    rules: BTreeMap<TableId, Arc<Rules>>,
    undo: Vec<Undo>,
    bytes: usize,
}

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
        previous: Option<OverlayTable>,
    },
}

/// What is known of a row without asking a replica.
pub enum Known<'a> {
    Row(&'a Row),
    Deleted,
    /// A replica has it or not.
    Unknown,
}

impl Written {
    pub fn is_empty(&self) -> bool {
        self.overlay.tables.is_empty()
    }

    /// The rows for a read to lay over the tables; `None` when there are none.
    pub fn overlay(&self) -> Option<Arc<Overlay>> {
        (!self.is_empty()).then(|| self.overlay.clone())
    }

    pub fn is_truncated(&self, table: TableId) -> bool {
        self.overlay
            .tables
            .get(&table)
            .is_some_and(|table| table.truncated)
    }

    /// The row of a primary key.
    pub fn row(&self, table: TableId, key: &[Value]) -> Known<'_> {
        let Some(written) = self.overlay.tables.get(&table) else {
            return Known::Unknown;
        };
        match written.rows.get(&encode::encode_key(key)) {
            Some(OverlayRow { row: Some(row), .. }) => Known::Row(row),
            Some(OverlayRow { row: None, .. }) => Known::Deleted,
            None if written.truncated => Known::Deleted,
            None => Known::Unknown,
        }
    }

    /// The live written row that has a unique key.
    pub fn row_with(&self, table: TableId, unique: ClaimKey) -> Option<&Row> {
        let written = self.overlay.tables.get(&table)?;
        let keys = self.uniques.get(&unique)?;
        keys.iter()
            .find_map(|key| written.rows.get(key)?.row.as_ref())
    }

    /// How many live written rows have a unique key: two before one of them is refused.
    pub fn rows_with(&self, table: TableId, unique: ClaimKey) -> usize {
        let (Some(written), Some(keys)) =
            (self.overlay.tables.get(&table), self.uniques.get(&unique))
        else {
            return 0;
        };
        let live = |key: &&Vec<u8>| written.rows.get(*key).is_some_and(|row| row.row.is_some());
        keys.iter().filter(live).count()
    }

    /// All live written rows of a table.
    pub fn rows(&self, table: TableId) -> impl Iterator<Item = &Row> {
        let written = self.overlay.tables.get(&table);
        written
            .into_iter()
            .flat_map(|written| written.rows.values())
            .filter_map(|row| row.row.as_ref())
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
        let table = rules.table.id;
        self.rules.entry(table).or_insert_with(|| rules.clone());
        let bytes = encode::encode_key(&key);
        let committed = committed.filter(|_| !self.is_truncated(table));
        let first = match self.before.entry((table, bytes.clone())) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(committed.map(|row| encode::row_hash(row)));
                true
            }
        };
        self.bytes += ROW_OVERHEAD + bytes.len() + row.as_ref().map_or(0, |row| 32 * row.len());
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
        let rules = self.rules.get(&table).cloned();
        let overlay = Arc::make_mut(&mut self.overlay);
        let written = overlay.tables.entry(table).or_default();
        let previous = written.rows.remove(&key);
        let Some(rules) = rules else {
            return Ok(previous);
        };
        if let Some(row) = previous.as_ref().and_then(|previous| previous.row.as_ref()) {
            for unique in rules.unique_claims(row)? {
                if let Some(keys) = self.uniques.get_mut(&unique.1) {
                    keys.retain(|other| *other != key);
                }
            }
        }
        if let Some(row) = new.as_ref().and_then(|new| new.row.as_ref()) {
            for unique in rules.unique_claims(row)? {
                self.uniques.entry(unique.1).or_default().push(key.clone());
            }
        }
        if let Some(new) = new {
            written.rows.insert(key, new);
        }
        Ok(previous)
    }

    /// Empties a table.
    pub fn truncate(&mut self, table: TableId) {
        let overlay = Arc::make_mut(&mut self.overlay);
        let emptied = OverlayTable {
            truncated: true,
            rows: HashMap::new(),
        };
        let previous = overlay.tables.insert(table, emptied);
        self.undo.push(Undo::Table { table, previous });
    }

    /// A place to return to.
    pub fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back all that was written after a mark.
    pub fn undo_to(&mut self, mark: usize) {
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
                Some(Undo::Table { table, previous }) => {
                    let overlay = Arc::make_mut(&mut self.overlay);
                    match previous {
                        Some(previous) => overlay.tables.insert(table, previous),
                        None => overlay.tables.remove(&table),
                    };
                }
                None => return,
            }
        }
        if mark == 0 {
            *self = Written::default();
        }
    }

    /// The tables written to.
    pub fn tables(&self) -> impl Iterator<Item = TableId> {
        self.overlay.tables.keys().copied()
    }

    /// What the log is to carry. Rows whose keys change go and come as separate
    /// changes, so that the list may be cut anywhere.
    pub fn into_writes(mut self) -> Vec<Write> {
        let truncated: Vec<TableId> = self
            .overlay
            .tables
            .iter()
            .filter(|(_, t)| t.truncated)
            .map(|(id, _)| *id)
            .collect();
        let mut writes = Vec::new();
        if !truncated.is_empty() {
            writes.push(Write::Truncate { tables: truncated });
        }
        let overlay = Arc::unwrap_or_clone(std::mem::take(&mut self.overlay));
        let mut phases: [Vec<(TableId, Vec<RowChange>)>; 3] = Default::default();
        for (table, written) in overlay.tables {
            let mut changes: [Vec<RowChange>; 3] = Default::default();
            for (bytes, OverlayRow { key, row }) in written.rows {
                let before = self.before.get(&(table, bytes)).copied().flatten();
                let before = before.filter(|_| !written.truncated);
                match (before, row) {
                    (None, None) => {}
                    (Some(hash), None) => {
                        changes[0].push(RowChange {
                            key,
                            before: Some(hash),
                            after: None,
                        });
                    }
                    (Some(hash), Some(row)) if encode::row_hash(&row) == hash => {}
                    (Some(hash), after) => changes[1].push(RowChange {
                        key,
                        before: Some(hash),
                        after,
                    }),
                    (None, after) => changes[2].push(RowChange {
                        key,
                        before: None,
                        after,
                    }),
                }
            }
            for (phase, changes) in phases.iter_mut().zip(changes) {
                if !changes.is_empty() {
                    phase.push((table, changes));
                }
            }
        }
        for (table, mut changes) in phases.into_iter().flatten() {
            // One order everywhere, whatever the hash map's.
            changes.sort_by_cached_key(|change| encode::encode_key(&change.key));
            writes.push(Write::Rows { table, changes });
        }
        writes
    }
}
