//! What a session may ask about itself, its settings and its privileges.
//!
//! A user who sees a data cluster has every privilege in it.

use std::sync::Arc;

use super::arguments::{boolean, int, numeric, text};
use super::array::one_dimensional;
use super::definition::{Definition, scalar};
use super::{Call, names};
use crate::catalog::schema::Namespace;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::cast::read_reg;
use crate::types::{Numeric, Type, Value};

pub(super) const TABLES: &[&[Definition]] = &[SESSION, TYPES, PRIVILEGES, VISIBLE, UNKNOWN, SIZES];

/// The version of PostgreSQL that clients are told.
pub const SERVER_VERSION: &str = "15.8";

const SESSION: &[Definition] = &[
    scalar("version", "-> text", |_, _| {
        let own = env!("CARGO_PKG_VERSION");
        Ok(Value::text(format!(
            "PostgreSQL {SERVER_VERSION} (pyql {own})"
        )))
    })
    .stable(),
    scalar("current_user", "-> name", user).stable(),
    scalar("session_user", "-> name", user).stable(),
    scalar("current_role", "-> name", user).stable(),
    scalar("user", "-> name", user).stable(),
    scalar("getpgusername", "-> name", user).stable(),
    scalar("current_database", "-> name", database).stable(),
    scalar("current_catalog", "-> name", database).stable(),
    scalar("current_schema", "-> name", |call, _| {
        let first = names::search_path(call.context).into_iter().next();
        Ok(first.map_or(Value::Null, schema))
    })
    .stable(),
    scalar("current_schemas", "bool -> name[]", |call, a| {
        let path = names::search_path(call.context);
        let implicit = boolean(&a[0])? && !path.contains(&Namespace::PgCatalog);
        let first = implicit.then_some(Namespace::PgCatalog);
        let schemas = first.into_iter().chain(path).map(schema);
        Ok(one_dimensional(Type::Name, schemas.collect()))
    })
    .stable(),
    scalar("current_setting", "text -> text", setting).stable(),
    scalar("current_setting", "text bool -> text", setting).stable(),
    scalar("set_config", "text text bool -> text", |_, _| {
        Err(Error::unsupported("set_config() beside other expressions"))
    })
    .volatile()
    .lenient(),
    // The session waits, where the engines' threads would.
    scalar("pg_sleep", "float8 -> void", asleep).volatile(),
    scalar("pg_sleep_for", "interval -> void", asleep).volatile(),
    scalar("pg_sleep_until", "timestamptz -> void", asleep).volatile(),
    // No advisory lock is ever held; pools send it when they take a connection back.
    scalar("pg_advisory_unlock_all", "-> void", |_, _| {
        Ok(Value::text(""))
    })
    .volatile(),
    scalar("pg_backend_pid", "-> int4", |call, _| {
        match call.context.variables.get("pyql.backend_pid") {
            Some(pid) => Ok(pid.parse().map_or(Value::Null, Value::Int)),
            None => Ok(Value::Null),
        }
    })
    .stable(),
    scalar("pg_is_in_recovery", "-> bool", |_, _| {
        Ok(Value::Bool(false))
    })
    .stable(),
    scalar("pg_is_wal_replay_paused", "-> bool", |_, _| {
        Ok(Value::Bool(false))
    })
    .stable(),
    scalar("pg_trigger_depth", "-> int4", |_, _| Ok(Value::Int(0))).stable(),
    scalar("pg_client_encoding", "-> name", |_, _| {
        Ok(Value::text("UTF8"))
    })
    .stable(),
    scalar("getdatabaseencoding", "-> name", |_, _| {
        Ok(Value::text("UTF8"))
    })
    .stable(),
    scalar("pg_encoding_to_char", "int4 -> name", |_, a| {
        Ok(Value::text(if int(&a[0])? == 6 { "UTF8" } else { "" }))
    })
    .stable(),
    scalar("pg_char_to_encoding", "name -> int4", |_, a| {
        let name = text(&a[0])?.to_lowercase();
        Ok(Value::Int(if name == "utf8" { 6 } else { -1 }))
    })
    .stable(),
    scalar("pg_my_temp_schema", "-> oid", |_, _| Ok(Value::Int(0))).stable(),
    scalar("pg_get_userbyid", "oid -> name", |call, a| {
        let oid = int(&a[0])?;
        let found = u32::try_from(oid).ok();
        let name = found.and_then(|oid| names::role_name(oid, &call.context.users));
        Ok(name.map_or_else(|| Value::text(format!("unknown (OID={oid})")), Value::text))
    })
    .stable(),
];

fn schema(namespace: Namespace) -> Value {
    Value::text(names::namespace_name(namespace))
}

fn asleep(_: &Call<'_>, _: &[Value]) -> Result<Value> {
    Err(Error::unsupported("pg_sleep() beside other expressions"))
}

