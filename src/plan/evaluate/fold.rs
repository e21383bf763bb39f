//! Constant folding: calls over constants become constants.
//!
//! A call that fails stays a call, so that its error comes only if and when
//! it is evaluated.

use super::{NoScope, evaluate, volatility, walk};
use crate::plan::context::Context;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::Volatility;
use crate::types::Value;

/// Replaces what is constant up to `steadiness`: `Immutable` for a plan that
/// is kept, `Stable` for one run with this very context.
pub fn fold(mut expression: Expression, steadiness: Volatility, context: &Context) -> Expression {
    fold_in_place(&mut expression, steadiness, context);
    expression
}

fn fold_in_place(expression: &mut Expression, steadiness: Volatility, context: &Context) {
    use ExpressionKind as Kind;
    fold_children(expression, steadiness, context);
    let ready = match &expression.kind {
        Kind::Constant(_) | Kind::Parameter(_) | Kind::Column { .. } => return,
        Kind::Aggregate(_) | Kind::Window(_) | Kind::Exists { .. } => return,
        Kind::Scalar(_) | Kind::ArrayQuery(_) | Kind::AnyQuery { .. } => return,
        Kind::And(conditions) => decided(conditions, false),
        Kind::Or(conditions) => decided(conditions, true),
        Kind::Case { .. } => {
            simplify_case(expression);
            return;
        }
        // Whatever the others would be, they are not looked at.
        Kind::Call {
            function,
            arguments,
        } if function.strict
            && !function.is_set()
            && arguments.iter().any(Expression::is_null_constant) =>
        {
            expression.kind = Kind::Constant(Value::Null);
            return;
        }
        _ => walk::children(expression).into_iter().all(is_constant),
    };
    let calls_row_function =
        matches!(&expression.kind, Kind::Call { function, .. } if function.is_set());
    if !ready || calls_row_function || volatility(expression) > steadiness {
        return;
    }
    if let Ok(value) = evaluate(expression, &NoScope, context) {
        expression.kind = Kind::Constant(value);
    }
}

fn is_constant(expression: &Expression) -> bool {
    matches!(expression.kind, ExpressionKind::Constant(_))
}

/// All are constants, or one before any that is not decides.
fn decided(conditions: &[Expression], decides: bool) -> bool {
    let mut constants = conditions.iter().take_while(|c| is_constant(c));
    constants.any(|c| c.kind == ExpressionKind::Constant(Value::Bool(decides)))
        || conditions.iter().all(is_constant)
}

/// Drops branches that cannot be taken; the first that must be taken ends the CASE.
fn simplify_case(expression: &mut Expression) {
    let ExpressionKind::Case {
        branches,
        otherwise,
    } = &mut expression.kind
    else {
        return;
    };
    branches.retain(|(condition, _)| {
        !is_constant(condition) || condition.kind == ExpressionKind::Constant(Value::Bool(true))
    });
    if let Some(place) = branches
        .iter()
        .position(|(condition, _)| is_constant(condition))
    {
        let taken = branches.swap_remove(place).1;
        branches.truncate(place);
        *otherwise = Some(Box::new(taken));
    }
    if branches.is_empty() {
        let ty = expression.ty.clone();
        *expression = match otherwise.take() {
            Some(only) => *only,
            None => Expression::constant(Value::Null, ty),
        };
    }
}

fn fold_children(expression: &mut Expression, steadiness: Volatility, context: &Context) {
    walk::each_child(expression, &mut |child| {
        fold_in_place(child, steadiness, context);
    });
}
