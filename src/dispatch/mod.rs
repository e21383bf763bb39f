//! Runs plans: reads on one replica, writes through the sequencer on all.

pub mod admin;
pub mod bulk;
pub mod claim;
pub mod cluster;
mod compact;
pub mod deferral;
pub mod evaluate;
pub mod explain;
mod order;
mod pieces;
pub mod point;
pub mod presence;
pub mod read;
pub mod refused;
mod relaid;
mod repair;
pub mod rules;
pub mod sequence;
pub mod transaction;
pub mod write;
pub mod written;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dashmap::DashMap;

use crate::catalog::schema::Schema;
use crate::catalog::{Catalog, Cluster, Counter, Place, Replica, User};
use crate::endpoint::{Endpoint, Level, RowStream};
use crate::engine::sqlite::scratch::Scratch;
use crate::error::{Error, Result, SqlState};
use crate::log::Log;
use crate::log::command::Command;
use crate::metrics::Metrics;
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::plan::statement::{CopyDirection, Isolation, Statement};
use crate::plan::{Derived, Plan};
use crate::replica::Replicas;
use crate::replica::lease::Leadership;
use crate::runtime::{Runtime, TaskSet};
use crate::system::{System, View};
use crate::types::id::{ClusterId, NodeId};
use crate::types::{Row, Value};
use cluster::{DataCluster, Space, TransactionIds};
use deferral::Pending;
use evaluate::{Evaluator, Writing};
use read::Question;
use refused::Refused;
use sequence::OwnSequences;
use transaction::{OpenTransaction, Patience};

/// How long a clean end may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Opens the endpoint of a replica that this node serves.
pub type OpenEndpoint = Box<dyn Fn(&Cluster, &Replica) -> Opening + Send + Sync>;

/// An endpoint on its way.
pub type Opening = Pin<Box<dyn Future<Output = Result<Arc<dyn Endpoint>>> + Send>>;

/// The node's entry to everything behind the front ends.
pub struct Dispatch {
    pub(crate) node: NodeId,
    pub(crate) runtime: Runtime,
    pub(crate) log: Arc<Log>,
    pub(crate) embedded_replicas: usize,
    leadership: Arc<Leadership>,
    metrics: Arc<Metrics>,
    open_endpoint: OpenEndpoint,
    clusters: DashMap<ClusterId, Arc<DataCluster>>,
    /// One opens data clusters at a time: a replica's file has one writer.
    opening: tokio::sync::Mutex<()>,
    system: Arc<System>,
    presences: Arc<presence::Presences>,
    ids: Arc<TransactionIds>,
    space: Arc<Space>,
    tasks: TaskSet,
}

/// Where this node stands in the group, as `/cluster/pyql/ready` tells it.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub node: String,
    pub voters: Vec<String>,
    /// Voters that do not answer, with the unix time since when.
    pub missing: Vec<(String, f64)>,
    pub in_quorum: bool,
    pub ready: bool,
    /// Unix seconds of this check.
    pub checked: f64,
}

/// A plan to run for a session.
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
    /// Set when the statement moves a sequence.
    pub drew: Arc<AtomicBool>,
    /// The sequences that its own transaction, if it has one, makes or restarts.
    pub sequences: Option<Arc<OwnSequences>>,
    pub user: Arc<User>,
    /// The session's settings, for the system's relations: name, value, description.
    pub settings: Vec<(String, String, String)>,
}

