//! Operators, comparisons of rows, BETWEEN, IN and LIKE.

use super::Binder;
use super::expression::boolean;
use super::output::start;
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::syntax::{Expr, LikeOperator, Node, Place, Quantified};
use crate::types::Type;

impl Binder<'_> {
    pub(super) fn operator(
        &mut self,
        symbol: &str,
        left: Option<&Expr>,
        right: &Expr,
        place: Place,
    ) -> Result<Expression> {
        let Some(left) = left else {
            let operand = self.expression(right)?;
            let resolved = resolve::operator(symbol, std::slice::from_ref(&operand.ty))
                .map_err(|error| prefix_hint(error).at(self.position(place)))?;
            return self.call_at(resolved, vec![operand], &[start(right)]);
        };
        match (&left.node, &right.node) {
            (Node::Row(left), Node::Row(right)) => {
                let left = self.expressions(left)?;
                let right = self.expressions(right)?;
                self.compare_rows(symbol, left, right, place)
            }
            (Node::Row(_), Node::Scalar(_)) => {
                self.unsupported("comparing a row with a scalar subquery", place)
            }
            _ => {
                let places = [start(left), start(right)];
                let left = self.expression(left)?;
                let right = self.expression(right)?;
                self.apply_at(symbol, left, right, &places, place)
            }
        }
    }

    /// `left symbol right` with both sides bound.
    pub(super) fn apply(
        &mut self,
        symbol: &str,
        left: Expression,
        right: Expression,
        place: Place,
    ) -> Result<Expression> {
        self.apply_at(symbol, left, right, &[place, place], place)
    }

    /// The same, with where both sides stand.
    fn apply_at(
        &mut self,
        symbol: &str,
        left: Expression,
        right: Expression,
        places: &[Place],
        place: Place,
    ) -> Result<Expression> {
        match (left.kind, right.kind) {
            (ExpressionKind::Record(left), ExpressionKind::Record(right)) => {
                self.compare_rows(symbol, left, right, place)
            }
            (left_kind, right_kind) => {
                let left = Expression {
                    kind: left_kind,
                    ty: left.ty,
                };
                let right = Expression {
                    kind: right_kind,
                    ty: right.ty,
                };
                let types = [left.ty.clone(), right.ty.clone()];
                let resolved = resolve::operator(symbol, &types)
                    .map_err(|error| error.at(self.position(place)))?;
                self.call_at(resolved, vec![left, right], places)
            }
        }
    }

    /// Row comparison, spelled out over its columns.
    fn compare_rows(
        &mut self,
        symbol: &str,
        left: Vec<Expression>,
        right: Vec<Expression>,
        place: Place,
    ) -> Result<Expression> {
        if left.len() != right.len() {
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                "unequal number of entries in row expressions",
            ));
        }
        if left.is_empty() {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                place,
                "cannot compare rows of zero length",
            ));
        }
        let mut pairs: Vec<(Expression, Expression)> = left.into_iter().zip(right).collect();
        match symbol {
            "=" | "<>" => {
                let each = pairs
                    .into_iter()
                    .map(|(left, right)| self.apply(symbol, left, right, place));
                let each = each.collect::<Result<Vec<_>>>()?;
                Ok(boolean(if symbol == "=" {
                    ExpressionKind::And(each)
                } else {
                    ExpressionKind::Or(each)
                }))
            }
            "<" | "<=" | ">" | ">=" => {
                let Some((left, right)) = pairs.pop() else {
                    return self.unsupported("an empty row", place);
                };
                let strict = &symbol[..1];
                let mut result = self.apply(symbol, left, right, place)?;
                while let Some((left, right)) = pairs.pop() {
                    let (first, second) = (self.copy_of(&left)?, self.copy_of(&right)?);
                    let less = self.apply(strict, first, second, place)?;
                    let equal = self.apply("=", left, right, place)?;
                    let tie = boolean(ExpressionKind::And(vec![equal, result]));
                    result = boolean(ExpressionKind::Or(vec![less, tie]));
                }
                Ok(result)
            }
            _ => self.unsupported(&format!("operator {symbol} over rows"), place),
        }
    }

    pub(super) fn is_null(&mut self, operand: &Expr, negated: bool) -> Result<Expression> {
        if let Node::Row(items) = &operand.node {
            let each = items.iter().map(|item| self.is_null(item, negated));
            return Ok(boolean(ExpressionKind::And(each.collect::<Result<_>>()?)));
        }
        let bound = self.expression(operand)?;
        let bound = self.resolve_unknown(bound, operand.place)?;
        Ok(boolean(ExpressionKind::IsNull {
            operand: Box::new(bound),
            negated,
        }))
    }

    pub(super) fn is_distinct(
        &mut self,
        left: &Expr,
        right: &Expr,
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        if let (Node::Row(left), Node::Row(right)) = (&left.node, &right.node) {
            if left.len() != right.len() {
                return Err(self.error(
                    SqlState::SYNTAX_ERROR,
                    place,
                    "unequal number of entries in row expressions",
                ));
            }
            let pairs = left.iter().zip(right);
            let each = pairs
                .map(|(left, right)| self.is_distinct(left, right, negated, place))
                .collect::<Result<_>>()?;
            return Ok(boolean(if negated {
                ExpressionKind::And(each)
            } else {
                ExpressionKind::Or(each)
            }));
        }
        let left = self.expression(left)?;
        let right = self.expression(right)?;
        let equal = self.apply("=", left, right, place)?;
        let ExpressionKind::Call { arguments, .. } = equal.kind else {
            return self.unsupported("IS DISTINCT FROM over rows", place);
        };
        self.distinct_pair(arguments, negated, place)
    }

    fn distinct_pair(
        &mut self,
        arguments: Vec<Expression>,
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        let Ok([left, right]) = <[Expression; 2]>::try_from(arguments) else {
            return self.unsupported("IS DISTINCT FROM here", place);
        };
        // An operator over two types (int4 = int8): both become the wider.
        let ty = coerce::common_type(&[left.ty.clone(), right.ty.clone()], "IS DISTINCT FROM")
            .map_err(|error| error.at(self.position(place)))?;
        let left = self.coerce(left, &ty, Strength::Implicit, place)?;
        let right = self.coerce(right, &ty, Strength::Implicit, place)?;
        Ok(boolean(ExpressionKind::IsDistinct {
            left: Box::new(left),
            right: Box::new(right),
            negated,
        }))
    }

    pub(super) fn between(
        &mut self,
        operand: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
        symmetric: bool,
        place: Place,
    ) -> Result<Expression> {
        let operand = self.expression(operand)?;
        let low = self.expression(low)?;
        let high = self.expression(high)?;
        let inside = self.within(&operand, &low, &high, negated, place)?;
        if !symmetric {
            return Ok(inside);
        }
        let mirrored = self.within(&operand, &high, &low, negated, place)?;
        Ok(boolean(if negated {
            ExpressionKind::And(vec![inside, mirrored])
        } else {
            ExpressionKind::Or(vec![inside, mirrored])
        }))
    }

    fn within(
        &mut self,
        operand: &Expression,
        low: &Expression,
        high: &Expression,
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        let (above, below) = if negated { ("<", ">") } else { (">=", "<=") };
        let (lower, upper) = (self.copy_of(operand)?, self.copy_of(operand)?);
        let first = self.apply(above, lower, low.clone(), place)?;
        let second = self.apply(below, upper, high.clone(), place)?;
        let both = vec![first, second];
        Ok(boolean(if negated {
            ExpressionKind::Or(both)
        } else {
            ExpressionKind::And(both)
        }))
    }

    pub(super) fn in_list(
        &mut self,
        operand: &Expr,
        list: &[Expr],
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        let value = self.expression(operand)?;
        let items = self.expressions(list)?;
        let mut types = vec![value.ty.clone()];
        types.extend(items.iter().map(|item| item.ty.clone()));
        let common = coerce::common_type(&types, "IN").ok();
        let Some(common) = common.filter(|ty| !ty.is_record()) else {
            return self.in_each(&value, items, list, negated, place);
        };
        let left = match &value.ty {
            Type::Unknown => common.clone(),
            known => known.clone(),
        };
        let resolved = resolve::operator("=", &[left, common])
            .map_err(|error| error.at(self.position(place)))?;
        let [left, right] = resolved.arguments.as_slice() else {
            return self.unsupported("IN here", place);
        };
        let operand = self.coerce(value, left, Strength::Implicit, place)?;
        let pairs = items.into_iter().zip(list);
        let list = pairs
            .map(|(item, expr)| self.coerce(item, right, Strength::Implicit, expr.place))
            .collect::<Result<_>>()?;
        Ok(boolean(ExpressionKind::InList {
            operand: Box::new(operand),
            list,
            equal: resolved.function,
            negated,
        }))
    }

    /// IN over values without a common type: a chain of comparisons.
    fn in_each(
        &mut self,
        value: &Expression,
        items: Vec<Expression>,
        list: &[Expr],
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        let symbol = if negated { "<>" } else { "=" };
        let pairs = items.into_iter().zip(list);
        let each = pairs
            .map(|(item, _)| {
                let value = self.copy_of(value)?;
                self.apply(symbol, value, item, place)
            })
            .collect::<Result<_>>()?;
        Ok(boolean(if negated {
            ExpressionKind::And(each)
        } else {
            ExpressionKind::Or(each)
        }))
    }

    pub(super) fn like(
        &mut self,
        operator: LikeOperator,
        operand: Expression,
        pattern: Expression,
        escape: Option<Expression>,
        negated: bool,
        place: Place,
    ) -> Result<Expression> {
        let symbol = match (operator, negated) {
            (LikeOperator::Like, false) => "~~",
            (LikeOperator::Like, true) => "!~~",
            (LikeOperator::ILike, false) => "~~*",
            (LikeOperator::ILike, true) => "!~~*",
            (LikeOperator::Similar, false) => "~",
            (LikeOperator::Similar, true) => "!~",
        };
        let pattern = match (operator, escape) {
            (LikeOperator::Similar, None) => {
                self.builtin("similar_to_escape", vec![pattern], place)?
            }
            (LikeOperator::Similar, Some(escape)) => {
                self.builtin("similar_to_escape", vec![pattern, escape], place)?
            }
            (_, Some(escape)) => self.builtin("like_escape", vec![pattern, escape], place)?,
            (_, None) => pattern,
        };
        self.apply(symbol, operand, pattern, place)
    }

    pub(super) fn quantified(
        &mut self,
        left: &Expr,
        symbol: &str,
        all: bool,
        right: &Quantified,
        place: Place,
    ) -> Result<Expression> {
        match right {
            Quantified::Query(query) => self.quantified_query(left, symbol, all, query, place),
            Quantified::Array(array) => {
                let operand = self.expression(left)?;
                let array_value = self.expression(array)?;
                self.quantified_array(operand, symbol, all, array_value, place, array.place)
            }
        }
    }

    fn quantified_array(
        &mut self,
        operand: Expression,
        symbol: &str,
        all: bool,
        array: Expression,
        place: Place,
        array_place: Place,
    ) -> Result<Expression> {
        let element = match &array.ty {
            Type::Unknown => Type::Unknown,
            Type::Array(element) => element.as_ref().clone(),
            Type::Int2Vector => Type::Int2,
            Type::OidVector => Type::Oid,
            _ => {
                return Err(self.error(
                    SqlState::WRONG_OBJECT_TYPE,
                    place,
                    "op ANY/ALL (array) requires array on right side",
                ));
            }
        };
        let resolved = resolve::operator(symbol, &[operand.ty.clone(), element])
            .map_err(|error| error.at(self.position(place)))?;
        if resolved.result != Type::Bool {
            return Err(self.error(
                SqlState::WRONG_OBJECT_TYPE,
                place,
                "op ANY/ALL (array) requires operator to yield boolean",
            ));
        }
        let [left, right] = resolved.arguments.as_slice() else {
            return self.unsupported("ANY or ALL here", place);
        };
        let wanted = Type::Array(Box::new(right.clone()));
        let operand = self.coerce(operand, left, Strength::Implicit, place)?;
        let array = self.coerce(array, &wanted, Strength::Implicit, array_place)?;
        Ok(boolean(ExpressionKind::AnyArray {
            operand: Box::new(operand),
            array: Box::new(array),
            operator: resolved.function,
            all,
        }))
    }
}

/// PostgreSQL speaks of one argument in the singular.
fn prefix_hint(error: Error) -> Error {
    match error.state() {
        SqlState::UNDEFINED_FUNCTION => error.hint(
            "No operator matches the given name and argument type. You might need to add an explicit type cast.",
        ),
        _ => error,
    }
}
