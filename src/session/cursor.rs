//! SQL cursors: DECLARE, FETCH, MOVE, CLOSE. Forward only.
//!
//! A cursor reads the snapshot of its DECLARE. Not handled: SCROLL, WITH HOLD
//! and BINARY cursors, WHERE CURRENT OF.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Reply, Session, Tag, check_cancel, done};
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::statement::{FetchCount, Statement};
use crate::types::{Row, Type, Value};

/// Cursors that a session may have open.
const CURSORS_MAX: usize = 1000;

pub(super) struct Cursor {
    pub(super) plan: Arc<Plan>,
    rows: VecDeque<Row>,
    more: Option<RowStream>,
}

impl Session {
    pub(super) async fn declare(
        &mut self,
        name: &str,
        text: &str,
        types: &[Type],
        parameters: Arc<[Value]>,
    ) -> Result<Reply> {
        if !self.in_block() {
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
        let plan = self.plan(text, &types)?;
        if !matches!(plan.statement, Statement::Query(_)) {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "DECLARE CURSOR must be of a query",
            ));
        }
        let reply = self.run(&plan, parameters).await?;
        let Reply::Rows { rows, .. } = reply else {
            return Err(Error::internal("a query gave no rows"));
        };
        let cursor = Cursor {
            plan,
            rows: VecDeque::new(),
            more: Some(rows),
        };
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
        let wanted = match count {
            FetchCount::Forward(count) => usize::try_from(count).unwrap_or(usize::MAX),
            FetchCount::All => usize::MAX,
        };
        while cursor.rows.len() < wanted {
            check_cancel(&token)?;
            match &mut cursor.more {
                None => break,
                Some(RowStream::Ready(rows)) => {
                    cursor.rows.extend(std::mem::take(rows));
                    cursor.more = None;
                }
                Some(RowStream::Flowing(batches)) => match batches.recv().await {
                    Some(batch) => cursor.rows.extend(batch?),
                    None => cursor.more = None,
                },
            }
        }
        let taken: Vec<Row> = cursor.rows.drain(..wanted.min(cursor.rows.len())).collect();
        Ok(match move_only {
            true => done(format!("MOVE {}", taken.len())),
            false => Reply::Rows {
                rows: RowStream::Ready(taken),
                tag: Tag::Counted("FETCH"),
            },
        })
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

    pub(super) fn close_cursors(&mut self) {
        self.cursors.clear();
    }

    /// The plan of an open cursor, for clients that describe it as a portal.
    pub fn cursor(&self, name: &str) -> Option<&Arc<Plan>> {
        self.cursors.get(name).map(|cursor| &cursor.plan)
    }

    /// The plan whose columns an SQL-level FETCH or EXECUTE returns, for Describe.
    pub fn described(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        use crate::plan::statement::SessionStatement as S;
        match &plan.statement {
            Statement::Session(S::Fetch {
                name,
                move_only: false,
                ..
            }) => self
                .cursors
                .get(name)
                .map(|cursor| cursor.plan.clone())
                .ok_or_else(|| no_cursor(name)),
            Statement::Session(S::Execute { name, .. }) => self.prepared_plan(name),
            _ => Ok(plan.clone()),
        }
    }
}

fn no_cursor(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("cursor \"{name}\" does not exist"),
    )
}
