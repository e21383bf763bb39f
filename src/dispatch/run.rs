//! Runs plans: the one `match` on what a statement is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Dispatch;
use super::cluster::DataCluster;
use super::evaluate::{Done, Evaluator, Writing};
use super::point;
use super::read::{self, Question};
use super::refused::Refused;
use super::sequence::OwnSequences;
use super::transaction::{OpenTransaction, Patience};
use crate::catalog::User;
use crate::catalog::schema::Schema;
use crate::endpoint::{Level, RowStream};
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::plan::statement::{CopyDirection, Isolation, Statement};
use crate::types::id::Index;
use crate::types::{Row, Value};

/// A plan to run for a session.
#[derive(Clone)]
pub struct Call<'a> {
    pub plan: &'a Arc<Plan>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    /// The schema it was planned against.
    pub schema: Arc<Schema>,
    pub level: Level,
    pub isolation: Isolation,
    pub read_only: bool,
    pub patience: Patience,
    /// Set when the statement moves a sequence, until an entry says so.
    pub drew: Arc<AtomicBool>,
    /// The sequences that its own transaction, if it has one, makes or restarts.
    pub sequences: Option<Arc<OwnSequences>>,
    pub user: Arc<User>,
    /// The session's settings, for the system's relations: name, value, description.
    pub settings: Vec<(String, String, String)>,
}

/// What running a plan gave.
pub enum Ran {
    Rows(RowStream),
    /// A write: rows counted and returned.
    Wrote {
        rows: u64,
        returning: Option<Vec<Row>>,
    },
    /// Lines of text, as EXPLAIN gives.
    Lines(Vec<String>),
}

