//! The tests that run the real program: scripts, REST, faults, comparisons.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test tells its seed, and its tasks end with its runtime"
)]

mod bulk;
mod cluster;
mod compact;
mod copy;
mod crash;
mod drivers;
mod dump;
mod full;
mod heal;
mod isolation;
mod operate;
mod property;
mod protocol;
mod replicas;
mod rest;
mod scripts;
mod steps;
mod verify;

use cluster::Sandbox;
use scripts::Protocol;

fn report(wrong: &[String]) {
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_by_the_simple_protocol() {
    let sandbox = Sandbox::start();
    report(&scripts::run(&sandbox, Protocol::Simple).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_by_the_extended_protocol() {
    let sandbox = Sandbox::start();
    report(&scripts::run(&sandbox, Protocol::Extended).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_copied_in_and_out() {
    let sandbox = Sandbox::start();
    report(&copy::run(&sandbox).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interleaved_sessions_as_on_postgresql() {
    let sandbox = Sandbox::start();
    report(&isolation::run(&sandbox).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_contract() {
    let sandbox = Sandbox::start();
    report(&rest::run(&sandbox.url(), ("admin", "abcd1234")).await);
}

#[test]
fn ends_cleanly_on_a_signal() {
    let mut sandbox = Sandbox::start();
    assert!(sandbox.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_messages_do_no_harm() {
    let sandbox = Sandbox::start();
    report(&protocol::run(&sandbox, seed()).await);
}

/// One test, so that the environment is made once.
#[test]
fn python_drivers_work_unmodified() {
    let sandbox = Sandbox::start();
    let scripts = [
        "test_psycopg.py",
        "test_asyncpg.py",
        "test_sqlalchemy.py",
        "test_django.py",
        "test_alembic.py",
    ];
    let failed = scripts.map(|script| drivers::run(&sandbox, script).err());
    let failed: Vec<String> = failed.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_system_has_a_database() {
    report(&dump::administration(&Sandbox::start()));
}

#[test]
fn dumps_load_as_they_were() {
    let sandbox = Sandbox::start();
    let directory = tempfile::tempdir().expect("a directory can be made");
    report(&dump::round_trips(&sandbox, directory.path()));
}

/// Of the tests that draw by chance; one run may choose another.
fn seed() -> u64 {
    let chosen = std::env::var("PYQL_TEST_SEED").ok();
    chosen.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&crash::kills_lose_nothing(data.path(), seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_loses_nothing() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&crash::a_signal_loses_nothing(data.path(), seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_repaired() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&heal::damage_is_repaired(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_damage_is_repaired() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&verify::silent_damage_is_repaired(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_tie_keeps_what_differs() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&verify::a_lost_tie_keeps_what_differs(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_kept_short() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&compact::the_log_is_kept_short(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writes_alone() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    full::a_full_disk_stops_writes_alone(directory.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_replica_stays() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&heal::the_last_one_stays(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_what_is_there() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&property::models_are_what_is_there(data.path(), seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_what_the_model_says() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&steps::steps_are_what_the_model_says(data.path(), seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_leave_whole_migrations() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&steps::kills_leave_whole_migrations(data.path(), seed()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transactions_stay_small() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&bulk::large_transactions(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_log_is_told() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&operate::a_lost_log_is_told(data.path()).await);
}

#[test]
fn a_start_that_fails_says_why() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&operate::a_start_that_fails_says_why(data.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_clusters_leave_nothing() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&operate::dropped_clusters_leave_nothing(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_schema_stops_nobody() {
    let data = tempfile::tempdir().expect("a directory can be made");
    report(&operate::a_busy_schema_stops_nobody(data.path()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_sort_stays_small() {
    report(&operate::a_large_sort_stays_small().await);
}
