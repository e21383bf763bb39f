//! Agreement: one log for the whole group, over openraft, which is named nowhere else.
//!
//! [`Log::propose`] puts a [`Command`] into the log and returns once this node
//! has applied it; [`Log::state`] is the replicated state as applied here;
//! deliverers follow [`Log::applied`] and read with [`Log::entries`]. One
//! proposal is one entry: gathering transactions into batches is the
//! sequencer's work. Several proposals may be under way at once.
//!
//! Entries stay readable until [`Log::compact`] raises the floor, which it
//! does through the log itself, so that all nodes forget alike.
//!
//! Not handled yet: leader transfer, removal of nodes, recovery after a lost
//! majority.

pub mod command;

mod apply;
mod codec;
mod network;
mod pieces;
mod raft;
mod room;
mod snapshot;
mod start;
mod state_machine;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ClientWriteError, RaftError};
use openraft::{BasicNode, Raft};
use tokio::sync::watch;

use self::command::{Answer, Command, Pieced};
use self::network::Network;
use self::pieces::LogPieces;
use self::raft::{Group, Proposal};
use self::room::LOOK_EVERY;
use self::start::{identify, raft_config, watch_leadership};
use self::state_machine::StateMachine;
use self::store::{Identity, Store};
use crate::error::{Error, Result, SqlState};
use crate::runtime::{Moment, Runtime, TaskSet};
use crate::types::id::{Boot, Index, NodeId, Term, TransactionId};
use crate::types::piece::Pieces;

pub use apply::{Opening, State};
pub use network::{Answering, Call, Transport, no_transport};
pub use start::{Leadership, LogConfig};

/// The largest command: far above what a sequencer gathers, yet little enough
/// to reach a follower within the time limit of a message.
const MAX_COMMAND_BYTES: usize = 8 << 20;

/// How long a proof of leadership may take.
const PROOF_LIMIT: Duration = Duration::from_secs(1);

/// How long the only voter may take to lead after its start.
const FIRST_LEAD_LIMIT: Duration = Duration::from_secs(10);

/// How long tasks of the log may take to end.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// This node's part of the group's log.
pub struct Log {
    runtime: Runtime,
    identity: Identity,
    boot: Boot,
    raft: Raft<Group>,
    machine: StateMachine,
    leadership: watch::Receiver<Leadership>,
    tasks: TaskSet,
}

/// A proposal that is in the log and applied on this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    pub index: Index,
    pub term: Term,
    pub answer: Answer,
}

/// An agreed entry, for deliverers.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub index: Index,
    pub term: Term,
    /// `None` for the group's own entries.
    pub command: Option<Arc<Command>>,
    /// Transactions of it that have no effect: repeats, refusals and, as far
    /// as known when it was read, voids.
    pub skip: Vec<TransactionId>,
    /// A schema change that was taken back.
    pub taken_back: bool,
}

impl Log {
    /// Opens a node's log and starts its part in the group. With
    /// `single_voter_init` it leads, and the catalog knows it, when this returns.
    pub async fn open(config: LogConfig, runtime: Runtime) -> Result<Arc<Log>> {
        let at_least = config.at_least;
        if at_least > Index(0) && !store::is_there(&runtime.disk(), &config.directory) {
            return Err(lost(&config.directory, at_least, None));
        }
        let fresh = runtime.random_uuid();
        let (node, group, init) = (config.node.0, config.group, config.single_voter_init);
        let identity = move |stored| identify(stored, node, group, init.then_some(fresh));
        let (store, identity) = Store::open(&runtime, &config.directory, identity)
            .await
            .map_err(fatal)?;
        if at_least > Index(0) && store.end() <= at_least.0 {
            return Err(lost(&config.directory, at_least, Some(store.end())));
        }
        let machine = StateMachine::load(&runtime, &store).await.map_err(fatal)?;
        let network = Network {
            identity,
            transport: config.transport.clone(),
            boots: Arc::default(),
        };
        let settings = Arc::new(raft_config(identity)?);
        let raft = Raft::new(identity.node, settings, network, store, machine.clone())
            .await
            .map_err(fatal)?;
        machine.set_running();
        let tasks = TaskSet::new(&runtime);
        let leadership = watch_leadership(&raft, &tasks);
        let log = Arc::new(Log {
            boot: Boot(runtime.random_u64()),
            runtime,
            identity,
            raft,
            machine,
            leadership,
            tasks,
        });
        log.watch_floor();
        log.watch_room();
        if init {
            log.lead_alone(&config).await?;
        }
        Ok(log)
    }

