//! A data cluster whose replicas are fakes, on simulated time.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::super::*;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Namespace, PrimaryKey, Table};
use crate::catalog::{EngineKind, Place, UserKind};
use crate::endpoint::{
    Applied, Apply, Copied, CopySource, DeliveryContent, Fault, HashRequest, Level, Read,
    ReadError, Rows, SnapshotId, TableHash,
};
use crate::log::LogConfig;
use crate::log::command::{Batch, SchemaEntry};
use crate::plan::query::Query;
use crate::types::id::{Boot, NodeId, SchemaVersion, TableId, Term, UserId};
use crate::types::write::{Applied as Done, RowHash, Transaction, Write};

pub(super) const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_u128(100));

/// How a replica misbehaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ills {
    /// An entry takes so long to apply.
    pub(super) slow: Duration,
    /// Its database is out of order.
    pub(super) fails: bool,
    /// It never answers.
    pub(super) silent: bool,
    /// It gives no sign of life while it applies.
    pub(super) mute: bool,
    /// It reports other rows than the others.
    pub(super) lies: bool,
    pub(super) wrong_chain: bool,
    /// It cannot apply a schema change.
    pub(super) chokes: bool,
    /// Other rows lie in its tables.
    pub(super) other_rows: bool,
    /// Its tables cannot be read.
    pub(super) unreadable: bool,
    /// It is never where the others are.
    pub(super) elsewhere: bool,
    /// It does not say that it gave up its lease.
    pub(super) keeps_lease: bool,
}

/// A database that remembers only where it stands.
pub(super) struct Fake {
    pub(super) runtime: Runtime,
    pub(super) position: Mutex<Position>,
    pub(super) ills: Mutex<Ills>,
    /// What it was told to prepare and has not been given yet.
    pub(super) prepared: Mutex<Vec<Apply>>,
    /// So many deliveries were what it had prepared.
    pub(super) foreseen: AtomicUsize,
}

impl Fake {
    pub(super) fn new(runtime: &Runtime) -> Arc<Fake> {
        let position = Position {
            incarnation: Incarnation(runtime.random_u64()),
            applied: Index(0),
            durable: Index(0),
            chain: 0,
            term: Term(0),
            schema: SchemaVersion(0),
        };
        Arc::new(Fake {
            runtime: runtime.clone(),
            position: Mutex::new(position),
            ills: Mutex::default(),
            prepared: Mutex::default(),
            foreseen: AtomicUsize::new(0),
        })
    }

    pub(super) fn ill(&self, ills: Ills) {
        *self.ills.lock() = ills;
    }

    pub(super) fn take(&self, request: &Apply) -> Result<Applied, Fault> {
        let ills = *self.ills.lock();
        if !request.entries.is_empty() {
            let prepared = self.prepared.lock().pop();
            if prepared.is_some_and(|it| request.begins_with(&it)) {
                self.foreseen.fetch_add(1, Ordering::Relaxed);
            }
        }
        let mut position = self.position.lock();
        if request.incarnation != position.incarnation {
            return Err(Fault::Incarnation(position.incarnation));
        }
        if request.after != position.applied {
            return Err(Fault::NotThere(Box::new(position.clone())));
        }
        let mut outcomes = Vec::new();
        for entry in &request.entries {
            let batch = match &entry.content {
                DeliveryContent::Batch(batch) | DeliveryContent::Pieced(batch, _) => batch,
                DeliveryContent::Schema(change) | DeliveryContent::PiecedSchema(change, _) => {
                    let id = change.id;
                    let result = Ok(Done::default());
                    outcomes.extend((!entry.taken_back).then_some(Outcome { id, result }));
                    continue;
                }
            };
            for transaction in &batch.transactions {
                let rows = if ills.lies { 2 } else { 1 };
                let hash = RowHash(rows.into());
                let result = Ok(Done {
                    rows: vec![rows],
                    hash,
                });
                let id = transaction.id;
                outcomes.push(Outcome { id, result });
            }
            position.chain += if ills.wrong_chain { 7 } else { 1 };
        }
        position.applied = request.upto;
        position.durable = request.upto;
        let asks = Stamp(1);
        Ok(Applied {
            position: position.clone(),
            outcomes,
            asks,
        })
    }
}

#[async_trait]
impl Endpoint for Fake {
    async fn position(&self) -> Result<Position, Fault> {
        let ills = *self.ills.lock();
        if ills.silent || ills.mute {
            std::future::pending::<()>().await;
        }
        Ok(self.position.lock().clone())
    }

