//! Arithmetic and functions of float4 and float8.

use super::Call;
use super::arguments::{float, int};
use super::definition::{Definition, scalar};
use super::integer::division_by_zero;
use crate::error::{Error, Result, SqlState};
use crate::types::{Type, Value};

macro_rules! arithmetic {
    ($name:literal, $types:literal) => {
        [
            scalar(concat!($name, "pl"), $types, add).operator("+"),
            scalar(concat!($name, "mi"), $types, subtract).operator("-"),
            scalar(concat!($name, "mul"), $types, multiply).operator("*"),
            scalar(concat!($name, "div"), $types, divide).operator("/"),
        ]
    };
}

macro_rules! unary {
    ($name:literal, $one:literal) => {
        [
            scalar(concat!($name, "um"), $one, negate).operator("-"),
            scalar(concat!($name, "up"), $one, same).operator("+"),
            scalar(concat!($name, "abs"), $one, absolute).operator("@"),
            scalar("abs", $one, absolute),
        ]
    };
}

/// A function of one float8 without errors of its own.
macro_rules! plain {
    ($name:literal, $body:expr) => {
        scalar($name, "float8 -> float8", |_, arguments| {
            let body: fn(f64) -> f64 = $body;
            checked(body(float(&arguments[0])?), &[float(&arguments[0])?])
        })
    };
}

pub(super) const TABLES: &[&[Definition]] = &[
    &arithmetic!("float4", "float4 float4 -> float4"),
    &arithmetic!("float8", "float8 float8 -> float8"),
    &arithmetic!("float48", "float4 float8 -> float8"),
    &arithmetic!("float84", "float8 float4 -> float8"),
    &unary!("float4", "float4 -> float4"),
    &unary!("float8", "float8 -> float8"),
    FUNCTIONS,
];

const FUNCTIONS: &[Definition] = &[
    plain!("ceil", f64::ceil),
    plain!("ceiling", f64::ceil),
    plain!("floor", f64::floor),
    plain!("round", f64::round_ties_even),
    plain!("trunc", f64::trunc),
    plain!("sign", |x| match x {
        x if x > 0.0 => 1.0,
        x if x < 0.0 => -1.0,
        x => x,
    }),
    plain!("cbrt", f64::cbrt),
    scalar("dcbrt", "float8 -> float8", |_, arguments| {
        Ok(Value::Float(float(&arguments[0])?.cbrt()))
    })
    .operator("||/"),
    plain!("degrees", |x| x / RADIANS_PER_DEGREE),
    plain!("radians", |x| x * RADIANS_PER_DEGREE),
    plain!("exp", f64::exp),
    plain!("sin", f64::sin),
    plain!("cos", f64::cos),
    plain!("tan", f64::tan),
    // These grow to infinity without an error.
    scalar("cot", "float8 -> float8", |_, a| {
        Ok(Value::Float(1.0 / float(&a[0])?.tan()))
    }),
    scalar("sinh", "float8 -> float8", |_, a| {
        Ok(Value::Float(float(&a[0])?.sinh()))
    }),
    scalar("cosh", "float8 -> float8", |_, a| {
        Ok(Value::Float(float(&a[0])?.cosh()))
    }),
    plain!("atan", f64::atan),
    plain!("tanh", f64::tanh),
    plain!("asinh", f64::asinh),
    scalar("asin", "float8 -> float8", |_, arguments| {
        unit(arguments, f64::asin)
    }),
    scalar("acos", "float8 -> float8", |_, arguments| {
        unit(arguments, f64::acos)
    }),
    scalar("atanh", "float8 -> float8", |_, arguments| {
        unit(arguments, f64::atanh)
    }),
    scalar("acosh", "float8 -> float8", |_, arguments| {
        match float(&arguments[0])? {
            x if x < 1.0 => Err(input_out_of_range()),
            x => Ok(Value::Float(x.acosh())),
        }
    }),
    scalar("atan2", "float8 float8 -> float8", |_, arguments| {
        Ok(Value::Float(
            float(&arguments[0])?.atan2(float(&arguments[1])?),
        ))
    }),
    scalar("pi", "-> float8", |_, _| {
        Ok(Value::Float(std::f64::consts::PI))
    }),
    scalar("sqrt", "float8 -> float8", square_root),
    scalar("dsqrt", "float8 -> float8", square_root).operator("|/"),
    scalar("power", "float8 float8 -> float8", power),
    scalar("pow", "float8 float8 -> float8", power),
    scalar("dpow", "float8 float8 -> float8", power).operator("^"),
    scalar("ln", "float8 -> float8", |_, arguments| {
        logarithm(arguments, f64::ln)
    }),
    scalar("log", "float8 -> float8", |_, arguments| {
        logarithm(arguments, f64::log10)
    }),
    scalar("log10", "float8 -> float8", |_, arguments| {
        logarithm(arguments, f64::log10)
    }),
    scalar("random", "-> float8", random).volatile(),
    scalar(
        "width_bucket",
        "float8 float8 float8 int4 -> int4",
        width_bucket,
    ),
];

