//! Fields of dates, times and intervals: extract, date_part, date_trunc, date_bin.

use num_bigint::BigInt;

use super::zone::Zone;
use super::{
    Civil, JULIAN_EPOCH_DAYS, MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND, UNIX_EPOCH, check_timestamp, is_infinite, is_infinite_date,
    timestamp_out_of_range, weekday,
};
use crate::error::{Error, Result, SqlState};
use crate::types::interval::parse::{Unit, unit};
use crate::types::interval::{Interval, MONTHS_PER_YEAR};
use crate::types::settings::Io;
use crate::types::{Numeric, Type, Value, text};

/// A field that can be extracted; some can be truncated to as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Epoch,
    Julian,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    IsoYear,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

impl Field {
    fn parse(name: &str) -> Option<Field> {
        let name = name.to_ascii_lowercase();
        Some(match name.as_str() {
            "epoch" => Field::Epoch,
            "julian" | "j" | "jd" => Field::Julian,
            "dow" => Field::DayOfWeek,
            "isodow" => Field::IsoDayOfWeek,
            "doy" => Field::DayOfYear,
            "isoyear" => Field::IsoYear,
            "timezone" => Field::Timezone,
            "timezone_h" | "timezone_hour" => Field::TimezoneHour,
            "timezone_m" | "timezone_minute" => Field::TimezoneMinute,
            "qtr" | "quarter" => Field::Quarter,
            other => match unit(other)? {
                Unit::Microsecond => Field::Microseconds,
                Unit::Millisecond => Field::Milliseconds,
                Unit::Second => Field::Second,
                Unit::Minute => Field::Minute,
                Unit::Hour => Field::Hour,
                Unit::Day => Field::Day,
                Unit::Week => Field::Week,
                Unit::Month => Field::Month,
                Unit::Year => Field::Year,
                Unit::Decade => Field::Decade,
                Unit::Century => Field::Century,
                Unit::Millennium => Field::Millennium,
            },
        })
    }

    fn is_time(self) -> bool {
        matches!(
            self,
            Field::Microseconds | Field::Milliseconds | Field::Second | Field::Minute | Field::Hour
        )
    }

    fn is_timezone(self) -> bool {
        matches!(
            self,
            Field::Timezone | Field::TimezoneHour | Field::TimezoneMinute
        )
    }

    /// Grows with time for ever, so that infinity has one.
    fn is_monotonic(self) -> bool {
        matches!(
            self,
            Field::Year
                | Field::Decade
                | Field::Century
                | Field::Millennium
                | Field::Epoch
                | Field::Julian
                | Field::IsoYear
        )
    }
}

/// `extract(field FROM value)`: a numeric; NULL for what infinity lacks.
pub fn extract(field: &str, value: &Value, io: Io<'_>) -> Result<Value> {
    let kind = Field::parse(field).ok_or_else(|| not_recognized(field, value))?;
    let extracted = match value {
        Value::Date(_) if kind.is_time() || kind.is_timezone() => None,
        Value::Date(days) if is_infinite_date(*days) => of_infinity(kind, *days > 0),
        Value::Date(days) => of_date(kind, *days)?,
        Value::Timestamp(t) | Value::Timestamptz(t) if is_infinite(*t) => of_infinity(kind, *t > 0),
        Value::Timestamp(local) => of_timestamp(kind, *local, *local)?,
        Value::Timestamptz(instant) => {
            let zone = Zone::of(&io.settings.time_zone)?;
            match of_timezone(kind, zone.offset_at(*instant)) {
                Some(offset) => Some(Value::Numeric(offset)),
                None => of_timestamp(kind, zone.to_local(*instant)?, *instant)?,
            }
        }
        Value::Time(time) if kind == Field::Epoch => Some(scaled(*time, 6)?),
        Value::Time(time) => of_time(kind, *time)?,
        Value::Interval(interval) => of_interval(kind, interval)?,
        _ => None,
    };
    extracted.ok_or_else(|| not_supported(field, value))
}

