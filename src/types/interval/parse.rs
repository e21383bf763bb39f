//! Reading intervals: PostgreSQL's, the SQL standard's and ISO 8601's forms.
//!
//! Not handled: ISO 8601's form without designators and hyphens (`P00010203`).

use super::{DAYS_PER_MONTH, Interval};
use crate::error::{Error, Result, SqlState};
use crate::types::datetime::{
    MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE, MICROSECONDS_PER_SECOND,
};
use crate::types::settings::IntervalStyle;

impl Interval {
    /// The style matters to signs only: in the SQL standard's a leading minus
    /// covers all fields, if no other has a sign.
    pub fn parse(text: &str, style: IntervalStyle) -> Result<Interval> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let result = match trimmed.strip_prefix(['P', 'p']) {
            Some(iso) => parse_iso(iso),
            None => parse_fields(trimmed, style),
        };
        result.map_err(|trouble| match trouble {
            Trouble::Format => Error::new(
                SqlState::INVALID_DATETIME_FORMAT,
                format!("invalid input syntax for type interval: \"{text}\""),
            ),
            Trouble::Overflow => Error::new(
                SqlState::INTERVAL_FIELD_OVERFLOW,
                format!("interval field value out of range: \"{text}\""),
            ),
        })
    }
}

enum Trouble {
    Format,
    Overflow,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
}

const UNITS: &[(Unit, &[&str])] = &[
    (
        Unit::Millennium,
        &["mil", "mils", "millennium", "millennia"],
    ),
    (Unit::Century, &["c", "cent", "century", "centuries"]),
    (Unit::Decade, &["dec", "decs", "decade", "decades"]),
    (Unit::Year, &["y", "yr", "yrs", "year", "years"]),
    (Unit::Month, &["mon", "mons", "month", "months"]),
    (Unit::Week, &["w", "week", "weeks"]),
    (Unit::Day, &["d", "day", "days"]),
    (Unit::Hour, &["h", "hr", "hrs", "hour", "hours"]),
    (Unit::Minute, &["m", "min", "mins", "minute", "minutes"]),
    (Unit::Second, &["s", "sec", "secs", "second", "seconds"]),
    (
        Unit::Millisecond,
        &[
            "ms",
            "msec",
            "msecs",
            "msecond",
            "mseconds",
            "millisecond",
            "milliseconds",
        ],
    ),
    (
        Unit::Microsecond,
        &[
            "us",
            "usec",
            "usecs",
            "usecond",
            "useconds",
            "microsecond",
            "microseconds",
        ],
    ),
];

/// The unit of a name or abbreviation.
pub(crate) fn unit(word: &str) -> Option<Unit> {
    UNITS
        .iter()
        .find(|(_, names)| names.iter().any(|name| name.eq_ignore_ascii_case(word)))
        .map(|(unit, _)| *unit)
}

/// A number as written: the sign counts for the fraction too.
#[derive(Clone, Copy)]
struct Number {
    negative: bool,
    whole: i64,
    fraction: f64,
}

impl Number {
    fn parse(text: &str) -> Result<Number, Trouble> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return Err(Trouble::Format);
        }
        Ok(Number {
            negative: text.starts_with('-'),
            whole: match whole {
                "" => 0,
                digits => digits.parse().map_err(|_| Trouble::Overflow)?,
            },
            fraction: match fraction {
                "" => 0.0,
                digits => format!("0.{digits}").parse().map_err(|_| Trouble::Format)?,
            },
        })
    }

    fn signed(&self) -> (i64, f64) {
        if self.negative {
            (-self.whole, -self.fraction)
        } else {
            (self.whole, self.fraction)
        }
    }
}

/// What has been summed up so far.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    microseconds: i64,
    /// Units that were given already, a bit each.
    given: u32,
    /// A time of day was given: it stands, whatever fractions of days come
    /// after it (PostgreSQL reads from the end and overwrites them).
    has_clock: bool,
}

impl Sum {
    /// Each unit may come once.
    fn claim(&mut self, unit: Unit) -> Result<(), Trouble> {
        let bit = 1 << unit as u32;
        if self.given & bit != 0 {
            return Err(Trouble::Format);
        }
        self.given |= bit;
        Ok(())
    }

