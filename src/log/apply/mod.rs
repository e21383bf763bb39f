//! The state machine: commands, in log order, to the replicated state.
//!
//! In memory only, and deterministic: it touches no endpoint, clock or
//! randomness, so all nodes hold the same state after the same entry. A
//! command that does not fit the state is refused in its [`Answer`] and
//! changes nothing; applying never fails.

mod directory;
mod recent;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::recent::{Recent, Seen};
use super::command::{Answer, Batch, Command, PieceEntry, Pieced, SchemaEntry};
use crate::catalog::schema::Schema;
use crate::catalog::{Catalog, Cluster, SchemaUndo, Settled};
use crate::error::{Error, Result, SqlState};
use crate::types::id::{Boot, ClusterId, Index, NodeId, SchemaVersion, Term, TransactionId};
use crate::types::piece::Piece;

/// Schema versions taken back that are remembered, per data cluster: entries
/// written by one follow it closely.
const VOIDED_VERSIONS_MAX: usize = 64;

/// The replicated state as a node has applied it; never changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub catalog: Arc<Catalog>,
    /// The last entry applied, and its term.
    pub applied: Index,
    pub term: Term,
    /// The last sequencer to start.
    pub opening: Option<Opening>,
    /// Entries up to here may be gone.
    pub floor: Index,
}

/// A sequencer's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    pub node: NodeId,
    pub boot: Boot,
    pub index: Index,
    pub term: Term,
}

/// All replicated state, with the bookkeeping that only applying needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    catalog: Arc<Catalog>,
    applied: Index,
    term: Term,
    opening: Option<Opening>,
    recent: Recent,
    /// Pieces of transactions whose last entry has not come yet, by what they have in common.
    parts: BTreeMap<TransactionId, Vec<Index>>,
    /// Entries that complete a transaction, with the first of its pieces.
    completed: BTreeMap<Index, Index>,
    /// Transactions of entries above the floor that deliverers must leave out.
    skips: BTreeMap<Index, Vec<TransactionId>>,
    floor: Index,
}

impl Machine {
    /// Applies an entry; `None` is one of the group's own.
    pub(super) fn apply(&mut self, index: Index, term: Term, command: Option<&Command>) -> Answer {
        self.applied = index;
        self.term = term;
        let result = match command {
            None => Ok(Answer::default()),
            Some(Command::Batch(batch)) => Ok(self.batch(index, batch)),
            Some(Command::Piece(piece)) => self.piece(index, piece),
            Some(Command::Abandon(of)) => {
                self.parts.remove(of);
                Ok(Answer::default())
            }
            Some(Command::Schema(entry)) => Ok(self.schema(index, entry)),
            Some(Command::Opened { node, boot }) => {
                self.open(*node, *boot);
                Ok(Answer::default())
            }
            Some(Command::Void {
                cluster,
                index: at,
                transaction,
            }) => self.void(*cluster, *at, *transaction),
            Some(Command::Floor(floor)) => {
                self.raise_floor(*floor);
                Ok(Answer::default())
            }
            Some(other) => self.directory(index, other),
        };
        self.recent.advance(index);
        result.unwrap_or_else(|error| Answer::refuse(&error))
    }

    /// The state as others see it.
    pub(super) fn state(&self) -> State {
        State {
            catalog: self.catalog.clone(),
            applied: self.applied,
            term: self.term,
            opening: self.opening,
            floor: self.floor,
        }
    }

    /// The transactions of an entry that have no effect: repeats, refusals, voids.
    pub(super) fn skipped(&self, index: Index, command: Option<&Command>) -> Vec<TransactionId> {
        let mut skipped = self.skips.get(&index).cloned().unwrap_or_default();
        let cluster = match command {
            Some(Command::Batch(batch)) => batch.cluster,
            Some(Command::Schema(entry)) => entry.cluster,
            _ => return skipped,
        };
        let voids = self.catalog.cluster(cluster).map(|cluster| &cluster.voids);
        if let Some(voided) = voids.and_then(|voids| voids.get(&index)) {
            skipped.extend(voided);
        }
        if let (Some(Command::Batch(batch)), Some(cluster)) =
            (command, self.catalog.cluster(cluster))
            && cluster.voided_versions.contains(&batch.schema)
        {
            skipped.extend(batch.transactions.iter().map(|it| it.id));
        }
        skipped
    }

    /// Whether the entry is a schema change that was taken back.
    pub(super) fn is_voided_change(&self, index: Index, command: Option<&Command>) -> bool {
        let Some(Command::Schema(entry)) = command else {
            return false;
        };
        let cluster = self.catalog.cluster(entry.cluster);
        let voided = cluster.and_then(|cluster| cluster.voids.get(&index));
        voided.is_some_and(|voided| voided.contains(&entry.id))
    }