impl Call<'_> {
    fn again(&self) -> Call<'_> {
        Call {
            plan: self.plan,
            parameters: self.parameters.clone(),
            context: self.context.clone(),
            schema: self.schema.clone(),
            level: self.level,
            isolation: self.isolation,
            read_only: self.read_only,
            patience: self.patience.clone(),
            drew: self.drew.clone(),
            sequences: self.sequences.clone(),
            user: self.user.clone(),
            settings: self.settings.clone(),
        }
    }
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
    /// Starts serving what the log says this node serves.
    pub async fn start(
        runtime: &Runtime,
        log: Arc<Log>,
        node: NodeId,
        embedded_replicas: usize,
        open_endpoint: OpenEndpoint,
        space: Space,
    ) -> Result<Arc<Dispatch>> {
        Scratch::clear(&space.directory);
        let boot = log.boot();
        let opened = log.propose(Command::Opened { node, boot }).await?;
        let leadership = Leadership::new(runtime.clone());
        leadership.opened(opened.index);
        let tasks = TaskSet::new(runtime);
        tasks.spawn("prove leadership", {
            let (leadership, log) = (leadership.clone(), log.clone());
            let stop = tasks.token().clone();
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = leadership.prove(log) => {}
                }
            }
        });
        let dispatch = Arc::new(Dispatch {
            node,
            runtime: runtime.clone(),
            log,
            embedded_replicas,
            leadership,
            metrics: Arc::default(),
            open_endpoint,
            clusters: DashMap::new(),
            opening: tokio::sync::Mutex::new(()),
            system: Arc::new(System::new()),
            presences: Arc::default(),
            ids: Arc::new(TransactionIds::new(node, boot)),
            space: Arc::new(space),
            tasks,
        });
        dispatch.open_clusters().await?;
        dispatch.compact_now_and_then();
        Ok(dispatch)
    }

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Asks a majority of voters whether this node still leads.
    pub async fn prove_leadership(&self) -> Result<()> {
        self.log.prove_leadership().await.map(|_| ())
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Who is connected to this node.
    pub fn presences(&self) -> &Arc<presence::Presences> {
        &self.presences
    }

    pub fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// The replicated state as this node has applied it.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.log.state().catalog.clone()
    }

    /// The data cluster as this node serves it.
    pub fn cluster(&self, id: ClusterId) -> Result<Arc<DataCluster>> {
        let served = self.clusters.get(&id).map(|cluster| cluster.clone());
        served.ok_or_else(|| Error::unavailable("the data cluster is not served here yet"))
    }

    /// Opens data clusters that came, closes those that went.
    pub(crate) async fn open_clusters(&self) -> Result<()> {
        let _alone = self.opening.lock().await;
        let state = self.log.state();
        for (id, definition) in &state.catalog.clusters {
            if Some(*id) != state.catalog.system_cluster && !self.clusters.contains_key(id) {
                let cluster = self.open_cluster(definition).await?;
                self.clusters.insert(*id, cluster);
            }
        }
        self.clusters
            .retain(|id, _| state.catalog.clusters.contains_key(id));
        Ok(())
    }

    async fn open_cluster(&self, definition: &Arc<Cluster>) -> Result<Arc<DataCluster>> {
        let (runtime, log) = (self.runtime.clone(), self.log.clone());
        let leadership = self.leadership.clone();
        let replicas = Replicas::new(
            runtime,
            log,
            definition.id,
            leadership,
            self.metrics.clone(),
            self.tasks.clone(),
        );
        for replica in definition.replicas.values() {
            let Place::Embedded(node) = &replica.place else {
                continue;
            };
            if *node == self.node {
                replicas.add(replica.id, (self.open_endpoint)(definition, replica).await?);
            }
        }
        replicas.verify_always();
        let tasks = self.tasks.clone();
        Ok(DataCluster::new(
            &self.runtime,
            &self.log,
            replicas,
            definition,
            self.ids.clone(),
            self.space.clone(),
            tasks,
        ))
    }

    /// Has some replica of it answered?
    pub(crate) fn is_served(&self, id: ClusterId) -> bool {
        let Some(cluster) = self.clusters.get(&id) else {
            return false;
        };
        let Some(definition) = cluster.replicas.definition() else {
            return false;
        };
        // One that is being repaired keeps nobody waiting.
        let ready = |replica: &Replica| {
            let member = cluster.replicas.member(replica.id);
            member.is_some_and(|member| member.status().granted.is_some())
        };
        definition.in_sync().all(ready)
    }

    /// Checks with a majority of voters, at most a second.
    pub async fn quorum(&self) -> Quorum {
        let in_quorum = self.log.prove_leadership().await.is_ok();
        let catalog = self.catalog();
        let name = |id: &NodeId| catalog.nodes.get(id).map(|node| node.name.clone());
        let voters: Vec<String> = self.log.voters().keys().filter_map(name).collect();
        let checked = self.runtime.unix_micros() as f64 / 1e6;
        let node = name(&self.node).unwrap_or_default();
        let missing = match in_quorum {
            true => Vec::new(),
            false => voters
                .iter()
                .filter(|voter| **voter != node)
                .map(|v| (v.clone(), checked))
                .collect(),
        };
        Quorum {
            node,
            voters,
            missing,
            in_quorum,
            ready: in_quorum,
            checked,
        }
    }

    /// Ends all tasks; what was acknowledged is in the log.
    pub async fn shutdown(&self) {
        self.tasks.shutdown(SHUTDOWN_MAX).await;
        self.log.shutdown().await;
    }

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
        let view = explain::view(self, cluster, call)?;
        let plan = Arc::new(self.inlined(&view, call.plan)?);
        let call = Call {
            plan: &plan,
            ..call.again()
        };
        self.run_plan(cluster, &call, transaction).await
    }

    /// The plan with the rows of the system's relations in it, for a replica.
    fn inlined(&self, view: &View, plan: &Plan) -> Result<Plan> {
        let mut statement = plan.statement.clone();
        match &mut statement {
            Statement::Explain { plan, .. } => *plan = Arc::new(self.inlined(view, plan)?),
            statement => self.system.inline(view, statement)?,
        }
        Ok(Plan {
            statement,
            system: false,
            derived: Derived::default(),
            ..plan.clone()
        })
    }

    async fn run_plan(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Ran, Refused> {
        match &call.plan.statement {
            Statement::Query(query) if call.plan.system => self.system_query(cluster, call, query),
            Statement::Query(query) if !call.plan.locking => {
                self.query(cluster, call, query, transaction).await
            }
            Statement::Copy(copy) => match &copy.direction {
                CopyDirection::Out { query } if call.plan.system => {
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

    fn system_query(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        query: &Query,
    ) -> Result<Ran, Refused> {
        let view = explain::view(self, cluster, call)?;
        let rows = self
            .system
            .read(&view, query, &call.parameters, &call.context)?;
        Ok(Ran::Rows(RowStream::Ready(rows)))
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
            if call.drew.load(Ordering::Relaxed) {
                self.keep_counters(cluster).await?;
            }
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
        transaction.drew |= call.drew.load(Ordering::Relaxed);
        Ok(Ran::Rows(rows.stream))
    }

    /// Logs counters that moved without a write, so that their values stay given out.
    async fn keep_counters(&self, cluster: &Arc<DataCluster>) -> Result<()> {
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
        self.commit(transaction, &call.context, &call.schema, &call.patience)
            .await?;
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
                    restart_sequences(&evaluator, tables);
                }
                evaluate::Done::default()
            }
            Statement::Schema(statement) => {
                let rows = evaluator.change_schema(statement).await?;
                evaluate::Done {
                    rows,
                    returning: Vec::new(),
                }
            }
            _ => return Err(Error::internal("no writing statement").into()),
        };
        transaction.drew |= call.drew.load(Ordering::Relaxed);
        if let Statement::Compound(compound) = &call.plan.statement
            && matches!(compound.main(), Statement::Query(_))
        {
            return Ok(Ran::Rows(RowStream::Ready(done.returning)));
        }
        Ok(wrote(call, done.rows, done.returning))
    }

    /// Checks what was deferred and logs the transaction.
    pub async fn commit(
        &self,
        mut transaction: OpenTransaction,
        context: &Arc<Context>,
        schema: &Arc<Schema>,
        patience: &Patience,
    ) -> Result<(), Refused> {
        if !transaction.deferred.is_empty() {
            let mut evaluator = Evaluator {
                transaction: &mut transaction,
                schema: schema.clone(),
                context: context.clone(),
                parameters: Arc::from([]),
                patience: patience.clone(),
                reads: Vec::new(),
                locking: false,
                pending: Pending::default(),
                moment: None,
            };
            if let Err(refused) = evaluator.check_deferred(None).await {
                transaction.rollback();
                return Err(refused);
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn evaluator<'a>(call: &Call<'_>, transaction: &'a mut OpenTransaction) -> Evaluator<'a> {
    Evaluator {
        transaction,
        schema: call.schema.clone(),
        context: call.context.clone(),
        parameters: call.parameters.clone(),
        patience: call.patience.clone(),
        reads: call.plan.tables.clone(),
        locking: call.plan.locking,
        pending: Pending::default(),
        moment: None,
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

/// TRUNCATE … RESTART IDENTITY: sequences that the tables own start again, for
/// others once the transaction is committed.
fn restart_sequences(evaluator: &Evaluator<'_>, tables: &[crate::types::id::TableId]) {
    let owned = evaluator.schema.sequences.values().filter(|sequence| {
        sequence
            .owner
            .is_some_and(|(table, _)| tables.contains(&table))
    });
    for sequence in owned {
        let counter = Counter::before_first(sequence);
        evaluator.transaction.sequences.own(sequence.id, counter);
    }
}
