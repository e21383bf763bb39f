//! The databases as the node sees them: few methods, all batches.
//!
//! An endpoint owns one database. Served in this process ([`embedded`]) or
//! over the replica API; callers cannot tell.

pub mod embedded;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::catalog::EngineKind;
use crate::catalog::schema::Schema;
use crate::error::Result;
use crate::log::command::{Batch, SchemaEntry};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::types::difference::{Difference, Written};
use crate::types::id::{
    ClusterId, Incarnation, Index, SchemaVersion, TableId, Term, TransactionId,
};
pub use crate::types::overlay::{Overlay, OverlayRow, OverlayTable};
use crate::types::piece::Pieces;
use crate::types::write::Outcome;
use crate::types::{Row, Value};

/// One replica of one data cluster, behind whatever connection.
#[async_trait]
pub trait Endpoint: Send + Sync {
    /// Where the replica stands, read from its own database.
    async fn position(&self) -> Result<Position, Fault>;

    /// A sign of life, even while it applies.
    async fn alive(&self) -> Result<(), Fault> {
        self.position().await.map(|_| ())
    }

    /// Applies entries in order. See [`Apply`].
    async fn apply(&self, request: Apply) -> Result<Applied, Fault>;

    /// Entries that will probably be agreed on. Their work may be done now, so
    /// that an [`Endpoint::apply`] that begins with them has little left to do;
    /// until then they have no effect that anyone sees, and whatever else is
    /// asked of the replica may discard them.
    fn prepare(&self, _request: Apply) {}

    /// Every in-sync replica has applied up to here: told at once to endpoints
    /// in this process, so that no read waits for the next delivery to say so.
    fn stable_at(&self, _stable: Index) {}

    /// Runs a query on one snapshot and streams its rows.
    async fn read(&self, request: Read) -> Result<Rows, ReadError>;

    /// Holds a snapshot of this schema open for later reads of one transaction.
    async fn open_snapshot(
        &self,
        level: Level,
        incarnation: Incarnation,
        schema: SchemaVersion,
    ) -> Result<(SnapshotId, Index), ReadError>;

    async fn close_snapshot(&self, snapshot: SnapshotId);

    /// Starts writing a copy of the whole replica at its applied index, for
    /// another replica of the same engine to take over. How far it is goes to `told`.
    async fn copy_out(&self, told: Arc<Copied>) -> Result<CopySource, Fault>;

    /// Replaces the database by a copy; the incarnation changes.
    async fn copy_in(&self, source: CopySource) -> Result<Position, Fault>;

    /// Compares its rows with those of a copy that is to replace them, and keeps
    /// what differs though nobody has written it since; says how many rows.
    async fn keep_differences(&self, _: &CopySource, _: Written) -> Result<u64, Fault> {
        Ok(0)
    }

    /// What it has kept.
    fn kept(&self) -> Vec<Difference> {
        Vec::new()
    }

    /// Takes a grant while a delivery is under way, and asks for the next one.
    /// A replica at work on a long delivery still has every write that was
    /// answered, so it may go on to answer reads.
    async fn renew(&self, _grant: Option<Grant>) -> Result<Stamp, Fault> {
        Err(Fault::Failed("renewing a lease is not offered".to_owned()))
    }

    /// Gives up its lease now, so that nobody has to wait for its end.
    async fn revoke(&self) -> Result<(), Fault> {
        Err(Fault::Failed("revoking a lease is not offered".to_owned()))
    }

    /// What kind of database it is.
    fn engine(&self) -> EngineKind;

    /// What the engine would be asked for a query, as text.
    async fn explain(&self, query: &Query) -> Result<String>;

    /// A hash over rows of a table, the same on every engine, at one place in
    /// the log. [`Fault::NotThere`] when the replica has passed it,
    /// [`Fault::Tampered`] when its rows cannot be read.
    async fn table_hash(&self, request: HashRequest) -> Result<TableHash, Fault>;

    /// Looks for edits behind our back since the last batch; also done before each batch.
    async fn check(&self) -> Result<(), Fault>;

    /// The data cluster was dropped: an endpoint removes a database that it made.
    async fn remove(&self) {}
}

/// Where a replica stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    pub incarnation: Incarnation,
    pub applied: Index,
    /// Survives a power loss up to here.
    pub durable: Index,
    pub chain: u128,
    /// The highest term that delivered to it.
    pub term: Term,
    pub schema: SchemaVersion,
}

/// A delivery. Refused unless the replica's applied index is `after`; one that
/// was applied already returns its stored outcomes and changes nothing.
#[derive(Clone)]
pub struct Apply {
    pub cluster: ClusterId,
    pub term: Term,
    pub incarnation: Incarnation,
    pub after: Index,
    /// The index the replica stands at afterwards: entries of other clusters
    /// and without rows count too.
    pub upto: Index,
    pub entries: Vec<Delivery>,
    pub grant: Option<Grant>,
    /// Every in-sync replica has applied up to here.
    pub stable: Index,
}

impl Apply {
    /// Whether the entries of `other` are its first, from the same leader to
    /// the same life of the replica.
    pub fn begins_with(&self, other: &Apply) -> bool {
        let place = |apply: &Apply| (apply.cluster, apply.term, apply.incarnation, apply.after);
        let mut pairs = self.entries.iter().zip(&other.entries);
        place(self) == place(other)
            && self.upto >= other.upto
            && self.entries.len() >= other.entries.len()
            && pairs.all(|(own, other)| own.is_same(other))
    }

