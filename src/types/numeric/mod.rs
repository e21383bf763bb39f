//! PostgreSQL's numeric: arbitrary precision, exact, with its display scale.
//!
//! Limits are PostgreSQL's: 131072 digits before the point, 16383 after it;
//! what lies beyond is 22003. NaN equals itself and is greater than all else.

mod arithmetic;
mod convert;
mod function;

pub(crate) use convert::cut_to_scale;

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};
use num_traits::{Signed, ToPrimitive, Zero};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, SqlState};

/// Digits that a number may have before its point.
pub const MAXIMUM_INTEGER_DIGITS: i64 = 131_072;
/// Digits that a number may have after its point.
pub const MAXIMUM_SCALE: i64 = 16_383;
/// Digits after the point that a computed result may have.
const MAXIMUM_DISPLAY_SCALE: i64 = 1000;
/// Significant digits that an inexact result has at least.
const MINIMUM_SIGNIFICANT_DIGITS: i64 = 16;
/// Bounds the scale argument of round and trunc, and (times three) the logarithm of results.
const MAXIMUM_RESULT_SCALE: i64 = 2000;
/// Decimal digits in one digit of PostgreSQL's own representation, which its
/// rules for result scales shine through.
const GROUP_DIGITS: i64 = 4;

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

impl Numeric {
    pub fn zero() -> Numeric {
        Numeric::from_i64(0)
    }

    pub fn from_i64(value: i64) -> Numeric {
        Numeric::Finite {
            digits: BigInt::from(value),
            scale: 0,
        }
    }

    /// `digits / 10^scale`, checked against the limits; a negative scale means zeros.
    pub fn finite(digits: BigInt, scale: i64) -> Result<Numeric> {
        if digits.is_zero() && scale <= 0 {
            return Ok(Numeric::zero());
        }
        if !(-MAXIMUM_INTEGER_DIGITS..=MAXIMUM_SCALE).contains(&scale) {
            return Err(overflow());
        }
        // Counting digits is dear: first a bound from the number of bits.
        let limit = scale + MAXIMUM_INTEGER_DIGITS;
        let length_bound = digits.bits() as i64 * 30_103 / 100_000 + 1;
        if length_bound > limit && (length_bound > limit + 2 || decimal_length(&digits) > limit) {
            return Err(overflow());
        }
        let digits = if scale < 0 {
            digits * power_of_ten(-scale)
        } else {
            digits
        };
        Ok(Numeric::Finite {
            digits,
            scale: scale.max(0) as u16,
        })
    }

    pub fn is_nan(&self) -> bool {
        matches!(self, Numeric::NaN)
    }

    pub fn is_infinite(&self) -> bool {
        matches!(self, Numeric::PositiveInfinity | Numeric::NegativeInfinity)
    }

    /// Digits displayed after the point; `None` for NaN and the infinities.
    pub fn scale(&self) -> Option<u16> {
        match self {
            Numeric::Finite { scale, .. } => Some(*scale),
            _ => None,
        }
    }

