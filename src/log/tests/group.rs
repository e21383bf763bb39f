//! Groups of three in simulations: elections, lost lines, restarts, snapshots.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use super::*;

/// Three nodes in one simulation, and the lines between them.
struct Group {
    runtime: Runtime,
    directory: tempfile::TempDir,
    lines: Arc<Mutex<Lines>>,
    logs: BTreeMap<u64, Arc<Log>>,
}

#[derive(Default)]
struct Lines {
    nodes: BTreeMap<u64, Arc<Log>>,
    /// Nodes that nobody reaches and that reach nobody.
    cut: BTreeSet<u64>,
}

impl Group {
    fn new(runtime: &Runtime) -> Group {
        Group {
            runtime: runtime.clone(),
            directory: tempfile::tempdir().expect("temporary directories can be made"),
            lines: Arc::default(),
            logs: BTreeMap::new(),
        }
    }

    /// A transport that takes up to 2 ms a way.
    fn transport(&self, from: u64) -> Transport {
        let (runtime, lines) = (self.runtime.clone(), self.lines.clone());
        Arc::new(move |call: Call| {
            let (runtime, lines) = (runtime.clone(), lines.clone());
            Box::pin(async move {
                let travel = || {
                    let wait = Duration::from_micros(runtime.random_u64() % 2000);
                    runtime.sleep(wait)
                };
                let to = call.target.0;
                let lost = || std::io::Error::other("no line");
                travel().await;
                let target = {
                    let lines = lines.lock();
                    let cut = lines.cut.contains(&from) || lines.cut.contains(&to);
                    lines.nodes.get(&to).filter(|_| !cut).cloned()
                };
                let answer = target.ok_or_else(lost)?.receive(&call.body).await;
                travel().await;
                if lines.lock().cut.contains(&from) || lines.lock().cut.contains(&to) {
                    return Err(lost());
                }
                answer.ok_or_else(lost)
            })
        })
    }

    async fn start(&mut self, node: u64) {
        let config = LogConfig {
            directory: self.directory.path().join(node.to_string()),
            node: NodeId(node),
            name: node.to_string(),
            address: format!("n{node}:1"),
            at_least: Index(0),
            single_voter_init: false,
            group: Some(uuid::Uuid::from_u128(7)),
            transport: self.transport(node),
        };
        let log = Log::open(config, self.runtime.clone())
            .await
            .expect("it opens");
        self.lines.lock().nodes.insert(node, log.clone());
        self.logs.insert(node, log);
    }

    async fn stop(&mut self, node: u64) {
        self.lines.lock().nodes.remove(&node);
        let log = self.logs.remove(&node).expect("it runs");
        log.shutdown().await;
        // Calls under way may hold it a little longer.
        while Arc::strong_count(&log) > 1 {
            self.runtime.sleep(Duration::from_millis(5)).await;
        }
    }

    async fn form(&mut self) {
        for node in 1..=3 {
            self.start(node).await;
        }
        let members = (1..=3).map(|node| (NodeId(node), format!("n{node}:1")));
        let formed = self.logs[&1].form(&members.collect()).await;
        formed.expect("nothing is there yet");
    }