    /// Whether both are one delivery.
    pub fn is_same(&self, other: &Apply) -> bool {
        self.upto == other.upto
            && self.entries.len() == other.entries.len()
            && self.begins_with(other)
    }
}

impl Delivery {
    fn is_same(&self, other: &Delivery) -> bool {
        let (DeliveryContent::Batch(own), DeliveryContent::Batch(others)) =
            (&self.content, &other.content)
        else {
            return false;
        };
        self.index == other.index && self.skip == other.skip && Arc::ptr_eq(own, others)
    }
}

/// One entry as a replica needs it.
#[derive(Clone)]
pub struct Delivery {
    pub index: Index,
    pub content: DeliveryContent,
    /// Transactions of this entry to skip: repeats and voids.
    pub skip: Vec<TransactionId>,
    /// A schema change that was taken back: it only counts the version on,
    /// twice.
    pub taken_back: bool,
}

#[derive(Clone)]
pub enum DeliveryContent {
    Batch(Arc<Batch>),
    /// One large transaction: its pieces, then the writes of the batch.
    Pieced(Arc<Batch>, Arc<dyn Pieces>),
    Schema(Arc<SchemaEntry>),
    /// One that brings many rows: the pieces come before its writes.
    PiecedSchema(Arc<SchemaEntry>, Arc<dyn Pieces>),
}

/// Lets a replica answer strong reads until `for_time` after the moment `asked`
/// by its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// The stamp that the replica sent when it asked.
    pub asked: Stamp,
    pub for_time: Duration,
    /// The opening of the leader that grants; the replica must have applied it.
    pub opening: Index,
}

/// A moment by a replica's own monotonic clock, meaningless elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub u64);

/// What a delivery did.
#[derive(Clone, Debug)]
pub struct Applied {
    pub position: Position,
    /// One for each transaction applied, in order.
    pub outcomes: Vec<Outcome>,
    /// The request for the next lease.
    pub asks: Stamp,
}

/// Why a replica could not do what the log says: never the client's fault.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    #[error("the replica stands at {0:?}, not where the delivery starts")]
    NotThere(Box<Position>),
    #[error("the replica has a new incarnation")]
    Incarnation(Incarnation),
    #[error("a higher term has delivered")]
    StaleTerm(Term),
    #[error("the database was changed behind our back: {0}")]
    Tampered(String),
    #[error("the database failed: {0}")]
    Failed(String),
    /// One transaction meets the same fault again and again.
    #[error("transaction {transaction} failed: {message}")]
    Poisoned {
        index: Index,
        transaction: TransactionId,
        message: String,
    },
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Under a lease; rows wait for the stable index.
    Strong,
    /// The caller proved leadership itself and names what the replica must
    /// have applied; rows wait for the stable index.
    Quorum(Index),
    /// At least what the session has seen.
    Session(Index),
    Any,
    /// For evaluation by the leader, which checks claims itself: at least this index.
    Evaluate(Index),
}

/// A query to run on a replica.
#[derive(Clone)]
pub struct Read {
    pub incarnation: Incarnation,
    pub level: Level,
    pub schema: SchemaVersion,
    pub query: Arc<Query>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    /// Rows an open transaction has written, laid over the tables.
    pub overlay: Option<Arc<Overlay>>,
    pub snapshot: Option<SnapshotId>,
    pub cancel: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotId(pub u64);

/// A query's rows and the index of the snapshot they come from.
pub struct Rows {
    pub index: Index,
    pub stream: RowStream,
}

pub enum RowStream {
    /// All of them: the query was done within its budget.
    Ready(Vec<Row>),
    /// Batches as they come; an error ends it.
    Flowing(mpsc::Receiver<Result<Vec<Row>>>),
}

/// Why a read gave no rows.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The statement's own error: the same on any replica.
    #[error(transparent)]
    Statement(#[from] crate::error::Error),
    /// No lease, another incarnation, not far enough: ask another replica.
    #[error("the replica may not answer: {0}")]
    NotNow(&'static str),
    /// The replica has another schema: plan again.
    #[error("the replica has schema {0}")]
    Schema(SchemaVersion),
    /// The database failed.
    #[error("the database failed: {0}")]
    Failed(String),
}

/// Rows of a table to hash, as they are at one place in the log.
#[derive(Clone, Debug)]
pub struct HashRequest {
    pub incarnation: Incarnation,
    pub subject: Subject,
    /// Behind the row of this key, in the key's order; `None`: from the first.
    pub after: Option<Row>,
    /// At most so many rows; fewer when they are large.
    pub limit: u64,
    /// The place: behind every entry up to `at`. A replica that stands between
    /// `from` and `at` is there; nothing of its data cluster lies between.
    pub from: Index,
    pub at: Index,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Rows of a table, and what its indexes hold of them.
    Table(TableId),
    /// The outcomes that are kept for entries that come again.
    Outcomes,
}

/// The same on all replicas that hold the same rows.
#[derive(Clone, Debug, PartialEq)]
pub struct TableHash {
    pub rows: u64,
    /// The wrapping sum of all row hashes.
    pub hash: u128,
    /// The key of the last row, if others may follow.
    pub last: Option<Row>,
}

/// How far a copy is, for people to see.
#[derive(Debug, Default)]
pub struct Copied {
    pub rows: AtomicU64,
    pub of_rows: AtomicU64,
}

/// A copy of a whole replica, in chunk files on this machine.
#[derive(Clone, Debug)]
pub struct CopySource {
    pub index: Index,
    pub chain: u128,
    pub schema: Arc<Schema>,
    pub path: std::path::PathBuf,
}
