//! Casts between the types, and the fitting of values to modifiers.
//!
//! Which casts an expression may use without being asked is the planner's to
//! know; here is what each does. Not handled: names of relations and types for
//! the reg types, which need the schema.

use super::settings::Io;
use super::{Array, Interval, Numeric, Type, Value, datetime, json, text};
use crate::error::{Error, Result, SqlState};
use datetime::zone::Zone;
use datetime::{MICROSECONDS_PER_DAY, is_infinite};

/// Casts a value; NULL stays NULL. `explicit` is `CAST` or `::`; else the
/// stricter rules of an assignment hold (too long a string is 22001).
/// 42846 where PostgreSQL has no such cast.
pub fn cast(value: &Value, from: &Type, to: &Type, explicit: bool, io: Io<'_>) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if to.is_string() {
        return cast_to_string(value, from, to, explicit, io);
    }
    let cast = match value {
        Value::Text(text) => return text::input(text, to, io),
        _ if from.same_base(to) => return fit(value.clone(), to, explicit),
        Value::Bool(b) => bool_to(*b, to),
        Value::Int(n) => integer_to(*n, to)?,
        Value::Float(x) => float_to(*x, from, to)?,
        Value::Numeric(number) => numeric_to(number, to)?,
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) | Value::Timestamptz(_) => {
            time_to(value, to, io)?
        }
        Value::Interval(interval) => interval_to(interval, to),
        Value::Json(text) if *to == Type::Jsonb => Some(Value::Jsonb(json::canonical(text)?)),
        Value::Jsonb(text) => jsonb_to(text, to)?,
        Value::Array(array) => array_to(array, to, explicit, io)?,
        _ => None,
    };
    match cast {
        Some(value) => fit(value, to, explicit),
        None => Err(Error::new(
            SqlState::CANNOT_COERCE,
            format!("cannot cast type {from} to {to}"),
        )),
    }
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
        (Value::Array(array), Type::Array(element)) if element.modifier() >= 0 => {
            let values = array.values.iter().cloned();
            let values = values.map(|value| fit(value, element, explicit));
            Ok(Value::Array(
                Array {
                    element: (**element).clone(),
                    dimensions: array.dimensions.clone(),
                    values: values.collect::<Result<_>>()?,
                }
                .into(),
            ))
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
        Type::Char(None) if !explicit => return Ok(Value::text(text.trim_end_matches(' '))),
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

/// Everything prints; only booleans print otherwise than on output.
fn cast_to_string(
    value: &Value,
    from: &Type,
    to: &Type,
    explicit: bool,
    io: Io<'_>,
) -> Result<Value> {
    match (value, to) {
        (Value::Text(_), Type::Text) if !matches!(from, Type::Char(_)) => {
            return Ok(value.clone());
        }
        (Value::Int(code), Type::InternalChar) if *from == Type::Int4 => {
            let code = u8::try_from(*code)
                .ok()
                .filter(u8::is_ascii)
                .ok_or_else(|| out_of_range("\"char\""))?;
            return Ok(Value::text((code as char).to_string()));
        }
        _ => {}
    }
    let printed: std::borrow::Cow<'_, str> = match value {
        Value::Text(_) if matches!((from, to), (Type::Char(Some(_)), Type::Char(None))) => {
            return Ok(Value::text(text::to_text(value, from, io)));
        }
        Value::Text(text) if matches!(from, Type::Char(_)) && !matches!(to, Type::Char(_)) => {
            text.trim_end_matches(' ').into()
        }
        Value::Text(text) => (&**text).into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        other => text::to_text(other, from, io).into(),
    };
    match to {
        Type::Varchar(_) | Type::Char(_) => fit_text(&printed, to, explicit),
        _ => text::input(&printed, to, io),
    }
}

fn bool_to(value: bool, to: &Type) -> Option<Value> {
    (*to == Type::Int4).then_some(Value::Int(i64::from(value)))
}

fn integer_to(value: i64, to: &Type) -> Result<Option<Value>> {
    Ok(Some(match to {
        Type::Bool => Value::Bool(value != 0),
        Type::Int2 => Value::Int(within(value, i16::MIN, i16::MAX, "smallint")?),
        // An oid's bits are those of an int4.
        Type::Int4 => Value::Int(within(value, i32::MIN, i32::MAX, "integer")?),
        Type::Int8 => Value::Int(value),
        Type::Float4 => Value::Float(f64::from(value as f32)),
        Type::Float8 => Value::Float(value as f64),
        Type::Numeric(_) => Value::Numeric(Numeric::from_i64(value)),
        Type::Oid
        | Type::Regclass
        | Type::Regtype
        | Type::Regproc
        | Type::Regnamespace
        | Type::Regprocedure
        | Type::Regrole => Value::Int(match value {
            -0x8000_0000..0 => i64::from(value as i32 as u32),
            0..=0xffff_ffff => value,
            _ => return Err(out_of_range("OID")),
        }),
        _ => return Ok(None),
    }))
}

fn float_to(value: f64, from: &Type, to: &Type) -> Result<Option<Value>> {
    let rounded = |minimum: f64, limit: f64, name| {
        let whole = value.round_ties_even();
        // `limit` itself is the first that does not fit.
        if whole >= minimum && whole < limit {
            Ok(Value::Int(whole as i64))
        } else {
            Err(out_of_range(name))
        }
    };
    Ok(Some(match to {
        Type::Int2 => rounded(-32_768.0, 32_768.0, "smallint")?,
        Type::Int4 => rounded(-2_147_483_648.0, 2_147_483_648.0, "integer")?,
        Type::Int8 => rounded(-(2_f64.powi(63)), 2_f64.powi(63), "bigint")?,
        Type::Float8 => Value::Float(value),
        Type::Float4 => Value::Float(narrow(value)?),
        Type::Numeric(_) if *from == Type::Float4 => {
            Value::Numeric(Numeric::from_f32(value as f32))
        }
        Type::Numeric(_) => Value::Numeric(Numeric::from_f64(value)),
        _ => return Ok(None),
    }))
}

