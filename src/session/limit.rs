//! `statement_timeout`: cancels a statement, and the rows that flow from it, at its limit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Session;
use super::reply::Reply;
use crate::dispatch::refused::cancelled;
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::runtime::Moment;
use crate::types::{Row, Value};

/// Batches of rows on their way through the clock; the engine's own queue is
/// what holds a stream back.
const BATCHES: usize = 1;

impl Session {
    /// Runs a plan and cancels it at the limit.
    pub(super) async fn execute_within(
        &mut self,
        limit: Duration,
        plan: &Arc<Plan>,
        parameters: Arc<[Value]>,
    ) -> Result<Reply> {
        let runtime = self.dispatch.runtime().clone();
        let token = self.token();
        let deadline = runtime.now() + limit;
        let mut timed_out = false;
        let reply = {
            let running = Box::pin(self.execute_plan(plan, parameters));
            tokio::pin!(running);
            loop {
                tokio::select! {
                    biased;
                    reply = &mut running => break reply,
                    () = runtime.sleep_until(deadline), if !timed_out => {
                        timed_out = true;
                        token.cancel();
                    }
                }
            }
        };
        if timed_out && reply.is_ok() {
            // It had been done in time all the same.
            self.forget_cancel();
        }
        match reply {
            Err(error) => Err(told(error, timed_out)),
            Ok(Reply::Rows { rows, tag }) => {
                let rows = self.flow_within(deadline, token, rows);
                Ok(Reply::Rows { rows, tag })
            }
            Ok(Reply::CopyOut { copy, rows }) => {
                let rows = self.flow_within(deadline, token, rows);
                Ok(Reply::CopyOut { copy, rows })
            }
            // Its rows are still to come: see `copy_stopped`.
            Ok(Reply::CopyIn(copy)) => {
                self.copy_deadline = Some(deadline);
                Ok(Reply::CopyIn(copy))
            }
            Ok(other) => Ok(other),
        }
    }

    /// Ends when a COPY FROM STDIN must, though its client sends nothing: it
    /// is cancelled, or its time is over.
    pub fn copy_stopped(&mut self) -> impl Future<Output = Error> + use<> {
        let runtime = self.dispatch.runtime().clone();
        let token = self.token();
        let deadline = self.copy_deadline.take();
        async move {
            let Some(deadline) = deadline else {
                token.cancelled().await;
                return cancelled();
            };
            tokio::select! {
                biased;
                () = token.cancelled() => cancelled(),
                () = runtime.sleep_until(deadline) => told(cancelled(), true),
            }
        }
    }

    /// Passes rows on and cancels what yields them at the deadline.
    fn flow_within(
        &self,
        deadline: Moment,
        token: CancellationToken,
        rows: RowStream,
    ) -> RowStream {
        let RowStream::Flowing(mut batches) = rows else {
            return rows;
        };
        let runtime = self.dispatch.runtime().clone();
        let (sender, receiver) = mpsc::channel::<Result<Vec<Row>>>(BATCHES);
        self.cluster.tasks.spawn("statement timeout", async move {
            let mut timed_out = false;
            loop {
                let batch = tokio::select! {
                    biased;
                    batch = batches.recv() => batch,
                    () = runtime.sleep_until(deadline), if !timed_out => {
                        timed_out = true;
                        token.cancel();
                        continue;
                    }
                };
                let Some(batch) = batch else { return };
                let batch = batch.map_err(|error| told(error, timed_out));
                if sender.send(batch).await.is_err() {
                    return;
                }
            }
        });
        RowStream::Flowing(receiver)
    }
}

/// A cancel that the clock asked for says so.
fn told(error: Error, timed_out: bool) -> Error {
    match timed_out && error.state() == SqlState::QUERY_CANCELED {
        true => Error::new(
            SqlState::QUERY_CANCELED,
            "canceling statement due to statement timeout",
        ),
        false => error,
    }
}
