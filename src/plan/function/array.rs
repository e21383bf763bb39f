//! Functions and operators of arrays.

use std::sync::Arc;

use super::Call;
use super::arguments::{array, int, int4, text};
use super::definition::{Definition, scalar};
use crate::error::{Error, Result, SqlState};
use crate::types::array::{check_dimensions, check_size, checked};
use crate::types::compare::{compare, same};
use crate::types::{Array, Type, Value, text as text_io};

pub(super) const TABLES: &[&[Definition]] = &[OPERATORS, SHAPE, SEARCH, TEXTS];

const OPERATORS: &[Definition] = &[
    scalar("arraycontains", "anyarray anyarray -> bool", |_, a| {
        Ok(Value::Bool(contains(array(&a[0])?, array(&a[1])?)))
    })
    .operator("@>"),
    scalar("arraycontained", "anyarray anyarray -> bool", |_, a| {
        Ok(Value::Bool(contains(array(&a[1])?, array(&a[0])?)))
    })
    .operator("<@"),
    scalar("arrayoverlap", "anyarray anyarray -> bool", |_, a| {
        let (left, right) = (array(&a[0])?, array(&a[1])?);
        Ok(Value::Bool(
            left.values.iter().any(|value| holds(right, value)),
        ))
    })
    .operator("&&"),
    scalar(
        "array_append",
        "anycompatiblearray anycompatible -> anycompatiblearray",
        |call, a| push(call, &a[0], &a[1], false),
    )
    .operator("||")
    .lenient(),
    scalar(
        "array_prepend",
        "anycompatible anycompatiblearray -> anycompatiblearray",
        |call, a| push(call, &a[1], &a[0], true),
    )
    .operator("||")
    .lenient(),
    scalar(
        "array_cat",
        "anycompatiblearray anycompatiblearray -> anycompatiblearray",
        concatenate,
    )
    .operator("||")
    .lenient(),
];

const SHAPE: &[Definition] = &[
    scalar("array_length", "anyarray int4 -> int4", |_, a| {
        dimension(a, |length, _| i64::from(length))
    }),
    scalar("array_lower", "anyarray int4 -> int4", |_, a| {
        dimension(a, |_, lower| i64::from(lower))
    }),
    scalar("array_upper", "anyarray int4 -> int4", |_, a| {
        dimension(a, |length, lower| i64::from(lower) + i64::from(length) - 1)
    }),
    scalar("array_ndims", "anyarray -> int4", |_, a| {
        Ok(match array(&a[0])?.dimensions.len() {
            0 => Value::Null,
            count => Value::Int(count as i64),
        })
    }),
    scalar("array_dims", "anyarray -> text", dimensions),
    scalar("cardinality", "anyarray -> int4", |_, a| {
        Ok(Value::Int(array(&a[0])?.values.len() as i64))
    }),
    scalar("array_fill", "anyelement int4[] -> anyarray", fill).lenient(),
    scalar("array_fill", "anyelement int4[] int4[] -> anyarray", fill).lenient(),
    scalar(
        "width_bucket",
        "anycompatible anycompatiblearray -> int4",
        bucket,
    ),
    scalar("trim_array", "anyarray int4 -> anyarray", trim),
    scalar("array_larger", "anyarray anyarray -> anyarray", |_, a| {
        Ok(a[usize::from(compare(&a[0], &a[1]).is_lt())].clone())
    }),
    scalar("array_smaller", "anyarray anyarray -> anyarray", |_, a| {
        Ok(a[usize::from(compare(&a[0], &a[1]).is_gt())].clone())
    }),
];

const SEARCH: &[Definition] = &[
    scalar(
        "array_position",
        "anycompatiblearray anycompatible -> int4",
        position,
    )
    .lenient(),
    scalar(
        "array_position",
        "anycompatiblearray anycompatible int4 -> int4",
        position,
    )
    .lenient(),
    scalar(
        "array_positions",
        "anycompatiblearray anycompatible -> int4[]",
        positions,
    )
    .lenient(),
    scalar(
        "array_remove",
        "anycompatiblearray anycompatible -> anycompatiblearray",
        remove,
    )
    .lenient(),
    scalar(
        "array_replace",
        "anycompatiblearray anycompatible anycompatible -> anycompatiblearray",
        replace,
    )
    .lenient(),
];

