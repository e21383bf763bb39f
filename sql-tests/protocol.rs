//! The PostgreSQL port met with raw bytes: mutated, truncated and oversized
//! messages, before and after authentication.
//!
//! Whatever comes, the program lives, answers in well-formed messages, never
//! with an internal error, and takes no memory for what was only announced.

use std::time::{Duration, Instant};

use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Sandbox;

/// How long the bombardment goes on.
const LENGTH: Duration = Duration::from_secs(8);

/// Clients at a time.
const CLIENTS: u64 = 4;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// What the program may grow by, in MiB: caches fill, buffers do not.
const GROWTH_MAX_MIB: u64 = 300;

const VERSION_3_0: u32 = 196_608;

/// Statements whose messages are mutated.
const STATEMENTS: &[&str] = &[
    "SELECT 1",
    "SELECT id, name FROM employees WHERE id = $1",
    "SELECT $1::text, $2::numeric, $3::timestamptz, $4::int[], $5::jsonb, $6::interval, $7::bytea",
    "INSERT INTO fuzz VALUES ($1, $2) ON CONFLICT DO NOTHING",
    "UPDATE fuzz SET b = $1 WHERE a = $2 RETURNING *",
    "BEGIN",
    "ROLLBACK",
    "COPY fuzz FROM STDIN",
    "COPY fuzz FROM STDIN (FORMAT binary)",
    "COPY fuzz TO STDOUT",
    "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT generate_series(1, 20)",
    "FETCH BACKWARD 3 FROM c",
    "SELECT generate_series(1, 100); SELECT 2",
    "SET application_name = 'x'; SHOW ALL",
    "",
];

/// Gives what was wrong.
pub(crate) async fn run(sandbox: &Sandbox, seed: u64) -> Vec<String> {
    let client = sandbox.client().await;
    let made = client.batch_execute("CREATE TABLE fuzz (a int PRIMARY KEY, b text)");
    made.await.expect("a table can be made");
    let before = sandbox.memory_mib();
    let deadline = Instant::now() + LENGTH;
    let bombards = (0..CLIENTS).map(|number| {
        let port = sandbox.pg;
        async move {
            let mut chance = StdRng::seed_from_u64(seed * 1000 + number);
            let mut wrong = Vec::new();
            while Instant::now() < deadline && wrong.is_empty() {
                let round = match chance.random_ratio(1, 4) {
                    true => before_authentication(port, &mut chance).await,
                    false => after_authentication(port, &mut chance).await,
                };
                wrong.extend(round.err());
            }
            wrong
        }
    });
    let mut wrong: Vec<String> = futures::future::join_all(bombards).await.concat();
    wrong.extend(last_word(sandbox.pg).await.err());
    let grown = sandbox.memory_mib().saturating_sub(before);
    if grown > GROWTH_MAX_MIB {
        wrong.push(format!("memory grew by {grown} MiB"));
    }
    for client in [client, sandbox.client().await] {
        if let Err(error) = client.batch_execute("SELECT count(*) FROM fuzz").await {
            wrong.push(format!("afterwards: {error}"));
        }
    }
    wrong
}

/// Who is refused hears why, however much more it had to say.
async fn last_word(port: u16) -> Result<(), String> {
    let mut stream = connect(port).await?;
    authenticate(&mut stream).await?;
    let bytes = [&[b'Q', 0, 0, 0, 3][..], &vec![7; 2 << 20]].concat();
    let (mut from, mut to) = stream.split();
    let (answer, sent) = tokio::join!(read_to_end(&mut from), to.write_all(&bytes));
    let answer = answer?;
    well_formed(&answer)?;
    sent.map_err(|error| format!("what it sends is not read: {error}"))?;
    match String::from_utf8_lossy(&answer).contains("SFATAL") {
        true => Ok(()),
        false => Err(format!("it hears no reason: {answer:?}")),
    }
}

