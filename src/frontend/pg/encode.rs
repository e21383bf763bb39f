//! Rows as the wire has them, straight from values into the output.
//!
//! The common cases (integers, text, booleans) are written in place; the rest
//! goes through `types`. No value costs an allocation of its own.

use std::sync::Arc;

use super::error::protocol_violation;
use super::frame::{put_message, put_string};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::evaluate::cast;
use crate::plan::query::OutputColumn;
use crate::types::settings::Io;
use crate::types::{Row, Type, Value, binary, text};

/// How one column is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// The formats of all columns or parameters, as Bind gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Formats {
    All(Format),
    Each(Arc<[Format]>),
}

/// What encoding needs beside the row.
pub(super) struct Encoder<'a> {
    pub(super) columns: &'a [OutputColumn],
    pub(super) formats: &'a Formats,
    /// Knows the names of objects, where a column prints them.
    pub(super) names: Option<Arc<Context>>,
    pub(super) io: Io<'a>,
    /// Reused for values that `types` prints.
    pub(super) scratch: &'a mut String,
}

impl Format {
    fn from_code(code: i16) -> Result<Format> {
        match code {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            other => Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unsupported format code: {other}"),
            )),
        }
    }

    pub(super) fn code(self) -> i16 {
        match self {
            Format::Text => 0,
            Format::Binary => 1,
        }
    }
}

impl Formats {
    pub(super) const TEXT: Formats = Formats::All(Format::Text);

    /// From Bind's codes: none is text, one holds for all.
    pub(super) fn from_codes(
        mut codes: impl ExactSizeIterator<Item = i16>,
        count: usize,
        what: Counted,
    ) -> Result<Formats> {
        match codes.len() {
            0 => Ok(Formats::TEXT),
            1 => {
                let code = codes.next().unwrap_or(0);
                Format::from_code(code).map(Formats::All)
            }
            given if given == count => codes
                .map(Format::from_code)
                .collect::<Result<_>>()
                .map(Formats::Each),
            given => Err(protocol_violation(match what {
                Counted::Parameters => {
                    format!("bind message has {given} parameter formats but {count} parameters")
                }
                Counted::Columns => {
                    format!("bind message has {given} result formats but query has {count} columns")
                }
            })),
        }
    }

    pub(super) fn of(&self, place: usize) -> Format {
        match self {
            Formats::All(format) => *format,
            Formats::Each(formats) => formats.get(place).copied().unwrap_or(Format::Text),
        }
    }
}

/// What format codes belong to.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    Parameters,
    Columns,
}

/// Appends CommandComplete.
pub(super) fn put_complete(out: &mut Vec<u8>, tag: &str) {
    put_message(out, b'C', |out| put_string(out, tag));
}

/// Appends CommandComplete of a command that is followed by its number of rows.
pub(super) fn put_complete_counted(out: &mut Vec<u8>, command: &str, rows: u64) {
    put_message(out, b'C', |out| {
        out.extend_from_slice(command.as_bytes());
        out.push(b' ');
        put_integer(out, rows as i64);
        out.push(0);
    });
}

