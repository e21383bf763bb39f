//! The byte stream of one client: frames in, messages out.
//!
//! Answers gather in `out` and leave in one write when the protocol asks for
//! it (Sync, Flush, the end of a simple query) or past [`FLUSH_SIZE`].
//! Memory grows with the bytes that came, never with the length that a client
//! announces.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::error::Stop;
use crate::error::{Error, SqlState};

/// Answers are written once so many bytes wait: a whole socket buffer or so.
pub(super) const FLUSH_SIZE: usize = 64 * 1024;

/// Space made for each read.
const READ_SIZE: usize = 8 * 1024;

/// More space is made when less than this is left.
const MIN_READ_SIZE: usize = 1024;

/// Buffers that grew past this are given back once they are empty: an idle
/// client should cost little.
const KEEP_SIZE: usize = 32 * 1024;

/// How far we read ahead while a statement runs.
const LOOKAHEAD_SIZE: usize = 256 * 1024;

/// What a client still sends is read for so long after our last word, and so
/// much of it.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 << 20;

/// The longest message that carries data: PostgreSQL's limit for one value.
const MAX_LARGE_MESSAGE: usize = 0x3fff_ffff - 1;

/// The longest of the other messages, as in PostgreSQL.
const MAX_SMALL_MESSAGE: usize = 10_000;

/// The longest message of an authentication, as in PostgreSQL.
const MAX_AUTHENTICATION_MESSAGE: usize = 65_535;

/// The longest startup packet, as in PostgreSQL.
const MAX_STARTUP_PACKET: usize = 10_000;

pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Plain or encrypted; a call through it costs nothing beside its system call.
pub(super) type Stream = Box<dyn Socket>;

pub(super) struct Wire {
    stream: Stream,
    input: BytesMut,
    pub(super) out: Vec<u8>,
    /// The client is known: its messages may be large.
    open: bool,
}

/// One message of the client.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Bytes,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Wire {
        Wire {
            stream,
            input: BytesMut::new(),
            out: Vec::new(),
            open: false,
        }
    }

    /// From now on all messages are taken; before, those of authentication only.
    pub(super) fn open(&mut self) {
        self.open = true;
    }

    /// Fails when the client has already sent more: bytes from before a TLS
    /// handshake must never count as after it.
    pub(super) fn is_drained(&self) -> Result<(), Stop> {
        if self.input.is_empty() {
            return Ok(());
        }
        Err(protocol_fatal(
            "received unencrypted data after SSL request",
        ))
    }

    /// The stream, to put TLS over it.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// The next whole message among the bytes that have come.
    pub(super) fn buffered(&mut self) -> Result<Option<Frame>, Stop> {
        let Some(header) = self.input.first_chunk::<5>() else {
            return Ok(None);
        };
        let [tag, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        let limit = limit(tag)
            .filter(|_| self.open || tag == b'p')
            .ok_or_else(|| protocol_fatal(format!("invalid frontend message type {tag}")))?;
        if !(4..=limit).contains(&length) {
            return Err(protocol_fatal("invalid message length"));
        }
        if self.input.len() < 1 + length {
            return Ok(None);
        }
        self.input.advance(5);
        let body = self.input.split_to(length - 4).freeze();
        Ok(Some(Frame { tag, body }))
    }

    /// The next packet of the startup phase: it has a length but no type.
    pub(super) async fn startup_packet(&mut self) -> Result<Bytes, Stop> {
        loop {
            if let Some(length) = self.input.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if !(8..=MAX_STARTUP_PACKET).contains(&length) {
                    return Err(protocol_fatal("invalid length of startup packet"));
                }
                if self.input.len() >= length {
                    self.input.advance(4);
                    return Ok(self.input.split_to(length - 4).freeze());
                }
            }
            self.fill().await?;
        }
    }

    /// Appends one of pgwire's messages.
    pub(super) fn put(&mut self, message: &impl Message) -> Result<(), Stop> {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes).map_err(|error| {
            Error::internal(format!("a message of ours does not encode: {error}"))
        })?;
        self.out.extend_from_slice(&bytes);
        Ok(())
    }

    /// Waits for more bytes. Loses none when dropped before its end.
    pub(super) async fn fill(&mut self) -> Result<(), Stop> {
        if self.input.capacity() - self.input.len() < MIN_READ_SIZE {
            self.input.reserve(READ_SIZE);
        }
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Stop::Gone(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    /// Waits for the next message.
    pub(super) async fn frame(&mut self) -> Result<Frame, Stop> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Nothing of the client's waits.
    pub(super) fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Room is left to read ahead while a statement runs.
    pub(super) fn has_room(&self) -> bool {
        self.input.len() < LOOKAHEAD_SIZE
    }

    /// Whether Sync is what comes next, but for messages that run nothing:
    /// then the statement before it is a transaction of its own.
    pub(super) async fn sync_follows(&mut self) -> Result<bool, Stop> {
        let mut at = 0;
        loop {
            while let Some(header) = self.input.get(at..at + 5) {
                match header[0] {
                    b'S' => return Ok(true),
                    b'C' => {}
                    _ => return Ok(false),
                }
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                at += 1 + length as usize;
                if at > LOOKAHEAD_SIZE {
                    return Ok(false);
                }
            }
            self.fill().await?;
        }
    }

    /// Writes what has gathered. Waits as long as the client takes to read it.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Writes what has gathered and says goodbye: TLS has a word for it, without
    /// which clients take the end for an attack.
    pub(super) async fn close(&mut self) -> Result<(), Stop> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }

    /// Reads what the client still sends after our last word. A socket that is
    /// closed with bytes unread is reset, and the word may be lost.
    pub(super) async fn linger(&mut self) {
        let rest = async {
            let mut read = 0;
            while read < LINGER_BYTES {
                self.input.clear();
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(bytes) => read += bytes,
                }
            }
        };
        // A client that says nothing more and stays is left.
        let _ = tokio::time::timeout(LINGER_MAX, rest).await;
    }

    /// Gives back what a large message needed.
    pub(super) fn shrink(&mut self) {
        if self.out.is_empty() && self.out.capacity() > KEEP_SIZE {
            self.out = Vec::new();
        }
        if self.input.is_empty() && self.input.capacity() > KEEP_SIZE {
            self.input = BytesMut::new();
        }
    }
}