const TEXTS: &[Definition] = &[
    scalar("array_to_string", "anyarray text -> text", to_string).stable(),
    scalar("array_to_string", "anyarray text text -> text", to_string)
        .stable()
        .lenient(),
    scalar("string_to_array", "text text -> text[]", |_, a| {
        Ok(split(a)?.map_or(Value::Null, |parts| one_dimensional(Type::Text, parts)))
    })
    .lenient(),
    scalar("string_to_array", "text text text -> text[]", |_, a| {
        Ok(split(a)?.map_or(Value::Null, |parts| one_dimensional(Type::Text, parts)))
    })
    .lenient(),
];

pub(super) fn one_dimensional(element: Type, values: Vec<Value>) -> Value {
    Value::Array(Arc::new(Array::one_dimensional(element, values)))
}

fn of_checked(element: Type, dimensions: Vec<(i32, i32)>, values: Vec<Value>) -> Result<Value> {
    checked(element, dimensions, values).map(|array| Value::Array(Arc::new(array)))
}

/// The element type of the call's result, an array.
fn result_element(call: &Call<'_>) -> Type {
    match call.result_type {
        Type::Array(element) => (**element).clone(),
        other => other.clone(),
    }
}

fn subscript_error(text: &str) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, text)
}

/// An element equal to the value; NULL equals nothing.
fn holds(array: &Array, value: &Value) -> bool {
    !value.is_null()
        && array
            .values
            .iter()
            .any(|element| !element.is_null() && same(element, value))
}

fn contains(outer: &Array, inner: &Array) -> bool {
    inner.values.iter().all(|value| holds(outer, value))
}

/// The same value, NULL being the same as NULL.
fn not_distinct(left: &Value, right: &Value) -> bool {
    match (left.is_null(), right.is_null()) {
        (false, false) => same(left, right),
        (left, right) => left == right,
    }
}

fn push(call: &Call<'_>, array: &Value, value: &Value, front: bool) -> Result<Value> {
    let Value::Array(array) = array else {
        return Ok(one_dimensional(result_element(call), vec![value.clone()]));
    };
    let lower = match array.dimensions.as_slice() {
        [] => 1,
        [(_, lower)] => *lower,
        _ => {
            return Err(Error::new(
                SqlState(*b"22000"),
                "argument must be empty or one-dimensional array",
            ));
        }
    };
    let mut values = Vec::with_capacity(array.values.len() + 1);
    if front {
        values.push(value.clone());
    }
    values.extend_from_slice(&array.values);
    if !front {
        values.push(value.clone());
    }
    let dimensions = vec![(values.len() as i32, lower)];
    of_checked(result_element(call), dimensions, values)
}

fn concatenate(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (left, right) = match (&arguments[0], &arguments[1]) {
        (Value::Null, other) | (other, Value::Null) => return Ok(other.clone()),
        (left, right) => (array(left)?, array(right)?),
    };
    if left.dimensions.is_empty() {
        return Ok(arguments[1].clone());
    }
    if right.dimensions.is_empty() {
        return Ok(arguments[0].clone());
    }
    let lengths = |array: &Array| array.dimensions.iter().map(|d| d.0).collect::<Vec<_>>();
    let (shape, other) = (lengths(left), lengths(right));
    let incompatible = || Err(subscript_error("cannot concatenate incompatible arrays"));
    let mut dimensions = left.dimensions.clone();
    match shape.len() as i64 - other.len() as i64 {
        0 if shape[1..] == other[1..] => dimensions[0].0 += other[0],
        1 if shape[1..] == other[..] => dimensions[0].0 += 1,
        -1 if shape[..] == other[1..] => {
            dimensions = right.dimensions.clone();
            dimensions[0].0 += 1;
        }
        _ => return incompatible(),
    }
    let values = left.values.iter().chain(&right.values).cloned();
    of_checked(left.element.clone(), dimensions, values.collect())
}

