//! Sharing: updates of `access` in table `clusters`, the one write that cluster
//! `pyql` takes.

use axum::response::Response;

use super::rows::cluster_row;
use super::{View, read_only};
use crate::catalog::Catalog;
use crate::error::{Error, Result, SqlState};
use crate::frontend::http::Http;
use crate::frontend::http::error::{Failure, ok};
use crate::frontend::http::request::Body;
use crate::frontend::http::rows::{Change, with_io};
use crate::frontend::http::write::acknowledged;
use crate::plan::pyql::{self, Json, Scope};
use crate::types::id::{ClusterId, UserId};

/// Answers a write: sharing data clusters, nothing else.
pub(in crate::frontend::http) async fn write(
    http: &Http,
    table: &str,
    change: &Change<'_>,
    body: &Body,
) -> Result<Response, Failure> {
    let view = View::named(table)?;
    if view != View::Clusters {
        return Err(read_only(table));
    }
    let input = match change {
        Change::Update | Change::UpdateKey(_) => body.json_or_error()?,
        _ => return Err(read_only(table)),
    };
    let catalog = http.dispatch.catalog();
    let shared = sharing(&catalog, change, &input).map_err(|error| Failure::request(&error))?;
    for (cluster, access) in shared {
        http.dispatch
            .set_access(cluster, access)
            .await
            .map_err(|error| Failure::request(&error))?;
    }
    let nodes: Vec<String> = catalog.nodes.values().map(|it| it.name.clone()).collect();
    Ok(ok(&acknowledged(&nodes, "OK")))
}

/// Which clusters an update of `access` names, and with whom each is shared then.
pub(super) fn sharing(
    catalog: &Catalog,
    change: &Change<'_>,
    input: &Json,
) -> Result<Vec<(ClusterId, Vec<UserId>)>> {
    let wrong = |text: &str| Error::new(SqlState::SYNTAX_ERROR, text);
    let table = View::Clusters.table();
    let scope = Scope::of(&table);
    let (set, condition) = match change {
        Change::UpdateKey(key) => {
            let key = Json::Text((*key).to_owned());
            (
                Some(input),
                Some(Json::Object(vec![("id".to_owned(), key)])),
            )
        }
        _ => (input.get("set"), input.get("where").cloned()),
    };
    let (Some(Json::Object(set)), Some(condition)) = (set, condition) else {
        return Err(wrong("expected {\"set\": {\"access\": …}, \"where\": …}"));
    };
    let [(column, access)] = set.as_slice() else {
        return Err(wrong("only access of clusters can be set"));
    };
    if column != "access" {
        return Err(wrong("only access of clusters can be set"));
    }
    let allowed = allowed_users(catalog, access)?;
    let conditions = with_io(|io| pyql::conditions(&condition, &scope, io))?;
    if conditions.is_empty() {
        return Err(wrong("where must not be empty: it would mean every row"));
    }
    let mut found = Vec::new();
    for cluster in catalog.clusters.values() {
        let row = cluster_row(cluster);
        if conditions.iter().all(|condition| condition.holds(&row)) {
            let others = allowed.iter().filter(|user| **user != cluster.owner);
            found.push((cluster.id, others.copied().collect()));
        }
    }
    Ok(found)
}

/// The users in `{"allow": [ids]}`, service accounts as those they speak for.
fn allowed_users(catalog: &Catalog, access: &Json) -> Result<Vec<UserId>> {
    let wrong = || {
        Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "access must be {\"allow\": [user ids]}",
        )
    };
    let parsed;
    let access = match access {
        Json::Text(text) => {
            parsed = Json::parse(text.as_bytes()).map_err(|_| wrong())?;
            &parsed
        }
        other => other,
    };
    let Some(Json::List(ids)) = access.get("allow") else {
        return Err(wrong());
    };
    let mut users = Vec::new();
    for id in ids {
        let id = id.as_text().and_then(|id| uuid::Uuid::parse_str(id).ok());
        let id = id.ok_or_else(wrong)?;
        let user = catalog.principal(UserId(id)).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("user {id} does not exist"),
            )
        })?;
        if !users.contains(&user.id) {
            users.push(user.id);
        }
    }
    Ok(users)
}
