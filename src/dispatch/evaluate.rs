//! A writing statement inside an open transaction: evaluated as a query,
//! claimed, checked, and kept as rows.
//!
//! A statement that finds a key changed between its reading and its claiming
//! is taken back and evaluated again; its claims stay, so it gets there.

use std::collections::HashSet;
use std::sync::Arc;

use super::claim::{ClaimKey, Contended, Mode};
use super::deferral::Pending;
use super::read::{self, Question, Refused};
use super::rules::Rules;
use super::transaction::{Basis, OpenTransaction, Patience};
use crate::catalog::schema::{Schema, Table};
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::evaluate::{Scope, evaluate, is_evaluable};
use crate::plan::evaluation::Evaluation;
use crate::plan::expression::Expression;
use crate::plan::query::{Body, OutputColumn, Query, RelationId};
use crate::plan::statement::{
    Delete, Insert, InsertColumn, InsertSource, Isolation, Returning, Update,
};
use crate::types::id::{Index, TableId};
use crate::types::{Row, Value};

/// How often a statement is evaluated again before it claims its whole table.
const ATTEMPTS_BEFORE_TABLE: usize = 20;

/// How often at all.
pub(super) const ATTEMPTS_MAX: usize = 100;

/// One statement at work in a transaction.
pub struct Evaluator<'a> {
    pub transaction: &'a mut OpenTransaction,
    pub schema: Arc<Schema>,
    pub context: Arc<Context>,
    pub parameters: Arc<[Value]>,
    pub patience: Patience,
    /// The tables the statement reads, for SERIALIZABLE.
    pub reads: Vec<TableId>,
    /// A query in it locks rows.
    pub locking: bool,
    /// Foreign keys to look at when the statement ends.
    pub pending: Pending,
}

/// What a writing statement did.
#[derive(Debug, Default)]
pub struct Done {
    pub rows: u64,
    pub returning: Vec<Row>,
}

/// Why an attempt ended early.
pub(super) enum Interrupted {
    /// Something changed since it was read: evaluate again.
    Stale,
    Refused(Refused),
}

impl From<Error> for Interrupted {
    fn from(error: Error) -> Interrupted {
        Interrupted::Refused(Refused::Error(error))
    }
}

impl From<Refused> for Interrupted {
    fn from(refused: Refused) -> Interrupted {
        Interrupted::Refused(refused)
    }
}

pub(super) type Attempt<T> = Result<T, Interrupted>;

/// A statement that writes rows.
#[derive(Clone, Copy)]
pub enum Writing<'a> {
    Insert(&'a Insert),
    Update(&'a Update, &'a Evaluation),
    Delete(&'a Delete, &'a Evaluation),
}

impl Writing<'_> {
    fn table(&self) -> &Arc<Table> {
        match self {
            Writing::Insert(insert) => &insert.table,
            Writing::Update(update, _) => &update.table,
            Writing::Delete(delete, _) => &delete.table,
        }
    }
}

