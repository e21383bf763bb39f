//! Looking at the keys that were put off.

use std::collections::HashSet;
use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator, Interrupted};
use crate::dispatch::claim::Mode;
use crate::dispatch::deferral::{Deferred, End, ForeignCheck, UniqueCheck};
use crate::dispatch::refused::Refused;
use crate::dispatch::rules::{Reference, Rules, UniqueKey};
use crate::dispatch::transaction::{Basis, concurrent_update};
use crate::error::{Error, Result};
use crate::types::Value;
use crate::types::id::ObjectId;

impl Evaluator<'_> {
    pub(super) fn remember(&mut self, reference: Arc<Reference>, values: Vec<Value>, end: End) {
        let deferred = self.transaction.deferral.is_deferred(&reference.key);
        let check = Deferred::Foreign(ForeignCheck {
            reference,
            values,
            end,
        });
        match deferred {
            true => self.transaction.deferred.push(check),
            false => self.pending.push(check),
        }
    }

    /// Remembers a unique key that may have two rows for a while. Unless it
    /// may until the transaction ends, nobody else gets it meanwhile.
    pub(super) async fn put_off(&mut self, rules: &Arc<Rules>, key: UniqueKey) -> Attempt<()> {
        let deferral = &self.transaction.deferral;
        let deferred = deferral.is_unique_deferred(rules.unique(&key));
        let claim = key.claim;
        let check = UniqueCheck {
            rules: rules.clone(),
            key,
        };
        if deferred {
            return self.put_off_to_end(check).await;
        }
        self.claim_key(rules.table.id, claim, Mode::Update, Basis::Fresh)
            .await?;
        self.pending.push(Deferred::Unique(check));
        Ok(())
    }

    /// As on PostgreSQL the first to come to a free key has it; only whoever
    /// finds it taken looks again when the transaction ends, and waits then.
    async fn put_off_to_end(&mut self, check: UniqueCheck) -> Attempt<()> {
        let (table, claim) = (check.rules.table.id, check.key.claim);
        let (claims, owner) = (&self.transaction.cluster.claims, self.transaction.owner);
        if !claims.is_contended(owner, claim, Mode::Update) && self.rows_of_key(&check).await? == 0
        {
            self.claim_key(table, claim, Mode::Update, Basis::Fresh)
                .await?;
            if self.rows_of_key(&check).await? == 0 {
                return Ok(());
            }
        }
        self.transaction.deferred.push(Deferred::Unique(check));
        Ok(())
    }

    /// How many rows have a unique key, as things are.
    async fn rows_of_key(&mut self, check: &UniqueCheck) -> Attempt<usize> {
        let table = &check.rules.table;
        let own = self
            .transaction
            .written
            .count_with(table.id, check.key.claim)?;
        let lookup = &check.rules.unique(&check.key).lookup;
        let others = self
            .committed(table, lookup, &check.key.values)
            .await?
            .1
            .len();
        Ok(own + others)
    }

    /// Looks at the keys that this statement touched.
    pub(super) async fn check_references(&mut self) -> Attempt<()> {
        let pending = self.pending.take();
        self.check_all(pending).await
    }

    /// Looks at the keys that were put off until the end, or at some of them.
    pub async fn check_deferred(&mut self, keys: Option<&[ObjectId]>) -> Result<(), Refused> {
        // They stay: what made one hold may yet be taken back by ROLLBACK TO.
        let mut deferred = self.transaction.deferred.clone();
        deferred.retain(|it| keys.is_none_or(|keys| keys.contains(&it.key())));
        let deferred: Vec<Deferred> = deferred
            .into_iter()
            .filter_map(|check| self.as_it_is_now(check).transpose())
            .collect::<Result<_>>()?;
        let checked = self.check_all(deferred).await;
        checked.map_err(Interrupted::into_refused)
    }

    /// A foreign key may lie otherwise than when it was put off, or be gone.
    fn as_it_is_now(&self, check: Deferred) -> Result<Option<Deferred>> {
        let Deferred::Foreign(check) = check else {
            return Ok(Some(check));
        };
        if self.transaction.changes.is_empty() {
            return Ok(Some(Deferred::Foreign(check)));
        }
        let Some(child) = self.schema.table(check.reference.child.id) else {
            return Ok(None);
        };
        let rules = self.rules(child)?;
        let mut parents = rules.parents.iter();
        let reference = parents.find(|it| it.key.id == check.reference.key.id);
        Ok(reference.map(|reference| {
            Deferred::Foreign(ForeignCheck {
                reference: reference.clone(),
                ..check
            })
        }))
    }

    async fn check_all(&mut self, checks: Vec<Deferred>) -> Attempt<()> {
        let mut seen = HashSet::new();
        for check in checks {
            if !seen.insert(check.name()) {
                continue;
            }
            // What was put off has not claimed its key yet.
            match &check {
                Deferred::Foreign(check) if check.end == End::Child => {
                    let table = check.reference.parent.id;
                    let claim = check.reference.parent_claim(&check.values);
                    self.claim_key(table, claim, Mode::KeyShare, Basis::Fresh)
                        .await?;
                }
                Deferred::Foreign(_) => {}
                Deferred::Unique(check) => {
                    let table = check.rules.table.id;
                    self.claim_key(table, check.key.claim, Mode::Update, Basis::Fresh)
                        .await?;
                }
            }
            if !self.holds(&check).await? {
                return Err(self.broken(&check).into());
            }
        }
        Ok(())
    }

    /// Does a key hold as things are?
    pub(super) async fn holds(&mut self, check: &Deferred) -> Attempt<bool> {
        match check {
            Deferred::Foreign(ForeignCheck {
                reference, values, ..
            }) => Ok(self.find_parent(reference, values).await?.is_some()
                || self.find_children(reference, values).await?.1.is_empty()),
            Deferred::Unique(check) => Ok(self.rows_of_key(check).await? <= 1),
        }
    }

    fn broken(&self, check: &Deferred) -> Error {
        match check {
            Deferred::Unique(check) => check.rules.duplicate(&check.key, &self.context),
            Deferred::Foreign(check) => {
                let (reference, values) = (&check.reference, &check.values);
                let claim = reference.parent_claim(values);
                match check.end {
                    End::Child if self.transaction.changed_since_snapshot(claim) => {
                        concurrent_update()
                    }
                    End::Child => reference.no_parent(values, &self.context),
                    End::Parent => reference.still_referenced(values, &self.context),
                }
            }
        }
    }
}
