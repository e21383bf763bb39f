//! Hands writes to the sequencer and waits for their outcome.

use std::pin::Pin;
use std::sync::Arc;

use super::claim::Held;
use super::cluster::DataCluster;
use super::order::Order;
use super::refused::Refused;
use crate::error::{Error, Result};
use crate::types::id::Index;
use crate::types::write::{Failure, Outcome};

/// Submits writes whose claims are `held`, and lets go of them afterwards, even if the caller does not wait for the end.
pub(super) async fn submit(
    cluster: &Arc<DataCluster>,
    held: Held,
    order: Order,
) -> Result<(Index, Outcome), Refused> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let mut waiting = Waiting {
        cluster,
        pending: None,
    };
    let submitted = {
        let cluster = cluster.clone();
        let future = async move {
            let decided = cluster.sequencer.submit(order).await;
            let written = decided.as_ref().ok().map(|(index, _)| *index);
            cluster.claims.release(&held, written);
            let _ = sender.send(decided);
        };
        waiting.pending = Some(Box::pin(future));
        waiting.drive().await;
        receiver.await
    };
    let decided = submitted.map_err(|_| Error::internal("submission lost"))??;
    match &decided.1.result {
        Ok(_) => Ok(decided),
        Err(failure) => Err(error_of(failure).into()),
    }
}

/// A submission under way; dropped early, it goes on in a task of the cluster.
struct Waiting<'a> {
    cluster: &'a Arc<DataCluster>,
    pending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Waiting<'_> {
    async fn drive(&mut self) {
        if let Some(pending) = self.pending.as_mut() {
            pending.await;
        }
        self.pending = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.cluster.tasks.spawn("submission", pending);
        }
    }
}

/// A replica's refusal as the client sees it.
fn error_of(failure: &Failure) -> Error {
    let mut error = Error::new(failure.sql_state(), failure.message.clone());
    if let Some(detail) = &failure.detail {
        error = error.detail(detail.clone());
    }
    if let Some(table) = &failure.table {
        error = error.table(table.clone());
    }
    if let Some(column) = &failure.column {
        error = error.column(column.clone());
    }
    if let Some(constraint) = &failure.constraint {
        error = error.constraint(constraint.clone());
    }
    error
}
