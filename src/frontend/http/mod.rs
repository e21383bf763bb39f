//! The REST API: the original's routes over the same session as SQL.
//!
//! Everything is JSON both ways, whatever the content type says; so are errors.
//! Fixed words win over names and keys, per method.
//!
//! Not here: joining endpoints (501 until endpoints join), jobs to be posted,
//! pausing tables, and the keys that sign tokens, which never leave a node.

mod clusters;
mod encode;
mod error;
mod plans;
mod quorum;
mod request;
mod rows;
mod stall;
mod system;
mod users;
mod views;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::Limits;
use crate::auth::password::PasswordCache;
use crate::dispatch::{Dispatch, Quorum};
use plans::PlanCache;
use stall::Stalling;

/// How long a quorum check may serve for further requests; reads and writes
/// prove their own place behind it.
const QUORUM_AGE: Duration = Duration::from_secs(1);
/// Passwords hashed at once: each takes a core for milliseconds.
const CONCURRENT_HASHES: usize = 4;
/// Open connections; further ones wait.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take to send a request's head, or stay idle.
const HEADER_LIMIT: Duration = Duration::from_secs(60);
/// How long a client may take nothing of an answer.
const STALL_LIMIT: Duration = Duration::from_secs(60);
/// How long requests may go on after the signal to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The longest request id that is taken over from a client.
const MAX_REQUEST_ID_BYTES: usize = 64;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What all requests share.
pub struct Http {
    dispatch: Arc<Dispatch>,
    passwords: PasswordCache,
    hashes: Semaphore,
    /// Signs this process's own service token; known to nobody else.
    local_key: [u8; 32],
    plans: PlanCache,
    /// The last quorum check. Never held across an await.
    quorum: Mutex<Option<(Instant, Quorum)>>,
}

impl Http {
    pub fn new(dispatch: Arc<Dispatch>) -> Arc<Http> {
        Arc::new(Http {
            dispatch,
            passwords: PasswordCache::new(rand::random()),
            hashes: Semaphore::new(CONCURRENT_HASHES),
            local_key: rand::random(),
            plans: PlanCache::new(),
            quorum: Mutex::new(None),
        })
    }

    /// Where this node stands, at most [`QUORUM_AGE`] ago.
    async fn recent_quorum(&self) -> Quorum {
        let kept = self.quorum.lock().clone();
        match kept {
            Some((at, quorum)) if at.elapsed() < QUORUM_AGE => quorum,
            _ => self.check_quorum().await,
        }
    }

    async fn check_quorum(&self) -> Quorum {
        let quorum = self.dispatch.quorum().await;
        *self.quorum.lock() = Some((Instant::now(), quorum.clone()));
        quorum
    }
}

/// All routes with what goes around them.
pub fn router(http: Arc<Http>) -> Router {
    routes()
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(http)
        .layer(middleware::from_fn(around))
}

fn routes() -> Router<Arc<Http>> {
    Router::new()
        .merge(rows::routes())
        .merge(users::routes())
        .merge(clusters::routes())
        .merge(system::routes())
}

/// Serves clients until `shutdown`; then each may finish its request.
pub async fn serve(listener: TcpListener, dispatch: Arc<Dispatch>, shutdown: CancellationToken) {
    let routes = router(Http::new(dispatch));
    let limits = Limits {
        connections: MAX_CONNECTIONS,
        drain: DRAIN_LIMIT,
    };
    super::serve(listener, limits, shutdown.clone(), |stream, peer| {
        connection(stream, peer, routes.clone(), shutdown.clone())
    })
    .await;
}

/// One connection, from its first request to its last.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    routes: Router,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .serve_connection(TokioIo::new(Stalling::new(stream, STALL_LIMIT)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection broke off");
    }
}

/// Around every request: an id in the log and the answer, OPTIONS, JSON errors.
async fn around(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()))
        .map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("http", request = %id, %method, path);
    async move {
        let start = Instant::now();
        let is_options = method == Method::OPTIONS;
        let mut response = next.run(request).await;
        if is_options && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allow = response.headers().clone();
            response = StatusCode::OK.into_response();
            *response.headers_mut() = allow;
        }
        let mut response = error::as_json(response);
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        let status = response.status().as_u16();
        let micros = start.elapsed().as_micros();
        tracing::debug!(status, micros, "answered");
        response
    }
    .instrument(span)
    .await
}

/// Unix seconds.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_hides_another() {
        // The router panics on paths that it could not tell apart.
        let _ = routes();
    }
}
