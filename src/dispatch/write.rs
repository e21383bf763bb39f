//! The sequencer of one data cluster: the one place where writes get their order.
//!
//! It gathers what waits into one entry, proposes it, and goes on with the
//! next while replicas apply. It hands counters to the entry and checks, in
//! order, what can only be checked there: the schema version and the tables
//! that a serializable transaction has read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::bulk::Completed;
use super::sequence::Counters;
use crate::catalog::Counter;
use crate::catalog::schema::Schema;
use crate::error::{Error, Result, SqlState};
use crate::log::Log;
use crate::log::command::{Batch, Command, PieceEntry, Pieced, SchemaEntry};
use crate::replica::{Decided, Replicas};
use crate::runtime::{Moment, TaskSet};
use crate::types::id::{ClusterId, Index, ObjectId, TableId, TransactionId};
use crate::types::piece::Piece;
use crate::types::write::{RowChange, Transaction, Write};

/// Transactions waiting for the sequencer; past this submitting waits.
const QUEUE_MAX: usize = 4096;

/// Transactions of one entry.
const BATCH_TRANSACTIONS_MAX: usize = 512;

/// An entry's size, roughly; a larger transaction enters in pieces.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// Entries proposed and not yet applied by all in-sync replicas. Few, so that
/// what waits gathers into larger entries.
const UNAPPLIED_MAX: u64 = 1;

/// So often at most the sequencer lets other tasks run before it forms an entry:
/// those that are about to submit come along.
const GATHER_TURNS: usize = 8;

/// Turns in succession that brought nobody, after which nobody is waited for:
/// each wakes an idle thread of the runtime for nothing.
const GATHER_IDLE_TURNS: usize = 2;

/// A write on its way into the log.
struct Submission {
    order: Order,
    /// Told when it did not enter the log.
    refused: oneshot::Sender<Error>,
    submitted: Moment,
}

/// What the sequencer is asked to log.
pub struct Order {
    pub id: TransactionId,
    pub content: Content,
    /// The schema it was planned against.
    pub schema: Arc<Schema>,
    /// What a serializable transaction read, and on which snapshot.
    pub read: Option<ReadSet>,
    /// Sequences that start anew with it.
    pub counters: Vec<(ObjectId, Counter)>,
}

pub enum Content {
    Writes(Vec<Write>),
    /// What remains of a transaction whose pieces are in the log.
    Pieced(Completed),
    Schema(Box<SchemaEntry>),
}

