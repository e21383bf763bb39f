//! Arithmetic and functions of numeric.

use super::Call;
use super::arguments::{int, int4, numeric};
use super::definition::{Definition, scalar};
use super::integer::out_of_range;
use crate::error::{Error, Result, SqlState};
use crate::types::{Numeric, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[OPERATORS, FUNCTIONS];

/// A function of one numeric that yields one.
macro_rules! unary {
    ($name:literal, $body:expr) => {
        scalar($name, "numeric -> numeric", |_, arguments| {
            let body: fn(&Numeric) -> Result<Numeric> = $body;
            body(numeric(&arguments[0])?).map(Value::Numeric)
        })
    };
}

/// The same of two.
macro_rules! binary {
    ($name:literal, $body:expr) => {
        scalar($name, "numeric numeric -> numeric", |_, arguments| {
            let body: fn(&Numeric, &Numeric) -> Result<Numeric> = $body;
            body(numeric(&arguments[0])?, numeric(&arguments[1])?).map(Value::Numeric)
        })
    };
}

const OPERATORS: &[Definition] = &[
    binary!("numeric_add", Numeric::add).operator("+"),
    binary!("numeric_sub", Numeric::sub).operator("-"),
    binary!("numeric_mul", Numeric::mul).operator("*"),
    binary!("numeric_div", Numeric::div).operator("/"),
    binary!("numeric_mod", Numeric::rem).operator("%"),
    binary!("numeric_power", power).operator("^"),
    unary!("numeric_uminus", |x| Ok(x.neg())).operator("-"),
    unary!("numeric_uplus", |x| Ok(x.clone())).operator("+"),
    unary!("numeric_abs", |x| Ok(x.abs())).operator("@"),
];

const FUNCTIONS: &[Definition] = &[
    unary!("abs", |x| Ok(x.abs())),
    unary!("ceil", Numeric::ceil),
    unary!("ceiling", Numeric::ceil),
    unary!("floor", Numeric::floor),
    unary!("round", |x| x.round(0)),
    unary!("trunc", |x| x.trunc(0)),
    unary!("sign", |x| Ok(x.sign())),
    unary!("sqrt", Numeric::sqrt),
    unary!("exp", Numeric::exp),
    unary!("ln", Numeric::ln),
    unary!("log", Numeric::log10),
    unary!("log10", Numeric::log10),
    unary!("trim_scale", |x| Ok(x.trimmed())),
    binary!("log", Numeric::log),
    binary!("power", power),
    binary!("pow", power),
    binary!("mod", Numeric::rem),
    binary!("div", Numeric::div_trunc),
    binary!("gcd", greatest_common_divisor),
    binary!("lcm", least_common_multiple),
    scalar("round", "numeric int4 -> numeric", |_, arguments| {
        let places = int4(&arguments[1])?;
        numeric(&arguments[0])?.round(places).map(Value::Numeric)
    }),
    scalar("trunc", "numeric int4 -> numeric", |_, arguments| {
        let places = int4(&arguments[1])?;
        numeric(&arguments[0])?.trunc(places).map(Value::Numeric)
    }),
    scalar("scale", "numeric -> int4", |_, arguments| {
        let scale = numeric(&arguments[0])?.scale();
        Ok(scale.map_or(Value::Null, |scale| Value::Int(scale.into())))
    }),
    scalar("min_scale", "numeric -> int4", |_, arguments| {
        let scale = numeric(&arguments[0])?.minimum_scale();
        Ok(scale.map_or(Value::Null, |scale| Value::Int(scale.into())))
    }),
    scalar("factorial", "int8 -> numeric", factorial),
    scalar(
        "width_bucket",
        "numeric numeric numeric int4 -> int4",
        width_bucket,
    ),
];

fn power(base: &Numeric, exponent: &Numeric) -> Result<Numeric> {
    base.power(exponent)
}

fn greatest_common_divisor(left: &Numeric, right: &Numeric) -> Result<Numeric> {
    let special = |x: &Numeric| x.is_nan() || x.is_infinite();
    if special(left) || special(right) {
        return Ok(Numeric::NaN);
    }
    let scale = left.scale().max(right.scale()).unwrap_or(0);
    let (mut a, mut b) = (left.abs(), right.abs());
    while !b.is_zero() {
        (a, b) = (b.clone(), a.rem(&b)?);
    }
    a.round(i32::from(scale))
}

fn least_common_multiple(left: &Numeric, right: &Numeric) -> Result<Numeric> {
    let divisor = greatest_common_divisor(left, right)?;
    let scale = left.scale().max(right.scale()).unwrap_or(0);
    if divisor.is_zero() || left.is_zero() || right.is_zero() {
        return Numeric::zero().round(i32::from(scale));
    }
    left.div_trunc(&divisor)?
        .mul(right)?
        .abs()
        .round(i32::from(scale))
}

/// The largest argument PostgreSQL takes: 32177! is the last that a numeric holds.
const LARGEST_FACTORIAL: i64 = 32_177;

fn factorial(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let number = int(&arguments[0])?;
    let error = |text: &str| Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, text);
    if number < 0 {
        return Err(error("factorial of a negative number is undefined"));
    }
    if number > LARGEST_FACTORIAL {
        return Err(error("value overflows numeric format"));
    }
    let mut product = num_bigint::BigInt::from(1);
    for factor in 2..=number {
        product *= factor;
    }
    Numeric::finite(product, 0).map(Value::Numeric)
}

fn width_bucket(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (operand, low) = (numeric(&arguments[0])?, numeric(&arguments[1])?);
    let (high, count) = (numeric(&arguments[2])?, int(&arguments[3])?);
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
    let rising = match low.compare(high) {
        std::cmp::Ordering::Equal => return error("lower bound cannot equal upper bound"),
        order => order.is_lt(),
    };
    let (to_low, to_high) = (operand.compare(low), operand.compare(high));
    let (past_low, past_high) = match rising {
        true => (to_low.is_lt(), to_high.is_ge()),
        false => (to_low.is_gt(), to_high.is_le()),
    };
    let bucket = match (past_low, past_high) {
        (true, _) => 0,
        (_, true) => count + 1,
        _ => {
            let part = operand.sub(low)?.mul(&Numeric::from_i64(count))?;
            part.div_trunc(&high.sub(low)?)?.to_i64()? + 1
        }
    };
    match i32::try_from(bucket) {
        Ok(bucket) => Ok(Value::Int(bucket.into())),
        Err(_) => Err(out_of_range(&Type::Int4)),
    }
}
