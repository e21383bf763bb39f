//! Computes expressions over rows and parameters, in process: point writes,
//! defaults, CHECKs, RETURNING, constant folding.
//!
//! Three-valued logic and short-circuits are PostgreSQL's. Not handled here:
//! subqueries, aggregates and window functions; see [`is_evaluable`].

pub mod cast;
mod fold;
mod subscript;
pub mod walk;

pub use fold::fold;

use std::sync::Arc;

use super::context::Context;
use super::expression::{Expression, ExpressionKind};
use super::function::{ArgumentTypes, Call, Function, FunctionBody, FunctionRef, Volatility};
use super::query::RelationId;
use crate::error::{Error, Result};
use crate::types::compare::{compare, same};
use crate::types::{Array, Type, Value};

/// Where an expression finds its columns and parameters.
pub trait Scope {
    /// `None` if the scope has no such column.
    fn column(&self, relation: RelationId, column: usize) -> Option<&Value>;
    /// `$1` is parameter 0.
    fn parameter(&self, index: usize) -> Option<&Value>;
}

/// Neither columns nor parameters.
pub struct NoScope;

impl Scope for NoScope {
    fn column(&self, _: RelationId, _: usize) -> Option<&Value> {
        None
    }

    fn parameter(&self, _: usize) -> Option<&Value> {
        None
    }
}

/// Parameters only.
impl Scope for [Value] {
    fn column(&self, _: RelationId, _: usize) -> Option<&Value> {
        None
    }

    fn parameter(&self, index: usize) -> Option<&Value> {
        self.get(index)
    }
}

/// One row of one relation, and parameters.
pub struct RowScope<'a> {
    pub relation: RelationId,
    pub row: &'a [Value],
    pub parameters: &'a [Value],
}

impl Scope for RowScope<'_> {
    fn column(&self, relation: RelationId, column: usize) -> Option<&Value> {
        match relation == self.relation {
            true => self.row.get(column),
            false => None,
        }
    }

    fn parameter(&self, index: usize) -> Option<&Value> {
        self.parameters.get(index)
    }
}

/// Holds no subquery, aggregate, window function or row function.
pub fn is_evaluable(expression: &Expression) -> bool {
    use ExpressionKind as Kind;
    walk::all(expression, &mut |expression| match &expression.kind {
        Kind::Aggregate(_) | Kind::Window(_) | Kind::AnyQuery { .. } | Kind::Exists { .. } => false,
        Kind::Scalar(_) | Kind::ArrayQuery(_) => false,
        Kind::Call { function, .. } => matches!(function.body, FunctionBody::Scalar(_)),
        _ => true,
    })
}

/// The least steady function that the expression itself calls (queries in it
/// count as volatile).
pub fn volatility(expression: &Expression) -> Volatility {
    use ExpressionKind as Kind;
    let mut found = Volatility::Immutable;
    walk::all(expression, &mut |expression| {
        let here = match &expression.kind {
            Kind::Call { function, .. } => function.volatility,
            Kind::InList { equal, .. } => equal.volatility,
            Kind::AnyArray { operator, .. } => operator.volatility,
            Kind::Cast { operand, .. } => cast::volatility(&operand.ty, &expression.ty),
            Kind::AnyQuery { .. } | Kind::Exists { .. } => Volatility::Volatile,
            Kind::Scalar(_) | Kind::ArrayQuery(_) => Volatility::Volatile,
            Kind::Aggregate(_) | Kind::Window(_) => Volatility::Volatile,
            _ => Volatility::Immutable,
        };
        found = found.max(here);
        true
    });
    found
}

/// Gives the same value for the same row for ever.
pub fn is_immutable(expression: &Expression) -> bool {
    volatility(expression) == Volatility::Immutable
}

/// The expression's value.
pub fn evaluate(
    expression: &Expression,
    scope: &(impl Scope + ?Sized),
    context: &Context,
) -> Result<Value> {
    use ExpressionKind as Kind;
    let evaluator = Evaluator { scope, context };
    match &expression.kind {
        Kind::Constant(value) => Ok(value.clone()),
        Kind::Parameter(index) => scope
            .parameter(*index)
            .cloned()
            .ok_or_else(|| Error::internal(format!("there is no parameter ${}", index + 1))),
        Kind::Column { relation, column } => {
            scope.column(*relation, *column).cloned().ok_or_else(|| {
                Error::internal(format!("no column {column} of relation {}", relation.0))
            })
        }
        Kind::Call {
            function,
            arguments,
        } => evaluator.call(*function, arguments, &expression.ty),
        Kind::Cast { operand, explicit } => {
            let value = evaluate(operand, scope, context)?;
            cast::cast(value, &operand.ty, &expression.ty, *explicit, context)
        }
        _ => evaluator.construct(expression),
    }
}

/// The value of a condition: only true is true.
pub fn holds(
    expression: &Expression,
    scope: &(impl Scope + ?Sized),
    context: &Context,
) -> Result<bool> {
    Ok(evaluate(expression, scope, context)? == Value::Bool(true))
}

