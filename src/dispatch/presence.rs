//! Who is connected to this node, for `pg_stat_activity`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::system::SessionView;

/// The sessions of this node by process number.
#[derive(Default)]
pub struct Presences(DashMap<i32, Arc<Presence>>);

/// One of them, as its session keeps it up.
pub struct Presence {
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub application: Mutex<String>,
    /// It runs a statement.
    pub active: AtomicBool,
    pub in_transaction: AtomicBool,
}

/// Takes a session off the list when it goes.
pub struct Present {
    list: Arc<Presences>,
    process: i32,
    pub presence: Arc<Presence>,
}

impl Presences {
    pub fn enter(self: &Arc<Self>, process: i32, presence: Presence) -> Present {
        let presence = Arc::new(presence);
        self.0.insert(process, presence.clone());
        Present {
            list: self.clone(),
            process,
            presence,
        }
    }

    pub fn views(&self) -> Vec<SessionView> {
        let view = |process: i32, presence: &Presence| SessionView {
            id: u64::try_from(process).unwrap_or_default(),
            user: presence.user.to_string(),
            database: presence.database.to_string(),
            application: presence.application.lock().clone(),
            state: match () {
                () if presence.active.load(Ordering::Relaxed) => "active",
                () if presence.in_transaction.load(Ordering::Relaxed) => "idle in transaction",
                () => "idle",
            },
        };
        let mut views: Vec<SessionView> = self
            .0
            .iter()
            .map(|entry| view(*entry.key(), entry.value()))
            .collect();
        views.sort_by_key(|view| view.id);
        views
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        // The number may be another session's by now.
        let own = |_: &i32, other: &Arc<Presence>| Arc::ptr_eq(other, &self.presence);
        self.list.0.remove_if(&self.process, own);
    }
}
