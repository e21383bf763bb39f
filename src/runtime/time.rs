//! Moments and timers, real and simulated behind the same types.

use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::simulated::{Simulation, TimerKey};
use super::{Runtime, process_start};

/// Moments count from this long before the start, so that subtracting a
/// time-out from an early one does not run into zero.
const BEFORE_START: Duration = Duration::from_secs(86_400);

/// A moment of the monotonic clock of this process; meaningless elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The clock of this thread's runtime; see [`Runtime::current`].
    pub fn current() -> Moment {
        Runtime::current().now()
    }

    pub(super) fn since_start(elapsed: Duration) -> Moment {
        Moment(BEFORE_START + elapsed)
    }

    /// How long after the start of the clock.
    pub fn elapsed_since_start(self) -> Duration {
        self.0.saturating_sub(BEFORE_START)
    }

    /// Zero when `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.elapsed_since_start())
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(duration))
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;
    fn sub(self, earlier: Moment) -> Duration {
        self.since(earlier)
    }
}

pub(super) fn real_now() -> Moment {
    Moment::since_start(process_start().elapsed())
}

/// Ends at its deadline.
pub struct Sleep(Timer);

enum Timer {
    Real(Pin<Box<tokio::time::Sleep>>),
    Simulated {
        simulation: Arc<Simulation>,
        deadline: Moment,
        key: Option<TimerKey>,
    },
}

impl Sleep {
    pub(super) fn real(deadline: Moment) -> Sleep {
        let left = deadline.since(real_now());
        Sleep(Timer::Real(Box::pin(tokio::time::sleep(left))))
    }

    pub(super) fn simulated(simulation: Arc<Simulation>, deadline: Moment) -> Sleep {
        Sleep(Timer::Simulated {
            simulation,
            deadline,
            key: None,
        })
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Timer::Real(sleep) => sleep.as_mut().poll(context),
            Timer::Simulated {
                simulation,
                deadline,
                key,
            } => simulation.poll_timer(*deadline, key, context),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Timer::Simulated {
            simulation,
            key: Some(key),
            ..
        } = &self.0
        {
            simulation.forget_timer(*key);
        }
    }
}

/// A time limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit has passed")
    }
}

impl std::error::Error for Elapsed {}

/// A future under a time limit. The future is polled first.
pub struct Timeout<F> {
    sleep: Sleep,
    future: Pin<Box<F>>,
}

impl<F: Future> Timeout<F> {
    pub(super) fn new(sleep: Sleep, future: F) -> Timeout<F> {
        Timeout {
            sleep,
            future: Box::pin(future),
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep)
            .poll(context)
            .map(|()| Err(Elapsed))
    }
}

/// A steady beat.
pub struct Interval {
    runtime: Runtime,
    period: Duration,
    next: Moment,
}

impl Interval {
    pub(super) fn new(runtime: Runtime, period: Duration) -> Interval {
        let next = runtime.now() + period;
        Interval {
            runtime,
            period,
            next,
        }
    }

    /// Waits for the next beat. Safe to cancel.
    pub async fn tick(&mut self) {
        self.runtime.sleep_until(self.next).await;
        let now = self.runtime.now();
        self.next += self.period;
        if self.next < now {
            self.next = now + self.period;
        }
    }
}
