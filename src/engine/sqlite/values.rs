//! How values are kept in SQLite, and read back by their types.
//!
//! | type | storage class |
//! |---|---|
//! | bool, integers, oid and its kin | INTEGER |
//! | float4, float8 | REAL; NaN is TEXT `NaN`, which SQLite sorts after all numbers |
//! | numeric | TEXT as PostgreSQL prints it, collation `pyql_numeric` |
//! | text and its kin, uuid, json | TEXT, byte order |
//! | bytea | BLOB |
//! | date | INTEGER, days since 2000-01-01 |
//! | time, timestamp, timestamptz | INTEGER, microseconds since midnight or 2000-01-01 UTC |
//! | interval | TEXT in PostgreSQL's form, collation `pyql_interval` |
//! | jsonb | TEXT, canonical, collation `pyql_jsonb` |
//! | arrays, records (never stored) | TEXT: the canonical encoding in hex, collation `pyql_value` |
//!
//! Not handled: a value of the wrong storage class (a foreign hand wrote it)
//! is an error, never guessed at.

use std::sync::{Arc, LazyLock};

use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

use crate::error::{Error, Result, SqlState};
use crate::types::settings::{Io, Settings};
use crate::types::{Numeric, Type, Value, encode, text};

/// What stands for the float NaN, which SQLite would turn into NULL.
const NAN: &str = "NaN";

/// Stored text never depends on a session's settings.
static STORED_FORM: LazyLock<Settings> = LazyLock::new(Settings::default);

fn stored_form() -> Io<'static> {
    Io {
        settings: &STORED_FORM,
        transaction_time: 0,
    }
}

/// A value as SQLite keeps it.
pub fn encode(value: &Value) -> ToSqlOutput<'_> {
    let owned = match value {
        Value::Null => return ToSqlOutput::Borrowed(ValueRef::Null),
        Value::Bool(b) => SqlValue::Integer(i64::from(*b)),
        Value::Int(i) | Value::Time(i) | Value::Timestamp(i) | Value::Timestamptz(i) => {
            SqlValue::Integer(*i)
        }
        Value::Date(days) => SqlValue::Integer(i64::from(*days)),
        Value::Float(f) if f.is_nan() => {
            return ToSqlOutput::Borrowed(ValueRef::Text(NAN.as_bytes()));
        }
        Value::Float(f) => SqlValue::Real(*f),
        Value::Text(t) | Value::Json(t) | Value::Jsonb(t) => {
            return ToSqlOutput::Borrowed(ValueRef::Text(t.as_bytes()));
        }
        Value::Bytes(b) => return ToSqlOutput::Borrowed(ValueRef::Blob(b)),
        Value::Numeric(number) => SqlValue::Text(number.to_string()),
        Value::Interval(_) => SqlValue::Text(printed(value, &Type::INTERVAL)),
        Value::Uuid(bytes) => SqlValue::Text(uuid::Uuid::from_bytes(*bytes).to_string()),
        Value::Array(_) | Value::Record(_) => SqlValue::Text(to_hex(value)),
    };
    ToSqlOutput::Owned(owned)
}

/// The text that a value is kept as, if it is kept as text without NULs,
/// which no literal can hold.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match encode(value) {
        ToSqlOutput::Borrowed(ValueRef::Text(bytes)) => String::from_utf8(bytes.to_vec()).ok(),
        ToSqlOutput::Owned(SqlValue::Text(text)) => Some(text),
        _ => None,
    }
    .filter(|text| !text.contains('\0'))
}

fn printed(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    text::output(value, ty, stored_form(), &mut out);
    out
}

/// The value of type `ty` that SQLite keeps as `stored`.
pub fn decode(stored: ValueRef<'_>, ty: &Type) -> Result<Value> {
    match stored {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(i) => from_integer(i, ty),
        ValueRef::Real(f) => match ty {
            Type::Float4 | Type::Float8 => Ok(Value::Float(f)),
            _ => Err(misplaced("a real", ty)),
        },
        ValueRef::Text(bytes) => from_text(bytes, ty),
        ValueRef::Blob(bytes) => match ty {
            Type::Bytea => Ok(Value::Bytes(Arc::from(bytes))),
            _ => Err(misplaced("a blob", ty)),
        },
    }
}

fn from_integer(i: i64, ty: &Type) -> Result<Value> {
    Ok(match ty {
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Value::Int(i),
        Type::Regclass
        | Type::Regtype
        | Type::Regproc
        | Type::Regnamespace
        | Type::Regprocedure
        | Type::Regrole => Value::Int(i),
        Type::Bool => Value::Bool(i != 0),
        Type::Float4 | Type::Float8 => Value::Float(i as f64),
        Type::Numeric(_) => Value::Numeric(Numeric::from_i64(i)),
        Type::Date => Value::Date(i32::try_from(i).map_err(|_| misplaced("a large integer", ty))?),
        Type::Time(_) => Value::Time(i),
        Type::Timestamp(_) => Value::Timestamp(i),
        Type::Timestamptz(_) => Value::Timestamptz(i),
        _ => return Err(misplaced("an integer", ty)),
    })
}

