//! PostgreSQL's views over its catalogs: pg_tables, pg_indexes, pg_sequences, pg_views.

use super::super::View;
use super::super::object;
use super::super::relation::Rows;
use super::super::value::{oid, optional};
use crate::catalog::schema::{Commented, Namespace};
use crate::plan::function::{definitions, names};
use crate::types::{Row, Value};

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

/// What COMMENT ON said of the objects of the data cluster.
pub(crate) fn descriptions(view: &View) -> Rows {
    const COLUMNS: &[&str] = &["objoid", "classoid", "objsubid", "description"];
    const CLASS: u32 = 1259;
    const CONSTRAINT: u32 = 2606;
    const NAMESPACE: u32 = 2615;
    let row = |(on, text): (&Commented, &String)| {
        let (object, class, column) = match on {
            Commented::Relation(id) => (id.0, CLASS, 0),
            Commented::Column(table, column) => (table.0, CLASS, column.0),
            Commented::Constraint(id) => (id.0, CONSTRAINT, 0),
            Commented::Schema => (names::namespace_oid(Namespace::Public), NAMESPACE, 0),
            Commented::Database => return None,
        };
        Some(vec![
            oid(object),
            oid(class),
            Value::Int(column.into()),
            Value::text(text.as_str()),
        ])
    };
    let mut rows: Vec<Row> = view.schema.comments.iter().filter_map(row).collect();
    if !view.schema.comments.contains_key(&Commented::Schema) {
        let public = oid(names::namespace_oid(Namespace::Public));
        let text = Value::text(names::PUBLIC_COMMENT);
        rows.push(vec![public, oid(NAMESPACE), Value::Int(0), text]);
    }
    Rows::new(COLUMNS, rows)
}

/// What it said of the data cluster itself.
pub(crate) fn shared_descriptions(view: &View) -> Rows {
    const DATABASE: u32 = 1262;
    let text = view.schema.comments.get(&Commented::Database);
    let row = |text: &String| {
        let database = oid(view.cluster.id.oid());
        vec![database, oid(DATABASE), Value::text(text.as_str())]
    };
    let rows = text.map(row).into_iter().collect();
    Rows::new(&["objoid", "classoid", "description"], rows)
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

/// For the pg_stat views: which tables there are, and no count of anything.
pub(crate) fn all_tables(view: &View) -> Rows {
    counted(object::relations(view).filter(|shown| shown.kind == 'r'))
}

pub(crate) fn user_tables(view: &View) -> Rows {
    counted(object::tables(view))
}

fn counted<'a>(tables: impl Iterator<Item = object::Shown<'a>>) -> Rows {
    let row = |shown: object::Shown<'_>| {
        vec![
            oid(shown.oid()),
            Value::text(names::namespace_name(shown.table.namespace)),
            Value::text(shown.table.name.as_str()),
        ]
    };
    Rows::new(
        &["relid", "schemaname", "relname"],
        tables.map(row).collect(),
    )
}

/// The same for indexes; the system's relations have none.
pub(crate) fn user_indexes(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "relid",
        "indexrelid",
        "schemaname",
        "relname",
        "indexrelname",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        let row = |index: &object::ShownIndex<'_>| {
            vec![
                oid(shown.oid()),
                oid(index.id.0),
                Value::text(names::namespace_name(shown.table.namespace)),
                Value::text(shown.table.name.as_str()),
                Value::text(index.name),
            ]
        };
        rows.extend(object::indexes(shown.table).iter().map(row));
    }
    Rows::new(COLUMNS, rows)
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
