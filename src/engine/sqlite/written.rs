//! `pyql_written`: the table-valued function behind the rows that a
//! transaction has written, in memory or spilled, and behind rows at hand.
//!
//! Its first argument is the number of a [`Source::Overlay`] of the running
//! query. Columns that must equal something narrow down what is looked at;
//! SQLite compares again, so too many rows do no harm.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;
use std::sync::Arc;

use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor,
};
use rusqlite::{Connection, ffi};

use super::dialect::Source;
use super::dialect::from::{NARROW_COLUMNS, WIDE_COLUMNS};
use super::execution::{self, Execution};
use super::functions::{Stored, missing};
use super::{table_function, values};
use crate::error::Result;
use crate::types::compare::compare_lists;
use crate::types::id::TableId;
use crate::types::overlay::{OverlayTable, Spilled};
use crate::types::{Row, Value, encode};

/// What SQLite's planner is told to expect: of all rows, and of those whose
/// columns equal something.
const ESTIMATED_ROWS: i64 = 1000;
const ESTIMATED_FOUND: i64 = 2;

/// Registers the function in both widths.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    const NARROW: Module<'_, Written<NARROW_COLUMNS>> = Module::eponymous_only_module();
    const WIDE: Module<'_, Written<WIDE_COLUMNS>> = Module::eponymous_only_module();
    connection.create_module("pyql_written", &NARROW, None)?;
    connection.create_module("pyql_written_wide", &WIDE, None)
}

#[repr(C)]
struct Written<const WIDTH: usize> {
    base: ffi::sqlite3_vtab,
}

// SAFETY: repr(C) with SQLite's own struct first, as the trait asks.
unsafe impl<'vtab, const WIDTH: usize> VTab<'vtab> for Written<WIDTH> {
    type Aux = ();
    type Cursor = WrittenCursor<'vtab, WIDTH>;

