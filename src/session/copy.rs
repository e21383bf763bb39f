//! COPY FROM STDIN as the front end drives it.

use std::sync::Arc;

use super::Session;
use super::reply::Reply;
use crate::dispatch::deferral::Pending;
use crate::dispatch::evaluate::Evaluator;
use crate::dispatch::evaluate::copy::Copying;
use crate::dispatch::refused::Refused;
use crate::error::{Error, Result, SqlState};
use crate::plan::statement::{Copy, CopyDirection, Statement};
use crate::types::Row;

impl Session {
    pub(super) fn begin_copy(&mut self, copy: &Copy) -> Result<Reply> {
        let CopyDirection::In {
            table,
            columns,
            defaults,
        } = &copy.direction
        else {
            return Err(Error::internal("COPY TO is a query"));
        };
        self.begin_implicit();
        self.enter_transaction(&Statement::Copy(copy.clone()), false)?;
        if self.block.is_read_only(&self.variables) {
            let message = "cannot execute COPY FROM in a read-only transaction";
            return Err(Error::new(SqlState::READ_ONLY_SQL_TRANSACTION, message));
        }
        self.copying = Some(Copying {
            table: table.clone(),
            columns: columns.clone(),
            defaults: defaults.clone(),
            empty: None,
            rows: 0,
            pending: Pending::default(),
        });
        Ok(Reply::CopyIn(Arc::new(copy.clone())))
    }

    /// Takes rows of a COPY FROM STDIN: values of its columns in order.
    pub async fn copy_rows(&mut self, rows: Vec<Row>) -> Result<()> {
        let mut copying = self.copying.take().ok_or_else(no_copy)?;
        let taken =
            self.with_evaluator(async |evaluator| evaluator.copy_rows(&mut copying, rows).await);
        let taken = taken.await;
        self.copying = Some(copying);
        if taken.is_err() {
            self.fail();
        }
        taken
    }

    /// Ends a COPY FROM STDIN; `failed` is the client's CopyFail. Gives the row
    /// count. Outside a block the rows are committed by the next sync.
    pub async fn copy_end(&mut self, failed: Option<String>) -> Result<u64> {
        let mut copying = self.copying.take().ok_or_else(no_copy)?;
        if let Some(reason) = failed {
            self.fail();
            let message = format!("COPY from stdin failed: {reason}");
            return Err(Error::new(SqlState::QUERY_CANCELED, message));
        }
        let ended = match self.block.is_failed() {
            true => Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "the COPY has failed",
            )),
            false => {
                let end =
                    async |evaluator: &mut Evaluator<'_>| evaluator.copy_end(&mut copying).await;
                self.with_evaluator(end).await
            }
        };
        if let Err(error) = ended {
            self.fail();
            return Err(error);
        }
        Ok(copying.rows)
    }

    /// Runs something in the open transaction of this block.
    pub(super) async fn with_evaluator<T>(
        &mut self,
        act: impl AsyncFnOnce(&mut Evaluator<'_>) -> Result<T, Refused>,
    ) -> Result<T> {
        let schema = self.schema()?;
        let context = self.context(&schema);
        let patience = self.patience();
        let Some(transaction) = self.block.open_transaction() else {
            return Err(Error::internal("no transaction is open"));
        };
        let mut evaluator = Evaluator::new(transaction, schema, context, patience);
        act(&mut evaluator).await.map_err(Refused::into_error)
    }
}

fn no_copy() -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, "no COPY is in progress")
}
