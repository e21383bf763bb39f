//! PostgreSQL's binary formats.
//!
//! Texts are UTF-8. `receive` checks all it reads and never panics; it does
//! not apply modifiers (see [`super::cast::fit`]), which parameters lack anyway.

use num_bigint::{BigInt, Sign};
use num_traits::ToPrimitive;

use super::numeric::Numeric;
use super::{Array, Interval, Type, Value, array, datetime, json, text};
use crate::error::{Error, Result, SqlState};

/// The sign word of a numeric.
mod sign {
    pub(super) const POSITIVE: u16 = 0;
    pub(super) const NEGATIVE: u16 = 0x4000;
    pub(super) const NAN: u16 = 0xc000;
    pub(super) const POSITIVE_INFINITY: u16 = 0xd000;
    pub(super) const NEGATIVE_INFINITY: u16 = 0xf000;
}

/// The version byte of jsonb.
const JSONB_VERSION: u8 = 1;
/// The base of a numeric's digits on the wire, and its decimal digits.
const BASE: u32 = 10_000;
const BASE_DIGITS: i64 = 4;

/// What is told of bytes behind a value.
pub const TRAILING: &str = "incorrect binary data format";

/// Reads a value in binary format; the modifier is not applied.
pub fn receive(bytes: &[u8], ty: &Type) -> Result<Value> {
    let mut input = bytes;
    let value = receive_from(&mut input, ty)?;
    if input.is_empty() {
        Ok(value)
    } else {
        Err(Error::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            TRAILING,
        ))
    }
}

fn receive_from(input: &mut &[u8], ty: &Type) -> Result<Value> {
    Ok(match ty {
        Type::Bool => Value::Bool(take::<1>(input)? != [0]),
        Type::Int2 => Value::Int(i64::from(i16::from_be_bytes(take(input)?))),
        Type::Int4 => Value::Int(i64::from(take_i32(input)?)),
        Type::Int8 => Value::Int(i64::from_be_bytes(take(input)?)),
        Type::Oid
        | Type::Regclass
        | Type::Regtype
        | Type::Regproc
        | Type::Regnamespace
        | Type::Regprocedure
        | Type::Regrole => Value::Int(i64::from(u32::from_be_bytes(take(input)?))),
        Type::Float4 => Value::Float(f64::from(f32::from_be_bytes(take(input)?))),
        Type::Float8 => Value::Float(f64::from_be_bytes(take(input)?)),
        Type::Numeric(_) => Value::Numeric(receive_numeric(input)?),
        Type::Char(_) => Value::text(take_text(input)?.trim_end_matches(' ')),
        Type::Text | Type::Varchar(_) | Type::Name | Type::InternalChar | Type::Unknown => {
            Value::text(take_text(input)?)
        }
        Type::Bytea => Value::Bytes(take_all(input).into()),
        Type::Date => {
            let days = take_i32(input)?;
            if !datetime::is_infinite_date(days) {
                datetime::check_date(i64::from(days))?;
            }
            Value::Date(days)
        }
        Type::Time(_) => {
            let time = i64::from_be_bytes(take(input)?);
            if !(0..=datetime::MICROSECONDS_PER_DAY).contains(&time) {
                return Err(Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "time out of range",
                ));
            }
            Value::Time(time)
        }
        Type::Timestamp(_) => Value::Timestamp(receive_timestamp(input)?),
        Type::Timestamptz(_) => Value::Timestamptz(receive_timestamp(input)?),
        Type::Interval(_) => {
            let microseconds = i64::from_be_bytes(take(input)?);
            let days = take_i32(input)?;
            let months = take_i32(input)?;
            Value::Interval(Interval {
                months,
                days,
                microseconds,
            })
        }
        Type::Uuid => Value::Uuid(take(input)?),
        Type::Json => {
            let text = take_text(input)?;
            json::validate(text)?;
            Value::Json(text.into())
        }
        Type::Jsonb => receive_jsonb(input)?,
        Type::Array(element) => Value::Array(receive_array(input, element)?.into()),
        Type::Int2Vector => Value::Array(receive_array(input, &Type::Int2)?.into()),
        Type::OidVector => Value::Array(receive_array(input, &Type::Oid)?.into()),
        Type::Record | Type::Row(_) => {
            return Err(Error::unsupported("input of anonymous composite types"));
        }
        Type::Void => Value::text(take_text(input)?),
    })
}

fn receive_jsonb(input: &mut &[u8]) -> Result<Value> {
    let [version] = take(input)?;
    if version != JSONB_VERSION {
        return Err(Error::new(
            SqlState::INTERNAL_ERROR,
            format!("unsupported jsonb version number {version}"),
        ));
    }
    Ok(Value::Jsonb(json::canonical(take_text(input)?)?))
}

