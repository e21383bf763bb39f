//! Functions of text and bytea that need no pattern.
//!
//! Positions and lengths count characters, or bytes for bytea. Upper and
//! lower case follow Unicode.

use std::borrow::Cow;

use super::Call;
use super::arguments::{bytes, int, text};
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::cast;
use crate::types::{MAXIMUM_BYTES, Type, Value, text as text_io};

pub(super) const TABLES: &[&[Definition]] = &[CASE, LENGTHS, PARTS, EDITS, BYTES, JOINS];

/// A function of one text that yields one.
macro_rules! plain {
    ($name:literal, $body:expr) => {
        scalar($name, "text -> text", |_, arguments| {
            let body: fn(&str) -> String = $body;
            Ok(Value::text(body(text(&arguments[0])?)))
        })
    };
}

const CASE: &[Definition] = &[
    plain!("lower", lower),
    plain!("upper", |s| s
        .chars()
        .map(|c| single(c, c.to_uppercase()))
        .collect()),
    plain!("initcap", capitalise),
    plain!("reverse", |s| s.chars().rev().collect()),
    plain!("quote_ident", quote_identifier),
    plain!("quote_literal", quote_literal),
    scalar("quote_literal", "anyelement -> text", |call, arguments| {
        Ok(Value::text(quote_literal(&as_text(call, arguments, 0)?)))
    })
    .stable(),
    scalar("quote_nullable", "text -> text", quote_nullable).lenient(),
    scalar("quote_nullable", "anyelement -> text", quote_nullable)
        .lenient()
        .stable(),
];

const LENGTHS: &[Definition] = &[
    scalar("length", "text -> int4", characters),
    scalar("length", "bpchar -> int4", characters_unpadded),
    scalar("char_length", "text -> int4", characters),
    scalar("char_length", "bpchar -> int4", characters_unpadded),
    scalar("character_length", "text -> int4", characters),
    scalar("character_length", "bpchar -> int4", characters_unpadded),
    scalar("textlen", "text -> int4", characters),
    scalar("octet_length", "text -> int4", |_, a| {
        Ok(Value::Int(text(&a[0])?.len() as i64))
    }),
    scalar("octet_length", "bpchar -> int4", |call, a| {
        Ok(Value::Int(padded(call, &a[0], 0)?.len() as i64))
    }),
    scalar("bit_length", "text -> int4", |_, a| {
        Ok(Value::Int(text(&a[0])?.len() as i64 * 8))
    }),
    scalar("ascii", "text -> int4", |_, a| {
        let first = text(&a[0])?.chars().next();
        Ok(Value::Int(first.map_or(0, |c| i64::from(u32::from(c)))))
    }),
    scalar("chr", "int4 -> text", character),
];

const PARTS: &[Definition] = &[
    scalar("substring", "text int4 -> text", substring),
    scalar("substring", "text int4 int4 -> text", substring),
    // `name[0]`: a letter of a name, counted from 0.
    scalar("pyql_letter", "name int4 -> char", letter),
    scalar("substr", "text int4 -> text", substring),
    scalar("substr", "text int4 int4 -> text", substring),
    scalar("left", "text int4 -> text", left),
    scalar("right", "text int4 -> text", right),
    scalar("split_part", "text text int4 -> text", split_part),
    scalar("strpos", "text text -> int4", position),
    scalar("position", "text text -> int4", position),
    scalar("starts_with", "text text -> bool", |_, a| {
        Ok(Value::Bool(text(&a[0])?.starts_with(&**text(&a[1])?)))
    })
    .operator("^@"),
    scalar("btrim", "text -> text", |_, a| trim(a, true, true)),
    scalar("btrim", "text text -> text", |_, a| trim(a, true, true)),
    scalar("ltrim", "text -> text", |_, a| trim(a, true, false)),
    scalar("ltrim", "text text -> text", |_, a| trim(a, true, false)),
    scalar("rtrim", "text -> text", |_, a| trim(a, false, true)),
    scalar("rtrim", "text text -> text", |_, a| trim(a, false, true)),
];