impl Content {
    /// What its pieces have in common, if it has any.
    fn pieces(&self) -> Option<TransactionId> {
        match self {
            Content::Writes(_) => None,
            Content::Pieced(completed) => Some(completed.pieced.of),
            Content::Schema(entry) => entry.pieces.as_ref().map(|pieced| pieced.of),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ReadSet {
    pub snapshot: Index,
    pub tables: Vec<TableId>,
}

/// What became of a submission that was refused before the log.
#[derive(Debug)]
pub enum Refusal {
    /// The schema moved: plan again.
    Replan,
    Error(Error),
}

/// The way to a cluster's sequencer.
#[derive(Clone)]
pub struct Sequencer {
    queue: mpsc::Sender<Submission>,
    replicas: Arc<Replicas>,
}

impl Sequencer {
    pub fn start(
        log: Arc<Log>,
        replicas: Arc<Replicas>,
        counters: Arc<Counters>,
        cluster: ClusterId,
        tasks: &TaskSet,
    ) -> Sequencer {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let stop = tasks.token().clone();
        let worker = Worker {
            log,
            replicas: replicas.clone(),
            counters,
            cluster,
            last_entry: Index(0),
            dropped: Vec::new(),
            table_changes: HashMap::new(),
        };
        tasks.spawn("sequence", worker.run(receiver, stop));
        Sequencer {
            queue: sender,
            replicas,
        }
    }

    /// Puts a write in order and waits until every in-sync replica has applied it.
    pub async fn submit(&self, order: Order) -> Result<Decided, Refusal> {
        let id = order.id;
        let decided = self.replicas.expect(id);
        let (refused, refusal) = oneshot::channel();
        let submission = Submission {
            order,
            refused,
            submitted: self.replicas.runtime.now(),
        };
        let submitted = submission.submitted;
        if self.queue.send(submission).await.is_err() {
            self.replicas.forget(id);
            return Err(Refusal::Error(Error::unavailable(
                "the node is shutting down",
            )));
        }
        tokio::select! {
            biased;
            decided = decided => {
                let took = self.replicas.runtime.now().since(submitted);
                self.replicas.metrics.answer.record(took);
                decided.map_err(|_| Refusal::Error(outcome_unknown()))
            }
            Ok(error) = refusal => {
                self.replicas.forget(id);
                Err(match error.state() == REPLAN {
                    true => Refusal::Replan,
                    false => Refusal::Error(error),
                })
            }
        }
    }
}

/// Lets those that are about to submit come along.
async fn gather(queue: &mpsc::Receiver<Submission>) {
    let (mut came, mut idle) = (queue.len(), 0);
    for _ in 0..GATHER_TURNS {
        tokio::task::yield_now().await;
        idle = if queue.len() == came { idle + 1 } else { 0 };
        if idle == GATHER_IDLE_TURNS {
            return;
        }
        came = queue.len();
    }
}

/// Marks a refusal that only asks for a new plan; never leaves this module.
const REPLAN: SqlState = SqlState(*b"PYQL0");

fn outcome_unknown() -> Error {
    Error::new(
        SqlState::OUTCOME_UNKNOWN,
        "the outcome of the transaction is unknown",
    )
}

/// Its id comes from so long ago that the log would not know a repeat.
fn too_old() -> Error {
    outcome_unknown().detail("The log no longer remembers transactions of that age.")
}

struct Worker {
    log: Arc<Log>,
    replicas: Arc<Replicas>,
    counters: Arc<Counters>,
    cluster: ClusterId,
    last_entry: Index,
    /// Transactions of that entry that have no effect.
    dropped: Vec<TransactionId>,
    /// The last entry that changed each table, since this sequencer started.
    table_changes: HashMap<TableId, Index>,
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Submission>, stop: CancellationToken) {
        let mut waiting = Vec::with_capacity(BATCH_TRANSACTIONS_MAX);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                count = queue.recv_many(&mut waiting, BATCH_TRANSACTIONS_MAX) => if count == 0 { return },
            }
            self.wait_for_replicas(&stop).await;
            gather(&queue).await;
            while let Ok(next) = queue.try_recv() {
                waiting.push(next);
                if waiting.len() >= BATCH_TRANSACTIONS_MAX {
                    break;
                }
            }
            self.order(std::mem::take(&mut waiting)).await;
        }
    }

