//! Queries that lock rows: FOR UPDATE and its like, at the top and below.
//!
//! At the top the rows that a query yields are claimed before they are given.
//! A subquery that locks is run first, by itself; what it gave then stands in
//! its place as constants, so that exactly the locked rows count.
//!
//! Not handled: a subquery that locks and depends on the query around it.

use std::sync::Arc;

use super::evaluator::{ATTEMPTS_MAX, Evaluator};
use crate::dispatch::claim::{ClaimKey, Contended, Mode};
use crate::dispatch::refused::Refused;
use crate::dispatch::transaction::{Basis, Claim};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::evaluate;
use crate::plan::evaluation::{self, LockedKey, of_select, plain};
use crate::plan::expression::Expression;
use crate::plan::query::{Body, LockStrength, LockWait, OutputColumn, Query, RowLock};
use crate::plan::visit;
use crate::types::id::Index;
use crate::types::{Row, Type, Value};

/// How many rows more a locking query reads at first when others hold some.
const SKIPPED_MIN: usize = 32;

/// Values that a locking subquery may hand to the query around it.
const SETTLED_VALUES_MAX: usize = 10_000;

impl Evaluator<'_> {
    /// The rows of a query that may lock some, at the top or below.
    pub(in crate::dispatch) async fn rows_locked(
        &mut self,
        query: Arc<Query>,
    ) -> Result<Vec<Row>, Refused> {
        if !query.locks.is_empty() {
            return self.lock_rows(&query).await;
        }
        let query = self.settled(query).await?;
        Ok(self.rows_of(query).await?.1)
    }

    /// The query with the subqueries that lock rows replaced by what they gave.
    pub(super) async fn settled(&mut self, query: Arc<Query>) -> Result<Arc<Query>, Refused> {
        if !self.locking {
            return Ok(query);
        }
        let mut query = Query::clone(&query);
        self.settle_below(&mut query).await?;
        Ok(Arc::new(query))
    }

    async fn settle_below(&mut self, query: &mut Query) -> Result<(), Refused> {
        let mut below = Vec::new();
        visit::subqueries_mut(query, &mut |inner| {
            below.push(std::mem::replace(inner, Query::nothing()));
        });
        let mut settled = Vec::with_capacity(below.len());
        for mut inner in below {
            Box::pin(self.settle_below(&mut inner)).await?;
            if !inner.locks.is_empty() {
                inner = Box::pin(self.settle(inner)).await?;
            }
            settled.push(inner);
        }
        let mut settled = settled.into_iter();
        visit::subqueries_mut(query, &mut |inner| {
            if let Some(done) = settled.next() {
                *inner = done;
            }
        });
        Ok(())
    }

    /// Runs a locking subquery: a query of its rows as constants.
    async fn settle(&mut self, query: Query) -> Result<Query, Refused> {
        if visit::depends_on_outside(&query) {
            let what = "a subquery that locks rows and depends on the query around it";
            return Err(Error::unsupported(what).into());
        }
        let rows = self.lock_rows(&query).await?;
        if rows.len() * query.columns.len() > SETTLED_VALUES_MAX {
            let what = format!("locking more than {SETTLED_VALUES_MAX} values in a subquery");
            return Err(Error::unsupported(what).into());
        }
        let columns = query.columns;
        let constant = |(value, column): (Value, &OutputColumn)| {
            Expression::constant(value, column.ty.clone())
        };
        let mut settled = match rows.is_empty() {
            true => {
                let nulls = columns.iter().map(|column| constant((Value::Null, column)));
                let never = Expression::constant(Value::Bool(false), Type::Bool);
                of_select(plain(nulls.collect(), Vec::new(), Some(never)))
            }
            false => {
                let rows = rows.into_iter();
                let rows = rows.map(|row| row.into_iter().zip(&columns).map(constant).collect());
                Query {
                    body: Body::Values(rows.collect()),
                    ..Query::nothing()
                }
            }
        };
        settled.columns = columns;
        Ok(settled)
    }

    /// Runs FOR UPDATE and its like: claims the rows it yields.
    async fn lock_rows(&mut self, query: &Query) -> Result<Vec<Row>, Refused> {
        let query = &*self.settled(Arc::new(query.clone())).await?;
        let (asked, keys) = evaluation::of_locks(query)?;
        self.transaction.snapshot(&self.schema).await?;
        for key in &keys {
            self.claim_table(key.table.id, Mode::RowShare).await?;
        }
        let window = self.window(query)?;
        let mut extra = 0;
        for _ in 0..ATTEMPTS_MAX {
            let claims = self.transaction.cluster.claims.clone();
            let _watch = claims.watch_from(self.transaction.cluster.replicas.stable());
            let wanted = window.asked(extra);
            let (index, rows) = self.rows_of(limited(&asked, wanted)).await?;
            let all = wanted.is_none_or(|wanted| rows.len() < wanted);
            let Some(kept) = self.claim_rows(query, &keys, index, rows, &window).await? else {
                if let Some(moment) = &mut self.moment {
                    moment.outdated = true;
                    break;
                }
                continue;
            };
            if all || window.is_full(&kept) {
                return Ok(window.cut(kept));
            }
            // Others hold some of them: look further.
            extra = (extra * 2).max(SKIPPED_MIN);
        }
        let message = "could not serialize access: the rows change too fast";
        Err(Error::new(SqlState::SERIALIZATION_FAILURE, message).into())
    }

    /// Claims rows until the window is full; `None` when one of them changed
    /// since it was read.
    async fn claim_rows(
        &mut self,
        query: &Query,
        keys: &[LockedKey],
        index: Index,
        rows: Vec<Row>,
        window: &Window,
    ) -> Result<Option<Vec<Row>>, Refused> {
        let mut kept = Vec::with_capacity(rows.len());
        for mut row in rows {
            if window.is_full(&kept) {
                break;
            }
            let mut keep = true;
            for key in keys {
                let values: Vec<Value> =
                    key.places.iter().map(|place| row[*place].clone()).collect();
                if values.iter().any(Value::is_null) {
                    continue;
                }
                let (mode, contended) = lock_of(&query.locks[key.lock]);
                let claim = ClaimKey::primary(key.table.id, &values);
                let basis = Basis::Read(index);
                let held = self
                    .transaction
                    .claim(claim, mode, basis, contended, &self.patience);
                match held.await? {
                    Claim::Held => {}
                    Claim::Stale => return Ok(None),
                    Claim::Skipped => keep = false,
                }
            }
            if keep {
                row.truncate(query.columns.len());
                kept.push(row);
            }
        }
        Ok(Some(kept))
    }

    /// LIMIT and OFFSET of a locking query: they count rows that were locked.
    fn window(&self, query: &Query) -> Result<Window> {
        let count = |expression: &Option<Expression>, name: &str, state| -> Result<Option<usize>> {
            let Some(expression) = expression else {
                return Ok(None);
            };
            match evaluate(expression, &*self.parameters, &self.context)? {
                Value::Null => Ok(None),
                Value::Int(count) => usize::try_from(count)
                    .map(Some)
                    .map_err(|_| Error::new(state, format!("{name} must not be negative"))),
                _ => Err(Error::internal(format!("{name} is no whole number"))),
            }
        };
        let limit = count(&query.limit, "LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT)?;
        let offset = count(
            &query.offset,
            "OFFSET",
            SqlState::INVALID_ROW_COUNT_IN_OFFSET,
        )?;
        Ok(Window {
            offset: offset.unwrap_or(0),
            limit,
        })
    }
}

