//! The rows of the tables of cluster `pyql`, in the order of their columns.

use std::sync::Arc;

use serde_json::{Value as JsonValue, json};

use super::{View, describe};
use crate::catalog::schema::{Namespace, Table};
use crate::catalog::{Catalog, Cluster, ReplicaState, SYSTEM_CLUSTER, UserKind};
use crate::frontend::http::system;
use crate::plan::pyql;
use crate::types::{Row, Value};

fn text(value: impl ToString) -> Value {
    Value::text(value.to_string())
}

pub(super) fn cluster_row(cluster: &Cluster) -> Row {
    let mut allow = vec![cluster.owner.to_string()];
    allow.extend(cluster.access.iter().map(ToString::to_string));
    vec![
        text(cluster.id),
        text(&cluster.name),
        text(cluster.owner),
        text(json!({ "allow": allow })),
        Value::Null,
        text(&cluster.created_by),
        text(&cluster.created),
    ]
}

pub(super) fn cluster_rows(catalog: &Catalog) -> Vec<Row> {
    let mut rows: Vec<Row> = catalog.clusters.values().map(|c| cluster_row(c)).collect();
    if let Some(id) = catalog.system_cluster {
        let admins: Vec<String> = catalog
            .users
            .values()
            .filter(|user| user.kind == UserKind::Admin)
            .map(|user| user.id.to_string())
            .collect();
        rows.push(vec![
            text(id),
            text(SYSTEM_CLUSTER),
            admins.first().map_or(Value::Null, text),
            text(json!({ "allow": admins })),
            Value::Null,
            Value::Null,
            Value::Null,
        ]);
    }
    rows
}

/// Nodes keep the system's tables, replicas those of data clusters.
pub(super) fn endpoint_rows(catalog: &Catalog) -> Vec<Row> {
    let system = catalog.system_cluster.map_or(Value::Null, text);
    let mut rows: Vec<Row> = Vec::new();
    for node in catalog.nodes.values() {
        rows.push(vec![
            text(&node.name),
            text("cluster"),
            text(&node.address),
            Value::Null,
            system.clone(),
        ]);
    }
    for cluster in catalog.clusters.values() {
        for replica in cluster.replicas.values() {
            rows.push(vec![
                text(replica.endpoint),
                text(&cluster.name),
                text(system::address(catalog, replica)),
                Value::Null,
                text(cluster.id),
            ]);
        }
    }
    rows
}

pub(super) fn table_rows(catalog: &Catalog) -> Vec<Row> {
    let row = |id: String, name: &str, database: Value, cluster: String, config: JsonValue| {
        vec![
            text(id),
            text(name),
            database,
            text(cluster),
            text(json!({ name: config })),
            Value::Bool(true),
            Value::Bool(false),
        ]
    };
    let mut rows = Vec::new();
    if let Some(system) = catalog.system_cluster {
        for view in View::ALL {
            let (id, config) = (format!("{system}.{}", view.name()), describe(&view.table()));
            rows.push(row(
                id,
                view.name(),
                Value::Null,
                system.to_string(),
                config,
            ));
        }
    }
    for cluster in catalog.clusters.values() {
        for table in user_tables(cluster) {
            let id = format!("{}.{}", cluster.id, table.id);
            let config = pyql::describe(&cluster.schema, table);
            let database = text(&cluster.name);
            rows.push(row(
                id,
                &table.name,
                database,
                cluster.id.to_string(),
                config,
            ));
        }
    }
    rows
}

fn user_tables(cluster: &Cluster) -> impl Iterator<Item = &Arc<Table>> {
    cluster
        .schema
        .tables
        .values()
        .filter(|table| table.namespace == Namespace::Public)
}

pub(super) fn state_rows(catalog: &Catalog) -> Vec<Row> {
    let row = |endpoint: String, table: &str, cluster: String, state: &str, in_sync: bool| {
        vec![
            text(format!("{endpoint}{table}")),
            text(state),
            Value::Bool(in_sync),
            text(table),
            text(cluster),
            text(endpoint),
            Value::Null,
        ]
    };
    let mut rows = Vec::new();
    if let Some(system) = catalog.system_cluster {
        for node in catalog.nodes.values() {
            for view in View::ALL {
                let (name, id) = (node.name.clone(), system.to_string());
                rows.push(row(name, view.name(), id, "loaded", true));
            }
        }
    }
    for cluster in catalog.clusters.values() {
        for replica in cluster.replicas.values() {
            for table in user_tables(cluster) {
                rows.push(row(
                    replica.endpoint.to_string(),
                    &table.name,
                    cluster.id.to_string(),
                    system::state_name(replica.state),
                    replica.state == ReplicaState::InSync,
                ));
            }
        }
    }
    rows
}

pub(super) fn everything_in_sync(catalog: &Catalog) -> bool {
    catalog
        .clusters
        .values()
        .flat_map(|cluster| cluster.replicas.values())
        .all(|replica| replica.state == ReplicaState::InSync)
}

/// Each repair under way or waiting, which are the only jobs there are.
pub(super) fn job_rows(catalog: &Catalog) -> Vec<Row> {
    let mut rows = Vec::new();
    for cluster in catalog.clusters.values() {
        for replica in cluster.replicas.values() {
            let status = match replica.state {
                ReplicaState::InSync => continue,
                ReplicaState::Copying | ReplicaState::CatchingUp => "running",
                ReplicaState::New | ReplicaState::OutOfSync => "queued",
                ReplicaState::Barred => "waiting",
            };
            let config = json!({
                "cluster": cluster.id.to_string(),
                "endpoint": replica.endpoint.to_string(),
                "state": replica.state.name(),
            });
            rows.push(vec![
                text(replica.endpoint),
                text(format!("sync_{}", replica.endpoint)),
                text("syncjobs"),
                text(status),
                Value::Null,
                text("table_sync_run"),
                text(config),
                Value::Null,
                Value::Null,
                replica.reason.as_ref().map_or(Value::Null, text),
            ]);
        }
    }
    rows
}

pub(super) fn user_rows(catalog: &Catalog) -> Vec<Row> {
    let kind = |kind| match kind {
        UserKind::Admin => "admin",
        UserKind::User => "user",
        UserKind::Service => "service",
    };
    let users = catalog.users.values().map(|user| {
        vec![
            text(user.id),
            text(&user.name),
            user.email.as_ref().map_or(Value::Null, text),
            text(kind(user.kind)),
            Value::Null,
            user.parent.map_or(Value::Null, text),
        ]
    });
    users.collect()
}