const EDITS: &[Definition] = &[
    scalar("replace", "text text text -> text", replace),
    scalar("translate", "text text text -> text", translate),
    scalar("overlay", "text text int4 -> text", overlay),
    scalar("overlay", "text text int4 int4 -> text", overlay),
    scalar("repeat", "text int4 -> text", repeat),
    scalar("lpad", "text int4 -> text", |_, a| pad(a, true)),
    scalar("lpad", "text int4 text -> text", |_, a| pad(a, true)),
    scalar("rpad", "text int4 -> text", |_, a| pad(a, false)),
    scalar("rpad", "text int4 text -> text", |_, a| pad(a, false)),
];

const BYTES: &[Definition] = &[
    scalar("length", "bytea -> int4", octets),
    scalar("octet_length", "bytea -> int4", octets),
    scalar("bit_length", "bytea -> int4", |_, a| {
        Ok(Value::Int(bytes(&a[0])?.len() as i64 * 8))
    }),
    scalar("substring", "bytea int4 -> bytea", substring_bytes),
    scalar("substring", "bytea int4 int4 -> bytea", substring_bytes),
    scalar("substr", "bytea int4 -> bytea", substring_bytes),
    scalar("substr", "bytea int4 int4 -> bytea", substring_bytes),
    scalar("position", "bytea bytea -> int4", position_bytes),
    scalar("get_byte", "bytea int4 -> int4", get_byte),
    scalar("set_byte", "bytea int4 int4 -> bytea", set_byte),
    scalar("byteacat", "bytea bytea -> bytea", |_, a| {
        let (left, right) = (bytes(&a[0])?, bytes(&a[1])?);
        check_length(left.len() + right.len())?;
        Ok(Value::Bytes([&**left, &**right].concat().into()))
    })
    .operator("||"),
];

const JOINS: &[Definition] = &[
    scalar("textcat", "text text -> text", |_, a| {
        join(text(&a[0])?, text(&a[1])?)
    })
    .operator("||"),
    scalar("textanycat", "text anynonarray -> text", |call, a| {
        join(text(&a[0])?, &as_text(call, a, 1)?)
    })
    .operator("||")
    .stable(),
    scalar("anytextcat", "anynonarray text -> text", |call, a| {
        join(&as_text(call, a, 0)?, text(&a[1])?)
    })
    .operator("||")
    .stable(),
    scalar("concat", "variadic any -> text", |call, a| {
        concat(call, a, 0, "")
    })
    .lenient()
    .stable(),
    scalar(
        "concat_ws",
        "text variadic any -> text",
        |call, a| match &a[0] {
            Value::Null => Ok(Value::Null),
            separator => concat(call, a, 1, text(separator)?),
        },
    )
    .lenient()
    .stable(),
];

/// The argument cast to text; nothing for NULL.
pub(super) fn as_text(call: &Call<'_>, arguments: &[Value], place: usize) -> Result<String> {
    let Some(value) = arguments.get(place) else {
        return Ok(String::new());
    };
    let from = call.argument_type(place);
    match cast::cast(value.clone(), from, &Type::Text, true, call.context)? {
        Value::Text(text) => Ok(text.to_string()),
        _ => Ok(String::new()),
    }
}

/// What PostgreSQL prints for the argument.
pub(super) fn print(call: &Call<'_>, value: &Value, ty: &Type, out: &mut String) {
    match value {
        Value::Int(oid) if cast::is_reg(ty) => {
            out.push_str(&cast::print_reg(*oid, ty, call.context));
        }
        value => text_io::output(value, ty, call.io(), out),
    }
}

/// A char(n) with the blanks that it is kept without.
pub(super) fn padded<'a>(call: &Call<'_>, value: &'a Value, place: usize) -> Result<Cow<'a, str>> {
    let plain = text(value)?;
    let Type::Char(Some(width)) = call.argument_type(place) else {
        return Ok(Cow::Borrowed(plain));
    };
    let missing = (*width as usize).saturating_sub(plain.chars().count());
    Ok(match missing {
        0 => Cow::Borrowed(plain),
        _ => Cow::Owned(format!("{plain}{}", " ".repeat(missing))),
    })
}

