//! Casts between the types, and the fitting of values to modifiers.

use super::settings::Io;
use super::{Type, Value};
use crate::error::{Error, Result, SqlState};

/// Casts a value; NULL stays NULL. `explicit` is `CAST` or `::`; else the
/// stricter rules of an assignment hold (too long a string is 22001).
pub fn cast(value: &Value, from: &Type, to: &Type, explicit: bool, io: Io<'_>) -> Result<Value> {
    let _ = (value, explicit, io);
    Err(Error::unsupported(format_args!("cast of {from} to {to}")))
}

/// Makes a value of the type obey its modifier: length, precision, scale.
pub fn fit(value: Value, to: &Type, explicit: bool) -> Result<Value> {
    match (&value, to) {
        (Value::Text(text), Type::Varchar(Some(_)) | Type::Char(_)) => fit_text(text, to, explicit),
        (Value::Numeric(number), Type::Numeric(Some((precision, scale)))) => {
            number.fit(*precision, *scale).map(Value::Numeric)
        }
        (Value::Time(time), Type::Time(Some(digits))) => {
            Ok(Value::Time(round_to_digits(*time, *digits)))
        }
        (Value::Timestamp(time), Type::Timestamp(Some(digits))) => {
            Ok(Value::Timestamp(round_to_digits(*time, *digits)))
        }
        (Value::Timestamptz(time), Type::Timestamptz(Some(digits))) => {
            Ok(Value::Timestamptz(round_to_digits(*time, *digits)))
        }
        (Value::Interval(interval), Type::Interval(Some(digits))) => {
            let mut interval = *interval;
            interval.microseconds = round_to_digits(interval.microseconds, *digits);
            Ok(Value::Interval(interval))
        }
        _ => Ok(value),
    }
}

/// Fits a string to varchar(n) or char(n); `char` values lose their padding.
/// Blanks may always be cut off, other characters only by an explicit cast.
pub fn fit_text(text: &str, to: &Type, explicit: bool) -> Result<Value> {
    let (limit, name, kept) = match to {
        Type::Varchar(Some(limit)) => (*limit as usize, "character varying", text),
        Type::Char(Some(limit)) => (*limit as usize, "character", text.trim_end_matches(' ')),
        Type::Char(None) => return Ok(Value::text(text.trim_end_matches(' '))),
        _ => return Ok(Value::text(text)),
    };
    // A text of so few bytes needs no counting.
    if kept.len() <= limit {
        return Ok(Value::text(kept));
    }
    let Some((end, _)) = kept.char_indices().nth(limit) else {
        return Ok(Value::text(kept));
    };
    let (head, tail) = kept.split_at(end);
    if !explicit && tail.bytes().any(|b| b != b' ') {
        return Err(Error::new(
            SqlState::STRING_DATA_RIGHT_TRUNCATION,
            format!("value too long for type {name}({limit})"),
        ));
    }
    Ok(Value::text(match to {
        Type::Char(_) => head.trim_end_matches(' '),
        _ => head,
    }))
}

/// Rounds microseconds to so many digits after the second, half away from
/// zero; the infinities stay.
pub fn round_to_digits(microseconds: i64, digits: u8) -> i64 {
    if digits >= 6 || microseconds == i64::MIN || microseconds == i64::MAX {
        return microseconds;
    }
    let unit = 10_i64.pow(6 - u32::from(digits));
    let half = unit / 2;
    if microseconds >= 0 {
        microseconds.saturating_add(half) / unit * unit
    } else {
        -(half.saturating_sub(microseconds) / unit * unit)
    }
}
