//! Rows into an open transaction: claims, unique keys, foreign keys and their actions.
//!
//! Everything is looked up after its key was claimed, on the latest state, so
//! what is found stays true until the transaction ends. A lookup asks the
//! transaction's own rows first, then a replica.

use std::collections::HashSet;
use std::sync::Arc;

use super::claim::{ClaimKey, Contended, Mode, PRIMARY_KEY};
use super::evaluate::{Attempt, Evaluator, Interrupted, Relations, moment};
use super::read::{self, Question};
use super::rules::{Reference, Rules, Unique};
use super::transaction::{Basis, Claim, concurrent_update};
use crate::catalog::schema::{Action, Table};
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::bind::{self, Binding};
use crate::plan::evaluate::{NoScope, evaluate};
use crate::plan::query::{Query, RelationId};
use crate::plan::statement::{ConflictUpdate, Insert, OnConflict};
use crate::types::id::{Index, TableId};
use crate::types::{Row, Value, compare, encode};

/// How deep foreign-key actions may follow each other.
const CASCADE_DEPTH_MAX: usize = 100;

impl Evaluator<'_> {
    /// Inserts a row or fails with its constraint's error.
    pub(super) async fn insert_row(&mut self, rules: &Arc<Rules>, row: Row) -> Attempt<Row> {
        rules.check(&row, &self.context)?;
        for (place, claim) in rules.unique_claims(&row)? {
            let unique = &rules.uniques[place];
            let values = rules.unique_values(unique, &row)?.unwrap_or_default();
            if unique.deferrable {
                self.put_off(rules, (place, claim), values).await?;
                continue;
            }
            let (claims, owner) = (&self.transaction.cluster.claims, self.transaction.owner);
            // A row that is there and only locked is a duplicate without waiting.
            let modes: &[Mode] = match claims.is_contended(owner, claim, Mode::Update) {
                true => &[Mode::Look, Mode::Update],
                false => &[Mode::Update],
            };
            for mode in modes {
                self.claim_key(rules.table.id, claim, *mode, Basis::Fresh)
                    .await?;
                let found = self.find_unique(rules, unique, claim, &values).await?;
                if found.is_some() {
                    return Err(rules.duplicate(unique, &values, &self.context).into());
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
            Some((place, row)) => {
                let unique = &rules.uniques[place];
                let values = rules.unique_values(unique, &row)?.unwrap_or_default();
                Err(rules.duplicate(unique, &values, &self.context).into())
            }
        }
    }

    async fn put_inserted(&mut self, rules: &Arc<Rules>, row: Row) -> Attempt<Row> {
        self.claim_parents(rules, None, &row).await?;
        if let Some(moment) = &mut self.moment {
            moment.note_made(rules, &row);
        }
        self.transaction
            .written
            .put(rules, rules.key_of(&row), None, Some(row.clone()))?;
        Ok(row)
    }

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
        let keys = rules.unique_claims(&row)?;
        let is_arbiter = |unique: &Unique| {
            let target = conflict.target.as_ref();
            target.is_none_or(|target| target.contains(&unique.object))
        };
        if rules
            .uniques
            .iter()
            .any(|it| it.deferrable && is_arbiter(it))
        {
            let message = "ON CONFLICT does not support deferrable unique constraints/exclusion constraints as arbiters";
            return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
        }
        // Whoever only locks the row that is in the way is not waited for.
        for (place, claim) in &keys {
            let unique = &rules.uniques[*place];
            if !is_arbiter(unique) {
                continue;
            }
            self.claim_key(rules.table.id, *claim, Mode::Look, Basis::Fresh)
                .await?;
            let values = rules.unique_values(unique, &row)?.unwrap_or_default();
            let found = self.find_unique(rules, unique, *claim, &values).await?;
            let Some((existing, basis)) = found else {
                continue;
            };
            // What the transaction's snapshot does not show it may not act on.
            if matches!(basis, Basis::Read(_)) && self.transaction.changed_since_snapshot(*claim) {
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
        for (place, claim) in keys {
            let unique = &rules.uniques[place];
            if unique.deferrable {
                let values = rules.unique_values(unique, &row)?.unwrap_or_default();
                self.put_off(rules, (place, claim), values).await?;
                continue;
            }
            self.claim_key(rules.table.id, claim, Mode::Update, Basis::Fresh)
                .await?;
            let values = rules.unique_values(unique, &row)?.unwrap_or_default();
            let found = self.find_unique(rules, unique, claim, &values).await?;
            match found {
                None => {}
                // It came since we looked.
                Some(_) if is_arbiter(unique) => return Err(Interrupted::Stale),
                Some(_) => return Err(rules.duplicate(unique, &values, &self.context).into()),
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
            return Err(moment::second_time().into());
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

    async fn change_rows_at(
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
        gained: Vec<(usize, ClaimKey)>,
    ) -> Attempt<()> {
        let before = rules.key_of(old);
        if let Some(new) = new {
            for (place, claim) in gained {
                let unique = &rules.uniques[place];
                let values = rules.unique_values(unique, new)?.unwrap_or_default();
                if unique.deferrable {
                    self.put_off(rules, (place, claim), values).await?;
                    continue;
                }
                let found = self.find_unique(rules, unique, claim, &values).await?;
                let other = |(row, _): &(Row, Basis)| !same_values(&rules.key_of(row), &before);
                if found.as_ref().is_some_and(other) {
                    return Err(rules.duplicate(unique, &values, &self.context).into());
                }
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
    ) -> Attempt<Vec<(usize, ClaimKey)>> {
        let before = rules.unique_claims(old)?;
        let after = new
            .map(|new| rules.unique_claims(new))
            .transpose()?
            .unwrap_or_default();
        let keys_stay = new.is_some() && before == after;
        let mode = if keys_stay {
            Mode::NoKeyUpdate
        } else {
            Mode::Update
        };
        let mut primary = before.iter().filter(|(place, _)| *place == 0);
        if let Some((_, claim)) = primary.next() {
            self.claim_key(rules.table.id, *claim, mode, basis).await?;
        }
        if keys_stay {
            return Ok(Vec::new());
        }
        self.guard_children(rules).await?;
        for (_, claim) in before.iter().filter(|(place, _)| *place != 0) {
            self.claim_key(rules.table.id, *claim, Mode::Update, Basis::Fresh)
                .await?;
        }
        let gained: Vec<_> = after
            .into_iter()
            .filter(|claim| !before.contains(claim))
            .collect();
        let immediate = |(place, _): &&(usize, ClaimKey)| !rules.uniques[*place].deferrable;
        for (place, claim) in gained.iter().filter(immediate) {
            let (claims, owner) = (&self.transaction.cluster.claims, self.transaction.owner);
            if let Some(new) = new.filter(|_| claims.is_contended(owner, *claim, Mode::Update)) {
                self.check_taken(rules, (*place, *claim), new, all).await?;
            }
            self.claim_key(rules.table.id, *claim, Mode::Update, Basis::Fresh)
                .await?;
        }
        Ok(gained)
    }

    /// Fails if a row that this statement does not move has the key: one that
    /// others only lock is not waited for.
    async fn check_taken(
        &mut self,
        rules: &Arc<Rules>,
        (place, claim): (usize, ClaimKey),
        new: &Row,
        all: &[(Row, Option<Row>)],
    ) -> Attempt<()> {
        self.claim_key(rules.table.id, claim, Mode::Look, Basis::Fresh)
            .await?;
        let unique = &rules.uniques[place];
        let values = rules.unique_values(unique, new)?.unwrap_or_default();
        let Some((found, _)) = self.find_unique(rules, unique, claim, &values).await? else {
            return Ok(());
        };
        let found = rules.key_of(&found);
        match all
            .iter()
            .any(|(old, _)| same_values(&rules.key_of(old), &found))
        {
            true => Ok(()),
            false => Err(rules.duplicate(unique, &values, &self.context).into()),
        }
    }

    /// Claims the parents that a row newly refers to and remembers to look for them.
    async fn claim_parents(
        &mut self,
        rules: &Arc<Rules>,
        old: Option<&Row>,
        new: &Row,
    ) -> Attempt<()> {
        for reference in &rules.parents {
            let Some(values) = reference.child_values(new)? else {
                continue;
            };
            let before = old
                .map(|old| reference.child_values(old))
                .transpose()?
                .flatten();
            if before.is_some_and(|before| same_values(&before, &values)) {
                continue;
            }
            if !self.transaction.deferral.is_deferred(&reference.key) {
                let claim = reference.parent_claim(&values);
                self.claim_key(reference.parent.id, claim, Mode::KeyShare, Basis::Fresh)
                    .await?;
            }
            self.remember(reference.clone(), values, true);
        }
        Ok(())
    }

    /// Carries out what foreign keys ask when their parent row loses its key.
    pub(super) async fn act_on_children(
        &mut self,
        rules: &Arc<Rules>,
        old: &Row,
        new: Option<&Row>,
        depth: usize,
    ) -> Attempt<()> {
        for reference in &rules.children {
            let values = reference.parent_values(old);
            if values.iter().any(Value::is_null) {
                continue;
            }
            let gained = new.map(|new| reference.parent_values(new));
            if gained
                .as_ref()
                .is_some_and(|gained| same_values(gained, &values))
            {
                continue;
            }
            let action = match new {
                None => reference.key.on_delete,
                Some(_) => reference.key.on_update,
            };
            match action {
                Action::NoAction => self.remember(reference.clone(), values, false),
                Action::Restrict => {
                    if !self.find_children(reference, &values).await?.1.is_empty() {
                        return Err(reference.still_referenced(&values, &self.context).into());
                    }
                }
                _ => {
                    self.follow(reference, action, values, gained, depth)
                        .await?
                }
            }
        }
        Ok(())
    }

    async fn follow(
        &mut self,
        reference: &Arc<Reference>,
        action: Action,
        values: Vec<Value>,
        gained: Option<Vec<Value>>,
        depth: usize,
    ) -> Attempt<()> {
        // First: who holds the whole table may be changing any of its rows.
        self.claim_table(reference.child.id, Mode::Intent).await?;
        let (index, children) = self.find_children(reference, &values).await?;
        if children.is_empty() {
            return Ok(());
        }
        let rules = self.rules(&reference.child)?;
        let mut changes = Vec::with_capacity(children.len());
        for child in children {
            let new = match (action, &gained) {
                (Action::Cascade, None) => None,
                (Action::Cascade, Some(gained)) => {
                    let mut new = child.clone();
                    for (place, value) in reference.child_places.iter().zip(gained) {
                        new[*place] = value.clone();
                    }
                    Some(new)
                }
                _ => Some(self.released(reference, action, &child)?),
            };
            if let Some(new) = &new {
                rules.check(new, &self.context)?;
            }
            changes.push((child, new));
        }
        Box::pin(self.change_rows_at(&rules, &changes, Basis::Read(index), depth + 1)).await
    }

    /// A child row whose reference is set to null or its default.
    fn released(&self, reference: &Reference, action: Action, child: &Row) -> Result<Row> {
        let mut new = child.clone();
        for place in &reference.child_places {
            new[*place] = match (action, &reference.child.columns[*place].default) {
                (Action::SetDefault, Some(text)) => {
                    let context = &self.context;
                    let binding = Binding {
                        schema: &self.schema,
                        system: &context.system,
                        context,
                    };
                    let (default, _) = bind::table_expression(text, &reference.child, &binding)?;
                    evaluate(&default, &NoScope, context)?
                }
                _ => Value::Null,
            };
        }
        Ok(new)
    }

    pub(super) async fn claim_key(
        &mut self,
        table: TableId,
        key: ClaimKey,
        mode: Mode,
        basis: Basis,
    ) -> Attempt<()> {
        let transaction = &self.transaction;
        let claim = match transaction.whole.covers(table, mode) {
            true => transaction.judge(key, mode, basis)?,
            false => {
                let claim = transaction.claim(key, mode, basis, Contended::Wait, &self.patience);
                claim.await?
            }
        };
        match claim {
            Claim::Stale => Err(Interrupted::Stale),
            Claim::Held | Claim::Skipped => Ok(()),
        }
    }

    /// The row that has a unique key now, and where it was read.
    async fn find_unique(
        &mut self,
        rules: &Arc<Rules>,
        unique: &Unique,
        claim: ClaimKey,
        values: &[Value],
    ) -> Attempt<Option<(Row, Basis)>> {
        self.bring_in(&[rules.table.id]).await?;
        let written = &self.transaction.written;
        let key = (unique.id == PRIMARY_KEY).then_some(values);
        if let Some(row) = written.row_with(rules.table.id, claim, key)? {
            return Ok(Some((row, Basis::Fresh)));
        }
        let (index, committed) = self.committed(&rules.table, &unique.lookup, values).await?;
        let first = committed.into_iter().next();
        Ok(first.map(|row| (row, Basis::Read(index))))
    }

    pub(super) async fn find_parent(
        &mut self,
        reference: &Reference,
        values: &[Value],
    ) -> Attempt<Option<Row>> {
        self.bring_in(&[reference.parent.id]).await?;
        let claim = reference.parent_claim(values);
        let key = (reference.unique == PRIMARY_KEY).then(|| reference.ordered(values));
        let written = &self.transaction.written;
        if let Some(row) = written.row_with(reference.parent.id, claim, key.as_deref())? {
            return Ok(Some(row));
        }
        let committed = self
            .committed(&reference.parent, &reference.parents, values)
            .await?;
        Ok(committed.1.into_iter().next())
    }

    pub(super) async fn find_children(
        &mut self,
        reference: &Reference,
        values: &[Value],
    ) -> Attempt<(Index, Vec<Row>)> {
        let (index, mut rows) = self
            .committed(&reference.child, &reference.children, values)
            .await?;
        let written = &self.transaction.written;
        rows.extend(written.rows_equal(reference.child.id, &reference.child_places, values)?);
        Ok((index, rows))
    }

    /// Committed rows as the replicas have them now, without those that the
    /// transaction has written over, and the index they were read at.
    pub(super) async fn committed(
        &mut self,
        table: &Arc<Table>,
        query: &Arc<Query>,
        values: &[Value],
    ) -> Attempt<(Index, Vec<Row>)> {
        self.bring_in(&[table.id]).await?;
        let cluster = &self.transaction.cluster;
        if self.transaction.written.is_truncated(table.id) {
            return Ok((cluster.replicas.stable(), Vec::new()));
        }
        // Replicas know nothing yet of what this transaction made of the schema.
        let base = self.transaction.base.as_ref();
        let version = base.unwrap_or(&self.schema).version;
        let question = Question {
            query: query.clone(),
            parameters: values.to_vec().into(),
            context: self.context.clone(),
            schema: version,
            level: Level::Evaluate(cluster.replicas.stable()),
            overlay: None,
            snapshot: None,
            cancel: self.patience.cancel.clone(),
        };
        let (index, rows) = read::read_all(cluster, &question).await?;
        let rules = self.rules(table)?;
        let mut current = Vec::with_capacity(rows.len());
        for row in rows {
            if !self
                .transaction
                .written
                .knows(table.id, &rules.key_of(&row))?
            {
                current.push(row);
            }
        }
        Ok((index, current))
    }
}

/// An INSERT whose row met another.
struct Upsert<'a> {
    rules: &'a Arc<Rules>,
    relation: RelationId,
    update: &'a ConflictUpdate,
    proposed: &'a Row,
}

fn same_values(a: &[Value], b: &[Value]) -> bool {
    a.iter()
        .zip(b)
        .all(|(a, b)| match (a.is_null(), b.is_null()) {
            (true, true) => true,
            (false, false) => compare::same(a, b),
            _ => false,
        })
}
