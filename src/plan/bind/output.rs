//! Names of output columns.

use crate::plan::syntax::{Expr, Node, Place, Query, QueryBody};

/// What PostgreSQL calls an unnamed output column.
const UNNAMED: &str = "?column?";

/// The name that an expression gives its column.
pub(super) fn name_of(expr: &Expr) -> String {
    find(expr).map_or_else(|| UNNAMED.to_owned(), |(name, _)| name)
}

/// Where an expression starts: PostgreSQL points there when it means the whole.
pub(super) fn start(expr: &Expr) -> Place {
    let inner = match &expr.node {
        Node::Operator { left, .. } => left.as_deref(),
        Node::Cast { operand, .. }
        | Node::IsNull { operand, .. }
        | Node::IsTruth { operand, .. }
        | Node::Between { operand, .. }
        | Node::InList { operand, .. }
        | Node::InQuery { operand, .. }
        | Node::Like { operand, .. }
        | Node::Subscript { operand, .. }
        | Node::Slice { operand, .. }
        | Node::Field { operand, .. }
        | Node::Collate { operand, .. } => Some(operand.as_ref()),
        Node::IsDistinct { left, .. } | Node::Quantified { left, .. } => Some(left.as_ref()),
        _ => None,
    };
    match inner {
        Some(inner) => start(inner).min(expr.place),
        None => expr.place,
    }
}

/// Where each output column of a query stands, as far as its text tells.
pub(super) fn column_places(query: &Query, count: usize) -> Vec<Place> {
    let known: Vec<Place> = match &query.body {
        QueryBody::Select(select) => {
            let targets = select.targets.iter();
            targets.map(|target| start(&target.expr)).collect()
        }
        QueryBody::Values(rows) => rows.first().into_iter().flatten().map(start).collect(),
        QueryBody::SetOperation { left, .. } => column_places(left, count),
    };
    let fallback = known.first().copied().unwrap_or(query.place);
    let exact = known.len() == count;
    let place = |at: usize| match exact {
        true => known[at],
        false => fallback,
    };
    (0..count).map(place).collect()
}

/// The name and whether it is a good one: a cast's type beats a poor one.
fn find(expr: &Expr) -> Option<(String, bool)> {
    let good = |name: &str| Some((name.to_owned(), true));
    match &expr.node {
        Node::Column(path) => path.last().and_then(|name| good(&name.text)),
        Node::Field {
            field: Some(field), ..
        } => good(&field.text),
        Node::Call(call) => call.name.last().and_then(|name| good(&name.text)),
        Node::Grouping(_) => good("grouping"),
        Node::Special { name, .. } => good(name),
        Node::Coalesce(_) => good("coalesce"),
        Node::NullIf(..) => good("nullif"),
        Node::Extreme { greatest, .. } => good(if *greatest { "greatest" } else { "least" }),
        Node::Exists(_) => good("exists"),
        Node::Array(_) | Node::ArrayQuery(_) => good("array"),
        Node::Row(_) => good("row"),
        Node::Cast { operand, ty } => match find(operand) {
            Some((name, true)) => Some((name, true)),
            _ => ty.path.last().map(|name| (name.clone(), false)),
        },
        Node::Case { otherwise, .. } => match otherwise.as_deref().and_then(find) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Node::Subscript { operand, .. }
        | Node::Slice { operand, .. }
        | Node::Collate { operand, .. } => find(operand),
        Node::Scalar(query) => match &query.body {
            QueryBody::Select(select) => {
                let target = select.targets.first()?;
                match &target.alias {
                    Some(alias) => good(&alias.text),
                    None => find(&target.expr),
                }
            }
            QueryBody::Values(_) => good("column1"),
            QueryBody::SetOperation { .. } => None,
        },
        _ => None,
    }
}
