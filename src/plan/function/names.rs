//! Names and oids of relations, types and schemas: what regclass, regtype and
//! regnamespace read and print.
//!
//! Not handled: operators by oid.

use super::oids;
use super::string::quote_identifier;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::User;
use crate::catalog::schema::{Namespace, PrimaryKey, Schema, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::types::Type;
use crate::types::id::UserId;

/// `pg_namespace.oid` of the schemas; pyql's own lies below the users' oids.
pub const fn namespace_oid(namespace: Namespace) -> u32 {
    match namespace {
        Namespace::PgCatalog => 11,
        Namespace::Public => 2200,
        Namespace::InformationSchema => 13_000,
        Namespace::Pyql => 13_001,
    }
}

pub const fn namespace_name(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::PgCatalog => "pg_catalog",
        Namespace::Public => "public",
        Namespace::InformationSchema => "information_schema",
        Namespace::Pyql => "pyql",
    }
}

/// The role that owns the system's own relations.
pub const SYSTEM_ROLE: u32 = 10;
pub const SYSTEM_ROLE_NAME: &str = "pyql";

/// Owns schema public, as in PostgreSQL.
pub const DATABASE_OWNER_ROLE: u32 = 6171;
pub const DATABASE_OWNER_NAME: &str = "pg_database_owner";

/// The name of a role among these users.
pub fn role_name(oid: u32, users: &BTreeMap<UserId, Arc<User>>) -> Option<&str> {
    match oid {
        SYSTEM_ROLE => Some(SYSTEM_ROLE_NAME),
        DATABASE_OWNER_ROLE => Some(DATABASE_OWNER_NAME),
        _ => {
            let mut users = users.values();
            users
                .find(|user| user.id.oid() == oid)
                .map(|user| user.name.as_str())
        }
    }
}

/// What describes schema public until COMMENT ON says otherwise.
pub const PUBLIC_COMMENT: &str = "standard public schema";

const NAMESPACES: [Namespace; 4] = [
    Namespace::PgCatalog,
    Namespace::Public,
    Namespace::InformationSchema,
    Namespace::Pyql,
];

/// Found without naming its schema, as `search_path` stands. Tools empty it to
/// be shown every name with its schema.
pub(super) fn is_visible(namespace: Namespace, context: &Context) -> bool {
    match namespace {
        Namespace::PgCatalog => true,
        Namespace::Public => search_path(context).contains(&Namespace::Public),
        Namespace::InformationSchema | Namespace::Pyql => false,
    }
}

/// The schemas of `search_path` that exist, in its order.
pub(super) fn search_path(context: &Context) -> Vec<Namespace> {
    let Some(path) = context.variables.get("search_path") else {
        return vec![Namespace::Public];
    };
    let names = path.split(',').map(|name| name.trim().trim_matches('"'));
    let mut found = Vec::new();
    for namespace in names.filter_map(namespace_named) {
        if !found.contains(&namespace) {
            found.push(namespace);
        }
    }
    found
}

/// Splits `a."B.c".d` into names, folded as SQL folds them.
pub(super) fn split_name(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(SqlState::INVALID_NAME, "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part;
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut name = String::new();
            let mut inner = quoted;
            loop {
                let (before, after) = inner.split_once('"').ok_or_else(invalid)?;
                name.push_str(before);
                match after.strip_prefix('"') {
                    Some(after) => {
                        name.push('"');
                        inner = after;
                    }
                    None => {
                        rest = after;
                        break;
                    }
                }
            }
            part = name;
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            part = rest[..end].trim().to_lowercase();
            rest = &rest[end..];
        }
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(part);
        rest = rest.trim_start();
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}

/// What a relation's oid names.
struct Relation<'a> {
    namespace: Namespace,
    name: &'a str,
}