    fn open(&mut self, node: NodeId, boot: Boot) {
        self.opening = Some(Opening {
            node,
            boot,
            index: self.applied,
            term: self.term,
        });
        // The transactions they belong to ended with the sequencer before.
        self.parts.clear();
        let catalog = Arc::make_mut(&mut self.catalog);
        if let Some(node) = catalog.nodes.get_mut(&node) {
            node.boot = Some(boot);
        }
    }

    fn batch(&mut self, index: Index, batch: &Batch) -> Answer {
        let ids: Vec<TransactionId> = batch.transactions.iter().map(|it| it.id).collect();
        let mut answer = self.known(&ids);
        if let Err(error) = self.check_batch(batch, &ids) {
            self.skips.insert(index, ids);
            answer.refused = Answer::refuse(&error).refused;
            return answer;
        }
        let skipped = [&answer.repeated[..], &answer.forgotten].concat();
        if skipped.is_empty() {
            self.complete(index, batch.pieces.as_ref());
        }
        for id in ids.iter().filter(|id| !skipped.contains(id)) {
            self.recent.note(*id, index);
        }
        if !skipped.is_empty() {
            self.skips.insert(index, skipped);
        }
        if let Some(cluster) = self.cluster_mut(batch.cluster) {
            cluster.counters.extend(batch.counters.iter().copied());
            settle(cluster, batch.settled);
            cluster.last_write = index;
        }
        answer
    }

    /// Keeps a piece for the last entry of its transaction.
    fn piece(&mut self, index: Index, piece: &PieceEntry) -> Result<Answer> {
        self.cluster(piece.cluster)?;
        self.parts.entry(piece.of).or_default().push(index);
        Ok(Answer::default())
    }

    /// The pieces that this entry names are there for its deliverers; the
    /// others of their transaction are not needed.
    fn complete(&mut self, index: Index, pieced: Option<&Pieced>) {
        let Some(pieced) = pieced else { return };
        if let Some(first) = pieced.pieces.iter().map(|piece| piece.index).min() {
            self.completed.insert(index, first);
        }
        self.parts.remove(&pieced.of);
    }

