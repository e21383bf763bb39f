//! Sums, multiples and justification of intervals.

use super::{DAYS_PER_MONTH, Interval};
use crate::error::{Error, Result, SqlState};
use crate::types::datetime::{MICROSECONDS_PER_DAY, interval_out_of_range};

const SECONDS_PER_DAY: f64 = 86_400.0;

impl Interval {
    pub fn add(&self, other: &Interval) -> Result<Interval> {
        let parts = (
            self.months.checked_add(other.months),
            self.days.checked_add(other.days),
            self.microseconds.checked_add(other.microseconds),
        );
        match parts {
            (Some(months), Some(days), Some(microseconds)) => Ok(Interval {
                months,
                days,
                microseconds,
            }),
            _ => Err(interval_out_of_range()),
        }
    }

    pub fn sub(&self, other: &Interval) -> Result<Interval> {
        self.add(&other.neg()?)
    }

    pub fn neg(&self) -> Result<Interval> {
        let parts = (
            self.months.checked_neg(),
            self.days.checked_neg(),
            self.microseconds.checked_neg(),
        );
        match parts {
            (Some(months), Some(days), Some(microseconds)) => Ok(Interval {
                months,
                days,
                microseconds,
            }),
            _ => Err(interval_out_of_range()),
        }
    }

    /// Fractions of months become days of which there are 30, fractions of
    /// days become time; never the other way.
    pub fn mul(&self, factor: f64) -> Result<Interval> {
        self.scale(|part| part * factor)
    }

    pub fn div(&self, divisor: f64) -> Result<Interval> {
        if divisor == 0.0 {
            return Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
        }
        self.scale(|part| part / divisor)
    }

    /// Days of 24 hours out of the time.
    pub fn justify_hours(&self) -> Result<Interval> {
        let mut result = *self;
        let days = result.microseconds / MICROSECONDS_PER_DAY;
        result.microseconds %= MICROSECONDS_PER_DAY;
        result.days = add_days(result.days, days)?;
        result.align_time();
        Ok(result)
    }

    /// Months of 30 days out of the days.
    pub fn justify_days(&self) -> Result<Interval> {
        let mut result = *self;
        result.carry_months()?;
        if result.months > 0 && result.days < 0 {
            result.days += DAYS_PER_MONTH as i32;
            result.months -= 1;
        } else if result.months < 0 && result.days > 0 {
            result.days -= DAYS_PER_MONTH as i32;
            result.months += 1;
        }
        Ok(result)
    }

    /// Both, and one sign for all.
    pub fn justify_interval(&self) -> Result<Interval> {
        let mut result = *self;
        // Early, where the sum of days could overflow.
        if result.days.signum() == result.microseconds.signum() as i32 {
            result.carry_months()?;
        }
        let days = result.microseconds / MICROSECONDS_PER_DAY;
        result.microseconds %= MICROSECONDS_PER_DAY;
        result.days = add_days(result.days, days)?;
        result.carry_months()?;
        let rest = (i64::from(result.days.signum()), result.microseconds);
        if result.months > 0 && (rest < (0, 0)) {
            result.days += DAYS_PER_MONTH as i32;
            result.months -= 1;
        } else if result.months < 0 && (rest > (0, 0)) {
            result.days -= DAYS_PER_MONTH as i32;
            result.months += 1;
        }
        result.align_time();
        Ok(result)
    }

    /// Gives the time the sign of the days.
    fn align_time(&mut self) {
        if self.days > 0 && self.microseconds < 0 {
            self.microseconds += MICROSECONDS_PER_DAY;
            self.days -= 1;
        } else if self.days < 0 && self.microseconds > 0 {
            self.microseconds -= MICROSECONDS_PER_DAY;
            self.days += 1;
        }
    }

    fn carry_months(&mut self) -> Result<()> {
        let months = self.days / DAYS_PER_MONTH as i32;
        self.days %= DAYS_PER_MONTH as i32;
        self.months = self
            .months
            .checked_add(months)
            .ok_or_else(interval_out_of_range)?;
        Ok(())
    }

    fn scale(&self, apply: impl Fn(f64) -> f64) -> Result<Interval> {
        let whole = |value: f64| {
            if value.is_nan() || value < f64::from(i32::MIN) || value > f64::from(i32::MAX) {
                Err(interval_out_of_range())
            } else {
                Ok(value as i32)
            }
        };
        let months = apply(f64::from(self.months));
        let days = apply(f64::from(self.days));
        let (whole_months, whole_days) = (whole(months)?, whole(days)?);
        let month_days = to_microsecond((months - f64::from(whole_months)) * DAYS_PER_MONTH as f64);
        let mut seconds = to_microsecond(
            (days - f64::from(whole_days) + month_days - month_days.trunc()) * SECONDS_PER_DAY,
        );
        let mut extra_days = month_days.trunc() as i64;
        if seconds.abs() >= SECONDS_PER_DAY {
            let carried = (seconds / SECONDS_PER_DAY).trunc();
            extra_days += carried as i64;
            seconds -= carried * SECONDS_PER_DAY;
        }
        let time = (apply(self.microseconds as f64) + seconds * 1e6).round_ties_even();
        // 2^63 itself does not fit.
        if time.is_nan() || !(-(2_f64.powi(63))..2_f64.powi(63)).contains(&time) {
            return Err(interval_out_of_range());
        }
        Ok(Interval {
            months: whole_months,
            days: add_days(whole_days, extra_days)?,
            microseconds: time as i64,
        })
    }
}

fn add_days(days: i32, more: i64) -> Result<i32> {
    i32::try_from(i64::from(days) + more).map_err(|_| interval_out_of_range())
}

/// Drops what float arithmetic left beyond the sixth digit.
fn to_microsecond(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}
