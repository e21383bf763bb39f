//! Visits the expressions inside an expression.

use crate::plan::expression::{Aggregate, Expression, ExpressionKind, FrameBound, Window};

/// True if `test` holds for the expression and all within it; the queries of
/// subqueries are not entered, their operands are.
pub fn all(expression: &Expression, test: &mut impl FnMut(&Expression) -> bool) -> bool {
    fn visit(expression: &Expression, test: &mut dyn FnMut(&Expression) -> bool) -> bool {
        test(expression)
            && children(expression)
                .into_iter()
                .all(|child| visit(child, test))
    }
    visit(expression, test)
}

/// The expressions directly below.
pub fn children(expression: &Expression) -> Vec<&Expression> {
    use ExpressionKind as Kind;
    match &expression.kind {
        Kind::Constant(_) | Kind::Parameter(_) | Kind::Column { .. } => Vec::new(),
        Kind::Exists { .. } | Kind::Scalar(_) | Kind::ArrayQuery(_) => Vec::new(),
        Kind::Call { arguments, .. } | Kind::Extreme { arguments, .. } => {
            arguments.iter().collect()
        }
        Kind::And(list) | Kind::Or(list) | Kind::Coalesce(list) => list.iter().collect(),
        Kind::Array(list) | Kind::Record(list) | Kind::Grouping(list) => list.iter().collect(),
        Kind::AnyQuery { operands, .. } => operands.iter().collect(),
        Kind::Cast { operand, .. } | Kind::Not(operand) => vec![operand],
        Kind::IsNull { operand, .. } | Kind::IsTruth { operand, .. } => vec![operand],
        Kind::IsDistinct { left, right, .. } => vec![left, right],
        Kind::NullIf { left, equal } => vec![left, equal],
        Kind::AnyArray { operand, array, .. } => vec![operand, array],
        Kind::InList { operand, list, .. } => {
            std::iter::once(&**operand).chain(list.iter()).collect()
        }
        Kind::Subscript { array, indexes } => {
            std::iter::once(&**array).chain(indexes.iter()).collect()
        }
        Kind::Slice {
            array,
            lower,
            upper,
        } => {
            let bounds = lower.iter().chain(upper.iter());
            std::iter::once(&**array)
                .chain(bounds.map(|bound| &**bound))
                .collect()
        }
        Kind::Case {
            branches,
            otherwise,
        } => {
            let pairs = branches.iter().flat_map(|(when, then)| [when, then]);
            pairs
                .chain(otherwise.iter().map(|other| &**other))
                .collect()
        }
        Kind::Aggregate(aggregate) => aggregate_children(aggregate),
        Kind::Window(window) => window_children(window),
    }
}

fn aggregate_children(aggregate: &Aggregate) -> Vec<&Expression> {
    let keys = aggregate.order_by.iter().map(|(key, ..)| key);
    aggregate
        .arguments
        .iter()
        .chain(aggregate.filter.iter())
        .chain(keys)
        .collect()
}

fn window_children(window: &Window) -> Vec<&Expression> {
    let keys = window.order_by.iter().map(|(key, ..)| key);
    let bounds = window.frame.iter().flat_map(|f| [&f.start, &f.end]);
    window
        .arguments
        .iter()
        .chain(window.filter.iter())
        .chain(window.partition_by.iter())
        .chain(keys)
        .chain(bounds.filter_map(|bound| match bound {
            FrameBound::Preceding(offset) | FrameBound::Following(offset) => Some(offset),
            _ => None,
        }))
        .collect()
}

/// Hands out the expressions directly below, to change them.
pub fn each_child(expression: &mut Expression, visit: &mut dyn FnMut(&mut Expression)) {
    use ExpressionKind as Kind;
    match &mut expression.kind {
        Kind::Constant(_) | Kind::Parameter(_) | Kind::Column { .. } => {}
        Kind::Exists { .. } | Kind::Scalar(_) | Kind::ArrayQuery(_) => {}
        Kind::Call { arguments, .. } | Kind::Extreme { arguments, .. } => {
            arguments.iter_mut().for_each(visit);
        }
        Kind::And(list) | Kind::Or(list) | Kind::Coalesce(list) => list.iter_mut().for_each(visit),
        Kind::Array(list) | Kind::Record(list) | Kind::Grouping(list) => {
            list.iter_mut().for_each(visit);
        }
        Kind::AnyQuery { operands, .. } => operands.iter_mut().for_each(visit),
        Kind::Cast { operand, .. } | Kind::Not(operand) => visit(operand),
        Kind::IsNull { operand, .. } | Kind::IsTruth { operand, .. } => visit(operand),
        Kind::IsDistinct { left, right, .. } => {
            visit(left);
            visit(right);
        }
        Kind::NullIf { left, equal } => {
            visit(left);
            visit(equal);
        }
        Kind::AnyArray { operand, array, .. } => {
            visit(operand);
            visit(array);
        }
        Kind::InList { operand, list, .. } => {
            visit(operand);
            list.iter_mut().for_each(visit);
        }
        Kind::Subscript { array, indexes } => {
            visit(array);
            indexes.iter_mut().for_each(visit);
        }
        Kind::Slice {
            array,
            lower,
            upper,
        } => {
            visit(array);
            let bounds = lower.iter_mut().chain(upper.iter_mut());
            bounds.for_each(|bound| visit(bound));
        }
        Kind::Case {
            branches,
            otherwise,
        } => {
            for (condition, result) in branches {
                visit(condition);
                visit(result);
            }
            if let Some(result) = otherwise {
                visit(result);
            }
        }
        Kind::Aggregate(aggregate) => {
            aggregate.arguments.iter_mut().for_each(&mut *visit);
            aggregate.filter.iter_mut().for_each(&mut *visit);
            aggregate
                .order_by
                .iter_mut()
                .for_each(|key| visit(&mut key.0));
        }
        Kind::Window(window) => each_window_child(window, visit),
    }
}

fn each_window_child(window: &mut Window, visit: &mut dyn FnMut(&mut Expression)) {
    window.arguments.iter_mut().for_each(&mut *visit);
    window.filter.iter_mut().for_each(&mut *visit);
    window.partition_by.iter_mut().for_each(&mut *visit);
    window.order_by.iter_mut().for_each(|key| visit(&mut key.0));
    if let Some(frame) = &mut window.frame {
        for bound in [&mut frame.start, &mut frame.end] {
            if let FrameBound::Preceding(offset) | FrameBound::Following(offset) = bound {
                visit(offset);
            }
        }
    }
}
