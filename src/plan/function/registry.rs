//! All functions, found by name, by operator symbol or by `sql_id`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::definition::Definition;
use super::{Function, FunctionRef, Parameter, signature};
use super::{
    acl, aggregate, array, bits, comment, compare, conversion, datetime, decimal, definitions,
    degrees, digest, float, integer, json, json_build, like, notation, ordered, records, regex,
    rows, sequence, statistics, string, system, template, window,
};

/// The tables of all topics.
const TOPICS: &[&[&[Definition]]] = &[
    bits::TABLES,
    comment::TABLES,
    degrees::TABLES,
    notation::TABLES,
    compare::TABLES,
    integer::TABLES,
    float::TABLES,
    decimal::TABLES,
    string::TABLES,
    digest::TABLES,
    like::TABLES,
    regex::TABLES,
    array::TABLES,
    json::TABLES,
    json_build::TABLES,
    records::TABLES,
    rows::TABLES,
    sequence::TABLES,
    system::TABLES,
    acl::TABLES,
    definitions::TABLES,
    datetime::TABLES,
    template::TABLES,
    conversion::TABLES,
    aggregate::TABLES,
    statistics::TABLES,
    ordered::TABLES,
    window::TABLES,
];

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

struct Registry {
    functions: Vec<Function>,
    by_name: HashMap<&'static str, Vec<usize>>,
    by_operator: HashMap<&'static str, Vec<usize>>,
    by_sql_id: HashMap<String, usize>,
}

/// Every function, operator and aggregate.
pub fn all() -> impl Iterator<Item = FunctionRef> {
    let registry: &'static Registry = &REGISTRY;
    registry.functions.iter().map(FunctionRef)
}

/// The functions of this name.
pub fn named(name: &str) -> impl Iterator<Item = FunctionRef> {
    pick(REGISTRY.by_name.get(name))
}

/// The functions that this operator may call, prefix ones included.
pub fn operators(symbol: &str) -> impl Iterator<Item = FunctionRef> {
    pick(REGISTRY.by_operator.get(symbol))
}

pub fn by_sql_id(sql_id: &str) -> Option<FunctionRef> {
    pick(REGISTRY.by_sql_id.get(sql_id).map(std::slice::from_ref)).next()
}

fn pick<'a>(
    places: Option<&'a (impl AsRef<[usize]> + ?Sized + 'a)>,
) -> impl Iterator<Item = FunctionRef> + 'a {
    let registry: &'static Registry = &REGISTRY;
    let places = places.map(AsRef::as_ref).unwrap_or_default();
    places
        .iter()
        .filter_map(|place| registry.functions.get(*place))
        .map(FunctionRef)
}

impl Registry {
    fn new() -> Registry {
        let definitions = TOPICS
            .iter()
            .flat_map(|topic| topic.iter().copied())
            .flatten();
        let mut registry = Registry {
            functions: definitions.map(function).collect(),
            by_name: HashMap::new(),
            by_operator: HashMap::new(),
            by_sql_id: HashMap::new(),
        };
        for (place, function) in registry.functions.iter().enumerate() {
            registry
                .by_name
                .entry(function.name)
                .or_default()
                .push(place);
            if let Some(symbol) = function.operator {
                registry.by_operator.entry(symbol).or_default().push(place);
            }
            registry.by_sql_id.insert(function.sql_id.clone(), place);
        }
        registry
    }
}

fn function(definition: &Definition) -> Function {
    let signature = signature::parse(definition.signature)
        .unwrap_or_else(|word| unreachable!("the tables are constant: {word}"));
    let mut sql_id = definition.name.to_owned();
    for parameter in &signature.arguments {
        sql_id.push('_');
        match parameter {
            Parameter::Of(ty) => sql_id.push_str(&ty.catalog_name()),
            Parameter::Any => sql_id.push_str("any"),
            other => sql_id.push_str(&other.to_string()),
        }
    }
    Function {
        name: definition.name,
        sql_id,
        operator: definition.operator,
        arguments: signature.arguments,
        variadic: signature.variadic,
        result: signature.result,
        volatility: definition.volatility,
        strict: definition.strict,
        body: definition.body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        assert_eq!(
            REGISTRY.by_sql_id.len(),
            REGISTRY.functions.len(),
            "{:?}",
            {
                let mut ids: Vec<_> = all().map(|f| f.sql_id.clone()).collect();
                ids.sort();
                ids.windows(2)
                    .filter(|pair| pair[0] == pair[1])
                    .map(|pair| pair[0].clone())
                    .collect::<Vec<_>>()
            }
        );
        assert!(by_sql_id("int4pl_int4_int4").is_some());
    }
}
