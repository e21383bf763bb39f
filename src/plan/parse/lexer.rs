//! Words, literals and operators of a statement, by PostgreSQL's lexical rules.
//!
//! Not handled: bit strings (`B'101'`, `X'1F'`), which are refused.

use super::keywords::{self, Class};
use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::Place;

/// PostgreSQL's NAMEDATALEN less its terminator: identifiers are cut here.
pub(crate) const MAX_IDENTIFIER_BYTES: usize = 63;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// An identifier or keyword; `class` is its keyword class unless quoted.
    Word {
        text: String,
        class: Option<Class>,
    },
    Integer(String),
    Decimal(String),
    String(String),
    Parameter(u32),
    /// `+`, `<=`, `->>` and so on; not `::`, `:=`, `=>`.
    Operator(String),
    /// One of `( ) [ ] , ; : .` or `::`, `:=`, `=>`, `..`.
    Punctuation(&'static str),
    End,
}

/// A token and the bytes it takes.
#[derive(Clone, Debug)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A lexical error: its message and the byte it points at.
pub(super) fn failure(text: &str, at: usize, message: String) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message).at(Some(position(text, Place(at as u32))))
}

/// Characters from 1, as clients count them.
pub(crate) fn position(text: &str, place: Place) -> u32 {
    let upto = (place.0 as usize).min(text.len());
    text.as_bytes()[..upto]
        .iter()
        .filter(|byte| (**byte & 0xc0) != 0x80)
        .count() as u32
        + 1
}

