//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), pure.
//!
//! A user without a verifier goes through the same exchange with an invented
//! one, the same at each try, and fails at its end: who asks cannot tell
//! unknown users from wrong passwords.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use crate::auth::password::{SALT_BYTES, SCRAM_ITERATIONS, keyed_hash};
use crate::auth::same_secret;
use crate::catalog::ScramVerifier;

pub(super) const PLAIN: &str = "SCRAM-SHA-256";
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Why an exchange ends: what the client sent breaks the protocol, or its
/// proof does not fit.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    Malformed(&'static str),
    Refused,
}

/// An exchange whose first two messages have passed.
pub(super) struct Exchange {
    verifier: ScramVerifier,
    /// The user has no password: no proof fits.
    doomed: bool,
    /// What the client must repeat, with the channel's data, in base64.
    binding: String,
    nonce: String,
    /// The first messages, as the proof covers them.
    transcript: String,
}

impl Exchange {
    /// Takes the client's first message, gives the answer. `end_point` is the
    /// channel's data if the mechanism chosen binds to it; `offered` says that
    /// the client could have chosen so.
    pub(super) fn start(
        first: &str,
        verifier: Result<ScramVerifier, ScramVerifier>,
        end_point: Option<&[u8]>,
        offered: bool,
        server_nonce: &str,
    ) -> Result<(Exchange, String), Failure> {
        let (doomed, verifier) = match verifier {
            Ok(verifier) => (false, verifier),
            Err(invented) => (true, invented),
        };
        let (flag, rest) = first
            .split_once(',')
            .ok_or(Failure::Malformed("malformed SCRAM message"))?;
        let (authorization, bare) = rest
            .split_once(',')
            .ok_or(Failure::Malformed("malformed SCRAM message"))?;
        match (flag, end_point) {
            ("p=tls-server-end-point", Some(_)) | ("n", None) => {}
            // The client could bind but believes that we cannot: someone in
            // between has taken our offer away.
            ("y", None) if !offered => {}
            _ => return Err(Failure::Malformed("SCRAM channel binding check failed")),
        }
        if !authorization.is_empty() {
            return Err(Failure::Malformed(
                "client uses authorization identity, but it is not supported",
            ));
        }
        let header = format!("{flag},,");
        let binding = [header.as_bytes(), end_point.unwrap_or_default()].concat();
        let mut parts = bare.split(',');
        let (Some(user), Some(nonce)) = (parts.next(), parts.next()) else {
            return Err(Failure::Malformed("malformed SCRAM message"));
        };
        let client_nonce = nonce.strip_prefix("r=").filter(|nonce| {
            !nonce.is_empty() && nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
        });
        let (true, Some(client_nonce)) = (user.starts_with("n="), client_nonce) else {
            return Err(Failure::Malformed("malformed SCRAM message"));
        };
        let nonce = format!("{client_nonce}{server_nonce}");
        let answer = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&verifier.salt),
            verifier.iterations
        );
        let exchange = Exchange {
            verifier,
            doomed,
            binding: BASE64.encode(binding),
            nonce,
            transcript: format!("{bare},{answer}"),
        };
        Ok((exchange, answer))
    }

    /// Takes the client's last message, gives the server's own proof.
    pub(super) fn finish(self, last: &str) -> Result<String, Failure> {
        const MALFORMED: Failure = Failure::Malformed("malformed SCRAM message");
        let (covered, proof) = last.rsplit_once(",p=").ok_or(MALFORMED)?;
        let mut parts = covered.split(',');
        if parts.next().and_then(|part| part.strip_prefix("c=")) != Some(&self.binding) {
            return Err(Failure::Malformed("SCRAM channel binding check failed"));
        }
        if parts.next().and_then(|part| part.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(Failure::Malformed("invalid SCRAM response"));
        }
        let proof = BASE64.decode(proof).map_err(|_| MALFORMED)?;
        if proof.len() != 32 {
            return Err(MALFORMED);
        }
        let transcript = format!("{},{covered}", self.transcript);
        let signature = keyed_hash(&self.verifier.stored_key, &[transcript.as_bytes()]);
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let fits = same_secret(&Sha256::digest(client_key), &self.verifier.stored_key);
        if !fits || self.doomed {
            return Err(Failure::Refused);
        }
        let proof = keyed_hash(&self.verifier.server_key, &[transcript.as_bytes()]);
        Ok(format!("v={}", BASE64.encode(proof)))
    }
}

/// A verifier that no password fits, the same whenever this name asks.
pub(super) fn invent(secret: &[u8], user: &str) -> ScramVerifier {
    ScramVerifier {
        iterations: SCRAM_ITERATIONS,
        salt: keyed_hash(secret, &[user.as_bytes()])[..SALT_BYTES].to_vec(),
        stored_key: vec![0; 32],
        server_key: vec![0; 32],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user "user", password "pencil".
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn pencil() -> ScramVerifier {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        crate::auth::password::verifier("pencil", &salt)
    }

    fn start(first: &str) -> Result<(Exchange, String), Failure> {
        Exchange::start(first, Ok(pencil()), None, false, SERVER_NONCE)
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let (exchange, answer) = start(FIRST).unwrap();
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        assert_eq!(
            exchange.finish(LAST).unwrap(),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn refuses() {
        let wrong = LAST.replace("dHzb", "eHzb");
        assert_eq!(
            start(FIRST).unwrap().0.finish(&wrong),
            Err(Failure::Refused)
        );
        let doomed = Exchange::start(FIRST, Err(pencil()), None, false, SERVER_NONCE);
        assert_eq!(doomed.unwrap().0.finish(LAST), Err(Failure::Refused));
        for last in ["", "c=biws", &LAST[..60], &LAST.replace("biws", "eSws")] {
            let finished = start(FIRST).unwrap().0.finish(last);
            assert!(matches!(finished, Err(Failure::Malformed(_))), "{last}");
        }
        for first in [
            "",
            "n,,",
            "n,,n=,r=",
            "n,a=x,n=,r=abc",
            "p=tls-unique,,n=,r=abc",
            "p=tls-server-end-point,,n=,r=abc",
        ] {
            assert!(start(first).is_err(), "{first}");
        }
        // A client that saw no offer of ours although we made one.
        let stripped = Exchange::start("y,,n=,r=abc", Ok(pencil()), None, true, "x");
        assert!(stripped.is_err());
        assert!(start("y,,n=,r=abc").is_ok());
    }

    #[test]
    fn unknown_users_keep_their_salt() {
        assert_eq!(invent(b"s", "a").salt, invent(b"s", "a").salt);
        assert_ne!(invent(b"s", "a").salt, invent(b"s", "b").salt);
    }
}
