//! Texts with rules of their own: parse_ident, unistr, pg_size_bytes.

use super::arguments::{boolean, text};
use super::array::one_dimensional;
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::types::{Numeric, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("parse_ident", "text -> text[]", |_, a| {
        identifiers(text(&a[0])?, true)
    }),
    scalar("parse_ident", "text bool -> text[]", |_, a| {
        identifiers(text(&a[0])?, boolean(&a[1])?)
    }),
    scalar("unistr", "text -> text", |_, a| unescape(text(&a[0])?)),
    scalar("pg_size_bytes", "text -> int8", |_, a| size(text(&a[0])?)),
]];

fn invalid_name(source: &str, detail: Option<String>) -> Error {
    let error = Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("string is not a valid identifier: \"{source}\""),
    );
    match detail {
        Some(detail) => error.detail(detail),
        None => error,
    }
}

/// `a."B".c` as its names; strict refuses what follows them.
fn identifiers(source: &str, strict: bool) -> Result<Value> {
    let mut names = Vec::new();
    let mut rest = source.trim_start();
    let mut after_dot = false;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (name, after) = quoted_name(source, quoted)?;
            names.push(Value::text(name));
            rest = after;
        } else {
            let starts = |c: char| c.is_alphabetic() || c == '_' || !c.is_ascii();
            let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
            if !rest.starts_with(starts) {
                let detail = match (after_dot, rest.starts_with('.')) {
                    (false, true) => Some("No valid identifier before \".\".".to_owned()),
                    (true, _) => Some("No valid identifier after \".\".".to_owned()),
                    _ => None,
                };
                return Err(invalid_name(source, detail));
            }
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            names.push(Value::text(rest[..end].to_lowercase()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() || !strict => return Ok(one_dimensional(Type::Text, names)),
            None => return Err(invalid_name(source, None)),
        }
        after_dot = true;
    }
}

fn quoted_name<'a>(source: &str, mut rest: &'a str) -> Result<(String, &'a str)> {
    let mut name = String::new();
    loop {
        let Some((before, after)) = rest.split_once('"') else {
            return Err(invalid_name(
                source,
                Some("String has unclosed double quotes.".to_owned()),
            ));
        };
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None if name.is_empty() => {
                let detail = "Quoted identifier must not be empty.".to_owned();
                return Err(invalid_name(source, Some(detail)));
            }
            None => return Ok((name, after)),
        }
    }
}

/// `\XXXX`, `\uXXXX`, `\+XXXXXX`, `\UXXXXXXXX` and `\\`.
fn unescape(source: &str) -> Result<Value> {
    let invalid = |message: &str| Error::new(SqlState::SYNTAX_ERROR, message);
    let mut out = String::with_capacity(source.len());
    let mut units: Vec<u16> = Vec::new();
    let mut rest = source;
    while let Some(place) = rest.find('\\') {
        flush(&mut units, !rest[..place].is_empty(), &mut out)?;
        out.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            flush(&mut units, true, &mut out)?;
            out.push('\\');
            rest = after;
            continue;
        }
        let (skip, digits) = match rest.chars().next() {
            Some('u') => (1, 4),
            Some('+') => (1, 6),
            Some('U') => (1, 8),
            _ => (0, 4),
        };
        let hex = rest.get(skip..skip + digits);
        let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
            return Err(invalid("invalid Unicode escape")
                .hint("Unicode escapes must be \\XXXX, \\+XXXXXX, \\uXXXX, or \\UXXXXXXXX."));
        };
        rest = &rest[skip + digits..];
        match (u16::try_from(code), char::from_u32(code)) {
            (Ok(unit), None) => units.push(unit),
            (_, Some(c)) if c != '\0' => {
                flush(&mut units, true, &mut out)?;
                out.push(c);
            }
            _ => return Err(invalid("invalid Unicode code point")),
        }
        if units.len() == 2 {
            flush(&mut units, true, &mut out)?;
        }
    }
    flush(&mut units, true, &mut out)?;
    out.push_str(rest);
    Ok(Value::text(out))
}

/// A pair of surrogates must be one character.
fn flush(units: &mut Vec<u16>, now: bool, out: &mut String) -> Result<()> {
    if units.is_empty() || !now {
        return Ok(());
    }
    match String::from_utf16(units) {
        Ok(pair) => out.push_str(&pair),
        Err(_) => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "invalid Unicode surrogate pair",
            ));
        }
    }
    units.clear();
    Ok(())
}

/// `10 MB` as bytes.
fn size(source: &str) -> Result<Value> {
    let invalid = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid size: \"{source}\""),
        )
    };
    let trimmed = source.trim();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let end = trimmed.find(|c| !is_number(c)).unwrap_or(trimmed.len());
    // An exponent belongs to the number, an exabyte does not exist.
    let end = match trimmed[end..].strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let signed = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let digits = signed.bytes().take_while(u8::is_ascii_digit).count();
            match digits {
                0 => end,
                _ => end + 1 + (exponent.len() - signed.len()) + digits,
            }
        }
        None => end,
    };
    let number = Numeric::parse(&trimmed[..end]).map_err(|_| invalid())?;
    let unit = trimmed[end..].trim();
    let power = match unit.to_ascii_lowercase().as_str() {
        "" | "bytes" => 0,
        "kb" => 1,
        "mb" => 2,
        "gb" => 3,
        "tb" => 4,
        "pb" => 5,
        _ => {
            return Err(invalid()
                .detail(format!("Invalid size unit: \"{unit}\"."))
                .hint("Valid units are \"bytes\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\"."));
        }
    };
    let bytes = number.mul(&Numeric::from_i64(1_i64 << (10 * power)))?;
    bytes.to_i64().map(Value::Int)
}
