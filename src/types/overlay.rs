//! Rows that an open transaction has written, laid over a replica's own.
//!
//! In memory while they are few; a transaction that writes many keeps them
//! elsewhere and hands out a view of them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use super::id::TableId;
use super::{Row, Value};
use crate::error::Result;

/// Written rows of an open transaction, by table and key.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// Each by itself, so that a copy of all is cheap.
    pub tables: BTreeMap<TableId, Arc<OverlayTable>>,
    /// Instead of `tables` once they are many.
    pub spilled: Option<Spilled>,
    /// Rows at hand, in their order, as tables that no replica has.
    pub given: BTreeMap<TableId, Arc<Vec<Row>>>,
}

/// The rows of one table that a transaction wrote. Keys are canonically encoded.
#[derive(Clone, Debug, Default)]
pub struct OverlayTable {
    /// These are all its rows: nothing of the replica's shows.
    pub truncated: bool,
    pub rows: HashMap<Vec<u8>, OverlayRow>,
}

#[derive(Clone, Debug)]
pub struct OverlayRow {
    pub key: Vec<Value>,
    /// `None`: deleted.
    pub row: Option<Row>,
}

/// Written rows that are not in memory, as of one moment.
#[derive(Clone)]
pub struct Spilled {
    /// The tables written to, and whether all rows of each are here.
    pub tables: BTreeMap<TableId, bool>,
    pub rows: Arc<dyn SpilledRows>,
}

/// Never changes, whatever the transaction writes later.
pub trait SpilledRows: Send + Sync {
    /// Whether a row of this key was written or deleted.
    fn holds(&self, table: TableId, key: &[Value]) -> Result<bool>;

    /// The next live rows in the order of their keys: behind the row `after`,
    /// with these values at these places. None: there are no more.
    fn rows(
        &self,
        table: TableId,
        equal: &[(usize, Value)],
        after: Option<&Row>,
    ) -> Result<Vec<Row>>;
}

impl Overlay {
    /// Whether all rows of a table are here; `None` for one that was not written to.
    pub fn table(&self, table: TableId) -> Option<bool> {
        if self.given.contains_key(&table) {
            return Some(true);
        }
        match &self.spilled {
            Some(spilled) => spilled.tables.get(&table).copied(),
            None => self.tables.get(&table).map(|table| table.truncated),
        }
    }
}

impl fmt::Debug for Spilled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spilled")
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}
