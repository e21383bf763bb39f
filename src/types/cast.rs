//! Casts between the types, and the fitting of values to modifiers.

use super::settings::Io;
use super::{Type, Value};
use crate::error::{Error, Result};

/// Casts a value; NULL stays NULL. `explicit` is `CAST` or `::`; else the
/// stricter rules of an assignment hold (too long a string is 22001).
pub fn cast(value: &Value, from: &Type, to: &Type, explicit: bool, io: Io<'_>) -> Result<Value> {
    let _ = (value, explicit, io);
    Err(Error::unsupported(format_args!("cast of {from} to {to}")))
}

/// Makes a value of the type obey its modifier: length, precision, scale.
pub fn fit(value: Value, to: &Type, explicit: bool) -> Result<Value> {
    let _ = (to, explicit);
    Ok(value)
}
