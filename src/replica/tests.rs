//! Replicas that fail in every way, on simulated time.

use std::path::PathBuf;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::floor::Reach;
use super::*;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Namespace, PrimaryKey, Table};
use crate::catalog::{EngineKind, Place, UserKind};
use crate::endpoint::{
    Applied, Apply, Copied, CopySource, DeliveryContent, Fault, HashRequest, Level, Read,
    ReadError, Rows, SnapshotId, TableHash,
};
use crate::log::command::{Batch, SchemaEntry};
use crate::log::{LogConfig, no_transport};
use crate::plan::query::Query;
use crate::types::id::{Boot, NodeId, SchemaVersion, TableId, Term, UserId};
use crate::types::write::{Applied as Done, RowHash, Transaction, Write};
use std::time::Duration;

const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_u128(100));

/// How a replica misbehaves.
#[derive(Clone, Copy, Debug, Default)]
struct Ills {
    /// An entry takes so long to apply.
    slow: Duration,
    /// Its database is out of order.
    fails: bool,
    /// It never answers.
    silent: bool,
    /// It reports other rows than the others.
    lies: bool,
    wrong_chain: bool,
    /// It cannot apply a schema change.
    chokes: bool,
    /// Other rows lie in its tables.
    other_rows: bool,
    /// Its tables cannot be read.
    unreadable: bool,
    /// It is never where the others are.
    elsewhere: bool,
    /// It does not say that it gave up its lease.
    keeps_lease: bool,
}

/// A database that remembers only where it stands.
struct Fake {
    runtime: Runtime,
    position: Mutex<Position>,
    ills: Mutex<Ills>,
}

