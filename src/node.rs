//! The node: builds from the bottom up, owns every task, stops from the top down.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Dispatch;
use crate::dispatch::cluster::Space;
use crate::endpoint::Endpoint;
use crate::endpoint::embedded::{Embedded, EmbeddedConfig, found};
use crate::error::{Error, Result, SqlState};
use crate::frontend::{http, pg};
use crate::log::command::Command;
use crate::log::{Log, LogConfig, no_transport};
use crate::runtime::{Runtime, TaskSet};
use crate::tls::{Identity, ServerTls};
use crate::types::id::{ClusterId, NodeId};

/// How long front ends may take to let their clients go.
const DRAIN_MAX: Duration = Duration::from_secs(12);

/// Connections that each front end takes at once.
const SESSIONS_MAX: usize = 2048;

/// Files that a session may need open: its socket, and readers' files.
const FILES_PER_SESSION: u64 = 2;

/// Files that the node itself has open, with room for copies.
const FILES_OF_NODE: u64 = 256;

/// With fewer files than this nothing can be served.
const FILES_MIN: u64 = FILES_OF_NODE + 16 * FILES_PER_SESSION;

/// What a node needs to know to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub data: PathBuf,
    pub pg: SocketAddr,
    pub http: SocketAddr,
    /// Embedded replicas of each data cluster.
    pub replicas: usize,
    /// Bytes that an open transaction keeps in memory, roughly.
    pub transaction_bytes: usize,
    /// Certificate and key files; without them a certificate is made.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// A running node.
pub struct Node {
    pub dispatch: Arc<Dispatch>,
    pub pg: SocketAddr,
    pub http: SocketAddr,
    shutdown: CancellationToken,
    tasks: TaskSet,
    /// Held so that no other process opens the same directory.
    _lock: crate::runtime::DirectoryLock,
}

impl Node {
    /// Starts a node with a group of its own, or resumes it.
    pub async fn start(config: &NodeConfig, runtime: &Runtime) -> Result<Node> {
        let refused = |what: &str, error: std::io::Error| {
            Error::new(SqlState::IO_ERROR, format!("{what}: {error}"))
        };
        std::fs::create_dir_all(config.data.join("replicas"))
            .map_err(|error| refused(&format!("cannot make {}", config.data.display()), error))?;
        let lock = runtime
            .disk()
            .lock(&config.data)
            .map_err(|error| refused(&format!("cannot use {}", config.data.display()), error))?;
        let sessions = sessions(runtime)?;
        let pg_listener = TcpListener::bind(config.pg)
            .await
            .map_err(|error| refused(&format!("cannot listen on {}", config.pg), error))?;
        let http_listener = TcpListener::bind(config.http)
            .await
            .map_err(|error| refused(&format!("cannot listen on {}", config.http), error))?;
        let address = |listener: &TcpListener| {
            listener
                .local_addr()
                .map_err(|error| refused("no local address", error))
        };
        let (pg_address, http_address) = (address(&pg_listener)?, address(&http_listener)?);
        let tls = tls(config)?;
        let node = NodeId(1);
        let name = node_name(config, runtime).map_err(|error| refused("the node's name", error))?;
        let log = open_log(config, runtime, node, http_address, name).await?;
        let dispatch = Dispatch::start(
            runtime,
            log,
            node,
            config.replicas,
            open_embedded(config.data.join("replicas"), runtime.clone()),
            Space {
                directory: config.data.join("scratch"),
                transaction_bytes: config.transaction_bytes,
            },
        )
        .await?;
        prepare(&dispatch, runtime).await?;
        let shutdown = CancellationToken::new();
        let tasks = TaskSet::new(runtime);
        let served = pg::serve(
            pg_listener,
            dispatch.clone(),
            Some(tls),
            sessions,
            shutdown.clone(),
        );
        tasks.spawn("pg", served);
        tasks.spawn(
            "http",
            http::serve(http_listener, dispatch.clone(), shutdown.clone()),
        );
        Ok(Node {
            dispatch,
            pg: pg_address,
            http: http_address,
            shutdown,
            tasks,
            _lock: lock,
        })
    }

