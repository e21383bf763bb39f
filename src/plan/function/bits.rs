//! Bits and parts of bytea.

use super::arguments::{bytes, int, text};
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::types::Value;

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("bit_count", "bytea -> int8", |_, a| {
        let ones = bytes(&a[0])?
            .iter()
            .map(|byte| i64::from(byte.count_ones()));
        Ok(Value::Int(ones.sum()))
    }),
    scalar("get_bit", "bytea int8 -> int4", |_, a| {
        let source = bytes(&a[0])?;
        let (byte, bit) = place(source.len(), int(&a[1])?)?;
        Ok(Value::Int(i64::from(source[byte] >> bit & 1)))
    }),
    scalar("set_bit", "bytea int8 int4 -> bytea", |_, a| {
        let mut changed = bytes(&a[0])?.to_vec();
        let (byte, bit) = place(changed.len(), int(&a[1])?)?;
        match int(&a[2])? {
            0 => changed[byte] &= !(1 << bit),
            1 => changed[byte] |= 1 << bit,
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    "new bit must be 0 or 1",
                ));
            }
        }
        Ok(Value::Bytes(changed.into()))
    }),
    scalar("ltrim", "bytea bytea -> bytea", |_, a| trim(a, true, false)),
    scalar("rtrim", "bytea bytea -> bytea", |_, a| trim(a, false, true)),
    scalar("overlay", "bytea bytea int4 -> bytea", overlay),
    scalar("overlay", "bytea bytea int4 int4 -> bytea", overlay),
    scalar("length", "bytea name -> int4", |_, a| {
        only_utf8(text(&a[1])?)?;
        let read = std::str::from_utf8(bytes(&a[0])?).map_err(|error| {
            let source = bytes(&a[0]).map(|bytes| bytes.get(error.valid_up_to()).copied());
            let byte = source.ok().flatten().unwrap_or_default();
            Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                format!("invalid byte sequence for encoding \"UTF8\": 0x{byte:02x}"),
            )
        })?;
        Ok(Value::Int(read.chars().count() as i64))
    })
    .stable(),
    scalar("convert", "bytea name name -> bytea", |_, a| {
        only_utf8(text(&a[1])?)?;
        only_utf8(text(&a[2])?)?;
        Ok(a[0].clone())
    })
    .stable(),
    scalar("byteacmp", "bytea bytea -> int4", |_, a| {
        Ok(Value::Int(bytes(&a[0])?.cmp(bytes(&a[1])?) as i64))
    }),
]];

fn only_utf8(encoding: &str) -> Result<()> {
    let plain: String = encoding.chars().filter(|c| c.is_alphanumeric()).collect();
    match plain.to_ascii_lowercase().as_str() {
        "utf8" | "unicode" => Ok(()),
        _ => Err(Error::unsupported("an encoding other than UTF8")),
    }
}

/// The byte of a bit, and its place in it: the lowest is first.
fn place(length: usize, bit: i64) -> Result<(usize, u32)> {
    let byte = usize::try_from(bit / 8)
        .ok()
        .filter(|byte| bit >= 0 && *byte < length);
    match byte {
        Some(byte) => Ok((byte, (bit % 8) as u32)),
        None => Err(Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            format!(
                "index {bit} out of valid range, 0..{}",
                length as i64 * 8 - 1
            ),
        )),
    }
}

fn trim(arguments: &[Value], start: bool, end: bool) -> Result<Value> {
    let (source, set) = (bytes(&arguments[0])?, bytes(&arguments[1])?);
    let kept = |byte: &u8| !set.contains(byte);
    let first = match start {
        true => source.iter().position(kept).unwrap_or(source.len()),
        false => 0,
    };
    let last = match end {
        true => source.iter().rposition(kept).map_or(0, |last| last + 1),
        false => source.len(),
    };
    let kept = source.get(first..last).unwrap_or_default();
    Ok(Value::Bytes(kept.into()))
}

fn overlay(_: &super::Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (source, new) = (bytes(&arguments[0])?, bytes(&arguments[1])?);
    let start = int(&arguments[2])?;
    let length = match arguments.get(3) {
        Some(length) => int(length)?,
        None => new.len() as i64,
    };
    if start <= 0 {
        return Err(Error::new(
            SqlState::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let at = |place: i64| usize::try_from(place).unwrap_or(0).min(source.len());
    let mut out = source[..at(start - 1)].to_vec();
    out.extend_from_slice(new);
    out.extend_from_slice(&source[at(start - 1 + length)..]);
    Ok(Value::Bytes(out.into()))
}
