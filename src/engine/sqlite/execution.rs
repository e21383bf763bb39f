//! What our own SQL functions know of the query that calls them.
//!
//! A query runs on one thread from its first step to its last; while it does,
//! its [`Execution`] stands in a thread-local. SQLite carries only texts for
//! errors, so the error of a function waits in another until the step has failed.

use std::cell::RefCell;
use std::sync::Arc;

use super::dialect::Rendered;
use crate::error::{Error, Result};
use crate::plan::context::Context;
use crate::types::Value;
use crate::types::overlay::Overlay;

/// One run of a rendered query.
#[derive(Clone)]
pub struct Execution {
    pub rendered: Arc<Rendered>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    pub overlay: Option<Arc<Overlay>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Execution>>> = const { RefCell::new(None) };
    static FAILURE: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Makes an execution this thread's current one until dropped.
pub(super) struct Entered(Option<Arc<Execution>>);

pub(super) fn enter(execution: Arc<Execution>) -> Entered {
    FAILURE.set(None);
    Entered(CURRENT.replace(Some(execution)))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// Runs a function's body; its error is kept for [`take_failure`].
pub(super) fn with<T>(body: impl FnOnce(&Arc<Execution>) -> Result<T>) -> rusqlite::Result<T> {
    let current = CURRENT.with_borrow(Clone::clone);
    let outcome = match &current {
        Some(execution) => body(execution),
        None => Err(Error::internal("a function of ours is called from outside")),
    };
    outcome.map_err(fail)
}

/// Keeps the error and gives what SQLite is told instead.
pub(super) fn fail(error: Error) -> rusqlite::Error {
    let told = rusqlite::Error::UserFunctionError(error.message().into());
    FAILURE.set(Some(error));
    told
}

/// The error with which a function ended the last step, if one did.
pub(super) fn take_failure() -> Option<Error> {
    FAILURE.take()
}
