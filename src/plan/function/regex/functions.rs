//! The functions and operators over regular expressions.

use std::rc::Rc;
use std::sync::Arc;

use super::similar::similar_to_escape;
use super::translate::Flags;
use super::{Expression, Match, find_all};
use crate::error::{Error, Result, SqlState};
use crate::plan::function::Call;
use crate::plan::function::arguments::{int, text};
use crate::plan::function::definition::{Definition, rows, scalar};
use crate::plan::function::string::{check_length, padded};
use crate::types::{Array, Type, Value};

pub(super) const OPERATORS: &[Definition] = &[
    scalar("textregexeq", "text text -> bool", |call, a| {
        test(call, a, false, true)
    })
    .operator("~"),
    scalar("textregexne", "text text -> bool", |call, a| {
        test(call, a, false, false)
    })
    .operator("!~"),
    scalar("texticregexeq", "text text -> bool", |call, a| {
        test(call, a, true, true)
    })
    .operator("~*"),
    scalar("texticregexne", "text text -> bool", |call, a| {
        test(call, a, true, false)
    })
    .operator("!~*"),
    scalar("nameregexeq", "name text -> bool", |call, a| {
        test(call, a, false, true)
    })
    .operator("~"),
    scalar("nameregexne", "name text -> bool", |call, a| {
        test(call, a, false, false)
    })
    .operator("!~"),
    scalar("nameicregexeq", "name text -> bool", |call, a| {
        test(call, a, true, true)
    })
    .operator("~*"),
    scalar("nameicregexne", "name text -> bool", |call, a| {
        test(call, a, true, false)
    })
    .operator("!~*"),
    scalar("bpcharregexeq", "bpchar text -> bool", |call, a| {
        test(call, a, false, true)
    })
    .operator("~"),
    scalar("bpcharregexne", "bpchar text -> bool", |call, a| {
        test(call, a, false, false)
    })
    .operator("!~"),
    scalar("bpcharicregexeq", "bpchar text -> bool", |call, a| {
        test(call, a, true, true)
    })
    .operator("~*"),
    scalar("bpcharicregexne", "bpchar text -> bool", |call, a| {
        test(call, a, true, false)
    })
    .operator("!~*"),
];

pub(super) const FUNCTIONS: &[Definition] = &[
    scalar("regexp_like", "text text -> bool", |_, a| like(a)),
    scalar("regexp_like", "text text text -> bool", |_, a| like(a)),
    scalar("regexp_match", "text text -> text[]", first_match),
    scalar("regexp_match", "text text text -> text[]", first_match),
    rows("regexp_matches", "text text -> text[]", all_matches),
    rows("regexp_matches", "text text text -> text[]", all_matches),
    scalar("regexp_replace", "text text text -> text", replace),
    scalar("regexp_replace", "text text text text -> text", replace),
    scalar(
        "regexp_replace",
        "text text text int4 -> text",
        replace_from,
    ),
    scalar(
        "regexp_replace",
        "text text text int4 int4 -> text",
        replace_from,
    ),
    scalar(
        "regexp_replace",
        "text text text int4 int4 text -> text",
        replace_from,
    ),
    scalar("regexp_count", "text text -> int4", count),
    scalar("regexp_count", "text text int4 -> int4", count),
    scalar("regexp_count", "text text int4 text -> int4", count),
    scalar("regexp_substr", "text text -> text", substr),
    scalar("regexp_substr", "text text int4 -> text", substr),
    scalar("regexp_substr", "text text int4 int4 -> text", substr),
    scalar("regexp_substr", "text text int4 int4 text -> text", substr),
    scalar(
        "regexp_substr",
        "text text int4 int4 text int4 -> text",
        substr,
    ),
    scalar("regexp_instr", "text text -> int4", instr),
    scalar("regexp_instr", "text text int4 -> int4", instr),
    scalar("regexp_instr", "text text int4 int4 -> int4", instr),
    scalar("regexp_instr", "text text int4 int4 int4 -> int4", instr),
    scalar(
        "regexp_instr",
        "text text int4 int4 int4 text -> int4",
        instr,
    ),
    scalar(
        "regexp_instr",
        "text text int4 int4 int4 text int4 -> int4",
        instr,
    ),
    scalar(
        "regexp_split_to_array",
        "text text -> text[]",
        split_to_array,
    ),
    scalar(
        "regexp_split_to_array",
        "text text text -> text[]",
        split_to_array,
    ),
    rows("regexp_split_to_table", "text text -> text", split_to_rows),
    rows(
        "regexp_split_to_table",
        "text text text -> text",
        split_to_rows,
    ),
    scalar("substring", "text text -> text", substring),
    scalar("similar_to_escape", "text -> text", |_, a| {
        similar_to_escape(text(&a[0])?, Some("\\"))
    }),
    scalar("similar_to_escape", "text text -> text", |_, a| {
        similar_to_escape(text(&a[0])?, Some(text(&a[1])?))
    }),
];