    /// Lets replicas come near before more is logged.
    async fn wait_for_replicas(&self, stop: &CancellationToken) {
        let mut stable = self.replicas.stable_watch();
        let near = |stable: &Index| self.last_entry.0 <= stable.0.saturating_add(UNAPPLIED_MAX);
        let mut stalled = self.replicas.stalled_watch();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ = stable.wait_for(near) => {}
            // What waits is refused rather than held up for as long as that lasts.
            _ = stalled.wait_for(|stalled| *stalled) => {}
        }
    }

    /// Forms entries from submissions, in their order.
    async fn order(&mut self, waiting: Vec<Submission>) {
        let mut entry: Vec<Admitted> = Vec::with_capacity(waiting.len());
        let mut bytes = 0;
        let now = self.replicas.runtime.now();
        for submission in waiting {
            self.replicas
                .metrics
                .queue
                .record(now.since(submission.submitted));
            let Submission { order, refused, .. } = submission;
            if let Err(error) = self.admit(&order, &entry) {
                let _ = refused.send(error);
                if let Some(of) = order.content.pieces() {
                    abandon(&self.log, of).await;
                }
                continue;
            }
            self.counters.adopt(&order.counters);
            match order.content {
                Content::Schema(schema) => {
                    self.propose_batch(std::mem::take(&mut entry)).await;
                    bytes = 0;
                    self.propose_schema(schema, refused).await;
                }
                Content::Pieced(completed) => {
                    let transaction = Transaction {
                        id: order.id,
                        writes: completed.last,
                    };
                    let admitted = Admitted {
                        transaction,
                        refused,
                    };
                    self.propose_pieced(admitted, completed.pieced, completed.tables)
                        .await;
                }
                Content::Writes(writes) => {
                    let size = size_of(&writes);
                    if bytes + size > ENTRY_BYTES_MAX && !entry.is_empty() {
                        self.propose_batch(std::mem::take(&mut entry)).await;
                        bytes = 0;
                    }
                    let transaction = Transaction {
                        id: order.id,
                        writes,
                    };
                    let admitted = Admitted {
                        transaction,
                        refused,
                    };
                    if size > ENTRY_BYTES_MAX {
                        self.propose_in_pieces(admitted).await;
                    } else {
                        bytes += size;
                        entry.push(admitted);
                    }
                }
            }
        }
        self.propose_batch(entry).await;
    }

    /// Checks what must hold at this place in the order.
    fn admit(&self, order: &Order, before: &[Admitted]) -> Result<()> {
        if self.replicas.is_stalled() {
            // A full disk may be why: that says more.
            self.log.check_room()?;
            return Err(Error::unavailable(
                "no replica of the data cluster can take writes",
            ));
        }
        let Some(definition) = self.replicas.definition() else {
            return Err(Error::new(
                SqlState::DATABASE_DROPPED,
                "the data cluster was dropped",
            ));
        };
        if definition.schema.version != order.schema.version {
            let is_same = |table| order.schema.table(table) == definition.schema.table(table);
            let same = match &order.content {
                Content::Schema(_) => false,
                Content::Pieced(completed) => completed.tables.iter().copied().all(is_same),
                Content::Writes(writes) => writes.iter().flat_map(tables_of).all(is_same),
            };
            if !same {
                return Err(Error::new(REPLAN, "the schema changed"));
            }
        }
        let Some(read) = &order.read else {
            return Ok(());
        };
        let changed = |table: &TableId| {
            self.table_changes
                .get(table)
                .is_some_and(|index| *index > read.snapshot)
                || before
                    .iter()
                    .flat_map(|a| &a.transaction.writes)
                    .flat_map(tables_of)
                    .any(|t| t == *table)
        };
        match read.tables.iter().any(changed) {
            false => Ok(()),
            true => Err(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to read/write dependencies among transactions",
            )
            .hint("The transaction might succeed if retried.")),
        }
    }

    async fn propose_batch(&mut self, entry: Vec<Admitted>) {
        if entry.is_empty() {
            return;
        }
        let (transactions, refused): (Vec<_>, Vec<_>) = entry
            .into_iter()
            .map(|admitted| (admitted.transaction, admitted.refused))
            .unzip();
        self.replicas.metrics.logged(transactions.len());
        let batch = self.batch(transactions);
        let tables: Vec<TableId> = tables_written(&batch);
        let counters = batch.counters.clone();
        let ids: Vec<_> = batch.transactions.iter().map(|it| it.id).collect();
        match self.propose(Command::Batch(Arc::new(batch))).await {
            Ok(index) => {
                let changed = tables.into_iter().map(|table| (table, index));
                self.table_changes.extend(changed);
                for (id, refused) in ids.into_iter().zip(refused) {
                    if self.dropped.contains(&id) {
                        let _ = refused.send(too_old());
                    }
                }
            }
            Err(error) => {
                self.counters.put_back(&counters);
                for refused in refused {
                    let _ = refused.send(error.clone());
                }
            }
        }
    }

    fn batch(&self, transactions: Vec<Transaction>) -> Batch {
        let definition = self.replicas.definition();
        Batch {
            cluster: self.cluster,
            schema: definition
                .map(|cluster| cluster.schema.version)
                .unwrap_or_default(),
            transactions,
            counters: self.counters.take_moved(),
            settled: self.replicas.settled(),
            pieces: None,
        }
    }

    /// Logs a large transaction as pieces without effect and a last entry that names them.
    async fn propose_in_pieces(&mut self, admitted: Admitted) {
        let Transaction { id, writes } = admitted.transaction;
        let mut pieces = Vec::new();
        let tables: BTreeSet<TableId> = writes.iter().flat_map(tables_of).collect();
        let mut rest = split(writes);
        let last = rest.pop().unwrap_or_default();
        for writes in rest {
            match piece(&self.log, self.cluster, id, &writes).await {
                Ok(piece) => pieces.push(piece),
                Err(error) => {
                    let _ = admitted.refused.send(error);
                    abandon(&self.log, id).await;
                    return;
                }
            }
        }
        let admitted = Admitted {
            transaction: Transaction { id, writes: last },
            refused: admitted.refused,
        };
        let pieced = Pieced { of: id, pieces };
        self.propose_pieced(admitted, pieced, tables).await;
    }

    /// Logs the last entry of a large transaction.
    async fn propose_pieced(
        &mut self,
        admitted: Admitted,
        pieced: Pieced,
        tables: BTreeSet<TableId>,
    ) {
        let (id, of) = (admitted.transaction.id, pieced.of);
        self.replicas.metrics.logged(1);
        let mut batch = self.batch(vec![admitted.transaction]);
        batch.pieces = Some(pieced);
        let counters = batch.counters.clone();
        match self.propose(Command::Batch(Arc::new(batch))).await {
            Ok(_) if self.dropped.contains(&id) => drop(admitted.refused.send(too_old())),
            Ok(index) => {
                self.table_changes
                    .extend(tables.into_iter().map(|table| (table, index)));
                return;
            }
            Err(error) => {
                self.counters.put_back(&counters);
                let _ = admitted.refused.send(error);
            }
        }
        abandon(&self.log, of).await;
    }

    async fn propose_schema(
        &mut self,
        mut schema: Box<SchemaEntry>,
        refused: oneshot::Sender<Error>,
    ) {
        schema.counters = self.counters.take_moved();
        schema.settled = self.replicas.settled();
        let counters = schema.counters.clone();
        let id = schema.id;
        let of = schema.pieces.as_ref().map(|pieced| pieced.of);
        let tables: HashSet<TableId> = schema.all_writes().flat_map(tables_of).collect();
        match self.propose(Command::Schema(Arc::from(schema))).await {
            Ok(_) if self.dropped.contains(&id) => drop(refused.send(too_old())),
            Ok(index) => {
                let changed = tables.into_iter().map(|table| (table, index));
                self.table_changes.extend(changed);
                // Should no replica be able to apply it, it is taken back:
                // nothing may build on it before.
                self.wait_until_applied(index).await;
                return;
            }
            Err(error) => {
                self.counters.put_back(&counters);
                let _ = refused.send(error);
            }
        }
        if let Some(of) = of {
            abandon(&self.log, of).await;
        }
    }

    async fn wait_until_applied(&self, index: Index) {
        let mut stable = self.replicas.stable_watch();
        let mut stalled = self.replicas.stalled_watch();
        tokio::select! {
            biased;
            () = self.replicas.stopped().cancelled() => {}
            _ = stable.wait_for(|stable| *stable >= index) => {}
            _ = stalled.wait_for(|stalled| *stalled) => {}
        }
    }

    async fn propose(&mut self, command: Command) -> Result<Index> {
        let began = self.replicas.runtime.now();
        let proposed = self.log.propose(command).await?;
        let took = self.replicas.runtime.now().since(began);
        self.replicas.metrics.log.record(took);
        if let Some((state, message)) = proposed.answer.refused {
            return Err(Error::new(SqlState(state), message));
        }
        self.last_entry = proposed.index;
        self.dropped = proposed.answer.forgotten;
        Ok(proposed.index)
    }
}

