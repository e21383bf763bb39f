//! `pyql_rows`: the table-valued function behind functions in FROM, LATERAL
//! and `= ANY (array)`.
//!
//! Its first argument is the number of a [`Source`] of the running query.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor,
};
use rusqlite::{Connection, ffi};

use super::dialect::from::{MAX_SOURCE_ARGUMENTS, NARROW_COLUMNS, WIDE_COLUMNS};
use super::dialect::{LEAVES, Source};
use super::execution::{self, Execution};
use super::functions::{Stored, missing};
use super::{table_function, values};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::{RowScope, evaluate};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::{ArgumentTypes, Call, FunctionBody, Returns};
use crate::types::{Type, Value};

/// What SQLite's planner is told to expect of a source.
const ESTIMATED_ROWS: i64 = 100;

/// Registers the function in both widths.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    const NARROW: Module<'_, RowsTable<NARROW_COLUMNS>> = Module::eponymous_only_module();
    const WIDE: Module<'_, RowsTable<WIDE_COLUMNS>> = Module::eponymous_only_module();
    connection.create_module("pyql_rows", &NARROW, None)?;
    connection.create_module("pyql_rows_wide", &WIDE, None)
}

#[repr(C)]
struct RowsTable<const WIDTH: usize> {
    base: ffi::sqlite3_vtab,
}

// SAFETY: repr(C) with SQLite's own struct first, as the trait asks.
unsafe impl<'vtab, const WIDTH: usize> VTab<'vtab> for RowsTable<WIDTH> {
    type Aux = ();
    type Cursor = RowsCursor<'vtab, WIDTH>;

