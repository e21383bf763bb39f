//! Tables, their columns, defaults, indexes: what `\d` asks for first.

use super::super::View;
use super::super::object::{self, Shown};
use super::super::pg_type;
use super::super::relation::Rows;
use super::super::value::{int2_vector, letter, list, oid, oid_vector, optional};
use crate::catalog::schema::{Column, IndexKey, Namespace, Sequence};
use crate::plan::function::names;
use crate::types::{Row, Type, Value};

const HEAP: u32 = 2;
const BTREE: u32 = 403;

/// `pg_class.reltuples` of a relation that nobody has counted.
const NEVER_ANALYZED: f64 = -1.0;

pub(crate) fn classes(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::relations(view) {
        rows.push(table_row(view, shown));
        for index in object::indexes(shown.table) {
            let natts = index.columns.len() as i64;
            let what = Class {
                oid: index.id.0,
                name: index.name,
                kind: 'i',
                method: BTREE,
                natts,
            };
            rows.push(what.row(shown.namespace(), shown.owner, 0.0));
        }
    }
    let public = names::namespace_oid(Namespace::Public);
    for sequence in object::sequences(&view.schema) {
        let what = Class {
            oid: sequence.id.0,
            name: &sequence.name,
            kind: 'S',
            method: 0,
            natts: 3,
        };
        rows.push(what.row(public, view.owner(), 1.0));
    }
    Rows::new(CLASS_COLUMNS, rows)
}

const CLASS_COLUMNS: &[&str] = &[
    "oid",
    "relname",
    "relnamespace",
    "relowner",
    "relam",
    "relfilenode",
    "reltuples",
    "relpersistence",
    "relkind",
    "relnatts",
    "relispopulated",
    "relreplident",
    "relhasindex",
    "relhastriggers",
    "relchecks",
];

struct Class<'a> {
    oid: u32,
    name: &'a str,
    kind: char,
    method: u32,
    natts: i64,
}

impl Class<'_> {
    fn row(&self, namespace: u32, owner: u32, tuples: f64) -> Row {
        let identity = if self.kind == 'r' { 'd' } else { 'n' };
        let file = if self.kind == 'v' { 0 } else { self.oid };
        vec![
            oid(self.oid),
            Value::text(self.name),
            oid(namespace),
            oid(owner),
            oid(self.method),
            oid(file),
            Value::Float(tuples),
            letter('p'),
            letter(self.kind),
            Value::Int(self.natts),
            Value::Bool(true),
            letter(identity),
        ]
    }
}

fn table_row(view: &View, shown: Shown<'_>) -> Row {
    let table = shown.table;
    let natts = shown.columns().map(|column| column.id.0).max().unwrap_or(0);
    let method = if shown.kind == 'r' { HEAP } else { 0 };
    let what = Class {
        oid: shown.oid(),
        name: &table.name,
        kind: shown.kind,
        method,
        natts: natts.into(),
    };
    let tuples = if shown.kind == 'r' {
        NEVER_ANALYZED
    } else {
        0.0
    };
    let mut row = what.row(shown.namespace(), shown.owner, tuples);
    // Foreign keys are kept by triggers on both sides in PostgreSQL; psql asks for keys only then.
    let keyed = !table.foreign_keys.is_empty()
        || (!shown.is_system() && view.schema.children_of(table.id).next().is_some());
    row.extend([
        Value::Bool(!object::indexes(table).is_empty()),
        Value::Bool(keyed),
        Value::Int(table.checks.len() as i64),
    ]);
    row
}

const ATTRIBUTE_COLUMNS: &[&str] = &[
    "attrelid",
    "attname",
    "atttypid",
    "attlen",
    "attnum",
    "atttypmod",
    "attbyval",
    "attalign",
    "attstorage",
    "attnotnull",
    "atthasdef",
    "attidentity",
    "attislocal",
    "attcollation",
    "attstattarget",
    "attcacheoff",
    "attndims",
];

pub(crate) fn attributes(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::relations(view) {
        for column in shown.columns() {
            let identity = column.identity.as_ref().map(|identity| identity.always);
            let mut row = attribute(shown.oid(), &column.name, &column.ty, column.id.0);
            row[9] = Value::Bool(column.not_null);
            row[10] = Value::Bool(column.default.is_some());
            row[11] = Value::text(match identity {
                None => "",
                Some(true) => "a",
                Some(false) => "d",
            });
            rows.push(row);
        }
        for index in object::indexes(shown.table) {
            for (place, (name, ty)) in index.attributes(shown.table).iter().enumerate() {
                rows.push(attribute(index.id.0, name, ty, place as u16 + 1));
            }
        }
    }
    for sequence in object::sequences(&view.schema) {
        let columns = [
            ("last_value", Type::Int8),
            ("log_cnt", Type::Int8),
            ("is_called", Type::Bool),
        ];
        for (place, (name, ty)) in columns.iter().enumerate() {
            let mut row = attribute(sequence.id.0, name, ty, place as u16 + 1);
            row[9] = Value::Bool(true);
            rows.push(row);
        }
    }
    Rows::new(ATTRIBUTE_COLUMNS, rows)
}

