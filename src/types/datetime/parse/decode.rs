//! Gives the fields of a date or time their meaning, as PostgreSQL guesses it.

use super::token::{Token, tokens};
use super::{Target, bad_format, field_overflow};
use crate::error::{Error, Result, SqlState};
use crate::types::datetime::zone::{self, Zone};
use crate::types::datetime::{
    Civil, JULIAN_EPOCH_DAYS, MICROSECONDS_PER_DAY, MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE,
    MICROSECONDS_PER_SECOND, UNIX_EPOCH_DAYS, days_of_month, timestamp_to_date,
};
use crate::types::settings::{DateOrder, Io};

/// What a text means.
pub(super) enum Moment {
    Now,
    Infinity,
    NegativeInfinity,
    At(Decoded),
}

pub(super) struct Decoded {
    pub(super) civil: Civil,
    pub(super) zone: Option<Zone>,
}

/// A field that does not fit its place.
enum Trouble {
    Format,
    Overflow,
    /// A month or day out of range: perhaps the order was another.
    Order,
    Offset,
    Zone(Error),
}

pub(super) fn decode(text: &str, target: Target, io: Io<'_>) -> Result<Moment> {
    let report = |trouble| match trouble {
        Trouble::Format => bad_format(target, text),
        Trouble::Overflow => field_overflow(text),
        Trouble::Order => {
            field_overflow(text).hint("Perhaps you need a different \"datestyle\" setting.")
        }
        Trouble::Offset => Error::new(
            SqlState(*b"22009"),
            format!("time zone displacement out of range: \"{text}\""),
        ),
        Trouble::Zone(error) => error,
    };
    let fields = tokens(text).ok_or_else(|| bad_format(target, text))?;
    let mut decoder = Decoder::new(target, io);
    decoder
        .fields(&fields)
        .and_then(|special| match special {
            Some(moment) => Ok(moment),
            None => decoder.finish().map(Moment::At),
        })
        .map_err(report)
}

/// The number of a month by its name or a prefix of three letters or more.
pub(super) fn month(word: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    named(&NAMES, word, &["sept"]).map(|at| if at == 12 { 9 } else { at as u32 + 1 })
}

/// Not the name of a zone, wherever it stands.
pub(super) fn is_core_word(word: &str) -> bool {
    const OTHERS: [&str; 5] = ["now", "today", "julian", "epoch", "dst"];
    month(word).is_some()
        || is_weekday(word)
        || OTHERS.iter().any(|other| other.eq_ignore_ascii_case(word))
}

fn is_weekday(word: &str) -> bool {
    const NAMES: [&str; 7] = [
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
    ];
    named(&NAMES, word, &["tues", "weds", "thur", "thurs"]).is_some()
}

/// Finds a word among whole names, their first three letters, and extras
/// (which count on from the names).
fn named(names: &[&str], word: &str, extras: &[&str]) -> Option<usize> {
    names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(word) || name[..3].eq_ignore_ascii_case(word))
        .or_else(|| {
            let at = extras.iter().position(|e| e.eq_ignore_ascii_case(word))?;
            Some(names.len() + at)
        })
}

struct Decoder<'a> {
    target: Target,
    io: Io<'a>,
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    time: Option<i64>,
    zone: Option<Zone>,
    /// The year was given by two digits or less.
    short_year: bool,
    /// The month was given by name.
    named_month: bool,
    before_christ: Option<bool>,
    afternoon: Option<bool>,
    /// Days since 2000-01-01 where a word or a Julian number gave them.
    days: Option<i64>,
    /// An ISO `T` came: digits that follow are a time.
    expect_time: bool,
    /// A `J` came: digits that follow are a Julian day.
    expect_julian: bool,
}