fn test(call: &Call<'_>, arguments: &[Value], ignore_case: bool, wanted: bool) -> Result<Value> {
    let flags = Flags {
        ignore_case,
        ..Flags::default()
    };
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    Ok(Value::Bool(
        expression.is_match(&padded(call, &arguments[0], 0)?) == wanted,
    ))
}

/// The flags at a place in the arguments, if given.
fn flags(arguments: &[Value], place: usize) -> Result<Flags> {
    match arguments.get(place) {
        Some(value) => Flags::parse(text(value)?),
        None => Ok(Flags::default()),
    }
}

fn without_global(function: &str, flags: Flags) -> Result<Flags> {
    match flags.global {
        false => Ok(flags),
        true => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("{function}() does not support the \"global\" option"),
        )),
    }
}

fn like(arguments: &[Value]) -> Result<Value> {
    let flags = without_global("regexp_like", flags(arguments, 2)?)?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    Ok(Value::Bool(expression.is_match(text(&arguments[0])?)))
}

fn array(values: Vec<Value>) -> Value {
    Value::Array(Arc::new(Array::one_dimensional(Type::Text, values)))
}

/// The groups of a match, or the whole if there are none.
fn captured(expression: &Expression, source: &str, found: &Match) -> Value {
    let skip = usize::from(expression.groups() > 0);
    let groups = found.0.iter().skip(skip).map(|group| match group {
        Some((start, end)) => Value::text(&source[*start..*end]),
        None => Value::Null,
    });
    array(groups.collect())
}

fn first_match(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let flags = flags(arguments, 2)?;
    if flags.global {
        return Err(without_global("regexp_match", flags)
            .err()
            .unwrap_or_else(|| Error::internal("the global option was refused"))
            .hint("Use the regexp_matches function instead."));
    }
    let source = text(&arguments[0])?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let found = expression.find(source, 0)?;
    Ok(found.map_or(Value::Null, |found| captured(&expression, source, &found)))
}

fn all_matches(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let flags = flags(arguments, 2)?;
    let source = text(&arguments[0])?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let limit = if flags.global { usize::MAX } else { 1 };
    let found = find_all(&expression, source, 0, limit)?;
    let rows = found
        .iter()
        .map(|found| vec![captured(&expression, source, found)]);
    Ok(rows.collect())
}

fn substring(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = text(&arguments[0])?;
    let expression = Expression::get(text(&arguments[1])?, Flags::default())?;
    let Some(found) = expression.find(source, 0)? else {
        return Ok(Value::Null);
    };
    let place = usize::from(expression.groups() > 0);
    Ok(match found.0.get(place).copied().flatten() {
        Some((start, end)) => Value::text(&source[start..end]),
        None => Value::Null,
    })
}

fn replace(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let option = arguments.get(3).map(text).transpose()?;
    if let Some(option) = option
        && option.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!(
                "invalid regular expression option: \"{}\"",
                option.chars().next().unwrap_or_default()
            ),
        )
        .hint("If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly."));
    }
    let flags = flags(arguments, 3)?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let limit = if flags.global { usize::MAX } else { 1 };
    let source = text(&arguments[0])?;
    let found = find_all(&expression, source, 0, limit)?;
    replaced(source, &found, text(&arguments[2])?)
}

/// With start, which match (0: all) and flags.
fn replace_from(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = text(&arguments[0])?;
    let from = start(source, arguments, 3)?;
    let nth = match arguments.get(4) {
        Some(value) => int(value)?,
        None => 1,
    };
    let nth = not_negative("n", nth)?;
    let flags = flags(arguments, 5)?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let limit = if nth == 0 { usize::MAX } else { nth };
    let mut found = find_all(&expression, source, from, limit)?;
    if nth > 0 {
        found = found.drain(..).skip(nth - 1).collect();
    }
    replaced(source, &found, text(&arguments[2])?)
}

