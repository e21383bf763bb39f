//! SCRAM-SHA-256 over the wire: who the client is.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use pgwire::messages::startup::Authentication;
use rand::RngCore;

use super::Server;
use super::error::Stop;
use super::message::{Reader, text};
use super::scram::{Exchange, Failure, PLAIN, PLUS, invent};
use super::wire::{Frame, Wire, protocol_fatal};
use crate::catalog::User;
use crate::error::{Error, SqlState};

/// Length of our nonce before base64, as PostgreSQL's.
const NONCE_LENGTH: usize = 18;

/// Finds out who the client is, or fails with 28P01 after the same exchange
/// whatever was wrong. Leaves AuthenticationOk to the caller.
pub(super) async fn authenticate(
    server: &Server,
    wire: &mut Wire,
    name: &str,
    encrypted: bool,
) -> Result<Arc<User>, Stop> {
    let catalog = server.dispatch.catalog();
    let user = catalog.user_named(name).cloned();
    let tls = server.tls.as_ref().filter(|_| encrypted);
    let end_point = tls.and_then(|tls| tls.end_point.clone());
    let mut mechanisms = vec![PLAIN.to_owned()];
    if end_point.is_some() {
        mechanisms.insert(0, PLUS.to_owned());
    }
    wire.put(&Authentication::SASL(mechanisms))?;
    wire.flush().await?;

    let frame = password_message(wire).await?;
    let mut reader = Reader::new(&frame.body);
    let mechanism = reader.string()?;
    let first = reader.value()?.unwrap_or_default();
    reader.end()?;
    let bound = match (mechanism, &end_point) {
        (PLAIN, _) => None,
        (PLUS, Some(end_point)) => Some(&**end_point),
        _ => {
            return Err(protocol_fatal(
                "client selected an invalid SASL authentication mechanism",
            ));
        }
    };
    let secret = catalog.token_key.as_ref().map(|key| &*key.0);
    let verifier = user
        .as_ref()
        .and_then(|user| user.verifier.clone())
        .ok_or_else(|| invent(secret.unwrap_or(&server.mock_secret), name));
    let refused = |failure| match failure {
        Failure::Malformed(message) => protocol_fatal(message),
        Failure::Refused => Stop::Fatal(Error::new(
            SqlState::INVALID_PASSWORD,
            format!("password authentication failed for user \"{name}\""),
        )),
    };
    let (exchange, answer) =
        Exchange::start(text(first)?, verifier, bound, end_point.is_some(), &nonce())
            .map_err(refused)?;
    wire.put(&Authentication::SASLContinue(Bytes::from(answer)))?;
    wire.flush().await?;

    let frame = password_message(wire).await?;
    let proof = exchange.finish(text(&frame.body)?).map_err(refused)?;
    wire.put(&Authentication::SASLFinal(Bytes::from(proof)))?;
    user.ok_or_else(|| refused(Failure::Refused))
}

async fn password_message(wire: &mut Wire) -> Result<Frame, Stop> {
    let frame = wire.frame().await?;
    if frame.tag != b'p' {
        return Err(protocol_fatal(format!(
            "expected SASL response, got message type {}",
            frame.tag
        )));
    }
    if frame.body.is_empty() {
        return Err(protocol_fatal("malformed SCRAM message"));
    }
    Ok(frame)
}

fn nonce() -> String {
    let mut bytes = [0; NONCE_LENGTH];
    rand::rng().fill_bytes(&mut bytes);
    BASE64.encode(bytes)
}
