//! A hash over all rows of a table: the wrapping sum of the hashes of their
//! canonical encodings, so that neither engine nor order matters.

use std::path::Path;

use super::{StorageError, copy, position, stored_row};
use crate::types::encode::row_hash;
use crate::types::id::{Index, TableId};

/// A table's rows at one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    pub index: Index,
    pub rows: u64,
    pub hash: u128,
}

/// Reads the whole table in one snapshot of its own; `None`: no such table.
pub fn table(path: &Path, id: TableId) -> Result<Option<Sum>, StorageError> {
    let connection = copy::open_source(path)?;
    connection.execute_batch("BEGIN")?;
    let index = position::applied(&connection)?;
    let schema = position::load_schema(&connection)?;
    let Some(table) = schema.table(id) else {
        return Ok(None);
    };
    let mut sum = Sum {
        index,
        rows: 0,
        hash: 0,
    };
    let sql = format!(
        "SELECT {} FROM {}",
        super::schema::all_names(table),
        super::quote(&table.name)
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = stored_row(row, table).map_err(|e| StorageError::failed(e.to_string()))?;
        sum.rows += 1;
        sum.hash = sum.hash.wrapping_add(row_hash(&row).0);
    }
    Ok(Some(sum))
}
