//! Every scalar function, row function and aggregate over values at the edges
//! of their types: an error or a value that can be printed, never a panic,
//! and never a fault of our own.
//!
//! Fewer calls than there are pairs of values: which ones is drawn from a
//! fixed seed, so that a failure repeats.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{ArgumentTypes, Call, FunctionBody, FunctionRef, Parameter, Returns, registry};
use super::context;
use crate::error::SqlState;
use crate::plan::context::{Context, RandomState};
use crate::plan::evaluate::cast;
use crate::types::{Array, Type, Value, binary, encode, text};

/// What PostgreSQL too calls an internal error.
const POSTGRESQL_S: &[&str] = &[
    "could not open relation",
    "unrecognized objtype abbreviation",
];

/// Calls of one function at most.
const CALLS: usize = 60;

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "äöü€😀",
    "e\u{301}",
    "\u{0}",
    "%",
    "\\",
    "\\x",
    "[",
    "(a*)*b",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
    "9999999999",
    "-1",
    "1e400",
    "NaN",
    "infinity",
    "UTC",
    "Europe/Berlin",
    "<+99>-99",
    "epoch",
    "now",
    "YYYY-MM-DD HH24:MI:SS.US TZ",
    "FMRN",
    "9.99EEEE",
    "S9G999D99MI",
    "J",
    "IYYY-IW-ID",
    "SSSS",
    "TH",
    "%1$s %%",
    "%9999999999$s",
    "%-*s",
    "%s%I%L",
    "base64",
    "hex",
    "escape",
    "====",
    "NFC",
    "utf8",
    "g",
    "gx",
    "{1,2,NULL}",
    "{{",
    "{}",
    "[0:1]={1,2}",
    "[-2147483648:-2147483647]={1,2}",
    "{\"a\":[1,{\"b\":null}]}",
    "[1,2,[3]]",
    "$.a[*]",
    "century",
    "microseconds",
    "dow",
    "week",
    "timezone",
    "julian",
    "quarter",
    "public.t",
    "\"a\".\"b\"",
    "99999-12-31",
    "4713-01-01 BC",
    "294276-12-31 23:59:59",
    "pg_class",
    "int4(1,2)",
    "(1)",
    "a=>b",
];

const INTS: &[i64] = &[
    0,
    1,
    -1,
    2,
    3,
    7,
    23,
    31,
    32,
    63,
    64,
    100,
    1007,
    65_536,
    1 << 24,
];

fn integers(minimum: i64, maximum: i64) -> Vec<Value> {
    let edges = [minimum, minimum + 1, maximum - 1, maximum];
    let all = INTS.iter().copied().chain(edges);
    all.filter(|n| (minimum..=maximum).contains(n))
        .map(Value::Int)
        .collect()
}

const FLOATS: &[&str] = &[
    "0", "-0", "1", "-1", "0.5", "1.5", "-2.5", "1e-45", "1e38", "1e308", "-1e308", "5e-324",
    "1e19", "-1e19", "9.3e18", "NaN", "inf", "-inf", "170", "1e15",
];

const NUMERICS: &[&str] = &[
    "0",
    "0.00",
    "1",
    "-1",
    "2",
    "0.5",
    "-2.5",
    "10",
    "100",
    "1e20",
    "-1e20",
    "1e200",
    "-1e200",
    "1e-200",
    "1e400",
    "1e-400",
    "9999999999999999999.99999",
    "NaN",
    "inf",
    "-inf",
    "170",
];

const TIMESTAMPS: &[&str] = &[
    "2000-01-01",
    "epoch",
    "infinity",
    "-infinity",
    "4714-11-24 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
    "0001-01-01 00:00",
    "2000-02-29 23:59:59.999999",
];

const INTERVALS: &[&str] = &[
    "0",
    "1 us",
    "-1 us",
    "1 day",
    "-1 day",
    "1 mon",
    "-1 mon",
    "178956970 years 7 mons",
    "-178956970 years -8 mons",
    "2147483647 days",
    "-2147483648 days",
    "2562047788:00:54.775807",
    "-2562047788:00:54.775808",
    "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807",
    "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808",
];

const JSONS: &[&str] = &[
    "null",
    "1",
    "-1e400",
    "1e500",
    "1e-500",
    "\"\"",
    "\"\\u0041\\ud83d\\ude00\"",
    "[]",
    "{}",
    "[1,[2,[3]]]",
    "{\"a\":{\"b\":[1,null]}}",
    "{\"a\":1,\"a\":2}",
    "true",
    "[{\"a\":1},{\"a\":null,\"b\":\"x\"}]",
];

