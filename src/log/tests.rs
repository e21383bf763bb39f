//! Whole logs: one node on the real runtime, groups of three in simulations.

mod group;
mod single;

use std::path::Path;

use super::*;
use crate::types::write::{Transaction, Write};

const CLUSTER: crate::types::id::ClusterId =
    crate::types::id::ClusterId(uuid::Uuid::from_u128(100));

/// Makes the owner and the data cluster that batches write to.
async fn make_cluster(log: &Log) -> Result<()> {
    let owner = crate::types::id::UserId(uuid::Uuid::from_u128(1));
    let user = Command::CreateUser {
        id: owner,
        service: crate::types::id::UserId(uuid::Uuid::from_u128(2)),
        name: "owner".to_owned(),
        email: None,
        kind: crate::catalog::UserKind::User,
        verifier: None,
    };
    log.propose(user).await?.answer.check()?;
    let place = crate::catalog::Place::Embedded(NodeId(1));
    let cluster = Command::CreateCluster {
        id: CLUSTER,
        name: "company".to_owned(),
        owner,
        created: "2026-01-01".to_owned(),
        created_by: "one".to_owned(),
        replicas: vec![(uuid::Uuid::from_u128(3), place)],
    };
    log.propose(cluster).await?.answer.check()
}

/// A batch of one transaction of this number.
fn batch(number: u64) -> command::Batch {
    command::Batch {
        cluster: CLUSTER,
        schema: crate::types::id::SchemaVersion(0),
        transactions: vec![Transaction {
            id: TransactionId {
                node: NodeId(1),
                boot: Boot(1),
                number,
            },
            writes: vec![Write::EndOfStatement],
        }],
        counters: Vec::new(),
        settled: None,
        pieces: None,
    }
}

fn write(number: u64) -> Command {
    Command::Batch(Arc::new(batch(number)))
}

/// The numbers of the transactions that take effect, in log order.
async fn numbers(log: &Log) -> Vec<u64> {
    let mut found = Vec::new();
    let mut from = log.first_index();
    loop {
        let entries = log.entries(from, 1000).await.expect("they can be read");
        let Some(last) = entries.last() else {
            return found;
        };
        let expected: Vec<_> = (from.0..=last.index.0).map(Index).collect();
        let indexes: Vec<_> = entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indexes, expected, "no gaps");
        from = Index(last.index.0 + 1);
        for entry in entries {
            if let Some(Command::Batch(batch)) = entry.command.as_deref() {
                let ids = batch.transactions.iter().map(|it| it.id);
                let ids = ids.filter(|id| !entry.skip.contains(id));
                found.extend(ids.map(|id| id.number));
            }
        }
    }
}
