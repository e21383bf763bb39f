//! Stops what a session runs, from another task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

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

impl Cancel {
    /// Hands out what cancels from another task.
    pub(super) fn canceller(self: &Arc<Self>) -> Canceller {
        Canceller(self.clone())
    }

    /// What was to be cancelled has ended, or there was nothing.
    pub(super) fn forget(&self) {
        let mut token = self.token.lock();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    pub(super) fn token(&self) -> CancellationToken {
        self.token.lock().clone()
    }

    /// The client has nothing running, or has sent something.
    pub(super) fn set_idle(&self, idle: bool) {
        if !idle {
            // A cancel that came while we waited was for nothing.
            self.forget();
        }
        self.idle.store(idle, Ordering::Release);
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
