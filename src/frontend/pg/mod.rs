//! The PostgreSQL front end: protocol 3.0 and 3.2 over TCP and TLS.
//!
//! A connection is one task with its own loop ([`connection`]); its session
//! does the work. pgwire gives the messages of the start, whose shapes it
//! knows; its server loop flushes at every message, holds whole results and
//! panics on some bodies, so that reading and rows are our own
//! ([`message`], [`encode`]).
//!
//! Not handled: GSSAPI encryption, TLS without an SSLRequest, replication
//! connections, function calls, clients in another encoding than UTF-8.

mod authenticate;
mod cancel;
mod connection;
mod copy;
mod describe;
mod encode;
mod error;
mod fetch;
mod frame;
mod message;
mod named;
mod portal;
mod prepared;
mod rows;
mod scram;
mod simple;
mod startup;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngCore;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::dispatch::Dispatch;
use crate::tls::ServerTls;
use cancel::Cancels;
use error::Stop;
use wire::Stream;

/// Connections beside the sessions: those that start, cancel, or are told
/// that there are too many.
const SPARE_CONNECTIONS: usize = 64;

/// From the first byte to the end of authentication, as in PostgreSQL.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// How long statements may go on once the server ends; then they are cancelled.
const STATEMENT_GRACE: Duration = Duration::from_secs(3);

/// After this, connections are cut whatever they do: a client may not read.
const DRAIN: Duration = Duration::from_secs(10);

/// What all connections of this front end share.
pub struct Server {
    dispatch: Arc<Dispatch>,
    tls: Option<ServerTls>,
    cancels: Arc<Cancels>,
    /// One permit for each session.
    sessions: Arc<Semaphore>,
    max_sessions: usize,
    /// Makes the salts of unknown users before there is a key of the cluster's.
    mock_secret: [u8; 32],
    shutdown: CancellationToken,
}

/// Serves clients until `shutdown`; then those idle are told 57P01, the
/// others when their statement is done.
pub async fn serve(
    listener: TcpListener,
    dispatch: Arc<Dispatch>,
    tls: Option<ServerTls>,
    max_sessions: usize,
    shutdown: CancellationToken,
) {
    let server = Arc::new(Server::new(dispatch, tls, max_sessions, shutdown.clone()));
    let limits = Limits {
        connections: max_sessions + SPARE_CONNECTIONS,
        drain: DRAIN,
    };
    let cut_short = async {
        shutdown.cancelled().await;
        tokio::time::sleep(STATEMENT_GRACE).await;
        server.cancels.all();
        std::future::pending().await
    };
    tokio::select! {
        () = super::serve(listener, limits, shutdown.clone(), |stream, peer| {
            server.clone().connection(Box::new(stream), peer)
        }) => {}
        () = cut_short => {}
    }
}

impl Server {
    fn new(
        dispatch: Arc<Dispatch>,
        tls: Option<ServerTls>,
        max_sessions: usize,
        shutdown: CancellationToken,
    ) -> Server {
        let mut mock_secret = [0; 32];
        rand::rng().fill_bytes(&mut mock_secret);
        Server {
            dispatch,
            tls,
            cancels: Arc::default(),
            sessions: Arc::new(Semaphore::new(max_sessions)),
            max_sessions,
            mock_secret,
            shutdown,
        }
    }

    /// One client, from its first byte to its last.
    async fn connection(self: Arc<Self>, stream: Stream, peer: SocketAddr) {
        match startup::start(&self, stream).await {
            Ok(Some(connection)) => connection.run().await,
            Ok(None) => {}
            Err(Stop::Gone(error)) => tracing::debug!(%peer, %error, "client left at startup"),
            Err(Stop::Fatal(error) | Stop::Statement(error)) => {
                tracing::info!(%peer, %error, "client refused");
            }
        }
    }
}
