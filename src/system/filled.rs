//! Connections whose relations are filled already, for the next query.
//!
//! Most relations tell of a schema and its owner alone, so what one query
//! filled serves the next, until the schema or the users change. What moves by
//! itself (sessions, settings, replicas, positions of sequences) is made anew
//! for each query.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::View;
use super::relation::Relation;
use crate::catalog::User;
use crate::catalog::schema::{Namespace, Schema};
use crate::types::id::{TableId, UserId};

/// How many filled connections are kept: each holds some megabytes for a
/// schema of hundreds of tables.
const MAX_KEPT: usize = 4;

/// Relations of pg_catalog that change without the schema or the users.
const MOVING: [&str; 5] = [
    "pg_database",
    "pg_sequences",
    "pg_settings",
    "pg_stat_activity",
    "pg_locks",
];

#[derive(Default)]
pub(super) struct Filled {
    /// The last used is last.
    kept: Mutex<Vec<Kept>>,
}

/// A connection and what it is filled for.
pub(super) struct Kept {
    pub(super) connection: Connection,
    pub(super) relations: BTreeSet<TableId>,
    key: Key,
}

/// Equal only for the same schema and users: the pointers keep them alive.
struct Key {
    schema: Arc<Schema>,
    users: Arc<BTreeMap<UserId, Arc<User>>>,
    cluster: (String, UserId),
    user: UserId,
}

impl Key {
    fn of(view: &View) -> Key {
        Key {
            schema: view.schema.clone(),
            users: view.catalog.users.clone(),
            cluster: (view.cluster.name.clone(), view.cluster.owner),
            user: view.user.id,
        }
    }

    fn same(&self, other: &Key) -> bool {
        Arc::ptr_eq(&self.schema, &other.schema)
            && Arc::ptr_eq(&self.users, &other.users)
            && self.cluster == other.cluster
            && self.user == other.user
    }
}

impl Filled {
    /// A connection filled for the view, taken out of what is kept; or none.
    pub(super) fn take(&self, view: &View) -> Option<Kept> {
        let key = Key::of(view);
        let mut kept = self.kept.lock();
        let place = kept.iter().rposition(|kept| kept.key.same(&key))?;
        Some(kept.remove(place))
    }

    pub(super) fn put(&self, used: Kept) {
        let mut kept = self.kept.lock();
        kept.push(used);
        if kept.len() > MAX_KEPT {
            kept.remove(0);
        }
    }
}

impl Kept {
    pub(super) fn new(connection: Connection, view: &View) -> Kept {
        Kept {
            connection,
            relations: BTreeSet::new(),
            key: Key::of(view),
        }
    }
}

/// Whether a relation's rows stay the same for the same [`Key`].
pub(super) fn stays(relation: &Relation) -> bool {
    match relation.table.namespace {
        Namespace::Pyql | Namespace::Public => false,
        _ => !MOVING.contains(&relation.table.name.as_str()),
    }
}
