//! How a node's part in the group starts: its identity, openraft's settings,
//! and who leads.

use std::path::PathBuf;
use std::time::Duration;

use openraft::metrics::RaftServerMetrics;
use openraft::{BasicNode, Config, Raft, ServerState, SnapshotPolicy};
use tokio::sync::watch;

use super::network::Transport;
use super::raft::Group;
use super::store::Identity;
use crate::error::{Error, Result};
use crate::runtime::TaskSet;
use crate::types::id::{Index, NodeId, Term};

/// The leader's beat; also the time limit of a message with entries.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// A follower that hears nothing for a time drawn from this range stands for election.
const ELECTION: (Duration, Duration) = (Duration::from_millis(300), Duration::from_millis(450));

/// The time limit of one piece of a snapshot.
const SNAPSHOT_PIECE_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of one piece of a snapshot.
const SNAPSHOT_PIECE_BYTES: u64 = 1 << 20;

/// How a node's log is opened.
#[derive(Clone)]
pub struct LogConfig {
    /// The log's own directory.
    pub directory: PathBuf,
    pub node: NodeId,
    /// The node's name over REST: a uuid in text.
    pub name: String,
    /// Host and port at which other nodes reach this one.
    pub address: String,
    /// A replica has applied the log up to here: one that ends before has lost
    /// entries, and is not gone on with.
    pub at_least: Index,
    /// Makes a new group with this node as its only voter, unless there is one.
    pub single_voter_init: bool,
    /// The group to join; `None` when the directory knows it or a new one is made.
    pub group: Option<uuid::Uuid>,
    pub transport: Transport,
}

#[cfg(test)]
impl LogConfig {
    /// A node alone, in this directory.
    pub(crate) fn alone(directory: &std::path::Path) -> LogConfig {
        LogConfig {
            directory: directory.to_owned(),
            node: NodeId(1),
            name: "one".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            at_least: Index(0),
            single_voter_init: true,
            group: None,
            transport: super::no_transport(),
        }
    }
}

/// Who leads, as this node knows; may be out of date. See [`super::Log::prove_leadership`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: Term,
    pub leader: Option<NodeId>,
    /// This node leads.
    pub leads: bool,
}

/// Which log this is: as stored, else as configured, else a new one.
pub(super) fn identify(
    stored: Option<Identity>,
    node: u64,
    group: Option<uuid::Uuid>,
    fresh: Option<uuid::Uuid>,
) -> Result<Identity, String> {
    match (stored, group.or(fresh)) {
        (Some(stored), _) if stored.node != node => Err(format!(
            "the log belongs to node {}, not {node}",
            stored.node
        )),
        (Some(stored), _) if group.is_some_and(|group| group != stored.group) => {
            Err("the log belongs to another group".to_owned())
        }
        (Some(stored), _) => Ok(stored),
        (None, Some(group)) => Ok(Identity { group, node }),
        (None, None) => Err("there is no log here, and no group was named to join".to_owned()),
    }
}

pub(super) fn raft_config(identity: Identity) -> Result<Config> {
    let millis = |duration: Duration| duration.as_millis() as u64;
    let config = Config {
        cluster_name: identity.group.to_string(),
        heartbeat_interval: millis(HEARTBEAT),
        election_timeout_min: millis(ELECTION.0),
        election_timeout_max: millis(ELECTION.1),
        install_snapshot_timeout: millis(SNAPSHOT_PIECE_LIMIT),
        snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
        // We snapshot and purge by our own floor.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // A follower that the log still reaches gets the log.
        replication_lag_threshold: u64::MAX,
        ..Config::default()
    };
    config
        .validate()
        .map_err(|error| Error::internal(error.to_string()))
}

pub(super) fn watch_leadership(raft: &Raft<Group>, tasks: &TaskSet) -> watch::Receiver<Leadership> {
    let mut metrics = raft.server_metrics();
    let read = |metrics: &RaftServerMetrics<u64, BasicNode>| Leadership {
        term: Term(metrics.vote.leader_id.term),
        leader: metrics.current_leader.map(NodeId),
        leads: metrics.state == ServerState::Leader,
    };
    let (sender, receiver) = watch::channel(read(&metrics.borrow_and_update()));
    let token = tasks.token().clone();
    tasks.spawn("log-leadership", async move {
        loop {
            let changed = tokio::select! {
                biased;
                () = token.cancelled() => false,
                changed = metrics.changed() => changed.is_ok(),
            };
            if !changed {
                break;
            }
            let now = read(&metrics.borrow_and_update());
            sender.send_if_modified(|known| std::mem::replace(known, now) != now);
        }
        sender.send_modify(|known| *known = Leadership::default());
    });
    receiver
}
