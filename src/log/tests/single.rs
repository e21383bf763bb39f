//! One node alone, on the real runtime.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::log::command::{PieceEntry, Pieced};
use crate::types::id::TableId;
use crate::types::piece::{self, Piece};

/// Runs on the real runtime, in a temporary directory.
fn run<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf, Runtime) -> F) {
    let directory = tempfile::tempdir().expect("temporary directories can be made");
    let runtime = Runtime::real();
    let test = test(directory.path().to_owned(), runtime.clone());
    runtime.block_on(test).expect("runtimes start");
}

#[test]
fn it_leads_at_once_and_finds_its_state_again() {
    run(async |path, runtime| {
        let begun = runtime.now();
        let log = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .expect("opens");
        assert!(log.is_leader());
        let (node, boot) = (log.node(), log.boot());
        let done = log.propose(Command::Opened { node, boot }).await;
        let done = done.expect("it leads");
        assert_eq!(done.answer, Answer::default());
        assert_eq!(*log.applied().borrow(), done.index);
        assert!(log.prove_leadership().await.expect("it leads") > begun);
        let second = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .err();
        let message = second.expect("the directory is in use").to_string();
        assert!(message.contains("in use"), "{message}");
        log.shutdown().await;
        assert_eq!(
            log.propose(write(1)).await.map_err(|it| it.kind()),
            Err(crate::error::Kind::Unavailable)
        );
        drop(log);

        let begun = runtime.now();
        let log = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .expect("opens again");
        assert!(runtime.now() - begun < Duration::from_secs(3));
        assert_eq!(log.state().opening.map(|it| it.boot), Some(boot));
        assert_eq!(log.state().catalog.nodes[&NodeId(1)].boot, Some(boot));
        assert_ne!(log.boot(), boot);
        let mut other = LogConfig::alone(&path);
        other.node = NodeId(2);
        log.shutdown().await;
        drop(log);
        let wrong = Log::open(other, runtime).await.err();
        let message = wrong.expect("it is another's").to_string();
        assert!(message.contains("belongs to node 1"), "{message}");
    });
}

#[test]
fn compaction_forgets_up_to_the_floor_and_a_restart_goes_on() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        for number in 0..40 {
            log.propose(write(number)).await.expect("it leads");
        }
        let applied = log.state().applied;
        let floor = Index(applied.0 - 10);
        log.compact(floor).await.expect("it leads");
        assert_eq!(log.state().floor, floor);
        assert_eq!(log.first_index(), Index(floor.0 + 1));
        assert_eq!(numbers(&log).await, (30..40).collect::<Vec<_>>());
        let early = log.entries(floor, 0).await.map(|it| it.len());
        assert_eq!(
            early.map_err(|it| it.state()),
            Err(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
        );
        log.shutdown().await;
        drop(log);
        let log = Log::open(LogConfig::alone(&path), runtime)
            .await
            .expect("opens again");
        assert_eq!(numbers(&log).await, (30..40).collect::<Vec<_>>());
        let repeat = log.propose(write(3)).await.expect("it leads");
        assert_eq!(repeat.answer.repeated.len(), 1, "what it forgot it knows");
        log.propose(write(40)).await.expect("it leads");
        assert_eq!(numbers(&log).await, (30..41).collect::<Vec<_>>());
        log.shutdown().await;
    });
}

#[test]
fn an_entry_has_a_largest_size() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime)
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        let insert = |bytes| {
            let mut batch = batch(bytes as u64);
            batch.transactions[0].writes = vec![Write::Insert {
                table: crate::types::id::TableId(1),
                rows: vec![vec![crate::types::Value::Text("x".repeat(bytes).into())]],
            }];
            log.propose(Command::Batch(Arc::new(batch)))
        };
        let large = insert(MAX_COMMAND_BYTES).await.map_err(|it| it.state());
        assert_eq!(large, Err(SqlState::PROGRAM_LIMIT_EXCEEDED));
        let done = insert(MAX_COMMAND_BYTES / 2).await.expect("it leads");
        let read = log.entries(done.index, 0).await.expect("it is there");
        assert_eq!(read[0].command.is_some(), done.answer.refused.is_none());
        log.shutdown().await;
    });
}

#[test]
fn a_log_that_cannot_write_ends_and_says_so() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        crate::log::store::tests::take_entries_away(&path);
        let kind = |result: Result<Proposed>| result.map(|_| ()).map_err(|it| it.kind());
        let unknown = kind(log.propose(write(1)).await);
        assert_eq!(unknown, Err(crate::error::Kind::OutcomeUnknown));
        let failed = runtime.timeout(Duration::from_secs(5), log.failed()).await;
        let message = failed.expect("it is told").to_string();
        assert!(message.contains("cannot be written"), "{message}");
        let refused = kind(log.propose(write(2)).await);
        assert_eq!(refused, Err(crate::error::Kind::Unavailable));
        // Who follows leadership hears of it a little later.
        let mut leadership = log.watch_leadership();
        let told = leadership.wait_for(|leadership| !leadership.leads);
        let told = runtime.timeout(Duration::from_secs(5), told).await;
        assert!(told.is_ok(), "it still leads");
        log.shutdown().await;
    });
}

