//! The simple protocol: a string of statements, answered in text.
//!
//! Several statements in one string share an implicit transaction. The last
//! CommandComplete leaves only once that transaction is committed.

use std::sync::Arc;

use super::connection::Connection;
use super::describe::put_columns;
use super::encode::{Format, Formats};
use super::error::Stop;
use super::frame::put_empty;
use super::message::lone_string;
use super::prepared::refuse_if_failed;
use super::rows::RowSource;
use crate::error::{Error, SqlState};
use crate::plan::Plan;
use crate::session::{Reply, Tag};

/// What is left to say of a statement whose rows have been sent.
enum End {
    Tag(Tag, u64),
    Empty,
}

impl Connection {
    /// Answers Query.
    pub(super) async fn query(&mut self, body: &[u8]) -> Result<(), Stop> {
        // As in PostgreSQL, what has no name does not outlive a simple query.
        self.statements.remove("");
        self.portals.remove("");
        if let Err(stop) = self.statements_of(body).await {
            let Stop::Statement(error) = stop else {
                return Err(stop);
            };
            self.fail(&error);
            // Rolls back what is left of an implicit transaction: its error is told.
            let _ = self.end_implicit().await;
        }
        if self.session.status() == crate::session::TransactionStatus::Idle {
            self.portals.clear();
        }
        self.ready().await
    }

    async fn statements_of(&mut self, body: &[u8]) -> Result<(), Stop> {
        let sql = lone_string(body)?;
        let statements = match is_single(sql) {
            true => vec![sql.to_owned()],
            false => self.session.split(sql)?,
        };
        let count = statements.len();
        if count == 0 {
            put_empty(&mut self.wire.out, b'I');
            return Ok(());
        }
        let mut from = 0;
        for (place, text) in statements.iter().enumerate() {
            let start = from + sql[from..].find(text.as_str()).unwrap_or(0);
            from = (start + text.len()).min(sql.len());
            let last = place + 1 == count;
            if count > 1 {
                self.begin_implicit();
            }
            let end = match self.statement(text).await {
                Err(Stop::Statement(error)) => return Err(error.behind(&sql[..start]).into()),
                end => end?,
            };
            if last {
                self.end_implicit().await?;
            }
            match end {
                End::Tag(tag, rows) => self.put_tag(&tag, rows),
                End::Empty => put_empty(&mut self.wire.out, b'I'),
            }
        }
        Ok(())
    }

    async fn statement(&mut self, sql: &str) -> Result<End, Stop> {
        let plan = self.plan(sql, &[])?;
        refuse_if_failed(&self.session, &plan)?;
        if !plan.parameters.is_empty() {
            // Nobody could give it a value.
            let message = "there is no parameter $1";
            return Err(Error::new(SqlState::UNDEFINED_PARAMETER, message).into());
        }
        let described = self.described(&plan)?;
        let formats = match self.session.fetches_binary(&plan) {
            true => Formats::All(Format::Binary),
            false => Formats::TEXT,
        };
        let reply = self.run_plan(&plan, Vec::new()).await?;
        self.simple_reply(&described, &formats, reply).await
    }

    async fn simple_reply(
        &mut self,
        plan: &Arc<Plan>,
        formats: &Formats,
        reply: Reply,
    ) -> Result<End, Stop> {
        match reply {
            Reply::Rows { rows, tag } => {
                put_columns(&mut self.wire.out, &plan.columns, formats);
                let mut source = RowSource::from(rows);
                let sent = self.send_rows(&mut source, plan, formats, None).await?;
                Ok(End::Tag(tag, sent.rows))
            }
            Reply::Done { tag } => Ok(End::Tag(tag, 0)),
            Reply::CopyIn(copy) => {
                let rows = self.copy_in(&copy).await?;
                Ok(End::Tag(Tag::Counted("COPY"), rows))
            }
            Reply::CopyOut { copy, rows } => {
                let rows = self.copy_out(&copy, rows).await?;
                Ok(End::Tag(Tag::Counted("COPY"), rows))
            }
            Reply::Empty => Ok(End::Empty),
        }
    }
}

/// The string holds one statement at most, seen without parsing it: then a
/// plan that is known by its text needs no parser.
fn is_single(sql: &str) -> bool {
    let sql = sql.trim_ascii_end();
    let sql = sql.strip_suffix(';').unwrap_or(sql);
    !sql.contains(';')
}
