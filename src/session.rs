//! One client: its user, database, settings, prepared statements, transaction.
//!
//! Front ends decode, call the session, encode; nothing behind it knows
//! whether a plan came from SQL or from PYQL JSON.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::catalog::User;
use crate::dispatch::Dispatch;
use crate::endpoint::RowStream;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::plan::statement::Copy;
use crate::types::settings::Settings;
use crate::types::{Row, Type, Value};

/// A client's session. One statement at a time.
pub struct Session {
    dispatch: Arc<Dispatch>,
    user: Arc<User>,
    database: String,
    settings: Arc<Settings>,
    cancel: CancellationToken,
}

/// What a statement answers.
pub enum Reply {
    /// Rows of the plan's columns. `tag` is complete (`INSERT 0 3`) or, for
    /// `SELECT`, `FETCH` and the like, wants the number of rows behind it.
    Rows {
        rows: RowStream,
        tag: Tag,
    },
    Done {
        tag: Tag,
    },
    /// The client now sends rows: see [`Session::copy_rows`].
    CopyIn(Arc<Copy>),
    CopyOut {
        copy: Arc<Copy>,
        rows: RowStream,
    },
    Empty,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tag {
    Complete(String),
    /// The command, to be followed by the number of rows that were sent.
    Counted(&'static str),
}

/// A message beside the answer: NOTICE or WARNING.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub severity: &'static str,
    pub state: crate::error::SqlState,
    pub message: String,
}

/// What ReadyForQuery tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
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
        let _ = startup;
        let settings = Arc::new(Settings::default());
        let cancel = CancellationToken::new();
        Ok(Session {
            dispatch,
            user,
            database: database.to_owned(),
            settings,
            cancel,
        })
    }

    /// Splits a simple-query string into its statements, each with its text.
    pub fn split(&self, sql: &str) -> Result<Vec<String>> {
        let _ = sql;
        Err(Error::unsupported("SQL"))
    }

    /// Plans one statement; `types` are the parameter types the client gave.
    pub fn plan(&mut self, sql: &str, types: &[Option<Type>]) -> Result<Arc<Plan>> {
        let _ = (sql, types);
        Err(Error::unsupported("SQL"))
    }

    /// The plan whose columns an SQL-level FETCH or EXECUTE returns, for Describe.
    pub fn described(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        Ok(plan.clone())
    }

    /// The schema has not moved since this plan was made; else plan again.
    pub fn is_current(&self, plan: &Plan) -> bool {
        let catalog = self.dispatch.catalog();
        catalog
            .cluster_named(&self.database, self.user.id)
            .is_none_or(|cluster| cluster.schema.version == plan.schema_version)
    }

    /// Begins an implicit transaction block, for a simple-query string of
    /// several statements or a pipeline; ended by [`Session::sync`]. Does
    /// nothing inside a transaction.
    pub fn begin_implicit(&mut self) {}

    /// Ends an implicit transaction: commits unless a statement failed.
    pub async fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    /// Runs a plan.
    pub async fn execute(&mut self, plan: &Arc<Plan>, parameters: Vec<Value>) -> Result<Reply> {
        let _ = (plan, parameters, &self.dispatch);
        Err(Error::unsupported("SQL"))
    }

    /// Takes rows of a COPY FROM STDIN: values of its columns in order.
    pub async fn copy_rows(&mut self, copy: &Arc<Copy>, rows: Vec<Row>) -> Result<()> {
        let _ = (copy, rows);
        Err(Error::unsupported("COPY"))
    }

    /// Ends a COPY FROM STDIN; `failed` is the client's CopyFail. Gives the row count.
    pub async fn copy_end(&mut self, copy: &Arc<Copy>, failed: Option<String>) -> Result<u64> {
        let _ = (copy, failed);
        Err(Error::unsupported("COPY"))
    }

    /// An error of the front end (a bad Bind) also fails the transaction.
    pub fn fail(&mut self) {}

    pub fn status(&self) -> TransactionStatus {
        TransactionStatus::Idle
    }

    /// How long the client may be silent now; past that it is told 25P03 and
    /// the session closed. `None` outside a transaction.
    pub fn idle_limit(&self) -> Option<std::time::Duration> {
        None
    }

    /// Messages since the last call, in order.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Reported settings whose value changed since the last call; at first all of them.
    pub fn take_reports(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How values are read and printed now.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What `now` means in this transaction: microseconds since 2000-01-01 UTC.
    pub fn transaction_time(&self) -> i64 {
        0
    }

    /// Cancels from another task what the session runs at that moment. One
    /// handle serves the session's whole life: front ends take it once.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// Ends the session: rolls back what is open.
    pub async fn close(self) {}
}

/// Cancels what a session runs at the moment of the call.
#[derive(Clone)]
pub struct Canceller(CancellationToken);

impl Canceller {
    pub fn cancel(&self) {
        self.0.cancel();
    }
}
