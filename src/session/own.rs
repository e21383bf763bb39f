//! What a SELECT may call that the session does itself: set_config() changes
//! its settings, pg_sleep() waits where the engines' threads would.
//!
//! Not handled: such a call below another expression, or in a query with FROM.

use std::time::Duration;

use super::Session;
use super::reply::{Reply, Tag};
use crate::dispatch::refused::cancelled;
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::{evaluate, is_evaluable};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{Body, Query};
use crate::types::Value;

/// The longest sleep: nobody waits longer.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 86_400);

/// A month of an interval, in days.
const MONTH_DAYS: i64 = 30;

#[derive(Clone, Copy)]
enum Own {
    SetConfig,
    Sleep,
}

/// The targets of a SELECT of one row, if the session does one of them itself.
fn own_targets(query: &Query) -> Option<&[Expression]> {
    let Body::Select(select) = &query.body else {
        return None;
    };
    let bare = select.from.is_empty() && select.filter.is_none() && !select.grouped;
    let whole = query.with.is_empty() && query.limit.is_none() && query.offset.is_none();
    let targets = select.projection.as_slice();
    let known = targets.len() == query.columns.len() && targets.iter().all(is_evaluable);
    let own = targets.iter().any(|target| own_call(target).is_some());
    (own && bare && whole && known).then_some(targets)
}

/// A call of the session's own, and its arguments.
fn own_call(target: &Expression) -> Option<(Own, &[Expression])> {
    let ExpressionKind::Call {
        function,
        arguments,
    } = &target.kind
    else {
        return None;
    };
    let own = match function.name {
        "set_config" => Own::SetConfig,
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" => Own::Sleep,
        _ => return None,
    };
    Some((own, arguments))
}

impl Session {
    /// Runs a SELECT of such calls, alone or beside other expressions: each
    /// target in its turn, so that what stands behind a call sees its effect.
    /// `None`: it is no such SELECT.
    pub(super) async fn run_own(
        &mut self,
        query: &Query,
        parameters: &[Value],
    ) -> Result<Option<Reply>> {
        let Some(targets) = own_targets(query) else {
            return Ok(None);
        };
        let schema = self.schema()?;
        let mut row = Vec::with_capacity(targets.len());
        for target in targets {
            let context = self.context(&schema);
            let Some((own, arguments)) = own_call(target) else {
                row.push(evaluate(target, parameters, &context)?);
                continue;
            };
            let values = arguments
                .iter()
                .map(|argument| evaluate(argument, parameters, &context))
                .collect::<Result<Vec<Value>>>()?;
            row.push(match own {
                Own::SetConfig => self.set_config(&values)?,
                Own::Sleep => self.sleep(&values).await?,
            });
        }
        Ok(Some(Reply::Rows {
            rows: RowStream::Ready(vec![row]),
            tag: Tag::Counted("SELECT"),
        }))
    }

    /// pg_sleep() and its kin: so many seconds, a span, until a time.
    async fn sleep(&self, arguments: &[Value]) -> Result<Value> {
        let now = self.now();
        let seconds = match arguments.first() {
            Some(Value::Float(seconds)) => *seconds,
            Some(Value::Interval(span)) => {
                let days = i64::from(span.months) * MONTH_DAYS + i64::from(span.days);
                days as f64 * 86_400.0 + span.microseconds as f64 / 1e6
            }
            Some(Value::Timestamptz(end)) => (*end as f64 - now as f64) / 1e6,
            _ => return Ok(Value::Null),
        };
        let span = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(SLEEP_MAX);
        let token = self.token();
        tokio::select! {
            biased;
            () = token.cancelled() => Err(cancelled()),
            () = self.dispatch.runtime().sleep(span.min(SLEEP_MAX)) => Ok(Value::text("")),
        }
    }

    /// set_config(name, value, is_local); gives the value it now has.
    fn set_config(&mut self, arguments: &[Value]) -> Result<Value> {
        let text = |place: usize| match arguments.get(place) {
            Some(Value::Text(text)) => Some(&**text),
            _ => None,
        };
        let Some(name) = text(0) else {
            let message = "SET requires parameter name";
            return Err(Error::new(SqlState::NULL_VALUE_NOT_ALLOWED, message));
        };
        let local = matches!(arguments.get(2), Some(Value::Bool(true)));
        if local && !self.in_block() {
            // Holds for this statement alone; only its check and its answer are left.
            let mut own = self.variables.clone();
            own.set(name, text(1))?;
            return Ok(Value::text(own.get(name)?));
        }
        self.set(name, text(1), local)?;
        Ok(Value::text(self.show(name)?))
    }
}
