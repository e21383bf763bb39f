//! From the first byte to ReadyForQuery: encryption, parameters,
//! authentication, the session.

use std::sync::Arc;

use bytes::Bytes;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey,
};

use super::authenticate::authenticate;
use super::connection::Connection;
use super::error::{Stop, put_error};
use super::message::Reader;
use super::wire::{Stream, Wire, protocol_fatal};
use super::{STARTUP_TIMEOUT, Server};
use crate::error::{Error, SqlState};
use crate::session::Session;

/// Codes in place of a protocol version.
const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSS_REQUEST: u32 = (1234 << 16) | 5680;

/// Protocol versions that we speak. 3.1 never existed; 3.2 has longer cancel keys.
const VERSION_3_0: u32 = 3 << 16;
const VERSION_3_2: u32 = (3 << 16) | 2;

/// What a startup packet asks for.
#[derive(Debug, Default, PartialEq)]
struct Parameters {
    version: u32,
    user: String,
    database: String,
    settings: Vec<(String, String)>,
    /// Options of the protocol that we do not know.
    unknown: Vec<String>,
}

/// Brings a connection up. `None`: it was a cancel request, or ended before
/// it asked for anything. A client that can still be told is told why.
pub(super) async fn start(
    server: &Arc<Server>,
    stream: Stream,
) -> Result<Option<Connection>, Stop> {
    tokio::select! {
        biased;
        started = tokio::time::timeout(STARTUP_TIMEOUT, start_in_time(server, stream)) => {
            // PostgreSQL says nothing either to a client that does not come to the point.
            started.unwrap_or(Ok(None))
        }
        () = server.shutdown.cancelled() => Ok(None),
    }
}

async fn start_in_time(server: &Arc<Server>, stream: Stream) -> Result<Option<Connection>, Stop> {
    let mut wire = Wire::new(stream);
    let mut encrypted = false;
    let packet = loop {
        let mut packet = match wire.startup_packet().await {
            Err(error) => return told(wire, error).await,
            Ok(packet) => packet,
        };
        match u32::from_be_bytes([packet[0], packet[1], packet[2], packet[3]]) {
            SSL_REQUEST if !encrypted && server.tls.is_some() => {
                wire = match encrypt(server, wire).await {
                    Err((Some(wire), error)) => return told(wire, error).await,
                    Err((None, error)) => return Err(error),
                    Ok(wire) => wire,
                };
                encrypted = true;
            }
            SSL_REQUEST | GSS_REQUEST => {
                wire.out.push(b'N');
                wire.flush().await?;
            }
            CANCEL_REQUEST => {
                server.cancels.request(&packet.split_off(4)).await;
                wire.close().await?;
                return Ok(None);
            }
            _ => break packet,
        }
    };
    match establish(server, &mut wire, packet, encrypted).await {
        Ok((session, permit, long_keys)) => {
            let mut connection = Connection::new(server, wire, session, permit, long_keys);
            connection.greet().await?;
            Ok(Some(connection))
        }
        Err(error) => told(wire, error).await,
    }
}

/// Tells the client why the start failed.
async fn told(mut wire: Wire, stop: Stop) -> Result<Option<Connection>, Stop> {
    if let Stop::Fatal(error) | Stop::Statement(error) = &stop {
        put_error(&mut wire.out, "FATAL", error);
        wire.close().await?;
        wire.linger().await;
    }
    Err(stop)
}

/// Answers SSLRequest and does the handshake.
async fn encrypt(server: &Server, mut wire: Wire) -> Result<Wire, (Option<Wire>, Stop)> {
    let Some(tls) = &server.tls else {
        return Ok(wire);
    };
    if let Err(stop) = wire.is_drained() {
        return Err((Some(wire), stop));
    }
    wire.out.push(b'S');
    if let Err(stop) = wire.flush().await {
        return Err((None, stop));
    }
    match tls.acceptor.accept(wire.into_stream()).await {
        Ok(stream) => Ok(Wire::new(Box::new(stream))),
        Err(error) => Err((None, Stop::Gone(error))),
    }
}

/// Everything between the startup packet and the session.
async fn establish(
    server: &Arc<Server>,
    wire: &mut Wire,
    packet: Bytes,
    encrypted: bool,
) -> Result<(Session, tokio::sync::OwnedSemaphorePermit, bool), Stop> {
    let parameters = Parameters::decode(&packet)?;
    let long_keys = parameters.negotiate(wire)?;
    let user = authenticate(server, wire, &parameters.user, encrypted).await?;
    let permit = server.sessions.clone().try_acquire_owned().map_err(|_| {
        let error = Error::new(
            SqlState::TOO_MANY_CONNECTIONS,
            "sorry, too many clients already",
        );
        Stop::Fatal(error.detail(format!("{} are connected", server.max_sessions)))
    })?;
    wire.put(&Authentication::Ok)?;
    let session = Session::open(
        server.dispatch.clone(),
        user,
        &parameters.database,
        &parameters.settings,
    )?;
    Ok((session, permit, long_keys))
}