fn attribute(relation: u32, name: &str, ty: &Type, number: u16) -> Row {
    let described = pg_type::described(ty);
    vec![
        oid(relation),
        Value::text(name),
        oid(ty.oid()),
        Value::Int(ty.length().into()),
        Value::Int(number.into()),
        Value::Int(ty.modifier().into()),
        Value::Bool(described.by_value),
        letter(described.align),
        letter(described.storage),
        Value::Bool(false),
        Value::Bool(false),
        Value::text(""),
        Value::Bool(true),
        oid(described.collation),
        Value::Int(-1),
        Value::Int(-1),
        Value::Int(matches!(ty, Type::Array(_)).into()),
    ]
}

/// A default has a number of its own in PostgreSQL; here it is made of the
/// table's and the column's, above what counters can reach soon.
pub(crate) fn default_oid(table: u32, column: &Column) -> u32 {
    const ABOVE: u32 = 0x8000_0000;
    ABOVE | (table << 11) | u32::from(column.id.0)
}

pub(crate) fn defaults(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for column in shown.columns() {
            if let Some(text) = &column.default {
                rows.push(vec![
                    oid(default_oid(shown.oid(), column)),
                    oid(shown.oid()),
                    Value::Int(column.id.0.into()),
                    Value::text(text.as_str()),
                ]);
            }
        }
    }
    Rows::new(&["oid", "adrelid", "adnum", "adbin"], rows)
}

const INDEX_COLUMNS: &[&str] = &[
    "indexrelid",
    "indrelid",
    "indnatts",
    "indnkeyatts",
    "indisunique",
    "indnullsnotdistinct",
    "indisprimary",
    "indimmediate",
    "indisvalid",
    "indisready",
    "indislive",
    "indkey",
    "indcollation",
    "indclass",
    "indoption",
    "indexprs",
    "indpred",
];

pub(crate) fn indexes(view: &View) -> Rows {
    let mut rows = Vec::new();
    for shown in object::tables(view) {
        for index in object::indexes(shown.table) {
            let types = index.attributes(shown.table);
            let option = |column: &crate::catalog::schema::IndexColumn| {
                i64::from(column.descending) | (i64::from(column.nulls_first) << 1)
            };
            let expressions = index.columns.iter().filter_map(|column| match &column.key {
                IndexKey::Expression(text, _) => Some(text.as_str()),
                IndexKey::Column(_) => None,
            });
            let expressions: Vec<&str> = expressions.collect();
            let expressions = (!expressions.is_empty()).then(|| expressions.join(", "));
            let width = |columns: usize| Value::Int(columns as i64);
            let keys = index.columns.len();
            rows.push(vec![
                oid(index.id.0),
                oid(shown.oid()),
                width(keys + index.include.len()),
                width(keys),
                Value::Bool(index.unique),
                Value::Bool(index.nulls_not_distinct),
                Value::Bool(index.primary),
                Value::Bool(!index.deferrable),
                Value::Bool(true),
                Value::Bool(true),
                Value::Bool(true),
                int2_vector(index.all_numbers()),
                oid_vector(
                    types[..keys]
                        .iter()
                        .map(|(_, ty)| pg_type::described(ty).collation),
                ),
                oid_vector(
                    types[..keys]
                        .iter()
                        .map(|(_, ty)| pg_type::operator_class(ty)),
                ),
                int2_vector(index.columns.iter().map(option)),
                optional(expressions.as_deref()),
                optional(index.predicate),
            ]);
        }
    }
    Rows::new(INDEX_COLUMNS, rows)
}

const SEQUENCE_COLUMNS: &[&str] = &[
    "seqrelid",
    "seqtypid",
    "seqstart",
    "seqincrement",
    "seqmax",
    "seqmin",
    "seqcache",
    "seqcycle",
];

pub(crate) fn sequences(view: &View) -> Rows {
    let row = |sequence: &Sequence| {
        vec![
            oid(sequence.id.0),
            oid(sequence.ty.oid()),
            Value::Int(sequence.start),
            Value::Int(sequence.increment),
            Value::Int(sequence.max),
            Value::Int(sequence.min),
            Value::Int(1),
            Value::Bool(sequence.cycle),
        ]
    };
    Rows::new(
        SEQUENCE_COLUMNS,
        object::sequences(&view.schema).map(row).collect(),
    )
}

pub(crate) fn namespaces(_: &View) -> Rows {
    let schemas = [
        (Namespace::PgCatalog, object::SYSTEM_ROLE),
        (Namespace::Public, object::DATABASE_OWNER_ROLE),
        (Namespace::InformationSchema, object::SYSTEM_ROLE),
        (Namespace::Pyql, object::SYSTEM_ROLE),
    ];
    let row = |(namespace, owner): (Namespace, u32)| {
        vec![
            oid(names::namespace_oid(namespace)),
            Value::text(names::namespace_name(namespace)),
            oid(owner),
            match namespace {
                Namespace::Public => public_privileges(),
                _ => Value::Null,
            },
        ]
    };
    let columns = &["oid", "nspname", "nspowner", "nspacl"];
    Rows::new(columns, schemas.map(row).to_vec())
}

/// What PostgreSQL grants on schema public from the start.
fn public_privileges() -> Value {
    let owner = names::DATABASE_OWNER_NAME;
    let items = [format!("{owner}=UC/{owner}"), format!("=U/{owner}")];
    list(Type::Text, items.map(Value::text))
}

/// Numbers of columns as an int2[].
pub(crate) fn numbers(ids: impl IntoIterator<Item = i64>) -> Value {
    list(Type::Int2, ids.into_iter().map(Value::Int))
}
