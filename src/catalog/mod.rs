//! What exists and where: data clusters, their schemas, users, nodes, replicas.
//!
//! The replicated state of the whole group. Only the log's state machine
//! changes it; everyone else holds a snapshot that never changes.

mod apply;
pub mod change;
pub mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::id::{
    Boot, ClusterId, Incarnation, Index, NodeId, ObjectId, ReplicaId, SchemaVersion, TransactionId,
    UserId,
};
use schema::Schema;

/// The name of the cluster that shows the system itself.
pub const SYSTEM_CLUSTER: &str = "pyql";

/// Everything agreed but the rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    pub nodes: BTreeMap<NodeId, Node>,
    /// Shared, since a new snapshot of the catalog is taken for every write.
    pub users: Arc<BTreeMap<UserId, Arc<User>>>,
    pub clusters: BTreeMap<ClusterId, Arc<Cluster>>,
    /// The key that signs user and join tokens, once made.
    pub token_key: Option<TokenKey>,
    /// The data cluster id under which cluster `pyql` itself is known over REST.
    pub system_cluster: Option<ClusterId>,
    pub next_replica: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    /// The node's name over REST: a uuid in text.
    pub name: String,
    /// Host and port for other nodes and clients.
    pub address: String,
    /// The latest start of its sequencer that the log has seen.
    pub boot: Option<Boot>,
}

/// The secret that signs tokens; never printed.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenKey(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(…)")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub email: Option<String>,
    pub kind: UserKind,
    /// The user a service account speaks for.
    pub parent: Option<UserId>,
    /// `None` for service accounts: they have no password.
    pub verifier: Option<ScramVerifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UserKind {
    Admin,
    User,
    Service,
}

/// What SCRAM-SHA-256 (RFC 5802, RFC 7677) keeps in place of a password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ScramVerifier {
    pub iterations: u32,
    #[serde(with = "serde_bytes")]
    pub salt: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub stored_key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramVerifier(…)")
    }
}

/// A data cluster: tables kept in full by every replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: ClusterId,
    pub name: String,
    pub owner: UserId,
    /// Users with whom the owner shares it.
    pub access: Vec<UserId>,
    /// `YYYY-MM-DD`.
    pub created: String,
    /// The endpoint or node that made it.
    pub created_by: String,
    pub schema: Arc<Schema>,
    /// The last value each sequence gave out.
    pub counters: BTreeMap<ObjectId, Counter>,
    pub replicas: BTreeMap<ReplicaId, Replica>,
    /// What in-sync replicas last agreed on.
    pub settled: Option<Settled>,
    /// Transactions that are skipped everywhere, until no replica can need them.
    pub voids: BTreeMap<Index, Vec<TransactionId>>,
    /// How to take the last schema change back, should no replica be able to
    /// apply it.
    #[serde(default)]
    pub undo: Option<SchemaUndo>,
    /// Schema versions that were taken back: what was written by one of them
    /// has no effect.
    #[serde(default)]
    pub voided_versions: Vec<SchemaVersion>,
    /// The index of the entry that made it; its replicas start after it.
    pub born: Index,
    /// The last entry with writes or schema changes of this cluster.
    pub last_write: Index,
}

/// What a schema change replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaUndo {
    /// The entry of the change, and its transaction.
    pub index: Index,
    pub transaction: TransactionId,
    pub schema: Arc<Schema>,
    pub counters: BTreeMap<ObjectId, Counter>,
}

/// A sequence's place: PostgreSQL's `last_value` and `is_called`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub last_value: i64,
    pub is_called: bool,
}

impl Counter {
    /// Of a sequence that nothing was drawn from.
    pub fn before_first(sequence: &schema::Sequence) -> Counter {
        Counter {
            last_value: sequence.start,
            is_called: false,
        }
    }
}

