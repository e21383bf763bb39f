//! to_char of timestamps and intervals.

use super::date_fields::{Case, DAYS, Field, Kind, MONTHS, ROMAN_MONTHS, Template};
use super::{Piece, ordinal};
use crate::error::{Error, Result, SqlState};
use crate::plan::function::Call;
use crate::plan::function::arguments::{interval, text, timestamp, timestamptz};
use crate::plan::function::definition::{Definition, scalar};
use crate::types::Value;
use crate::types::datetime::zone::Zone;
use crate::types::datetime::{
    self, Civil, JULIAN_EPOCH_DAYS, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND,
};

pub(super) const FUNCTIONS: &[Definition] = &[
    scalar("to_char", "timestamp text -> text", |_, a| {
        let at = timestamp(&a[0])?;
        print(Moment::of_timestamp(at), text(&a[1])?)
    })
    .stable(),
    scalar(
        "to_char",
        "timestamptz text -> text",
        |call: &Call<'_>, a| {
            let at = timestamptz(&a[0])?;
            let zone = Zone::of(&call.context.settings.time_zone)?;
            let mut moment = Moment::of_timestamp(zone.to_local(at)?);
            if let Some(moment) = &mut moment {
                moment.zone = Some((zone.offset_at(at), zone.abbreviation_at(at)));
            }
            print(moment, text(&a[1])?)
        },
    )
    .stable(),
    scalar("to_char", "interval text -> text", |_, a| {
        let span = interval(&a[0])?;
        let moment = Moment {
            year: i64::from(span.months / 12),
            month: i64::from(span.months % 12),
            day: i64::from(span.days),
            day_number: None,
            hour: span.microseconds / MICROSECONDS_PER_HOUR,
            microseconds: span.microseconds % MICROSECONDS_PER_HOUR,
            zone: None,
        };
        print(Some(moment), text(&a[1])?)
    })
    .stable(),
];

/// A point in time or a span, taken apart.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// Days since 2000-01-01; none for an interval.
    day_number: Option<i64>,
    hour: i64,
    /// In the hour.
    microseconds: i64,
    /// Offset in seconds east, and abbreviation.
    zone: Option<(i32, String)>,
}

impl Moment {
    fn of_timestamp(at: i64) -> Option<Moment> {
        if datetime::is_infinite(at) {
            return None;
        }
        let civil = Civil::from_timestamp(at);
        Some(Moment {
            year: civil.year.into(),
            month: civil.month.into(),
            day: civil.day.into(),
            day_number: Some(civil.days()),
            hour: civil.time / MICROSECONDS_PER_HOUR,
            microseconds: civil.time % MICROSECONDS_PER_HOUR,
            zone: None,
        })
    }

    /// As people count: 1 BC is 1, not 0. Of an interval as it is.
    fn shown_year(&self) -> i64 {
        match self.day_number {
            Some(_) if self.year <= 0 => 1 - self.year,
            _ => self.year,
        }
    }

    fn day_number(&self) -> Result<i64> {
        self.day_number.ok_or_else(|| {
            Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                "invalid format specification for an interval value",
            )
            .hint("Intervals are not tied to specific calendar dates.")
        })
    }

    /// From Sunday, 0.
    fn weekday(&self) -> Result<i64> {
        self.day_number().map(datetime::weekday)
    }

    /// From 1.
    fn day_of_year(&self) -> Result<i64> {
        let first = Civil {
            year: self.year as i32,
            month: 1,
            day: 1,
            time: 0,
        };
        Ok(self.day_number()? - first.days() + 1)
    }

    /// Year, week and day of the year by ISO 8601.
    fn iso(&self) -> Result<(i64, i64, i64)> {
        let day = self.day_number()?;
        // A week belongs to the year of its Thursday.
        let monday = day - (self.weekday()? + 6) % 7;
        let year = Civil::from_days(monday + 3).year;
        let start = iso_year_start(year);
        Ok((year.into(), (monday - start) / 7 + 1, day - start + 1))
    }
}

/// The Monday of ISO week 1, in days since 2000-01-01.
pub(super) fn iso_year_start(year: i32) -> i64 {
    let fourth = Civil {
        year,
        month: 1,
        day: 4,
        time: 0,
    };
    let day = fourth.days();
    day - (datetime::weekday(day) + 6) % 7
}

/// NULL for an infinity or an empty template.
fn print(moment: Option<Moment>, template: &str) -> Result<Value> {
    let Some(moment) = moment.filter(|_| !template.is_empty()) else {
        return Ok(Value::Null);
    };
    let mut out = String::new();
    for piece in &Template::of(template)?.pieces {
        match piece {
            Piece::Literal(c, _) => out.push(*c),
            Piece::Field(field) => {
                let start = out.len();
                write(&moment, field, &mut out)?;
                if let Some(upper) = field.ordinal
                    && field.kind.is_digits()
                {
                    out.push_str(ordinal(&out[start..], upper));
                }
            }
        }
    }
    Ok(Value::text(out))
}

