//! The same seed tells the same story; tasks and workers end as they say.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;

/// Runs a few tasks that sleep, draw and queue at random, and tells what happened when.
fn story(seed: u64) -> Vec<String> {
    let runtime = Runtime::simulated(seed);
    let events = Arc::new(Mutex::new(Vec::new()));
    let tell = |runtime: &Runtime, events: &Mutex<Vec<String>>, what: String| {
        let at = runtime.now().elapsed_since_start().as_micros();
        events.lock().push(format!("{at} {what}"));
    };
    let world = (runtime.clone(), events.clone());
    runtime
        .block_on(async move {
            let (runtime, events) = world;
            let seen = events.clone();
            let clock = runtime.clone();
            let worker = runtime
                .worker("w", move |jobs: Vec<u64>| {
                    tell(&clock, &seen, format!("worker {jobs:?}"));
                    Next::Job
                })
                .expect("workers start");
            let worker = Arc::new(worker);
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let (runtime, events, worker) =
                        (runtime.clone(), events.clone(), worker.clone());
                    runtime.clone().spawn("teller", async move {
                        for _ in 0..10 {
                            let wait = Duration::from_micros(runtime.random_u64() % 50);
                            runtime.sleep(wait).await;
                            tell(&runtime, &events, format!("task {task}"));
                            let _ = worker.send(runtime.random_u64());
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("tellers end");
            }
            worker.close(&runtime).await;
        })
        .expect("simulations start");
    let events = events.lock().clone();
    assert!(events.len() > 40);
    events
}

#[test]
fn a_simulation_runs_the_same_for_the_same_seed() {
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn virtual_time_jumps_and_timers_end_in_order() {
    let runtime = Runtime::simulated(1);
    let inner = runtime.clone();
    let begun = std::time::Instant::now();
    runtime
        .block_on(async move {
            let start = inner.now();
            let late = inner.timeout(Duration::from_secs(5), std::future::pending::<()>());
            assert_eq!(late.await, Err(Elapsed));
            assert_eq!(inner.now() - start, Duration::from_secs(5));
            let mut interval = inner.interval(Duration::from_secs(60));
            for _ in 0..60 {
                interval.tick().await;
            }
            assert_eq!(inner.now() - start, Duration::from_secs(3605));
            assert_eq!(inner.blocking(|| 3).await, 3);
        })
        .expect("simulations start");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn real_workers_batch_and_drain() {
    let runtime = Runtime::real();
    let inner = runtime.clone();
    runtime
        .block_on(async move {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = seen.clone();
            let worker = inner
                .worker("numbers", move |jobs: Vec<u32>| {
                    sink.lock().extend(jobs);
                    Next::Job
                })
                .expect("threads start");
            for number in 0..5000 {
                worker.send(number).expect("the worker runs");
            }
            worker.close(&inner).await;
            assert_eq!(*seen.lock(), (0..5000).collect::<Vec<_>>());
            assert_eq!(worker.send(1), Err(1));
        })
        .expect("runtimes start");
}

#[test]
fn a_task_set_drains_and_aborts() {
    let runtime = Runtime::simulated(3);
    let inner = runtime.clone();
    runtime
        .block_on(async move {
            let set = TaskSet::new(&inner);
            let token = set.token().clone();
            let done = Arc::new(Mutex::new(false));
            let flag = done.clone();
            set.spawn("polite", async move {
                token.cancelled().await;
                *flag.lock() = true;
            });
            set.spawn("deaf", std::future::pending());
            set.shutdown(Duration::from_secs(1)).await;
            assert!(*done.lock());
        })
        .expect("simulations start");
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().expect("temporary directories can be made");
    let disk = Runtime::real().disk();
    let lock = disk.lock(directory.path()).expect("nobody holds it");
    let second = disk.lock(directory.path()).expect_err("it is held");
    assert_eq!(second.kind(), std::io::ErrorKind::WouldBlock);
    drop(lock);
    disk.lock(directory.path()).expect("it was let go");
    let file = directory.path().join("x");
    disk.write(&file, b"one").expect("the disk works");
    disk.write(&file, b"two").expect("the disk works");
    assert_eq!(disk.read(&file).expect("it is there"), b"two");
}

#[test]
fn a_worker_tells_whether_it_computes() {
    let runtime = Runtime::real();
    let spins = |until: Duration| {
        let began = std::time::Instant::now();
        while began.elapsed() < until {
            std::hint::spin_loop();
        }
    };
    let worker = runtime.worker("w", move |jobs: Vec<bool>| {
        match jobs.as_slice() {
            [true] => spins(Duration::from_millis(300)),
            _ => std::thread::sleep(Duration::from_millis(300)),
        }
        Next::Job
    });
    let worker = worker.expect("workers start");
    let used = |computes: bool| {
        let before = worker.busy_time().expect("it has a thread");
        worker.send(computes).expect("it lives");
        std::thread::sleep(Duration::from_millis(250));
        let used = worker.busy_time().expect("it has a thread") - before;
        std::thread::sleep(Duration::from_millis(150));
        used
    };
    assert!(used(true) > Duration::from_millis(5));
    assert!(used(false) < Duration::from_millis(5));
}