fn too_long() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        "requested length too large",
    )
}

/// Refuses a text or bytea of more bytes than a value may have.
pub(super) fn check_length(bytes: usize) -> Result<()> {
    match bytes > MAXIMUM_BYTES {
        true => Err(too_long()),
        false => Ok(()),
    }
}

fn join(left: &str, right: &str) -> Result<Value> {
    check_length(left.len() + right.len())?;
    let mut joined = String::with_capacity(left.len() + right.len());
    joined.push_str(left);
    joined.push_str(right);
    Ok(Value::text(joined))
}

fn concat(call: &Call<'_>, arguments: &[Value], from: usize, separator: &str) -> Result<Value> {
    let mut out = String::new();
    let mut first = true;
    for (place, value) in arguments.iter().enumerate().skip(from) {
        if value.is_null() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push_str(separator);
        }
        match (value, call.argument_type(place)) {
            // A bool is `t` here as in its output, and text is itself.
            (Value::Text(text), Type::Text | Type::Varchar(_) | Type::Unknown) => {
                out.push_str(text);
            }
            (value, ty) => print(call, value, ty, &mut out),
        }
        check_length(out.len())?;
    }
    Ok(Value::text(out))
}

/// The other case of a character if that is one character, as C's towupper
/// has it: `ß` stays.
fn single(c: char, mut other: impl Iterator<Item = char>) -> char {
    match (other.next(), other.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

pub(super) fn lower(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_lowercase(),
        false => text.chars().map(|c| single(c, c.to_lowercase())).collect(),
    }
}

fn capitalise(text: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match in_word {
            true => out.push(single(c, c.to_lowercase())),
            false => out.push(single(c, c.to_uppercase())),
        }
        in_word = c.is_alphanumeric();
    }
    out
}

/// Words that `quote_ident` quotes although they look like names: PostgreSQL's
/// keywords beyond the unreserved.
const QUOTED_KEYWORDS: &str = " all analyse analyze and any array as asc asymmetric authorization \
between bigint binary bit boolean both case cast char character check coalesce collate collation \
column concurrently constraint create cross current_catalog current_date current_role \
current_schema current_time current_timestamp current_user dec decimal default deferrable desc \
distinct do else end except exists extract false fetch float for foreign freeze from full grant \
greatest group grouping having ilike in initially inner inout int integer intersect interval into \
is isnull join lateral leading least left like limit localtime localtimestamp national natural \
nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps \
overlay placing position precision primary real references returning right row select session_user \
setof similar smallint some substring symmetric table tablesample then time timestamp to trailing \
treat trim true union unique user using values varchar variadic verbose when where window with \
xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot \
xmlserialize xmltable ";

/// A name as SQL text: quoted unless it is plain and no keyword.
pub fn quote_identifier(name: &str) -> String {
    let mut characters = name.chars();
    let plain = matches!(characters.next(), Some('a'..='z' | '_'))
        && characters.all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
        && !QUOTED_KEYWORDS.contains(&format!(" {name} "));
    match plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A string as an SQL literal, with `E` if it holds backslashes.
pub fn quote_literal(text: &str) -> String {
    let mark = if text.contains('\\') { "E" } else { "" };
    let body = text.replace('\'', "''").replace('\\', "\\\\");
    format!("{mark}'{body}'")
}

fn quote_nullable(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::text(match &arguments[0] {
        Value::Null => "NULL".to_owned(),
        _ => quote_literal(&as_text(call, arguments, 0)?),
    }))
}

fn characters(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(text(&arguments[0])?.chars().count() as i64))
}

fn characters_unpadded(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let plain = text(&arguments[0])?.trim_end_matches(' ');
    Ok(Value::Int(plain.chars().count() as i64))
}

fn octets(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(bytes(&arguments[0])?.len() as i64))
}