impl Dispatch {
    /// Runs a plan, in the session's open transaction if it has one.
    pub async fn run(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Ran, Refused> {
        if !call.plan.system || call.plan.is_system_query() {
            return self.run_plan(cluster, call, transaction).await;
        }
        let view = self.view(cluster, call)?;
        let plan = Arc::new(self.inlined(&view, call.plan)?);
        let call = Call {
            plan: &plan,
            ..call.clone()
        };
        self.run_plan(cluster, &call, transaction).await
    }

    async fn run_plan(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Ran, Refused> {
        match &call.plan.statement {
            Statement::Query(query) if cluster.is_read_in_memory(call.plan) => {
                self.system_query(cluster, call, query)
            }
            Statement::Query(query) if !call.plan.locking => {
                self.query(cluster, call, query, transaction).await
            }
            Statement::Copy(copy) => match &copy.direction {
                CopyDirection::Out { query } if cluster.is_read_in_memory(call.plan) => {
                    self.system_query(cluster, call, query)
                }
                CopyDirection::Out { .. } if call.plan.locking => {
                    Err(Error::unsupported("COPY of a query that locks rows").into())
                }
                CopyDirection::Out { query } => self.query(cluster, call, query, transaction).await,
                CopyDirection::In { .. } => {
                    Err(Error::internal("COPY FROM has no rows yet").into())
                }
            },
            Statement::Explain { plan, analyze, .. } => {
                self.explain(cluster, call, plan, *analyze, transaction)
                    .await
            }
            Statement::Schema(_) if cluster.is_system() => Err(Error::unsupported(
                "a table, index or sequence in the database of the system itself",
            )
            .into()),
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Compound(_)
            | Statement::Truncate { .. }
            | Statement::Schema(_) => match transaction {
                Some(transaction) => self.write(call, transaction).await,
                None => self.autocommit(cluster, call).await,
            },
            _ => Err(Error::internal("the session runs this statement itself").into()),
        }
    }

    async fn query(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        query: &Query,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Ran, Refused> {
        let shared = call.plan.shared_query(query);
        let Some(transaction) = transaction else {
            let question = question(call, shared);
            let rows = read::read(cluster, &question).await?;
            return Ok(Ran::Rows(rows.stream));
        };
        if !transaction.relaid.is_empty() {
            let mut evaluator = evaluator(call, transaction);
            evaluator.bring_in(&call.plan.tables).await?;
        }
        let snapshot = transaction.snapshot(&call.schema).await?;
        let mut question = question(call, shared);
        question.schema = transaction.read_version(&call.schema, &call.plan.tables)?;
        question.overlay = transaction.written.overlay()?;
        question.snapshot = snapshot;
        let rows = read::read(cluster, &question).await?;
        if transaction.isolation == Isolation::Serializable {
            transaction
                .tables_read
                .extend(call.plan.tables.iter().copied());
        }
        Ok(Ran::Rows(rows.stream))
    }

    /// Logs counters that moved without a write, so that their values stay given out.
    pub async fn keep_counters(&self, cluster: &Arc<DataCluster>) -> Result<()> {
        let mut transaction =
            OpenTransaction::new(cluster.clone(), Isolation::ReadCommitted, false);
        transaction.drew = true;
        transaction.commit().await.map(|_| ())
    }

    /// A writing statement by itself: a point write, or a transaction of one statement.
    async fn autocommit(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
    ) -> Result<Ran, Refused> {
        let caller = point::Caller {
            cluster,
            schema: &call.schema,
            context: &call.context,
            parameters: &call.parameters,
        };
        if !call.read_only
            && let Some(point) = caller.recognise(&call.plan.statement)?
        {
            let drew = call.drew.load(Ordering::Relaxed);
            let done = point::run(&caller, point, drew, &call.patience).await;
            if let Some(done) = done? {
                call.drew.store(false, Ordering::Relaxed);
                return Ok(wrote(call, done.rows, done.returning));
            }
        }
        let mut transaction = OpenTransaction::new(cluster.clone(), call.isolation, call.read_only);
        if let Some(own) = &call.sequences {
            transaction.sequences = own.clone();
        }
        let ran = match self.write(call, &mut transaction).await {
            Ok(ran) => ran,
            Err(refused) => {
                transaction.rollback();
                return Err(refused);
            }
        };
        let committed = self.commit(transaction, &call.context, &call.schema, &call.patience);
        if committed.await?.is_some() {
            call.drew.store(false, Ordering::Relaxed);
        }
        Ok(ran)
    }

    /// A writing statement inside an open transaction.
    async fn write(
        &self,
        call: &Call<'_>,
        transaction: &mut OpenTransaction,
    ) -> Result<Ran, Refused> {
        if transaction.read_only {
            let message = format!(
                "cannot execute {} in a read-only transaction",
                verb(&call.plan.statement)
            );
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message).into());
        }
        let mut evaluator = evaluator(call, transaction);
        evaluator.bring_in(&call.plan.tables).await?;
        let done = match &call.plan.statement {
            Statement::Query(query) => {
                evaluator.note_reads();
                let rows = evaluator.rows_locked(Arc::new(Query::clone(query))).await?;
                return Ok(Ran::Rows(RowStream::Ready(rows)));
            }
            Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Compound(_) => evaluator.run(&Writing::of(call.plan)?).await?,
            Statement::Truncate {
                tables,
                restart_identity,
            } => {
                evaluator.truncate(tables).await?;
                if *restart_identity {
                    evaluator.restart_sequences(tables);
                }
                Done::default()
            }
            Statement::Schema(statement) => {
                let rows = evaluator.change_schema(statement).await?;
                Done {
                    rows,
                    returning: Vec::new(),
                }
            }
            _ => return Err(Error::internal("no writing statement").into()),
        };
        if let Statement::Compound(compound) = &call.plan.statement
            && matches!(compound.main(), Statement::Query(_))
        {
            return Ok(Ran::Rows(RowStream::Ready(done.returning)));
        }
        Ok(wrote(call, done.rows, done.returning))
    }

    /// Checks what was deferred and logs the transaction; where, if it wrote.
    pub async fn commit(
        &self,
        mut transaction: OpenTransaction,
        context: &Arc<Context>,
        schema: &Arc<Schema>,
        patience: &Patience,
    ) -> Result<Option<Index>, Refused> {
        if !transaction.deferred.is_empty() {
            let (schema, context) = (schema.clone(), context.clone());
            let mut evaluator = Evaluator::new(&mut transaction, schema, context, patience.clone());
            if let Err(refused) = evaluator.check_deferred(None).await {
                transaction.rollback();
                return Err(refused);
            }
        }
        Ok(transaction.commit().await?)
    }
}

fn evaluator<'a>(call: &Call<'_>, transaction: &'a mut OpenTransaction) -> Evaluator<'a> {
    let (schema, context) = (call.schema.clone(), call.context.clone());
    Evaluator {
        parameters: call.parameters.clone(),
        reads: call.plan.tables.clone(),
        locking: call.plan.locking,
        ..Evaluator::new(transaction, schema, context, call.patience.clone())
    }
}

fn question(call: &Call<'_>, query: Arc<Query>) -> Question {
    Question {
        query,
        parameters: call.parameters.clone(),
        context: call.context.clone(),
        schema: call.schema.version,
        level: call.level,
        overlay: None,
        snapshot: None,
        cancel: call.patience.cancel.clone(),
    }
}

fn wrote(call: &Call<'_>, rows: u64, returning: Vec<Row>) -> Ran {
    let returns = !call.plan.columns.is_empty();
    Ran::Wrote {
        rows,
        returning: returns.then_some(returning),
    }
}

/// What error messages call a statement.
fn verb(statement: &Statement) -> &'static str {
    match statement {
        Statement::Query(_) => "SELECT FOR UPDATE",
        Statement::Insert(_) => "INSERT",
        Statement::Update(_) => "UPDATE",
        Statement::Delete(_) => "DELETE",
        Statement::Compound(compound) => match compound.main() {
            Statement::Query(_) => "SELECT",
            main => verb(main),
        },
        Statement::Truncate { .. } => "TRUNCATE TABLE",
        Statement::Schema(schema) => schema.tag,
        _ => "COPY FROM",
    }
}
