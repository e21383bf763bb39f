//! Trigonometry in degrees: exact where the angle is, as in PostgreSQL.

use super::arguments::float;
use super::definition::{Definition, scalar};
use super::float::input_out_of_range;
use crate::error::Result;
use crate::types::Value;

macro_rules! degrees {
    ($name:literal, $function:expr) => {
        scalar($name, "float8 -> float8", |_, a| {
            let angle = float(&a[0])?;
            $function(angle).map(Value::Float)
        })
    };
}

pub(super) const TABLES: &[&[Definition]] = &[&[
    degrees!("sind", |x| turned(x, sine)),
    degrees!("cosd", |x| turned(x, cosine)),
    degrees!("tand", |x| turned(x, tangent)),
    degrees!("cotd", |x| turned(x, cotangent)),
    degrees!("asind", |x| of_unit(x, |x| match x >= 0.0 {
        true => arc_sine(x),
        false => -arc_sine(-x),
    })),
    degrees!("acosd", |x| of_unit(x, |x| match x >= 0.0 {
        true => arc_cosine(x),
        false => 90.0 + arc_sine(-x),
    })),
    degrees!("atand", |x: f64| Ok(x.atan() / 1_f64.atan() * 45.0)),
    scalar("atan2d", "float8 float8 -> float8", |_, a| {
        let angle = float(&a[0])?.atan2(float(&a[1])?);
        Ok(Value::Float(angle / 1_f64.atan() * 45.0))
    }),
]];

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

/// Over the angle within one turn.
fn turned(angle: f64, function: fn(f64) -> f64) -> Result<f64> {
    if angle.is_nan() {
        return Ok(angle);
    }
    if angle.is_infinite() {
        return Err(input_out_of_range());
    }
    Ok(function(angle % 360.0))
}

fn of_unit(x: f64, function: impl Fn(f64) -> f64) -> Result<f64> {
    if x.is_nan() {
        return Ok(x);
    }
    match (-1.0..=1.0).contains(&x) {
        true => Ok(function(x)),
        false => Err(input_out_of_range()),
    }
}

/// From 0 to 30 degrees.
fn sine_near(x: f64) -> f64 {
    let thirty = (30.0 * RADIANS_PER_DEGREE).sin();
    (x * RADIANS_PER_DEGREE).sin() / thirty / 2.0
}

/// From 0 to 60 degrees.
fn cosine_near(x: f64) -> f64 {
    let sixty = 1.0 - (60.0 * RADIANS_PER_DEGREE).cos();
    1.0 - (1.0 - (x * RADIANS_PER_DEGREE).cos()) / sixty / 2.0
}

/// Within the first quadrant.
fn sine_quadrant(x: f64) -> f64 {
    match x <= 30.0 {
        true => sine_near(x),
        false => cosine_near(90.0 - x),
    }
}

fn cosine_quadrant(x: f64) -> f64 {
    match x <= 60.0 {
        true => cosine_near(x),
        false => sine_near(90.0 - x),
    }
}

fn sine(mut x: f64) -> f64 {
    let mut sign = 1.0;
    if x < 0.0 {
        (x, sign) = (-x, -sign);
    }
    if x > 180.0 {
        (x, sign) = (360.0 - x, -sign);
    }
    if x > 90.0 {
        x = 180.0 - x;
    }
    sign * sine_quadrant(x)
}

fn cosine(x: f64) -> f64 {
    let (mut x, mut sign) = (x.abs(), 1.0);
    if x > 180.0 {
        x = 360.0 - x;
    }
    if x > 90.0 {
        (x, sign) = (180.0 - x, -sign);
    }
    sign * cosine_quadrant(x)
}

/// The angle in the first quadrant and the sign of its tangent.
fn folded(mut x: f64) -> (f64, f64) {
    let mut sign = 1.0;
    if x < 0.0 {
        (x, sign) = (-x, -sign);
    }
    if x > 180.0 {
        (x, sign) = (360.0 - x, -sign);
    }
    if x > 90.0 {
        (x, sign) = (180.0 - x, -sign);
    }
    (x, sign)
}

fn tangent(x: f64) -> f64 {
    let (x, sign) = folded(x);
    let at_45 = sine_quadrant(45.0) / cosine_quadrant(45.0);
    let tangent = sign * (sine_quadrant(x) / cosine_quadrant(x) / at_45);
    // No negative zero.
    if tangent == 0.0 { 0.0 } else { tangent }
}

fn cotangent(x: f64) -> f64 {
    let (x, sign) = folded(x);
    let at_45 = cosine_quadrant(45.0) / sine_quadrant(45.0);
    let cotangent = sign * (cosine_quadrant(x) / sine_quadrant(x) / at_45);
    if cotangent == 0.0 { 0.0 } else { cotangent }
}

/// From 0 to 1.
fn arc_sine(x: f64) -> f64 {
    match x <= 0.5 {
        true => x.asin() / 0.5_f64.asin() * 30.0,
        false => 90.0 - x.acos() / 0.5_f64.acos() * 60.0,
    }
}

fn arc_cosine(x: f64) -> f64 {
    match x <= 0.5 {
        true => 90.0 - x.asin() / 0.5_f64.asin() * 30.0,
        false => x.acos() / 0.5_f64.acos() * 60.0,
    }
}