    fn check_batch(&self, batch: &Batch, ids: &[TransactionId]) -> Result<()> {
        let cluster = self.cluster(batch.cluster)?;
        if cluster.schema.version != batch.schema {
            return Err(stale_schema());
        }
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::internal("a transaction is twice in one entry"));
        }
        let Some(pieced) = &batch.pieces else {
            return Ok(());
        };
        let [id] = ids else {
            return Err(Error::internal(
                "an entry that completes pieces holds another transaction as well",
            ));
        };
        // Those of a repeat are gone because the transaction is there.
        match self.recent.look(*id) {
            Seen::New => self.check_pieces(pieced),
            _ => Ok(()),
        }
    }

    fn check_pieces(&self, pieced: &Pieced) -> Result<()> {
        let known = self.parts.get(&pieced.of).map_or(&[][..], |parts| parts);
        let is_known = |piece: &Piece| known.binary_search(&piece.index).is_ok();
        if pieced.pieces.iter().all(is_known) {
            return Ok(());
        }
        Err(Error::new(
            SqlState::SERIALIZATION_FAILURE,
            "could not complete the transaction because the leader has changed",
        ))
    }

    fn schema(&mut self, index: Index, entry: &SchemaEntry) -> Answer {
        let mut answer = self.known(&[entry.id]);
        if !answer.repeated.is_empty() || !answer.forgotten.is_empty() {
            self.skips.insert(index, vec![entry.id]);
            return answer;
        }
        match self.next_schema(entry) {
            Err(error) => {
                self.skips.insert(index, vec![entry.id]);
                answer.refused = Answer::refuse(&error).refused;
            }
            Ok(schema) => {
                self.recent.note(entry.id, index);
                self.complete(index, entry.pieces.as_ref());
                if let Some(cluster) = self.cluster_mut(entry.cluster) {
                    cluster.undo = Some(SchemaUndo {
                        index,
                        transaction: entry.id,
                        schema: cluster.schema.clone(),
                        counters: cluster.counters.clone(),
                    });
                    cluster
                        .counters
                        .retain(|id, _| schema.sequences.contains_key(id));
                    cluster.schema = Arc::new(schema);
                    cluster.counters.extend(entry.counters.iter().copied());
                    settle(cluster, entry.settled);
                    cluster.last_write = index;
                }
            }
        }
        answer
    }

    fn next_schema(&self, entry: &SchemaEntry) -> Result<Schema> {
        let cluster = self.cluster(entry.cluster)?;
        if cluster.schema.version != entry.before {
            return Err(stale_schema());
        }
        if let Some(pieced) = &entry.pieces {
            self.check_pieces(pieced)?;
        }
        cluster.schema.apply(&entry.all_changes())
    }

    fn void(
        &mut self,
        cluster: ClusterId,
        at: Index,
        transaction: TransactionId,
    ) -> Result<Answer> {
        if at >= self.applied {
            return Err(Error::internal("only an earlier entry can be voided"));
        }
        self.cluster(cluster)?;
        let above = at > self.floor;
        if let (Some(cluster), true) = (self.cluster_mut(cluster), above) {
            let voided = cluster.voids.entry(at).or_default();
            if voided.contains(&transaction) {
                return Ok(Answer::default());
            }
            voided.push(transaction);
            take_back(cluster, at, transaction);
        }
        Ok(Answer::default())
    }

    /// Raises the floor as far as pieces of transactions allow, and forgets
    /// what only entries below it need.
    fn raise_floor(&mut self, wanted: Index) {
        let mut floor = wanted.min(self.applied);
        let before = |index: Index| Index(index.0.saturating_sub(1));
        for first in self.parts.values().filter_map(|parts| parts.first()) {
            floor = floor.min(before(*first));
        }
        // Lowering it below one transaction's pieces may cut into another's.
        // Each step lowers it, and below the floor there is nothing to keep.
        while floor > self.floor {
            let behind = self.completed.range(Index(floor.0 + 1)..);
            match behind.map(|(_, first)| *first).min() {
                Some(first) if first <= floor => floor = before(first),
                _ => break,
            }
        }
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        let next = Index(floor.0 + 1);
        self.skips = self.skips.split_off(&next);
        self.completed = self.completed.split_off(&next);
        let stale: Vec<ClusterId> = self
            .catalog
            .clusters
            .values()
            .filter(|cluster| {
                let undo = cluster.undo.iter().map(|undo| &undo.index);
                undo.chain(cluster.voids.keys())
                    .any(|index| *index <= floor)
            })
            .map(|cluster| cluster.id)
            .collect();
        for id in stale {
            if let Some(cluster) = self.cluster_mut(id) {
                cluster.voids = cluster.voids.split_off(&next);
                cluster.undo.take_if(|undo| undo.index <= floor);
            }
        }
    }

    /// Which of these are in the log already, or too old to tell.
    fn known(&self, ids: &[TransactionId]) -> Answer {
        let which = |seen: Seen| {
            let those = ids.iter().filter(move |id| self.recent.look(**id) == seen);
            those.copied().collect()
        };
        Answer {
            repeated: which(Seen::Before),
            forgotten: which(Seen::Forgotten),
            refused: None,
        }
    }

    fn cluster(&self, id: ClusterId) -> Result<&Arc<Cluster>> {
        self.catalog.cluster(id).ok_or_else(no_cluster)
    }

    /// The cluster to change. Copies the catalog's outline and the cluster's
    /// own fields when a reader still holds the last snapshot; never a schema.
    fn cluster_mut(&mut self, id: ClusterId) -> Option<&mut Cluster> {
        let catalog = Arc::make_mut(&mut self.catalog);
        catalog.clusters.get_mut(&id).map(Arc::make_mut)
    }
}

/// Takes a newer agreement over.
fn settle(cluster: &mut Cluster, settled: Option<Settled>) {
    if let Some(new) = settled
        && cluster.settled.is_none_or(|old| old.index < new.index)
    {
        cluster.settled = Some(new);
    }
}

/// Takes a schema change back under a version of its own, so that nothing
/// planned for the change is taken for planned for what is there now.
fn take_back(cluster: &mut Cluster, at: Index, transaction: TransactionId) {
    let is_it = |undo: &mut SchemaUndo| undo.index == at && undo.transaction == transaction;
    let Some(undo) = cluster.undo.take_if(is_it) else {
        return;
    };
    let voided = cluster.schema.version;
    let mut schema = Schema::clone(&undo.schema);
    schema.version = SchemaVersion(voided.0 + 1);
    // A value once given out is not given out again.
    let moved = std::mem::replace(&mut cluster.counters, undo.counters);
    let known = moved
        .into_iter()
        .filter(|(id, _)| schema.sequences.contains_key(id));
    cluster.counters.extend(known);
    cluster.schema = Arc::new(schema);
    cluster.voided_versions.push(voided);
    let surplus = cluster
        .voided_versions
        .len()
        .saturating_sub(VOIDED_VERSIONS_MAX);
    cluster.voided_versions.drain(..surplus);
}

fn no_cluster() -> Error {
    Error::new(
        SqlState::INVALID_CATALOG_NAME,
        "the database does not exist",
    )
}

fn stale_schema() -> Error {
    Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not apply the transaction because the schema has changed",
    )
}

#[cfg(test)]
mod tests;
