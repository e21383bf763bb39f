//! The seam to everything that is not deterministic: clock, randomness, tasks,
//! threads, disk.
//!
//! The log, the dispatcher and the replicas reach them through [`Runtime`]
//! alone, so that a seeded simulation can run them: there time is virtual and
//! jumps to the next timer when nothing else can run, randomness comes from
//! the seed, threads become inline calls, and everything runs on one thread.
//!
//! Not handled: the simulated disk is a directory of this machine without
//! lost or torn writes; the simulated network lies with its users (the log
//! has its own in-process transport). `tokio::select!` without `biased` picks
//! at random outside the seed, so code under simulation says `biased`.

mod disk;
mod simulated;
mod task;
mod time;
mod worker;

use std::cell::RefCell;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngCore;

pub use disk::{DirectoryLock, Disk};
pub use task::{Task, TaskSet};
pub use time::{Elapsed, Interval, Moment, Sleep, Timeout};
pub use worker::{Next, Worker};

use simulated::Simulation;

/// Worker threads of a real runtime's blocking pool.
const BLOCKING_THREADS: usize = 64;

/// Stack of each thread that plans or runs statements: these nest deep, and
/// their limits, not the stack, are to end them. Only what is used is ever
/// backed by memory.
pub const STACK_BYTES: usize = 64 << 20;

/// What a process gets from outside. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Source);

#[derive(Clone)]
enum Source {
    Real,
    Simulated(Arc<Simulation>),
}

thread_local! {
    /// The simulation that runs on this thread, for callers that cannot be handed a `Runtime`.
    static CURRENT: RefCell<Option<Arc<Simulation>>> = const { RefCell::new(None) };
}

impl Runtime {
    /// Clock, randomness, threads and disk of this machine.
    pub fn real() -> Runtime {
        Runtime(Source::Real)
    }

    /// A world of its own that runs the same way for the same seed. Futures
    /// that use it run under its own [`Runtime::block_on`].
    pub fn simulated(seed: u64) -> Runtime {
        Runtime(Source::Simulated(Arc::new(Simulation::new(seed))))
    }

    /// The runtime of this thread: the simulation that runs on it, else the real one.
    pub fn current() -> Runtime {
        CURRENT.with_borrow(|current| match current {
            Some(simulation) => Runtime(Source::Simulated(simulation.clone())),
            None => Runtime::real(),
        })
    }

    pub fn is_simulated(&self) -> bool {
        matches!(self.0, Source::Simulated(_))
    }

    /// Runs a future and all it spawns; for a real runtime on all cores.
    pub fn block_on<F: Future>(&self, future: F) -> std::io::Result<F::Output> {
        match &self.0 {
            Source::Real => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .enable_all()
                    .max_blocking_threads(BLOCKING_THREADS)
                    .thread_name("pyql")
                    .thread_stack_size(STACK_BYTES)
                    .build()?;
                Ok(runtime.block_on(future))
            }
            Source::Simulated(simulation) => simulated::block_on(simulation, future),
        }
    }

    /// The monotonic clock.
    pub fn now(&self) -> Moment {
        match &self.0 {
            Source::Real => time::real_now(),
            Source::Simulated(simulation) => simulation.now(),
        }
    }

    /// The wall clock: microseconds since 1970-01-01 UTC.
    pub fn unix_micros(&self) -> i64 {
        match &self.0 {
            Source::Real => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
                Err(_) => 0,
            },
            Source::Simulated(simulation) => simulation.unix_micros(),
        }
    }

    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    pub fn sleep_until(&self, deadline: Moment) -> Sleep {
        match &self.0 {
            Source::Real => Sleep::real(deadline),
            Source::Simulated(simulation) => Sleep::simulated(simulation.clone(), deadline),
        }
    }

    /// Ends with [`Elapsed`] when the future takes longer.
    pub fn timeout<F: Future>(&self, duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(self.sleep(duration), future)
    }

    pub fn timeout_at<F: Future>(&self, deadline: Moment, future: F) -> Timeout<F> {
        Timeout::new(self.sleep_until(deadline), future)
    }

    /// Ticks every `period`, first after one; ticks missed are not made up for.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(self.clone(), period)
    }

    pub fn random_u64(&self) -> u64 {
        match &self.0 {
            Source::Real => rand::rng().next_u64(),
            Source::Simulated(simulation) => simulation.random(|rng| rng.next_u64()),
        }
    }

    /// Fills with randomness fit for keys and salts (in a simulation, from the seed).
    pub fn random_bytes(&self, bytes: &mut [u8]) {
        match &self.0 {
            Source::Real => rand::rng().fill_bytes(bytes),
            Source::Simulated(simulation) => simulation.random(|rng| rng.fill_bytes(bytes)),
        }
    }

    /// A random (version 4) uuid.
    pub fn random_uuid(&self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        self.random_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Spawns a task that is aborted when its handle is dropped.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task::spawn(name, future)
    }

    /// Runs a short blocking call off the async threads.
    pub async fn blocking<T, F>(&self, call: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match &self.0 {
            Source::Simulated(_) => call(),
            Source::Real => match tokio::task::spawn_blocking(call).await {
                Ok(value) => value,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }

    /// Starts a thread of this name that works off a queue; see [`Worker`].
    pub fn worker<J, F>(&self, name: &str, run: F) -> std::io::Result<Worker<J>>
    where
        J: Send + 'static,
        F: FnMut(Vec<J>) -> Next + Send + 'static,
    {
        match &self.0 {
            Source::Real => Worker::thread(name, run),
            Source::Simulated(_) => Ok(Worker::inline(self, run)),
        }
    }

    pub fn disk(&self) -> Disk {
        Disk::new()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::Real => "Runtime::Real",
            Source::Simulated(_) => "Runtime::Simulated",
        })
    }
}

/// When this process first looked at its clock.
fn process_start() -> std::time::Instant {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    *START.get_or_init(std::time::Instant::now)
}

#[cfg(test)]
mod tests;