/// As PostgreSQL has it; dividing by it rounds otherwise than multiplying by
/// its inverse does.
const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

fn overflow(what: &str) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value out of range: {what}"),
    )
}

pub(super) fn input_out_of_range() -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        "input is out of range",
    )
}

/// An infinity must have come from one.
fn checked(result: f64, from: &[f64]) -> Result<Value> {
    match result.is_infinite() && !from.iter().any(|x| x.is_infinite()) {
        true => Err(overflow("overflow")),
        false => Ok(Value::Float(result)),
    }
}

/// Rounds to float4 if that is the call's type, and finds results that left its range.
fn finish(call: &Call<'_>, exact: f64, from: [f64; 2], zero_is_right: bool) -> Result<Value> {
    let result = match call.result_type {
        Type::Float4 => f64::from(exact as f32),
        _ => exact,
    };
    if result == 0.0 && !zero_is_right {
        return Err(overflow("underflow"));
    }
    checked(result, &from)
}

fn pair(arguments: &[Value]) -> Result<[f64; 2]> {
    Ok([float(&arguments[0])?, float(&arguments[1])?])
}

fn add(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [left, right] = pair(arguments)?;
    finish(call, left + right, [left, right], true)
}

fn subtract(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [left, right] = pair(arguments)?;
    finish(call, left - right, [left, right], true)
}

fn multiply(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [left, right] = pair(arguments)?;
    let zero_is_right = left == 0.0 || right == 0.0;
    finish(call, left * right, [left, right], zero_is_right)
}

fn divide(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [left, right] = pair(arguments)?;
    if right == 0.0 && !left.is_nan() {
        return Err(division_by_zero());
    }
    let zero_is_right = left == 0.0 || right.is_infinite();
    finish(call, left / right, [left, right], zero_is_right)
}

fn negate(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Float(-float(&arguments[0])?))
}

fn same(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(arguments[0].clone())
}

fn absolute(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Float(float(&arguments[0])?.abs()))
}

/// A function defined between -1 and 1.
fn unit(arguments: &[Value], function: fn(f64) -> f64) -> Result<Value> {
    match float(&arguments[0])? {
        x if x.abs() > 1.0 => Err(input_out_of_range()),
        x => Ok(Value::Float(function(x))),
    }
}

fn square_root(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    match float(&arguments[0])? {
        x if x < 0.0 => Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            "cannot take square root of a negative number",
        )),
        x => Ok(Value::Float(x.sqrt())),
    }
}

fn power(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [base, exponent] = pair(arguments)?;
    let error = |text: &str| {
        Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION,
            text,
        ))
    };
    if base == 0.0 && exponent < 0.0 {
        return error("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return error("a negative number raised to a non-integer power yields a complex result");
    }
    let result = base.powf(exponent);
    if result == 0.0 && base != 0.0 && base.is_finite() && exponent.is_finite() {
        return Err(overflow("underflow"));
    }
    checked(result, &[base, exponent])
}

fn logarithm(arguments: &[Value], function: fn(f64) -> f64) -> Result<Value> {
    let error = |text: &str| Err(Error::new(SqlState::INVALID_ARGUMENT_FOR_LOGARITHM, text));
    match float(&arguments[0])? {
        0.0 => error("cannot take logarithm of zero"),
        x if x < 0.0 => error("cannot take logarithm of a negative number"),
        x => Ok(Value::Float(function(x))),
    }
}

/// From 0 up to, but never, 1: the 53 upper bits of a draw.
fn random(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    let bits = call.context.random.lock().draw() >> 11;
    Ok(Value::Float(bits as f64 / (1_u64 << 53) as f64))
}

fn width_bucket(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [operand, low] = pair(arguments)?;
    let high = float(&arguments[2])?;
    let count = int(&arguments[3])?;
    let error = |text: &str| {
        Err(Error::new(
            SqlState::INVALID_ARGUMENT_FOR_WIDTH_BUCKET,
            text,
        ))
    };
    if count <= 0 {
        return error("count must be greater than zero");
    }
    if operand.is_nan() || low.is_nan() || high.is_nan() {
        return error("operand, lower bound, and upper bound cannot be NaN");
    }
    if low.is_infinite() || high.is_infinite() {
        return error("lower and upper bounds must be finite");
    }
    if low == high {
        return error("lower bound cannot equal upper bound");
    }
    let (past_low, past_high, part) = match low < high {
        true => (
            operand < low,
            operand >= high,
            (operand - low) / (high - low),
        ),
        false => (
            operand > low,
            operand <= high,
            (low - operand) / (low - high),
        ),
    };
    let bucket = match (past_low, past_high) {
        (true, _) => 0,
        (_, true) => count + 1,
        _ => ((part * count as f64) as i64).min(count - 1) + 1,
    };
    if bucket > i64::from(i32::MAX) {
        return Err(super::integer::out_of_range(&Type::Int4));
    }
    Ok(Value::Int(bucket))
}
