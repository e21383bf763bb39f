//! Threads for queries that take long, at low priority, so that point reads
//! beside them keep their speed. Threads start when there is work for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Threads of one replica that compute at once.
const MAX_THREADS: usize = 8;

/// Threads of one replica in all: each client that fetches slowly holds one,
/// and a connection, which must not run out for the others.
const MAX_HELD_THREADS: usize = 192;

/// Queries that wait for a thread.
const MAX_QUEUE: usize = 256;

/// A thread without work ends after this long.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// Ten steps down: the spike that chose it is in the design's measurements.
const NICENESS: i32 = 10;

type Job = Box<dyn FnOnce(&Place) + Send>;

/// A job's place among those that compute.
pub(super) struct Place {
    shared: Arc<Shared>,
}

impl Place {
    /// Gives the place to another job while this one waits for its client.
    pub(super) fn give_up_while<T>(&self, wait: impl FnOnce() -> T) -> T {
        let mut state = self.shared.state.lock();
        state.threads -= 1;
        state.held += 1;
        // If no thread starts now, one does with the next job.
        let _ = start(&self.shared, &mut state);
        drop(state);
        let waited = wait();
        let mut state = self.shared.state.lock();
        state.held -= 1;
        state.threads += 1;
        waited
    }
}

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
    /// Those that compute or are idle.
    threads: usize,
    /// Those that wait for their clients.
    held: usize,
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
        if start(&self.shared, &mut state).is_err() && state.threads == 0 {
            return match state.queue.pop_back() {
                Some(job) => Err(job),
                None => Ok(()),
            };
        }
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }
}

/// Starts a thread if there is work for one more and room.
fn start(shared: &Arc<Shared>, state: &mut State) -> std::io::Result<()> {
    let room = state.threads < MAX_THREADS && state.threads + state.held < MAX_HELD_THREADS;
    if state.queue.len() <= state.idle || !room {
        return Ok(());
    }
    let place = Place {
        shared: shared.clone(),
    };
    std::thread::Builder::new()
        .name("slow-reads".to_owned())
        .stack_size(crate::runtime::STACK_BYTES)
        .spawn(move || place.work())?;
    state.threads += 1;
    Ok(())
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

impl Place {
    fn work(&self) {
        lower_priority();
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                // The job itself tells who waits for it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(self)));
                state = shared.state.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = shared.wake.wait_for(&mut state, IDLE_TIME);
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
