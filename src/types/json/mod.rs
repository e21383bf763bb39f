//! json and jsonb: validation, jsonb's canonical text, order and containment.
//!
//! A json value is the text as given; a jsonb value is canonical text: keys
//! sorted by length and then bytes, the last of equal keys kept, numbers as
//! numeric prints them, `", "` and `": "` between. Parts of canonical text are
//! canonical themselves, so navigation (see [`navigate`]) cuts slices.

pub mod build;
pub mod change;
pub mod navigate;
mod parse;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::Arc;

use super::numeric::Numeric;
use crate::error::Result;

pub use parse::{parse, validate};

/// A parsed jsonb value; objects are sorted and without duplicates.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Numeric),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// The canonical text of a jsonb value; 22P02 when it is no JSON.
pub fn canonical(text: &str) -> Result<Arc<str>> {
    Ok(parse(text)?.to_text().into())
}

/// Orders two jsonb values, given as canonical texts, as PostgreSQL does.
pub fn compare(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    match (parse(a), parse(b)) {
        (Ok(a), Ok(b)) => a.compare(&b),
        // Not canonical text: no order is right, but it must be a fixed one.
        _ => a.cmp(b),
    }
}

/// A text equal for exactly the jsonb values that SQL finds equal: 1.0 is 1.
pub fn key_form(text: &str) -> Cow<'_, str> {
    // Only digits after a point can be superfluous.
    if !text.contains('.') {
        return Cow::Borrowed(text);
    }
    match parse(text) {
        Ok(mut json) => {
            json.trim_numbers();
            Cow::Owned(json.to_text())
        }
        Err(_) => Cow::Borrowed(text),
    }
}

impl Json {
    /// An object of these pairs: sorted, the last of equal keys kept.
    pub fn object(mut pairs: Vec<(String, Json)>) -> Json {
        pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
        // Stable sort: the last of equals is the last given.
        let mut unique: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match unique.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => unique.push(pair),
            }
        }
        Json::Object(unique)
    }

    /// The value of a key of an object.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs
                .binary_search_by(|(k, _)| key_order(k, key))
                .ok()
                .map(|at| &pairs[at].1),
            _ => None,
        }
    }

    /// Canonical jsonb text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(number) => number.write(out),
            Json::String(text) => quote(text, out),
            Json::Array(values) => {
                out.push('[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    quote(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// PostgreSQL's order of whole jsonb values.
    pub fn compare(&self, other: &Json) -> Ordering {
        // At the top a scalar counts as an array of one that precedes arrays
        // of one; so `[]` precedes every scalar.
        match (self, other) {
            (Json::Array(values), scalar) if !scalar.is_container() => {
                values.len().cmp(&1).then(Ordering::Greater)
            }
            (scalar, Json::Array(values)) if !scalar.is_container() => {
                1.cmp(&values.len()).then(Ordering::Less)
            }
            _ => self.compare_inner(other),
        }
    }

    fn compare_inner(&self, other: &Json) -> Ordering {
        match (self, other) {
            (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
            (Json::Number(a), Json::Number(b)) => a.compare(b),
            (Json::String(a), Json::String(b)) => a.cmp(b),
            (Json::Array(a), Json::Array(b)) => a
                .len()
                .cmp(&b.len())
                .then_with(|| first_difference(a.iter().zip(b).map(|(a, b)| a.compare_inner(b)))),
            (Json::Object(a), Json::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
                first_difference(
                    a.iter()
                        .zip(b)
                        .map(|(a, b)| a.0.cmp(&b.0).then_with(|| a.1.compare_inner(&b.1))),
                )
            }),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// `@>`: whether `part` is contained, by structure and equality of scalars.
    pub fn contains(&self, part: &Json) -> bool {
        match (self, part) {
            (Json::Array(values), scalar) if !scalar.is_container() => {
                values.iter().any(|value| value.equals(scalar))
            }
            _ => self.contains_inner(part),
        }
    }

    fn contains_inner(&self, part: &Json) -> bool {
        match (self, part) {
            (Json::Object(_), Json::Object(pairs)) => pairs
                .iter()
                .all(|(key, value)| self.get(key).is_some_and(|mine| mine.contains_inner(value))),
            (Json::Array(values), Json::Array(parts)) => parts
                .iter()
                .all(|part| values.iter().any(|value| value.contains_inner(part))),
            _ => !self.is_container() && self.equals(part),
        }
    }

    /// `?`: a key of an object, a string of an array, or a string itself.
    pub fn exists(&self, key: &str) -> bool {
        let is_key = |json: &Json| matches!(json, Json::String(text) if text == key);
        match self {
            Json::Object(_) => self.get(key).is_some(),
            Json::Array(values) => values.iter().any(is_key),
            other => is_key(other),
        }
    }

    /// SQL's `=`: numbers by value.
    pub fn equals(&self, other: &Json) -> bool {
        self.compare_inner(other).is_eq()
    }

    pub fn is_container(&self) -> bool {
        matches!(self, Json::Array(_) | Json::Object(_))
    }

    fn trim_numbers(&mut self) {
        match self {
            Json::Number(number) => *number = number.trimmed(),
            Json::Array(values) => values.iter_mut().for_each(Json::trim_numbers),
            Json::Object(pairs) => pairs.iter_mut().for_each(|pair| pair.1.trim_numbers()),
            _ => {}
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Json::Null => 0,
            Json::String(_) => 1,
            Json::Number(_) => 2,
            Json::Bool(_) => 3,
            Json::Array(_) => 4,
            Json::Object(_) => 5,
        }
    }
}

/// Appends a text as a JSON string.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0x00..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        plain = at + 1;
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// The order of keys within an object: shorter first, then by bytes.
fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
