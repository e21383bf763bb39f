//! Aggregates: count, sum, avg, extremes, lists, and the statistics family.

use super::Accumulator;
use super::definition::{Definition, aggregate};
use crate::error::Result;
use crate::types::Value;

pub(super) const TABLES: &[&[Definition]] = &[COUNTS];

const COUNTS: &[Definition] = &[
    aggregate("count", "-> int8", |_| Box::new(Count(0))),
    aggregate("count", "any -> int8", |_| Box::new(Count(0))),
];

struct Count(i64);

impl Accumulator for Count {
    fn step(&mut self, _: &[Value]) -> Result<()> {
        self.0 += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(Value::Int(self.0))
    }
}
