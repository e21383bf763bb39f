//! Printing dates and times in the four DateStyles.

use super::zone::Zone;
use super::{
    Civil, MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND, weekday,
};
use crate::types::settings::{DateFormat, DateOrder, DateStyle, Settings};

pub const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

pub fn write_date(days: i32, style: DateStyle, out: &mut String) {
    match days {
        i32::MIN => out.push_str("-infinity"),
        i32::MAX => out.push_str("infinity"),
        days => {
            let civil = Civil::from_days(i64::from(days));
            match (style.format, style.order) {
                (DateFormat::Postgres, DateOrder::Dmy) => {
                    write_parts(&[civil.day, civil.month], '-', out);
                    out.push('-');
                    write_year(civil.year, out);
                }
                (DateFormat::Postgres, _) => {
                    write_parts(&[civil.month, civil.day], '-', out);
                    out.push('-');
                    write_year(civil.year, out);
                }
                _ => write_day(&civil, style, out),
            }
            write_era(civil.year, out);
        }
    }
}

/// `04:05:06.789`.
pub fn write_time(microseconds: i64, out: &mut String) {
    let hours = microseconds / MICROSECONDS_PER_HOUR;
    let minutes = microseconds % MICROSECONDS_PER_HOUR / MICROSECONDS_PER_MINUTE;
    let rest = microseconds % MICROSECONDS_PER_MINUTE;
    write_two(hours as u32, out);
    out.push(':');
    write_two(minutes as u32, out);
    out.push(':');
    write_two((rest / MICROSECONDS_PER_SECOND) as u32, out);
    write_fraction(rest % MICROSECONDS_PER_SECOND, out);
}

pub fn write_timestamp(timestamp: i64, style: DateStyle, out: &mut String) {
    if write_infinity(timestamp, out) {
        return;
    }
    let civil = Civil::from_timestamp(timestamp);
    write_civil(&civil, style, out);
    write_era(civil.year, out);
}

/// In the session's time zone.
pub fn write_timestamptz(timestamp: i64, settings: &Settings, out: &mut String) {
    if write_infinity(timestamp, out) {
        return;
    }
    // A session's zone was checked when it was set.
    let zone = Zone::of(&settings.time_zone).unwrap_or(Zone::UTC);
    let offset = zone.offset_at(timestamp);
    // Wide enough: an offset is less than a day, the limits are further from i64's.
    let civil = Civil::from_timestamp(
        timestamp.saturating_add(i64::from(offset) * MICROSECONDS_PER_SECOND),
    );
    let style = settings.date_style;
    write_civil(&civil, style, out);
    if style.format == DateFormat::Iso {
        write_offset(offset, out);
    } else {
        out.push(' ');
        out.push_str(&zone.abbreviation_at(timestamp));
    }
    write_era(civil.year, out);
}

/// `+02`, `-03:30`, `+00:53:28`.
pub fn write_offset(seconds: i32, out: &mut String) {
    out.push(if seconds < 0 { '-' } else { '+' });
    let seconds = seconds.unsigned_abs();
    write_two(seconds / 3600, out);
    if !seconds.is_multiple_of(3600) {
        out.push(':');
        write_two(seconds % 3600 / 60, out);
    }
    if !seconds.is_multiple_of(60) {
        out.push(':');
        write_two(seconds % 60, out);
    }
}

/// `.5`, without zeros at the end; nothing for zero.
pub(crate) fn write_fraction(microseconds: i64, out: &mut String) {
    if microseconds == 0 {
        return;
    }
    let mut digits = [b'0'; 7];
    digits[0] = b'.';
    let mut rest = microseconds.unsigned_abs();
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let text = std::str::from_utf8(&digits).unwrap_or_default();
    out.push_str(text.trim_end_matches('0'));
}

pub(crate) fn write_two(number: u32, out: &mut String) {
    if number >= 100 {
        out.push_str(&number.to_string());
        return;
    }
    out.push((b'0' + (number / 10) as u8) as char);
    out.push((b'0' + (number % 10) as u8) as char);
}

fn write_infinity(timestamp: i64, out: &mut String) -> bool {
    match timestamp {
        i64::MIN => out.push_str("-infinity"),
        i64::MAX => out.push_str("infinity"),
        _ => return false,
    }
    true
}

/// Day and time, the era to follow.
fn write_civil(civil: &Civil, style: DateStyle, out: &mut String) {
    if style.format == DateFormat::Postgres {
        write_verbose(civil, style.order, out);
    } else {
        write_day(civil, style, out);
        out.push(' ');
        write_time(civil.time.min(MICROSECONDS_PER_DAY), out);
    }
    if style.format == DateFormat::Postgres {
        out.push(' ');
        write_year(civil.year, out);
    }
}

/// `Wed Dec 17 07:37:16`, the year to follow.
fn write_verbose(civil: &Civil, order: DateOrder, out: &mut String) {
    out.push_str(WEEKDAYS[weekday(civil.days()) as usize]);
    out.push(' ');
    let month = MONTHS[civil.month as usize - 1];
    if order == DateOrder::Dmy {
        write_two(civil.day, out);
        out.push(' ');
        out.push_str(month);
    } else {
        out.push_str(month);
        out.push(' ');
        write_two(civil.day, out);
    }
    out.push(' ');
    write_time(civil.time, out);
}

fn write_day(civil: &Civil, style: DateStyle, out: &mut String) {
    match (style.format, style.order) {
        (DateFormat::German, _) => {
            write_parts(&[civil.day, civil.month], '.', out);
            out.push('.');
            write_year(civil.year, out);
        }
        (DateFormat::Sql, DateOrder::Dmy) => {
            write_parts(&[civil.day, civil.month], '/', out);
            out.push('/');
            write_year(civil.year, out);
        }
        (DateFormat::Sql, _) => {
            write_parts(&[civil.month, civil.day], '/', out);
            out.push('/');
            write_year(civil.year, out);
        }
        _ => {
            write_year(civil.year, out);
            out.push('-');
            write_parts(&[civil.month, civil.day], '-', out);
        }
    }
}

fn write_parts(parts: &[u32; 2], separator: char, out: &mut String) {
    write_two(parts[0], out);
    out.push(separator);
    write_two(parts[1], out);
}

/// Four digits at least; years before 1 AD without their era.
fn write_year(year: i32, out: &mut String) {
    let year = if year > 0 { year } else { 1 - year } as u32;
    if year >= 10_000 {
        out.push_str(&year.to_string());
    } else {
        write_two(year / 100, out);
        write_two(year % 100, out);
    }
}

fn write_era(year: i32, out: &mut String) {
    if year <= 0 {
        out.push_str(" BC");
    }
}
