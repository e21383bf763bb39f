//! Dates and times from numbers: make_date and its kin, to_timestamp.

use super::zone::Zone;
use super::{
    Civil, MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND, UNIX_EPOCH, check_date, check_timestamp, days_of_month,
    interval_out_of_range,
};
use crate::error::{Error, Result, SqlState};
use crate::types::interval::{Interval, MONTHS_PER_YEAR};

/// Negative years are BC.
pub fn make_date(year: i32, month: i32, day: i32) -> Result<i32> {
    let invalid = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date field value out of range: {year}-{month:02}-{day:02}"),
        )
    };
    let astronomical = match year {
        0 => return Err(invalid()),
        i32::MIN => return Err(invalid()),
        1.. => year,
        _ => year + 1,
    };
    if !(1..=12).contains(&month)
        || !(1..=days_of_month(astronomical, month as u32) as i32).contains(&day)
    {
        return Err(invalid());
    }
    let civil = Civil {
        year: astronomical,
        month: month as u32,
        day: day as u32,
        time: 0,
    };
    check_date(civil.days()).map_err(|_| {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("date out of range: {year}-{month:02}-{day:02}"),
        )
    })
}

pub fn make_time(hour: i32, minute: i32, second: f64) -> Result<i64> {
    let invalid = || {
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("time field value out of range: {hour}:{minute:02}:{second:02}"),
        )
    };
    if !(0..=24).contains(&hour) || !(0..=59).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return Err(invalid());
    }
    let time = i64::from(hour) * MICROSECONDS_PER_HOUR
        + i64::from(minute) * MICROSECONDS_PER_MINUTE
        + (second * MICROSECONDS_PER_SECOND as f64).round_ties_even() as i64;
    if time > MICROSECONDS_PER_DAY {
        return Err(invalid());
    }
    Ok(time)
}

pub fn make_timestamp(
    (year, month, day): (i32, i32, i32),
    (hour, minute, second): (i32, i32, f64),
) -> Result<i64> {
    let days = i64::from(make_date(year, month, day)?);
    let time = make_time(hour, minute, second)?;
    days.checked_mul(MICROSECONDS_PER_DAY)
        .and_then(|midnight| midnight.checked_add(time))
        .ok_or_else(super::timestamp_out_of_range)
        .and_then(check_timestamp)
}

/// A local time of the zone.
pub fn make_timestamptz(date: (i32, i32, i32), time: (i32, i32, f64), zone: &Zone) -> Result<i64> {
    zone.to_instant(make_timestamp(date, time)?)
}

/// Years, months, weeks, days, hours, minutes and seconds.
pub fn make_interval(
    [years, months, weeks, days, hours, minutes]: [i32; 6],
    seconds: f64,
) -> Result<Interval> {
    let seconds = seconds * MICROSECONDS_PER_SECOND as f64;
    // Far within i64, so that the sum below cannot overflow.
    if seconds.is_nan() || seconds.abs() > 2_f64.powi(62) {
        return Err(interval_out_of_range());
    }
    let months = i64::from(years) * i64::from(MONTHS_PER_YEAR) + i64::from(months);
    let days = i64::from(weeks) * 7 + i64::from(days);
    let time = i128::from(hours) * i128::from(MICROSECONDS_PER_HOUR)
        + i128::from(minutes) * i128::from(MICROSECONDS_PER_MINUTE)
        + seconds.round_ties_even() as i128;
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| interval_out_of_range())?,
        days: i32::try_from(days).map_err(|_| interval_out_of_range())?,
        microseconds: i64::try_from(time).map_err(|_| interval_out_of_range())?,
    })
}

/// `to_timestamp(seconds since 1970)`.
pub fn from_unix(seconds: f64) -> Result<i64> {
    if seconds.is_nan() {
        return Err(Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            "timestamp cannot be NaN",
        ));
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    let out_of_range = || {
        let mut shown = String::new();
        crate::types::float::write_f64(seconds, -9, &mut shown);
        Error::new(
            SqlState::DATETIME_FIELD_OVERFLOW,
            format!("timestamp out of range: \"{shown}\""),
        )
    };
    let microseconds = ((seconds + UNIX_EPOCH as f64 / 1e6) * 1e6).round_ties_even();
    if microseconds.abs() >= 2_f64.powi(63) {
        return Err(out_of_range());
    }
    check_timestamp(microseconds as i64).map_err(|_| out_of_range())
}