/// The chain that in-sync replicas agreed on at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    pub index: Index,
    pub chain: u128,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    pub id: ReplicaId,
    /// What REST calls the endpoint's uuid.
    pub endpoint: uuid::Uuid,
    pub engine: EngineKind,
    pub place: Place,
    pub state: ReplicaState,
    /// The life of its database that the state speaks of.
    pub incarnation: Option<Incarnation>,
    /// Since which entry the state holds.
    pub since: Index,
    /// When it lost votes lately, in microseconds since 1970; three in an hour
    /// keep it out.
    #[serde(default)]
    pub lost_votes_at: Vec<i64>,
    /// Why it is not in sync, for people.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineKind {
    Sqlite,
    Mysql,
    Postgres,
}

impl EngineKind {
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Sqlite => "sqlite",
            EngineKind::Mysql => "mysql",
            EngineKind::Postgres => "postgres",
        }
    }
}

/// Where a replica's endpoint is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Place {
    /// In the process of this node, in a file named by the replica's number.
    Embedded(NodeId),
    /// At this host and port.
    Remote(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaState {
    /// Known, holds nothing.
    New,
    /// Receives a snapshot.
    Copying,
    /// Replays the log.
    CatchingUp,
    /// Counts for every promise.
    InSync,
    /// Failed or removed; repaired when it answers again.
    OutOfSync,
    /// Lost three votes in an hour: waits for an operator.
    Barred,
}

impl ReplicaState {
    pub fn name(self) -> &'static str {
        match self {
            ReplicaState::New => "new",
            ReplicaState::Copying => "copying",
            ReplicaState::CatchingUp => "catching_up",
            ReplicaState::InSync => "in_sync",
            ReplicaState::OutOfSync => "out_of_sync",
            ReplicaState::Barred => "barred",
        }
    }
}

impl Catalog {
    pub fn user_named(&self, name: &str) -> Option<&Arc<User>> {
        self.users
            .values()
            .find(|user| user.name == name && user.kind != UserKind::Service)
    }

    /// The user that `id` speaks for: itself, or the parent of a service account.
    pub fn principal(&self, id: UserId) -> Option<&Arc<User>> {
        let user = self.users.get(&id)?;
        match user.parent {
            Some(parent) => self.users.get(&parent),
            None => Some(user),
        }
    }

    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(&id)
    }

    /// The cluster that shows the system itself, for sessions that look at it
    /// over SQL: no tables, no replicas, and the first admin for its owner.
    pub fn system_definition(&self) -> Option<Cluster> {
        let mut users = self.users.values();
        let admin = users.find(|user| user.kind == UserKind::Admin)?;
        Some(Cluster {
            id: self.system_cluster?,
            name: SYSTEM_CLUSTER.to_owned(),
            owner: admin.id,
            access: Vec::new(),
            created: String::new(),
            created_by: String::new(),
            schema: Arc::default(),
            counters: BTreeMap::new(),
            replicas: BTreeMap::new(),
            settled: None,
            voids: BTreeMap::new(),
            undo: None,
            voided_versions: Vec::new(),
            born: Index(0),
            last_write: Index(0),
        })
    }

    /// Finds a data cluster by name for a user: the user's own, else one
    /// shared with the user, else `owner/name` if shared.
    pub fn cluster_named(&self, name: &str, user: UserId) -> Option<&Arc<Cluster>> {
        let own = |c: &&Arc<Cluster>| c.name == name && c.owner == user;
        let shared = |c: &&Arc<Cluster>| c.name == name && c.access.contains(&user);
        let clusters = || self.clusters.values();
        clusters()
            .find(own)
            .or_else(|| clusters().find(shared))
            .or_else(|| {
                let (owner, name) = name.split_once('/')?;
                let owner = self.user_named(owner)?.id;
                let allowed = owner == user;
                clusters().find(|c| {
                    c.name == name && c.owner == owner && (allowed || c.access.contains(&user))
                })
            })
    }
}

impl Cluster {
    /// Its owner's, shared with the user, or the user administers.
    pub fn is_visible_to(&self, user: &User) -> bool {
        user.kind == UserKind::Admin || self.owner == user.id || self.access.contains(&user.id)
    }

    pub fn in_sync(&self) -> impl Iterator<Item = &Replica> {
        self.replicas
            .values()
            .filter(|replica| replica.state == ReplicaState::InSync)
    }
}
