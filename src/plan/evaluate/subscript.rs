//! Elements and slices of array values.

use std::sync::Arc;

use crate::error::{Error, Result, SqlState};
use crate::types::{Type, Value, array};

/// `array[index]…`: NULL outside the bounds or for the wrong number of indexes.
pub(super) fn element(array: &Value, indexes: &[Value]) -> Result<Value> {
    let Value::Array(array) = array else {
        return Ok(Value::Null);
    };
    let whole = |index: &Value| match index {
        Value::Int(index) => Some(*index),
        _ => None,
    };
    let indexes: Option<Vec<i64>> = indexes.iter().map(whole).collect();
    let found = indexes.and_then(|indexes| array::element(array, &indexes).cloned());
    Ok(found.unwrap_or(Value::Null))
}

/// `array[lower:upper]`, of the first dimension; a bound left out is the array's own.
pub(super) fn slice(array: &Value, lower: Option<Value>, upper: Option<Value>) -> Result<Value> {
    let Value::Array(array) = array else {
        return Ok(Value::Null);
    };
    let bound = |bound: Option<Value>| match bound {
        None => Some(None),
        Some(Value::Int(bound)) => Some(Some(bound)),
        Some(_) => None,
    };
    let (Some(lower), Some(upper)) = (bound(lower), bound(upper)) else {
        return Ok(Value::Null);
    };
    let taken = array::slice(array, &[(lower, upper)]);
    Ok(Value::Array(Arc::new(taken)))
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
    let stacked = array::checked(element, dimensions, values)?;
    Ok(Value::Array(Arc::new(stacked)))
}
