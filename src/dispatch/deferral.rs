//! Foreign keys that are looked at later: at the end of a statement, or of the
//! transaction where SET CONSTRAINTS or their definition says so.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::rules::Reference;
use crate::catalog::schema::ForeignKey;
use crate::types::id::ObjectId;
use crate::types::{Value, encode};

/// A foreign key to check at the end: of a child's values, or of values a parent lost.
#[derive(Clone)]
pub struct Deferred {
    pub reference: Arc<Reference>,
    pub values: Vec<Value>,
    pub of_child: bool,
}

impl Deferred {
    /// What tells it from other checks.
    pub fn name(&self) -> (ObjectId, bool, Vec<u8>) {
        let values = encode::encode_key(&self.values);
        (self.reference.key.id, self.of_child, values)
    }
}

/// Foreign keys to check at the end of a statement, each once.
#[derive(Default)]
pub struct Pending {
    checks: Vec<Deferred>,
    known: HashSet<(ObjectId, bool, Vec<u8>)>,
    /// How many there were when they were last looked at.
    open: usize,
}

impl Pending {
    pub fn push(&mut self, check: Deferred) {
        if self.known.insert(check.name()) {
            self.checks.push(check);
        }
    }

    /// Should those that hold be dropped?
    pub fn is_due(&self, least: usize) -> bool {
        self.checks.len() > least + 2 * self.open
    }

    /// All that hold were dropped.
    pub fn looked_at(&mut self) {
        self.open = self.checks.len();
    }

    pub fn take(&mut self) -> Vec<Deferred> {
        self.known.clear();
        std::mem::take(&mut self.checks)
    }
}

/// What SET CONSTRAINTS has said in a transaction.
#[derive(Clone, Debug, Default)]
pub struct Deferral {
    all: Option<bool>,
    /// Said of single ones after that.
    named: BTreeMap<ObjectId, bool>,
}

impl Deferral {
    /// SET CONSTRAINTS ALL, or of these.
    pub fn set(&mut self, keys: Option<&[ObjectId]>, deferred: bool) {
        match keys {
            None => {
                self.all = Some(deferred);
                self.named.clear();
            }
            Some(keys) => self.named.extend(keys.iter().map(|key| (*key, deferred))),
        }
    }

    pub fn is_deferred(&self, key: &ForeignKey) -> bool {
        let said = self.named.get(&key.id).copied().or(self.all);
        key.deferrable && said.unwrap_or(key.initially_deferred)
    }
}
