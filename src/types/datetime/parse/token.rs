//! Cuts the text of a date or time into fields.

/// A field, by how it begins and what is in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Token<'a> {
    /// Digits, perhaps with a fraction.
    Number(&'a str),
    /// Parts joined by `-`, `/` or `.`: `1999-01-08`, `08-Jan-1999`, `1.8.1999`.
    Date(&'a str),
    /// Has a colon: `04:05:06.7`.
    Time(&'a str),
    /// A sign and digits: `+02:00`.
    Offset(&'a str),
    /// Letters: names of months, zones, `now`.
    Word(&'a str),
    /// A sign and letters: `-infinity`.
    SignedWord(&'a str),
}

/// `None` for characters that no field may hold.
pub(super) fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::with_capacity(4);
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| {
            c.is_ascii_whitespace()
                || c == '\x0b'
                || (c.is_ascii_punctuation() && !"+-.:/".contains(c))
        });
        let Some(first) = rest.bytes().next() else {
            return Some(tokens);
        };
        let (token, length) = match first {
            b'0'..=b'9' => number_like(rest),
            b'.' if rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                let length = 1 + span(&rest[1..], |b| b.is_ascii_digit());
                (Token::Number(&rest[..length]), length)
            }
            b'+' | b'-' => signed(rest)?,
            letter if letter.is_ascii_alphabetic() => word(rest),
            _ => return None,
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

fn number_like(rest: &str) -> (Token<'_>, usize) {
    let digits = span(rest, |b| b.is_ascii_digit());
    match rest.as_bytes().get(digits) {
        Some(b':') => {
            let length = span(rest, |b| b.is_ascii_digit() || b == b':' || b == b'.');
            (Token::Time(&rest[..length]), length)
        }
        Some(separator @ (b'-' | b'/' | b'.')) => {
            let is_part = |b: u8| b.is_ascii_digit() || b == *separator;
            let after = rest.as_bytes().get(digits + 1);
            let has_letters = *separator != b'.' && after.is_some_and(u8::is_ascii_alphabetic);
            let length = if has_letters {
                span(rest, |b| b.is_ascii_alphanumeric() || b == *separator)
            } else {
                span(rest, is_part)
            };
            let field = &rest[..length];
            let separators = field.bytes().filter(|b| b == separator).count();
            if *separator == b'.' && separators < 2 {
                (Token::Number(field), length)
            } else {
                (Token::Date(field), length)
            }
        }
        _ => (Token::Number(&rest[..digits]), digits),
    }
}

fn signed(rest: &str) -> Option<(Token<'_>, usize)> {
    match rest.as_bytes().get(1) {
        Some(b'0'..=b'9') => {
            let length = 1 + span(&rest[1..], |b| b.is_ascii_digit() || b == b':' || b == b'.');
            Some((Token::Offset(&rest[..length]), length))
        }
        Some(letter) if letter.is_ascii_alphabetic() => {
            let length = 1 + span(&rest[1..], |b| b.is_ascii_alphabetic());
            Some((Token::SignedWord(&rest[..length]), length))
        }
        _ => None,
    }
}

/// A word; a month's name may begin a date, and a zone's name holds slashes.
fn word(rest: &str) -> (Token<'_>, usize) {
    let letters = span(rest, |b| b.is_ascii_alphabetic());
    let after = rest.as_bytes().get(letters).copied();
    let next = rest.as_bytes().get(letters + 1).copied();
    match (after, next) {
        (Some(b'-' | b'/'), Some(b'0'..=b'9')) if letters >= 3 && is_month(&rest[..letters]) => {
            let length = span(rest, |b| {
                b.is_ascii_alphanumeric() || b == b'-' || b == b'/'
            });
            (Token::Date(&rest[..length]), length)
        }
        (Some(b'/' | b'_'), _) => {
            let length = span(rest, |b| {
                b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+')
            });
            (Token::Word(&rest[..length]), length)
        }
        // `PST8PDT` is a zone; `Jan8`, `T0405` and `J2451187` are two fields.
        (Some(b'0'..=b'9'), _)
            if letters >= 3 && !super::decode::is_core_word(&rest[..letters]) =>
        {
            let length = span(rest, |b| b.is_ascii_alphanumeric());
            (Token::Word(&rest[..length]), length)
        }
        _ => (Token::Word(&rest[..letters]), letters),
    }
}

fn is_month(word: &str) -> bool {
    super::decode::month(word).is_some()
}

fn span(text: &str, accept: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|b| accept(*b)).count()
}