fn write(moment: &Moment, field: &Field, out: &mut String) -> Result<()> {
    let year = moment.shown_year();
    let last = |year: i64, digits: u32| match digits {
        4 => (year, 4),
        digits => (year % 10_i64.pow(digits), digits as usize),
    };
    let seconds = moment.microseconds % MICROSECONDS_PER_MINUTE / MICROSECONDS_PER_SECOND;
    let fraction = moment.microseconds % MICROSECONDS_PER_SECOND;
    let minutes = moment.microseconds / MICROSECONDS_PER_MINUTE;
    let (value, width) = match field.kind {
        Kind::Hour24 => (moment.hour, 2),
        Kind::Hour12 => match moment.hour % 12 {
            0 => (12, 2),
            hour => (hour, 2),
        },
        Kind::Minute => (minutes, 2),
        Kind::Second => (seconds, 2),
        Kind::Milliseconds => (fraction / 1000, 3),
        Kind::Microseconds => (fraction, 6),
        Kind::Fraction(digits) => {
            out.push_str(&format!("{fraction:06}")[..digits as usize]);
            return Ok(());
        }
        Kind::SecondOfDay => (moment.hour * 3600 + minutes * 60 + seconds, 0),
        Kind::DayOfMonth => (moment.day, 2),
        Kind::DayOfYear => (moment.day_of_year()?, 3),
        Kind::DayOfWeek => (moment.weekday()? + 1, 0),
        Kind::IsoDayOfWeek => ((moment.weekday()? + 6) % 7 + 1, 0),
        Kind::IsoDayOfYear => (moment.iso()?.2, 3),
        Kind::Month => (moment.month, 2),
        Kind::Quarter if moment.month == 0 => return Ok(()),
        Kind::Quarter => ((moment.month - 1) / 3 + 1, 0),
        Kind::Week => ((moment.day_of_year()? - 1) / 7 + 1, 2),
        Kind::IsoWeek => (moment.iso()?.1, 2),
        Kind::WeekOfMonth => ((moment.day - 1) / 7 + 1, 0),
        Kind::Year(digits) => last(year, digits),
        Kind::IsoYear(digits) => match moment.iso()?.0 {
            iso if iso <= 0 => last(1 - iso, digits),
            iso => last(iso, digits),
        },
        Kind::Julian => (moment.day_number()? + i64::from(JULIAN_EPOCH_DAYS), 0),
        Kind::Century => (century(moment), 2),
        _ => return write_text(moment, field, out),
    };
    // A minus sign takes a place of its own.
    let width = if field.fill {
        0
    } else {
        width + usize::from(value < 0)
    };
    out.push_str(&format!("{value:0width$}"));
    Ok(())
}

fn century(moment: &Moment) -> i64 {
    match (moment.day_number, moment.year) {
        (None, year) => year / 100,
        (_, year) if year > 0 => (year - 1) / 100 + 1,
        (_, year) => year / 100 - 1,
    }
}

fn write_text(moment: &Moment, field: &Field, out: &mut String) -> Result<()> {
    let month = || {
        usize::try_from(moment.month - 1)
            .ok()
            .filter(|month| *month < 12)
    };
    match field.kind {
        Kind::MonthName => named(month().map(|month| MONTHS[month]), field, 9, out),
        Kind::MonthShort => named(month().map(|month| &MONTHS[month][..3]), field, 0, out),
        Kind::RomanMonth => named(month().map(|month| ROMAN_MONTHS[month]), field, 4, out),
        Kind::DayName => named(Some(DAYS[moment.weekday()? as usize]), field, 9, out),
        Kind::DayShort => named(Some(&DAYS[moment.weekday()? as usize][..3]), field, 0, out),
        Kind::Meridiem | Kind::DottedMeridiem => {
            let afternoon = moment.hour.rem_euclid(24) >= 12;
            let name = match (afternoon, field.kind) {
                (true, Kind::Meridiem) => "PM",
                (false, Kind::Meridiem) => "AM",
                (true, _) => "P.M.",
                (false, _) => "A.M.",
            };
            named(Some(name), field, 0, out);
        }
        Kind::Era | Kind::DottedEra => {
            moment.day_number()?;
            let name = match (moment.year <= 0, field.kind) {
                (true, Kind::Era) => "BC",
                (false, Kind::Era) => "AD",
                (true, _) => "B.C.",
                (false, _) => "A.D.",
            };
            named(Some(name), field, 0, out);
        }
        Kind::CommaYear => {
            let year = moment.shown_year();
            out.push_str(&format!("{},{:03}", year / 1000, year % 1000));
        }
        _ => {
            moment.day_number()?;
            write_zone(moment, field, out);
        }
    }
    Ok(())
}

/// A name in its case, padded unless FM.
fn named(name: Option<&str>, field: &Field, width: usize, out: &mut String) {
    let Some(name) = name else { return };
    let name = match field.case {
        Case::Upper => name.to_uppercase(),
        Case::Capital => name.to_owned(),
        Case::Lower => name.to_lowercase(),
    };
    let width = if field.fill { 0 } else { width };
    out.push_str(&format!("{name:width$}"));
}

fn write_zone(moment: &Moment, field: &Field, out: &mut String) {
    let Some((offset, abbreviation)) = &moment.zone else {
        // A timestamp without time zone: as if in UTC, without a name.
        match field.kind {
            Kind::Offset | Kind::ZoneHours => out.push_str("+00"),
            Kind::ZoneMinutes => out.push_str("00"),
            _ => {}
        }
        return;
    };
    let sign = if *offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    match field.kind {
        Kind::ZoneHours => out.push_str(&format!("{sign}{hours:02}")),
        Kind::ZoneMinutes => out.push_str(&format!("{minutes:02}")),
        Kind::Offset => {
            out.push_str(&format!("{sign}{hours:02}"));
            if minutes != 0 {
                out.push_str(&format!(":{minutes:02}"));
            }
        }
        _ => named(Some(abbreviation), field, 0, out),
    }
}