/// Calls a scalar function with values at hand; strictness is seen to.
pub fn call(
    function: &Function,
    values: &[Value],
    types: &[Type],
    result_type: &Type,
    context: &Context,
) -> Result<Value> {
    invoke(
        function,
        values,
        &Call {
            context,
            arguments: ArgumentTypes::Types(types),
            result_type,
        },
    )
}

fn invoke(function: &Function, values: &[Value], call: &Call<'_>) -> Result<Value> {
    if function.strict && values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    match function.body {
        FunctionBody::Scalar(body) => body(call, values),
        _ => Err(Error::unsupported(format!(
            "the function {} at this place",
            function.name
        ))),
    }
}

struct Evaluator<'a, S: ?Sized> {
    scope: &'a S,
    context: &'a Context,
}

impl<S: Scope + ?Sized> Evaluator<'_, S> {
    fn value(&self, expression: &Expression) -> Result<Value> {
        evaluate(expression, self.scope, self.context)
    }

    fn call(
        &self,
        function: FunctionRef,
        arguments: &[Expression],
        result_type: &Type,
    ) -> Result<Value> {
        let call = Call {
            context: self.context,
            arguments: ArgumentTypes::Expressions(arguments),
            result_type,
        };
        match arguments {
            [] => invoke(function.0, &[], &call),
            [one] => invoke(function.0, &[self.value(one)?], &call),
            [left, right] => {
                let values = [self.value(left)?, self.value(right)?];
                invoke(function.0, &values, &call)
            }
            many => {
                let values = many.iter().map(|one| self.value(one));
                invoke(function.0, &values.collect::<Result<Vec<_>>>()?, &call)
            }
        }
    }

    fn construct(&self, expression: &Expression) -> Result<Value> {
        use ExpressionKind as Kind;
        match &expression.kind {
            Kind::And(conditions) => self.connect(conditions, false),
            Kind::Or(conditions) => self.connect(conditions, true),
            Kind::Not(operand) => Ok(match self.value(operand)? {
                Value::Bool(value) => Value::Bool(!value),
                _ => Value::Null,
            }),
            Kind::IsNull { operand, negated } => {
                let value = self.value(operand)?;
                Ok(Value::Bool(is_null(&value, *negated)))
            }
            Kind::IsTruth {
                operand,
                value,
                negated,
            } => {
                let wanted = value.map_or(Value::Null, Value::Bool);
                Ok(Value::Bool((self.value(operand)? == wanted) != *negated))
            }
            Kind::IsDistinct {
                left,
                right,
                negated,
            } => {
                let (first, second) = (self.value(left)?, self.value(right)?);
                let distinct = match left.ty {
                    Type::Char(_) => is_distinct(&unpadded(first), &unpadded(second)),
                    _ => is_distinct(&first, &second),
                };
                Ok(Value::Bool(distinct != *negated))
            }
            Kind::Case {
                branches,
                otherwise,
            } => self.case(branches, otherwise.as_deref()),
            Kind::Coalesce(arguments) => {
                for argument in arguments {
                    let value = self.value(argument)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Kind::NullIf { left, equal } => self.null_if(left, equal),
            Kind::Extreme {
                greatest,
                arguments,
            } => self.extreme(*greatest, arguments),
            _ => self.collect(expression),
        }
    }

    /// What works over lists and arrays.
    fn collect(&self, expression: &Expression) -> Result<Value> {
        use ExpressionKind as Kind;
        match &expression.kind {
            Kind::InList {
                operand,
                list,
                equal,
                negated,
            } => self.in_list(operand, list, *equal, *negated),
            Kind::AnyArray {
                operand,
                array,
                operator,
                all,
            } => self.any_array(operand, array, *operator, *all),
            Kind::Array(elements) => self.array(elements, &expression.ty),
            Kind::Record(fields) => {
                let values = fields.iter().map(|field| self.value(field));
                Ok(Value::Record(values.collect::<Result<Vec<_>>>()?.into()))
            }
            Kind::Subscript { array, indexes } => {
                let array = self.value(array)?;
                let indexes = indexes.iter().map(|index| self.value(index));
                subscript::element(&array, &indexes.collect::<Result<Vec<_>>>()?)
            }
            Kind::Slice {
                array,
                lower,
                upper,
            } => {
                let array = self.value(array)?;
                let bound = |bound: &Option<Box<Expression>>| {
                    bound.as_ref().map(|bound| self.value(bound)).transpose()
                };
                subscript::slice(&array, bound(lower)?, bound(upper)?)
            }
            Kind::AnyQuery { .. } | Kind::Exists { .. } | Kind::Scalar(_) | Kind::ArrayQuery(_) => {
                Err(Error::unsupported("a subquery at this place"))
            }
            Kind::Aggregate(_) => Err(Error::unsupported("an aggregate function at this place")),
            Kind::Window(_) => Err(Error::unsupported("a window function at this place")),
            other => Err(Error::internal(format!("evaluation passed over {other:?}"))),
        }
    }

    /// AND (`decides` is false) or OR (true).
    fn connect(&self, conditions: &[Expression], decides: bool) -> Result<Value> {
        let mut unknown = false;
        for condition in conditions {
            match self.value(condition)? {
                Value::Bool(value) if value == decides => return Ok(Value::Bool(decides)),
                Value::Bool(_) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(!decides)
        })
    }

    fn case(
        &self,
        branches: &[(Expression, Expression)],
        otherwise: Option<&Expression>,
    ) -> Result<Value> {
        for (condition, result) in branches {
            if self.value(condition)? == Value::Bool(true) {
                return self.value(result);
            }
        }
        otherwise.map_or(Ok(Value::Null), |result| self.value(result))
    }

    fn null_if(&self, left: &Expression, equal: &Expression) -> Result<Value> {
        let value = self.value(left)?;
        let is_equal = match &equal.kind {
            // Draws the left side once even if it is volatile.
            ExpressionKind::Call {
                function,
                arguments,
            } if matches!(arguments.as_slice(), [first, _] if first == left) => {
                let right = self.value(&arguments[1])?;
                let call = Call {
                    context: self.context,
                    arguments: ArgumentTypes::Expressions(arguments),
                    result_type: &equal.ty,
                };
                invoke(function.0, &[value.clone(), right], &call)?
            }
            _ if volatility(left) == Volatility::Volatile => {
                return Err(Error::unsupported("NULLIF over a volatile function"));
            }
            _ => self.value(equal)?,
        };
        Ok(match is_equal {
            Value::Bool(true) => Value::Null,
            _ => value,
        })
    }

    fn extreme(&self, greatest: bool, arguments: &[Expression]) -> Result<Value> {
        let mut best = Value::Null;
        for argument in arguments {
            let value = self.value(argument)?;
            if value.is_null() {
                continue;
            }
            let order = match argument.ty {
                Type::Char(_) => compare(&unpadded(value.clone()), &unpadded(best.clone())),
                _ => compare(&value, &best),
            };
            let better = best.is_null()
                || match greatest {
                    true => order.is_gt(),
                    false => order.is_lt(),
                };
            if better {
                best = value;
            }
        }
        Ok(best)
    }

    fn in_list(
        &self,
        operand: &Expression,
        list: &[Expression],
        equal: FunctionRef,
        negated: bool,
    ) -> Result<Value> {
        let mut values = [self.value(operand)?, Value::Null];
        let mut unknown = false;
        for item in list {
            values[1] = self.value(item)?;
            match self.compare(equal, &values, &operand.ty, &item.ty)? {
                Value::Bool(true) => return Ok(Value::Bool(!negated)),
                Value::Bool(false) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(negated)
        })
    }

    fn any_array(
        &self,
        operand: &Expression,
        array: &Expression,
        operator: FunctionRef,
        all: bool,
    ) -> Result<Value> {
        let left = self.value(operand)?;
        let Value::Array(array) = self.value(array)? else {
            return Ok(Value::Null);
        };
        let mut values = [left, Value::Null];
        let mut unknown = false;
        for item in &array.values {
            values[1] = item.clone();
            match self.compare(operator, &values, &operand.ty, &array.element)? {
                Value::Bool(value) if value != all => return Ok(Value::Bool(value)),
                Value::Bool(_) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown {
            Value::Null
        } else {
            Value::Bool(all)
        })
    }

    fn compare(
        &self,
        operator: FunctionRef,
        values: &[Value; 2],
        left: &Type,
        right: &Type,
    ) -> Result<Value> {
        let call = Call {
            context: self.context,
            arguments: ArgumentTypes::Pair(left, right),
            result_type: &Type::Bool,
        };
        invoke(operator.0, values, &call)
    }

    fn array(&self, elements: &[Expression], ty: &Type) -> Result<Value> {
        let values = elements.iter().map(|element| self.value(element));
        let values = values.collect::<Result<Vec<_>>>()?;
        let element = match ty {
            Type::Array(element) => (**element).clone(),
            _ => return Err(Error::internal("an array's type is no array")),
        };
        let nested = matches!(elements.first().map(|e| &e.ty), Some(Type::Array(_)));
        if nested {
            return subscript::stack(element, values);
        }
        Ok(Value::Array(Arc::new(Array::one_dimensional(
            element, values,
        ))))
    }
}

/// `IS NULL`, or `IS NOT NULL` if negated; of a record, what all its fields say.
fn is_null(value: &Value, negated: bool) -> bool {
    match value {
        Value::Record(fields) => fields.iter().all(|field| field.is_null() != negated),
        other => other.is_null() != negated,
    }
}

/// Without the blanks that do not count in bpchar.
fn unpadded(value: Value) -> Value {
    match &value {
        Value::Text(text) if text.ends_with(' ') => Value::text(text.trim_end_matches(' ')),
        _ => value,
    }
}

fn is_distinct(left: &Value, right: &Value) -> bool {
    match (left.is_null(), right.is_null()) {
        (true, true) => false,
        (false, false) => !same(left, right),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
