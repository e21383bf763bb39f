//! Users and their tokens.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::error::{Failure, answer, ok};
use super::request::{Admin, Body, Caller, Operator};
use super::{Http, now};
use crate::auth::password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARACTERS};
use crate::auth::{rights, token};
use crate::catalog::UserKind;
use crate::error::{Error, SqlState};
use crate::plan::pyql::Json;
use crate::types::id::UserId;

/// The longest user name: one that SQL can name too.
const MAX_USER_NAME_BYTES: usize = 63;
/// What a registration must hold, and may.
const FIELDS: [&str; 3] = ["username", "email", "password"];

pub(super) fn routes() -> Router<Arc<Http>> {
    Router::new()
        .route("/auth/{kind}/register", post(register))
        .route("/auth/token/user", get(user_token))
        .route("/auth/token/join", get(join_token))
        .route("/auth/token/local", get(local_token))
}

/// A user and the service account beside it.
async fn register(
    State(http): State<Arc<Http>>,
    _: Admin,
    Path(kind): Path<String>,
    body: Body,
) -> Result<Response, Failure> {
    let wrong = |text: String| Failure::error(StatusCode::BAD_REQUEST, text);
    let kind = match kind.as_str() {
        "user" => UserKind::User,
        "admin" => UserKind::Admin,
        other => {
            return Err(wrong(format!(
                "unknown type {other}, expected user or admin"
            )));
        }
    };
    let body = body.json_or_error()?;
    let Json::Object(members) = &body else {
        return Err(wrong("expected an object".to_owned()));
    };
    for field in FIELDS {
        if body.get(field).and_then(Json::as_text).is_none() {
            return Err(wrong(format!("missing {field}")));
        }
    }
    if let Some((extra, _)) = members
        .iter()
        .find(|(name, _)| !FIELDS.contains(&name.as_str()))
    {
        return Err(extra_field(&http, extra));
    }
    let field = |name| body.get(name).and_then(Json::as_text).unwrap_or_default();
    let (name, email, password) = (field("username"), field("email"), field("password"));
    check_name(name).map_err(&wrong)?;
    if !rights::is_email(email) {
        return Err(wrong("enter a valid email".to_owned()));
    }
    check_length(password).map_err(&wrong)?;
    let catalog = http.dispatch.catalog();
    if catalog.user_named(name).is_some() {
        return Err(wrong(format!("username {name} is taken")));
    }
    let taken = |user: &Arc<crate::catalog::User>| user.email.as_deref() == Some(email);
    if catalog.users.values().any(taken) {
        return Err(wrong(format!("email {email} is taken")));
    }
    http.dispatch
        .create_user(name, Some(email), kind, Some(password))
        .await
        .map_err(|error| Failure::request(&error))?;
    let message = json!({"message": "user created successfully"});
    Ok(answer(StatusCode::CREATED, &message))
}

/// As the original refuses a row with an unknown column; shows no value.
fn extra_field(http: &Http, field: &str) -> Failure {
    let error = Error::new(
        SqlState::UNDEFINED_COLUMN,
        format!("invalid key provided '{field}' not found in table auth"),
    );
    let catalog = http.dispatch.catalog();
    let nodes: Vec<String> = catalog.nodes.values().map(|n| n.name.clone()).collect();
    Failure::write(&error, &nodes, "auth", "the user")
}

fn check_name(name: &str) -> Result<(), String> {
    // A colon ends the name in Basic credentials, a slash the owner in `owner/name`.
    let forbidden = |c: char| c == ':' || c == '/' || c.is_control();
    if name.trim().is_empty() || name.len() > MAX_USER_NAME_BYTES || name.contains(forbidden) {
        return Err(format!(
            "enter a valid username: up to {MAX_USER_NAME_BYTES} bytes without ':' and '/'"
        ));
    }
    Ok(())
}

fn check_length(password: &str) -> Result<(), String> {
    if password.chars().count() < MIN_PASSWORD_CHARACTERS || password.len() > MAX_PASSWORD_BYTES {
        return Err(format!(
            "password must have at least {MIN_PASSWORD_CHARACTERS} characters and at most {MAX_PASSWORD_BYTES} bytes"
        ));
    }
    Ok(())
}

async fn user_token(State(http): State<Arc<Http>>, caller: Caller) -> Result<Response, Failure> {
    let key = signing_key(&http)?;
    signed("token", token::user_token(&key, caller.id, now()))
}

/// Carries the id of the caller's service account.
async fn join_token(State(http): State<Arc<Http>>, caller: Caller) -> Result<Response, Failure> {
    let service: UserId =
        rights::service_of(&http.dispatch.catalog(), caller.user.id).ok_or_else(|| {
            Failure::error(StatusCode::BAD_REQUEST, "the user has no service account")
        })?;
    let key = signing_key(&http)?;
    signed("join", token::join_token(&key, service, now()))
}

/// The token of this process's own service account; it ends with the process.
async fn local_token(State(http): State<Arc<Http>>, _: Operator) -> Result<Response, Failure> {
    let id = UserId(uuid::Uuid::nil());
    signed(
        "PYQL_LOCAL_SERVICE_TOKEN",
        token::service_token(&http.local_key, id),
    )
}

fn signing_key(http: &Http) -> Result<Vec<u8>, Failure> {
    let catalog = http.dispatch.catalog();
    let key = catalog.token_key.as_ref().map(|key| key.0.clone());
    key.ok_or_else(|| {
        Failure::message(
            StatusCode::SERVICE_UNAVAILABLE,
            "the cluster has no signing key yet",
        )
    })
}

fn signed(name: &str, token: Option<String>) -> Result<Response, Failure> {
    match token {
        Some(token) => Ok(ok(&json!({ name: token }))),
        None => Err(Failure::message(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the token could not be signed",
        )),
    }
}
