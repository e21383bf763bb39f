//! How a system relation is described: its columns, and where its rows come from.
//!
//! The columns of PostgreSQL's catalogs stand in `columns/*.txt`: all of
//! version 15, in its order, under its oids. Types that we lack stand as the
//! nearest we have: `aclitem` and `pg_node_tree` as text, `xid` as int8.

use std::sync::LazyLock;

use super::{View, information_schema, pg_catalog, pyql};
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Table};
use crate::types::id::{ColumnId, TableId};
use crate::types::{Row, Type, Value};

/// A relation of the system: what it is called, its columns, its rows.
pub(crate) struct Relation {
    pub(crate) table: Table,
    /// `pg_class.relkind`: `r`, or `v` where PostgreSQL has a view.
    pub(crate) kind: char,
    pub(crate) source: Source,
}

/// Gives a relation's rows.
pub(crate) type Source = fn(&View) -> Rows;

/// Rows by some of the columns; the others hold NULL or, where that is not
/// allowed, their type's zero.
pub(crate) struct Rows {
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<Row>,
}

impl Rows {
    pub(crate) const NONE: Rows = Rows {
        columns: &[],
        rows: Vec::new(),
    };

    pub(crate) fn new(columns: &'static [&'static str], rows: Vec<Row>) -> Rows {
        Rows { columns, rows }
    }
}

static ALL: LazyLock<Vec<Relation>> = LazyLock::new(|| {
    let mut relations = pyql::relations();
    relations.extend(pg_catalog::relations());
    relations.extend(information_schema::relations());
    relations
});

/// All of them.
pub(crate) fn all() -> &'static [Relation] {
    &ALL
}

impl Relation {
    /// With columns in order, none of which refuses NULL.
    pub(crate) fn new(
        oid: u32,
        namespace: Namespace,
        name: &str,
        columns: &[(&str, Type)],
        source: Source,
    ) -> Relation {
        let columns = columns.iter().map(|(name, ty)| (*name, ty.clone(), false));
        Relation {
            table: table(oid, namespace, name, columns.collect()),
            kind: 'v',
            source,
        }
    }

    /// The rows in full width.
    pub(crate) fn rows(&self, view: &View) -> Vec<Row> {
        let Rows { columns, rows } = (self.source)(view);
        if columns.is_empty() {
            return rows;
        }
        let filler: Row = self.table.columns.iter().map(absent).collect();
        let places: Vec<usize> = columns
            .iter()
            .filter_map(|name| self.table.column_named(name).map(|(place, _)| place))
            .collect();
        let widen = |narrow: Row| {
            let mut row = filler.clone();
            for (place, value) in places.iter().zip(narrow) {
                row[*place] = value;
            }
            row
        };
        rows.into_iter().map(widen).collect()
    }
}

fn absent(column: &Column) -> Value {
    if !column.not_null {
        return Value::Null;
    }
    match &column.ty {
        Type::Bool => Value::Bool(false),
        Type::Float4 | Type::Float8 => Value::Float(0.0),
        ty if ty.is_string() => Value::text(""),
        Type::Int2Vector => super::value::int2_vector([]),
        Type::OidVector => super::value::oid_vector([]),
        _ => Value::Int(0),
    }
}

fn table(oid: u32, namespace: Namespace, name: &str, columns: Vec<(&str, Type, bool)>) -> Table {
    let next_column = columns.len() as u16 + 1;
    let column = |(place, (name, ty, not_null)): (usize, (&str, Type, bool))| Column {
        id: ColumnId(place as u16 + 1),
        name: name.to_owned(),
        ty,
        not_null,
        default: None,
        identity: None,
        hidden: false,
    };
    Table {
        id: TableId(oid),
        namespace,
        name: name.to_owned(),
        columns: columns.into_iter().enumerate().map(column).collect(),
        next_column,
        key: PrimaryKey::None,
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    }
}

/// Reads descriptions: a line `name oid kind`, then indented lines of
/// `column type` with `!` after the type of what is never NULL.
pub(crate) fn described(
    text: &str,
    namespace: Namespace,
    source: impl Fn(&str) -> Source,
) -> Vec<Relation> {
    let mut headings: Vec<Heading<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(columns) = line.strip_prefix("  ") {
            let heading = headings.last_mut().expect("columns follow a name");
            let columns = columns.split(',').map(str::trim);
            heading
                .columns
                .extend(columns.filter(|text| !text.is_empty()).map(column));
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let [name, oid, kind] = words.as_slice() else {
            unreachable!("the descriptions are constant: {line}")
        };
        headings.push(Heading {
            name,
            oid: oid.parse().expect("an oid is a number"),
            kind: if *kind == "v" { 'v' } else { 'r' },
            columns: Vec::new(),
        });
    }
    let relation = |heading: Heading<'_>| Relation {
        source: source(heading.name),
        kind: heading.kind,
        table: table(heading.oid, namespace, heading.name, heading.columns),
    };
    headings.into_iter().map(relation).collect()
}

/// A described relation while its columns are read.
struct Heading<'a> {
    name: &'a str,
    oid: u32,
    kind: char,
    columns: Vec<(&'a str, Type, bool)>,
}

fn column(text: &str) -> (&str, Type, bool) {
    let (name, ty) = text.split_once(' ').expect("a column has a type");
    let not_null = ty.ends_with('!');
    let ty = ty.trim_end_matches('!');
    let named = |name: &str| {
        let mut types = super::pg_type::plain();
        types.find(|ty| ty.catalog_name() == name)
    };
    let found = match ty.strip_suffix("[]") {
        Some(element) => named(element).map(|element| Type::Array(Box::new(element))),
        None => named(ty),
    };
    let found = found.unwrap_or_else(|| unreachable!("the descriptions are constant: {text}"));
    (name, found, not_null)
}