    pub fn node(&self) -> NodeId {
        NodeId(self.identity.node)
    }

    /// This start of the node.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    pub fn group(&self) -> uuid::Uuid {
        self.identity.group
    }

    /// Puts a command into the log and waits until it is applied here. An
    /// error of kind `Unavailable` has done nothing; `OutcomeUnknown` (08007)
    /// may yet take effect; one that is too large is 54000 and not done, one
    /// for which the disk has no room 53100 and not done. A
    /// refusal is no error here: see [`Answer`].
    /// Dropping the future does not take the proposal back.
    pub async fn propose(&self, command: Command) -> Result<Proposed> {
        let proposal =
            Proposal::new(command).map_err(|error| Error::internal(error.to_string()))?;
        if proposal.size() > MAX_COMMAND_BYTES {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("one log entry holds at most {MAX_COMMAND_BYTES} bytes"),
            ));
        }
        if proposal.command.brings_data() {
            self.machine.store().room().take(proposal.size())?;
        }
        let appended = proposal.appended.clone();
        match self.raft.client_write(proposal).await {
            Ok(done) => Ok(Proposed {
                index: Index(done.log_id.index),
                term: Term(done.log_id.leader_id.term),
                answer: done.data,
            }),
            // What was appended here may have reached others, even if it was
            // taken out of this node's log again.
            Err(error) if appended.get() => Err(Error::new(
                SqlState::OUTCOME_UNKNOWN,
                format!("the outcome is unknown: {}", plain(&error)),
            )),
            Err(error) => Err(Error::unavailable(plain(&error))),
        }
    }

    /// The replicated state as this node has applied it.
    pub fn state(&self) -> Arc<State> {
        self.machine.state()
    }

    /// Follows the last index applied here; the state is published before.
    pub fn applied(&self) -> watch::Receiver<Index> {
        self.machine.applied()
    }

    /// The first entry that can still be read.
    pub fn first_index(&self) -> Index {
        Index(self.machine.store().first())
    }

    /// The entry behind which at most so many bytes of entries lie.
    pub async fn bytes_after(&self, bytes: u64) -> Result<Index> {
        let store = self.machine.store();
        store.bytes_after(bytes).await.map(Index).map_err(fatal)
    }

    /// How many bytes the entries take that can be read, up to one.
    pub async fn size_up_to(&self, to: Index) -> Result<u64> {
        let store = self.machine.store();
        store.size_up_to(to.0).await.map_err(fatal)
    }

    /// Applied entries from `from` on, in order and without gaps, up to about
    /// `limit` bytes but at least one if there is one. 55000 when the log no
    /// longer reaches back so far.
    pub async fn entries(&self, from: Index, limit: usize) -> Result<Vec<LogEntry>> {
        let applied = self.state().applied;
        if from > applied {
            return Ok(Vec::new());
        }
        let store = self.machine.store();
        if from.0 < store.first() {
            return Err(compacted(from));
        }
        let read = store.entries(from.0, applied.0, limit).await;
        let entries = match read {
            Ok(entries) => entries,
            // The floor may have passed `from` meanwhile.
            Err(_) if from.0 < store.first() => return Err(compacted(from)),
            Err(error) => return Err(fatal(error)),
        };
        let skipped = self.machine.skipped(&entries);
        let delivered = entries.iter().zip(skipped);
        let delivered = delivered.map(|(entry, (skip, taken_back))| LogEntry {
            index: Index(entry.log_id.index),
            term: Term(entry.log_id.leader_id.term),
            command: state_machine::command(entry).cloned(),
            skip,
            taken_back,
        });
        Ok(delivered.collect())
    }

    /// Follows the last entry that this node has taken in, agreed on or not.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.machine.store().appended()
    }

    /// Entries behind those applied, as they lie in memory, up to about `limit`
    /// bytes: they will probably be agreed on, and may yet be replaced or
    /// turn out to have transactions without effect.
    pub fn ahead(&self, limit: usize) -> Vec<LogEntry> {
        let applied = self.state().applied;
        let recent = self.machine.store().recent(applied.0 + 1, limit);
        let expected = |entry: raft::Entry| LogEntry {
            index: Index(entry.log_id.index),
            term: Term(entry.log_id.leader_id.term),
            command: state_machine::command(&entry).cloned(),
            skip: Vec::new(),
            taken_back: false,
        };
        recent.into_iter().map(expected).collect()
    }

    /// What comes before the writes of an entry that completes pieces.
    pub fn pieces(&self, pieced: Option<&Pieced>) -> Option<Arc<dyn Pieces>> {
        let pieced = pieced?;
        Some(LogPieces::of(self.machine.store(), pieced))
    }

    /// Who leads, as far as this node knows.
    pub fn leadership(&self) -> Leadership {
        *self.leadership.borrow()
    }

    /// Follows changes of leadership and term.
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    pub fn is_leader(&self) -> bool {
        self.leadership().leads
    }

    pub fn leader(&self) -> Option<NodeId> {
        self.leadership().leader
    }

    pub fn term(&self) -> Term {
        self.leadership().term
    }

    /// Asks a majority whether this node leads. It did at the moment that is
    /// returned, and has applied all that was committed by then.
    pub async fn prove_leadership(&self) -> Result<Moment> {
        let asked = self.runtime.now();
        let asking = self.raft.ensure_linearizable();
        match self.runtime.timeout(PROOF_LIMIT, asking).await {
            Ok(Ok(_)) => Ok(asked),
            Ok(Err(error)) => Err(Error::unavailable(format!("no proof to lead: {error}"))),
            Err(_) => Err(Error::unavailable("no majority of nodes answers")),
        }
    }

    /// The voters of the group with their addresses.
    pub fn voters(&self) -> BTreeMap<NodeId, String> {
        let metrics = self.raft.metrics();
        let membership = metrics.borrow().membership_config.clone();
        let address = |id: u64| {
            membership
                .membership()
                .get_node(&id)
                .map(|it| it.addr.clone())
        };
        let voters = membership.voter_ids();
        voters
            .map(|id| (NodeId(id), address(id).unwrap_or_default()))
            .collect()
    }

    /// Makes a new group of these nodes. Each must have been opened with the
    /// same group id; called on one of them, once.
    pub async fn form(&self, members: &BTreeMap<NodeId, String>) -> Result<()> {
        let members: BTreeMap<u64, BasicNode> = members
            .iter()
            .map(|(id, address)| (id.0, BasicNode::new(address)))
            .collect();
        let formed = self.raft.initialize(members).await;
        formed.map_err(|error| Error::unavailable(format!("the group is not formed: {error}")))
    }

    /// Answers a call from another node, as its [`Transport`] brought it.
    pub async fn receive(&self, body: &[u8]) -> Option<Vec<u8>> {
        network::receive(&self.raft, self.identity, self.boot, body).await
    }

    /// Lets all nodes forget the entries up to `floor`, or fewer while open
    /// transactions have pieces there; returns when this node has.
    pub async fn compact(&self, floor: Index) -> Result<()> {
        if floor <= self.state().floor {
            return Ok(());
        }
        self.propose(Command::Floor(floor)).await?.answer.check()?;
        self.forget(self.state().floor).await
    }

    /// Returns when the log can no longer go on, with the reason; a node that
    /// hears it ends. Never returns while the log is well.
    pub async fn failed(&self) -> Error {
        let mut metrics = self.raft.metrics();
        let ended = metrics.wait_for(|metrics| metrics.running_state.is_err());
        let reason = match ended.await {
            Ok(metrics) => metrics.running_state.clone().err(),
            Err(_) => None,
        };
        match reason {
            Some(reason) => fatal(format!("the log has failed: {reason}")),
            None => fatal("the log has ended"),
        }
    }

    /// Adds a voter that was opened with this group's id, once it has caught
    /// up. Its number was never used before.
    pub async fn add_voter(&self, node: NodeId, address: &str) -> Result<()> {
        let refused = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("node {node} is not added: {error}"))
        };
        let learner = BasicNode::new(address);
        let added = self.raft.add_learner(node.0, learner, true).await;
        added.map_err(|error| refused(&error))?;
        let voter = openraft::ChangeMembers::AddVoterIds([node.0].into());
        let changed = self.raft.change_membership(voter, false).await;
        changed.map_err(|error| refused(&error))?;
        Ok(())
    }

    /// Ends this node's part; what was proposed and not answered is unknown.
    pub async fn shutdown(&self) {
        self.tasks.shutdown(SHUTDOWN_LIMIT).await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "the log did not end well");
        }
        self.machine.store().close().await;
    }

    /// Makes a new group of this node alone unless there is one, and sees to
    /// it that it leads and that the catalog knows its name and address.
    async fn lead_alone(&self, config: &LogConfig) -> Result<()> {
        let initialized = self.raft.is_initialized().await.map_err(fatal)?;
        if !initialized {
            let alone = BTreeMap::from([(config.node, config.address.clone())]);
            self.form(&alone).await?;
        }
        if self.voters().len() > 1 {
            return Ok(());
        }
        // Nobody else can lead: there is nothing to wait for.
        self.raft.trigger().elect().await.map_err(fatal)?;
        let mut leadership = self.watch_leadership();
        let leads = leadership.wait_for(|leadership| leadership.leads);
        match self.runtime.timeout(FIRST_LEAD_LIMIT, leads).await {
            Ok(Ok(_)) => {}
            _ => return Err(Error::unavailable("the only node does not come to lead")),
        }
        self.prove_leadership().await?;
        let known = self.state().catalog.nodes.get(&config.node).cloned();
        let same = |node: &crate::catalog::Node| {
            node.name == config.name && node.address == config.address
        };
        if known.as_ref().is_some_and(same) {
            return Ok(());
        }
        let command = Command::AddNode {
            id: config.node,
            name: config.name.clone(),
            address: config.address.clone(),
        };
        self.propose(command).await?.answer.check()
    }

    /// Forgets on this node what the agreed floor has passed.
    fn watch_floor(self: &Arc<Log>) {
        let log = Arc::downgrade(self);
        let token = self.tasks.token().clone();
        let mut applied = self.applied();
        self.tasks.spawn("log-floor", async move {
            loop {
                let changed = async { applied.changed().await.is_ok() };
                let goes_on = tokio::select! {
                    biased;
                    () = token.cancelled() => false,
                    changed = changed => changed,
                };
                let Some(log) = log.upgrade().filter(|_| goes_on) else {
                    return;
                };
                let floor = log.state().floor;
                if floor == Index(0) || log.first_index() > floor {
                    continue;
                }
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    forgotten = log.forget(floor) => {
                        if let Err(error) = forgotten {
                            tracing::warn!(%error, "the log is not compacted");
                        }
                    }
                }
            }
        });
    }

    /// 53100 while what clients bring is refused for want of room.
    pub fn check_room(&self) -> Result<()> {
        self.machine.store().room().check()
    }

    /// Looks now and then how much room the disk has.
    fn watch_room(&self) {
        let (runtime, room) = (self.runtime.clone(), self.machine.store().room().clone());
        let token = self.tasks.token().clone();
        self.tasks.spawn("log-room", async move {
            loop {
                tokio::select! {
                    biased;
                    () = token.cancelled() => return,
                    () = runtime.sleep(LOOK_EVERY) => room.look(),
                }
            }
        });
    }

    async fn forget(&self, floor: Index) -> Result<()> {
        let mut metrics = self.raft.metrics();
        let covered = |metrics: &openraft::RaftMetrics<u64, BasicNode>| {
            metrics.snapshot.is_some_and(|id| id.index >= floor.0)
        };
        let snapshot_is_there = covered(&metrics.borrow());
        if !snapshot_is_there {
            self.raft.trigger().snapshot().await.map_err(fatal)?;
            let built = metrics.wait_for(covered).await;
            built.map_err(|_| Error::unavailable("the log is shut down"))?;
        }
        let purge = self.raft.trigger().purge_log(floor.0).await;
        purge.map_err(fatal)?;
        let store = self.machine.store();
        store.forget_before(floor.0 + 1).await.map_err(fatal)
    }
}

/// What a failed proposal is told.
fn plain(error: &RaftError<u64, ClientWriteError<u64, BasicNode>>) -> String {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            match forward.leader_id {
                Some(leader) => format!("node {leader} leads, not this one"),
                None => "no node is known to lead".to_owned(),
            }
        }
        other => other.to_string(),
    }
}

fn compacted(from: Index) -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the log no longer reaches back to entry {from}"),
    )
}

/// What an operator must know before anything else is written. `end` is behind
/// the log's last entry; `None`: there is no log.
fn lost(directory: &Path, at_least: Index, end: Option<u64>) -> Error {
    let place = directory.display();
    let what = match end {
        None => format!("there is no log in {place}"),
        Some(end) => format!("the log in {place} ends before entry {end}"),
    };
    let message = format!(
        "{what}, but replicas beside it have applied entry {at_least}: entries that were \
         acknowledged are lost. Put the log back, or move the replicas' files away to go on without \
         them. Nothing was changed"
    );
    Error::new(SqlState::IO_ERROR, message)
}

/// The log cannot go on; the message says why.
fn fatal(error: impl std::fmt::Display) -> Error {
    Error::new(SqlState::IO_ERROR, error.to_string())
}

#[cfg(test)]
mod tests;
