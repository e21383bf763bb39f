//! The doors: the only code that knows a client protocol.
//!
//! Here stands the one accept loop that all of them share: a permit before
//! each accept, a pause after an accept error, an end by the token, and a
//! drain in which clients finish what they do.
//!
//! Front ends never see an endpoint or an engine: they decode, call the
//! session, encode.

pub mod http;
pub mod pg;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// The first pause after a failed accept; doubles up to [`MAX_ACCEPT_PAUSE`].
const MIN_ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause: file descriptors run out, and come back, within seconds.
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// How much one front end takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; further ones wait in the listener's queue.
    pub connections: usize,
    /// How long clients may go on after the token ended the loop.
    pub drain: Duration,
}

/// Accepts clients until `shutdown`, then waits for them at most `limits.drain`.
///
/// `handle` serves one client to its end; it watches the same token itself.
pub async fn serve<Handle, Served>(
    listener: TcpListener,
    limits: Limits,
    shutdown: CancellationToken,
    handle: Handle,
) where
    Handle: Fn(TcpStream, SocketAddr) -> Served,
    Served: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut clients = JoinSet::new();
    let mut pause = MIN_ACCEPT_PAUSE;
    loop {
        let permit = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            permit = permits.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = clients.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = MIN_ACCEPT_PAUSE;
                // Answers are written whole: waiting for more only delays them.
                let _ = stream.set_nodelay(true);
                let served = handle(stream, peer);
                clients.spawn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "accept failed");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_ACCEPT_PAUSE);
            }
        }
    }
    drop(listener);
    drain(clients, limits.drain).await;
}

async fn drain(mut clients: JoinSet<()>, patience: Duration) {
    let all_gone = async {
        while let Some(ended) = clients.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(patience, all_gone).await.is_err() {
        tracing::warn!(clients = clients.len(), "clients cut off at shutdown");
        clients.shutdown().await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a client's task panicked");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn serves_then_drains() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let limits = Limits {
            connections: 1,
            drain: Duration::from_secs(5),
        };
        let server = serve(
            listener,
            limits,
            shutdown.clone(),
            |mut stream, _| async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    stream.write_all(&byte).await.unwrap();
                }
            },
        );
        let client = async {
            let mut byte = [7];
            let mut first = TcpStream::connect(address).await.unwrap();
            first.write_all(&byte).await.unwrap();
            first.read_exact(&mut byte).await.unwrap();
            // One permit: the second is served when the first has gone.
            let mut second = TcpStream::connect(address).await.unwrap();
            second.write_all(&byte).await.unwrap();
            drop(first);
            second.read_exact(&mut byte).await.unwrap();
            shutdown.cancel();
            second.write_all(&byte).await.unwrap();
            second.read_exact(&mut byte).await.unwrap();
        };
        tokio::join!(server, client);
    }
}
