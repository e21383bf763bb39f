//! The writer's connection: every statement of an apply goes through here.
//!
//! Nothing may interrupt it; nothing else writes through it.

use rusqlite::{Connection, Params, Row, Statement, ffi};

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
    /// As SQLite does on some errors, the whole transaction is rolled back.
    pub(in crate::engine::sqlite) rolls_back: bool,
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

    /// Runs a statement that is likely to come again.
    pub(in crate::engine::sqlite) fn execute(
        &self,
        sql: &str,
        values: impl Params,
    ) -> rusqlite::Result<usize> {
        self.before(sql)?;
        self.connection.prepare_cached(sql)?.execute(values)
    }

    /// The first row of a query, if it has one.
    pub(in crate::engine::sqlite) fn first<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.before(sql)?;
        let mut statement = self.connection.prepare_cached(sql)?;
        first_of(&mut statement, values, read)
    }

    /// Runs statements that are not worth keeping: transactions and DDL.
    pub(in crate::engine::sqlite) fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.before(sql)?;
        self.connection.execute_batch(sql)
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
    fn before(&self, _sql: &str) -> rusqlite::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn before(&self, sql: &str) -> rusqlite::Result<()> {
        let mut injection = self.injection.borrow_mut();
        match injection.as_mut() {
            None => Ok(()),
            Some(_) if sql == "ROLLBACK" => Ok(()),
            Some(pending) if pending.after > 0 => {
                pending.after -= 1;
                Ok(())
            }
            Some(pending) => {
                let (code, rolls_back) = (pending.code, pending.rolls_back);
                *injection = None;
                if rolls_back && self.in_transaction() {
                    self.connection.execute_batch("ROLLBACK")?;
                }
                let error = ffi::Error::new(code);
                Err(rusqlite::Error::SqliteFailure(
                    error,
                    Some("injected".to_owned()),
                ))
            }
        }
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
