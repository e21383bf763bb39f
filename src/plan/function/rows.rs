//! Functions that yield rows: generate_series, unnest, generate_subscripts,
//! string_to_table, pg_get_keywords. Those over JSON and patterns are with their topics.

use super::Call;
use super::arguments::{array, boolean, int, numeric};
use super::array::split;
use super::definition::{Definition, rows, scalar};
use crate::error::{Error, Result, SqlState};
use crate::types::{MAXIMUM_BYTES, Numeric, Value};

/// The most rows one call yields, since they are kept in memory at once.
pub(super) const MAXIMUM_ROWS: usize = 10_000_000;

pub(super) const TABLES: &[&[Definition]] = &[&[
    rows("generate_series", "int4 int4 -> int4", integers),
    rows("generate_series", "int4 int4 int4 -> int4", integers),
    rows("generate_series", "int8 int8 -> int8", integers),
    rows("generate_series", "int8 int8 int8 -> int8", integers),
    rows("generate_series", "numeric numeric -> numeric", numerics),
    rows(
        "generate_series",
        "numeric numeric numeric -> numeric",
        numerics,
    ),
    rows("generate_subscripts", "anyarray int4 -> int4", subscripts),
    rows(
        "generate_subscripts",
        "anyarray int4 bool -> int4",
        subscripts,
    ),
    rows("unnest", "anyarray -> anyelement", |_, a| {
        Ok(one_column(array(&a[0])?.values.clone()))
    }),
    rows("string_to_table", "text text -> text", |_, a| {
        Ok(one_column(split(a)?.unwrap_or_default()))
    })
    .lenient(),
    rows("string_to_table", "text text text -> text", |_, a| {
        Ok(one_column(split(a)?.unwrap_or_default()))
    })
    .lenient(),
    // A field of a record; its type is the binder's to say.
    scalar("pyql_field", "record int4 -> text", |_, a| {
        let Value::Record(fields) = &a[0] else {
            return Err(Error::internal("a field of what is no record"));
        };
        let place = usize::try_from(int(&a[1])?).unwrap_or(usize::MAX);
        Ok(fields.get(place).cloned().unwrap_or(Value::Null))
    }),
    // How drivers ask for the columns of a key.
    rows(
        "_pg_expandarray",
        "int2vector -> (x int2, n int4)",
        expanded,
    ),
    rows("_pg_expandarray", "int2[] -> (x int2, n int4)", expanded),
    rows("_pg_expandarray", "int4[] -> (x int4, n int4)", expanded),
    rows("_pg_expandarray", "int8[] -> (x int8, n int4)", expanded),
    rows("_pg_expandarray", "oidvector -> (x oid, n int4)", expanded),
    rows("_pg_expandarray", "oid[] -> (x oid, n int4)", expanded),
    rows("_pg_expandarray", "text[] -> (x text, n int4)", expanded),
    rows(
        "pg_get_keywords",
        "-> (word text, catcode char, barelabel bool, catdesc text, baredesc text)",
        |_, _| Ok(KEYWORDS.lines().filter_map(keyword).collect()),
    )
    .stable(),
    // No table has partitions.
    rows("pg_partition_ancestors", "regclass -> regclass", |_, _| {
        Ok(Vec::new())
    })
    .stable(),
]];

/// PostgreSQL's key words, a line each: the word, `=` before one that is no
/// label without AS, and its kind.
const KEYWORDS: &str = include_str!("keywords.txt");

fn keyword(line: &str) -> Option<Vec<Value>> {
    let (word, kind) = line.split_once(' ')?;
    let category = match kind {
        "U" => "unreserved",
        "C" => "unreserved (cannot be function or type name)",
        "T" => "reserved (can be function or type name)",
        _ => "reserved",
    };
    let (word, bare) = match word.strip_prefix('=') {
        Some(word) => (word, false),
        None => (word, true),
    };
    let label = if bare {
        "can be bare label"
    } else {
        "requires AS"
    };
    Some(vec![
        Value::text(word),
        Value::text(kind),
        Value::Bool(bare),
        Value::text(category),
        Value::text(label),
    ])
}