impl Evaluator<'_> {
    /// Runs the statement; on an error everything it wrote is taken back.
    pub async fn run(&mut self, writing: Writing<'_>) -> Result<Done, Refused> {
        let place = self.transaction.place();
        for attempt in 0..ATTEMPTS_MAX {
            let outcome = self.attempt(writing, attempt).await;
            if let Ok(done) = outcome {
                self.transaction
                    .schema
                    .get_or_insert_with(|| self.schema.clone());
                return Ok(done);
            }
            self.transaction.return_to(&place);
            self.pending.take();
            match outcome {
                Err(Interrupted::Refused(refused)) => return Err(refused),
                _ if self.patience.cancel.is_cancelled() => return Err(read::cancelled().into()),
                _ => {}
            }
        }
        let message = "could not serialize access: the rows change too fast";
        Err(Error::new(SqlState::SERIALIZATION_FAILURE, message).into())
    }

    async fn attempt(&mut self, writing: Writing<'_>, attempt: usize) -> Attempt<Done> {
        // What came before it waits is what it may see.
        self.transaction.snapshot(&self.schema).await?;
        let table = writing.table().id;
        let mode = if attempt >= ATTEMPTS_BEFORE_TABLE {
            Mode::ForUpdate
        } else {
            Mode::Intent
        };
        self.claim_table(table, mode).await?;
        // What changes from here on is remembered until the keys are claimed.
        let claims = self.transaction.cluster.claims.clone();
        let _watch = claims.watch_from(self.transaction.cluster.replicas.stable());
        let done = match writing {
            Writing::Insert(insert) => self.insert(insert).await?,
            Writing::Update(update, evaluation) => self.update(update, evaluation).await?,
            Writing::Delete(delete, evaluation) => self.delete(delete, evaluation).await?,
        };
        self.check_references().await?;
        Ok(done)
    }

    /// Claims a table: `Intent` to write rows, `Update` for all of it.
    pub async fn claim_table(&mut self, table: TableId, mode: Mode) -> Result<()> {
        let key = ClaimKey::table(table);
        self.transaction
            .claim(key, mode, Basis::Snapshot, Contended::Wait, &self.patience)
            .await
            .map(|_| ())
    }

    pub fn rules(&self, table: &Arc<Table>) -> Result<Arc<Rules>> {
        self.transaction
            .cluster
            .rules(&self.schema, table, &self.context)
    }

    /// A question on the transaction's own view: its snapshot and its rows.
    pub async fn question(&mut self, query: Arc<Query>) -> Result<Question, Refused> {
        let snapshot = self.transaction.snapshot(&self.schema).await?;
        let level = match &snapshot {
            Some(held) => Level::Evaluate(held.index),
            None => Level::Evaluate(self.transaction.cluster.replicas.stable()),
        };
        let schema = self.transaction.read_version(&self.schema, &self.reads)?;
        Ok(Question {
            query,
            parameters: self.parameters.clone(),
            context: self.context.clone(),
            schema,
            level,
            overlay: self.transaction.written.overlay()?,
            snapshot,
            cancel: self.patience.cancel.clone(),
        })
    }

    pub(super) async fn rows_of(
        &mut self,
        query: Arc<Query>,
    ) -> Result<(Index, Vec<Row>), Refused> {
        let question = self.question(query).await?;
        read::read_all(&self.transaction.cluster, &question).await
    }

    async fn insert(&mut self, insert: &Insert) -> Attempt<Done> {
        let rows = match &insert.source {
            InsertSource::Query { query, columns } => {
                let query = with_of(insert, query);
                self.note_reads();
                if query.locks.is_empty() {
                    let query = self.settled(query).await?;
                    match self.rows_unless_large(&query, true).await? {
                        Some((_, results)) => self.inserted(results, columns)?,
                        None => return self.insert_large(insert, &query, columns).await,
                    }
                } else {
                    let results = self.rows_locked(query).await?;
                    self.inserted(results, columns)?
                }
            }
            InsertSource::Values(rows) => self.proposed(insert, rows).await?,
        };
        let mut done = Done::default();
        self.insert_rows(insert, rows, &mut HashSet::new(), &mut done)
            .await?;
        Ok(done)
    }

    /// Inserts complete rows; `touched` are the keys that ON CONFLICT has met.
    pub(super) async fn insert_rows(
        &mut self,
        insert: &Insert,
        rows: Vec<Row>,
        touched: &mut HashSet<Vec<u8>>,
        done: &mut Done,
    ) -> Attempt<()> {
        let rules = self.rules(&insert.table)?;
        for row in rows {
            let inserted = match &insert.on_conflict {
                None => Some(self.insert_row(&rules, row).await?),
                Some(conflict) => {
                    self.insert_or(&rules, insert, conflict, row, touched)
                        .await?
                }
            };
            self.make_room().await?;
            let Some(row) = inserted else { continue };
            done.rows += 1;
            self.return_row(&insert.returning, insert.relation, &row, &[], done)?;
        }
        Ok(())
    }

    /// Complete rows out of the results of an INSERT's query.
    pub(super) fn inserted(&self, results: Vec<Row>, columns: &[InsertColumn]) -> Result<Vec<Row>> {
        let complete = |result: Row| {
            let row = columns.iter().map(|column| match column {
                InsertColumn::Result(place) => Ok(result[*place].clone()),
                InsertColumn::Default(expression) => {
                    evaluate(expression, &*self.parameters, &self.context)
                }
            });
            row.collect::<Result<Row>>()
        };
        results.into_iter().map(complete).collect()
    }

    /// The complete rows that VALUES propose.
    async fn proposed(&mut self, insert: &Insert, rows: &[Vec<Expression>]) -> Attempt<Vec<Row>> {
        if rows.iter().flatten().all(is_evaluable) {
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {
                let row = row
                    .iter()
                    .map(|e| evaluate(e, &*self.parameters, &self.context));
                values.push(row.collect::<Result<Row>>()?);
            }
            return Ok(values);
        }
        let columns = insert.table.columns.iter().map(|column| {
            let ty = column.ty.clone();
            OutputColumn {
                name: column.name.clone(),
                ty,
                origin: None,
            }
        });
        let query = Query {
            with: insert.with.clone(),
            body: Body::Values(rows.to_vec()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: columns.collect(),
            locks: Vec::new(),
        };
        let query = self.settled(Arc::new(query)).await?;
        Ok(self.rows_of(query).await?.1)
    }

    async fn update(&mut self, update: &Update, evaluation: &Evaluation) -> Attempt<Done> {
        let rules = self.rules(&update.table)?;
        self.note_reads();
        let query = self.settled(evaluation.query.clone()).await?;
        let portions = self.may_update_in_portions(update, &rules);
        let Some((index, rows)) = self.rows_unless_large(&query, portions).await? else {
            return self.update_large(update, evaluation, &query, &rules).await;
        };
        let mut done = Done::default();
        let found = each_once(&rules, rows);
        self.update_rows(update, evaluation, &rules, index, found, &mut done)
            .await?;
        Ok(done)
    }

    /// Updates rows that were found at `index`, each with what was found beside it.
    pub(super) async fn update_rows(
        &mut self,
        update: &Update,
        evaluation: &Evaluation,
        rules: &Arc<Rules>,
        index: Index,
        found: Vec<(Row, Row)>,
        done: &mut Done,
    ) -> Attempt<()> {
        let mut changes = Vec::with_capacity(found.len());
        for (old, rest) in found {
            let new = self.updated(update, evaluation, &old, &rest)?;
            rules.check(&new, &self.context)?;
            changes.push((old, new, rest));
        }
        let pairs: Vec<(Row, Option<Row>)> = changes
            .iter()
            .map(|(old, new, _)| (old.clone(), Some(new.clone())))
            .collect();
        self.change_rows(rules, pairs, Basis::Read(index)).await?;
        self.make_room().await?;
        done.rows += changes.len() as u64;
        for (_, new, rest) in &changes {
            let others = others(evaluation, rest);
            self.return_row(&update.returning, update.relation, new, &others, done)?;
        }
        Ok(())
    }

    /// The new row of an UPDATE.
    fn updated(
        &self,
        update: &Update,
        evaluation: &Evaluation,
        old: &Row,
        rest: &[Value],
    ) -> Result<Row> {
        let mut new = old.clone();
        for (place, expression) in &update.set {
            let computed = evaluation
                .computed
                .iter()
                .position(|computed| computed == place);
            new[*place] = match computed {
                Some(number) => rest[number].clone(),
                None => {
                    let relations = [(update.relation, old.as_slice())];
                    let scope = Relations {
                        relations: &relations,
                        others: &[],
                        parameters: &self.parameters,
                    };
                    evaluate(expression, &scope, &self.context)?
                }
            };
        }
        Ok(new)
    }

    async fn delete(&mut self, delete: &Delete, evaluation: &Evaluation) -> Attempt<Done> {
        let rules = self.rules(&delete.table)?;
        self.note_reads();
        let query = self.settled(evaluation.query.clone()).await?;
        let portions = self.may_delete_in_portions(&rules);
        let Some((index, rows)) = self.rows_unless_large(&query, portions).await? else {
            return self.delete_large(delete, evaluation, &query, &rules).await;
        };
        let mut done = Done::default();
        let found = each_once(&rules, rows);
        self.delete_rows(delete, evaluation, &rules, index, found, &mut done)
            .await?;
        Ok(done)
    }

    /// Deletes rows that were found at `index`, each with what was found beside it.
    pub(super) async fn delete_rows(
        &mut self,
        delete: &Delete,
        evaluation: &Evaluation,
        rules: &Arc<Rules>,
        index: Index,
        found: Vec<(Row, Row)>,
        done: &mut Done,
    ) -> Attempt<()> {
        let pairs = found.iter().map(|(old, _)| (old.clone(), None)).collect();
        self.change_rows(rules, pairs, Basis::Read(index)).await?;
        self.make_room().await?;
        done.rows += found.len() as u64;
        for (old, rest) in &found {
            let others = others(evaluation, rest);
            self.return_row(&delete.returning, delete.relation, old, &others, done)?;
        }
        Ok(())
    }

    /// Empties tables; the caller has found that no others refer to them.
    pub async fn truncate(&mut self, tables: &[TableId]) -> Result<(), Refused> {
        for table in tables {
            self.claim_table(*table, Mode::Update).await?;
        }
        for table in tables {
            self.transaction.written.truncate(*table);
        }
        self.transaction
            .schema
            .get_or_insert_with(|| self.schema.clone());
        Ok(())
    }

    /// Remembers what a serializable transaction has read.
    pub fn note_reads(&mut self) {
        if self.transaction.isolation == Isolation::Serializable {
            self.transaction
                .tables_read
                .extend(self.reads.iter().copied());
        }
    }

    fn return_row(
        &self,
        returning: &Option<Returning>,
        relation: RelationId,
        row: &Row,
        others: &[((RelationId, usize), Value)],
        done: &mut Done,
    ) -> Result<()> {
        let Some(returning) = returning else {
            return Ok(());
        };
        let relations = [(relation, row.as_slice())];
        let scope = Relations {
            relations: &relations,
            others,
            parameters: &self.parameters,
        };
        let values = returning.expressions.iter().map(|e: &Expression| {
            if !is_evaluable(e) {
                return Err(Error::unsupported("a subquery or aggregate in RETURNING"));
            }
            evaluate(e, &scope, &self.context)
        });
        done.returning.push(values.collect::<Result<Row>>()?);
        Ok(())
    }
}

