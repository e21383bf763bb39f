//! The writer's connection: every statement of an apply goes through here.
//!
//! Nothing may interrupt it; nothing else writes through it.

use crate::engine::sqlite::work;
use rusqlite::{CachedStatement, Connection, Params, Row, Statement, ffi};

/// The connection that applies. Under test it can be told to fail.
pub(in crate::engine::sqlite) struct Database {
    connection: Connection,
    #[cfg(test)]
    pub(in crate::engine::sqlite) injection: std::cell::RefCell<Option<Injection>>,
}

/// A failure that a test asks for: the n-th statement ends with this code.
#[cfg(test)]
pub(in crate::engine::sqlite) struct Injection {
    pub(in crate::engine::sqlite) after: usize,
    pub(in crate::engine::sqlite) code: std::ffi::c_int,
    pub(in crate::engine::sqlite) manner: Manner,
}

#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::engine::sqlite) enum Manner {
    /// The statement does nothing.
    Statement,
    /// As SQLite does on some errors, the whole transaction is rolled back.
    RollsBack,
    /// The error comes after the statement has done its work.
    Afterwards,
}

impl Database {
    pub(in crate::engine::sqlite) fn new(connection: Connection) -> Database {
        Database {
            connection,
            #[cfg(test)]
            injection: std::cell::RefCell::new(None),
        }
    }

    pub(in crate::engine::sqlite) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(in crate::engine::sqlite) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Runs a statement that is likely to come again.
    pub(in crate::engine::sqlite) fn execute(
        &self,
        sql: &str,
        values: impl Params,
    ) -> rusqlite::Result<usize> {
        work::note();
        let injected = self.before(sql)?;
        let changed = self.connection.prepare_cached(sql)?.execute(values)?;
        injected.map_or(Ok(changed), Err)
    }

    /// A statement that is run many times in a row.
    pub(in crate::engine::sqlite) fn prepare(
        &self,
        sql: &str,
    ) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    pub(in crate::engine::sqlite) fn execute_by(
        &self,
        statement: &mut Statement<'_>,
        values: impl Params,
    ) -> rusqlite::Result<usize> {
        let injected = self.before("")?;
        let changed = statement.execute(values)?;
        injected.map_or(Ok(changed), Err)
    }

    /// The first row of a query, if it has one.
    pub(in crate::engine::sqlite) fn first<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        work::note();
        let injected = self.before(sql)?;
        let mut statement = self.connection.prepare_cached(sql)?;
        let first = first_of(&mut statement, values, read)?;
        injected.map_or(Ok(first), Err)
    }

    /// Runs statements that are not worth keeping: transactions and DDL.
    pub(in crate::engine::sqlite) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        work::note();
        let injected = self.before(sql)?;
        self.connection.execute_batch(sql)?;
        injected.map_or(Ok(()), Err)
    }

    /// Whether the transaction that was begun is still open: some errors end it.
    pub(in crate::engine::sqlite) fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    pub(in crate::engine::sqlite) fn rows_changed(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Whether a deferred foreign key is broken at this moment.
    pub(in crate::engine::sqlite) fn has_unresolved_keys(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: the handle lives as long as the connection, both integers
        // outlive the call, and the connection is not used elsewhere meanwhile.
        let result = unsafe {
            ffi::sqlite3_db_status(
                self.connection.handle(),
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &mut current,
                &mut highest,
                0,
            )
        };
        // A status that cannot be read counts as broken, so that it is looked into.
        result != ffi::SQLITE_OK || current != 0
    }

    #[cfg(not(test))]
    fn before(&self, _sql: &str) -> rusqlite::Result<Option<rusqlite::Error>> {
        Ok(None)
    }

    /// The error that a test wants before the statement, or after it.
    #[cfg(test)]
    fn before(&self, sql: &str) -> rusqlite::Result<Option<rusqlite::Error>> {
        let mut injection = self.injection.borrow_mut();
        let Some(pending) = injection.as_mut().filter(|_| sql != "ROLLBACK") else {
            return Ok(None);
        };
        if pending.after > 0 {
            pending.after -= 1;
            return Ok(None);
        }
        let manner = pending.manner;
        let code = ffi::Error::new(pending.code);
        let error = rusqlite::Error::SqliteFailure(code, Some("injected".to_owned()));
        *injection = None;
        match manner {
            Manner::Afterwards => return Ok(Some(error)),
            Manner::RollsBack if self.in_transaction() => {
                self.connection.execute_batch("ROLLBACK")?;
            }
            _ => {}
        }
        Err(error)
    }
}

fn first_of<T>(
    statement: &mut Statement<'_>,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let mut rows = statement.query(values)?;
    match rows.next()? {
        Some(row) => Ok(Some(read(row)?)),
        None => Ok(None),
    }
}

/// A constraint refused the statement, which has been undone.
pub(super) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
}
