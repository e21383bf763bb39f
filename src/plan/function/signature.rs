//! Reads the signatures of the function tables: `int4 variadic any -> text`.
//!
//! Types go by their catalog names, arrays with `[]`, pseudo-types as
//! PostgreSQL calls them, the columns of a row function as
//! `(key text, value json)`.

use super::{Parameter, Returns};
use crate::types::Type;

/// A signature taken apart.
pub(super) struct Signature {
    pub(super) arguments: Vec<Parameter>,
    pub(super) variadic: bool,
    pub(super) result: Returns,
}

/// Fails, with the word it cannot read, on a mistake in a table.
pub(super) fn parse(text: &str) -> Result<Signature, String> {
    let (left, right) = text
        .split_once("->")
        .ok_or_else(|| format!("no arrow in {text}"))?;
    let mut arguments = Vec::new();
    let mut variadic = false;
    for word in left.split_whitespace() {
        match word {
            "variadic" => variadic = true,
            _ => arguments.push(parameter(word)?),
        }
    }
    Ok(Signature {
        arguments,
        variadic,
        result: returns(right.trim())?,
    })
}

fn parameter(word: &str) -> Result<Parameter, String> {
    Ok(match word {
        "anyelement" => Parameter::AnyElement,
        "anyarray" => Parameter::AnyArray,
        "anynonarray" => Parameter::AnyNonArray,
        "anycompatible" => Parameter::Compatible,
        "anycompatiblearray" => Parameter::CompatibleArray,
        "any" => Parameter::Any,
        _ => Parameter::Of(ty(word)?),
    })
}

fn returns(text: &str) -> Result<Returns, String> {
    if let Some(columns) = text
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
    {
        let columns = columns.split(',').map(|column| {
            let (name, word) = column
                .trim()
                .split_once(' ')
                .ok_or_else(|| format!("no type in {column}"))?;
            Ok((name.to_owned(), ty(word)?))
        });
        return Ok(Returns::Columns(columns.collect::<Result<_, String>>()?));
    }
    Ok(match text {
        "anyelement" => Returns::Element,
        "anyarray" => Returns::Array,
        "anycompatible" => Returns::Compatible,
        "anycompatiblearray" => Returns::CompatibleArray,
        _ => Returns::Of(ty(text)?),
    })
}

fn ty(word: &str) -> Result<Type, String> {
    if let Some(element) = word.strip_suffix("[]") {
        return Ok(Type::Array(Box::new(ty(element)?)));
    }
    Type::named(word).ok_or_else(|| format!("no type {word}"))
}
