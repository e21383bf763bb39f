//! PostgreSQL's interval: months, days and microseconds, kept apart.

use serde::{Deserialize, Serialize};

/// A span of time. Two intervals that print differently may be equal to SQL
/// (`1 mon` = `30 days`), so equality here is of the parts; see the comparison
/// functions for SQL's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub microseconds: i64,
}
