//! One client: its user, database, settings, prepared statements, transaction.
//!
//! Front ends decode, call the session, encode; nothing behind it knows
//! whether a plan came from SQL or from PYQL JSON.

mod block;
mod cancel;
mod constraint;
mod copy;
mod cursor;
mod definition;
mod definitions;
mod fetch;
mod limit;
mod own;
mod planning;
mod plans;
mod reply;
mod transaction;
mod tuning;
mod utility;
pub mod variables;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::catalog::User;
use crate::catalog::schema::Schema;
use crate::dispatch::cluster::DataCluster;
use crate::dispatch::evaluate::copy::Copying;
use crate::dispatch::presence::{Presence, Present};
use crate::dispatch::refused::Refused;
use crate::dispatch::sequence::{Drawn, OwnSequences, SessionSequences};
use crate::dispatch::transaction::Patience;
use crate::dispatch::{Call, Dispatch};
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::context::{Context, RandomState};
use crate::plan::statement::Statement;
use crate::runtime::Moment;
use crate::types::datetime::UNIX_EPOCH;
use crate::types::id::Index;
use crate::types::settings::Settings;
use crate::types::{Type, Value};
use block::Block;
use cancel::Cancel;
pub use cancel::Canceller;
use cursor::{Budget, Cursor};
use plans::Plans;
pub use reply::{Notice, Reply, Tag, TransactionStatus};
use reply::{done, reply_of};
use variables::SessionVariables;

/// How often a statement is planned again because the schema moved.
const REPLANS_MAX: usize = 10;

/// A client's session. One statement at a time.
pub struct Session {
    dispatch: Arc<Dispatch>,
    cluster: Arc<DataCluster>,
    user: Arc<User>,
    database: Arc<str>,
    variables: SessionVariables,
    shared_variables: Option<Arc<SessionVariables>>,
    settings: Arc<Settings>,
    drawn: Arc<Drawn>,
    /// The statement that runs has moved a sequence, and no entry says so yet.
    drew: Arc<AtomicBool>,
    block: Block,
    plans: Plans,
    prepared: HashMap<String, Prepared>,
    cursors: HashMap<String, Cursor>,
    cursor_budget: Budget,
    copying: Option<Copying>,
    /// When the COPY that begins must have ended.
    copy_deadline: Option<Moment>,
    notices: Vec<Notice>,
    reported: HashMap<String, String>,
    reports_due: bool,
    cancel: Arc<Cancel>,
    /// The last entry that this session knows of, for `session` reads.
    seen: Index,
    /// Shows the session to others while it lives.
    present: Option<Present>,
}

/// A statement prepared by SQL's PREPARE.
struct Prepared {
    text: String,
    types: Vec<Option<Type>>,
}

impl Session {
    /// Opens a session on a data cluster of this name as this user sees it;
    /// 3D000 when there is none. `startup` are the startup packet's settings.
    pub fn open(
        dispatch: Arc<Dispatch>,
        user: Arc<User>,
        database: &str,
        startup: &[(String, String)],
    ) -> Result<Session> {
        let cluster = dispatch.cluster_named(database, user.id)?;
        let found = cluster.definition()?;
        let mut variables = SessionVariables::default();
        let admin = user.kind == crate::catalog::UserKind::Admin;
        variables.fix("is_superuser", if admin { "on" } else { "off" });
        variables.fix("session_authorization", &user.name);
        for (name, value) in startup {
            variables.start(name, value)?;
        }
        let settings = Arc::new(variables.settings());
        Ok(Session {
            dispatch,
            cluster,
            user,
            database: Arc::from(found.name.as_str()),
            variables,
            shared_variables: None,
            settings,
            drawn: Arc::default(),
            drew: Arc::default(),
            block: Block::default(),
            plans: Plans::default(),
            prepared: HashMap::new(),
            cursors: HashMap::new(),
            cursor_budget: Budget::default(),
            copying: None,
            copy_deadline: None,
            notices: Vec::new(),
            reported: HashMap::new(),
            reports_due: true,
            cancel: Arc::default(),
            seen: Index(0),
            present: None,
        })
    }

