//! Aggregates: counts, sums, averages, extremes, truths, lists.
//!
//! The statistics family is in `statistics`, JSON's in `json`.

use std::sync::Arc;

use num_bigint::BigInt;

use super::arguments::{boolean, bytes, float, int, numeric, text};
use super::definition::{Definition, aggregate};
use super::integer::out_of_range;
use super::string::check_length;
use super::{Accumulator, Call};
use crate::error::{Error, Result, SqlState};
use crate::types::array::{check_size, checked};
use crate::types::compare::compare;
use crate::types::{Array, Numeric, Type, Value, row_bytes};

pub(super) const TABLES: &[&[Definition]] = &[COUNTS, SUMS, EXTREMES, TRUTHS_AND_BITS, LISTS];

const COUNTS: &[Definition] = &[
    aggregate("count", "-> int8", |_| Box::new(Count(0))),
    aggregate("count", "any -> int8", |_| Box::new(Count(0))),
];

const SUMS: &[Definition] = &[
    aggregate("sum", "int2 -> int8", |_| Box::new(IntegerSum::default())),
    aggregate("sum", "int4 -> int8", |_| Box::new(IntegerSum::default())),
    aggregate("sum", "int8 -> numeric", |_| Box::new(IntegerSum::wide())),
    aggregate("sum", "numeric -> numeric", |_| {
        Box::new(NumericSum::default())
    }),
    aggregate("sum", "float4 -> float4", |_| {
        Box::new(FloatSum::new(false, true))
    }),
    aggregate("sum", "float8 -> float8", |_| {
        Box::new(FloatSum::new(false, false))
    }),
    aggregate(
        "avg",
        "int2 -> numeric",
        |_| Box::new(IntegerSum::average()),
    ),
    aggregate(
        "avg",
        "int4 -> numeric",
        |_| Box::new(IntegerSum::average()),
    ),
    aggregate(
        "avg",
        "int8 -> numeric",
        |_| Box::new(IntegerSum::average()),
    ),
    aggregate("avg", "numeric -> numeric", |_| {
        Box::new(NumericSum::average())
    }),
    aggregate("avg", "float4 -> float8", |_| {
        Box::new(FloatSum::new(true, false))
    }),
    aggregate("avg", "float8 -> float8", |_| {
        Box::new(FloatSum::new(true, false))
    }),
];

macro_rules! extremes {
    ($($types:literal),*) => {
        &[$(
            aggregate("min", $types, |_| Box::new(Extreme::least())),
            aggregate("max", $types, |_| Box::new(Extreme::greatest())),
        )*]
    };
}

const EXTREMES: &[Definition] = extremes!(
    "int2 -> int2",
    "int4 -> int4",
    "int8 -> int8",
    "oid -> oid",
    "float4 -> float4",
    "float8 -> float8",
    "numeric -> numeric",
    "text -> text",
    "bpchar -> bpchar",
    "date -> date",
    "time -> time",
    "timestamp -> timestamp",
    "timestamptz -> timestamptz",
    "interval -> interval",
    "anyarray -> anyarray"
);

macro_rules! bits {
    ($($types:literal),*) => {
        &[$(
            aggregate("bit_and", $types, |_| Box::new(Bits::new(|a, b| a & b))),
            aggregate("bit_or", $types, |_| Box::new(Bits::new(|a, b| a | b))),
            aggregate("bit_xor", $types, |_| Box::new(Bits::new(|a, b| a ^ b))),
        )*
            aggregate("bool_and", "bool -> bool", |_| Box::new(Truth::new(false))),
            aggregate("every", "bool -> bool", |_| Box::new(Truth::new(false))),
            aggregate("bool_or", "bool -> bool", |_| Box::new(Truth::new(true))),
        ]
    };
}

const TRUTHS_AND_BITS: &[Definition] = bits!("int2 -> int2", "int4 -> int4", "int8 -> int8");

