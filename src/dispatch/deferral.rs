//! Foreign and unique keys that are looked at later: at the end of a statement, or of the
//! transaction where SET CONSTRAINTS or their definition says so.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::rules::{Reference, Rules, Unique, UniqueKey};
use crate::catalog::schema::ForeignKey;
use crate::types::id::ObjectId;
use crate::types::{Value, encode};

/// A key to check at the end.
#[derive(Clone)]
pub enum Deferred {
    Foreign(ForeignCheck),
    Unique(UniqueCheck),
}

/// A foreign key: a child's values, or values that a parent lost.
#[derive(Clone)]
pub struct ForeignCheck {
    pub reference: Arc<Reference>,
    pub values: Vec<Value>,
    pub end: End,
}

/// An end of a foreign key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A row that refers to another.
    Child,
    /// A row that others may refer to.
    Parent,
}

/// Values that a row got under a unique key.
#[derive(Clone)]
pub struct UniqueCheck {
    pub rules: Arc<Rules>,
    pub key: UniqueKey,
}

impl Deferred {
    /// The constraint.
    pub fn key(&self) -> ObjectId {
        match self {
            Deferred::Foreign(check) => check.reference.key.id,
            Deferred::Unique(check) => check.rules.unique(&check.key).object,
        }
    }

    /// What tells it from other checks.
    pub fn name(&self) -> (ObjectId, End, Vec<u8>) {
        let (values, end) = match self {
            Deferred::Foreign(check) => (&check.values, check.end),
            Deferred::Unique(check) => (&check.key.values, End::Parent),
        };
        (self.key(), end, encode::encode_key(values))
    }
}

/// Keys to check at the end of a statement, each once.
#[derive(Default)]
pub struct Pending {
    checks: Vec<Deferred>,
    known: HashSet<(ObjectId, End, Vec<u8>)>,
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
        key.deferrable && self.said(key.id).unwrap_or(key.initially_deferred)
    }

    pub fn is_unique_deferred(&self, key: &Unique) -> bool {
        key.deferrable && self.said(key.object).unwrap_or(key.initially_deferred)
    }

    fn said(&self, key: ObjectId) -> Option<bool> {
        self.named.get(&key).copied().or(self.all)
    }
}
