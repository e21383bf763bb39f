//! A SQLite replica in this process.
//!
//! One thread owns the writer and takes deliveries, checks and copies in turn
//! (`keeper`). Reads run on the caller's thread within a budget and never ask
//! the writer; what they may answer is decided by `gate`: the lease, the
//! incarnation, the stable index, the schema version.
//!
//! Not handled: two processes with one file open for writing. The data
//! directory's lock keeps them apart.

pub mod found;
mod gate;
mod keeper;
mod kept;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{
    Applied, Apply, Copied, CopySource, Endpoint, Fault, Grant, HashRequest, Level, Position, Read,
    ReadError, RowStream, Rows, SnapshotId, Stamp, Subject, TableHash,
};
use crate::catalog::EngineKind;
use crate::engine::sqlite::background::Background;
use crate::engine::sqlite::checkpoint::Checkpointer;
use crate::engine::sqlite::dialect::Overlaid;
use crate::engine::sqlite::file::beside;
use crate::engine::sqlite::hash::{Pinned, Waiting, outcomes};
use crate::engine::sqlite::read::{Answer, HeldId, ReadFailure, ReadRequest, Reader, SlowReads};
use crate::engine::sqlite::{StorageError, copy, dialect, difference, hash};
use crate::plan::query::Query;
use crate::runtime::{Next, Runtime, Worker};
use crate::types::difference::{Difference, Written};
use crate::types::id::{ClusterId, Incarnation, Index, SchemaVersion};
use gate::Gate;
use keeper::Keeper;

/// How often commits are made to survive a power loss, and the write-ahead
/// log is looked at.
const DURABLE_PERIOD: Duration = Duration::from_millis(500);

/// An idle writer looks for foreign hands this often.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// A writer that does not answer is looked at this often for signs of work.
const WORK_LOOK: Duration = Duration::from_millis(20);

/// A writer at work uses the processor so long; one that only looks again and
/// again whether a lock is free uses less.
const COMPUTES_MIN: Duration = Duration::from_millis(5);

/// A copy must leave this much of the disk to others, above all to the log.
const COPY_LEAVES: u64 = 48 << 20;

/// A snapshot at a place in the log is waited for so long.
const PIN_WAIT: Duration = Duration::from_secs(1);

/// Which replica this is.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    pub path: PathBuf,
    pub cluster: ClusterId,
    /// Where a new file stands in the log: the entry that made the data cluster.
    pub born: Index,
}

/// A replica served in this process.
pub struct Embedded {
    runtime: Runtime,
    path: PathBuf,
    gate: Arc<Gate>,
    reader: Arc<Reader>,
    writer: Worker<Job>,
    checkpoints: Worker<()>,
    checkpointer: Arc<Mutex<Option<Checkpointer>>>,
    background: Background,
    kept: Mutex<Vec<Difference>>,
}

/// Everything that the writer's thread is asked for.
enum Job {
    Position(Reply<Position>),
    Apply(Box<Apply>, Reply<Applied>),
    Prepare(Box<Apply>),
    Check(Reply<()>),
    Pin(Box<Pin>, Reply<Pinned>),
    CopyIn(Box<CopySource>, Reply<Position>),
}

/// A snapshot to take at a place in the log.
struct Pin {
    incarnation: Incarnation,
    from: Index,
    at: Index,
    waiting: Waiting,
}

type Reply<T> = oneshot::Sender<Result<T, Fault>>;

