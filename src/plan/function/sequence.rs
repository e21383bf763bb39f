//! nextval and its kin, through the context's counters.

use std::sync::Arc;

use super::Call;
use super::arguments::{boolean, int};
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Sequences;
use crate::types::Value;
use crate::types::id::ObjectId;

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("nextval", "regclass -> int8", |call, a| {
        let sequence = sequence(call, &a[0])?;
        counters(call)?.next(sequence).map(Value::Int)
    })
    .volatile(),
    scalar("currval", "regclass -> int8", |call, a| {
        let sequence = sequence(call, &a[0])?;
        counters(call)?.current(sequence).map(Value::Int)
    })
    .volatile(),
    scalar("lastval", "-> int8", |call, _| {
        counters(call)?.last().map(Value::Int)
    })
    .volatile(),
    scalar("setval", "regclass int8 -> int8", |call, a| {
        set(call, a, true)
    })
    .volatile(),
    scalar("setval", "regclass int8 bool -> int8", |call, a| {
        set(call, a, boolean(&a[2])?)
    })
    .volatile(),
]];

fn counters<'a>(call: &Call<'a>) -> Result<&'a Arc<dyn Sequences>> {
    let sequences = call.context.sequences.as_ref();
    sequences.ok_or_else(|| Error::unsupported("moving a sequence at this place"))
}

fn sequence(call: &Call<'_>, value: &Value) -> Result<ObjectId> {
    let oid = int(value)?;
    let id = u32::try_from(oid).ok().map(ObjectId);
    let schema = &call.context.schema;
    match id {
        Some(id) if schema.sequences.contains_key(&id) => Ok(id),
        _ => Err(not_a_sequence(call, oid)),
    }
}

fn not_a_sequence(call: &Call<'_>, oid: i64) -> Error {
    let mut tables = call.context.schema.tables.values();
    match tables.find(|table| i64::from(table.id.0) == oid) {
        Some(table) => Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a sequence", table.name),
        ),
        None => Error::new(
            SqlState::INTERNAL_ERROR,
            format!("could not open relation with OID {oid}"),
        ),
    }
}

fn set(call: &Call<'_>, arguments: &[Value], called: bool) -> Result<Value> {
    let id = sequence(call, &arguments[0])?;
    let value = int(&arguments[1])?;
    if let Some(sequence) = call.context.schema.sequences.get(&id)
        && !(sequence.min..=sequence.max).contains(&value)
    {
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!(
                "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                sequence.name, sequence.min, sequence.max
            ),
        ));
    }
    counters(call)?.set(id, value, called).map(Value::Int)
}
