//! Elements and slices of array values.

use std::sync::Arc;

use crate::error::{Error, Result, SqlState};
use crate::types::{Array, Type, Value};

/// `array[index]…`: NULL outside the bounds or for the wrong number of indexes.
pub(super) fn element(array: &Value, indexes: &[Value]) -> Result<Value> {
    let Value::Array(array) = array else {
        return Ok(Value::Null);
    };
    if indexes.len() != array.dimensions.len() {
        return Ok(Value::Null);
    }
    let mut place = 0_usize;
    for (index, (length, lower)) in indexes.iter().zip(&array.dimensions) {
        let Value::Int(index) = index else {
            return Ok(Value::Null);
        };
        let offset = index - i64::from(*lower);
        if offset < 0 || offset >= i64::from(*length) {
            return Ok(Value::Null);
        }
        place = place * (*length as usize) + offset as usize;
    }
    Ok(array.values.get(place).cloned().unwrap_or(Value::Null))
}

/// `array[lower:upper]`, of one dimension; a bound left out is the array's own.
pub(super) fn slice(array: &Value, lower: Option<Value>, upper: Option<Value>) -> Result<Value> {
    let Value::Array(array) = array else {
        return Ok(Value::Null);
    };
    let empty = || {
        Ok(Value::Array(Arc::new(Array::one_dimensional(
            array.element.clone(),
            Vec::new(),
        ))))
    };
    let (length, first) = match array.dimensions.as_slice() {
        [] => return empty(),
        [(length, first)] => (i64::from(*length), i64::from(*first)),
        _ => return Err(Error::unsupported("a slice of a multidimensional array")),
    };
    let bound = |bound: Option<Value>, default: i64| match bound {
        None => Some(default),
        Some(Value::Int(bound)) => Some(bound),
        Some(_) => None,
    };
    let (Some(lower), Some(upper)) = (bound(lower, first), bound(upper, first + length - 1)) else {
        return Ok(Value::Null);
    };
    let (from, to) = (lower.max(first), upper.min(first + length - 1));
    if from > to {
        return empty();
    }
    let values = &array.values[(from - first) as usize..=(to - first) as usize];
    Ok(Value::Array(Arc::new(Array::one_dimensional(
        array.element.clone(),
        values.to_vec(),
    ))))
}

/// ARRAY[array, array…]: one dimension more than its elements have.
pub(super) fn stack(element: Type, arrays: Vec<Value>) -> Result<Value> {
    let element = match element {
        Type::Array(inner) => *inner,
        other => other,
    };
    let mut dimensions: Option<Vec<(i32, i32)>> = None;
    let mut values = Vec::new();
    let count = arrays.len() as i32;
    for array in &arrays {
        let (here, inner): (&[(i32, i32)], &[Value]) = match array {
            Value::Array(array) => (&array.dimensions, &array.values),
            _ => (&[], &[]),
        };
        let same = |known: &Vec<(i32, i32)>| {
            known.len() == here.len() && known.iter().zip(here).all(|(a, b)| a.0 == b.0)
        };
        match &dimensions {
            Some(known) if !same(known) => {
                return Err(Error::new(
                    SqlState::ARRAY_SUBSCRIPT_ERROR,
                    "multidimensional arrays must have array expressions with matching dimensions",
                ));
            }
            _ => dimensions = Some(here.to_vec()),
        }
        values.extend_from_slice(inner);
    }
    let inner = dimensions.unwrap_or_default();
    let dimensions = match values.is_empty() {
        true => Vec::new(),
        false => std::iter::once((count, 1)).chain(inner).collect(),
    };
    Ok(Value::Array(Arc::new(Array {
        element,
        dimensions,
        values,
    })))
}
