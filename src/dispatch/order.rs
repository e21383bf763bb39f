//! What the sequencer is asked to log. Data alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalog::Counter;
use crate::catalog::schema::Schema;
use crate::log::command::{Pieced, SchemaEntry};
use crate::types::id::{Index, ObjectId, TableId, TransactionId};
use crate::types::write::Write;

/// What the sequencer is asked to log.
pub struct Order {
    pub id: TransactionId,
    pub content: Content,
    /// The schema it was planned against.
    pub schema: Arc<Schema>,
    /// What a serializable transaction read, and on which snapshot.
    pub read: Option<ReadSet>,
    /// Sequences that start anew with it.
    pub counters: Vec<(ObjectId, Counter)>,
}

/// What of it enters the log.
pub enum Content {
    Writes(Vec<Write>),
    /// What remains of a transaction whose pieces are in the log.
    Pieced(Completed),
    Schema(Box<SchemaEntry>),
}

impl Content {
    /// What its pieces have in common, if it has any.
    pub fn pieces(&self) -> Option<TransactionId> {
        match self {
            Content::Writes(_) => None,
            Content::Pieced(completed) => Some(completed.pieced.of),
            Content::Schema(entry) => entry.pieces.as_ref().map(|pieced| pieced.of),
        }
    }
}

/// What must not have changed when it comes to its place.
#[derive(Clone, Debug)]
pub struct ReadSet {
    pub snapshot: Index,
    pub tables: Vec<TableId>,
}

/// What the last entry of a large transaction says.
pub struct Completed {
    pub pieced: Pieced,
    pub last: Vec<Write>,
    pub tables: BTreeSet<TableId>,
    /// After how many schema changes its rows begin or go on, and how many of
    /// the pieces come before that.
    pub steps: Vec<(usize, usize)>,
}
