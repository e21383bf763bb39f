//! What each command does to the state, and that a snapshot changes nothing.

use proptest::prelude::*;

use super::*;
use crate::catalog::{Counter, Place, ReplicaState, UserKind};
use crate::log::codec;
use crate::types::id::{Incarnation, ObjectId, ReplicaId, SchemaVersion, UserId};

const CLUSTER: ClusterId = ClusterId(uuid::Uuid::from_u128(100));
const OWNER: UserId = user(1);

const fn user(number: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(number))
}

fn id(number: u64) -> TransactionId {
    TransactionId {
        node: NodeId(1),
        boot: Boot(7),
        number,
    }
}

fn create_user(number: u128, name: &str, email: Option<&str>) -> Command {
    Command::CreateUser {
        id: user(number),
        service: user(number + 1000),
        name: name.to_owned(),
        email: email.map(str::to_owned),
        kind: UserKind::User,
        verifier: None,
    }
}

fn create_cluster(number: u128, name: &str, owner: UserId) -> Command {
    let replica = |it: u128| (uuid::Uuid::from_u128(it), Place::Embedded(NodeId(1)));
    Command::CreateCluster {
        id: ClusterId(uuid::Uuid::from_u128(number)),
        name: name.to_owned(),
        owner,
        created: "2026-01-01".to_owned(),
        created_by: "one".to_owned(),
        replicas: (0..3).map(replica).collect(),
    }
}

fn replica(number: u64, state: ReplicaState) -> Command {
    Command::Replica {
        cluster: CLUSTER,
        replica: ReplicaId(number),
        state,
        incarnation: Some(Incarnation(number + 50)),
        lost_vote_at: (state == ReplicaState::OutOfSync).then_some(7),
        reason: None,
    }
}

fn batch(numbers: &[u64]) -> Batch {
    let transaction = |number: &u64| crate::types::write::Transaction {
        id: id(*number),
        writes: Vec::new(),
    };
    Batch {
        cluster: CLUSTER,
        schema: SchemaVersion(0),
        transactions: numbers.iter().map(transaction).collect(),
        counters: Vec::new(),
        settled: None,
        pieces: None,
    }
}

fn write(batch: Batch) -> Command {
    Command::Batch(Arc::new(batch))
}

/// A machine and how far it is.
#[derive(Default)]
struct Run(Machine);

impl Run {
    /// One owner with one data cluster of three replicas; ends at entry 2.
    fn ready() -> Run {
        let mut run = Run::default();
        assert_eq!(run.apply(&create_user(1, "owner", None)), Answer::default());
        let made = run.apply(&create_cluster(100, "company", OWNER));
        assert_eq!(made, Answer::default());
        run
    }

    fn apply(&mut self, command: &Command) -> Answer {
        let index = Index(self.0.applied.0 + 1);
        self.0.apply(index, Term(1), Some(command))
    }

    fn refusal(&mut self, command: &Command) -> String {
        let before = self.0.state().catalog;
        let answer = self.apply(command);
        assert_eq!(self.0.state().catalog, before, "a refusal changes nothing");
        let (state, _) = answer.refused.expect("it is refused");
        String::from_utf8_lossy(&state).into_owned()
    }

    fn cluster(&self) -> Arc<Cluster> {
        self.0.cluster(CLUSTER).expect("it was made").clone()
    }

    fn skipped(&self, index: u64, command: &Command) -> Vec<TransactionId> {
        self.0.skipped(Index(index), Some(command))
    }
}