const LISTS: &[Definition] = &[
    aggregate("string_agg", "text text -> text", |_| {
        Box::new(TextList::default())
    })
    .lenient(),
    aggregate("string_agg", "bytea bytea -> bytea", |_| {
        Box::new(BytesList::default())
    })
    .lenient(),
    aggregate("array_agg", "anynonarray -> anyarray", ArrayList::start).lenient(),
    aggregate("array_agg", "anyarray -> anyarray", |_| {
        Box::new(ArrayStack::default())
    })
    .lenient(),
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

/// Sums integers exactly; how the sum is told is chosen at the start.
#[derive(Default)]
struct IntegerSum {
    sum: i128,
    count: i64,
    wide: bool,
    average: bool,
}

impl IntegerSum {
    fn wide() -> IntegerSum {
        IntegerSum {
            wide: true,
            ..IntegerSum::default()
        }
    }

    fn average() -> IntegerSum {
        IntegerSum {
            average: true,
            ..IntegerSum::default()
        }
    }
}

impl Accumulator for IntegerSum {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        self.sum += i128::from(int(&arguments[0])?);
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.count == 0 {
            return Ok(Value::Null);
        }
        if !self.wide && !self.average {
            return match i64::try_from(self.sum) {
                Ok(sum) => Ok(Value::Int(sum)),
                Err(_) => Err(out_of_range(&Type::Int8)),
            };
        }
        let sum = Numeric::finite(BigInt::from(self.sum), 0)?;
        let result = match self.average {
            true => sum.div(&Numeric::from_i64(self.count))?,
            false => sum,
        };
        Ok(Value::Numeric(result))
    }
}

#[derive(Default)]
struct NumericSum {
    sum: Option<Numeric>,
    count: i64,
    average: bool,
}

impl NumericSum {
    fn average() -> NumericSum {
        NumericSum {
            average: true,
            ..NumericSum::default()
        }
    }
}

impl Accumulator for NumericSum {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = numeric(&arguments[0])?;
        self.sum = Some(match &self.sum {
            Some(sum) => sum.add(value)?,
            None => value.clone(),
        });
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        let Some(sum) = self.sum.take() else {
            return Ok(Value::Null);
        };
        Ok(Value::Numeric(match self.average {
            true => sum.div(&Numeric::from_i64(self.count))?,
            false => sum,
        }))
    }
}

struct FloatSum {
    sum: f64,
    count: i64,
    average: bool,
    single: bool,
    infinite: bool,
}

impl FloatSum {
    fn new(average: bool, single: bool) -> FloatSum {
        FloatSum {
            sum: 0.0,
            count: 0,
            average,
            single,
            infinite: false,
        }
    }
}

impl Accumulator for FloatSum {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = float(&arguments[0])?;
        self.infinite |= value.is_infinite();
        self.sum += value;
        if self.single {
            self.sum = f64::from(self.sum as f32);
        }
        if self.sum.is_infinite() && !self.infinite {
            return Err(Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                "value out of range: overflow",
            ));
        }
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(match (self.count, self.average) {
            (0, _) => Value::Null,
            (count, true) => Value::Float(self.sum / count as f64),
            (_, false) => Value::Float(self.sum),
        })
    }
}

struct Extreme {
    best: Value,
    greatest: bool,
}

impl Extreme {
    fn least() -> Extreme {
        Extreme {
            best: Value::Null,
            greatest: false,
        }
    }

    fn greatest() -> Extreme {
        Extreme {
            best: Value::Null,
            greatest: true,
        }
    }
}

impl Accumulator for Extreme {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = &arguments[0];
        // Of equals the last is kept: it may look different (1.0 and 1.00).
        let better = self.best.is_null()
            || match self.greatest {
                true => compare(value, &self.best).is_ge(),
                false => compare(value, &self.best).is_le(),
            };
        if better {
            self.best = value.clone();
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(std::mem::replace(&mut self.best, Value::Null))
    }
}

struct Bits {
    bits: Option<i64>,
    join: fn(i64, i64) -> i64,
}

impl Bits {
    fn new(join: fn(i64, i64) -> i64) -> Bits {
        Bits { bits: None, join }
    }
}

