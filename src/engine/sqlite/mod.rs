//! SQLite as a replica: one file, one writer connection on its own thread,
//! any number of readers.
//!
//! The file is in WAL mode with `synchronous=NORMAL`: a crash of the process
//! loses nothing, a power loss only commits after the durable index. What pyql
//! keeps for itself lies in tables under `_pyql_`.
//!
//! The engine knows entries, rows and chains; leases, incarnations and stable
//! indexes are the endpoint's.

pub mod apply;
pub mod background;
pub mod checkpoint;
pub mod collations;
pub mod connections;
pub mod copy;
pub mod dialect;
pub mod difference;
pub mod execution;
#[cfg(test)]
mod faults;
pub mod file;
pub mod functions;
pub mod gather;
pub mod hash;
mod plans;
pub mod position;
pub mod query;
pub mod read;
pub mod rows;
pub mod schema;
pub mod scratch;
mod slow;
mod table_function;
#[cfg(test)]
mod testing;
pub mod values;
mod vfs;
pub mod watch;
mod windows;
mod work;
pub mod writer;
mod written;

use crate::catalog::schema::Table;
use crate::error::Error;
use crate::types::Row;
use crate::types::id::{Index, TransactionId};

/// Why the engine could not do what it was told: never the client's fault.
/// Whatever was begun has been rolled back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StorageError {
    /// The entries do not start where the replica stands.
    #[error("the replica does not stand where the entries start")]
    NotThere,
    #[error("{0}")]
    Tampered(String),
    /// The file cannot be read as a replica at all.
    #[error("the file is no replica: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Failed(String),
    /// The database failed while it applied this transaction.
    #[error("transaction {transaction}: {message}")]
    Transaction {
        index: Index,
        transaction: TransactionId,
        message: String,
    },
}

impl StorageError {
    pub(crate) fn failed(message: impl Into<String>) -> StorageError {
        StorageError::Failed(message.into())
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> StorageError {
        use rusqlite::Error as Sqlite;
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let unreadable = match &error {
            Sqlite::SqliteFailure(code, _) => matches!(code.code, NotADatabase | DatabaseCorrupt),
            Sqlite::QueryReturnedNoRows | Sqlite::InvalidColumnType(..) => true,
            Sqlite::FromSqlConversionFailure(..) => true,
            _ => false,
        };
        match unreadable {
            true => StorageError::Unreadable(describe(&error)),
            false => StorageError::Failed(describe(&error)),
        }
    }
}

/// SQLite's message and extended code, for operators and logs.
pub(crate) fn describe(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, Some(message)) => {
            format!("{message} (SQLite code {})", code.extended_code)
        }
        other => other.to_string(),
    }
}

/// An identifier as SQL takes it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's row out of a query for all its columns in order.
pub(crate) fn stored_row(row: &rusqlite::Row<'_>, table: &Table) -> crate::error::Result<Row> {
    let mut found = Row::with_capacity(table.columns.len());
    for (place, column) in table.columns.iter().enumerate() {
        let stored = row
            .get_ref(place)
            .map_err(|error| Error::internal(describe(&error)))?;
        found.push(values::decode(stored, &column.ty)?);
    }
    Ok(found)
}
