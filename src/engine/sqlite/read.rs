//! Reads of one replica: at once on the calling thread, within a budget, or
//! streamed from a thread of lower priority.
//!
//! Every read runs on one snapshot and tells where that stands. A query that
//! exceeds the budget starts again on a slow thread, its first rows thrown
//! away, and for a while others of the same text go there straight away.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::connections::{Borrowed, Connections, ReadConnection, Snapshot, Stop};
use super::dialect::Rendered;
use super::execution::Execution;
use super::plans::Plans;
use super::query::{self, Failure};
use super::slow::{Place, SlowThreads};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::types::id::SchemaVersion;
use crate::types::overlay::Overlay;
use crate::types::{Row, Value, row_bytes};

/// Ticks (of 1,000 steps) that a query may run on the calling thread.
const INLINE_TICKS: usize = 3;

/// Bytes of result that a query may gather there.
const INLINE_BYTES: usize = 256 * 1024;

/// Rows of one streamed batch.
const BATCH_ROWS: usize = 256;

/// Bytes of one streamed batch, unless one row is longer.
const BATCH_BYTES: usize = 64 * 1024;

/// Batches that wait for the receiver.
const BATCHES_AHEAD: usize = 4;

/// What a stream may gather of its last rows, in bytes, to leave a snapshot to
/// another query of its transaction.
const GATHERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Snapshots held open at once.
const MAX_SNAPSHOTS: usize = 128;

/// A query to run.
#[derive(Clone)]
pub struct ReadRequest {
    pub query: Arc<Query>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    pub overlay: Option<Arc<Overlay>>,
    /// A snapshot held open; else the newest.
    pub snapshot: Option<HeldId>,
    pub cancel: CancellationToken,
}

/// Names a snapshot held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldId(pub u64);

/// Why a read gave no rows.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadFailure {
    #[error(transparent)]
    Statement(#[from] Error),
    #[error("the replica may not answer: {0}")]
    NotNow(&'static str),
    #[error("the replica has schema {0}")]
    Schema(SchemaVersion),
    #[error("the database failed: {0}")]
    Database(String),
}

/// What ends a stream that has begun: only its statement or the replica can.
impl From<ReadFailure> for Error {
    fn from(failure: ReadFailure) -> Error {
        match failure {
            ReadFailure::Statement(error) => error,
            other => Error::unavailable(other.to_string()),
        }
    }
}

/// Decides, knowing the snapshot, whether a read may run.
pub type Admit = Arc<dyn Fn(Snapshot) -> Result<(), ReadFailure> + Send + Sync>;

/// A query's rows.
#[derive(Debug)]
pub enum Answer {
    Ready(Vec<Row>),
    /// Batches as they come; an error ends it.
    Flowing(mpsc::Receiver<Result<Vec<Row>>>),
}

/// Where slow queries run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowReads {
    Threads,
    /// On the calling thread without a budget: for simulations, which have no threads.
    Inline,
}

/// The reading side of one replica's file.
pub struct Reader {
    connections: Arc<Connections>,
    plans: Plans,
    slow: Option<SlowThreads>,
    held: Mutex<HashMap<HeldId, Arc<HeldSnapshot>>>,
    next_held: AtomicU64,
    /// Stops what still runs when the reader goes.
    closing: CancellationToken,
}

struct Held {
    connection: Borrowed,
    snapshot: Snapshot,
}

/// A snapshot is read by one query at a time. A stream that waits for its
/// client takes its rows in and goes when another query wants its place, or
/// the two would wait for each other.
struct HeldSnapshot {
    held: Mutex<Held>,
    /// Queries that wait for it.
    waiting: AtomicUsize,
    wanted: Notify,
}

