//! Grouped queries: every column outside an aggregate must be a group's.

use std::collections::BTreeSet;

use super::Binder;
use super::grouping_sets::Grouping;
use crate::catalog::schema::{PrimaryKey, Table};
use crate::error::{Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{From, RelationId, Select, SortBy, SortKey};
use crate::plan::syntax::Place;
use crate::plan::visit;

/// The groups of one query.
struct Groups<'a> {
    keys: &'a [Expression],
    /// Those that every grouping set has.
    common: &'a [Expression],
    /// Relations of this query; others are fixed for each of its rows.
    relations: &'a [RelationId],
    /// With those of the queries around it.
    known: BTreeSet<RelationId>,
    /// Those whose primary key is among the keys: all their columns are fixed.
    determined: Vec<RelationId>,
}

impl Binder<'_> {
    pub(super) fn check_grouping(
        &self,
        select: &Select,
        order_by: &[SortKey],
        grouping: &Grouping,
    ) -> Result<()> {
        let Some(scope) = self.scopes.last() else {
            return Ok(());
        };
        let common = grouping.common();
        let around = self.scopes.iter().flat_map(|scope| &scope.relations);
        let mut groups = Groups {
            keys: &grouping.keys,
            common: &common,
            relations: &scope.relations,
            known: around.copied().collect(),
            determined: Vec::new(),
        };
        for from in &select.from {
            groups.determine(from);
        }
        let sorted = order_by.iter().filter_map(|key| match &key.by {
            SortBy::Expression(by) => Some(by),
            SortBy::Column(_) => None,
        });
        for expression in select.projection.iter().chain(&select.having).chain(sorted) {
            self.check_grouped(expression, &groups, false)?;
        }
        Ok(())
    }

    fn check_grouped(
        &self,
        expression: &Expression,
        groups: &Groups<'_>,
        in_subquery: bool,
    ) -> Result<()> {
        if groups.keys.contains(expression) {
            return Ok(());
        }
        match &expression.kind {
            ExpressionKind::Aggregate(aggregate) if !in_subquery || groups.is_own(expression) => {
                let mut direct = aggregate.arguments.iter().take(aggregate.direct);
                return direct.try_for_each(|e| self.check_grouped(e, groups, in_subquery));
            }
            ExpressionKind::Grouping(_) => return Ok(()),
            ExpressionKind::Column { relation, column } => {
                let own = groups.relations.contains(relation);
                if !own || groups.determined.contains(relation) {
                    return Ok(());
                }
                return Err(self.ungrouped(*relation, *column, in_subquery));
            }
            _ => {}
        }
        let mut result = Ok(());
        visit::children(expression, &mut |child| {
            if result.is_ok() {
                result = self.check_grouped(child, groups, in_subquery);
            }
        });
        if let Some(query) = visit::subquery(expression) {
            visit::expressions(query, &mut |part| {
                if result.is_ok() {
                    result = self.check_grouped(part, groups, true);
                }
            });
        }
        result
    }

    fn ungrouped(
        &self,
        relation: RelationId,
        column: usize,
        in_subquery: bool,
    ) -> crate::error::Error {
        let scope = self.scopes.last();
        let used = scope.and_then(|scope| scope.uses.get(&(relation, column)));
        let (place, name) = match used {
            Some((place, name)) => (*place, name.clone()),
            None => (Place(0), "?".to_owned()),
        };
        let message = if in_subquery {
            format!("subquery uses ungrouped column \"{name}\" from outer query")
        } else {
            format!(
                "column \"{name}\" must appear in the GROUP BY clause or be used in an aggregate function"
            )
        };
        self.error(SqlState::GROUPING_ERROR, place, message)
    }
}

impl Groups<'_> {
    /// An aggregate within a subquery that belongs to this query.
    fn is_own(&self, aggregate: &Expression) -> bool {
        let (mut own, mut inner) = (false, false);
        visit::columns(aggregate, &mut |relation, _| {
            own |= self.relations.contains(&relation);
            inner |= !self.known.contains(&relation);
        });
        own && !inner
    }

    /// Finds tables whose whole primary key is grouped by.
    fn determine(&mut self, from: &From) {
        match from {
            From::Table {
                relation, table, ..
            } if self.has_key(*relation, table) => self.determined.push(*relation),
            From::Join { left, right, .. } => {
                self.determine(left);
                self.determine(right);
            }
            _ => {}
        }
    }

    fn has_key(&self, relation: RelationId, table: &Table) -> bool {
        let PrimaryKey::Declared { .. } = table.key else {
            return false;
        };
        table.key_positions().into_iter().all(|place| {
            self.common.iter().any(|key| {
                matches!(key.kind, ExpressionKind::Column { relation: r, column }
                    if r == relation && column == place)
            })
        })
    }
}