fn dimension(arguments: &[Value], tell: fn(i32, i32) -> i64) -> Result<Value> {
    let (array, wanted) = (array(&arguments[0])?, int(&arguments[1])?);
    let found = usize::try_from(wanted - 1)
        .ok()
        .and_then(|place| array.dimensions.get(place));
    Ok(found.map_or(Value::Null, |(length, lower)| {
        Value::Int(tell(*length, *lower))
    }))
}

fn dimensions(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let array = array(&arguments[0])?;
    if array.dimensions.is_empty() {
        return Ok(Value::Null);
    }
    let shown = array.dimensions.iter();
    let upper = |(length, lower): &(i32, i32)| i64::from(*lower) + i64::from(*length) - 1;
    let shown = shown.map(|dimension| format!("[{}:{}]", dimension.1, upper(dimension)));
    Ok(Value::text(shown.collect::<String>()))
}

/// How many of the thresholds, which are in order, are not above the value.
fn bucket(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let thresholds = array(&arguments[1])?;
    if thresholds.dimensions.len() > 1 {
        return Err(Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            "thresholds must be one-dimensional array",
        ));
    }
    if thresholds.values.iter().any(Value::is_null) {
        return Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "thresholds array must not contain NULLs",
        ));
    }
    let below = |threshold: &Value| compare(threshold, &arguments[0]).is_le();
    Ok(Value::Int(thresholds.values.partition_point(below) as i64))
}

/// The lower bounds that array_fill is given, one for each dimension.
fn bounds(bounds: &Value, dimensions: &mut [(i32, i32)]) -> Result<()> {
    let bounds = array(bounds)?;
    if bounds.values.len() != dimensions.len() {
        return Err(Error::new(
            SqlState::ARRAY_SUBSCRIPT_ERROR,
            "wrong number of array subscripts",
        )
        .detail("Low bound array has different size than dimensions array."));
    }
    for (dimension, bound) in dimensions.iter_mut().zip(&bounds.values) {
        if bound.is_null() {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "dimension values cannot be null",
            ));
        }
        dimension.1 = int4(bound)?;
    }
    Ok(())
}

fn fill(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    if arguments[1..].iter().any(Value::is_null) {
        return Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "dimension array or low bound array cannot be null",
        ));
    }
    let lengths = array(&arguments[1])?;
    let mut dimensions = Vec::new();
    let mut count = 1_i64;
    for length in &lengths.values {
        if length.is_null() {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "dimension values cannot be null",
            ));
        }
        let length = int4(length)?;
        count = count.saturating_mul(i64::from(length.max(0)));
        dimensions.push((length, 1));
    }
    if let Some(lower) = arguments.get(2) {
        bounds(lower, &mut dimensions)?;
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let each = size_of::<Value>() + arguments[0].heap_bytes();
    check_size(count, count.saturating_mul(each))?;
    check_dimensions(&dimensions)?;
    if count == 0 || dimensions.is_empty() {
        return Ok(one_dimensional(result_element(call), Vec::new()));
    }
    Ok(Value::Array(Arc::new(Array {
        element: result_element(call),
        dimensions,
        values: vec![arguments[0].clone(); count],
    })))
}

fn trim(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (array, count) = (array(&arguments[0])?, int(&arguments[1])?);
    let length = array.dimensions.first().map_or(0, |(length, _)| *length);
    if count < 0 || count > i64::from(length) {
        return Err(subscript_error(&format!(
            "number of elements to trim must be between 0 and {length}"
        )));
    }
    let kept = length - count as i32;
    let each = array.values.len().checked_div(length as usize).unwrap_or(0);
    if kept == 0 {
        return Ok(one_dimensional(array.element.clone(), Vec::new()));
    }
    let rest = array
        .dimensions
        .iter()
        .skip(1)
        .map(|(length, _)| (*length, 1));
    Ok(Value::Array(Arc::new(Array {
        element: array.element.clone(),
        dimensions: std::iter::once((kept, 1)).chain(rest).collect(),
        values: array.values[..kept as usize * each].to_vec(),
    })))
}

