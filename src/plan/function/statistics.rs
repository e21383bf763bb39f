//! Variance, standard deviation, correlation and regression.
//!
//! Integers and numerics are summed exactly; floats by Youngs and Cramer's
//! updates, as PostgreSQL does, so that the last digits agree.

use super::arguments::{float, int, numeric};
use super::definition::{Definition, aggregate};
use super::{Accumulator, Call};
use crate::error::Result;
use crate::types::{Numeric, Type, Value};

/// One function over all number types.
macro_rules! family {
    ($name:literal, $start:path, $root:literal) => {
        [
            aggregate($name, "int2 -> numeric", |call| $start(call, $root)),
            aggregate($name, "int4 -> numeric", |call| $start(call, $root)),
            aggregate($name, "int8 -> numeric", |call| $start(call, $root)),
            aggregate($name, "numeric -> numeric", |call| $start(call, $root)),
            aggregate($name, "float4 -> float8", |call| $start(call, $root)),
            aggregate($name, "float8 -> float8", |call| $start(call, $root)),
        ]
    };
}

pub(super) const TABLES: &[&[Definition]] = &[
    &family!("stddev", Spread::sample, true),
    &family!("stddev_samp", Spread::sample, true),
    &family!("stddev_pop", Spread::population, true),
    &family!("variance", Spread::sample, false),
    &family!("var_samp", Spread::sample, false),
    &family!("var_pop", Spread::population, false),
    REGRESSION,
];

macro_rules! regression {
    ($name:literal, $tell:expr) => {
        aggregate($name, "float8 float8 -> float8", |_| {
            Box::new(Regression {
                tell: $tell,
                ..Regression::default()
            })
        })
    };
}

const REGRESSION: &[Definition] = &[
    aggregate("regr_count", "float8 float8 -> int8", |_| {
        Box::new(Regression {
            count_only: true,
            ..Regression::default()
        })
    }),
    regression!("corr", |r| (r.xx != 0.0 && r.yy != 0.0)
        .then(|| r.xy / (r.xx * r.yy).sqrt())),
    regression!("covar_pop", |r| Some(r.xy / r.count)),
    regression!("covar_samp", |r| (r.count > 1.0)
        .then(|| r.xy / (r.count - 1.0))),
    regression!("regr_avgx", |r| Some(r.x / r.count)),
    regression!("regr_avgy", |r| Some(r.y / r.count)),
    regression!("regr_sxx", |r| Some(r.xx)),
    regression!("regr_syy", |r| Some(r.yy)),
    regression!("regr_sxy", |r| Some(r.xy)),
    regression!("regr_slope", |r| (r.xx != 0.0).then(|| r.xy / r.xx)),
    regression!("regr_intercept", |r| {
        (r.xx != 0.0).then(|| (r.y - r.x * r.xy / r.xx) / r.count)
    }),
    regression!("regr_r2", |r| match (r.xx == 0.0, r.yy == 0.0) {
        (true, _) => None,
        (_, true) => Some(1.0),
        _ => Some(r.xy * r.xy / (r.xx * r.yy)),
    }),
];

enum Spread {
    Exact(ExactSpread),
    Float(FloatSpread),
}

#[derive(Default)]
struct ExactSpread {
    count: i64,
    sum: Option<Numeric>,
    squares: Option<Numeric>,
    sample: bool,
    root: bool,
}

#[derive(Default)]
struct FloatSpread {
    count: f64,
    sum: f64,
    squares: f64,
    sample: bool,
    root: bool,
}

impl Spread {
    fn sample(call: &Call<'_>, root: bool) -> Box<dyn Accumulator> {
        Spread::start(call, true, root)
    }

    fn population(call: &Call<'_>, root: bool) -> Box<dyn Accumulator> {
        Spread::start(call, false, root)
    }

    fn start(call: &Call<'_>, sample: bool, root: bool) -> Box<dyn Accumulator> {
        Box::new(match call.result_type {
            Type::Float8 => Spread::Float(FloatSpread {
                sample,
                root,
                ..FloatSpread::default()
            }),
            _ => Spread::Exact(ExactSpread {
                sample,
                root,
                ..ExactSpread::default()
            }),
        })
    }
}

