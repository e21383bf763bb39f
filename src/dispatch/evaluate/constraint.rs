//! Rows into an open transaction: claims, unique keys, foreign keys and their actions.
//!
//! Everything is looked up after its key was claimed, on the latest state, so
//! what is found stays true until the transaction ends. A lookup asks the
//! transaction's own rows first, then a replica.

use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator};
use super::lookup::same_values;
use crate::dispatch::claim::Mode;
use crate::dispatch::rules::{Rules, UniqueKey, same_keys};
use crate::dispatch::transaction::Basis;
use crate::error::{Error, SqlState};
use crate::types::Row;

/// How deep foreign-key actions may follow each other.
const CASCADE_DEPTH_MAX: usize = 100;

impl Evaluator<'_> {
    /// Inserts a row or fails with its constraint's error.
    pub(super) async fn insert_row(&mut self, rules: &Arc<Rules>, row: Row) -> Attempt<Row> {
        rules.check(&row, &self.context)?;
        for key in rules.unique_keys(&row)? {
            if rules.unique(&key).deferrable {
                self.put_off(rules, key).await?;
                continue;
            }
            let (claims, owner) = (&self.transaction.cluster.claims, self.transaction.owner);
            // A row that is there and only locked is a duplicate without waiting.
            let modes: &[Mode] = match claims.is_contended(owner, key.claim, Mode::Update) {
                true => &[Mode::Look, Mode::Update],
                false => &[Mode::Update],
            };
            for mode in modes {
                self.claim_key(rules.table.id, key.claim, *mode, Basis::Fresh)
                    .await?;
                if self.find_unique(rules, &key).await?.is_some() {
                    return Err(rules.duplicate(&key, &self.context).into());
                }
            }
        }
        self.put_inserted(rules, row).await
    }

    /// Adds a row whose unique keys are claimed, and none of them on a replica.
    pub(super) async fn add_row(&mut self, rules: &Arc<Rules>, row: Row) -> Attempt<()> {
        rules.check(&row, &self.context)?;
        self.claim_parents(rules, None, &row).await?;
        match self.transaction.written.add(rules, row)? {
            None => Ok(()),
            Some(taken) => Err(rules.duplicate(&taken, &self.context).into()),
        }
    }

    pub(super) async fn put_inserted(&mut self, rules: &Arc<Rules>, row: Row) -> Attempt<Row> {
        self.claim_parents(rules, None, &row).await?;
        if let Some(moment) = &mut self.moment {
            moment.note_made(rules, &row);
        }
        self.transaction
            .written
            .put(rules, rules.key_of(&row), None, Some(row.clone()))?;
        Ok(row)
    }

    /// Changes (or, with `None`, deletes) rows as one statement. Rows move one
    /// after the other: a key that a later one of them still has is taken.
    pub(super) async fn change_rows(
        &mut self,
        rules: &Arc<Rules>,
        changes: &[(Row, Option<Row>)],
        basis: Basis,
    ) -> Attempt<()> {
        self.change_rows_at(rules, changes, basis, 0).await
    }

    pub(super) async fn change_rows_at(
        &mut self,
        rules: &Arc<Rules>,
        changes: &[(Row, Option<Row>)],
        basis: Basis,
        depth: usize,
    ) -> Attempt<()> {
        if depth > CASCADE_DEPTH_MAX {
            let message = "foreign key actions follow each other too deeply";
            return Err(Error::new(SqlState::STATEMENT_TOO_COMPLEX, message).into());
        }
        let mut gained = Vec::with_capacity(changes.len());
        for (old, new) in changes {
            let change = (old, new.as_ref());
            gained.push(self.claim_change(rules, change, changes, basis).await?);
        }
        for ((old, new), gained) in changes.iter().zip(gained) {
            self.change_row(rules, old, new.as_ref(), gained).await?;
        }
        for (old, new) in changes {
            if let Some(new) = new {
                self.claim_parents(rules, Some(old), new).await?;
            }
        }
        // What the steps of one statement do comes before what it entails.
        if let Some(moment) = self.moment.as_mut().filter(|_| depth == 0) {
            moment.note_changed(rules, changes);
            return Ok(());
        }
        for (old, new) in changes {
            Box::pin(self.act_on_children(rules, old, new.as_ref(), depth)).await?;
        }
        Ok(())
    }

    /// Writes one row's change, whose keys are claimed; fails if another row
    /// has a unique key that it gains.
    async fn change_row(
        &mut self,
        rules: &Arc<Rules>,
        old: &Row,
        new: Option<&Row>,
        gained: Vec<UniqueKey>,
    ) -> Attempt<()> {
        let before = rules.key_of(old);
        for key in gained {
            if rules.unique(&key).deferrable {
                self.put_off(rules, key).await?;
                continue;
            }
            let found = self.find_unique(rules, &key).await?;
            let other = |(row, _): &(Row, Basis)| !same_values(&rules.key_of(row), &before);
            if found.as_ref().is_some_and(other) {
                return Err(rules.duplicate(&key, &self.context).into());
            }
        }
        let after = new.map(|new| rules.key_of(new));
        let stays = after
            .as_ref()
            .is_some_and(|after| same_values(after, &before));
        let in_place = new.filter(|_| stays).cloned();
        let written = &mut self.transaction.written;
        written.put(rules, before, Some(old), in_place)?;
        if let (Some(key), Some(new), false) = (after, new, stays) {
            written.put(rules, key, None, Some(new.clone()))?;
        }
        Ok(())
    }

    /// Claims what one row's change, of all of its statement, needs; the unique
    /// keys that it gains.
    async fn claim_change(
        &mut self,
        rules: &Arc<Rules>,
        (old, new): (&Row, Option<&Row>),
        all: &[(Row, Option<Row>)],
        basis: Basis,
    ) -> Attempt<Vec<UniqueKey>> {
        let table = rules.table.id;
        let before = rules.unique_keys(old)?;
        let after = new.map(|new| rules.unique_keys(new)).transpose()?;
        let keys_stay = after.as_ref().is_some_and(|it| same_keys(&before, it));
        let mode = if keys_stay {
            Mode::NoKeyUpdate
        } else {
            Mode::Update
        };
        if let Some(primary) = before.iter().find(|key| key.is_primary()) {
            self.claim_key(table, primary.claim, mode, basis).await?;
        }
        if keys_stay {
            return Ok(Vec::new());
        }
        self.guard_children(rules).await?;
        for key in before.iter().filter(|key| !key.is_primary()) {
            self.claim_key(table, key.claim, Mode::Update, Basis::Fresh)
                .await?;
        }
        let mut gained = after.unwrap_or_default();
        gained.retain(|key| !key.is_among(&before));
        for key in &gained {
            if rules.unique(key).deferrable {
                continue;
            }
            let (claims, owner) = (&self.transaction.cluster.claims, self.transaction.owner);
            if claims.is_contended(owner, key.claim, Mode::Update) {
                self.check_taken(rules, key, all).await?;
            }
            self.claim_key(table, key.claim, Mode::Update, Basis::Fresh)
                .await?;
        }
        Ok(gained)
    }

    /// Fails if a row that this statement does not move has the key: one that
    /// others only lock is not waited for.
    async fn check_taken(
        &mut self,
        rules: &Arc<Rules>,
        key: &UniqueKey,
        all: &[(Row, Option<Row>)],
    ) -> Attempt<()> {
        self.claim_key(rules.table.id, key.claim, Mode::Look, Basis::Fresh)
            .await?;
        let Some((found, _)) = self.find_unique(rules, key).await? else {
            return Ok(());
        };
        let found = rules.key_of(&found);
        match all
            .iter()
            .any(|(old, _)| same_values(&rules.key_of(old), &found))
        {
            true => Ok(()),
            false => Err(rules.duplicate(key, &self.context).into()),
        }
    }
}
