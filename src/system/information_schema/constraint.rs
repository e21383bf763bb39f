//! Constraints as the standard describes them.

use super::super::View;
use super::super::object::{self, Shown};
use super::super::relation::Rows;
use super::super::value::yes_or_no;
use super::catalog;
use crate::catalog::schema::{Action, Column, IndexKey, Table};
use crate::types::id::ColumnId;
use crate::types::{Row, Value};

/// Every constraint is one of schema public.
fn public(view: &View) -> [Value; 2] {
    [catalog(view), Value::text("public")]
}

/// What stands before a name of a table or constraint.
fn named(view: &View, name: &str) -> Row {
    let [catalog, schema] = public(view);
    vec![catalog, schema, Value::text(name)]
}

pub(crate) fn table_constraints(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_type",
        "is_deferrable",
        "initially_deferred",
        "enforced",
        "nulls_distinct",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        let mut add = |name: &str, kind: &str, deferrable, deferred, nulls: Option<bool>| {
            let mut row = named(view, name);
            row.extend(named(view, &shown.table.name));
            row.extend([
                Value::text(kind),
                yes_or_no(deferrable),
                yes_or_no(deferred),
                yes_or_no(true),
                nulls.map_or(Value::Null, yes_or_no),
            ]);
            rows.push(row);
        };
        for index in object::indexes(shown.table)
            .iter()
            .filter(|index| index.constraint)
        {
            let (kind, nulls) = match index.primary {
                true => ("PRIMARY KEY", None),
                false => ("UNIQUE", Some(!index.nulls_not_distinct)),
            };
            let (deferrable, deferred) = (index.deferrable, index.initially_deferred);
            add(index.name, kind, deferrable, deferred, nulls);
        }
        for key in &shown.table.foreign_keys {
            add(
                &key.name,
                "FOREIGN KEY",
                key.deferrable,
                key.initially_deferred,
                None,
            );
        }
        for check in &shown.table.checks {
            add(&check.name, "CHECK", false, false, None);
        }
        for column in shown.columns().filter(|column| column.not_null) {
            add(&not_null_name(shown, column), "CHECK", false, false, None);
        }
    }
    Rows::new(COLUMNS, rows)
}

/// NOT NULL is a check to the standard; PostgreSQL names it by its numbers.
fn not_null_name(shown: Shown<'_>, column: &Column) -> String {
    format!("2200_{}_{}_not_null", shown.oid(), column.id.0)
}

pub(crate) fn checks(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "check_clause",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for check in &shown.table.checks {
            let mut row = named(view, &check.name);
            row.push(Value::text(format!("({})", check.expression)));
            rows.push(row);
        }
        for column in shown.columns().filter(|column| column.not_null) {
            let mut row = named(view, &not_null_name(shown, column));
            row.push(Value::text(format!("{} IS NOT NULL", column.name)));
            rows.push(row);
        }
    }
    Rows::new(COLUMNS, rows)
}

/// A key's columns: the table's own, and for a foreign key the parent's.
struct Key<'a> {
    name: &'a str,
    columns: Vec<ColumnId>,
    parent: Option<Parent<'a>>,
}

/// What a foreign key refers to.
struct Parent<'a> {
    table: &'a Table,
    /// In the foreign key's order.
    columns: Vec<ColumnId>,
    /// Where each stands in the parent's key.
    places: Vec<Option<usize>>,
}

fn keys<'a>(view: &'a View, table: &'a Table) -> Vec<Key<'a>> {
    let mut keys = Vec::new();
    for index in object::indexes(table)
        .into_iter()
        .filter(|index| index.constraint)
    {
        let columns = index.columns.iter().filter_map(|column| match &column.key {
            IndexKey::Column(id) => Some(*id),
            IndexKey::Expression(..) => None,
        });
        keys.push(Key {
            name: index.name,
            columns: columns.collect(),
            parent: None,
        });
    }
    for key in &table.foreign_keys {
        let unique: Vec<i64> = object::referenced_index(&view.schema, key)
            .map(|index| index.numbers().collect())
            .unwrap_or_default();
        let place = |id: &ColumnId| unique.iter().position(|number| *number == i64::from(id.0));
        let places = key.parent_columns.iter().map(place).collect();
        let parent = view.schema.table(key.parent);
        keys.push(Key {
            name: &key.name,
            columns: key.columns.clone(),
            parent: parent.map(|table| Parent {
                table,
                columns: key.parent_columns.clone(),
                places,
            }),
        });
    }
    keys
}

fn name_of(table: &Table, id: ColumnId) -> Value {
    table
        .column(id)
        .map_or(Value::Null, |column| Value::text(column.name.as_str()))
}

pub(crate) fn key_columns(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
        "position_in_unique_constraint",
    ];
    let number = |place: usize| Value::Int(place as i64 + 1);
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for key in keys(view, shown.table) {
            for (place, id) in key.columns.iter().enumerate() {
                let of_parent = key.parent.as_ref().and_then(|parent| parent.places[place]);
                let mut row = named(view, key.name);
                row.extend(named(view, &shown.table.name));
                row.extend([
                    name_of(shown.table, *id),
                    number(place),
                    of_parent.map_or(Value::Null, number),
                ]);
                rows.push(row);
            }
        }
    }
    Rows::new(COLUMNS, rows)
}

/// The columns that constraints are about: a foreign key's are its parent's.
pub(crate) fn column_usage(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        let mut add = |table: &Table, id: ColumnId, name: &str| {
            let mut row = named(view, &table.name);
            row.push(name_of(table, id));
            row.extend(named(view, name));
            rows.push(row);
        };
        for key in keys(view, shown.table) {
            let (table, columns) = match &key.parent {
                Some(parent) => (parent.table, &parent.columns),
                None => (shown.table, &key.columns),
            };
            columns.iter().for_each(|id| add(table, *id, key.name));
        }
        for check in &shown.table.checks {
            for id in view.mentioned(shown.table, &check.expression) {
                add(shown.table, id, &check.name);
            }
        }
    }
    Rows::new(COLUMNS, rows)
}

pub(crate) fn table_usage(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for key in keys(view, shown.table) {
            let table = key
                .parent
                .as_ref()
                .map_or(shown.table, |parent| parent.table);
            let mut row = named(view, &table.name);
            row.extend(named(view, key.name));
            rows.push(row);
        }
    }
    Rows::new(COLUMNS, rows)
}

pub(crate) fn referential(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "unique_constraint_catalog",
        "unique_constraint_schema",
        "unique_constraint_name",
        "match_option",
        "update_rule",
        "delete_rule",
    ];
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for key in &shown.table.foreign_keys {
            let index = object::referenced_index(&view.schema, key);
            let mut row = named(view, &key.name);
            // A unique index that is no constraint has no name here.
            match index.filter(|index| index.constraint) {
                Some(index) => row.extend(named(view, index.name)),
                None => row.extend([Value::Null, Value::Null, Value::Null]),
            }
            row.extend([
                Value::text(if key.match_full { "FULL" } else { "NONE" }),
                Value::text(rule(key.on_update)),
                Value::text(rule(key.on_delete)),
            ]);
            rows.push(row);
        }
    }
    Rows::new(COLUMNS, rows)
}

fn rule(action: Action) -> &'static str {
    match action {
        Action::NoAction => "NO ACTION",
        Action::Restrict => "RESTRICT",
        Action::Cascade => "CASCADE",
        Action::SetNull => "SET NULL",
        Action::SetDefault => "SET DEFAULT",
    }
}
