//! Reading dates and times: ISO 8601 fast, PostgreSQL's other spellings by fields.
//!
//! Not handled: ISO week and ordinal dates beyond `YYYY.DDD`/`YYYYDDD` being refused.

mod decode;
mod token;

use super::zone::Zone;
use super::{
    Civil, MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND, check_date, check_timestamp, days_of_month, timestamp_to_date,
};
use crate::error::{Error, Result, SqlState};
use crate::types::settings::Io;
use decode::{Decoded, Moment};

/// What is being read; names the type in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Date,
    Time,
    Timestamp,
    Timestamptz,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Target::Date => "date",
            Target::Time => "time",
            Target::Timestamp => "timestamp",
            Target::Timestamptz => "timestamp with time zone",
        }
    }
}

/// Days since 2000-01-01.
pub fn date(text: &str, io: Io<'_>) -> Result<i32> {
    if let Some((civil, "")) = iso_date(text)
        && let Some(days) = valid_day(&civil)
    {
        return Ok(days as i32);
    }
    match decode::decode(text, Target::Date, io)? {
        Moment::Now => {
            let zone = Zone::of(&io.settings.time_zone)?;
            zone.to_local(io.transaction_time).map(timestamp_to_date)
        }
        Moment::Infinity => Ok(i32::MAX),
        Moment::NegativeInfinity => Ok(i32::MIN),
        Moment::At(decoded) => check_date(decoded.civil.days()).map_err(|_| {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!("date out of range: \"{text}\""),
            )
        }),
    }
}

/// Microseconds since midnight.
pub fn time(text: &str, io: Io<'_>) -> Result<i64> {
    if let Some((time, "")) = iso_time(text) {
        return Ok(time);
    }
    match decode::decode(text, Target::Time, io)? {
        Moment::Now => {
            let zone = Zone::of(&io.settings.time_zone)?;
            let local = zone.to_local(io.transaction_time)?;
            Ok(local.rem_euclid(MICROSECONDS_PER_DAY))
        }
        Moment::At(decoded) => Ok(decoded.civil.time),
        Moment::Infinity | Moment::NegativeInfinity => Err(bad_format(Target::Time, text)),
    }
}

/// Microseconds since 2000-01-01; a zone in the text is ignored, as SQL wants it.
pub fn timestamp(text: &str, io: Io<'_>) -> Result<i64> {
    if let Some((local, offset)) = iso_timestamp(text)
        && offset.is_none()
    {
        return Ok(local);
    }
    match decode::decode(text, Target::Timestamp, io)? {
        Moment::Now => Zone::of(&io.settings.time_zone)?.to_local(io.transaction_time),
        Moment::Infinity => Ok(i64::MAX),
        Moment::NegativeInfinity => Ok(i64::MIN),
        Moment::At(decoded) => decoded.civil.timestamp().map_err(|_| out_of_range(text)),
    }
}

/// The same in UTC; a text without a zone is in the session's.
pub fn timestamptz(text: &str, io: Io<'_>) -> Result<i64> {
    if let Some((local, Some(offset))) = iso_timestamp(text) {
        return check_timestamp(local - i64::from(offset) * MICROSECONDS_PER_SECOND)
            .map_err(|_| out_of_range(text));
    }
    match decode::decode(text, Target::Timestamptz, io)? {
        Moment::Now => Ok(io.transaction_time),
        Moment::Infinity => Ok(i64::MAX),
        Moment::NegativeInfinity => Ok(i64::MIN),
        Moment::At(decoded) => instant_of(&decoded, io).map_err(|_| out_of_range(text)),
    }
}

fn instant_of(decoded: &Decoded, io: Io<'_>) -> Result<i64> {
    // The local time may lie beyond the limit where the instant does not.
    let local = decoded
        .civil
        .days()
        .checked_mul(MICROSECONDS_PER_DAY)
        .and_then(|midnight| midnight.checked_add(decoded.civil.time))
        .ok_or_else(super::timestamp_out_of_range)?;
    match &decoded.zone {
        Some(zone) => zone.to_instant(local),
        None => Zone::of(&io.settings.time_zone)?.to_instant(local),
    }
}

/// `YYYY-MM-DD`, and what follows it.
fn iso_date(text: &str) -> Option<(Civil, &str)> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let civil = Civil {
        year: digits(&bytes[..4])? as i32,
        month: digits(&bytes[5..7])?,
        day: digits(&bytes[8..10])?,
        time: 0,
    };
    Some((civil, text.get(10..)?))
}

/// `HH:MM:SS[.ffffff]` within a day, and what follows it.
fn iso_time(text: &str) -> Option<(i64, &str)> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (
        digits(&bytes[..2])?,
        digits(&bytes[3..5])?,
        digits(&bytes[6..8])?,
    );
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut time = i64::from(hour) * MICROSECONDS_PER_HOUR
        + i64::from(minute) * MICROSECONDS_PER_MINUTE
        + i64::from(second) * MICROSECONDS_PER_SECOND;
    let mut at = 8;
    if bytes.get(8) == Some(&b'.') {
        let count = bytes[9..].iter().take_while(|b| b.is_ascii_digit()).count();
        if count == 0 || count > 6 {
            return None;
        }
        let fraction = digits(&bytes[9..9 + count])?;
        time += i64::from(fraction) * 10_i64.pow(6 - count as u32);
        at = 9 + count;
    }
    Some((time, text.get(at..)?))
}

/// A whole ISO timestamp and its offset in seconds, if it has one.
fn iso_timestamp(text: &str) -> Option<(i64, Option<i32>)> {
    let (civil, rest) = iso_date(text)?;
    let midnight = valid_day(&civil)? * MICROSECONDS_PER_DAY;
    let (time, zone) = match rest.as_bytes().first() {
        None => (0, ""),
        Some(b' ' | b'T') => iso_time(&rest[1..])?,
        Some(_) => return None,
    };
    let offset = match zone {
        "" => None,
        "Z" => Some(0),
        offset => Some(super::zone::parse_offset(offset)?),
    };
    Some((midnight + time, offset))
}

fn valid_day(civil: &Civil) -> Option<i64> {
    let valid = civil.year > 0
        && (1..=12).contains(&civil.month)
        && (1..=days_of_month(civil.year, civil.month)).contains(&civil.day);
    valid.then(|| civil.days())
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}

fn bad_format(target: Target, text: &str) -> Error {
    Error::new(
        SqlState::INVALID_DATETIME_FORMAT,
        format!(
            "invalid input syntax for type {}: \"{text}\"",
            target.name()
        ),
    )
}

fn field_overflow(text: &str) -> Error {
    Error::new(
        SqlState::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{text}\""),
    )
}

fn out_of_range(text: &str) -> Error {
    Error::new(
        SqlState::DATETIME_FIELD_OVERFLOW,
        format!("timestamp out of range: \"{text}\""),
    )
}