/// Logs writes of a large transaction that have no effect yet.
pub async fn piece(
    log: &Log,
    cluster: ClusterId,
    of: TransactionId,
    writes: &[Write],
) -> Result<Piece> {
    let entry = PieceEntry {
        cluster,
        of,
        bytes: crate::types::piece::pack(writes)?,
    };
    let proposed = log.propose(Command::Piece(Arc::new(entry))).await?;
    proposed.answer.check()?;
    Ok(Piece {
        index: proposed.index,
        changes: crate::types::piece::changes(writes),
    })
}

/// Lets the log forget the pieces of a transaction that will not be completed.
/// A leader that ends before it comes to that needs none: the next opening
/// forgets them.
pub async fn abandon(log: &Log, of: TransactionId) {
    if let Err(error) = log.propose(Command::Abandon(of)).await {
        tracing::debug!(%error, "pieces are not abandoned");
    }
}

struct Admitted {
    transaction: Transaction,
    refused: oneshot::Sender<Error>,
}

/// The tables that a write changes.
pub fn tables_of(write: &Write) -> Vec<TableId> {
    match write {
        Write::Insert { table, .. }
        | Write::Update { table, .. }
        | Write::Delete { table, .. }
        | Write::Rows { table, .. } => vec![*table],
        Write::Truncate { tables } => tables.clone(),
        Write::EndOfStatement => Vec::new(),
    }
}

