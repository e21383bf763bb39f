//! Node to node: openraft's calls in an envelope, over any transport of bytes.
//!
//! Every call names the group, the target's id and the target's boot as the
//! sender knows it. A node refuses what is meant for another: an address that
//! has passed to another group or node, or a call that was under way while the
//! target restarted. A refusal tells the boot, and the sender goes on with it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    Infallible, InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode, Raft};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::codec;
use super::raft::{Group, SnapshotMeta, Vote};
use super::store::Identity;
use crate::types::id::{Boot, NodeId};

/// How long a node that could not be reached is left alone: it must hear from
/// its leader again before it stands for election.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Carries the bytes of one call to a node and those of its answer back; what
/// arrives there goes to `Log::receive`.
pub type Transport = Arc<dyn Fn(Call) -> Answering + Send + Sync>;

/// The answer of a call under way.
pub type Answering = Pin<Box<dyn Future<Output = std::io::Result<Vec<u8>>> + Send>>;

/// One call to a node.
#[derive(Clone, Debug)]
pub struct Call {
    pub target: NodeId,
    pub address: String,
    pub body: Vec<u8>,
}

/// The transport of a group of one.
pub fn no_transport() -> Transport {
    Arc::new(|call: Call| {
        let error = std::io::Error::other(format!("node {} cannot be reached", call.target));
        Box::pin(std::future::ready(Err(error)))
    })
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    group: uuid::Uuid,
    sender: u64,
    target: u64,
    /// `None` until the sender has learnt it.
    boot: Option<Boot>,
    request: Request,
}

#[derive(Serialize, Deserialize)]
enum Request {
    Append(AppendEntriesRequest<Group>),
    Vote(VoteRequest<u64>),
    Snapshot(Piece),
}

/// A piece of a snapshot; openraft's own form would spell every byte out as a number.
#[derive(Serialize, Deserialize)]
struct Piece {
    vote: Vote,
    meta: SnapshotMeta,
    offset: u64,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
    done: bool,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    /// The answering node's boot.
    boot: Boot,
    response: Response,
}

#[derive(Serialize, Deserialize)]
enum Response {
    Append(Result<AppendEntriesResponse<u64>, RaftError<u64>>),
    Vote(Result<VoteResponse<u64>, RaftError<u64>>),
    Snapshot(Result<InstallSnapshotResponse<u64>, RaftError<u64, InstallSnapshotError>>),
    /// Not for this node, or not for this boot of it.
    Misdirected,
}

/// Answers a call from another node; `None` for bytes that are no call.
pub(super) async fn receive(
    raft: &Raft<Group>,
    identity: Identity,
    boot: Boot,
    body: &[u8],
) -> Option<Vec<u8>> {
    let envelope: Envelope = match codec::decode(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            tracing::warn!(%error, "a call from another node cannot be read");
            return None;
        }
    };
    let ours = envelope.group == identity.group
        && envelope.target == identity.node
        && envelope.boot.is_none_or(|known| known == boot);
    let response = if ours {
        answer(raft, envelope.request).await
    } else {
        Response::Misdirected
    };
    codec::encode(&Reply { boot, response }).ok()
}

async fn answer(raft: &Raft<Group>, request: Request) -> Response {
    match request {
        Request::Append(request) => Response::Append(raft.append_entries(request).await),
        Request::Vote(request) => Response::Vote(raft.vote(request).await),
        Request::Snapshot(piece) => {
            let request = InstallSnapshotRequest {
                vote: piece.vote,
                meta: piece.meta,
                offset: piece.offset,
                data: piece.data,
                done: piece.done,
            };
            Response::Snapshot(raft.install_snapshot(request).await)
        }
    }
}

/// Makes openraft's connections.
pub(super) struct Network {
    pub(super) identity: Identity,
    pub(super) transport: Transport,
    /// The boots of other nodes, as last heard.
    pub(super) boots: Arc<Mutex<HashMap<u64, Boot>>>,
}

impl RaftNetworkFactory<Group> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Connection {
        Connection {
            identity: self.identity,
            transport: self.transport.clone(),
            boots: self.boots.clone(),
            target,
            address: node.addr.clone(),
        }
    }
}

/// Calls to one node.
pub(super) struct Connection {
    identity: Identity,
    transport: Transport,
    boots: Arc<Mutex<HashMap<u64, Boot>>>,
    target: u64,
    address: String,
}

type Failure<E> = RPCError<u64, BasicNode, RaftError<u64, E>>;

impl Connection {
    async fn call<E: std::error::Error>(&self, request: Request) -> Result<Response, Failure<E>> {
        let envelope = Envelope {
            group: self.identity.group,
            sender: self.identity.node,
            target: self.target,
            boot: self.boots.lock().get(&self.target).copied(),
            request,
        };
        let body = codec::encode(&envelope)
            .map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let answer = (self.transport)(Call {
            target: NodeId(self.target),
            address: self.address.clone(),
            body,
        });
        let answer = answer
            .await
            .map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
        let reply: Reply =
            codec::decode(&answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        self.boots.lock().insert(self.target, reply.boot);
        match reply.response {
            Response::Misdirected => Err(self.odd("the call was not for it")),
            response => Ok(response),
        }
    }

    fn odd<E: std::error::Error>(&self, what: &str) -> Failure<E> {
        let message = format!("node {} at {}: {what}", self.target, self.address);
        RPCError::Network(NetworkError::from(AnyError::error(message)))
    }

    fn remote<E: std::error::Error>(&self, error: RaftError<u64, E>) -> Failure<E> {
        RPCError::RemoteError(RemoteError::new(self.target, error))
    }
}

impl RaftNetwork<Group> for Connection {
    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(RETRY_PAUSE))
    }

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Group>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failure<Infallible>> {
        match self.call(Request::Append(request)).await? {
            Response::Append(result) => result.map_err(|error| self.remote(error)),
            _ => Err(self.odd("it answered another question")),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failure<Infallible>> {
        match self.call(Request::Vote(request)).await? {
            Response::Vote(result) => result.map_err(|error| self.remote(error)),
            _ => Err(self.odd("it answered another question")),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Group>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failure<InstallSnapshotError>> {
        let piece = Piece {
            vote: request.vote,
            meta: request.meta,
            offset: request.offset,
            data: request.data,
            done: request.done,
        };
        match self.call(Request::Snapshot(piece)).await? {
            Response::Snapshot(result) => result.map_err(|error| self.remote(error)),
            _ => Err(self.odd("it answered another question")),
        }
    }
}
