//! Open transactions: their claims and their written rows, kept at the leader.
//!
//! No engine holds a transaction open for a client. Statements evaluate
//! (`evaluate`), rows gather in [`Written`], and COMMIT logs them at once.

mod commit;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::claim::{ClaimKey, Claimed, Contended, Held, Mode, Owner, Watch};
use super::cluster::DataCluster;
use super::deferral::{Deferral, Deferred};
use super::read;
use super::refused::{Refused, cancelled};
use super::relaid::{Relaid, Shift};
use super::sequence::OwnSequences;

use super::written::Written;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::Schema;
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::statement::Isolation;
use crate::types::id::{Index, SchemaVersion, TableId};

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
    held: read::HeldSnapshot,
    /// What its tables were then.
    schema: Arc<Schema>,
    /// Keeps changed keys remembered.
    _watch: Watch,
    closer: Closer,
}

/// Closes a snapshot on its replica when the transaction is gone.
pub struct Closer {
    cluster: Arc<DataCluster>,
    held: read::HeldSnapshot,
}

impl Closer {
    pub fn new(cluster: &Arc<DataCluster>, held: &read::HeldSnapshot) -> Closer {
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

/// The tables that a transaction has claimed as a whole, so that it claims no
/// key of them.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    /// It may write any row.
    pub written: BTreeSet<TableId>,
    /// Nobody else may.
    pub shared: BTreeSet<TableId>,
}

impl Whole {
    /// Does the claim of a table stand for one of its keys?
    pub fn covers(&self, table: TableId, mode: Mode) -> bool {
        let shared = mode == Mode::KeyShare && self.shared.contains(&table);
        shared || self.written.contains(&table)
    }
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
    pub async fn snapshot(
        &mut self,
        planned: &Arc<Schema>,
    ) -> Result<Option<read::HeldSnapshot>, Refused> {
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
