//! What a request's credentials header says.
//!
//! The original's header is `Authentication`; the standard `Authorization` is
//! read when that one is missing.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// The longest header value that is looked at.
const MAX_HEADER_BYTES: usize = 8192;

/// Padding may be there or not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Who somebody claims to be; not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password { user: String, password: String },
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Credentials::Token(_) => f.write_str("Token(…)"),
        }
    }
}

/// Why a header gives no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    Missing,
    /// Neither Basic nor Token, or nothing behind it.
    Scheme,
    /// Basic with something that is no `user:password` in base64.
    Malformed,
}

impl HeaderError {
    pub fn message(self) -> &'static str {
        match self {
            HeaderError::Missing => "missing Authentication",
            HeaderError::Scheme => {
                "unsupported Authentication, expected Basic <base64> or Token <jwt>"
            }
            HeaderError::Malformed => {
                "malformed Basic Authentication, expected base64 of user:password"
            }
        }
    }
}

/// Reads the two headers that may carry credentials.
pub fn credentials(
    authentication: Option<&[u8]>,
    authorization: Option<&[u8]>,
) -> Result<Credentials, HeaderError> {
    let value = authentication
        .or(authorization)
        .ok_or(HeaderError::Missing)?;
    if value.len() > MAX_HEADER_BYTES {
        return Err(HeaderError::Scheme);
    }
    let value = std::str::from_utf8(value).map_err(|_| HeaderError::Scheme)?;
    let (scheme, rest) = value.trim().split_once(' ').ok_or(HeaderError::Scheme)?;
    let rest = rest.trim();
    match scheme {
        _ if scheme.eq_ignore_ascii_case("basic") => basic(rest),
        _ if scheme.eq_ignore_ascii_case("token") => Ok(Credentials::Token(rest.to_owned())),
        _ => Err(HeaderError::Scheme),
    }
}

fn basic(encoded: &str) -> Result<Credentials, HeaderError> {
    let decoded = LENIENT
        .decode(encoded)
        .map_err(|_| HeaderError::Malformed)?;
    let text = String::from_utf8(decoded).map_err(|_| HeaderError::Malformed)?;
    // `echo user:password | base64` leaves one newline at the end; blanks
    // before it may belong to the password.
    let text = text
        .strip_suffix("\r\n")
        .or_else(|| text.strip_suffix('\n'))
        .unwrap_or(&text);
    let (user, password) = text.split_once(':').ok_or(HeaderError::Malformed)?;
    Ok(Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Result<Credentials, HeaderError> {
        Ok(Credentials::Password {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    #[test]
    fn headers() {
        let encode = |text: &str| format!("Basic {}", LENIENT.encode(text));
        let cases = [
            (encode("admin:abcd1234\n"), password("admin", "abcd1234")),
            (encode("admin:abcd1234"), password("admin", "abcd1234")),
            (encode("admin:abcd \r\n"), password("admin", "abcd ")),
            (encode("a:b:c\n\n"), password("a", "b:c\n")),
            (encode("a:"), password("a", "")),
            (encode("a"), Err(HeaderError::Malformed)),
            ("Basic YTpi".to_owned(), password("a", "b")),
            ("basic YTpiYw".to_owned(), password("a", "bc")),
            ("Basic %%%".to_owned(), Err(HeaderError::Malformed)),
            ("Basic /w==".to_owned(), Err(HeaderError::Malformed)),
            ("Basic".to_owned(), Err(HeaderError::Scheme)),
            ("Basic ".to_owned(), Err(HeaderError::Scheme)),
            ("Bearer x".to_owned(), Err(HeaderError::Scheme)),
            (String::new(), Err(HeaderError::Scheme)),
            (
                "Token a.b.c \n".to_owned(),
                Ok(Credentials::Token("a.b.c".to_owned())),
            ),
        ];
        for (header, expected) in cases {
            let header = header.as_bytes();
            assert_eq!(credentials(Some(header), None), expected, "{header:?}");
            assert_eq!(credentials(None, Some(header)), expected, "{header:?}");
        }
        assert_eq!(credentials(None, None), Err(HeaderError::Missing));
    }

    #[test]
    fn nothing_shows_a_secret() {
        let shown = format!("{:?}", password("a", "secret"));
        assert!(!shown.contains("secret"), "{shown}");
        let shown = format!("{:?}", Credentials::Token("secret".to_owned()));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
