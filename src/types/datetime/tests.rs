//! Calendar, arithmetic and fields against PostgreSQL's answers.

use super::cases::CASES;
use super::zone::Zone;
use super::*;
use crate::types::settings::{Io, Settings};
use crate::types::{Interval, Type, Value, text};

#[test]
fn civil_days_and_back() {
    for days in (-2_500_000..3_000_000)
        .step_by(97)
        .chain([0, -1, 59, 60, i64::from(MAXIMUM_DATE)])
    {
        assert_eq!(Civil::from_days(days).days(), days);
    }
    let of = |year, month, day| {
        Civil {
            year,
            month,
            day,
            time: 0,
        }
        .days()
    };
    assert_eq!(of(2000, 1, 1), 0);
    assert_eq!(of(1970, 1, 1), i64::from(UNIX_EPOCH_DAYS));
    assert_eq!(of(-4713, 11, 24), i64::from(MINIMUM_DATE));
    assert_eq!(of(5_874_897, 12, 31), i64::from(MAXIMUM_DATE));
    assert_eq!(weekday(0), 6);
}

/// One case: the operation on the value, as text.
fn evaluate(operation: &str, operand: &str, value: &Value, io: Io<'_>) -> Result<String> {
    let shown = |value: Value| match value {
        Value::Null => "NULL".to_owned(),
        value => text::to_text(&value, &text::natural_type(&value), io),
    };
    let read = |text: &str, ty: Type| text::input(text, &ty, io);
    let interval = |text: &str| Interval::parse(text, io.settings.interval_style);
    let value = match (operation, value) {
        ("extract", value) => field::extract(operand, value, io)?,
        ("part", value) => field::date_part(operand, value, io)?,
        ("trunc", value) => field::truncate(operand, value, None, io)?,
        ("plus", Value::Timestamp(t)) => Value::Timestamp(arithmetic::timestamp_plus_interval(
            *t,
            &interval(operand)?,
        )?),
        ("plus", Value::Timestamptz(t)) => {
            let zone = Zone::of(&io.settings.time_zone)?;
            Value::Timestamptz(arithmetic::timestamptz_plus_interval(
                *t,
                &interval(operand)?,
                &zone,
            )?)
        }
        ("age" | "minus", Value::Timestamp(b)) => {
            let Value::Timestamp(a) = read(operand, Type::TIMESTAMP)? else {
                unreachable!("a timestamp was read");
            };
            Value::Interval(match operation {
                "age" => arithmetic::age(a, *b)?,
                _ => arithmetic::timestamp_minus_timestamp(a, *b)?,
            })
        }
        ("mul", Value::Interval(i)) => Value::Interval(i.mul(operand.parse().unwrap())?),
        ("div", Value::Interval(i)) => Value::Interval(i.div(operand.parse().unwrap())?),
        ("justify_hours", Value::Interval(i)) => Value::Interval(i.justify_hours()?),
        ("justify_days", Value::Interval(i)) => Value::Interval(i.justify_days()?),
        ("justify_interval", Value::Interval(i)) => Value::Interval(i.justify_interval()?),
        ("zone", Value::Timestamp(t)) => Value::Timestamptz(Zone::of(operand)?.to_instant(*t)?),
        ("zone", Value::Timestamptz(t)) => Value::Timestamp(Zone::of(operand)?.to_local(*t)?),
        ("bin", Value::Timestamp(t)) => {
            let (stride, origin) = operand.split_once('|').unwrap();
            let Value::Timestamp(origin) = read(origin, Type::TIMESTAMP)? else {
                unreachable!("a timestamp was read");
            };
            Value::Timestamp(field::bin(&interval(stride)?, *t, origin)?)
        }
        other => panic!("no case for {other:?}"),
    };
    Ok(shown(value))
}

#[test]
fn agrees_with_postgresql() {
    let settings = Settings {
        time_zone: "Europe/Berlin".to_owned(),
        ..Settings::default()
    };
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let mut wrong = Vec::new();
    for (operation, operand, ty, literal, expected) in CASES {
        let ty = match *ty {
            "timestamp" => Type::TIMESTAMP,
            "timestamptz" => Type::TIMESTAMPTZ,
            "date" => Type::Date,
            "time" => Type::TIME,
            _ => Type::INTERVAL,
        };
        let value = text::input(literal, &ty, io).unwrap();
        let actual = evaluate(operation, operand, &value, io)
            .unwrap_or_else(|error| format!("{} {}", error.state(), error.message()));
        if actual != *expected {
            wrong.push(format!(
                "{operation} {operand:?} {ty} {literal:?}: {actual:?}, not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn makes() {
    assert_eq!(make::make_date(2000, 1, 2).unwrap(), 1);
    assert_eq!(make::make_date(-1, 2, 29).unwrap(), -730_426);
    for (year, month, day) in [(0, 1, 1), (2020, 13, 1), (2021, 2, 29), (i32::MIN, 1, 1)] {
        assert!(make::make_date(year, month, day).is_err());
    }
    let message = |result: Result<i64>| result.unwrap_err().message().to_owned();
    assert_eq!(
        message(make::make_time(25, 0, 1.5)),
        "time field value out of range: 25:00:1.5"
    );
    assert_eq!(
        message(make::from_unix(1e18)),
        "timestamp out of range: \"1e+18\""
    );
    assert_eq!(make::from_unix(0.0).unwrap(), UNIX_EPOCH);
    assert!(make::make_interval([i32::MAX; 6], 0.0).is_err());
}