pub(super) fn protocol_fatal(message: impl Into<String>) -> Stop {
    Stop::Fatal(Error::new(SqlState::PROTOCOL_VIOLATION, message))
}

/// How long a message of this type may be; `None` for types that are none.
fn limit(tag: u8) -> Option<usize> {
    match tag {
        b'Q' | b'P' | b'B' | b'F' | b'd' => Some(MAX_LARGE_MESSAGE),
        b'p' => Some(MAX_AUTHENTICATION_MESSAGE),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'c' | b'f' => Some(MAX_SMALL_MESSAGE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frontend::pg::message::{Bind, Execute, Parse, Target};

    fn wire(bytes: &[u8]) -> Wire {
        let mut wire = Wire::new(Box::new(tokio::io::empty()));
        wire.input.extend_from_slice(bytes);
        wire.open();
        wire
    }

    fn message_of(stop: Stop) -> String {
        match stop {
            Stop::Fatal(error) => error.message().to_owned(),
            stop => panic!("not fatal: {stop:?}"),
        }
    }

    #[test]
    fn frames_come_whole_or_not_at_all() {
        let bytes = b"Q\0\0\0\x06x\0S\0\0\0\x04";
        for end in 0..7 {
            assert!(wire(&bytes[..end]).buffered().unwrap().is_none(), "{end}");
        }
        let mut wire = wire(bytes);
        let frame = wire.buffered().unwrap().unwrap();
        assert_eq!((frame.tag, &*frame.body), (b'Q', &b"x\0"[..]));
        assert_eq!(wire.buffered().unwrap().unwrap().tag, b'S');
        assert!(wire.buffered().unwrap().is_none());
    }

    #[test]
    fn what_is_no_frame_ends_the_connection() {
        let refused = |bytes: &[u8]| message_of(wire(bytes).buffered().unwrap_err());
        assert_eq!(refused(b"G\0\0\0\x04"), "invalid frontend message type 71");
        for bytes in [b"Q\0\0\0\x03", b"Q\xff\xff\xff\xff", b"S\0\0\xff\xff"] {
            assert_eq!(refused(bytes), "invalid message length");
        }
        let mut unknown = wire(b"Q\0\0\0\x06x\0");
        unknown.open = false;
        assert!(unknown.buffered().is_err());
    }

    #[tokio::test]
    async fn startup_packets_are_short() {
        let packet = |bytes: &'static [u8]| async move { wire(bytes).startup_packet().await };
        assert_eq!(
            &*packet(b"\0\0\0\x08\x04\xd2\x16\x2f").await.unwrap(),
            [4, 210, 22, 47]
        );
        for bytes in [&b"\0\0\0\x07"[..], b"GET / HTTP/1.1\r\n", b"\0\0\x27\x11"] {
            assert!(matches!(packet(bytes).await, Err(Stop::Fatal(_))));
        }
        assert!(matches!(packet(b"\0\0\0\x08").await, Err(Stop::Gone(_))));
    }

    #[tokio::test]
    async fn finds_the_sync_behind_a_statement() {
        for (bytes, expected) in [
            (&b"S\0\0\0\x04"[..], true),
            (b"C\0\0\0\x06S\0S\0\0\0\x04", true),
            (b"H\0\0\0\x04S\0\0\0\x04", false),
            (b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04", false),
        ] {
            assert_eq!(wire(bytes).sync_follows().await.unwrap(), expected);
        }
        assert!(wire(b"S\0\0").sync_follows().await.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut wire = wire(&bytes);
            while let Ok(Some(_)) = wire.buffered() {}
            let _ = Parse::decode(&bytes);
            let _ = Bind::decode(&bytes);
            let _ = Execute::decode(&bytes);
            let _ = Target::decode(&bytes, "CLOSE");
        }
    }
}