fn character(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let code = int(&arguments[0])?;
    let error = |text: String| Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, text));
    if code < 0 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "character number must be positive",
        ));
    }
    if code == 0 {
        return error("null character not permitted".to_owned());
    }
    match u32::try_from(code).ok().and_then(char::from_u32) {
        Some(c) => Ok(Value::text(c.to_string())),
        None if code > 0x10_ffff => error(format!(
            "requested character too large for encoding: {code}"
        )),
        None => error(format!(
            "requested character not valid for encoding: {code}"
        )),
    }
}

/// Where the part from `start` (from 1) of `length` begins and how long it
/// is; PostgreSQL lets it start before the text.
fn part(arguments: &[Value]) -> Result<(usize, usize)> {
    let start = int(&arguments[1])?;
    let end = match arguments.get(2) {
        Some(length) => {
            let length = int(length)?;
            if length < 0 {
                return Err(Error::new(
                    SqlState::SUBSTRING_ERROR,
                    "negative substring length not allowed",
                ));
            }
            start.saturating_add(length)
        }
        None => i64::MAX,
    };
    let first = start.max(1);
    Ok(((first - 1) as usize, (end - first).max(0) as usize))
}

fn substring(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = text(&arguments[0])?;
    let (skip, take) = part(arguments)?;
    Ok(Value::text(slice(source, skip, take)))
}

/// `take` characters after the first `skip`.
fn slice(source: &str, skip: usize, take: usize) -> &str {
    let rest = match source.char_indices().nth(skip) {
        Some((at, _)) => &source[at..],
        None => "",
    };
    match rest.char_indices().nth(take) {
        Some((at, _)) => &rest[..at],
        None => rest,
    }
}

/// Past a name's end there are zeros up to its fixed width, then nothing.
fn letter(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let name = text(&arguments[0])?.as_bytes();
    let place = usize::try_from(int(&arguments[1])?).unwrap_or(usize::MAX);
    Ok(match name.get(place) {
        Some(byte) if byte.is_ascii() => Value::text(char::from(*byte).to_string()),
        Some(byte) => Value::text(format!("\\{byte:o}")),
        None if place < NAME_WIDTH => Value::text(""),
        None => Value::Null,
    })
}

/// Bytes of the type `name`.
const NAME_WIDTH: usize = 64;

fn substring_bytes(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = bytes(&arguments[0])?;
    let (skip, take) = part(arguments)?;
    let rest = source.get(skip..).unwrap_or_default();
    Ok(Value::Bytes(rest[..take.min(rest.len())].into()))
}

fn left(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, count) = (text(&arguments[0])?, int(&arguments[1])?);
    let take = match count {
        0.. => count,
        _ => (source.chars().count() as i64 + count).max(0),
    };
    Ok(Value::text(slice(source, 0, take as usize)))
}

fn right(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, count) = (text(&arguments[0])?, int(&arguments[1])?);
    let skip = match count {
        0.. => (source.chars().count() as i64 - count).max(0),
        _ => -count,
    };
    Ok(Value::text(slice(source, skip as usize, usize::MAX)))
}

fn split_part(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, separator) = (text(&arguments[0])?, text(&arguments[1])?);
    let field = int(&arguments[2])?;
    if field == 0 {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "field position must not be zero",
        ));
    }
    if separator.is_empty() {
        let whole = matches!(field, 1 | -1);
        return Ok(Value::text(if whole { &**source } else { "" }));
    }
    let place = field.unsigned_abs() as usize - 1;
    let part = match field > 0 {
        true => source.split(&**separator).nth(place),
        false => {
            // Parts are told from the left even when counted from the right.
            let parts: Vec<&str> = source.split(&**separator).collect();
            parts.len().checked_sub(place + 1).map(|at| parts[at])
        }
    };
    Ok(Value::text(part.unwrap_or_default()))
}

fn position(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, wanted) = (text(&arguments[0])?, text(&arguments[1])?);
    Ok(Value::Int(match source.find(&**wanted) {
        Some(at) => source[..at].chars().count() as i64 + 1,
        None => 0,
    }))
}

