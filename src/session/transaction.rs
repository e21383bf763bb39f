//! BEGIN to COMMIT as statements: what they do to the session's block.

use super::Session;
use super::block::{Kind, Outside, Savepoint};
use super::reply::{Reply, done};
use super::variables::{SessionVariables, boolean, on_or_off};
use crate::dispatch::refused::Refused;
use crate::dispatch::transaction::OpenTransaction;
use crate::error::{Error, Result, SqlState};
use crate::plan::statement::{Isolation, Statement, TransactionModes, TransactionStatement};

impl Session {
    /// Begins an implicit transaction block, for a simple-query string of
    /// several statements or a pipeline; ended by [`Session::sync`].
    pub fn begin_implicit(&mut self) {
        if self.block.kind == Kind::None {
            self.block.kind = Kind::Implicit;
            self.block.time = Some(self.transaction_time());
            self.block.fix_modes(&self.variables);
        }
    }

    /// Ends an implicit transaction: commits unless a statement failed.
    pub async fn sync(&mut self) -> Result<()> {
        if self.block.kind != Kind::Implicit {
            return Ok(());
        }
        match self.block.failed {
            true => {
                self.end_rolled_back();
                Ok(())
            }
            false => self.end_committed().await,
        }
    }

    /// Is a block open, explicit or implicit?
    pub(super) fn in_block(&self) -> bool {
        self.block.is_open()
    }

    /// Makes the open transaction that a statement in a block needs.
    pub(super) fn enter_transaction(&mut self, statement: &Statement, locking: bool) -> Result<()> {
        if !self.block.is_open() {
            return Ok(());
        }
        self.block.queried |= !matches!(statement, Statement::Transaction(_));
        if self.block.transaction.is_some() {
            return Ok(());
        }
        let isolation = self.block.isolation(&self.variables);
        let reads = !locking && matches!(statement, Statement::Query(_));
        if reads && isolation == Isolation::ReadCommitted {
            return Ok(());
        }
        let read_only = self.block.is_read_only(&self.variables);
        let mut transaction = OpenTransaction::new(self.cluster.clone(), isolation, read_only);
        transaction.deferral = self.block.deferral.clone();
        for savepoint in &self.block.savepoints {
            transaction.savepoint(savepoint.name.clone());
        }
        self.block.transaction = Some(transaction);
        Ok(())
    }

    pub(super) async fn transaction(&mut self, statement: &TransactionStatement) -> Result<Reply> {
        use TransactionStatement as T;
        match statement {
            T::Begin(modes) => self.begin(*modes),
            T::Commit { and_chain } => self.commit(*and_chain).await,
            T::Rollback { and_chain } => self.rollback(*and_chain),
            T::Savepoint(name) => self.savepoint(name),
            T::Release(name) => self.release(name),
            T::RollbackTo(name) => self.rollback_to(name),
            T::Modes(modes) => self.set_modes(*modes),
            T::SessionModes(modes) => self.set_session_modes(*modes),
            T::Constraints { names, deferred } => {
                self.set_constraints(names.as_deref(), *deferred).await
            }
            T::Lock {
                tables,
                exclusive,
                no_wait,
            } => {
                if !self.block.is_open() {
                    return Err(no_block(
                        "LOCK TABLE can only be used in transaction blocks",
                    ));
                }
                self.lock_tables(tables, *exclusive, *no_wait).await
            }
        }
    }

    fn begin(&mut self, modes: TransactionModes) -> Result<Reply> {
        self.check_modes(modes)?;
        if self.block.kind == Kind::Explicit {
            let message = "there is already a transaction in progress";
            self.warning(SqlState::ACTIVE_SQL_TRANSACTION, message);
        }
        self.block.kind = Kind::Explicit;
        let now = self.now();
        self.block.time.get_or_insert(now);
        self.apply_modes(modes);
        self.block.fix_modes(&self.variables);
        Ok(done("BEGIN"))
    }