    /// Returns when the log has failed: nothing can be agreed any more, and so
    /// nothing read. The node is to end.
    pub async fn failed(&self) -> Error {
        self.dispatch.log.failed().await
    }

    /// Lets clients finish, then stops everything, the log last.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.shutdown(DRAIN_MAX).await;
        self.dispatch.shutdown().await;
    }
}

/// How many sessions the files that this process may open are enough for.
fn sessions(runtime: &Runtime) -> Result<usize> {
    let limit = runtime.disk().raise_file_limit();
    let limit = limit.unwrap_or(FILES_MIN);
    if limit < FILES_MIN {
        let message = format!(
            "this process may open {limit} files, and needs {FILES_MIN} at least (ulimit -n)"
        );
        return Err(Error::new(SqlState::IO_ERROR, message));
    }
    let enough = (limit - FILES_OF_NODE) / FILES_PER_SESSION;
    let sessions = usize::try_from(enough).map_or(SESSIONS_MAX, |it| it.min(SESSIONS_MAX));
    if sessions < SESSIONS_MAX {
        tracing::warn!(limit, sessions, "few files may be open: fewer sessions");
    }
    Ok(sessions)
}

/// Opens the log, which must reach as far as the replicas beside it.
async fn open_log(
    config: &NodeConfig,
    runtime: &Runtime,
    node: NodeId,
    http: SocketAddr,
    name: String,
) -> Result<Arc<Log>> {
    let replicas = config.data.join("replicas");
    let at_least = runtime.blocking(move || found::applied_by_most(&replicas));
    let log_config = LogConfig {
        directory: config.data.join("log"),
        node,
        name,
        address: http.to_string(),
        at_least: at_least.await,
        single_voter_init: true,
        group: None,
        transport: no_transport(),
    };
    Log::open(log_config, runtime.clone()).await
}

/// The node's name, made at its first start and kept beside its data.
fn node_name(config: &NodeConfig, runtime: &Runtime) -> std::io::Result<String> {
    let path = config.data.join("node");
    if runtime.disk().exists(&path) {
        let kept = String::from_utf8_lossy(&runtime.disk().read(&path)?)
            .trim()
            .to_owned();
        return Ok(kept);
    }
    let name = runtime.random_uuid().to_string();
    runtime.disk().write(&path, name.as_bytes())?;
    Ok(name)
}

fn tls(config: &NodeConfig) -> Result<ServerTls> {
    let identity = match &config.tls {
        Some((certificate, key)) => Identity::from_files(certificate, key),
        None => Identity::self_signed(vec!["localhost".to_owned()]),
    };
    let server = identity.and_then(Identity::server);
    server.map_err(|error| Error::new(SqlState::INVALID_PARAMETER_VALUE, error.to_string()))
}

/// Opens a replica's file under the data directory, named by cluster and replica.
fn open_embedded(directory: PathBuf, runtime: Runtime) -> crate::dispatch::OpenEndpoint {
    Box::new(move |cluster, replica| {
        let config = EmbeddedConfig {
            path: found::path(&directory, cluster.id, replica.id),
            cluster: cluster.id,
            born: cluster.born,
        };
        let runtime = runtime.clone();
        Box::pin(async move {
            let opened = Embedded::open(config, &runtime).await;
            let endpoint =
                opened.map_err(|fault| Error::new(SqlState::IO_ERROR, fault.to_string()))?;
            Ok(Arc::new(endpoint) as Arc<dyn Endpoint>)
        })
    })
}

/// Agrees, once, on what every group has: the key of its tokens, its own cluster's id.
async fn prepare(dispatch: &Arc<Dispatch>, runtime: &Runtime) -> Result<()> {
    let catalog = dispatch.catalog();
    if catalog.token_key.is_none() {
        let mut key = vec![0; 32];
        runtime.random_bytes(&mut key);
        dispatch
            .agree(Command::SetTokenKey(crate::catalog::TokenKey(key)))
            .await?;
    }
    if catalog.system_cluster.is_none() {
        dispatch
            .agree(Command::SetSystemCluster(ClusterId(runtime.random_uuid())))
            .await?;
    }
    Ok(())
}
