//! Who asks, and for what: authentication, cluster names, bodies.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::error::Failure;
use super::quorum::quorum_json;
use super::{Http, now};
use crate::auth::header::{Credentials, HeaderError, credentials};
use crate::auth::token::{Purpose, TokenError};
use crate::auth::{password, rights, token};
use crate::catalog::{Catalog, Cluster, SYSTEM_CLUSTER, User};
use crate::plan::pyql::Json;
use crate::types::id::{ClusterId, UserId};

/// The longest body of a request.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long a client may take to send a body.
const BODY_LIMIT: Duration = Duration::from_secs(30);

const AUTHENTICATION: HeaderName = HeaderName::from_static("authentication");

/// Level `cluster`: who asks, on a node in quorum.
pub(super) struct Caller {
    /// The user, not the service account that may stand for it.
    pub(super) user: Arc<User>,
    /// The id in the credentials.
    pub(super) id: UserId,
}

/// Level `pyql`.
pub(super) struct Admin;

/// As `cluster`, join tokens allowed, in quorum or not.
pub(super) struct Joiner;

/// Level `local`: this process's own service token.
pub(super) struct Local;

/// Level `pyql` without the check for quorum.
pub(super) struct Operator;

/// What a `{cluster}` in a path means for a caller.
pub(super) enum Home {
    /// The system itself.
    System,
    Data(Arc<Cluster>),
}

impl FromRequestParts<Arc<Http>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Caller, Failure> {
        let quorum = http.recent_quorum().await;
        if !quorum.in_quorum {
            let body = json!({
                "message": format!("node {} is not in quorum", quorum.node),
                "quorum": quorum_json(&quorum),
            });
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, body));
        }
        let (caller, purpose) = authenticate(http, &parts.headers).await?;
        refuse_join(purpose)?;
        Ok(caller)
    }
}

impl FromRequestParts<Arc<Http>> for Admin {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Admin, Failure> {
        let caller = Caller::from_request_parts(parts, http).await?;
        if !rights::is_admin(&caller.user) {
            return Err(Failure::unauthorized());
        }
        Ok(Admin)
    }
}

impl FromRequestParts<Arc<Http>> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Operator, Failure> {
        let (caller, purpose) = authenticate(http, &parts.headers).await?;
        refuse_join(purpose)?;
        if !rights::is_admin(&caller.user) {
            return Err(Failure::unauthorized());
        }
        Ok(Operator)
    }
}

impl FromRequestParts<Arc<Http>> for Joiner {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Joiner, Failure> {
        authenticate(http, &parts.headers).await?;
        Ok(Joiner)
    }
}

impl FromRequestParts<Arc<Http>> for Local {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, http: &Arc<Http>) -> Result<Local, Failure> {
        if let Ok(Credentials::Token(text)) = header_credentials(&parts.headers)
            && let Ok(checked) = token::check(&http.local_key, &text, now())
            && checked.purpose == Purpose::Use
        {
            return Ok(Local);
        }
        authenticate(http, &parts.headers).await?;
        Err(Failure::unauthorized())
    }
}

fn refuse_join(purpose: Purpose) -> Result<(), Failure> {
    match purpose {
        Purpose::Use => Ok(()),
        Purpose::Join => Err(Failure::error(
            StatusCode::UNAUTHORIZED,
            "a join token can only be used to join a cluster",
        )),
    }
}

fn header_credentials(headers: &HeaderMap) -> Result<Credentials, HeaderError> {
    let header = |name: &HeaderName| headers.get(name).map(|value| value.as_bytes());
    credentials(header(&AUTHENTICATION), header(&AUTHORIZATION))
}

async fn authenticate(http: &Http, headers: &HeaderMap) -> Result<(Caller, Purpose), Failure> {
    let credentials = header_credentials(headers).map_err(|error| {
        let status = match error {
            HeaderError::Malformed => StatusCode::BAD_REQUEST,
            HeaderError::Missing | HeaderError::Scheme => StatusCode::UNAUTHORIZED,
        };
        Failure::error(status, error.message())
    })?;
    match credentials {
        Credentials::Password { user, password } => {
            let user = check_password(http, &user, password).await?;
            let id = user.id;
            Ok((Caller { user, id }, Purpose::Use))
        }
        Credentials::Token(text) => check_token(&http.dispatch.catalog(), &text),
    }
}

