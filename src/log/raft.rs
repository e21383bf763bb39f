//! What openraft is told about us: its types, and its runtime over our seam.

use std::fmt::Debug;
use std::future::Future;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::{AsyncRuntime, BasicNode, OptionalSend};
use serde::{Deserialize, Serialize};

use super::codec::{self, CodecError};
use super::command::{Answer, Command};
use crate::runtime::{Elapsed, Moment, Runtime, Sleep, Timeout};

openraft::declare_raft_types!(
    /// The one group over all nodes.
    pub(super) Group:
        D = Proposal,
        R = Answer,
        NodeId = u64,
        Node = BasicNode,
        Entry = openraft::Entry<Group>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = Seam,
);

pub(super) type Entry = openraft::Entry<Group>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type Vote = openraft::Vote<u64>;
pub(super) type Membership = openraft::StoredMembership<u64, BasicNode>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<u64, BasicNode>;
pub(super) type StorageError = openraft::StorageError<u64>;

/// A command on its way into the log. It is encoded once, where it is
/// proposed; disk and wire take these bytes over.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) command: Arc<Command>,
    encoded: Arc<[u8]>,
    /// Set once an entry of it may exist: from then on a failure may yet take effect.
    pub(super) appended: Appended,
}

impl Proposal {
    pub(super) fn new(command: Command) -> Result<Proposal, CodecError> {
        Ok(Proposal {
            encoded: codec::encode_inner(&command)?.into(),
            command: Arc::new(command),
            appended: Appended::default(),
        })
    }

    /// Bytes of the encoded command.
    pub(super) fn size(&self) -> usize {
        self.encoded.len()
    }
}

impl Serialize for Proposal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.encoded)
    }
}

impl<'de> Deserialize<'de> for Proposal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Proposal, D::Error> {
        let encoded = serde_bytes::ByteBuf::deserialize(deserializer)?.into_vec();
        let command = codec::decode_inner(&encoded).map_err(serde::de::Error::custom)?;
        Ok(Proposal {
            command: Arc::new(command),
            encoded: encoded.into(),
            appended: Appended::default(),
        })
    }
}

/// Shared by all copies of one proposal in this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Appended(Arc<AtomicBool>);

impl Appended {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// openraft's runtime: everything goes to the [`Runtime`] of the thread.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seam;

impl AsyncRuntime for Seam {
    type JoinError = tokio::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = tokio::task::JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Moment;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = SeamRng;
    type OneshotSender<T: OptionalSend> = OneshotSender<T>;
    type OneshotReceiverError = tokio::sync::oneshot::error::RecvError;
    type OneshotReceiver<T: OptionalSend> = tokio::sync::oneshot::Receiver<T>;

    #[allow(clippy::disallowed_methods)] // openraft owns its tasks and joins them at shutdown
    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Sleep {
        Runtime::current().sleep(duration)
    }

    fn sleep_until(deadline: Moment) -> Sleep {
        Runtime::current().sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Timeout<F> {
        Runtime::current().timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Moment,
        future: F,
    ) -> Timeout<F> {
        Runtime::current().timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        join_error.is_panic()
    }

    fn thread_rng() -> SeamRng {
        SeamRng(Runtime::current())
    }

    fn oneshot<T: OptionalSend>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (OneshotSender(sender), receiver)
    }
}

impl openraft::Instant for Moment {
    fn now() -> Moment {
        Moment::current()
    }
}

/// Randomness for election time-outs, in the version of the trait that openraft wants.
pub(super) struct SeamRng(Runtime);

impl rand_core_06::RngCore for SeamRng {
    fn next_u32(&mut self) -> u32 {
        self.0.random_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0.random_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.random_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core_06::Error> {
        self.0.random_bytes(bytes);
        Ok(())
    }
}

pub(super) struct OneshotSender<T>(tokio::sync::oneshot::Sender<T>);

impl<T> Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OneshotSender")
    }
}

impl<T: OptionalSend> openraft::async_runtime::AsyncOneshotSendExt<T> for OneshotSender<T> {
    fn send(self, value: T) -> Result<(), T> {
        self.0.send(value)
    }
}
