//! Functions and operators, from the planner's own registry.

use super::super::View;
use super::super::object::SYSTEM_ROLE;
use super::super::pg_type;
use super::super::relation::Rows;
use super::super::value::{letter, list, oid, oid_vector};
use crate::catalog::schema::Namespace;
use crate::plan::function::{Function, Parameter, Returns, Volatility, names, oids, registry};
use crate::types::{Row, Type, Value};

/// `pg_language.oid` of functions that are built in.
pub(crate) const INTERNAL: u32 = 12;

const ANY: u32 = 2276;
const ANY_ELEMENT: u32 = 2283;
const ANY_ARRAY: u32 = 2277;
const ANY_COMPATIBLE: u32 = 5077;
const ANY_COMPATIBLE_ARRAY: u32 = 5078;

const COLUMNS: &[&str] = &[
    "oid",
    "proname",
    "pronamespace",
    "proowner",
    "prolang",
    "procost",
    "prorows",
    "provariadic",
    "prokind",
    "proisstrict",
    "proretset",
    "provolatile",
    "proparallel",
    "pronargs",
    "prorettype",
    "proargtypes",
    "prosrc",
    "proallargtypes",
    "proargmodes",
    "proargnames",
];

struct Described<'a> {
    oid: u32,
    name: &'a str,
    kind: char,
    strict: bool,
    set: bool,
    volatility: char,
    variadic: u32,
    arguments: Vec<u32>,
    result: u32,
}

pub(crate) fn functions(_: &View) -> Rows {
    let own = registry::all().map(|function| described(&function));
    let support = oids::support().iter().map(|function| {
        let arguments = function
            .arguments
            .iter()
            .map(|name| pg_type::oid_named(name));
        Described {
            oid: function.oid,
            name: function.name,
            kind: 'f',
            strict: true,
            set: false,
            volatility: 'i',
            variadic: 0,
            arguments: arguments.collect(),
            result: pg_type::oid_named(function.result),
        }
        .row(None)
    });
    Rows::new(COLUMNS, own.chain(support).collect())
}

fn described(function: &Function) -> Row {
    let mut arguments: Vec<u32> = function.arguments.iter().map(parameter).collect();
    let mut variadic = 0;
    if function.variadic
        && let Some(last) = arguments.last_mut()
    {
        variadic = *last;
        let array = Type::from_oid(*last).map_or(0, |ty| ty.array_oid());
        if array != 0 {
            *last = array;
        }
    }
    let kind = match () {
        () if function.is_aggregate() || function.is_ordered_set() => 'a',
        () if function.is_window() => 'w',
        () => 'f',
    };
    let columns = match &function.result {
        Returns::Columns(columns) => Some(columns),
        _ => None,
    };
    Described {
        oid: oids::of(function),
        name: function.name,
        kind,
        strict: function.strict,
        set: function.is_set(),
        volatility: match function.volatility {
            Volatility::Immutable => 'i',
            Volatility::Stable => 's',
            Volatility::Volatile => 'v',
        },
        variadic,
        arguments,
        result: result(&function.result),
    }
    .row(columns)
}

impl Described<'_> {
    fn row(self, columns: Option<&Vec<(String, Type)>>) -> Row {
        let outputs = columns.map(|columns| {
            let types = self.arguments.iter().copied();
            let types = types.chain(columns.iter().map(|(_, ty)| ty.oid()));
            let modes = self
                .arguments
                .iter()
                .map(|_| 'i')
                .chain(columns.iter().map(|_| 't'));
            let names = self.arguments.iter().map(|_| "");
            let names = names.chain(columns.iter().map(|(name, _)| name.as_str()));
            [
                list(Type::Oid, types.map(oid)),
                list(Type::InternalChar, modes.map(letter)),
                list(Type::Text, names.map(Value::text)),
            ]
        });
        let mut row = vec![
            oid(self.oid),
            Value::text(self.name),
            oid(names::namespace_oid(Namespace::PgCatalog)),
            oid(SYSTEM_ROLE),
            oid(INTERNAL),
            Value::Float(1.0),
            Value::Float(if self.set { 1000.0 } else { 0.0 }),
            oid(self.variadic),
            letter(self.kind),
            Value::Bool(self.strict),
            Value::Bool(self.set),
            letter(self.volatility),
            letter('s'),
            Value::Int(self.arguments.len() as i64),
            oid(self.result),
            oid_vector(self.arguments.iter().copied()),
            Value::text(self.name),
        ];
        row.extend(outputs.unwrap_or([Value::Null, Value::Null, Value::Null]));
        row
    }
}

fn parameter(parameter: &Parameter) -> u32 {
    match parameter {
        Parameter::Of(ty) => ty.oid(),
        Parameter::AnyElement => ANY_ELEMENT,
        Parameter::AnyArray => ANY_ARRAY,
        Parameter::AnyNonArray => 2776,
        Parameter::Compatible => ANY_COMPATIBLE,
        Parameter::CompatibleArray => ANY_COMPATIBLE_ARRAY,
        Parameter::Any => ANY,
    }
}

fn result(result: &Returns) -> u32 {
    match result {
        Returns::Of(ty) => ty.oid(),
        Returns::Element => ANY_ELEMENT,
        Returns::Array => ANY_ARRAY,
        Returns::Compatible => ANY_COMPATIBLE,
        Returns::CompatibleArray => ANY_COMPATIBLE_ARRAY,
        Returns::Columns(_) => Type::Record.oid(),
    }
}

pub(crate) fn operators(_: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "oprname",
        "oprnamespace",
        "oprowner",
        "oprkind",
        "oprleft",
        "oprright",
        "oprresult",
        "oprcode",
    ];
    let called = registry::all().filter_map(|function| Some((function, function.0.operator?)));
    let row = |(function, symbol): (crate::plan::function::FunctionRef, &str)| {
        let arguments: Vec<u32> = function.arguments.iter().map(parameter).collect();
        let (left, right) = match arguments.as_slice() {
            [left, right] => (*left, *right),
            [right] => (0, *right),
            _ => (0, 0),
        };
        vec![
            oid(oids::operator(&function)),
            Value::text(symbol),
            oid(names::namespace_oid(Namespace::PgCatalog)),
            oid(SYSTEM_ROLE),
            letter(if left == 0 { 'l' } else { 'b' }),
            oid(left),
            oid(right),
            oid(result(&function.result)),
            oid(oids::of(&function)),
        ]
    };
    Rows::new(COLUMNS, called.map(row).collect())
}
