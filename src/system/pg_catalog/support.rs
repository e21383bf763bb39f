//! What tables are made with: access methods, collations, languages, tablespaces.

use super::super::View;
use super::super::object::SYSTEM_ROLE;
use super::super::pg_type;
use super::super::relation::Rows;
use super::super::value::{letter, oid, optional};
use crate::catalog::schema::Namespace;
use crate::plan::coerce::{self, Strength};
use crate::plan::function::names;
use crate::types::{Row, Value};

const BTREE: u32 = 403;

/// Rows are kept as the replicas keep them; PostgreSQL's names for it.
pub(crate) fn access_methods(_: &View) -> Rows {
    let rows = [(2, "heap", 3, 't'), (BTREE, "btree", 330, 'i')];
    let row = |(number, name, handler, kind): (u32, &str, u32, char)| {
        vec![oid(number), Value::text(name), oid(handler), letter(kind)]
    };
    Rows::new(
        &["oid", "amname", "amhandler", "amtype"],
        rows.map(row).to_vec(),
    )
}

/// The operators of the B-tree families, a line each as in PostgreSQL:
/// oid, family, left type, right type, strategy, operator.
const FAMILY_OPERATORS: &str = include_str!("../columns/amop.txt");

pub(crate) fn family_operators(_: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "amopfamily",
        "amoplefttype",
        "amoprighttype",
        "amopstrategy",
        "amopopr",
        "amoppurpose",
        "amopmethod",
    ];
    let row = |line: &str| {
        let row = numbers(line);
        row.into_iter().chain([letter('s'), oid(BTREE)]).collect()
    };
    Rows::new(COLUMNS, FAMILY_OPERATORS.lines().map(row).collect())
}

/// The comparing function of each pair of types in them: oid, family, left
/// type, right type, its number among those that a B-tree calls, function.
const FAMILY_FUNCTIONS: &str = include_str!("../columns/amproc.txt");

pub(crate) fn family_functions(_: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "amprocfamily",
        "amproclefttype",
        "amprocrighttype",
        "amprocnum",
        "amproc",
    ];
    Rows::new(COLUMNS, FAMILY_FUNCTIONS.lines().map(numbers).collect())
}

fn numbers(line: &str) -> Row {
    let numbers = line.split(' ').map(str::parse);
    numbers
        .map(|number| Value::Int(number.expect("the lists are constant")))
        .collect()
}

/// Those that COLLATE takes: all order by bytes.
pub(crate) fn collations(_: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "collname",
        "collnamespace",
        "collowner",
        "collprovider",
        "collisdeterministic",
        "collencoding",
        "collcollate",
        "collctype",
    ];
    let rows = [
        (100, "default", 'd', None),
        (950, "C", 'c', Some("C")),
        (951, "POSIX", 'c', Some("POSIX")),
        (12342, "ucs_basic", 'c', Some("C")),
    ];
    let row = |(number, name, provider, locale): (u32, &str, char, Option<&str>)| {
        vec![
            oid(number),
            Value::text(name),
            oid(names::namespace_oid(Namespace::PgCatalog)),
            oid(SYSTEM_ROLE),
            letter(provider),
            Value::Bool(true),
            Value::Int(if name == "ucs_basic" { 6 } else { -1 }),
            optional(locale),
            optional(locale),
        ]
    };
    Rows::new(COLUMNS, rows.map(row).to_vec())
}

/// The one that schema `pyql` comes with.
pub(crate) const EXTENSION: u32 = 9000;

/// Tools that copy a database leave out what belongs to a built-in extension.
pub(crate) fn extensions(_: &View) -> Rows {
    const COLUMNS: &[&str] = &["oid", "extname", "extowner", "extnamespace", "extversion"];
    let row = vec![
        oid(EXTENSION),
        Value::text(names::namespace_name(Namespace::Pyql)),
        oid(SYSTEM_ROLE),
        oid(names::namespace_oid(Namespace::Pyql)),
        Value::text(env!("CARGO_PKG_VERSION")),
    ];
    Rows::new(COLUMNS, vec![row])
}

/// Every function is built in.
pub(crate) fn languages(_: &View) -> Rows {
    let row = vec![
        oid(super::function::INTERNAL),
        Value::text("internal"),
        oid(SYSTEM_ROLE),
    ];
    Rows::new(&["oid", "lanname", "lanowner"], vec![row])
}

pub(crate) fn tablespaces(_: &View) -> Rows {
    let rows = [(1663, "pg_default"), (1664, "pg_global")];
    let row = |(number, name): (u32, &str)| vec![oid(number), Value::text(name), oid(SYSTEM_ROLE)];
    Rows::new(&["oid", "spcname", "spcowner"], rows.map(row).to_vec())
}

/// The casts that do not go through text; their functions have no names.
pub(crate) fn casts(_: &View) -> Rows {
    /// Below the numbers of functions that PostgreSQL lacks.
    const FIRST: u32 = 14_000;
    let types: Vec<_> = pg_type::plain().collect();
    let mut rows = Vec::new();
    for from in &types {
        for to in types.iter().filter(|to| !to.same_base(from)) {
            let Some(strength) = coerce::in_catalog(from, to) else {
                continue;
            };
            let context = match strength {
                Strength::Implicit => 'i',
                Strength::Assignment => 'a',
                Strength::Explicit => 'e',
            };
            let method = if coerce::is_relabel(from, to) {
                'b'
            } else {
                'f'
            };
            rows.push(vec![
                oid(FIRST + rows.len() as u32),
                oid(from.oid()),
                oid(to.oid()),
                letter(context),
                letter(method),
            ]);
        }
    }
    Rows::new(
        &[
            "oid",
            "castsource",
            "casttarget",
            "castcontext",
            "castmethod",
        ],
        rows,
    )
}
