//! Walking through JSON text without building it: `->`, `->>`, paths.
//!
//! The text is known to be valid; anything else yields `None` or cut slices,
//! never a panic.

use std::borrow::Cow;

use super::{Json, parse};
use crate::error::{Error, Result, SqlState};

/// What a value is, by its first character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// As `json_typeof` says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Array => "array",
            Kind::Object => "object",
        }
    }
}

pub fn kind(text: &str) -> Kind {
    match text.trim_start_matches(is_blank).as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') | None => Kind::Null,
        Some(_) => Kind::Number,
    }
}

/// The value of a key (`-> 'key'`); of equal keys in a json text the last.
pub fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    if kind(text) != Kind::Object {
        return None;
    }
    let mut found = None;
    for (name, value) in Parts::new(text) {
        let name = name?;
        let matches = if name.contains('\\') {
            unquote(name) == key
        } else {
            name.get(1..name.len().saturating_sub(1)) == Some(key)
        };
        if matches {
            found = Some(value);
        }
    }
    found
}

/// The element at a place (`-> 1`); a negative one counts from the end.
pub fn element(text: &str, index: i64) -> Option<&str> {
    if kind(text) != Kind::Array {
        return None;
    }
    let index = if index < 0 {
        Parts::new(text).count() as i64 + index
    } else {
        index
    };
    Parts::new(text)
        .nth(usize::try_from(index).ok()?)
        .map(|(_, value)| value)
}

/// The value at a path (`#>`): keys of objects, numbers of array elements.
pub fn path<'a, 'b>(text: &'a str, steps: impl IntoIterator<Item = &'b str>) -> Option<&'a str> {
    steps
        .into_iter()
        .try_fold(text.trim_matches(is_blank), |value, step| {
            match kind(value) {
                Kind::Object => field(value, step),
                Kind::Array => element(value, step.trim().parse().ok()?),
                _ => None,
            }
        })
}

/// A value as text (`->>`): a string without its quotes, null as `None`, the
/// rest as it stands.
pub fn as_text(value: &str) -> Option<Cow<'_, str>> {
    match kind(value) {
        Kind::Null => None,
        Kind::String => Some(unquote(value)),
        _ => Some(Cow::Borrowed(value)),
    }
}

/// `json_array_length`.
pub fn array_length(text: &str) -> Result<i64> {
    let cannot = |what| {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("cannot get array length of a {what}"),
        )
    };
    match kind(text) {
        Kind::Array => Ok(Parts::new(text).count() as i64),
        Kind::Object => Err(cannot("non-array")),
        _ => Err(cannot("scalar")),
    }
}

/// The elements of an array; none of anything else.
pub fn elements(text: &str) -> impl Iterator<Item = &str> {
    let is_array = kind(text) == Kind::Array;
    Parts::new(text)
        .filter(move |_| is_array)
        .map(|(_, value)| value)
}

/// The keys and values of an object, in the order of the text; none of anything else.
pub fn entries(text: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    Parts::new(text).filter_map(|(name, value)| name.map(|name| (unquote(name), value)))
}

/// A JSON string's content.
fn unquote(value: &str) -> Cow<'_, str> {
    let value = value.trim_matches(is_blank);
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    match parse(value) {
        Ok(Json::String(text)) => Cow::Owned(text),
        // json keeps escapes that text cannot hold (\u0000).
        _ => Cow::Borrowed(inner),
    }
}

/// The parts of a container: for objects the quoted key, and the value's text.
struct Parts<'a> {
    text: &'a str,
    at: usize,
    object: bool,
}

impl<'a> Parts<'a> {
    fn new(text: &'a str) -> Parts<'a> {
        let kind = kind(text);
        let start = text.len() - text.trim_start_matches(is_blank).len();
        let at = match kind {
            Kind::Object | Kind::Array => start + 1,
            _ => text.len(),
        };
        Parts {
            text,
            at,
            object: kind == Kind::Object,
        }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at = self.text.len() - rest.trim_start_matches(is_blank).len();
    }

    fn take_value(&mut self) -> &'a str {
        self.skip_blanks();
        let start = self.at;
        self.at += value_length(&self.text.as_bytes()[start..]);
        &self.text[start..self.at]
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (Option<&'a str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blanks();
        if self.text.as_bytes().get(self.at) == Some(&b',') {
            self.at += 1;
        }
        self.skip_blanks();
        if matches!(self.text.as_bytes().get(self.at), None | Some(b'}' | b']')) {
            return None;
        }
        let name = if self.object {
            let name = self.take_value();
            self.skip_blanks();
            if self.text.as_bytes().get(self.at) == Some(&b':') {
                self.at += 1;
            }
            Some(name)
        } else {
            None
        };
        let value = self.take_value();
        (!value.is_empty()).then_some((name, value))
    }
}

/// The length of the value at the start of the bytes.
fn value_length(bytes: &[u8]) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    quoted = false;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' if depth == 0 && at > 0 => return at,
            b'"' => quoted = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => {}
        }
    }
    bytes.len()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}
