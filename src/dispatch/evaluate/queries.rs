//! Queries that evaluation asks for itself.

use super::evaluator::Evaluator;
use crate::dispatch::refused::Refused;
use crate::error::Result;
use crate::plan::evaluation::of_select;
use crate::plan::expression::{Aggregate, Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::{RelationId, Select};
use crate::types::{Row, Type, Value};

/// The relations of such queries: a table, and one that it refers to.
pub(super) const CHILD: RelationId = RelationId(u32::MAX - 1);
pub(super) const PARENT: RelationId = RelationId(u32::MAX - 2);

/// `count(*)`.
pub(super) fn count_of_rows() -> Result<Expression> {
    Ok(Expression {
        kind: ExpressionKind::Aggregate(Box::new(Aggregate {
            function: resolve::function("count", &[])?.function,
            arguments: Vec::new(),
            direct: 0,
            distinct: false,
            filter: None,
            order_by: Vec::new(),
        })),
        ty: Type::Int8,
    })
}

impl Evaluator<'_> {
    /// One row of those that there are now, if any.
    pub(super) async fn first_now(&mut self, select: Select) -> Result<Option<Row>, Refused> {
        let mut query = of_select(select);
        query.limit = Some(Expression::constant(Value::Int(1), Type::Int8));
        Ok(self.rows_now(query).await?.into_iter().next())
    }
}
