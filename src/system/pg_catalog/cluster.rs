//! Databases, roles, sessions and settings: what a user may see of the group.
//!
//! A data cluster is a database, a user a role. One sees one's own and shared
//! data clusters, oneself and their owners; an admin sees all. Passwords and
//! their verifiers are in no relation.

use std::collections::BTreeSet;

use super::super::View;
use super::super::object::{DATABASE_OWNER_ROLE, SYSTEM_ROLE};
use super::super::relation::Rows;
use super::super::value::{int, letter, oid, optional};
use crate::catalog::{Cluster, User, UserKind};
use crate::plan::function::names::{DATABASE_OWNER_NAME, SYSTEM_ROLE_NAME};
use crate::types::{Row, Value};

/// The tablespace pg_default.
const TABLESPACE: u32 = 1663;
const UTF8: i64 = 6;

pub(crate) fn databases(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "oid",
        "datname",
        "datdba",
        "encoding",
        "datlocprovider",
        "datallowconn",
        "datconnlimit",
        "dattablespace",
        "datcollate",
        "datctype",
    ];
    let row = |cluster: &Cluster| {
        vec![
            oid(cluster.id.oid()),
            Value::text(cluster.name.as_str()),
            oid(cluster.owner.oid()),
            Value::Int(UTF8),
            letter('c'),
            Value::Bool(true),
            Value::Int(-1),
            oid(TABLESPACE),
            Value::text("C"),
            Value::text("C"),
        ]
    };
    Rows::new(COLUMNS, view.clusters().map(row).collect())
}

/// The users that this one sees, without service accounts.
fn seen(view: &View) -> Vec<&User> {
    let mut ids: BTreeSet<_> = view.clusters().map(|cluster| cluster.owner).collect();
    ids.insert(view.user.id);
    let admin = view.user.kind == UserKind::Admin;
    let users = view.catalog.users.values().map(|user| &**user);
    users
        .filter(|user| user.kind != UserKind::Service && (admin || ids.contains(&user.id)))
        .collect()
}

const HIDDEN_PASSWORD: &str = "********";

pub(crate) fn roles(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "rolname",
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolconnlimit",
        "rolpassword",
        "rolbypassrls",
        "oid",
    ];
    let role = |name: &str, number: u32, admin: bool, login: bool| {
        vec![
            Value::text(name),
            Value::Bool(admin),
            Value::Bool(true),
            Value::Bool(admin),
            // Everybody may make data clusters.
            Value::Bool(login),
            Value::Bool(login),
            Value::Bool(false),
            Value::Int(-1),
            Value::text(HIDDEN_PASSWORD),
            Value::Bool(false),
            oid(number),
        ]
    };
    let system = [
        role(SYSTEM_ROLE_NAME, SYSTEM_ROLE, true, false),
        role(DATABASE_OWNER_NAME, DATABASE_OWNER_ROLE, false, false),
    ];
    let users = seen(view).into_iter();
    let users = users.map(|user| {
        role(
            &user.name,
            user.id.oid(),
            user.kind == UserKind::Admin,
            true,
        )
    });
    Rows::new(COLUMNS, system.into_iter().chain(users).collect())
}

pub(crate) fn users(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "usename",
        "usesysid",
        "usecreatedb",
        "usesuper",
        "userepl",
        "usebypassrls",
        "passwd",
    ];
    let row = |user: &User| -> Row {
        let admin = user.kind == UserKind::Admin;
        vec![
            Value::text(user.name.as_str()),
            oid(user.id.oid()),
            Value::Bool(true),
            Value::Bool(admin),
            Value::Bool(false),
            Value::Bool(false),
            Value::text(HIDDEN_PASSWORD),
        ]
    };
    Rows::new(COLUMNS, seen(view).into_iter().map(row).collect())
}

/// No role is a member of another.
pub(crate) fn memberships(_: &View) -> Rows {
    Rows::NONE
}

pub(crate) fn settings(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "name",
        "setting",
        "category",
        "short_desc",
        "context",
        "vartype",
        "source",
        "pending_restart",
    ];
    let row = |(name, value, description): &(String, String, String)| {
        vec![
            Value::text(name.as_str()),
            Value::text(value.as_str()),
            Value::text("Session"),
            Value::text(description.as_str()),
            Value::text("user"),
            Value::text("string"),
            Value::text("session"),
            Value::Bool(false),
        ]
    };
    Rows::new(COLUMNS, view.settings.iter().map(row).collect())
}

/// The sessions of the databases that one sees.
pub(crate) fn activity(view: &View) -> Rows {
    const COLUMNS: &[&str] = &[
        "datid",
        "datname",
        "pid",
        "usesysid",
        "usename",
        "application_name",
        "state",
        "backend_type",
    ];
    let admin = view.user.kind == UserKind::Admin;
    let visible = |session: &&super::super::SessionView| admin || session.user == view.user.name;
    let sessions = view.sessions.iter().filter(visible);
    let row = |session: &super::super::SessionView| {
        let database = view
            .clusters()
            .find(|cluster| cluster.name == session.database);
        let user = view.catalog.user_named(&session.user);
        vec![
            database.map_or(Value::Null, |cluster| oid(cluster.id.oid())),
            Value::text(session.database.as_str()),
            int(session.id),
            user.map_or(Value::Null, |user| oid(user.id.oid())),
            Value::text(session.user.as_str()),
            Value::text(session.application.as_str()),
            optional(Some(session.state)),
            Value::text("client backend"),
        ]
    };
    Rows::new(COLUMNS, sessions.map(row).collect())
}
