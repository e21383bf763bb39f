//! Time zones: IANA names, POSIX forms, abbreviations, and their offsets.
//!
//! As PostgreSQL does, a bare offset given as a zone's *name* (`'+02'`,
//! `'UTC+2'`) counts west of Greenwich, the POSIX way; inside a timestamp's
//! text an offset counts east.

use std::cell::RefCell;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use super::{
    Civil, DAYS_PER_CYCLE, MICROSECONDS_PER_DAY, MICROSECONDS_PER_SECOND, UNIX_EPOCH,
    check_timestamp, is_infinite, timestamp_out_of_range,
};
use crate::error::{Error, Result, SqlState};
use crate::types::interval::Interval;
use crate::types::settings::IntervalStyle;

/// Offsets of 16 hours and more are refused, as PostgreSQL does.
const MAXIMUM_OFFSET_SECONDS: i32 = 16 * 3600;
/// Years whose rules the time zone database can tell; others are moved there
/// by whole cycles of the calendar.
const KNOWN_YEARS: std::ops::RangeInclusive<i32> = -9000..=9000;

/// A time zone.
#[derive(Clone, Debug)]
pub enum Zone {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Named(TimeZone),
}

thread_local! {
    /// The zone looked up last: a session asks for the same one, value by value.
    static LAST: RefCell<Option<(String, Zone)>> = const { RefCell::new(None) };
}

impl Zone {
    pub const UTC: Zone = Zone::Fixed(0);

    /// Finds a zone; 22023 when there is none of this name.
    pub fn of(name: &str) -> Result<Zone> {
        if name == "UTC" {
            return Ok(Zone::UTC);
        }
        LAST.with_borrow_mut(|last| match last {
            Some((known, zone)) if known == name => Ok(zone.clone()),
            _ => {
                let zone = find(name).ok_or_else(|| {
                    Error::new(
                        SqlState::INVALID_PARAMETER_VALUE,
                        format!("time zone \"{name}\" not recognized"),
                    )
                })?;
                *last = Some((name.to_owned(), zone.clone()));
                Ok(zone)
            }
        })
    }

    /// Seconds east of Greenwich at an instant.
    pub fn offset_at(&self, timestamp: i64) -> i32 {
        match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Named(zone) => zone.to_offset(instant(timestamp)).seconds(),
        }
    }

    /// What the zone calls itself at an instant, e.g. `CEST`.
    pub fn abbreviation_at(&self, timestamp: i64) -> String {
        match self {
            Zone::Fixed(0) => "UTC".to_owned(),
            Zone::Fixed(seconds) => {
                let mut out = String::new();
                super::format::write_offset(*seconds, &mut out);
                out
            }
            Zone::Named(zone) => zone
                .to_offset_info(instant(timestamp))
                .abbreviation()
                .to_owned(),
        }
    }

    /// The local time at an instant (`AT TIME ZONE` of a timestamptz).
    pub fn to_local(&self, timestamp: i64) -> Result<i64> {
        if is_infinite(timestamp) {
            return Ok(timestamp);
        }
        let offset = i64::from(self.offset_at(timestamp)) * MICROSECONDS_PER_SECOND;
        timestamp
            .checked_add(offset)
            .ok_or_else(timestamp_out_of_range)
            .and_then(check_timestamp)
    }

    /// The instant of a local time (`AT TIME ZONE` of a timestamp). A time that
    /// was skipped counts with the offset before the change, one that came
    /// twice with the offset after it.
    pub fn to_instant(&self, local: i64) -> Result<i64> {
        if is_infinite(local) {
            return Ok(local);
        }
        let offset = i64::from(self.offset_of_local(local)) * MICROSECONDS_PER_SECOND;
        local
            .checked_sub(offset)
            .ok_or_else(timestamp_out_of_range)
            .and_then(check_timestamp)
    }

    /// Seconds east of Greenwich at a local time.
    pub fn offset_of_local(&self, local: i64) -> i32 {
        let zone = match self {
            Zone::Fixed(seconds) => return *seconds,
            Zone::Named(zone) => zone,
        };
        let seconds = into_known_years(local).div_euclid(MICROSECONDS_PER_SECOND);
        let epoch = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        let Ok(date_time) = epoch.checked_add(seconds.seconds()) else {
            return 0;
        };
        match zone.to_ambiguous_timestamp(date_time).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.seconds(),
            AmbiguousOffset::Gap { before, .. } => before.seconds(),
            AmbiguousOffset::Fold { after, .. } => after.seconds(),
        }
    }
}

