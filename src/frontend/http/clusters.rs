//! Data clusters: making them and their tables, describing, joining.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, json};

use super::error::{Failure, answer, ok};
use super::request::{Body, Caller, Home, Joiner};
use super::{Http, views, write};
use crate::catalog::SYSTEM_CLUSTER;
use crate::catalog::schema::Namespace;
use crate::error::SqlState;
use crate::plan::pyql::{self, Json};

/// The longest name of a data cluster: one that SQL can name too.
const MAX_CLUSTER_NAME_BYTES: usize = 63;

pub(super) fn routes() -> Router<Arc<Http>> {
    Router::new()
        .route("/cluster/{cluster}/create", post(create))
        .route("/cluster/{cluster}/join", get(join_sample).post(join))
        .route("/cluster/{cluster}/tables", get(tables))
}

async fn create(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let wrong = |text: String| Failure::error(StatusCode::BAD_REQUEST, text);
    let forbidden = |c: char| c == '/' || c.is_control();
    if name.trim().is_empty() || name.len() > MAX_CLUSTER_NAME_BYTES || name.contains(forbidden) {
        return Err(wrong(format!(
            "a cluster's name has up to {MAX_CLUSTER_NAME_BYTES} bytes and no '/'"
        )));
    }
    if name == SYSTEM_CLUSTER {
        return Err(wrong(format!("cluster name {name} is reserved")));
    }
    http.dispatch
        .create_cluster(&name, caller.user.id)
        .await
        .map_err(|error| Failure::request(&error))?;
    let message = json!({"message": format!("cluster {name} created successfully")});
    Ok(answer(StatusCode::CREATED, &message))
}

/// What a body of the join route looks like.
async fn join_sample(_: Joiner, Path(name): Path<String>) -> Response {
    ok(&json!({
        "name": "endpoint-name",
        "path": "host:port",
        "token": "the endpoint's local service token",
        "database": {"name": name, "uuid": "the database's uuid"},
        "tables": [{"table": {
            "columns": [{"name": "id", "type": "int", "mods": "NOT NULL"}],
            "primary_key": "id",
            "foreign_keys": null,
        }}],
        "consistency": ["table"],
    }))
}

async fn join(_: Joiner, body: Body) -> Result<Response, Failure> {
    let body = body.json_or_error()?;
    let database = body.get("database");
    let fields = [
        ("name", body.get("name")),
        ("path", body.get("path")),
        ("token", body.get("token")),
        ("database.name", database.and_then(|it| it.get("name"))),
        ("database.uuid", database.and_then(|it| it.get("uuid"))),
    ];
    for (field, value) in fields {
        if value.and_then(Json::as_text).is_none() {
            let text = format!("missing {field}");
            return Err(Failure::error(StatusCode::BAD_REQUEST, text));
        }
    }
    Err(Failure::not_built("joining endpoints is not supported yet"))
}

/// All tables' descriptions, by name.
async fn tables(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let mut described = Map::new();
    match caller.home(&http, &name)? {
        Home::System => {
            for view in views::View::ALL {
                let table = view.table();
                described.insert(table.name.clone(), views::describe(&table));
            }
        }
        Home::Data(cluster) => {
            let schema = &cluster.schema;
            for table in schema.tables.values() {
                if table.namespace == Namespace::Public {
                    described.insert(table.name.clone(), pyql::describe(schema, table));
                }
            }
        }
    }
    Ok(ok(&described.into()))
}

/// `POST /cluster/{cluster}/table/create`.
pub(super) async fn create_table(
    http: &Http,
    caller: &Caller,
    name: &str,
    body: &Body,
) -> Result<Response, Failure> {
    let Home::Data(cluster) = caller.home(http, name)? else {
        return Err(views::read_only("tables"));
    };
    let body = body.json_or_error()?;
    let (table, sql) = pyql::create_table(&body).map_err(|error| Failure::request(&error))?;
    if pyql::table(&cluster.schema, &table).is_ok() {
        let text = format!("table {table} exists in cluster {name}");
        return Err(Failure::error(StatusCode::BAD_REQUEST, text));
    }
    write::run(http, caller, name, pyql::Translation::of(sql))
        .await
        .map_err(|error| match error.state() {
            // A table that the description names, not the request's path.
            SqlState::UNDEFINED_TABLE => Failure::error(StatusCode::BAD_REQUEST, error.message()),
            _ => Failure::request(&error),
        })?;
    let message = format!("table {table} created successfully ");
    Ok(ok(&json!({ "message": message })))
}