    async fn apply(&self, request: Apply) -> Result<Applied, Fault> {
        let ills = *self.ills.lock();
        if ills.silent {
            std::future::pending::<()>().await;
        }
        if ills.fails && !request.entries.is_empty() {
            return Err(Fault::Failed("out of order".to_owned()));
        }
        let changes = request
            .entries
            .iter()
            .find_map(|entry| match &entry.content {
                DeliveryContent::Schema(change) if !entry.taken_back => {
                    Some((entry.index, change.id))
                }
                _ => None,
            });
        if let Some((index, transaction)) = changes.filter(|_| ills.chokes) {
            return Err(Fault::Poisoned {
                index,
                transaction,
                message: "it chokes".to_owned(),
            });
        }
        if !request.entries.is_empty() {
            self.runtime.sleep(ills.slow).await;
        }
        self.take(&request)
    }

    fn prepare(&self, request: Apply) {
        self.prepared.lock().push(request);
    }

    async fn read(&self, _: Read) -> Result<Rows, ReadError> {
        Err(ReadError::NotNow("it holds no rows"))
    }

    async fn open_snapshot(
        &self,
        _: Level,
        _: Incarnation,
        _: SchemaVersion,
    ) -> Result<(SnapshotId, Index), ReadError> {
        Err(ReadError::NotNow("it holds no rows"))
    }

    async fn close_snapshot(&self, _: SnapshotId) {}

    async fn copy_out(&self, _: Arc<Copied>) -> Result<CopySource, Fault> {
        let position = self.position.lock().clone();
        Ok(CopySource {
            index: position.applied,
            chain: position.chain,
            schema: Arc::default(),
            path: PathBuf::new(),
        })
    }

    async fn copy_in(&self, source: CopySource) -> Result<Position, Fault> {
        let mut position = self.position.lock();
        position.incarnation = Incarnation(self.runtime.random_u64());
        position.applied = source.index;
        position.durable = source.index;
        position.chain = source.chain;
        Ok(position.clone())
    }

    async fn revoke(&self) -> Result<(), Fault> {
        match self.ills.lock().keeps_lease {
            true => Err(Fault::Failed("it keeps its lease".to_owned())),
            false => Ok(()),
        }
    }

    fn engine(&self) -> EngineKind {
        EngineKind::Sqlite
    }

    async fn explain(&self, _: &Query) -> crate::error::Result<String> {
        Ok(String::new())
    }

    async fn table_hash(&self, _: HashRequest) -> Result<TableHash, Fault> {
        let ills = *self.ills.lock();
        if ills.elsewhere {
            return Err(Fault::NotThere(Box::new(self.position.lock().clone())));
        }
        if ills.unreadable {
            return Err(Fault::Tampered("it is malformed".to_owned()));
        }
        Ok(TableHash {
            rows: 1,
            hash: ills.other_rows.into(),
            last: None,
        })
    }

    async fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}

pub(super) struct Bench {
    pub(super) runtime: Runtime,
    pub(super) replicas: Arc<Replicas>,
    pub(super) fakes: Vec<Arc<Fake>>,
    pub(super) written: u64,
    pub(super) _directory: tempfile::TempDir,
}

impl Bench {
    /// A data cluster with so many replicas, all in sync.
    pub(super) async fn start(runtime: Runtime, count: usize, proves: bool) -> Bench {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let log = Log::open(LogConfig::alone(directory.path()), runtime.clone())
            .await
            .expect("a log opens");
        make_cluster(&log, count).await;
        let leadership = Leadership::new(runtime.clone());
        let (node, boot) = (log.node(), log.boot());
        let opened = log.propose(Command::Opened { node, boot }).await;
        leadership.opened(opened.expect("it leads").index);
        let tasks = TaskSet::new(&runtime);
        if proves {
            let (leadership, log) = (leadership.clone(), log.clone());
            tasks.spawn("prove", async move { leadership.prove(log).await });
        }
        let metrics = Arc::default();
        let replicas = Replicas::new(runtime.clone(), log, CLUSTER, leadership, metrics, tasks);
        let fakes: Vec<Arc<Fake>> = (0..count).map(|_| Fake::new(&runtime)).collect();
        let definition = replicas.definition().expect("it was made");
        for (id, fake) in definition.replicas.keys().zip(&fakes) {
            fake.position.lock().applied = definition.born;
            replicas.add(*id, fake.clone());
        }
        let mut bench = Bench {
            runtime,
            replicas,
            fakes,
            written: 0,
            _directory: directory,
        };
        bench.write().await;
        bench
    }

