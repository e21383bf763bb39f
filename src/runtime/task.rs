//! Tasks with owners: a handle aborts on drop, a set is drained at shutdown.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Runtime;

/// A running task. Dropping it aborts the task; awaiting it gives its result,
/// or an error when it panicked.
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<T>,
}

impl<T: Send + 'static> Task<T> {
    #[allow(clippy::disallowed_methods)] // the one place that spawns
    pub(super) fn spawn(
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        Task {
            name,
            handle: tokio::spawn(future),
        }
    }
}

impl<T> Task<T> {
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    pub fn abort(&self) {
        self.handle.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Tasks of one owner. They watch the owner's token and are drained together;
/// what a set still holds when it is dropped is aborted.
#[derive(Clone)]
pub struct TaskSet {
    runtime: Runtime,
    token: CancellationToken,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl TaskSet {
    pub fn new(runtime: &Runtime) -> TaskSet {
        TaskSet {
            runtime: runtime.clone(),
            token: CancellationToken::new(),
            tasks: Arc::new(Mutex::new(JoinSet::new())),
        }
    }

    /// Cancelled when the set shuts down: tasks that wait also wait for it.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Adds a task; a panic in it is logged under its name.
    pub fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let mut tasks = self.tasks.lock();
        // Finished ones are collected here, so that the set does not grow.
        while let Some(ended) = tasks.try_join_next() {
            report(ended);
        }
        tasks.spawn(async move {
            let guard = NameOnPanic(name);
            future.await;
            std::mem::forget(guard);
        })
    }

    /// Cancels the token, waits for all tasks, and aborts those that take longer than `limit`.
    pub async fn shutdown(&self, limit: Duration) {
        self.token.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        let drained = self.runtime.timeout(limit, async {
            while let Some(ended) = tasks.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            tracing::warn!("tasks did not end in time and are aborted");
            tasks.shutdown().await;
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked");
    }
}

/// Tells which task a panic unwound; forgotten when the task ends well.
struct NameOnPanic(&'static str);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "task panicked");
        }
    }
}
