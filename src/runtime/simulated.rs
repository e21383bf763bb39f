//! A seeded world: virtual time that jumps to the next timer when nothing else can run.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::CURRENT;
use super::time::Moment;

/// The wall clock at the start of every simulation: 2026-01-01 UTC.
const UNIX_MICROS_AT_START: i64 = 1_767_225_600_000_000;

/// A timer: when, and a number that keeps those of one moment in order of birth.
pub(super) type TimerKey = (Moment, u64);

pub(super) struct Simulation {
    world: Mutex<World>,
}

struct World {
    elapsed: Duration,
    timers: BTreeMap<TimerKey, Waker>,
    next_timer: u64,
    rng: StdRng,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Simulation {
        Simulation {
            world: Mutex::new(World {
                elapsed: Duration::ZERO,
                timers: BTreeMap::new(),
                next_timer: 0,
                rng: StdRng::seed_from_u64(seed),
            }),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::since_start(self.world.lock().elapsed)
    }

    pub(super) fn unix_micros(&self) -> i64 {
        let elapsed = self.world.lock().elapsed.as_micros();
        UNIX_MICROS_AT_START.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    pub(super) fn random<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.world.lock().rng)
    }

    pub(super) fn poll_timer(
        &self,
        deadline: Moment,
        key: &mut Option<TimerKey>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut world = self.world.lock();
        if Moment::since_start(world.elapsed) >= deadline {
            if let Some(key) = key.take() {
                world.timers.remove(&key);
            }
            return Poll::Ready(());
        }
        let key = *key.get_or_insert_with(|| {
            world.next_timer += 1;
            (deadline, world.next_timer)
        });
        world.timers.insert(key, context.waker().clone());
        Poll::Pending
    }

    pub(super) fn forget_timer(&self, key: TimerKey) {
        self.world.lock().timers.remove(&key);
    }

    /// Called when no task can run: jumps to the next timer and wakes all that are due.
    fn advance(&self) {
        let due: Vec<Waker> = {
            let mut world = self.world.lock();
            let Some((&(moment, _), _)) = world.timers.first_key_value() else {
                return;
            };
            world.elapsed = world.elapsed.max(moment.elapsed_since_start());
            let later = world.timers.split_off(&(moment, u64::MAX));
            let due = std::mem::replace(&mut world.timers, later);
            due.into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
    }
}

/// Runs a future and all it spawns on this thread, in virtual time.
pub(super) fn block_on<F: Future>(
    simulation: &Arc<Simulation>,
    future: F,
) -> std::io::Result<F::Output> {
    let idle = simulation.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || idle.advance())
        .build()?;
    let _entered = Entered::enter(simulation);
    // Dropped before the guard, so that destructors of tasks see the simulation too.
    let runtime = runtime;
    Ok(runtime.block_on(future))
}

/// Marks the simulation as the runtime of this thread.
struct Entered(Option<Arc<Simulation>>);

impl Entered {
    fn enter(simulation: &Arc<Simulation>) -> Entered {
        Entered(CURRENT.replace(Some(simulation.clone())))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