/// The edges as texts of the type; what it does not take is left out.
fn texts_of(ty: &Type) -> &'static [&'static str] {
    match ty {
        Type::Bool => &["t", "f"],
        Type::Float4 | Type::Float8 => FLOATS,
        Type::Numeric(_) => NUMERICS,
        Type::Bytea => &["", "\\x00", "\\xff00ff", "\\x61", "\\xc3", "\\xe282ac"],
        Type::Date => &[
            "2000-01-01",
            "epoch",
            "infinity",
            "-infinity",
            "4714-11-24 BC",
            "5874897-12-31",
            "0001-01-01",
            "2000-02-29",
        ],
        Type::Time(_) => &["00:00", "24:00", "23:59:59.999999", "12:00"],
        Type::Timestamp(_) | Type::Timestamptz(_) => TIMESTAMPS,
        Type::Interval(_) => INTERVALS,
        Type::Uuid => &[
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ],
        Type::Json | Type::Jsonb => JSONS,
        Type::Int2Vector | Type::OidVector => &["", "1", "1 2 3"],
        _ => TEXTS,
    }
}

/// The edges of a type.
fn edges(ty: &Type, context: &Context) -> Vec<Value> {
    match ty {
        Type::Int2 => integers(i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => integers(i64::from(i32::MIN), i64::from(i32::MAX)),
        Type::Int8 => integers(i64::MIN, i64::MAX),
        ty if *ty == Type::Oid || cast::is_reg(ty) => integers(0, i64::from(u32::MAX)),
        Type::Text => {
            let mut all: Vec<Value> = TEXTS.iter().map(|text| Value::text(*text)).collect();
            all.push(Value::text("x".repeat(5_000)));
            all
        }
        Type::Array(element) => arrays(element, context),
        Type::Record => vec![
            Value::Record(Vec::new().into()),
            Value::Record(vec![Value::Int(1), Value::Null].into()),
            Value::Record(vec![Value::text("a"), Value::Bool(true)].into()),
        ],
        Type::Void => vec![Value::Null],
        _ => {
            let read = |literal: &&str| text::input(literal, ty, context.io()).ok();
            texts_of(ty).iter().filter_map(read).collect()
        }
    }
}

fn arrays(element: &Type, context: &Context) -> Vec<Value> {
    let values = edges(element, context);
    let array = |dimensions: &[(i32, i32)], values: Vec<Value>| {
        let (element, dimensions) = (element.clone(), dimensions.to_vec());
        Value::Array(
            Array {
                element,
                dimensions,
                values,
            }
            .into(),
        )
    };
    let two = || values.iter().cycle().take(2).cloned().collect::<Vec<_>>();
    vec![
        array(&[], Vec::new()),
        array(&[(1, 1)], vec![Value::Null]),
        array(&[(2, 1)], two()),
        array(&[(2, i32::MIN)], two()),
        array(&[(2, i32::MAX - 1)], two()),
        array(&[(1, 1), (2, 0)], two()),
        array(&[(2, -1), (1, i32::MAX)], two()),
        array(&[(values.len() as i32, 1)], values.clone()),
    ]
}

/// What the parameters of one call stand for.
fn argument_types(function: FunctionRef, element: &Type, random: &mut RandomState) -> Vec<Type> {
    let array = || Type::Array(Box::new(element.clone()));
    let any = [
        Type::Int4,
        Type::Text,
        Type::NUMERIC,
        Type::Record,
        Type::Array(Box::new(Type::Text)),
    ];
    let mut one = |parameter: &Parameter| match parameter {
        Parameter::Of(ty) => ty.clone(),
        Parameter::AnyElement | Parameter::AnyNonArray | Parameter::Compatible => element.clone(),
        Parameter::AnyArray | Parameter::CompatibleArray => array(),
        Parameter::Any => any[pick(random, any.len())].clone(),
    };
    let mut types: Vec<Type> = function.arguments.iter().map(&mut one).collect();
    if let (true, Some(last)) = (function.variadic, function.arguments.last()) {
        types.push(one(last));
        types.push(one(last));
    }
    types
}

fn result_type(function: FunctionRef, element: &Type) -> Type {
    match &function.result {
        Returns::Of(ty) => ty.clone(),
        Returns::Element | Returns::Compatible => element.clone(),
        Returns::Array | Returns::CompatibleArray => Type::Array(Box::new(element.clone())),
        Returns::Columns(_) => Type::Record,
    }
}

fn pick(random: &mut RandomState, count: usize) -> usize {
    (random.draw() % count.max(1) as u64) as usize
}

/// Prints and encodes the value, as every reader of it would.
fn use_value(value: &Value, ty: &Type, context: &Context) {
    let mut out = String::new();
    text::output(value, ty, context.io(), &mut out);
    if !value.is_null() {
        binary::send(value, ty, &mut Vec::new());
    }
    let mut bytes = Vec::new();
    encode::encode_value(value, &mut bytes);
    let read = encode::decode_value(&mut &bytes[..]).expect("what was encoded decodes");
    let mut again = Vec::new();
    encode::encode_value(&read, &mut again);
    assert_eq!(again, bytes);
    encode::encode_key(std::slice::from_ref(value));
}

fn run(function: FunctionRef, call: &Call<'_>, values: &[Value]) -> Result<(), String> {
    let (context, ty) = (call.context, call.result_type);
    let use_rows = |rows: Vec<Vec<Value>>| {
        let types = match &function.result {
            Returns::Columns(columns) => columns.iter().map(|c| c.1.clone()).collect(),
            _ => vec![ty.clone()],
        };
        for row in rows.iter().take(50) {
            // Those over JSON and records learn their columns from the call.
            assert!(row.len() == types.len() || types.len() == 1);
            row.iter()
                .zip(&types)
                .for_each(|(value, ty)| use_value(value, ty, context));
        }
    };
    if function.strict && values.iter().any(Value::is_null) {
        return Ok(());
    }
    let done = match function.body {
        FunctionBody::Scalar(body) => {
            body(call, values).map(|value| use_value(&value, ty, context))
        }
        FunctionBody::Rows(body) => body(call, values).map(use_rows),
        FunctionBody::Aggregate(start) | FunctionBody::Ordered(start) => {
            let mut state = start(call);
            let steps = (0..3).try_for_each(|_| state.step(values));
            steps
                .and_then(|()| state.finish())
                .map(|value| use_value(&value, ty, context))
        }
        FunctionBody::Window => Ok(()),
    };
    match done {
        Err(error)
            if POSTGRESQL_S
                .iter()
                .any(|own| error.message().starts_with(own)) =>
        {
            Ok(())
        }
        Err(error) if error.state() == SqlState::INTERNAL_ERROR => Err(error.message().to_owned()),
        _ => Ok(()),
    }
}

/// One call that must not end badly.
fn attempt(function: FunctionRef, call: &Call<'_>, values: &[Value], wrong: &mut Vec<String>) {
    let done = catch_unwind(AssertUnwindSafe(|| run(function, call, values)));
    let told = |what: &str| {
        let mut shown = format!("{what}: {}{values:?}", function.sql_id);
        shown.truncate(shown.floor_char_boundary(300));
        shown
    };
    match done {
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            wrong.push(told(&format!("panic {}", text.unwrap_or_default())));
        }
        Ok(Err(message)) => wrong.push(told(&message)),
        Ok(Ok(())) => {}
    }
}

