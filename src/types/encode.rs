//! The canonical encoding of values and rows: one for the log, the row
//! hashes, the chain and the table hashes, whatever the engine.
//!
//! A row is the version byte, the number of values, and the values. A value
//! is a tag byte and its content; integers are variable-length (seven bits a
//! byte, least significant first, signed ones folded so that small magnitudes
//! are short), texts and bytes carry their length. Equal values have equal
//! bytes: NaN and zero have one form, lengths no padding.
//!
//! Changing any of this takes a new version byte: logs and stored hashes
//! outlive the program.

use std::sync::Arc;

use num_bigint::{BigInt, Sign};

use super::write::RowHash;
use super::{Array, Interval, Numeric, Row, Type, Value, json};
use crate::error::{Error, Result, SqlState};

/// The form described above.
pub const VERSION: u8 = 1;
/// Arrays within arrays and records within records; deeper input is refused.
const MAXIMUM_DEPTH: usize = 32;

mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const DATE: u8 = 7;
    pub(super) const TIME: u8 = 8;
    pub(super) const TIMESTAMP: u8 = 9;
    pub(super) const TIMESTAMPTZ: u8 = 10;
    pub(super) const INTERVAL: u8 = 11;
    pub(super) const UUID: u8 = 12;
    pub(super) const JSON: u8 = 13;
    pub(super) const JSONB: u8 = 14;
    pub(super) const ARRAY: u8 = 15;
    pub(super) const RECORD: u8 = 16;
    pub(super) const NUMERIC_NAN: u8 = 17;
    pub(super) const NUMERIC_NEGATIVE_INFINITY: u8 = 18;
    pub(super) const NUMERIC_POSITIVE_INFINITY: u8 = 19;
    pub(super) const NUMERIC_POSITIVE: u8 = 20;
    pub(super) const NUMERIC_NEGATIVE: u8 = 21;
    /// In keys only: microseconds of an interval's span.
    pub(super) const SPAN: u8 = 22;
}

/// Appends the version and the values.
pub fn encode_row(values: &[Value], out: &mut Vec<u8>) {
    out.push(VERSION);
    put_unsigned(values.len() as u64, out);
    for value in values {
        encode_value(value, out);
    }
}

/// Reads one row and moves past it.
pub fn take_row(input: &mut &[u8]) -> Result<Row> {
    match take_byte(input)? {
        VERSION => take_list(input, 0),
        _ => Err(corrupt("unknown version")),
    }
}

/// Reads exactly one row.
pub fn decode_row(bytes: &[u8]) -> Result<Row> {
    let mut input = bytes;
    let row = take_row(&mut input)?;
    if input.is_empty() {
        Ok(row)
    } else {
        Err(corrupt("bytes after the row"))
    }
}

/// The hash of a row's canonical encoding.
pub fn row_hash(values: &[Value]) -> RowHash {
    let mut bytes = Vec::with_capacity(16 * values.len() + 2);
    encode_row(values, &mut bytes);
    encoded_row_hash(&bytes)
}

/// The hash of a row whose encoding is at hand.
pub fn encoded_row_hash(row: &[u8]) -> RowHash {
    RowHash(xxhash_rust::xxh3::xxh3_128(row))
}

/// Bytes that are equal exactly if SQL finds the values equal (NULL equal to
/// NULL). Their order means nothing; they cannot be decoded.
pub fn encode_key(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 * values.len() + 2);
    out.push(VERSION);
    put_unsigned(values.len() as u64, &mut out);
    for value in values {
        encode_key_value(value, &mut out);
    }
    out
}

pub fn encode_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(tag::NULL),
        Value::Bool(false) => out.push(tag::FALSE),
        Value::Bool(true) => out.push(tag::TRUE),
        Value::Int(n) => put_tagged(tag::INT, *n, out),
        Value::Float(x) => put_float(*x, out),
        Value::Numeric(n) => put_numeric(n, out),
        Value::Text(text) => put_bytes(tag::TEXT, text.as_bytes(), out),
        Value::Bytes(bytes) => put_bytes(tag::BYTES, bytes, out),
        Value::Date(days) => put_tagged(tag::DATE, i64::from(*days), out),
        Value::Time(n) => put_tagged(tag::TIME, *n, out),
        Value::Timestamp(n) => put_tagged(tag::TIMESTAMP, *n, out),
        Value::Timestamptz(n) => put_tagged(tag::TIMESTAMPTZ, *n, out),
        Value::Interval(interval) => {
            put_tagged(tag::INTERVAL, i64::from(interval.months), out);
            put_signed(i64::from(interval.days), out);
            put_signed(interval.microseconds, out);
        }
        Value::Uuid(bytes) => {
            out.push(tag::UUID);
            out.extend_from_slice(bytes);
        }
        Value::Json(text) => put_bytes(tag::JSON, text.as_bytes(), out),
        Value::Jsonb(text) => put_bytes(tag::JSONB, text.as_bytes(), out),
        Value::Array(array) => put_array(array, encode_value, out),
        Value::Record(values) => put_record(values, encode_value, out),
    }
}