impl Embedded {
    /// Opens the replica's file, or makes it, and starts its threads.
    pub async fn open(config: EmbeddedConfig, runtime: &Runtime) -> Result<Embedded, Fault> {
        let gate = Arc::new(Gate::new(runtime.clone(), config.born));
        let checkpointer = Arc::new(Mutex::new(None));
        let path = config.path.clone();
        // A simulation has no threads.
        let slow = match runtime.is_simulated() {
            true => SlowReads::Inline,
            false => SlowReads::Threads,
        };
        let reader = Arc::new(Reader::new(path.clone(), slow));
        let mut keeper = {
            let (clock, gate) = (runtime.clone(), Arc::clone(&gate));
            let (reader, checkpointer) = (Arc::clone(&reader), Arc::clone(&checkpointer));
            let open = move || Keeper::open(config, clock, gate, reader, checkpointer);
            runtime.blocking(open).await?
        };
        let writer = runtime.worker("replica-writer", move |jobs| {
            if jobs.is_empty() {
                keeper.look_around();
            }
            jobs.into_iter().for_each(|job| keeper.serve(job));
            Next::JobOrAfter(CHECK_PERIOD)
        });
        let (durable_gate, shared) = (Arc::clone(&gate), Arc::clone(&checkpointer));
        let checkpoints = runtime.worker("replica-checkpoint", move |_: Vec<()>| {
            if let Some(checkpointer) = shared.lock().as_mut() {
                checkpoint(&durable_gate, checkpointer);
            }
            Next::JobOrAfter(DURABLE_PERIOD)
        });
        let kept_path = kept::path(&path);
        let started = |error| Fault::Failed(format!("a thread did not start: {error}"));
        let embedded = Embedded {
            runtime: runtime.clone(),
            path,
            gate,
            reader,
            writer: writer.map_err(started)?,
            checkpoints: checkpoints.map_err(started)?,
            checkpointer,
            kept: Mutex::new(kept::load(&kept_path)),
            background: match runtime.is_simulated() {
                true => Background::inline(),
                false => Background::threads(),
            },
        };
        // The first job sets the worker's clock going.
        let _ = embedded.checkpoints.send(());
        Ok(embedded)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far it has applied the log, by the incarnation that did.
    pub fn applied(&self) -> Index {
        self.gate.applied()
    }

    /// A count that moves while a delivery is being applied: a replica that
    /// works long is not a silent one.
    fn work_done(&self) -> u64 {
        self.gate.work().load(Ordering::Relaxed)
    }

    /// Ends both threads; what is queued is done first.
    pub async fn close(&self) {
        self.writer.close(&self.runtime).await;
        self.checkpoints.close(&self.runtime).await;
        if let Some(mut checkpointer) = self.checkpointer.lock().take()
            && let Err(error) = checkpointer.finish()
        {
            // The log stays and is read at the next start.
            tracing::warn!(%error, "checkpoint");
        }
    }

    async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let gone = || Fault::Failed("the replica is closed".to_owned());
        self.writer.send(job(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Makes what is applied durable, and moves the log into the file when it is due.
fn checkpoint(gate: &Gate, checkpointer: &mut Checkpointer) {
    let done = gate.make_durable(|| checkpointer.make_durable());
    if let Err(error) = done.and_then(|()| checkpointer.run_if_due()) {
        tracing::warn!(%error, "checkpoint");
    }
}

impl From<ReadFailure> for ReadError {
    fn from(failure: ReadFailure) -> ReadError {
        match failure {
            ReadFailure::Statement(error) => ReadError::Statement(error),
            ReadFailure::NotNow(why) => ReadError::NotNow(why),
            ReadFailure::Schema(version) => ReadError::Schema(version),
            ReadFailure::Database(message) => ReadError::Failed(message),
        }
    }
}

fn failed(error: StorageError) -> Fault {
    Fault::Failed(error.to_string())
}

/// What cannot be read is not what was written.
impl Embedded {
    /// A copy that fills the disk would take everybody's room.
    fn check_room(&self) -> Result<(), Fault> {
        let disk = self.runtime.disk();
        let length = |path: &Path| disk.length(path).unwrap_or(0);
        let needed = length(&self.path) + length(&beside(&self.path, "-wal")) + COPY_LEAVES;
        let free = self.path.parent().and_then(|place| disk.available(place));
        match free.is_some_and(|free| free < needed) {
            true => Err(Fault::Failed("the disk has no room for a copy".to_owned())),
            false => Ok(()),
        }
    }
}

fn unreadable(error: StorageError) -> Fault {
    match error {
        StorageError::Unreadable(_) => Fault::Tampered(error.to_string()),
        _ => failed(error),
    }
}

#[async_trait]
impl Endpoint for Embedded {
    async fn position(&self) -> Result<Position, Fault> {
        self.ask(Job::Position).await
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    async fn explain(&self, query: &Query) -> crate::error::Result<String> {
        Ok(dialect::render(query, &Overlaid::new())?.sql)
    }

    async fn renew(&self, grant: Option<Grant>) -> Result<Stamp, Fault> {
        if let Some(grant) = grant {
            self.gate.take_grant(&grant, self.gate.applied());
        }
        Ok(self.gate.now())
    }

    async fn revoke(&self) -> Result<(), Fault> {
        self.gate.revoke();
        Ok(())
    }

    /// The writer answers, or is seen at work.
    async fn alive(&self) -> Result<(), Fault> {
        let before = self.work_done();
        let computed = self.writer.busy_time().unwrap_or_default() + COMPUTES_MIN;
        let position = self.position();
        tokio::pin!(position);
        loop {
            tokio::select! {
                biased;
                answered = &mut position => return answered.map(drop),
                () = self.runtime.sleep(WORK_LOOK) => {}
            }
            // A sort for a new index counts no work for seconds.
            let computes = self.writer.busy_time().is_some_and(|it| it >= computed);
            if self.work_done() != before || self.gate.is_moving_log() || computes {
                return Ok(());
            }
        }
    }

    fn prepare(&self, request: Apply) {
        // A closed replica will apply nothing either.
        let _ = self.writer.send(Job::Prepare(Box::new(request)));
    }

    async fn apply(&self, request: Apply) -> Result<Applied, Fault> {
        self.ask(|reply| Job::Apply(Box::new(request), reply)).await
    }

    fn stable_at(&self, stable: Index) {
        self.gate.stable_at(stable);
    }

    async fn read(&self, request: Read) -> Result<Rows, ReadError> {
        let (level, incarnation) = (request.level, request.incarnation);
        let held = request.snapshot.is_some();
        if !held {
            self.gate.enter(level, incarnation).await?;
        }
        let admit = self.gate.admit(level, incarnation, request.schema, held);
        let query = Arc::clone(&request.query);
        let read = ReadRequest {
            query: request.query,
            parameters: request.parameters,
            context: request.context,
            overlay: request.overlay,
            snapshot: request.snapshot.map(|SnapshotId(id)| HeldId(id)),
            cancel: request.cancel,
        };
        let (snapshot, answer) = self.reader.read(read, admit).await?;
        let tables = || dialect::tables(&query);
        self.gate.leave(level, snapshot.applied, tables).await?;
        Ok(Rows {
            index: snapshot.applied,
            stream: match answer {
                Answer::Ready(rows) => RowStream::Ready(rows),
                Answer::Flowing(batches) => RowStream::Flowing(batches),
            },
        })
    }

    async fn open_snapshot(
        &self,
        level: Level,
        incarnation: Incarnation,
        schema: SchemaVersion,
    ) -> Result<(SnapshotId, Index), ReadError> {
        self.gate.enter(level, incarnation).await?;
        let admit = self.gate.admit(level, incarnation, schema, false);
        let (HeldId(id), snapshot) = self.reader.open_snapshot(&admit)?;
        Ok((SnapshotId(id), snapshot.applied))
    }

    async fn close_snapshot(&self, SnapshotId(id): SnapshotId) {
        self.reader.close_snapshot(HeldId(id));
    }

    async fn copy_out(&self, told: Arc<Copied>) -> Result<CopySource, Fault> {
        let path = self.path.clone();
        let target = copy::copy_path(&path, self.runtime.random_u64());
        self.check_room()?;
        let copied = self.background.run(move || {
            let copied = copy::copy_out(&path, &target, &|rows, of_rows| {
                told.rows.store(rows, Ordering::Relaxed);
                told.of_rows.store(of_rows, Ordering::Relaxed);
            });
            match copied {
                Ok((standing, schema)) => Ok(CopySource {
                    index: standing.applied,
                    chain: standing.chain,
                    schema,
                    path: target,
                }),
                Err(error) => {
                    // What there is of it is of no use.
                    let _ = std::fs::remove_file(&target);
                    Err(error)
                }
            }
        });
        copied.await.map_err(failed)
    }

    async fn copy_in(&self, source: CopySource) -> Result<Position, Fault> {
        self.ask(|reply| Job::CopyIn(Box::new(source), reply)).await
    }

    async fn keep_differences(&self, source: &CopySource, since: Written) -> Result<u64, Fault> {
        let (own, agreed) = (self.path.clone(), source.path.clone());
        let now = self.runtime.unix_micros();
        let found = self.background.run(move || {
            let found = difference::find(&own, &agreed, &since, now)?;
            kept::add(&kept::path(&own), &found.kept)?;
            Ok(found)
        });
        let found = found.await.map_err(failed)?;
        let count = found.kept.len() as u64 + found.more;
        let mut kept = self.kept.lock();
        kept.extend(found.kept);
        let surplus = kept.len().saturating_sub(kept::ROWS_MAX);
        kept.drain(..surplus);
        Ok(count)
    }

    fn kept(&self) -> Vec<Difference> {
        self.kept.lock().clone()
    }

    async fn table_hash(&self, request: HashRequest) -> Result<TableHash, Fault> {
        let path = self.path.clone();
        let waiting = self.background.run(move || Waiting::open(&path)).await;
        let (from, at) = (request.from, request.at);
        let pin = Pin {
            incarnation: request.incarnation,
            from,
            at,
            waiting: waiting.map_err(unreadable)?,
        };
        let pinned = self.ask(|reply| Job::Pin(Box::new(pin), reply));
        let pinned = self.runtime.timeout(PIN_WAIT, pinned).await;
        let late = |_| Fault::Failed(format!("it does not come to entry {at}"));
        let pinned = pinned.map_err(late)??;
        let (after, limit) = (request.after, request.limit);
        let sum = self.background.run(move || match request.subject {
            Subject::Table(table) => pinned.sum(&hash::Piece {
                table,
                after,
                limit,
            }),
            Subject::Outcomes => outcomes::sum(&pinned, at, after.as_deref(), limit).map(Some),
        });
        let sum = sum.await.map_err(unreadable)?;
        let sum = sum.ok_or_else(|| Fault::Failed(format!("no {:?}", request.subject)))?;
        Ok(TableHash {
            rows: sum.rows,
            hash: sum.hash,
            last: sum.last,
        })
    }

    async fn check(&self) -> Result<(), Fault> {
        self.ask(Job::Check).await
    }

    async fn remove(&self) {
        self.close().await;
        for ending in ["", "-wal", "-shm", ".kept"] {
            let path = beside(&self.path, ending);
            if let Err(error) = self.runtime.disk().remove(&path) {
                tracing::warn!(path = %path.display(), %error, "a dropped replica's file stays");
            }
        }
    }
}

#[cfg(test)]
mod tests;
