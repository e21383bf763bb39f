//! Ordered-set aggregates: percentiles and the mode.
//!
//! Each row is the direct argument, if any, and the value that WITHIN GROUP
//! orders by; rows come in that order and without NULLs.

use std::sync::Arc;

use super::arguments::float;
use super::definition::{Definition, ordered};
use super::{Accumulator, Call};
use crate::error::{Error, Result, SqlState};
use crate::types::compare::same;
use crate::types::{Array, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[&[
    ordered("percentile_cont", "float8 float8 -> float8", |call| {
        Percentile::start(call, true)
    }),
    ordered("percentile_cont", "float8 interval -> interval", |call| {
        Percentile::start(call, true)
    }),
    ordered("percentile_cont", "float8[] float8 -> float8[]", |call| {
        Percentile::start(call, true)
    }),
    ordered(
        "percentile_cont",
        "float8[] interval -> interval[]",
        |call| Percentile::start(call, true),
    ),
    ordered(
        "percentile_disc",
        "float8 anyelement -> anyelement",
        |call| Percentile::start(call, false),
    ),
    ordered(
        "percentile_disc",
        "float8[] anyelement -> anyarray",
        |call| Percentile::start(call, false),
    ),
    ordered("mode", "anyelement -> anyelement", |_| {
        Box::new(Mode::default())
    }),
]];

struct Percentile {
    element: Type,
    /// Between two values, or one of them.
    continuous: bool,
    fraction: Value,
    values: Vec<Value>,
}

impl Percentile {
    fn start(call: &Call<'_>, continuous: bool) -> Box<dyn Accumulator> {
        Box::new(Percentile {
            element: call.argument_type(1).without_modifier(),
            continuous,
            fraction: Value::Null,
            values: Vec::new(),
        })
    }

    /// The value that so large a part of the others comes before.
    fn at(&self, fraction: &Value) -> Result<Value> {
        if fraction.is_null() {
            return Ok(Value::Null);
        }
        let fraction = float(fraction)?;
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("percentile value {fraction} is not between 0 and 1"),
            ));
        }
        let value = |place: f64| &self.values[(place as usize).min(self.values.len() - 1)];
        if !self.continuous {
            let row = (fraction * self.values.len() as f64).ceil();
            return Ok(value((row - 1.0).max(0.0)).clone());
        }
        let exact = fraction * (self.values.len() - 1) as f64;
        let (low, high) = (value(exact.floor()), value(exact.ceil()));
        let share = exact - exact.floor();
        match (low, high) {
            _ if exact.floor() == exact.ceil() => Ok(low.clone()),
            (Value::Float(low), Value::Float(high)) => Ok(Value::Float(low + share * (high - low))),
            (Value::Interval(low), Value::Interval(high)) => {
                let step = high.sub(low)?.mul(share)?;
                Ok(Value::Interval(step.add(low)?))
            }
            _ => Err(Error::internal("a percentile of a type without a middle")),
        }
    }
}

impl Accumulator for Percentile {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        if self.values.is_empty() {
            self.fraction = arguments[0].clone();
        }
        self.values.push(arguments[1].clone());
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.values.is_empty() {
            return Ok(Value::Null);
        }
        let Value::Array(fractions) = &self.fraction else {
            return self.at(&self.fraction);
        };
        let values = fractions.values.iter().map(|fraction| self.at(fraction));
        Ok(Value::Array(Arc::new(Array {
            element: self.element.clone(),
            dimensions: fractions.dimensions.clone(),
            values: values.collect::<Result<_>>()?,
        })))
    }
}

/// The most frequent value, the first of several.
#[derive(Default)]
struct Mode {
    best: Option<(Value, u64)>,
    last: Option<(Value, u64)>,
}

impl Accumulator for Mode {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = &arguments[0];
        let count = match &self.last {
            Some((last, count)) if same(last, value) => count + 1,
            _ => 1,
        };
        let shown = match self.last.take() {
            Some((last, _)) if count > 1 => last,
            _ => value.clone(),
        };
        if self.best.as_ref().is_none_or(|(_, best)| count > *best) {
            self.best = Some((shown.clone(), count));
        }
        self.last = Some((shown, count));
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.best.take().map_or(Value::Null, |(value, _)| value))
    }
}
