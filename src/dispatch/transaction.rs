//! Open transactions: their claims and their written rows, kept at the leader.
//!
//! No engine holds a transaction open for a client. Statements evaluate
//! (`evaluate`), rows gather in [`Written`], and COMMIT logs them at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::bulk::Whole;
use super::claim::{ClaimKey, Claimed, Contended, Held, Mode, Owner, Watch};
use super::cluster::DataCluster;
use super::deferral::{Deferral, Deferred};
use super::order::{Completed, Content, Order, ReadSet};
use super::read;
use super::refused::{Refused, cancelled};
use super::relaid::{Relaid, Shift};
use super::sequence::OwnSequences;

use super::written::Written;
use crate::catalog::change::{SchemaChange, SchemaStep};
use crate::catalog::schema::Schema;
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::log::command::{Pieced, SchemaEntry};
use crate::plan::statement::Isolation;
use crate::types::id::{Index, SchemaVersion, TableId};
use crate::types::write::{Outcome, Write};

/// A transaction between its first statement and its end.
pub struct OpenTransaction {
    pub cluster: Arc<DataCluster>,
    pub owner: Owner,
    pub isolation: Isolation,
    pub read_only: bool,
    /// The schema its written rows are laid out by; set by the first write.
    pub schema: Option<Arc<Schema>>,
    /// Schema changes to be logged with it, and the schema before them.
    pub changes: Vec<SchemaChange>,
    pub base: Option<Arc<Schema>>,
    /// What these changes lay out anew, in their order.
    pub relaid: Vec<Arc<Relaid>>,
    /// Rows written since the latest of them.
    pub written: Written,
    /// Rows written before, between them.
    earlier: Vec<Earlier>,
    /// How often rows began anew.
    steps: usize,
    /// Foreign keys to look at when the transaction ends.
    pub deferred: Vec<Deferred>,
    /// What SET CONSTRAINTS has said.
    pub deferral: Deferral,
    /// The tables a serializable transaction has read.
    pub tables_read: BTreeSet<TableId>,
    /// It drew from a sequence.
    pub drew: bool,
    /// The sequences that it has made or restarted.
    pub sequences: Arc<OwnSequences>,
    pub whole: Whole,
    snapshot: Option<Snapshot>,
    savepoints: Vec<Savepoint>,
    /// Its claims are let go of by whoever ends its submission.
    submitted: bool,
}

struct Snapshot {
    held: read::Held,
    /// What its tables were then.
    schema: Arc<Schema>,
    /// Keeps changed keys remembered.
    _watch: Watch,
    closer: Closer,
}

/// Closes a snapshot on its replica when the transaction is gone.
pub struct Closer {
    cluster: Arc<DataCluster>,
    held: read::Held,
}

impl Closer {
    pub fn new(cluster: &Arc<DataCluster>, held: &read::Held) -> Closer {
        Closer {
            cluster: cluster.clone(),
            held: held.clone(),
        }
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        let held = self.held.clone();
        self.cluster.tasks.spawn("close snapshot", async move {
            held.member.endpoint.close_snapshot(held.id).await;
        });
    }
}

/// Rows written between two changes of the schema.
struct Earlier {
    /// The changes before them.
    changes: usize,
    written: Written,
}

struct Savepoint {
    name: String,
    place: Place,
    claims: usize,
    whole: Whole,
}

/// What a failed statement or ROLLBACK TO takes a transaction back to.
pub struct Place {
    written: usize,
    earlier: usize,
    steps: usize,
    deferred: usize,
    changes: usize,
    relaid: usize,
    sequences: usize,
    schema: Option<Arc<Schema>>,
}

/// How a claim may wait.
#[derive(Clone)]
pub struct Patience {
    pub cancel: CancellationToken,
    /// `lock_timeout`; `None`: as long as the statement may.
    pub lock_timeout: Option<Duration>,
}

impl OpenTransaction {
    pub fn new(
        cluster: Arc<DataCluster>,
        isolation: Isolation,
        read_only: bool,
    ) -> OpenTransaction {
        let owner = cluster.claims.new_owner();
        OpenTransaction {
            cluster,
            owner,
            isolation,
            read_only,
            schema: None,
            changes: Vec::new(),
            base: None,
            relaid: Vec::new(),
            written: Written::default(),
            earlier: Vec::new(),
            steps: 0,
            deferred: Vec::new(),
            deferral: Deferral::default(),
            tables_read: BTreeSet::new(),
            drew: false,
            sequences: Arc::default(),
            whole: Whole::default(),
            snapshot: None,
            savepoints: Vec::new(),
            submitted: false,
        }
    }