fn relation_of(schema: &Schema, oid: u32) -> Option<Relation<'_>> {
    for table in schema.tables.values() {
        let name = if table.id.0 == oid {
            Some(table.name.as_str())
        } else {
            index_name(table, oid)
        };
        if let Some(name) = name {
            return Some(Relation {
                namespace: table.namespace,
                name,
            });
        }
    }
    let mut sequences = schema.sequences.values();
    sequences
        .find(|sequence| sequence.id.0 == oid)
        .map(|sequence| Relation {
            namespace: Namespace::Public,
            name: &sequence.name,
        })
}

fn index_name(table: &Table, oid: u32) -> Option<&str> {
    if let PrimaryKey::Declared { id, name, .. } = &table.key
        && id.0 == oid
    {
        return Some(name);
    }
    let mut indexes = table.indexes.iter();
    indexes
        .find(|index| index.id.0 == oid)
        .map(|index| index.name.as_str())
}

fn relation_with(oid: i64, context: &Context) -> Option<Relation<'_>> {
    let oid = u32::try_from(oid).ok()?;
    let mut schemas = context.schemas().into_iter();
    schemas.find_map(|schema| relation_of(schema, oid))
}

/// The relation's name as regclass prints it; its number if there is none.
pub fn relation_name(oid: i64, context: &Context) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    match relation_with(oid, context) {
        None => oid.to_string(),
        Some(relation) => shown_name(relation.namespace, relation.name, context),
    }
}

/// The name, behind its schema where it is not found without.
pub(super) fn shown_name(namespace: Namespace, name: &str, context: &Context) -> String {
    let name = quote_identifier(name);
    match is_visible(namespace, context) {
        true => name,
        false => format!("{}.{name}", namespace_name(namespace)),
    }
}

/// Whether a relation's name finds it; `None` if there is no such relation.
pub(super) fn relation_is_visible(oid: i64, context: &Context) -> Option<bool> {
    relation_with(oid, context).map(|relation| is_visible(relation.namespace, context))
}

/// The relation (table, index or sequence) that regclass reads from a name.
pub fn relation_oid(text: &str, context: &Context) -> Result<Option<u32>> {
    if text == "-" {
        return Ok(Some(0));
    }
    if let Ok(oid) = text.trim().parse() {
        return Ok(Some(oid));
    }
    let parts = split_name(text)?;
    let (namespaces, name): (Vec<Namespace>, &str) = match parts.as_slice() {
        [name] => (vec![Namespace::PgCatalog, Namespace::Public], name),
        [schema, name] | [_, schema, name] => match namespace_named(schema) {
            Some(namespace) => (vec![namespace], name),
            None => return Err(unknown_schema(schema)),
        },
        _ => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("improper qualified name (too many dotted names): {text}"),
            ));
        }
    };
    Ok(namespaces
        .into_iter()
        .find_map(|namespace| find_relation(context, namespace, name)))
}

fn find_relation(context: &Context, namespace: Namespace, name: &str) -> Option<u32> {
    for schema in [&context.schema, &context.system] {
        if let Some(table) = schema.table_named(namespace, name) {
            return Some(table.id.0);
        }
        let tables = schema.tables.values();
        for table in tables.filter(|table| table.namespace == namespace) {
            match &table.key {
                PrimaryKey::Declared { id, name: key, .. } if key == name => return Some(id.0),
                _ => {}
            }
            if let Some(index) = table.indexes.iter().find(|index| index.name == name) {
                return Some(index.id.0);
            }
        }
        if namespace == Namespace::Public
            && let Some(sequence) = schema.sequence_named(name)
        {
            return Some(sequence.id.0);
        }
    }
    None
}

pub fn unknown_relation(text: &str) -> Error {
    let parts = split_name(text).unwrap_or_else(|_| vec![text.to_owned()]);
    Error::new(
        SqlState::UNDEFINED_TABLE,
        format!("relation \"{}\" does not exist", parts.join(".")),
    )
}

fn unknown_schema(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_SCHEMA_NAME,
        format!("schema \"{name}\" does not exist"),
    )
}

