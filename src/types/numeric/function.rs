//! Roots, powers, exponentials and logarithms.
//!
//! Results have the scale that PostgreSQL 15 gives them and are rounded from a
//! few more digits than shown, computed in fixed point on big integers.

use num_bigint::BigInt;
use num_traits::{One, Zero};

use super::arithmetic::rescale;
use super::{
    GROUP_DIGITS, MAXIMUM_DISPLAY_SCALE, MAXIMUM_INTEGER_DIGITS, MAXIMUM_RESULT_SCALE,
    MINIMUM_SIGNIFICANT_DIGITS, Numeric, decimal_length, leading_digits, overflow, power_of_ten,
};
use crate::error::{Error, Result, SqlState};

/// Digits computed beyond those shown.
const GUARD_DIGITS: i64 = 25;
const LN_10: f64 = std::f64::consts::LN_10;
const LOG10_E: f64 = std::f64::consts::LOG10_E;

impl Numeric {
    pub fn sqrt(&self) -> Result<Numeric> {
        if self.signum() < 0 {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "cannot take square root of a negative number",
            ));
        }
        let Numeric::Finite { scale, .. } = self else {
            return Ok(self.clone());
        };
        let (weight, _) = self.leading_group();
        let result_weight = (weight + 1) * GROUP_DIGITS / 2 - 1;
        let result_scale = (MINIMUM_SIGNIFICANT_DIGITS - result_weight)
            .max(i64::from(*scale))
            .clamp(0, MAXIMUM_DISPLAY_SCALE);
        self.root(result_scale)
    }

    /// The square root of a variance, with as many digits as that has.
    pub fn deviation(&self) -> Result<Numeric> {
        match self {
            Numeric::Finite { scale, .. } => self.root(i64::from(*scale)),
            other => Ok(other.clone()),
        }
    }

    fn root(&self, result_scale: i64) -> Result<Numeric> {
        let Numeric::Finite { digits, scale } = self else {
            return Ok(self.clone());
        };
        let square = rescale(digits, i64::from(*scale), 2 * result_scale);
        let mut root = square.sqrt();
        if &square - &root * &root > root {
            root += 1;
        }
        Numeric::finite(root, result_scale)
    }

    pub fn exp(&self) -> Result<Numeric> {
        let Numeric::Finite { scale, .. } = self else {
            return Ok(match self {
                Numeric::NegativeInfinity => Numeric::zero(),
                other => other.clone(),
            });
        };
        let limit = MAXIMUM_RESULT_SCALE as f64;
        let full_weight = self.to_f64() * LOG10_E;
        let weight = full_weight.clamp(-limit, limit) as i64;
        let result_scale = (MINIMUM_SIGNIFICANT_DIGITS - weight)
            .max(i64::from(*scale))
            .clamp(0, MAXIMUM_DISPLAY_SCALE);
        if self.to_f64().abs() >= limit * 3.0 {
            return if self.signum() > 0 {
                Err(overflow())
            } else {
                Numeric::finite(BigInt::zero(), result_scale)
            };
        }
        let precision = result_scale + full_weight.max(0.0) as i64 + GUARD_DIGITS;
        let result = exponential(&self.fixed(precision), precision);
        Numeric::finite(rescale(&result, precision, result_scale), result_scale)
    }

    pub fn ln(&self) -> Result<Numeric> {
        self.check_logarithm()?;
        let Numeric::Finite { scale, .. } = self else {
            return Ok(self.clone());
        };
        let result_scale = (MINIMUM_SIGNIFICANT_DIGITS - self.logarithm_weight())
            .max(i64::from(*scale))
            .clamp(0, MAXIMUM_DISPLAY_SCALE);
        let precision = result_scale + GUARD_DIGITS;
        let result = self.logarithm(precision);
        Numeric::finite(rescale(&result, precision, result_scale), result_scale)
    }

    pub fn log10(&self) -> Result<Numeric> {
        Numeric::from_i64(10).log(self)
    }

    /// The logarithm of `number` to this base.
    pub fn log(&self, number: &Numeric) -> Result<Numeric> {
        if self.is_nan() || number.is_nan() {
            return Ok(Numeric::NaN);
        }
        self.check_logarithm()?;
        number.check_logarithm()?;
        let (Numeric::Finite { scale: s, .. }, Numeric::Finite { scale: t, .. }) = (self, number)
        else {
            return Ok(match (self.is_infinite(), number.is_infinite()) {
                (true, true) => Numeric::NaN,
                (true, false) => Numeric::zero(),
                _ => Numeric::PositiveInfinity,
            });
        };
        let (base_weight, weight) = (self.logarithm_weight(), number.logarithm_weight());
        let result_scale = (MINIMUM_SIGNIFICANT_DIGITS - (weight - base_weight))
            .max(i64::from(*s.max(t)))
            .clamp(0, MAXIMUM_DISPLAY_SCALE);
        let precision = result_scale + weight.abs() + 2 * base_weight.abs() + GUARD_DIGITS;
        let base = Numeric::finite(self.logarithm(precision), precision)?;
        let number = Numeric::finite(number.logarithm(precision), precision)?;
        if base.is_zero() {
            return base.div(&base);
        }
        number.div_to_scale(&base, result_scale)
    }

    pub fn power(&self, exponent: &Numeric) -> Result<Numeric> {
        let one = Numeric::from_i64(1);
        let is_one = |n: &Numeric| n.compare(&one).is_eq();
        if self.is_nan() || exponent.is_nan() {
            return Ok(if is_one(self) || exponent.is_zero() {
                one
            } else {
                Numeric::NaN
            });
        }
        if self.is_zero() && exponent.signum() < 0 {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "zero raised to a negative power is undefined",
            ));
        }
        if self.signum() < 0 && !exponent.is_infinite() && !exponent.is_integral() {
            return Err(Error::new(
                SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
                "a negative number raised to a non-integer power yields a complex result",
            ));
        }
        if self.is_infinite() || exponent.is_infinite() {
            return Ok(self.power_infinite(exponent));
        }
        let small = exponent
            .is_integral()
            .then(|| exponent.to_i64().ok())
            .flatten()
            .and_then(|integer| i32::try_from(integer).ok());
        match small {
            Some(integer) => self.power_integer(integer),
            None => self.power_fraction(exponent),
        }
    }

    /// The rules of IEEE 754 where either side is infinite.
    fn power_infinite(&self, exponent: &Numeric) -> Numeric {
        let one = Numeric::from_i64(1);
        if exponent.is_zero() {
            return one;
        }
        let magnitude = self.abs().compare(&one);
        let grows = match exponent {
            Numeric::PositiveInfinity => magnitude.is_gt(),
            Numeric::NegativeInfinity => magnitude.is_lt(),
            finite => finite.signum() > 0,
        };
        if exponent.is_infinite() && magnitude.is_eq() {
            one
        } else if !grows {
            Numeric::zero()
        } else if matches!(self, Numeric::NegativeInfinity) && exponent.is_odd() {
            Numeric::NegativeInfinity
        } else {
            Numeric::PositiveInfinity
        }
    }

    fn is_odd(&self) -> bool {
        match self.trimmed() {
            Numeric::Finite { digits, scale: 0 } => digits.bit(0),
            _ => false,
        }
    }

    fn power_integer(&self, exponent: i32) -> Result<Numeric> {
        let Numeric::Finite { digits, scale } = self else {
            return Ok(Numeric::NaN);
        };
        let result_scale =
            i64::from(*scale).clamp(MINIMUM_SIGNIFICANT_DIGITS, MAXIMUM_DISPLAY_SCALE);
        let at_scale =
            |n: &BigInt, scale| Numeric::finite(rescale(n, scale, result_scale), result_scale);
        if exponent == 0 {
            return at_scale(&BigInt::one(), 0);
        }
        if digits.is_zero() {
            return at_scale(&BigInt::zero(), 0);
        }
        let length = decimal_length(digits);
        let leading = leading_digits(digits, length, length.min(17));
        let logarithm =
            (leading as f64).log10() + (length - length.min(17)) as f64 - f64::from(*scale);
        let result_weight = f64::from(exponent) * logarithm;
        if result_weight > (MAXIMUM_INTEGER_DIGITS + 1) as f64 {
            return Err(overflow());
        }
        if result_weight + 1.0 < -(result_scale as f64) {
            return at_scale(&BigInt::zero(), 0);
        }
        let significant = 1 + result_scale + (result_weight as i64).max(0) + GUARD_DIGITS;
        let (mantissa, power) = power_of_mantissa(
            digits,
            -i64::from(*scale),
            exponent.unsigned_abs(),
            significant,
        );
        if exponent > 0 {
            return at_scale(&mantissa, -power);
        }
        // 1 / (mantissa * 10^power), with as many digits as the mantissa has.
        let shift = significant + decimal_length(&mantissa);
        at_scale(&(power_of_ten(shift) / mantissa), shift + power)
    }

    fn power_fraction(&self, exponent: &Numeric) -> Result<Numeric> {
        if self.is_zero() {
            return Numeric::finite(BigInt::zero(), MINIMUM_SIGNIFICANT_DIGITS);
        }
        let base = self.abs();
        let negative = self.signum() < 0 && exponent.is_odd();
        let estimate = base.logarithm_estimate() * exponent.to_f64();
        if estimate.abs() > MAXIMUM_RESULT_SCALE as f64 * 3.01 {
            return if estimate > 0.0 {
                Err(overflow())
            } else {
                Numeric::finite(BigInt::zero(), MAXIMUM_DISPLAY_SCALE)
            };
        }
        let weight = (estimate * LOG10_E) as i64;
        let scale_of = |n: &Numeric| i64::from(n.scale().unwrap_or(0));
        let result_scale = (MINIMUM_SIGNIFICANT_DIGITS - weight)
            .max(scale_of(self))
            .max(scale_of(exponent))
            .clamp(0, MAXIMUM_DISPLAY_SCALE);
        let precision = result_scale + weight.max(0) + GUARD_DIGITS;
        let exponent_digits = exponent.trunc(0)?.to_string().len() as i64;
        let wide = precision + exponent_digits;
        let product = base.logarithm(wide) * exponent.fixed(wide) / power_of_ten(wide);
        let result = exponential(&rescale(&product, wide, precision), precision);
        let result = if negative { -result } else { result };
        Numeric::finite(rescale(&result, precision, result_scale), result_scale)
    }

    fn check_logarithm(&self) -> Result<()> {
        let message = match self {
            Numeric::NaN => return Ok(()),
            other if other.signum() < 0 => "cannot take logarithm of a negative number",
            other if other.is_zero() => "cannot take logarithm of zero",
            _ => return Ok(()),
        };
        Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_LOGARITHM,
            message,
        ))
    }

    /// `ln(self)` in float8, good enough to choose scales.
    fn logarithm_estimate(&self) -> f64 {
        let Numeric::Finite { digits, scale } = self else {
            return 0.0;
        };
        let one = Numeric::from_i64(1);
        if let Ok(distance) = self.sub(&one)
            && distance.to_f64().abs() <= 0.1
        {
            return distance.to_f64().ln_1p();
        }
        let length = decimal_length(digits);
        let taken = length.min(17);
        let leading = leading_digits(digits, length, taken) as f64;
        leading.ln() + (length - taken - i64::from(*scale)) as f64 * LN_10
    }

    /// Decimal exponent of `ln(self)`, as PostgreSQL estimates it.
    fn logarithm_weight(&self) -> i64 {
        let one = Numeric::from_i64(1);
        let distance = self.sub(&one).unwrap_or(Numeric::NaN);
        if distance.to_f64().abs() <= 0.1 {
            return match &distance {
                Numeric::Finite { digits, scale } if !digits.is_zero() => {
                    decimal_length(digits) - 1 - i64::from(*scale)
                }
                _ => 0,
            };
        }
        self.logarithm_estimate().abs().log10() as i64
    }

    /// `self * 10^precision`.
    fn fixed(&self, precision: i64) -> BigInt {
        match self {
            Numeric::Finite { digits, scale } => rescale(digits, i64::from(*scale), precision),
            _ => BigInt::zero(),
        }
    }

    /// `ln(self) * 10^precision` of a positive number.
    fn logarithm(&self, precision: i64) -> BigInt {
        let Numeric::Finite { digits, scale } = self else {
            return BigInt::zero();
        };
        // The power of two can reach 2^19 and multiplies the error of ln 2.
        let precision_inside = precision + 8;
        let unit = power_of_ten(precision_inside);
        let divisor = power_of_ten(i64::from(*scale));
        let exponent = digits.bits() as i64 - divisor.bits() as i64;
        let reduced = if exponent >= 0 {
            digits * &unit / (divisor << exponent)
        } else {
            ((digits * &unit) << -exponent) / divisor
        };
        let z = (&reduced - &unit) * &unit / (&reduced + &unit);
        let ln_2 = inverse_tangent_series(&(&unit / 3), &unit) * 2;
        let result = inverse_tangent_series(&z, &unit) * 2 + ln_2 * exponent;
        rescale(&result, precision_inside, precision)
    }
}

