//! Casts at run time: the pure ones of `types`, and those of the reg types,
//! which need to know the schema.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::plan::coerce;
use crate::plan::context::Context;
use crate::plan::function::Volatility;
use crate::plan::function::names;
use crate::types::{Array, Type, Value};

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
    if is_reg(from) || is_reg(to) {
        return cast_reg(value, from, to, explicit, context);
    }
    crate::types::cast::cast(&value, from, to, explicit, context.io())
}

pub(crate) fn is_reg(ty: &Type) -> bool {
    ty.is_reg()
}

fn cast_reg(
    value: Value,
    from: &Type,
    to: &Type,
    explicit: bool,
    context: &Context,
) -> Result<Value> {
    match &value {
        Value::Text(text) if is_reg(to) => read_reg(text, to, context).map(Value::Int),
        Value::Int(oid) if is_reg(from) && to.is_string() => {
            let text = Value::text(print_reg(*oid, from, context));
            crate::types::cast::cast(&text, &Type::Text, to, explicit, context.io())
        }
        // Between numbers; both sides are integers.
        Value::Int(_) => {
            let plain = |ty: &Type| match is_reg(ty) {
                true => Type::Oid,
                false => ty.clone(),
            };
            match (plain(from), plain(to)) {
                (from, to) if from == to => Ok(value),
                (from, to) => crate::types::cast::cast(&value, &from, &to, explicit, context.io()),
            }
        }
        _ => Err(Error::unsupported(format!("a cast from {from} to {to}"))),
    }
}

/// The oid that a name means to a reg type.
pub fn read_reg(text: &str, ty: &Type, context: &Context) -> Result<i64> {
    let oid = match ty {
        Type::Regclass => {
            names::relation_oid(text, context)?.ok_or_else(|| names::unknown_relation(text))?
        }
        Type::Regtype => names::type_oid(text)?,
        Type::Regnamespace => names::schema_oid(text)?,
        Type::Regprocedure => names::procedure_oid(text)?,
        Type::Regrole => names::role_oid(text, &context.users)?,
        _ => names::function_oid(text)?,
    };
    Ok(oid.into())
}

/// What a reg type prints for an oid; clients see it in place of the number.
pub fn print_reg(oid: i64, ty: &Type, context: &Context) -> String {
    match ty {
        Type::Regclass => names::relation_name(oid, context),
        Type::Regtype => names::type_name_of(oid),
        Type::Regnamespace => names::schema_name(oid),
        Type::Regprocedure => names::procedure_name(oid),
        Type::Regrole => names::role_shown(oid, &context.users),
        _ => names::function_name(oid),
    }
}

/// Whether a type's values are printed by name, or hold such.
pub fn prints_names(ty: &Type) -> bool {
    match ty {
        Type::Array(element) => is_reg(element),
        ty => is_reg(ty),
    }
}

/// A value of such a type with names in place of numbers, as text of
/// the same shape; `None` for other values.
pub fn with_names(value: &Value, ty: &Type, context: &Context) -> Option<Value> {
    match (value, ty) {
        (Value::Int(oid), ty) if is_reg(ty) => Some(Value::text(print_reg(*oid, ty, context))),
        (Value::Array(array), Type::Array(element)) if is_reg(element) => {
            let named = |value: &Value| with_names(value, element, context);
            let values = array.values.iter();
            let values = values.map(|value| named(value).unwrap_or(Value::Null));
            Some(Value::Array(Arc::new(Array {
                element: Type::Text,
                dimensions: array.dimensions.clone(),
                values: values.collect(),
            })))
        }
        _ => None,
    }
}

/// Texts of some types and the day of an instant depend on settings, reg
/// types on the schema.
pub(super) fn volatility(from: &Type, to: &Type) -> Volatility {
    use Type::{Array, Bytea, Date, Float4, Float8, Interval, Time, Timestamp, Timestamptz};
    let printed_by_settings = |ty: &Type| {
        matches!(
            ty,
            Date | Time(_) | Timestamp(_) | Timestamptz(_) | Interval(_) | Bytea | Float4 | Float8
        )
    };
    let stable = match (from, to) {
        (Array(from), Array(to)) => return volatility(from, to),
        (Array(element), _) | (_, Array(element)) => {
            is_reg(element) || printed_by_settings(element)
        }
        _ if is_reg(from) || is_reg(to) => true,
        (Timestamptz(_), Date | Time(_) | Timestamp(_)) => true,
        (Date | Timestamp(_), Timestamptz(_)) => true,
        (Type::Record | Type::Row(_), _) => true,
        _ => {
            (from.is_string() && printed_by_settings(to))
                || (to.is_string() && printed_by_settings(from))
        }
    };
    if stable {
        Volatility::Stable
    } else {
        Volatility::Immutable
    }
}