pub fn namespace_named(name: &str) -> Option<Namespace> {
    NAMESPACES
        .into_iter()
        .find(|namespace| namespace_name(*namespace) == name)
}

/// The schema that regnamespace reads.
pub fn schema_oid(text: &str) -> Result<u32> {
    if let Ok(oid) = text.trim().parse() {
        return Ok(oid);
    }
    let parts = split_name(text)?;
    let name = parts.join(".");
    let namespace = namespace_named(&name).ok_or_else(|| unknown_schema(&name))?;
    Ok(namespace_oid(namespace))
}

pub fn schema_name(oid: i64) -> String {
    let mut namespaces = NAMESPACES.into_iter();
    let found = namespaces.find(|namespace| i64::from(namespace_oid(*namespace)) == oid);
    found.map_or_else(|| oid.to_string(), |found| namespace_name(found).to_owned())
}

/// The function that regproc reads: there must be one of the name.
pub fn function_oid(text: &str) -> Result<u32> {
    if text == "-" {
        return Ok(0);
    }
    if let Ok(oid) = text.trim().parse() {
        return Ok(oid);
    }
    let parts = split_name(text)?;
    let name = match parts.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return Err(unknown_function(text)),
    };
    match oids::named(name).as_slice() {
        [oid] => Ok(*oid),
        [] => Err(unknown_function(text)),
        _ => Err(Error::new(
            SqlState::AMBIGUOUS_FUNCTION,
            format!("more than one function named \"{text}\""),
        )),
    }
}

/// The function that regprocedure reads: its name with the types it takes.
pub fn procedure_oid(text: &str) -> Result<u32> {
    if text == "-" {
        return Ok(0);
    }
    if let Ok(oid) = text.trim().parse() {
        return Ok(oid);
    }
    let call = text
        .trim()
        .strip_suffix(')')
        .and_then(|text| text.split_once('('));
    let Some((name, arguments)) = call else {
        let message = "expected a left parenthesis";
        return Err(Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message));
    };
    let name = name.trim();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    let types = arguments
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let plain = |name: &str| match type_named(name) {
        // Pseudo-types are known to signatures only.
        Some(ty) => ty.to_string(),
        None => name.to_owned(),
    };
    let types: Vec<String> = types.map(plain).collect();
    let signature = format!("{name}({})", types.join(","));
    oids::with_signature(&signature).ok_or_else(|| unknown_function(text))
}

/// The function's name and types as regprocedure prints them.
pub fn procedure_name(oid: i64) -> String {
    let found = u32::try_from(oid).ok().and_then(oids::signature);
    match found {
        None if oid == 0 => "-".to_owned(),
        None => oid.to_string(),
        Some(signature) => signature.to_owned(),
    }
}

/// The role that regrole reads.
pub fn role_oid(text: &str, users: &BTreeMap<UserId, Arc<User>>) -> Result<u32> {
    if text == "-" {
        return Ok(0);
    }
    if let Ok(oid) = text.trim().parse() {
        return Ok(oid);
    }
    let name = split_name(text)?.join(".");
    let user = users.values().find(|user| user.name == name);
    match (name.as_str(), user) {
        (_, Some(user)) => Ok(user.id.oid()),
        (SYSTEM_ROLE_NAME, None) => Ok(SYSTEM_ROLE),
        (DATABASE_OWNER_NAME, None) => Ok(DATABASE_OWNER_ROLE),
        _ => Err(Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("role \"{name}\" does not exist"),
        )),
    }
}

/// The role's name as regrole prints it; its number if there is none.
pub fn role_shown(oid: i64, users: &BTreeMap<UserId, Arc<User>>) -> String {
    let found = u32::try_from(oid)
        .ok()
        .and_then(|oid| role_name(oid, users));
    match found {
        None if oid == 0 => "-".to_owned(),
        None => oid.to_string(),
        Some(name) => quote_identifier(name),
    }
}

