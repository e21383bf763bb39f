//! json and jsonb: operators, inspection, change. What builds JSON from SQL
//! values is in `json_build`.
//!
//! Not handled: jsonpath, and the functions that fill composite types.

use super::Call;
use super::arguments::{array, boolean, int, text};
use super::definition::{Definition, rows, scalar};
use super::rows::one_column;
use crate::error::{Error, Result, SqlState};
use crate::types::json::change::Placement;
use crate::types::json::navigate::{self, Kind};
use crate::types::json::{self, Json};
use crate::types::{Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[NAVIGATION, INSPECTION, CHANGES, ROWS];

const NAVIGATION: &[Definition] = &[
    scalar("json_object_field", "json text -> json", field).operator("->"),
    scalar("jsonb_object_field", "jsonb text -> jsonb", field).operator("->"),
    scalar("json_object_field_text", "json text -> text", field).operator("->>"),
    scalar("jsonb_object_field_text", "jsonb text -> text", field).operator("->>"),
    scalar("json_array_element", "json int4 -> json", element).operator("->"),
    scalar("jsonb_array_element", "jsonb int4 -> jsonb", element).operator("->"),
    scalar("json_array_element_text", "json int4 -> text", element).operator("->>"),
    scalar("jsonb_array_element_text", "jsonb int4 -> text", element).operator("->>"),
    scalar("json_extract_path", "json text[] -> json", path).operator("#>"),
    scalar("jsonb_extract_path", "jsonb text[] -> jsonb", path).operator("#>"),
    scalar("json_extract_path_text", "json text[] -> text", path).operator("#>>"),
    scalar("jsonb_extract_path_text", "jsonb text[] -> text", path).operator("#>>"),
    scalar("json_extract_path", "json variadic text -> json", path),
    scalar("jsonb_extract_path", "jsonb variadic text -> jsonb", path),
    scalar("json_extract_path_text", "json variadic text -> text", path),
    scalar(
        "jsonb_extract_path_text",
        "jsonb variadic text -> text",
        path,
    ),
];

const INSPECTION: &[Definition] = &[
    scalar("jsonb_contains", "jsonb jsonb -> bool", |_, a| {
        Ok(Value::Bool(parsed(&a[0])?.contains(&parsed(&a[1])?)))
    })
    .operator("@>"),
    scalar("jsonb_contained", "jsonb jsonb -> bool", |_, a| {
        Ok(Value::Bool(parsed(&a[1])?.contains(&parsed(&a[0])?)))
    })
    .operator("<@"),
    scalar("jsonb_exists", "jsonb text -> bool", |_, a| {
        Ok(Value::Bool(parsed(&a[0])?.exists(text(&a[1])?)))
    })
    .operator("?"),
    scalar("jsonb_exists_any", "jsonb text[] -> bool", |_, a| {
        let json = parsed(&a[0])?;
        Ok(Value::Bool(
            steps(&a[1])?.iter().flatten().any(|key| json.exists(key)),
        ))
    })
    .operator("?|"),
    scalar("jsonb_exists_all", "jsonb text[] -> bool", |_, a| {
        let json = parsed(&a[0])?;
        Ok(Value::Bool(
            steps(&a[1])?.iter().flatten().all(|key| json.exists(key)),
        ))
    })
    .operator("?&"),
    scalar("json_typeof", "json -> text", kind),
    scalar("jsonb_typeof", "jsonb -> text", kind),
    scalar("json_array_length", "json -> int4", length),
    scalar("jsonb_array_length", "jsonb -> int4", length),
    scalar("jsonb_pretty", "jsonb -> text", |_, a| {
        Ok(Value::text(parsed(&a[0])?.pretty()))
    }),
];

const CHANGES: &[Definition] = &[
    scalar("jsonb_concat", "jsonb jsonb -> jsonb", |_, a| {
        Ok(jsonb(&parsed(&a[0])?.concat(parsed(&a[1])?)))
    })
    .operator("||"),
    scalar("jsonb_delete", "jsonb text -> jsonb", |_, a| {
        Ok(jsonb(&parsed(&a[0])?.without_key(text(&a[1])?)?))
    })
    .operator("-"),
    scalar("jsonb_delete", "jsonb int4 -> jsonb", |_, a| {
        Ok(jsonb(&parsed(&a[0])?.without_element(int(&a[1])?)?))
    })
    .operator("-"),
    scalar("jsonb_delete", "jsonb text[] -> jsonb", |_, a| {
        let mut json = parsed(&a[0])?;
        for key in steps(&a[1])?.into_iter().flatten() {
            json = json.without_key(key)?;
        }
        Ok(jsonb(&json))
    })
    .operator("-"),
    scalar("jsonb_delete_path", "jsonb text[] -> jsonb", |_, a| {
        Ok(jsonb(&parsed(&a[0])?.without_path(&full_path(&a[1])?)?))
    })
    .operator("#-"),
    scalar("jsonb_set", "jsonb text[] jsonb -> jsonb", set),
    scalar("jsonb_set", "jsonb text[] jsonb bool -> jsonb", set),
    scalar("jsonb_set_lax", "jsonb text[] jsonb -> jsonb", set_lax).lenient(),
    scalar("jsonb_set_lax", "jsonb text[] jsonb bool -> jsonb", set_lax).lenient(),
    scalar(
        "jsonb_set_lax",
        "jsonb text[] jsonb bool text -> jsonb",
        set_lax,
    )
    .lenient(),
    scalar("jsonb_insert", "jsonb text[] jsonb -> jsonb", insert),
    scalar("jsonb_insert", "jsonb text[] jsonb bool -> jsonb", insert),
    scalar("jsonb_strip_nulls", "jsonb -> jsonb", |_, a| {
        Ok(jsonb(&parsed(&a[0])?.strip_nulls()))
    }),
    scalar("json_strip_nulls", "json -> json", |_, a| {
        let mut out = String::new();
        strip_nulls(text(&a[0])?, &mut out);
        Ok(Value::Json(out.into()))
    }),
];

const ROWS: &[Definition] = &[
    rows("json_array_elements", "json -> (value json)", |_, a| {
        elements("json_array_elements", &a[0])
    }),
    rows("jsonb_array_elements", "jsonb -> (value jsonb)", |_, a| {
        elements("", &a[0])
    }),
    rows(
        "json_array_elements_text",
        "json -> (value text)",
        |_, a| {
            let found = elements("json_array_elements_text", &a[0])?;
            found
                .iter()
                .map(|row| Ok(vec![as_text(text(&row[0])?)]))
                .collect()
        },
    ),
    rows(
        "jsonb_array_elements_text",
        "jsonb -> (value text)",
        |_, a| {
            let found = elements("", &a[0])?;
            found
                .iter()
                .map(|row| Ok(vec![as_text(text(&row[0])?)]))
                .collect()
        },
    ),
    rows("json_each", "json -> (key text, value json)", |_, a| {
        each("json_each", &a[0])
    }),
    rows("jsonb_each", "jsonb -> (key text, value jsonb)", |_, a| {
        each("jsonb_each", &a[0])
    }),
    rows(
        "json_each_text",
        "json -> (key text, value text)",
        |_, a| texts(each("json_each_text", &a[0])?),
    ),
    rows(
        "jsonb_each_text",
        "jsonb -> (key text, value text)",
        |_, a| texts(each("jsonb_each_text", &a[0])?),
    ),
    rows("json_object_keys", "json -> text", |_, a| {
        keys("json_object_keys", &a[0])
    }),
    rows("jsonb_object_keys", "jsonb -> text", |_, a| {
        keys("jsonb_object_keys", &a[0])
    }),
];

fn parsed(value: &Value) -> Result<Json> {
    json::parse(text(value)?)
}

fn jsonb(json: &Json) -> Value {
    Value::Jsonb(json.to_text().into())
}

fn as_text(part: &str) -> Value {
    navigate::as_text(part).map_or(Value::Null, |text| Value::text(&*text))
}

/// The elements of a text array.
fn steps(value: &Value) -> Result<Vec<Option<&str>>> {
    let steps = array(value)?.values.iter().map(|step| match step {
        Value::Null => Ok(None),
        step => text(step).map(|step| Some(&**step)),
    });
    steps.collect()
}

/// A path without gaps.
fn full_path(value: &Value) -> Result<Vec<&str>> {
    let steps = steps(value)?.into_iter().enumerate().map(|(at, step)| {
        step.ok_or_else(|| {
            Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                format!("path element at position {} is null", at + 1),
            )
        })
    });
    steps.collect()
}

