//! to_date and to_timestamp of a text by a template.
//!
//! Blanks and separators are met loosely, as PostgreSQL does: one in the
//! template stands for at most one in the text, and blanks before and after
//! fields count for nothing, unless the template starts with FX.

use super::Piece;
use super::date_fields::{DAYS, Field, Kind, MONTHS, ROMAN_MONTHS, Template};
use super::date_write::iso_year_start;
use crate::error::{Error, Result, SqlState};
use crate::plan::function::Call;
use crate::plan::function::arguments::text;
use crate::plan::function::definition::{Definition, scalar};
use crate::types::Value;
use crate::types::datetime::zone::Zone;
use crate::types::datetime::{self, Civil, JULIAN_EPOCH_DAYS};

pub(super) const FUNCTIONS: &[Definition] = &[
    scalar("to_date", "text text -> date", |_, a| {
        let read = Reading::run(text(&a[0])?, text(&a[1])?)?;
        datetime::check_date(read.local(text(&a[0])?)?.0).map(Value::Date)
    })
    .stable(),
    scalar(
        "to_timestamp",
        "text text -> timestamptz",
        |call: &Call<'_>, a| {
            let read = Reading::run(text(&a[0])?, text(&a[1])?)?;
            let (days, time) = read.local(text(&a[0])?)?;
            let local = days
                .checked_mul(datetime::MICROSECONDS_PER_DAY)
                .and_then(|midnight| midnight.checked_add(time))
                .ok_or_else(|| out_of_range(text(&a[0]).map_or("", |t| t)))?;
            let zone = match read.offset {
                Some(seconds) => Zone::Fixed(seconds),
                None => Zone::of(&call.context.settings.time_zone)?,
            };
            zone.to_instant(local).map(Value::Timestamptz)
        },
    )
    .stable(),
];

/// What was read so far.
#[derive(Default)]
struct Reading {
    year: Option<i64>,
    /// Digits of the year's field, if fewer than four.
    short_year: bool,
    century: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week: Option<i64>,
    week_of_month: Option<i64>,
    weekday: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_weekday: Option<i64>,
    iso_day: Option<i64>,
    julian: Option<i64>,
    hour: Option<i64>,
    twelve: bool,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    second_of_day: Option<i64>,
    fraction: i64,
    zone_sign: i32,
    zone_hours: Option<i32>,
    zone_minutes: Option<i32>,
    offset: Option<i32>,
}

fn invalid(value: &str, field: &Field) -> Error {
    Error::new(
        SqlState::INVALID_DATETIME_FORMAT,
        format!("invalid value \"{value}\" for \"{}\"", field.name),
    )
}

fn out_of_range(source: &str) -> Error {
    Error::new(
        SqlState::DATETIME_FIELD_OVERFLOW,
        format!("date/time field value out of range: \"{source}\""),
    )
}

fn is_separator(c: char) -> bool {
    c.is_ascii_punctuation()
}

/// The text being read.
struct Source<'a> {
    rest: &'a str,
}