#[test]
fn users_and_clusters_have_one_name() {
    let mut run = Run::ready();
    let taken = create_user(2, "owner", None);
    assert_eq!(run.refusal(&taken), "42710");
    let other = create_user(2, "other", Some("a@b"));
    assert_eq!(run.apply(&other), Answer::default());
    assert_eq!(run.refusal(&create_user(3, "third", Some("a@b"))), "42710");
    assert_eq!(run.refusal(&create_user(1, "fourth", None)), "42710");
    assert_eq!(run.refusal(&create_cluster(101, "company", OWNER)), "42P04");
    assert_eq!(run.refusal(&create_cluster(101, "pyql", OWNER)), "42P04");
    assert_eq!(run.refusal(&create_cluster(101, "x", user(9))), "42704");
    let theirs = create_cluster(101, "company", user(2));
    assert_eq!(run.apply(&theirs), Answer::default());
    let services = run.0.catalog.users.values();
    let parents: Vec<_> = services.filter_map(|it| it.parent).collect();
    assert_eq!(parents, [user(1), user(2)]);
    assert_eq!(run.refusal(&Command::DropUser { id: user(2) }), "2BP01");
    let gone = Command::DropCluster {
        id: ClusterId(uuid::Uuid::from_u128(101)),
    };
    assert_eq!(run.apply(&gone), Answer::default());
    assert_eq!(run.refusal(&gone), "3D000");
    let shared = Command::SetAccess {
        cluster: CLUSTER,
        access: vec![user(2)],
    };
    run.apply(&shared);
    assert_eq!(run.cluster().access, [user(2)]);
    run.apply(&Command::DropUser { id: user(2) });
    assert_eq!(run.cluster().access, []);
    assert_eq!(run.0.catalog.users.len(), 2);
}

#[test]
fn a_new_cluster_has_its_embedded_replicas_in_sync() {
    let run = Run::ready();
    let cluster = run.cluster();
    assert_eq!(cluster.in_sync().count(), 3);
    assert_eq!(cluster.born, Index(2));
    assert_eq!(run.0.catalog.next_replica, 3);
}

#[test]
fn the_last_replica_in_sync_stays() {
    let mut run = Run::ready();
    run.apply(&replica(0, ReplicaState::OutOfSync));
    run.apply(&replica(1, ReplicaState::Barred));
    let last = replica(2, ReplicaState::OutOfSync);
    assert_eq!(run.refusal(&last), "55000");
    assert_eq!(run.refusal(&replica(9, ReplicaState::InSync)), "42704");
    // A new incarnation of it is no leaving.
    assert_eq!(
        run.apply(&replica(2, ReplicaState::InSync)),
        Answer::default()
    );
    run.apply(&replica(0, ReplicaState::InSync));
    assert_eq!(run.apply(&last), Answer::default());
    let cluster = run.cluster();
    assert_eq!(cluster.replicas[&ReplicaId(0)].lost_votes_at, [7]);
    assert_eq!(
        cluster.replicas[&ReplicaId(0)].incarnation,
        Some(Incarnation(50))
    );
    assert_eq!(cluster.in_sync().count(), 1);
}

#[test]
fn a_repeated_transaction_is_told_and_left_out() {
    let mut run = Run::ready();
    let first = write(batch(&[1, 2]));
    assert_eq!(run.apply(&first), Answer::default());
    assert_eq!(run.skipped(3, &first), []);
    let second = write(batch(&[2, 3]));
    let answer = run.apply(&second);
    assert_eq!((answer.repeated, answer.refused), (vec![id(2)], None));
    assert_eq!(run.skipped(4, &second), [id(2)]);
    assert_eq!(run.cluster().last_write, Index(4));
    // Even where the batch as a whole is refused, what was there is told.
    let mut stale = batch(&[3, 4]);
    stale.schema = SchemaVersion(9);
    let stale = write(stale);
    let answer = run.apply(&stale);
    assert_eq!(answer.repeated, [id(3)]);
    assert_eq!(answer.check().map_err(|it| it.state()), {
        Err(SqlState::SERIALIZATION_FAILURE)
    });
    assert_eq!(run.skipped(5, &stale), [id(3), id(4)]);
    assert_eq!(run.cluster().last_write, Index(4));
    // What was refused is not there.
    assert_eq!(run.apply(&write(batch(&[4]))), Answer::default());
    assert_eq!(run.refusal(&write(batch(&[8, 8]))), "XX000");
}

