//! What the catalogs say of our types: `columns/types.txt` has PostgreSQL's
//! facts on each, by oid; pseudo-types of function signatures included.

use std::sync::LazyLock;

use super::View;
use super::object::SYSTEM_ROLE;
use super::relation::Rows;
use super::value::{letter, oid};
use crate::catalog::schema::Namespace;
use crate::plan::function::{names, oids};
use crate::types::{Type, Value};

/// One line of the list.
pub(crate) struct Described {
    pub(crate) oid: u32,
    pub(crate) name: &'static str,
    pub(crate) length: i64,
    pub(crate) by_value: bool,
    pub(crate) kind: char,
    pub(crate) category: char,
    pub(crate) preferred: bool,
    pub(crate) element: u32,
    pub(crate) array: u32,
    pub(crate) align: char,
    pub(crate) storage: char,
    pub(crate) collation: u32,
    /// Subscript, input, output, receive, send, typmodin, typmodout, analyze.
    pub(crate) functions: [u32; 8],
}

static TYPES: LazyLock<Vec<Described>> = LazyLock::new(|| {
    let lines = include_str!("columns/types.txt").lines();
    let read = |line| read(line).unwrap_or_else(|| unreachable!("the list is constant: {line}"));
    lines.map(read).collect()
});

fn read(line: &'static str) -> Option<Described> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let letter = |place: usize| words.get(place)?.chars().next();
    let number = |place: usize| words.get(place)?.parse::<u32>().ok();
    let mut functions = [0; 8];
    for (place, function) in functions.iter_mut().enumerate() {
        // A type's functions are listed with it or not at all.
        *function = oids::named(words.get(12 + place)?)
            .first()
            .copied()
            .unwrap_or(0);
    }
    Some(Described {
        oid: number(0)?,
        name: words.get(1)?,
        length: words.get(2)?.parse().ok()?,
        by_value: *words.get(3)? == "t",
        kind: letter(4)?,
        category: letter(5)?,
        preferred: *words.get(6)? == "t",
        element: number(7)?,
        array: number(8)?,
        align: letter(9)?,
        storage: letter(10)?,
        collation: number(11)?,
        functions,
    })
}

/// Every type of ours but arrays.
pub(crate) fn plain() -> impl Iterator<Item = Type> {
    let types = TYPES
        .iter()
        .filter_map(|described| Type::from_oid(described.oid));
    types.filter(|ty| !matches!(ty, Type::Array(_)))
}

/// The facts on a type.
pub(crate) fn described(ty: &Type) -> &'static Described {
    let oid = ty.oid();
    let found = TYPES.iter().find(|described| described.oid == oid);
    found.unwrap_or(&TYPES[0])
}

/// The oid of a type by the name that signatures have; 0 if unknown.
pub(crate) fn oid_named(name: &str) -> u32 {
    let name = name.trim_matches('"');
    let listed = TYPES.iter().find(|described| described.name == name);
    match (names::type_named(name), listed) {
        (_, Some(listed)) if listed.kind == 'p' => listed.oid,
        (Some(ty), _) => ty.oid(),
        (None, Some(listed)) => listed.oid,
        (None, None) => 0,
    }
}

const COLUMNS: &[&str] = &[
    "oid",
    "typname",
    "typnamespace",
    "typowner",
    "typlen",
    "typbyval",
    "typtype",
    "typcategory",
    "typispreferred",
    "typisdefined",
    "typdelim",
    "typsubscript",
    "typelem",
    "typarray",
    "typinput",
    "typoutput",
    "typreceive",
    "typsend",
    "typmodin",
    "typmodout",
    "typanalyze",
    "typalign",
    "typstorage",
    "typtypmod",
    "typcollation",
];

pub(crate) fn types(_: &View) -> Rows {
    let namespace = oid(names::namespace_oid(Namespace::PgCatalog));
    let row = |described: &Described| {
        let mut functions = described.functions.iter().map(|function| oid(*function));
        let mut row = vec![
            oid(described.oid),
            Value::text(described.name),
            namespace.clone(),
            oid(SYSTEM_ROLE),
            Value::Int(described.length),
            Value::Bool(described.by_value),
            letter(described.kind),
            letter(described.category),
            Value::Bool(described.preferred),
            Value::Bool(true),
            letter(','),
        ];
        row.extend(functions.next());
        row.extend([oid(described.element), oid(described.array)]);
        row.extend(functions);
        row.extend([
            letter(described.align),
            letter(described.storage),
            Value::Int(-1),
            oid(described.collation),
        ]);
        row
    };
    Rows::new(COLUMNS, TYPES.iter().map(row).collect())
}

