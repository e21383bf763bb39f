//! Pinning: what may differ from replica to replica becomes a constant.
//!
//! Everything of an expression that names no column is computed here, once,
//! with the clock, chance and counters that the context brings; what remains
//! is the same on every replica.

use super::context::Context;
use super::evaluate::{evaluate, is_immutable, walk};
use super::expression::{Expression, ExpressionKind};
use crate::error::Result;
use crate::types::Value;

/// An expression over a row, with its column-free parts as parameters.
#[derive(Clone, Debug)]
pub struct Pinned {
    pub expression: Expression,
    pub parameters: Vec<Value>,
}

/// Pins an evaluable expression; `None` when something volatile takes a column.
pub fn pin(
    expression: &Expression,
    parameters: &[Value],
    context: &Context,
) -> Result<Option<Pinned>> {
    let mut pinned = Pinned {
        expression: expression.clone(),
        parameters: Vec::new(),
    };
    let Pinned {
        expression,
        parameters: found,
    } = &mut pinned;
    replace(expression, found, parameters, context)?;
    Ok(is_immutable(expression).then_some(pinned))
}

fn replace(
    expression: &mut Expression,
    found: &mut Vec<Value>,
    parameters: &[Value],
    context: &Context,
) -> Result<()> {
    if !names_column(expression) {
        found.push(evaluate(expression, parameters, context)?);
        expression.kind = ExpressionKind::Parameter(found.len() - 1);
        return Ok(());
    }
    let mut outcome = Ok(());
    walk::each_child(expression, &mut |child| {
        if outcome.is_ok() {
            outcome = replace(child, found, parameters, context);
        }
    });
    outcome
}

/// Does it name any column?
pub fn names_column(expression: &Expression) -> bool {
    !walk::all(expression, &mut |part| {
        !matches!(part.kind, ExpressionKind::Column { .. })
    })
}
