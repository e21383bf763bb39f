//! Comparison operators of all types; one order serves them all.

use std::cmp::Ordering;

use super::Call;
use super::definition::{Definition, scalar};
use crate::error::{Error, Result};
use crate::types::compare::compare;
use crate::types::{Type, Value, cast};

/// The six operators of one pair of types: names, operand types, module.
macro_rules! comparisons {
    ($prefix:literal, $suffix:literal, $types:literal, $module:ident) => {
        [
            scalar(
                concat!($prefix, "eq", $suffix),
                concat!($types, " -> bool"),
                $module::equal,
            )
            .operator("="),
            scalar(
                concat!($prefix, "ne", $suffix),
                concat!($types, " -> bool"),
                $module::not_equal,
            )
            .operator("<>"),
            scalar(
                concat!($prefix, "lt", $suffix),
                concat!($types, " -> bool"),
                $module::less,
            )
            .operator("<"),
            scalar(
                concat!($prefix, "le", $suffix),
                concat!($types, " -> bool"),
                $module::less_or_equal,
            )
            .operator("<="),
            scalar(
                concat!($prefix, "gt", $suffix),
                concat!($types, " -> bool"),
                $module::greater,
            )
            .operator(">"),
            scalar(
                concat!($prefix, "ge", $suffix),
                concat!($types, " -> bool"),
                $module::greater_or_equal,
            )
            .operator(">="),
        ]
    };
}
pub(super) const TABLES: &[&[Definition]] = &[
    &comparisons!("bool", "", "bool bool", same_family),
    &comparisons!("int2", "", "int2 int2", same_family),
    &comparisons!("int4", "", "int4 int4", same_family),
    &comparisons!("int8", "", "int8 int8", same_family),
    &comparisons!("int24", "", "int2 int4", same_family),
    &comparisons!("int28", "", "int2 int8", same_family),
    &comparisons!("int42", "", "int4 int2", same_family),
    &comparisons!("int48", "", "int4 int8", same_family),
    &comparisons!("int82", "", "int8 int2", same_family),
    &comparisons!("int84", "", "int8 int4", same_family),
    &comparisons!("float4", "", "float4 float4", same_family),
    &comparisons!("float8", "", "float8 float8", same_family),
    &comparisons!("float48", "", "float4 float8", same_family),
    &comparisons!("float84", "", "float8 float4", same_family),
    &comparisons!("numeric_", "", "numeric numeric", same_family),
    &comparisons!("oid", "", "oid oid", same_family),
    &comparisons!("name", "", "name name", same_family),
    &comparisons!("name", "text", "name text", same_family),
    &comparisons!("text", "name", "text name", same_family),
    &comparisons!("bpchar", "", "bpchar bpchar", blank_padded),
    &comparisons!("char", "", "char char", same_family),
    &comparisons!("bytea", "", "bytea bytea", same_family),
    &comparisons!("date_", "", "date date", same_family),
    &comparisons!("time_", "", "time time", same_family),
    &comparisons!("timestamp_", "", "timestamp timestamp", same_family),
    &comparisons!("timestamptz_", "", "timestamptz timestamptz", same_family),
    &comparisons!("interval_", "", "interval interval", same_family),
    &comparisons!("uuid_", "", "uuid uuid", same_family),
    &comparisons!("jsonb_", "", "jsonb jsonb", same_family),
    &comparisons!("array_", "", "anyarray anyarray", same_family),
    &comparisons!("oidvector", "", "oidvector oidvector", same_family),
    &comparisons!("record_", "", "record record", same_family),
    &comparisons!("date_", "_timestamp", "date timestamp", mixed_dates),
    &comparisons!("timestamp_", "_date", "timestamp date", mixed_dates),
    &comparisons!("date_", "_timestamptz", "date timestamptz", mixed_dates),
    &comparisons!("timestamptz_", "_date", "timestamptz date", mixed_dates),
    &comparisons!(
        "timestamp_",
        "_timestamptz",
        "timestamp timestamptz",
        mixed_dates
    ),
    &comparisons!(
        "timestamptz_",
        "_timestamp",
        "timestamptz timestamp",
        mixed_dates
    ),
    TEXT,
];

