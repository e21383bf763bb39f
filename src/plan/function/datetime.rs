//! Arithmetic and functions of dates, times and intervals.
//!
//! Not handled: clock_timestamp() stands still within a statement, since the
//! clock is handed in; `time with time zone` does not exist.

use super::arguments::{date, float, int, int4, interval, text, time, timestamp, timestamptz};
use super::definition::{Definition, aggregate, rows, scalar};
use super::rows::{MAXIMUM_ROWS, one_column, too_many, zero_step};
use super::{Accumulator, Call};
use crate::error::{Error, Result, SqlState};
use crate::types::datetime::zone::Zone;
use crate::types::datetime::{self, arithmetic, field, make};
use crate::types::{Interval, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[
    DATES, TIMESTAMPS, INTERVALS, CLOCK, FIELDS, MAKE, ZONES, SERIES, SUMS,
];

const DATES: &[Definition] = &[
    scalar("date_pli", "date int4 -> date", |_, a| {
        arithmetic::date_plus_days(date(&a[0])?, int(&a[1])?).map(Value::Date)
    })
    .operator("+"),
    scalar("integer_pl_date", "int4 date -> date", |_, a| {
        arithmetic::date_plus_days(date(&a[1])?, int(&a[0])?).map(Value::Date)
    })
    .operator("+"),
    scalar("date_mii", "date int4 -> date", |_, a| {
        arithmetic::date_plus_days(date(&a[0])?, -int(&a[1])?).map(Value::Date)
    })
    .operator("-"),
    scalar("date_mi", "date date -> int4", |_, a| {
        arithmetic::date_minus_date(date(&a[0])?, date(&a[1])?).map(Value::Int)
    })
    .operator("-"),
    scalar("date_pl_interval", "date interval -> timestamp", |_, a| {
        arithmetic::date_plus_interval(date(&a[0])?, &interval(&a[1])?).map(Value::Timestamp)
    })
    .operator("+"),
    scalar("interval_pl_date", "interval date -> timestamp", |_, a| {
        arithmetic::date_plus_interval(date(&a[1])?, &interval(&a[0])?).map(Value::Timestamp)
    })
    .operator("+"),
    scalar("date_mi_interval", "date interval -> timestamp", |_, a| {
        let back = interval(&a[1])?.neg()?;
        arithmetic::date_plus_interval(date(&a[0])?, &back).map(Value::Timestamp)
    })
    .operator("-"),
    scalar("datetime_pl", "date time -> timestamp", |_, a| {
        arithmetic::date_plus_time(date(&a[0])?, time(&a[1])?).map(Value::Timestamp)
    })
    .operator("+"),
    scalar("timedate_pl", "time date -> timestamp", |_, a| {
        arithmetic::date_plus_time(date(&a[1])?, time(&a[0])?).map(Value::Timestamp)
    })
    .operator("+"),
];

const TIMESTAMPS: &[Definition] = &[
    scalar(
        "timestamp_pl_interval",
        "timestamp interval -> timestamp",
        |_, a| shift(timestamp(&a[0])?, interval(&a[1])?),
    )
    .operator("+"),
    scalar(
        "interval_pl_timestamp",
        "interval timestamp -> timestamp",
        |_, a| shift(timestamp(&a[1])?, interval(&a[0])?),
    )
    .operator("+"),
    scalar(
        "timestamp_mi_interval",
        "timestamp interval -> timestamp",
        |_, a| shift(timestamp(&a[0])?, interval(&a[1])?.neg()?),
    )
    .operator("-"),
    scalar("timestamp_mi", "timestamp timestamp -> interval", |_, a| {
        let span = arithmetic::timestamp_minus_timestamp(timestamp(&a[0])?, timestamp(&a[1])?);
        span.map(Value::Interval)
    })
    .operator("-"),
    scalar(
        "timestamptz_pl_interval",
        "timestamptz interval -> timestamptz",
        |call, a| shift_zoned(call, timestamptz(&a[0])?, interval(&a[1])?),
    )
    .operator("+")
    .stable(),
    scalar(
        "interval_pl_timestamptz",
        "interval timestamptz -> timestamptz",
        |call, a| shift_zoned(call, timestamptz(&a[1])?, interval(&a[0])?),
    )
    .operator("+")
    .stable(),
    scalar(
        "timestamptz_mi_interval",
        "timestamptz interval -> timestamptz",
        |call, a| shift_zoned(call, timestamptz(&a[0])?, interval(&a[1])?.neg()?),
    )
    .operator("-")
    .stable(),
    scalar(
        "timestamptz_mi",
        "timestamptz timestamptz -> interval",
        |_, a| {
            let (left, right) = (timestamptz(&a[0])?, timestamptz(&a[1])?);
            arithmetic::timestamp_minus_timestamp(left, right).map(Value::Interval)
        },
    )
    .operator("-"),
    scalar("time_pl_interval", "time interval -> time", |_, a| {
        let shifted = arithmetic::time_plus_interval(time(&a[0])?, &interval(&a[1])?);
        Ok(Value::Time(shifted))
    })
    .operator("+"),
    scalar("interval_pl_time", "interval time -> time", |_, a| {
        let shifted = arithmetic::time_plus_interval(time(&a[1])?, &interval(&a[0])?);
        Ok(Value::Time(shifted))
    })
    .operator("+"),
    scalar("time_mi_interval", "time interval -> time", |_, a| {
        let back = interval(&a[1])?.neg()?;
        Ok(Value::Time(arithmetic::time_plus_interval(
            time(&a[0])?,
            &back,
        )))
    })
    .operator("-"),
    scalar("time_mi_time", "time time -> interval", |_, a| {
        Ok(Value::Interval(Interval {
            microseconds: time(&a[0])? - time(&a[1])?,
            ..Interval::default()
        }))
    })
    .operator("-"),
];

const INTERVALS: &[Definition] = &[
    scalar("interval_pl", "interval interval -> interval", |_, a| {
        interval(&a[0])?.add(&interval(&a[1])?).map(Value::Interval)
    })
    .operator("+"),
    scalar("interval_mi", "interval interval -> interval", |_, a| {
        interval(&a[0])?.sub(&interval(&a[1])?).map(Value::Interval)
    })
    .operator("-"),
    scalar("interval_um", "interval -> interval", |_, a| {
        interval(&a[0])?.neg().map(Value::Interval)
    })
    .operator("-"),
    scalar("interval_mul", "interval float8 -> interval", |_, a| {
        interval(&a[0])?.mul(float(&a[1])?).map(Value::Interval)
    })
    .operator("*"),
    scalar("mul_d_interval", "float8 interval -> interval", |_, a| {
        interval(&a[1])?.mul(float(&a[0])?).map(Value::Interval)
    })
    .operator("*"),
    scalar("interval_div", "interval float8 -> interval", |_, a| {
        interval(&a[0])?.div(float(&a[1])?).map(Value::Interval)
    })
    .operator("/"),
    scalar("justify_hours", "interval -> interval", |_, a| {
        interval(&a[0])?.justify_hours().map(Value::Interval)
    }),
    scalar("justify_days", "interval -> interval", |_, a| {
        interval(&a[0])?.justify_days().map(Value::Interval)
    }),
    scalar("justify_interval", "interval -> interval", |_, a| {
        interval(&a[0])?.justify_interval().map(Value::Interval)
    }),
    scalar("age", "timestamp timestamp -> interval", |_, a| {
        arithmetic::age(timestamp(&a[0])?, timestamp(&a[1])?).map(Value::Interval)
    }),
    scalar("age", "timestamptz timestamptz -> interval", |call, a| {
        let zone = session_zone(call)?;
        let local = |value| zone.to_local(timestamptz(value)?);
        arithmetic::age(local(&a[0])?, local(&a[1])?).map(Value::Interval)
    })
    .stable(),
    scalar("age", "timestamp -> interval", |call, a| {
        arithmetic::age(today(call)?, timestamp(&a[0])?).map(Value::Interval)
    })
    .stable(),
    scalar("age", "timestamptz -> interval", |call, a| {
        let then = session_zone(call)?.to_local(timestamptz(&a[0])?)?;
        arithmetic::age(today(call)?, then).map(Value::Interval)
    })
    .stable(),
];

const CLOCK: &[Definition] = &[
    scalar("now", "-> timestamptz", transaction_time).stable(),
    scalar("transaction_timestamp", "-> timestamptz", transaction_time).stable(),
    scalar("current_timestamp", "-> timestamptz", transaction_time).stable(),
    scalar("current_timestamp", "int4 -> timestamptz", rounded_now).stable(),
    scalar("statement_timestamp", "-> timestamptz", |call, _| {
        Ok(Value::Timestamptz(call.context.statement_time))
    })
    .stable(),
    scalar("clock_timestamp", "-> timestamptz", |call, _| {
        Ok(Value::Timestamptz(call.context.statement_time))
    })
    .volatile(),
    scalar("current_date", "-> date", |call, _| {
        Ok(Value::Date(datetime::timestamp_to_date(local_now(call)?)))
    })
    .stable(),
    scalar("localtimestamp", "-> timestamp", |call, _| {
        local_now(call).map(Value::Timestamp)
    })
    .stable(),
    scalar("localtimestamp", "int4 -> timestamp", |call, a| {
        Ok(Value::Timestamp(rounded(local_now(call)?, int(&a[0])?)))
    })
    .stable(),
    scalar("localtime", "-> time", |call, _| {
        let time = local_now(call)?.rem_euclid(datetime::MICROSECONDS_PER_DAY);
        Ok(Value::Time(time))
    })
    .stable(),
    scalar("localtime", "int4 -> time", |call, a| {
        let time = local_now(call)?.rem_euclid(datetime::MICROSECONDS_PER_DAY);
        Ok(Value::Time(rounded(time, int(&a[0])?)))
    })
    .stable(),
    scalar("pg_postmaster_start_time", "-> timestamptz", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
    scalar("pg_conf_load_time", "-> timestamptz", |_, _| {
        Ok(Value::Null)
    })
    .stable(),
];

const FIELDS: &[Definition] = &[
    scalar("extract", "text date -> numeric", extract),
    scalar("extract", "text time -> numeric", extract),
    scalar("extract", "text timestamp -> numeric", extract),
    scalar("extract", "text timestamptz -> numeric", extract).stable(),
    scalar("extract", "text interval -> numeric", extract),
    scalar("date_part", "text date -> float8", date_part),
    scalar("date_part", "text time -> float8", date_part),
    scalar("date_part", "text timestamp -> float8", date_part),
    scalar("date_part", "text timestamptz -> float8", date_part).stable(),
    scalar("date_part", "text interval -> float8", date_part),
    scalar("date_trunc", "text timestamp -> timestamp", truncate),
    scalar("date_trunc", "text timestamptz -> timestamptz", truncate).stable(),
    scalar(
        "date_trunc",
        "text timestamptz text -> timestamptz",
        truncate,
    )
    .stable(),
    scalar("date_trunc", "text interval -> interval", truncate),
    scalar(
        "date_bin",
        "interval timestamp timestamp -> timestamp",
        |_, a| {
            let (source, origin) = (timestamp(&a[1])?, timestamp(&a[2])?);
            field::bin(&interval(&a[0])?, source, origin).map(Value::Timestamp)
        },
    ),
    scalar(
        "date_bin",
        "interval timestamptz timestamptz -> timestamptz",
        |_, a| {
            let (source, origin) = (timestamptz(&a[1])?, timestamptz(&a[2])?);
            field::bin(&interval(&a[0])?, source, origin).map(Value::Timestamptz)
        },
    ),
    scalar("isfinite", "date -> bool", |_, a| {
        Ok(Value::Bool(!datetime::is_infinite_date(date(&a[0])?)))
    }),
    scalar("isfinite", "timestamp -> bool", |_, a| {
        Ok(Value::Bool(!datetime::is_infinite(timestamp(&a[0])?)))
    }),
    scalar("isfinite", "timestamptz -> bool", |_, a| {
        Ok(Value::Bool(!datetime::is_infinite(timestamptz(&a[0])?)))
    }),
    scalar("isfinite", "interval -> bool", |_, _| Ok(Value::Bool(true))),
];

const MAKE: &[Definition] = &[
    scalar("make_date", "int4 int4 int4 -> date", |_, a| {
        let [year, month, day] = integers(a)?;
        make::make_date(year, month, day).map(Value::Date)
    }),
    scalar("make_time", "int4 int4 float8 -> time", |_, a| {
        let [hour, minute] = integers(a)?;
        make::make_time(hour, minute, float(&a[2])?).map(Value::Time)
    }),
    scalar(
        "make_timestamp",
        "int4 int4 int4 int4 int4 float8 -> timestamp",
        |_, a| {
            let [year, month, day, hour, minute] = integers(a)?;
            let time = (hour, minute, float(&a[5])?);
            make::make_timestamp((year, month, day), time).map(Value::Timestamp)
        },
    ),
    scalar(
        "make_timestamptz",
        "int4 int4 int4 int4 int4 float8 -> timestamptz",
        make_timestamptz,
    )
    .stable(),
    scalar(
        "make_timestamptz",
        "int4 int4 int4 int4 int4 float8 text -> timestamptz",
        make_timestamptz,
    )
    .stable(),
    scalar("make_interval", "-> interval", make_interval),
    scalar("make_interval", "int4 -> interval", make_interval),
    scalar("make_interval", "int4 int4 -> interval", make_interval),
    scalar("make_interval", "int4 int4 int4 -> interval", make_interval),
    scalar(
        "make_interval",
        "int4 int4 int4 int4 -> interval",
        make_interval,
    ),
    scalar(
        "make_interval",
        "int4 int4 int4 int4 int4 -> interval",
        make_interval,
    ),
    scalar(
        "make_interval",
        "int4 int4 int4 int4 int4 int4 -> interval",
        make_interval,
    ),
    scalar(
        "make_interval",
        "int4 int4 int4 int4 int4 int4 float8 -> interval",
        make_interval,
    ),
    scalar("to_timestamp", "float8 -> timestamptz", |_, a| {
        make::from_unix(float(&a[0])?).map(Value::Timestamptz)
    }),
];

/// What AT TIME ZONE calls.
const ZONES: &[Definition] = &[
    scalar("timezone", "text timestamp -> timestamptz", |_, a| {
        let zone = Zone::of(text(&a[0])?)?;
        zone.to_instant(timestamp(&a[1])?).map(Value::Timestamptz)
    }),
    scalar("timezone", "text timestamptz -> timestamp", |_, a| {
        let zone = Zone::of(text(&a[0])?)?;
        zone.to_local(timestamptz(&a[1])?).map(Value::Timestamp)
    }),
    scalar(
        "timezone",
        "interval timestamp -> timestamptz",
        |call, a| {
            let zone = interval_zone(call, &a[0])?;
            zone.to_instant(timestamp(&a[1])?).map(Value::Timestamptz)
        },
    ),
    scalar(
        "timezone",
        "interval timestamptz -> timestamp",
        |call, a| {
            let zone = interval_zone(call, &a[0])?;
            zone.to_local(timestamptz(&a[1])?).map(Value::Timestamp)
        },
    ),
    scalar(
        "overlaps",
        "timestamp timestamp timestamp timestamp -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamptz timestamptz timestamptz timestamptz -> bool",
        overlaps,
    )
    .lenient(),
    scalar("overlaps", "time time time time -> bool", overlaps).lenient(),
    scalar(
        "overlaps",
        "timestamp interval timestamp timestamp -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamp timestamp timestamp interval -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamp interval timestamp interval -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamptz interval timestamptz timestamptz -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamptz timestamptz timestamptz interval -> bool",
        overlaps,
    )
    .lenient(),
    scalar(
        "overlaps",
        "timestamptz interval timestamptz interval -> bool",
        overlaps,
    )
    .lenient(),
    scalar("overlaps", "time interval time time -> bool", overlaps).lenient(),
    scalar("overlaps", "time time time interval -> bool", overlaps).lenient(),
    scalar("overlaps", "time interval time interval -> bool", overlaps).lenient(),
];

const SERIES: &[Definition] = &[
    rows(
        "generate_series",
        "timestamp timestamp interval -> timestamp",
        series,
    ),
    rows(
        "generate_series",
        "timestamptz timestamptz interval -> timestamptz",
        series,
    )
    .stable(),
];

const SUMS: &[Definition] = &[
    aggregate("sum", "interval -> interval", |_| {
        Box::new(IntervalSum::default())
    }),
    aggregate("avg", "interval -> interval", |_| {
        Box::new(IntervalSum {
            average: true,
            ..IntervalSum::default()
        })
    }),
];

fn session_zone(call: &Call<'_>) -> Result<Zone> {
    Zone::of(&call.context.settings.time_zone)
}

fn local_now(call: &Call<'_>) -> Result<i64> {
    session_zone(call)?.to_local(call.context.transaction_time)
}

/// The session's last midnight.
fn today(call: &Call<'_>) -> Result<i64> {
    let now = local_now(call)?;
    Ok(now - now.rem_euclid(datetime::MICROSECONDS_PER_DAY))
}

fn transaction_time(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Timestamptz(call.context.transaction_time))
}

fn rounded_now(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let digits = int(&arguments[0])?;
    Ok(Value::Timestamptz(rounded(
        call.context.transaction_time,
        digits,
    )))
}

/// To so many digits after the second; more than six are taken as six.
fn rounded(microseconds: i64, digits: i64) -> i64 {
    let unit = 10_i64.pow(6 - digits.clamp(0, 6) as u32);
    (microseconds + unit / 2).div_euclid(unit) * unit
}

fn shift(at: i64, by: Interval) -> Result<Value> {
    arithmetic::timestamp_plus_interval(at, &by).map(Value::Timestamp)
}

fn shift_zoned(call: &Call<'_>, at: i64, by: Interval) -> Result<Value> {
    let zone = session_zone(call)?;
    arithmetic::timestamptz_plus_interval(at, &by, &zone).map(Value::Timestamptz)
}

fn extract(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    field::extract(text(&arguments[0])?, &arguments[1], call.io())
}

fn date_part(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    field::date_part(text(&arguments[0])?, &arguments[1], call.io())
}

fn truncate(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let zone = match arguments.get(2) {
        Some(name) => Some(Zone::of(text(name)?)?),
        None => None,
    };
    field::truncate(
        text(&arguments[0])?,
        &arguments[1],
        zone.as_ref(),
        call.io(),
    )
}

fn integers<const N: usize>(arguments: &[Value]) -> Result<[i32; N]> {
    let mut out = [0; N];
    for (place, value) in out.iter_mut().zip(arguments) {
        *place = int4(value)?;
    }
    Ok(out)
}

fn make_timestamptz(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [year, month, day, hour, minute] = integers(arguments)?;
    let zone = match arguments.get(6) {
        Some(name) => Zone::of(text(name)?)?,
        None => session_zone(call)?,
    };
    let time = (hour, minute, float(&arguments[5])?);
    make::make_timestamptz((year, month, day), time, &zone).map(Value::Timestamptz)
}

fn make_interval(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let seconds = arguments.get(6).map_or(Ok(0.0), float)?;
    let whole = &arguments[..arguments.len().min(6)];
    make::make_interval(integers(whole)?, seconds).map(Value::Interval)
}

fn interval_zone(call: &Call<'_>, value: &Value) -> Result<Zone> {
    let offset = interval(value)?;
    if offset.months != 0 || offset.days != 0 {
        let mut shown = String::new();
        crate::types::text::output(value, &Type::INTERVAL, call.io(), &mut shown);
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    let seconds = offset.microseconds / datetime::MICROSECONDS_PER_SECOND;
    Ok(Zone::Fixed(seconds as i32))
}

/// A period's end, which may be given as its length.
fn period_end(call: &Call<'_>, start: &Value, end: &Value) -> Result<Value> {
    let Value::Interval(length) = end else {
        return Ok(end.clone());
    };
    Ok(match start {
        Value::Timestamp(at) => shift(*at, *length)?,
        Value::Timestamptz(at) => shift_zoned(call, *at, *length)?,
        Value::Time(at) => Value::Time(arithmetic::time_plus_interval(*at, length)),
        _ => Value::Null,
    })
}

/// SQL's OVERLAPS: a period has its start but not its end, unless both are
/// one; a NULL end may still leave the answer certain.
fn overlaps(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let [a, b, c, d] = arguments else {
        return Ok(Value::Null);
    };
    let (b, d) = (&period_end(call, a, b)?, &period_end(call, c, d)?);
    let point = |value: &Value| match value {
        Value::Timestamp(at) | Value::Timestamptz(at) | Value::Time(at) => Some(*at),
        _ => None,
    };
    let period = |start: &Value, end: &Value| match (point(start), point(end)) {
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
        (Some(only), None) | (None, Some(only)) => Some((only, None)),
        (None, None) => None,
    };
    let (Some(first), Some(second)) = (period(a, b), period(c, d)) else {
        return Ok(Value::Null);
    };
    let (earlier, later) = if first.0 <= second.0 {
        (first, second)
    } else {
        (second, first)
    };
    if earlier.0 == later.0 {
        return Ok(match (earlier.1, later.1) {
            (Some(_), Some(_)) => Value::Bool(true),
            _ => Value::Null,
        });
    }
    Ok(match earlier.1 {
        Some(end) if later.0 < end => Value::Bool(true),
        Some(_) if later.1.is_some() => Value::Bool(false),
        Some(_) => Value::Null,
        None => Value::Null,
    })
}

fn series(call: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let zone = match &arguments[0] {
        Value::Timestamptz(_) => session_zone(call)?,
        _ => Zone::UTC,
    };
    let instant = |value: &Value| match value {
        Value::Timestamp(at) | Value::Timestamptz(at) => Ok(*at),
        other => timestamp(other),
    };
    let (mut at, to) = (instant(&arguments[0])?, instant(&arguments[1])?);
    let step = interval(&arguments[2])?;
    let rising = match step.span() {
        0 => return Err(zero_step()),
        span => span > 0,
    };
    if datetime::is_infinite(at) {
        return Err(Error::unsupported("generate_series from infinity"));
    }
    let mut values = Vec::new();
    while if rising { at <= to } else { at >= to } {
        if values.len() >= MAXIMUM_ROWS {
            return Err(too_many());
        }
        values.push(match &arguments[0] {
            Value::Timestamptz(_) => Value::Timestamptz(at),
            _ => Value::Timestamp(at),
        });
        at = arithmetic::timestamptz_plus_interval(at, &step, &zone)?;
    }
    Ok(one_column(values))
}

#[derive(Default)]
struct IntervalSum {
    sum: Interval,
    count: i64,
    average: bool,
}

impl Accumulator for IntervalSum {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        self.sum = self.sum.add(&interval(&arguments[0])?)?;
        self.count += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<Value> {
        Ok(match (self.count, self.average) {
            (0, _) => Value::Null,
            (count, true) => Value::Interval(self.sum.div(count as f64)?),
            (_, false) => Value::Interval(self.sum),
        })
    }
}
