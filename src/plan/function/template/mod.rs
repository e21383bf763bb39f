//! Template formatting: to_char, to_date, to_timestamp, to_number, format.
//!
//! Not handled: locales (TM gives English), SP, and formatting of time zones
//! when reading other than TZH and TZM.

mod date_fields;
mod date_read;
mod date_write;
mod number;
mod number_read;
mod printf;

use super::definition::Definition;

pub(super) const TABLES: &[&[Definition]] = &[
    date_write::FUNCTIONS,
    date_read::FUNCTIONS,
    number::FUNCTIONS,
    number_read::FUNCTIONS,
    printf::FUNCTIONS,
];

/// A piece of a template as split here; `F` is a field of its language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece<F> {
    Field(F),
    /// One character to print, and whether it was in quotes.
    Literal(char, bool),
}

/// Splits a template: text in quotes and after backslashes is literal, the
/// rest is for `field`, which tells the field at the start and its length.
pub(super) fn split<F>(
    template: &str,
    mut field: impl FnMut(&str) -> Option<(F, usize)>,
) -> Vec<Piece<F>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut quoted = false;
    while let Some(c) = rest.chars().next() {
        if !quoted && let Some((found, length)) = field(rest) {
            pieces.push(Piece::Field(found));
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted || rest.starts_with('"') => {
                if let Some(escaped) = rest.chars().next() {
                    pieces.push(Piece::Literal(escaped, true));
                    rest = &rest[escaped.len_utf8()..];
                }
            }
            c => pieces.push(Piece::Literal(c, quoted)),
        }
    }
    pieces
}

/// The English ending of a number told in digits.
pub(super) fn ordinal(digits: &str, upper: bool) -> &'static str {
    let mut last = digits.bytes().rev();
    let (ones, tens) = (last.next(), last.next());
    let ending = match (tens, ones) {
        (Some(b'1'), _) => ["th", "TH"],
        (_, Some(b'1')) => ["st", "ST"],
        (_, Some(b'2')) => ["nd", "ND"],
        (_, Some(b'3')) => ["rd", "RD"],
        _ => ["th", "TH"],
    };
    ending[usize::from(upper)]
}
