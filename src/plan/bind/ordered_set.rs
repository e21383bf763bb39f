//! Ordered-set aggregates: `percentile_cont(0.5) WITHIN GROUP (ORDER BY x)`,
//! and the hypothetical-set ones: `rank(5) WITHIN GROUP (ORDER BY x)`.
//!
//! The first kind is an aggregate over its direct arguments and what it is
//! ordered by, whose rows come in that order. The second counts the rows that
//! a row of the direct arguments would have before it, so it is written out.

use super::Binder;
use super::call::argument_places;
use super::expression::boolean;
use crate::error::{Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::expression::{Aggregate, Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::syntax::{Call, Place};
use crate::types::{Type, Value};

/// What a hypothetical row is asked for.
#[derive(Clone, Copy)]
enum Hypothetical {
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
}

impl Hypothetical {
    fn named(name: &str) -> Option<Hypothetical> {
        Some(match name {
            "rank" => Hypothetical::Rank,
            "dense_rank" => Hypothetical::DenseRank,
            "percent_rank" => Hypothetical::PercentRank,
            "cume_dist" => Hypothetical::CumeDist,
            _ => return None,
        })
    }
}

impl Binder<'_> {
    pub(super) fn ordered_set(
        &mut self,
        name: &str,
        call: &Call,
        place: Place,
    ) -> Result<Expression> {
        if call.over.is_some() {
            let message = format!("OVER is not supported for ordered-set aggregate {name}");
            return Err(self.error(SqlState::FEATURE_NOT_SUPPORTED, place, message));
        }
        if let Some(asked) = Hypothetical::named(name) {
            return self.hypothetical(asked, name, call, place);
        }
        let direct = self.expressions(&call.arguments)?;
        self.enter_aggregate(place)?;
        let bound = self.ordered_parts(name, call, direct, place);
        self.leave_aggregate(bound, place)
    }

    fn ordered_parts(
        &mut self,
        name: &str,
        call: &Call,
        mut arguments: Vec<Expression>,
        place: Place,
    ) -> Result<(Aggregate, Type)> {
        let direct = arguments.len();
        let mut places = argument_places(call);
        for item in &call.within {
            arguments.push(self.expression(&item.by)?);
            places.push(item.by.place);
        }
        let resolved = self.resolve(name, call, &arguments, place)?;
        if !resolved.function.is_ordered_set() {
            let message =
                format!("{name} is not an ordered-set aggregate, so it cannot have WITHIN GROUP");
            return Err(self.error(SqlState::WRONG_OBJECT_TYPE, place, message));
        }
        let arguments = self.call_arguments(&resolved.arguments, arguments, &places)?;
        let mut settled = Vec::with_capacity(arguments.len());
        for argument in arguments {
            settled.push(self.resolve_unknown(argument, place)?);
        }
        let mut order_by = Vec::with_capacity(call.within.len());
        for (item, key) in call.within.iter().zip(&settled[direct..]) {
            self.sortable(key, item.by.place)?;
            let nulls_first = item.nulls_first.unwrap_or(item.descending);
            order_by.push((key.clone(), item.descending, nulls_first));
        }
        let filter = match &call.filter {
            Some(filter) => Some(self.condition(filter, "FILTER")?),
            None => None,
        };
        let aggregate = Aggregate {
            function: resolved.function,
            arguments: settled,
            direct,
            distinct: false,
            filter,
            order_by,
        };
        Ok((aggregate, resolved.result))
    }

    fn hypothetical(
        &mut self,
        asked: Hypothetical,
        name: &str,
        call: &Call,
        place: Place,
    ) -> Result<Expression> {
        if call.arguments.len() != call.within.len() {
            let message = format!("function {name} does not exist");
            let hint = format!(
                "To use the hypothetical-set aggregate {name}, the number of hypothetical direct \
                 arguments must match the number of ordering columns (here {}).",
                call.within.len()
            );
            let error = self.error(SqlState::UNDEFINED_FUNCTION, place, message);
            return Err(error.hint(hint));
        }
        let direct = self.expressions(&call.arguments)?;
        self.enter_aggregate(place)?;
        let keys = call.within.iter().map(|item| self.expression(&item.by));
        let keys = keys.collect::<Result<Vec<_>>>();
        let filter = call.filter.as_ref();
        let filter = filter.map(|filter| self.condition(filter, "FILTER"));
        if let Some(scope) = self.scopes.last_mut() {
            scope.in_aggregate = false;
        }
        let (keys, filter) = (keys?, filter.transpose()?);
        let mut before = boolean(ExpressionKind::Constant(Value::Bool(false)));
        let mut equal = boolean(ExpressionKind::Constant(Value::Bool(true)));
        let items = call.within.iter().rev();
        let mut values = Vec::with_capacity(keys.len());
        for ((item, key), given) in items
            .zip(keys.into_iter().rev())
            .zip(direct.into_iter().rev())
        {
            let types = [key.ty.clone(), given.ty.clone()];
            let ty = coerce::common_type(&types, "WITHIN GROUP")
                .map_err(|error| error.at(self.position(item.by.place)))?;
            let key = self.coerce(key, &ty, Strength::Implicit, item.by.place)?;
            let given = self.coerce(given, &ty, Strength::Implicit, place)?;
            self.sortable(&key, item.by.place)?;
            let nulls_first = item.nulls_first.unwrap_or(item.descending);
            let symbol = if item.descending { ">" } else { "<" };
            let less = self.apply(symbol, key.clone(), given.clone(), place)?;
            let (first, second) = match nulls_first {
                true => (is_null(&key, false), is_null(&given, true)),
                false => (is_null(&key, true), is_null(&given, false)),
            };
            let less = any([less, all([first, second])]);
            let same = boolean(ExpressionKind::IsDistinct {
                left: Box::new(key.clone()),
                right: Box::new(given),
                negated: true,
            });
            before = any([less, all([same.clone(), before])]);
            equal = all([same, equal]);
            values.insert(0, key);
        }
        self.hypothetical_result(asked, (before, equal, values), filter, place)
    }

    fn hypothetical_result(
        &mut self,
        asked: Hypothetical,
        (before, equal, values): (Expression, Expression, Vec<Expression>),
        filter: Option<Expression>,
        place: Place,
    ) -> Result<Expression> {
        let within = |condition: Expression| match &filter {
            Some(filter) => all([condition, filter.clone()]),
            None => condition,
        };
        let one = Expression::constant(Value::Int(1), Type::Int8);
        match asked {
            Hypothetical::Rank => {
                let before = self.count(Vec::new(), Some(within(before)), place)?;
                self.apply("+", before, one, place)
            }
            Hypothetical::DenseRank => {
                let row = Expression {
                    kind: ExpressionKind::Record(values),
                    ty: Type::Record,
                };
                let before = self.count(vec![row], Some(within(before)), place)?;
                self.apply("+", before, one, place)
            }
            Hypothetical::PercentRank => {
                let before = self.count(Vec::new(), Some(within(before)), place)?;
                let total = self.count(Vec::new(), filter, place)?;
                let share = self.share(before, total.clone(), place)?;
                let none = Expression::constant(Value::Int(0), Type::Int8);
                let empty = self.apply("=", total, none, place)?;
                let zero = Expression::constant(Value::Float(0.0), Type::Float8);
                Ok(Expression {
                    kind: ExpressionKind::Case {
                        branches: vec![(empty, zero)],
                        otherwise: Some(Box::new(share)),
                    },
                    ty: Type::Float8,
                })
            }
            Hypothetical::CumeDist => {
                let upto = any([before, equal]);
                let upto = self.count(Vec::new(), Some(within(upto)), place)?;
                let total = self.count(Vec::new(), filter, place)?;
                let upto = self.apply("+", upto, one.clone(), place)?;
                let total = self.apply("+", total, one, place)?;
                self.share(upto, total, place)
            }
        }
    }

    /// count(*), or count(DISTINCT value).
    fn count(
        &mut self,
        arguments: Vec<Expression>,
        filter: Option<Expression>,
        place: Place,
    ) -> Result<Expression> {
        let types: Vec<Type> = arguments.iter().map(|a| a.ty.clone()).collect();
        let resolved = resolve::function("count", &types)?;
        let aggregate = Aggregate {
            function: resolved.function,
            distinct: !arguments.is_empty(),
            arguments,
            direct: 0,
            filter,
            order_by: Vec::new(),
        };
        self.leave_aggregate(Ok((aggregate, Type::Int8)), place)
    }

    fn share(&mut self, part: Expression, whole: Expression, place: Place) -> Result<Expression> {
        let part = self.coerce(part, &Type::Float8, Strength::Implicit, place)?;
        let whole = self.coerce(whole, &Type::Float8, Strength::Implicit, place)?;
        self.apply("/", part, whole, place)
    }
}

fn is_null(operand: &Expression, negated: bool) -> Expression {
    boolean(ExpressionKind::IsNull {
        operand: Box::new(operand.clone()),
        negated,
    })
}

fn any(parts: [Expression; 2]) -> Expression {
    boolean(ExpressionKind::Or(parts.to_vec()))
}

fn all(parts: [Expression; 2]) -> Expression {
    boolean(ExpressionKind::And(parts.to_vec()))
}
