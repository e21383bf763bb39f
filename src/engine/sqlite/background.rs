//! Work on a replica's file that must not be felt by those who read and write:
//! hashes of tables, copies. It runs at low priority, and rests between pieces.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::StorageError;
use super::slow::SlowThreads;

/// Runs jobs on threads of low priority; in a simulation at once.
#[derive(Clone)]
pub struct Background(Option<Arc<SlowThreads>>);

impl Background {
    pub fn threads() -> Background {
        Background(Some(Arc::new(SlowThreads::new())))
    }

    /// Jobs run where they are asked for.
    pub fn inline() -> Background {
        Background(None)
    }

    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let Some(threads) = &self.0 else {
            return job();
        };
        let (sender, done) = oneshot::channel();
        let queued = threads.run(Box::new(move || {
            let _ = sender.send(job());
        }));
        let refused = || StorageError::failed("too much work in the background");
        queued.map_err(|_| refused())?;
        done.await
            .map_err(|_| StorageError::failed("work in the background broke off"))?
    }
}