    /// The snapshot that all its statements read, opened by the first with the
    /// schema that this was planned against; `None` under READ COMMITTED.
    pub async fn snapshot(&mut self, planned: &Arc<Schema>) -> Result<Option<read::Held>, Refused> {
        if self.isolation == Isolation::ReadCommitted {
            return Ok(None);
        }
        if self.snapshot.is_none() {
            let watch = self
                .cluster
                .claims
                .watch_from(self.cluster.replicas.stable());
            let schema = self.stored_schema(planned).clone();
            let held = read::hold_snapshot(&self.cluster, Level::Strong, schema.version).await?;
            let closer = Closer::new(&self.cluster, &held);
            self.snapshot = Some(Snapshot {
                held,
                schema,
                _watch: watch,
                closer,
            });
        }
        Ok(self.snapshot.as_ref().map(|snapshot| snapshot.held.clone()))
    }

    /// The schema as the replicas have it: they know nothing yet of what this
    /// transaction made of it.
    pub fn stored_schema<'a>(&'a self, now: &'a Arc<Schema>) -> &'a Arc<Schema> {
        self.base.as_ref().unwrap_or(now)
    }

    /// The schema version under which these tables are read: the snapshot's
    /// own, if it has them as they are now; else 40001.
    pub fn read_version(&self, now: &Arc<Schema>, tables: &[TableId]) -> Result<SchemaVersion> {
        let now = self.stored_schema(now);
        let Some(snapshot) = &self.snapshot else {
            return Ok(now.version);
        };
        let then = &snapshot.schema;
        let same = |table: &TableId| then.table(*table) == now.table(*table);
        match then.version == now.version || tables.iter().all(same) {
            true => Ok(then.version),
            false => Err(Refused::Replan.into_error()),
        }
    }

    pub fn snapshot_index(&self) -> Option<Index> {
        self.snapshot
            .as_ref()
            .map(|snapshot| snapshot.closer.held.index)
    }

    /// Claims a key for this transaction. When it changed since what `basis`
    /// says, the caller must look again; under a transaction-wide snapshot
    /// that is 40001 instead.
    pub async fn claim(
        &self,
        key: ClaimKey,
        mode: Mode,
        basis: Basis,
        contended: Contended,
        patience: &Patience,
    ) -> Result<Claim> {
        let claims = &self.cluster.claims;
        let claim = claims.claim(self.owner, key, mode, contended);
        let claimed = tokio::select! {
            biased;
            claimed = claim => claimed?,
            () = patience.cancel.cancelled() => return Err(cancelled()),
            () = lock_timeout(&self.cluster, patience.lock_timeout) => {
                let message = "canceling statement due to lock timeout";
                return Err(Error::new(SqlState::LOCK_NOT_AVAILABLE, message));
            }
        };
        if claimed == Claimed::Skipped {
            return Ok(Claim::Skipped);
        }
        self.judge(key, mode, basis)
    }

    /// What has become of a key that nobody else can change any more.
    pub fn judge(&self, key: ClaimKey, mode: Mode, basis: Basis) -> Result<Claim> {
        let claims = &self.cluster.claims;
        let fixed = self.snapshot_index();
        let index = match basis {
            Basis::Fresh => None,
            Basis::Read(index) => fixed.or(Some(index)),
            Basis::Snapshot => fixed,
        };
        let stale = index.is_some_and(|index| claims.changed_since(key, mode, index));
        match (stale, fixed) {
            (true, Some(_)) => Err(concurrent_update()),
            (true, None) => Ok(Claim::Stale),
            _ => Ok(Claim::Held),
        }
    }

    /// Did the key change after the transaction's snapshot, if it has one?
    pub fn changed_since_snapshot(&self, key: ClaimKey) -> bool {
        let fixed = self.snapshot_index();
        fixed.is_some_and(|index| self.cluster.claims.changed_since(key, Mode::Update, index))
    }

    pub fn savepoint(&mut self, name: String) {
        let claims = self.cluster.claims.mark(self.owner);
        self.savepoints.push(Savepoint {
            name,
            place: self.place(),
            claims,
            whole: self.whole.clone(),
        });
    }

    /// Takes a change of the schema in, or none: rows from here on come
    /// behind it in the log, and those so far lie as it lays them out.
    pub async fn begin_step(&mut self, change: Option<&SchemaChange>, shift: &Shift) -> Result<()> {
        let before = self.changes.len();
        self.steps += 1;
        if let Some(bulk) = self.written.bulk() {
            let changes = before + usize::from(change.is_some());
            bulk.begin_step(shift, self.steps, changes).await?;
        } else {
            let next = self.written.after(shift)?;
            self.earlier.push(Earlier {
                changes: before,
                written: std::mem::replace(&mut self.written, next),
            });
        }
        self.changes.extend(change.cloned());
        self.relaid.extend(shift.relaid.clone());
        Ok(())
    }