fn replaced(source: &str, found: &[Match], with: &str) -> Result<Value> {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    for found in found {
        let (start, end) = found.whole();
        out.push_str(&source[done..start]);
        let mut characters = with.chars();
        while let Some(c) = characters.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            let group = match characters.next() {
                Some('&') => 0,
                Some(c @ '1'..='9') => c as usize - '0' as usize,
                Some('\\') | None => {
                    out.push('\\');
                    continue;
                }
                Some(other) => {
                    out.extend(['\\', other]);
                    continue;
                }
            };
            if let Some((start, end)) = found.0.get(group).copied().flatten() {
                out.push_str(&source[start..end]);
            }
        }
        done = end;
        check_length(out.len())?;
    }
    out.push_str(&source[done..]);
    Ok(Value::text(out))
}

fn not_negative(name: &str, value: i64) -> Result<usize> {
    usize::try_from(value).map_err(|_| invalid_parameter(name, value))
}

fn invalid_parameter(name: &str, value: i64) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{name}\": {value}"),
    )
}

fn positive(arguments: &[Value], place: usize, name: &str) -> Result<usize> {
    match arguments.get(place) {
        None => Ok(1),
        Some(value) => match int(value)? {
            value @ 1.. => Ok(value as usize),
            value => Err(invalid_parameter(name, value)),
        },
    }
}

/// The start argument as a byte offset; past the end for one beyond it.
fn start(source: &str, arguments: &[Value], place: usize) -> Result<usize> {
    let start = positive(arguments, place, "start")?;
    let mut offsets = source
        .char_indices()
        .map(|(at, _)| at)
        .chain([source.len()]);
    Ok(offsets.nth(start - 1).unwrap_or(source.len() + 1))
}

fn count(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let source = text(&arguments[0])?;
    let from = start(source, arguments, 2)?;
    let flags = without_global("regexp_count", flags(arguments, 3)?)?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let found = find_all(&expression, source, from, usize::MAX)?;
    Ok(Value::Int(found.len() as i64))
}

/// The n-th match that regexp_substr and regexp_instr ask for, and its range:
/// of the whole or of a group.
fn nth_match(
    arguments: &[Value],
    function: &str,
    flags_at: usize,
    group_at: usize,
) -> Result<Option<(usize, usize)>> {
    let source = text(&arguments[0])?;
    let from = start(source, arguments, 2)?;
    let nth = positive(arguments, 3, "n")?;
    let flags = without_global(function, flags(arguments, flags_at)?)?;
    let group = match arguments.get(group_at) {
        Some(value) => not_negative("subexpr", int(value)?)?,
        None => 0,
    };
    let expression: Rc<Expression> = Expression::get(text(&arguments[1])?, flags)?;
    let found = find_all(&expression, source, from, nth)?;
    let found = found.into_iter().nth(nth - 1);
    Ok(found.and_then(|found| found.0.get(group).copied().flatten()))
}

fn substr(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let range = nth_match(arguments, "regexp_substr", 4, 5)?;
    let source = text(&arguments[0])?;
    Ok(range.map_or(Value::Null, |(start, end)| Value::text(&source[start..end])))
}

fn instr(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let end_option = match arguments.get(4) {
        Some(value) => int(value)?,
        None => 0,
    };
    if !(0..=1).contains(&end_option) {
        return Err(invalid_parameter("endoption", end_option));
    }
    let range = nth_match(arguments, "regexp_instr", 5, 6)?;
    let source = text(&arguments[0])?;
    Ok(Value::Int(match range {
        None => 0,
        Some((start, end)) => {
            let at = if end_option == 1 { end } else { start };
            source[..at].chars().count() as i64 + 1
        }
    }))
}

fn split(arguments: &[Value], function: &str) -> Result<Vec<Value>> {
    let source = text(&arguments[0])?;
    let flags = without_global(function, flags(arguments, 2)?)?;
    let expression = Expression::get(text(&arguments[1])?, flags)?;
    let mut parts = Vec::new();
    let mut done = 0;
    for found in find_all(&expression, source, 0, usize::MAX)? {
        let (start, end) = found.whole();
        // An empty match splits nothing at an end or right after another.
        if start == end && (start == done || start >= source.len()) {
            continue;
        }
        parts.push(Value::text(&source[done..start]));
        done = end;
    }
    parts.push(Value::text(&source[done..]));
    Ok(parts)
}

fn split_to_array(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    split(arguments, "regexp_split_to_array").map(array)
}

fn split_to_rows(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let parts = split(arguments, "regexp_split_to_table")?;
    Ok(parts.into_iter().map(|part| vec![part]).collect())
}
