//! Threads for queries that take long, at low priority, so that point reads
//! beside them keep their speed. Threads start when there is work for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Threads of one replica. A client that fetches slowly holds one.
const MAX_THREADS: usize = 8;

/// Queries that wait for a thread.
const MAX_QUEUE: usize = 256;

/// A thread without work ends after this long.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// Ten steps down: the spike that chose it is in the design's measurements.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce() + Send>;

/// Ends its idle threads when dropped; those at work end after their job.
pub(super) struct SlowThreads {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl SlowThreads {
    pub(super) fn new() -> SlowThreads {
        SlowThreads {
            shared: Arc::new(Shared {
                state: Mutex::new(State::default()),
                wake: Condvar::new(),
            }),
        }
    }

    /// Queues a job; gives it back when the queue is full or no thread starts.
    pub(super) fn run(&self, job: Job) -> Result<(), Job> {
        let mut state = self.shared.state.lock();
        if state.queue.len() >= MAX_QUEUE {
            return Err(job);
        }
        state.queue.push_back(job);
        if state.queue.len() > state.idle && state.threads < MAX_THREADS {
            let shared = self.shared.clone();
            let started = std::thread::Builder::new()
                .name("slow-reads".to_owned())
                .stack_size(crate::runtime::STACK_BYTES)
                .spawn(move || shared.work());
            match started {
                Ok(_) => state.threads += 1,
                Err(_) if state.threads == 0 => {
                    return match state.queue.pop_back() {
                        Some(job) => Err(job),
                        None => Ok(()),
                    };
                }
                Err(_) => {}
            }
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for SlowThreads {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        let abandoned = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.wake.notify_all();
        drop(abandoned);
    }
}

impl Shared {
    fn work(&self) {
        lower_priority();
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // The job itself tells who waits for it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.wake.wait_for(&mut state, IDLE_TIME);
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

/// On Linux a priority belongs to a thread; elsewhere it stays as it is.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is passed; failure leaves the priority as it is.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
        libc::setpriority(libc::PRIO_PROCESS, thread, NICENESS);
    }
}
