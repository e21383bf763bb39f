//! Cancel keys: how a second connection stops what the first one runs.
//!
//! Not handled: a request that lands on another node (there is one so far).

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use rand::RngCore;

use super::message::Reader;
use crate::auth::same_secret;
use crate::session::Canceller;

/// Length of the secret of protocol 3.0.
const SHORT_SECRET: usize = 4;

/// Length of the secret since protocol 3.2.
const LONG_SECRET: usize = 32;

/// How often, and when, an idle session is looked at for what a cancel is for.
const LOOKS: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(1);

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
    ///
    /// What it is for may have come before it and not be read yet: it is waited
    /// for a little. Who asked waits for our end, so that what it sends later
    /// is not hit.
    pub(super) async fn request(&self, body: &[u8]) {
        let Some(canceller) = self.named(body) else {
            return;
        };
        for _ in 0..LOOKS {
            if !canceller.is_idle() {
                return canceller.cancel();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn named(&self, body: &[u8]) -> Option<Canceller> {
        let mut reader = Reader::new(body);
        let process = reader.i32().ok()?;
        let entry = self.sessions.get(&process)?;
        same_secret(&entry.secret, reader.rest()).then(|| entry.canceller.clone())
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
