//! A writing statement inside an open transaction: evaluated as a query,
//! claimed, checked, and kept as rows.
//!
//! A statement that finds a key changed between its reading and its claiming
//! is taken back and evaluated again; its claims stay, so it gets there.

pub mod change;
pub mod moment;

use std::collections::HashSet;
use std::sync::Arc;

use super::bulk::large::Found;
use super::claim::{ClaimKey, Contended, Mode};
use super::deferral::Pending;
use super::read::{self, Question};
use super::refused::{Refused, cancelled};
use super::rules::Rules;
use super::transaction::{Basis, OpenTransaction, Patience};
use crate::catalog::schema::{Schema, Table};
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::context::Context;
use crate::plan::evaluate::{Scope, evaluate, is_evaluable};
use crate::plan::evaluation;
use crate::plan::expression::Expression;
use crate::plan::query::{Body, OutputColumn, Query, RelationId};
use crate::plan::statement::{
    Compound, Insert, InsertColumn, InsertSource, Isolation, Returning, Statement,
};
use crate::types::id::{Index, TableId};
use crate::types::{Row, Value};

use change::Change;
use moment::Moment;

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
    /// What all parts of the statement read, where that must be the same.
    pub moment: Option<Moment>,
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

/// A statement that writes rows, or a step of one.
pub enum Writing<'a> {
    Insert(&'a Insert),
    Change(Change<'a>),
    Compound(&'a Compound),
    /// A query that a statement of several steps asks.
    Query(Arc<Query>),
}

impl<'a> Writing<'a> {
    pub fn of(plan: &'a Plan) -> Result<Writing<'a>> {
        Ok(match &plan.statement {
            Statement::Insert(insert) => Writing::Insert(insert),
            Statement::Update(update) => {
                let evaluation = plan.evaluation(|| evaluation::of_update(update))?;
                Writing::Change(Change::of_update(update, evaluation))
            }
            Statement::Delete(delete) => {
                let evaluation = plan.evaluation(|| evaluation::of_delete(delete))?;
                Writing::Change(Change::of_delete(delete, evaluation))
            }
            Statement::Compound(compound) => Writing::Compound(compound),
            Statement::Query(query) => Writing::Query(plan.shared_query(query)),
            _ => return Err(Error::internal("no writing statement")),
        })
    }

    /// The tables it writes.
    fn tables(&self) -> Result<Vec<TableId>> {
        Ok(match self {
            Writing::Insert(insert) => vec![insert.table.id],
            Writing::Change(change) => vec![change.table.id],
            Writing::Query(_) => Vec::new(),
            Writing::Compound(compound) => {
                let mut tables = Vec::with_capacity(compound.steps.len());
                for step in &compound.steps {
                    tables.extend(Writing::of(&step.plan)?.tables()?);
                }
                tables.sort();
                tables.dedup();
                tables
            }
        })
    }

    /// Do parts of it read the tables as they were when it began?
    fn needs_moment(&self) -> bool {
        let queries =
            |returning: Option<&Returning>| returning.is_some_and(|it| it.query.is_some());
        match self {
            Writing::Compound(_) => true,
            Writing::Query(_) => false,
            Writing::Change(change) => queries(change.returning),
            Writing::Insert(insert) => {
                let conflict = insert.on_conflict.as_ref();
                let update = conflict.and_then(|conflict| conflict.update.as_ref());
                queries(insert.returning.as_ref()) || update.is_some_and(|it| it.query.is_some())
            }
        }
    }
}

impl Evaluator<'_> {
    /// Runs the statement; on an error everything it wrote is taken back.
    pub async fn run(&mut self, writing: &Writing<'_>) -> Result<Done, Refused> {
        let place = self.transaction.place();
        for attempt in 0..ATTEMPTS_MAX {
            let outcome = self.attempt(writing, attempt).await;
            let moment = self.moment.take();
            if let Ok(done) = outcome {
                self.transaction
                    .schema
                    .get_or_insert_with(|| self.schema.clone());
                return Ok(done);
            }
            self.transaction.return_to(&place);
            self.pending.take();
            match outcome {
                Err(Interrupted::Refused(refused)) if moment.is_none_or(|it| !it.outdated) => {
                    return Err(refused);
                }
                _ if self.patience.cancel.is_cancelled() => return Err(cancelled().into()),
                _ => {}
            }
        }
        let message = "could not serialize access: the rows change too fast";
        Err(Error::new(SqlState::SERIALIZATION_FAILURE, message).into())
    }

    async fn attempt(&mut self, writing: &Writing<'_>, attempt: usize) -> Attempt<Done> {
        // What came before it waits is what it may see.
        self.transaction.snapshot(&self.schema).await?;
        let mode = if attempt >= ATTEMPTS_BEFORE_TABLE {
            Mode::ForUpdate
        } else {
            Mode::Intent
        };
        for table in writing.tables()? {
            self.claim_table(table, mode).await?;
        }
        // What changes from here on is remembered until the keys are claimed.
        let claims = self.transaction.cluster.claims.clone();
        let _watch = claims.watch_from(self.transaction.cluster.replicas.stable());
        if writing.needs_moment() {
            self.moment = Some(Moment::take(self).await?);
        }
        let done = self.work(writing).await?;
        self.act_on_postponed().await?;
        self.check_references().await?;
        Ok(done)
    }

    async fn work(&mut self, writing: &Writing<'_>) -> Attempt<Done> {
        match writing {
            Writing::Insert(insert) => self.insert(insert).await,
            Writing::Change(change) => self.change(change).await,
            Writing::Compound(compound) => self.compound(compound).await,
            Writing::Query(query) => {
                self.note_reads();
                let returning = self.rows_locked(query.clone()).await?;
                Ok(Done { rows: 0, returning })
            }
        }
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
        let schema = self.transaction.read_version(&self.schema, &self.reads)?;
        let (level, snapshot, overlay) = match &self.moment {
            Some(moment) => {
                let (level, held, overlay) = moment.view();
                (level, Some(held), Some(overlay))
            }
            None => {
                let index = snapshot.as_ref().map(|held| held.index);
                let stable = || self.transaction.cluster.replicas.stable();
                let level = Level::Evaluate(index.unwrap_or_else(stable));
                (level, snapshot, self.transaction.written.overlay()?)
            }
        };
        Ok(Question {
            query,
            parameters: self.parameters.clone(),
            context: self.context.clone(),
            schema,
            level,
            overlay,
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
        let mut done = Done::default();
        let mut touched = HashSet::new();
        match &insert.source {
            InsertSource::Values(rows) => {
                let rows = self.proposed(insert, rows).await?;
                self.insert_rows(insert, rows, &mut touched, &mut done)
                    .await?;
            }
            InsertSource::Query { query, columns } => {
                let query = with_of(insert, query);
                self.note_reads();
                let mut found = match query.locks.is_empty() {
                    true => {
                        let query = self.settled(query).await?;
                        self.found(insert.table.id, &query, true).await?
                    }
                    false => Found::at_once(Index(0), self.rows_locked(query).await?),
                };
                loop {
                    let results = found.next().await?;
                    if results.is_empty() {
                        break;
                    }
                    let rows = self.inserted(results, columns)?;
                    self.insert_rows(insert, rows, &mut touched, &mut done)
                        .await?;
                }
            }
        }
        self.finish_returning(insert.returning.as_ref(), &mut done)
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
            let returning = insert.returning.as_ref();
            self.return_row(returning, insert.relation, &row, &[], done)?;
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
        returning: Option<&Returning>,
        relation: RelationId,
        row: &Row,
        others: &[((RelationId, usize), Value)],
        done: &mut Done,
    ) -> Result<()> {
        let Some(returning) = returning else {
            return Ok(());
        };
        if returning.query.is_some() {
            // Computed for all of them at the end.
            let others = others.iter().map(|(_, value)| value);
            done.returning
                .push(row.iter().chain(others).cloned().collect());
            return Ok(());
        }
        let relations = [(relation, row.as_slice())];
        let scope = Relations {
            relations: &relations,
            others,
            parameters: &self.parameters,
        };
        let values = returning.expressions.iter();
        let values = values.map(|value| evaluate(value, &scope, &self.context));
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