/// All tokens of `text`; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        lexer.skip_blanks()?;
        let start = lexer.at;
        let token = lexer.next()?;
        let done = token == Token::End;
        tokens.push(Spanned {
            token,
            start,
            end: lexer.at,
        });
        if done {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text
            .as_bytes()
            .get(self.at + ahead)
            .copied()
            .unwrap_or(0)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Skips blanks and comments; tells whether a newline was among them.
    fn skip_blanks(&mut self) -> Result<bool> {
        let mut newline = false;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | b'\x0b' | b'\x0c', _) => self.at += 1,
                (b'\n' | b'\r', _) => {
                    newline = true;
                    self.at += 1;
                }
                (b'-', b'-') => {
                    let line = self.rest().find(['\n', '\r']);
                    self.at = line.map_or(self.text.len(), |length| self.at + length);
                }
                (b'/', b'*') => self.skip_comment()?,
                _ => return Ok(newline),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<()> {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (0, _) if self.at >= self.text.len() => {
                    return Err(self.unterminated("/* comment", start));
                }
                _ => self.at += 1,
            }
        }
    }

    fn unterminated(&self, what: &str, start: usize) -> Error {
        let near = &self.text[start..];
        failure(
            self.text,
            start,
            format!("unterminated {what} at or near \"{near}\""),
        )
    }

    fn next(&mut self) -> Result<Token> {
        let byte = self.peek(0);
        match byte {
            0 if self.at >= self.text.len() => Ok(Token::End),
            b'\'' => self.string(self.at).map(Token::String),
            b'"' => self
                .quoted_identifier()
                .map(|text| Token::Word { text, class: None }),
            b'$' => self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() => self.number(),
            b'(' | b')' | b'[' | b']' | b',' | b';' | b':' | b'.' => Ok(self.punctuation()),
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => self.word(),
            _ => self.operator(),
        }
    }

    fn punctuation(&mut self) -> Token {
        const MARKS: [&str; 11] = ["::", ":=", "..", "(", ")", "[", "]", ",", ";", ":", "."];
        let rest = self.rest();
        let mark = MARKS
            .iter()
            .find(|mark| rest.starts_with(**mark))
            .expect("called at one of these bytes");
        self.at += mark.len();
        Token::Punctuation(mark)
    }

    fn word(&mut self) -> Result<Token> {
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'e' | b'E', b'\'', _) => {
                let start = self.at;
                self.at += 1;
                return self.escape_string(start).map(Token::String);
            }
            (b'n' | b'N', b'\'', _) => {
                self.at += 1;
                return self.string(self.at - 1).map(Token::String);
            }
            (b'b' | b'B' | b'x' | b'X', b'\'', _) => {
                return Err(Error::unsupported("a bit string literal")
                    .at(Some(position(self.text, Place(self.at as u32)))));
            }
            (b'u' | b'U', b'&', b'\'') => {
                let start = self.at;
                self.at += 2;
                let text = self.string(start)?;
                return self.unicode(&text, start).map(Token::String);
            }
            (b'u' | b'U', b'&', b'"') => {
                let start = self.at;
                self.at += 2;
                let text = self.quoted_identifier()?;
                let text = truncate(self.unicode(&text, start)?);
                return Ok(Token::Word { text, class: None });
            }
            _ => {}
        }
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()))
            .unwrap_or(rest.len());
        let text = rest[..length].to_ascii_lowercase();
        self.at += length;
        let class = Some(keywords::class(&text));
        Ok(Token::Word {
            text: truncate(text),
            class,
        })
    }

    fn quoted_identifier(&mut self) -> Result<String> {
        let start = self.at;
        self.at += 1;
        let text = self.quoted(b'"', "quoted identifier", start)?;
        if text.is_empty() {
            return Err(failure(
                self.text,
                start,
                "zero-length delimited identifier at or near \"\"\"\"".to_owned(),
            ));
        }
        Ok(truncate(text))
    }

    /// The text up to `quote`, doubled ones undone; the cursor stands behind the opening one.
    fn quoted(&mut self, quote: u8, what: &str, start: usize) -> Result<String> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(length) = rest.bytes().position(|byte| byte == quote) else {
                return Err(self.unterminated(what, start));
            };
            text.push_str(&rest[..length]);
            self.at += length + 1;
            if self.peek(0) != quote {
                return Ok(text);
            }
            text.push(quote as char);
            self.at += 1;
        }
    }

    /// A plain string and its continuations on later lines.
    fn string(&mut self, start: usize) -> Result<String> {
        self.at += 1;
        let mut text = self.quoted(b'\'', "quoted string", start)?;
        while self.continues()? {
            self.at += 1;
            text.push_str(&self.quoted(b'\'', "quoted string", start)?);
        }
        Ok(text)
    }

    /// Whether a further piece of the string follows behind a newline.
    fn continues(&mut self) -> Result<bool> {
        let end = self.at;
        if self.skip_blanks()? && self.peek(0) == b'\'' {
            return Ok(true);
        }
        self.at = end;
        Ok(false)
    }

    /// `E'…'` with backslash escapes.
    fn escape_string(&mut self, start: usize) -> Result<String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek(0) {
                0 if self.at >= self.text.len() => {
                    return Err(self.unterminated("quoted string", start));
                }
                b'\'' if self.peek(1) == b'\'' => {
                    bytes.push(b'\'');
                    self.at += 2;
                }
                b'\'' => {
                    self.at += 1;
                    if !self.continues()? {
                        break;
                    }
                    self.at += 1;
                }
                b'\\' => self.escape(&mut bytes, start)?,
                byte => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
        String::from_utf8(bytes).map_err(|error| {
            let bad = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(bad).copied().unwrap_or(0);
            Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
            )
        })
    }

    fn escape(&mut self, bytes: &mut Vec<u8>, start: usize) -> Result<()> {
        self.at += 1;
        let byte = self.peek(0);
        if byte == 0 {
            return Err(self.unterminated("quoted string", start));
        }
        self.at += 1;
        match byte {
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'0'..=b'7' => {
                self.at -= 1;
                let value = self.digits(8, 3);
                bytes.push((value & 0xff) as u8);
            }
            b'x' if self.peek(0).is_ascii_hexdigit() => bytes.push(self.digits(16, 2) as u8),
            b'u' | b'U' => {
                let wanted = if byte == b'u' { 4 } else { 8 };
                let from = self.at;
                let value = self.digits(16, wanted);
                let decoded = char::from_u32(value).filter(|c| *c != '\0');
                match decoded.filter(|_| self.at - from == wanted) {
                    Some(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => {
                        let error =
                            Error::new(SqlState::INVALID_ESCAPE_SEQUENCE, "invalid Unicode escape");
                        let place = Place((from - 2) as u32);
                        return Err(error
                            .hint("Unicode escapes must be \\uXXXX or \\UXXXXXXXX.")
                            .at(Some(position(self.text, place))));
                    }
                }
            }
            other => bytes.push(other),
        }
        if bytes.last() == Some(&0) {
            return Err(Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            ));
        }
        Ok(())
    }

    /// Up to `most` digits of this radix.
    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let mut value = 0u32;
        for _ in 0..most {
            let Some(digit) = (self.peek(0) as char).to_digit(radix) else {
                break;
            };
            value = value.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        value
    }

    /// Undoes `\XXXX` and `\+XXXXXX` of a `U&` literal.
    fn unicode(&self, text: &str, start: usize) -> Result<String> {
        let invalid = || {
            failure(self.text, start, "invalid Unicode escape".to_owned())
                .hint("Unicode escapes must be \\XXXX or \\+XXXXXX.")
        };
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut high: Option<u32> = None;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('\\') {
                out.push('\\');
                rest = after;
                continue;
            }
            let (digits, length) = match rest.strip_prefix('+') {
                Some(after) => (after, 6),
                None => (rest, 4),
            };
            let code = digits
                .get(..length)
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .ok_or_else(invalid)?;
            rest = &digits[length..];
            let code = match (high.take(), code) {
                (Some(high), 0xdc00..=0xdfff) => {
                    0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00)
                }
                (None, 0xd800..=0xdbff) if rest.starts_with('\\') => {
                    high = Some(code);
                    continue;
                }
                (None, code) => code,
                (Some(_), _) => return Err(invalid()),
            };
            let decoded = char::from_u32(code).filter(|c| *c != '\0');
            out.push(decoded.ok_or_else(invalid)?);
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `$1`, or a dollar-quoted string.
    fn dollar(&mut self) -> Result<Token> {
        let start = self.at;
        if self.peek(1).is_ascii_digit() {
            self.at += 1;
            let digits = self.take_digits();
            self.no_trailing_word(start, "parameter")?;
            let number = digits.parse::<u32>().ok().filter(|n| *n <= 65_535);
            return number.map(Token::Parameter).ok_or_else(|| {
                let near = &self.text[start..self.at];
                failure(
                    self.text,
                    start,
                    format!("parameter number too large at or near \"{near}\""),
                )
            });
        }
        let rest = self.rest();
        let tag_length = rest[1..]
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()))
            .map(|length| length + 1);
        let Some(tag_length) = tag_length.filter(|length| rest.as_bytes()[*length] == b'$') else {
            self.at += 1;
            return Err(failure(
                self.text,
                start,
                "syntax error at or near \"$\"".to_owned(),
            ));
        };
        let tag = &rest[..=tag_length];
        let body = &rest[tag.len()..];
        let Some(length) = body.find(tag) else {
            return Err(self.unterminated("dollar-quoted string", start));
        };
        let text = body[..length].to_owned();
        self.at += tag.len() * 2 + length;
        Ok(Token::String(text))
    }

    fn take_digits(&mut self) -> String {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let digits = rest[..length].to_owned();
        self.at += length;
        digits
    }

    fn number(&mut self) -> Result<Token> {
        let start = self.at;
        self.take_digits();
        let mut decimal = false;
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            decimal = true;
            self.at += 1;
            self.take_digits();
        }
        let signed = matches!(self.peek(1), b'+' | b'-') && self.peek(2).is_ascii_digit();
        if matches!(self.peek(0), b'e' | b'E') && (signed || self.peek(1).is_ascii_digit()) {
            decimal = true;
            self.at += if signed { 2 } else { 1 };
            self.take_digits();
        }
        self.no_trailing_word(start, "numeric literal")?;
        let text = self.text[start..self.at].to_owned();
        Ok(if decimal {
            Token::Decimal(text)
        } else {
            Token::Integer(text)
        })
    }

    /// `1a` is no number followed by a name.
    fn no_trailing_word(&mut self, start: usize, what: &str) -> Result<()> {
        let next = self.peek(0);
        if !(next.is_ascii_alphabetic() || next == b'_' || next >= 0x80) {
            return Ok(());
        }
        let length = self.rest().chars().next().map_or(0, char::len_utf8);
        let near = &self.text[start..self.at + length];
        Err(failure(
            self.text,
            start,
            format!("trailing junk after {what} at or near \"{near}\""),
        ))
    }

    /// The longest operator, by PostgreSQL's rule for a trailing `+` or `-`.
    fn operator(&mut self) -> Result<Token> {
        const CHARACTERS: &str = "+-*/<>=~!@#%^&|`?";
        let start = self.at;
        let rest = self.rest();
        let mut length = rest
            .find(|c: char| !CHARACTERS.contains(c))
            .unwrap_or(rest.len());
        if length == 0 {
            let c = rest.chars().next().unwrap_or(' ');
            return Err(failure(
                self.text,
                start,
                format!("syntax error at or near \"{c}\""),
            ));
        }
        for comment in ["--", "/*"] {
            if let Some(at) = rest[..length].find(comment) {
                length = at;
            }
        }
        while length > 1
            && rest[..length].ends_with(['+', '-'])
            && !rest[..length].contains(['~', '!', '@', '#', '%', '^', '&', '|', '`', '?'])
        {
            length -= 1;
        }
        let token = match &rest[..length] {
            "=>" => Token::Punctuation("=>"),
            "!=" => Token::Operator("<>".to_owned()),
            symbol => Token::Operator(symbol.to_owned()),
        };
        self.at += length;
        Ok(token)
    }
}

/// Cuts an identifier where PostgreSQL does, between characters.
fn truncate(mut text: String) -> String {
    if text.len() > MAX_IDENTIFIER_BYTES {
        let mut end = MAX_IDENTIFIER_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
