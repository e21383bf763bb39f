//! The SQL functions that rendered queries call.
//!
//! Few and general, so that registering them on a connection is cheap: their
//! first argument is a number into the running query's tables.

use std::cmp::Ordering;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, Value as SqlValue};

use super::dialect::{Fold, FoldKind, LEAVES, Source};
use super::execution::{self, Execution};
use super::values;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::{RowScope, evaluate};
use crate::plan::function::{Accumulator, ArgumentTypes, Call, FunctionBody};
use crate::types::compare::{compare, same};
use crate::types::{Array, Type, Value, encode};

/// Rows that one aggregate may hold back to sort or to gather.
const MAX_FOLDED_ROWS: usize = 10_000_000;

/// Any number of arguments.
pub(super) const VARIADIC: i32 = -1;

/// A value on its way to SQLite.
pub(super) struct Stored(pub(super) Value);

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(values::encode(&self.0))
    }
}

/// Registers all functions on a connection.
pub fn register(connection: &Connection) -> rusqlite::Result<()> {
    let volatile = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    let steady = volatile | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("pyql_compute", VARIADIC, steady, |call| compute(call))?;
    connection.create_scalar_function("pyql_compute_volatile", VARIADIC, volatile, |call| {
        compute(call)
    })?;
    connection.create_scalar_function("pyql_overlaid", VARIADIC, steady, |call| overlaid(call))?;
    connection.create_scalar_function("pyql_limit", 1, steady, |call| {
        let state = SqlState::INVALID_ROW_COUNT_IN_LIMIT;
        row_count(call, -1, state, "LIMIT must not be negative")
    })?;
    connection.create_scalar_function("pyql_offset", 1, steady, |call| {
        let state = SqlState::INVALID_ROW_COUNT_IN_OFFSET;
        row_count(call, 0, state, "OFFSET must not be negative")
    })?;
    connection.create_aggregate_function("pyql_fold", VARIADIC, steady, Folds)?;
    connection.create_aggregate_function("pyql_single", 1, steady, Single)
}

pub(super) fn number(call: &Context<'_>) -> Result<usize> {
    let number = match call.is_empty() {
        true => None,
        false => call.get::<i64>(0).ok(),
    };
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| Error::internal("a call of ours has no number"))
}

pub(super) fn missing() -> Error {
    Error::internal("a call of ours has a number that the query does not know")
}

/// The arguments after the number, read by their types.
pub(super) fn arguments<'a>(
    call: &Context<'_>,
    types: impl Iterator<Item = &'a Type>,
) -> Result<Vec<Value>> {
    types
        .enumerate()
        .map(|(place, ty)| match place + 1 < call.len() {
            true => values::decode(call.get_raw(place + 1), ty),
            false => Err(missing()),
        })
        .collect()
}

fn compute(call: &Context<'_>) -> rusqlite::Result<Stored> {
    execution::with(|execution| {
        let computed = execution.rendered.computed.get(number(call)?);
        let computed = computed.ok_or_else(missing)?;
        let row = arguments(call, computed.leaves.iter())?;
        let scope = RowScope {
            relation: LEAVES,
            row: &row,
            parameters: &execution.parameters,
        };
        evaluate(&computed.expression, &scope, &execution.context).map(Stored)
    })
}

/// Whether the transaction has written the row of this key.
fn overlaid(call: &Context<'_>) -> rusqlite::Result<bool> {
    execution::with(|execution| {
        let source = execution.rendered.sources.get(number(call)?);
        let Some(Source::Overlay { table, types, key }) = source else {
            return Err(missing());
        };
        let Some(overlay) = execution.overlay.as_deref() else {
            return Ok(false);
        };
        let key = arguments(call, key.iter().map(|place| &types[*place]))?;
        if let Some(spilled) = &overlay.spilled {
            return spilled.rows.holds(*table, &key);
        }
        let Some(written) = overlay.tables.get(table) else {
            return Ok(false);
        };
        Ok(written.rows.contains_key(&encode::encode_key(&key)))
    })
}

fn row_count(
    call: &Context<'_>,
    for_null: i64,
    state: SqlState,
    message: &str,
) -> rusqlite::Result<i64> {
    match call.get::<Option<i64>>(0)? {
        None => Ok(for_null),
        Some(count) if count < 0 => Err(execution::fail(Error::new(state, message))),
        Some(count) => Ok(count),
    }
}

/// `pyql_fold`: any aggregate of the registry, sorting and sifting its input
/// if told to.
struct Folds;

struct Folding {
    execution: Arc<Execution>,
    number: usize,
    accumulator: Option<Box<dyn Accumulator>>,
    /// Sort keys and arguments, where they must be seen together first.
    rows: Vec<(Vec<Value>, Vec<Value>)>,
}

impl Aggregate<AssertUnwindSafe<Folding>, Option<Stored>> for Folds {
    fn init(&self, call: &mut Context<'_>) -> rusqlite::Result<AssertUnwindSafe<Folding>> {
        execution::with(|execution| {
            let number = number(call)?;
            Ok(AssertUnwindSafe(Folding {
                execution: execution.clone(),
                number,
                accumulator: start(execution, fold(execution, number)?)?,
                rows: Vec::new(),
            }))
        })
    }