impl Accumulator for Spread {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        match self {
            Spread::Exact(spread) => match &arguments[0] {
                Value::Int(_) => spread.add(&Numeric::from_i64(int(&arguments[0])?)),
                value => spread.add(numeric(value)?),
            },
            Spread::Float(spread) => {
                spread.add(float(&arguments[0])?);
                Ok(())
            }
        }
    }

    fn finish(&mut self) -> Result<Value> {
        match self {
            Spread::Exact(spread) => spread.finish(),
            Spread::Float(spread) => Ok(spread.finish()),
        }
    }
}

impl ExactSpread {
    fn add(&mut self, value: &Numeric) -> Result<()> {
        let square = value.mul(value)?;
        self.sum = Some(match &self.sum {
            Some(sum) => sum.add(value)?,
            None => value.clone(),
        });
        self.squares = Some(match &self.squares {
            Some(squares) => squares.add(&square)?,
            None => square,
        });
        self.count += 1;
        Ok(())
    }

    fn finish(&self) -> Result<Value> {
        let (Some(sum), Some(squares)) = (&self.sum, &self.squares) else {
            return Ok(Value::Null);
        };
        if self.sample && self.count == 1 {
            return Ok(Value::Null);
        }
        if sum.is_nan() || sum.is_infinite() {
            return Ok(Value::Numeric(Numeric::NaN));
        }
        let count = Numeric::from_i64(self.count);
        let spread = count.mul(squares)?.sub(&sum.mul(sum)?)?;
        // Rounding errors may take it below nothing.
        if spread.signum() <= 0 {
            return Ok(Value::Numeric(Numeric::zero()));
        }
        let divisor = count.mul(&Numeric::from_i64(self.count - i64::from(self.sample)))?;
        let variance = spread.div(&divisor)?;
        Ok(Value::Numeric(match self.root {
            true => variance.deviation()?,
            false => variance,
        }))
    }
}

impl FloatSpread {
    fn add(&mut self, value: f64) {
        let before = self.count;
        self.count += 1.0;
        self.sum += value;
        if before > 0.0 {
            let distance = value * self.count - self.sum;
            self.squares += distance * distance / (self.count * before);
        } else if !value.is_finite() {
            self.squares = f64::NAN;
        }
    }

    fn finish(&self) -> Value {
        let divisor = self.count - if self.sample { 1.0 } else { 0.0 };
        if divisor <= 0.0 {
            return Value::Null;
        }
        let variance = self.squares / divisor;
        Value::Float(if self.root { variance.sqrt() } else { variance })
    }
}

/// Sums over pairs (y, x).
struct Regression {
    count: f64,
    x: f64,
    xx: f64,
    y: f64,
    yy: f64,
    xy: f64,
    count_only: bool,
    tell: fn(&Regression) -> Option<f64>,
}

impl Default for Regression {
    fn default() -> Regression {
        Regression {
            count: 0.0,
            x: 0.0,
            xx: 0.0,
            y: 0.0,
            yy: 0.0,
            xy: 0.0,
            count_only: false,
            tell: |_| None,
        }
    }
}

impl Accumulator for Regression {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let (y, x) = (float(&arguments[0])?, float(&arguments[1])?);
        let before = self.count;
        self.count += 1.0;
        self.x += x;
        self.y += y;
        if before > 0.0 {
            let (from_x, from_y) = (x * self.count - self.x, y * self.count - self.y);
            let scale = 1.0 / (self.count * before);
            self.xx += from_x * from_x * scale;
            self.yy += from_y * from_y * scale;
            self.xy += from_x * from_y * scale;
        } else if !x.is_finite() || !y.is_finite() {
            let infinite = |value: f64| if value.is_finite() { 0.0 } else { f64::NAN };
            (self.xx, self.yy, self.xy) = (infinite(x), infinite(y), f64::NAN);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.count_only {
            return Ok(Value::Int(self.count as i64));
        }
        if self.count < 1.0 {
            return Ok(Value::Null);
        }
        Ok((self.tell)(self).map_or(Value::Null, Value::Float))
    }
}
