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

use super::order::{Content, Order};
use super::pieces::{self, ENTRY_BYTES_MAX, abandon, log_piece};
use super::refused::{Refused, dropped};
use super::sequence::Counters;
use crate::error::{Error, Result, SqlState};
use crate::log::Log;
use crate::log::command::{Batch, Command, Pieced, SchemaEntry};
use crate::replica::{Decided, Replicas};
use crate::runtime::{Moment, TaskSet};
use crate::types::id::{ClusterId, Index, TableId, TransactionId};
use crate::types::write::{Transaction, Write};

/// Transactions waiting for the sequencer; past this submitting waits.
const QUEUE_MAX: usize = 4096;

/// Transactions of one entry.
const BATCH_TRANSACTIONS_MAX: usize = 512;

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
    refused: oneshot::Sender<Refused>,
    submitted: Moment,
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
    pub async fn submit(&self, order: Order) -> Result<Decided, Refused> {
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
            return Err(Error::unavailable("the node is shutting down").into());
        }
        tokio::select! {
            biased;
            decided = decided => {
                let took = self.replicas.runtime.now().since(submitted);
                self.replicas.metrics.answer.record(took);
                decided.map_err(|_| outcome_unknown().into())
            }
            Ok(refused) = refusal => {
                self.replicas.forget(id);
                Err(refused)
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
            if let Err(refusal) = self.admit(&order, &entry) {
                let _ = refused.send(refusal);
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
                    // What was admitted before comes before it.
                    self.propose_batch(std::mem::take(&mut entry)).await;
                    bytes = 0;
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
                    let size = pieces::size_of(&writes);
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
    fn admit(&self, order: &Order, before: &[Admitted]) -> Result<(), Refused> {
        if self.replicas.is_stalled() {
            // A full disk may be why: that says more.
            self.log.check_room()?;
            return Err(
                Error::unavailable("no replica of the data cluster can take writes").into(),
            );
        }
        let Some(definition) = self.replicas.definition() else {
            return Err(dropped().into());
        };
        if definition.schema.version != order.schema.version {
            let is_same =
                |table: &TableId| order.schema.table(*table) == definition.schema.table(*table);
            let same = match &order.content {
                Content::Schema(_) => false,
                Content::Pieced(completed) => completed.tables.iter().all(is_same),
                Content::Writes(writes) => writes.iter().flat_map(Write::tables).all(is_same),
            };
            if !same {
                return Err(Refused::Replan);
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
                    .flat_map(Write::tables)
                    .any(|t| t == table)
        };
        match read.tables.iter().any(changed) {
            false => Ok(()),
            true => Err(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to read/write dependencies among transactions",
            )
            .hint("The transaction might succeed if retried.")
            .into()),
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
                        let _ = refused.send(too_old().into());
                    }
                }
            }
            Err(error) => {
                self.counters.put_back(&counters);
                for refused in refused {
                    let _ = refused.send(error.clone().into());
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
        let tables: BTreeSet<TableId> = writes.iter().flat_map(Write::tables).copied().collect();
        let mut rest = pieces::split(writes);
        let last = rest.pop().unwrap_or_default();
        for writes in rest {
            match log_piece(&self.log, self.cluster, id, &writes).await {
                Ok(piece) => pieces.push(piece),
                Err(error) => {
                    let _ = admitted.refused.send(error.into());
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
            Ok(_) if self.dropped.contains(&id) => drop(admitted.refused.send(too_old().into())),
            Ok(index) => {
                self.table_changes
                    .extend(tables.into_iter().map(|table| (table, index)));
                return;
            }
            Err(error) => {
                self.counters.put_back(&counters);
                let _ = admitted.refused.send(error.into());
            }
        }
        abandon(&self.log, of).await;
    }

    async fn propose_schema(
        &mut self,
        mut schema: Box<SchemaEntry>,
        refused: oneshot::Sender<Refused>,
    ) {
        schema.counters = self.counters.take_moved();
        schema.settled = self.replicas.settled();
        let counters = schema.counters.clone();
        let id = schema.id;
        let of = schema.pieces.as_ref().map(|pieced| pieced.of);
        let tables: HashSet<TableId> = schema
            .all_writes()
            .flat_map(Write::tables)
            .copied()
            .collect();
        match self.propose(Command::Schema(Arc::from(schema))).await {
            Ok(_) if self.dropped.contains(&id) => drop(refused.send(too_old().into())),
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
                let _ = refused.send(error.into());
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

struct Admitted {
    transaction: Transaction,
    refused: oneshot::Sender<Refused>,
}

fn tables_written(batch: &Batch) -> Vec<TableId> {
    let mut tables: Vec<TableId> = batch
        .transactions
        .iter()
        .flat_map(|t| &t.writes)
        .flat_map(Write::tables)
        .copied()
        .collect();
    tables.sort_unstable();
    tables.dedup();
    tables
}
