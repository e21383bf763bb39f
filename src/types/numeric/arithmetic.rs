//! Exact arithmetic, with PostgreSQL's rules for the scale of each result.

use num_bigint::BigInt;
use num_traits::{Signed, Zero};

use super::{
    GROUP_DIGITS, MAXIMUM_DISPLAY_SCALE, MAXIMUM_RESULT_SCALE, MAXIMUM_SCALE,
    MINIMUM_SIGNIFICANT_DIGITS, Numeric, power_of_ten,
};
use crate::error::{Error, Result, SqlState};

impl Numeric {
    pub fn add(&self, other: &Numeric) -> Result<Numeric> {
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
            ) => {
                let scale = i64::from(*s.max(t));
                let sum = rescale(a, i64::from(*s), scale) + rescale(b, i64::from(*t), scale);
                Numeric::finite(sum, scale)
            }
            (Numeric::NaN, _) | (_, Numeric::NaN) => Ok(Numeric::NaN),
            (Numeric::Finite { .. }, infinite) => Ok(infinite.clone()),
            (infinite, Numeric::Finite { .. }) => Ok(infinite.clone()),
            (a, b) if a == b => Ok(a.clone()),
            _ => Ok(Numeric::NaN),
        }
    }

    pub fn sub(&self, other: &Numeric) -> Result<Numeric> {
        self.add(&other.neg())
    }

    pub fn neg(&self) -> Numeric {
        match self {
            Numeric::NaN => Numeric::NaN,
            Numeric::NegativeInfinity => Numeric::PositiveInfinity,
            Numeric::PositiveInfinity => Numeric::NegativeInfinity,
            Numeric::Finite { digits, scale } => Numeric::Finite {
                digits: -digits,
                scale: *scale,
            },
        }
    }

    pub fn abs(&self) -> Numeric {
        if self.signum() < 0 {
            self.neg()
        } else {
            self.clone()
        }
    }

    /// -1, 0, 1 or NaN.
    pub fn sign(&self) -> Numeric {
        match self {
            Numeric::NaN => Numeric::NaN,
            other => Numeric::from_i64(i64::from(other.signum())),
        }
    }

    pub fn mul(&self, other: &Numeric) -> Result<Numeric> {
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
            ) => {
                let scale = i64::from(*s) + i64::from(*t);
                let product = a * b;
                if scale > MAXIMUM_SCALE {
                    return Numeric::finite(rescale(&product, scale, MAXIMUM_SCALE), MAXIMUM_SCALE);
                }
                Numeric::finite(product, scale)
            }
            (Numeric::NaN, _) | (_, Numeric::NaN) => Ok(Numeric::NaN),
            (a, b) => Ok(infinity_of_sign(a.signum() * b.signum())),
        }
    }

    /// 22012 on zero; the scale gives at least 16 significant digits.
    pub fn div(&self, other: &Numeric) -> Result<Numeric> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NaN);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
        match (self, other) {
            (Numeric::Finite { .. }, Numeric::Finite { .. }) => {
                self.div_to_scale(other, self.division_scale(other))
            }
            (Numeric::Finite { .. }, _) => Ok(Numeric::zero()),
            (infinite, Numeric::Finite { .. }) => {
                Ok(infinity_of_sign(infinite.signum() * other.signum()))
            }
            _ => Ok(Numeric::NaN),
        }
    }

    /// The integer quotient, truncated (SQL's `div`).
    pub fn div_trunc(&self, other: &Numeric) -> Result<Numeric> {
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
            ) if !b.is_zero() => {
                let scale = i64::from(*s.max(t));
                let quotient = rescale(a, i64::from(*s), scale) / rescale(b, i64::from(*t), scale);
                Numeric::finite(quotient, 0)
            }
            _ => self.div(other),
        }
    }

    /// Has the sign of the dividend; 22012 on zero.
    pub fn rem(&self, other: &Numeric) -> Result<Numeric> {
        if self.is_nan() || other.is_nan() {
            return Ok(Numeric::NaN);
        }
        if other.is_zero() {
            return Err(division_by_zero());
        }
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
            ) => {
                let scale = i64::from(*s.max(t));
                let rest = rescale(a, i64::from(*s), scale) % rescale(b, i64::from(*t), scale);
                Numeric::finite(rest, scale)
            }
            (Numeric::Finite { .. }, _) => Ok(self.clone()),
            _ => Ok(Numeric::NaN),
        }
    }

    /// Rounds half away from zero to so many digits after the point; a
    /// negative number rounds before it.
    pub fn round(&self, places: i32) -> Result<Numeric> {
        self.to_places(places, rescale)
    }

    /// Cuts off instead.
    pub fn trunc(&self, places: i32) -> Result<Numeric> {
        self.to_places(places, |digits, from, to| {
            if to >= from {
                rescale(digits, from, to)
            } else {
                digits / power_of_ten(from - to)
            }
        })
    }

    pub fn ceil(&self) -> Result<Numeric> {
        self.neg().floor().map(|floor| floor.neg())
    }

    pub fn floor(&self) -> Result<Numeric> {
        let Numeric::Finite { digits, scale } = self else {
            return Ok(self.clone());
        };
        let divisor = power_of_ten(i64::from(*scale));
        let mut quotient = digits / &divisor;
        if digits.is_negative() && !(digits % &divisor).is_zero() {
            quotient -= 1;
        }
        Numeric::finite(quotient, 0)
    }

    fn to_places(
        &self,
        places: i32,
        change: impl Fn(&BigInt, i64, i64) -> BigInt,
    ) -> Result<Numeric> {
        let Numeric::Finite { digits, scale } = self else {
            return Ok(self.clone());
        };
        let places = i64::from(places).clamp(-MAXIMUM_RESULT_SCALE, MAXIMUM_RESULT_SCALE);
        Numeric::finite(change(digits, i64::from(*scale), places), places)
    }

    /// The quotient of finite numbers, rounded to a scale; `other` is not zero.
    pub(super) fn div_to_scale(&self, other: &Numeric, scale: i64) -> Result<Numeric> {
        let (
            Numeric::Finite {
                digits: a,
                scale: s,
            },
            Numeric::Finite {
                digits: b,
                scale: t,
            },
        ) = (self, other)
        else {
            return Ok(Numeric::NaN);
        };
        let shift = scale + i64::from(*t) - i64::from(*s);
        let quotient = if shift >= 0 {
            divide_rounding(&(a * power_of_ten(shift)), b)
        } else {
            divide_rounding(a, &(b * power_of_ten(-shift)))
        };
        Numeric::finite(quotient, scale)
    }

    fn division_scale(&self, other: &Numeric) -> i64 {
        let (weight_a, first_a) = self.leading_group();
        let (weight_b, first_b) = other.leading_group();
        let mut weight = weight_a - weight_b;
        if first_a <= first_b {
            weight -= 1;
        }
        let scale_of = |n: &Numeric| i64::from(n.scale().unwrap_or(0));
        (MINIMUM_SIGNIFICANT_DIGITS - weight * GROUP_DIGITS)
            .max(scale_of(self))
            .max(scale_of(other))
            .clamp(0, MAXIMUM_DISPLAY_SCALE)
    }
}

fn infinity_of_sign(sign: i32) -> Numeric {
    match sign {
        1 => Numeric::PositiveInfinity,
        -1 => Numeric::NegativeInfinity,
        _ => Numeric::NaN,
    }
}

fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

/// `digits / 10^from` as digits of scale `to`, rounded half away from zero.
pub(super) fn rescale(digits: &BigInt, from: i64, to: i64) -> BigInt {
    match to - from {
        0 => digits.clone(),
        more if more > 0 => digits * power_of_ten(more),
        less => divide_rounding(digits, &power_of_ten(-less)),
    }
}

/// Rounds half away from zero; the divisor is not zero.
fn divide_rounding(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let magnitude: BigInt = (dividend.abs() * 2 + divisor.abs()) / (divisor.abs() * 2);
    if dividend.is_negative() != divisor.is_negative() {
        -magnitude
    } else {
        magnitude
    }
}