impl Source<'_> {
    /// Drops blanks and tells how many.
    fn blanks(&mut self) -> usize {
        let rest = self
            .rest
            .trim_start_matches(|c: char| c.is_ascii_whitespace());
        let dropped = self.rest.len() - rest.len();
        self.rest = rest;
        dropped
    }

    fn skip(&mut self) {
        if let Some(c) = self.rest.chars().next() {
            self.rest = &self.rest[c.len_utf8()..];
        }
    }

    /// A number of `width` digits, or of as many as there are if `open`; and
    /// how many characters it took.
    fn integer(&mut self, width: usize, open: bool, field: &Field) -> Result<(i64, usize)> {
        self.blanks();
        let shown: String = self.rest.chars().take(width).collect();
        let window = if open { self.rest } else { shown.as_str() };
        let sign = usize::from(window.starts_with(['+', '-']));
        let digits = window[sign..]
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let used = if digits == 0 { 0 } else { sign + digits };
        if !open && shown.len() < width {
            return Err(Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!(
                    "source string too short for \"{}\" formatting field",
                    field.name
                ),
            )
            .detail(format!(
                "Field requires {width} characters, but only {} remain.",
                shown.len()
            )));
        }
        if used == 0 {
            return Err(invalid(&shown, field).detail("Value must be an integer."));
        }
        if !open && used < width {
            return Err(invalid(&shown, field).detail(format!(
                "Field requires {width} characters, but only {used} could be parsed."
            )));
        }
        let value = window[..used].parse::<i32>().map_err(|_| {
            Error::new(
                SqlState::DATETIME_FIELD_OVERFLOW,
                format!(
                    "value for \"{}\" in source string is out of range",
                    field.name
                ),
            )
        })?;
        self.rest = &self.rest[used..];
        Ok((value.into(), used))
    }

    /// The place of the name that stands here, in whole or as its first letters.
    fn name(&mut self, names: &[&str], short: Option<usize>, field: &Field) -> Result<i64> {
        self.blanks();
        let here = self.rest.to_ascii_lowercase();
        // The longest first: VIII before VII.
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse(names[*place].len()));
        for place in order {
            let name = names[place].to_ascii_lowercase();
            let length = short.map_or(name.len(), |short| short.min(name.len()));
            if here.starts_with(&name[..length]) {
                self.rest = &self.rest[length..];
                return Ok(place as i64);
            }
        }
        let word = self.rest.split(|c: char| c.is_ascii_whitespace()).next();
        Err(invalid(word.unwrap_or_default(), field)
            .detail("The given value did not match any of the allowed values for this field."))
    }
}

impl Reading {
    fn run(source: &str, template: &str) -> Result<Reading> {
        let template = Template::of(template)?;
        let mut read = Reading::default();
        let mut source = Source { rest: source };
        let mut extra = 0_i64;
        for (place, piece) in template.pieces.iter().enumerate() {
            if source.rest.is_empty() {
                break;
            }
            let is_field = matches!(piece, Piece::Field(_));
            if !template.exact && (is_field || place == 0) {
                extra += source.blanks() as i64;
            }
            match piece {
                Piece::Literal(c, quoted) => {
                    let loose = !quoted && (*c == ' ' || is_separator(*c));
                    if template.exact {
                        source.skip();
                    } else if loose {
                        extra -= 1;
                        if source
                            .rest
                            .starts_with(|c: char| c.is_ascii_whitespace() || is_separator(c))
                        {
                            source.skip();
                            extra += 1;
                        }
                    } else if extra > 0 {
                        extra -= 1;
                    } else {
                        source.skip();
                    }
                }
                Piece::Field(field) => {
                    let open = field.fill || !digits_follow(field, template.pieces.get(place + 1));
                    read.field(field, &mut source, open)?;
                    if field.ordinal.is_some() {
                        source.skip();
                        source.skip();
                    }
                    if !template.exact {
                        extra = source.blanks() as i64;
                    }
                }
            }
        }
        read.offset = read.zone_hours.or(read.zone_minutes).map(|_| {
            let seconds = read.zone_hours.unwrap_or(0) * 3600 + read.zone_minutes.unwrap_or(0) * 60;
            if read.zone_sign < 0 {
                -seconds
            } else {
                seconds
            }
        });
        Ok(read)
    }