/// `date_part(field, value)`: the same as a float8; of a date every field of its midnight.
pub fn date_part(field: &str, value: &Value, io: Io<'_>) -> Result<Value> {
    let midnight = match value {
        Value::Date(days) => &Value::Timestamp(super::date_to_timestamp(*days)?),
        other => other,
    };
    Ok(match extract(field, midnight, io)? {
        Value::Numeric(number) => Value::Float(number.to_f64()),
        other => other,
    })
}

/// `date_trunc(field, value)` of a timestamp, timestamptz or interval; a
/// timestamptz is cut in the given zone, or the session's.
pub fn truncate(field: &str, value: &Value, zone: Option<&Zone>, io: Io<'_>) -> Result<Value> {
    if let Value::Timestamp(t) | Value::Timestamptz(t) = value
        && is_infinite(*t)
    {
        return Ok(value.clone());
    }
    let kind = Field::parse(field).ok_or_else(|| not_recognized(field, value))?;
    let truncated = match value {
        Value::Timestamp(local) => truncate_local(kind, *local)?.map(Value::Timestamp),
        Value::Timestamptz(instant) => {
            let session;
            let zone = match zone {
                Some(zone) => zone,
                None => {
                    session = Zone::of(&io.settings.time_zone)?;
                    &session
                }
            };
            let local = zone.to_local(*instant)?;
            match truncate_local(kind, local)? {
                // Within the hour or day, the offset stays what it was.
                Some(cut) if kind.is_time() => Some(instant - (local - cut)),
                Some(cut) => Some(zone.to_instant(cut)?),
                None => None,
            }
            .map(Value::Timestamptz)
        }
        Value::Interval(interval) => truncate_interval(kind, interval).map(Value::Interval),
        _ => None,
    };
    truncated.ok_or_else(|| match (kind, value) {
        (Field::Week, Value::Interval(_)) => {
            not_supported(field, value).detail("Months usually have fractional weeks.")
        }
        _ if kind.is_timezone() => not_supported(field, value),
        _ => not_recognized(field, value),
    })
}

/// `date_bin(stride, source, origin)`: the start of the stride that holds the source.
pub fn bin(stride: &Interval, source: i64, origin: i64) -> Result<i64> {
    if is_infinite(source) {
        return Ok(source);
    }
    let overflow = |message: &str| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, message);
    if is_infinite(origin) {
        return Err(overflow("origin out of range"));
    }
    if stride.months != 0 {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    let stride = i64::try_from(stride.span()).map_err(|_| super::interval_out_of_range())?;
    if stride <= 0 {
        return Err(overflow("stride must be greater than zero"));
    }
    let distance = source
        .checked_sub(origin)
        .ok_or_else(super::interval_out_of_range)?;
    origin
        .checked_add(distance.div_euclid(stride) * stride)
        .ok_or_else(timestamp_out_of_range)
        .and_then(check_timestamp)
}

fn of_infinity(field: Field, positive: bool) -> Option<Value> {
    Some(match (field.is_monotonic(), positive) {
        (false, _) => Value::Null,
        (true, true) => Value::Numeric(Numeric::PositiveInfinity),
        (true, false) => Value::Numeric(Numeric::NegativeInfinity),
    })
}

fn of_date(field: Field, days: i32) -> Result<Option<Value>> {
    let days = i64::from(days);
    Ok(match field {
        Field::Epoch => {
            let seconds = days * 86_400 - UNIX_EPOCH / MICROSECONDS_PER_SECOND;
            Some(integer(seconds))
        }
        Field::Julian => Some(integer(days + i64::from(JULIAN_EPOCH_DAYS))),
        _ => of_calendar(field, &Civil::from_days(days)).map(integer),
    })
}

