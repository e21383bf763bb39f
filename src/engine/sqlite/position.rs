//! What a replica keeps about itself, in its own database: where it stands in
//! the log, its chain, its schema, and the last outcomes.
//!
//! All of it changes in the transaction that changes the rows.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::StorageError;
use super::apply::Database;
use crate::catalog::schema::Schema;
use crate::types::id::{Index, SchemaVersion, Term};
use crate::types::write::Outcome;

/// Outcomes are kept for this many log positions: far more than deliveries
/// that can be in doubt, since a deliverer sends one at a time.
pub const OUTCOME_WINDOW: u64 = 4096;

/// Old outcomes are forgotten each time so many log positions have passed.
const FORGET_EVERY: u64 = 16;

/// The layout of these tables; a file of a later one is not opened.
const LAYOUT: i64 = 1;

const CREATE: &str = "
CREATE TABLE IF NOT EXISTS _pyql_position (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    layout INTEGER NOT NULL,
    applied INTEGER NOT NULL,
    term INTEGER NOT NULL,
    chain BLOB NOT NULL,
    schema_version INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS _pyql_schema (
    id INTEGER PRIMARY KEY CHECK (id = 0),
    content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS _pyql_outcomes (
    log_index INTEGER PRIMARY KEY,
    outcomes BLOB NOT NULL
);";

/// Where the rows of a file stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub applied: Index,
    pub term: Term,
    pub chain: u128,
    pub schema: SchemaVersion,
}

/// Makes the tables in a new file; reads nothing in an old one.
pub(super) fn prepare(connection: &Connection, born: Index) -> Result<(), StorageError> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = create(connection, born);
    match done {
        Ok(()) => Ok(connection.execute_batch("COMMIT")?),
        Err(error) => {
            // The error is what matters; a connection that cannot roll back is closed.
            let _ = connection.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

fn create(connection: &Connection, born: Index) -> Result<(), StorageError> {
    let (tables, ours): (i64, i64) = connection.query_row(
        "SELECT count(*), count(*) FILTER (WHERE name = '_pyql_position') FROM sqlite_schema",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if tables > 0 && ours == 0 {
        let what = "it holds someone else's tables";
        return Err(StorageError::Unreadable(what.to_owned()));
    }
    connection.execute_batch(CREATE)?;
    connection.execute(
        "INSERT OR IGNORE INTO _pyql_position VALUES (0, ?1, ?2, 0, ?3, 0)",
        params![LAYOUT, signed(born.0), 0u128.to_be_bytes()],
    )?;
    connection.execute(
        "INSERT OR IGNORE INTO _pyql_schema VALUES (0, ?1)",
        [encode(&Schema::empty())?],
    )?;
    let layout: i64 =
        connection.query_row("SELECT layout FROM _pyql_position", [], |row| row.get(0))?;
    if layout != LAYOUT {
        // Not set aside: the version that wrote it can read it.
        return Err(StorageError::failed(format!(
            "the file has layout {layout}, this version reads {LAYOUT}"
        )));
    }
    Ok(())
}

/// The applied index alone, in whatever snapshot the connection has open.
pub fn applied(connection: &Connection) -> rusqlite::Result<Index> {
    connection
        .prepare_cached("SELECT applied FROM _pyql_position WHERE id = 0")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(|applied| Index(applied as u64))
}

pub fn load(connection: &Connection) -> Result<Standing, StorageError> {
    let standing = connection.query_row(
        "SELECT applied, term, chain, schema_version FROM _pyql_position WHERE id = 0",
        [],
        |row| {
            let chain: [u8; 16] = row.get(2)?;
            Ok(Standing {
                applied: Index(row.get::<_, i64>(0)? as u64),
                term: Term(row.get::<_, i64>(1)? as u64),
                chain: u128::from_be_bytes(chain),
                schema: SchemaVersion(row.get::<_, i64>(3)? as u64),
            })
        },
    )?;
    Ok(standing)
}

pub(super) fn store(database: &Database, standing: &Standing) -> rusqlite::Result<()> {
    database.execute(
        "UPDATE _pyql_position SET applied = ?1, term = ?2, chain = ?3, schema_version = ?4 \
         WHERE id = 0",
        params![
            signed(standing.applied.0),
            signed(standing.term.0),
            standing.chain.to_be_bytes(),
            signed(standing.schema.0),
        ],
    )?;
    Ok(())
}

pub fn load_schema(connection: &Connection) -> Result<Arc<Schema>, StorageError> {
    let content: Vec<u8> =
        connection.query_row("SELECT content FROM _pyql_schema WHERE id = 0", [], |row| {
            row.get(0)
        })?;
    let schema = rmp_serde::from_slice(&content)
        .map_err(|error| StorageError::failed(format!("the stored schema: {error}")))?;
    Ok(Arc::new(schema))
}

pub(super) fn store_schema(database: &Database, schema: &Schema) -> Result<(), StorageError> {
    database.execute(
        "UPDATE _pyql_schema SET content = ?1 WHERE id = 0",
        [encode(schema)?],
    )?;
    Ok(())
}

/// Keeps the outcomes of one entry.
pub(super) fn store_outcomes(
    database: &Database,
    index: Index,
    outcomes: &[Outcome],
) -> Result<(), StorageError> {
    database.execute(
        "INSERT OR REPLACE INTO _pyql_outcomes VALUES (?1, ?2)",
        params![signed(index.0), encode(&outcomes)?],
    )?;
    Ok(())
}

/// Forgets the outcomes that left the window, now and then.
pub(super) fn forget_outcomes(
    database: &Database,
    before: Index,
    upto: Index,
) -> Result<(), StorageError> {
    if before.0 / FORGET_EVERY != upto.0 / FORGET_EVERY {
        let oldest = upto.0.saturating_sub(OUTCOME_WINDOW);
        database.execute(
            "DELETE FROM _pyql_outcomes WHERE log_index < ?1",
            [signed(oldest)],
        )?;
    }
    Ok(())
}

/// The outcomes of one entry, if they are still kept.
pub(super) fn load_outcomes(
    connection: &Connection,
    index: Index,
) -> Result<Option<Vec<Outcome>>, StorageError> {
    let content: Option<Vec<u8>> = connection
        .prepare_cached("SELECT outcomes FROM _pyql_outcomes WHERE log_index = ?1")?
        .query_row([signed(index.0)], |row| row.get(0))
        .optional()?;
    content
        .map(|content| rmp_serde::from_slice(&content))
        .transpose()
        .map_err(|error| StorageError::failed(format!("stored outcomes: {error}")))
}

fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    rmp_serde::to_vec_named(value).map_err(|error| StorageError::failed(error.to_string()))
}

/// SQLite's integers are signed; the bits are kept.
fn signed(number: u64) -> i64 {
    number as i64
}