    /// How a table's rows came to lie as they do since the first change.
    pub fn relaid_of(&self, table: TableId) -> Vec<Arc<Relaid>> {
        let relaid = self.relaid.iter().filter(|it| it.table == table);
        relaid.cloned().collect()
    }

    pub fn place(&self) -> Place {
        Place {
            written: self.written.mark(),
            earlier: self.earlier.len(),
            steps: self.steps,
            deferred: self.deferred.len(),
            changes: self.changes.len(),
            relaid: self.relaid.len(),
            sequences: self.sequences.mark(),
            schema: self.schema.clone(),
        }
    }

    /// Takes back what was written after a place; claims stay.
    pub fn return_to(&mut self, place: &Place) {
        if let Some(earlier) = self.earlier.drain(place.earlier..).next() {
            self.written = earlier.written;
        }
        self.steps = place.steps;
        self.written.undo_to(place.written, place.steps);
        self.deferred.truncate(place.deferred);
        self.changes.truncate(place.changes);
        self.relaid.truncate(place.relaid);
        self.sequences.undo_to(place.sequences);
        self.schema = place.schema.clone();
        if self.changes.is_empty() {
            self.base = None;
        }
    }

    pub fn release_savepoint(&mut self, name: &str) -> Result<()> {
        let place = self.savepoint_place(name)?;
        self.savepoints.truncate(place);
        Ok(())
    }

    pub fn rollback_to(&mut self, name: &str) -> Result<()> {
        let place = self.savepoint_place(name)?;
        self.savepoints.truncate(place + 1);
        if let Some(savepoint) = self.savepoints.pop() {
            self.return_to(&savepoint.place);
            self.whole = savepoint.whole.clone();
            self.cluster
                .claims
                .release_after(self.owner, savepoint.claims);
            self.savepoints.push(savepoint);
        }
        Ok(())
    }

    /// Takes a failed transaction back to its innermost savepoint and lets go
    /// of what was claimed since; `false` when it has none.
    pub fn fail_to_savepoint(&mut self) -> bool {
        let Some(savepoint) = self.savepoints.pop() else {
            return false;
        };
        self.return_to(&savepoint.place);
        self.whole = savepoint.whole.clone();
        let claims = &self.cluster.claims;
        claims.release_after(self.owner, savepoint.claims);
        self.savepoints.push(savepoint);
        true
    }

    fn savepoint_place(&self, name: &str) -> Result<usize> {
        self.savepoints
            .iter()
            .rposition(|savepoint| savepoint.name == name)
            .ok_or_else(|| {
                let message = format!("savepoint \"{name}\" does not exist");
                Error::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, message)
            })
    }

    /// Gives up everything, as dropping it does.
    pub fn rollback(self) {
        drop(self);
    }

    /// Someone else lets go of its claims.
    pub fn keep_claims(mut self) -> Owner {
        self.submitted = true;
        self.owner
    }

    /// Logs what was written and waits until every in-sync replica has it.
    /// Deferred constraints have been checked by the caller.
    pub async fn commit(mut self) -> Result<Option<Index>> {
        let read = self.read_set();
        let mut written = std::mem::take(&mut self.written);
        let bulk = match written.take_bulk() {
            Some(bulk) => Some(bulk.complete().await?),
            None => None,
        };
        let writes = written.into_writes();
        let logged = !writes.is_empty() || !self.changes.is_empty() || bulk.is_some();
        if !logged && !self.drew && self.sequences.is_empty() {
            self.rollback();
            return Ok(None);
        }
        let schema = match self.base.take().or(self.schema.take()) {
            Some(schema) => schema,
            None => self.cluster.definition()?.schema.clone(),
        };
        let id = self.cluster.ids.next();
        let content = match (self.changes.is_empty(), bulk) {
            (true, None) => Content::Writes(writes),
            (true, Some(completed)) => Content::Pieced(completed),
            (false, bulk) => {
                let (mut steps, pieces) = self.take_steps(writes, bulk);
                let then = steps.split_off(1);
                let first = steps.pop().unwrap_or_default();
                Content::Schema(Box::new(SchemaEntry {
                    cluster: self.cluster.id,
                    id,
                    before: schema.version,
                    changes: first.changes,
                    writes: first.writes,
                    then,
                    pieces,
                    counters: Vec::new(),
                    settled: None,
                }))
            }
        };
        self.submitted = true;
        let order = Order {
            id,
            content,
            schema,
            read,
            counters: self.sequences.moved(),
        };
        let decided = submit(&self.cluster, Held::Of(self.owner), order).await;
        self.snapshot = None;
        let (index, _) = decided.map_err(Refused::into_error)?;
        Ok(Some(index))
    }

    /// Changes and rows in the order in which they were made; at least one step.
    fn take_steps(
        &mut self,
        writes: Vec<Write>,
        bulk: Option<Completed>,
    ) -> (Vec<SchemaStep>, Option<Pieced>) {
        // The rows behind so many changes, and how many pieces come before them.
        let mut rows = Vec::new();
        for earlier in std::mem::take(&mut self.earlier) {
            rows.push((earlier.changes, 0, earlier.written.into_writes()));
        }
        let all = self.changes.len();
        let mut pieces = None;
        match bulk {
            None => rows.push((all, 0, writes)),
            Some(completed) => {
                let all = completed.pieced.pieces.len();
                let ends = completed.steps.iter().skip(1).map(|(_, before)| *before);
                for ((changes, from), to) in completed.steps.iter().zip(ends.chain([all])) {
                    rows.push((*changes, to - from, Vec::new()));
                }
                if let Some((_, _, last)) = rows.last_mut() {
                    *last = completed.last;
                }
                pieces = Some(completed.pieced);
            }
        }
        let mut changes = std::mem::take(&mut self.changes).into_iter();
        let mut steps: Vec<SchemaStep> = Vec::new();
        let mut taken = 0;
        for (until, pieces, writes) in rows {
            let next: Vec<SchemaChange> = changes.by_ref().take(until - taken).collect();
            taken += next.len();
            match steps.last_mut() {
                // Nothing was written in between.
                Some(last) if last.pieces == 0 && last.writes.is_empty() => {
                    last.changes.extend(next);
                    (last.pieces, last.writes) = (pieces, writes);
                }
                _ => steps.push(SchemaStep {
                    changes: next,
                    pieces,
                    writes,
                }),
            }
        }
        (steps, pieces)
    }

    fn read_set(&self) -> Option<ReadSet> {
        let snapshot = self.snapshot_index()?;
        let serializable = self.isolation == Isolation::Serializable && !self.written.is_empty();
        serializable.then(|| ReadSet {
            snapshot,
            tables: self.tables_read.iter().copied().collect(),
        })
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if !self.submitted {
            self.cluster.claims.release(&Held::Of(self.owner), None);
        }
    }
}