#[test]
fn pieces_are_read_one_by_one_as_far_as_they_count() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime)
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        let mut last = batch(1);
        let of = last.transactions[0].id;
        let truncate = |table| Write::Truncate {
            tables: vec![TableId(table)],
        };
        let mut pieces = Vec::new();
        for number in 0..3 {
            let writes = [truncate(2 * number), truncate(2 * number + 1)];
            let command = Command::Piece(Arc::new(PieceEntry {
                cluster: last.cluster,
                of,
                bytes: piece::pack(&writes).expect("it can be packed"),
            }));
            let index = log.propose(command).await.expect("it leads").index;
            pieces.push(Piece { index, changes: 2 });
        }
        pieces[1].changes = 1;
        pieces.remove(2);
        last.pieces = Some(Pieced { of, pieces });
        let command = Command::Batch(Arc::new(last.clone()));
        let done = log.propose(command).await.expect("it leads");
        done.answer.check().expect("all pieces are there");
        let pieces = log.pieces(last.pieces.as_ref()).expect("it has some");
        let read = (0..pieces.count()).flat_map(|place| pieces.read(place).expect("it is there"));
        assert_eq!(read.collect::<Vec<_>>(), [0, 1, 2].map(truncate));
        log.shutdown().await;
    });
}

/// Copies the files of a log as a crash would leave them.
fn crash_copy(from: &Path, to: &Path) {
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(from.join(name), to.join(name)).expect("it can be copied");
    }
}

#[test]
fn what_was_acknowledged_before_a_crash_is_there() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime.clone())
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (writer, counter) = (log.clone(), acknowledged.clone());
        let writing = runtime.spawn("writer", async move {
            for number in 1..=400 {
                writer.propose(write(number)).await.expect("it leads");
                counter.store(number, Ordering::SeqCst);
            }
        });
        for _ in 0..5 {
            runtime.sleep(Duration::from_millis(20)).await;
            let copy = tempfile::tempdir().expect("temporary directories can be made");
            let before = acknowledged.load(Ordering::SeqCst);
            crash_copy(&path, copy.path());
            let again = Log::open(LogConfig::alone(copy.path()), runtime.clone())
                .await
                .expect("opens after the crash");
            let found = numbers(&again).await;
            let expected: Vec<_> = (1..=found.len() as u64).collect();
            assert_eq!(found, expected, "in order, each once");
            assert!(found.len() as u64 >= before);
            again.shutdown().await;
        }
        writing.await.expect("the writer ends");
        log.shutdown().await;
    });
}

#[test]
fn a_simulated_node_runs_the_same_for_the_same_seed() {
    let story = |seed| {
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        let path = directory.path().to_owned();
        let runtime = Runtime::simulated(seed);
        let seam = runtime.clone();
        let told = runtime.block_on(async move {
            let log = Log::open(LogConfig::alone(&path), seam.clone())
                .await
                .expect("opens");
            make_cluster(&log).await.expect("it leads");
            let mut told = Vec::new();
            for _ in 0..20 {
                let wait = Duration::from_micros(seam.random_u64() % 10_000);
                seam.sleep(wait).await;
                let done = log.propose(write(seam.random_u64() % 10)).await;
                told.push((seam.now(), done.expect("it leads")));
            }
            let end = (log.group(), log.boot(), log.state());
            log.shutdown().await;
            (told, end)
        });
        told.expect("simulations start")
    };
    assert_eq!(story(5), story(5));
    assert_ne!(story(5), story(6));
}

#[test]
fn the_wal_is_copied_beside_the_writer_and_does_not_grow_for_ever() {
    run(async |path, runtime| {
        let log = Log::open(LogConfig::alone(&path), runtime)
            .await
            .expect("opens");
        make_cluster(&log).await.expect("it leads");
        let value = crate::types::Value::Text("x".repeat(1 << 20).into());
        let mut longest = 0;
        for number in 0..120 {
            let mut batch = batch(number);
            batch.transactions[0].writes = vec![Write::Insert {
                table: crate::types::id::TableId(1),
                rows: vec![vec![value.clone()]],
            }];
            let done = log.propose(Command::Batch(Arc::new(batch))).await;
            done.expect("it leads");
            let wal = std::fs::metadata(path.join("log.db-wal")).expect("it is there");
            longest = wal.len().max(longest);
        }
        assert!(longest < 100 << 20, "{longest}");
        assert_eq!(numbers(&log).await, (0..120).collect::<Vec<_>>());
        log.shutdown().await;
    });
}
