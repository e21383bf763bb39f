//! Tokens: JSON Web Tokens (HS256) with the original's claims.
//!
//! The claims are `id` and `expiration`, which is a time, `"join"` or
//! `"never"`; there is no `exp`. No token can be taken back before its time
//! but by changing the key.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::types::id::UserId;

/// How long a user token is good.
pub const USER_TOKEN_SECONDS: f64 = 3600.0;
/// Bytes of a signing key.
pub const KEY_BYTES: usize = 32;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whatever the user may do.
    Use,
    /// Joining an endpoint to a data cluster of the user, nothing else.
    Join,
}

/// A token that was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub id: UserId,
    pub purpose: Purpose,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// No token, another key, or claims that say nothing.
    Invalid,
    Expired,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenError::Invalid => "token authentication failed",
            TokenError::Expired => "token is expired",
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    id: String,
    #[serde(default)]
    expiration: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<f64>,
}

/// A token for an hour from `now` (unix seconds).
pub fn user_token(key: &[u8], id: UserId, now: f64) -> Option<String> {
    let expiration = serde_json::Number::from_f64(now + USER_TOKEN_SECONDS)?;
    sign(key, id, Value::Number(expiration), None)
}

/// A token that only joins endpoints, in the name of a service account.
pub fn join_token(key: &[u8], service: UserId, now: f64) -> Option<String> {
    sign(key, service, Value::from("join"), Some(now))
}

/// A token without end.
pub fn service_token(key: &[u8], id: UserId) -> Option<String> {
    sign(key, id, Value::from("never"), None)
}

/// Checks a token's signature and age.
pub fn check(key: &[u8], token: &str, now: f64) -> Result<Checked, TokenError> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key), &validation)
        .map_err(|_| TokenError::Invalid)?;
    let id = Uuid::parse_str(&data.claims.id).map_err(|_| TokenError::Invalid)?;
    let purpose = match &data.claims.expiration {
        Value::Number(seconds) => {
            let end = seconds.as_f64().ok_or(TokenError::Invalid)?;
            // A NaN is never in the future.
            if end > now {
                Purpose::Use
            } else {
                return Err(TokenError::Expired);
            }
        }
        Value::String(word) if word == "join" => Purpose::Join,
        Value::String(word) if word == "never" => Purpose::Use,
        _ => return Err(TokenError::Invalid),
    };
    Ok(Checked {
        id: UserId(id),
        purpose,
    })
}

fn sign(key: &[u8], id: UserId, expiration: Value, create_time: Option<f64>) -> Option<String> {
    let claims = Claims {
        id: id.to_string(),
        expiration,
        create_time,
    };
    let header = Header::new(Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(key)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEY: &[u8] = b"a key of thirty-two bytes, or so";
    const NOW: f64 = 1_700_000_000.5;

    fn user() -> UserId {
        UserId(Uuid::from_u128(5))
    }

    #[test]
    fn own_tokens() {
        let token = user_token(KEY, user(), NOW).unwrap();
        let good = Checked {
            id: user(),
            purpose: Purpose::Use,
        };
        assert_eq!(check(KEY, &token, NOW), Ok(good));
        assert_eq!(check(KEY, &token, NOW + 3599.0), Ok(good));
        assert_eq!(check(KEY, &token, NOW + 3600.0), Err(TokenError::Expired));
        assert_eq!(check(b"other", &token, NOW), Err(TokenError::Invalid));
        let join = join_token(KEY, user(), NOW).unwrap();
        assert_eq!(
            check(KEY, &join, NOW + 1e9).map(|token| token.purpose),
            Ok(Purpose::Join)
        );
        let never = service_token(KEY, user()).unwrap();
        assert_eq!(check(KEY, &never, NOW + 1e9), Ok(good));
    }

    #[test]
    fn claims() {
        let id = user().to_string();
        let cases = [
            (json!({"id": id, "expiration": NOW + 1.0}), Ok(())),
            (json!({"id": id, "expiration": 1_700_000_001}), Ok(())),
            (
                json!({"id": id, "expiration": 1_700_000_000}),
                Err(TokenError::Expired),
            ),
            (
                json!({"id": id, "expiration": "2100-01-01"}),
                Err(TokenError::Invalid),
            ),
            (
                json!({"id": id, "expiration": null}),
                Err(TokenError::Invalid),
            ),
            (
                json!({"id": id, "expiration": {"a": 1}}),
                Err(TokenError::Invalid),
            ),
            (json!({"id": id}), Err(TokenError::Invalid)),
            (
                json!({"id": 5, "expiration": "never"}),
                Err(TokenError::Invalid),
            ),
            (
                json!({"id": "admin", "expiration": "never"}),
                Err(TokenError::Invalid),
            ),
            (json!({"expiration": "never"}), Err(TokenError::Invalid)),
        ];
        for (claims, expected) in cases {
            let key = EncodingKey::from_secret(KEY);
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
            let checked = check(KEY, &token.unwrap(), NOW).map(|_| ());
            assert_eq!(checked, expected, "{claims}");
        }
        for rubbish in ["", "a", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
            assert_eq!(check(KEY, rubbish, NOW), Err(TokenError::Invalid));
        }
    }
}
