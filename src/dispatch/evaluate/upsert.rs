//! INSERT … ON CONFLICT.

use std::collections::HashSet;
use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator, Interrupted};
use super::scope::Relations;
use crate::dispatch::claim::{ClaimKey, Mode};
use crate::dispatch::rules::{Rules, Unique};
use crate::dispatch::transaction::{Basis, concurrent_update};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::evaluate;
use crate::plan::query::RelationId;
use crate::plan::statement::{ConflictUpdate, Insert, OnConflict};
use crate::types::{Row, Value, encode};

/// An INSERT whose row met another.
struct Upsert<'a> {
    rules: &'a Arc<Rules>,
    relation: RelationId,
    update: &'a ConflictUpdate,
    proposed: &'a Row,
}

impl Evaluator<'_> {
    /// INSERT … ON CONFLICT for one row; `None` when nothing was written.
    pub(super) async fn insert_or(
        &mut self,
        rules: &Arc<Rules>,
        insert: &Insert,
        conflict: &OnConflict,
        row: Row,
        touched: &mut HashSet<Vec<u8>>,
    ) -> Attempt<Option<Row>> {
        rules.check(&row, &self.context)?;
        let keys = rules.unique_keys(&row)?;
        refuse_deferrable(rules, conflict)?;
        let arbiters = keys.iter();
        let arbiters = arbiters.filter(|key| is_arbiter(conflict, rules.unique(key)));
        // Whoever only locks the row that is in the way is not waited for.
        for key in arbiters {
            self.claim_key(rules.table.id, key.claim, Mode::Look, Basis::Fresh)
                .await?;
            let Some((existing, basis)) = self.find_unique(rules, key).await? else {
                continue;
            };
            // What the transaction's snapshot does not show it may not act on.
            let read = matches!(basis, Basis::Read(_));
            if read && self.transaction.changed_since_snapshot(key.claim) {
                return Err(concurrent_update().into());
            }
            let Some(update) = &conflict.update else {
                return Ok(None);
            };
            let upsert = Upsert {
                rules,
                relation: insert.relation,
                update,
                proposed: &row,
            };
            return self.upsert(upsert, existing, basis, touched).await;
        }
        for key in keys {
            let unique = rules.unique(&key);
            if unique.deferrable {
                self.put_off(rules, key).await?;
                continue;
            }
            self.claim_key(rules.table.id, key.claim, Mode::Update, Basis::Fresh)
                .await?;
            match self.find_unique(rules, &key).await? {
                None => {}
                // It came since we looked.
                Some(_) if is_arbiter(conflict, unique) => return Err(Interrupted::Stale),
                Some(_) => return Err(rules.duplicate(&key, &self.context).into()),
            }
        }
        touched.insert(encode::encode_key(&rules.key_of(&row)));
        self.put_inserted(rules, row).await.map(Some)
    }

    /// ON CONFLICT DO UPDATE of the row that is in the way.
    async fn upsert(
        &mut self,
        upsert: Upsert<'_>,
        existing: Row,
        basis: Basis,
        touched: &mut HashSet<Vec<u8>>,
    ) -> Attempt<Option<Row>> {
        let Upsert { rules, update, .. } = upsert;
        let key = rules.key_of(&existing);
        let mut places = update.set.iter().map(|(place, _)| *place);
        let mode = match places.any(|place| rules.is_in_unique(place)) {
            true => Mode::Update,
            false => Mode::NoKeyUpdate,
        };
        let claim = ClaimKey::primary(rules.table.id, &key);
        self.claim_key(rules.table.id, claim, mode, basis).await?;
        let moment = self.moment.as_ref();
        let made = moment.is_some_and(|moment| moment.has_made(rules, &existing));
        if !touched.insert(encode::encode_key(&key)) || made {
            return Err(second_time().into());
        }
        let Some(new) = self.upserted(&upsert, &existing).await? else {
            return Ok(None);
        };
        rules.check(&new, &self.context)?;
        let changes = [(existing, Some(new.clone()))];
        self.change_rows(rules, &changes, basis).await?;
        Ok(Some(new))
    }

    /// The row as ON CONFLICT DO UPDATE sets it; `None` when its condition does
    /// not hold.
    async fn upserted(&mut self, upsert: &Upsert<'_>, existing: &Row) -> Attempt<Option<Row>> {
        let Upsert {
            relation,
            update,
            proposed,
            ..
        } = upsert;
        let mut new = existing.clone();
        if let Some(given) = &update.query {
            let rows = vec![vec![existing.clone()], vec![(*proposed).clone()]];
            let computed = self.over_given(given, rows).await?;
            let Some(values) = computed.into_iter().next() else {
                return Err(Error::internal("ON CONFLICT computed nothing").into());
            };
            if update.filter.is_some() && values.last() != Some(&Value::Bool(true)) {
                return Ok(None);
            }
            for ((place, _), value) in update.set.iter().zip(values) {
                new[*place] = value;
            }
            return Ok(Some(new));
        }
        let relations = [
            (*relation, existing.as_slice()),
            (update.excluded, proposed.as_slice()),
        ];
        let parameters = self.parameters.clone();
        let scope = Relations {
            relations: &relations,
            others: &[],
            parameters: &parameters,
        };
        if let Some(filter) = &update.filter
            && evaluate(filter, &scope, &self.context)? != Value::Bool(true)
        {
            return Ok(None);
        }
        for (place, expression) in &update.set {
            new[*place] = evaluate(expression, &scope, &self.context)?;
        }
        Ok(Some(new))
    }
}

/// A row that the statement has itself written is in the way of ON CONFLICT DO UPDATE.
fn second_time() -> Error {
    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
    Error::new(SqlState::CARDINALITY_VIOLATION, message).hint(
        "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
    )
}

/// Does ON CONFLICT look for a row in the way under this key?
fn is_arbiter(conflict: &OnConflict, unique: &Unique) -> bool {
    let target = conflict.target.as_ref();
    target.is_none_or(|target| target.contains(&unique.object))
}

fn refuse_deferrable(rules: &Rules, conflict: &OnConflict) -> Result<()> {
    let mut uniques = rules.uniques.iter();
    if !uniques.any(|unique| unique.deferrable && is_arbiter(conflict, unique)) {
        return Ok(());
    }
    let message = "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
    Err(Error::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
    ))
}