    fn add(&mut self, number: &Number, unit: Unit) -> Result<(), Trouble> {
        self.claim(unit)?;
        if unit == Unit::Second && number.fraction != 0.0 {
            self.claim(Unit::Millisecond)?;
            self.claim(Unit::Microsecond)?;
        }
        let (whole, fraction) = number.signed();
        let years = match unit {
            Unit::Millennium => 1000,
            Unit::Century => 100,
            Unit::Decade => 10,
            Unit::Year => 1,
            Unit::Month => {
                self.add_months(Some(whole))?;
                return self.add_day_fraction(fraction * DAYS_PER_MONTH as f64);
            }
            Unit::Week => {
                self.add_days(whole.checked_mul(7))?;
                return self.add_day_fraction(fraction * 7.0);
            }
            Unit::Day => {
                self.add_days(Some(whole))?;
                return self.add_time_fraction(fraction * MICROSECONDS_PER_DAY as f64);
            }
            Unit::Hour => return self.add_time(whole, fraction, MICROSECONDS_PER_HOUR),
            Unit::Minute => return self.add_time(whole, fraction, MICROSECONDS_PER_MINUTE),
            Unit::Second => return self.add_time(whole, fraction, MICROSECONDS_PER_SECOND),
            Unit::Millisecond => return self.add_time(whole, fraction, 1000),
            Unit::Microsecond => return self.add_time(whole, fraction, 1),
        };
        self.add_months(whole.checked_mul(years * 12))?;
        let months = (fraction * (years * 12) as f64).round_ties_even();
        self.add_months(Some(months as i64))
    }

    fn add_months(&mut self, months: Option<i64>) -> Result<(), Trouble> {
        self.months = within_i32(months.and_then(|months| self.months.checked_add(months)))?;
        Ok(())
    }

    fn add_days(&mut self, days: Option<i64>) -> Result<(), Trouble> {
        self.days = within_i32(days.and_then(|days| self.days.checked_add(days)))?;
        Ok(())
    }

    fn add_day_fraction(&mut self, days: f64) -> Result<(), Trouble> {
        self.add_days(Some(days.trunc() as i64))?;
        self.add_time_fraction(days.fract() * MICROSECONDS_PER_DAY as f64)
    }

    fn add_time(&mut self, whole: i64, fraction: f64, unit: i64) -> Result<(), Trouble> {
        self.microseconds = whole
            .checked_mul(unit)
            .and_then(|more| self.microseconds.checked_add(more))
            .ok_or(Trouble::Overflow)?;
        self.add_time_fraction(fraction * unit as f64)
    }

    fn add_time_fraction(&mut self, microseconds: f64) -> Result<(), Trouble> {
        if self.has_clock {
            return Ok(());
        }
        let more = microseconds.round_ties_even() as i64;
        self.microseconds = self
            .microseconds
            .checked_add(more)
            .ok_or(Trouble::Overflow)?;
        Ok(())
    }

    fn finish(self, negate: bool) -> Result<Interval, Trouble> {
        if self.given == 0 {
            return Err(Trouble::Format);
        }
        let sign = if negate { -1 } else { 1 };
        Ok(Interval {
            months: i32::try_from(sign * self.months).map_err(|_| Trouble::Overflow)?,
            days: i32::try_from(sign * self.days).map_err(|_| Trouble::Overflow)?,
            microseconds: self
                .microseconds
                .checked_mul(sign)
                .ok_or(Trouble::Overflow)?,
        })
    }
}

fn within_i32(value: Option<i64>) -> Result<i64, Trouble> {
    value
        .filter(|value| i32::try_from(*value).is_ok())
        .ok_or(Trouble::Overflow)
}

/// `1 year 2 mons`, `1-2 3 4:05:06`, `@ 5 hours ago`.
fn parse_fields(text: &str, style: IntervalStyle) -> Result<Interval, Trouble> {
    let words = split(text)?;
    let (words, ago) = match words.split_last() {
        Some((last, rest)) if last.eq_ignore_ascii_case("ago") => (rest, true),
        _ => (&words[..], false),
    };
    let signs = words.iter().filter(|word| word.starts_with(['+', '-']));
    let all_negative = style == IntervalStyle::SqlStandard
        && words.first().is_some_and(|word| word.starts_with('-'))
        && signs.count() == 1;
    let mut sum = Sum::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let next = words.get(at + 1).copied();
        at += 1;
        let negative = all_negative && at > 1;
        if word.contains(':') {
            add_clock(&mut sum, word, negative)?;
        } else if is_year_month(word) {
            add_year_month(&mut sum, word, negative)?;
        } else {
            let mut number = Number::parse(word)?;
            number.negative |= negative;
            match next {
                Some(name) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                    sum.add(&number, unit(name).ok_or(Trouble::Format)?)?;
                    at += 1;
                }
                Some(next) if next.contains(':') || is_hours(&words[at..]) => {
                    sum.add(&number, Unit::Day)?;
                }
                None => sum.add(&number, Unit::Second)?,
                Some(_) => return Err(Trouble::Format),
            }
        }
    }
    sum.finish(ago)
}

/// A number of hours comes next: what stands before it without a unit is days.
fn is_hours(words: &[&str]) -> bool {
    words.len() > 1 && !is_year_month(words[0]) && unit(words[1]) == Some(Unit::Hour)
}