    fn connect(
        _: &mut VTabConnection,
        _: Option<&()>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        let argument = std::iter::once("source".to_owned());
        let declaration = table_function::declaration(WIDTH, argument)?;
        let base = ffi::sqlite3_vtab::default();
        Ok((declaration, Written { base }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let mut source = None;
        let mut equal = Vec::new();
        for (place, constraint) in info.constraints().enumerate() {
            let Ok(column) = usize::try_from(constraint.column()) else {
                continue;
            };
            let usable = constraint.is_usable()
                && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ;
            match (column == WIDTH, usable) {
                (true, true) => source = Some(place),
                (true, false) => return Ok(false),
                // Under another order more than what is the same may be equal.
                (false, true) if info.collation(place)? == "BINARY" => equal.push((place, column)),
                _ => {}
            }
        }
        let Some(source) = source else {
            return Ok(false);
        };
        let mut usage = info.constraint_usage(source);
        usage.set_argv_index(1);
        usage.set_omit(true);
        for ((place, _), argument) in equal.iter().zip(2..) {
            info.constraint_usage(*place).set_argv_index(argument);
        }
        let columns: Vec<String> = equal.iter().map(|(_, column)| column.to_string()).collect();
        info.set_idx_str(&columns.join(","));
        let rows = match equal.is_empty() {
            true => ESTIMATED_ROWS,
            false => ESTIMATED_FOUND,
        };
        info.set_estimated_rows(rows);
        info.set_estimated_cost(rows as f64);
        Ok(true)
    }

    fn open(&'vtab mut self) -> rusqlite::Result<WrittenCursor<'vtab, WIDTH>> {
        Ok(WrittenCursor {
            base: ffi::sqlite3_vtab_cursor::default(),
            rows: Vec::new(),
            place: 0,
            passed: 0,
            more: None,
            source: 0,
            given: false,
            table: PhantomData,
        })
    }
}

#[repr(C)]
struct WrittenCursor<'vtab, const WIDTH: usize> {
    base: ffi::sqlite3_vtab_cursor,
    rows: Vec<Row>,
    place: usize,
    /// Rows before those at hand.
    passed: i64,
    more: Option<More>,
    /// The argument: SQLite may compare it once more.
    source: i64,
    /// The rows are those at hand, of which two may be the same.
    given: bool,
    table: PhantomData<&'vtab Written<WIDTH>>,
}

/// Where further rows come from.
struct More {
    spilled: Spilled,
    table: TableId,
    equal: Vec<(usize, Value)>,
}

// SAFETY: repr(C) with SQLite's own struct first, as the trait asks.
unsafe impl<const WIDTH: usize> VTabCursor for WrittenCursor<'_, WIDTH> {
    fn filter(
        &mut self,
        _: c_int,
        columns: Option<&str>,
        call: &Filters<'_>,
    ) -> rusqlite::Result<()> {
        self.place = 0;
        self.passed = 0;
        self.source = call.get(0)?;
        (self.rows, self.more, self.given) = execution::with(|execution| {
            let mut given = call.iter();
            let source = table_function::source(execution, given.next());
            let Some(Source::Overlay { table, types, key }) = source else {
                return Err(missing());
            };
            let columns = columns.unwrap_or_default().split(',');
            let columns = columns.filter_map(|column| column.parse::<usize>().ok());
            let mut equal = Vec::new();
            for (column, value) in columns.zip(given) {
                let Some(ty) = types.get(column) else {
                    continue;
                };
                // A value that the column cannot hold is left to SQLite.
                if let Ok(value) = values::decode(value, ty)
                    && !value.is_null()
                {
                    equal.push((column, value));
                }
            }
            let overlay = execution.overlay.as_deref();
            if let Some(rows) = overlay.and_then(|overlay| overlay.given.get(table)) {
                return Ok((rows.to_vec(), None, true));
            }
            let (rows, more) = rows(execution, *table, key, equal)?;
            Ok((rows, more, false))
        })?;
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.place += 1;
        if self.place < self.rows.len() {
            return Ok(());
        }
        let Some(more) = &self.more else {
            return Ok(());
        };
        let next = more
            .spilled
            .rows
            .rows(more.table, &more.equal, self.rows.last());
        self.passed += self.rows.len() as i64;
        self.rows = next.map_err(execution::fail)?;
        self.place = 0;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.place >= self.rows.len()
    }

    fn column(&self, answer: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        if column == WIDTH {
            return answer.set_result(self.source);
        }
        match self.rows.get(self.place).and_then(|row| row.get(column)) {
            Some(value) => answer.set_result(values::encode(value)),
            None => answer.set_result(Stored(Value::Null)),
        }
    }

    /// The same for a row whatever narrowed the search: SQLite tells by it what
    /// several conditions of an OR have found twice.
    fn rowid(&self) -> rusqlite::Result<i64> {
        let place = self.passed + self.place as i64;
        if self.given {
            return Ok(place);
        }
        let row = self.rows.get(self.place);
        Ok(row.map_or(place, |row| encode::row_hash(row).0 as i64))
    }
}

fn rows(
    execution: &Arc<Execution>,
    table: TableId,
    key: &[usize],
    equal: Vec<(usize, Value)>,
) -> Result<(Vec<Row>, Option<More>)> {
    let Some(overlay) = execution.overlay.as_deref() else {
        return Ok((Vec::new(), None));
    };
    if let Some(spilled) = &overlay.spilled {
        let first = spilled.rows.rows(table, &equal, None)?;
        let more = More {
            spilled: spilled.clone(),
            table,
            equal,
        };
        return Ok((first, Some(more)));
    }
    let rows = overlay.tables.get(&table);
    let rows = rows.map(|written| in_memory(written, key, &equal));
    Ok((rows.unwrap_or_default(), None))
}

/// One row if its key is given, else all, in the order of their keys.
fn in_memory(written: &OverlayTable, key: &[usize], equal: &[(usize, Value)]) -> Vec<Row> {
    let part = |place: &usize| {
        let given = equal.iter().find(|(column, _)| column == place);
        given.map(|(_, value)| value.clone())
    };
    let whole: Option<Vec<Value>> = key.iter().map(part).collect();
    match whole.filter(|key| !key.is_empty()) {
        Some(key) => {
            let found = written.rows.get(&encode::encode_key(&key));
            found.and_then(|row| row.row.clone()).into_iter().collect()
        }
        None => {
            let live = written.rows.values().filter(|row| row.row.is_some());
            let mut live: Vec<_> = live.collect();
            // As the engine gives its own rows: many rely on it.
            live.sort_unstable_by(|a, b| compare_lists(&a.key, &b.key));
            live.into_iter().filter_map(|row| row.row.clone()).collect()
        }
    }
}