#[test]
fn an_id_older_than_the_memory_is_forgotten() {
    let mut run = Run::ready();
    run.apply(&write(batch(&[5])));
    for _ in 0..recent::WINDOW {
        let index = Index(run.0.applied.0 + 1);
        run.0.apply(index, Term(1), None);
    }
    let again = write(batch(&[5, 6]));
    let answer = run.apply(&again);
    assert_eq!((answer.repeated, answer.forgotten), (vec![], vec![id(5)]));
    assert_eq!(run.skipped(run.0.applied.0, &again), [id(5)]);
}

#[test]
fn counters_and_agreements_are_taken_over() {
    let mut run = Run::ready();
    let counter = |last_value| Counter {
        last_value,
        is_called: true,
    };
    let settled = |index| {
        Some(Settled {
            index: Index(index),
            chain: 1 << 100,
        })
    };
    let mut one = batch(&[1]);
    one.counters = vec![(ObjectId(1), counter(5)), (ObjectId(2), counter(1))];
    one.settled = settled(3);
    run.apply(&write(one));
    let mut two = batch(&[2]);
    two.counters = vec![(ObjectId(1), counter(9))];
    two.settled = settled(2);
    let held = run.0.state();
    run.apply(&write(two));
    let cluster = run.cluster();
    assert_eq!(cluster.counters[&ObjectId(1)], counter(9));
    assert_eq!(cluster.counters[&ObjectId(2)], counter(1));
    assert_eq!(cluster.settled, settled(3));
    // A reader's snapshot does not change, and shares the schema with the next.
    let old = held.catalog.cluster(CLUSTER).expect("it was made").clone();
    assert_eq!(old.counters[&ObjectId(1)], counter(5));
    assert!(Arc::ptr_eq(&old.schema, &cluster.schema));
}

#[test]
fn a_schema_change_fits_one_version_and_comes_once() {
    use crate::catalog::change::SchemaChange;
    use crate::catalog::schema::Sequence;
    let sequence = |number| Sequence {
        id: ObjectId(number),
        name: format!("s{number}"),
        ty: crate::types::Type::Int8,
        start: 1,
        increment: 1,
        min: 1,
        max: i64::MAX,
        cycle: false,
        owner: None,
        hidden: false,
    };
    let counter = Counter {
        last_value: 1,
        is_called: false,
    };
    let entry = |number, before, changes| {
        Command::Schema(Arc::new(SchemaEntry {
            cluster: CLUSTER,
            id: id(number),
            before: SchemaVersion(before),
            changes,
            writes: Vec::new(),
            then: Vec::new(),
            pieces: None,
            counters: Vec::new(),
            settled: None,
        }))
    };
    let create = |number| vec![SchemaChange::CreateSequence(sequence(number))];
    let first = crate::catalog::schema::FIRST_USER_OID;
    let mut run = Run::ready();
    let made = entry(1, 0, create(first));
    assert_eq!(run.apply(&made), Answer::default());
    assert_eq!(run.cluster().schema.version, SchemaVersion(1));
    assert_eq!(run.apply(&made).repeated, [id(1)]);
    assert_eq!(run.skipped(4, &made), [id(1)]);
    let stale = entry(2, 0, create(first + 1));
    assert_eq!(run.refusal(&stale), "40001");
    assert_eq!(run.skipped(5, &stale), [id(2)]);
    let mut counted = batch(&[3]);
    counted.schema = SchemaVersion(1);
    counted.counters = vec![(ObjectId(first), counter)];
    assert_eq!(run.apply(&write(counted)), Answer::default());
    assert_eq!(run.cluster().counters.len(), 1);
    let dropped = vec![SchemaChange::DropSequence(ObjectId(first))];
    assert_eq!(run.apply(&entry(4, 1, dropped)), Answer::default());
    assert_eq!(run.cluster().counters.len(), 0, "its counter went too");
    let missing = vec![SchemaChange::DropSequence(ObjectId(first))];
    run.refusal(&entry(5, 2, missing));
    assert_eq!(run.refusal(&write(batch(&[6]))), "40001");
}

