//! SET, SHOW, PREPARE and their kin; users and data clusters over SQL.

use std::sync::Arc;

use super::fetch::Declared;
use super::reply::{Reply, Tag, done};
use super::{Prepared, Session};
use crate::catalog::UserKind;
use crate::dispatch::claim::{ClaimKey, Contended, Mode};
use crate::dispatch::evaluate::Evaluator;
use crate::dispatch::transaction::Basis;
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::bind::Binding;
use crate::plan::evaluate::{NoScope, evaluate};
use crate::plan::statement::{AdminStatement, SessionStatement, Statement, TransactionStatement};
use crate::types::id::{TableId, UserId};
use crate::types::{Type, Value};

/// Statements that a session may have prepared by SQL.
const PREPARED_MAX: usize = 10_000;

impl Session {
    pub(super) async fn utility(
        &mut self,
        statement: &SessionStatement,
        types: &[Type],
        parameters: Arc<[Value]>,
    ) -> Result<Reply> {
        use SessionStatement as S;
        match statement {
            S::Set { name, value, local } => self.set(name, value.as_deref(), *local),
            S::Show { name } => Ok(text_rows(vec![vec![self.show(name)?]], "SHOW")),
            S::ShowAll => {
                let all = self.variables.all().into_iter();
                let rows =
                    all.map(|(name, value, about)| vec![name.to_owned(), value, about.to_owned()]);
                Ok(text_rows(rows.collect(), "SHOW"))
            }
            S::Reset { name } => self.set(name, None, false).map(|_| done("RESET")),
            S::ResetAll => {
                self.variables.reset_all();
                self.settings_changed();
                Ok(done("RESET"))
            }
            S::Discard(what) => self.discard(what),
            S::Prepare { name, types, text } => self.prepare(name, types, text),
            S::Execute { name, arguments } => {
                Box::pin(self.execute_prepared(name, arguments)).await
            }
            S::Deallocate(name) => self.deallocate(name.as_deref()),
            S::Declare {
                name,
                text,
                scroll,
                hold,
                binary,
            } => {
                let declared = Declared {
                    name,
                    text,
                    scroll: *scroll,
                    hold: *hold,
                    binary: *binary,
                };
                Box::pin(self.declare(declared, types, parameters)).await
            }
            S::Fetch {
                name,
                count,
                move_only,
            } => self.fetch(name, *count, *move_only).await,
            S::Close(name) => self.close_cursor(name.as_deref()),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<Reply> {
        let lower = name.to_ascii_lowercase();
        if matches!(
            lower.as_str(),
            "transaction_isolation" | "transaction_read_only"
        ) {
            return self.set_mode(&lower, value);
        }
        let before = self.variables.clone();
        self.variables.set(name, value)?;
        if local && !self.in_block() {
            let message = "SET LOCAL can only be used in transaction blocks";
            self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
            self.variables = before;
        } else if self.in_block() {
            self.remember_set(before, name, value, local)?;
        }
        self.settings_changed();
        Ok(done("SET"))
    }

    pub(super) fn show(&self, name: &str) -> Result<String> {
        let lower = name.to_ascii_lowercase();
        let lower = if lower == "transaction isolation level" {
            "transaction_isolation"
        } else {
            &lower
        };
        match self.shown_mode(lower) {
            Some(shown) => Ok(shown),
            None => self.variables.get(lower),
        }
    }

    fn discard(&mut self, what: &'static str) -> Result<Reply> {
        if what == "ALL" {
            if self.in_block() {
                let message = "DISCARD ALL cannot run inside a transaction block";
                return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
            }
            self.prepared.clear();
            self.cursors.clear();
            self.variables.reset_all();
            self.settings_changed();
        }
        if matches!(what, "ALL" | "SEQUENCES") {
            self.drawn.clear();
        }
        if matches!(what, "ALL" | "PLANS") {
            self.plans.clear();
        }
        Ok(done(format!("DISCARD {what}")))
    }

    fn prepare(&mut self, name: &str, types: &[Type], text: &str) -> Result<Reply> {
        if self.prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
        }
        if self.prepared.len() >= PREPARED_MAX {
            let message = "too many prepared statements";
            return Err(Error::new(SqlState::CONFIGURATION_LIMIT_EXCEEDED, message));
        }
        let types: Vec<Option<Type>> = types.iter().cloned().map(Some).collect();
        self.plan(text, &types)?;
        self.prepared.insert(
            name.to_owned(),
            Prepared {
                text: text.to_owned(),
                types,
            },
        );
        Ok(done("PREPARE"))
    }

    pub(super) fn prepared_plan(&mut self, name: &str) -> Result<Arc<Plan>> {
        let prepared = self.prepared.get(name).ok_or_else(|| not_prepared(name))?;
        let (text, types) = (prepared.text.clone(), prepared.types.clone());
        self.plan(&text, &types)
    }

    async fn execute_prepared(&mut self, name: &str, arguments: &[String]) -> Result<Reply> {
        let plan = self.prepared_plan(name)?;
        let (expected, given) = (plan.parameters.len(), arguments.len());
        if expected != given {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(Error::new(SqlState::SYNTAX_ERROR, message)
                .detail(format!("Expected {expected} parameters but got {given}.")));
        }
        let schema = self.schema()?;
        let context = self.context(&schema);
        let binding = Binding {
            schema: &schema,
            system: &context.system,
            context: &context,
        };
        let values = arguments.iter().zip(&plan.parameters).map(|(text, ty)| {
            let argument = crate::plan::bind::argument(text, ty, &binding)?;
            evaluate(&argument, &NoScope, &context)
        });
        let values = values.collect::<Result<Vec<Value>>>()?;
        Box::pin(self.execute_plan(&plan, values.into())).await
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<Reply> {
        match name {
            None => self.prepared.clear(),
            Some(name) => drop(
                self.prepared
                    .remove(name)
                    .ok_or_else(|| not_prepared(name))?,
            ),
        }
        Ok(done(if name.is_some() {
            "DEALLOCATE"
        } else {
            "DEALLOCATE ALL"
        }))
    }

    pub(super) async fn lock_tables(
        &mut self,
        tables: &[TableId],
        exclusive: bool,
        no_wait: bool,
    ) -> Result<Reply> {
        let lock = TransactionStatement::Lock {
            tables: tables.to_vec(),
            exclusive,
            no_wait,
        };
        self.enter_transaction(&Statement::Transaction(lock), false)?;
        let mode = if exclusive {
            Mode::ForUpdate
        } else {
            Mode::Share
        };
        let contended = if no_wait {
            Contended::Fail
        } else {
            Contended::Wait
        };
        self.with_evaluator(async |evaluator: &mut Evaluator<'_>| {
            for table in tables {
                let key = ClaimKey::table(*table);
                let patience = evaluator.patience.clone();
                evaluator
                    .transaction
                    .claim(key, mode, Basis::Fresh, contended, &patience)
                    .await?;
            }
            Ok(())
        })
        .await?;
        Ok(done("LOCK TABLE"))
    }

    pub(super) async fn admin(&mut self, statement: &AdminStatement) -> Result<Reply> {
        use AdminStatement as A;
        if self.in_block() {
            let message = "the statement cannot run inside a transaction block";
            return Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        let dispatch = self.dispatch.clone();
        let kind = |admin: bool| {
            if admin {
                UserKind::Admin
            } else {
                UserKind::User
            }
        };
        match statement {
            A::CreateDatabase { name, owner } => {
                let owner = match owner {
                    Some(owner) if *owner != self.user.name => {
                        self.need_admin()?;
                        self.user_id(owner)?
                    }
                    _ => self.user.id,
                };
                dispatch.create_cluster(name, owner).await?;
                Ok(done("CREATE DATABASE"))
            }
            A::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists).await,
            A::CreateUser {
                name,
                password,
                admin,
            } => {
                self.need_admin()?;
                dispatch
                    .create_user(name, None, kind(*admin), password.as_deref())
                    .await?;
                Ok(done("CREATE ROLE"))
            }
            A::AlterUser {
                name,
                password,
                admin,
            } => {
                if *name != self.user.name || admin.is_some() {
                    self.need_admin()?;
                }
                let id = self.user_id(name)?;
                dispatch
                    .alter_user(id, password.as_deref(), admin.map(kind))
                    .await?;
                Ok(done("ALTER ROLE"))
            }
            A::DropUser { name, if_exists } => {
                self.need_admin()?;
                match self.user_id(name) {
                    Ok(id) => dispatch.drop_user(id).await?,
                    Err(_) if *if_exists => {
                        self.notice(format!("role \"{name}\" does not exist, skipping"))
                    }
                    Err(error) => return Err(error),
                }
                Ok(done("DROP ROLE"))
            }
            A::Grant {
                database,
                users,
                revoke,
            } => self.grant(database, users, *revoke).await,
        }
    }

    async fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<Reply> {
        let catalog = self.dispatch.catalog();
        let own = catalog
            .clusters
            .values()
            .find(|c| c.name == name && c.owner == self.user.id);
        let Some(found) = own else {
            if if_exists {
                self.notice(format!("database \"{name}\" does not exist, skipping"));
                return Ok(done("DROP DATABASE"));
            }
            let message = format!("database \"{name}\" does not exist");
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message));
        };
        if found.id == self.cluster.id {
            let message = "cannot drop the currently open database";
            return Err(Error::new(SqlState::OBJECT_IN_USE, message));
        }
        self.dispatch.drop_cluster(found.id).await?;
        Ok(done("DROP DATABASE"))
    }

    async fn grant(&mut self, database: &str, users: &[String], revoke: bool) -> Result<Reply> {
        let catalog = self.dispatch.catalog();
        let own = catalog
            .clusters
            .values()
            .find(|c| c.name == database && c.owner == self.user.id);
        let Some(cluster) = own else {
            let message = format!("database \"{database}\" does not exist");
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message));
        };
        let mut access = cluster.access.clone();
        for name in users {
            let user = self.user_id(name)?;
            access.retain(|other| *other != user);
            if !revoke {
                access.push(user);
            }
        }
        self.dispatch.set_access(cluster.id, access).await?;
        Ok(done(if revoke { "REVOKE" } else { "GRANT" }))
    }

    fn need_admin(&self) -> Result<()> {
        match self.user.kind {
            UserKind::Admin => Ok(()),
            _ => Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                "permission denied: only an admin may",
            )),
        }
    }

    fn user_id(&self, name: &str) -> Result<UserId> {
        let catalog = self.dispatch.catalog();
        catalog.user_named(name).map(|user| user.id).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("role \"{name}\" does not exist"),
            )
        })
    }
}

fn not_prepared(name: &str) -> Error {
    let message = format!("prepared statement \"{name}\" does not exist");
    Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

fn text_rows(rows: Vec<Vec<String>>, tag: &str) -> Reply {
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(Value::text).collect())
        .collect();
    Reply::Rows {
        rows: RowStream::Ready(rows),
        tag: Tag::Complete(tag.to_owned()),
    }
}
