//! Calls: functions, aggregates, window functions.

use super::Binder;
use super::scope::Clause;
use crate::error::{Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::{Aggregate, Expression, ExpressionKind};
use crate::plan::function::resolve::{self, Resolved};
use crate::plan::syntax::{Call, Place, SortItem};
use crate::plan::visit;
use crate::types::Type;

/// A sort key of an aggregate or window: expression, descending, nulls first.
pub(super) type Sorted = (Expression, bool, bool);

impl Binder<'_> {
    pub(super) fn function_call(&mut self, call: &Call, place: Place) -> Result<Expression> {
        let name = self.function_name(call, place)?;
        if !call.names.is_empty() {
            let call = self.in_order(&name, call, place)?;
            return self.function_call(&call, place);
        }
        if !call.within.is_empty() {
            return self.ordered_set(&name, call, place);
        }
        if let Some(over) = &call.over {
            return self.window_call(&name, call, over, place);
        }
        // Whether it is an aggregate decides what its arguments may see.
        let aggregate = crate::plan::function::registry::named(&name).any(|f| f.is_aggregate());
        if aggregate {
            return self.aggregate(&name, call, place);
        }
        let arguments = self.expressions(&call.arguments)?;
        let resolved = self.resolve(&name, call, &arguments, place)?;
        if resolved.function.is_window() {
            return Err(self.error(
                SqlState::WRONG_OBJECT_TYPE,
                place,
                format!("window function {name} requires an OVER clause"),
            ));
        }
        if resolved.function.is_ordered_set() {
            let message = format!("WITHIN GROUP is required for ordered-set aggregate {name}");
            return Err(self.error(SqlState::WRONG_OBJECT_TYPE, place, message));
        }
        if resolved.function.is_set() {
            self.note_set_call(place)?;
        }
        self.only_plain(call, &name, place)?;
        self.call_at(resolved, arguments, &argument_places(call))
    }

    /// The function's name, which lives in pg_catalog; type names are casts.
    pub(super) fn function_name(&self, call: &Call, place: Place) -> Result<String> {
        match call.name.as_slice() {
            [name] => Ok(name.text.clone()),
            [schema, name] if schema.text == "pg_catalog" => Ok(name.text.clone()),
            [schema, name]
                if schema.text == "information_schema" && name.text == "_pg_expandarray" =>
            {
                Ok(name.text.clone())
            }
            path => Err(self.error(
                SqlState::UNDEFINED_FUNCTION,
                place,
                format!("function {} does not exist", super::dotted(&path.to_vec())),
            )),
        }
    }

    pub(super) fn resolve(
        &mut self,
        name: &str,
        call: &Call,
        arguments: &[Expression],
        place: Place,
    ) -> Result<Resolved> {
        let types: Vec<Type> = arguments
            .iter()
            .map(|argument| argument.ty.clone())
            .collect();
        let resolved = if call.variadic {
            resolve::variadic_function(name, &types)
        } else {
            resolve::function(name, &types)
        };
        resolved.map_err(|error| error.at(self.position(place)))
    }

    /// DISTINCT, ORDER BY and FILTER belong to aggregates.
    fn only_plain(&self, call: &Call, name: &str, place: Place) -> Result<()> {
        let what = if call.distinct {
            "DISTINCT"
        } else if !call.order_by.is_empty() {
            "ORDER BY"
        } else if call.filter.is_some() {
            "FILTER"
        } else if call.star {
            let message = format!("{name}(*) specified, but {name} is not an aggregate function");
            return Err(self.error(SqlState::WRONG_OBJECT_TYPE, place, message));
        } else {
            return Ok(());
        };
        let message = format!("{what} specified, but {name} is not an aggregate function");
        Err(self.error(SqlState::WRONG_OBJECT_TYPE, place, message))
    }

    fn aggregate(&mut self, name: &str, call: &Call, place: Place) -> Result<Expression> {
        self.enter_aggregate(place)?;
        let bound = self.aggregate_parts(name, call, place);
        self.leave_aggregate(bound, place)
    }

    /// Inside an aggregate's arguments: no other aggregate of the same query.
    pub(super) fn enter_aggregate(&mut self, place: Place) -> Result<()> {
        let Some(scope) = self.scopes.last_mut() else {
            return self.unsupported("an aggregate here", place);
        };
        if scope.in_aggregate {
            return Err(self.error(
                SqlState::GROUPING_ERROR,
                place,
                "aggregate function calls cannot be nested",
            ));
        }
        scope.in_aggregate = true;
        Ok(())
    }

    /// The aggregate once bound, which counts for the query that it belongs to.
    pub(super) fn leave_aggregate(
        &mut self,
        bound: Result<(Aggregate, Type)>,
        place: Place,
    ) -> Result<Expression> {
        if let Some(scope) = self.scopes.last_mut() {
            scope.in_aggregate = false;
        }
        let (aggregate, result) = bound?;
        let level = self.aggregate_level(&aggregate);
        let Some(scope) = self.scopes.get_mut(level) else {
            return self.unsupported("an aggregate here", place);
        };
        let what = scope.clause.forbids_aggregates();
        let nested = scope.in_aggregate;
        scope.aggregates = true;
        let from = scope.clause == Clause::From && level + 1 < self.scopes.len();
        let message = match what {
            _ if nested => "aggregate function calls cannot be nested".to_owned(),
            Some(_) if from => {
                "aggregate functions are not allowed in FROM clause of their own query level"
                    .to_owned()
            }
            Some(what) => format!("aggregate functions are not allowed in {what}"),
            None => {
                let ty = unpadded(&result, &aggregate.arguments);
                return Ok(coerce::padded(Expression {
                    kind: ExpressionKind::Aggregate(Box::new(aggregate)),
                    ty,
                }));
            }
        };
        Err(self.error(SqlState::GROUPING_ERROR, place, message))
    }

    fn aggregate_parts(
        &mut self,
        name: &str,
        call: &Call,
        place: Place,
    ) -> Result<(Aggregate, Type)> {
        let arguments = self.expressions(&call.arguments)?;
        if arguments.is_empty() && !call.star {
            // Only count() is known without arguments.
            if name != "count" {
                self.resolve(name, call, &[], place)?;
            }
            return Err(self.error(
                SqlState::WRONG_OBJECT_TYPE,
                place,
                format!("{name}(*) must be used to call a parameterless aggregate function"),
            ));
        }
        let resolved = self.resolve(name, call, &arguments, place)?;
        let places = argument_places(call);
        let arguments = self.call_arguments(&resolved.arguments, arguments, &places)?;
        let arguments = arguments
            .into_iter()
            .map(|argument| self.resolve_unknown(argument, place))
            .collect::<Result<Vec<_>>>()?;
        let order_by = self.sort_keys(&call.order_by)?;
        if call.distinct {
            if arguments.is_empty() {
                return Err(self.error(
                    SqlState::SYNTAX_ERROR,
                    place,
                    "DISTINCT specified without arguments",
                ));
            }
            let extra = order_by.iter().any(|(key, ..)| !arguments.contains(key));
            if extra {
                return Err(self.error(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    place,
                    "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list",
                ));
            }
        }
        let filter = match &call.filter {
            Some(filter) => Some(self.condition(filter, "FILTER")?),
            None => None,
        };
        let arguments = padded_for(&resolved.result, arguments);
        let result = self.with_fields(resolved.function, &arguments, resolved.result);
        let aggregate = Aggregate {
            function: resolved.function,
            arguments,
            direct: 0,
            distinct: call.distinct,
            filter,
            order_by,
        };
        Ok((aggregate, result))
    }

    /// The query that an aggregate belongs to: the innermost whose columns it
    /// names, or the one it stands in if it names none.
    fn aggregate_level(&self, aggregate: &Aggregate) -> usize {
        let mut level = None;
        let sorted = aggregate.order_by.iter().map(|(key, ..)| key);
        let parts = aggregate.arguments.iter().chain(&aggregate.filter);
        for part in parts.chain(sorted) {
            visit::columns(part, &mut |relation, _| {
                let mut scopes = self.scopes.iter();
                let found = scopes.rposition(|scope| scope.relations.contains(&relation));
                level = level.max(found);
            });
        }
        level.unwrap_or(self.scopes.len().saturating_sub(1))
    }

    /// ORDER BY inside a call: plain expressions, no names of output columns.
    pub(super) fn sort_keys(&mut self, items: &[SortItem]) -> Result<Vec<Sorted>> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let by = self.expression(&item.by)?;
            let by = self.resolve_unknown(by, item.by.place)?;
            self.sortable(&by, item.by.place)?;
            let nulls_first = item.nulls_first.unwrap_or(item.descending);
            keys.push((by, item.descending, nulls_first));
        }
        Ok(keys)
    }

    /// Refuses types that have no order.
    pub(super) fn sortable(&self, expression: &Expression, place: Place) -> Result<()> {
        if matches!(expression.ty, Type::Json) {
            return Err(self
                .error(
                    SqlState::UNDEFINED_FUNCTION,
                    place,
                    format!(
                        "could not identify an ordering operator for type {}",
                        expression.ty
                    ),
                )
                .hint("Use an explicit ordering operator or modify the query."));
        }
        Ok(())
    }

    /// Refuses types that have no equality, as DISTINCT, GROUP BY and UNION need.
    pub(super) fn groupable(&self, ty: &Type, place: Place) -> Result<()> {
        if *ty == Type::Json {
            return Err(self.error(
                SqlState::UNDEFINED_FUNCTION,
                place,
                format!("could not identify an equality operator for type {ty}"),
            ));
        }
        Ok(())
    }

    /// An int8, as LIMIT and window frames want.
    pub(super) fn whole_number(
        &mut self,
        expr: &crate::plan::syntax::Expr,
        what: &str,
    ) -> Result<Expression> {
        let value = self.expression(expr)?;
        let value = self.settle(value, &Type::Int8, expr.place)?;
        if !crate::plan::coerce::can_coerce(&value.ty, &Type::Int8, Strength::Assignment)
            || value.ty.is_string()
        {
            let message = format!(
                "argument of {what} must be type bigint, not type {}",
                value.ty.without_modifier()
            );
            return Err(self.error(SqlState::DATATYPE_MISMATCH, expr.place, message));
        }
        self.coerce(value, &Type::Int8, Strength::Assignment, expr.place)
    }
}

/// The type of an aggregate's or window's result before its blanks are put
/// back: char(n) of an argument where it gives plain bpchar.
pub(super) fn unpadded(result: &Type, arguments: &[Expression]) -> Type {
    match (result, arguments.first().map(|argument| &argument.ty)) {
        (Type::Char(None), Some(Type::Char(length))) => Type::Char(*length),
        _ => result.clone(),
    }
}

/// The elements of an array of bpchar have their blanks.
pub(super) fn padded_for(result: &Type, arguments: Vec<Expression>) -> Vec<Expression> {
    match result {
        Type::Array(element) if **element == Type::Char(None) => {
            arguments.into_iter().map(coerce::padded).collect()
        }
        _ => arguments,
    }
}

pub(super) fn argument_places(call: &Call) -> Vec<Place> {
    call.arguments.iter().map(super::output::start).collect()
}
