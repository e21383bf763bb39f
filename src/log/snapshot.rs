//! Snapshots of the state: built at compaction, sent to nodes that the log no
//! longer reaches.
//!
//! On disk a snapshot is the state alone, since the log keeps the entries
//! that deliverers may need. One that travels carries these entries as well
//! (pieces of transactions and voids included): the node that takes it over
//! may lead one day, and then brings replicas up that are still behind.
//!
//! Not handled: a snapshot that does not fit in memory.

use std::io::Cursor;

use openraft::{AnyError, RaftSnapshotBuilder, Snapshot, StorageIOError};
use serde::{Deserialize, Serialize};

use super::codec;
use super::raft::{Entry, Group, SnapshotMeta, StorageError};
use super::state_machine::{Held, StateMachine};

/// Bytes of entries read from the store at once.
const READ_BYTES: usize = 8 << 20;

/// A snapshot on its way to another node.
#[derive(Serialize, Deserialize)]
struct Parcel {
    #[serde(with = "serde_bytes")]
    state: Vec<u8>,
    /// The first entry that deliverers may need.
    first: u64,
    /// From `first` to the snapshot's own.
    entries: Vec<Entry>,
}

/// Builds a snapshot beside the state machine, of its state at one moment.
pub(super) struct Builder(StateMachine);

impl Builder {
    pub(super) fn new(machine: StateMachine) -> Builder {
        Builder(machine)
    }

    async fn build(&self) -> Result<Snapshot<Group>, String> {
        let held = self.0.held();
        let runtime = self.0.runtime();
        let meta = SnapshotMeta {
            last_log_id: held.applied,
            last_membership: held.membership,
            snapshot_id: format!("{:016x}", runtime.random_u64()),
        };
        let machine = held.machine;
        let encoded = runtime.blocking(move || codec::encode(&machine)).await;
        let state = encoded.map_err(|error| error.to_string())?;
        self.0.store().save_snapshot(&meta, state.clone()).await?;
        // openraft looks at the meta alone. One that is taken from here has no
        // entries, so deliverers of the node that takes it begin behind it.
        let first = meta.last_log_id.map_or(0, |id| id.index + 1);
        parcel(meta, state, first, Vec::new())
    }
}

impl RaftSnapshotBuilder<Group> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Group>, StorageError> {
        let built = self.build().await;
        built.map_err(|error| StorageIOError::write_snapshot(None, AnyError::error(error)).into())
    }
}

/// The stored snapshot, ready to travel.
pub(super) async fn current(machine: &StateMachine) -> Result<Option<Snapshot<Group>>, String> {
    let store = machine.store();
    let Some((meta, state)) = store.snapshot().await? else {
        return Ok(None);
    };
    if !machine.is_running() {
        let snapshot = Box::default();
        return Ok(Some(Snapshot { meta, snapshot }));
    }
    let mut entries = Vec::new();
    let end = meta.last_log_id.map_or(0, |id| id.index + 1);
    // A log that ends before its snapshot has none of the snapshot's entries.
    let first = if store.end() >= end {
        store.first()
    } else {
        end
    };
    let mut next = first;
    while next < end {
        let some = store.entries(next, end - 1, READ_BYTES).await?;
        next = some.last().map_or(end, |entry| entry.log_id.index + 1);
        entries.extend(some);
    }
    parcel(meta, state, first, entries).map(Some)
}

/// Takes another node's snapshot over.
pub(super) async fn install(
    machine: &StateMachine,
    meta: &SnapshotMeta,
    data: Vec<u8>,
) -> Result<(), String> {
    let unreadable = |error| format!("the snapshot cannot be read: {error}");
    let parcel: Parcel = codec::decode(&data).map_err(unreadable)?;
    let held = Held::decode(meta, &parcel.state)?;
    machine
        .store()
        .install(meta, parcel.state, parcel.first, &parcel.entries)
        .await?;
    machine.replace(held);
    Ok(())
}

fn parcel(
    meta: SnapshotMeta,
    state: Vec<u8>,
    first: u64,
    entries: Vec<Entry>,
) -> Result<Snapshot<Group>, String> {
    let parcel = Parcel {
        state,
        first,
        entries,
    };
    let bytes = codec::encode(&parcel).map_err(|error| error.to_string())?;
    Ok(Snapshot {
        meta,
        snapshot: Box::new(Cursor::new(bytes)),
    })
}