/// A found part as the call returns it: text, json or jsonb.
fn part(call: &Call<'_>, found: Option<&str>) -> Value {
    match (found, call.result_type) {
        (None, _) => Value::Null,
        (Some(part), Type::Json) => Value::Json(part.into()),
        (Some(part), Type::Jsonb) => Value::Jsonb(part.into()),
        (Some(part), _) => as_text(part),
    }
}

fn field(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let found = navigate::field(text(&arguments[0])?, text(&arguments[1])?);
    Ok(part(call, found))
}

fn element(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    // PostgreSQL keeps a jsonb scalar as an array of one.
    if let Value::Jsonb(source) = &arguments[0]
        && !matches!(navigate::kind(source), Kind::Array | Kind::Object)
    {
        let found = matches!(int(&arguments[1])?, 0 | -1).then_some(&**source);
        return Ok(part(call, found));
    }
    let found = navigate::element(text(&arguments[0])?, int(&arguments[1])?);
    Ok(part(call, found))
}

fn path(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let steps: Vec<Option<&str>> = match &arguments[1..] {
        [steps_array @ Value::Array(_)] => steps(steps_array)?,
        texts => {
            let texts = texts
                .iter()
                .map(|step| text(step).map(|step| Some(&**step)));
            texts.collect::<Result<_>>()?
        }
    };
    let Some(steps) = steps.into_iter().collect::<Option<Vec<&str>>>() else {
        return Ok(Value::Null);
    };
    let found = navigate::path(text(&arguments[0])?, steps);
    Ok(part(call, found))
}