pub(super) fn one_column(values: Vec<Value>) -> Vec<Vec<Value>> {
    values.into_iter().map(|value| vec![value]).collect()
}

/// The elements with their numbers from 1.
fn expanded(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let values = array(&arguments[0])?.values.iter().zip(1..);
    Ok(values
        .map(|(value, number)| vec![value.clone(), Value::Int(number)])
        .collect())
}

pub(super) fn zero_step() -> Error {
    Error::new(
        SqlState::INVALID_PARAMETER_VALUE,
        "step size cannot equal zero",
    )
}

pub(super) fn too_many() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("a set of more than {MAXIMUM_ROWS} rows"),
    )
}

fn integers(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let (from, to) = (int(&arguments[0])?, int(&arguments[1])?);
    let step = match arguments.get(2) {
        Some(step) => int(step)?,
        None => 1,
    };
    let distance = i128::from(to) - i128::from(from);
    if step == 0 {
        return Err(zero_step());
    }
    if distance != 0 && (distance < 0) != (step < 0) {
        return Ok(Vec::new());
    }
    let count = distance / i128::from(step) + 1;
    if count > MAXIMUM_ROWS as i128 {
        return Err(too_many());
    }
    // All are between the ends, though a multiple of the step need not be.
    let values = (0..count as i64).map(|at| from.wrapping_add(at.wrapping_mul(step)));
    Ok(one_column(values.map(Value::Int).collect()))
}

fn numerics(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    const NAMES: [&str; 3] = ["start", "stop", "step size"];
    let one = Numeric::from_i64(1);
    let mut bounds = Vec::new();
    for (value, name) in arguments.iter().zip(NAMES) {
        let value = numeric(value)?;
        let special = match value.is_nan() {
            true => Some("NaN"),
            false => value.is_infinite().then_some("infinity"),
        };
        if let Some(special) = special {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("{name} value cannot be {special}").replace("step size value", "step size"),
            ));
        }
        bounds.push(value);
    }
    let step = bounds.get(2).copied().unwrap_or(&one);
    let (mut at, to) = (bounds[0].clone(), bounds[1]);
    if step.is_zero() {
        return Err(zero_step());
    }
    let count = to.sub(&at)?.div_trunc(step)?;
    if count
        .compare(&Numeric::from_i64(MAXIMUM_ROWS as i64))
        .is_ge()
    {
        return Err(too_many());
    }
    // The scale shown is the wider of start's and step's, from the start.
    at = at.add(&step.sub(step)?)?;
    let (mut values, mut bytes) = (Vec::new(), 0);
    loop {
        let order = at.compare(to);
        let past = if step.signum() > 0 {
            order.is_gt()
        } else {
            order.is_lt()
        };
        if past {
            return Ok(one_column(values));
        }
        // Each may have a hundred thousand digits.
        bytes += at.heap_bytes();
        if bytes > MAXIMUM_BYTES {
            return Err(too_many());
        }
        values.push(Value::Numeric(at.clone()));
        at = at.add(step)?;
    }
}

fn subscripts(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Vec<Value>>> {
    let (array, wanted) = (array(&arguments[0])?, int(&arguments[1])?);
    let found = usize::try_from(wanted - 1)
        .ok()
        .and_then(|place| array.dimensions.get(place));
    let Some((length, lower)) = found else {
        return Ok(Vec::new());
    };
    let lower = i64::from(*lower);
    let mut values: Vec<Value> = (0..i64::from(*length))
        .map(|at| Value::Int(lower + at))
        .collect();
    if matches!(arguments.get(2), Some(reverse) if boolean(reverse)?) {
        values.reverse();
    }
    Ok(one_column(values))
}