impl HeldSnapshot {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.wanted.notify_waiters();
        let held = self.held.lock();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        held
    }

    /// Ends when another query waits.
    async fn is_wanted(&self) {
        let wanted = self.wanted.notified();
        if self.waiting.load(Ordering::SeqCst) == 0 {
            wanted.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Reader {
    pub fn new(path: PathBuf, slow: SlowReads) -> Reader {
        Reader {
            connections: Connections::new(path),
            plans: Plans::new(),
            slow: (slow == SlowReads::Threads).then(SlowThreads::new),
            held: Mutex::new(HashMap::new()),
            next_held: AtomicU64::new(1),
            closing: CancellationToken::new(),
        }
    }

    /// The file has been replaced: nothing open belongs to it any more.
    pub fn file_changed(&self) {
        self.held.lock().clear();
        self.connections.file_changed();
    }

    /// Runs a query; its rows are of the snapshot that `admit` has seen.
    pub async fn read(
        &self,
        request: ReadRequest,
        admit: Admit,
    ) -> Result<(Snapshot, Answer), ReadFailure> {
        let rendered = self.plans.get(&request.query, request.overlay.as_deref())?;
        let Some(slow) = &self.slow else {
            return self
                .read_inline(&request, &rendered, &admit, None)?
                .ok_or_else(cancelled);
        };
        if !self.plans.is_slow(&rendered) {
            let budget = Some(INLINE_TICKS);
            match self.read_inline(&request, &rendered, &admit, budget)? {
                Some(answer) => return Ok(answer),
                None if request.cancel.is_cancelled() => return Err(cancelled()),
                None => self.plans.mark_slow(&rendered),
            }
        }
        let source = self.source(&request)?;
        let (rows, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (opened, snapshot) = oneshot::channel();
        let stream = Stream {
            execution: execution(&request, &rendered),
            admit,
            cancel: request.cancel.clone(),
            closing: self.closing.clone(),
            opened: Some(opened),
            rows,
            gathered: Vec::new(),
            ended: false,
        };
        slow.run(Box::new(move |place| stream.run(&source, place)))
            .map_err(|_| ReadFailure::NotNow("too many slow queries"))?;
        let snapshot = snapshot.await.map_err(|_| cancelled())??;
        Ok((snapshot, Answer::Flowing(receiver)))
    }

    /// Holds a snapshot open until [`Reader::close_snapshot`].
    pub fn open_snapshot(&self, admit: &Admit) -> Result<(HeldId, Snapshot), ReadFailure> {
        if self.held.lock().len() >= MAX_SNAPSHOTS {
            return Err(ReadFailure::NotNow("too many snapshots are held open"));
        }
        let connection = self.connections.borrow().map_err(tell)?;
        let snapshot = connection.hold().map_err(tell)?;
        admit(snapshot)?;
        let id = HeldId(self.next_held.fetch_add(1, Ordering::Relaxed));
        let held = Held {
            connection,
            snapshot,
        };
        let held = HeldSnapshot {
            held: Mutex::new(held),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
        };
        self.held.lock().insert(id, Arc::new(held));
        Ok((id, snapshot))
    }

    /// A read that still runs on it keeps it until it ends.
    pub fn close_snapshot(&self, id: HeldId) {
        self.held.lock().remove(&id);
    }

    fn source(&self, request: &ReadRequest) -> Result<SourceConnection, ReadFailure> {
        let Some(id) = request.snapshot else {
            return Ok(SourceConnection::Newest(self.connections.clone()));
        };
        let held = self.held.lock().get(&id).cloned();
        held.map(SourceConnection::Held)
            .ok_or(ReadFailure::NotNow("the snapshot is closed"))
    }

    /// `None`: over budget, or cancelled.
    fn read_inline(
        &self,
        request: &ReadRequest,
        rendered: &Arc<Rendered>,
        admit: &Admit,
        ticks: Option<usize>,
    ) -> Result<Option<(Snapshot, Answer)>, ReadFailure> {
        let execution = execution(request, rendered);
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut take = |row: Row| {
            bytes += row_bytes(&row);
            if ticks.is_some() && bytes > INLINE_BYTES {
                return Err(Failure::Interrupted);
            }
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        };
        let cancel = request.cancel.clone();
        let source = self.source(request)?;
        let outcome = match source.with(true, |connection, snapshot| {
            connection.limit(ticks, Some(Box::new(move || cancel.is_cancelled())));
            admit(snapshot)?;
            query::run(connection.connection(), &execution, &mut take).map_err(tell)?;
            Ok(snapshot)
        }) {
            Some(outcome) => outcome,
            None => return Ok(None),
        };
        match outcome {
            Ok(snapshot) => Ok(Some((snapshot, Answer::Ready(rows)))),
            Err(ReadFailure::Statement(error)) if is_interruption(&error) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn execution(request: &ReadRequest, rendered: &Arc<Rendered>) -> Arc<Execution> {
    Arc::new(Execution {
        rendered: rendered.clone(),
        parameters: request.parameters.clone(),
        context: request.context.clone(),
        overlay: request.overlay.clone(),
    })
}

/// Where a query finds its snapshot.
enum SourceConnection {
    Newest(Arc<Connections>),
    Held(Arc<HeldSnapshot>),
}

impl SourceConnection {
    /// `None` if it is in use and the caller may not wait.
    fn with<T>(
        &self,
        at_once: bool,
        body: impl FnOnce(&ReadConnection, Snapshot) -> Result<T, ReadFailure>,
    ) -> Option<Result<T, ReadFailure>> {
        match self {
            SourceConnection::Newest(connections) => {
                let connection = match connections.borrow() {
                    Ok(connection) => connection,
                    Err(failure) => return Some(Err(tell(failure))),
                };
                let mut outcome = Ok(None);
                let opened = connection.on_snapshot(|snapshot| {
                    outcome = body(&connection, snapshot).map(Some);
                    Ok(())
                });
                let outcome = match (opened, outcome) {
                    (Err(failure), _) => Err(tell(failure)),
                    (Ok(()), Ok(Some(value))) => Ok(value),
                    (Ok(()), Ok(None)) => Err(ReadFailure::NotNow("the snapshot was not opened")),
                    (Ok(()), Err(failure)) => Err(failure),
                };
                if matches!(outcome, Err(ReadFailure::Database(_))) {
                    connection.discard();
                }
                Some(outcome)
            }
            SourceConnection::Held(held) => {
                let held = match at_once {
                    true => held.held.try_lock()?,
                    false => held.lock(),
                };
                let outcome = body(&held.connection, held.snapshot);
                held.connection.limit(None, None);
                Some(outcome)
            }
        }
    }
}

impl SourceConnection {
    /// Ends when another query of the same transaction waits for the snapshot.
    async fn is_wanted(&self) {
        match self {
            SourceConnection::Newest(_) => std::future::pending().await,
            SourceConnection::Held(held) => held.is_wanted().await,
        }
    }
}

/// A query on a slow thread.
struct Stream {
    execution: Arc<Execution>,
    admit: Admit,
    cancel: CancellationToken,
    closing: CancellationToken,
    opened: Option<oneshot::Sender<Result<Snapshot, ReadFailure>>>,
    rows: mpsc::Sender<Result<Vec<Row>>>,
    /// Batches taken in to leave the snapshot to another query.
    gathered: Vec<Vec<Row>>,
    ended: bool,
}

/// What became of a batch.
enum Sending {
    Sent,
    /// Another query wants the snapshot.
    Wanted(Vec<Row>),
}

impl Stream {
    fn run(mut self, source: &SourceConnection, place: &Place) {
        let outcome = source.with(false, |connection, snapshot| {
            connection.limit(None, Some(self.stop()));
            (self.admit)(snapshot)?;
            if let Some(opened) = self.opened.take() {
                // Nobody waits any more: the first batch will find out.
                let _ = opened.send(Ok(snapshot));
            }
            self.gathered = self.stream(connection, source, place)?;
            Ok(())
        });
        match outcome {
            Some(Ok(())) => match self.send_gathered(place) {
                Ok(()) => self.ended = true,
                Err(failure) => self.fail(tell(failure)),
            },
            Some(Err(failure)) => self.fail(failure),
            None => {}
        }
    }

    /// Cancelled, closing, or nobody there to take rows.
    fn stop(&self) -> Stop {
        let tokens = [self.cancel.clone(), self.closing.clone()];
        let rows = self.rows.clone();
        Box::new(move || tokens.iter().any(CancellationToken::is_cancelled) || rows.is_closed())
    }

    /// Sends the query's rows; gives those that it had to take in.
    fn stream(
        &self,
        connection: &ReadConnection,
        source: &SourceConnection,
        place: &Place,
    ) -> Result<Vec<Vec<Row>>, ReadFailure> {
        let mut gathered: Vec<Vec<Row>> = Vec::new();
        let (mut batch, mut bytes, mut gathered_bytes) = (Vec::new(), 0, 0);
        let mut pass = |batch: Vec<Row>, bytes: usize| {
            if gathered.is_empty() {
                match self.send(batch, source, place)? {
                    Sending::Sent => return Ok(()),
                    Sending::Wanted(batch) => gathered.push(batch),
                }
            } else {
                gathered.push(batch);
            }
            gathered_bytes += bytes;
            match gathered_bytes <= GATHERED_BYTES_MAX {
                true => Ok(()),
                false => Err(Failure::Statement(too_much_left())),
            }
        };
        let mut take = |row: Row| {
            bytes += row_bytes(&row);
            batch.push(row);
            if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
                pass(std::mem::take(&mut batch), std::mem::take(&mut bytes))?;
            }
            Ok(ControlFlow::Continue(()))
        };
        query::run(connection.connection(), &self.execution, &mut take).map_err(tell)?;
        if !batch.is_empty() {
            pass(batch, bytes).map_err(tell)?;
        }
        Ok(gathered)
    }

    /// Sends what was taken in, now that the snapshot is free.
    fn send_gathered(&mut self, place: &Place) -> Result<(), Failure> {
        for batch in std::mem::take(&mut self.gathered) {
            place.give_up_while(|| {
                futures::executor::block_on(async {
                    tokio::select! {
                        biased;
                        () = self.closing.cancelled() => Err(Failure::Interrupted),
                        () = self.cancel.cancelled() => Err(Failure::Interrupted),
                        sent = self.rows.send(Ok(batch)) => sent.map_err(|_| Failure::Interrupted),
                    }
                })
            })?;
        }
        Ok(())
    }

    /// Waits for room, or until another query wants the snapshot.
    fn send(
        &self,
        batch: Vec<Row>,
        source: &SourceConnection,
        place: &Place,
    ) -> Result<Sending, Failure> {
        let cancelled = self.cancel.is_cancelled() || self.closing.is_cancelled();
        if let Ok(room) = self.rows.try_reserve()
            && !cancelled
        {
            room.send(Ok(batch));
            return Ok(Sending::Sent);
        }
        place.give_up_while(|| {
            futures::executor::block_on(async {
                tokio::select! {
                    biased;
                    () = self.closing.cancelled() => Err(Failure::Interrupted),
                    () = self.cancel.cancelled() => Err(Failure::Interrupted),
                    room = self.rows.reserve() => {
                        room.map_err(|_| Failure::Interrupted)?.send(Ok(batch));
                        Ok(Sending::Sent)
                    }
                    () = source.is_wanted() => Ok(Sending::Wanted(batch)),
                }
            })
        })
    }

    /// Waits for room however long it takes: an end without this would look
    /// like the end of the rows.
    fn fail(&mut self, failure: ReadFailure) {
        self.ended = true;
        match self.opened.take() {
            Some(opened) => drop(opened.send(Err(failure))),
            None => drop(futures::executor::block_on(
                self.rows.send(Err(failure.into())),
            )),
        }
    }
}

/// A panic must not look like the end of the rows either.
impl Drop for Stream {
    fn drop(&mut self) {
        if !self.ended {
            self.fail(ReadFailure::Database("a read was given up".to_owned()));
        }
    }
}

fn cancelled() -> ReadFailure {
    ReadFailure::Statement(interruption())
}

fn too_much_left() -> Error {
    let message = format!(
        "a result that is read in parts has more than {GATHERED_BYTES_MAX} bytes left, \
         which its transaction must take in to run another statement"
    );
    Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message)
}

fn interruption() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
}

fn is_interruption(error: &Error) -> bool {
    error.state() == SqlState::QUERY_CANCELED
}

fn tell(failure: Failure) -> ReadFailure {
    match failure {
        Failure::Statement(error) => ReadFailure::Statement(error),
        Failure::Interrupted => cancelled(),
        Failure::Database(message) => ReadFailure::Database(message),
    }
}

#[cfg(test)]
mod tests;
