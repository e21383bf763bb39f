//! What the cases of `text` and `datetime` do not reach: overflow, and odd signs.

use super::*;

fn interval(months: i32, days: i32, microseconds: i64) -> Interval {
    Interval {
        months,
        days,
        microseconds,
    }
}

#[test]
fn overflow_is_an_error() {
    let largest = interval(i32::MAX, i32::MAX, i64::MAX);
    let smallest = interval(i32::MIN, i32::MIN, i64::MIN);
    for result in [
        largest.add(&interval(1, 0, 0)),
        largest.add(&interval(0, 0, 1)),
        smallest.neg(),
        largest.sub(&smallest),
        largest.mul(2.0),
        largest.mul(f64::NAN),
        largest.mul(f64::INFINITY),
        largest.div(0.0),
        largest.div(1e-9),
        largest.justify_interval(),
        smallest.justify_hours(),
    ] {
        assert!(result.is_err(), "{result:?}");
    }
    assert!(smallest.span() < largest.span());
}

#[test]
fn every_style_prints_the_extremes() {
    use crate::types::settings::IntervalStyle;
    for extreme in [
        interval(i32::MIN, i32::MIN, i64::MIN),
        interval(i32::MAX, i32::MIN, i64::MAX),
    ] {
        for style in [
            IntervalStyle::Postgres,
            IntervalStyle::PostgresVerbose,
            IntervalStyle::SqlStandard,
            IntervalStyle::Iso8601,
        ] {
            let mut out = String::new();
            extreme.write(style, &mut out);
            assert!(!out.is_empty());
        }
    }
}
