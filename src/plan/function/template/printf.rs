//! `format()`: %s, %I and %L with positions and widths.

use crate::error::{Error, Result, SqlState};
use crate::plan::function::Call;
use crate::plan::function::arguments::{int, text};
use crate::plan::function::definition::{Definition, scalar};
use crate::plan::function::string::{check_length, print, quote_identifier, quote_literal};
use crate::types::Value;

pub(super) const FUNCTIONS: &[Definition] = &[
    scalar("format", "text -> text", format_text)
        .stable()
        .lenient(),
    scalar("format", "text variadic any -> text", format_text)
        .stable()
        .lenient(),
];

/// Widths beyond this are refused.
const MAXIMUM_WIDTH: i64 = 1 << 24;

/// Reads a template and hands out arguments.
struct Formatter<'a> {
    call: &'a Call<'a>,
    rest: &'a str,
    arguments: &'a [Value],
    /// The place of the argument last used; the template itself is 0.
    last: usize,
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn unterminated() -> Error {
    invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\".")
}

fn format_text(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    if arguments[0].is_null() {
        return Ok(Value::Null);
    }
    let mut formatter = Formatter {
        call,
        rest: text(&arguments[0])?,
        arguments,
        last: 0,
    };
    let mut out = String::new();
    while let Some((before, after)) = formatter.rest.split_once('%') {
        out.push_str(before);
        match after.strip_prefix('%') {
            Some(after) => {
                out.push('%');
                formatter.rest = after;
            }
            None => {
                formatter.rest = after;
                formatter.specifier(&mut out)?;
                check_length(out.len())?;
            }
        }
    }
    out.push_str(formatter.rest);
    Ok(Value::text(out))
}

impl Formatter<'_> {
    /// A number at the front, if there is one.
    fn number(&mut self) -> Result<Option<i64>> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit());
        let digits = &self.rest[..end.unwrap_or(self.rest.len())];
        if digits.is_empty() {
            return Ok(None);
        }
        let number = digits.parse::<i32>().map_err(|_| {
            Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "number is out of range",
            )
        })?;
        self.rest = &self.rest[digits.len()..];
        if self.rest.is_empty() {
            return Err(unterminated());
        }
        Ok(Some(number.into()))
    }

    /// `n$`, if it stands here.
    fn position(&mut self) -> Result<Option<usize>> {
        let before = self.rest;
        match self.number()? {
            Some(number) if self.rest.starts_with('$') => {
                self.rest = &self.rest[1..];
                if number == 0 {
                    return Err(invalid(
                        "format specifies argument 0, but arguments are numbered from 1",
                    ));
                }
                Ok(Some(number as usize))
            }
            _ => {
                self.rest = before;
                Ok(None)
            }
        }
    }

    fn take(&mut self, position: Option<usize>) -> Result<usize> {
        let place = position.unwrap_or(self.last + 1);
        if place >= self.arguments.len() {
            return Err(invalid("too few arguments for format()"));
        }
        self.last = place;
        Ok(place)
    }

    fn specifier(&mut self, out: &mut String) -> Result<()> {
        let position = self.position()?;
        let mut left = false;
        while let Some(rest) = self.rest.strip_prefix('-') {
            left = true;
            self.rest = rest;
        }
        let mut width = 0;
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            let from = self.position()?;
            let place = self.take(from)?;
            width = match &self.arguments[place] {
                Value::Null => 0,
                Value::Int(_) => int(&self.arguments[place])?,
                other => {
                    let mut shown = String::new();
                    print(self.call, other, self.call.argument_type(place), &mut shown);
                    shown.parse().map_err(|_| {
                        Error::new(
                            SqlState::INVALID_TEXT_REPRESENTATION,
                            format!("invalid input syntax for type integer: \"{shown}\""),
                        )
                    })?
                }
            };
            left |= width < 0;
        } else if let Some(number) = self.number()? {
            width = number;
        }
        let kind = self.rest.chars().next().ok_or_else(unterminated)?;
        self.rest = &self.rest[kind.len_utf8()..];
        if !matches!(kind, 's' | 'I' | 'L') {
            return Err(
                invalid(format!("unrecognized format() type specifier \"{kind}\""))
                    .hint("For a single \"%\" use \"%%\"."),
            );
        }
        let place = self.take(position)?;
        let shown = self.show(kind, place)?;
        pad(&shown, width, left, out)
    }

    fn show(&self, kind: char, place: usize) -> Result<String> {
        let value = &self.arguments[place];
        let mut shown = String::new();
        print(self.call, value, self.call.argument_type(place), &mut shown);
        match (kind, value.is_null()) {
            ('s', _) => Ok(shown),
            ('L', true) => Ok("NULL".to_owned()),
            ('L', false) => Ok(quote_literal(&shown)),
            (_, true) => Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "null values cannot be formatted as an SQL identifier",
            )),
            _ => Ok(quote_identifier(&shown)),
        }
    }
}

fn pad(shown: &str, width: i64, left: bool, out: &mut String) -> Result<()> {
    if width.abs() > MAXIMUM_WIDTH {
        return Err(Error::unsupported("a format() field this wide"));
    }
    let missing = (width.unsigned_abs() as usize).saturating_sub(shown.chars().count());
    let blanks = " ".repeat(missing);
    match left {
        true => out.extend([shown, blanks.as_str()]),
        false => out.extend([blanks.as_str(), shown]),
    }
    Ok(())
}
