//! Queries inside expressions.

use super::Binder;
use super::expression::boolean;
use crate::error::{Result, SqlState};
use crate::plan::coerce::Strength;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::Query as Bound;
use crate::plan::syntax::{Expr, Node, Place, Query};
use crate::types::Type;

impl Binder<'_> {
    fn subquery(&mut self, query: &Query, place: Place) -> Result<Bound> {
        let clause = self.scopes.last().map(|scope| scope.clause);
        if let Some(what) = clause.and_then(|clause| clause.forbids_subqueries()) {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                place,
                format!("cannot use subquery in {what}"),
            ));
        }
        self.query(query, true)
    }

    pub(super) fn exists(&mut self, query: &Query, place: Place) -> Result<Expression> {
        let query = Box::new(self.subquery(query, place)?);
        Ok(boolean(ExpressionKind::Exists {
            query,
            negated: false,
        }))
    }

    pub(super) fn scalar(&mut self, query: &Query, place: Place) -> Result<Expression> {
        let query = self.subquery(query, place)?;
        let ty = self.single_column(&query, place)?;
        Ok(Expression {
            kind: ExpressionKind::Scalar(Box::new(query)),
            ty,
        })
    }

    pub(super) fn array_query(&mut self, query: &Query, place: Place) -> Result<Expression> {
        let query = self.subquery(query, place)?;
        let element = self.single_column(&query, place)?;
        let ty = match element {
            Type::Array(_) => element,
            element => Type::Array(Box::new(element)),
        };
        Ok(Expression {
            kind: ExpressionKind::ArrayQuery(Box::new(query)),
            ty,
        })
    }

    fn single_column(&self, query: &Bound, place: Place) -> Result<Type> {
        match query.columns.as_slice() {
            [column] => Ok(column.ty.clone()),
            [] => Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                "subquery must return a column",
            )),
            _ => Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                "subquery must return only one column",
            )),
        }
    }

    /// `operand op ANY/ALL (query)`, of one column or a row.
    pub(super) fn quantified_query(
        &mut self,
        operand: &Expr,
        symbol: &str,
        all: bool,
        query: &Query,
        place: Place,
    ) -> Result<Expression> {
        let operands = match &operand.node {
            Node::Row(items) => self.expressions(items)?,
            _ => vec![self.expression(operand)?],
        };
        let mut query = self.subquery(query, place)?;
        if operands.len() != query.columns.len() {
            let many = if operands.len() < query.columns.len() {
                "many"
            } else {
                "few"
            };
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                format!("subquery has too {many} columns"),
            ));
        }
        if operands.len() > 1 && !matches!(symbol, "=" | "<>") {
            return self.unsupported("ordering a row against a subquery", place);
        }
        let mut bound = Vec::with_capacity(operands.len());
        let mut operators = Vec::with_capacity(operands.len());
        let mut wanted = Vec::with_capacity(operands.len());
        for (operand, column) in operands.into_iter().zip(&query.columns) {
            let resolved = resolve::operator(symbol, &[operand.ty.clone(), column.ty.clone()])
                .map_err(|error| error.at(self.position(place)))?;
            let [left, right] = resolved.arguments.as_slice() else {
                return self.unsupported("ANY or ALL here", place);
            };
            wanted.push(right.clone());
            bound.push(self.coerce(operand, left, Strength::Implicit, place)?);
            operators.push(resolved.function);
        }
        let places = vec![place; wanted.len()];
        self.coerce_columns(&mut query, &wanted, Strength::Implicit, &places)?;
        Ok(boolean(ExpressionKind::AnyQuery {
            operands: bound,
            query: Box::new(query),
            operators,
            all,
        }))
    }
}
