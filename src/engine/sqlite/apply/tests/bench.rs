//! How fast entries apply; run by hand.

use super::*;

/// `cargo test --release … -- --ignored --nocapture` prints the rates.
#[test]
#[ignore = "measures"]
fn transactions_per_second() {
    const ENTRIES: u64 = 2_000;
    const BATCH: u64 = 64;
    let mut replica = Replica::new();
    let mut measure = |what: &str, write: &dyn Fn(u64) -> Write| {
        let started = std::time::Instant::now();
        let mut building = std::time::Duration::ZERO;
        for entry in 0..ENTRIES {
            let before = std::time::Instant::now();
            let numbers = entry * BATCH..(entry + 1) * BATCH;
            let transactions: Vec<_> = numbers.map(|n| transaction(n, vec![write(n)])).collect();
            building += before.elapsed();
            let outcomes = replica.apply(&transactions).unwrap();
            assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
            replica.writer.bound_log().unwrap();
        }
        let seconds = (started.elapsed() - building).as_secs_f64();
        let rate = (ENTRIES * BATCH) as f64 / seconds;
        #[allow(clippy::print_stderr)] // a measurement, run by hand
        {
            eprintln!("{what}: {rate:.0} transactions/s in batches of {BATCH}");
        }
    };
    let rows = ENTRIES * BATCH;
    measure("insert, two indexes", &|n| {
        insert(PARENT, parent(n as i64, &format!("name {n}")))
    });
    measure("insert, foreign key", &|n| {
        insert(CHILD, vec![int(n as i64), int(((n * 7919) % rows) as i64)])
    });
    measure("update by key", &|n| Write::Update {
        table: CHILD,
        key: vec![int(((n * 7919) % rows) as i64)],
        set: vec![Assignment {
            column: 1,
            value: Assigned::Constant(int((n % rows) as i64)),
        }],
    });
    measure("rows, checked", &|n| Write::Rows {
        table: PARENT,
        changes: vec![RowChange {
            key: vec![int(n as i64)],
            before: Some(row_hash(&parent(n as i64, &format!("name {n}")))),
            after: Some(parent(n as i64, &format!("other {n}"))),
        }],
    });
}
