//! The one view that all parts of a statement read, and what it has done since.
//!
//! It serves statements of several steps (`compound`), and subqueries over the
//! written rows in RETURNING and in ON CONFLICT DO UPDATE.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::schema::Schema;
use crate::dispatch::read::{self, HeldSnapshot};
use crate::dispatch::refused::Refused;
use crate::dispatch::rules::Rules;
use crate::dispatch::transaction::{Closer, OpenTransaction};
use crate::endpoint::{Level, Overlay};
use crate::error::Result;
use crate::types::id::TableId;
use crate::types::{Row, encode};

/// The view, and what the statement has done since.
pub struct Moment {
    held: HeldSnapshot,
    _closer: Option<Closer>,
    overlay: Arc<Overlay>,
    /// Keys that rows had which the statement changed or deleted.
    changed: HashSet<(TableId, u128)>,
    /// Keys of rows that it wrote.
    made: HashSet<(TableId, u128)>,
    /// Rows that lost or changed their keys, for foreign keys to look at.
    postponed: Vec<(Arc<Rules>, Row, Option<Row>)>,
    /// Rows have changed since: the statement must begin again.
    pub outdated: bool,
}

fn hash_of(rules: &Rules, row: &Row) -> (TableId, u128) {
    (rules.table.id, encode::row_hash(&rules.key_of(row)).0)
}

impl Moment {
    /// The transaction's snapshot, or the replicas as they are now.
    pub(super) async fn take(
        transaction: &mut OpenTransaction,
        schema: &Arc<Schema>,
        reads: &[TableId],
    ) -> Result<Moment, Refused> {
        let (held, closer) = match transaction.snapshot(schema).await? {
            Some(held) => (held, None),
            None => {
                let version = transaction.read_version(schema, reads)?;
                let level = Level::Evaluate(transaction.cluster.replicas.stable());
                let held = read::hold_snapshot(&transaction.cluster, level, version).await?;
                let closer = Closer::new(&transaction.cluster, &held);
                (held, Some(closer))
            }
        };
        Ok(Moment {
            held,
            _closer: closer,
            overlay: transaction.written.overlay()?.unwrap_or_default(),
            changed: HashSet::new(),
            made: HashSet::new(),
            postponed: Vec::new(),
            outdated: false,
        })
    }

    /// What a question is asked on.
    pub fn view(&self) -> (Level, HeldSnapshot, Arc<Overlay>) {
        let level = Level::Evaluate(self.held.index);
        (level, self.held.clone(), self.overlay.clone())
    }

    /// Has the statement itself changed this row?
    pub fn has_changed(&self, rules: &Rules, row: &Row) -> bool {
        self.changed.contains(&hash_of(rules, row))
    }

    /// Has the statement itself made this row?
    pub fn has_made(&self, rules: &Rules, row: &Row) -> bool {
        self.made.contains(&hash_of(rules, row))
    }

    pub fn note_made(&mut self, rules: &Rules, row: &Row) {
        self.made.insert(hash_of(rules, row));
    }

    /// Remembers changed rows; what foreign keys ask of them is put off.
    pub fn note_changed(&mut self, rules: &Arc<Rules>, changes: &[(Row, Option<Row>)]) {
        for (old, new) in changes {
            self.changed.insert(hash_of(rules, old));
            if let Some(new) = new {
                self.note_made(rules, new);
            }
            if !rules.children.is_empty() {
                let change = (rules.clone(), old.clone(), new.clone());
                self.postponed.push(change);
            }
        }
    }

    pub fn take_postponed(&mut self) -> Vec<(Arc<Rules>, Row, Option<Row>)> {
        std::mem::take(&mut self.postponed)
    }

    pub(super) fn give(&mut self, table: TableId, rows: Vec<Row>) {
        let overlay = Arc::make_mut(&mut self.overlay);
        overlay.given.insert(table, Arc::new(rows));
    }
}
