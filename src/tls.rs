//! Keys and certificates: what a listener shows to clients that ask for TLS.
//!
//! A certificate comes from PEM files or is made at the start, self-signed:
//! that one protects from listeners, not from impostors.
//!
//! Not handled: client certificates, reloading a renewed certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: rustls_pki_types::pem::Error,
    },
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot use the certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// A certificate chain with its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A listener's side of TLS, ready for use.
#[derive(Clone)]
pub struct ServerTls {
    pub acceptor: TlsAcceptor,
    /// What SCRAM binds to (`tls-server-end-point`, RFC 5929), when the
    /// certificate's signature uses SHA-256; else no binding is offered.
    pub end_point: Option<Arc<[u8]>>,
}

impl Identity {
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let read = |path: &Path, source| TlsError::Read {
            path: path.to_owned(),
            source,
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| read(certificate, source))?;
        if chain.is_empty() {
            return Err(TlsError::Empty(certificate.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|source| read(key, source))?;
        Ok(Identity { chain, key })
    }

    /// A new key and a certificate for these host names, signed by itself.
    pub fn self_signed(names: Vec<String>) -> Result<Identity, TlsError> {
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Ok(Identity {
            chain: vec![made.cert.der().clone()],
            key: PrivateKeyDer::Pkcs8(key),
        })
    }

    pub fn server(self) -> Result<ServerTls, TlsError> {
        let end_point = self
            .chain
            .first()
            .and_then(|certificate| end_point(certificate));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)?;
        Ok(ServerTls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            end_point,
        })
    }
}

/// The object identifiers, in DER, of signatures whose hash for channel
/// binding is SHA-256: ECDSA and RSA with SHA-256.
const SHA256_SIGNATURES: [&[u8]; 2] = [
    &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
    &[
        0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b,
    ],
];

fn end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let algorithm = signature_algorithm(certificate)?;
    SHA256_SIGNATURES
        .iter()
        .any(|oid| algorithm.starts_with(oid))
        .then(|| Sha256::digest(certificate).as_slice().into())
}

/// The body of `signatureAlgorithm`: the second element of a certificate's
/// outer sequence.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (outer, _) = element(certificate)?;
    let (_, after_signed_part) = element(outer)?;
    let (algorithm, _) = element(after_signed_part)?;
    Some(algorithm)
}

/// Splits DER into the body of its first element and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if length.len() > 4 {
            return None;
        }
        let length = length
            .iter()
            .fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
        (length, rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_and_reads_certificates() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let certificate = directory.path().join("cert.pem");
        let key = directory.path().join("key.pem");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let server = Identity::from_files(&certificate, &key)
            .and_then(Identity::server)
            .unwrap();
        assert_eq!(server.end_point.unwrap().len(), 32);
        assert!(Identity::from_files(&key, &key).is_err());
    }

    #[test]
    fn rubbish_is_no_certificate() {
        assert!(end_point(&[]).is_none());
        assert!(end_point(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).is_none());
        assert!(end_point(&[0x30; 64]).is_none());
    }
}
