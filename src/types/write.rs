//! What the log carries of a client's writes, and what a replica answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::{TableId, TransactionId};
use super::value::{Row, Value};
use crate::error::SqlState;

/// A hash of one row's canonical encoding (XXH3, 128 bits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RowHash(pub u128);

/// One client transaction in the log: all of it applies, or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    pub id: TransactionId,
    pub writes: Vec<Write>,
}

/// One write. A constraint is checked when the write that may break it is
/// done; a foreign key at the end of its statement or, if deferred, of the
/// transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Write {
    /// Point write: whole rows of constants.
    Insert { table: TableId, rows: Vec<Row> },
    /// Point write: changes the row of this key if there is one.
    Update {
        table: TableId,
        key: Vec<Value>,
        set: Vec<Assignment>,
    },
    /// Point write: deletes the row of this key if there is one.
    Delete { table: TableId, key: Vec<Value> },
    /// Evaluated rows of one table, in no particular order: a replica first
    /// checks every `before`, then removes and changes, then adds.
    Rows {
        table: TableId,
        changes: Vec<RowChange>,
    },
    /// Empties tables.
    Truncate { tables: Vec<TableId> },
    /// Between the statements of one transaction: immediate constraints hold here.
    EndOfStatement,
}

impl Write {
    /// The tables that it changes.
    pub fn tables(&self) -> &[TableId] {
        match self {
            Write::Insert { table, .. }
            | Write::Update { table, .. }
            | Write::Delete { table, .. }
            | Write::Rows { table, .. } => std::slice::from_ref(table),
            Write::Truncate { tables } => tables,
            Write::EndOfStatement => &[],
        }
    }
}

/// A column of a point update: its place in the row and its new value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    pub column: u16,
    pub value: Assigned,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Assigned {
    Constant(Value),
    /// Canonical PostgreSQL text over the row's own columns, with `$1…` for
    /// `parameters`; computed by the endpoint with the planner's own functions.
    Expression {
        text: Arc<str>,
        parameters: Vec<Value>,
    },
}

/// One evaluated row: the key it had (or gets), the hash of what it was, what it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowChange {
    /// The primary key before the change, or of the new row.
    pub key: Vec<Value>,
    /// `None`: the row must not exist yet.
    pub before: Option<RowHash>,
    /// `None`: the row goes.
    pub after: Option<Row>,
}

/// What one transaction did on a replica; the same on all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub id: TransactionId,
    pub result: Result<Applied, Failure>,
}

/// A transaction that applied: rows matched by each write, and a hash over all after-images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    pub rows: Vec<u64>,
    pub hash: RowHash,
}

/// A transaction refused by its data: nothing of it is there. `message` and
/// the fields after it are for the client; only `state` enters the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub state: [u8; 5],
    pub message: String,
    pub detail: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

impl Failure {
    pub fn sql_state(&self) -> SqlState {
        SqlState(self.state)
    }
}
