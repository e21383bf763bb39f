//! What is claimed, and who claims.

use std::hash::{BuildHasherDefault, Hasher};

use crate::types::id::{ObjectId, TableId};
use crate::types::{Value, encode};

/// What names a table's primary key among its unique keys.
pub const PRIMARY_KEY: ObjectId = ObjectId(0);

/// What is claimed: a hash of table, unique key and values. Two keys that
/// collide wait for each other needlessly, nothing worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey(pub(super) u128);

impl ClaimKey {
    /// The key of a unique constraint.
    pub fn of(table: TableId, constraint: ObjectId, values: &[Value]) -> ClaimKey {
        let mut bytes = Vec::with_capacity(32);
        bytes.extend_from_slice(&table.0.to_be_bytes());
        bytes.extend_from_slice(&constraint.0.to_be_bytes());
        bytes.extend_from_slice(&encode::encode_key(values));
        ClaimKey(xxhash_rust::xxh3::xxh3_128(&bytes))
    }

    /// A primary key.
    pub fn primary(table: TableId, values: &[Value]) -> ClaimKey {
        ClaimKey::of(table, PRIMARY_KEY, values)
    }

    /// The schema itself, for whoever changes it.
    pub fn schema() -> ClaimKey {
        ClaimKey::table(TableId(0))
    }

    pub(crate) fn bits(self) -> u128 {
        self.0
    }

    /// A whole table.
    pub fn table(table: TableId) -> ClaimKey {
        let mut bytes = [0xff; 8];
        bytes[..4].copy_from_slice(&table.0.to_be_bytes());
        ClaimKey(xxhash_rust::xxh3::xxh3_128(&bytes))
    }
}

/// Claim keys are hashes already: their lower half serves as it is.
#[derive(Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

pub(super) type KeyHash = BuildHasherDefault<KeyHasher>;

/// Who claims: one transaction, or a point write that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u64);
