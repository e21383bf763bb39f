//! A count of what a writer's thread does, so that a long delivery can be told
//! from a hung one: it moves with every statement, every page that goes to the
//! log, and every so many steps of a statement.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static COUNTER: RefCell<Option<Arc<AtomicU64>>> = const { RefCell::new(None) };
}

/// What this thread does from now on moves this counter.
pub(super) fn count_with(counter: &Arc<AtomicU64>) {
    COUNTER.with_borrow_mut(|current| {
        if !current.as_ref().is_some_and(|it| Arc::ptr_eq(it, counter)) {
            *current = Some(Arc::clone(counter));
        }
    });
}

/// Something was done.
pub(super) fn note() {
    COUNTER.with_borrow(|counter| {
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_counts_moves_its_counter() {
        let counter = Arc::new(AtomicU64::new(0));
        note();
        count_with(&counter);
        note();
        std::thread::scope(|scope| {
            scope.spawn(note);
        });
        note();
        assert_eq!(counter.load(Ordering::Relaxed), 2);
    }
}
