//! DECLARE, FETCH, MOVE and CLOSE, and what becomes of cursors when blocks end.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Session;
use super::cursor::{Cursor, CursorRows, Keep};
use super::reply::{Reply, Tag, done};
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::query::LockStrength;
use crate::plan::statement::{FetchCount, SessionStatement, Statement};
use crate::types::{Row, Type, Value};

/// Cursors that a session may have open.
const CURSORS_MAX: usize = 1000;

/// Batches on their way from a cursor whose rest is fetched at once.
const BATCHES: usize = 1;

/// What DECLARE says beside name and query.
pub(super) struct Declared<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    pub(super) scroll: Option<bool>,
    pub(super) hold: bool,
    pub(super) binary: bool,
}

impl Session {
    pub(super) async fn declare(
        &mut self,
        declared: Declared<'_>,
        types: &[Type],
        parameters: Arc<[Value]>,
    ) -> Result<Reply> {
        let Declared { name, hold, .. } = declared;
        if !self.in_block() && !hold {
            let message = "DECLARE CURSOR can only be used in transaction blocks";
            return Err(Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message));
        }
        if self.cursors.contains_key(name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, message));
        }
        if self.cursors.len() >= CURSORS_MAX {
            return Err(Error::new(
                SqlState::CONFIGURATION_LIMIT_EXCEEDED,
                "too many open cursors",
            ));
        }
        let types: Vec<Option<Type>> = types.iter().cloned().map(Some).collect();
        let plan = self.plan(declared.text, &types)?;
        refuse_locks(&plan, &declared)?;
        let reply = self.run(&plan, parameters).await?;
        let Reply::Rows { rows, .. } = reply else {
            return Err(Error::internal("a query gave no rows"));
        };
        let keep = match declared.scroll {
            Some(true) => Keep::All,
            Some(false) => Keep::Nothing,
            None if hold => Keep::All,
            None => Keep::Recent,
        };
        let mut cursor = Cursor {
            plan,
            rows: CursorRows::new(rows, keep, self.cursor_budget.clone()),
            binary: declared.binary,
            hold,
            held: false,
            depth: self.block.depth(),
        };
        if !self.in_block() {
            cursor.hold(&self.token()).await?;
        }
        self.cursors.insert(name.to_owned(), cursor);
        Ok(done("DECLARE CURSOR"))
    }

    pub(super) async fn fetch(
        &mut self,
        name: &str,
        count: FetchCount,
        move_only: bool,
    ) -> Result<Reply> {
        let token = self.token();
        let cursor = self.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let rows = &mut cursor.rows;
        let (passed, taken) = match count {
            FetchCount::ALL if !move_only => {
                let (taken, rest) = rows.take_all(&token).await?;
                if let Some(rest) = rest {
                    let rows = self.flow(taken, rest);
                    let tag = Tag::Counted("FETCH");
                    return Ok(Reply::Rows { rows, tag });
                }
                (taken.len() as u64, taken)
            }
            FetchCount::Rows(count) => rows.step(count, !move_only, &token).await?,
            FetchCount::Absolute(place) => rows.absolute(place, !move_only, &token).await?,
            FetchCount::Relative(by) => rows.relative(by, !move_only, &token).await?,
        };
        Ok(match move_only {
            true => done(format!("MOVE {passed}")),
            false => Reply::Rows {
                rows: RowStream::Ready(taken),
                tag: Tag::Counted("FETCH"),
            },
        })
    }

    /// Rows that a cursor held, and behind them what still flows to it.
    fn flow(&self, first: Vec<Row>, mut rest: mpsc::Receiver<Result<Vec<Row>>>) -> RowStream {
        let (sender, receiver) = mpsc::channel(BATCHES);
        self.cluster.tasks.spawn("cursor", async move {
            let mut next = Some(Ok(first));
            while let Some(batch) = next {
                if sender.send(batch).await.is_err() {
                    return;
                }
                next = rest.recv().await;
            }
        });
        RowStream::Flowing(receiver)
    }

    pub(super) fn close_cursor(&mut self, name: Option<&str>) -> Result<Reply> {
        match name {
            None => self.cursors.clear(),
            Some(name) => {
                self.cursors.remove(name).ok_or_else(|| no_cursor(name))?;
            }
        }
        Ok(done(if name.is_some() {
            "CLOSE CURSOR"
        } else {
            "CLOSE CURSOR ALL"
        }))
    }

    /// Before COMMIT: cursors WITH HOLD take in what they have not read yet.
    pub(super) async fn hold_cursors(&mut self) -> Result<()> {
        let token = self.token();
        for cursor in self.cursors.values_mut() {
            if cursor.hold && !cursor.held {
                cursor.hold(&token).await?;
            }
        }
        Ok(())
    }

    /// At a transaction's end: those that do not outlive it are closed.
    pub(super) fn close_cursors(&mut self) {
        self.cursors.retain(|_, cursor| cursor.held);
    }

    /// ROLLBACK TO the savepoint at this place: what was declared since is closed.
    pub(super) fn close_cursors_since(&mut self, savepoint: usize) {
        self.cursors
            .retain(|_, cursor| cursor.held || cursor.depth <= savepoint);
    }

    /// RELEASE of the savepoint at this place: its cursors are now the outer level's.
    pub(super) fn keep_cursors_since(&mut self, savepoint: usize) {
        for cursor in self.cursors.values_mut() {
            cursor.depth = cursor.depth.min(savepoint);
        }
    }

    /// The plan of an open cursor, for clients that describe it as a portal.
    pub fn cursor(&self, name: &str) -> Option<&Arc<Plan>> {
        self.cursors.get(name).map(|cursor| &cursor.plan)
    }

    /// Whether this is a FETCH from a BINARY cursor.
    pub fn fetches_binary(&self, plan: &Plan) -> bool {
        match &plan.statement {
            Statement::Session(SessionStatement::Fetch { name, .. }) => {
                self.cursors.get(name).is_some_and(|cursor| cursor.binary)
            }
            _ => false,
        }
    }

    /// The plan whose columns an SQL-level FETCH or EXECUTE returns, for
    /// Describe; itself, without columns, while what it names is not there.
    pub fn described(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        use SessionStatement as S;
        let named = match &plan.statement {
            Statement::Session(S::Fetch {
                name,
                move_only: false,
                ..
            }) => self.cursors.get(name).map(|cursor| cursor.plan.clone()),
            Statement::Session(S::Execute { name, .. }) if self.prepared.contains_key(name) => {
                Some(self.prepared_plan(name)?)
            }
            _ => None,
        };
        Ok(named.unwrap_or_else(|| plan.clone()))
    }
}