#[test]
fn no_function_falls_over_an_edge() {
    let context = context();
    let mut random = RandomState(15);
    let mut wrong = Vec::new();
    for function in registry::all() {
        // Sleeping is what it is for; what the binder alone calls, it calls well.
        if function.name.starts_with("pg_sleep") || function.name.starts_with("pyql_") {
            continue;
        }
        let before = wrong.len();
        // What these make is as large as it is asked for, which takes its time.
        let most = match function.name {
            "repeat" | "lpad" | "rpad" | "generate_series" => 5,
            _ => CALLS,
        };
        for element in [Type::Int4, Type::Text, Type::NUMERIC, Type::TIMESTAMP] {
            let types = argument_types(function, &element, &mut random);
            let result = result_type(function, &element);
            let given: Vec<Vec<Value>> = types.iter().map(|ty| edges(ty, &context)).collect();
            let call = Call {
                context: &context,
                arguments: ArgumentTypes::Types(&types),
                result_type: &result,
            };
            let pairs = given.iter().map(Vec::len).product::<usize>().min(most);
            for _ in 0..pairs {
                let one = |all: &Vec<Value>, random: &mut RandomState| match pick(random, 20) {
                    0 => Value::Null,
                    _ => all
                        .get(pick(random, all.len()))
                        .cloned()
                        .unwrap_or(Value::Null),
                };
                let values: Vec<Value> = given.iter().map(|all| one(all, &mut random)).collect();
                attempt(function, &call, &values, &mut wrong);
                if wrong.len() > before + 2 {
                    break;
                }
            }
            let is_polymorphic = function
                .arguments
                .iter()
                .any(|p| !matches!(p, Parameter::Of(_)));
            if !is_polymorphic || wrong.len() > before + 2 {
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