fn kind(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(Value::text(navigate::kind(text(&arguments[0])?).name()))
}

fn length(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    navigate::array_length(text(&arguments[0])?).map(Value::Int)
}

fn flag(arguments: &[Value], place: usize, default: bool) -> Result<bool> {
    arguments.get(place).map_or(Ok(default), boolean)
}

fn set(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let create = flag(arguments, 3, true)?;
    place(arguments, Placement::Set { create })
}

/// jsonb_set with a say in what NULL as the new value does.
fn set_lax(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let has_null = |place: usize| arguments.get(place).is_some_and(Value::is_null);
    if has_null(0) || has_null(1) || has_null(3) {
        return Ok(Value::Null);
    }
    let invalid = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "null_value_treatment must be \"delete_key\", \"return_target\", \
             \"use_json_null\", or \"raise_exception\"",
        )
    };
    if has_null(4) {
        return Err(invalid());
    }
    if !has_null(2) {
        return set(call, &arguments[..arguments.len().min(4)]);
    }
    let treatment = arguments.get(4).map(text).transpose()?;
    match treatment.map_or("use_json_null", |treatment| treatment) {
        "use_json_null" => {
            let mut changed = arguments[..arguments.len().min(4)].to_vec();
            changed[2] = Value::Jsonb("null".into());
            set(call, &changed)
        }
        "return_target" => Ok(arguments[0].clone()),
        "delete_key" => {
            let path = full_path(&arguments[1])?;
            Ok(jsonb(&parsed(&arguments[0])?.without_path(&path)?))
        }
        "raise_exception" => Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "JSON value must not be null",
        )
        .detail("Exception was raised because null_value_treatment is \"raise_exception\".")
        .hint(
            "To avoid, either change the null_value_treatment argument or ensure that an SQL NULL is not passed.",
        )),
        _ => Err(invalid()),
    }
}