/// What may go back or outlive its transaction cannot lock the rows it reads.
fn refuse_locks(plan: &Plan, declared: &Declared<'_>) -> Result<()> {
    if let Statement::Compound(_) = &plan.statement {
        return Err(Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "DECLARE CURSOR must not contain data-modifying statements in WITH",
        ));
    }
    let Statement::Query(query) = &plan.statement else {
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "DECLARE CURSOR must be of a query",
        ));
    };
    let Some(lock) = query.locks.first() else {
        return Ok(());
    };
    let strength = match lock.strength {
        LockStrength::KeyShare => "FOR KEY SHARE",
        LockStrength::Share => "FOR SHARE",
        LockStrength::NoKeyUpdate => "FOR NO KEY UPDATE",
        LockStrength::Update => "FOR UPDATE",
    };
    let (what, detail) = if declared.hold {
        ("CURSOR WITH HOLD", "Holdable cursors must be READ ONLY.")
    } else if declared.scroll == Some(true) {
        ("SCROLL CURSOR", "Scrollable cursors must be READ ONLY.")
    } else {
        return Ok(());
    };
    Err(Error::unsupported(format!("DECLARE {what} ... {strength}")).detail(detail))
}

fn no_cursor(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("cursor \"{name}\" does not exist"),
    )
}
