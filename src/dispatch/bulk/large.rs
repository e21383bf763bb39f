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

use super::super::evaluate::{Attempt, Done, Evaluator, each_once};
use super::super::read::{self, Refused};
use super::super::rules::{KeyPart, Rules};
use super::changes;
use crate::catalog::schema::Action;
use crate::endpoint::{RowStream, Rows};
use crate::error::Result;
use crate::plan::evaluation::Evaluation;
use crate::plan::query::{Body, From, Query};
use crate::plan::statement::{Delete, Insert, InsertColumn, Update};
use crate::types::id::Index;
use crate::types::{Row, encode};

/// Rows of one portion.
const PORTION_ROWS: usize = 1000;

/// The rows of a query, some at a time.
pub(in crate::dispatch) struct Portions {
    index: Index,
    stream: RowStream,
    ready: Vec<Row>,
    ended: bool,
}

impl Portions {
    pub(in crate::dispatch) fn of(found: Rows) -> Portions {
        Portions {
            index: found.index,
            stream: found.stream,
            ready: Vec::new(),
            ended: false,
        }
    }

    /// None at the end.
    pub(in crate::dispatch) async fn next(&mut self) -> Result<Vec<Row>> {
        while self.ready.len() < PORTION_ROWS && !self.ended {
            match &mut self.stream {
                RowStream::Ready(rows) => {
                    self.ready.append(rows);
                    self.ended = true;
                }
                RowStream::Flowing(batches) => match batches.recv().await {
                    Some(batch) => self.ready.extend(batch?),
                    None => self.ended = true,
                },
            }
        }
        let rest = self.ready.split_off(self.ready.len().min(PORTION_ROWS));
        Ok(std::mem::replace(&mut self.ready, rest))
    }
}

impl Evaluator<'_> {
    /// The rows of a query and where they were read; `None` when they are so
    /// many that they are to be taken in portions, if they may.
    pub(in crate::dispatch) async fn rows_unless_large(
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
            bytes += batch.iter().map(changes::size).sum::<usize>();
            rows.extend(batch);
            if portions && bytes > limit {
                return Ok(None);
            }
        }
        Ok(Some((found.index, rows)))
    }

    async fn portions(&mut self, query: &Arc<Query>) -> Result<Portions, Refused> {
        let question = self.question(query.clone()).await?;
        let found = read::read(&self.transaction.cluster, &question).await?;
        Ok(Portions::of(found))
    }

    /// INSERT … SELECT.
    pub(in crate::dispatch) async fn insert_large(
        &mut self,
        insert: &Insert,
        query: &Arc<Query>,
        columns: &[InsertColumn],
    ) -> Attempt<Done> {
        self.claim_whole(insert.table.id).await?;
        let mut portions = self.portions(query).await?;
        let mut done = Done::default();
        let mut touched = HashSet::new();
        loop {
            let results = portions.next().await?;
            if results.is_empty() {
                return Ok(done);
            }
            let rows = self.inserted(results, columns)?;
            self.insert_rows(insert, rows, &mut touched, &mut done)
                .await?;
        }
    }

    pub(in crate::dispatch) async fn update_large(
        &mut self,
        update: &Update,
        evaluation: &Evaluation,
        query: &Arc<Query>,
        rules: &Arc<Rules>,
    ) -> Attempt<Done> {
        self.claim_whole(update.table.id).await?;
        let mut portions = self.portions(query).await?;
        let mut seen = Seen::of(evaluation);
        let mut done = Done::default();
        loop {
            let rows = portions.next().await?;
            if rows.is_empty() {
                return Ok(done);
            }
            let found = seen.first(rules, each_once(rules, rows));
            self.update_rows(update, evaluation, rules, portions.index, found, &mut done)
                .await?;
        }
    }

    pub(in crate::dispatch) async fn delete_large(
        &mut self,
        delete: &Delete,
        evaluation: &Evaluation,
        query: &Arc<Query>,
        rules: &Arc<Rules>,
    ) -> Attempt<Done> {
        self.claim_whole(delete.table.id).await?;
        let mut portions = self.portions(query).await?;
        let mut seen = Seen::of(evaluation);
        let mut done = Done::default();
        loop {
            let rows = portions.next().await?;
            if rows.is_empty() {
                return Ok(done);
            }
            let found = seen.first(rules, each_once(rules, rows));
            self.delete_rows(delete, evaluation, rules, portions.index, found, &mut done)
                .await?;
        }
    }

    /// May an UPDATE of these columns take its rows in portions? No row's
    /// change may then depend on another's.
    pub(in crate::dispatch) fn may_update_in_portions(
        &self,
        update: &Update,
        rules: &Rules,
    ) -> bool {
        let sets = |place: &usize| update.set.iter().any(|(set, _)| set == place);
        rules.uniques.iter().all(|unique| {
            unique.predicate.is_none()
                && unique.parts.iter().all(|part| match part {
                    KeyPart::Column(place) => !sets(place),
                    KeyPart::Expression(..) => false,
                })
        })
    }

    /// May a DELETE? What its actions change must not come back to its rows.
    pub(in crate::dispatch) fn may_delete_in_portions(&self, rules: &Rules) -> bool {
        rules.children.iter().all(|reference| {
            let child = reference.child.id;
            let is_leaf = self.schema.children_of(child).next().is_none();
            reference.key.on_delete == Action::NoAction || (child != rules.table.id && is_leaf)
        })
    }
}

/// Which rows of the target were met before.
enum Seen {
    /// A query of the target alone meets each once.
    Never,
    Keys(HashSet<u128>),
}

impl Seen {
    fn of(evaluation: &Evaluation) -> Seen {
        match &evaluation.query.body {
            Body::Select(select) if matches!(&select.from[..], [From::Table { .. }]) => Seen::Never,
            _ => Seen::Keys(HashSet::new()),
        }
    }

    fn first(&mut self, rules: &Rules, mut found: Vec<(Row, Row)>) -> Vec<(Row, Row)> {
        if let Seen::Keys(keys) = self {
            found.retain(|(row, _)| {
                let key = encode::row_hash(&rules.key_of(row));
                keys.insert(key.0)
            });
        }
        found
    }
}