const TYPES: &[Definition] = &[
    scalar("pg_typeof", "any -> regtype", |call, _| {
        Ok(Value::Int(call.argument_type(0).oid().into()))
    })
    .lenient()
    .stable(),
    scalar("format_type", "oid int4 -> text", format_type)
        .lenient()
        .stable(),
    scalar("to_regclass", "text -> regclass", |call, a| {
        to_reg(call, a, &Type::Regclass)
    })
    .stable(),
    scalar("to_regtype", "text -> regtype", |call, a| {
        to_reg(call, a, &Type::Regtype)
    })
    .stable(),
    scalar("to_regnamespace", "text -> regnamespace", |call, a| {
        to_reg(call, a, &Type::Regnamespace)
    })
    .stable(),
    scalar("pg_collation_for", "any -> text", |call, _| {
        Ok(match call.argument_type(0).is_string() {
            true => Value::text("\"C\""),
            false => Value::Null,
        })
    })
    .lenient()
    .stable(),
    scalar("num_nulls", "variadic any -> int4", |_, a| {
        Ok(Value::Int(
            a.iter().filter(|value| value.is_null()).count() as i64
        ))
    })
    .lenient(),
    scalar("num_nonnulls", "variadic any -> int4", |_, a| {
        Ok(Value::Int(
            a.iter().filter(|value| !value.is_null()).count() as i64,
        ))
    })
    .lenient(),
];

/// has_x_privilege(object, privilege), of a user by name or oid, or of oneself.
macro_rules! privileges {
    ($($name:literal: $object:literal;)*) => {
        &[$(
            scalar($name, concat!($object, " text -> bool"), granted).stable(),
            scalar($name, "oid text -> bool", granted).stable(),
            scalar($name, concat!("name ", $object, " text -> bool"), granted).stable(),
            scalar($name, "name oid text -> bool", granted).stable(),
            scalar($name, "oid oid text -> bool", granted).stable(),
            scalar($name, concat!("oid ", $object, " text -> bool"), granted).stable(),
        )*
            scalar("has_column_privilege", "text text text -> bool", granted).stable(),
            scalar("has_column_privilege", "oid int2 text -> bool", granted).stable(),
            scalar("has_column_privilege", "oid text text -> bool", granted).stable(),
            scalar("has_column_privilege", "text int2 text -> bool", granted).stable(),
            scalar("pg_has_role", "oid text -> bool", granted).stable(),
            scalar("pg_has_role", "name text -> bool", granted).stable(),
            scalar("pg_has_role", "name oid text -> bool", granted).stable(),
            scalar("pg_has_role", "name name text -> bool", granted).stable(),
            scalar("pg_has_role", "oid oid text -> bool", granted).stable(),
        ]
    };
}

const PRIVILEGES: &[Definition] = privileges! {
    "has_table_privilege": "text";
    "has_any_column_privilege": "text";
    "has_schema_privilege": "text";
    "has_database_privilege": "text";
    "has_sequence_privilege": "text";
    "has_function_privilege": "text";
    "has_type_privilege": "text";
    "has_language_privilege": "text";
    "has_tablespace_privilege": "text";
    "has_server_privilege": "text";
    "has_foreign_data_wrapper_privilege": "text";
};

const VISIBLE: &[Definition] = &[
    scalar("pg_table_is_visible", "oid -> bool", table_is_visible).stable(),
    scalar("pg_type_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_function_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_operator_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_opclass_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_opfamily_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_collation_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_conversion_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_statistics_obj_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_ts_config_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_ts_dict_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_ts_parser_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_ts_template_is_visible", "oid -> bool", yes).stable(),
    scalar("pg_is_other_temp_schema", "oid -> bool", |_, _| {
        Ok(Value::Bool(false))
    })
    .stable(),
    scalar("row_security_active", "oid -> bool", |_, _| {
        Ok(Value::Bool(false))
    })
    .stable(),
    scalar("pg_relation_is_publishable", "regclass -> bool", yes).stable(),
    scalar(
        "pg_relation_is_updatable",
        "regclass bool -> int4",
        |_, _| Ok(Value::Int(28)),
    )
    .stable(),
    scalar("pg_column_is_updatable", "regclass int2 bool -> bool", yes).stable(),
];

