//! Casts at run time: the pure ones of `types`, and those of the reg types,
//! which need to know the schema.

use crate::error::Result;
use crate::plan::coerce;
use crate::plan::context::Context;
use crate::plan::function::Volatility;
use crate::types::{Type, Value};

/// Casts a value; NULL stays NULL.
pub fn cast(
    value: Value,
    from: &Type,
    to: &Type,
    explicit: bool,
    context: &Context,
) -> Result<Value> {
    if value.is_null() || coerce::is_relabel(from, to) {
        return Ok(value);
    }
    crate::types::cast::cast(&value, from, to, explicit, context.io())
}

/// Texts of dates and times depend on settings, reg types on the schema.
pub(super) fn volatility(from: &Type, to: &Type) -> Volatility {
    match depends_on_session(from) || depends_on_session(to) {
        true if !from.same_base(to) && !coerce::is_relabel(from, to) => Volatility::Stable,
        _ => Volatility::Immutable,
    }
}

fn depends_on_session(ty: &Type) -> bool {
    match ty {
        Type::Date | Type::Time(_) | Type::Timestamp(_) | Type::Timestamptz(_) => true,
        Type::Interval(_) | Type::Bytea | Type::Float4 | Type::Float8 => true,
        Type::Regclass | Type::Regtype | Type::Regproc | Type::Regnamespace => true,
        Type::Array(element) => depends_on_session(element),
        Type::Json | Type::Jsonb | Type::Record => false,
        _ => false,
    }
}
