//! Cancel keys: how a second connection stops what the first one runs.
//!
//! Not handled: a request that lands on another node (there is one so far).

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use dashmap::DashMap;
use rand::RngCore;

use super::message::Reader;
use crate::auth::same_secret;
use crate::session::Canceller;

/// Length of the secret of protocol 3.0.
const SHORT_SECRET: usize = 4;

/// Length of the secret since protocol 3.2.
const LONG_SECRET: usize = 32;

/// The sessions that a cancel request may name.
#[derive(Default)]
pub(super) struct Cancels {
    sessions: DashMap<i32, Entry>,
    last: AtomicI32,
}

struct Entry {
    secret: Vec<u8>,
    canceller: Canceller,
}

/// A session's place among them; leaves with it.
pub(super) struct Registration {
    cancels: Arc<Cancels>,
    pub(super) process: i32,
    pub(super) secret: Vec<u8>,
}

impl Cancels {
    pub(super) fn register(self: &Arc<Self>, canceller: Canceller, long: bool) -> Registration {
        let length = if long { LONG_SECRET } else { SHORT_SECRET };
        let mut secret = vec![0; length];
        rand::rng().fill_bytes(&mut secret);
        let mut entry = Entry {
            secret: secret.clone(),
            canceller,
        };
        loop {
            let process = self.last.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            match self.sessions.entry(process) {
                dashmap::Entry::Vacant(place) if process != 0 => {
                    place.insert(entry);
                    return Registration {
                        cancels: self.clone(),
                        process,
                        secret,
                    };
                }
                // Taken: the count has come round.
                _ => entry = Entry { ..entry },
            }
        }
    }

    /// Cancels what the session that the request names runs; a wrong secret
    /// does nothing and is not told.
    pub(super) fn request(&self, body: &[u8]) {
        let mut reader = Reader::new(body);
        let Ok(process) = reader.i32() else {
            return;
        };
        let Some(entry) = self.sessions.get(&process) else {
            return;
        };
        if same_secret(&entry.secret, reader.rest()) {
            entry.canceller.cancel();
        }
    }

    /// Cancels whatever runs.
    pub(super) fn all(&self) {
        for entry in &self.sessions {
            entry.canceller.cancel();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.cancels.sessions.remove(&self.process);
    }
}
