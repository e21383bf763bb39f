//! Printing intervals in the four IntervalStyles.

use std::fmt::Write;

use super::{Interval, MONTHS_PER_YEAR};
use crate::types::datetime::format::{write_fraction, write_two};
use crate::types::datetime::{
    MICROSECONDS_PER_HOUR, MICROSECONDS_PER_MINUTE, MICROSECONDS_PER_SECOND,
};
use crate::types::settings::IntervalStyle;

/// The parts as they are printed; all of the time has one sign.
struct Parts {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    fraction: i64,
}

impl Interval {
    pub fn write(&self, style: IntervalStyle, out: &mut String) {
        let parts = Parts {
            years: i64::from(self.months / MONTHS_PER_YEAR),
            months: i64::from(self.months % MONTHS_PER_YEAR),
            days: i64::from(self.days),
            hours: self.microseconds / MICROSECONDS_PER_HOUR,
            minutes: self.microseconds % MICROSECONDS_PER_HOUR / MICROSECONDS_PER_MINUTE,
            seconds: self.microseconds % MICROSECONDS_PER_MINUTE / MICROSECONDS_PER_SECOND,
            fraction: self.microseconds % MICROSECONDS_PER_SECOND,
        };
        match style {
            IntervalStyle::Postgres => parts.write_postgres(out),
            IntervalStyle::PostgresVerbose => parts.write_verbose(out),
            IntervalStyle::SqlStandard => parts.write_sql(out),
            IntervalStyle::Iso8601 => parts.write_iso(out),
        }
    }
}

impl Parts {
    fn time_sign(&self) -> i64 {
        [self.hours, self.minutes, self.seconds, self.fraction]
            .into_iter()
            .find(|part| *part != 0)
            .map_or(0, i64::signum)
    }

    /// `1 year 2 mons -3 days +04:05:06`.
    fn write_postgres(&self, out: &mut String) {
        let (mut is_first, mut was_negative) = (true, false);
        for (value, unit) in [
            (self.years, "year"),
            (self.months, "mon"),
            (self.days, "day"),
        ] {
            if value == 0 {
                continue;
            }
            let blank = if is_first { "" } else { " " };
            let plus = if was_negative && value > 0 { "+" } else { "" };
            let plural = if value == 1 { "" } else { "s" };
            let _ = write!(out, "{blank}{plus}{value} {unit}{plural}");
            was_negative = value < 0;
            is_first = false;
        }
        let sign = self.time_sign();
        if is_first || sign != 0 {
            if !is_first {
                out.push(' ');
            }
            match sign {
                -1 => out.push('-'),
                _ if was_negative => out.push('+'),
                _ => {}
            }
            write_two(self.hours.unsigned_abs() as u32, out);
            self.write_minutes(out);
        }
    }

    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs ago`.
    fn write_verbose(&self, out: &mut String) {
        out.push('@');
        // The first part decides whether all count backwards.
        let mut ago = None;
        for (value, unit) in [
            (self.years, "year"),
            (self.months, "mon"),
            (self.days, "day"),
            (self.hours, "hour"),
            (self.minutes, "min"),
        ] {
            if value != 0 {
                let shown = value * if *ago.get_or_insert(value < 0) { -1 } else { 1 };
                let plural = if shown == 1 { "" } else { "s" };
                let _ = write!(out, " {shown} {unit}{plural}");
            }
        }
        if self.seconds != 0 || self.fraction != 0 {
            let is_negative = self.seconds < 0 || self.fraction < 0;
            let backwards = *ago.get_or_insert(is_negative);
            out.push(' ');
            if is_negative != backwards {
                out.push('-');
            }
            let _ = write!(out, "{}", self.seconds.unsigned_abs());
            write_fraction(self.fraction, out);
            let is_one = self.seconds.abs() == 1 && self.fraction == 0;
            out.push_str(if is_one { " sec" } else { " secs" });
        }
        match ago {
            None => out.push_str(" 0"),
            Some(true) => out.push_str(" ago"),
            Some(false) => {}
        }
    }

    /// `1-2`, `3 4:05:06`, or, where the standard has no form, all with signs.
    fn write_sql(&self, out: &mut String) {
        let time_sign = self.time_sign();
        let signs = [
            self.years.signum(),
            self.months.signum(),
            self.days.signum(),
            time_sign,
        ];
        let (has_negative, has_positive) = (signs.contains(&-1), signs.contains(&1));
        let has_months = self.years != 0 || self.months != 0;
        let has_time = self.days != 0 || time_sign != 0;
        if !has_negative && !has_positive {
            out.push('0');
        } else if (has_negative && has_positive) || (has_months && has_time) {
            let sign = |negative: bool| if negative { '-' } else { '+' };
            let _ = write!(
                out,
                "{}{}-{} {}{} {}{}",
                sign(self.years < 0 || self.months < 0),
                self.years.abs(),
                self.months.abs(),
                sign(self.days < 0),
                self.days.abs(),
                sign(time_sign < 0),
                self.hours.unsigned_abs(),
            );
            self.write_minutes(out);
        } else {
            if has_negative {
                out.push('-');
            }
            if has_months {
                let _ = write!(out, "{}-{}", self.years.abs(), self.months.abs());
                return;
            }
            if self.days != 0 {
                let _ = write!(out, "{} ", self.days.abs());
            }
            let _ = write!(out, "{}", self.hours.unsigned_abs());
            self.write_minutes(out);
        }
    }

    /// `P1Y2M3DT4H5M6S`.
    fn write_iso(&self, out: &mut String) {
        let start = out.len();
        out.push('P');
        for (value, unit) in [(self.years, 'Y'), (self.months, 'M'), (self.days, 'D')] {
            if value != 0 {
                let _ = write!(out, "{value}{unit}");
            }
        }
        if self.time_sign() != 0 {
            out.push('T');
            for (value, unit) in [(self.hours, 'H'), (self.minutes, 'M')] {
                if value != 0 {
                    let _ = write!(out, "{value}{unit}");
                }
            }
            if self.seconds != 0 || self.fraction != 0 {
                if self.seconds < 0 || self.fraction < 0 {
                    out.push('-');
                }
                let _ = write!(out, "{}", self.seconds.unsigned_abs());
                write_fraction(self.fraction, out);
                out.push('S');
            }
        }
        if out.len() == start + 1 {
            out.push_str("T0S");
        }
    }

    /// `:05:06.7`.
    fn write_minutes(&self, out: &mut String) {
        out.push(':');
        write_two(self.minutes.unsigned_abs() as u32, out);
        out.push(':');
        write_two(self.seconds.unsigned_abs() as u32, out);
        write_fraction(self.fraction, out);
    }
}
