//! FOR UPDATE and its kin: which relations of a query they lock.
//!
//! A lock on a subquery in FROM is one on the tables inside it, as if it said
//! so itself. Functions, VALUES and common tables have no rows to lock.

use super::Binder;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, Distinct, From, JoinKind, LockStrength, Query as Bound, RelationId, RowLock, Select,
};
use crate::plan::syntax::{Lock, Query};
use crate::plan::visit;

impl Binder<'_> {
    /// What the locks of a SELECT cover; `summary` is what forbids them.
    pub(super) fn locks(
        &mut self,
        query: &Query,
        from: &mut [From],
        summary: Option<&str>,
    ) -> Result<Vec<RowLock>> {
        let mut locks = Vec::with_capacity(query.locks.len());
        for lock in &query.locks {
            let name = lock_name(lock.strength);
            if let Some(what) = summary {
                return Err(refused(format!("{name} is not allowed with {what}")));
            }
            let mut relations = Vec::new();
            if lock.of.is_empty() {
                for item in from.iter_mut() {
                    self.lock_item(item, lock, false, &mut relations)?;
                }
            }
            for path in &lock.of {
                let Some(alias) = path.last().filter(|_| path.len() == 1) else {
                    return Err(self.error(
                        SqlState::SYNTAX_ERROR,
                        lock.place,
                        format!("{name} must specify unqualified relation names"),
                    ));
                };
                let mut items = from.iter_mut();
                let Some((item, nullable)) = items.find_map(|it| named(it, &alias.text, false))
                else {
                    let relation = &alias.text;
                    let message = format!(
                        "relation \"{relation}\" in {name} clause not found in FROM clause"
                    );
                    return Err(self.error(SqlState::UNDEFINED_TABLE, alias.place, message));
                };
                let other = match item {
                    From::Common { .. } => Some("a WITH query"),
                    From::Function { .. } => Some("a function"),
                    _ => None,
                };
                if let Some(other) = other {
                    return Err(self.error(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        alias.place,
                        format!("{name} cannot be applied to {other}"),
                    ));
                }
                self.lock_item(item, lock, nullable, &mut relations)?;
            }
            locks.push(row_lock(lock, relations));
            self.locking = true;
        }
        Ok(locks)
    }

    /// Locks all tables of an item; `nullable`: an outer join may leave its rows out.
    fn lock_item(
        &mut self,
        item: &mut From,
        lock: &Lock,
        nullable: bool,
        relations: &mut Vec<RelationId>,
    ) -> Result<()> {
        match item {
            From::Table { .. } | From::Subquery { .. } if nullable => Err(refused(format!(
                "{} cannot be applied to the nullable side of an outer join",
                lock_name(lock.strength)
            ))),
            From::Table { relation, .. } => {
                relations.push(*relation);
                Ok(())
            }
            From::Subquery { query, .. } => self.lock_query(query, lock),
            From::Join {
                kind, left, right, ..
            } => {
                let (of_left, of_right) = nullable_sides(*kind);
                self.lock_item(left, lock, nullable || of_left, relations)?;
                self.lock_item(right, lock, nullable || of_right, relations)
            }
            From::Common { .. } | From::Function { .. } => Ok(()),
        }
    }

    fn lock_query(&mut self, query: &mut Bound, lock: &Lock) -> Result<()> {
        let what = match &query.body {
            Body::SetOperation { .. } => Some("UNION/INTERSECT/EXCEPT"),
            Body::Select(select) => forbidding(select),
            Body::Values(_) => return Ok(()),
        };
        if let Some(what) = what {
            let name = lock_name(lock.strength);
            return Err(refused(format!("{name} is not allowed with {what}")));
        }
        let mut relations = Vec::new();
        if let Body::Select(select) = &mut query.body {
            for item in &mut select.from {
                self.lock_item(item, lock, false, &mut relations)?;
            }
        }
        if !relations.is_empty() {
            query.locks.push(row_lock(lock, relations));
            self.locking = true;
        }
        Ok(())
    }
}

fn row_lock(lock: &Lock, relations: Vec<RelationId>) -> RowLock {
    RowLock {
        strength: lock.strength,
        relations,
        wait: lock.wait,
    }
}

/// The item of this alias, and whether an outer join may leave its rows out.
fn named<'a>(item: &'a mut From, wanted: &str, nullable: bool) -> Option<(&'a mut From, bool)> {
    match item {
        From::Table { alias, .. }
        | From::Common { alias, .. }
        | From::Subquery { alias, .. }
        | From::Function { alias, .. }
            if alias == wanted =>
        {
            Some((item, nullable))
        }
        From::Join {
            kind, left, right, ..
        } => {
            let (of_left, of_right) = nullable_sides(*kind);
            let left = named(left, wanted, nullable || of_left);
            left.or_else(|| named(right, wanted, nullable || of_right))
        }
        _ => None,
    }
}

fn nullable_sides(kind: JoinKind) -> (bool, bool) {
    match kind {
        JoinKind::Cross | JoinKind::Inner => (false, false),
        JoinKind::Left => (false, true),
        JoinKind::Right => (true, false),
        JoinKind::Full => (true, true),
    }
}

/// The clause that makes a SELECT's rows others than its tables'.
fn forbidding(select: &Select) -> Option<&'static str> {
    if select.distinct != Distinct::No {
        Some("DISTINCT clause")
    } else if !select.group_by.is_empty() {
        Some("GROUP BY clause")
    } else if select.having.is_some() {
        Some("HAVING clause")
    } else if select.grouped {
        Some("aggregate functions")
    } else {
        has_window(&select.projection).then_some("window functions")
    }
}

pub(super) fn has_window(projection: &[Expression]) -> bool {
    let is_window = |part: &Expression| matches!(part.kind, ExpressionKind::Window(_));
    let mut projection = projection.iter();
    projection.any(|expression| visit::any(expression, &mut |part| is_window(part)))
}

fn refused(message: String) -> Error {
    Error::new(SqlState::FEATURE_NOT_SUPPORTED, message)
}

pub(super) fn lock_name(strength: LockStrength) -> &'static str {
    match strength {
        LockStrength::Update => "FOR UPDATE",
        LockStrength::NoKeyUpdate => "FOR NO KEY UPDATE",
        LockStrength::Share => "FOR SHARE",
        LockStrength::KeyShare => "FOR KEY SHARE",
    }
}
