//! Failures as answers: a status and the key that each route gives its text.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use crate::error::{Error, SqlState};

/// The longest part of a refused body that is shown to its sender again.
const MAX_ECHO_CHARACTERS: usize = 500;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) body: Json,
}

impl Failure {
    pub(super) fn new(status: StatusCode, body: Json) -> Failure {
        Failure { status, body }
    }

    /// Authentication and validation.
    pub(super) fn error(status: StatusCode, text: impl Into<String>) -> Failure {
        Failure::new(status, json!({"error": text.into()}))
    }

    /// Nothing of that name for this user.
    pub(super) fn warning(status: StatusCode, text: impl Into<String>) -> Failure {
        Failure::new(status, json!({"warning": text.into()}))
    }

    /// What the replicas or the cluster could not do.
    pub(super) fn message(status: StatusCode, text: impl Into<String>) -> Failure {
        Failure::new(status, json!({"message": text.into()}))
    }

    pub(super) fn unauthorized() -> Failure {
        Failure::error(StatusCode::FORBIDDEN, "un-authorized access")
    }

    /// A construct that this program does not have (yet).
    pub(super) fn not_built(text: impl Into<String>) -> Failure {
        Failure::error(StatusCode::NOT_IMPLEMENTED, text)
    }

    /// A statement's failure under `message`, as reads tell it.
    pub(super) fn read(error: &Error) -> Failure {
        Failure::of("message", error)
    }

    /// A request's failure under `error`.
    pub(super) fn request(error: &Error) -> Failure {
        Failure::of("error", error)
    }

    fn of(key: &str, error: &Error) -> Failure {
        log(error);
        let mut body = json!({ key: text(error) });
        body["code"] = json!(error.state().as_str());
        Failure::new(status(error), body)
    }

    /// A write's failure: what each endpoint in sync says to it.
    ///
    /// `body` is shown again; it must hold no secret.
    pub(super) fn write(error: &Error, endpoints: &[String], table: &str, body: &str) -> Failure {
        let status = status(error);
        if status != StatusCode::BAD_REQUEST {
            return Failure::read(error);
        }
        let code = status.as_u16();
        let content = json!({"message": {"error": text(error)}, "status": code});
        let details: serde_json::Map<String, Json> = endpoints
            .iter()
            .map(|endpoint| {
                (
                    endpoint.clone(),
                    json!({"content": content, "status": code}),
                )
            })
            .collect();
        let body: String = body.chars().take(MAX_ECHO_CHARACTERS).collect();
        let message = format!("failed to commit {body} to all in_sync {table} endpoints");
        Failure::new(
            status,
            json!({
                "message": message,
                "details": details,
                "code": error.state().as_str(),
            }),
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        answer(self.status, &self.body)
    }
}

/// A JSON answer, with a newline at its end.
pub(super) fn answer(status: StatusCode, body: &Json) -> Response {
    let mut text = body.to_string();
    text.push('\n');
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

/// 200 with this body.
pub(super) fn ok(body: &Json) -> Response {
    answer(StatusCode::OK, body)
}

/// Turns a plain-text refusal of the HTTP library into a JSON one.
pub(super) fn as_json(response: Response) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = match status {
        StatusCode::NOT_FOUND => "no such route",
        other => other.canonical_reason().unwrap_or("the request failed"),
    };
    let allow = response.headers().get(ALLOW).cloned();
    let mut response = Failure::error(status, text.to_lowercase()).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

fn status(error: &Error) -> StatusCode {
    match error.state() {
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_CATALOG_NAME => StatusCode::NOT_FOUND,
        _ => StatusCode::from_u16(error.kind().http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn text(error: &Error) -> String {
    match &error.report().detail {
        Some(detail) => format!("{}: {detail}", error.message()),
        None => error.message().to_owned(),
    }
}

fn log(error: &Error) {
    if status(error).is_server_error() {
        tracing::warn!(code = error.state().as_str(), error = %error.message(), "request failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_status() {
        let cases = [
            (SqlState::UNDEFINED_TABLE, 404),
            (SqlState::UNDEFINED_COLUMN, 400),
            (SqlState::UNIQUE_VIOLATION, 400),
            (SqlState::FEATURE_NOT_SUPPORTED, 400),
            (SqlState::CANNOT_CONNECT_NOW, 503),
            (SqlState::QUERY_CANCELED, 408),
            (SqlState::OUTCOME_UNKNOWN, 504),
            (SqlState::SERIALIZATION_FAILURE, 409),
            (SqlState::INTERNAL_ERROR, 500),
        ];
        for (state, expected) in cases {
            let failure = Failure::request(&Error::new(state, "x"));
            assert_eq!(failure.status.as_u16(), expected, "{state}");
        }
    }

    #[test]
    fn failed_writes_tell_of_every_endpoint() {
        let error = Error::new(SqlState::UNIQUE_VIOLATION, "duplicate key").detail("Key (id)=(1)");
        let failure = Failure::write(&error, &["a".to_owned()], "t", "{\"id\": 1}");
        assert_eq!(
            failure.body,
            json!({
                "message": "failed to commit {\"id\": 1} to all in_sync t endpoints",
                "details": {"a": {"content": {
                    "message": {"error": "duplicate key: Key (id)=(1)"}, "status": 400
                }, "status": 400}},
                "code": "23505",
            })
        );
        let gone = Error::unavailable("no replica");
        assert_eq!(Failure::write(&gone, &[], "t", "").status.as_u16(), 503);
    }
}
