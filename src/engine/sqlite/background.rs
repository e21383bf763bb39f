//! Work on a replica's file that must not be felt by those who read and write:
//! hashes of tables, copies. It runs at low priority, and rests between pieces.

use std::sync::Arc;
use std::time::{Duration, Instant};

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
        let queued = threads.run(Box::new(move |_| {
            let _ = sender.send(job());
        }));
        let refused = || StorageError::failed("too much work in the background");
        queued.map_err(|_| refused())?;
        done.await
            .map_err(|_| StorageError::failed("work in the background broke off"))?
    }
}

/// Rests between pieces of work, so that it takes only a share of the time.
pub(super) struct Pace {
    /// Rest for each unit of work.
    rest: f64,
    began: Instant,
}

/// A rest is no longer than this: what runs beside changes quickly.
const REST_MAX: Duration = Duration::from_millis(250);

impl Pace {
    /// For work that may take this share of one thread.
    pub(super) fn of_share(share: f64) -> Pace {
        Pace {
            rest: (1.0 - share) / share,
            began: Instant::now(),
        }
    }

    /// A piece is done.
    pub(super) fn rest(&mut self) {
        let worked = self.began.elapsed();
        std::thread::sleep(worked.mul_f64(self.rest).min(REST_MAX));
        self.began = Instant::now();
    }
}
