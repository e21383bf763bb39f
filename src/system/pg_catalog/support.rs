//! What tables are made with: access methods, collations, languages, tablespaces.

use super::super::View;
use super::super::object::SYSTEM_ROLE;
use super::super::pg_type;
use super::super::relation::Rows;
use super::super::value::{letter, oid, optional};
use crate::catalog::schema::Namespace;
use crate::plan::coerce::{self, Strength};
use crate::plan::function::names;
use crate::types::Value;

/// Rows are kept as the replicas keep them; PostgreSQL's names for it.
pub(crate) fn access_methods(_: &View) -> Rows {
    let rows = [(2, "heap", 3, 't'), (403, "btree", 330, 'i')];
    let row = |(number, name, handler, kind): (u32, &str, u32, char)| {
        vec![oid(number), Value::text(name), oid(handler), letter(kind)]
    };
    Rows::new(
        &["oid", "amname", "amhandler", "amtype"],
        rows.map(row).to_vec(),
    )
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
