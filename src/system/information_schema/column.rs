//! Columns as the standard describes them.

use super::super::View;
use super::super::object;
use super::super::relation::Rows;
use super::super::value::yes_or_no;
use super::catalog;
use crate::catalog::schema::{Column, Identity};
use crate::plan::function::names;
use crate::types::{Row, Type, Value};

const COLUMNS: &[&str] = &[
    "table_catalog",
    "table_schema",
    "table_name",
    "column_name",
    "ordinal_position",
    "column_default",
    "is_nullable",
    "data_type",
    "character_maximum_length",
    "character_octet_length",
    "numeric_precision",
    "numeric_precision_radix",
    "numeric_scale",
    "datetime_precision",
    "udt_catalog",
    "udt_schema",
    "udt_name",
    "dtd_identifier",
    "is_self_referencing",
    "is_identity",
    "identity_cycle",
    "is_generated",
    "is_updatable",
    "identity_generation",
    "identity_start",
    "identity_increment",
    "identity_maximum",
    "identity_minimum",
];

pub(crate) fn columns(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::relations(view) {
        for column in shown.columns() {
            let mut row = vec![
                catalog(view),
                Value::text(names::namespace_name(shown.table.namespace)),
                Value::text(shown.table.name.as_str()),
                Value::text(column.name.as_str()),
                Value::Int(column.id.0.into()),
                column.default.as_deref().map_or(Value::Null, Value::text),
                yes_or_no(!column.not_null),
            ];
            row.extend(type_facts(&column.ty));
            row.extend([
                catalog(view),
                Value::text("pg_catalog"),
                Value::text(column.ty.catalog_name()),
                Value::text(column.id.0.to_string()),
                yes_or_no(false),
                yes_or_no(column.identity.is_some()),
            ]);
            row.extend(identity(view, column));
            row.insert(21, Value::text("NEVER"));
            row.insert(22, yes_or_no(!shown.is_system()));
            rows.push(row);
        }
    }
    Rows::new(COLUMNS, rows)
}

/// Cycle, then generation, start, increment, maximum and minimum of an identity.
fn identity(view: &View, column: &Column) -> Row {
    let none = || {
        vec![
            yes_or_no(false),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
        ]
    };
    let Some(Identity { always, sequence }) = &column.identity else {
        return none();
    };
    let Some(sequence) = view.schema.sequences.get(sequence) else {
        return none();
    };
    let text = |number: i64| Value::text(number.to_string());
    vec![
        yes_or_no(sequence.cycle),
        Value::text(if *always { "ALWAYS" } else { "BY DEFAULT" }),
        text(sequence.start),
        text(sequence.increment),
        text(sequence.max),
        text(sequence.min),
    ]
}

/// The most bytes of a text without a limit.
const OCTETS_MAX: i64 = 1 << 30;

/// Digits behind a second, unless limited.
const SECOND_DIGITS: u8 = 6;

/// The most bytes of one character.
const CHARACTER_OCTETS: i64 = 4;

/// Name, then character length and octets, numeric precision, radix and
/// scale, and digits of a second.
fn type_facts(ty: &Type) -> Row {
    let name = match ty {
        Type::Array(_) | Type::Int2Vector | Type::OidVector => "ARRAY".to_owned(),
        _ => names::type_name(ty),
    };
    let facts: [Option<i64>; 6] = match ty {
        Type::Varchar(Some(n)) | Type::Char(Some(n)) => {
            let n = i64::from(*n);
            [Some(n), Some(n * CHARACTER_OCTETS), None, None, None, None]
        }
        Type::Text | Type::Varchar(None) | Type::Char(None) => {
            [None, Some(OCTETS_MAX), None, None, None, None]
        }
        Type::Int2 | Type::Int4 | Type::Int8 => {
            let bits = i64::from(ty.length()) * 8;
            [None, None, Some(bits), Some(2), Some(0), None]
        }
        Type::Float4 => [None, None, Some(24), Some(2), None, None],
        Type::Float8 => [None, None, Some(53), Some(2), None, None],
        Type::Numeric(limits) => {
            let precision = limits.map(|(precision, _)| precision.into());
            let scale = limits.map(|(_, scale)| scale.into());
            [None, None, precision, Some(10), scale, None]
        }
        Type::Date => [None, None, None, None, None, Some(0)],
        Type::Time(digits)
        | Type::Timestamp(digits)
        | Type::Timestamptz(digits)
        | Type::Interval(digits) => {
            let digits = digits.unwrap_or(SECOND_DIGITS);
            [None, None, None, None, None, Some(digits.into())]
        }
        _ => [None; 6],
    };
    let mut row = vec![Value::text(name)];
    row.extend(facts.map(|fact| fact.map_or(Value::Null, Value::Int)));
    row
}