/// A float8 as a float4.
pub fn narrow(value: f64) -> Result<f64> {
    let narrow = value as f32;
    let lost = |what| {
        Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value out of range: {what}"),
        ))
    };
    if narrow.is_infinite() && value.is_finite() {
        lost("overflow")
    } else if narrow == 0.0 && value != 0.0 {
        lost("underflow")
    } else {
        Ok(f64::from(narrow))
    }
}

fn numeric_to(number: &Numeric, to: &Type) -> Result<Option<Value>> {
    let float = |name: &str| {
        let value = number.to_f64();
        if value.is_infinite() && !number.is_infinite() || value == 0.0 && !number.is_zero() {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("\"{number}\" is out of range for type {name}"),
            ));
        }
        Ok(value)
    };
    Ok(Some(match to {
        Type::Int2 => {
            Value::Int(number.to_integer("smallint", i64::from(i16::MIN), i64::from(i16::MAX))?)
        }
        Type::Int4 => {
            Value::Int(number.to_integer("integer", i64::from(i32::MIN), i64::from(i32::MAX))?)
        }
        Type::Int8 => Value::Int(number.to_i64()?),
        Type::Float8 => Value::Float(float("double precision")?),
        Type::Float4 => {
            let wide = float("real")?;
            if wide.is_finite() {
                // From the digits, so as to round once.
                Value::Float(f64::from(super::float::parse_f32(&number.to_string())?))
            } else {
                Value::Float(wide)
            }
        }
        _ => return Ok(None),
    }))
}

fn time_to(value: &Value, to: &Type, io: Io<'_>) -> Result<Option<Value>> {
    let zone = || Zone::of(&io.settings.time_zone);
    let time_of_day = |timestamp: i64| match is_infinite(timestamp) {
        true => Value::Null,
        false => Value::Time(timestamp.rem_euclid(MICROSECONDS_PER_DAY)),
    };
    Ok(Some(match (value, to) {
        (Value::Date(days), Type::Timestamp(_)) => {
            Value::Timestamp(datetime::date_to_timestamp(*days)?)
        }
        (Value::Date(days), Type::Timestamptz(_)) => {
            Value::Timestamptz(zone()?.to_instant(datetime::date_to_timestamp(*days)?)?)
        }
        (Value::Timestamp(local), Type::Date) => Value::Date(datetime::timestamp_to_date(*local)),
        (Value::Timestamp(local), Type::Time(_)) => time_of_day(*local),
        (Value::Timestamp(local), Type::Timestamptz(_)) => {
            Value::Timestamptz(zone()?.to_instant(*local)?)
        }
        (Value::Timestamptz(instant), Type::Timestamp(_)) => {
            Value::Timestamp(zone()?.to_local(*instant)?)
        }
        (Value::Timestamptz(instant), Type::Date) => {
            Value::Date(datetime::timestamp_to_date(zone()?.to_local(*instant)?))
        }
        (Value::Timestamptz(instant), Type::Time(_)) => time_of_day(zone()?.to_local(*instant)?),
        (Value::Time(microseconds), Type::Interval(_)) => Value::Interval(Interval {
            microseconds: *microseconds,
            ..Interval::default()
        }),
        _ => return Ok(None),
    }))
}

fn interval_to(interval: &Interval, to: &Type) -> Option<Value> {
    matches!(to, Type::Time(_))
        .then(|| Value::Time(interval.microseconds.rem_euclid(MICROSECONDS_PER_DAY)))
}

fn jsonb_to(text: &str, to: &Type) -> Result<Option<Value>> {
    use json::navigate::{Kind, kind};
    let kind = kind(text);
    match (to, kind) {
        (Type::Json, _) => Ok(Some(Value::Json(text.into()))),
        (Type::Bool, Kind::Bool) => Ok(Some(Value::Bool(text == "true"))),
        (Type::Numeric(_), Kind::Number) => Ok(Some(Value::Numeric(Numeric::parse(text)?))),
        (Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8, Kind::Number) => {
            numeric_to(&Numeric::parse(text)?, to)
        }
        _ if *to == Type::Bool || to.is_number() => {
            let kind = match kind {
                Kind::Number => "numeric",
                other => other.name(),
            };
            Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("cannot cast jsonb {kind} to type {}", to.without_modifier()),
            ))
        }
        _ => Ok(None),
    }
}

fn array_to(array: &Array, to: &Type, explicit: bool, io: Io<'_>) -> Result<Option<Value>> {
    let Type::Array(element) = to else {
        return Ok(None);
    };
    let values = array
        .values
        .iter()
        .map(|value| cast(value, &array.element, element, explicit, io))
        .collect::<Result<Vec<_>>>()?;
    Ok(Some(Value::Array(
        Array {
            element: (**element).clone(),
            dimensions: array.dimensions.clone(),
            values,
        }
        .into(),
    )))
}

fn within<T: Into<i64>>(value: i64, minimum: T, maximum: T, name: &str) -> Result<i64> {
    if (minimum.into()..=maximum.into()).contains(&value) {
        Ok(value)
    } else {
        Err(out_of_range(name))
    }
}

fn out_of_range(name: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{name} out of range"),
    )
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