/// Which of the locked rows a query gives.
struct Window {
    offset: usize,
    limit: Option<usize>,
}

impl Window {
    /// How many rows to read when `extra` of them may be skipped.
    fn asked(&self, extra: usize) -> Option<usize> {
        let limit = self.limit?;
        Some(limit.saturating_add(self.offset).saturating_add(extra))
    }

    fn is_full(&self, kept: &[Row]) -> bool {
        let limit = self.limit.map(|limit| limit.saturating_add(self.offset));
        limit.is_some_and(|limit| kept.len() >= limit)
    }

    fn cut(&self, mut kept: Vec<Row>) -> Vec<Row> {
        kept.drain(..self.offset.min(kept.len()));
        kept
    }
}

/// The query with this limit and no offset.
fn limited(query: &Arc<Query>, limit: Option<usize>) -> Arc<Query> {
    let mut query = Query::clone(query);
    query.offset = None;
    query.limit = limit.map(|limit| {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Expression::constant(Value::Int(limit), Type::Int8)
    });
    Arc::new(query)
}

/// How a row lock claims.
fn lock_of(lock: &RowLock) -> (Mode, Contended) {
    let mode = match lock.strength {
        LockStrength::KeyShare => Mode::KeyShare,
        LockStrength::Share => Mode::Share,
        LockStrength::NoKeyUpdate => Mode::ForNoKeyUpdate,
        LockStrength::Update => Mode::ForUpdate,
    };
    let contended = match lock.wait {
        LockWait::Wait => Contended::Wait,
        LockWait::NoWait => Contended::Fail,
        LockWait::SkipLocked => Contended::Skip,
    };
    (mode, contended)
}
