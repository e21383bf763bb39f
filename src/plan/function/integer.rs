//! Arithmetic and bits of int2, int4 and int8.

use super::Call;
use super::arguments::int;
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::types::{Type, Value};

/// The four operations of one pair of integer types.
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

/// What one integer type has of its own; `$both` is `type type -> type`.
macro_rules! unary_and_bits {
    ($name:literal, $one:literal, $both:literal, $shift:literal) => {
        [
            scalar(concat!($name, "um"), $one, negate).operator("-"),
            scalar(concat!($name, "up"), $one, same).operator("+"),
            scalar(concat!($name, "abs"), $one, absolute).operator("@"),
            scalar(concat!($name, "mod"), $both, remainder).operator("%"),
            scalar(concat!($name, "and"), $both, and).operator("&"),
            scalar(concat!($name, "or"), $both, or).operator("|"),
            scalar(concat!($name, "xor"), $both, xor).operator("#"),
            scalar(concat!($name, "not"), $one, not).operator("~"),
            scalar(concat!($name, "shl"), $shift, shift_left).operator("<<"),
            scalar(concat!($name, "shr"), $shift, shift_right).operator(">>"),
            scalar("abs", $one, absolute),
            scalar("mod", $both, remainder),
        ]
    };
}

pub(super) const TABLES: &[&[Definition]] = &[
    &arithmetic!("int2", "int2 int2 -> int2"),
    &arithmetic!("int4", "int4 int4 -> int4"),
    &arithmetic!("int8", "int8 int8 -> int8"),
    &arithmetic!("int24", "int2 int4 -> int4"),
    &arithmetic!("int28", "int2 int8 -> int8"),
    &arithmetic!("int42", "int4 int2 -> int4"),
    &arithmetic!("int48", "int4 int8 -> int8"),
    &arithmetic!("int82", "int8 int2 -> int8"),
    &arithmetic!("int84", "int8 int4 -> int8"),
    &unary_and_bits!(
        "int2",
        "int2 -> int2",
        "int2 int2 -> int2",
        "int2 int4 -> int2"
    ),
    &unary_and_bits!(
        "int4",
        "int4 -> int4",
        "int4 int4 -> int4",
        "int4 int4 -> int4"
    ),
    &unary_and_bits!(
        "int8",
        "int8 -> int8",
        "int8 int8 -> int8",
        "int8 int4 -> int8"
    ),
    FUNCTIONS,
];

const FUNCTIONS: &[Definition] = &[
    scalar("gcd", "int4 int4 -> int4", greatest_common_divisor),
    scalar("gcd", "int8 int8 -> int8", greatest_common_divisor),
    scalar("lcm", "int4 int4 -> int4", least_common_multiple),
    scalar("lcm", "int8 int8 -> int8", least_common_multiple),
    scalar("to_hex", "int4 -> text", to_hex),
    scalar("to_hex", "int8 -> text", to_hex),
];

/// The result as the call's type, if it fits.
fn fit(call: &Call<'_>, value: i128) -> Result<Value> {
    let (minimum, maximum) = match call.result_type {
        Type::Int2 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Type::Int4 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    match (minimum..=maximum).contains(&value) {
        true => Ok(Value::Int(value as i64)),
        false => Err(out_of_range(call.result_type)),
    }
}

pub(super) fn out_of_range(ty: &Type) -> Error {
    Error::new(
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{ty} out of range"),
    )
}

pub(super) fn division_by_zero() -> Error {
    Error::new(SqlState::DIVISION_BY_ZERO, "division by zero")
}

fn pair(arguments: &[Value]) -> Result<(i128, i128)> {
    Ok((
        i128::from(int(&arguments[0])?),
        i128::from(int(&arguments[1])?),
    ))
}

fn add(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    fit(call, left + right)
}

fn subtract(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    fit(call, left - right)
}

fn multiply(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    fit(call, left * right)
}

fn divide(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    match right {
        0 => Err(division_by_zero()),
        _ => fit(call, left / right),
    }
}

fn remainder(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    match right {
        0 => Err(division_by_zero()),
        _ => fit(call, left % right),
    }
}

fn negate(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    fit(call, -i128::from(int(&arguments[0])?))
}

fn same(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(arguments[0].clone())
}

fn absolute(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    fit(call, i128::from(int(&arguments[0])?).abs())
}

fn and(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(int(&arguments[0])? & int(&arguments[1])?))
}

fn or(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(int(&arguments[0])? | int(&arguments[1])?))
}

fn xor(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(int(&arguments[0])? ^ int(&arguments[1])?))
}

fn not(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::Int(!int(&arguments[0])?))
}

/// The processor's shift as PostgreSQL uses it: the count wraps at the width
/// of the C type that is shifted (int2 is shifted as int4, then cut).
fn shift_left(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (value, count) = (int(&arguments[0])?, int(&arguments[1])? as u32);
    Ok(Value::Int(match call.result_type {
        Type::Int2 => i64::from((value as i32).wrapping_shl(count) as i16),
        Type::Int4 => i64::from((value as i32).wrapping_shl(count)),
        _ => value.wrapping_shl(count),
    }))
}

fn shift_right(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (value, count) = (int(&arguments[0])?, int(&arguments[1])? as u32);
    Ok(Value::Int(match call.result_type {
        Type::Int2 | Type::Int4 => i64::from((value as i32).wrapping_shr(count)),
        _ => value.wrapping_shr(count),
    }))
}

fn gcd(mut left: i128, mut right: i128) -> i128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left.abs()
}

fn greatest_common_divisor(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    fit(call, gcd(left, right))
}

fn least_common_multiple(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = pair(arguments)?;
    if left == 0 || right == 0 {
        return Ok(Value::Int(0));
    }
    fit(call, (left / gcd(left, right) * right).abs())
}

fn to_hex(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let value = int(&arguments[0])?;
    Ok(Value::text(match call.argument_type(0) {
        Type::Int4 => format!("{:x}", value as i32),
        _ => format!("{value:x}"),
    }))
}
