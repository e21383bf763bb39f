//! Leases, and rows that wait for the stable index.

use super::*;

const TABLE: TableId = TableId(16384);

fn gate() -> (Gate, Incarnation) {
    let gate = Gate::new(Runtime::real(), Index(0));
    gate.begin_incarnation(Index(10));
    let incarnation = gate.incarnation();
    (gate, incarnation)
}

#[tokio::test]
async fn strong_reads_need_a_lease_that_holds() {
    let (gate, incarnation) = gate();
    let may = async |incarnation| gate.enter(Level::Strong, incarnation).await.is_ok();
    assert!(!may(incarnation).await, "never granted");
    let grant = |asked, millis, opening| Grant {
        asked,
        for_time: Duration::from_millis(millis),
        opening: Index(opening),
    };
    let asked = gate.now();
    gate.take_grant(&grant(asked, 5000, 11), Index(10));
    assert!(
        !may(incarnation).await,
        "its leader's opening is not applied"
    );
    gate.take_grant(&grant(Stamp(u64::MAX), 5000, 9), Index(10));
    assert!(!may(incarnation).await, "a stamp it never gave");
    gate.take_grant(&grant(asked, 60, 9), Index(10));
    assert!(may(incarnation).await);
    assert!(!may(Incarnation(0)).await, "another incarnation");
    tokio::time::sleep(Duration::from_millis(80)).await;
    assert!(!may(incarnation).await, "run out");
    gate.take_grant(&grant(gate.now(), 5000, 9), Index(10));
    assert!(may(incarnation).await);
    gate.begin_incarnation(Index(10));
    assert!(!may(gate.incarnation()).await, "granted to the life before");
    assert!(gate.enter(Level::Any, gate.incarnation()).await.is_ok());
}

#[tokio::test]
async fn rows_that_others_lack_wait_for_the_stable_index() {
    let (gate, incarnation) = gate();
    let tables = [(TABLE, Index(12))].into();
    gate.stable_at(Index(10));
    gate.announce(&Change {
        tables: &tables,
        schema: None,
    });
    let other = TableId(99);
    let waits = async |index, table| {
        let wait = gate.wait_until_stable(Index(index), std::slice::from_ref(table));
        tokio::time::timeout(Duration::from_millis(30), wait)
            .await
            .is_err()
    };
    assert!(
        !waits(10, &TABLE).await,
        "the snapshot is older than the change"
    );
    assert!(waits(12, &TABLE).await);
    assert!(!waits(12, &other).await, "not changed");
    let waiting = gate.wait_until_stable(Index(12), &[TABLE]);
    let beat = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        gate.stable_at(Index(12));
    };
    let (waited, ()) = tokio::join!(waiting, beat);
    assert!(waited.is_ok());
    gate.announce(&Change {
        tables: &Default::default(),
        schema: Some(Index(13)),
    });
    assert!(
        waits(13, &other).await,
        "a schema change touches every table"
    );
    let stale = gate.enter(Level::Session(Index(11)), incarnation).await;
    assert!(matches!(stale, Err(ReadFailure::NotNow(_))));
}