fn unknown_function(text: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_FUNCTION,
        format!("function \"{text}\" does not exist"),
    )
}

/// The function's name as regproc prints it; its number if there is none.
pub fn function_name(oid: i64) -> String {
    let found = u32::try_from(oid).ok().and_then(oids::name);
    match found {
        None if oid == 0 => "-".to_owned(),
        None => oid.to_string(),
        Some(name) => quote_identifier(name),
    }
}

/// The type that regtype reads: SQL's name or the catalog's, with `[]`.
pub fn type_named(text: &str) -> Option<Type> {
    let text = text.trim().to_lowercase();
    if let Some(element) = text.strip_suffix("[]") {
        return type_named(element).map(|element| match element {
            Type::Array(_) => element,
            element => Type::Array(Box::new(element)),
        });
    }
    let (base, _) = text
        .split_once('(')
        .map_or((text.as_str(), ""), |(base, rest)| (base.trim_end(), rest));
    let named = match text.split_once(')') {
        Some((_, tail)) => format!("{base}{tail}"),
        None => base.to_owned(),
    };
    let behind = |schema| named.strip_prefix(schema);
    let base = behind("pg_catalog.").or_else(|| behind("\"pg_catalog\"."));
    let base = base.unwrap_or(&named);
    let synonym = match base {
        "int" => "integer",
        "decimal" | "dec" => "numeric",
        "float" => "double precision",
        "character" => "bpchar",
        "time" => "time without time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "bool" => "boolean",
        other => other,
    };
    all_types().find(|ty| {
        let catalog = ty.catalog_name();
        catalog == base
            || ty.to_string() == synonym
            || catalog == synonym
            || format!("\"{catalog}\"") == base
    })
}

/// Every type and array type we have.
fn all_types() -> impl Iterator<Item = Type> {
    /// Above the oid of every type of ours.
    const LAST: u32 = 4100;
    (1..LAST).filter_map(Type::from_oid)
}

/// The type as PostgreSQL's messages and regtype name it.
pub fn type_name(ty: &Type) -> String {
    match ty.without_modifier() {
        Type::Char(None) => "character".to_owned(),
        Type::Array(element) => format!("{}[]", type_name(&element)),
        plain => plain.to_string(),
    }
}

/// The type of this oid as regtype prints it.
pub fn type_name_of(oid: i64) -> String {
    match u32::try_from(oid).ok().and_then(Type::from_oid) {
        Some(ty) => type_name(&ty),
        None if oid == 0 => "-".to_owned(),
        None => oid.to_string(),
    }
}

pub fn type_oid(text: &str) -> Result<u32> {
    if let Ok(oid) = text.trim().parse() {
        return Ok(oid);
    }
    match type_named(text) {
        Some(ty) => Ok(ty.oid()),
        None => Err(Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("type \"{}\" does not exist", text.trim()),
        )),
    }
}

/// The type with PostgreSQL's `atttypmod` put back on it.
pub fn with_modifier(ty: Type, modifier: i32) -> Type {
    if modifier < 0 {
        return ty;
    }
    let length = u32::try_from(modifier - 4).ok();
    let precision = u8::try_from(modifier & 0xffff).ok().filter(|p| *p <= 6);
    match ty {
        Type::Varchar(_) => Type::Varchar(length),
        Type::Char(_) => Type::Char(length),
        Type::Numeric(_) => Type::Numeric(length.map(|packed| {
            // The scale is eleven bits with a sign.
            let scale = ((packed & 0x7ff) as i16 ^ 1024) - 1024;
            ((packed >> 16) as u16, scale)
        })),
        Type::Time(_) => Type::Time(precision),
        Type::Timestamp(_) => Type::Timestamp(precision),
        Type::Timestamptz(_) => Type::Timestamptz(precision),
        Type::Interval(_) => Type::Interval(precision),
        Type::Array(element) => Type::Array(Box::new(with_modifier(*element, modifier))),
        other => other,
    }
}