fn insert(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let after = flag(arguments, 3, false)?;
    place(arguments, Placement::Insert { after })
}

fn place(arguments: &[Value], how: Placement) -> Result<Value> {
    let path = full_path(&arguments[1])?;
    let changed = parsed(&arguments[0])?.with_path(&path, parsed(&arguments[2])?, how)?;
    Ok(jsonb(&changed))
}

/// Keeps the order and texts of a json, without blanks.
fn strip_nulls(part: &str, out: &mut String) {
    let mut first = true;
    let mut separate = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
    };
    match navigate::kind(part) {
        Kind::Object => {
            out.push('{');
            for (key, value) in navigate::entries(part) {
                if navigate::kind(value) == Kind::Null {
                    continue;
                }
                separate(out);
                json::quote(&key, out);
                out.push(':');
                strip_nulls(value, out);
            }
            out.push('}');
        }
        Kind::Array => {
            out.push('[');
            for value in navigate::elements(part) {
                separate(out);
                strip_nulls(value, out);
            }
            out.push(']');
        }
        _ => out.push_str(part.trim()),
    }
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

/// A part with the type of the whole.
fn like(whole: &Value, part: &str) -> Value {
    match whole {
        Value::Jsonb(_) => Value::Jsonb(part.into()),
        _ => Value::Json(part.into()),
    }
}

/// `function` is empty for jsonb, whose errors name none.
fn elements(function: &str, value: &Value) -> Result<Vec<Vec<Value>>> {
    let source = text(value)?;
    match (navigate::kind(source), function) {
        (Kind::Array, _) => {
            let parts = navigate::elements(source).map(|part| like(value, part));
            Ok(one_column(parts.collect()))
        }
        (Kind::Object, "") => Err(invalid("cannot extract elements from an object".to_owned())),
        (_, "") => Err(invalid("cannot extract elements from a scalar".to_owned())),
        (Kind::Object, _) => Err(invalid(format!("cannot call {function} on a non-array"))),
        _ => Err(invalid(format!("cannot call {function} on a scalar"))),
    }
}

fn each(function: &str, value: &Value) -> Result<Vec<Vec<Value>>> {
    let source = text(value)?;
    let is_jsonb = matches!(value, Value::Jsonb(_));
    match navigate::kind(source) {
        Kind::Object => {
            let entries = navigate::entries(source);
            Ok(entries
                .map(|(key, part)| vec![Value::text(&*key), like(value, part)])
                .collect())
        }
        _ if is_jsonb => Err(invalid(format!("cannot call {function} on a non-object"))),
        Kind::Array => Err(invalid(
            "cannot deconstruct an array as an object".to_owned(),
        )),
        _ => Err(invalid("cannot deconstruct a scalar".to_owned())),
    }
}

/// Entries with their values as text.
fn texts(entries: Vec<Vec<Value>>) -> Result<Vec<Vec<Value>>> {
    let entries = entries.into_iter().map(|mut entry| {
        if let Some(value) = entry.last_mut() {
            *value = as_text(text(value)?);
        }
        Ok(entry)
    });
    entries.collect()
}

fn keys(function: &str, value: &Value) -> Result<Vec<Vec<Value>>> {
    let source = text(value)?;
    match navigate::kind(source) {
        Kind::Object => {
            let keys = navigate::entries(source).map(|(key, _)| Value::text(&*key));
            Ok(one_column(keys.collect()))
        }
        Kind::Array => Err(invalid(format!("cannot call {function} on an array"))),
        _ => Err(invalid(format!("cannot call {function} on a scalar"))),
    }
}
