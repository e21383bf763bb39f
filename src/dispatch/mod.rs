//! Runs plans: reads on one replica, writes through the sequencer on all.
//!
//! Imports run one way among these files too, from what orchestrates down to
//! what is only data:
//!
//! - `run` has the one `match` on a plan, with `explain` and `relations`
//!   beside it; `admin`, `repair` and `compact` are the operators' side;
//! - [`point`] and [`evaluate`] are the two ways to write: by full key, or as a
//!   query whose rows are kept;
//! - [`transaction`] is what stays open between statements, [`written`] its
//!   rows, `submit` its way out; [`read`] asks replicas;
//! - [`cluster`] is one data cluster at its leader, [`mod@write`] its sequencer;
//! - `order`, `pieces`, [`deferral`], `relaid`, [`rules`], [`claim`],
//!   [`sequence`] and [`refused`] know none of these.

pub mod admin;
pub mod claim;
pub mod cluster;
mod compact;
pub mod deferral;
pub mod evaluate;
mod explain;
mod order;
mod pieces;
pub mod point;
pub mod presence;
pub mod read;
pub mod refused;
mod relaid;
mod relations;
mod repair;
pub mod rules;
mod run;
pub mod sequence;
mod submit;
pub mod transaction;
pub mod write;
pub mod written;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::DashMap;

use crate::catalog::{Catalog, Cluster, Place, Replica, SYSTEM_CLUSTER};
use crate::endpoint::Endpoint;
use crate::engine::sqlite::scratch::Scratch;
use crate::error::{Error, Result, SqlState};
use crate::log::Log;
use crate::log::command::Command;
use crate::metrics::Metrics;
use crate::replica::Replicas;
use crate::replica::lease::Leadership;
use crate::runtime::{Runtime, TaskSet};
use crate::system::System;
use crate::types::id::{ClusterId, NodeId, UserId};
use cluster::{DataCluster, Space, TransactionIds};
pub use run::{Call, Ran};

/// How long a clean end may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Opens the endpoint of a replica that this node serves.
pub type OpenEndpoint = Box<dyn Fn(&Cluster, &Replica) -> Opening + Send + Sync>;

/// An endpoint on its way.
pub type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn Endpoint>>> + Send>>;

/// The node's entry to everything behind the front ends.
pub struct Dispatch {
    pub(crate) node: NodeId,
    pub(crate) runtime: Runtime,
    pub(crate) log: Arc<Log>,
    pub(crate) embedded_replicas: usize,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
    open_endpoint: OpenEndpoint,
    clusters: DashMap<ClusterId, Arc<DataCluster>>,
    /// The one that shows the system itself, once somebody has asked for it.
    system_cluster: OnceLock<Arc<DataCluster>>,
    /// One opens data clusters at a time: a replica's file has one writer.
    opening: tokio::sync::Mutex<()>,
    system: Arc<System>,
    presences: Arc<presence::Presences>,
    ids: Arc<TransactionIds>,
    space: Arc<Space>,
    tasks: TaskSet,
}

/// Where this node stands in the group, as `/cluster/pyql/ready` tells it.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub node: String,
    pub voters: Vec<String>,
    /// Voters that do not answer, with the unix time since when.
    pub missing: Vec<(String, f64)>,
    pub in_quorum: bool,
    pub ready: bool,
    /// Unix seconds of this check.
    pub checked: f64,
}