fn part(number: u64) -> Command {
    Command::Piece(Arc::new(PieceEntry {
        cluster: CLUSTER,
        of: id(number),
        bytes: vec![1],
    }))
}

fn last(number: u64, parts: &[u64]) -> Command {
    let piece = |index: &u64| Piece {
        index: Index(*index),
        changes: 1,
    };
    write(Batch {
        pieces: Some(Pieced {
            of: id(number),
            pieces: parts.iter().map(piece).collect(),
        }),
        ..batch(&[number])
    })
}

#[test]
fn pieces_need_their_last_entry_and_their_sequencer() {
    let opened = Command::Opened {
        node: NodeId(1),
        boot: Boot(7),
    };
    let mut run = Run::ready();
    assert_eq!(run.apply(&part(1)), Answer::default());
    assert_eq!(run.apply(&part(1)), Answer::default());
    assert_eq!(run.refusal(&last(1, &[3, 9])), "40001");
    assert_eq!(run.apply(&last(1, &[3, 4])), Answer::default());
    let repeat = last(1, &[3, 4]);
    assert_eq!(run.apply(&repeat).repeated, [id(1)]);
    run.apply(&part(2)); // 8
    run.apply(&part(2));
    assert_eq!(
        run.apply(&last(2, &[9])),
        Answer::default(),
        "one was left out"
    );
    run.apply(&part(3)); // 11
    run.apply(&opened);
    let opening = run.0.state().opening.expect("it was opened");
    assert_eq!((opening.index, opening.boot), (Index(12), Boot(7)));
    assert_eq!(run.refusal(&last(3, &[11])), "40001");
    run.apply(&part(4)); // 14
    run.apply(&Command::Abandon(id(4)));
    assert_eq!(run.refusal(&last(4, &[14])), "40001");
    run.apply(&Command::Floor(Index(100)));
    assert_eq!(run.0.state().floor, Index(17), "nothing is kept for them");
}

#[test]
fn a_schema_change_that_no_replica_can_apply_is_taken_back() {
    let mut run = Run::ready();
    let change = |number, before| {
        Command::Schema(Arc::new(SchemaEntry {
            cluster: CLUSTER,
            id: id(number),
            before: SchemaVersion(before),
            changes: Vec::new(),
            writes: Vec::new(),
            then: Vec::new(),
            counters: vec![(ObjectId(5), Counter::default())],
            settled: None,
            pieces: None,
        }))
    };
    let before = run.cluster();
    let first = change(1, 0);
    assert_eq!(run.apply(&first), Answer::default()); // 3
    let mut built_on_it = batch(&[2]);
    built_on_it.schema = SchemaVersion(1);
    let built_on_it = write(built_on_it);
    assert_eq!(run.apply(&built_on_it), Answer::default()); // 4
    let void = Command::Void {
        cluster: CLUSTER,
        index: Index(3),
        transaction: id(1),
    };
    for _ in 0..2 {
        assert_eq!(run.apply(&void), Answer::default());
        let cluster = run.cluster();
        assert_eq!(cluster.schema.version, SchemaVersion(2));
        assert_eq!(cluster.schema.tables, before.schema.tables);
        assert_eq!(cluster.counters, before.counters);
    }
    assert!(run.0.is_voided_change(Index(3), Some(&first)));
    assert_eq!(run.skipped(4, &built_on_it), [id(2)]);
    assert_eq!(run.refusal(&change(3, 1)), "40001");
    assert_eq!(run.apply(&change(4, 2)), Answer::default());
    assert_eq!(run.cluster().schema.version, SchemaVersion(3));
    run.apply(&Command::Floor(Index(100)));
    assert_eq!(run.cluster().undo, None);
}