/// Abbreviations with the offset that PostgreSQL's default set gives them, in
/// quarters of an hour.
const ABBREVIATIONS: &[(&str, i32)] = &[
    ("ACDT", 42),
    ("ACST", 38),
    ("ADT", -12),
    ("AEDT", 44),
    ("AEST", 40),
    ("AKDT", -32),
    ("AKST", -36),
    ("AST", -16),
    ("AWST", 32),
    ("BST", 4),
    ("CDT", -20),
    ("CEST", 8),
    ("CET", 4),
    ("CETDST", 8),
    ("CST", -24),
    ("EAT", 12),
    ("EDT", -16),
    ("EEST", 12),
    ("EET", 8),
    ("EETDST", 12),
    ("EST", -20),
    ("GMT", 0),
    ("HKT", 32),
    ("HST", -40),
    ("IDT", 12),
    ("IST", 8),
    ("JST", 36),
    ("KST", 36),
    ("MDT", -24),
    ("MEST", 8),
    ("MET", 4),
    ("METDST", 8),
    ("MEZ", 4),
    ("MSD", 16),
    ("MSK", 12),
    ("MST", -28),
    ("NZDT", 52),
    ("NZST", 48),
    ("PDT", -28),
    ("PKT", 20),
    ("PST", -32),
    ("SAST", 8),
    ("SGT", 32),
    ("UCT", 0),
    ("UT", 0),
    ("UTC", 0),
    ("WADT", 32),
    ("WAST", 28),
    ("WET", 0),
    ("WETDST", 4),
    ("Z", 0),
    ("ZULU", 0),
];

/// Seconds east of Greenwich of an abbreviation.
pub fn abbreviation(word: &str) -> Option<i32> {
    ABBREVIATIONS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, quarters)| quarters * 900)
}

/// Reads `+02`, `-0330`, `+05:30`, `+01:02:03`: seconds in the sign's direction.
pub fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let mut parts = digits.split(':');
    let first = parts.next()?;
    if first.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let (hours, minutes, seconds): (i32, i32, i32) = match (first.len(), parts.next(), parts.next())
    {
        (1 | 2, minutes, seconds) => (
            first.parse().ok()?,
            minutes.map_or(Some(0), |m| m.parse().ok())?,
            seconds.map_or(Some(0), |s| s.parse().ok())?,
        ),
        (3 | 4, None, None) => {
            let (hours, minutes) = first.split_at(first.len() - 2);
            (hours.parse().ok()?, minutes.parse().ok()?, 0)
        }
        (6, None, None) => (
            first[..2].parse().ok()?,
            first[2..4].parse().ok()?,
            first[4..].parse().ok()?,
        ),
        _ => return None,
    };
    if parts.next().is_some() || hours > 99 || minutes > 59 || seconds > 59 {
        return None;
    }
    let total: i32 = hours * 3600 + minutes * 60 + seconds;
    (total < MAXIMUM_OFFSET_SECONDS).then_some(sign * total)
}

fn find(name: &str) -> Option<Zone> {
    let name = name.trim();
    if let Some(seconds) = abbreviation(name) {
        return Some(Zone::Fixed(seconds));
    }
    if let Ok(zone) = TimeZone::get(name) {
        return Some(Zone::Named(zone));
    }
    if let Some(seconds) = parse_offset(name) {
        return Some(Zone::Fixed(-seconds));
    }
    posix(name)
}

/// `UTC+2`, `<+02>-02`, `CET-1CEST,M3.5.0,M10.5.0/3`.
fn posix(name: &str) -> Option<Zone> {
    if !name.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    TimeZone::posix(name).ok().map(Zone::Named)
}

fn instant(timestamp: i64) -> Timestamp {
    let unix = into_known_years(timestamp) - UNIX_EPOCH;
    Timestamp::from_microsecond(unix).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The same day and time in years that the database knows.
fn into_known_years(timestamp: i64) -> i64 {
    let year = if is_infinite(timestamp) {
        2000
    } else {
        Civil::from_timestamp(timestamp).year
    };
    let cycles = if KNOWN_YEARS.contains(&year) {
        0
    } else {
        // Far off: to the last (or first) cycle that is known whole.
        let target = if year > 0 { 2400 } else { -8000 };
        i64::from(year - target).div_euclid(400)
    };
    timestamp - cycles * DAYS_PER_CYCLE * MICROSECONDS_PER_DAY
}

/// The name that PostgreSQL gives a fixed offset, in seconds east of Greenwich:
/// `SET TIME ZONE 2` is shown as `<+02>-02`.
pub fn fixed_name(seconds: i32) -> String {
    let (mut east, mut west) = (String::new(), String::new());
    super::format::write_offset(seconds, &mut east);
    super::format::write_offset(-seconds, &mut west);
    format!("<{east}>{west}")
}

/// The zone that an interval names as an offset east of Greenwich (`AT TIME
/// ZONE interval '2 hours'`).
pub fn of_interval(interval: &Interval) -> Result<Zone> {
    if interval.months != 0 || interval.days != 0 {
        let mut shown = String::new();
        interval.write(IntervalStyle::Postgres, &mut shown);
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    let seconds = interval.microseconds / MICROSECONDS_PER_SECOND;
    i32::try_from(seconds)
        .map(Zone::Fixed)
        .map_err(|_| timestamp_out_of_range())
}
