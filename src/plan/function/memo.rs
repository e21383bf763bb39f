//! What a thread remembers of texts that it has taken apart: templates and
//! regular expressions are mostly the same from row to row.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use crate::error::Result;

/// So many are kept; then all are forgotten.
const KEPT_MAX: usize = 64;

/// What was made of a key, for keys used lately.
pub(super) struct Memo<K, V>(RefCell<HashMap<K, Rc<V>>>);

impl<K: Hash + Eq, V> Memo<K, V> {
    pub(super) fn new() -> Memo<K, V> {
        Memo(RefCell::default())
    }

    /// What was made of this key before, or is made of it now.
    pub(super) fn get<Q>(&self, key: &Q, make: impl FnOnce() -> Result<V>) -> Result<Rc<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(found) = self.0.borrow().get(key) {
            return Ok(found.clone());
        }
        let made = Rc::new(make()?);
        let mut kept = self.0.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key.to_owned(), made.clone());
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_made_once_is_remembered_up_to_a_bound() {
        let memo: Memo<String, usize> = Memo::new();
        let failed = memo.get("a", || Err(Error::unsupported("a")));
        assert!(failed.is_err(), "an error is not remembered");
        assert_eq!(*memo.get("a", || Ok(1)).unwrap(), 1);
        assert_eq!(*memo.get("a", || Ok(2)).unwrap(), 1);
        for number in 0..KEPT_MAX {
            memo.get(&number.to_string(), || Ok(number)).unwrap();
        }
        assert!(memo.0.borrow().len() <= KEPT_MAX);
        assert_eq!(*memo.get("a", || Ok(3)).unwrap(), 3);
    }
}
