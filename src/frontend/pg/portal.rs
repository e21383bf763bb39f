//! Portals: Bind and Execute, row limits, pipelines.
//!
//! A statement that Sync follows directly is a transaction of its own; any
//! other opens an implicit transaction, which Sync ends.

use std::sync::Arc;

use super::connection::{Connection, attended};
use super::describe::returns_rows;
use super::encode::{Counted, Format, Formats};
use super::error::{Stop, protocol_violation};
use super::fetch::taken;
use super::frame::put_empty;
use super::message::{Bind, Execute, text_value};
use super::prepared::{refuse_if_failed, refuse_if_full};
use super::rows::RowSource;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::context::Context;
use crate::plan::evaluate::cast;
use crate::plan::statement::{Statement, TransactionStatement};
use crate::session::{Reply, Tag, TransactionStatus};
use crate::types::settings::Io;
use crate::types::{Type, Value, binary};

/// A statement with its parameters, running or about to.
pub(super) struct Portal {
    pub(super) plan: Arc<Plan>,
    /// The same, but for FETCH and EXECUTE: the plan whose rows they give.
    pub(super) described: Arc<Plan>,
    pub(super) formats: Formats,
    pub(super) state: State,
}

pub(super) enum State {
    Bound(Vec<Value>),
    Rows {
        source: RowSource,
        tag: Tag,
    },
    /// Every row was sent.
    Finished {
        tag: Tag,
    },
    /// It gives no rows and has run, or it failed.
    Spent,
}

impl Connection {
    /// From here to Sync, or to the end of a simple query, one transaction.
    pub(super) fn begin_implicit(&mut self) {
        self.session.begin_implicit();
        self.implicit = true;
    }

    /// Answers Bind.
    pub(super) fn bind(&mut self, body: &[u8]) -> Result<(), Stop> {
        let message = Bind::decode(body)?;
        let plan = self.current_plan(message.statement)?;
        refuse_if_failed(&self.session, &plan)?;
        let known = self.portals.get(message.portal).is_some()
            || self.session.cursor(message.portal).is_some();
        if !message.portal.is_empty() && known {
            return Err(Stop::Statement(taken(message.portal)));
        }
        refuse_if_full(self.portals.len(), "portals")?;
        let parameters = self.parameters(&message, &plan)?;
        let described = self.described(&plan)?;
        let formats = Formats::from_codes(
            message.result_formats.iter(),
            described.columns.len(),
            Counted::Columns,
        )?;
        let portal = Portal {
            plan,
            described,
            formats,
            state: State::Bound(parameters),
        };
        self.portals.insert(message.portal, portal);
        put_empty(&mut self.wire.out, b'2');
        Ok(())
    }

