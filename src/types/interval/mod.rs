//! PostgreSQL's interval: months, days and microseconds, kept apart.

mod arithmetic;
mod format;
pub(crate) mod parse;

use serde::{Deserialize, Serialize};

use super::datetime::MICROSECONDS_PER_DAY;

/// Days that a month counts for where intervals are compared or justified.
pub const DAYS_PER_MONTH: i64 = 30;
pub const MONTHS_PER_YEAR: i32 = 12;

/// A span of time. Two intervals that print differently may be equal to SQL
/// (`1 mon` = `30 days`), so equality here is of the parts; see
/// [`Interval::span`] for SQL's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub microseconds: i64,
}

impl Interval {
    /// Microseconds, with months of 30 days: what SQL compares.
    pub fn span(&self) -> i128 {
        let days = i64::from(self.months) * DAYS_PER_MONTH + i64::from(self.days);
        i128::from(days) * i128::from(MICROSECONDS_PER_DAY) + i128::from(self.microseconds)
    }
}

#[cfg(test)]
mod tests;
