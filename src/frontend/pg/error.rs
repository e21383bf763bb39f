//! How errors and notices go to the client, and how a connection ends.

use std::io;

use crate::error::{Error, Report, SqlState};
use crate::session::Notice;

/// Why the work on a message stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// The statement failed; the connection goes on.
    Statement(Error),
    /// The connection ends once the client has been told.
    Fatal(Error),
    /// The client is gone: there is nobody to tell.
    Gone(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Statement(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Gone(error)
    }
}

/// 08P01: the client broke the protocol, in a way that leaves it in step.
pub(super) fn protocol_violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// Appends ErrorResponse. `severity` is ERROR or FATAL.
pub(super) fn put_error(out: &mut Vec<u8>, severity: &str, error: &Error) {
    let Report {
        state,
        message,
        detail,
        hint,
        position,
        table,
        column,
        constraint,
        context,
    } = error.report();
    put_fields(out, b'E', |out| {
        put_field(out, b'S', severity);
        put_field(out, b'V', severity);
        put_field(out, b'C', state.as_str());
        put_field(out, b'M', message);
        let position = position.map(|position| position.to_string());
        let schema = table.as_ref().map(|_| "public".to_owned());
        let optional = [
            (b'D', detail),
            (b'H', hint),
            (b'P', &position),
            (b'W', context),
            (b's', &schema),
            (b't', table),
            (b'c', column),
            (b'n', constraint),
        ];
        for (code, value) in optional {
            if let Some(value) = value {
                put_field(out, code, value);
            }
        }
    });
}

/// Appends NoticeResponse.
pub(super) fn put_notice(out: &mut Vec<u8>, notice: &Notice) {
    put_fields(out, b'N', |out| {
        put_field(out, b'S', notice.severity);
        put_field(out, b'V', notice.severity);
        put_field(out, b'C', notice.state.as_str());
        put_field(out, b'M', &notice.message);
    });
}

fn put_fields(out: &mut Vec<u8>, tag: u8, fields: impl FnOnce(&mut Vec<u8>)) {
    super::frame::put_message(out, tag, |out| {
        fields(out);
        out.push(0);
    });
}

/// A zero byte would end the field early; no text of ours holds one, a
/// client's may.
fn put_field(out: &mut Vec<u8>, code: u8, value: &str) {
    out.push(code);
    let end = value.bytes().position(|byte| byte == 0);
    out.extend_from_slice(&value.as_bytes()[..end.unwrap_or(value.len())]);
    out.push(0);
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use pgwire::messages::response::ErrorResponse;
    use pgwire::messages::{DecodeContext, Message, ProtocolVersion};

    use super::*;

    #[test]
    fn errors_carry_their_fields() {
        let error = Error::new(SqlState::UNIQUE_VIOLATION, "dupli\0cate")
            .detail("d")
            .hint("h")
            .at(Some(7))
            .table("t")
            .constraint("k")
            .context("w");
        let mut out = Vec::new();
        put_error(&mut out, "ERROR", &error);
        let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        let mut bytes = BytesMut::from(&out[..]);
        let read = ErrorResponse::decode(&mut bytes, &context)
            .unwrap()
            .unwrap();
        assert!(bytes.is_empty());
        let fields: Vec<(char, &str)> = read
            .fields
            .iter()
            .map(|(code, value)| (char::from(*code), value.as_str()))
            .collect();
        assert_eq!(
            fields,
            [
                ('S', "ERROR"),
                ('V', "ERROR"),
                ('C', "23505"),
                ('M', "dupli"),
                ('D', "d"),
                ('H', "h"),
                ('P', "7"),
                ('W', "w"),
                ('s', "public"),
                ('t', "t"),
                ('n', "k")
            ]
        );
    }
}