/// A start that is not as it should be.
async fn before_authentication(port: u16, chance: &mut StdRng) -> Result<(), String> {
    let mut stream = connect(port).await?;
    let mut bytes = match chance.random_range(0..5) {
        0 => packet(&80_877_103_u32.to_be_bytes()),
        1 => packet(&[80_877_102_u32.to_be_bytes(), [0, 0, 0, 1], [1, 2, 3, 4]].concat()),
        2 => (0..chance.random_range(1..200))
            .map(|_| chance.random())
            .collect(),
        _ => startup(),
    };
    if chance.random_bool(0.7) {
        mutate(&mut bytes, chance);
    }
    if chance.random_bool(0.5) {
        bytes.extend(message(b'p', b"SCRAM-SHA-256\0\0\0\0\x05n,,n="));
        mutate(&mut bytes, chance);
    }
    // The server may have closed already.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    // A TLS handshake that fails may end in a reset.
    let answer = read_to_end(&mut stream).await.unwrap_or_default();
    // The answer to an SSLRequest is one byte, and TLS or nothing follows.
    match answer.first() {
        None | Some(b'S' | b'N') => Ok(()),
        Some(_) => well_formed(&answer),
    }
}

/// A pipeline of messages, some of them damaged.
async fn after_authentication(port: u16, chance: &mut StdRng) -> Result<(), String> {
    let mut stream = connect(port).await?;
    authenticate(&mut stream).await?;
    let mut bytes = Vec::new();
    for _ in 0..chance.random_range(1..12) {
        let mut one = some_message(chance);
        if chance.random_ratio(1, 3) {
            mutate(&mut one, chance);
        }
        bytes.extend(one);
    }
    let _ = stream.write_all(&bytes).await;
    if chance.random_bool(0.1) {
        // Gone without a word.
        return Ok(());
    }
    let _ = stream.shutdown().await;
    let answer = read_to_end(&mut stream).await?;
    well_formed(&answer).map_err(|error| format!("{error}\n  sent {bytes:?}"))
}

fn some_message(chance: &mut StdRng) -> Vec<u8> {
    let statement = STATEMENTS[chance.random_range(0..STATEMENTS.len())];
    let names = ["", "a", "b"];
    let name = names[chance.random_range(0..names.len())];
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();
    match chance.random_range(0..14) {
        0 | 1 => message(b'Q', &text(statement)),
        2 | 3 => message(b'P', &[text(name), text(statement), vec![0, 0]].concat()),
        4 | 5 => message(b'B', &bind(name, chance)),
        6 => message(
            b'D',
            &[vec![b"SP"[chance.random_range(0..2)]], text(name)].concat(),
        ),
        7 | 8 => {
            let limit: [u8; 4] = chance.random_range(0..4_i32).to_be_bytes();
            message(b'E', &[&text(name)[..], &limit].concat())
        }
        9 => message(
            b'C',
            &[vec![b"SP"[chance.random_range(0..2)]], text(name)].concat(),
        ),
        10 => message(b"SH"[chance.random_range(0..2)], b""),
        11 => message(b'd', b"1\ttext\n\\.\n"),
        12 => message(b"cf"[chance.random_range(0..2)], b"no\0"),
        _ => message(b'F', &[0; 12]),
    }
}

fn bind(name: &str, chance: &mut StdRng) -> Vec<u8> {
    let parameters = chance.random_range(0..8_u16);
    let mut body = [name.as_bytes(), b"\0", name.as_bytes(), b"\0"].concat();
    body.extend([0, 1, 0, chance.random_range(0..2)]);
    body.extend(parameters.to_be_bytes());
    for _ in 0..parameters {
        let length = chance.random_range(-1..20_i32);
        body.extend(length.to_be_bytes());
        body.extend((0..length.max(0)).map(|_| chance.random_range(b'0'..=b'z')));
    }
    body.extend([0, 1, 0, chance.random_range(0..2)]);
    body
}