/// Words and numbers, each with its sign.
fn split(text: &str) -> Result<Vec<&str>, Trouble> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '@' || c == ',');
        let Some(first) = rest.bytes().next() else {
            return Ok(words);
        };
        let length = if first.is_ascii_alphabetic() {
            rest.bytes().take_while(u8::is_ascii_alphabetic).count()
        } else {
            let sign = usize::from(matches!(first, b'+' | b'-'));
            let digits = rest[sign..]
                .bytes()
                .take_while(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'-'))
                .count();
            let is_bare_fraction = sign == 1 && rest.as_bytes().get(1) == Some(&b'.');
            if digits == 0 || is_bare_fraction {
                return Err(Trouble::Format);
            }
            sign + digits
        };
        words.push(&rest[..length]);
        rest = &rest[length..];
    }
}

fn is_year_month(word: &str) -> bool {
    word.len() > 1 && word[1..].contains('-')
}

fn add_year_month(sum: &mut Sum, word: &str, negative: bool) -> Result<(), Trouble> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (years, months) = unsigned.split_once('-').ok_or(Trouble::Format)?;
    let (years, months) = (Number::parse(years)?, Number::parse(months)?);
    if months.whole > 11 {
        return Err(Trouble::Overflow);
    }
    let negative = negative || word.starts_with('-');
    if years.fraction != 0.0 || months.fraction != 0.0 {
        return Err(Trouble::Format);
    }
    // Both together count as months, so that a year may still come.
    let whole = years
        .whole
        .checked_mul(12)
        .and_then(|total| total.checked_add(months.whole))
        .ok_or(Trouble::Overflow)?;
    let number = Number {
        negative,
        whole,
        fraction: 0.0,
    };
    sum.add(&number, Unit::Month)
}

/// `4:05:06.7`, `4:05`; with a point and one colon minutes and seconds.
fn add_clock(sum: &mut Sum, word: &str, negative: bool) -> Result<(), Trouble> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let negative = negative || word.starts_with('-');
    let parts: Vec<&str> = unsigned.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [minutes, seconds] if seconds.contains('.') => ("0", minutes, seconds),
        [hours, minutes] => (hours, minutes, "0"),
        _ => return Err(Trouble::Format),
    };
    let (hours, minutes, seconds) = (
        Number::parse(hours)?,
        Number::parse(minutes)?,
        Number::parse(seconds)?,
    );
    if hours.fraction != 0.0 || minutes.fraction != 0.0 {
        return Err(Trouble::Format);
    }
    if minutes.whole > 59 || seconds.whole > 60 {
        return Err(Trouble::Overflow);
    }
    for (number, unit) in [
        (hours, Unit::Hour),
        (minutes, Unit::Minute),
        (seconds, Unit::Second),
    ] {
        sum.add(&Number { negative, ..number }, unit)?;
    }
    for unit in [Unit::Millisecond, Unit::Microsecond] {
        if seconds.fraction == 0.0 {
            sum.claim(unit)?;
        }
    }
    sum.has_clock = true;
    Ok(())
}

/// What follows `P`: `1Y2M3DT4H5M6S` or `0001-02-03T04:05:06`.
fn parse_iso(text: &str) -> Result<Interval, Trouble> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some(("", "")) => return Ok(Interval::default()),
        Some((date, time)) => (date, time),
        None => (text, ""),
    };
    let mut sum = Sum::default();
    let is_hyphenated = date.chars().skip(1).any(|c| c == '-');
    if is_hyphenated && !date.contains(|c: char| c.is_alphabetic()) {
        let mut units = [Unit::Year, Unit::Month, Unit::Day].into_iter();
        for part in date.split('-') {
            let unit = units.next().ok_or(Trouble::Format)?;
            sum.add(&Number::parse(part)?, unit)?;
        }
    } else {
        add_designated(&mut sum, date, |letter| match letter {
            b'Y' => Some(Unit::Year),
            b'M' => Some(Unit::Month),
            b'W' => Some(Unit::Week),
            b'D' => Some(Unit::Day),
            _ => None,
        })?;
    }
    if time.contains(':') {
        add_clock(&mut sum, time, false)?;
    } else {
        add_designated(&mut sum, time, |letter| match letter {
            b'H' => Some(Unit::Hour),
            b'M' => Some(Unit::Minute),
            b'S' => Some(Unit::Second),
            _ => None,
        })?;
    }
    sum.finish(false)
}

fn add_designated(
    sum: &mut Sum,
    mut text: &str,
    unit: impl Fn(u8) -> Option<Unit>,
) -> Result<(), Trouble> {
    while !text.is_empty() {
        let length = text
            .bytes()
            .position(|b| b.is_ascii_alphabetic())
            .ok_or(Trouble::Format)?;
        if text.starts_with('+') {
            return Err(Trouble::Format);
        }
        let number = Number::parse(&text[..length])?;
        let letter = text.as_bytes()[length].to_ascii_uppercase();
        sum.add(&number, unit(letter).ok_or(Trouble::Format)?)?;
        text = &text[length + 1..];
    }
    Ok(())
}
