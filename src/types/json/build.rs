//! JSON from SQL values: to_json and what builds on it.

use super::{navigate, quote};
use crate::types::settings::{DateFormat, DateOrder, DateStyle, Io, Settings};
use crate::types::{Array, Type, Value, text};

/// Appends a value as json text, as `to_json` does: numbers and booleans
/// bare, json as it stands, dates in ISO 8601 with `T`, the rest as strings.
pub fn write_value(value: &Value, ty: &Type, io: Io<'_>, out: &mut String) {
    write_parts(value, ty, ",", io, out);
}

/// The same, with what stands between the parts of an array or row; those
/// deeper within have a comma.
pub fn write_parts(value: &Value, ty: &Type, separator: &str, io: Io<'_>, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Json(json) | Value::Jsonb(json) => out.push_str(json),
        Value::Int(_) | Value::Float(_) | Value::Numeric(_) => {
            let printed = text::to_text(value, ty, io);
            // NaN, infinities and names of relations are no JSON numbers.
            if navigate::kind(&printed) == navigate::Kind::Number
                && super::validate(&printed).is_ok()
            {
                out.push_str(&printed);
            } else {
                quote(&printed, out);
            }
        }
        Value::Date(_) | Value::Timestamp(_) | Value::Timestamptz(_) => {
            write_time(value, ty, io, out);
        }
        Value::Array(array) => {
            // The names of a row's fields are not in the array itself.
            let element = match ty {
                Type::Array(element) if matches!(**element, Type::Row(_)) => element,
                _ => &array.element,
            };
            let values = &mut array.values.iter();
            write_dimension((array, element), 0, values, separator, io, out);
        }
        Value::Record(values) => {
            out.push('{');
            for (i, value) in values.iter().enumerate() {
                if i > 0 {
                    out.push_str(separator);
                }
                match ty.field(i) {
                    Some((name, ty)) => {
                        quote(name, out);
                        out.push(':');
                        write_value(value, ty, io, out);
                    }
                    None => {
                        quote(&format!("f{}", i + 1), out);
                        out.push(':');
                        write_value(value, &text::natural_type(value), io, out);
                    }
                }
            }
            out.push('}');
        }
        _ => quote(&text::to_text(value, ty, io), out),
    }
}

/// Dates and times do not follow DateStyle inside JSON.
fn write_time(value: &Value, ty: &Type, io: Io<'_>, out: &mut String) {
    let settings = Settings {
        date_style: DateStyle {
            format: DateFormat::Iso,
            order: DateOrder::Ymd,
        },
        ..io.settings.clone()
    };
    let io = Io {
        settings: &settings,
        ..io
    };
    let mut printed = text::to_text(value, ty, io).replacen(' ', "T", 1);
    if matches!(value, Value::Timestamptz(_)) {
        complete_offset(&mut printed);
    }
    quote(&printed, out);
}

/// `+02` becomes `+02:00`, as ISO 8601 has it with a `T`.
fn complete_offset(printed: &mut String) {
    let Some(time) = printed.find('T') else {
        return;
    };
    if let Some(sign) = printed[time..].find(['+', '-'])
        && let digits = printed[time + sign + 1..]
            .bytes()
            .take_while(|b| b.is_ascii_digit())
            .count()
        && printed[time + sign + 1 + digits..].bytes().next() != Some(b':')
    {
        printed.insert_str(time + sign + 1 + digits, ":00");
    }
}

fn write_dimension<'a>(
    (array, element): (&Array, &Type),
    depth: usize,
    values: &mut impl Iterator<Item = &'a Value>,
    separator: &str,
    io: Io<'_>,
    out: &mut String,
) {
    out.push('[');
    let length = array.dimensions.get(depth).map_or(0, |d| d.0);
    for i in 0..length {
        if i > 0 {
            out.push_str(separator);
        }
        if depth + 1 < array.dimensions.len() {
            write_dimension((array, element), depth + 1, values, ",", io, out);
        } else if let Some(value) = values.next() {
            write_value(value, element, io, out);
        }
    }
    out.push(']');
}
