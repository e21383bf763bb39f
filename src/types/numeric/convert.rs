//! Numeric from and to text, integers and floats, and fitting to precision and scale.

use std::str::FromStr;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};

use super::arithmetic::rescale;
use super::{MAXIMUM_INTEGER_DIGITS, MAXIMUM_SCALE, Numeric, overflow, power_of_ten};
use crate::error::{Error, Result, SqlState};

/// Exponents beyond this are out of range whatever the digits.
const MAXIMUM_EXPONENT: u64 = i32::MAX as u64 / 2;
/// Decimal digits that a u128 surely holds.
const SMALL_DIGITS: usize = 38;
/// Significant digits that a float8 and a float4 pass on to a numeric.
const FLOAT8_DIGITS: usize = 15;
const FLOAT4_DIGITS: usize = 6;

impl Numeric {
    /// Reads PostgreSQL's input syntax, blanks around it allowed.
    pub fn parse(text: &str) -> Result<Numeric> {
        let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        match parse_number(trimmed) {
            Some(result) => result,
            None => parse_word(trimmed).ok_or_else(|| {
                Error::new(
                    SqlState::INVALID_TEXT_REPRESENTATION,
                    format!("invalid input syntax for type numeric: \"{text}\""),
                )
            }),
        }
    }

    /// As PostgreSQL's cast does it: 15 significant digits.
    pub fn from_f64(value: f64) -> Numeric {
        from_float(value, FLOAT8_DIGITS)
    }

    /// The same for a float4: 6 significant digits.
    pub fn from_f32(value: f32) -> Numeric {
        from_float(f64::from(value), FLOAT4_DIGITS)
    }

    /// Rounds half away from zero; 22003 beyond int8.
    pub fn to_i64(&self) -> Result<i64> {
        self.to_integer("bigint", i64::MIN, i64::MAX)
    }

    /// The same for an integer type of that name and range.
    pub fn to_integer(&self, name: &str, minimum: i64, maximum: i64) -> Result<i64> {
        let cannot = |what| {
            Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("cannot convert {what} to {name}"),
            )
        };
        match self {
            Numeric::NaN => Err(cannot("NaN")),
            Numeric::PositiveInfinity | Numeric::NegativeInfinity => Err(cannot("infinity")),
            Numeric::Finite { digits, scale } => rescale(digits, i64::from(*scale), 0)
                .to_i64()
                .filter(|value| (minimum..=maximum).contains(value))
                .ok_or_else(|| {
                    Error::new(
                        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                        format!("{name} out of range"),
                    )
                }),
        }
    }

    /// The nearest float8; an infinity when out of its range.
    pub fn to_f64(&self) -> f64 {
        match self {
            Numeric::NaN => f64::NAN,
            Numeric::PositiveInfinity => f64::INFINITY,
            Numeric::NegativeInfinity => f64::NEG_INFINITY,
            Numeric::Finite { digits, scale } => {
                // Both exact, so that one division rounds once.
                match digits.to_i64() {
                    Some(small) if small.unsigned_abs() < 1 << 53 && *scale <= 22 => {
                        small as f64 / 10_f64.powi(i32::from(*scale))
                    }
                    _ => f64::from_str(&format!("{digits}e-{scale}")).unwrap_or(f64::NAN),
                }
            }
        }
    }

    /// Rounds to the scale and checks the precision of `numeric(precision, scale)`.
    pub fn fit(&self, precision: u16, scale: i16) -> Result<Numeric> {
        let field_overflow = |detail: String| {
            Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "numeric field overflow",
            )
            .detail(format!(
                "A field with precision {precision}, scale {scale} {detail}."
            ))
        };
        match self {
            Numeric::NaN => Ok(Numeric::NaN),
            Numeric::PositiveInfinity | Numeric::NegativeInfinity => {
                Err(field_overflow("cannot hold an infinite value".to_owned()))
            }
            Numeric::Finite {
                digits,
                scale: current,
            } => {
                let rounded = rescale(digits, i64::from(*current), i64::from(scale));
                if rounded.abs() >= power_of_ten(i64::from(precision)) {
                    let integer_digits = i64::from(precision) - i64::from(scale);
                    let limit = match integer_digits {
                        0 => "1".to_owned(),
                        n => format!("10^{n}"),
                    };
                    return Err(field_overflow(format!(
                        "must round to an absolute value less than {limit}"
                    )));
                }
                Numeric::finite(rounded, i64::from(scale))
            }
        }
    }
}