/// Default btree operator classes: oid, name, family, type they take, type they keep.
const OPERATOR_CLASSES: [(u32, &str, u32, u32, u32); 23] = [
    (1978, "int4_ops", 1976, 23, 0),
    (1979, "int2_ops", 1976, 21, 0),
    (1981, "oid_ops", 1989, 26, 0),
    (3122, "date_ops", 434, 1082, 0),
    (3123, "float8_ops", 1970, 701, 0),
    (3124, "int8_ops", 1976, 20, 0),
    (3125, "numeric_ops", 1988, 1700, 0),
    (3126, "text_ops", 1994, 25, 0),
    (3127, "timestamptz_ops", 434, 1184, 0),
    (3128, "timestamp_ops", 434, 1114, 0),
    (10000, "array_ops", 397, 2277, 0),
    (10003, "bool_ops", 424, 16, 0),
    (10004, "bpchar_ops", 426, 1042, 0),
    (10006, "bytea_ops", 428, 17, 0),
    (10007, "char_ops", 429, 18, 0),
    (10012, "float4_ops", 1970, 700, 0),
    (10022, "interval_ops", 1982, 1186, 0),
    (10028, "name_ops", 1994, 19, 2275),
    (10032, "oidvector_ops", 1991, 30, 0),
    (10034, "record_ops", 2994, 2249, 0),
    (10038, "time_ops", 1996, 1083, 0),
    (10065, "uuid_ops", 2968, 2950, 0),
    (10088, "jsonb_ops", 4033, 3802, 0),
];

const OPERATOR_FAMILIES: [(u32, &str); 17] = [
    (397, "array_ops"),
    (424, "bool_ops"),
    (426, "bpchar_ops"),
    (428, "bytea_ops"),
    (429, "char_ops"),
    (434, "datetime_ops"),
    (1970, "float_ops"),
    (1976, "integer_ops"),
    (1982, "interval_ops"),
    (1988, "numeric_ops"),
    (1989, "oid_ops"),
    (1991, "oidvector_ops"),
    (1994, "text_ops"),
    (1996, "time_ops"),
    (2968, "uuid_ops"),
    (2994, "record_ops"),
    (4033, "jsonb_ops"),
];

const BTREE: u32 = 403;

/// The class by which an index orders a type.
pub(crate) fn operator_class(ty: &Type) -> u32 {
    let wanted = match ty {
        // Varchar is text to an index.
        Type::Varchar(_) => Type::Text.oid(),
        Type::Array(_) => 2277,
        other => other.oid(),
    };
    let found = OPERATOR_CLASSES.iter().find(|class| class.3 == wanted);
    found.map_or(0, |class| class.0)
}

pub(crate) fn operator_classes(_: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "opcmethod",
        "opcname",
        "opcnamespace",
        "opcowner",
        "opcfamily",
        "opcintype",
        "opcdefault",
        "opckeytype",
    ];
    let row = |(number, name, family, input, kept): &(u32, &str, u32, u32, u32)| {
        vec![
            oid(*number),
            oid(BTREE),
            Value::text(*name),
            oid(names::namespace_oid(Namespace::PgCatalog)),
            oid(SYSTEM_ROLE),
            oid(*family),
            oid(*input),
            Value::Bool(true),
            oid(*kept),
        ]
    };
    Rows::new(COLUMNS, OPERATOR_CLASSES.iter().map(row).collect())
}

pub(crate) fn operator_families(_: &View) -> Rows {
    let row = |(number, name): &(u32, &str)| {
        let namespace = names::namespace_oid(Namespace::PgCatalog);
        vec![
            oid(*number),
            oid(BTREE),
            Value::text(*name),
            oid(namespace),
            oid(SYSTEM_ROLE),
        ]
    };
    let columns = &["oid", "opfmethod", "opfname", "opfnamespace", "opfowner"];
    Rows::new(columns, OPERATOR_FAMILIES.iter().map(row).collect())
}
