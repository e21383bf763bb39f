//! to_number of a text by a template.

use super::Piece;
use super::number::{Field, Template};
use crate::error::{Error, Result, SqlState};
use crate::plan::function::arguments::text;
use crate::plan::function::definition::{Definition, scalar};
use crate::types::{Numeric, Value};

pub(super) const FUNCTIONS: &[Definition] =
    &[scalar("to_number", "text text -> numeric", |_, a| {
        read(text(&a[0])?, text(&a[1])?)
    })
    .stable()];

fn read(source: &str, template: &str) -> Result<Value> {
    if template.is_empty() {
        return Ok(Value::Null);
    }
    let template = Template::of(template)?;
    let mut rest = source;
    let mut negative = false;
    let mut digits = String::new();
    for piece in &template.pieces {
        let Some(c) = rest.chars().next() else { break };
        let mut skip = || rest = &rest[c.len_utf8()..];
        match piece {
            Piece::Field(Field::Nine | Field::Zero | Field::Point) => {
                rest = take_digit(
                    rest,
                    *piece == Piece::Field(Field::Point),
                    &mut negative,
                    &mut digits,
                );
            }
            Piece::Field(Field::Comma | Field::Group) => {
                if c == ',' {
                    skip();
                }
            }
            Piece::Field(Field::Sign | Field::Minus | Field::PlusMinus | Field::Plus) => match c {
                '-' => {
                    negative = true;
                    skip();
                }
                '+' => skip(),
                _ => {}
            },
            Piece::Field(Field::Brackets | Field::Fill) => {}
            Piece::Field(Field::Currency) => {
                if !is_data(c) {
                    skip();
                }
            }
            Piece::Literal(_, quoted) => {
                if *quoted || !is_data(c) {
                    skip();
                }
            }
            Piece::Field(Field::Ordinal(_)) => {}
            Piece::Field(Field::Shift) => {}
            Piece::Field(_) => {
                return Err(Error::unsupported("this number template in to_number"));
            }
        }
    }
    // What is left may be the sign after the number.
    negative |= rest.starts_with('-') && !negative && digits_end(source, rest);
    if !digits.bytes().any(|b| b.is_ascii_digit()) {
        return Err(Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type numeric: \" \"",
        ));
    }
    let sign = if negative { "-" } else { "" };
    let mut value = Numeric::parse(&format!("{sign}{digits}"))?;
    if template.shift > 0 {
        let ten = Numeric::from_i64(10).power(&Numeric::from_i64(template.shift as i64))?;
        value = value.div(&ten)?;
    }
    let shown = value.scale().map_or(0, usize::from);
    Ok(Value::Numeric(
        value.round(template.after.min(shown) as i32)?,
    ))
}

/// Characters that a literal in the template does not stand for.
fn is_data(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | ',' | '+' | '-')
}

/// The rest is nothing but a sign.
fn digits_end(source: &str, rest: &str) -> bool {
    source.len() > rest.len() && rest.len() == 1
}

/// Takes what a 9, 0 or point stands for; blanks and a sign may come first.
fn take_digit<'a>(
    source: &'a str,
    point: bool,
    negative: &mut bool,
    digits: &mut String,
) -> &'a str {
    let mut rest = source;
    if digits.is_empty() {
        rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix(['-', '<']) {
            *negative = true;
            rest = after;
        } else if let Some(after) = rest.strip_prefix('+') {
            rest = after;
        }
    }
    match rest.chars().next() {
        Some(c @ '0'..='9') if !point => digits.push(c),
        Some('.') if !digits.contains('.') => digits.push('.'),
        // Not here: the character waits for the next place.
        _ => return rest,
    }
    &rest[1..]
}