    fn connect(
        _: &mut VTabConnection,
        _: Option<&()>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> rusqlite::Result<(Cow<'static, CStr>, Self)> {
        // The number of the source, then its arguments.
        let arguments = (0..=MAX_SOURCE_ARGUMENTS).map(|place| format!("a{place}"));
        let declaration = table_function::declaration(WIDTH, arguments)?;
        let base = ffi::sqlite3_vtab::default();
        Ok((declaration, RowsTable { base }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> rusqlite::Result<bool> {
        let mut arguments = Vec::new();
        for (place, constraint) in info.constraints().enumerate() {
            let Some(argument) = usize::try_from(constraint.column())
                .ok()
                .and_then(|column| column.checked_sub(WIDTH))
            else {
                continue;
            };
            let equal = constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ;
            if !constraint.is_usable() || !equal {
                return Ok(false);
            }
            arguments.push((place, argument));
        }
        for (place, argument) in arguments {
            let mut usage = info.constraint_usage(place);
            usage.set_argv_index(argument as c_int + 1);
            usage.set_omit(true);
        }
        info.set_estimated_rows(ESTIMATED_ROWS);
        info.set_estimated_cost(ESTIMATED_ROWS as f64);
        Ok(true)
    }

    fn open(&'vtab mut self) -> rusqlite::Result<RowsCursor<'vtab, WIDTH>> {
        Ok(RowsCursor {
            base: ffi::sqlite3_vtab_cursor::default(),
            rows: Rows::Listed(Vec::new()),
            place: 0,
            table: PhantomData,
        })
    }
}

#[repr(C)]
struct RowsCursor<'vtab, const WIDTH: usize> {
    base: ffi::sqlite3_vtab_cursor,
    rows: Rows,
    place: usize,
    table: PhantomData<&'vtab RowsTable<WIDTH>>,
}

enum Rows {
    Listed(Vec<Vec<Value>>),
    /// generate_series over integers, which may be long.
    Series(Series),
}

struct Series {
    /// `None`: past the end.
    next: Option<i64>,
    stop: i64,
    step: i64,
}

// SAFETY: repr(C) with SQLite's own struct first, as the trait asks.
unsafe impl<const WIDTH: usize> VTabCursor for RowsCursor<'_, WIDTH> {
    fn filter(&mut self, _: c_int, _: Option<&str>, call: &Filters<'_>) -> rusqlite::Result<()> {
        self.place = 0;
        self.rows = execution::with(|execution| {
            let source = table_function::source(execution, call.iter().next());
            let read = |types: &[Type]| -> Result<Vec<Value>> {
                let pairs = call.iter().skip(1).zip(types);
                pairs.map(|(value, ty)| values::decode(value, ty)).collect()
            };
            rows(execution, source.ok_or_else(missing)?, &read)
        })?;
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<()> {
        self.place += 1;
        if let Rows::Series(series) = &mut self.rows {
            series.advance();
        }
        Ok(())
    }

    fn eof(&self) -> bool {
        match &self.rows {
            Rows::Listed(rows) => self.place >= rows.len(),
            Rows::Series(series) => series.next.is_none(),
        }
    }

    fn column(&self, answer: &mut Context, column: c_int) -> rusqlite::Result<()> {
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        match &self.rows {
            Rows::Listed(rows) => match rows.get(self.place).and_then(|row| row.get(column)) {
                Some(value) => answer.set_result(values::encode(value)),
                None => answer.set_result(Stored(Value::Null)),
            },
            Rows::Series(series) => match column {
                0 => answer.set_result(series.next),
                // WITH ORDINALITY.
                _ => answer.set_result(self.place as i64 + 1),
            },
        }
    }

    fn rowid(&self) -> rusqlite::Result<i64> {
        Ok(self.place as i64)
    }
}

impl Series {
    fn new(start: i64, stop: i64, step: i64) -> Series {
        let mut series = Series {
            next: Some(start),
            stop,
            step,
        };
        series.check();
        series
    }

    fn advance(&mut self) {
        self.next = self.next.and_then(|next| next.checked_add(self.step));
        self.check();
    }

    fn check(&mut self) {
        let (step, stop) = (self.step, self.stop);
        self.next = self.next.filter(|next| match step > 0 {
            true => *next <= stop,
            false => *next >= stop,
        });
    }
}

type ReadArguments<'a> = &'a dyn Fn(&[Type]) -> Result<Vec<Value>>;

fn rows(execution: &Execution, source: &Source, read: ReadArguments<'_>) -> Result<Rows> {
    let rows = match source {
        Source::Calls {
            calls,
            leaves,
            ordinality,
            packed,
        } => {
            let mut rows = called(execution, calls, &read(leaves)?, *packed)?;
            if *ordinality && let Rows::Listed(rows) = &mut rows {
                for (row, number) in rows.iter_mut().zip(1..) {
                    row.push(Value::Int(number));
                }
            }
            return Ok(rows);
        }
        Source::Elements(element) => {
            let array = read(&[Type::Array(Box::new(element.clone()))])?;
            match array.into_iter().next() {
                Some(Value::Array(array)) => array.values.iter().map(|v| vec![v.clone()]).collect(),
                _ => vec![vec![Value::Null]],
            }
        }
        Source::Records(_) => {
            let array = read(&[Type::Array(Box::new(Type::Record))])?;
            match array.into_iter().next() {
                Some(Value::Array(array)) => array.values.iter().map(fields).collect(),
                _ => Vec::new(),
            }
        }
        Source::Overlay { .. } => return Err(missing()),
    };
    Ok(Rows::Listed(rows))
}

fn fields(record: &Value) -> Vec<Value> {
    match record {
        Value::Record(fields) => fields.to_vec(),
        other => vec![other.clone()],
    }
}

fn called(
    execution: &Execution,
    calls: &[Expression],
    leaves: &[Value],
    packed: bool,
) -> Result<Rows> {
    let mut lists = Vec::new();
    for call in calls {
        match call_rows(execution, call, leaves)? {
            Rows::Listed(rows) if packed && width(call) > 1 => {
                let records = rows.into_iter().map(|row| vec![Value::Record(row.into())]);
                lists.push(records.collect());
            }
            Rows::Listed(rows) => lists.push(rows),
            Rows::Series(series) if calls.len() == 1 => return Ok(Rows::Series(series)),
            Rows::Series(mut series) => {
                let mut rows = Vec::new();
                while let Some(next) = series.next {
                    rows.push(vec![Value::Int(next)]);
                    series.advance();
                }
                lists.push(rows);
            }
        }
    }
    Ok(Rows::Listed(match <[_; 1]>::try_from(lists) {
        Ok([rows]) => rows,
        Err(lists) => {
            let widths = calls
                .iter()
                .map(|call| if packed { 1 } else { width(call) });
            side_by_side(&lists, &widths.collect::<Vec<_>>())
        }
    }))
}

/// The columns that a call yields.
fn width(call: &Expression) -> usize {
    match &call.kind {
        ExpressionKind::Call { function, .. } => match &function.result {
            Returns::Columns(columns) => columns.len(),
            _ => 1,
        },
        _ => 1,
    }
}

/// Several lists as the columns of one, the shorter ones filled up with NULL.
fn side_by_side(lists: &[Vec<Vec<Value>>], widths: &[usize]) -> Vec<Vec<Value>> {
    let length = lists.iter().map(Vec::len).max().unwrap_or(0);
    let row = |place: usize| {
        let cells = lists.iter().zip(widths).flat_map(|(list, width)| {
            let cell = move |column: usize| list.get(place).and_then(|row| row.get(column));
            (0..*width).map(move |column| cell(column).cloned().unwrap_or(Value::Null))
        });
        cells.collect()
    };
    (0..length).map(row).collect()
}

fn call_rows(execution: &Execution, call: &Expression, leaves: &[Value]) -> Result<Rows> {
    let scope = RowScope {
        relation: LEAVES,
        row: leaves,
        parameters: &execution.parameters,
    };
    let ExpressionKind::Call {
        function,
        arguments,
    } = &call.kind
    else {
        let value = evaluate(call, &scope, &execution.context)?;
        return Ok(Rows::Listed(vec![vec![value]]));
    };
    let FunctionBody::Rows(body) = function.body else {
        let value = evaluate(call, &scope, &execution.context)?;
        return Ok(Rows::Listed(vec![vec![value]]));
    };
    let given = arguments
        .iter()
        .map(|argument| evaluate(argument, &scope, &execution.context))
        .collect::<Result<Vec<Value>>>()?;
    if function.strict && given.iter().any(Value::is_null) {
        return Ok(Rows::Listed(Vec::new()));
    }
    if function.name == "generate_series"
        && let Some(series) = integer_series(&given)?
    {
        return Ok(Rows::Series(series));
    }
    let context = Call {
        context: &execution.context,
        arguments: ArgumentTypes::Expressions(arguments),
        result_type: &call.ty,
    };
    body(&context, &given).map(Rows::Listed)
}

fn integer_series(given: &[Value]) -> Result<Option<Series>> {
    let (start, stop, step) = match given {
        [Value::Int(start), Value::Int(stop)] => (*start, *stop, 1),
        [Value::Int(start), Value::Int(stop), Value::Int(step)] => (*start, *stop, *step),
        _ => return Ok(None),
    };
    if step == 0 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "step size cannot equal zero",
        ));
    }
    Ok(Some(Series::new(start, stop, step)))
}