/// `atanh(z)` in fixed point, |z| < 1/2.
fn inverse_tangent_series(z: &BigInt, unit: &BigInt) -> BigInt {
    let square = z * z / unit;
    let (mut power, mut sum, mut divisor) = (z.clone(), z.clone(), 3);
    while !power.is_zero() {
        power = power * &square / unit;
        sum += &power / divisor;
        divisor += 2;
    }
    sum
}

/// `exp(x)` in fixed point of so many digits: halved until small, then a
/// Taylor series, then squared back.
fn exponential(x: &BigInt, precision: i64) -> BigInt {
    let unit_bits = power_of_ten(precision).bits() as i64;
    let halvings = (x.bits() as i64 - unit_bits + 9).max(0);
    // Every squaring doubles the relative error.
    let inside = precision + halvings / 3 + 5;
    let unit = power_of_ten(inside);
    let reduced = rescale(x, precision, inside) >> halvings;
    let (mut term, mut sum, mut count) = (unit.clone(), unit.clone(), 1);
    loop {
        term = term * &reduced / &unit / count;
        if term.is_zero() {
            break;
        }
        sum += &term;
        count += 1;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &unit;
    }
    rescale(&sum, inside, precision)
}

/// `(digits * 10^power)^exponent` as mantissa and power of ten, kept to so many digits.
fn power_of_mantissa(
    digits: &BigInt,
    power: i64,
    exponent: u32,
    significant: i64,
) -> (BigInt, i64) {
    // Each step loses at most a unit in the last place; steps are below 64.
    let kept = significant + 12;
    let shorten = |mantissa: BigInt, power: i64| {
        // The length within a digit, from the bits: counting is dear.
        let length = mantissa.bits() as i64 * 30_103 / 100_000;
        let excess = (length - kept).max(0);
        (mantissa / power_of_ten(excess), power + excess)
    };
    let (mut result, mut result_power) = (BigInt::one(), 0);
    let (mut square, mut square_power) = shorten(digits.clone(), power);
    let mut remaining = exponent;
    while remaining > 0 {
        if remaining & 1 == 1 {
            (result, result_power) = shorten(result * &square, result_power + square_power);
        }
        remaining >>= 1;
        if remaining > 0 {
            (square, square_power) = shorten(&square * &square, 2 * square_power);
        }
    }
    (result, result_power)
}

#[cfg(test)]
mod tests {
    use num_traits::{Signed, ToPrimitive};

    use super::*;

    #[test]
    fn fixed_point_helpers() {
        let e = exponential(&power_of_ten(30), 30).to_string();
        assert_eq!(e, "2718281828459045235360287471353");
        assert_eq!(
            Numeric::from_i64(2).logarithm(30).to_i128(),
            Some(693_147_180_559_945_309_417_232_121_458)
        );
        assert!(exponential(&-power_of_ten(33), 30).abs() < BigInt::one());
    }
}