impl<'a> Decoder<'a> {
    fn new(target: Target, io: Io<'a>) -> Decoder<'a> {
        Decoder {
            target,
            io,
            year: None,
            month: None,
            day: None,
            time: None,
            zone: None,
            short_year: false,
            named_month: false,
            before_christ: None,
            afternoon: None,
            days: None,
            expect_time: false,
            expect_julian: false,
        }
    }

    fn fields(&mut self, fields: &[Token<'_>]) -> Result<Option<Moment>, Trouble> {
        for (i, field) in fields.iter().enumerate() {
            let moment = match *field {
                Token::Date(text) => self.date(text).map(|()| None),
                Token::Time(text) => self.clock(text).map(|()| None),
                Token::Number(text) => self.number(text).map(|()| None),
                Token::Offset(text) => self.offset(text).map(|()| None),
                Token::Word(text) => self.word(text),
                Token::SignedWord(text) => match text.to_ascii_lowercase().as_str() {
                    "-infinity" => Ok(Some(Moment::NegativeInfinity)),
                    "+infinity" => Ok(Some(Moment::Infinity)),
                    _ => Err(Trouble::Format),
                },
            }?;
            if let Some(moment) = moment {
                // Such a word stands alone.
                return if i == 0 && fields.len() == 1 {
                    Ok(Some(moment))
                } else {
                    Err(Trouble::Format)
                };
            }
        }
        if fields.is_empty() || self.expect_julian || self.expect_time && self.time.is_none() {
            return Err(Trouble::Format);
        }
        Ok(None)
    }

    fn has_date(&self) -> bool {
        self.days.is_some() || (self.year.is_some() && self.month.is_some() && self.day.is_some())
    }

    fn word(&mut self, text: &str) -> Result<Option<Moment>, Trouble> {
        let word = text.to_ascii_lowercase();
        match word.as_str() {
            "now" => return Ok(Some(Moment::Now)),
            "infinity" => return Ok(Some(Moment::Infinity)),
            "today" => self.relative_day(0)?,
            "tomorrow" => self.relative_day(1)?,
            "yesterday" => self.relative_day(-1)?,
            "epoch" => {
                self.days = Some(i64::from(UNIX_EPOCH_DAYS));
                self.time = Some(0);
                self.zone = Some(Zone::UTC);
            }
            "allballs" => {
                self.time = Some(0);
                self.zone = Some(Zone::UTC);
            }
            "am" => self.afternoon = Some(false),
            "pm" => self.afternoon = Some(true),
            "ad" => self.before_christ = Some(false),
            "bc" => self.before_christ = Some(true),
            "t" if self.has_date() || self.target == Target::Time => self.expect_time = true,
            "j" | "jd" | "julian" => self.expect_julian = true,
            "at" | "on" | "dst" => {}
            _ => {
                if let Some(month) = month(&word) {
                    self.name_month(month)?;
                } else if !is_weekday(&word) {
                    self.name_zone(text)?;
                }
            }
        }
        Ok(None)
    }

    fn relative_day(&mut self, days: i64) -> Result<(), Trouble> {
        let zone = Zone::of(&self.io.settings.time_zone).map_err(Trouble::Zone)?;
        let local = zone
            .to_local(self.io.transaction_time)
            .map_err(Trouble::Zone)?;
        self.days = Some(i64::from(timestamp_to_date(local)) + days);
        Ok(())
    }

    fn name_month(&mut self, month: u32) -> Result<(), Trouble> {
        match (self.month, self.day) {
            (None, _) => {}
            // `8 January 1999`: what looked like a month was the day.
            (Some(day), None) if !self.named_month && day <= 31 => self.day = Some(day),
            _ => return Err(Trouble::Format),
        }
        self.month = Some(month);
        self.named_month = true;
        Ok(())
    }

    fn name_zone(&mut self, name: &str) -> Result<(), Trouble> {
        if self.zone.is_some() {
            return Err(Trouble::Format);
        }
        self.zone = Some(match zone::abbreviation(name) {
            Some(seconds) => Zone::Fixed(seconds),
            None if name.len() < 3 => return Err(Trouble::Format),
            None if name.contains(['/', '_']) => Zone::of(name).map_err(Trouble::Zone)?,
            None => Zone::of(name).map_err(|_| Trouble::Format)?,
        });
        Ok(())
    }

    fn offset(&mut self, text: &str) -> Result<(), Trouble> {
        // Without a time, `-08` after a date is not a zone.
        if self.time.is_none() && self.target != Target::Date && !self.has_date() {
            return Err(Trouble::Format);
        }
        let seconds = zone::parse_offset(text).ok_or(Trouble::Offset)?;
        // `UTC+3` and `EST-1` are no times; `GMT` before an offset is harmless only if zero.
        match &self.zone {
            None => self.zone = Some(Zone::Fixed(seconds)),
            Some(Zone::Fixed(base)) => self.zone = Some(Zone::Fixed(base - seconds)),
            Some(Zone::Named(_)) => return Err(Trouble::Format),
        }
        Ok(())
    }

    /// `1999-01-08`, `8/1/99`, `08-Jan-1999`.
    fn date(&mut self, text: &str) -> Result<(), Trouble> {
        if self.year.is_some() || self.day.is_some() || self.days.is_some() {
            return Err(Trouble::Format);
        }
        let parts: Vec<&str> = text.split(['-', '/', '.']).collect();
        if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
            return Err(Trouble::Format);
        }
        if let [year, day] = parts[..]
            && day.len() == 3
            && year.len() >= 4
        {
            return Err(Trouble::Format);
        }
        for part in &parts {
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                let named = month(part).ok_or(Trouble::Format)?;
                self.name_month(named)?;
            }
        }
        for part in &parts {
            if part.bytes().all(|b| b.is_ascii_digit()) {
                self.date_number(part)?;
            }
        }
        if self.has_date() {
            Ok(())
        } else {
            Err(Trouble::Format)
        }
    }

