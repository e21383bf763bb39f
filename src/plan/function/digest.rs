//! Encodings and hashes: encode, decode, md5, sha256, convert_to, gen_random_uuid.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;

use super::arguments::{bytes, text};
use super::definition::{Definition, scalar};
use super::{Call, md5};
use crate::error::{Error, Result, SqlState};
use crate::types::Value;

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("encode", "bytea text -> text", encode),
    scalar("decode", "text text -> bytea", decode),
    scalar("md5", "text -> text", |_, a| {
        Ok(Value::text(hex(&md5::digest(text(&a[0])?.as_bytes()))))
    }),
    scalar("md5", "bytea -> text", |_, a| {
        Ok(Value::text(hex(&md5::digest(bytes(&a[0])?))))
    }),
    scalar("sha224", "bytea -> bytea", |_, a| hash::<sha2::Sha224>(a)),
    scalar("sha256", "bytea -> bytea", |_, a| hash::<sha2::Sha256>(a)),
    scalar("sha384", "bytea -> bytea", |_, a| hash::<sha2::Sha384>(a)),
    scalar("sha512", "bytea -> bytea", |_, a| hash::<sha2::Sha512>(a)),
    scalar("convert_to", "text name -> bytea", convert_to).stable(),
    scalar("convert_from", "bytea name -> text", convert_from).stable(),
    scalar("gen_random_uuid", "-> uuid", random_uuid).volatile(),
    // The function of extension uuid-ossp that TypeORM and others call.
    scalar("uuid_generate_v4", "-> uuid", random_uuid).volatile(),
]];

fn hash<D: Digest>(arguments: &[Value]) -> Result<Value> {
    Ok(Value::Bytes(D::digest(bytes(&arguments[0])?)[..].into()))
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
    }
    out
}

/// Base64 lines are this long in PostgreSQL.
const BASE64_LINE: usize = 76;

fn unknown_encoding(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("unrecognized encoding: \"{name}\""),
    )
}

fn encode(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (data, name) = (bytes(&arguments[0])?, text(&arguments[1])?);
    let encoded = match name.to_lowercase().as_str() {
        "hex" => hex(data),
        "base64" => {
            let plain = STANDARD.encode(data);
            let lines: Vec<&str> = (0..plain.len())
                .step_by(BASE64_LINE)
                .map(|at| &plain[at..plain.len().min(at + BASE64_LINE)])
                .collect();
            lines.join("\n")
        }
        "escape" => {
            let mut out = String::with_capacity(data.len());
            for byte in data.iter() {
                match byte {
                    b'\\' => out.push_str("\\\\"),
                    0 | 0x80.. => out.push_str(&format!("\\{byte:03o}")),
                    _ => out.push(char::from(*byte)),
                }
            }
            out
        }
        _ => return Err(unknown_encoding(name)),
    };
    Ok(Value::text(encoded))
}

fn decode(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (data, name) = (text(&arguments[0])?, text(&arguments[1])?);
    let decoded = match name.to_lowercase().as_str() {
        "hex" => decode_hex(data)?,
        "base64" => {
            let packed: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            STANDARD.decode(packed).map_err(|_| {
                Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "invalid base64 end sequence",
                )
                .hint("Input data is missing padding, is truncated, or is otherwise corrupted.")
            })?
        }
        "escape" => decode_escape(data)?,
        _ => return Err(unknown_encoding(name)),
    };
    Ok(Value::Bytes(decoded.into()))
}

fn decode_hex(data: &str) -> Result<Vec<u8>> {
    let error = |text: String| Error::new(SqlState::INVALID_PARAMETER_VALUE, text);
    let mut digits = Vec::with_capacity(data.len());
    for c in data
        .chars()
        .filter(|c| !matches!(c, ' ' | '\n' | '\t' | '\r'))
    {
        let digit = c
            .to_digit(16)
            .ok_or_else(|| error(format!("invalid hexadecimal digit: \"{c}\"")))?;
        digits.push(digit as u8);
    }
    if digits.len() % 2 == 1 {
        return Err(error(
            "invalid hexadecimal data: odd number of digits".to_owned(),
        ));
    }
    Ok(digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

fn decode_escape(data: &str) -> Result<Vec<u8>> {
    let error = || {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type bytea",
        )
    };
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'\\', after @ ..]) => {
                out.push(b'\\');
                rest = after;
            }
            (
                b'\\',
                [
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    after @ ..,
                ],
            ) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            (b'\\', _) => return Err(error()),
            (byte, _) => out.push(*byte),
        }
    }
    Ok(out)
}

fn is_utf8(name: &str) -> bool {
    matches!(
        name.to_uppercase().replace(['-', '_'], "").as_str(),
        "UTF8" | "UNICODE"
    )
}

fn convert_to(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    match is_utf8(text(&arguments[1])?) {
        true => Ok(Value::Bytes(text(&arguments[0])?.as_bytes().into())),
        false => Err(Error::unsupported("an encoding other than UTF8")),
    }
}

fn convert_from(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    if !is_utf8(text(&arguments[1])?) {
        return Err(Error::unsupported("an encoding other than UTF8"));
    }
    let data = bytes(&arguments[0])?;
    let text = std::str::from_utf8(data).map_err(|error| {
        let bad = &data[error.valid_up_to()..];
        let bad = &bad[..error.error_len().unwrap_or(bad.len()).max(1)];
        let shown: Vec<String> = bad.iter().map(|byte| format!("0x{byte:02x}")).collect();
        Error::new(
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            format!(
                "invalid byte sequence for encoding \"UTF8\": {}",
                shown.join(" ")
            ),
        )
    })?;
    Ok(Value::text(text))
}

fn random_uuid(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    let mut random = call.context.random.lock();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.draw().to_be_bytes());
    bytes[8..].copy_from_slice(&random.draw().to_be_bytes());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(Value::Uuid(bytes))
}