impl Accumulator for Bits {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = int(&arguments[0])?;
        self.bits = Some(self.bits.map_or(value, |bits| (self.join)(bits, value)));
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.bits.map_or(Value::Null, Value::Int))
    }
}

/// bool_or if `decides` is true, else bool_and.
struct Truth {
    state: Option<bool>,
    decides: bool,
}

impl Truth {
    fn new(decides: bool) -> Truth {
        Truth {
            state: None,
            decides,
        }
    }
}

impl Accumulator for Truth {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let value = boolean(&arguments[0])?;
        if self.state != Some(self.decides) {
            self.state = Some(value);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.state.map_or(Value::Null, Value::Bool))
    }
}

#[derive(Default)]
struct TextList(Option<String>);

impl Accumulator for TextList {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        if arguments[0].is_null() {
            return Ok(());
        }
        let value = text(&arguments[0])?;
        match &mut self.0 {
            None => self.0 = Some(value.to_string()),
            Some(list) => {
                if !arguments[1].is_null() {
                    list.push_str(text(&arguments[1])?);
                }
                list.push_str(value);
                check_length(list.len())?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(self.0.take().map_or(Value::Null, Value::text))
    }
}

#[derive(Default)]
struct BytesList(Option<Vec<u8>>);

impl Accumulator for BytesList {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        if arguments[0].is_null() {
            return Ok(());
        }
        let value = bytes(&arguments[0])?;
        match &mut self.0 {
            None => self.0 = Some(value.to_vec()),
            Some(list) => {
                if !arguments[1].is_null() {
                    list.extend_from_slice(bytes(&arguments[1])?);
                }
                list.extend_from_slice(value);
                check_length(list.len())?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        let list = self.0.take();
        Ok(list.map_or(Value::Null, |list| Value::Bytes(list.into())))
    }
}

struct ArrayList {
    element: Type,
    values: Vec<Value>,
    /// What the values take in memory.
    bytes: usize,
}

impl ArrayList {
    fn start(call: &Call<'_>) -> Box<dyn Accumulator> {
        Box::new(ArrayList {
            element: call.argument_type(0).without_modifier(),
            values: Vec::new(),
            bytes: 0,
        })
    }
}

impl Accumulator for ArrayList {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        self.bytes += size_of::<Value>() + arguments[0].heap_bytes();
        self.values.push(arguments[0].clone());
        check_size(self.values.len(), self.bytes)
    }

    fn finish(&mut self) -> Result<Value> {
        if self.values.is_empty() {
            return Ok(Value::Null);
        }
        let values = std::mem::take(&mut self.values);
        let array = Array::one_dimensional(self.element.clone(), values);
        Ok(Value::Array(Arc::new(array)))
    }
}

/// Arrays of one shape, stacked to one of a dimension more.
#[derive(Default)]
struct ArrayStack {
    arrays: Vec<Arc<Array>>,
    /// The elements of all, and what they take in memory.
    count: usize,
    bytes: usize,
}

impl Accumulator for ArrayStack {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let error = |text: &str| Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, text);
        let Value::Array(array) = &arguments[0] else {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "cannot accumulate null arrays",
            ));
        };
        if array.dimensions.is_empty() {
            return Err(error("cannot accumulate empty arrays"));
        }
        if matches!(self.arrays.first(), Some(first) if first.dimensions != array.dimensions) {
            return Err(error(
                "cannot accumulate arrays of different dimensionality",
            ));
        }
        self.count += array.values.len();
        self.bytes += row_bytes(&array.values);
        self.arrays.push(array.clone());
        check_size(self.count, self.bytes)
    }

    fn finish(&mut self) -> Result<Value> {
        let Some(first) = self.arrays.first() else {
            return Ok(Value::Null);
        };
        let outer = std::iter::once((self.arrays.len() as i32, 1));
        let array = checked(
            first.element.clone(),
            outer.chain(first.dimensions.iter().copied()).collect(),
            self.arrays.iter().flat_map(|a| a.values.clone()).collect(),
        )?;
        Ok(Value::Array(Arc::new(array)))
    }
}