    /// Lists the session under the number that its client was told.
    pub fn appear(&mut self, process: i32) {
        self.variables.fix("pyql.backend_pid", &process.to_string());
        self.shared_variables = None;
        let presence = Presence {
            user: Arc::from(self.user.name.as_str()),
            database: self.database.clone(),
            application: Mutex::new(self.application()),
            active: AtomicBool::new(false),
            in_transaction: AtomicBool::new(false),
        };
        self.present = Some(self.dispatch.presences().enter(process, presence));
    }

    fn application(&self) -> String {
        self.variables.get("application_name").unwrap_or_default()
    }

    fn show_activity(&self, active: bool) {
        if let Some(present) = &self.present {
            let in_transaction = self.status() != TransactionStatus::Idle;
            present.presence.active.store(active, Ordering::Relaxed);
            present
                .presence
                .in_transaction
                .store(in_transaction, Ordering::Relaxed);
        }
    }

    /// What expressions may know in a statement that begins now.
    fn context(&mut self, schema: &Arc<Schema>) -> Arc<Context> {
        let own = self.block.sequences();
        self.context_with(schema, own)
    }

    fn context_with(
        &mut self,
        schema: &Arc<Schema>,
        own: Option<Arc<OwnSequences>>,
    ) -> Arc<Context> {
        let statement_time = self.now();
        let variables = match &self.shared_variables {
            Some(shared) => shared.clone(),
            None => {
                let shared = Arc::new(self.variables.clone());
                self.shared_variables.insert(shared).clone()
            }
        };
        Arc::new(Context {
            settings: self.settings.clone(),
            transaction_time: self.block.time().unwrap_or(statement_time),
            statement_time,
            user: Arc::from(self.user.name.as_str()),
            database: self.database.clone(),
            database_oid: self.cluster.id.oid(),
            schema: schema.clone(),
            system: self.dispatch.system().schema().clone(),
            users: self.dispatch.catalog().users.clone(),
            random: Mutex::new(RandomState(self.dispatch.runtime().random_u64())),
            sequences: Some(Arc::new(SessionSequences {
                counters: self.cluster.counters.clone(),
                own,
                drawn: self.drawn.clone(),
                schema: schema.clone(),
                moved: self.drew.clone(),
            })),
            variables,
        })
    }

    /// The open transaction has changed the schema: plans are for it alone.
    pub fn changes_schema(&self) -> bool {
        self.block.changes_schema()
    }

    /// How long the client may be silent now; past that it gets [`Session::idle_error`].
    pub fn idle_limit(&self) -> Option<Duration> {
        self.variables.duration(match self.status() {
            TransactionStatus::Idle => "idle_session_timeout",
            _ => "idle_in_transaction_session_timeout",
        })
    }

    /// What ends the session of a client that was silent too long.
    pub fn idle_error(&self) -> Error {
        let (state, what) = match self.status() {
            TransactionStatus::Idle => (SqlState::IDLE_SESSION_TIMEOUT, "idle-session"),
            _ => (
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "idle-in-transaction",
            ),
        };
        Error::new(
            state,
            format!("terminating connection due to {what} timeout"),
        )
    }

