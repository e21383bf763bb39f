//! Compares a replica's rows with those of a copy that is to replace them.
//!
//! Not handled: tables whose columns differ between the two; rows that cannot
//! be read end the comparison.

use std::path::Path;

use rusqlite::{Connection, ToSql};

use super::background::Pace;
use super::{StorageError, file, position, quote, stored_row, values};
use crate::catalog::schema::Table;
use crate::types::difference::{Difference, Written};
use crate::types::encode::{encode_key, encode_row};
use crate::types::settings::{Io, Settings};
use crate::types::{Row, Value, text};

/// Differences of one replica that are kept, and the bytes of their texts.
const KEPT_MAX: usize = 1000;
const KEPT_BYTES_MAX: usize = 4 << 20;

/// The share of one thread's time that comparing takes, at low priority.
const SHARE: f64 = 0.5;

/// Rows compared between two rests.
const ROWS_PER_PIECE: u32 = 2048;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub kept: Vec<Difference>,
    /// More than are kept.
    pub more: u64,
    bytes: usize,
}

/// Rows of `own` that differ from those of `agreed` though nobody has written
/// them since.
pub fn find(
    own: &Path,
    agreed: &Path,
    written: &Written,
    noticed: i64,
) -> Result<Found, StorageError> {
    let (own, agreed) = (file::open_reader(own)?, file::open_reader(agreed)?);
    own.execute_batch("BEGIN")?;
    let (own_schema, schema) = (
        position::load_schema(&own)?,
        position::load_schema(&agreed)?,
    );
    let mut search = Search {
        written,
        noticed,
        found: Found::default(),
        pace: Pace::of_share(SHARE),
        compared: 0,
    };
    for table in schema.tables.values() {
        let same = own_schema
            .table(table.id)
            .is_some_and(|known| known.name == table.name && known.columns == table.columns);
        if same {
            search.compare(table, &own, &agreed, Side::Own)?;
            search.compare(table, &agreed, &own, Side::Agreed)?;
        }
    }
    Ok(search.found)
}

/// Whose rows are gone through; the others' are looked up.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Own,
    Agreed,
}

struct Search<'a> {
    written: &'a Written,
    noticed: i64,
    found: Found,
    pace: Pace,
    compared: u32,
}

impl Search<'_> {
    fn compare(
        &mut self,
        table: &Table,
        one: &Connection,
        other: &Connection,
        side: Side,
    ) -> Result<(), StorageError> {
        let places = table.key_positions();
        let all = format!(
            "SELECT {} FROM {}",
            super::schema::all_names(table),
            quote(&table.name)
        );
        let mut rows = one.prepare(&all)?;
        let names = super::schema::names(table, &super::schema::key_columns(table));
        let marks = vec!["?"; places.len()].join(", ");
        let mut lookup = other.prepare(&format!("{all} WHERE ({names}) = ({marks})"))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let row = read(row, table)?;
            self.rest();
            let key: Vec<Value> = places.iter().map(|place| row[*place].clone()).collect();
            let bound: Vec<_> = key.iter().map(values::encode).collect();
            let bound: Vec<&dyn ToSql> = bound.iter().map(|value| value as &dyn ToSql).collect();
            let mut hits = lookup.query(bound.as_slice())?;
            let counterpart = hits.next()?.map(|hit| read(hit, table)).transpose()?;
            let unlike = match (side, &counterpart) {
                (_, None) => true,
                (Side::Own, Some(other)) => encoded(&row) != encoded(other),
                // Found when the other side was gone through.
                (Side::Agreed, Some(_)) => false,
            };
            if unlike && !self.written.has(table.id, &encode_key(&key)) {
                let (held, agreed) = match side {
                    Side::Own => (Some(&row), counterpart.as_ref()),
                    Side::Agreed => (None, Some(&row)),
                };
                self.keep(table, held, agreed);
            }
        }
        Ok(())
    }

    fn keep(&mut self, table: &Table, held: Option<&Row>, agreed: Option<&Row>) {
        let printed = |row: &Row| print(table, row);
        let (held, agreed) = (held.map(printed), agreed.map(printed));
        let bytes: usize = held.iter().chain(&agreed).map(String::len).sum();
        let found = &mut self.found;
        if found.kept.len() >= KEPT_MAX || found.bytes + bytes > KEPT_BYTES_MAX {
            found.more += 1;
            return;
        }
        found.bytes += bytes;
        found.kept.push(Difference {
            noticed: self.noticed,
            table: table.name.clone(),
            held,
            agreed,
        });
    }

    fn rest(&mut self) {
        self.compared += 1;
        if self.compared.is_multiple_of(ROWS_PER_PIECE) {
            self.pace.rest();
        }
    }
}

fn read(row: &rusqlite::Row<'_>, table: &Table) -> Result<Row, StorageError> {
    stored_row(row, table).map_err(|error| StorageError::Unreadable(error.to_string()))
}

fn encoded(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_row(row, &mut bytes);
    bytes
}

/// A row as a JSON object of its columns' texts.
fn print(table: &Table, row: &Row) -> String {
    let settings = Settings::default();
    let columns = table.columns.iter().zip(row).map(|(column, value)| {
        let text = match value {
            Value::Null => serde_json::Value::Null,
            value => {
                let io = Io {
                    settings: &settings,
                    transaction_time: 0,
                };
                let mut out = String::new();
                text::output(value, &column.ty, io, &mut out);
                serde_json::Value::String(out)
            }
        };
        (column.name.clone(), text)
    });
    serde_json::Value::Object(columns.collect()).to_string()
}