impl Fake {
    fn new(runtime: &Runtime) -> Arc<Fake> {
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
        })
    }

    fn ill(&self, ills: Ills) {
        *self.ills.lock() = ills;
    }

    fn take(&self, request: &Apply) -> Result<Applied, Fault> {
        let ills = *self.ills.lock();
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
        if self.ills.lock().silent {
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

struct Bench {
    runtime: Runtime,
    replicas: Arc<Replicas>,
    fakes: Vec<Arc<Fake>>,
    written: u64,
    _directory: tempfile::TempDir,
}

impl Bench {
    /// A data cluster with so many replicas, all in sync.
    async fn start(runtime: Runtime, count: usize, proves: bool) -> Bench {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let config = LogConfig {
            directory: directory.path().to_owned(),
            node: NodeId(1),
            name: "one".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            single_voter_init: true,
            group: None,
            transport: no_transport(),
        };
        let log = Log::open(config, runtime.clone())
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
    async fn write(&mut self) -> (Duration, Vec<u64>) {
        let began = self.runtime.now();
        let decided = self.log_write().await;
        let limit = Duration::from_secs(60);
        let decided = self.runtime.timeout(limit, decided).await;
        let (_, outcome) = decided.expect("it ends").expect("it is answered");
        let rows = outcome.result.map(|done| done.rows).unwrap_or_default();
        (self.runtime.now().since(began), rows)
    }

    fn next_id(&mut self) -> TransactionId {
        self.written += 1;
        TransactionId {
            node: NodeId(1),
            boot: Boot(1),
            number: self.written,
        }
    }

    /// Logs a write and goes on.
    async fn log_write(&mut self) -> tokio::sync::oneshot::Receiver<Decided> {
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
    async fn change(&mut self, changes: Vec<SchemaChange>) -> Outcome {
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

    async fn make_table(&mut self) {
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

    fn states(&self) -> Vec<ReplicaState> {
        let definition = self.replicas.definition().expect("it is there");
        definition.replicas.values().map(|it| it.state).collect()
    }

    async fn heals(&self) {
        for _ in 0..200 {
            if self.states().iter().all(|it| *it == ReplicaState::InSync) {
                return;
            }
            self.runtime.sleep(Duration::from_millis(50)).await;
        }
        panic!("not in sync: {:?}", self.states());
    }

    async fn rest(&self) {
        self.runtime.sleep(Duration::from_millis(500)).await;
    }
}

async fn make_cluster(log: &Log, count: usize) {
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

fn simulate(count: usize, test: impl AsyncFnOnce(&mut Bench)) {
    let runtime = Runtime::simulated(7);
    let run = async {
        let mut bench = Bench::start(runtime.clone(), count, true).await;
        bench.rest().await;
        test(&mut bench).await;
    };
    runtime.block_on(run).expect("it runs");
}

#[test]
fn slow_and_silent_replicas_leave_and_come_back() {
    let slow = Ills {
        slow: Duration::from_secs(6),
        ..Ills::default()
    };
    let silent = Ills {
        silent: true,
        ..Ills::default()
    };
    for (ills, least, most) in [(slow, 2000, 3000), (silent, 500, 1500)] {
        simulate(3, async |bench| {
            bench.fakes[1].ill(ills);
            let (took, rows) = bench.write().await;
            assert_eq!(rows, [1]);
            assert_ne!(bench.states()[1], ReplicaState::InSync, "{ills:?}");
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            assert!(took >= least && took <= most, "{ills:?}: {took:?}");
            bench.fakes[1].ill(Ills::default());
            bench.heals().await;
        });
    }
}

#[test]
fn a_liar_is_outvoted_copied_and_barred_at_the_third_time() {
    simulate(3, async |bench| {
        for time in 1..=3 {
            bench.fakes[0].ill(Ills {
                lies: true,
                ..Ills::default()
            });
            assert_eq!(bench.write().await.1, [1], "the majority is right");
            bench.fakes[0].ill(Ills::default());
            bench.rest().await;
            match time {
                3 => assert_eq!(bench.states()[0], ReplicaState::Barred),
                _ => bench.heals().await,
            }
        }
        assert_eq!(bench.write().await.1, [1]);
    });
}

#[test]
fn another_chain_is_found_and_replaced() {
    simulate(3, async |bench| {
        bench.fakes[2].ill(Ills {
            wrong_chain: true,
            ..Ills::default()
        });
        bench.write().await;
        bench.fakes[2].ill(Ills::default());
        bench.rest().await;
        bench.heals().await;
        bench.write().await;
        bench.rest().await;
        let chains: Vec<u128> = bench
            .fakes
            .iter()
            .map(|fake| fake.position.lock().chain)
            .collect();
        assert_eq!(chains, [3, 3, 3]);
    });
}

#[test]
fn a_tie_keeps_the_one_longest_in_sync() {
    simulate(2, async |bench| {
        // The first has been away since.
        bench.fakes[0].ill(Ills {
            silent: true,
            ..Ills::default()
        });
        bench.write().await;
        bench.fakes[0].ill(Ills::default());
        bench.heals().await;
        bench.fakes[1].ill(Ills {
            lies: true,
            ..Ills::default()
        });
        assert_eq!(bench.write().await.1, [2], "it is in sync for longer");
        assert_eq!(bench.states()[1], ReplicaState::InSync);
    });
}

#[test]
fn removal_waits_for_a_lease_that_is_not_given_up() {
    for (keeps_lease, least, most) in [(true, 500, 600), (false, 250, 400)] {
        simulate(3, async |bench| {
            bench.fakes[1].ill(Ills {
                fails: true,
                keeps_lease,
                ..Ills::default()
            });
            let (took, _) = bench.write().await;
            let range = Duration::from_millis(least)..Duration::from_millis(most);
            assert!(range.contains(&took), "{keeps_lease}: {took:?}");
        });
    }
}

#[test]
fn without_a_proof_no_lease_is_granted() {
    for proves in [true, false] {
        let runtime = Runtime::simulated(7);
        let run = async {
            let mut bench = Bench::start(runtime.clone(), 3, proves).await;
            bench.rest().await;
            bench.write().await;
            for member in bench.replicas.members() {
                assert_eq!(bench.replicas.grant(&member).is_some(), proves);
                member.update(|status| status.leaving = Some(Leaving::Held));
                assert!(bench.replicas.grant(&member).is_none(), "it leaves");
            }
        };
        runtime.block_on(run).expect("it runs");
    }
}

#[test]
fn the_log_is_kept_for_who_needs_it() {
    simulate(3, async |bench| {
        let end = *bench.replicas.log.applied().borrow();
        let applied = bench.fakes[0].position.lock().applied;
        let mut reach = Reach {
            end,
            bytes_after: Index(0),
        };
        assert_eq!(bench.replicas.floor(reach), Some(applied));
        let member = &bench.replicas.members()[1];
        member.update(|status| {
            if let Some(position) = &mut status.position {
                position.durable = Index(3);
            }
        });
        assert_eq!(bench.replicas.floor(reach), Some(Index(3)));
        member.update(|status| status.position = None);
        assert_eq!(bench.replicas.floor(reach), None, "nobody knows");
        // Away for longer than bytes are kept.
        let out = ReplicaState::OutOfSync;
        bench.fakes[1].ill(Ills {
            fails: true,
            silent: true,
            ..Ills::default()
        });
        let logged = bench.replicas.log_state(member.id, out, None, false, None);
        assert!(logged.await);
        member.update(|status| status.reached = Some(Index(3)));
        reach.end = applied;
        assert_eq!(bench.replicas.floor(reach), Some(Index(3)));
        reach.bytes_after = Index(5);
        assert_eq!(bench.replicas.floor(reach), Some(Index(5)));
    });
}

#[test]
fn a_schema_change_that_no_replica_can_apply_is_taken_back() {
    simulate(3, async |bench| {
        bench.fakes.iter().for_each(|fake| {
            fake.ill(Ills {
                chokes: true,
                ..Ills::default()
            });
        });
        let outcome = bench.change(Vec::new()).await;
        assert!(outcome.result.is_err());
        let definition = bench.replicas.definition().expect("it is there");
        assert_eq!(definition.schema.version, SchemaVersion(2));
        assert_eq!(bench.write().await.1, [1], "the cluster goes on");
        bench.heals().await;
    });
}

#[test]
fn writes_in_the_log_end_while_the_last_replica_fails() {
    simulate(3, async |bench| {
        let failing = Ills {
            fails: true,
            ..Ills::default()
        };
        bench.fakes.iter().for_each(|fake| fake.ill(failing));
        let began = bench.runtime.now();
        let decided = bench.log_write().await;
        let limit = Duration::from_secs(60);
        let decided = bench.runtime.timeout(limit, decided).await;
        assert!(decided.expect("it ends").is_err(), "its outcome is unknown");
        let took = bench.runtime.now().since(began);
        assert!(
            took >= STALLED_ANSWER_MAX && took < STALLED_ANSWER_MAX * 2,
            "{took:?}"
        );
        assert!(bench.replicas.is_stalled());
        let in_sync = bench.states().into_iter();
        assert_eq!(in_sync.filter(|it| *it == ReplicaState::InSync).count(), 1);
        bench
            .fakes
            .iter()
            .for_each(|fake| fake.ill(Ills::default()));
        bench.heals().await;
        assert!(!bench.replicas.is_stalled());
        assert_eq!(bench.write().await.1, [1]);
        let applied = bench.fakes.iter().map(|fake| fake.position.lock().chain);
        assert_eq!(
            applied.collect::<Vec<_>>(),
            [3, 3, 3],
            "it was applied after all"
        );
    });
}

#[test]
fn the_stable_index_waits_for_the_slowest_and_for_agreement() {
    simulate(3, async |bench| {
        bench.fakes[2].ill(Ills {
            slow: Duration::from_millis(900),
            ..Ills::default()
        });
        let before = bench.replicas.stable();
        let decided = bench.log_write().await;
        bench.rest().await;
        let entry = bench.fakes[0].position.lock().applied;
        assert!(entry > before, "the others have it");
        assert_eq!(bench.replicas.stable(), before, "one in sync lacks it");
        decided.await.expect("it is answered");
        assert_eq!(bench.replicas.stable(), entry);
        // One that leaves holds it, too, for as long as its lease may last.
        bench.fakes[2].ill(Ills {
            fails: true,
            keeps_lease: true,
            ..Ills::default()
        });
        let decided = bench.log_write().await;
        bench.runtime.sleep(Duration::from_millis(400)).await;
        assert_eq!(bench.states()[2], ReplicaState::OutOfSync);
        assert_eq!(bench.replicas.stable(), entry, "its lease may last");
        let (index, _) = decided.await.expect("it is answered");
        assert_eq!(bench.replicas.stable(), index);
    });
}

#[test]
fn leases_are_for_those_the_log_has_in_sync() {
    simulate(3, async |bench| {
        let members = bench.replicas.members();
        let grants = |member: &Member| bench.replicas.grant(member).is_some();
        assert!(grants(&members[0]));
        // A life that the log does not know.
        let changes: [fn(&mut Status); 4] = [
            |status| {
                if let Some(position) = &mut status.position {
                    position.incarnation = Incarnation(1);
                }
            },
            |status| status.position = None,
            |status| status.asks = None,
            |status| {
                if let Some(position) = &mut status.position {
                    position.applied = Index(0);
                }
            },
        ];
        for change in changes {
            let kept = members[0].status();
            members[0].update(change);
            assert!(!grants(&members[0]));
            members[0].update(|status| *status = kept);
        }
        assert!(grants(&members[0]));
        // Nobody repairs one that is barred.
        let out = ReplicaState::Barred;
        let logged = bench
            .replicas
            .log_state(members[0].id, out, None, false, None);
        assert!(logged.await);
        assert!(!grants(&members[0]), "it is out of sync");
        // Who was never granted a lease may hold one from the leader before.
        let never = &members[1];
        never.update(|status| status.granted = None);
        bench.fakes[1].ill(Ills {
            keeps_lease: true,
            ..Ills::default()
        });
        let opened = bench
            .replicas
            .leadership
            .opened_at()
            .expect("it was opened");
        let void = bench.replicas.lease_void(never).await;
        let longest = lease::LEASE + lease::PROOF_AGE_MAX;
        assert_eq!(void, opened + longest.mul_f64(1.1));
    });
}

#[test]
fn other_rows_are_found_at_rest() {
    let other_rows = Ills {
        other_rows: true,
        ..Ills::default()
    };
    let unreadable = Ills {
        unreadable: true,
        ..Ills::default()
    };
    // How many, who is ill and how, who loses, and whether that is a lost vote.
    let cases = [
        (3, 0, other_rows, 0, 1),
        (3, 1, unreadable, 1, 0),
        (2, 0, other_rows, 1, 1), // the first is longest in sync
        (2, 0, unreadable, 0, 0),
    ];
    for (count, ill, ills, loser, lost) in cases {
        simulate(count, async |bench| {
            bench.make_table().await;
            bench.fakes[ill].ill(ills);
            let lives = |bench: &Bench| -> Vec<_> {
                let definition = bench.replicas.definition().expect("it is there");
                definition
                    .replicas
                    .values()
                    .map(|it| it.incarnation)
                    .collect()
            };
            let before = lives(bench);
            bench.replicas.verify().await;
            bench.fakes[ill].ill(Ills::default());
            bench.rest().await;
            bench.heals().await;
            let after = lives(bench);
            for place in 0..count {
                let copied = before[place] != after[place];
                assert_eq!(copied, place == loser, "{ills:?}: {place}");
            }
            let definition = bench.replicas.definition().expect("it is there");
            let votes: usize = definition
                .replicas
                .values()
                .map(|it| it.lost_votes_at.len())
                .sum();
            assert_eq!(votes, lost);
        });
    }
}

#[test]
fn nobody_is_judged_who_cannot_be_compared() {
    simulate(3, async |bench| {
        bench.make_table().await;
        bench.fakes[0].ill(Ills {
            other_rows: true,
            ..Ills::default()
        });
        bench.fakes[1].ill(Ills {
            elsewhere: true,
            ..Ills::default()
        });
        bench.replicas.verify().await;
        bench.rest().await;
        assert!(bench.states().iter().all(|it| *it == ReplicaState::InSync));
    });
}