fn searchable(value: &Value) -> Result<Option<&Array>> {
    let Value::Array(array) = value else {
        return Ok(None);
    };
    match array.dimensions.len() {
        0 | 1 => Ok(Some(array)),
        _ => Err(Error::unsupported(
            "searching for elements in multidimensional arrays",
        )),
    }
}

fn lower_bound(array: &Array) -> i64 {
    array
        .dimensions
        .first()
        .map_or(1, |(_, lower)| i64::from(*lower))
}

fn position(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(array) = searchable(&arguments[0])? else {
        return Ok(Value::Null);
    };
    let lower = lower_bound(array);
    let from = match arguments.get(2) {
        Some(Value::Null) => {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "initial position must not be null",
            ));
        }
        Some(from) => (int(from)? - lower).max(0) as usize,
        None => 0,
    };
    let mut rest = array.values.iter().enumerate().skip(from);
    let found = rest.find(|(_, element)| not_distinct(element, &arguments[1]));
    Ok(found.map_or(Value::Null, |(at, _)| Value::Int(lower + at as i64)))
}

fn positions(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(array) = searchable(&arguments[0])? else {
        return Ok(Value::Null);
    };
    let lower = lower_bound(array);
    let found = array.values.iter().enumerate();
    let found = found.filter(|(_, element)| not_distinct(element, &arguments[1]));
    let places = found.map(|(at, _)| Value::Int(lower + at as i64));
    Ok(one_dimensional(Type::Int4, places.collect()))
}

fn remove(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Value::Array(array) = &arguments[0] else {
        return Ok(Value::Null);
    };
    if array.dimensions.len() > 1 {
        return Err(Error::unsupported(
            "removing elements from multidimensional arrays",
        ));
    }
    let kept = array.values.iter();
    let kept = kept.filter(|element| !not_distinct(element, &arguments[1]));
    let values: Vec<Value> = kept.cloned().collect();
    let dimensions = match values.is_empty() {
        true => Vec::new(),
        false => vec![(values.len() as i32, lower_bound(array) as i32)],
    };
    Ok(Value::Array(Arc::new(Array {
        element: array.element.clone(),
        dimensions,
        values,
    })))
}

fn replace(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Value::Array(array) = &arguments[0] else {
        return Ok(Value::Null);
    };
    let values = array
        .values
        .iter()
        .map(|element| match not_distinct(element, &arguments[1]) {
            true => arguments[2].clone(),
            false => element.clone(),
        });
    Ok(Value::Array(Arc::new(Array {
        element: array.element.clone(),
        dimensions: array.dimensions.clone(),
        values: values.collect(),
    })))
}

fn to_string(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (Value::Array(array), Value::Text(separator)) = (&arguments[0], &arguments[1]) else {
        return Ok(Value::Null);
    };
    let null = match arguments.get(2) {
        Some(Value::Text(null)) => Some(null),
        _ => None,
    };
    let mut out = String::new();
    let mut first = true;
    for element in &array.values {
        if element.is_null() && null.is_none() {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push_str(separator);
        }
        match (element, null) {
            (Value::Null, Some(null)) => out.push_str(null),
            (value, _) => text_io::output(value, &array.element, call.io(), &mut out),
        }
    }
    Ok(Value::text(out))
}

/// string_to_array's parts: NULL separator splits into characters.
pub(super) fn split(arguments: &[Value]) -> Result<Option<Vec<Value>>> {
    if arguments[0].is_null() {
        return Ok(None);
    }
    let source = text(&arguments[0])?;
    let null = match arguments.get(2) {
        Some(Value::Text(null)) => Some(&**null),
        _ => None,
    };
    if source.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let part = |part: &str| match null == Some(part) {
        true => Value::Null,
        false => Value::text(part),
    };
    Ok(Some(match &arguments[1] {
        Value::Null => source
            .chars()
            .map(|c| part(c.encode_utf8(&mut [0; 4])))
            .collect(),
        separator => match &**text(separator)? {
            "" => vec![part(source)],
            separator => source.split(separator).map(part).collect(),
        },
    }))
}