/// What nobody here has: tablespaces, statistics, sizes on disk.
const UNKNOWN: &[Definition] = &[
    scalar("pg_tablespace_location", "oid -> text", null).stable(),
    scalar("pg_relation_filepath", "regclass -> text", null).stable(),
    scalar("pg_relation_filenode", "regclass -> oid", null).stable(),
    scalar("pg_relation_size", "regclass -> int8", null).volatile(),
    scalar("pg_relation_size", "regclass text -> int8", null).volatile(),
    scalar("pg_table_size", "regclass -> int8", null).volatile(),
    scalar("pg_indexes_size", "regclass -> int8", null).volatile(),
    scalar("pg_total_relation_size", "regclass -> int8", null).volatile(),
    scalar("pg_tablespace_size", "oid -> int8", null).volatile(),
    scalar("pg_tablespace_size", "name -> int8", null).volatile(),
    scalar("pg_database_size", "oid -> int8", null).volatile(),
    scalar("pg_database_size", "name -> int8", null).volatile(),
    scalar("inet_server_addr", "-> text", null).stable(),
    scalar("inet_client_addr", "-> text", null).stable(),
    scalar("inet_server_port", "-> int4", null).stable(),
    scalar("inet_client_port", "-> int4", null).stable(),
];

const SIZES: &[Definition] = &[
    scalar("pg_size_pretty", "int8 -> text", |_, a| {
        pretty_size(&Numeric::from_i64(int(&a[0])?))
    }),
    scalar("pg_size_pretty", "numeric -> text", |_, a| {
        pretty_size(numeric(&a[0])?)
    }),
];

fn user(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Text(Arc::clone(&call.context.user)))
}

fn database(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Text(Arc::clone(&call.context.database)))
}

fn yes(_: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Bool(true))
}

fn null(_: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

fn setting(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let name = text(&arguments[0])?;
    let missing_ok = matches!(arguments.get(1), Some(flag) if boolean(flag)?);
    match call.context.variables.get(name) {
        Some(value) => Ok(Value::text(value)),
        None if missing_ok => Ok(Value::Null),
        None => Err(Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

fn format_type(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = match &arguments[0] {
        Value::Null => return Ok(Value::Null),
        oid => int(oid)?,
    };
    let modifier = match &arguments[1] {
        Value::Null => None,
        modifier => Some(int(modifier)? as i32),
    };
    if oid == 0 {
        return Ok(Value::text("-"));
    }
    let Some(ty) = u32::try_from(oid).ok().and_then(Type::from_oid) else {
        return Ok(Value::text("???"));
    };
    Ok(Value::text(match modifier {
        None => names::type_name(&ty),
        Some(modifier) => names::with_modifier(ty, modifier).to_string(),
    }))
}

/// NULL for a name that means nothing.
fn to_reg(call: &Call<'_>, arguments: &[Value], ty: &Type) -> Result<Value> {
    let name = text(&arguments[0])?;
    match read_reg(name, ty, call.context) {
        Ok(oid) => Ok(Value::Int(oid)),
        Err(error) if error.state() == SqlState::INVALID_NAME => Err(error),
        Err(_) => Ok(Value::Null),
    }
}

/// The kinds of privilege that PostgreSQL knows.
const PRIVILEGE_KINDS: [&str; 16] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "TRUNCATE",
    "REFERENCES",
    "TRIGGER",
    "USAGE",
    "CREATE",
    "CONNECT",
    "TEMPORARY",
    "TEMP",
    "EXECUTE",
    "RULE",
    "MEMBER",
    "SET",
];

fn granted(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(kinds) = arguments.last() else {
        return Ok(Value::Null);
    };
    for kind in text(kinds)?.split(',') {
        let upper = kind.trim().to_uppercase();
        let plain = upper.strip_suffix(" WITH GRANT OPTION").unwrap_or(&upper);
        if !PRIVILEGE_KINDS.contains(&plain) {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("unrecognized privilege type: \"{}\"", kind.trim()),
            ));
        }
    }
    Ok(Value::Bool(true))
}

fn table_is_visible(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let visible = names::relation_is_visible(int(&arguments[0])?, call.context);
    Ok(visible.map_or(Value::Null, Value::Bool))
}

/// Bytes in the largest unit that leaves more than nine; halves round away from zero.
fn pretty_size(bytes: &Numeric) -> Result<Value> {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    /// Bytes are told up to here, halves of a unit up to twice that.
    const LIMIT: i64 = 10 * 1024;
    let mut size = bytes.clone();
    let mut halves = false;
    for (place, unit) in UNITS.iter().enumerate() {
        let limit = if halves { LIMIT * 2 - 1 } else { LIMIT };
        let last = place + 1 == UNITS.len();
        if last || size.abs().compare(&Numeric::from_i64(limit)).is_lt() {
            if halves {
                let away = Numeric::from_i64(size.signum().into());
                size = size.add(&away)?.div_trunc(&Numeric::from_i64(2))?;
            }
            return Ok(Value::text(format!("{size} {unit}")));
        }
        // Keep one bit more than needed, to round at the end.
        let divisor = if halves { 1024 } else { 512 };
        size = size.div_trunc(&Numeric::from_i64(divisor))?;
        halves = true;
    }
    Err(Error::internal("the largest unit took no size"))
}
