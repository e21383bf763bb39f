//! The extended protocol: prepared statements, portals, pipelines.
//!
//! A statement that Sync follows directly is a transaction of its own; any
//! other opens an implicit transaction, which Sync ends.

use std::sync::Arc;

use super::connection::{Connection, attended};
use super::describe::{put_parameters, put_result, returns_rows};
use super::encode::{Counted, Format, Formats, put_empty};
use super::error::{Stop, protocol_violation};
use super::message::{Bind, Execute, Parse, Target, text};
use super::rows::RowSource;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::statement::{Statement, TransactionStatement};
use crate::session::{Reply, Session, Tag, TransactionStatus};
use crate::types::settings::Io;
use crate::types::{Type, Value, binary, text as text_format};

/// Prepared statements and portals that one connection may hold: drivers keep
/// a few hundred, a leak grows without end.
const MAX_NAMED: usize = 10_000;

/// A prepared statement.
pub(super) struct Prepared {
    sql: Box<str>,
    types: Vec<Option<Type>>,
    plan: Arc<Plan>,
}

/// A statement with its parameters, running or about to.
pub(super) struct Portal {
    plan: Arc<Plan>,
    formats: Formats,
    state: State,
}

enum State {
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

/// 25P02 unless the transaction is sound or the statement ends it.
pub(super) fn refuse_if_failed(session: &Session, plan: &Plan) -> Result<()> {
    let ends = matches!(
        plan.statement,
        Statement::Empty
            | Statement::Transaction(
                TransactionStatement::Commit { .. }
                    | TransactionStatement::Rollback { .. }
                    | TransactionStatement::RollbackTo(_)
            )
    );
    if session.status() == TransactionStatus::Failed && !ends {
        return Err(failed_transaction());
    }
    Ok(())
}

fn failed_transaction() -> Error {
    Error::new(
        SqlState::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

impl Connection {
    /// Plans a statement. In a failed transaction only its syntax is told.
    pub(super) fn plan(&mut self, sql: &str, types: &[Option<Type>]) -> Result<Arc<Plan>> {
        let failed = self.session.status() == TransactionStatus::Failed;
        self.session
            .plan(sql, types)
            .map_err(|error| match error.state() {
                SqlState::SYNTAX_ERROR | SqlState::FEATURE_NOT_SUPPORTED => error,
                _ if failed => failed_transaction(),
                _ => error,
            })
    }

    /// From here to Sync, or to the end of a simple query, one transaction.
    pub(super) fn begin_implicit(&mut self) {
        self.session.begin_implicit();
        self.implicit = true;
    }

    /// Answers Parse.
    pub(super) fn parse(&mut self, body: &[u8]) -> Result<(), Stop> {
        let message = Parse::decode(body)?;
        if message.name.is_empty() {
            self.statements.remove("");
        } else if self.statements.get(message.name).is_some() {
            return Err(Stop::Statement(Error::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{}\" already exists", message.name),
            )));
        }
        refuse_if_full(self.statements.len(), "prepared statements")?;
        let types = message
            .types
            .iter()
            .map(|oid| parameter_type(*oid))
            .collect::<Result<Vec<_>>>()?;
        let plan = self.plan(message.sql, &types)?;
        refuse_if_failed(&self.session, &plan)?;
        let prepared = Prepared {
            sql: message.sql.into(),
            types,
            plan,
        };
        self.statements.insert(message.name, Arc::new(prepared));
        put_empty(&mut self.wire.out, b'1');
        Ok(())
    }

    /// Answers Bind.
    pub(super) fn bind(&mut self, body: &[u8]) -> Result<(), Stop> {
        let message = Bind::decode(body)?;
        let plan = self.current_plan(message.statement)?;
        refuse_if_failed(&self.session, &plan)?;
        if !message.portal.is_empty() && self.portals.get(message.portal).is_some() {
            return Err(Stop::Statement(Error::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{}\" already exists", message.portal),
            )));
        }
        refuse_if_full(self.portals.len(), "portals")?;
        let parameters = self.parameters(&message, &plan)?;
        let formats = Formats::from_codes(
            &message.result_formats,
            plan.columns.len(),
            Counted::Columns,
        )?;
        let portal = Portal {
            plan,
            formats,
            state: State::Bound(parameters),
        };
        self.portals.insert(message.portal, portal);
        put_empty(&mut self.wire.out, b'2');
        Ok(())
    }

    /// The plan of a prepared statement, made anew if the schema has moved.
    fn current_plan(&mut self, name: &str) -> Result<Arc<Plan>> {
        let prepared = self.prepared(name)?;
        if self.session.is_current(&prepared.plan) {
            return Ok(prepared.plan.clone());
        }
        let prepared = prepared.clone();
        let plan = self.plan(&prepared.sql, &prepared.types)?;
        let same_columns = plan.columns.len() == prepared.plan.columns.len()
            && plan
                .columns
                .iter()
                .zip(&prepared.plan.columns)
                .all(|(new, old)| new.name == old.name && new.ty == old.ty);
        if !same_columns {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            ));
        }
        let renewed = Prepared {
            sql: prepared.sql.clone(),
            types: prepared.types.clone(),
            plan: plan.clone(),
        };
        self.statements.insert(name, Arc::new(renewed));
        Ok(plan)
    }

    fn prepared(&self, name: &str) -> Result<&Arc<Prepared>> {
        self.statements.get(name).ok_or_else(|| {
            Error::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                match name {
                    "" => "unnamed prepared statement does not exist".to_owned(),
                    name => format!("prepared statement \"{name}\" does not exist"),
                },
            )
        })
    }

    fn parameters(&self, message: &Bind<'_>, plan: &Plan) -> Result<Vec<Value>> {
        let given = message.parameters.len();
        let formats = Formats::from_codes(&message.parameter_formats, given, Counted::Parameters)?;
        let wanted = plan.parameters.len();
        if given != wanted {
            return Err(protocol_violation(format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {wanted}",
                message.statement
            )));
        }
        let io = Io {
            settings: self.session.settings(),
            transaction_time: self.session.transaction_time(),
        };
        let pairs = message.parameters.iter().zip(&plan.parameters);
        pairs
            .enumerate()
            .map(|(place, (bytes, ty))| match bytes {
                None => Ok(Value::Null),
                Some(bytes) => parameter(bytes, ty, formats.of(place), io),
            })
            .collect()
    }

    /// Answers Describe.
    pub(super) fn describe(&mut self, body: &[u8]) -> Result<(), Stop> {
        match Target::decode(body, "DESCRIBE")? {
            Target::Statement(name) => {
                self.prepared(name)?;
                let plan = self.current_plan(name)?;
                put_parameters(&mut self.wire.out, &plan);
                // The formats come with Bind: text until then.
                put_result(&mut self.wire.out, &plan, &Formats::TEXT);
            }
            Target::Portal(name) => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                put_result(&mut self.wire.out, &portal.plan, &portal.formats);
            }
        }
        Ok(())
    }

    /// Answers Close; what does not exist is closed already.
    pub(super) fn close(&mut self, body: &[u8]) -> Result<(), Stop> {
        match Target::decode(body, "CLOSE")? {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => drop(self.portals.remove(name)),
        }
        put_empty(&mut self.wire.out, b'3');
        Ok(())
    }

    /// Answers Execute.
    pub(super) async fn execute(&mut self, body: &[u8]) -> Result<(), Stop> {
        let Execute {
            portal: name,
            limit,
        } = Execute::decode(body)?;
        let portal = self.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let plan = portal.plan.clone();
        let formats = portal.formats.clone();
        match std::mem::replace(&mut portal.state, State::Spent) {
            State::Bound(parameters) => {
                refuse_if_failed(&self.session, &plan)?;
                let reply = self.run_plan(&plan, parameters).await?;
                self.extended_reply(name, &plan, &formats, reply, limit)
                    .await
            }
            State::Rows { source, tag } => {
                self.portal_rows(name, &plan, &formats, source, tag, limit)
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

    /// Runs a plan, in a transaction of its own where nothing else shares it.
    async fn run_plan(&mut self, plan: &Arc<Plan>, parameters: Vec<Value>) -> Result<Reply, Stop> {
        let alone = self.session.status() == TransactionStatus::Idle
            && !self.implicit
            && self.wire.sync_follows().await?;
        if !alone {
            self.begin_implicit();
        }
        let canceller = self.session.canceller();
        let execute = self.session.execute(plan, parameters);
        Ok(attended(&mut self.wire, &canceller, execute).await?)
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
        if ends_transaction(plan) {
            self.portals.clear();
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
    fn finish(&mut self, name: &str, state: State) {
        if let Some(portal) = self.portals.get_mut(name)
            && returns_rows(&portal.plan)
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

fn no_portal(name: &str) -> Error {
    Error::new(
        SqlState::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}

fn refuse_if_full(count: usize, what: &str) -> Result<()> {
    if count < MAX_NAMED {
        return Ok(());
    }
    Err(Error::new(
        SqlState::CONFIGURATION_LIMIT_EXCEEDED,
        format!("too many {what}: {MAX_NAMED} are open"),
    ))
}

/// A parameter's type as Parse gives it: 0 and `unknown` leave it to us.
fn parameter_type(oid: u32) -> Result<Option<Type>> {
    match oid {
        0 | 705 => Ok(None),
        oid => Type::from_oid(oid)
            .map(Some)
            .ok_or_else(|| Error::unsupported(format_args!("the type with OID {oid}"))),
    }
}

fn parameter(bytes: &[u8], ty: &Type, format: Format, io: Io<'_>) -> Result<Value> {
    match format {
        Format::Binary => binary::receive(bytes, ty),
        Format::Text => {
            let text = text(bytes)?;
            if text.contains('\0') {
                return Err(Error::new(
                    SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                    "invalid byte sequence for encoding \"UTF8\": 0x00",
                ));
            }
            text_format::input(text, ty, io)
        }
    }
}