    fn field(&mut self, field: &Field, source: &mut Source<'_>, open: bool) -> Result<()> {
        let mut integer = |width| source.integer(width, open, field);
        let target = match field.kind {
            Kind::Year(_) | Kind::IsoYear(_) | Kind::CommaYear => {
                return self.year_field(field, source, open);
            }
            Kind::Month => (&mut self.month, 2),
            Kind::DayOfMonth => (&mut self.day, 2),
            Kind::DayOfYear => (&mut self.day_of_year, 3),
            Kind::Week => (&mut self.week, 2),
            Kind::WeekOfMonth => (&mut self.week_of_month, 1),
            Kind::IsoWeek => (&mut self.iso_week, 2),
            Kind::IsoDayOfYear => (&mut self.iso_day, 3),
            Kind::IsoDayOfWeek => (&mut self.iso_weekday, 1),
            Kind::DayOfWeek => (&mut self.weekday, 1),
            Kind::Century => (&mut self.century, 2),
            Kind::Julian => {
                self.julian = Some(source.integer(10, true, field)?.0);
                return Ok(());
            }
            Kind::Hour24 => (&mut self.hour, 2),
            Kind::Hour12 => {
                self.twelve = true;
                (&mut self.hour, 2)
            }
            Kind::Minute => (&mut self.minute, 2),
            Kind::Second => (&mut self.second, 2),
            Kind::SecondOfDay => (&mut self.second_of_day, 5),
            Kind::Quarter => {
                integer(1)?;
                return Ok(());
            }
            Kind::Milliseconds => {
                let (value, digits) = integer(3)?;
                self.fraction += value * 10_i64.pow(6_u32.saturating_sub(digits as u32));
                return Ok(());
            }
            Kind::Microseconds | Kind::Fraction(_) => {
                let width = match field.kind {
                    Kind::Fraction(width) => width as usize,
                    _ => 6,
                };
                let (value, digits) = integer(width)?;
                self.fraction += value * 10_i64.pow(6_u32.saturating_sub(digits as u32));
                return Ok(());
            }
            _ => return self.name_field(field, source, open),
        };
        let (place, width) = target;
        let value = integer(width)?.0;
        match place {
            Some(known) if *known != value => Err(Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!(
                    "conflicting values for \"{}\" field in formatting string",
                    field.name
                ),
            )
            .detail("This value contradicts a previous setting for the same field type.")),
            _ => {
                *place = Some(value);
                Ok(())
            }
        }
    }

    fn year_field(&mut self, field: &Field, source: &mut Source<'_>, open: bool) -> Result<()> {
        let (width, iso) = match field.kind {
            Kind::IsoYear(width) => (width, true),
            Kind::Year(width) => (width, false),
            _ => {
                let (thousands, _) = source.integer(9, true, field)?;
                if let Some(rest) = source.rest.strip_prefix(',') {
                    source.rest = rest;
                }
                self.year = Some(thousands * 1000 + source.integer(3, false, field)?.0);
                return Ok(());
            }
        };
        let (mut year, digits) = source.integer(width as usize, open, field)?;
        self.short_year |= width < 4;
        // Few digits mean the year next to 2020.
        if width < 4 && digits < 4 {
            year += match year {
                0..70 => 2000,
                70..100 => 1900,
                100..520 => 2000,
                520..1000 => 1000,
                _ => 0,
            };
        }
        match iso {
            true => self.iso_year = Some(year),
            false => self.year = Some(year),
        }
        Ok(())
    }

    fn name_field(&mut self, field: &Field, source: &mut Source<'_>, open: bool) -> Result<()> {
        match field.kind {
            Kind::MonthName => self.month = Some(source.name(&MONTHS, None, field)? + 1),
            Kind::MonthShort => self.month = Some(source.name(&MONTHS, Some(3), field)? + 1),
            Kind::RomanMonth => self.month = Some(source.name(&ROMAN_MONTHS, None, field)? + 1),
            Kind::DayName => self.weekday = Some(source.name(&DAYS, None, field)? + 1),
            Kind::DayShort => self.weekday = Some(source.name(&DAYS, Some(3), field)? + 1),
            Kind::Meridiem => self.afternoon = Some(source.name(&["am", "pm"], None, field)? == 1),
            Kind::DottedMeridiem => {
                self.afternoon = Some(source.name(&["a.m.", "p.m."], None, field)? == 1);
            }
            Kind::Era => self.before_christ = source.name(&["ad", "bc"], None, field)? == 1,
            Kind::DottedEra => {
                self.before_christ = source.name(&["a.d.", "b.c."], None, field)? == 1;
            }
            Kind::ZoneHours => {
                self.zone_sign = if source.rest.starts_with('-') { -1 } else { 1 };
                if source.rest.starts_with(['+', '-', ' ']) {
                    source.skip();
                }
                self.zone_hours = Some(source.integer(2, open, field)?.0 as i32);
            }
            Kind::ZoneMinutes => {
                self.zone_minutes = Some(source.integer(2, open, field)?.0 as i32);
            }
            _ => {
                return Err(Error::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    format!(
                        "formatting field \"{}\" is only supported in to_char",
                        field.name
                    ),
                ));
            }
        }
        if matches!(field.kind, Kind::Meridiem | Kind::DottedMeridiem) {
            self.twelve = true;
        }
        Ok(())
    }

    /// Days since 2000-01-01 and microseconds of the day.
    fn local(&self, source: &str) -> Result<(i64, i64)> {
        let days = self.days(source)?;
        let (mut hour, mut minute, mut second) = (
            self.hour.unwrap_or(0),
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
        );
        if let Some(of_day) = self.second_of_day {
            (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        }
        if self.twelve {
            if !(1..=12).contains(&hour) {
                return Err(Error::new(
                    SqlState::INVALID_DATETIME_FORMAT,
                    format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                )
                .hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 };
        }
        let fits = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1_000_000).contains(&self.fraction);
        if !fits {
            return Err(out_of_range(source));
        }
        let seconds = hour * 3600 + minute * 60 + second;
        Ok((days, seconds * 1_000_000 + self.fraction))
    }

    fn days(&self, source: &str) -> Result<i64> {
        if let Some(julian) = self.julian {
            return Ok(julian - i64::from(JULIAN_EPOCH_DAYS));
        }
        let gregorian = self.year.is_some() || self.month.is_some() || self.day.is_some();
        if let Some(year) = self.iso_year {
            if gregorian {
                return Err(Error::new(
                    SqlState::INVALID_DATETIME_FORMAT,
                    "invalid combination of date conventions",
                )
                .hint(
                    "Do not mix Gregorian and ISO week date conventions in a formatting template.",
                ));
            }
            let start = iso_year_start(year as i32);
            if let Some(day) = self.iso_day {
                return Ok(start + day - 1);
            }
            let (week, day) = (self.iso_week.unwrap_or(1), self.iso_weekday.unwrap_or(1));
            return match (1..=53).contains(&week) && (1..=7).contains(&day) {
                true => Ok(start + (week - 1) * 7 + day - 1),
                false => Err(out_of_range(source)),
            };
        }
        if self.iso_week.is_some() || self.iso_day.is_some() {
            return Err(Error::unsupported(
                "an ISO week without its year in a template",
            ));
        }
        let year = self.astronomical_year();
        let year = i32::try_from(year).map_err(|_| out_of_range(source))?;
        let start = Civil {
            year,
            month: 1,
            day: 1,
            time: 0,
        };
        if let (Some(day), None) = (self.day_of_year, self.month) {
            let length = 365 + i64::from(datetime::is_leap_year(year));
            return match (1..=length).contains(&day) {
                true => Ok(start.days() + day - 1),
                false => Err(out_of_range(source)),
            };
        }
        if let (Some(week), None, None) = (self.week, self.month, self.day) {
            return Ok(start.days() + (week - 1) * 7);
        }
        let month = self.month.unwrap_or(1);
        let day = match (self.day, self.week_of_month) {
            (Some(day), _) => day,
            (None, Some(week)) => (week - 1) * 7 + 1,
            (None, None) => 1,
        };
        let valid = (1..=12).contains(&month)
            && (1..=i64::from(datetime::days_of_month(year, month as u32))).contains(&day);
        if !valid {
            return Err(out_of_range(source));
        }
        Ok(Civil {
            year,
            month: month as u32,
            day: day as u32,
            time: 0,
        }
        .days())
    }

    fn astronomical_year(&self) -> i64 {
        match (self.year, self.century) {
            (Some(year), Some(century)) if self.short_year => {
                let year = year % 100;
                match year {
                    0 => century * 100,
                    _ => (century - 1) * 100 + year,
                }
            }
            (Some(year), _) if self.before_christ && year > 0 => 1 - year,
            (Some(year), _) if year < 0 => year + 1,
            (Some(year), _) => year,
            (None, Some(century)) => (century - 1) * 100 + 1,
            (None, None) => 0,
        }
    }
}

/// The piece after a field continues with a digit, so that the field's width counts.
fn digits_follow(field: &Field, next: Option<&Piece<Field>>) -> bool {
    if field.ordinal.is_some() {
        return false;
    }
    match next {
        Some(Piece::Field(next)) => next.kind.is_digits(),
        Some(Piece::Literal(c, _)) => c.is_ascii_digit(),
        None => false,
    }
}