impl Connection {
    /// Tells settings and cancel key, and that statements may come.
    async fn greet(&mut self) -> Result<(), Stop> {
        self.session.appear(self.registration.process);
        self.put_reports();
        let key = BackendKeyData::new(
            self.registration.process,
            SecretKey::Bytes(Bytes::copy_from_slice(&self.registration.secret)),
        );
        self.wire.put(&key)?;
        self.ready().await
    }
}

impl Parameters {
    fn decode(packet: &[u8]) -> Result<Parameters, Stop> {
        let mut reader = Reader::new(packet);
        let mut parameters = Parameters {
            version: reader.i32()? as u32,
            ..Parameters::default()
        };
        let (major, minor) = (parameters.version >> 16, parameters.version & 0xffff);
        if major != 3 {
            return Err(Stop::Fatal(Error::unsupported(format_args!(
                "frontend protocol {major}.{minor}"
            ))));
        }
        let layout =
            || protocol_fatal("invalid startup packet layout: expected terminator as last byte");
        loop {
            let name = reader.string().map_err(|_| layout())?;
            if name.is_empty() {
                break;
            }
            let value = reader.string().map_err(|_| layout())?;
            parameters.take(name, value)?;
        }
        if !reader.is_empty() {
            return Err(layout());
        }
        if parameters.user.is_empty() {
            return Err(Stop::Fatal(Error::new(
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                "no PostgreSQL user name specified in startup packet",
            )));
        }
        if parameters.database.is_empty() {
            parameters.database.clone_from(&parameters.user);
        }
        Ok(parameters)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Stop> {
        match name {
            "user" => self.user = value.to_owned(),
            "database" => self.database = value.to_owned(),
            "options" => self.settings.extend(options(value)?),
            "replication" => replication(value)?,
            _ if name.starts_with("_pq_.") => self.unknown.push(name.to_owned()),
            _ => self.settings.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// Says which version and options we take, if not all that was asked for.
    /// Gives whether the version has long cancel keys.
    fn negotiate(&self, wire: &mut Wire) -> Result<bool, Stop> {
        let spoken = match self.version {
            VERSION_3_0 => VERSION_3_0,
            VERSION_3_2.. => VERSION_3_2,
            _ => VERSION_3_0,
        };
        if spoken != self.version || !self.unknown.is_empty() {
            let unknown = self.unknown.clone();
            wire.put(&NegotiateProtocolVersion::new(spoken as i32, unknown))?;
        }
        Ok(spoken == VERSION_3_2)
    }
}

/// Refuses replication connections; says so when one is not asked for clearly.
fn replication(value: &str) -> Result<(), Stop> {
    Err(Stop::Fatal(match value {
        "false" | "off" | "no" | "0" => return Ok(()),
        "true" | "on" | "yes" | "1" | "database" => Error::unsupported("replication"),
        other => Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid value for parameter \"replication\": \"{other}\""),
        )
        .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."),
    }))
}

/// Splits `options` as a command line: `-c name=value`, `-cname=value` or
/// `--name=value`, a backslash before blanks that belong to a value.
fn options(text: &str) -> Result<Vec<(String, String)>, Stop> {
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            let rest = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            rest.map(str::to_owned)
        };
        let setting = setting
            .as_deref()
            .and_then(|setting| setting.split_once('='));
        let Some((name, value)) = setting else {
            return Err(Stop::Fatal(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("invalid command-line argument for server process: {word}"),
            )));
        };
        // As on a command line, dashes stand for underscores.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8]) -> Result<Parameters, String> {
        Parameters::decode(&[&VERSION_3_0.to_be_bytes(), body].concat()).map_err(|stop| {
            let (Stop::Fatal(error) | Stop::Statement(error)) = stop else {
                panic!("nobody left");
            };
            error.state().to_string()
        })
    }

    #[test]
    fn startup_packets() {
        let parameters = decode(
            b"user\0ann\0application_name\0x\0options\0-c a=b --work-mem=1\\ 2 -cc=d\0_pq_.x\0\0\0",
        )
        .unwrap();
        assert_eq!(parameters.database, "ann");
        assert_eq!(parameters.unknown, ["_pq_.x"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parameters.settings,
            [
                pair("application_name", "x"),
                pair("a", "b"),
                pair("work_mem", "1 2"),
                pair("c", "d")
            ]
        );
        for (body, state) in [
            (&b"\0"[..], "28000"),
            (b"user\0ann", "08P01"),
            (b"user\0ann\0", "08P01"),
            (b"user\0ann\0\0x", "08P01"),
            (b"user\0ann\0replication\0database\0\0", "0A000"),
            (b"user\0ann\0options\0-x\0\0", "42601"),
        ] {
            assert_eq!(decode(body).unwrap_err(), state, "{body:?}");
        }
    }
}
