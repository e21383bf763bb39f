//! Rows in which a replica that lost a vote differed from those that won it,
//! kept for an operator to see.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::id::TableId;

/// One row; texts are JSON objects of the columns' texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// When it was kept: microseconds since 1970-01-01 UTC.
    pub noticed: i64,
    pub table: String,
    /// What the replica held; `None`: no such row.
    pub held: Option<String>,
    /// What the others hold.
    pub agreed: Option<String>,
}

/// What was written after the replica stopped, which it rightly lacks.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Nobody can tell: all may be.
    pub everything: bool,
    /// `None`: any row of the table; else those of these keys, encoded.
    pub tables: HashMap<TableId, Option<HashSet<Vec<u8>>>>,
}

impl Written {
    pub fn has(&self, table: TableId, key: &[u8]) -> bool {
        self.everything
            || match self.tables.get(&table) {
                None => false,
                Some(None) => true,
                Some(Some(keys)) => keys.contains(key),
            }
    }
}