/// `instant` differs from `local` by the zone's offset.
fn of_timestamp(field: Field, local: i64, instant: i64) -> Result<Option<Value>> {
    let civil = Civil::from_timestamp(local);
    match field {
        Field::Epoch => {
            let microseconds = i128::from(instant) - i128::from(UNIX_EPOCH);
            Numeric::finite(BigInt::from(microseconds), 6).map(|n| Some(Value::Numeric(n)))
        }
        Field::Julian => {
            let days = Numeric::from_i64(civil.days() + i64::from(JULIAN_EPOCH_DAYS));
            let part =
                Numeric::from_i64(civil.time).div(&Numeric::from_i64(MICROSECONDS_PER_DAY))?;
            days.add(&part).map(|n| Some(Value::Numeric(n)))
        }
        _ if field.is_time() => of_time(field, civil.time),
        _ => Ok(of_calendar(field, &civil).map(integer)),
    }
}

fn of_timezone(field: Field, offset_seconds: i32) -> Option<Numeric> {
    let value = match field {
        Field::Timezone => offset_seconds,
        Field::TimezoneHour => offset_seconds / 3600,
        Field::TimezoneMinute => offset_seconds % 3600 / 60,
        _ => return None,
    };
    Some(Numeric::from_i64(i64::from(value)))
}

fn of_time(field: Field, time: i64) -> Result<Option<Value>> {
    let seconds = time % MICROSECONDS_PER_MINUTE;
    Ok(Some(match field {
        Field::Microseconds => integer(seconds),
        Field::Milliseconds => scaled(seconds, 3)?,
        Field::Second => scaled(seconds, 6)?,
        Field::Minute => integer(time % MICROSECONDS_PER_HOUR / MICROSECONDS_PER_MINUTE),
        Field::Hour => integer(time / MICROSECONDS_PER_HOUR),
        _ => return Ok(None),
    }))
}

fn of_calendar(field: Field, civil: &Civil) -> Option<i64> {
    let year = i64::from(civil.year);
    let days = civil.days();
    Some(match field {
        Field::Day => i64::from(civil.day),
        Field::Month => i64::from(civil.month),
        Field::Quarter => i64::from((civil.month - 1) / 3 + 1),
        // There is no year 0 for people.
        Field::Year => year - i64::from(year <= 0),
        Field::Decade => year.div_euclid(10),
        Field::Century if year > 0 => (year + 99) / 100,
        Field::Century => -((100 - year) / 100),
        Field::Millennium if year > 0 => (year + 999) / 1000,
        Field::Millennium => -((1000 - year) / 1000),
        Field::DayOfWeek => weekday(days),
        Field::IsoDayOfWeek => (weekday(days) + 6) % 7 + 1,
        Field::DayOfYear => days - first_of_year(civil.year) + 1,
        Field::Week => iso_week(days).1,
        Field::IsoYear => {
            let year = iso_week(days).0;
            year - i64::from(year <= 0)
        }
        _ => return None,
    })
}

fn of_interval(field: Field, interval: &Interval) -> Result<Option<Value>> {
    let years = i64::from(interval.months / MONTHS_PER_YEAR);
    let months = i64::from(interval.months % MONTHS_PER_YEAR);
    Ok(Some(match field {
        Field::Day => integer(i64::from(interval.days)),
        Field::Month => integer(months),
        Field::Quarter => integer(months / 3 + 1),
        Field::Year => integer(years),
        Field::Decade => integer(years / 10),
        Field::Century => integer(years / 100),
        Field::Millennium => integer(years / 1000),
        Field::Epoch => {
            // Years count 365.25 days here, months 30: in quarters of a day.
            let quarters = 1461 * years + 120 * months + 4 * i64::from(interval.days);
            let microseconds = i128::from(quarters) * i128::from(MICROSECONDS_PER_DAY / 4)
                + i128::from(interval.microseconds);
            Value::Numeric(Numeric::finite(BigInt::from(microseconds), 6)?)
        }
        _ => return of_time(field, interval.microseconds),
    }))
}

