//! Everything that can be agreed. Self-describing on disk and on the wire.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalog::change::{SchemaChange, SchemaStep};
use crate::catalog::{Counter, Place, ReplicaState, ScramVerifier, Settled, TokenKey, UserKind};
use crate::error::{Error, Result, SqlState};
use crate::types::id::{
    Boot, ClusterId, Incarnation, Index, NodeId, ObjectId, ReplicaId, SchemaVersion, TransactionId,
    UserId,
};
use crate::types::piece::Piece;
use crate::types::write::{Transaction, Write};

/// One log entry's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// A sequencer starts; it takes nothing before it has applied this.
    Opened {
        node: NodeId,
        boot: Boot,
    },
    /// Writes of one data cluster, in order.
    Batch(Arc<Batch>),
    /// Some rows of a large transaction, without effect by themselves.
    Piece(Arc<PieceEntry>),
    /// The last entry of these pieces will not come.
    Abandon(TransactionId),
    /// A schema change, alone in its entry.
    Schema(Arc<SchemaEntry>),
    /// A transaction of an earlier entry is skipped on every replica.
    Void {
        cluster: ClusterId,
        index: Index,
        transaction: TransactionId,
    },
    /// A replica's new state.
    Replica {
        cluster: ClusterId,
        replica: ReplicaId,
        state: ReplicaState,
        incarnation: Option<Incarnation>,
        /// It lost a vote: when, in microseconds since 1970.
        #[serde(default)]
        lost_vote_at: Option<i64>,
        reason: Option<String>,
    },
    AddNode {
        id: NodeId,
        name: String,
        address: String,
    },
    SetTokenKey(TokenKey),
    SetSystemCluster(ClusterId),
    CreateUser {
        id: UserId,
        /// The id of the service account made beside it.
        service: UserId,
        name: String,
        email: Option<String>,
        kind: UserKind,
        verifier: Option<ScramVerifier>,
    },
    AlterUser {
        id: UserId,
        verifier: Option<ScramVerifier>,
        kind: Option<UserKind>,
    },
    DropUser {
        id: UserId,
    },
    CreateCluster {
        id: ClusterId,
        name: String,
        owner: UserId,
        created: String,
        created_by: String,
        /// One replica each: the endpoint's uuid and its place.
        replicas: Vec<(uuid::Uuid, Place)>,
    },
    DropCluster {
        id: ClusterId,
    },
    SetAccess {
        cluster: ClusterId,
        access: Vec<UserId>,
    },
    /// No replica that still counts needs this entry or an earlier one: every
    /// node may forget them.
    Floor(Index),
}

impl Command {
    /// Whether clients' data grow by it; the others keep the group going.
    pub fn brings_data(&self) -> bool {
        matches!(
            self,
            Command::Batch(_)
                | Command::Piece(_)
                | Command::Schema(_)
                | Command::CreateUser { .. }
                | Command::AlterUser { .. }
                | Command::CreateCluster { .. }
        )
    }
}

/// One entry of writes: the unit of order, fsync and delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub cluster: ClusterId,
    /// The schema its rows are laid out by.
    pub schema: SchemaVersion,
    pub transactions: Vec<Transaction>,
    /// Where sequences stand after it.
    pub counters: Vec<(ObjectId, Counter)>,
    pub settled: Option<Settled>,
    /// The pieces that come before the writes of its only transaction.
    pub pieces: Option<Pieced>,
}

/// A piece of a transaction too large for one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceEntry {
    pub cluster: ClusterId,
    /// What pieces and last entry have in common. Not the transaction's id:
    /// the log may have forgotten one so old when the last entry comes.
    pub of: TransactionId,
    /// Its writes, as `types::piece` packs them.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// The pieces that a last entry completes, in the order they apply. Those
/// that it leaves out have no effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pieced {
    pub of: TransactionId,
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaEntry {
    pub cluster: ClusterId,
    pub id: TransactionId,
    /// The version it was planned against; applies to no other.
    pub before: SchemaVersion,
    pub changes: Vec<SchemaChange>,
    /// Rows written after these changes, laid out by the schema after them.
    pub writes: Vec<Write>,
    /// What the transaction did after that, in its order; all of the entry
    /// makes one version.
    #[serde(default)]
    pub then: Vec<SchemaStep>,
    /// The pieces that come before these writes, and then those of `then`.
    pub pieces: Option<Pieced>,
    pub counters: Vec<(ObjectId, Counter)>,
    pub settled: Option<Settled>,
}

impl SchemaEntry {
    /// Every change of the schema, in order.
    pub fn all_changes(&self) -> Vec<SchemaChange> {
        let then = self.then.iter().flat_map(|step| &step.changes);
        self.changes.iter().chain(then).cloned().collect()
    }

    /// Every write that lies in the entry itself.
    pub fn all_writes(&self) -> impl Iterator<Item = &Write> {
        let then = self.then.iter().flat_map(|step| &step.writes);
        self.writes.iter().chain(then)
    }
}

/// What applying an entry answers to its proposer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Transactions of the entry that were there before and were dropped.
    pub repeated: Vec<TransactionId>,
    /// Transactions too old to tell whether they were there before (08007); dropped.
    pub forgotten: Vec<TransactionId>,
    /// Why the command was refused, with its SQLSTATE. Nothing of it was done
    /// now; what is listed above may have been done before.
    pub refused: Option<([u8; 5], String)>,
}

impl Answer {
    pub fn refuse(error: &Error) -> Answer {
        Answer {
            refused: Some((error.state().0, error.message().to_owned())),
            ..Answer::default()
        }
    }

    /// The refusal as an error.
    pub fn check(&self) -> Result<()> {
        match &self.refused {
            None => Ok(()),
            Some((state, message)) => Err(Error::new(SqlState(*state), message.clone())),
        }
    }
}
