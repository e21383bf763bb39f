//! Foreign keys: parents that rows refer to, and what is asked of children.

use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator};
use super::lookup::same_values;
use crate::catalog::schema::Action;
use crate::dispatch::claim::{Mode, PRIMARY_KEY};
use crate::dispatch::deferral::End;
use crate::dispatch::rules::{Reference, Rules};
use crate::dispatch::transaction::Basis;
use crate::error::Result;
use crate::plan::bind::{self, Binding};
use crate::plan::evaluate::{NoScope, evaluate};
use crate::types::id::Index;
use crate::types::{Row, Value};

impl Evaluator<'_> {
    /// Claims the parents that a row newly refers to and remembers to look for them.
    pub(super) async fn claim_parents(
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
            self.remember(reference.clone(), values, End::Child);
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
                Action::NoAction => self.remember(reference.clone(), values, End::Parent),
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
}