/// Text has names of its own.
const TEXT: &[Definition] = &[
    scalar("texteq", "text text -> bool", same_family::equal).operator("="),
    scalar("textne", "text text -> bool", same_family::not_equal).operator("<>"),
    scalar("text_lt", "text text -> bool", same_family::less).operator("<"),
    scalar("text_le", "text text -> bool", same_family::less_or_equal).operator("<="),
    scalar("text_gt", "text text -> bool", same_family::greater).operator(">"),
    scalar(
        "text_ge",
        "text text -> bool",
        same_family::greater_or_equal,
    )
    .operator(">="),
    scalar("text_pattern_lt", "text text -> bool", same_family::less).operator("~<~"),
    scalar(
        "text_pattern_le",
        "text text -> bool",
        same_family::less_or_equal,
    )
    .operator("~<=~"),
    scalar("text_pattern_gt", "text text -> bool", same_family::greater).operator("~>~"),
    scalar(
        "text_pattern_ge",
        "text text -> bool",
        same_family::greater_or_equal,
    )
    .operator("~>=~"),
    scalar("bpcharcmp", "bpchar bpchar -> int4", |call, a| {
        Ok(Value::Int(order_padded(call, a)? as i64))
    }),
    scalar("bttextcmp", "text text -> int4", same_family::three_way),
    scalar("btint4cmp", "int4 int4 -> int4", same_family::three_way),
    scalar("btint8cmp", "int8 int8 -> int4", same_family::three_way),
];

/// The operators over one ordering of two values.
macro_rules! operators {
    ($order:path) => {
        pub(super) fn equal(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_eq()))
        }

        pub(super) fn not_equal(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_ne()))
        }

        pub(super) fn less(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_lt()))
        }

        pub(super) fn less_or_equal(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_le()))
        }

        pub(super) fn greater(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_gt()))
        }

        pub(super) fn greater_or_equal(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
            Ok(Value::Bool($order(call, arguments)?.is_ge()))
        }
    };
}

mod same_family {
    use super::*;

    operators!(super::order);

    pub(super) fn three_way(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
        Ok(Value::Int(super::order(call, arguments)? as i64))
    }
}

mod blank_padded {
    use super::*;

    operators!(super::order_padded);
}

mod mixed_dates {
    use super::*;

    operators!(super::order_dates);
}

fn order(_: &Call<'_>, arguments: &[Value]) -> Result<Ordering> {
    Ok(match arguments {
        [Value::Int(left), Value::Int(right)] => left.cmp(right),
        [Value::Text(left), Value::Text(right)] => left.cmp(right),
        [left, right] => compare(left, right),
        _ => Ordering::Equal,
    })
}

/// Blanks at the end of bpchar do not count.
fn order_padded(call: &Call<'_>, arguments: &[Value]) -> Result<Ordering> {
    match arguments {
        [Value::Text(left), Value::Text(right)] => {
            Ok(left.trim_end_matches(' ').cmp(right.trim_end_matches(' ')))
        }
        _ => order(call, arguments),
    }
}

/// Dates and timestamps meet as timestamps, or as timestamps with time zone
/// in the session's zone. A date out of their range keeps its side.
fn order_dates(call: &Call<'_>, arguments: &[Value]) -> Result<Ordering> {
    let [left, right] = arguments else {
        return Ok(Ordering::Equal);
    };
    let zoned = matches!(left, Value::Timestamptz(_)) || matches!(right, Value::Timestamptz(_));
    let to = if zoned {
        Type::TIMESTAMPTZ
    } else {
        Type::TIMESTAMP
    };
    let instant = |value: &Value, place: usize| -> Result<i64> {
        if let Value::Date(days @ (i32::MIN | i32::MAX)) = value {
            return Ok(if *days < 0 { i64::MIN } else { i64::MAX });
        }
        if let (Value::Timestamp(at), false) | (Value::Timestamptz(at), true) = (value, zoned) {
            return Ok(*at);
        }
        let from = call.argument_type(place);
        match cast::cast(value, from, &to, false, call.io()) {
            Ok(Value::Timestamp(at) | Value::Timestamptz(at)) => Ok(at),
            // Past the last timestamp, but before infinity.
            Err(_) if matches!(value, Value::Date(_)) => Ok(i64::MAX - 1),
            Ok(other) => Err(Error::internal(format!("{other:?} is no instant"))),
            Err(error) => Err(error),
        }
    };
    Ok(instant(left, 0)?.cmp(&instant(right, 1)?))
}
