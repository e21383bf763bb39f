//! Finds lines and fields in COPY's text and CSV formats.

use std::borrow::Cow;

use crate::error::{Error, Result, SqlState};
use crate::plan::statement::Copy;

/// A field before its type: null, or its bytes with escapes undone.
pub(super) type Field<'a> = Option<Cow<'a, [u8]>>;

/// What a format's lines look like.
pub(super) struct Layout {
    csv: bool,
    delimiter: u8,
    null: Vec<u8>,
    quote: u8,
    escape: u8,
}

impl Layout {
    pub(super) fn new(copy: &Copy, csv: bool) -> Layout {
        Layout {
            csv,
            delimiter: copy.delimiter,
            null: copy.null.clone().into_bytes(),
            quote: copy.quote,
            escape: copy.escape,
        }
    }

    /// PostgreSQL's defaults.
    #[cfg(test)]
    pub(super) fn of(csv: bool) -> Layout {
        Layout {
            csv,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { Vec::new() } else { b"\\N".to_vec() },
            quote: b'"',
            escape: b'"',
        }
    }

    /// The length of the first line in `bytes`, without and with its end;
    /// `None` when its end has not come yet.
    pub(super) fn line(&self, bytes: &[u8], closed: bool) -> Option<(usize, usize)> {
        let newline = if self.csv {
            self.csv_newline(bytes)
        } else {
            text_newline(bytes)
        };
        match newline {
            Some(at) if at > 0 && bytes[at - 1] == b'\r' => Some((at - 1, at + 1)),
            Some(at) => Some((at, at + 1)),
            None if closed && !bytes.is_empty() => {
                let end = bytes.len() - usize::from(bytes.ends_with(b"\r"));
                Some((end, bytes.len()))
            }
            None => None,
        }
    }

    /// A newline outside quotes.
    fn csv_newline(&self, bytes: &[u8]) -> Option<usize> {
        let mut quoted = false;
        let mut place = 0;
        while let Some(byte) = bytes.get(place) {
            match *byte {
                b'\n' if !quoted => return Some(place),
                byte if quoted && byte == self.escape && byte != self.quote => place += 1,
                byte if byte == self.quote => quoted = !quoted,
                _ => {}
            }
            place += 1;
        }
        None
    }

    pub(super) fn fields<'a>(&self, line: &'a [u8]) -> Result<Vec<Field<'a>>> {
        if self.csv {
            return self.csv_fields(line);
        }
        if line.contains(&b'\r') {
            return Err(bad("literal carriage return found in data")
                .hint("Use \"\\r\" to represent carriage return."));
        }
        if !line.contains(&b'\\') {
            let fields = line.split(|byte| *byte == self.delimiter);
            return Ok(fields.map(|raw| self.unless_null(raw)).collect());
        }
        let mut fields = Vec::new();
        let mut start = 0;
        let mut place = 0;
        loop {
            match line.get(place) {
                Some(b'\\') => place += 2,
                Some(byte) if *byte != self.delimiter => place += 1,
                at_end => {
                    let raw = &line[start..place.min(line.len())];
                    fields.push(self.unescaped(raw));
                    if at_end.is_none() {
                        return Ok(fields);
                    }
                    place += 1;
                    start = place;
                }
            }
        }
    }

    fn unless_null<'a>(&self, raw: &'a [u8]) -> Field<'a> {
        (raw != self.null).then_some(Cow::Borrowed(raw))
    }

    fn unescaped<'a>(&self, raw: &'a [u8]) -> Field<'a> {
        if raw == self.null {
            return None;
        }
        if raw.contains(&b'\\') {
            return Some(Cow::Owned(unescape(raw)));
        }
        Some(Cow::Borrowed(raw))
    }

    fn csv_fields<'a>(&self, line: &'a [u8]) -> Result<Vec<Field<'a>>> {
        let mut fields = Vec::new();
        let mut rest = line;
        loop {
            let plain = rest
                .iter()
                .position(|byte| *byte == self.delimiter || *byte == self.quote)
                .unwrap_or(rest.len());
            let (field, after) = match rest.get(plain) {
                Some(byte) if *byte == self.quote => self.quoted_field(rest)?,
                _ => (self.unless_null(&rest[..plain]), &rest[plain..]),
            };
            fields.push(field);
            match after.split_first() {
                Some((_, after)) => rest = after,
                None => return Ok(fields),
            }
        }
    }

    /// A field with quotes somewhere in it; what follows starts at its delimiter.
    fn quoted_field<'a>(&self, line: &'a [u8]) -> Result<(Field<'a>, &'a [u8])> {
        let mut field = Vec::new();
        let mut quoted = false;
        let mut place = 0;
        while let Some(&byte) = line.get(place) {
            let next = line.get(place + 1).copied();
            if quoted {
                let escapes = byte == self.escape
                    && next.is_some_and(|next| next == self.quote || next == self.escape);
                match next {
                    Some(next) if escapes => {
                        field.push(next);
                        place += 1;
                    }
                    _ if byte == self.quote => quoted = false,
                    _ => field.push(byte),
                }
            } else if byte == self.quote {
                quoted = true;
            } else if byte == self.delimiter {
                break;
            } else {
                field.push(byte);
            }
            place += 1;
        }
        if quoted {
            return Err(bad("unterminated CSV quoted field"));
        }
        Ok((Some(Cow::Owned(field)), &line[place..]))
    }
}