/// Appends a value in binary format; nothing for NULL.
pub fn send(value: &Value, ty: &Type, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(u8::from(*b)),
        Value::Int(n) => match ty {
            Type::Int2 => out.extend_from_slice(&(*n as i16).to_be_bytes()),
            Type::Int8 => out.extend_from_slice(&n.to_be_bytes()),
            // Oids use all 32 bits; their pattern is the same.
            _ => out.extend_from_slice(&(*n as i32).to_be_bytes()),
        },
        Value::Float(x) => match ty {
            Type::Float4 => out.extend_from_slice(&(*x as f32).to_be_bytes()),
            _ => out.extend_from_slice(&x.to_be_bytes()),
        },
        Value::Numeric(number) => send_numeric(number, out),
        Value::Text(text) => {
            out.extend_from_slice(text.as_bytes());
            if let Type::Char(Some(length)) = ty {
                let missing = (*length as usize).saturating_sub(text.chars().count());
                out.extend(std::iter::repeat_n(b' ', missing));
            }
        }
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        Value::Date(days) => out.extend_from_slice(&days.to_be_bytes()),
        Value::Time(n) | Value::Timestamp(n) | Value::Timestamptz(n) => {
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::Interval(interval) => {
            out.extend_from_slice(&interval.microseconds.to_be_bytes());
            out.extend_from_slice(&interval.days.to_be_bytes());
            out.extend_from_slice(&interval.months.to_be_bytes());
        }
        Value::Uuid(bytes) => out.extend_from_slice(bytes),
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Jsonb(text) => {
            out.push(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Array(array) => send_array(array, out),
        Value::Record(values) => {
            put_i32(values.len(), out);
            for (place, value) in values.iter().enumerate() {
                let ty = match (ty.field(place), value) {
                    (Some((_, ty)), _) => ty.clone(),
                    (None, Value::Null) => Type::Text,
                    (None, other) => text::natural_type(other),
                };
                out.extend_from_slice(&ty.oid().to_be_bytes());
                send_sized(value, &ty, out);
            }
        }
    }
}

/// A length and a value; NULL is the length -1.
fn send_sized(value: &Value, ty: &Type, out: &mut Vec<u8>) {
    if value.is_null() {
        out.extend_from_slice(&(-1_i32).to_be_bytes());
        return;
    }
    let start = out.len();
    put_i32(0, out);
    send(value, ty, out);
    let length = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn send_array(array: &Array, out: &mut Vec<u8>) {
    put_i32(array.dimensions.len(), out);
    let has_nulls = array.values.iter().any(Value::is_null);
    put_i32(usize::from(has_nulls), out);
    out.extend_from_slice(&array.element.oid().to_be_bytes());
    for (length, lower) in &array.dimensions {
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&lower.to_be_bytes());
    }
    for value in &array.values {
        send_sized(value, &array.element, out);
    }
}

fn receive_array(input: &mut &[u8], element: &Type) -> Result<Array> {
    let count = take_i32(input)?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count <= array::MAXIMUM_DIMENSIONS)
        .ok_or_else(|| invalid(format!("invalid number of dimensions: {count}")))?;
    if !matches!(take_i32(input)?, 0 | 1) {
        return Err(invalid("invalid array flags"));
    }
    let oid = u32::from_be_bytes(take(input)?);
    if oid != element.oid() {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "binary data has array element type {oid} instead of expected {}",
                element.oid()
            ),
        ));
    }
    let mut dimensions = Vec::with_capacity(count);
    let mut total = i64::from(count > 0);
    for _ in 0..count {
        let (length, lower) = (take_i32(input)?, take_i32(input)?);
        total *= i64::from(length);
        if length < 0 || total > array::MAXIMUM_ELEMENTS as i64 {
            return Err(invalid("array size exceeds the maximum allowed"));
        }
        dimensions.push((length, lower));
    }
    if total == 0 {
        dimensions.clear();
    }
    array::check_dimensions(&dimensions)?;
    // Every element has a length of four bytes at least.
    let mut values = Vec::with_capacity((total as usize).min(input.len() / 4));
    for _ in 0..total {
        values.push(match take_i32(input)? {
            -1 => Value::Null,
            length => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= input.len())
                    .ok_or_else(insufficient)?;
                let (content, rest) = input.split_at(length);
                *input = rest;
                receive(content, element)?
            }
        });
    }
    Ok(Array {
        element: element.clone(),
        dimensions,
        values,
    })
}

fn receive_timestamp(input: &mut &[u8]) -> Result<i64> {
    let timestamp = i64::from_be_bytes(take(input)?);
    if datetime::is_infinite(timestamp) {
        return Ok(timestamp);
    }
    datetime::check_timestamp(timestamp)
}