fn from_text(bytes: &[u8], ty: &Type) -> Result<Value> {
    let read = std::str::from_utf8(bytes).map_err(|_| misplaced("text that is not UTF-8", ty))?;
    Ok(match ty {
        Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Name => Value::text(read),
        Type::InternalChar | Type::Unknown | Type::Void => Value::text(read),
        Type::Numeric(_) => {
            Value::Numeric(Numeric::parse(read).map_err(|_| misplaced("other text", ty))?)
        }
        Type::Float4 | Type::Float8 if read == NAN => Value::Float(f64::NAN),
        Type::Interval(_) => text::input(read, &Type::INTERVAL, stored_form())?,
        Type::Uuid => {
            let id = uuid::Uuid::try_parse(read).map_err(|_| misplaced("other text", ty))?;
            Value::Uuid(id.into_bytes())
        }
        Type::Json => Value::Json(Arc::from(read)),
        Type::Jsonb => Value::Jsonb(Arc::from(read)),
        Type::Array(_) | Type::Record | Type::Row(_) | Type::Int2Vector | Type::OidVector => {
            from_hex(read).ok_or_else(|| misplaced("other text", ty))?
        }
        _ => return Err(misplaced("text", ty)),
    })
}

fn misplaced(found: &str, ty: &Type) -> Error {
    Error::new(
        SqlState::DATA_CORRUPTED,
        format!("the database holds {found} where {ty} belongs"),
    )
}

/// The canonical encoding in hex: text, because SQLite orders blobs by bytes
/// but text by a collation.
fn to_hex(value: &Value) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = Vec::new();
    encode::encode_value(value, &mut bytes);
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Reads what [`encode()`] made of an array or record; `None` for other text.
pub(super) fn from_hex(text: &str) -> Option<Value> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|d| d as u8);
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks(2) {
        let [high, low] = pair else { return None };
        bytes.push((digit(*high)? << 4) | digit(*low)?);
    }
    let mut input = bytes.as_slice();
    let value = encode::decode_value(&mut input).ok()?;
    input.is_empty().then_some(value)
}

/// The collation under which SQLite finds values of this type equal and
/// ordered as SQL does; `None`: its own comparison does.
pub fn collation(ty: &Type) -> Option<&'static str> {
    match ty {
        Type::Numeric(_) => Some("pyql_numeric"),
        Type::Interval(_) => Some("pyql_interval"),
        Type::Jsonb => Some("pyql_jsonb"),
        Type::Array(_) | Type::Record | Type::Row(_) | Type::Int2Vector | Type::OidVector => {
            Some("pyql_value")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Array, Interval};

    fn stored(value: &Value) -> SqlValue {
        match encode(value) {
            ToSqlOutput::Borrowed(reference) => reference.try_into().unwrap(),
            ToSqlOutput::Owned(owned) => owned,
            _ => unreachable!("encode makes no other form"),
        }
    }

    #[test]
    fn values_come_back() {
        let numeric = Value::Numeric(Numeric::parse("1.50").unwrap());
        let span = Value::Interval(Interval {
            months: 14,
            days: -3,
            microseconds: 4_500_000,
        });
        let list = Array::one_dimensional(Type::Int4, vec![Value::Int(1), Value::Null]);
        let cases = [
            (Value::Null, Type::Text, SqlValue::Null),
            (Value::Bool(true), Type::Bool, SqlValue::Integer(1)),
            (Value::Int(-7), Type::Int8, SqlValue::Integer(-7)),
            (Value::Float(0.5), Type::Float8, SqlValue::Real(0.5)),
            (numeric, Type::NUMERIC, SqlValue::Text("1.50".into())),
            (Value::text("é"), Type::Text, SqlValue::Text("é".into())),
            (
                Value::Bytes(Arc::from(&b"\0\xff"[..])),
                Type::Bytea,
                SqlValue::Blob(vec![0, 255]),
            ),
            (Value::Date(-1), Type::Date, SqlValue::Integer(-1)),
            (Value::Timestamp(5), Type::TIMESTAMP, SqlValue::Integer(5)),
            (
                span,
                Type::INTERVAL,
                SqlValue::Text("1 year 2 mons -3 days +00:00:04.5".into()),
            ),
            (
                Value::Uuid([0x11; 16]),
                Type::Uuid,
                SqlValue::Text("11111111-1111-1111-1111-111111111111".into()),
            ),
        ];
        for (value, ty, expected) in cases {
            let kept = stored(&value);
            assert_eq!(kept, expected, "{value:?}");
            assert_eq!(decode((&kept).into(), &ty).unwrap(), value);
        }
        let list = Value::Array(Arc::new(list));
        let kept = stored(&list);
        let ty = Type::Array(Box::new(Type::Int4));
        assert_eq!(decode((&kept).into(), &ty).unwrap(), list);
        assert_eq!(
            stored(&Value::Float(f64::NAN)),
            SqlValue::Text("NaN".into())
        );
    }

    #[test]
    fn rubbish_is_an_error() {
        let cases = [
            (SqlValue::Text("x".into()), Type::Int4),
            (SqlValue::Text("x".into()), Type::Float8),
            (SqlValue::Text("x".into()), Type::Uuid),
            (SqlValue::Text("0".into()), Type::Record),
            (SqlValue::Text("zz".into()), Type::Record),
            (SqlValue::Blob(vec![1]), Type::Text),
            (SqlValue::Real(0.5), Type::Int4),
            (SqlValue::Integer(1 << 40), Type::Date),
        ];
        for (kept, ty) in cases {
            assert!(decode((&kept).into(), &ty).is_err(), "{kept:?} as {ty}");
        }
    }
}
