//! The node, its quorum, the endpoints of tables, repairs: what is, from the
//! catalog.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Map, Value as Json, json};

use super::error::{Failure, ok};
use super::quorum::quorum_json;
use super::request::{Admin, Body, Caller, Home, Local, cluster_of};
use super::views::View;
use super::write::acknowledged;
use super::{Http, rows};
use crate::auth::rights;
use crate::catalog::{Catalog, Cluster, Place, Replica, ReplicaState, SYSTEM_CLUSTER};
use crate::plan::pyql;

pub(super) fn routes() -> Router<Arc<Http>> {
    Router::new()
        .route("/cluster/pyql/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/pyql/node", get(node))
        .route("/pyql/quorum", get(local_quorum).post(update_quorum))
        .route("/pyql/quorum/check", post(check_quorum))
        .route(
            "/cluster/{cluster}/table/{table}/state/{endpoint}",
            post(set_state),
        )
        .route(
            "/cluster/{cluster}/tablelogs/{table}/{endpoint}/{action}",
            get(table_logs),
        )
        .route("/cluster/jobqueue/{kind}", post(next_job))
        .route("/internal/jobs", get(internal_jobs))
        .route("/internal/job", get(internal_job))
}

/// Prometheus' text format; holds no names of users or tables.
async fn metrics(State(http): State<Arc<Http>>) -> String {
    http.dispatch.metrics().render()
}

/// Checks quorum anew; no authentication, for probes.
async fn ready(State(http): State<Arc<Http>>) -> Result<Response, Failure> {
    let quorum = http.check_quorum().await;
    let body = quorum_json(&quorum);
    if quorum.ready {
        return Ok(ok(&body));
    }
    let message = format!("node {} is not ready", quorum.node);
    let body = json!({"message": message, "quorum": body});
    Err(Failure::new(StatusCode::BAD_REQUEST, body))
}

async fn node(State(http): State<Arc<Http>>) -> Response {
    ok(&json!({"uuid": node_name(&http)}))
}

fn node_name(http: &Http) -> String {
    let catalog = http.dispatch.catalog();
    let node = catalog.nodes.get(&http.dispatch.node());
    node.map_or_else(String::new, |node| node.name.clone())
}

async fn local_quorum(State(http): State<Arc<Http>>, _: Local) -> Response {
    ok(&quorum_json(&http.recent_quorum().await))
}

async fn update_quorum(State(http): State<Arc<Http>>, _: Local) -> Response {
    ok(&quorum_json(&http.check_quorum().await))
}

async fn check_quorum(State(http): State<Arc<Http>>, _: Admin) -> Result<Response, Failure> {
    let quorum = http.check_quorum().await;
    let node = quorum.node.clone();
    if !quorum.in_quorum {
        return Err(Failure::message(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("node {node} is not in quorum"),
        ));
    }
    let message = format!("cluster_quorum_update on node {node} updated successfully");
    let content = json!({"message": message, "quorum": quorum_json(&quorum)});
    Ok(ok(&json!({
        "message": format!("cluster_quorum_check completed on {node}"),
        "results": { node: {"content": content, "status": 200} },
    })))
}

/// `GET …/path`: where each endpoint serves the table.
pub(super) fn paths(
    http: &Http,
    caller: &Caller,
    cluster: &str,
    table: &str,
) -> Result<Response, Failure> {
    let sides = both_sides(http, caller, cluster, table, |entry| {
        json!(format!(
            "http://{}/db/{}/table/{table}",
            entry.path, entry.database
        ))
    })?;
    let (in_sync, out_of_sync, _) = sides;
    Ok(ok(&json!({"in_sync": in_sync, "out_of_sync": out_of_sync})))
}

/// `GET …/endpoints`: what is known of each endpoint; tokens stay here.
pub(super) fn endpoints(
    http: &Http,
    caller: &Caller,
    cluster: &str,
    table: &str,
) -> Result<Response, Failure> {
    let sides = both_sides(http, caller, cluster, table, |entry| {
        json!({
            "cluster": cluster,
            "db_name": entry.database,
            "dbname": entry.database,
            "in_sync": entry.in_sync,
            "lastModTime": null,
            "last_mod_time": null,
            "name": format!("{}{table}", entry.endpoint),
            "path": entry.path,
            "state": entry.state,
            "table_name": table,
            "token": null,
            "uuid": entry.endpoint,
        })
    })?;
    let (in_sync, out_of_sync, name) = sides;
    Ok(ok(&json!({
        "clusterName": name,
        "cluster_name": name,
        "in_sync": in_sync,
        "out_of_sync": out_of_sync,
    })))
}

/// One endpoint of a table.
struct Entry {
    endpoint: String,
    path: String,
    database: String,
    state: &'static str,
    in_sync: bool,
}

type Sides = (Map<String, Json>, Map<String, Json>, String);

fn both_sides(
    http: &Http,
    caller: &Caller,
    cluster: &str,
    table: &str,
    show: impl Fn(&Entry) -> Json,
) -> Result<Sides, Failure> {
    require_admin(caller)?;
    let catalog = http.dispatch.catalog();
    let (entries, name) = match cluster_of(&catalog, cluster)? {
        Home::System => {
            View::named(table)?;
            (node_entries(&catalog), SYSTEM_CLUSTER.to_owned())
        }
        Home::Data(cluster) => {
            rows::find(&cluster, &cluster.name, table)?;
            (replica_entries(&catalog, &cluster), cluster.name.clone())
        }
    };
    let (mut in_sync, mut out_of_sync) = (Map::new(), Map::new());
    for entry in entries {
        let side = if entry.in_sync {
            &mut in_sync
        } else {
            &mut out_of_sync
        };
        side.insert(entry.endpoint.clone(), show(&entry));
    }
    Ok((in_sync, out_of_sync, name))
}

