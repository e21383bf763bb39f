//! Reading JSON text, with PostgreSQL's errors.

use super::Json;
use crate::error::{Error, Result, SqlState};
use crate::types::numeric::Numeric;

/// Containers within containers; deeper text is refused, as PostgreSQL does at
/// the limit of its stack.
const MAXIMUM_DEPTH: usize = 1000;

/// Checks a json text without building anything.
pub fn validate(text: &str) -> Result<()> {
    Parser::new(text, false).document().map(|_| ())
}

/// Reads a jsonb value.
pub fn parse(text: &str) -> Result<Json> {
    Parser::new(text, true).document()
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    OpenObject,
    CloseObject,
    OpenArray,
    CloseArray,
    Comma,
    Colon,
    String,
    Number,
    True,
    False,
    Null,
    End,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// The token under view and its place.
    token: Token,
    start: usize,
    end: usize,
    /// The content of a string token, when building.
    string: String,
    build: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, build: bool) -> Parser<'a> {
        Parser {
            text,
            bytes: text.as_bytes(),
            token: Token::End,
            start: 0,
            end: 0,
            string: String::new(),
            build,
        }
    }

    fn document(mut self) -> Result<Json> {
        self.advance()?;
        let value = self.value(0)?;
        if self.token == Token::End {
            Ok(value)
        } else {
            Err(self.expected("end of input"))
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        if depth > MAXIMUM_DEPTH {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                "stack depth limit exceeded",
            ));
        }
        let value = match self.token {
            Token::OpenObject => return self.object(depth),
            Token::OpenArray => return self.array(depth),
            Token::String => Json::String(std::mem::take(&mut self.string)),
            Token::Number if self.build => {
                Json::Number(Numeric::parse(&self.text[self.start..self.end])?)
            }
            Token::True => Json::Bool(true),
            Token::False => Json::Bool(false),
            Token::Null | Token::Number => Json::Null,
            _ => return Err(self.expected("JSON value")),
        };
        self.advance()?;
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.advance()?;
        let mut pairs = Vec::new();
        if self.token == Token::CloseObject {
            self.advance()?;
            return Ok(Json::Object(pairs));
        }
        if self.token != Token::String {
            return Err(self.expected("string or \"}\""));
        }
        loop {
            if self.token != Token::String {
                return Err(self.expected("string"));
            }
            let key = std::mem::take(&mut self.string);
            self.advance()?;
            if self.token != Token::Colon {
                return Err(self.expected("\":\""));
            }
            self.advance()?;
            let value = self.value(depth + 1)?;
            if self.build {
                pairs.push((key, value));
            }
            match self.token {
                Token::Comma => self.advance()?,
                Token::CloseObject => break,
                _ => return Err(self.expected("\",\" or \"}\"")),
            }
        }
        self.advance()?;
        Ok(Json::object(pairs))
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        self.advance()?;
        let mut values = Vec::new();
        if self.token == Token::CloseArray {
            self.advance()?;
            return Ok(Json::Array(values));
        }
        loop {
            let value = self.value(depth + 1)?;
            if self.build {
                values.push(value);
            }
            match self.token {
                Token::Comma => self.advance()?,
                Token::CloseArray => break,
                _ => return Err(self.expected("\",\" or \"]\"")),
            }
        }
        self.advance()?;
        Ok(Json::Array(values))
    }

    fn advance(&mut self) -> Result<()> {
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        self.start = self.end
            + self.bytes[self.end..]
                .iter()
                .take_while(|b| blank(b))
                .count();
        self.end = self.start + 1;
        self.token = match self.bytes.get(self.start) {
            None => {
                self.end = self.start;
                Token::End
            }
            Some(b'{') => Token::OpenObject,
            Some(b'}') => Token::CloseObject,
            Some(b'[') => Token::OpenArray,
            Some(b']') => Token::CloseArray,
            Some(b',') => Token::Comma,
            Some(b':') => Token::Colon,
            Some(b'"') => self.lex_string()?,
            Some(b'-' | b'0'..=b'9') => self.lex_number()?,
            Some(_) => self.lex_word()?,
        };
        Ok(())
    }

    fn lex_word(&mut self) -> Result<Token> {
        let length = word_length(&self.bytes[self.start..]);
        // Not a word: a single character, which is ASCII as all others are word parts.
        self.end = self.start + length.max(1);
        match &self.text[self.start..self.end] {
            "true" => Ok(Token::True),
            "false" => Ok(Token::False),
            "null" => Ok(Token::Null),
            _ => Err(self.invalid_token()),
        }
    }

    fn lex_number(&mut self) -> Result<Token> {
        let mut at = self.start;
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        let digits = |at: usize| {
            self.bytes[at.min(self.bytes.len())..]
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .count()
        };
        let mut valid = true;
        if byte(at) == b'-' {
            at += 1;
        }
        match byte(at) {
            b'0' => at += 1,
            b'1'..=b'9' => at += digits(at),
            _ => valid = false,
        }
        if byte(at) == b'.' {
            at += 1;
            valid &= digits(at) > 0;
            at += digits(at);
        }
        if matches!(byte(at), b'e' | b'E') {
            at += 1;
            if matches!(byte(at), b'+' | b'-') {
                at += 1;
            }
            valid &= digits(at) > 0;
            at += digits(at);
        }
        let garbage = word_length(&self.bytes[at..]);
        self.end = at + garbage;
        if valid && garbage == 0 {
            Ok(Token::Number)
        } else {
            Err(self.invalid_token())
        }
    }

    fn lex_string(&mut self) -> Result<Token> {
        self.string.clear();
        let mut at = self.start + 1;
        let mut plain = at;
        loop {
            match self.bytes.get(at) {
                None => {
                    self.end = self.bytes.len();
                    return Err(self.invalid_token());
                }
                Some(b'"') => {
                    if self.build {
                        self.string.push_str(&self.text[plain..at]);
                    }
                    self.end = at + 1;
                    return Ok(Token::String);
                }
                Some(b'\\') => {
                    if self.build {
                        self.string.push_str(&self.text[plain..at]);
                    }
                    at = self.lex_escape(at + 1)?;
                    plain = at;
                }
                Some(control @ 0..0x20) => {
                    return Err(syntax_error(format!(
                        "Character with value 0x{control:02x} must be escaped."
                    )));
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Reads what follows a backslash; gives the place after it.
    fn lex_escape(&mut self, at: usize) -> Result<usize> {
        let plain = match self.bytes.get(at) {
            Some(b'u') => return self.lex_unicode(at + 1),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(_) => {
                let wrong = self.text[at..].chars().next().unwrap_or(' ');
                return Err(syntax_error(format!(
                    "Escape sequence \"\\{wrong}\" is invalid."
                )));
            }
            None => {
                self.end = self.bytes.len();
                return Err(self.invalid_token());
            }
        };
        if self.build {
            self.string.push(plain);
        }
        Ok(at + 1)
    }

    fn lex_unicode(&mut self, at: usize) -> Result<usize> {
        let unit = self.hexadecimal(at)?;
        let mut after = at + 4;
        if !self.build {
            return Ok(after);
        }
        let code = match unit {
            0 => {
                return Err(Error::new(
                    SqlState::UNTRANSLATABLE_CHARACTER,
                    "unsupported Unicode escape sequence",
                )
                .detail("\\u0000 cannot be converted to text."));
            }
            0xd800..0xdc00 => {
                let low = match self.bytes.get(after..after + 2) {
                    Some(b"\\u") => self.hexadecimal(after + 2)?,
                    _ => 0,
                };
                after += 6;
                match low {
                    0xdc00..0xe000 => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    0xd800..0xdc00 => {
                        return Err(syntax_error(
                            "Unicode high surrogate must not follow a high surrogate.",
                        ));
                    }
                    _ => return Err(lone_low_surrogate()),
                }
            }
            0xdc00..0xe000 => return Err(lone_low_surrogate()),
            other => other,
        };
        self.string
            .push(char::from_u32(code).ok_or_else(lone_low_surrogate)?);
        Ok(after)
    }

    fn hexadecimal(&self, at: usize) -> Result<u32> {
        self.bytes
            .get(at..at + 4)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|_| u32::from_str_radix(&self.text[at..at + 4], 16).ok())
            .ok_or_else(|| syntax_error("\"\\u\" must be followed by four hexadecimal digits."))
    }

    fn expected(&self, what: &str) -> Error {
        if self.token == Token::End {
            return syntax_error("The input string ended unexpectedly.");
        }
        let found = &self.text[self.start..self.end];
        syntax_error(format!("Expected {what}, but found \"{found}\"."))
    }

    fn invalid_token(&self) -> Error {
        let token = &self.text[self.start..self.end];
        syntax_error(format!("Token \"{token}\" is invalid."))
    }
}

fn word_length(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80)
        .count()
}

fn lone_low_surrogate() -> Error {
    syntax_error("Unicode low surrogate must follow a high surrogate.")
}

fn syntax_error(detail: impl Into<String>) -> Error {
    Error::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        "invalid input syntax for type json",
    )
    .detail(detail)
}