/// The query of an INSERT … SELECT with the CTEs of both.
fn with_of(insert: &Insert, query: &Query) -> Arc<Query> {
    let mut query = query.clone();
    let mut with = insert.with.clone();
    with.append(&mut query.with);
    query.with = with;
    Arc::new(query)
}

/// The rows of the target, each by the first match it has, and what the query
/// yields beside it.
pub(super) fn each_once(rules: &Rules, rows: Vec<Row>) -> Vec<(Row, Row)> {
    let width = rules.table.columns.len();
    let mut seen = HashSet::new();
    let mut found = Vec::with_capacity(rows.len());
    for mut result in rows {
        let rest = result.split_off(width);
        if seen.insert(crate::types::encode::encode_key(&rules.key_of(&result))) {
            found.push((result, rest));
        }
    }
    found
}

fn others(evaluation: &Evaluation, rest: &[Value]) -> Vec<((RelationId, usize), Value)> {
    let values = rest.iter().skip(evaluation.computed.len()).cloned();
    evaluation.others.iter().copied().zip(values).collect()
}

/// Rows of several relations, single values of others, and parameters.
pub(super) struct Relations<'a> {
    pub relations: &'a [(RelationId, &'a [Value])],
    pub others: &'a [((RelationId, usize), Value)],
    pub parameters: &'a [Value],
}

impl Scope for Relations<'_> {
    fn column(&self, relation: RelationId, column: usize) -> Option<&Value> {
        let own = self.relations.iter().find(|(id, _)| *id == relation);
        match own {
            Some((_, row)) => row.get(column),
            None => {
                let other = self
                    .others
                    .iter()
                    .find(|(place, _)| *place == (relation, column));
                other.map(|(_, value)| value)
            }
        }
    }

    fn parameter(&self, index: usize) -> Option<&Value> {
        self.parameters.get(index)
    }
}
