//! Prepared statements: Parse, Describe, Close, and their SQL counterparts.

use std::sync::Arc;

use super::connection::Connection;
use super::describe::{put_parameters, put_result};
use super::encode::Formats;
use super::error::Stop;
use super::frame::put_empty;
use super::message::{Parse, Target};
use super::portal::no_portal;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::statement::{SessionStatement, Statement, TransactionStatement};
use crate::session::{Session, TransactionStatus};
use crate::types::Type;

/// Prepared statements and portals that one connection may hold: drivers keep
/// a few hundred, a leak grows without end.
const MAX_NAMED: usize = 10_000;

/// A prepared statement.
pub(super) struct Prepared {
    sql: Box<str>,
    types: Vec<Option<Type>>,
    plan: Arc<Plan>,
    /// Made for a schema that only its transaction sees. Another of the same
    /// version may follow, so that the plan is not kept.
    provisional: bool,
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
            provisional: self.session.changes_schema(),
        };
        self.statements.insert(message.name, Arc::new(prepared));
        put_empty(&mut self.wire.out, b'1');
        Ok(())
    }

    /// The plan of a prepared statement, made anew if the schema has moved.
    pub(super) fn current_plan(&mut self, name: &str) -> Result<Arc<Plan>> {
        let prepared = self.prepared(name)?;
        if self.session.is_current(&prepared.plan) && !prepared.provisional {
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
            provisional: self.session.changes_schema(),
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

    /// Answers Describe.
    pub(super) fn describe(&mut self, body: &[u8]) -> Result<(), Stop> {
        match Target::decode(body, "DESCRIBE")? {
            Target::Statement(name) => {
                self.prepared(name)?;
                let plan = self.current_plan(name)?;
                put_parameters(&mut self.wire.out, &plan);
                let plan = self.described(&plan)?;
                // The formats come with Bind: text until then.
                put_result(&mut self.wire.out, &plan, &Formats::TEXT);
            }
            Target::Portal(name) => match (self.portals.get(name), self.session.cursor(name)) {
                (Some(portal), _) => {
                    put_result(&mut self.wire.out, &portal.described, &portal.formats);
                }
                (None, Some(cursor)) => put_result(&mut self.wire.out, cursor, &Formats::TEXT),
                (None, None) => return Err(no_portal(name).into()),
            },
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

    /// DEALLOCATE of a statement that Parse made; true if this was one.
    pub(super) fn deallocate(&mut self, plan: &Plan) -> bool {
        match &plan.statement {
            Statement::Session(SessionStatement::Deallocate(Some(name))) => {
                self.statements.remove(name).is_some()
            }
            _ => false,
        }
    }

    /// What DEALLOCATE ALL and DISCARD do to the statements that Parse made.
    pub(super) fn after(&mut self, plan: &Plan) {
        if let Statement::Session(
            SessionStatement::Deallocate(None) | SessionStatement::Discard("ALL"),
        ) = plan.statement
        {
            self.statements.clear_named();
        }
    }
}

pub(super) fn refuse_if_full(count: usize, what: &str) -> Result<()> {
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
