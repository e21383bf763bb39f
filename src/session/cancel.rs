//! Stops what a session runs, from another task.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::dispatch::read::cancelled;
use crate::error::Result;

/// Cancels what a session runs at the moment of the call, or is about to run:
/// a statement that is still being planned too.
#[derive(Clone)]
pub struct Canceller(Arc<Mutex<CancellationToken>>);

impl Canceller {
    pub fn cancel(&self) {
        self.0.lock().cancel();
    }
}

impl Session {
    /// Cancels the running statement from another task.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    /// What was to be cancelled has ended, or there was nothing.
    pub fn forget_cancel(&mut self) {
        let mut token = self.cancel.lock();
        if token.is_cancelled() {
            *token = CancellationToken::new();
        }
    }

    pub(super) fn token(&self) -> CancellationToken {
        self.cancel.lock().clone()
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
