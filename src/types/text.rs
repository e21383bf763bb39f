//! Values from text and to text, as PostgreSQL's input and output functions do it.
//!
//! Not handled here: names for the reg types (`'t'::regclass`) and the literal
//! form of rows; numbers are accepted for the former. They need the schema.

use std::fmt::Write;
use std::str::FromStr;

use super::settings::Io;
use super::{Array, Interval, Numeric, Type, Value, array, cast, datetime, float, json};
use crate::error::{Error, Result, SqlState};

/// Bytes of a `name`, the rest is cut off.
const MAXIMUM_NAME_BYTES: usize = 63;

/// Reads a value of a type, its modifier applied as for an assignment.
pub fn input(text: &str, ty: &Type, io: Io<'_>) -> Result<Value> {
    match ty {
        Type::Bool => input_bool(text),
        Type::Int2 => integer(text, "smallint", i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => integer(text, "integer", i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::Int8 => integer(text, "bigint", i64::MIN, i64::MAX),
        Type::Float4 => float::parse_f32(text).map(|value| Value::Float(f64::from(value))),
        Type::Float8 => float::parse_f64(text).map(Value::Float),
        Type::Numeric(modifier) => {
            let number = Numeric::parse(text)?;
            match modifier {
                Some((precision, scale)) => number.fit(*precision, *scale).map(Value::Numeric),
                None => Ok(Value::Numeric(number)),
            }
        }
        Type::Text | Type::Unknown => checked(text).map(Value::text),
        Type::Varchar(_) | Type::Char(_) | Type::Name | Type::InternalChar => {
            checked(text).and_then(|text| input_limited(text, ty))
        }
        Type::Bytea => input_bytea(text),
        Type::Date => datetime::parse::date(text, io).map(Value::Date),
        Type::Time(_) => cast::fit(Value::Time(datetime::parse::time(text, io)?), ty, false),
        Type::Timestamp(_) => cast::fit(
            Value::Timestamp(datetime::parse::timestamp(text, io)?),
            ty,
            false,
        ),
        Type::Timestamptz(_) => cast::fit(
            Value::Timestamptz(datetime::parse::timestamptz(text, io)?),
            ty,
            false,
        ),
        Type::Interval(_) => {
            let interval = Interval::parse(text, io.settings.interval_style)?;
            cast::fit(Value::Interval(interval), ty, false)
        }
        Type::Uuid => input_uuid(text),
        Type::Json => {
            json::validate(text)?;
            Ok(Value::Json(text.into()))
        }
        Type::Jsonb => json::canonical(text).map(Value::Jsonb),
        Type::Oid => input_oid(text, "oid"),
        Type::Regclass
        | Type::Regtype
        | Type::Regproc
        | Type::Regnamespace
        | Type::Regprocedure
        | Type::Regrole => match text.trim() {
            "-" => Ok(Value::Int(0)),
            number if number.bytes().all(|b| b.is_ascii_digit()) => input_oid(text, "oid"),
            _ => Err(Error::unsupported(format_args!("a name as {ty} here"))),
        },
        Type::Array(element) => {
            array::parse(text, element, io).map(|array| Value::Array(array.into()))
        }
        Type::Int2Vector => input_vector(text, &Type::Int2, io),
        Type::OidVector => input_vector(text, &Type::Oid, io),
        Type::Record | Type::Row(_) => {
            Err(Error::unsupported("input of anonymous composite types"))
        }
        Type::Void => Ok(Value::text("")),
    }
}

/// Appends what PostgreSQL prints for a value; nothing for NULL.
pub fn output(value: &Value, ty: &Type, io: Io<'_>, out: &mut String) {
    let settings = io.settings;
    match value {
        Value::Null => {}
        Value::Bool(b) => out.push(if *b { 't' } else { 'f' }),
        Value::Int(n) => with_integer(*n, |digits| {
            out.push_str(std::str::from_utf8(digits).unwrap_or_default());
        }),
        Value::Float(x) if *ty == Type::Float4 => {
            float::write_f32(*x as f32, settings.extra_float_digits, out);
        }
        Value::Float(x) => float::write_f64(*x, settings.extra_float_digits, out),
        Value::Numeric(number) => number.write(out),
        Value::Text(text) => {
            out.push_str(text);
            if let Type::Char(Some(length)) = ty {
                let missing = (*length as usize).saturating_sub(text.chars().count());
                out.extend(std::iter::repeat_n(' ', missing));
            }
        }
        Value::Bytes(bytes) if settings.bytea_hex => write_hexadecimal(bytes, out),
        Value::Bytes(bytes) => write_escaped(bytes, out),
        Value::Date(days) => datetime::format::write_date(*days, settings.date_style, out),
        Value::Time(time) => datetime::format::write_time(*time, out),
        Value::Timestamp(time) => {
            datetime::format::write_timestamp(*time, settings.date_style, out);
        }
        Value::Timestamptz(time) => datetime::format::write_timestamptz(*time, settings, out),
        Value::Interval(interval) => interval.write(settings.interval_style, out),
        Value::Uuid(bytes) => write_uuid(bytes, out),
        Value::Json(text) | Value::Jsonb(text) => out.push_str(text),
        Value::Array(list) if matches!(ty, Type::Int2Vector | Type::OidVector) => {
            for (i, value) in list.values.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                output(value, &list.element, io, out);
            }
        }
        Value::Array(array) => array::write(array, io, out),
        Value::Record(values) => write_record(values, ty, io, out),
    }
}

/// The same as a new string.
pub fn to_text(value: &Value, ty: &Type, io: Io<'_>) -> String {
    let mut out = String::new();
    output(value, ty, io, &mut out);
    out
}

/// The widest type that a value may have, where nothing else tells it.
pub fn natural_type(value: &Value) -> Type {
    match value {
        Value::Null => Type::Unknown,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int8,
        Value::Float(_) => Type::Float8,
        Value::Numeric(_) => Type::NUMERIC,
        Value::Text(_) => Type::Text,
        Value::Bytes(_) => Type::Bytea,
        Value::Date(_) => Type::Date,
        Value::Time(_) => Type::TIME,
        Value::Timestamp(_) => Type::TIMESTAMP,
        Value::Timestamptz(_) => Type::TIMESTAMPTZ,
        Value::Interval(_) => Type::INTERVAL,
        Value::Uuid(_) => Type::Uuid,
        Value::Json(_) => Type::Json,
        Value::Jsonb(_) => Type::Jsonb,
        Value::Array(array) => Type::Array(Box::new(array.element.clone())),
        Value::Record(_) => Type::Record,
    }
}

/// 22P02, as every input function words it.
pub(crate) fn invalid_syntax(type_name: &str, text: &str) -> Error {
    Error::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}

/// Text cannot hold the zero character.
fn checked(text: &str) -> Result<&str> {
    if text.as_bytes().contains(&0) {
        return Err(Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(text)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b')
}

fn integer(text: &str, type_name: &str, minimum: i64, maximum: i64) -> Result<Value> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid_syntax(type_name, text));
    }
    match i64::from_str(trimmed) {
        Ok(value) if (minimum..=maximum).contains(&value) => Ok(Value::Int(value)),
        _ => Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {type_name}"),
        )),
    }
}

