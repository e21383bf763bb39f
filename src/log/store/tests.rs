//! openraft's own suite, removal a few at a time, and what damage is told.

use std::time::Duration;

use openraft::testing::{StoreBuilder, Suite, blank_ent};

use super::*;
use crate::log::state_machine::StateMachine;

const IDENTITY: Identity = Identity {
    group: uuid::Uuid::nil(),
    node: 1,
};

/// Checks what `Log::open` checks elsewhere.
fn any(stored: Option<Identity>) -> Result<Identity, String> {
    Ok(stored.unwrap_or(IDENTITY))
}

struct Builder;

impl StoreBuilder<super::super::raft::Group, Store, StateMachine, tempfile::TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, Store, StateMachine), super::super::raft::StorageError> {
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        let runtime = Runtime::real();
        let (store, _) = Store::open(&runtime, directory.path(), any)
            .await
            .expect("a new log opens");
        let machine = StateMachine::load(&runtime, &store)
            .await
            .expect("an empty state loads");
        machine.set_running();
        Ok((directory, store, machine))
    }
}

#[test]
fn passes_the_suite_of_openraft() {
    if let Err(error) = Suite::test_all(Builder) {
        panic!("{error}");
    }
}

fn rows(path: &Path) -> i64 {
    let connection = Connection::open(path).expect("the file is a database");
    connection
        .query_row("SELECT count(*) FROM entries", [], |row| row.get(0))
        .expect("the table is there")
}

async fn open(runtime: &Runtime, directory: &Path) -> Result<Store, String> {
    Ok(Store::open(runtime, directory, any).await?.0)
}

async fn append(store: &mut Store, from: u64, to: u64) {
    use openraft::storage::RaftLogStorageExt;
    let entries = (from..=to).map(|index| blank_ent(1, 1, index));
    store
        .blocking_append(entries)
        .await
        .expect("the log can be written");
}

#[test]
fn entries_survive_reopening_and_go_a_few_at_a_time() {
    use openraft::storage::RaftLogStorage;
    let directory = tempfile::tempdir().expect("temporary directories can be made");
    let runtime = Runtime::simulated(1);
    let seam = runtime.clone();
    let path = directory.path().to_owned();
    runtime
        .block_on(async move {
            let mut store = open(&seam, &path).await.expect("a new log opens");
            append(&mut store, 0, 1999).await;
            let state = store.get_log_state().await.expect("marks are in memory");
            store.close().await;
            drop(store);

            let mut store = open(&seam, &path).await.expect("the log opens again");
            let again = store.get_log_state().await.expect("marks are in memory");
            assert_eq!(again, state);
            assert_eq!(again.last_log_id.map(|id| id.index), Some(1999));
            let read = store.entries(5, 1999, usize::MAX).await;
            assert_eq!(read.map(|entries| entries.len()), Ok(1995));
            let some = store.entries(5, 1999, 100).await.expect("they are there");
            assert!(!some.is_empty() && some.len() < 10);

            // openraft's purge alone removes nothing that deliverers may need.
            let meta = SnapshotMeta {
                last_log_id: again.last_log_id,
                ..SnapshotMeta::default()
            };
            store
                .save_snapshot(&meta, Vec::new())
                .await
                .expect("snapshots can be saved");
            let purged = store.entries(1500, 1500, 0).await.expect("it is there")[0].log_id;
            store.purge(purged).await.expect("the log can be written");
            seam.sleep(Duration::from_secs(1)).await;
            assert_eq!(rows(&path.join(FILE)), 2000);
            store
                .forget_before(1001)
                .await
                .expect("the log can be written");
            assert_eq!(store.entries(1001, 1001, 0).await.map(|it| it.len()), Ok(1));
            assert!(rows(&path.join(FILE)) > 1000, "not all at once");
            seam.sleep(Duration::from_secs(1)).await;
            assert_eq!(rows(&path.join(FILE)), 999);
            store.close().await;
            drop(store);

            let store = open(&seam, &path).await.expect("the log opens again");
            assert_eq!(store.first(), 1001);
            let read = store.entries(1001, 1999, usize::MAX).await;
            assert_eq!(read.map(|entries| entries.len()), Ok(999));
            store.close().await;
        })
        .expect("simulations start");
}

/// Damages a log of 50 entries and tells what opening it says.
fn opening_after(damage: impl FnOnce(&Path)) -> Result<(), String> {
    let directory = tempfile::tempdir().expect("temporary directories can be made");
    let runtime = Runtime::simulated(1);
    let seam = runtime.clone();
    let path = directory.path().to_owned();
    let opened = runtime.block_on(async move {
        use openraft::storage::RaftLogStorage;
        let mut store = open(&seam, &path).await.expect("a new log opens");
        append(&mut store, 0, 49).await;
        let last = store.get_log_state().await.expect("in memory").last_log_id;
        store.save_committed(last).await.expect("in memory");
        store.close().await;
        drop(store);
        damage(&path.join(FILE));
        let store = open(&seam, &path).await?;
        store.entries(0, 49, usize::MAX).await.map(|_| ())
    });
    opened.expect("simulations start")
}

/// Makes every later write to the log in this directory fail.
pub(in crate::log) fn take_entries_away(directory: &Path) {
    sql("ALTER TABLE entries RENAME TO elsewhere")(&directory.join(FILE));
}

fn sql(statement: &'static str) -> impl FnOnce(&Path) {
    move |path| {
        let connection = Connection::open(path).expect("the file is a database");
        connection
            .execute_batch(statement)
            .expect("the statement runs");
    }
}

#[test]
fn damage_is_told_at_opening_or_reading() {
    assert_eq!(opening_after(|_| ()), Ok(()));
    type Damage = Box<dyn FnOnce(&Path)>;
    let cases: [(Damage, &str); 8] = [
        (
            Box::new(sql("DELETE FROM entries WHERE idx > 40")),
            "entry 49 was committed and is not there",
        ),
        (
            Box::new(sql("DELETE FROM entries WHERE idx < 3")),
            "lost entry 0",
        ),
        (
            Box::new(sql("DELETE FROM entries WHERE idx = 20")),
            "lost entry 20",
        ),
        (
            Box::new(sql(
                "UPDATE entries SET data = substr(data, 1, 30) WHERE idx = 20",
            )),
            "entry 20 cannot be read: the bytes are damaged",
        ),
        (
            Box::new(sql("UPDATE entries SET data = x'07' WHERE idx = 20")),
            "entry 20 cannot be read: format version 7 is not known",
        ),
        (Box::new(sql("PRAGMA user_version = 9")), "layout version 9"),
        (
            Box::new(|path: &Path| {
                let bytes = std::fs::read(path).expect("it is there");
                std::fs::write(path, &bytes[..bytes.len() / 2]).expect("it can be written");
            }),
            "the log",
        ),
        (
            Box::new(|path: &Path| {
                std::fs::write(path, "a letter, and no log at all").expect("it can be written")
            }),
            "the log cannot be opened",
        ),
    ];
    for (damage, expected) in cases {
        let message = opening_after(damage).expect_err(expected);
        assert!(message.contains(expected), "{message} lacks {expected}");
    }
}