/// Cuts a local time; `None` where the field cannot be cut to.
fn truncate_local(field: Field, local: i64) -> Result<Option<i64>> {
    let unit = match field {
        Field::Microseconds => return Ok(Some(local)),
        Field::Milliseconds => 1000,
        Field::Second => MICROSECONDS_PER_SECOND,
        Field::Minute => MICROSECONDS_PER_MINUTE,
        Field::Hour => MICROSECONDS_PER_HOUR,
        Field::Day => MICROSECONDS_PER_DAY,
        _ => {
            return match truncate_calendar(field, &Civil::from_timestamp(local)) {
                Some(civil) => civil.timestamp().map(Some),
                None => Ok(None),
            };
        }
    };
    check_timestamp(local - local.rem_euclid(unit)).map(Some)
}

fn truncate_calendar(field: Field, civil: &Civil) -> Option<Civil> {
    let year = civil.year;
    let first_year = |years: i32| {
        // Centuries and millennia begin with year 1.
        if year > 0 {
            (year + years - 1) / years * years - (years - 1)
        } else {
            -((years - year) / years) * years + 1
        }
    };
    let (year, month) = match field {
        Field::Week => {
            let days = civil.days();
            return Some(Civil::from_days(days - (weekday(days) + 6) % 7));
        }
        Field::Month => (year, civil.month),
        Field::Quarter => (year, (civil.month - 1) / 3 * 3 + 1),
        Field::Year => (year, 1),
        Field::Decade => (year.div_euclid(10) * 10, 1),
        Field::Century => (first_year(100), 1),
        Field::Millennium => (first_year(1000), 1),
        _ => return None,
    };
    Some(Civil {
        year,
        month,
        day: 1,
        time: 0,
    })
}

fn truncate_interval(field: Field, interval: &Interval) -> Option<Interval> {
    let cut_months = |months: i32| Interval {
        months: interval.months / months * months,
        ..Interval::default()
    };
    let cut_time = |unit: i64| Interval {
        microseconds: interval.microseconds / unit * unit,
        ..*interval
    };
    Some(match field {
        Field::Millennium => cut_months(12_000),
        Field::Century => cut_months(1200),
        Field::Decade => cut_months(120),
        Field::Year => cut_months(12),
        Field::Quarter => cut_months(3),
        Field::Month => cut_months(1),
        Field::Day => Interval {
            microseconds: 0,
            ..*interval
        },
        Field::Hour => cut_time(MICROSECONDS_PER_HOUR),
        Field::Minute => cut_time(MICROSECONDS_PER_MINUTE),
        Field::Second => cut_time(MICROSECONDS_PER_SECOND),
        Field::Milliseconds => cut_time(1000),
        Field::Microseconds => *interval,
        _ => return None,
    })
}

fn first_of_year(year: i32) -> i64 {
    Civil {
        year,
        month: 1,
        day: 1,
        time: 0,
    }
    .days()
}

/// The ISO year and week: a week belongs to the year of its Thursday.
fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (weekday(days) + 6) % 7 + 3;
    let year = Civil::from_days(thursday).year;
    (i64::from(year), (thursday - first_of_year(year)) / 7 + 1)
}

fn integer(value: i64) -> Value {
    Value::Numeric(Numeric::from_i64(value))
}

fn scaled(value: i64, scale: i64) -> Result<Value> {
    Numeric::finite(BigInt::from(value), scale).map(Value::Numeric)
}

fn type_of(value: &Value) -> Type {
    text::natural_type(value)
}

fn not_recognized(field: &str, value: &Value) -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        format!(
            "unit \"{field}\" not recognized for type {}",
            type_of(value)
        ),
    )
}

fn not_supported(field: &str, value: &Value) -> Error {
    Error::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        format!("unit \"{field}\" not supported for type {}", type_of(value)),
    )
}
