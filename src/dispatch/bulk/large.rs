//! Statements over more rows than are kept in memory: evaluated on one
//! snapshot, taken in portions.
//!
//! The table is claimed as a whole before the rows are read, so that nothing
//! waits while they flow but for keys of other tables.
//!
//! Not handled: an UPDATE that sets unique columns, and a DELETE whose actions
//! may come back to the same rows: their rows are read at once. What
//! RETURNING gives is kept until the statement ends.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::evaluate::Evaluator;
use super::super::evaluate::change::Change;
use super::super::read;
use super::super::refused::Refused;
use super::super::rules::{KeyPart, Rules};
use crate::catalog::schema::Action;
use crate::endpoint::{RowStream, Rows};
use crate::error::Result;
use crate::plan::query::{Body, From, Query};
use crate::types::id::{Index, TableId};
use crate::types::value::about_bytes;
use crate::types::{Row, encode};

/// Rows of one portion.
const PORTION_ROWS: usize = 1000;

/// The rows that a statement's query finds: all at once, or in portions.
pub(in crate::dispatch) struct Found {
    /// Where they were read.
    pub index: Index,
    ready: Vec<Row>,
    /// What is still to come, when they are many.
    stream: Option<RowStream>,
}

impl Found {
    /// The rows of a query that needed no look at a table.
    pub(in crate::dispatch) fn at_once(index: Index, rows: Vec<Row>) -> Found {
        Found {
            index,
            ready: rows,
            stream: None,
        }
    }

    /// The rows of a query in portions.
    pub(in crate::dispatch) fn portions(rows: Rows) -> Found {
        Found {
            index: rows.index,
            ready: Vec::new(),
            stream: Some(rows.stream),
        }
    }

    /// None at the end.
    pub(in crate::dispatch) async fn next(&mut self) -> Result<Vec<Row>> {
        let Some(stream) = &mut self.stream else {
            return Ok(std::mem::take(&mut self.ready));
        };
        let mut ended = false;
        while self.ready.len() < PORTION_ROWS && !ended {
            match stream {
                RowStream::Ready(rows) => {
                    self.ready.append(rows);
                    ended = true;
                }
                RowStream::Flowing(batches) => match batches.recv().await {
                    Some(batch) => self.ready.extend(batch?),
                    None => ended = true,
                },
            }
        }
        let rest = self.ready.split_off(self.ready.len().min(PORTION_ROWS));
        Ok(std::mem::replace(&mut self.ready, rest))
    }
}

impl Evaluator<'_> {
    /// The rows of a query that says what is written to a table. When they are
    /// many, and may be taken in portions, the whole table is claimed first.
    pub(in crate::dispatch) async fn found(
        &mut self,
        table: TableId,
        query: &Arc<Query>,
        portions: bool,
    ) -> Result<Found, Refused> {
        if let Some((index, rows)) = self.rows_unless_large(query, portions).await? {
            return Ok(Found::at_once(index, rows));
        }
        self.claim_whole(table).await?;
        let question = self.question(query.clone()).await?;
        let found = read::read(&self.transaction.cluster, &question).await?;
        Ok(Found::portions(found))
    }

    /// The rows of a query and where they were read; `None` when they are so
    /// many that they are to be taken in portions, if they may.
    async fn rows_unless_large(
        &mut self,
        query: &Arc<Query>,
        portions: bool,
    ) -> Result<Option<(Index, Vec<Row>)>, Refused> {
        let limit = self.transaction.cluster.space.transaction_bytes;
        let question = self.question(query.clone()).await?;
        let found = read::read(&self.transaction.cluster, &question).await?;
        let mut batches = match found.stream {
            RowStream::Ready(rows) => return Ok(Some((found.index, rows))),
            RowStream::Flowing(batches) => batches,
        };
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(batch) = batches.recv().await {
            let batch = batch?;
            bytes += batch.iter().map(|row| about_bytes(row)).sum::<usize>();
            rows.extend(batch);
            if portions && bytes > limit {
                return Ok(None);
            }
        }
        Ok(Some((found.index, rows)))
    }

    /// May an UPDATE of these columns, or a DELETE, take its rows in portions?
    /// No row's change may then depend on another's, and what actions change
    /// must not come back to the rows.
    pub(in crate::dispatch) fn may_take_portions(
        &self,
        change: &Change<'_>,
        rules: &Rules,
    ) -> bool {
        let Some(set) = change.set else {
            return rules.children.iter().all(|reference| {
                let child = reference.child.id;
                let is_leaf = self.schema.children_of(child).next().is_none();
                reference.key.on_delete == Action::NoAction || (child != rules.table.id && is_leaf)
            });
        };
        let sets = |place: &usize| set.iter().any(|(set, _)| set == place);
        rules.uniques.iter().all(|unique| {
            unique.predicate.is_none()
                && unique.parts.iter().all(|part| match part {
                    KeyPart::Column(place) => !sets(place),
                    KeyPart::Expression(..) => false,
                })
        })
    }
}

/// Which rows of the target were met before.
pub(in crate::dispatch) enum Seen {
    /// A query of the target alone meets each once.
    Never,
    Keys(HashSet<u128>),
}

impl Seen {
    pub(in crate::dispatch) fn of(query: &Query) -> Seen {
        match &query.body {
            Body::Select(select) if matches!(&select.from[..], [From::Table { .. }]) => Seen::Never,
            _ => Seen::Keys(HashSet::new()),
        }
    }

    /// The rows of the target, each by the first match it has, and what the
    /// query yields beside it.
    pub(in crate::dispatch) fn first(&mut self, rules: &Rules, rows: Vec<Row>) -> Vec<(Row, Row)> {
        let width = rules.table.columns.len();
        let mut found = Vec::with_capacity(rows.len());
        for mut row in rows {
            let rest = row.split_off(width);
            let new = match self {
                Seen::Never => true,
                Seen::Keys(keys) => keys.insert(encode::row_hash(&rules.key_of(&row)).0),
            };
            if new {
                found.push((row, rest));
            }
        }
        found
    }
}
