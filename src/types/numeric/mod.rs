//! PostgreSQL's numeric: arbitrary precision, exact, with its display scale.

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

/// A decimal number, NaN or an infinity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Numeric {
    NaN,
    NegativeInfinity,
    PositiveInfinity,
    /// `digits / 10^scale`; the scale (0 to 16383) is what is displayed, so
    /// 1.0 and 1.00 differ here and are equal to SQL.
    Finite {
        digits: BigInt,
        scale: u16,
    },
}
