//! Types called like functions: `date(x)`, `text(x)`, `int4(x)`… are casts.
//!
//! Resolution refuses those for which there is no cast.

use super::definition::{Definition, scalar};
use super::{Call, Function, Parameter, Returns};
use crate::error::Result;
use crate::plan::coerce::{self, Strength};
use crate::plan::evaluate::cast;
use crate::types::{Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("bool", "any -> bool", convert).stable(),
    scalar("int2", "any -> int2", convert).stable(),
    scalar("int4", "any -> int4", convert).stable(),
    scalar("int8", "any -> int8", convert).stable(),
    scalar("float4", "any -> float4", convert).stable(),
    scalar("float8", "any -> float8", convert).stable(),
    scalar("numeric", "any -> numeric", convert).stable(),
    scalar("text", "any -> text", convert).stable(),
    scalar("varchar", "any -> varchar", convert).stable(),
    scalar("bpchar", "any -> bpchar", convert).stable(),
    scalar("name", "any -> name", convert).stable(),
    scalar("bytea", "any -> bytea", convert).stable(),
    scalar("date", "any -> date", convert).stable(),
    scalar("time", "any -> time", convert).stable(),
    scalar("timestamp", "any -> timestamp", convert).stable(),
    scalar("timestamptz", "any -> timestamptz", convert).stable(),
    scalar("interval", "any -> interval", convert).stable(),
    scalar("uuid", "any -> uuid", convert).stable(),
    scalar("json", "any -> json", convert).stable(),
    scalar("jsonb", "any -> jsonb", convert).stable(),
    scalar("oid", "any -> oid", convert).stable(),
    scalar("regclass", "any -> regclass", convert).stable(),
    scalar("regtype", "any -> regtype", convert).stable(),
]];

fn convert(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let from = call.argument_type(0);
    cast::cast(
        arguments[0].clone(),
        from,
        call.result_type,
        true,
        call.context,
    )
}

/// Not a conversion, or one from this type that exists.
pub(super) fn is_possible(function: &Function, arguments: &[Type]) -> bool {
    match (&function.result, arguments) {
        (Returns::Of(to), [from])
            if function.arguments == [Parameter::Any] && function.name == to.catalog_name() =>
        {
            coerce::can_coerce(from, to, Strength::Explicit)
        }
        _ => true,
    }
}
