//! Dates and times: days and microseconds since 2000-01-01, the proleptic
//! Gregorian calendar, PostgreSQL's limits.
//!
//! Time zones are the IANA database of the time of building, from the program
//! itself, so that all nodes of one version agree.

pub mod arithmetic;
pub mod field;
pub mod format;
pub mod make;
pub mod parse;
pub mod zone;

use crate::error::{Error, Result, SqlState};

pub const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
pub const MICROSECONDS_PER_MINUTE: i64 = 60 * MICROSECONDS_PER_SECOND;
pub const MICROSECONDS_PER_HOUR: i64 = 60 * MICROSECONDS_PER_MINUTE;
pub const MICROSECONDS_PER_DAY: i64 = 24 * MICROSECONDS_PER_HOUR;

/// 4714-11-24 BC, day 0 of the Julian count.
pub const MINIMUM_DATE: i32 = -2_451_545;
/// 5874897-12-31.
pub const MAXIMUM_DATE: i32 = 2_145_031_948;
/// 4714-11-24 BC 00:00.
pub const MINIMUM_TIMESTAMP: i64 = -211_813_488_000_000_000;
/// The first microsecond after 294276-12-31.
pub const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
/// 1970-01-01 in days since 2000-01-01.
pub const UNIX_EPOCH_DAYS: i32 = -10_957;
/// 1970-01-01 in microseconds since 2000-01-01.
pub const UNIX_EPOCH: i64 = UNIX_EPOCH_DAYS as i64 * MICROSECONDS_PER_DAY;
/// The Julian day number of 2000-01-01.
pub const JULIAN_EPOCH_DAYS: i32 = 2_451_545;

/// Days of 400 Gregorian years, after which all repeats, weekdays too.
pub(crate) const DAYS_PER_CYCLE: i64 = 146_097;

/// Days from 0000-03-01 to 2000-01-01.
const MARCH_OF_YEAR_0: i64 = 730_425;

/// A point in time, taken apart. Years are astronomical: 0 is 1 BC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    pub year: i32,
    pub month: u32,
    pub day: u32,
    /// Microseconds since midnight.
    pub time: i64,
}

impl Civil {
    /// Of microseconds since 2000-01-01; not an infinity.
    pub fn from_timestamp(timestamp: i64) -> Civil {
        let days = timestamp.div_euclid(MICROSECONDS_PER_DAY);
        Civil {
            time: timestamp.rem_euclid(MICROSECONDS_PER_DAY),
            ..Civil::from_days(days)
        }
    }

    /// Of days since 2000-01-01; not an infinity.
    pub fn from_days(days: i64) -> Civil {
        // Years begin in March, so that the leap day ends one.
        let shifted = days + MARCH_OF_YEAR_0;
        let cycle = shifted.div_euclid(DAYS_PER_CYCLE);
        let day_of_cycle = shifted.rem_euclid(DAYS_PER_CYCLE);
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524
            - day_of_cycle / (DAYS_PER_CYCLE - 1))
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_cycle + 400 * cycle + i64::from(month <= 2);
        Civil {
            year: year as i32,
            month: month as u32,
            day: day as u32,
            time: 0,
        }
    }

    /// Days since 2000-01-01. The day may lie outside of its month.
    pub fn days(&self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let cycle = year.div_euclid(400);
        let year_of_cycle = year.rem_euclid(400);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_cycle =
            year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        cycle * DAYS_PER_CYCLE + day_of_cycle - MARCH_OF_YEAR_0
    }

    /// Microseconds since 2000-01-01; 22008 beyond the limits.
    pub fn timestamp(&self) -> Result<i64> {
        self.days()
            .checked_mul(MICROSECONDS_PER_DAY)
            .and_then(|midnight| midnight.checked_add(self.time))
            .ok_or_else(timestamp_out_of_range)
            .and_then(check_timestamp)
    }
}

pub fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub fn days_of_month(year: i32, month: u32) -> u32 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Sunday.
pub fn weekday(days: i64) -> i64 {
    (days + 6).rem_euclid(7)
}

pub fn is_infinite_date(days: i32) -> bool {
    days == i32::MIN || days == i32::MAX
}

pub fn is_infinite(timestamp: i64) -> bool {
    timestamp == i64::MIN || timestamp == i64::MAX
}

/// Passes a finite timestamp within the limits.
pub fn check_timestamp(timestamp: i64) -> Result<i64> {
    if (MINIMUM_TIMESTAMP..END_TIMESTAMP).contains(&timestamp) {
        Ok(timestamp)
    } else {
        Err(timestamp_out_of_range())
    }
}

/// Passes a finite date within the limits.
pub fn check_date(days: i64) -> Result<i32> {
    i32::try_from(days)
        .ok()
        .filter(|days| (MINIMUM_DATE..=MAXIMUM_DATE).contains(days))
        .ok_or_else(date_out_of_range)
}

/// The timestamp of a date's midnight; the infinities go over.
pub fn date_to_timestamp(days: i32) -> Result<i64> {
    match days {
        i32::MIN => Ok(i64::MIN),
        i32::MAX => Ok(i64::MAX),
        days => i64::from(days)
            .checked_mul(MICROSECONDS_PER_DAY)
            .filter(|timestamp| *timestamp < END_TIMESTAMP)
            .ok_or_else(|| {
                Error::new(
                    SqlState::DATETIME_FIELD_OVERFLOW,
                    "date out of range for timestamp",
                )
            }),
    }
}

/// The date of a timestamp; the infinities go over.
pub fn timestamp_to_date(timestamp: i64) -> i32 {
    match timestamp {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        timestamp => timestamp.div_euclid(MICROSECONDS_PER_DAY) as i32,
    }
}

pub(crate) fn timestamp_out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

pub(crate) fn date_out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range")
}

pub(crate) fn interval_out_of_range() -> Error {
    Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
