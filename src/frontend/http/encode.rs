//! Result rows as JSON, written straight into the body's bytes.
//!
//! Numbers keep all their digits; what JSON cannot say (NaN, infinities) is a
//! text. A text column that holds a whole JSON object or array is given back
//! as that value, since objects are stored so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use crate::types::settings::{Io, Settings};
use crate::types::{Array, Type, Value, text};

/// How the rows of one result become objects.
pub(super) struct RowEncoder {
    /// Members in the order of their keys: `"key":`, place in the row, type.
    members: Vec<(String, usize, Type)>,
    settings: Settings,
}

impl RowEncoder {
    /// `keys` and `types` of the columns, in the row's order.
    pub(super) fn new<'a>(
        keys: impl Iterator<Item = &'a str>,
        types: impl Iterator<Item = Type>,
    ) -> RowEncoder {
        let mut members: Vec<(&str, usize, Type)> = keys
            .zip(types)
            .enumerate()
            .map(|(place, (key, ty))| (key, place, ty))
            .collect();
        members.sort_by(|a, b| a.0.cmp(b.0));
        let members = members.into_iter().map(|(key, place, ty)| {
            let mut name = String::new();
            print_text(key, &mut name);
            name.push(':');
            (name, place, ty)
        });
        RowEncoder {
            members: members.collect(),
            // Fixed: what a client gets must not depend on anybody's settings.
            settings: Settings::default(),
        }
    }

    /// Appends one row.
    pub(super) fn row(&self, row: &[Value], out: &mut String) {
        out.push('{');
        for (number, (name, place, ty)) in self.members.iter().enumerate() {
            if number > 0 {
                out.push(',');
            }
            out.push_str(name);
            self.value(row.get(*place).unwrap_or(&Value::Null), ty, out);
        }
        out.push('}');
    }

    fn value(&self, value: &Value, ty: &Type, out: &mut String) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Int(number) if ty.is_integer() || *ty == Type::Oid => {
                out.push_str(&number.to_string());
            }
            Value::Float(number) if number.is_finite() => {
                let start = out.len();
                self.print(value, ty, out);
                if !out[start..].contains(['.', 'e']) {
                    out.push_str(".0");
                }
            }
            Value::Numeric(_) => {
                let printed = self.printed(value, ty);
                if printed.starts_with(|first: char| first == '-' || first.is_ascii_digit())
                    && printed.ends_with(|last: char| last.is_ascii_digit())
                {
                    out.push_str(&printed);
                } else {
                    print_text(&printed, out);
                }
            }
            Value::Text(text) if is_structure(text) => out.push_str(text.trim()),
            // Only char(n) prints other than it is kept: padded.
            Value::Text(text) if !matches!(ty, Type::Char(_)) => print_text(text, out),
            Value::Json(text) | Value::Jsonb(text) => out.push_str(text.trim()),
            Value::Bytes(bytes) => print_text(&STANDARD.encode(bytes), out),
            Value::Timestamp(_) => print_text(&self.printed(value, ty).replacen(' ', "T", 1), out),
            Value::Timestamptz(_) => print_text(&self.utc(value, ty), out),
            Value::Array(array) => self.array(array, 0, &mut array.values.iter(), out),
            _ => print_text(&self.printed(value, ty), out),
        }
    }

    /// `2024-01-31 10:00:00+00` in ISO 8601's spelling.
    fn utc(&self, value: &Value, ty: &Type) -> String {
        let printed = self.printed(value, ty).replacen(' ', "T", 1);
        printed.replacen("+00", "+00:00", 1)
    }

    /// One dimension of an array, the next ones nested.
    fn array<'a>(
        &self,
        array: &Array,
        dimension: usize,
        values: &mut impl Iterator<Item = &'a Value>,
        out: &mut String,
    ) {
        let length = array
            .dimensions
            .get(dimension)
            .map_or(0, |(length, _)| *length);
        out.push('[');
        for number in 0..length {
            if number > 0 {
                out.push(',');
            }
            if dimension + 1 < array.dimensions.len() {
                // Boxed recursion keeps the iterator's type from growing.
                let values: &mut dyn Iterator<Item = &'a Value> = values;
                self.array(array, dimension + 1, &mut { values }, out);
            } else {
                let value = values.next().unwrap_or(&Value::Null);
                self.value(value, &array.element, out);
            }
        }
        out.push(']');
    }

    fn printed(&self, value: &Value, ty: &Type) -> String {
        let mut printed = String::new();
        self.print(value, ty, &mut printed);
        printed
    }

    fn print(&self, value: &Value, ty: &Type, out: &mut String) {
        let io = Io {
            settings: &self.settings,
            transaction_time: 0,
        };
        text::output(value, ty, io, out);
    }
}