    fn step(
        &self,
        call: &mut Context<'_>,
        folding: &mut AssertUnwindSafe<Folding>,
    ) -> rusqlite::Result<()> {
        folding.0.step(call).map_err(execution::fail)
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        folding: Option<AssertUnwindSafe<Folding>>,
    ) -> rusqlite::Result<Option<Stored>> {
        // Over no rows: NULL, as of all aggregates that are not SQLite's own.
        let Some(AssertUnwindSafe(folding)) = folding else {
            return Ok(None);
        };
        folding
            .finish()
            .map(|value| Some(Stored(value)))
            .map_err(execution::fail)
    }
}

pub(super) fn fold(execution: &Execution, number: usize) -> Result<&Fold> {
    execution.rendered.folds.get(number).ok_or_else(missing)
}

/// A new accumulator; `None` where rows are only gathered.
pub(super) fn start(execution: &Execution, fold: &Fold) -> Result<Option<Box<dyn Accumulator>>> {
    let FoldKind::Aggregate(function) = &fold.kind else {
        return Ok(None);
    };
    let (FunctionBody::Aggregate(start) | FunctionBody::Ordered(start)) = function.body else {
        return Err(Error::unsupported(format_args!(
            "{} as an aggregate",
            function.name
        )));
    };
    Ok(Some(start(&Call {
        context: &execution.context,
        arguments: ArgumentTypes::Types(&fold.arguments),
        result_type: &fold.result,
    })))
}

/// A strict aggregate passes over rows with a NULL argument.
pub(super) fn is_skipped(fold: &Fold, row: &[Value]) -> bool {
    match &fold.kind {
        FoldKind::Aggregate(function) => function.strict && row.iter().any(Value::is_null),
        FoldKind::Array | FoldKind::Records => false,
    }
}

impl Folding {
    fn step(&mut self, call: &Context<'_>) -> Result<()> {
        let fold = fold(&self.execution, self.number)?;
        let keys = fold.order.iter().map(|key| &key.ty);
        let mut row = arguments(call, fold.arguments.iter().chain(keys))?;
        let keys = row.split_off(fold.arguments.len());
        let skipped = is_skipped(fold, &row);
        let at_once = fold.order.is_empty() && !fold.distinct;
        match &mut self.accumulator {
            _ if skipped => Ok(()),
            Some(accumulator) if at_once => accumulator.step(&row),
            _ if self.rows.len() >= MAX_FOLDED_ROWS => Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "an aggregate gathers too many rows",
            )),
            _ => {
                self.rows.push((keys, row));
                Ok(())
            }
        }
    }

    fn finish(mut self) -> Result<Value> {
        let mut rows = std::mem::take(&mut self.rows);
        let fold = fold(&self.execution, self.number)?;
        if fold.distinct || !fold.order.is_empty() {
            rows.sort_by(|a, b| in_order(fold, a, b));
        }
        if fold.distinct {
            rows.dedup_by(|a, b| all_same(&a.1, &b.1));
        }
        match &fold.kind {
            FoldKind::Aggregate(_) => {}
            FoldKind::Array => {
                let element = fold.arguments.first().cloned().unwrap_or(Type::Unknown);
                let values = rows
                    .into_iter()
                    .filter_map(|(_, row)| row.into_iter().next());
                let array = Array::one_dimensional(element, values.collect());
                return Ok(Value::Array(Arc::new(array)));
            }
            FoldKind::Records => {
                let records = rows.into_iter().map(|(_, row)| Value::Record(row.into()));
                let array = Array::one_dimensional(Type::Record, records.collect());
                return Ok(Value::Array(Arc::new(array)));
            }
        }
        let mut accumulator = self.accumulator.take().ok_or_else(missing)?;
        for (_, row) in &rows {
            accumulator.step(row)?;
        }
        accumulator.finish()
    }
}

type Held = (Vec<Value>, Vec<Value>);

/// By the sort keys, then, so that equal rows meet under DISTINCT, by the arguments.
fn in_order(fold: &Fold, a: &Held, b: &Held) -> Ordering {
    for (place, key) in fold.order.iter().enumerate() {
        let (a, b) = (&a.0[place], &b.0[place]);
        let ordering = match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if key.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if key.descending => compare(b, a),
            (false, false) => compare(a, b),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    if !fold.distinct {
        return Ordering::Equal;
    }
    let pairs = a.1.iter().zip(&b.1);
    let mut orderings = pairs.map(|(a, b)| match (a.is_null(), b.is_null()) {
        (false, false) => compare(a, b),
        (a, b) => a.cmp(&b),
    });
    orderings
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

fn all_same(a: &[Value], b: &[Value]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| match (a.is_null(), b.is_null()) {
            (false, false) => same(a, b),
            (a, b) => a == b,
        })
}

/// `pyql_single`: the value of the only row; NULL of none.
struct Single;

impl Aggregate<Option<SqlValue>, SqlValue> for Single {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<SqlValue>> {
        Ok(None)
    }

    fn step(&self, call: &mut Context<'_>, seen: &mut Option<SqlValue>) -> rusqlite::Result<()> {
        if seen.is_some() {
            return Err(execution::fail(Error::new(
                SqlState::CARDINALITY_VIOLATION,
                "more than one row returned by a subquery used as an expression",
            )));
        }
        *seen = Some(call.get(0)?);
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        seen: Option<Option<SqlValue>>,
    ) -> rusqlite::Result<SqlValue> {
        Ok(seen.flatten().unwrap_or(SqlValue::Null))
    }
}
