//! Passwords: SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677), and which were checked.
//!
//! A password is kept as its verifier only. Checking one costs thousands of
//! hashes, so the front end that sees passwords with every request remembers
//! the good ones in a [`PasswordCache`].

use hmac::{Hmac, Mac};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use super::same_secret;
use crate::catalog::ScramVerifier;
use crate::types::id::UserId;

/// Rounds of PBKDF2, PostgreSQL's number.
pub const SCRAM_ITERATIONS: u32 = 4096;
/// Bytes of salt, PostgreSQL's number.
pub const SALT_BYTES: usize = 16;
/// The shortest password that may be given to a new user.
pub const MIN_PASSWORD_CHARACTERS: usize = 8;
/// The longest password that is hashed at all.
pub const MAX_PASSWORD_BYTES: usize = 1024;
/// How many checked passwords are remembered.
const CACHED_PASSWORDS: usize = 4096;

type HmacSha256 = Hmac<Sha256>;

/// What to keep in place of a password.
pub fn verifier(password: &str, salt: &[u8]) -> ScramVerifier {
    let (stored_key, server_key) = keys(password, salt, SCRAM_ITERATIONS);
    ScramVerifier {
        iterations: SCRAM_ITERATIONS,
        salt: salt.to_vec(),
        stored_key: stored_key.to_vec(),
        server_key: server_key.to_vec(),
    }
}

/// Whether this is the verifier's password. Takes milliseconds: call it off
/// the runtime's threads.
pub fn check(password: &str, verifier: &ScramVerifier) -> bool {
    if password.len() > MAX_PASSWORD_BYTES {
        return false;
    }
    let (stored_key, _) = keys(password, &verifier.salt, verifier.iterations);
    same_secret(&stored_key, &verifier.stored_key)
}

/// A verifier that no password matches, to spend on unknown users the time
/// that known ones take.
pub fn impossible() -> ScramVerifier {
    ScramVerifier {
        iterations: SCRAM_ITERATIONS,
        salt: vec![0; SALT_BYTES],
        stored_key: Vec::new(),
        server_key: Vec::new(),
    }
}

/// StoredKey and ServerKey.
fn keys(password: &str, salt: &[u8], iterations: u32) -> ([u8; 32], [u8; 32]) {
    // RFC 5802 prepares passwords with SASLprep; one that it forbids is taken
    // as it is, as PostgreSQL and libpq do.
    let prepared = stringprep::saslprep(password);
    let password = prepared.as_deref().unwrap_or(password);
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations.max(1), &mut salted);
    let client_key = keyed_hash(&salted, &[b"Client Key"]);
    let server_key = keyed_hash(&salted, &[b"Server Key"]);
    (Sha256::digest(client_key).into(), server_key)
}

/// HMAC-SHA-256 over the parts, one after the other.
pub fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Remembers, bounded, which passwords were found right.
///
/// Holds keyed hashes over the user, the verifier and the password: a changed
/// password is forgotten by itself, and no password can be read back.
pub struct PasswordCache {
    key: [u8; 32],
    checked: Cache<[u8; 32], ()>,
}

impl PasswordCache {
    /// `key` is drawn at random, once per process.
    pub fn new(key: [u8; 32]) -> PasswordCache {
        PasswordCache {
            key,
            checked: Cache::new(CACHED_PASSWORDS),
        }
    }

    pub fn knows(&self, user: UserId, password: &str, verifier: &ScramVerifier) -> bool {
        self.checked
            .get(&self.entry(user, password, verifier))
            .is_some()
    }

    /// To be called after [`check`] only.
    pub fn remember(&self, user: UserId, password: &str, verifier: &ScramVerifier) {
        self.checked
            .insert(self.entry(user, password, verifier), ());
    }

    fn entry(&self, user: UserId, password: &str, verifier: &ScramVerifier) -> [u8; 32] {
        // The first part has a fixed length and the second a length before it,
        // so that no two triples run together.
        let length = (verifier.stored_key.len() as u64).to_be_bytes();
        let parts: [&[u8]; 4] = [
            user.0.as_bytes(),
            &length,
            &verifier.stored_key,
            password.as_bytes(),
        ];
        keyed_hash(&self.key, &parts)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn verifiers_are_those_of_the_rfc() {
        // RFC 7677, section 3: user `user`, password `pencil`.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let kept = verifier("pencil", &salt);
        assert_eq!(
            STANDARD.encode(&kept.stored_key),
            "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        );
        assert_eq!(
            STANDARD.encode(&kept.server_key),
            "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(check("pencil", &kept));
        for wrong in ["pencil\n", "Pencil", "", "pencil "] {
            assert!(!check(wrong, &kept), "{wrong:?}");
        }
        assert!(!check("", &impossible()));
    }

    #[test]
    fn passwords_are_prepared() {
        let kept = verifier("I\u{ad}X", b"salt");
        assert!(check("IX", &kept), "a soft hyphen maps to nothing");
        assert!(check("bell\u{7}", &verifier("bell\u{7}", b"salt")));
    }

    #[test]
    fn the_cache_forgets_changed_passwords() {
        let cache = PasswordCache::new([7; 32]);
        let user = UserId(Uuid::from_u128(1));
        let old = verifier("abcd1234", b"a");
        assert!(!cache.knows(user, "abcd1234", &old));
        cache.remember(user, "abcd1234", &old);
        assert!(cache.knows(user, "abcd1234", &old));
        assert!(!cache.knows(user, "abcd1235", &old));
        assert!(!cache.knows(UserId(Uuid::from_u128(2)), "abcd1234", &old));
        assert!(!cache.knows(user, "abcd1234", &verifier("abcd1234", b"b")));
    }
}
