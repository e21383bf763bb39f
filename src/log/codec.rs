//! How the log's parts lie on disk and cross the wire: a version byte, a
//! checksum, MessagePack with named fields.
//!
//! Bytes of another version or damaged ones are an error, never a guess.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// The version that this program writes and the only one it reads.
pub(super) const VERSION: u8 = 1;

/// Version byte and checksum.
const HEADER_BYTES: usize = 9;

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodecError {
    /// Written by another version of this program.
    Version(u8),
    /// Not what was written.
    Damaged,
    /// Ours and whole, yet not what was expected here; or a value that has no encoding.
    Shape(String),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodecError::Version(version) => write!(
                f,
                "format version {version} is not known: this program reads version {VERSION}"
            ),
            CodecError::Damaged => f.write_str("the bytes are damaged"),
            CodecError::Shape(detail) => write!(f, "unexpected content: {detail}"),
        }
    }
}

impl std::error::Error for CodecError {}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![0; HEADER_BYTES];
    append(value, &mut bytes)?;
    bytes[0] = VERSION;
    let checksum = xxh3_64(&bytes[HEADER_BYTES..]);
    bytes[1..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let version = *bytes.first().ok_or(CodecError::Damaged)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let (header, body) = bytes
        .split_at_checked(HEADER_BYTES)
        .ok_or(CodecError::Damaged)?;
    if header[1..] != xxh3_64(body).to_le_bytes() {
        return Err(CodecError::Damaged);
    }
    decode_inner(body)
}

/// Encodes what goes inside of something encoded: no version, no checksum.
pub(super) fn encode_inner<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    append(value, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn decode_inner<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    rmp_serde::from_slice(bytes).map_err(|error| CodecError::Shape(error.to_string()))
}

fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut serializer = rmp_serde::Serializer::new(bytes).with_struct_map();
    let done = value.serialize(&mut serializer);
    done.map_err(|error| CodecError::Shape(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Settled;
    use crate::types::id::Index;

    #[test]
    fn only_whole_bytes_of_this_version_are_read() {
        let value = Settled {
            index: Index(7),
            chain: u128::MAX - 5,
        };
        let bytes = encode(&value).expect("it has an encoding");
        assert_eq!(decode::<Settled>(&bytes), Ok(value));
        for at in 0..bytes.len() {
            let mut torn = bytes.clone();
            torn[at] ^= 0x40;
            assert!(decode::<Settled>(&torn).is_err(), "byte {at}");
            assert!(decode::<Settled>(&bytes[..at]).is_err(), "length {at}");
        }
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert_eq!(
            decode::<Settled>(&newer),
            Err(CodecError::Version(VERSION + 1))
        );
        assert!(matches!(
            decode::<Vec<u8>>(&bytes),
            Err(CodecError::Shape(_))
        ));
    }
}