    /// Writes, and says how long it took and what the client heard.
    pub(super) async fn write(&mut self) -> (Duration, Vec<u64>) {
        let began = self.runtime.now();
        let decided = self.log_write().await;
        let limit = Duration::from_secs(60);
        let decided = self.runtime.timeout(limit, decided).await;
        let (_, outcome) = decided.expect("it ends").expect("it is answered");
        let rows = outcome.result.map(|done| done.rows).unwrap_or_default();
        (self.runtime.now().since(began), rows)
    }

    pub(super) fn next_id(&mut self) -> TransactionId {
        self.written += 1;
        TransactionId {
            node: NodeId(1),
            boot: Boot(1),
            number: self.written,
        }
    }

    /// Logs a write and goes on.
    pub(super) async fn log_write(&mut self) -> tokio::sync::oneshot::Receiver<Decided> {
        let id = self.next_id();
        let decided = self.replicas.expect(id);
        let writes = vec![Write::EndOfStatement];
        let definition = self.replicas.definition().expect("it is there");
        let batch = Batch {
            cluster: CLUSTER,
            schema: definition.schema.version,
            transactions: vec![Transaction { id, writes }],
            counters: Vec::new(),
            settled: self.replicas.settled(),
            pieces: None,
        };
        let command = Command::Batch(Arc::new(batch));
        self.replicas
            .log
            .propose(command)
            .await
            .expect("it is logged");
        decided
    }

    /// Logs a schema change and waits for what becomes of it.
    pub(super) async fn change(&mut self, changes: Vec<SchemaChange>) -> Outcome {
        let id = self.next_id();
        let decided = self.replicas.expect(id);
        let definition = self.replicas.definition().expect("it is there");
        let change = SchemaEntry {
            cluster: CLUSTER,
            id,
            before: definition.schema.version,
            changes,
            writes: Vec::new(),
            then: Vec::new(),
            counters: Vec::new(),
            settled: None,
            pieces: None,
        };
        let command = Command::Schema(Arc::new(change));
        let logged = self.replicas.log.propose(command).await;
        assert_eq!(logged.expect("it is logged").answer.refused, None);
        let limit = Duration::from_secs(60);
        let decided = self.runtime.timeout(limit, decided).await;
        let (_, outcome) = decided.expect("it ends").expect("it is answered");
        outcome
    }

    pub(super) async fn make_table(&mut self) {
        let table = Table {
            id: TableId(16384),
            namespace: Namespace::Public,
            name: "t".to_owned(),
            columns: Vec::new(),
            next_column: 1,
            key: PrimaryKey::None,
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        };
        let made = self.change(vec![SchemaChange::CreateTable(table)]).await;
        assert!(made.result.is_ok());
    }

    pub(super) fn states(&self) -> Vec<ReplicaState> {
        let definition = self.replicas.definition().expect("it is there");
        definition.replicas.values().map(|it| it.state).collect()
    }

    pub(super) async fn heals(&self) {
        for _ in 0..200 {
            if self.states().iter().all(|it| *it == ReplicaState::InSync) {
                return;
            }
            self.runtime.sleep(Duration::from_millis(50)).await;
        }
        panic!("not in sync: {:?}", self.states());
    }

    pub(super) async fn rest(&self) {
        self.runtime.sleep(Duration::from_millis(500)).await;
    }
}

pub(super) async fn make_cluster(log: &Log, count: usize) {
    let owner = UserId(uuid::Uuid::from_u128(1));
    let user = Command::CreateUser {
        id: owner,
        service: UserId(uuid::Uuid::from_u128(2)),
        name: "owner".to_owned(),
        email: None,
        kind: UserKind::User,
        verifier: None,
    };
    let place = |number| (uuid::Uuid::from_u128(number), Place::Embedded(NodeId(1)));
    let cluster = Command::CreateCluster {
        id: CLUSTER,
        name: "company".to_owned(),
        owner,
        created: "2026-01-01".to_owned(),
        created_by: "one".to_owned(),
        replicas: (10..10 + count as u128).map(place).collect(),
    };
    for command in [user, cluster] {
        let proposed = log.propose(command).await.expect("it leads");
        proposed.answer.check().expect("it is agreed");
    }
}

pub(super) fn simulate(count: usize, test: impl AsyncFnOnce(&mut Bench)) {
    let runtime = Runtime::simulated(7);
    let run = async {
        let mut bench = Bench::start(runtime.clone(), count, true).await;
        bench.rest().await;
        test(&mut bench).await;
    };
    runtime.block_on(run).expect("it runs");
}
