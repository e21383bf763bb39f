//! Constraints, and what depends on what.

use super::super::View;
use super::super::object::{self, Shown};
use super::super::relation::Rows;
use super::super::value::{letter, oid, optional};
use super::class::{self, numbers};
use super::support::EXTENSION;
use crate::catalog::schema::{Action, ForeignKey, Namespace};
use crate::plan::function::{definitions, names};
use crate::types::{Row, Value};

const CLASS: u32 = 1259;
const DEFAULT: u32 = 2604;
const CONSTRAINT: u32 = 2606;
const NAMESPACE: u32 = 2615;
const EXTENSION_CLASS: u32 = 3079;

const COLUMNS: &[&str] = &[
    "oid",
    "conname",
    "connamespace",
    "contype",
    "condeferrable",
    "condeferred",
    "convalidated",
    "conrelid",
    "conindid",
    "confrelid",
    "confupdtype",
    "confdeltype",
    "confmatchtype",
    "conislocal",
    "connoinherit",
    "conkey",
    "confkey",
    "conbin",
];

pub(crate) fn constraints(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for index in object::indexes(shown.table)
            .iter()
            .filter(|index| index.constraint)
        {
            let kind = if index.primary { 'p' } else { 'u' };
            let mut row = constraint(shown, index.id.0, index.name, kind);
            row[8] = oid(index.id.0);
            row[4] = Value::Bool(index.deferrable);
            row[5] = Value::Bool(index.initially_deferred);
            row[15] = numbers(index.numbers());
            rows.push(row);
        }
        let keys = shown.table.foreign_keys.iter();
        rows.extend(keys.map(|key| foreign_key(view, shown, key)));
        for check in &shown.table.checks {
            let mut row = constraint(shown, check.id.0, &check.name, 'c');
            row[14] = Value::Bool(false);
            let used = view.mentioned(shown.table, &check.expression);
            row[15] = numbers(used.iter().map(|id| id.0.into()));
            row[17] = optional(Some(&check.expression));
            rows.push(row);
        }
    }
    Rows::new(COLUMNS, rows)
}

fn constraint(shown: Shown<'_>, id: u32, name: &str, kind: char) -> Row {
    let blank = || letter(' ');
    vec![
        oid(id),
        Value::text(name),
        oid(shown.namespace()),
        letter(kind),
        Value::Bool(false),
        Value::Bool(false),
        Value::Bool(true),
        oid(shown.oid()),
        oid(0),
        oid(0),
        blank(),
        blank(),
        blank(),
        Value::Bool(true),
        Value::Bool(true),
        Value::Null,
        Value::Null,
        Value::Null,
    ]
}

fn foreign_key(view: &View, shown: Shown<'_>, key: &ForeignKey) -> Row {
    let mut row = constraint(shown, key.id.0, &key.name, 'f');
    let index = object::referenced_index(&view.schema, key);
    row[4] = Value::Bool(key.deferrable);
    row[5] = Value::Bool(key.initially_deferred);
    row[8] = oid(index.map_or(0, |index| index.id.0));
    row[9] = oid(key.parent.0);
    row[10] = letter(action(key.on_update));
    row[11] = letter(action(key.on_delete));
    row[12] = letter(if key.match_full { 'f' } else { 's' });
    row[15] = numbers(key.columns.iter().map(|id| id.0.into()));
    row[16] = numbers(key.parent_columns.iter().map(|id| id.0.into()));
    row
}

fn action(action: Action) -> char {
    match action {
        Action::NoAction => 'a',
        Action::Restrict => 'r',
        Action::Cascade => 'c',
        Action::SetNull => 'n',
        Action::SetDefault => 'd',
    }
}

const DEPEND_COLUMNS: &[&str] = &[
    "classid",
    "objid",
    "objsubid",
    "refclassid",
    "refobjid",
    "refobjsubid",
    "deptype",
];

/// Sequences on their columns, defaults on columns and sequences, indexes on their constraints, foreign keys on
/// the indexes that they refer by, and schema `pyql` on its extension.
///
/// Not told: what else depends on what; DROP finds it in the schema.
pub(crate) fn dependencies(view: &View) -> Rows {
    let mut rows = Vec::new();
    let row =
        |object, class, on, column, kind| dependency((CLASS, object), class, on, column, kind);
    for sequence in object::sequences(&view.schema) {
        let Some((table, column)) = sequence.owner else {
            continue;
        };
        let column = view
            .schema
            .table(table)
            .and_then(|table| table.column(column));
        let Some(column) = column else { continue };
        let identity = column.identity.as_ref();
        let is_identity = identity.is_some_and(|identity| identity.sequence == sequence.id);
        let kind = if is_identity { 'i' } else { 'a' };
        rows.push(row(sequence.id.0, CLASS, table.0, column.id.0, kind));
    }
    for shown in object::tables(view) {
        for index in object::indexes(shown.table) {
            if index.constraint {
                rows.push(row(index.id.0, CONSTRAINT, index.id.0, 0, 'i'));
                continue;
            }
            for number in index.all_numbers().filter(|number| *number > 0) {
                rows.push(row(index.id.0, CLASS, shown.oid(), number as u16, 'a'));
            }
        }
        for key in &shown.table.foreign_keys {
            let on = |table: u32, column: u16, kind| {
                dependency((CONSTRAINT, key.id.0), CLASS, table, column, kind)
            };
            let own = key.columns.iter();
            rows.extend(own.map(|column| on(shown.oid(), column.0, 'a')));
            let parents = key.parent_columns.iter();
            rows.extend(parents.map(|column| on(key.parent.0, column.0, 'n')));
            if let Some(index) = object::referenced_index(&view.schema, key) {
                rows.push(on(index.id.0, 0, 'n'));
            }
        }
    }
    rows.extend(default_dependencies(view));
    let extended = |class, object| dependency((class, object), EXTENSION_CLASS, EXTENSION, 0, 'e');
    let schema = names::namespace_oid(Namespace::Pyql);
    rows.push(extended(NAMESPACE, schema));
    let own = object::relations(view).filter(|shown| shown.namespace() == schema);
    rows.extend(own.map(|shown| extended(CLASS, shown.oid())));
    Rows::new(DEPEND_COLUMNS, rows)
}

/// One row: an object by its class and oid, and what it depends on.
fn dependency(of: (u32, u32), class: u32, on: u32, column: u16, kind: char) -> Row {
    vec![
        oid(of.0),
        oid(of.1),
        oid(0),
        oid(class),
        oid(on),
        Value::Int(column.into()),
        letter(kind),
    ]
}

fn default_dependencies(view: &View) -> Vec<Row> {
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for column in shown.columns() {
            let Some(text) = &column.default else {
                continue;
            };
            let default = class::default_oid(shown.oid(), column);
            let on =
                |table, column, kind| dependency((DEFAULT, default), CLASS, table, column, kind);
            rows.push(on(shown.oid(), column.id.0, 'a'));
            let named = definitions::relation_names(text).into_iter();
            let named = named.filter_map(|range| {
                let name = text[range].replace("''", "'");
                names::relation_oid(&name, &view.context).ok().flatten()
            });
            rows.extend(named.map(|sequence| on(sequence, 0, 'n')));
        }
    }
    rows
}