/// Reads one value and moves past it.
pub fn decode_value(input: &mut &[u8]) -> Result<Value> {
    take_value(input, 0)
}

fn encode_key_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Numeric(n) => put_numeric(&n.trimmed(), out),
        Value::Interval(interval) => {
            out.push(tag::SPAN);
            out.extend_from_slice(&interval.span().to_be_bytes());
        }
        Value::Jsonb(text) => put_bytes(tag::JSONB, json::key_form(text).as_bytes(), out),
        Value::Array(array) => put_array(array, encode_key_value, out),
        Value::Record(values) => put_record(values, encode_key_value, out),
        other => encode_value(other, out),
    }
}

fn put_tagged(tag: u8, value: i64, out: &mut Vec<u8>) {
    out.push(tag);
    put_signed(value, out);
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_unsigned(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_float(value: f64, out: &mut Vec<u8>) {
    let bits = if value.is_nan() {
        // The platform may choose NaN's sign and payload: the encoding may not.
        0x7ff8_0000_0000_0000
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    out.push(tag::FLOAT);
    out.extend_from_slice(&bits.to_be_bytes());
}

fn put_numeric(value: &Numeric, out: &mut Vec<u8>) {
    let (digits, scale) = match value {
        Numeric::NaN => return out.push(tag::NUMERIC_NAN),
        Numeric::NegativeInfinity => return out.push(tag::NUMERIC_NEGATIVE_INFINITY),
        Numeric::PositiveInfinity => return out.push(tag::NUMERIC_POSITIVE_INFINITY),
        Numeric::Finite { digits, scale } => (digits, *scale),
    };
    out.push(match digits.sign() {
        Sign::Minus => tag::NUMERIC_NEGATIVE,
        Sign::NoSign | Sign::Plus => tag::NUMERIC_POSITIVE,
    });
    put_unsigned(u64::from(scale), out);
    match digits.sign() {
        Sign::NoSign => put_unsigned(0, out),
        _ => {
            let (_, magnitude) = digits.to_bytes_be();
            put_unsigned(magnitude.len() as u64, out);
            out.extend_from_slice(&magnitude);
        }
    }
}

/// The element type's modifier is left out: it says nothing about the value.
fn put_array(array: &Array, element: fn(&Value, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(tag::ARRAY);
    put_unsigned(u64::from(array.element.oid()), out);
    put_unsigned(array.dimensions.len() as u64, out);
    for (length, bound) in &array.dimensions {
        put_signed(i64::from(*length), out);
        put_signed(i64::from(*bound), out);
    }
    put_unsigned(array.values.len() as u64, out);
    for value in &array.values {
        element(value, out);
    }
}

fn put_record(values: &[Value], element: fn(&Value, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(tag::RECORD);
    put_unsigned(values.len() as u64, out);
    for value in values {
        element(value, out);
    }
}

/// Folds the sign into the lowest bit.
fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

fn put_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_value(input: &mut &[u8], depth: usize) -> Result<Value> {
    if depth > MAXIMUM_DEPTH {
        return Err(corrupt("nested too deep"));
    }
    Ok(match take_byte(input)? {
        tag::NULL => Value::Null,
        tag::FALSE => Value::Bool(false),
        tag::TRUE => Value::Bool(true),
        tag::INT => Value::Int(take_signed(input)?),
        tag::FLOAT => Value::Float(f64::from_bits(u64::from_be_bytes(take_fixed(input)?))),
        tag::TEXT => Value::Text(take_text(input)?),
        tag::BYTES => Value::Bytes(take_bytes(input)?.into()),
        tag::DATE => Value::Date(take_i32(input)?),
        tag::TIME => Value::Time(take_signed(input)?),
        tag::TIMESTAMP => Value::Timestamp(take_signed(input)?),
        tag::TIMESTAMPTZ => Value::Timestamptz(take_signed(input)?),
        tag::INTERVAL => Value::Interval(Interval {
            months: take_i32(input)?,
            days: take_i32(input)?,
            microseconds: take_signed(input)?,
        }),
        tag::UUID => Value::Uuid(take_fixed(input)?),
        tag::JSON => Value::Json(take_text(input)?),
        tag::JSONB => Value::Jsonb(take_text(input)?),
        tag::ARRAY => Value::Array(Arc::new(take_array(input, depth)?)),
        tag::RECORD => Value::Record(take_list(input, depth + 1)?.into()),
        tag::NUMERIC_NAN => Value::Numeric(Numeric::NaN),
        tag::NUMERIC_NEGATIVE_INFINITY => Value::Numeric(Numeric::NegativeInfinity),
        tag::NUMERIC_POSITIVE_INFINITY => Value::Numeric(Numeric::PositiveInfinity),
        tag::NUMERIC_POSITIVE => Value::Numeric(take_numeric(input, Sign::Plus)?),
        tag::NUMERIC_NEGATIVE => Value::Numeric(take_numeric(input, Sign::Minus)?),
        _ => return Err(corrupt("unknown tag")),
    })
}

fn take_list(input: &mut &[u8], depth: usize) -> Result<Vec<Value>> {
    // Every value takes a byte at least: a false count cannot ask for memory.
    let count = take_length(input)?;
    let mut values = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        values.push(take_value(input, depth)?);
    }
    Ok(values)
}

fn take_numeric(input: &mut &[u8], sign: Sign) -> Result<Numeric> {
    let scale = take_unsigned(input)?;
    let scale = i64::try_from(scale).map_err(|_| corrupt("scale"))?;
    let magnitude = take_bytes(input)?;
    let digits = BigInt::from_bytes_be(sign, magnitude);
    Numeric::finite(digits, scale).map_err(|_| corrupt("number out of range"))
}

fn take_array(input: &mut &[u8], depth: usize) -> Result<Array> {
    let oid = u32::try_from(take_unsigned(input)?).map_err(|_| corrupt("type"))?;
    let element = Type::from_oid(oid).ok_or_else(|| corrupt("type"))?;
    let count = take_length(input)?;
    if count > super::array::MAXIMUM_DIMENSIONS {
        return Err(corrupt("dimensions"));
    }
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        dimensions.push((take_i32(input)?, take_i32(input)?));
    }
    let values = take_list(input, depth + 1)?;
    let expected = match dimensions.is_empty() {
        true => Some(0),
        false => dimensions.iter().try_fold(1_i64, |product, (length, _)| {
            product.checked_mul(i64::from(*length)).filter(|p| *p > 0)
        }),
    };
    if expected != Some(values.len() as i64) {
        return Err(corrupt("dimensions"));
    }
    Ok(Array {
        element,
        dimensions,
        values,
    })
}

fn take_text(input: &mut &[u8]) -> Result<Arc<str>> {
    let text = std::str::from_utf8(take_bytes(input)?).map_err(|_| corrupt("text"))?;
    Ok(text.into())
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take_length(input)?;
    let (bytes, rest) = input.split_at(length);
    *input = rest;
    Ok(bytes)
}

/// A length, which the rest of the input bounds.
fn take_length(input: &mut &[u8]) -> Result<usize> {
    let length = take_unsigned(input)?;
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= input.len())
        .ok_or_else(|| corrupt("length"))
}

fn take_fixed<const N: usize>(input: &mut &[u8]) -> Result<[u8; N]> {
    let (bytes, rest) = input
        .split_first_chunk::<N>()
        .ok_or_else(|| corrupt("too short"))?;
    *input = rest;
    Ok(*bytes)
}

fn take_byte(input: &mut &[u8]) -> Result<u8> {
    take_fixed::<1>(input).map(|[byte]| byte)
}

fn take_i32(input: &mut &[u8]) -> Result<i32> {
    i32::try_from(take_signed(input)?).map_err(|_| corrupt("number out of range"))
}

fn take_signed(input: &mut &[u8]) -> Result<i64> {
    let folded = take_unsigned(input)?;
    Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

fn take_unsigned(input: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(input)?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return Err(corrupt("number out of range"));
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            // One form only: no zeros on top.
            return if byte == 0 && shift > 0 {
                Err(corrupt("number not canonical"))
            } else {
                Ok(value)
            };
        }
    }
    Err(corrupt("number out of range"))
}

fn corrupt(what: &str) -> Error {
    Error::new(
        SqlState::DATA_CORRUPTED,
        format!("invalid encoded value: {what}"),
    )
}

#[cfg(test)]
mod tests;