/// A newline that no backslash takes as data.
fn text_newline(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == b'\n')?;
        let backslashes = bytes[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            field.push(byte);
            continue;
        }
        let Some((&escaped, after)) = rest.split_first() else {
            field.push(byte);
            break;
        };
        rest = after;
        match escaped {
            b'b' => field.push(8),
            b'f' => field.push(12),
            b'n' => field.push(b'\n'),
            b'r' => field.push(b'\r'),
            b't' => field.push(b'\t'),
            b'v' => field.push(11),
            b'0'..=b'7' => {
                let (more, after) = digits(rest, 8, 2, u32::from(escaped - b'0'));
                field.push(more as u8);
                rest = after;
            }
            b'x' if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
                let (code, after) = digits(rest, 16, 2, 0);
                field.push(code as u8);
                rest = after;
            }
            other => field.push(other),
        }
    }
    field
}

/// Reads at most `count` digits of a base onto `value`.
fn digits(bytes: &[u8], base: u32, count: usize, mut value: u32) -> (u32, &[u8]) {
    let mut rest = bytes;
    for _ in 0..count {
        let Some((first, after)) = rest.split_first() else {
            break;
        };
        let Some(digit) = char::from(*first).to_digit(base) else {
            break;
        };
        value = value * base + digit;
        rest = after;
    }
    (value, rest)
}

fn bad(message: &str) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(csv: bool, line: &str) -> Vec<Option<String>> {
        let fields = Layout::of(csv).fields(line.as_bytes()).unwrap();
        let text = |field: Cow<'_, [u8]>| String::from_utf8(field.into_owned()).unwrap();
        fields.into_iter().map(|field| field.map(text)).collect()
    }

    #[test]
    fn text_lines() {
        let some = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("", vec![some("")]),
            ("a\tb", vec![some("a"), some("b")]),
            ("\\N\t\\\\N\t", vec![None, some("\\N"), some("")]),
            ("a\\tb\tc\\\td", vec![some("a\tb"), some("c\td")]),
            ("\\101\\x42\\q\\n", vec![some("ABq\n")]),
            ("x\\", vec![some("x\\")]),
        ] {
            assert_eq!(fields(false, line), expected, "{line}");
        }
        assert!(Layout::of(false).fields(b"a\rb").is_err());
    }

    #[test]
    fn csv_lines() {
        let some = |text: &str| Some(text.to_owned());
        for (line, expected) in [
            ("", vec![None]),
            ("a,,\"\"", vec![some("a"), None, some("")]),
            ("\"a,b\",\"c\"\"d\"", vec![some("a,b"), some("c\"d")]),
            ("a\"b,c\"d,e", vec![some("ab,cd"), some("e")]),
            ("a,", vec![some("a"), None]),
        ] {
            assert_eq!(fields(true, line), expected, "{line}");
        }
        assert!(Layout::of(true).fields(b"\"a").is_err());
    }

    #[test]
    fn line_ends() {
        let line = |csv, bytes: &str, closed| Layout::of(csv).line(bytes.as_bytes(), closed);
        assert_eq!(line(false, "ab\ncd", false), Some((2, 3)));
        assert_eq!(line(false, "ab\r\ncd", false), Some((2, 4)));
        assert_eq!(line(false, "a\\\nb\n", false), Some((4, 5)));
        assert_eq!(line(false, "a\\\\\nb\n", false), Some((3, 4)));
        assert_eq!(line(false, "ab", false), None);
        assert_eq!(line(false, "ab", true), Some((2, 2)));
        assert_eq!(line(false, "", true), None);
        assert_eq!(line(true, "\"a\nb\"\nc", false), Some((5, 6)));
        assert_eq!(line(true, "\"a\nb", false), None);
    }
}
