//! Passwords, tokens and rights: pure checks.
//!
//! Nothing here reads a clock, a random source or the catalog's store: salts,
//! keys and the time are handed in. No error and no `Debug` shows a secret.

pub mod header;
pub mod password;
pub mod rights;
pub mod token;

/// Equality of secrets in a time that does not depend on where they differ.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b));
    std::hint::black_box(difference) == 0
}