impl FromStr for Numeric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Numeric> {
        Numeric::parse(text)
    }
}

/// `None` when the text is no decimal number.
fn parse_number(text: &str) -> Option<Result<Numeric>> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mantissa_end = rest
        .bytes()
        .position(|b| !b.is_ascii_digit() && b != b'.')
        .unwrap_or(rest.len());
    let (mantissa, exponent) = rest.split_at(mantissa_end);
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, fraction),
        None => (mantissa, ""),
    };
    if integer.len() + fraction.len() == 0 || fraction.contains('.') {
        return None;
    }
    let exponent = match exponent.as_bytes().first() {
        None => 0,
        Some(b'e' | b'E') => match parse_exponent(&exponent[1..])? {
            Ok(exponent) => exponent,
            Err(error) => return Some(Err(error)),
        },
        Some(_) => return None,
    };
    Some(assemble(negative, integer, fraction, exponent))
}

fn parse_exponent(text: &str) -> Option<Result<i64>> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(match text.parse::<i64>() {
        Ok(exponent) if exponent.unsigned_abs() < MAXIMUM_EXPONENT => Ok(exponent),
        _ => Err(overflow()),
    })
}

fn assemble(negative: bool, integer: &str, fraction: &str, exponent: i64) -> Result<Numeric> {
    let scale = fraction.len() as i64 - exponent;
    let integer = integer.trim_start_matches('0');
    let digits = if integer.len() + fraction.len() <= SMALL_DIGITS {
        let small = integer
            .bytes()
            .chain(fraction.bytes())
            .fold(0_u128, |sum, b| sum * 10 + u128::from(b - b'0'));
        BigInt::from(small)
    } else {
        let joined = format!("{integer}{fraction}");
        let significant = joined.trim_start_matches('0');
        // Reading costs the square of the length: first whether it fits.
        if scale > MAXIMUM_SCALE || significant.len() as i64 - scale > MAXIMUM_INTEGER_DIGITS {
            return Err(overflow());
        }
        match significant {
            "" => BigInt::ZERO,
            digits => BigInt::from_str(digits).map_err(|_| overflow())?,
        }
    };
    Numeric::finite(if negative { -digits } else { digits }, scale)
}

fn parse_word(text: &str) -> Option<Numeric> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("nan") {
        Some(Numeric::NaN)
    } else if is("infinity") || is("inf") || is("+infinity") || is("+inf") {
        Some(Numeric::PositiveInfinity)
    } else if is("-infinity") || is("-inf") {
        Some(Numeric::NegativeInfinity)
    } else {
        None
    }
}

fn from_float(value: f64, significant: usize) -> Numeric {
    if value.is_nan() {
        return Numeric::NaN;
    }
    if value.is_infinite() {
        return if value > 0.0 {
            Numeric::PositiveInfinity
        } else {
            Numeric::NegativeInfinity
        };
    }
    let text = format!("{value:.*e}", significant - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    Numeric::parse(&format!("{mantissa}e{exponent}"))
        .expect("a float's exponent is within numeric's limits")
}

/// `digits / 10^from` as digits of scale `to`, cut off.
pub(crate) fn cut_to_scale(digits: &BigInt, from: i64, to: i64) -> BigInt {
    if to >= from {
        digits * power_of_ten(to - from)
    } else {
        digits / power_of_ten(from - to)
    }
}