/// Whether a text is a whole JSON object or array.
fn is_structure(text: &str) -> bool {
    let trimmed = text.trim_ascii();
    let framed = (trimmed.starts_with('{') && trimmed.ends_with('}'))
        || (trimmed.starts_with('[') && trimmed.ends_with(']'));
    framed && serde_json::from_str::<IgnoredAny>(trimmed).is_ok()
}

/// A JSON text in quotes.
fn print_text(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        if escaped.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(escaped);
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(text: &str, ty: &Type) -> Value {
        let settings = Settings::default();
        let io = Io {
            settings: &settings,
            transaction_time: 0,
        };
        text::input(text, ty, io).unwrap()
    }

    #[test]
    fn values() {
        let int_array = Type::Array(Box::new(Type::Int4));
        let cases = [
            ("9007199254740993", Type::Int8, "9007199254740993"),
            ("t", Type::Bool, "true"),
            ("33.16", Type::Float8, "33.16"),
            ("5", Type::Float8, "5.0"),
            ("1e300", Type::Float8, "1e+300"),
            ("NaN", Type::Float8, "\"NaN\""),
            ("-Infinity", Type::Float8, "\"-Infinity\""),
            ("1.10", Type::NUMERIC, "1.10"),
            (
                "-12345678901234567890.5",
                Type::NUMERIC,
                "-12345678901234567890.5",
            ),
            ("NaN", Type::NUMERIC, "\"NaN\""),
            ("-Infinity", Type::NUMERIC, "\"-Infinity\""),
            ("a\"\\\n\u{1}é", Type::Text, "\"a\\\"\\\\\\n\\u0001é\""),
            (
                "{\"b\": 1, \"a\": [2]}",
                Type::Text,
                "{\"b\": 1, \"a\": [2]}",
            ),
            ("[1, 2.50]", Type::Text, "[1, 2.50]"),
            ("{}", Type::VARCHAR, "{}"),
            ("{not json}", Type::Text, "\"{not json}\""),
            ("} a", Type::Text, "\"} a\""),
            ("5", Type::Text, "\"5\""),
            ("{\"a\": 1}", Type::Jsonb, "{\"a\": 1}"),
            ("\"x\"", Type::Json, "\"x\""),
            ("\\x0102", Type::Bytea, "\"AQI=\""),
            ("2024-01-31", Type::Date, "\"2024-01-31\""),
            ("10:00:01.5", Type::TIME, "\"10:00:01.5\""),
            (
                "2024-01-31 10:00",
                Type::TIMESTAMP,
                "\"2024-01-31T10:00:00\"",
            ),
            (
                "2024-01-31 10:00+02",
                Type::TIMESTAMPTZ,
                "\"2024-01-31T08:00:00+00:00\"",
            ),
            (
                "0044-03-15 10:00+00 BC",
                Type::TIMESTAMPTZ,
                "\"0044-03-15T10:00:00+00:00 BC\"",
            ),
            ("infinity", Type::TIMESTAMPTZ, "\"infinity\""),
            ("1 day 02:00", Type::INTERVAL, "\"1 day 02:00:00\""),
            ("{{1,2},{NULL,4}}", int_array.clone(), "[[1,2],[null,4]]"),
            ("{}", int_array, "[]"),
        ];
        for (text, ty, expected) in cases {
            let encoder = RowEncoder::new(["v"].into_iter(), [ty.clone()].into_iter());
            let mut out = String::new();
            encoder.row(&[input(text, &ty)], &mut out);
            assert_eq!(out, format!("{{\"v\":{expected}}}"), "{text} as {ty}");
        }
    }

    #[test]
    fn keys_are_sorted() {
        let encoder = RowEncoder::new(
            ["b", "a\"", "B"].into_iter(),
            [Type::Bool, Type::Bool, Type::Bool].into_iter(),
        );
        let mut out = String::new();
        encoder.row(
            &[Value::Bool(true), Value::Null, Value::Bool(false)],
            &mut out,
        );
        assert_eq!(out, "{\"B\":false,\"a\\\"\":null,\"b\":true}");
    }
}