    fn apply_modes(&mut self, modes: TransactionModes) {
        let own = &mut self.block.modes;
        own.isolation = modes.isolation.or(own.isolation);
        own.read_only = modes.read_only.or(own.read_only);
        own.deferrable = modes.deferrable.or(own.deferrable);
        if let Some(transaction) = &mut self.block.transaction {
            transaction.read_only = own.read_only.unwrap_or(transaction.read_only);
            transaction.isolation = own.isolation.unwrap_or(transaction.isolation);
        }
    }

    async fn commit(&mut self, and_chain: bool) -> Result<Reply> {
        let explicit = self.block.kind == Kind::Explicit;
        if !explicit {
            if and_chain {
                return Err(no_block(
                    "COMMIT AND CHAIN can only be used in transaction blocks",
                ));
            }
            self.warning(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        let modes = self.block.modes;
        let failed = self.block.failed;
        match failed {
            true => self.end_rolled_back(),
            false => self.end_committed().await?,
        }
        if and_chain {
            self.begin(modes)?;
        }
        Ok(done(if failed { "ROLLBACK" } else { "COMMIT" }))
    }

    fn rollback(&mut self, and_chain: bool) -> Result<Reply> {
        if self.block.kind != Kind::Explicit {
            if and_chain {
                return Err(no_block(
                    "ROLLBACK AND CHAIN can only be used in transaction blocks",
                ));
            }
            self.warning(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        let modes = self.block.modes;
        self.end_rolled_back();
        if and_chain {
            self.begin(modes)?;
        }
        Ok(done("ROLLBACK"))
    }

    /// Leaves the block, whatever comes of it, and logs what it wrote.
    async fn end_committed(&mut self) -> Result<()> {
        if let Err(error) = self.hold_cursors().await {
            self.end_rolled_back();
            return Err(error);
        }
        let mut block = std::mem::take(&mut self.block);
        self.close_cursors();
        self.restore_settings(block.outside.take(), true);
        let Some(transaction) = block.transaction.take() else {
            return Ok(());
        };
        let schema = match transaction.schema.clone() {
            Some(schema) => schema,
            None => self.schema()?,
        };
        let context = self.context(&schema);
        let patience = self.patience();
        let committed = self
            .dispatch
            .commit(transaction, &context, &schema, &patience)
            .await;
        committed.map(|_| ()).map_err(Refused::into_error)
    }

    fn end_rolled_back(&mut self) {
        let outside = self.block.outside.take();
        self.block.abandon();
        self.close_cursors();
        self.restore_settings(outside, false);
    }

    fn savepoint(&mut self, name: &str) -> Result<Reply> {
        self.need_explicit("SAVEPOINT")?;
        if let Some(transaction) = &mut self.block.transaction {
            transaction.savepoint(name.to_owned());
        }
        let savepoint = Savepoint {
            name: name.to_owned(),
            variables: self.variables.clone(),
            outside: self.block.outside.clone(),
            deferral: self.block.deferral.clone(),
        };
        self.block.savepoints.push(savepoint);
        Ok(done("SAVEPOINT"))
    }

    fn release(&mut self, name: &str) -> Result<Reply> {
        self.need_explicit("RELEASE SAVEPOINT")?;
        let place = self.savepoint_place(name)?;
        if let Some(transaction) = &mut self.block.transaction {
            transaction.release_savepoint(name)?;
        }
        self.block.savepoints.truncate(place);
        self.keep_cursors_since(place);
        Ok(done("RELEASE"))
    }

    fn rollback_to(&mut self, name: &str) -> Result<Reply> {
        self.need_explicit("ROLLBACK TO SAVEPOINT")?;
        let place = self.savepoint_place(name)?;
        if let Some(transaction) = &mut self.block.transaction {
            transaction.rollback_to(name)?;
            transaction.deferral = self.block.savepoints[place].deferral.clone();
        }
        self.block.savepoints.truncate(place + 1);
        self.close_cursors_since(place);
        let savepoint = &self.block.savepoints[place];
        self.block.deferral = savepoint.deferral.clone();
        self.block.outside = savepoint.outside.clone();
        self.variables = savepoint.variables.clone();
        self.settings_changed();
        self.block.failed = false;
        Ok(done("ROLLBACK"))
    }

    fn savepoint_place(&self, name: &str) -> Result<usize> {
        self.block
            .savepoints
            .iter()
            .rposition(|own| own.name == name)
            .ok_or_else(|| {
                let message = format!("savepoint \"{name}\" does not exist");
                Error::new(SqlState::INVALID_SAVEPOINT_SPECIFICATION, message)
            })
    }

    fn need_explicit(&self, what: &str) -> Result<()> {
        match self.block.kind {
            Kind::Explicit => Ok(()),
            _ => Err(no_block(&format!(
                "{what} can only be used in transaction blocks"
            ))),
        }
    }

    pub(super) fn set_modes(&mut self, modes: TransactionModes) -> Result<Reply> {
        if !self.block.is_open() {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
            return Ok(done("SET"));
        }
        self.check_modes(modes)?;
        self.apply_modes(modes);
        Ok(done("SET"))
    }

    /// May the transaction still take these modes?
    fn check_modes(&self, modes: TransactionModes) -> Result<()> {
        let refused = |message| Err(Error::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
        let isolation = self.block.isolation(&self.variables);
        if modes.isolation.is_some_and(|new| new != isolation) {
            if self.block.queried {
                return refused("SET TRANSACTION ISOLATION LEVEL must be called before any query");
            }
            if !self.block.savepoints.is_empty() {
                return refused(
                    "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction",
                );
            }
        }
        if modes.read_only == Some(false) && self.block.is_read_only(&self.variables) {
            if !self.block.savepoints.is_empty() {
                return refused(
                    "cannot set transaction read-write mode inside a read-only transaction",
                );
            }
            if self.block.queried {
                return refused("transaction read-write mode must be set before any query");
            }
        }
        Ok(())
    }

    /// SET of the variables that stand for the transaction's own modes.
    pub(super) fn set_mode(&mut self, name: &str, value: Option<&str>) -> Result<Reply> {
        let mut modes = TransactionModes::default();
        let value = value.unwrap_or_default();
        if name == "transaction_isolation" {
            let isolation = Isolation::named(&value.to_ascii_lowercase());
            modes.isolation = Some(isolation.ok_or_else(|| {
                let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
                Error::new(SqlState::INVALID_PARAMETER_VALUE, message).hint(
                    "Available values: serializable, repeatable read, read committed, read uncommitted.",
                )
            })?);
        } else {
            modes.read_only = Some(boolean(name, value)?);
        }
        match self.block.is_open() {
            true => self.set_modes(modes),
            // The statement's own transaction ends with it.
            false => Ok(done("SET")),
        }
    }

    fn set_session_modes(&mut self, modes: TransactionModes) -> Result<Reply> {
        if let Some(isolation) = modes.isolation {
            self.variables
                .set("default_transaction_isolation", Some(isolation.name()))?;
        }
        if let Some(read_only) = modes.read_only {
            self.variables
                .set("default_transaction_read_only", Some(on_or_off(read_only)))?;
        }
        self.settings_changed();
        Ok(done("SET"))
    }

    /// Remembers what a SET in a block changes, for its end.
    pub(super) fn remember_set(
        &mut self,
        before: SessionVariables,
        name: &str,
        value: Option<&str>,
        local: bool,
    ) -> Result<()> {
        let outside = self
            .block
            .outside
            .get_or_insert_with(|| (before.clone(), before));
        if local {
            Ok(())
        } else {
            outside.1.set(name, value)
        }
    }

    /// Takes back SET LOCAL at the end of a block, and every SET when it is rolled back.
    fn restore_settings(&mut self, outside: Option<Outside>, committed: bool) {
        if let Some((before, kept)) = outside {
            self.variables = if committed { kept } else { before };
            self.settings_changed();
        }
    }

    /// What SHOW says of this transaction's modes.
    pub(super) fn shown_mode(&self, name: &str) -> Option<String> {
        match name {
            "transaction_isolation" => {
                let isolation = self.block.isolation(&self.variables);
                Some(isolation.name().to_owned())
            }
            "transaction_read_only" => {
                let read_only = self.block.is_read_only(&self.variables);
                Some(on_or_off(read_only).to_owned())
            }
            _ => None,
        }
    }
}

fn no_block(message: &str) -> Error {
    Error::new(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
}