impl Dispatch {
    /// Starts serving what the log says this node serves.
    pub async fn start(
        runtime: &Runtime,
        log: Arc<Log>,
        node: NodeId,
        embedded_replicas: usize,
        open_endpoint: OpenEndpoint,
        space: Space,
    ) -> Result<Arc<Dispatch>> {
        Scratch::clear(&space.directory);
        let boot = log.boot();
        let opened = log.propose(Command::Opened { node, boot }).await?;
        let leadership = Leadership::new(runtime.clone());
        leadership.opened(opened.index);
        let tasks = TaskSet::new(runtime);
        tasks.spawn("prove leadership", {
            let (leadership, log) = (leadership.clone(), log.clone());
            let stop = tasks.token().clone();
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = leadership.prove(log) => {}
                }
            }
        });
        let dispatch = Arc::new(Dispatch {
            node,
            runtime: runtime.clone(),
            log,
            embedded_replicas,
            leadership,
            metrics: Arc::default(),
            open_endpoint,
            clusters: DashMap::new(),
            system_cluster: OnceLock::new(),
            opening: tokio::sync::Mutex::new(()),
            system: Arc::new(System::new()),
            presences: Arc::default(),
            ids: Arc::new(TransactionIds::new(node, boot)),
            space: Arc::new(space),
            tasks,
        });
        dispatch.open_clusters().await?;
        dispatch.compact_now_and_then();
        Ok(dispatch)
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Asks a majority of voters whether this node still leads.
    pub async fn prove_leadership(&self) -> Result<()> {
        self.log.prove_leadership().await.map(|_| ())
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who is connected to this node.
    pub fn presences(&self) -> &Arc<presence::Presences> {
        &self.presences
    }

    pub fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// The replicated state as this node has applied it.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.log.state().catalog.clone()
    }

    /// The data cluster as this node serves it.
    pub fn cluster(&self, id: ClusterId) -> Result<Arc<DataCluster>> {
        let served = self.clusters.get(&id).map(|cluster| cluster.clone());
        served.ok_or_else(|| Error::unavailable("the data cluster is not served here yet"))
    }

    /// Opens data clusters that came, closes those that went. One that cannot
    /// be opened does not keep the others closed.
    pub(crate) async fn open_clusters(&self) -> Result<()> {
        let _alone = self.opening.lock().await;
        let state = self.log.state();
        let mut opened = Ok(());
        for (id, definition) in &state.catalog.clusters {
            if Some(*id) == state.catalog.system_cluster || self.clusters.contains_key(id) {
                continue;
            }
            match self.open_cluster(definition).await {
                Ok(cluster) => drop(self.clusters.insert(*id, cluster)),
                Err(error) => {
                    tracing::error!(cluster = %id, %error, "the data cluster cannot be opened");
                    opened = Err(error);
                }
            }
        }
        self.clusters
            .retain(|id, _| state.catalog.clusters.contains_key(id));
        opened
    }

    /// The data cluster of a name as a user sees it; 3D000 when there is none.
    /// `pyql` is the system itself, and so are the databases to which PostgreSQL's
    /// own programs connect unless told otherwise.
    pub fn cluster_named(&self, name: &str, user: UserId) -> Result<Arc<DataCluster>> {
        let catalog = self.catalog();
        if let Some(found) = catalog.cluster_named(name, user) {
            return self.cluster(found.id);
        }
        let system = [SYSTEM_CLUSTER, "postgres", "template1"].contains(&name);
        match catalog.system_definition().filter(|_| system) {
            Some(definition) => Ok(self.system_cluster(definition)),
            None => Err(Error::new(
                SqlState::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )),
        }
    }

    fn system_cluster(&self, definition: Cluster) -> Arc<DataCluster> {
        let make = || {
            let definition = Arc::new(definition);
            self.data_cluster(&definition, self.replicas(definition.id))
        };
        self.system_cluster.get_or_init(make).clone()
    }

    async fn open_cluster(&self, definition: &Arc<Cluster>) -> Result<Arc<DataCluster>> {
        let replicas = self.replicas(definition.id);
        for replica in definition.replicas.values() {
            let Place::Embedded(node) = &replica.place else {
                continue;
            };
            if *node == self.node {
                replicas.add(replica.id, (self.open_endpoint)(definition, replica).await?);
            }
        }
        replicas.verify_always();
        Ok(self.data_cluster(definition, replicas))
    }

    fn replicas(&self, cluster: ClusterId) -> Arc<Replicas> {
        Replicas::new(
            self.runtime.clone(),
            self.log.clone(),
            cluster,
            self.leadership.clone(),
            self.metrics.clone(),
            self.tasks.clone(),
        )
    }

    fn data_cluster(&self, definition: &Arc<Cluster>, replicas: Arc<Replicas>) -> Arc<DataCluster> {
        DataCluster::new(
            &self.runtime,
            &self.log,
            replicas,
            definition,
            self.ids.clone(),
            self.space.clone(),
            self.tasks.clone(),
        )
    }

    /// Has some replica of it answered?
    pub(crate) fn is_served(&self, id: ClusterId) -> bool {
        let Some(cluster) = self.clusters.get(&id) else {
            return false;
        };
        let Some(definition) = cluster.replicas.definition() else {
            return false;
        };
        // One that is being repaired keeps nobody waiting.
        let ready = |replica: &Replica| {
            let member = cluster.replicas.member(replica.id);
            member.is_some_and(|member| member.status().granted.is_some())
        };
        definition.in_sync().all(ready)
    }

    /// Checks with a majority of voters, at most a second.
    pub async fn quorum(&self) -> Quorum {
        let in_quorum = self.log.prove_leadership().await.is_ok();
        let catalog = self.catalog();
        let name = |id: &NodeId| catalog.nodes.get(id).map(|node| node.name.clone());
        let voters: Vec<String> = self.log.voters().keys().filter_map(name).collect();
        let checked = self.runtime.unix_micros() as f64 / 1e6;
        let node = name(&self.node).unwrap_or_default();
        let missing = match in_quorum {
            true => Vec::new(),
            false => voters
                .iter()
                .filter(|voter| **voter != node)
                .map(|v| (v.clone(), checked))
                .collect(),
        };
        Quorum {
            node,
            voters,
            missing,
            in_quorum,
            ready: in_quorum,
            checked,
        }
    }

    /// Ends all tasks; what was acknowledged is in the log.
    pub async fn shutdown(&self) {
        self.tasks.shutdown(SHUTDOWN_MAX).await;
        self.log.shutdown().await;
    }
}
