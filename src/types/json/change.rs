//! Changed jsonb values: `||`, `-`, `#-`, jsonb_set, jsonb_insert, strip_nulls, pretty.

use super::{Json, key_order, quote};
use crate::error::{Error, Result, SqlState};

/// Blanks of one level of `jsonb_pretty`.
const INDENTATION: usize = 4;

/// What to do at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `jsonb_set`: replace, and add what is missing if `create`.
    Set { create: bool },
    /// `jsonb_insert`: add a new key, or before or after an element.
    Insert { after: bool },
}

impl Json {
    /// `||`: objects merge, all else is joined as arrays.
    pub fn concat(self, other: Json) -> Json {
        match (self, other) {
            (Json::Object(mut a), Json::Object(b)) => {
                a.extend(b);
                Json::object(a)
            }
            (a, b) => {
                let list = |json| match json {
                    Json::Array(values) => values,
                    other => vec![other],
                };
                let mut values = list(a);
                values.extend(list(b));
                Json::Array(values)
            }
        }
    }

    /// `- 'key'`: without that key, or without the strings equal to it.
    pub fn without_key(self, key: &str) -> Result<Json> {
        match self {
            Json::Object(mut pairs) => {
                pairs.retain(|(name, _)| name != key);
                Ok(Json::Object(pairs))
            }
            Json::Array(mut values) => {
                values.retain(|value| !matches!(value, Json::String(text) if text == key));
                Ok(Json::Array(values))
            }
            _ => Err(invalid("cannot delete from scalar")),
        }
    }

    /// `- 1`: without that element.
    pub fn without_element(self, index: i64) -> Result<Json> {
        match self {
            Json::Array(mut values) => {
                if let Some(at) = place(index, values.len()) {
                    values.remove(at);
                }
                Ok(Json::Array(values))
            }
            Json::Object(_) => Err(invalid("cannot delete from object using integer index")),
            _ => Err(invalid("cannot delete from scalar")),
        }
    }

    /// `#-`: without what is at the path.
    pub fn without_path(mut self, path: &[&str]) -> Result<Json> {
        if !self.is_container() {
            return Err(invalid("cannot delete path in scalar"));
        }
        if let Some((last, steps)) = path.split_last() {
            let mut target = Some(&mut self);
            for (depth, step) in steps.iter().enumerate() {
                target = match target {
                    Some(json) => json.step(step, depth)?,
                    None => None,
                };
            }
            match target {
                Some(Json::Object(pairs)) => pairs.retain(|(name, _)| name != last),
                Some(Json::Array(values)) => {
                    if let Some(at) = place(index(last, path.len())?, values.len()) {
                        values.remove(at);
                    }
                }
                _ => {}
            }
        }
        Ok(self)
    }

    /// `jsonb_set` and `jsonb_insert`.
    pub fn with_path(mut self, path: &[&str], value: Json, how: Placement) -> Result<Json> {
        if !self.is_container() {
            return Err(invalid("cannot set path in scalar"));
        }
        let Some((last, steps)) = path.split_last() else {
            return Ok(self);
        };
        let mut target = Some(&mut self);
        for (depth, step) in steps.iter().enumerate() {
            target = match target {
                Some(json) => json.step(step, depth)?,
                None => None,
            };
        }
        match target {
            Some(Json::Object(pairs)) => place_pair(pairs, last, value, how)?,
            Some(Json::Array(values)) => {
                place_element(values, index(last, path.len())?, value, how)
            }
            _ => {}
        }
        Ok(self)
    }

    /// Without the keys whose values are null, at every level.
    pub fn strip_nulls(self) -> Json {
        match self {
            Json::Object(pairs) => Json::Object(
                pairs
                    .into_iter()
                    .filter(|(_, value)| *value != Json::Null)
                    .map(|(key, value)| (key, value.strip_nulls()))
                    .collect(),
            ),
            Json::Array(values) => Json::Array(values.into_iter().map(Json::strip_nulls).collect()),
            other => other,
        }
    }

    /// `jsonb_pretty`.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write_pretty(0, &mut out);
        out
    }

    fn write_pretty(&self, level: usize, out: &mut String) {
        let line = |level: usize, out: &mut String| {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', level * INDENTATION));
        };
        match self {
            Json::Array(values) => {
                out.push('[');
                for (i, value) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(level + 1, out);
                    value.write_pretty(level + 1, out);
                }
                line(level, out);
                out.push(']');
            }
            Json::Object(pairs) => {
                out.push('{');
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(level + 1, out);
                    quote(key, out);
                    out.push_str(": ");
                    value.write_pretty(level + 1, out);
                }
                line(level, out);
                out.push('}');
            }
            scalar => scalar.write(out),
        }
    }

    /// One step of a path, 0 the first.
    fn step(&mut self, step: &str, depth: usize) -> Result<Option<&mut Json>> {
        Ok(match self {
            Json::Object(pairs) => pairs
                .iter_mut()
                .find(|(key, _)| key == step)
                .map(|(_, value)| value),
            Json::Array(values) => {
                let at = place(index(step, depth + 1)?, values.len());
                at.and_then(|at| values.get_mut(at))
            }
            _ => None,
        })
    }
}

fn place_pair(
    pairs: &mut Vec<(String, Json)>,
    key: &str,
    value: Json,
    how: Placement,
) -> Result<()> {
    match (pairs.binary_search_by(|(k, _)| key_order(k, key)), how) {
        (Ok(at), Placement::Set { .. }) => pairs[at].1 = value,
        (Err(at), Placement::Set { create: true } | Placement::Insert { .. }) => {
            pairs.insert(at, (key.to_owned(), value));
        }
        (Err(_), Placement::Set { create: false }) => {}
        (Ok(_), Placement::Insert { .. }) => {
            return Err(invalid("cannot replace existing key")
                .hint("Try using the function jsonb_set to replace key value."));
        }
    }
    Ok(())
}

fn place_element(values: &mut Vec<Json>, index: i64, value: Json, how: Placement) {
    match (place(index, values.len()), how) {
        (Some(at), Placement::Set { .. }) => values[at] = value,
        (Some(at), Placement::Insert { after }) => values.insert(at + usize::from(after), value),
        (None, Placement::Set { create: false }) => {}
        (None, _) if index < 0 => values.insert(0, value),
        (None, _) => values.push(value),
    }
}

/// The place an index means; negative ones count from the end.
fn place(index: i64, length: usize) -> Option<usize> {
    let at = if index < 0 {
        index + length as i64
    } else {
        index
    };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// A path element that must be an array index; `position` counts from 1.
fn index(step: &str, position: usize) -> Result<i64> {
    step.trim().parse::<i32>().map(i64::from).map_err(|_| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("path element at position {position} is not an integer: \"{step}\""),
        )
    })
}

fn invalid(message: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}
