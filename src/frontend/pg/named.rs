//! What a connection keeps by name: prepared statements and portals.

use std::collections::HashMap;

/// Things by their name; the one without a name is at hand.
pub(super) struct Named<T> {
    unnamed: Option<T>,
    named: HashMap<String, T>,
}

impl<T> Named<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        match name {
            "" => self.unnamed.as_ref(),
            name => self.named.get(name),
        }
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        match name {
            "" => self.unnamed.as_mut(),
            name => self.named.get_mut(name),
        }
    }

    pub(super) fn insert(&mut self, name: &str, thing: T) {
        match name {
            "" => self.unnamed = Some(thing),
            name => drop(self.named.insert(name.to_owned(), thing)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<T> {
        match name {
            "" => self.unnamed.take(),
            name => self.named.remove(name),
        }
    }

    pub(super) fn remove_named(&mut self, name: &str) -> Option<T> {
        self.named.remove(name)
    }

    pub(super) fn clear(&mut self) {
        self.unnamed = None;
        self.named.clear();
    }

    pub(super) fn clear_named(&mut self) {
        self.named.clear();
    }

    /// How many have a name.
    pub(super) fn len(&self) -> usize {
        self.named.len()
    }
}

impl<T> Default for Named<T> {
    fn default() -> Named<T> {
        Named {
            unnamed: None,
            named: HashMap::new(),
        }
    }
}