    /// A node that leads and can prove it.
    async fn leader(&self) -> Arc<Log> {
        for _ in 0..200 {
            for log in self.logs.values().filter(|log| log.is_leader()) {
                if log.prove_leadership().await.is_ok() {
                    return log.clone();
                }
            }
            self.runtime.sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody leads");
    }

    async fn wait_for(&self, node: u64, index: Index) {
        let mut applied = self.logs[&node].applied();
        let reached = applied.wait_for(|applied| *applied >= index);
        let reached = self.runtime.timeout(Duration::from_secs(30), reached).await;
        reached
            .expect("it catches up in time")
            .expect("the node runs");
    }

    async fn end(mut self) {
        for node in self.logs.keys().copied().collect::<Vec<_>>() {
            self.stop(node).await;
        }
    }
}

/// Runs in a simulation; the group of the seed is formed and has its data cluster.
fn simulate<F: Future<Output = ()>>(seed: u64, test: impl FnOnce(Group) -> F) {
    let runtime = Runtime::simulated(seed);
    let mut group = Group::new(&runtime);
    let run = async {
        group.form().await;
        make_cluster(&*group.leader().await)
            .await
            .expect("it leads");
        test(group).await;
    };
    runtime.block_on(run).expect("simulations start");
}

#[test]
fn a_group_elects_replicates_and_outlives_its_leader() {
    simulate(1, async |mut group| {
        for number in 0..20 {
            let leader = group.leader().await;
            leader.propose(write(number)).await.expect("it leads");
        }
        let old = group.leader().await;
        let (applied, node) = (old.state().applied, old.node().0);
        let follower = group.logs.values().find(|log| !log.is_leader());
        let refused = follower.expect("there are two").propose(write(99)).await;
        assert_eq!(
            refused.map_err(|it| it.kind()),
            Err(crate::error::Kind::Unavailable)
        );
        for other in 1..=3 {
            group.wait_for(other, applied).await;
            assert_eq!(
                group.logs[&other].state().catalog,
                old.state().catalog,
                "all apply alike"
            );
        }
        drop(old);
        group.stop(node).await;
        let new = group.leader().await;
        assert_ne!(new.node().0, node);
        let done = new.propose(write(20)).await.expect("it leads");
        drop(new);
        group.start(node).await;
        group.wait_for(node, done.index).await;
        assert_eq!(
            numbers(&group.logs[&node]).await,
            (0..21).collect::<Vec<_>>()
        );
        group.end().await;
    });
}

#[test]
fn a_leader_that_is_cut_off_proves_nothing_and_its_proposal_is_unknown() {
    simulate(2, async |group| {
        let old = group.leader().await;
        group.lines.lock().cut.insert(old.node().0);
        let proposer = old.clone();
        let proposing = async move { proposer.propose(write(1)).await };
        let mut proposing = group.runtime.spawn("proposer", proposing);
        assert!(old.prove_leadership().await.is_err());
        let elsewhere = |log: &&Arc<Log>| log.is_leader() && log.node() != old.node();
        let new = loop {
            if let Some(log) = group.logs.values().find(elsewhere) {
                break log.clone();
            }
            group.runtime.sleep(Duration::from_millis(50)).await;
        };
        let done = new.propose(write(2)).await.expect("it leads");
        let waiting = group
            .runtime
            .timeout(Duration::from_secs(3), &mut proposing);
        assert!(waiting.await.is_err(), "nobody agrees and nobody refuses");
        group.lines.lock().cut.clear();
        let unknown = proposing.await.expect("it does not panic");
        assert_eq!(
            unknown.map_err(|it| it.kind()),
            Err(crate::error::Kind::OutcomeUnknown)
        );
        group.wait_for(old.node().0, done.index).await;
        assert_eq!(numbers(&old).await, [2], "what lost is gone");
        drop((old, new));
        group.end().await;
    });
}

#[test]
fn a_node_that_the_log_no_longer_reaches_gets_a_snapshot_with_its_entries() {
    simulate(3, async |mut group| {
        let leader = group.leader().await;
        let away = (1..=3).find(|node| *node != leader.node().0);
        let away = away.expect("there are three");
        group.stop(away).await;
        for number in 0..50 {
            leader.propose(write(number)).await.expect("it leads");
        }
        let floor = Index(leader.state().applied.0 - 20);
        leader.compact(floor).await.expect("it leads");
        for number in 50..60 {
            leader.propose(write(number)).await.expect("it leads");
        }
        let applied = leader.state().applied;
        group.start(away).await;
        group.wait_for(away, applied).await;
        let log = group.logs[&away].clone();
        assert_eq!(log.state().catalog, leader.state().catalog);
        assert_eq!(log.first_index(), Index(floor.0 + 1));
        assert_eq!(numbers(&log).await, numbers(&leader).await);
        assert_eq!(numbers(&log).await, (30..60).collect::<Vec<_>>());
        drop((leader, log));
        // And it keeps them over a restart.
        group.stop(away).await;
        group.start(away).await;
        group.wait_for(away, applied).await;
        let found = numbers(&group.logs[&away]).await;
        assert_eq!(found, (30..60).collect::<Vec<_>>());
        group.end().await;
    });
}

#[test]
fn a_node_joins_a_running_group() {
    simulate(6, async |mut group| {
        let leader = group.leader().await;
        leader.propose(write(1)).await.expect("it leads");
        group.start(4).await;
        let joined = leader.add_voter(NodeId(4), "n4:1").await;
        joined.expect("a majority is there");
        assert_eq!(leader.voters().len(), 4);
        let done = leader.propose(write(2)).await.expect("it leads");
        group.wait_for(4, done.index).await;
        assert_eq!(numbers(&group.logs[&4]).await, [1, 2]);
        drop(leader);
        group.end().await;
    });
}

#[test]
fn a_group_runs_the_same_for_the_same_seed() {
    let story = |seed| {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        simulate(seed, async move |mut group| {
            for number in 0..12 {
                let leader = group.leader().await;
                let done = leader.propose(write(number)).await.expect("it leads");
                tell.lock().push((group.runtime.now(), leader.node(), done));
                if number == 6 {
                    let node = leader.node().0;
                    drop(leader);
                    group.stop(node).await;
                }
            }
            group.end().await;
        });
        Arc::into_inner(told).map(Mutex::into_inner)
    };
    assert_ne!(story(4), None);
    assert_eq!(story(4), story(4));
}

/// Proposes until some leader acknowledges it: a repeat after an unknown
/// outcome is dropped by its id.
async fn insist(group: &Group, number: u64) {
    loop {
        let leader = group.leader().await;
        let proposing = leader.propose(write(number));
        let limit = Duration::from_secs(1);
        match group.runtime.timeout(limit, proposing).await {
            Ok(Ok(done)) => return done.answer.check().expect("nothing is in its way"),
            Ok(Err(error)) => assert!(error.kind() != crate::error::Kind::Internal, "{error}"),
            Err(_) => {}
        }
    }
}

/// One random trouble, or its end. A majority always stays within reach.
async fn trouble(group: &mut Group) {
    let node = 1 + group.runtime.random_u64() % 3;
    let whole = group.logs.len() == 3 && group.lines.lock().cut.is_empty();
    match group.runtime.random_u64() % 6 {
        0 if whole => drop(group.lines.lock().cut.insert(node)),
        1 if whole => group.stop(node).await,
        2 => group.lines.lock().cut.clear(),
        3 => {
            let away = (1..=3).find(|node| !group.logs.contains_key(node));
            if let Some(node) = away {
                group.start(node).await;
            }
        }
        4 => {
            let leader = group.leader().await;
            let floor = Index(leader.state().applied.0.saturating_sub(15));
            let limit = Duration::from_secs(1);
            let _ = group.runtime.timeout(limit, leader.compact(floor)).await;
        }
        _ => {}
    }
}

#[test]
fn through_all_trouble_each_transaction_is_there_once_and_all_nodes_agree() {
    for seed in 100..104 {
        simulate(seed, async |mut group| {
            let count = 60;
            for number in 0..count {
                trouble(&mut group).await;
                insist(&group, number).await;
            }
            group.lines.lock().cut.clear();
            for node in 1..=3 {
                if !group.logs.contains_key(&node) {
                    group.start(node).await;
                }
            }
            insist(&group, count).await;
            let applied = group.leader().await.state().applied;
            for node in 1..=3 {
                group.wait_for(node, applied).await;
            }
            let first = group.logs[&1].machine.held().machine;
            for log in group.logs.values() {
                assert!(log.machine.held().machine == first, "seed {seed}");
                let found = numbers(log).await;
                let expected: Vec<_> = (count + 1 - found.len() as u64..=count).collect();
                assert_eq!(found, expected, "seed {seed}");
            }
            drop(first);
            group.end().await;
        });
    }
}