#[test]
fn the_floor_keeps_pieces_and_forgets_the_rest() {
    let mut run = Run::ready();
    let one = write(batch(&[1]));
    run.apply(&one);
    run.apply(&one); // 4: a repeat
    run.apply(&part(2)); // 5
    run.apply(&write(batch(&[3]))); // 6
    run.apply(&last(2, &[5])); // 7
    let void = Command::Void {
        cluster: CLUSTER,
        index: Index(6),
        transaction: id(3),
    };
    run.apply(&void); // 8
    assert_eq!(run.skipped(4, &one), [id(1)]);
    assert_eq!(run.skipped(6, &write(batch(&[3]))), [id(3)]);
    run.apply(&Command::Floor(Index(6)));
    assert_eq!(run.0.state().floor, Index(4), "entry 7 needs entry 5");
    assert_eq!(run.0.skips.len(), 0);
    assert_eq!(run.cluster().voids.len(), 1);
    run.apply(&part(4)); // 10
    run.apply(&Command::Floor(Index(100)));
    assert_eq!(run.0.state().floor, Index(9), "entry 10 is still open");
    assert_eq!(run.cluster().voids.len(), 0);
    let future = Command::Void {
        cluster: CLUSTER,
        index: Index(100),
        transaction: id(3),
    };
    assert_eq!(run.refusal(&future), "XX000");
}

#[test]
fn nodes_keep_their_numbers() {
    let add = |number, name: &str, address: &str| Command::AddNode {
        id: NodeId(number),
        name: name.to_owned(),
        address: address.to_owned(),
    };
    let mut run = Run::default();
    run.apply(&add(1, "one", "a:1"));
    run.apply(&Command::Opened {
        node: NodeId(1),
        boot: Boot(3),
    });
    assert_eq!(run.refusal(&add(1, "two", "a:1")), "42710");
    assert_eq!(run.refusal(&add(2, "one", "a:1")), "42710");
    assert_eq!(run.apply(&add(1, "one", "a:2")), Answer::default());
    let node = run.0.catalog.nodes[&NodeId(1)].clone();
    assert_eq!((node.address.as_str(), node.boot), ("a:2", Some(Boot(3))));
}

fn any_command() -> impl Strategy<Value = Command> {
    let numbers = prop::collection::vec(0..40u64, 0..4);
    prop_oneof![
        4 => numbers.prop_map(|numbers| write(batch(&numbers))),
        1 => (0..6u64).prop_map(part),
        1 => (0..6u64).prop_map(|number| Command::Abandon(id(number))),
        1 => (0..6u64, prop::collection::vec(0..60u64, 1..3))
            .prop_map(|(number, parts)| last(number, &parts)),
        1 => (1..5u128).prop_map(|it| create_user(it, &format!("u{it}"), None)),
        1 => (100..103u128, 1..5u128)
            .prop_map(|(it, owner)| create_cluster(it, &format!("c{it}"), user(owner))),
        1 => (0..60u64, 0..40u64).prop_map(|(index, number)| Command::Void {
            cluster: CLUSTER,
            index: Index(index),
            transaction: id(number),
        }),
        1 => (0..60u64).prop_map(|floor| Command::Floor(Index(floor))),
        1 => Just(Command::Opened { node: NodeId(1), boot: Boot(7) }),
        2 => (0..5u64, prop::bool::ANY).prop_map(|(number, fine)| {
            replica(number, if fine { ReplicaState::InSync } else { ReplicaState::OutOfSync })
        }),
    ]
}

proptest! {
    /// A node that went through a snapshot at any entry ends where the others do.
    #[test]
    fn a_snapshot_at_any_entry_changes_nothing(
        commands in prop::collection::vec(any_command(), 1..60),
        at in 0..60usize,
    ) {
        let mut straight = Run::ready();
        let mut restored = Run::ready();
        for (number, command) in commands.iter().enumerate() {
            if number == at {
                let bytes = codec::encode(&restored.0).expect("it has an encoding");
                restored = Run(codec::decode(&bytes).expect("it was just encoded"));
            }
            prop_assert_eq!(straight.apply(command), restored.apply(command));
            let clusters = restored.0.catalog.clusters.values();
            for cluster in clusters {
                prop_assert!(cluster.in_sync().count() > 0);
            }
        }
        prop_assert_eq!(straight.0, restored.0);
    }
}