fn position_bytes(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, wanted) = (bytes(&arguments[0])?, bytes(&arguments[1])?);
    if wanted.is_empty() {
        return Ok(Value::Int(1));
    }
    let mut windows = source.windows(wanted.len());
    let found = windows.position(|window| window == &**wanted);
    Ok(Value::Int(found.map_or(0, |at| at as i64 + 1)))
}

fn trim(arguments: &[Value], start: bool, end: bool) -> Result<Value> {
    let mut source: &str = text(&arguments[0])?;
    let set = match arguments.get(1) {
        Some(set) => text(set)?,
        None => " ",
    };
    let in_set = |c: char| set.contains(c);
    if start {
        source = source.trim_start_matches(in_set);
    }
    if end {
        source = source.trim_end_matches(in_set);
    }
    Ok(Value::text(source))
}

fn replace(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, from) = (text(&arguments[0])?, text(&arguments[1])?);
    let to = text(&arguments[2])?;
    if from.is_empty() || !source.contains(&**from) {
        return Ok(arguments[0].clone());
    }
    let growth = to.len().saturating_sub(from.len());
    if growth > 0 {
        let grown = source.matches(&**from).count().saturating_mul(growth);
        check_length(grown.saturating_add(source.len()))?;
    }
    Ok(Value::text(source.replace(&**from, to)))
}

fn translate(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = text(&arguments[0])?;
    let from: Vec<char> = text(&arguments[1])?.chars().collect();
    let to: Vec<char> = text(&arguments[2])?.chars().collect();
    let translated = source
        .chars()
        .filter_map(|c| match from.iter().position(|from| *from == c) {
            Some(place) => to.get(place).copied(),
            None => Some(c),
        });
    Ok(Value::text(translated.collect::<String>()))
}

fn overlay(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, new) = (text(&arguments[0])?, text(&arguments[1])?);
    let start = int(&arguments[2])?;
    if start <= 0 {
        return Err(Error::new(
            SqlState::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let length = match arguments.get(3) {
        Some(length) => int(length)?,
        None => new.chars().count() as i64,
    };
    let before = slice(source, 0, (start - 1) as usize);
    let resume = (start - 1).saturating_add(length).max(0);
    let after = slice(source, resume as usize, usize::MAX);
    Ok(Value::text([before, new, after].concat()))
}

fn repeat(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, count) = (text(&arguments[0])?, int(&arguments[1])?.max(0) as usize);
    check_length(source.len().saturating_mul(count))?;
    Ok(Value::text(source.repeat(count)))
}

fn pad(arguments: &[Value], before: bool) -> Result<Value> {
    let source = text(&arguments[0])?;
    let length = int(&arguments[1])?.max(0) as usize;
    let fill: &str = match arguments.get(2) {
        Some(fill) => text(fill)?,
        None => " ",
    };
    let present = source.chars().count();
    if present >= length || fill.is_empty() {
        return Ok(Value::text(slice(source, 0, length)));
    }
    check_length(length.saturating_mul(char::MAX_LEN_UTF8))?;
    let padding: String = fill.chars().cycle().take(length - present).collect();
    Ok(Value::text(match before {
        true => padding + source,
        false => [source, padding.as_str()].concat(),
    }))
}

fn index_error(index: i64, length: usize) -> Error {
    Error::new(
        SqlState::ARRAY_SUBSCRIPT_ERROR,
        format!("index {index} out of valid range, 0..{}", length as i64 - 1),
    )
}

fn get_byte(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, index) = (bytes(&arguments[0])?, int(&arguments[1])?);
    let found = usize::try_from(index).ok().and_then(|at| source.get(at));
    match found {
        Some(byte) => Ok(Value::Int(i64::from(*byte))),
        None => Err(index_error(index, source.len())),
    }
}

fn set_byte(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let mut source = bytes(&arguments[0])?.to_vec();
    let index = int(&arguments[1])?;
    let length = source.len();
    let place = usize::try_from(index)
        .ok()
        .and_then(|at| source.get_mut(at));
    match place {
        Some(byte) => *byte = int(&arguments[2])? as u8,
        None => return Err(index_error(index, length)),
    }
    Ok(Value::Bytes(source.into()))
}