    /// A lone number: part of a date, or a date or time written together.
    fn number(&mut self, text: &str) -> Result<(), Trouble> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if self.expect_julian {
            self.expect_julian = false;
            let julian: i64 = whole.parse().map_err(|_| Trouble::Overflow)?;
            self.days = Some(julian - i64::from(JULIAN_EPOCH_DAYS));
            return Ok(());
        }
        let is_time_next = self.time.is_none()
            && (self.has_date() || self.target == Target::Time || self.expect_time);
        if is_time_next && matches!(whole.len(), 4 | 6) && (fraction.is_empty() || whole.len() == 6)
        {
            let minutes = whole[2..4].to_owned();
            let clock = match whole.len() {
                4 => format!("{}:{minutes}", &whole[..2]),
                _ if fraction.is_empty() => format!("{}:{minutes}:{}", &whole[..2], &whole[4..]),
                _ => format!("{}:{minutes}:{}.{fraction}", &whole[..2], &whole[4..]),
            };
            return self.clock(&clock);
        }
        if text.contains('.') || self.target == Target::Time {
            return Err(Trouble::Format);
        }
        let is_empty = self.year.is_none() && self.month.is_none() && self.day.is_none();
        if is_empty && whole.len() >= 6 {
            let year_digits = whole.len() - 4;
            self.set_year(&whole[..year_digits])?;
            self.month = whole[year_digits..year_digits + 2].parse().ok();
            self.day = whole[year_digits + 2..].parse().ok();
            return Ok(());
        }
        self.date_number(whole)
    }

    /// Decides which part of a date a number is: by what is known already, by
    /// its length, and by the session's order.
    fn date_number(&mut self, digits: &str) -> Result<(), Trouble> {
        let order = self.io.settings.date_style.order;
        let is_long = digits.len() >= 3;
        let number = || digits.parse::<u32>().map_err(|_| Trouble::Overflow);
        match (self.year, self.month, self.day) {
            (None, None, None) if is_long || order == DateOrder::Ymd => self.set_year(digits),
            (None, None, None) if order == DateOrder::Dmy => {
                self.day = Some(number()?);
                Ok(())
            }
            (None, None, None) | (Some(_), None, None) | (None, None, Some(_)) => {
                self.month = Some(number()?);
                Ok(())
            }
            (None, Some(_), None) if self.named_month && (is_long || order == DateOrder::Ymd) => {
                self.set_year(digits)
            }
            (Some(year), Some(_), None) if self.named_month && is_long && self.short_year => {
                // What seemed a year of two digits was the day.
                self.day = u32::try_from(year % 100).ok();
                self.set_year(digits)
            }
            (None, Some(_), None) | (Some(_), Some(_), None) => {
                self.day = Some(number()?);
                Ok(())
            }
            (None, Some(_), Some(_)) => self.set_year(digits),
            (Some(_), None, Some(_)) => {
                self.month = Some(number()?);
                Ok(())
            }
            (Some(_), Some(_), Some(_)) => Err(Trouble::Format),
        }
    }

    fn set_year(&mut self, digits: &str) -> Result<(), Trouble> {
        self.year = Some(digits.parse().map_err(|_| Trouble::Overflow)?);
        self.short_year = digits.len() <= 2;
        Ok(())
    }

    /// `HH:MM[:SS[.fraction]]`.
    fn clock(&mut self, text: &str) -> Result<(), Trouble> {
        if self.time.is_some() {
            return Err(Trouble::Format);
        }
        let mut parts = text.split(':');
        let part = |text: Option<&str>| match text {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<i64>().map_err(|_| Trouble::Overflow)
            }
            _ => Err(Trouble::Format),
        };
        let hour = part(parts.next())?;
        let minute = part(parts.next())?;
        let (second, fraction) = match parts.next() {
            None => (0, 0),
            Some(text) => {
                let (second, fraction) = text.split_once('.').unwrap_or((text, ""));
                (part(Some(second))?, fraction_microseconds(fraction)?)
            }
        };
        if parts.next().is_some() {
            return Err(Trouble::Format);
        }
        let is_end_of_day = hour == 24 && minute == 0 && second == 0 && fraction == 0;
        if minute > 59 || second > 60 || (hour > 23 && !is_end_of_day) {
            return Err(Trouble::Overflow);
        }
        self.time = Some(
            hour * MICROSECONDS_PER_HOUR
                + minute * MICROSECONDS_PER_MINUTE
                + second * MICROSECONDS_PER_SECOND
                + fraction,
        );
        Ok(())
    }

    fn finish(&mut self) -> Result<Decoded, Trouble> {
        let time = self.time_of_day()?;
        let zone = self.zone.take();
        if self.target == Target::Time {
            // A date beside it does no harm.
            let has_some = self.year.is_some() || self.month.is_some() || self.day.is_some();
            // A zone with daylight saving needs a date to mean anything.
            let is_dateless = matches!(zone, Some(Zone::Named(_))) && !self.has_date();
            if self.time.is_none() || (has_some && !self.has_date()) || is_dateless {
                return Err(Trouble::Format);
            }
            let civil = Civil {
                time,
                ..Civil::default()
            };
            return Ok(Decoded { civil, zone });
        }
        let mut civil = match self.days {
            Some(days) if (-3_000_000..2_200_000_000).contains(&days) => Civil::from_days(days),
            Some(_) => return Err(Trouble::Overflow),
            None => self.day_of_calendar()?,
        };
        civil.time = time;
        if civil.time == MICROSECONDS_PER_DAY && self.target != Target::Date {
            civil = Civil::from_days(civil.days() + 1);
        }
        Ok(Decoded { civil, zone })
    }

    fn day_of_calendar(&self) -> Result<Civil, Trouble> {
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(Trouble::Format);
        };
        let year = match self.before_christ {
            Some(true) if year > 0 => 1 - year,
            Some(true) => return Err(Trouble::Overflow),
            _ if self.short_year && year < 70 => year + 2000,
            _ if self.short_year => year + 1900,
            _ if year <= 0 => return Err(Trouble::Overflow),
            _ => year,
        };
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(Trouble::Order);
        }
        if day > days_of_month(year, month) {
            return Err(Trouble::Overflow);
        }
        Ok(Civil {
            year,
            month,
            day,
            time: 0,
        })
    }

    fn time_of_day(&self) -> Result<i64, Trouble> {
        let time = self.time.unwrap_or(0);
        let Some(afternoon) = self.afternoon else {
            return Ok(time);
        };
        let hour = time / MICROSECONDS_PER_HOUR;
        match (hour, afternoon) {
            (13.., _) => Err(Trouble::Overflow),
            (12, false) => Ok(time - 12 * MICROSECONDS_PER_HOUR),
            (0..=11, true) => Ok(time + 12 * MICROSECONDS_PER_HOUR),
            _ => Ok(time),
        }
    }
}

/// Digits after the point as microseconds, rounded.
fn fraction_microseconds(digits: &str) -> Result<i64, Trouble> {
    if digits.is_empty() {
        return Ok(0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Trouble::Format);
    }
    let fraction: f64 = format!("0.{digits}").parse().map_err(|_| Trouble::Format)?;
    Ok((fraction * 1e6).round_ties_even() as i64)
}
