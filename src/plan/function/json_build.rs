//! JSON from SQL values: to_json, *_build_*, json_object, and the aggregates.
//!
//! The names of a row's fields come with its type, not with its value.

use std::sync::Arc;

use super::arguments::{array, boolean};
use super::definition::{Definition, aggregate, scalar};
use super::string::check_length;
use super::{Accumulator, Call};
use crate::error::{Error, Result, SqlState};
use crate::types::json::{self, build};
use crate::types::settings::{Io, Settings};
use crate::types::{Type, Value, text as text_io};

pub(super) const TABLES: &[&[Definition]] = &[FUNCTIONS, AGGREGATES];

const FUNCTIONS: &[Definition] = &[
    scalar("to_json", "anyelement -> json", value).stable(),
    scalar("to_jsonb", "anyelement -> jsonb", value).stable(),
    scalar("array_to_json", "anyarray -> json", value).stable(),
    scalar("row_to_json", "record -> json", value).stable(),
    scalar("array_to_json", "anyarray bool -> json", value_in_lines).stable(),
    scalar("row_to_json", "record bool -> json", value_in_lines).stable(),
    scalar("json_build_array", "-> json", build_array).stable(),
    scalar("jsonb_build_array", "-> jsonb", build_array).stable(),
    scalar("json_build_array", "variadic any -> json", build_array)
        .stable()
        .lenient(),
    scalar("jsonb_build_array", "variadic any -> jsonb", build_array)
        .stable()
        .lenient(),
    scalar("json_build_object", "-> json", build_object).stable(),
    scalar("jsonb_build_object", "-> jsonb", build_object).stable(),
    scalar("json_build_object", "variadic any -> json", build_object)
        .stable()
        .lenient(),
    scalar("jsonb_build_object", "variadic any -> jsonb", build_object)
        .stable()
        .lenient(),
    scalar("json_object", "text[] -> json", object_of_pairs),
    scalar("jsonb_object", "text[] -> jsonb", object_of_pairs),
    scalar("json_object", "text[] text[] -> json", object_of_two),
    scalar("jsonb_object", "text[] text[] -> jsonb", object_of_two),
];

const AGGREGATES: &[Definition] = &[
    aggregate("json_agg", "anyelement -> json", List::start).lenient(),
    aggregate("jsonb_agg", "anyelement -> jsonb", List::start).lenient(),
    aggregate("json_object_agg", "any any -> json", Pairs::start).lenient(),
    aggregate("jsonb_object_agg", "any any -> jsonb", Pairs::start).lenient(),
];

/// The text as the call's result: jsonb is brought into its canonical form.
fn finish(is_jsonb: bool, text: String) -> Result<Value> {
    match is_jsonb {
        true => json::canonical(&text).map(Value::Jsonb),
        false => Ok(Value::Json(text.into())),
    }
}

fn is_jsonb(call: &Call<'_>) -> bool {
    *call.result_type == Type::Jsonb
}

fn value(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let mut out = String::new();
    build::write_value(&arguments[0], call.argument_type(0), call.io(), &mut out);
    finish(is_jsonb(call), out)
}

/// With a line for each part of the outermost level, if asked for.
fn value_in_lines(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let separator = match boolean(&arguments[1])? {
        true => ",\n ",
        false => ",",
    };
    let mut out = String::new();
    let (value, ty) = (&arguments[0], call.argument_type(0));
    build::write_parts(value, ty, separator, call.io(), &mut out);
    Ok(Value::Json(out.into()))
}

fn build_array(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let mut out = String::from("[");
    for (place, value) in arguments.iter().enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        build::write_value(value, call.argument_type(place), call.io(), &mut out);
    }
    out.push(']');
    finish(is_jsonb(call), out)
}

fn build_object(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    if arguments.len() % 2 == 1 {
        let function = if is_jsonb(call) {
            "jsonb_build_object"
        } else {
            "json_build_object"
        };
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "argument list must have even number of elements",
        )
        .hint(format!(
            "The arguments of {function}() must consist of alternating keys and values."
        )));
    }
    let mut out = String::from("{");
    for (place, pair) in arguments.chunks(2).enumerate() {
        if place > 0 {
            out.push_str(", ");
        }
        if pair[0].is_null() {
            let error = format!("argument {} cannot be null", place * 2 + 1);
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, error)
                .hint("Object keys should be text."));
        }
        write_key(&pair[0], call.argument_type(place * 2), call.io(), &mut out)?;
        out.push_str(" : ");
        build::write_value(
            &pair[1],
            call.argument_type(place * 2 + 1),
            call.io(),
            &mut out,
        );
    }
    out.push('}');
    finish(is_jsonb(call), out)
}