async fn check_password(http: &Http, name: &str, text: String) -> Result<Arc<User>, Failure> {
    let wrong = || Failure::error(StatusCode::UNAUTHORIZED, "wrong user or password");
    let user = http.dispatch.catalog().user_named(name).cloned();
    let verifier = user.as_ref().and_then(|user| user.verifier.clone());
    if let (Some(user), Some(verifier)) = (&user, &verifier)
        && http.passwords.knows(user.id, &text, verifier)
    {
        return Ok(user.clone());
    }
    let _permit = http.hashes.acquire().await.map_err(|_| wrong())?;
    // An unknown user costs the same time as a known one.
    let checked = verifier.clone().unwrap_or_else(password::impossible);
    let task = tokio::task::spawn_blocking(move || (password::check(&text, &checked), text));
    let (right, text) = task.await.map_err(|_| wrong())?;
    match (user, verifier) {
        (Some(user), Some(verifier)) if right => {
            http.passwords.remember(user.id, &text, &verifier);
            Ok(user)
        }
        _ => Err(wrong()),
    }
}

fn check_token(catalog: &Catalog, text: &str) -> Result<(Caller, Purpose), Failure> {
    let refused = |error: TokenError| Failure::error(StatusCode::UNAUTHORIZED, error.to_string());
    let key = catalog
        .token_key
        .as_ref()
        .ok_or_else(|| refused(TokenError::Invalid))?;
    let checked = token::check(&key.0, text, now()).map_err(refused)?;
    let user = catalog
        .principal(checked.id)
        .ok_or_else(|| refused(TokenError::Invalid))?
        .clone();
    let caller = Caller {
        user,
        id: checked.id,
    };
    Ok((caller, checked.purpose))
}

impl Caller {
    /// Finds a cluster by name as this user sees it. "Does not exist" and
    /// "is not yours" are one answer.
    pub(super) fn home(&self, http: &Http, name: &str) -> Result<Home, Failure> {
        let catalog = http.dispatch.catalog();
        if name == SYSTEM_CLUSTER && rights::is_admin(&self.user) {
            return Ok(Home::System);
        }
        catalog
            .cluster_named(name, self.user.id)
            .cloned()
            .map(Home::Data)
            .ok_or_else(|| self.no_cluster(name))
    }

    fn no_cluster(&self, name: &str) -> Failure {
        Failure::warning(
            StatusCode::NOT_FOUND,
            format!(
                "user {} access to cluster with name {name}, no cluster was found which user has access rights or none exists",
                self.id
            ),
        )
    }
}

/// Finds a cluster by the uuid that routes of level `pyql` take.
pub(super) fn cluster_of(catalog: &Catalog, text: &str) -> Result<Home, Failure> {
    let id = Uuid::parse_str(text)
        .map(ClusterId)
        .map_err(|_| Failure::error(StatusCode::BAD_REQUEST, "expected the uuid of a cluster"))?;
    if catalog.system_cluster == Some(id) {
        return Ok(Home::System);
    }
    catalog
        .cluster(id)
        .cloned()
        .map(Home::Data)
        .ok_or_else(|| Failure::warning(StatusCode::NOT_FOUND, format!("no cluster with id {id}")))
}

/// A body, not yet read as JSON: what is wrong with it is told per route.
pub(super) struct Body(pub(super) Vec<u8>);

impl Body {
    /// The body as JSON, or why not.
    pub(super) fn json(&self) -> Result<Json, String> {
        if self.0.trim_ascii().is_empty() {
            return Err("empty body".to_owned());
        }
        Json::parse(&self.0).map_err(|error| error.to_string())
    }

    pub(super) fn json_or_error(&self) -> Result<Json, Failure> {
        self.json().map_err(|error| {
            let text = format!("expected json input for request: {error}");
            Failure::error(StatusCode::BAD_REQUEST, text)
        })
    }

    /// The body's text, to be shown again.
    pub(super) fn echo(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl FromRequest<Arc<Http>> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Arc<Http>) -> Result<Body, Failure> {
        let read = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES);
        match tokio::time::timeout(BODY_LIMIT, read).await {
            Ok(Ok(bytes)) => Ok(Body(bytes.into())),
            Ok(Err(_)) => Err(Failure::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body broke off or is longer than {MAX_BODY_BYTES} bytes"),
            )),
            Err(_) => Err(Failure::error(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
            )),
        }
    }
}