    /// What the digits take in memory beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Numeric::Finite { digits, .. } => (digits.bits() / 8) as usize,
            _ => 0,
        }
    }

    /// The least scale that loses nothing (SQL's `min_scale`).
    pub fn minimum_scale(&self) -> Option<u16> {
        self.trimmed().scale()
    }

    /// Without the zeros that end the fraction: equal numbers become identical.
    pub fn trimmed(&self) -> Numeric {
        let Numeric::Finite { digits, scale } = self else {
            return self.clone();
        };
        let (mut digits, mut scale) = (digits.clone(), *scale);
        if let Some(mut small) = digits.to_i128() {
            while scale > 0 && small % 10 == 0 {
                small /= 10;
                scale -= 1;
            }
            digits = BigInt::from(small);
        } else {
            // Halving steps: a long tail of zeros must not cost a division each.
            let mut step = 8192_i64;
            while step > 0 {
                if i64::from(scale) >= step {
                    let divisor = power_of_ten(step);
                    if (&digits % &divisor).is_zero() {
                        digits /= divisor;
                        scale -= step as u16;
                        continue;
                    }
                }
                step /= 2;
            }
        }
        Numeric::Finite { digits, scale }
    }

    /// -1, 0 or 1; 0 for NaN.
    pub fn signum(&self) -> i32 {
        match self {
            Numeric::NaN => 0,
            Numeric::NegativeInfinity => -1,
            Numeric::PositiveInfinity => 1,
            Numeric::Finite { digits, .. } => match digits.sign() {
                Sign::Minus => -1,
                Sign::NoSign => 0,
                Sign::Plus => 1,
            },
        }
    }

    pub fn is_zero(&self) -> bool {
        !self.is_nan() && self.signum() == 0
    }

    /// Finite and without a fraction.
    pub fn is_integral(&self) -> bool {
        self.minimum_scale() == Some(0)
    }

    /// Appends the display form.
    pub fn write(&self, out: &mut String) {
        let (digits, scale) = match self {
            Numeric::NaN => return out.push_str("NaN"),
            Numeric::NegativeInfinity => return out.push_str("-Infinity"),
            Numeric::PositiveInfinity => return out.push_str("Infinity"),
            Numeric::Finite { digits, scale } => (digits, usize::from(*scale)),
        };
        if digits.is_negative() {
            out.push('-');
        }
        let text = match digits.magnitude().to_u64() {
            Some(small) => small.to_string(),
            None => digits.magnitude().to_string(),
        };
        if text.len() > scale {
            let (integer, fraction) = text.split_at(text.len() - scale);
            out.push_str(integer);
            if scale > 0 {
                out.push('.');
                out.push_str(fraction);
            }
        } else {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', scale - text.len()));
            out.push_str(&text);
        }
    }

    /// By value; NaN equals NaN and is the greatest.
    pub fn compare(&self, other: &Numeric) -> Ordering {
        match (self, other) {
            (
                Numeric::Finite {
                    digits: a,
                    scale: s,
                },
                Numeric::Finite {
                    digits: b,
                    scale: t,
                },
            ) => match s.cmp(t) {
                Ordering::Equal => a.cmp(b),
                _ if a.sign() != b.sign() => a.sign().cmp(&b.sign()),
                Ordering::Less => (a * power_of_ten(i64::from(t - s))).cmp(b),
                Ordering::Greater => a.cmp(&(b * power_of_ten(i64::from(s - t)))),
            },
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> i32 {
        match self {
            Numeric::NegativeInfinity => 0,
            Numeric::Finite { .. } => 1,
            Numeric::PositiveInfinity => 2,
            Numeric::NaN => 3,
        }
    }

    /// Decimal exponent of the leading digit's group of four, and that group:
    /// PostgreSQL's `weight` and first digit. Zero gives (0, 0).
    fn leading_group(&self) -> (i64, i64) {
        let Numeric::Finite { digits, scale } = self else {
            return (0, 0);
        };
        if digits.is_zero() {
            return (0, 0);
        }
        let length = decimal_length(digits);
        let exponent = length - 1 - i64::from(*scale);
        let weight = exponent.div_euclid(GROUP_DIGITS);
        let wanted = exponent - weight * GROUP_DIGITS + 1;
        (weight, leading_digits(digits, length, wanted))
    }
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// 22003, as PostgreSQL words it.
fn overflow() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    )
}

/// `exponent` is never negative and within the limits of the type.
fn power_of_ten(exponent: i64) -> BigInt {
    match 10_u64.checked_pow(exponent as u32) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(10).pow(exponent as u32),
    }
}

/// Number of decimal digits; 0 for zero.
fn decimal_length(digits: &BigInt) -> i64 {
    match digits.magnitude().to_u128() {
        Some(0) => 0,
        Some(small) => i64::from(small.ilog10()) + 1,
        None => digits.magnitude().to_string().len() as i64,
    }
}

/// The first `wanted` (at most 18) of `length` decimal digits, zeros appended if there are fewer.
fn leading_digits(digits: &BigInt, length: i64, wanted: i64) -> i64 {
    let magnitude = digits.abs();
    let leading = if length >= wanted {
        magnitude / power_of_ten(length - wanted)
    } else {
        magnitude * power_of_ten(wanted - length)
    };
    leading.to_i64().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
