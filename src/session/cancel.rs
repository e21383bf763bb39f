//! Stops what a session runs, from another task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::dispatch::refused::cancelled;
use crate::error::Result;

/// Cancels what a session runs at the moment of the call, or is about to run:
/// a statement that is still being planned too.
#[derive(Clone)]
pub struct Canceller(Arc<Cancel>);

/// What is to be cancelled, if there is anything.
#[derive(Default)]
pub(super) struct Cancel {
    token: Mutex<CancellationToken>,
    /// The client has sent nothing that is not done.
    idle: AtomicBool,
}

impl Canceller {
    pub fn cancel(&self) {
        self.0.token.lock().cancel();
    }

    /// Whether there is nothing to cancel.
    pub fn is_idle(&self) -> bool {
        self.0.idle.load(Ordering::Acquire)
    }
}

impl Session {
    /// Cancels the running statement from another task.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    /// What was to be cancelled has ended, or there was nothing.
    pub fn forget_cancel(&mut self) {
        let mut token = self.cancel.token.lock();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    pub(super) fn token(&self) -> CancellationToken {
        self.cancel.token.lock().clone()
    }

    /// The front end waits for the client, or has heard from it.
    pub fn set_idle(&mut self, idle: bool) {
        if !idle {
            // A cancel that came while we waited was for nothing.
            self.forget_cancel();
        }
        self.cancel.idle.store(idle, Ordering::Release);
    }
}

/// 57014 if the token was cancelled.
pub(super) fn check_cancel(token: &CancellationToken) -> Result<()> {
    if token.is_cancelled() {
        Err(cancelled())
    } else {
        Ok(())
    }
}