    fn parameters(&mut self, message: &Bind<'_>, plan: &Plan) -> Result<Vec<Value>> {
        let given = message.parameters.len();
        let formats =
            Formats::from_codes(message.parameter_formats.iter(), given, Counted::Parameters)?;
        let wanted = plan.parameters.len();
        if given != wanted {
            return Err(protocol_violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                message.statement
            )));
        }
        let names = self.session.naming(&mut plan.parameters.iter())?;
        let io = Io {
            settings: self.session.settings(),
            transaction_time: self.session.transaction_time(),
        };
        let pairs = message.parameters.clone().zip(&plan.parameters);
        pairs
            .enumerate()
            .map(|(place, (bytes, ty))| match bytes {
                None => Ok(Value::Null),
                Some(bytes) => parameter(bytes, ty, formats.of(place), io, names.as_deref())
                    .map_err(|error| of_parameter(error, message.portal, place, formats.of(place))),
            })
            .collect()
    }

    /// Answers Execute.
    pub(super) async fn execute(&mut self, body: &[u8]) -> Result<(), Stop> {
        let Execute {
            portal: name,
            limit,
        } = Execute::decode(body)?;
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let plan = portal.plan.clone();
        let described = portal.described.clone();
        let formats = portal.formats.clone();
        refuse_if_failed(&self.session, &plan)?;
        match std::mem::replace(&mut portal.state, State::Spent) {
            State::Bound(parameters) => {
                self.join_pipeline().await?;
                let reply = self.run_plan(&plan, parameters).await?;
                self.extended_reply(name, &described, &formats, reply, limit)
                    .await?;
                if ends_transaction(&plan) {
                    self.portals.clear();
                }
                Ok(())
            }
            State::Rows { source, tag } => {
                self.portal_rows(name, &described, &formats, source, tag, limit)
                    .await
            }
            State::Finished { tag } => {
                self.put_tag(&tag, 0);
                self.finish(name, State::Finished { tag });
                Ok(())
            }
            State::Spent => Err(Stop::Statement(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("portal \"{name}\" cannot be run"),
            ))),
        }
    }

    /// Opens an implicit transaction unless the statement stands alone: then
    /// it need not wait for Sync to take effect.
    async fn join_pipeline(&mut self) -> Result<(), Stop> {
        let alone = self.session.status() == TransactionStatus::Idle
            && !self.implicit
            && self.wire.sync_follows().await?;
        if !alone {
            self.begin_implicit();
        }
        Ok(())
    }

    /// Runs a plan, as long as the client is there.
    pub(super) async fn run_plan(
        &mut self,
        plan: &Arc<Plan>,
        parameters: Vec<Value>,
    ) -> Result<Reply, Stop> {
        if self.deallocate(plan) {
            return Ok(Reply::Done {
                tag: Tag::Complete("DEALLOCATE".to_owned()),
            });
        }
        if let Some(reply) = self.on_portal(plan).await? {
            return Ok(reply);
        }
        let canceller = self.session.canceller();
        let execute = self.session.execute(plan, parameters);
        let reply = attended(&mut self.wire, &canceller, execute).await?;
        self.after(plan);
        Ok(reply)
    }

    async fn extended_reply(
        &mut self,
        name: &str,
        plan: &Arc<Plan>,
        formats: &Formats,
        reply: Reply,
        limit: Option<usize>,
    ) -> Result<(), Stop> {
        match reply {
            Reply::Rows { rows, tag } => {
                let source = RowSource::from(rows);
                return self
                    .portal_rows(name, plan, formats, source, tag, limit)
                    .await;
            }
            Reply::Done { tag } => self.put_tag(&tag, 0),
            Reply::CopyIn(copy) => {
                let rows = self.copy_in(&copy).await?;
                self.put_tag(&Tag::Counted("COPY"), rows);
            }
            Reply::CopyOut { copy, rows } => {
                let rows = self.copy_out(&copy, rows).await?;
                self.put_tag(&Tag::Counted("COPY"), rows);
            }
            Reply::Empty => put_empty(&mut self.wire.out, b'I'),
        }
        Ok(())
    }

    /// Sends a portal's rows up to the limit and keeps the rest.
    async fn portal_rows(
        &mut self,
        name: &str,
        plan: &Arc<Plan>,
        formats: &Formats,
        mut source: RowSource,
        tag: Tag,
        limit: Option<usize>,
    ) -> Result<(), Stop> {
        let sent = self.send_rows(&mut source, plan, formats, limit).await?;
        if sent.stopped {
            put_empty(&mut self.wire.out, b's');
            self.finish(name, State::Rows { source, tag });
        } else {
            self.put_tag(&tag, sent.rows);
            self.finish(name, State::Finished { tag });
        }
        Ok(())
    }

    /// Sets the state a portal is left in. One whose plan only acts is spent.
    pub(super) fn finish(&mut self, name: &str, state: State) {
        if let Some(portal) = self.portals.get_mut(name)
            && returns_rows(&portal.described)
        {
            portal.state = state;
        }
    }
}

fn ends_transaction(plan: &Plan) -> bool {
    matches!(
        plan.statement,
        Statement::Transaction(
            TransactionStatement::Commit { .. } | TransactionStatement::Rollback { .. }
        )
    )
}

pub(super) fn no_portal(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}

/// Names the parameter in an error of its value, as PostgreSQL does; the
/// value itself is the client's secret.
fn of_parameter(error: Error, portal: &str, place: usize, format: Format) -> Error {
    let decoded = format == Format::Text && error.state() != SqlState::CHARACTER_NOT_IN_REPERTOIRE;
    let value = if decoded { " = '...'" } else { "" };
    let number = place + 1;
    let error = match error.message() == binary::TRAILING {
        true => Error::new(
            error.state(),
            format!("{} in bind parameter {number}", binary::TRAILING),
        ),
        false => error,
    };
    error.context(match portal {
        "" => format!("unnamed portal parameter ${number}{value}"),
        portal => format!("portal \"{portal}\" parameter ${number}{value}"),
    })
}

fn parameter(
    bytes: &[u8],
    ty: &Type,
    format: Format,
    io: Io<'_>,
    names: Option<&Context>,
) -> Result<Value> {
    match (format, names) {
        (Format::Binary, _) => binary::receive(bytes, ty),
        // The names of objects mean oids.
        (Format::Text, Some(names)) if cast::is_reg(ty) => {
            match text_value(bytes, &Type::Text, io)? {
                Value::Text(name) => cast::read_reg(&name, ty, names).map(Value::Int),
                other => Ok(other),
            }
        }
        (Format::Text, _) => text_value(bytes, ty, io),
    }
}
