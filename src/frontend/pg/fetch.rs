//! FETCH, MOVE and CLOSE of portals that Bind made: SQL's cursors and the
//! protocol's portals share their names.
//!
//! Portals go forward only.

use std::sync::Arc;

use super::connection::{Connection, attended};
use super::error::Stop;
use super::portal::State;
use super::rows::RowSource;
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::statement::{FetchCount, SessionStatement, Statement};
use crate::session::{Reply, Tag};
use crate::types::Row;

/// The longest answer to one FETCH from a portal, in rows: it is gathered
/// whole, and who asks so is a driver that steps through a result.
const MAX_ROWS: u64 = 100_000;

impl Connection {
    /// The plan whose columns a statement answers.
    pub(super) fn described(&mut self, plan: &Arc<Plan>) -> Result<Arc<Plan>> {
        if let Some((name, _, false)) = self.portal_fetch(plan)
            && let Some(portal) = self.portals.get(name)
        {
            return Ok(portal.described.clone());
        }
        self.session.described(plan)
    }

    /// What a statement does that names one of our portals; `None` for others.
    pub(super) async fn on_portal(&mut self, plan: &Arc<Plan>) -> Result<Option<Reply>, Stop> {
        let done = |tag: String| {
            let tag = Tag::Complete(tag);
            Ok(Some(Reply::Done { tag }))
        };
        if let Some((name, count, move_only)) = self.portal_fetch(plan) {
            let name = name.to_owned();
            let rows = self.fetch_from_portal(&name, count).await?;
            if move_only {
                return done(format!("MOVE {}", rows.len()));
            }
            return Ok(Some(Reply::Rows {
                rows: RowStream::Ready(rows),
                tag: Tag::Counted("FETCH"),
            }));
        }
        match &plan.statement {
            Statement::Session(SessionStatement::Close(Some(name)))
                if self.portals.remove_named(name).is_some() =>
            {
                done("CLOSE CURSOR".to_owned())
            }
            Statement::Session(SessionStatement::Close(None)) => {
                self.portals.clear_named();
                Ok(None)
            }
            Statement::Session(SessionStatement::Declare { name, .. })
                if !name.is_empty() && self.portals.get(name).is_some() =>
            {
                Err(Stop::Statement(taken(name)))
            }
            _ => Ok(None),
        }
    }

    /// The portal that a FETCH or MOVE names, where to, and whether it is MOVE.
    fn portal_fetch<'a>(&self, plan: &'a Plan) -> Option<(&'a str, FetchCount, bool)> {
        match &plan.statement {
            Statement::Session(SessionStatement::Fetch {
                name,
                count,
                move_only,
            }) if !name.is_empty() && self.portals.get(name).is_some() => {
                Some((name, *count, *move_only))
            }
            _ => None,
        }
    }

    async fn fetch_from_portal(&mut self, name: &str, count: FetchCount) -> Result<Vec<Row>, Stop> {
        let wanted = match count {
            FetchCount::Rows(count) if count >= 0 => count.unsigned_abs(),
            _ => return Err(Stop::Statement(forward_only())),
        };
        let Some(portal) = self.portals.get_mut(name) else {
            return Ok(Vec::new());
        };
        let plan = portal.plan.clone();
        let (mut source, tag) = match std::mem::replace(&mut portal.state, State::Spent) {
            State::Rows { source, tag } => (source, tag),
            State::Bound(parameters) => {
                let canceller = self.session.canceller();
                let execute = self.session.execute(&plan, parameters);
                match attended(&mut self.wire, &canceller, execute).await? {
                    Reply::Rows { rows, tag } => (RowSource::from(rows), tag),
                    _ => return Err(Stop::Statement(forward_only())),
                }
            }
            State::Finished { tag } => {
                self.finish(name, State::Finished { tag });
                return Ok(Vec::new());
            }
            State::Spent => return Err(Stop::Statement(forward_only())),
        };
        let mut taken = Vec::new();
        let mut ended = false;
        while !ended && (taken.len() as u64) < wanted {
            match source.ready() {
                Some(row) if taken.len() as u64 == MAX_ROWS => {
                    drop(row);
                    return Err(Stop::Statement(too_many()));
                }
                Some(row) => taken.push(row),
                None => {
                    let canceller = self.session.canceller();
                    ended = !attended(&mut self.wire, &canceller, source.wait()).await?;
                }
            }
        }
        let state = match ended {
            true => State::Finished { tag },
            false => State::Rows { source, tag },
        };
        self.finish(name, state);
        Ok(taken)
    }
}

/// A name that a cursor or portal has.
pub(super) fn taken(name: &str) -> Error {
    Error::new(
        SqlState::DUPLICATE_CURSOR,
        format!("cursor \"{name}\" already exists"),
    )
}

fn forward_only() -> Error {
    Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        "cursor can only scan forward",
    )
}

fn too_many() -> Error {
    Error::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("FETCH gives at most {MAX_ROWS} rows of a portal at once"),
    )
}
