//! The order and equality of values, SQL's, under collation "C".
//!
//! `char(n)` needs no care for trailing blanks: values are kept without them.

use std::cmp::Ordering;

use super::numeric::Numeric;
use super::settings::IntervalStyle;
use super::{Array, Interval, Value, json};

/// Orders two values of one family (numbers of all kinds are one). NULL,
/// which SQL's operators never compare, equals itself and sorts last, as
/// inside arrays and rows. Values of different families have a fixed but
/// meaningless order.
pub fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b))
        | (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::Timestamptz(a), Value::Timestamptz(b)) => a.cmp(b),
        (Value::Interval(a), Value::Interval(b)) => a.span().cmp(&b.span()),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Json(a), Value::Json(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Jsonb(a), Value::Jsonb(b)) => json::compare(a, b),
        (Value::Array(a), Value::Array(b)) => compare_arrays(a, b),
        (Value::Record(a), Value::Record(b)) => compare_lists(a, b),
        (Value::Int(a), Value::Numeric(b)) => Numeric::from_i64(*a).compare(b),
        (Value::Numeric(a), Value::Int(b)) => a.compare(&Numeric::from_i64(*b)),
        (Value::Int(a), Value::Float(b)) => compare_floats(*a as f64, *b),
        (Value::Float(a), Value::Int(b)) => compare_floats(*a, *b as f64),
        (Value::Numeric(a), Value::Float(b)) => compare_floats(a.to_f64(), *b),
        (Value::Float(a), Value::Numeric(b)) => compare_floats(*a, b.to_f64()),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether SQL's `=` holds.
pub fn same(a: &Value, b: &Value) -> bool {
    compare(a, b) == Ordering::Equal
}

/// NaN equals itself and is the greatest; the two zeros are equal.
pub fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Orders two numerics in their text form without building them: what an
/// engine that stores them as text calls for every step through an index.
/// Texts that are no numbers sort after all that are.
pub fn compare_numeric_texts(a: &str, b: &str) -> Ordering {
    // What is grouped by is mostly equal.
    if a == b {
        return Ordering::Equal;
    }
    match (NumberText::of(a), NumberText::of(b)) {
        (Some(a), Some(b)) => a.compare(&b),
        (number_a, number_b) => {
            let rank = |text: &str, is_number: bool| match text {
                "-Infinity" => 0,
                _ if is_number => 1,
                "Infinity" => 2,
                "NaN" => 3,
                _ => 4,
            };
            rank(a, number_a.is_some())
                .cmp(&rank(b, number_b.is_some()))
                .then_with(|| a.cmp(b))
        }
    }
}

/// Orders two intervals in their text form, likewise.
pub fn compare_interval_texts(a: &str, b: &str) -> Ordering {
    let read = |text| Interval::parse(text, IntervalStyle::Postgres);
    match (read(a), read(b)) {
        (Ok(a), Ok(b)) => a.span().cmp(&b.span()),
        (a_read, b_read) => (a_read.is_err().cmp(&b_read.is_err())).then_with(|| a.cmp(b)),
    }
}

/// A decimal number's parts: digits before the point without zeros that lead,
/// digits after it without zeros that end.
struct NumberText<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
}

impl<'a> NumberText<'a> {
    fn of(text: &'a str) -> Option<NumberText<'a>> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if unsigned.is_empty() || !is_digits(integer) || !is_digits(fraction) {
            return None;
        }
        let integer = integer.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        Some(NumberText {
            negative: unsigned.len() < text.len() && !(integer.is_empty() && fraction.is_empty()),
            integer,
            fraction,
        })
    }