fn node_entries(catalog: &Catalog) -> Vec<Entry> {
    let nodes = catalog.nodes.values().map(|node| Entry {
        endpoint: node.name.clone(),
        path: node.address.clone(),
        database: "cluster".to_owned(),
        state: "loaded",
        in_sync: true,
    });
    nodes.collect()
}

fn replica_entries(catalog: &Catalog, cluster: &Cluster) -> Vec<Entry> {
    let replicas = cluster.replicas.values().map(|replica| Entry {
        endpoint: replica.endpoint.to_string(),
        path: address(catalog, replica),
        database: cluster.name.clone(),
        state: state_name(replica.state),
        in_sync: replica.state == ReplicaState::InSync,
    });
    replicas.collect()
}

/// Host and port at which a replica is served.
pub(super) fn address(catalog: &Catalog, replica: &Replica) -> String {
    match &replica.place {
        Place::Embedded(node) => {
            let node = catalog.nodes.get(node);
            node.map_or_else(String::new, |node| node.address.clone())
        }
        Place::Remote(address) => address.clone(),
    }
}

/// The original's two words for a replica's state.
pub(super) fn state_name(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::New | ReplicaState::Copying => "new",
        ReplicaState::CatchingUp
        | ReplicaState::InSync
        | ReplicaState::OutOfSync
        | ReplicaState::Barred => "loaded",
    }
}

fn require_admin(caller: &Caller) -> Result<(), Failure> {
    if rights::is_admin(&caller.user) {
        Ok(())
    } else {
        Err(Failure::unauthorized())
    }
}

/// `POST …/sync` and `…/recovery`.
pub(super) fn automatic(caller: &Caller) -> Failure {
    match require_admin(caller) {
        Ok(()) => Failure::not_built("replicas are repaired without being told"),
        Err(failure) => failure,
    }
}

/// Asks for a replica to be repaired (`in_sync` true: if it is not; false: in
/// any case, `new`: from a fresh copy). It cannot declare a repair done.
async fn set_state(
    State(http): State<Arc<Http>>,
    _: Admin,
    Path((cluster, table, endpoint)): Path<(String, String, String)>,
    body: Body,
) -> Result<Response, Failure> {
    let (cluster, replica) = replica_of(&http, &cluster, &table, &endpoint)?;
    let body = body.json_or_error()?;
    let in_sync = match body.get("in_sync") {
        Some(pyql::Json::Bool(in_sync)) => *in_sync,
        _ => {
            return Err(Failure::error(
                StatusCode::BAD_REQUEST,
                "expected {\"in_sync\": true or false, \"state\": \"new\" or \"loaded\"}",
            ));
        }
    };
    let copy = body.get("state").and_then(pyql::Json::as_text) == Some("new");
    let state = cluster.replicas.get(&replica).map(|it| it.state);
    if !(in_sync && state == Some(ReplicaState::InSync)) {
        let repair = http.dispatch.repair(cluster.id, replica, copy && !in_sync);
        repair.await.map_err(|error| Failure::request(&error))?;
    }
    Ok(ok(&acknowledged(&[node_name(&http)], "OK")))
}

/// How many entries of the log an endpoint may lack: none when in sync. They
/// count for the whole data cluster, of which a replica lacks all or none.
async fn table_logs(
    State(http): State<Arc<Http>>,
    _: Admin,
    Path((cluster, table, endpoint, action)): Path<(String, String, String, String)>,
) -> Result<Response, Failure> {
    if action != "count" {
        return Err(Failure::not_built(
            "the log is replayed without being asked; only its count is told",
        ));
    }
    let (cluster, replica) = replica_of(&http, &cluster, &table, &endpoint)?;
    let lacking = http.dispatch.lacking(cluster.id, replica);
    let lacking = lacking.map_err(|error| Failure::request(&error))?;
    Ok(ok(&json!({ "availableTxns": lacking })))
}

type ClusterAndReplica = (Arc<Cluster>, crate::types::id::ReplicaId);

fn replica_of(
    http: &Http,
    cluster: &str,
    table: &str,
    endpoint: &str,
) -> Result<ClusterAndReplica, Failure> {
    let missing = || {
        Failure::message(
            StatusCode::NOT_FOUND,
            format!("endpoint {endpoint} was not found in cluster {cluster}"),
        )
    };
    let Home::Data(found) = cluster_of(&http.dispatch.catalog(), cluster)? else {
        return Err(missing());
    };
    rows::find(&found, &found.name, table)?;
    let replica = found
        .replicas
        .values()
        .find(|replica| replica.endpoint.to_string() == endpoint)
        .map(|replica| replica.id)
        .ok_or_else(missing)?;
    Ok((found, replica))
}

/// Repairs run by themselves: no job waits for whoever asks.
async fn next_job(_: Admin, Path(_): Path<String>) -> Response {
    ok(&json!({"message": "no jobs to process at this time"}))
}

async fn internal_jobs(_: Local) -> Response {
    ok(&json!({"jobs": []}))
}

async fn internal_job(_: Local) -> Response {
    ok(&json!({"status": 200, "message": "no jobs in queue"}))
}
