//! Decodes the client's messages from their bodies.
//!
//! pgwire 0.42.1 has decoders too, but they read past a short body and panic
//! on it, and turn invalid UTF-8 into other text. Here every read is checked:
//! a body that ends early or has bytes left over is 08P01, bad text is 22021.

use super::error::protocol_violation;
use crate::error::{Error, Result, SqlState};
use crate::types::settings::Io;
use crate::types::{Type, Value, text as text_format};

/// Reads a body from its start.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

pub(super) struct Parse<'a> {
    pub(super) name: &'a str,
    pub(super) sql: &'a str,
    pub(super) types: Vec<u32>,
}

pub(super) struct Bind<'a> {
    pub(super) portal: &'a str,
    pub(super) statement: &'a str,
    pub(super) parameter_formats: Codes<'a>,
    pub(super) parameters: Parameters<'a>,
    pub(super) result_formats: Codes<'a>,
}

/// Format codes, as they lie in the message.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a>(&'a [u8]);

/// Parameters, as they lie in the message; known to be whole.
#[derive(Clone)]
pub(super) struct Parameters<'a> {
    left: usize,
    reader: Reader<'a>,
}

/// What Describe and Close speak of.
pub(super) enum Target<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

pub(super) struct Execute<'a> {
    pub(super) portal: &'a str,
    /// `None`: all rows. Negative limits count as none, as in PostgreSQL.
    pub(super) limit: Option<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Reader<'a> {
        Reader { rest: body }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| protocol_violation("insufficient data left in message"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    pub(super) fn i16(&mut self) -> Result<i16> {
        let bytes = self.bytes(2)?;
        Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn i32(&mut self) -> Result<i32> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A count of 16 bits; they are unsigned.
    pub(super) fn count(&mut self) -> Result<usize> {
        Ok(usize::from(self.i16()? as u16))
    }

    /// A string up to its zero byte, which must be there.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| protocol_violation("invalid string in message"))?;
        let bytes = self.bytes(end)?;
        self.bytes(1)?;
        text(bytes)
    }

    /// A length and so many bytes; -1 is null.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length)
                    .map_err(|_| protocol_violation("invalid length of a value in message"))?;
                self.bytes(length).map(Some)
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn end(self) -> Result<()> {
        match self.rest {
            [] => Ok(()),
            _ => Err(protocol_violation("invalid message format")),
        }
    }
}

/// The body as UTF-8; 22021 names the first bytes that are not.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let from = error.valid_up_to();
        let length = error.error_len().unwrap_or(bytes.len() - from);
        let wrong: Vec<String> = bytes[from..from + length]
            .iter()
            .map(|byte| format!("0x{byte:02x}"))
            .collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                wrong.join(" ")
            ),
        )
    })
}

/// A value in text format.
pub(super) fn text_value(bytes: &[u8], ty: &Type, io: Io<'_>) -> Result<Value> {
    let text = text(bytes)?;
    if text.contains('\0') {
        return Err(Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    match ty {
        Type::Text => Ok(Value::text(text)),
        ty => text_format::input(text, ty, io),
    }
}

/// The text of Query and CopyFail.
pub(super) fn lone_string(body: &[u8]) -> Result<&str> {
    let mut reader = Reader::new(body);
    let text = reader.string()?;
    reader.end()?;
    Ok(text)
}

impl<'a> Parse<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Parse<'a>> {
        let mut reader = Reader::new(body);
        let name = reader.string()?;
        let sql = reader.string()?;
        let types = (0..reader.count()?)
            .map(|_| reader.i32().map(|oid| oid as u32))
            .collect::<Result<_>>()?;
        reader.end()?;
        Ok(Parse { name, sql, types })
    }
}

impl<'a> Bind<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Bind<'a>> {
        let mut reader = Reader::new(body);
        let portal = reader.string()?;
        let statement = reader.string()?;
        let parameter_formats = Codes::decode(&mut reader)?;
        let count = reader.count()?;
        let parameters = Parameters {
            left: count,
            reader: reader.clone(),
        };
        for _ in 0..count {
            reader.value()?;
        }
        let result_formats = Codes::decode(&mut reader)?;
        reader.end()?;
        Ok(Bind {
            portal,
            statement,
            parameter_formats,
            parameters,
            result_formats,
        })
    }
}

impl<'a> Codes<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Codes<'a>> {
        let count = reader.count()?;
        reader.bytes(2 * count).map(Codes)
    }

    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = i16> {
        let (codes, _) = self.0.as_chunks::<2>();
        codes.iter().map(|code| i16::from_be_bytes(*code))
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        self.left = self.left.checked_sub(1)?;
        self.reader.value().ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Parameters<'_> {}

impl<'a> Target<'a> {
    /// `message` is DESCRIBE or CLOSE, for the error's text.
    pub(super) fn decode(body: &'a [u8], message: &str) -> Result<Target<'a>> {
        let mut reader = Reader::new(body);
        let kind = reader.byte()?;
        let name = reader.string()?;
        reader.end()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            other => Err(protocol_violation(format!(
                "invalid {message} message subtype {other}"
            ))),
        }
    }
}

impl<'a> Execute<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Execute<'a>> {
        let mut reader = Reader::new(body);
        let portal = reader.string()?;
        let limit = usize::try_from(reader.i32()?)
            .ok()
            .filter(|limit| *limit > 0);
        reader.end()?;
        Ok(Execute { portal, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there() {
        let parse = Parse::decode(b"n\0SELECT $1\0\0\x01\0\0\0\x17").unwrap();
        assert_eq!((parse.name, parse.sql), ("n", "SELECT $1"));
        assert_eq!(parse.types, [23]);
        let bind =
            Bind::decode(b"p\0n\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0").unwrap();
        let parameters: Vec<_> = bind.parameters.collect();
        assert_eq!(parameters, [Some(&b"x"[..]), None]);
        assert_eq!(bind.parameter_formats.iter().collect::<Vec<_>>(), [1]);
        let limit = |bytes: &[u8]| Execute::decode(bytes).unwrap().limit;
        assert_eq!(limit(b"\0\0\0\0\x05"), Some(5));
        assert_eq!(limit(b"\0\0\0\0\0"), None);
        assert_eq!(limit(b"\0\xff\xff\xff\xff"), None);
    }

    #[test]
    fn every_cut_and_surplus_is_an_error() {
        let bind: &[u8] = b"p\0n\0\0\x01\0\x01\0\x01\0\0\0\x01x\0\x01\0\x01";
        for end in 0..bind.len() {
            assert!(Bind::decode(&bind[..end]).is_err(), "{end}");
        }
        assert!(Bind::decode(bind).is_ok());
        assert!(Bind::decode(&[bind, b"\0"].concat()).is_err());
        assert!(Bind::decode(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0").is_err());
        assert!(Parse::decode(b"\0\0\xff\xff").is_err());
        assert!(Target::decode(b"X\0", "CLOSE").is_err());
    }

    #[test]
    fn text_must_be_utf8() {
        let error = lone_string(b"a\xc3(\0").unwrap_err();
        assert_eq!(error.state(), SqlState::CHARACTER_NOT_IN_REPERTOIRE);
        assert_eq!(
            error.message(),
            "invalid byte sequence for encoding \"UTF8\": 0xc3"
        );
    }
}