/// Against what a claimed key must not have changed.
#[derive(Clone, Copy, Debug)]
pub enum Basis {
    /// Nothing was read under it yet: it is looked up once it is held.
    Fresh,
    /// It was read at this index, or on the transaction's snapshot.
    Read(Index),
    /// The transaction's snapshot, if it has one.
    Snapshot,
}

pub fn concurrent_update() -> Error {
    Error::new(
        SqlState::SERIALIZATION_FAILURE,
        "could not serialize access due to concurrent update",
    )
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Held,
    /// Held, but the key changed after it was read.
    Stale,
    Skipped,
}

async fn lock_timeout(cluster: &DataCluster, limit: Option<Duration>) {
    match limit {
        Some(limit) => cluster.runtime.sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Submits writes whose claims are `held`, and lets go of them afterwards, even if the caller does not wait for the end.
pub async fn submit(
    cluster: &Arc<DataCluster>,
    held: Held,
    order: Order,
) -> Result<(Index, Outcome), Refused> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut waiting = Waiting {
        cluster,
        pending: None,
    };
    let submitted = {
        let cluster = cluster.clone();
        let future = async move {
            let decided = cluster.sequencer.submit(order).await;
            let written = decided.as_ref().ok().map(|(index, _)| *index);
            cluster.claims.release(&held, written);
            let _ = sender.send(decided);
        };
        waiting.pending = Some(Box::pin(future));
        waiting.drive().await;
        receiver.await
    };
    let decided = submitted.map_err(|_| Error::internal("submission lost"))??;
    match &decided.1.result {
        Ok(_) => Ok(decided),
        Err(failure) => Err(error_of(failure).into()),
    }
}

/// A submission under way; dropped early, it goes on in a task of the cluster.
struct Waiting<'a> {
    cluster: &'a Arc<DataCluster>,
    pending: Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Waiting<'_> {
    async fn drive(&mut self) {
        if let Some(pending) = self.pending.as_mut() {
            pending.await;
        }
        self.pending = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.cluster.tasks.spawn("submission", pending);
        }
    }
}

/// A replica's refusal as the client sees it.
pub fn error_of(failure: &crate::types::write::Failure) -> Error {
    let mut error = Error::new(failure.sql_state(), failure.message.clone());
    if let Some(detail) = &failure.detail {
        error = error.detail(detail.clone());
    }
    if let Some(table) = &failure.table {
        error = error.table(table.clone());
    }
    if let Some(column) = &failure.column {
        error = error.column(column.clone());
    }
    if let Some(constraint) = &failure.constraint {
        error = error.constraint(constraint.clone());
    }
    error
}