fn write_key(key: &Value, ty: &Type, io: Io<'_>, out: &mut String) -> Result<()> {
    if matches!(
        key,
        Value::Array(_) | Value::Record(_) | Value::Json(_) | Value::Jsonb(_)
    ) {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "key value must be scalar, not array, composite, or json",
        ));
    }
    let mut printed = String::new();
    text_io::output(key, ty, io, &mut printed);
    json::quote(&printed, out);
    Ok(())
}

fn subscript_error(text: &str) -> Error {
    Error::new(SqlState::ARRAY_SUBSCRIPT_ERROR, text)
}

/// From `{key, value, …}` or `{{key, value}, …}`.
fn object_of_pairs(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let pairs = array(&arguments[0])?;
    match pairs.dimensions.as_slice() {
        [] => {}
        [(length, _)] if length % 2 == 1 => {
            return Err(subscript_error("array must have even number of elements"));
        }
        [_] | [_, (2, _)] => {}
        [_, _] => return Err(subscript_error("array must have two columns")),
        _ => return Err(subscript_error("wrong number of array subscripts")),
    }
    let pairs = pairs.values.chunks(2).map(|pair| (&pair[0], &pair[1]));
    object(call, pairs)
}

fn object_of_two(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let (keys, values) = (array(&arguments[0])?, array(&arguments[1])?);
    if keys.dimensions.len() > 1 || values.dimensions.len() > 1 {
        return Err(subscript_error("wrong number of array subscripts"));
    }
    if keys.values.len() != values.values.len() {
        return Err(subscript_error("mismatched array dimensions"));
    }
    object(call, keys.values.iter().zip(&values.values))
}

fn object<'a>(
    call: &Call<'_>,
    pairs: impl Iterator<Item = (&'a Value, &'a Value)>,
) -> Result<Value> {
    let mut out = String::from("{");
    for (key, value) in pairs {
        if key.is_null() {
            return Err(Error::new(
                SqlState::NULL_VALUE_NOT_ALLOWED,
                "null value not allowed for object key",
            ));
        }
        if out.len() > 1 {
            out.push_str(", ");
        }
        write_key(key, &Type::Text, call.io(), &mut out)?;
        out.push_str(" : ");
        build::write_value(value, &Type::Text, call.io(), &mut out);
    }
    out.push('}');
    finish(is_jsonb(call), out)
}

/// What printing values in an aggregate needs, kept beyond the call.
struct Printing {
    settings: Arc<Settings>,
    transaction_time: i64,
    types: [Type; 2],
    jsonb: bool,
}

impl Printing {
    fn new(call: &Call<'_>) -> Printing {
        Printing {
            settings: Arc::clone(&call.context.settings),
            transaction_time: call.context.transaction_time,
            types: [call.argument_type(0).clone(), call.argument_type(1).clone()],
            jsonb: is_jsonb(call),
        }
    }

    fn io(&self) -> Io<'_> {
        Io {
            settings: &self.settings,
            transaction_time: self.transaction_time,
        }
    }
}

struct List {
    printing: Printing,
    out: String,
}

impl List {
    fn start(call: &Call<'_>) -> Box<dyn Accumulator> {
        Box::new(List {
            printing: Printing::new(call),
            out: String::new(),
        })
    }
}

impl Accumulator for List {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        let structured = matches!(arguments[0], Value::Array(_) | Value::Record(_));
        match self.out.is_empty() {
            true => self.out.push('['),
            false if structured => self.out.push_str(", \n "),
            false => self.out.push_str(", "),
        }
        let printing = &self.printing;
        build::write_value(
            &arguments[0],
            &printing.types[0],
            printing.io(),
            &mut self.out,
        );
        check_length(self.out.len())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.out.is_empty() {
            return Ok(Value::Null);
        }
        self.out.push(']');
        finish(self.printing.jsonb, std::mem::take(&mut self.out))
    }
}

struct Pairs {
    printing: Printing,
    out: String,
}

impl Pairs {
    fn start(call: &Call<'_>) -> Box<dyn Accumulator> {
        Box::new(Pairs {
            printing: Printing::new(call),
            out: String::new(),
        })
    }
}

impl Accumulator for Pairs {
    fn step(&mut self, arguments: &[Value]) -> Result<()> {
        if arguments[0].is_null() {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "field name must not be null",
            ));
        }
        let printing = &self.printing;
        let start = if self.out.is_empty() { "{ " } else { ", " };
        self.out.push_str(start);
        write_key(
            &arguments[0],
            &printing.types[0],
            printing.io(),
            &mut self.out,
        )?;
        self.out.push_str(" : ");
        build::write_value(
            &arguments[1],
            &printing.types[1],
            printing.io(),
            &mut self.out,
        );
        check_length(self.out.len())
    }

    fn finish(&mut self) -> Result<Value> {
        if self.out.is_empty() {
            return Ok(Value::Null);
        }
        self.out.push_str(" }");
        finish(self.printing.jsonb, std::mem::take(&mut self.out))
    }
}
