//! Schema `pyql`: the group, its data clusters and replicas, as they are now.

use super::View;
use super::object;
use super::relation::{Relation, Rows};
use super::value::{int, oid, optional};
use crate::catalog::UserKind;
use crate::catalog::schema::{Namespace, Sequence};
use crate::types::datetime::UNIX_EPOCH;
use crate::types::difference::Difference;
use crate::types::id::ReplicaId;
use crate::types::{Row, Type, Value};

/// The columns of `pyql.replicas`.
const REPLICAS: [(&str, Type); 15] = [
    ("id", Type::Int8),
    ("endpoint", Type::Uuid),
    ("engine", Type::Text),
    ("state", Type::Text),
    ("applied", Type::Int8),
    ("durable", Type::Int8),
    ("behind", Type::Int8),
    ("in_flight", Type::Int8),
    ("phase", Type::Text),
    ("rows_done", Type::Int8),
    ("rows_total", Type::Int8),
    ("rows_per_second", Type::Float8),
    ("seconds_left", Type::Float8),
    ("reason", Type::Text),
    ("cluster", Type::Text),
];

/// The relations of schema `pyql`.
pub(crate) fn relations() -> Vec<Relation> {
    let relation = |oid, name, columns: Vec<(&str, Type)>, source| {
        Relation::new(oid, Namespace::Pyql, name, &columns, source)
    };
    vec![
        relation(
            9001,
            "nodes",
            vec![
                ("id", Type::Int8),
                ("name", Type::Text),
                ("address", Type::Text),
            ],
            |view| Rows::new(&[], nodes(view)),
        ),
        relation(
            9002,
            "clusters",
            vec![
                ("id", Type::Uuid),
                ("name", Type::Text),
                ("owner", Type::Text),
                ("created", Type::Text),
                ("replicas", Type::Int8),
                ("in_sync", Type::Int8),
            ],
            |view| Rows::new(&[], clusters(view)),
        ),
        relation(9003, "replicas", REPLICAS.to_vec(), |view| {
            Rows::new(&[], replicas(view))
        }),
        relation(
            9005,
            "differences",
            vec![
                ("replica", Type::Int8),
                ("noticed", Type::Timestamptz(None)),
                ("table_name", Type::Text),
                ("held", Type::Text),
                ("agreed", Type::Text),
            ],
            |view| Rows::new(&[], differences(view)),
        ),
        relation(
            9006,
            "sequences",
            vec![
                ("oid", Type::Oid),
                ("name", Type::Name),
                ("last_value", Type::Int8),
                ("log_cnt", Type::Int8),
                ("is_called", Type::Bool),
            ],
            |view| Rows::new(&[], sequences(view)),
        ),
        relation(
            9004,
            "users",
            vec![
                ("id", Type::Uuid),
                ("name", Type::Text),
                ("email", Type::Text),
                ("kind", Type::Text),
            ],
            |view| Rows::new(&[], users(view)),
        ),
    ]
}

/// Where each sequence of the data cluster stands: what a SELECT from one reads.
fn sequences(view: &View) -> Vec<Row> {
    let row = |sequence: &Sequence| {
        let counter = view.cluster.counters.get(&sequence.id);
        vec![
            oid(sequence.id.0),
            Value::text(sequence.name.as_str()),
            Value::Int(counter.map_or(sequence.start, |counter| counter.last_value)),
            // Nothing is fetched ahead.
            Value::Int(0),
            Value::Bool(counter.is_some_and(|counter| counter.is_called)),
        ]
    };
    object::sequences(&view.schema).map(row).collect()
}

fn nodes(view: &View) -> Vec<Row> {
    let nodes = view.catalog.nodes.values();
    nodes
        .map(|node| {
            vec![
                int(node.id.0),
                Value::text(&*node.name),
                Value::text(&*node.address),
            ]
        })
        .collect()
}

/// The data clusters that the user owns or shares; for an admin all of them.
fn clusters(view: &View) -> Vec<Row> {
    let owner = |id| view.catalog.users.get(id).map(|user| user.name.clone());
    view.clusters()
        .map(|cluster| {
            vec![
                Value::Uuid(*cluster.id.0.as_bytes()),
                Value::text(&*cluster.name),
                optional(owner(&cluster.owner).as_deref()),
                Value::text(&*cluster.created),
                int(cluster.replicas.len() as u64),
                int(cluster.in_sync().count() as u64),
            ]
        })
        .collect()
}

fn replicas(view: &View) -> Vec<Row> {
    let row = |replica: &super::ReplicaView| {
        vec![
            int(replica.id.0),
            Value::Uuid(*replica.endpoint.as_bytes()),
            Value::text(replica.engine),
            Value::text(replica.state),
            int(replica.applied),
            int(replica.durable),
            int(replica.behind),
            int(replica.in_flight),
            optional(replica.phase),
            replica.rows_done.map_or(Value::Null, int),
            replica.rows_total.map_or(Value::Null, int),
            replica.rows_per_second.map_or(Value::Null, Value::Float),
            replica.seconds_left.map_or(Value::Null, Value::Float),
            optional(replica.reason.as_deref()),
            Value::text(&*replica.cluster),
        ]
    };
    view.replicas.iter().map(row).collect()
}

/// Rows in which replicas differed that lost a vote, as they held them and as
/// the others do.
fn differences(view: &View) -> Vec<Row> {
    let row = |(replica, difference): &(ReplicaId, Difference)| {
        vec![
            int(replica.0),
            Value::Timestamptz(difference.noticed + UNIX_EPOCH),
            Value::text(&*difference.table),
            optional(difference.held.as_deref()),
            optional(difference.agreed.as_deref()),
        ]
    };
    view.differences.iter().map(row).collect()
}

/// Oneself; for an admin everybody. Never a secret.
fn users(view: &View) -> Vec<Row> {
    let seen = |id| view.user.kind == UserKind::Admin || view.user.id == id;
    let users = view.catalog.users.values();
    let people = users.filter(|user| user.kind != UserKind::Service && seen(user.id));
    people
        .map(|user| {
            let kind = if user.kind == UserKind::Admin {
                "admin"
            } else {
                "user"
            };
            vec![
                Value::Uuid(*user.id.0.as_bytes()),
                Value::text(&*user.name),
                optional(user.email.as_deref()),
                Value::text(kind),
            ]
        })
        .collect()
}
