//! The tests that run the real program: scripts, REST, faults, comparisons.

mod cluster;
mod psycopg;
mod rest;
mod scripts;

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
async fn the_rest_contract() {
    let sandbox = Sandbox::start();
    report(&rest::run(&sandbox.url(), ("admin", "abcd1234")).await);
}

#[test]
fn ends_cleanly_on_a_signal() {
    let mut sandbox = Sandbox::start();
    assert!(sandbox.terminate());
}

#[test]
fn psycopg_works_unmodified() {
    let sandbox = Sandbox::start();
    if let Err(report) = psycopg::run(&sandbox) {
        panic!("{report}");
    }
}
