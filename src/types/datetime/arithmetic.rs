//! Sums and differences of dates, times and intervals.

use super::zone::Zone;
use super::{
    Civil, MICROSECONDS_PER_DAY, check_date, check_timestamp, date_out_of_range, date_to_timestamp,
    days_of_month, interval_out_of_range, is_infinite, is_infinite_date, timestamp_out_of_range,
};
use crate::error::{Error, Result, SqlState};
use crate::types::interval::{Interval, MONTHS_PER_YEAR};

/// `date + integer`; the infinities stay.
pub fn date_plus_days(date: i32, days: i64) -> Result<i32> {
    if is_infinite_date(date) {
        return Ok(date);
    }
    check_date(i64::from(date).saturating_add(days))
}

/// `date - date`, in days.
pub fn date_minus_date(a: i32, b: i32) -> Result<i64> {
    if is_infinite_date(a) || is_infinite_date(b) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite dates",
        ));
    }
    Ok(i64::from(a) - i64::from(b))
}

/// `date + interval`: a timestamp.
pub fn date_plus_interval(date: i32, interval: &Interval) -> Result<i64> {
    timestamp_plus_interval(date_to_timestamp(date)?, interval)
}

/// `date + time`: a timestamp.
pub fn date_plus_time(date: i32, time: i64) -> Result<i64> {
    match date_to_timestamp(date)? {
        infinite if is_infinite(infinite) => Ok(infinite),
        midnight => add_microseconds(midnight, time),
    }
}

/// `timestamp + interval`: first months (to the last day of a shorter month),
/// then days, then time.
pub fn timestamp_plus_interval(timestamp: i64, interval: &Interval) -> Result<i64> {
    timestamptz_plus_interval(timestamp, interval, &Zone::UTC)
}

/// `timestamptz + interval`: months and days by the calendar and clock of the
/// zone, the time as it passes.
pub fn timestamptz_plus_interval(timestamp: i64, interval: &Interval, zone: &Zone) -> Result<i64> {
    if is_infinite(timestamp) {
        return Ok(timestamp);
    }
    let mut result = timestamp;
    if interval.months != 0 {
        let local = add_months(zone.to_local(result)?, interval.months)?;
        result = zone.to_instant(local)?;
    }
    if interval.days != 0 {
        let days = i64::from(interval.days).checked_mul(MICROSECONDS_PER_DAY);
        let days = days.ok_or_else(timestamp_out_of_range)?;
        let local = add_microseconds(zone.to_local(result)?, days)?;
        result = zone.to_instant(local)?;
    }
    add_microseconds(result, interval.microseconds)
}

/// `time + interval`: the time of day, whatever days pass.
pub fn time_plus_interval(time: i64, interval: &Interval) -> i64 {
    let shift = interval.microseconds % MICROSECONDS_PER_DAY;
    (time + shift).rem_euclid(MICROSECONDS_PER_DAY)
}

/// `timestamp - timestamp`: days of 24 hours and time.
pub fn timestamp_minus_timestamp(a: i64, b: i64) -> Result<Interval> {
    if is_infinite(a) || is_infinite(b) {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "cannot subtract infinite timestamps",
        ));
    }
    let microseconds = a.checked_sub(b).ok_or_else(interval_out_of_range)?;
    Interval {
        microseconds,
        ..Interval::default()
    }
    .justify_hours()
}

/// `age(a, b)` of local times: years, months and days as the calendar counts them.
pub fn age(a: i64, b: i64) -> Result<Interval> {
    if is_infinite(a) || is_infinite(b) {
        return Err(interval_out_of_range());
    }
    let (later, earlier) = (
        Civil::from_timestamp(a.max(b)),
        Civil::from_timestamp(a.min(b)),
    );
    let mut time = later.time - earlier.time;
    let mut days = i64::from(later.day) - i64::from(earlier.day);
    let mut months = i64::from(later.month) - i64::from(earlier.month);
    let mut years = i64::from(later.year) - i64::from(earlier.year);
    if time < 0 {
        time += MICROSECONDS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        // The days of the earlier month complete it.
        days += i64::from(days_of_month(earlier.year, earlier.month));
        months -= 1;
    }
    if months < 0 {
        months += i64::from(MONTHS_PER_YEAR);
        years -= 1;
    }
    let months = years * i64::from(MONTHS_PER_YEAR) + months;
    let sign = if a < b { -1 } else { 1 };
    Ok(Interval {
        months: i32::try_from(sign * months).map_err(|_| interval_out_of_range())?,
        days: (sign * days) as i32,
        microseconds: sign * time,
    })
}

fn add_months(timestamp: i64, months: i32) -> Result<i64> {
    let mut civil = Civil::from_timestamp(timestamp);
    let count = i64::from(civil.year) * i64::from(MONTHS_PER_YEAR)
        + i64::from(civil.month - 1)
        + i64::from(months);
    civil.year = i32::try_from(count.div_euclid(i64::from(MONTHS_PER_YEAR)))
        .map_err(|_| date_out_of_range())?;
    civil.month = count.rem_euclid(i64::from(MONTHS_PER_YEAR)) as u32 + 1;
    civil.day = civil.day.min(days_of_month(civil.year, civil.month));
    civil.timestamp()
}

fn add_microseconds(timestamp: i64, microseconds: i64) -> Result<i64> {
    timestamp
        .checked_add(microseconds)
        .ok_or_else(timestamp_out_of_range)
        .and_then(check_timestamp)
}
