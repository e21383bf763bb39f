//! Schemas, tables, views, sequences and privileges on them.

use super::super::View;
use super::super::object::{self, DATABASE_OWNER_ROLE, SYSTEM_ROLE};
use super::super::relation::Rows;
use super::super::value::yes_or_no;
use super::catalog;
use crate::catalog::schema::Namespace;
use crate::plan::function::names;
use crate::types::{Type, Value};

pub(crate) fn catalog_name(view: &View) -> Rows {
    Rows::new(&["catalog_name"], vec![vec![catalog(view)]])
}

pub(crate) fn enabled_roles(view: &View) -> Rows {
    Rows::new(
        &["role_name"],
        vec![vec![Value::text(view.user.name.as_str())]],
    )
}

pub(crate) fn schemata(view: &View) -> Rows {
    let schemas = [
        (Namespace::PgCatalog, SYSTEM_ROLE),
        (Namespace::Public, DATABASE_OWNER_ROLE),
        (Namespace::InformationSchema, SYSTEM_ROLE),
        (Namespace::Pyql, SYSTEM_ROLE),
    ];
    let row = |(namespace, owner)| {
        vec![
            catalog(view),
            Value::text(names::namespace_name(namespace)),
            Value::text(view.role_name(owner)),
        ]
    };
    Rows::new(
        &["catalog_name", "schema_name", "schema_owner"],
        schemas.map(row).to_vec(),
    )
}

pub(crate) fn tables(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "table_catalog",
        "table_schema",
        "table_name",
        "table_type",
        "is_insertable_into",
        "is_typed",
    ];
    let row = |shown: object::Shown<'_>| {
        vec![
            catalog(view),
            Value::text(names::namespace_name(shown.table.namespace)),
            Value::text(shown.table.name.as_str()),
            Value::text(if shown.kind == 'v' {
                "VIEW"
            } else {
                "BASE TABLE"
            }),
            yes_or_no(!shown.is_system()),
            yes_or_no(false),
        ]
    };
    Rows::new(COLUMNS, object::relations(view).map(row).collect())
}

/// The system's own; their definition is no SQL text, so it is NULL.
pub(crate) fn views(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "table_catalog",
        "table_schema",
        "table_name",
        "check_option",
        "is_updatable",
        "is_insertable_into",
        "is_trigger_updatable",
        "is_trigger_deletable",
        "is_trigger_insertable_into",
    ];
    let row = |shown: object::Shown<'_>| {
        let no = || yes_or_no(false);
        vec![
            catalog(view),
            Value::text(names::namespace_name(shown.table.namespace)),
            Value::text(shown.table.name.as_str()),
            Value::text("NONE"),
            no(),
            no(),
            no(),
            no(),
            no(),
        ]
    };
    let views = object::relations(view).filter(|shown| shown.kind == 'v');
    Rows::new(COLUMNS, views.map(row).collect())
}

pub(crate) fn sequences(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "sequence_catalog",
        "sequence_schema",
        "sequence_name",
        "data_type",
        "numeric_precision",
        "numeric_precision_radix",
        "numeric_scale",
        "start_value",
        "minimum_value",
        "maximum_value",
        "increment",
        "cycle_option",
    ];
    // The standard view leaves out those of identity columns.
    let is_identity = |id| {
        let mut columns = object::tables(view).flat_map(|shown| &shown.table.columns);
        columns.any(|column| column.identity.as_ref().is_some_and(|it| it.sequence == id))
    };
    let row = |sequence: &crate::catalog::schema::Sequence| {
        let bits = match sequence.ty {
            Type::Int2 => 16,
            Type::Int4 => 32,
            _ => 64,
        };
        let text = |number: i64| Value::text(number.to_string());
        vec![
            catalog(view),
            Value::text("public"),
            Value::text(sequence.name.as_str()),
            Value::text(sequence.ty.to_string()),
            Value::Int(bits),
            Value::Int(2),
            Value::Int(0),
            text(sequence.start),
            text(sequence.min),
            text(sequence.max),
            text(sequence.increment),
            yes_or_no(sequence.cycle),
        ]
    };
    let shown = object::sequences(&view.schema).filter(|sequence| !is_identity(sequence.id));
    Rows::new(COLUMNS, shown.map(row).collect())
}

/// Who sees a data cluster may do everything in it.
pub(crate) fn privileges(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "privilege_type",
        "is_grantable",
        "with_hierarchy",
    ];
    const ALL: [&str; 7] = [
        "INSERT",
        "SELECT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
    ];
    let mut rows = Vec::new();
    for shown in object::relations(view) {
        let granted: &[&str] = if shown.is_system() { &["SELECT"] } else { &ALL };
        let grantee = if shown.is_system() {
            "PUBLIC"
        } else {
            view.user.name.as_str()
        };
        for privilege in granted {
            rows.push(vec![
                Value::text(view.role_name(shown.owner)),
                Value::text(grantee),
                catalog(view),
                Value::text(names::namespace_name(shown.table.namespace)),
                Value::text(shown.table.name.as_str()),
                Value::text(*privilege),
                yes_or_no(view.user.id == view.cluster.owner && !shown.is_system()),
                yes_or_no(*privilege == "SELECT"),
            ]);
        }
    }
    Rows::new(COLUMNS, rows)
}

pub(crate) fn character_sets(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "character_set_name",
        "character_repertoire",
        "form_of_use",
        "default_collate_catalog",
        "default_collate_schema",
        "default_collate_name",
    ];
    let row = vec![
        Value::text("UTF8"),
        Value::text("UCS"),
        Value::text("UTF8"),
        catalog(view),
        Value::text("pg_catalog"),
        Value::text("C"),
    ];
    Rows::new(COLUMNS, vec![row])
}

pub(crate) fn collations(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "collation_catalog",
        "collation_schema",
        "collation_name",
        "pad_attribute",
    ];
    let row = |name: &str| {
        vec![
            catalog(view),
            Value::text("pg_catalog"),
            Value::text(name),
            Value::text("NO PAD"),
        ]
    };
    Rows::new(
        COLUMNS,
        ["default", "C", "POSIX", "ucs_basic"].map(row).to_vec(),
    )
}