fn tables_written(batch: &Batch) -> Vec<TableId> {
    let mut tables: Vec<TableId> = batch
        .transactions
        .iter()
        .flat_map(|t| &t.writes)
        .flat_map(tables_of)
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}

fn row_size(row: &[crate::types::Value]) -> usize {
    use crate::types::Value;
    let value = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) | Value::Jsonb(text) => text.len() + 5,
        Value::Bytes(bytes) => bytes.len() + 5,
        Value::Numeric(_) => 24,
        _ => 9,
    };
    row.iter().map(value).sum::<usize>() + 4
}

/// About how many bytes a transaction takes in the log.
fn size_of(writes: &[Write]) -> usize {
    writes.iter().map(write_size).sum::<usize>() + 32
}

fn write_size(write: &Write) -> usize {
    match write {
        Write::Insert { rows, .. } => rows.iter().map(|row| row_size(row)).sum::<usize>() + 8,
        Write::Update { key, set, .. } => row_size(key) + set.len() * 40,
        Write::Delete { key, .. } => row_size(key),
        Write::Rows { changes, .. } => changes
            .iter()
            .map(|change| {
                row_size(&change.key) + 17 + change.after.as_ref().map_or(1, |row| row_size(row))
            })
            .sum(),
        Write::Truncate { tables } => tables.len() * 5,
        Write::EndOfStatement => 1,
    }
}

/// Cuts writes into pieces of about an entry's size, keeping their order.
fn split(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = 0;
    for write in writes {
        for write in split_write(write) {
            let size = write_size(&write);
            if bytes + size > ENTRY_BYTES_MAX && bytes > 0 {
                pieces.push(Vec::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(piece) = pieces.last_mut() {
                piece.push(write);
            }
        }
    }
    pieces
}

/// Cuts a write of many rows. Changes in place stay together: rows that swap
/// unique values need each other.
fn split_write(write: Write) -> Vec<Write> {
    match write {
        Write::Insert { table, rows } => cut(rows, |row| row_size(row))
            .into_iter()
            .map(|rows| Write::Insert { table, rows })
            .collect(),
        Write::Rows { table, changes }
            if changes
                .iter()
                .all(|change| change.before.is_none() || change.after.is_none()) =>
        {
            let size = |change: &RowChange| {
                row_size(&change.key) + change.after.as_ref().map_or(1, |row| row_size(row))
            };
            cut(changes, size)
                .into_iter()
                .map(|changes| Write::Rows { table, changes })
                .collect()
        }
        other => vec![other],
    }
}

/// Pieces of half an entry's size.
fn cut<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let (mut piece, mut bytes) = (Vec::new(), 0);
    for item in items {
        bytes += size(&item);
        piece.push(item);
        if bytes > ENTRY_BYTES_MAX / 2 {
            pieces.push(std::mem::take(&mut piece));
            bytes = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}