/// Unsigned, but a negative int4 is taken for its bits, as C does.
fn input_oid(text: &str, type_name: &str) -> Result<Value> {
    match integer(text, type_name, i64::from(i32::MIN), i64::from(u32::MAX))? {
        Value::Int(negative) if negative < 0 => Ok(Value::Int(i64::from(negative as i32 as u32))),
        other => Ok(other),
    }
}

fn input_bool(text: &str) -> Result<Value> {
    let word = trim(text).to_ascii_lowercase();
    let begins = |whole: &str, least: usize| word.len() >= least && whole.starts_with(&word);
    if begins("true", 1) || begins("yes", 1) || word == "on" || word == "1" {
        Ok(Value::Bool(true))
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || word == "0" {
        Ok(Value::Bool(false))
    } else {
        Err(invalid_syntax("boolean", text))
    }
}

fn input_limited(text: &str, ty: &Type) -> Result<Value> {
    match ty {
        Type::Varchar(None) => Ok(Value::text(text)),
        Type::Name => {
            let end = text.floor_char_boundary(MAXIMUM_NAME_BYTES);
            Ok(Value::text(&text[..end]))
        }
        Type::InternalChar => {
            let end = text.chars().next().map_or(0, char::len_utf8);
            Ok(Value::text(&text[..end]))
        }
        _ => cast::fit_text(text, ty, false),
    }
}

fn input_bytea(text: &str) -> Result<Value> {
    let Some(digits) = text.strip_prefix("\\x") else {
        return input_escaped(text);
    };
    let invalid = |message: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut chars = digits.chars();
    let nibble = |c: char| {
        c.to_digit(16)
            .map(|digit| digit as u8)
            .ok_or_else(|| invalid(format!("invalid hexadecimal digit: \"{c}\"")))
    };
    while let Some(first) = chars.next() {
        if matches!(first, ' ' | '\n' | '\t' | '\r') {
            continue;
        }
        let high = nibble(first)?;
        let second = chars
            .next()
            .ok_or_else(|| invalid("invalid hexadecimal data: odd number of digits".to_owned()))?;
        bytes.push(high << 4 | nibble(second)?);
    }
    Ok(Value::Bytes(bytes.into()))
}

/// The older form: `\\` and `\nnn` in octal.
fn input_escaped(text: &str) -> Result<Value> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    "invalid input syntax for type bytea",
                ));
            }
        }
    }
    Ok(Value::Bytes(bytes.into()))
}