    /// Runs a plan.
    pub async fn execute(&mut self, plan: &Arc<Plan>, parameters: Vec<Value>) -> Result<Reply> {
        if self.block.is_failed() && !ends_block(&plan.statement) {
            return Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        self.show_activity(true);
        // Rows of the last statement may still flow, and draw.
        self.drew = Arc::default();
        let limit = self.variables.duration("statement_timeout");
        let parameters: Arc<[Value]> = parameters.into();
        let mut reply = match limit {
            None => Box::pin(self.execute_plan(plan, parameters)).await,
            Some(limit) => self.execute_within(limit, plan, parameters).await,
        };
        if reply.is_ok()
            && self.drew.swap(false, Ordering::Relaxed)
            && let Err(error) = self.keep_drawn().await
        {
            reply = Err(error);
        }
        if reply.is_err() {
            self.fail();
        }
        self.show_activity(false);
        reply
    }

    /// What a statement drew and did not log is logged before the client sees
    /// it, so that it does not come again.
    async fn keep_drawn(&mut self) -> Result<()> {
        match self.block.open_transaction() {
            Some(transaction) => {
                transaction.drew = true;
                Ok(())
            }
            None => self.dispatch.keep_counters(&self.cluster).await,
        }
    }

    async fn execute_plan(&mut self, plan: &Arc<Plan>, parameters: Arc<[Value]>) -> Result<Reply> {
        match &plan.statement {
            Statement::Transaction(statement) => self.transaction(statement).await,
            Statement::Session(statement) => {
                self.utility(statement, &plan.parameters, parameters).await
            }
            Statement::Admin(statement) => self.admin(statement).await,
            Statement::Maintenance { tag: "VACUUM" } if self.in_block() => {
                let message = "VACUUM cannot run inside a transaction block";
                Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
            }
            Statement::Maintenance { tag } => Ok(done(*tag)),
            Statement::Nothing { tag, notice } => {
                if let Some(message) = notice {
                    self.notice(message.clone());
                }
                Ok(done(*tag))
            }
            Statement::Empty => Ok(Reply::Empty),
            Statement::Copy(copy) if copy.is_in() => self.begin_copy(copy),
            Statement::Query(query) => match self.run_own(query, &parameters).await? {
                Some(reply) => Ok(reply),
                None => self.run(plan, parameters).await,
            },
            _ => self.run(plan, parameters).await,
        }
    }

    /// Runs a plan on the data cluster, planning again while the schema moves.
    async fn run(&mut self, plan: &Arc<Plan>, parameters: Arc<[Value]>) -> Result<Reply> {
        let mut plan = plan.clone();
        for _ in 0..REPLANS_MAX {
            match self.run_once(&plan, parameters.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(Refused::Error(error)) => return Err(error),
                Err(Refused::Replan) if plan.text.is_empty() => {
                    return Err(Error::new(
                        SqlState::SERIALIZATION_FAILURE,
                        "the schema changed; repeat the request",
                    ));
                }
                Err(Refused::Replan) => plan = self.replan(&plan).await?,
            }
        }
        Err(Error::unavailable("the schema changes too fast"))
    }

    async fn run_once(
        &mut self,
        plan: &Arc<Plan>,
        parameters: Arc<[Value]>,
    ) -> Result<Reply, Refused> {
        let schema = self.schema()?;
        if plan.schema_version != schema.version && !plan.is_system_query() {
            return Err(Refused::Replan);
        }
        self.enter_transaction(&plan.statement, plan.locking)?;
        let restarts = matches!(
            plan.statement,
            Statement::Schema(_) | Statement::Truncate { .. }
        );
        let sequences = match self.block.sequences() {
            None if restarts => Some(Arc::default()),
            own => own,
        };
        let context = self.context_with(&schema, sequences.clone());
        let call = Call {
            plan,
            parameters,
            context,
            schema,
            level: self.level().await?,
            isolation: self.block.isolation(&self.variables),
            read_only: self.block.is_read_only(&self.variables),
            patience: self.patience(),
            drew: self.drew.clone(),
            sequences,
            user: self.user.clone(),
            settings: match plan.system {
                true => self.variables.all().into_iter().map(owned).collect(),
                false => Vec::new(),
            },
        };
        let cluster = self.cluster.clone();
        let dispatch = self.dispatch.clone();
        let ran = dispatch
            .run(&cluster, &call, self.block.open_transaction())
            .await?;
        self.seen = self.seen.max(self.cluster.replicas.stable());
        if let Statement::Schema(statement) = &plan.statement {
            for message in &statement.notices {
                self.notice(message.clone());
            }
        }
        Ok(reply_of(plan, ran))
    }

    async fn level(&self) -> Result<Level> {
        Ok(match self.variables.consistency() {
            "any" => Level::Any,
            "session" => Level::Session(self.seen),
            "quorum" => {
                // Whatever was acknowledged before now is applied by all in sync.
                self.dispatch.prove_leadership().await?;
                Level::Quorum(self.cluster.replicas.stable())
            }
            _ => Level::Strong,
        })
    }

    /// Cancels the running statement from another task.
    pub fn canceller(&self) -> Canceller {
        self.cancel.canceller()
    }

    /// What was to be cancelled has ended, or there was nothing.
    pub fn forget_cancel(&mut self) {
        self.cancel.forget();
    }

    /// The front end waits for the client, or has heard from it.
    pub fn set_idle(&mut self, idle: bool) {
        self.cancel.set_idle(idle);
    }

    fn token(&self) -> CancellationToken {
        self.cancel.token()
    }

    fn patience(&self) -> Patience {
        Patience {
            cancel: self.token(),
            lock_timeout: self.variables.duration("lock_timeout"),
        }
    }

    fn notice(&mut self, message: String) {
        self.notices.push(Notice {
            severity: "NOTICE",
            state: notice_state(&message),
            message,
        });
    }

    fn warning(&mut self, state: SqlState, message: &str) {
        self.notices.push(Notice {
            severity: "WARNING",
            state,
            message: message.to_owned(),
        });
    }

    /// An error of the front end (a bad Bind) also fails the transaction.
    pub fn fail(&mut self) {
        self.block.fail();
    }

    pub fn status(&self) -> TransactionStatus {
        self.block.status()
    }

    /// Messages since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Reported settings whose value changed since the last call; at first all of them.
    pub fn take_reports(&mut self) -> Vec<(String, String)> {
        if !std::mem::take(&mut self.reports_due) {
            return Vec::new();
        }
        let mut changed = self.variables.reports();
        changed.retain(|(name, value)| self.reported.get(name) != Some(value));
        self.reported.extend(changed.iter().cloned());
        changed
    }

    /// Settings changed: what depends on them is made anew.
    fn settings_changed(&mut self) {
        let settings = self.variables.settings();
        if settings != *self.settings {
            self.settings = Arc::new(settings);
            // Constants were read by the old settings.
            self.plans.clear();
        }
        if let Some(present) = &self.present {
            *present.presence.application.lock() = self.application();
        }
        self.shared_variables = None;
        self.reports_due = true;
    }

    /// How values are read and printed now.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What `now` means in this transaction: microseconds since 2000-01-01 UTC.
    pub fn transaction_time(&self) -> i64 {
        self.block.time().unwrap_or_else(|| self.now())
    }

    /// Microseconds since 2000-01-01 UTC.
    fn now(&self) -> i64 {
        self.dispatch.runtime().unix_micros() + UNIX_EPOCH
    }

    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// The endpoints that a write of this data cluster goes to.
    pub fn in_sync_endpoints(&self) -> Result<Vec<uuid::Uuid>> {
        Ok(self
            .definition()?
            .in_sync()
            .map(|replica| replica.endpoint)
            .collect())
    }

    /// Ends the session: rolls back what is open.
    pub async fn close(mut self) {
        self.block.abandon();
    }
}

fn owned((name, value, about): (&str, String, &str)) -> (String, String, String) {
    (name.to_owned(), value, about.to_owned())
}

fn ends_block(statement: &Statement) -> bool {
    use crate::plan::statement::TransactionStatement as T;
    matches!(
        statement,
        Statement::Transaction(T::Commit { .. } | T::Rollback { .. } | T::RollbackTo(_))
            | Statement::Empty
    )
}

/// What is there already is named by its state, as in PostgreSQL; what is not
/// there, and all else, is no more than a notice.
fn notice_state(message: &str) -> SqlState {
    let Some(what) = message.strip_suffix(" already exists, skipping") else {
        return SqlState::SUCCESS;
    };
    match what.split(' ').next() {
        Some("relation") => SqlState::DUPLICATE_TABLE,
        Some("column") => SqlState::DUPLICATE_COLUMN,
        Some("schema") => SqlState::DUPLICATE_SCHEMA,
        _ => SqlState::SUCCESS,
    }
}