impl Encoder<'_> {
    /// Appends DataRow; leaves `out` as it was when the row cannot be sent.
    pub(super) fn put_row(&mut self, out: &mut Vec<u8>, row: &Row) -> Result<()> {
        if row.len() != self.columns.len() {
            return Err(Error::internal(format!(
                "a row of {} values for {} columns",
                row.len(),
                self.columns.len()
            )));
        }
        let start = out.len();
        out.extend_from_slice(&[b'D', 0, 0, 0, 0]);
        out.extend_from_slice(&(row.len() as u16).to_be_bytes());
        for (place, (value, column)) in row.iter().zip(self.columns).enumerate() {
            if value.is_null() {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let length_at = out.len();
            out.extend_from_slice(&[0; 4]);
            match self.formats.of(place) {
                Format::Text => self.put_text(out, value, &column.ty),
                Format::Binary => put_binary(out, value, &column.ty),
            }
            let length = out.len() - length_at - 4;
            out[length_at..length_at + 4].copy_from_slice(&(length as u32).to_be_bytes());
        }
        let length = out.len() - start - 1;
        let Ok(length) = i32::try_from(length) else {
            out.truncate(start);
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "a row is larger than a message may be",
            ));
        };
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn put_text(&mut self, out: &mut Vec<u8>, value: &Value, ty: &Type) {
        let named = match &self.names {
            Some(context) => cast::with_names(value, ty, context),
            None => None,
        };
        let value = named.as_ref().unwrap_or(value);
        match (value, ty) {
            (Value::Int(number), Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid) => {
                put_integer(out, *number);
            }
            (Value::Text(text), Type::Text | Type::Varchar(_) | Type::Name | Type::Unknown) => {
                out.extend_from_slice(text.as_bytes());
            }
            (Value::Bool(truth), _) => out.push(if *truth { b't' } else { b'f' }),
            _ => {
                self.scratch.clear();
                text::output(value, ty, self.io, self.scratch);
                out.extend_from_slice(self.scratch.as_bytes());
            }
        }
    }
}

fn put_binary(out: &mut Vec<u8>, value: &Value, ty: &Type) {
    match (value, ty) {
        (Value::Int(number), Type::Int4) => {
            out.extend_from_slice(&(*number as i32).to_be_bytes());
        }
        (Value::Int(number), Type::Int8) => out.extend_from_slice(&number.to_be_bytes()),
        (Value::Text(text), Type::Text | Type::Varchar(_)) => {
            out.extend_from_slice(text.as_bytes());
        }
        _ => binary::send(value, ty, out),
    }
}

fn put_integer(out: &mut Vec<u8>, number: i64) {
    text::with_integer(number, |digits| out.extend_from_slice(digits));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::settings::Settings;

    fn column(ty: Type) -> OutputColumn {
        OutputColumn {
            name: "c".to_owned(),
            ty,
            origin: None,
        }
    }

    #[test]
    fn rows_in_both_formats() {
        let columns = [
            column(Type::Int4),
            column(Type::Text),
            column(Type::Bool),
            column(Type::Int8),
        ];
        let settings = Settings::default();
        let mut scratch = String::new();
        let formats = Formats::Each(Arc::new([
            Format::Text,
            Format::Text,
            Format::Text,
            Format::Binary,
        ]));
        let mut encoder = Encoder {
            columns: &columns,
            formats: &formats,
            names: None,
            io: Io {
                settings: &settings,
                transaction_time: 0,
            },
            scratch: &mut scratch,
        };
        let mut out = Vec::new();
        let row = vec![
            Value::Int(-42),
            Value::text("hé"),
            Value::Null,
            Value::Int(258),
        ];
        encoder.put_row(&mut out, &row).unwrap();
        let expected = [
            b"D\0\0\0\x24\0\x04".as_slice(),
            b"\0\0\0\x03-42",
            b"\0\0\0\x03h\xc3\xa9",
            b"\xff\xff\xff\xff",
            b"\0\0\0\x08\0\0\0\0\0\0\x01\x02",
        ]
        .concat();
        assert_eq!(out, expected);
        assert!(encoder.put_row(&mut out, &row[..2].to_vec()).is_err());
        assert_eq!(out.len(), expected.len());
    }

    #[test]
    fn integers() {
        for number in [0, 7, -1, 10, 1234567890, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_integer(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }

    #[test]
    fn format_codes() {
        let formats = |codes: &[i16], count| {
            Formats::from_codes(codes.iter().copied(), count, Counted::Columns)
        };
        assert_eq!(formats(&[], 3).unwrap(), Formats::TEXT);
        assert_eq!(formats(&[1], 3).unwrap().of(2), Format::Binary);
        assert_eq!(formats(&[1, 0], 2).unwrap().of(1), Format::Text);
        assert_eq!(
            formats(&[1, 0], 3).unwrap_err().state(),
            SqlState::PROTOCOL_VIOLATION
        );
        assert_eq!(
            formats(&[2], 3).unwrap_err().state(),
            SqlState::INVALID_PARAMETER_VALUE
        );
    }
}
