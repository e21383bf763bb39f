//! Access privileges as PostgreSQL writes them, `grantee=privileges/grantor`.
//!
//! Nothing is granted on single objects here, so the catalogs' lists are NULL
//! and mean what `acldefault` gives. `aclitem` is text.

use super::arguments::{array, int, text};
use super::array::one_dimensional;
use super::definition::{Definition, rows, scalar};
use super::{Call, names};
use crate::error::{Error, Result, SqlState};
use crate::types::{Row, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[&[
    scalar("acldefault", "char oid -> text[]", default_privileges).stable(),
    rows(
        "aclexplode",
        "text[] -> (grantor oid, grantee oid, privilege_type text, is_grantable bool)",
        explode,
    )
    .stable(),
    rows(
        "pg_options_to_table",
        "text[] -> (option_name text, option_value text)",
        options,
    ),
]];

/// The letter, the word, in the order in which they are written.
const PRIVILEGES: [(char, &str); 14] = [
    ('a', "INSERT"),
    ('r', "SELECT"),
    ('w', "UPDATE"),
    ('d', "DELETE"),
    ('D', "TRUNCATE"),
    ('x', "REFERENCES"),
    ('t', "TRIGGER"),
    ('X', "EXECUTE"),
    ('U', "USAGE"),
    ('C', "CREATE"),
    ('T', "TEMPORARY"),
    ('c', "CONNECT"),
    ('s', "SET"),
    ('A', "ALTER SYSTEM"),
];

/// What everybody and the owner may do with an object of this kind.
fn default_privileges(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let kind = text(&arguments[0])?;
    let (everybody, own) = match &**kind {
        "c" => ("", ""),
        "r" => ("", "arwdDxt"),
        "s" => ("", "rwU"),
        "d" => ("Tc", "CTc"),
        "f" => ("X", "X"),
        "l" | "T" => ("U", "U"),
        "L" => ("", "rw"),
        "n" => ("", "UC"),
        "p" => ("", "sA"),
        "t" => ("", "C"),
        "F" | "S" => ("", "U"),
        other => {
            let message = format!("unrecognized objtype abbreviation: {other}");
            return Err(Error::new(SqlState::INTERNAL_ERROR, message));
        }
    };
    let owner = role(call, &arguments[1])?;
    let items = [("", everybody), (owner.as_str(), own)];
    let items = items
        .into_iter()
        .filter(|(_, privileges)| !privileges.is_empty());
    let items = items.map(|(to, privileges)| Value::text(format!("{to}={privileges}/{owner}")));
    Ok(one_dimensional(Type::Text, items.collect()))
}

/// A role's name as a list of privileges shows it.
fn role(call: &Call<'_>, oid: &Value) -> Result<String> {
    let oid = int(oid)?;
    let found = u32::try_from(oid).ok();
    let name = found.and_then(|oid| names::role_name(oid, &call.context.users));
    Ok(match name {
        None => oid.to_string(),
        Some(name) if name.chars().all(|c| c.is_alphanumeric() || c == '_') => name.to_owned(),
        Some(name) => format!("\"{}\"", name.replace('"', "\"\"")),
    })
}

/// One row for each privilege of each item.
fn explode(call: &Call<'_>, arguments: &[Value]) -> Result<Vec<Row>> {
    let mut found = Vec::new();
    let items = &array(&arguments[0])?.values;
    if items.iter().any(Value::is_null) {
        return Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "ACL arrays must not contain null values",
        ));
    }
    for item in items {
        let item = text(item)?;
        let (granted, grantor) = item.rsplit_once('/').ok_or_else(|| invalid(item))?;
        let (grantee, privileges) = granted.rsplit_once('=').ok_or_else(|| invalid(item))?;
        let grantor = role_oid(call, grantor)?;
        let grantee = role_oid(call, grantee)?;
        let mut letters = privileges.chars().peekable();
        while let Some(letter) = letters.next() {
            let mut known = PRIVILEGES.iter();
            let (_, word) = known
                .find(|(known, _)| *known == letter)
                .ok_or_else(|| invalid(item))?;
            let grantable = letters.next_if_eq(&'*').is_some();
            found.push(vec![
                Value::Int(grantor),
                Value::Int(grantee),
                Value::text(*word),
                Value::Bool(grantable),
            ]);
        }
    }
    Ok(found)
}

fn invalid(item: &str) -> Error {
    Error::new(
        SqlState::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type aclitem: \"{item}\""),
    )
}

/// 0 stands for everybody.
fn role_oid(call: &Call<'_>, shown: &str) -> Result<i64> {
    if shown.is_empty() {
        return Ok(0);
    }
    // A name is not folded here, as regrole would.
    let plain = shown.starts_with('"') || shown.parse::<u32>().is_ok();
    let name = match plain {
        true => shown.to_owned(),
        false => format!("\"{shown}\""),
    };
    names::role_oid(&name, &call.context.users).map(i64::from)
}

/// `name=value` apart; without a value where there is none.
fn options(_: &Call<'_>, arguments: &[Value]) -> Result<Vec<Row>> {
    if array(&arguments[0])?.values.iter().any(Value::is_null) {
        return Err(Error::new(
            SqlState::NULL_VALUE_NOT_ALLOWED,
            "null array element not allowed in this context",
        ));
    }
    let items = array(&arguments[0])?.values.iter();
    let row = |item: &Value| {
        let item = text(item)?;
        Ok(match item.split_once('=') {
            Some((name, value)) => vec![Value::text(name), Value::text(value)],
            None => vec![Value::text(&**item), Value::Null],
        })
    };
    items.map(row).collect()
}
