//! Rows that an open transaction has written, laid over a replica's own.

use std::collections::{BTreeMap, HashMap};

use super::id::TableId;
use super::{Row, Value};

/// Written rows of an open transaction, by table and key.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    pub tables: BTreeMap<TableId, OverlayTable>,
}

/// The rows of one table that a transaction wrote. Keys are canonically encoded.
#[derive(Clone, Debug, Default)]
pub struct OverlayTable {
    /// The table was emptied first: nothing of the replica's rows shows.
    pub truncated: bool,
    pub rows: HashMap<Vec<u8>, OverlayRow>,
}

#[derive(Clone, Debug)]
pub struct OverlayRow {
    pub key: Vec<Value>,
    /// `None`: deleted.
    pub row: Option<Row>,
}
