//! A thread that works off a queue in batches: everything that has gathered
//! since the last call comes in one call. In a simulation, an inline task.

use std::os::unix::thread::JoinHandleExt;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Runtime, Task};

/// At most so many jobs in one call.
const JOBS_PER_CALL: usize = 1024;

/// What a worker wants after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next job.
    Job,
    /// The next job, or a call without jobs after this long.
    JobOrAfter(Duration),
}

/// A handle to the queue. When it goes, the worker finishes what is queued and ends.
pub struct Worker<J> {
    queue: Mutex<Queue<J>>,
}

enum Queue<J> {
    Thread(mpsc::Sender<J>, JoinHandle<()>),
    Inline(tokio::sync::mpsc::UnboundedSender<J>, Task<()>),
    Closed,
}

impl<J: Send + 'static> Worker<J> {
    pub(super) fn thread<F>(name: &str, run: F) -> std::io::Result<Worker<J>>
    where
        F: FnMut(Vec<J>) -> Next + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(super::STACK_BYTES)
            .spawn(move || work(&receiver, run))?;
        Ok(Worker {
            queue: Mutex::new(Queue::Thread(sender, thread)),
        })
    }

    pub(super) fn inline<F>(runtime: &Runtime, mut run: F) -> Worker<J>
    where
        F: FnMut(Vec<J>) -> Next + Send + 'static,
    {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let clock = runtime.clone();
        let task = runtime.spawn("worker", async move {
            let mut next = Next::Job;
            loop {
                let mut jobs = Vec::new();
                let receive = receiver.recv_many(&mut jobs, JOBS_PER_CALL);
                let received = match next {
                    Next::Job => Ok(receive.await),
                    Next::JobOrAfter(wait) => clock.timeout(wait, receive).await,
                };
                if received == Ok(0) {
                    return;
                }
                next = run(jobs);
            }
        });
        Worker {
            queue: Mutex::new(Queue::Inline(sender, task)),
        }
    }

    /// Queues a job; gives it back when the worker has ended.
    pub fn send(&self, job: J) -> Result<(), J> {
        match &*self.queue.lock() {
            Queue::Thread(sender, _) => sender.send(job).map_err(|error| error.0),
            Queue::Inline(sender, _) => sender.send(job).map_err(|error| error.0),
            Queue::Closed => Err(job),
        }
    }

    /// The processor's time that its thread has used; `None` when it has no
    /// thread. It stands still while the thread waits, for a disk above all.
    pub fn busy_time(&self) -> Option<Duration> {
        match &*self.queue.lock() {
            Queue::Thread(_, thread) => processor_time(thread),
            Queue::Inline(..) | Queue::Closed => None,
        }
    }

    /// Takes no more jobs, and waits until those queued are done.
    pub async fn close(&self, runtime: &Runtime) {
        let queue = std::mem::replace(&mut *self.queue.lock(), Queue::Closed);
        match queue {
            Queue::Thread(sender, thread) => {
                drop(sender);
                let joined = runtime.blocking(move || thread.join()).await;
                if joined.is_err() {
                    tracing::error!("a worker thread panicked");
                }
            }
            Queue::Inline(sender, task) => {
                drop(sender);
                let _ = task.await;
            }
            Queue::Closed => {}
        }
    }
}

fn processor_time(thread: &JoinHandle<()>) -> Option<Duration> {
    // One that has ended may have no clock any more.
    if thread.is_finished() {
        return None;
    }
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the thread has not been joined, so that its id is valid, and `clock` is ours.
    if unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours; a clock that has gone is an error.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

fn work<J>(receiver: &mpsc::Receiver<J>, mut run: impl FnMut(Vec<J>) -> Next) {
    let mut next = Next::Job;
    loop {
        let first = match next {
            Next::Job => receiver
                .recv()
                .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Next::JobOrAfter(wait) => receiver.recv_timeout(wait),
        };
        let mut jobs = Vec::new();
        match first {
            Ok(job) => jobs.push(job),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
        }
        jobs.extend(receiver.try_iter().take(JOBS_PER_CALL - jobs.len()));
        next = run(jobs);
    }
}