/// 32 digits; hyphens may follow every fourth, braces may enclose all.
fn input_uuid(text: &str) -> Result<Value> {
    let invalid = || invalid_syntax("uuid", text);
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut bytes = [0_u8; 16];
    let mut rest = inner.as_bytes();
    for (i, byte) in bytes.iter_mut().enumerate() {
        let [a, b, after @ ..] = rest else {
            return Err(invalid());
        };
        let nibble = |digit: u8| (digit as char).to_digit(16).ok_or_else(invalid);
        *byte = (nibble(*a)? << 4 | nibble(*b)?) as u8;
        rest = match after {
            [b'-', after @ ..] if i % 2 == 1 && i < 15 => after,
            _ => after,
        };
    }
    if rest.is_empty() {
        Ok(Value::Uuid(bytes))
    } else {
        Err(invalid())
    }
}

/// int2vector and oidvector: blanks between, subscripts from 0.
fn input_vector(text: &str, element: &Type, io: Io<'_>) -> Result<Value> {
    let values = text
        .split_ascii_whitespace()
        .map(|word| input(word, element, io))
        .collect::<Result<Vec<_>>>()?;
    let mut array = Array::one_dimensional(element.clone(), values);
    if let Some(dimension) = array.dimensions.first_mut() {
        dimension.1 = 0;
    }
    Ok(Value::Array(array.into()))
}

/// Hands a number in decimal to `put`, without the machinery of `fmt`.
pub fn with_integer<T>(number: i64, put: impl FnOnce(&[u8]) -> T) -> T {
    // Twenty bytes hold the longest; digits are laid down from the end.
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    put(&digits[at..])
}

fn write_hexadecimal(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(2 * bytes.len() + 2);
    out.push_str("\\x");
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

fn write_escaped(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b' '..=b'~' => out.push(*byte as char),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
}

fn write_uuid(bytes: &[u8; 16], out: &mut String) {
    let hyphenated = uuid::Uuid::from_bytes(*bytes);
    let mut buffer = uuid::Uuid::encode_buffer();
    out.push_str(hyphenated.hyphenated().encode_lower(&mut buffer));
}

/// `(a,"b c",)`: NULL is nothing at all.
fn write_record(values: &[Value], ty: &Type, io: Io<'_>, out: &mut String) {
    out.push('(');
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        if value.is_null() {
            continue;
        }
        let printed = match ty.field(i) {
            Some((_, ty)) => to_text(value, ty, io),
            None => to_text(value, &natural_type(value), io),
        };
        let special = |c: char| {
            matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace() || c == '\x0b'
        };
        if !printed.is_empty() && !printed.contains(special) {
            out.push_str(&printed);
            continue;
        }
        out.push('"');
        for c in printed.chars() {
            if matches!(c, '"' | '\\') {
                out.push(c);
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push(')');
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
