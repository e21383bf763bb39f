//! PostgreSQL's views over its catalogs: pg_tables, pg_indexes, pg_sequences, pg_views.

use super::super::View;
use super::super::object;
use super::super::relation::Rows;
use super::super::value::optional;
use crate::plan::function::{definitions, names};
use crate::types::Value;

pub(crate) fn tables(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "schemaname",
        "tablename",
        "tableowner",
        "hasindexes",
        "hasrules",
        "hastriggers",
        "rowsecurity",
    ];
    let tables = object::relations(view).filter(|shown| shown.kind == 'r');
    let row = |shown: object::Shown<'_>| {
        let keyed = !shown.table.foreign_keys.is_empty()
            || (!shown.is_system() && view.schema.children_of(shown.table.id).next().is_some());
        vec![
            Value::text(names::namespace_name(shown.table.namespace)),
            Value::text(shown.table.name.as_str()),
            Value::text(view.role_name(shown.owner)),
            Value::Bool(!object::indexes(shown.table).is_empty()),
            Value::Bool(false),
            Value::Bool(keyed),
            Value::Bool(false),
        ]
    };
    Rows::new(COLUMNS, tables.map(row).collect())
}

pub(crate) fn indexes(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for index in object::indexes(shown.table) {
            let definition = definitions::index([&view.schema, &view.system], index.id);
            rows.push(vec![
                Value::text(names::namespace_name(shown.table.namespace)),
                Value::text(shown.table.name.as_str()),
                Value::text(index.name),
                optional(definition.as_deref()),
            ]);
        }
    }
    Rows::new(&["schemaname", "tablename", "indexname", "indexdef"], rows)
}

pub(crate) fn sequences(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "schemaname",
        "sequencename",
        "sequenceowner",
        "data_type",
        "start_value",
        "min_value",
        "max_value",
        "increment_by",
        "cycle",
        "cache_size",
        "last_value",
    ];
    let row = |sequence: &crate::catalog::schema::Sequence| {
        let counter = view.cluster.counters.get(&sequence.id);
        let called = counter.filter(|counter| counter.is_called);
        vec![
            Value::text("public"),
            Value::text(sequence.name.as_str()),
            Value::text(view.role_name(view.owner())),
            Value::Int(sequence.ty.oid().into()),
            Value::Int(sequence.start),
            Value::Int(sequence.min),
            Value::Int(sequence.max),
            Value::Int(sequence.increment),
            Value::Bool(sequence.cycle),
            Value::Int(1),
            called.map_or(Value::Null, |counter| Value::Int(counter.last_value)),
        ]
    };
    Rows::new(COLUMNS, object::sequences(&view.schema).map(row).collect())
}

/// The system's own; what they are made of is no SQL text, so their definition is NULL.
pub(crate) fn views(view: &View) -> Rows {
    let views = object::relations(view).filter(|shown| shown.kind == 'v');
    let row = |shown: object::Shown<'_>| {
        vec![
            Value::text(names::namespace_name(shown.table.namespace)),
            Value::text(shown.table.name.as_str()),
            Value::text(view.role_name(shown.owner)),
        ]
    };
    Rows::new(
        &["schemaname", "viewname", "viewowner"],
        views.map(row).collect(),
    )
}