fn receive_numeric(input: &mut &[u8]) -> Result<Numeric> {
    let length = u16::from_be_bytes(take(input)?);
    let weight = i64::from(i16::from_be_bytes(take(input)?));
    let sign = match u16::from_be_bytes(take(input)?) {
        sign::POSITIVE => Sign::Plus,
        sign::NEGATIVE => Sign::Minus,
        special => {
            take::<2>(input)?;
            return match special {
                sign::NAN => Ok(Numeric::NaN),
                sign::POSITIVE_INFINITY => Ok(Numeric::PositiveInfinity),
                sign::NEGATIVE_INFINITY => Ok(Numeric::NegativeInfinity),
                _ => Err(invalid("invalid sign in external \"numeric\" value")),
            };
        }
    };
    let scale = i64::from(u16::from_be_bytes(take(input)?));
    if scale > super::numeric::MAXIMUM_SCALE {
        return Err(invalid("invalid scale in external \"numeric\" value"));
    }
    let mut decimal = String::with_capacity(usize::from(length) * 4);
    for _ in 0..length {
        let digit = u16::from_be_bytes(take(input)?);
        if u32::from(digit) >= BASE {
            return Err(invalid("invalid digit in external \"numeric\" value"));
        }
        decimal.push_str(&format!("{digit:04}"));
    }
    let magnitude: BigInt = match decimal.as_str() {
        "" => BigInt::ZERO,
        digits => digits
            .parse()
            .map_err(|_| invalid("invalid digit in external \"numeric\" value"))?,
    };
    let digits = if sign == Sign::Minus {
        -magnitude
    } else {
        magnitude
    };
    // The last digit stands for 10000^(weight - length + 1).
    let exact_scale = (i64::from(length) - 1 - weight) * BASE_DIGITS;
    if exact_scale > super::numeric::MAXIMUM_SCALE + BASE_DIGITS {
        return Err(invalid("invalid scale in external \"numeric\" value"));
    }
    // Digits beyond the display scale are cut off.
    let exact = super::numeric::cut_to_scale(&digits, exact_scale, scale);
    Numeric::finite(exact, scale)
}

fn send_numeric(number: &Numeric, out: &mut Vec<u8>) {
    let special = |word: u16, out: &mut Vec<u8>| {
        // PostgreSQL sends this scale with its infinities; receivers ignore it.
        let scale = if word == sign::NAN { 0 } else { 0x20 };
        for part in [0, 0, word, scale] {
            out.extend_from_slice(&part.to_be_bytes());
        }
    };
    let (digits, scale) = match number {
        Numeric::NaN => return special(sign::NAN, out),
        Numeric::PositiveInfinity => return special(sign::POSITIVE_INFINITY, out),
        Numeric::NegativeInfinity => return special(sign::NEGATIVE_INFINITY, out),
        Numeric::Finite { digits, scale } => (digits, *scale),
    };
    // Groups of four digits must begin at the point: fill up the fraction.
    let padding = (BASE_DIGITS - i64::from(scale) % BASE_DIGITS) % BASE_DIGITS;
    let fraction_groups = (i64::from(scale) + padding) / BASE_DIGITS;
    let filled = digits.magnitude() * 10_u32.pow(padding as u32);
    let mut groups: Vec<u16> = match filled.to_u64() {
        Some(mut rest) => {
            let mut groups = Vec::with_capacity(5);
            while rest > 0 {
                groups.push((rest % u64::from(BASE)) as u16);
                rest /= u64::from(BASE);
            }
            groups
        }
        None => {
            let text = filled.to_string();
            text.as_bytes()
                .rchunks(BASE_DIGITS as usize)
                .map(|chunk| {
                    chunk
                        .iter()
                        .fold(0, |sum, b| sum * 10 + u16::from(b - b'0'))
                })
                .collect()
        }
    };
    // Least significant first so far; zeros at that end are not sent.
    let weight = groups.len() as i64 - fraction_groups - 1;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    let word = match digits.sign() {
        Sign::Minus => sign::NEGATIVE,
        _ => sign::POSITIVE,
    };
    let weight = if groups.is_empty() { 0 } else { weight };
    out.extend_from_slice(&(groups.len() as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&word.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in groups.iter().rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (bytes, rest) = input.split_first_chunk::<N>().ok_or_else(insufficient)?;
    *input = rest;
    Ok(*bytes)
}

fn take_i32(input: &mut &[u8]) -> Result<i32> {
    take(input).map(i32::from_be_bytes)
}

fn take_all<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    std::mem::take(input)
}

fn take_text<'a>(input: &mut &'a [u8]) -> Result<&'a str> {
    let bytes = take_all(input);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let wrong = &bytes[at..bytes.len().min(at + error.error_len().unwrap_or(1))];
        invalid_bytes(wrong)
    })?;
    if bytes.contains(&0) {
        return Err(invalid_bytes(&[0]));
    }
    Ok(text)
}

fn invalid_bytes(bytes: &[u8]) -> Error {
    let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    Error::new(
        SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        format!(
            "invalid byte sequence for encoding \"UTF8\": {}",
            shown.join(" ")
        ),
    )
}

fn put_i32(value: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(value as i32).to_be_bytes());
}

fn insufficient() -> Error {
    Error::new(
        SqlState::PROTOCOL_VIOLATION,
        "insufficient data left in message",
    )
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_BINARY_REPRESENTATION, message)
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
