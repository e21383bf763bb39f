//! Replicas that fail in every way, on simulated time.

mod bench;

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::floor::Reach;
use super::*;
use crate::types::id::SchemaVersion;
use bench::{Bench, Ills, simulate};

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

/// As when the disk that they share is busy.
#[test]
fn replicas_that_are_silent_together_stay() {
    simulate(3, async |bench| {
        let mute = Ills {
            mute: true,
            slow: Duration::from_secs(4),
            ..Ills::default()
        };
        bench.fakes.iter().for_each(|fake| fake.ill(mute));
        let (took, rows) = bench.write().await;
        assert_eq!(rows, [1]);
        assert!(took >= mute.slow && took < mute.slow * 2, "{took:?}");
        assert_eq!(bench.states(), [ReplicaState::InSync; 3]);
        assert!(!bench.replicas.is_stalled());
    });
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

/// Thousands of small tables are no load either.
#[test]
fn comparing_rests_after_every_table() {
    simulate(3, async |bench| {
        bench.make_table().await;
        let began = bench.runtime.now();
        bench.replicas.verify().await;
        let took = bench.runtime.now().since(began);
        assert!(took >= verify::REST_MIN * 2, "{took:?}");
    });
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

/// While the log is at work on an entry, replicas that have all before it are
/// told of it; of changes of the schema they are not.
#[test]
fn entries_are_prepared_while_they_are_logged() {
    simulate(3, async |bench| {
        for _ in 0..20 {
            bench.write().await;
        }
        for fake in &bench.fakes {
            let foreseen = fake.foreseen.load(Ordering::Relaxed);
            assert!(foreseen >= 20, "{foreseen} of 21");
            assert_eq!(fake.prepared.lock().len(), 0);
        }
        bench.make_table().await;
        let ahead = bench.fakes.iter().map(|fake| fake.prepared.lock().len());
        assert_eq!(ahead.sum::<usize>(), 0);
    });
}
