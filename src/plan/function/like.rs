//! LIKE and ILIKE.

use std::borrow::Cow;

use super::Call;
use super::arguments::{bytes, text};
use super::definition::{Definition, scalar};
use super::string::{lower, padded};
use crate::error::{Error, Result, SqlState};
use crate::types::Value;

/// `like` and its three kin for one left type: operators, then plain names.
macro_rules! family {
    ($prefix:literal, $types:literal) => {
        [
            scalar(concat!($prefix, "like"), $types, |call, a| {
                like(call, a, false, true)
            })
            .operator("~~"),
            scalar(concat!($prefix, "nlike"), $types, |call, a| {
                like(call, a, false, false)
            })
            .operator("!~~"),
            scalar(concat!($prefix, "iclike"), $types, |call, a| {
                like(call, a, true, true)
            })
            .operator("~~*"),
            scalar(concat!($prefix, "icnlike"), $types, |call, a| {
                like(call, a, true, false)
            })
            .operator("!~~*"),
        ]
    };
}

pub(super) const TABLES: &[&[Definition]] = &[
    &family!("text", "text text -> bool"),
    &family!("bpchar", "bpchar text -> bool"),
    &family!("name", "name text -> bool"),
    &[
        scalar("like", "text text -> bool", |call, a| {
            like(call, a, false, true)
        }),
        scalar("notlike", "text text -> bool", |call, a| {
            like(call, a, false, false)
        }),
        scalar("bytealike", "bytea bytea -> bool", |_, a| {
            like_bytes(a, true)
        })
        .operator("~~"),
        scalar("byteanlike", "bytea bytea -> bool", |_, a| {
            like_bytes(a, false)
        })
        .operator("!~~"),
        scalar("like_escape", "text text -> text", like_escape),
    ],
];

fn like(call: &Call<'_>, arguments: &[Value], fold_case: bool, wanted: bool) -> Result<Value> {
    let (source, pattern) = (padded(call, &arguments[0], 0)?, text(&arguments[1])?);
    let (source, pattern): (Cow<'_, str>, Cow<'_, str>) = match fold_case {
        true => (lower(&source).into(), lower(pattern).into()),
        false => (source, (&**pattern).into()),
    };
    let found = matches(source.as_bytes(), pattern.as_bytes(), true)?;
    Ok(Value::Bool(found == wanted))
}

fn like_bytes(arguments: &[Value], wanted: bool) -> Result<Value> {
    let found = matches(bytes(&arguments[0])?, bytes(&arguments[1])?, false)?;
    Ok(Value::Bool(found == wanted))
}

/// Length of the character that starts with this byte.
fn width(first: u8, characters: bool) -> usize {
    match first {
        0xf0.. if characters => 4,
        0xe0.. if characters => 3,
        0xc0.. if characters => 2,
        _ => 1,
    }
}

/// Whether the whole source matches. Goes back to the last `%` only, which is
/// enough: an earlier one can take nothing that the last cannot.
fn matches(source: &[u8], pattern: &[u8], characters: bool) -> Result<bool> {
    let (mut s, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(p) {
            Some(b'%') => {
                p += 1;
                if p == pattern.len() {
                    return Ok(true);
                }
                retry = Some((s, p));
                continue;
            }
            Some(b'_') if s < source.len() => {
                s += width(source[s], characters);
                p += 1;
                continue;
            }
            Some(b'\\') if s < source.len() => {
                let Some(literal) = pattern.get(p + 1) else {
                    return Err(Error::new(
                        SqlState::INVALID_ESCAPE_SEQUENCE,
                        "LIKE pattern must not end with escape character",
                    ));
                };
                let fits = source.get(s) == Some(literal);
                p += usize::from(fits);
                fits
            }
            Some(literal) => source.get(s) == Some(literal),
            None if s >= source.len() => return Ok(true),
            None => false,
        };
        if fits {
            s += 1;
            p += 1;
            continue;
        }
        match &mut retry {
            Some((from, after)) if *from < source.len() => {
                *from += width(source[*from], characters);
                (s, p) = (*from, *after);
            }
            _ => return Ok(false),
        }
    }
}

/// Rewrites a pattern with an escape character of its own to one with `\`.
fn like_escape(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (pattern, escape) = (text(&arguments[0])?, text(&arguments[1])?);
    let mut characters = escape.chars();
    let escape = match (characters.next(), characters.next()) {
        (None, _) => return Ok(Value::text(pattern.replace('\\', "\\\\"))),
        (Some('\\'), None) => return Ok(arguments[0].clone()),
        (Some(escape), None) => escape,
        _ => return Err(invalid_escape()),
    };
    let mut out = String::with_capacity(pattern.len());
    let mut escaped = false;
    for c in pattern.chars() {
        if c == escape && !escaped {
            out.push('\\');
            escaped = true;
            continue;
        }
        if c == '\\' && !escaped {
            out.push('\\');
        }
        out.push(c);
        escaped = false;
    }
    Ok(Value::text(out))
}

pub(super) fn invalid_escape() -> Error {
    Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid escape string")
        .hint("Escape string must be empty or one character.")
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_postgresql() {
        let cases = [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "a_c", true),
            ("abc", "_", false),
            ("", "%", true),
            ("", "", true),
            ("", "_", false),
            ("aéc", "a_c", true),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("abcabd", "%ab_", true),
            ("mississippi", "%iss%ip%", true),
            ("mississippi", "%iss%ipx%", false),
        ];
        for (source, pattern, expected) in cases {
            let found = matches(source.as_bytes(), pattern.as_bytes(), true);
            assert_eq!(found.ok(), Some(expected), "{source} LIKE {pattern}");
        }
        assert!(matches(b"ab", b"a\\", true).is_err());
    }
}