    fn compare(&self, other: &NumberText<'_>) -> Ordering {
        let magnitude = self
            .integer
            .len()
            .cmp(&other.integer.len())
            .then_with(|| self.integer.cmp(other.integer))
            .then_with(|| self.fraction.cmp(other.fraction));
        match (self.negative, other.negative) {
            (false, false) => magnitude,
            (true, true) => magnitude.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// By elements, then by their number, then by shape.
fn compare_arrays(a: &Array, b: &Array) -> Ordering {
    compare_lists(&a.values, &b.values)
        .then_with(|| a.dimensions.len().cmp(&b.dimensions.len()))
        .then_with(|| {
            let lengths = |array: &Array| array.dimensions.iter().map(|d| d.0).collect::<Vec<_>>();
            lengths(a).cmp(&lengths(b))
        })
        .then_with(|| {
            let bounds = |array: &Array| array.dimensions.iter().map(|d| d.1).collect::<Vec<_>>();
            bounds(a).cmp(&bounds(b))
        })
}

/// Orders rows by their first values that differ; a beginning sorts before what
/// goes on.
pub fn compare_lists(a: &[Value], b: &[Value]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(a, b)| compare(a, b))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Bool(_) => 0,
        Value::Int(_) | Value::Float(_) | Value::Numeric(_) => 1,
        Value::Text(_) => 2,
        Value::Bytes(_) => 3,
        Value::Date(_) => 4,
        Value::Time(_) => 5,
        Value::Timestamp(_) => 6,
        Value::Timestamptz(_) => 7,
        Value::Interval(_) => 8,
        Value::Uuid(_) => 9,
        Value::Json(_) => 10,
        Value::Jsonb(_) => 11,
        Value::Array(_) => 12,
        Value::Record(_) => 13,
        Value::Null => 14,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    #[test]
    fn orders_each_family() {
        let interval = |months, days, microseconds| {
            Value::Interval(Interval {
                months,
                days,
                microseconds,
            })
        };
        let numeric = |text: &str| Value::Numeric(Numeric::parse(text).unwrap());
        let ints = |values: &[i64]| {
            let values = values.iter().map(|v| Value::Int(*v)).collect();
            Value::Array(Array::one_dimensional(Type::Int4, values).into())
        };
        let ascending = [
            vec![Value::Bool(false), Value::Bool(true), Value::Null],
            vec![
                Value::Float(f64::NEG_INFINITY),
                Value::Float(-0.5),
                Value::Int(0),
                numeric("0.5"),
                Value::Float(f64::INFINITY),
                Value::Float(f64::NAN),
            ],
            vec![
                Value::text("B"),
                Value::text("a"),
                Value::text("ab"),
                Value::text("é"),
            ],
            vec![
                interval(0, 0, 1),
                interval(0, 1, 0),
                interval(1, 0, 0),
                interval(0, 31, 0),
            ],
            vec![
                ints(&[]),
                ints(&[1]),
                ints(&[1, 2]),
                ints(&[1, 3]),
                ints(&[2]),
            ],
        ];
        for list in ascending {
            for (i, a) in list.iter().enumerate() {
                for (j, b) in list.iter().enumerate() {
                    assert_eq!(compare(a, b), i.cmp(&j), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn numeric_texts_order_as_numbers() {
        let texts = [
            "-Infinity",
            "-100",
            "-12.5",
            "-12.49",
            "-1",
            "-0.5",
            "-0.0",
            "0",
            "0.00",
            "0.1",
            "0.10",
            "0.11",
            "1",
            "9",
            "10",
            "10.0",
            "99999999999999999999",
            "Infinity",
            "NaN",
        ];
        for a in texts {
            for b in texts {
                let numbers = (Numeric::parse(a).unwrap(), Numeric::parse(b).unwrap());
                let expected = numbers.0.compare(&numbers.1);
                assert_eq!(compare_numeric_texts(a, b), expected, "{a} {b}");
            }
            assert_eq!(compare_numeric_texts(a, "rubbish"), Ordering::Less);
        }
        assert!(compare_interval_texts("1 mon", "30 days").is_eq());
        assert!(compare_interval_texts("-1 days", "00:00:00").is_lt());
    }

    #[test]
    fn equal_though_different() {
        let month = Interval {
            months: 1,
            ..Interval::default()
        };
        let days = Interval {
            days: 30,
            ..Interval::default()
        };
        assert!(same(&Value::Interval(month), &Value::Interval(days)));
        assert!(same(&Value::Float(0.0), &Value::Float(-0.0)));
        assert!(same(
            &Value::Numeric(Numeric::parse("1.0").unwrap()),
            &Value::Numeric(Numeric::parse("1.00").unwrap())
        ));
    }
}