/// Flips, cuts, repeats, or lies about the length.
fn mutate(bytes: &mut Vec<u8>, chance: &mut StdRng) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..chance.random_range(1..4) {
        let place = chance.random_range(0..bytes.len());
        match chance.random_range(0..6) {
            0 => bytes[place] = chance.random(),
            1 => bytes[place] ^= 1 << chance.random_range(0..8),
            2 => bytes.truncate(place.max(1)),
            3 => bytes.insert(place, chance.random()),
            4 => {
                let again = bytes[place..].to_vec();
                bytes.extend(again);
            }
            _ => {
                let lengths = [0, 3, 4, 5, 0x7f, 10_001, 0x3fff_ffff, 0x7fff_ffff, u32::MAX];
                let length = lengths[chance.random_range(0..lengths.len())];
                if bytes.len() >= 5 {
                    bytes[1..5].copy_from_slice(&length.to_be_bytes());
                }
            }
        }
    }
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    let connecting = TcpStream::connect(("127.0.0.1", port));
    connecting
        .await
        .map_err(|error| format!("no connection: {error}"))
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [vec![tag], packet(body)].concat()
}

fn startup() -> Vec<u8> {
    let parameters = b"user\0demo\0database\0company\0application_name\0fuzz\0\0";
    packet(&[&VERSION_3_0.to_be_bytes()[..], parameters].concat())
}

async fn authenticate(stream: &mut TcpStream) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("authentication: {error}");
    let mut scram = ScramSha256::new(b"demo1234", ChannelBinding::unsupported());
    stream.write_all(&startup()).await.map_err(failed)?;
    let mut ready = false;
    while !ready {
        let (tag, body) = read_message(stream).await.map_err(failed)?;
        let kind = body.first_chunk().map(|kind| u32::from_be_bytes(*kind));
        match (tag, kind) {
            (b'R', Some(10)) => {
                let first = scram.message();
                let length = (first.len() as u32).to_be_bytes();
                let name = [SCRAM_SHA_256.as_bytes(), b"\0"].concat();
                let body = [&name, &length[..], first].concat();
                stream
                    .write_all(&message(b'p', &body))
                    .await
                    .map_err(failed)?;
            }
            (b'R', Some(11)) => {
                scram.update(&body[4..]).map_err(failed)?;
                let last = message(b'p', scram.message());
                stream.write_all(&last).await.map_err(failed)?;
            }
            (b'R', Some(12)) => scram.finish(&body[4..]).map_err(failed)?,
            (b'E', _) => return Err(format!("refused: {}", String::from_utf8_lossy(&body))),
            (tag, _) => ready = tag == b'Z',
        }
    }
    Ok(())
}

async fn read_message(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let tag = stream.read_u8().await?;
    let length = stream.read_u32().await? as usize;
    let mut body = vec![0; length.saturating_sub(4)];
    stream.read_exact(&mut body).await?;
    Ok((tag, body))
}

async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    match tokio::time::timeout(ANSWER_MAX, stream.read_to_end(&mut answer)).await {
        Err(_) => Err(format!("no end after {answer:?}")),
        Ok(Err(error)) => Err(format!("{error} after {answer:?}")),
        Ok(Ok(_)) => Ok(answer),
    }
}

/// Whole messages of known kinds, no internal error, nothing behind a FATAL.
fn well_formed(mut answer: &[u8]) -> Result<(), String> {
    while let Some((tag, rest)) = answer.split_first() {
        if !b"RSKZTDCEN123nstIGHcdAv".contains(tag) {
            return Err(format!("a message of kind {tag}"));
        }
        let Some(length) = rest
            .first_chunk()
            .map(|length| u32::from_be_bytes(*length) as usize)
        else {
            return Err("half a message".to_owned());
        };
        if length < 4 {
            return Err(format!("a message of {length} bytes"));
        }
        let Some((body, behind)) = rest.split_at_checked(length) else {
            return Err("half a message".to_owned());
        };
        let fields = String::from_utf8_lossy(&body[4..]);
        let has = |field: &str| fields.split('\0').any(|own| own == field);
        if *tag == b'E' && fields.split('\0').any(|own| own.starts_with("CXX")) {
            return Err(format!("an internal error: {fields}"));
        }
        if *tag == b'E' && has("SFATAL") && !behind.is_empty() {
            return Err(format!("{} bytes behind {fields}", behind.len()));
        }
        answer = behind;
    }
    Ok(())
}
