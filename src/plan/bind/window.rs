//! Window functions and their windows.

use super::Binder;
use super::scope::Clause;
use crate::error::{Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::evaluate;
use crate::plan::expression::{Expression, ExpressionKind, Frame, FrameBound, FrameUnits, Window};
use crate::plan::function::Volatility;
use crate::plan::function::names::type_name;
use crate::plan::syntax::{Call, Expr, Over, Place, WindowBound, WindowFrame, WindowSpec};
use crate::types::Type;

impl Binder<'_> {
    pub(super) fn window_call(
        &mut self,
        name: &str,
        call: &Call,
        over: &Over,
        place: Place,
    ) -> Result<Expression> {
        let Some(scope) = self.scopes.last() else {
            return self.unsupported("a window function here", place);
        };
        if let Some(what) = scope.clause.forbids_windows() {
            return Err(self.error(
                SqlState::WINDOWING_ERROR,
                place,
                format!("window functions are not allowed in {what}"),
            ));
        }
        if scope.in_aggregate || scope.in_window {
            let outer = if scope.in_aggregate {
                "aggregate function calls cannot contain window function calls"
            } else {
                "window function calls cannot be nested"
            };
            let state = if scope.in_aggregate {
                SqlState::GROUPING_ERROR
            } else {
                SqlState::WINDOWING_ERROR
            };
            return Err(self.error(state, place, outer));
        }
        if call.distinct {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                place,
                "DISTINCT is not implemented for window functions",
            ));
        }
        if !call.order_by.is_empty() {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                place,
                "aggregate ORDER BY is not implemented for window functions",
            ));
        }
        self.set_in_window(true);
        let bound = self.window_parts(name, call, over, place);
        self.set_in_window(false);
        bound
    }

    fn set_in_window(&mut self, inside: bool) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.in_window = inside;
        }
    }

    fn window_parts(
        &mut self,
        name: &str,
        call: &Call,
        over: &Over,
        place: Place,
    ) -> Result<Expression> {
        let arguments = self.expressions(&call.arguments)?;
        let resolved = self.resolve(name, call, &arguments, place)?;
        if !resolved.function.is_window() && !resolved.function.is_aggregate() {
            return Err(self.error(
                SqlState::WRONG_OBJECT_TYPE,
                place,
                format!(
                    "OVER specified, but {name} is not a window function nor an aggregate function"
                ),
            ));
        }
        if call.filter.is_some() && !resolved.function.is_aggregate() {
            return Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                place,
                "FILTER is not implemented for non-aggregate window functions",
            ));
        }
        let arguments = self.call_arguments(
            &resolved.arguments,
            arguments,
            &super::call::argument_places(call),
        )?;
        let arguments = arguments
            .into_iter()
            .map(|argument| self.resolve_unknown(argument, place))
            .collect::<Result<Vec<_>>>()?;
        let filter = match &call.filter {
            Some(filter) => Some(self.condition(filter, "FILTER")?),
            None => None,
        };
        let spec = match over {
            Over::Inline(spec) => self.merged_window(spec)?,
            Over::Named(name) => self.named_window(&name.text, name.place)?,
        };
        let window = Window {
            function: resolved.function,
            arguments,
            filter,
            partition_by: self.partition(&spec)?,
            order_by: self.sort_keys(&spec.order_by)?,
            frame: match &spec.frame {
                Some(frame) => Some(self.frame(frame, &spec, place)?),
                None => None,
            },
        };
        let result = self.with_fields(window.function, &window.arguments, resolved.result);
        Ok(coerce::padded(Expression {
            ty: super::call::unpadded(&result, &window.arguments),
            kind: ExpressionKind::Window(Box::new(window)),
        }))
    }

    fn partition(&mut self, spec: &WindowSpec) -> Result<Vec<Expression>> {
        let mut keys = Vec::with_capacity(spec.partition_by.len());
        for expr in &spec.partition_by {
            let key = self.expression(expr)?;
            let key = self.resolve_unknown(key, expr.place)?;
            self.groupable(&key.ty, expr.place)?;
            keys.push(key);
        }
        Ok(keys)
    }

    fn named_window(&self, name: &str, place: Place) -> Result<WindowSpec> {
        let scope = self.scopes.last();
        let mut windows = scope.iter().flat_map(|scope| &scope.windows);
        match windows.find(|(known, _)| known == name) {
            Some((_, spec)) => self.merged_window(spec),
            None => Err(self.error(
                SqlState::UNDEFINED_OBJECT,
                place,
                format!("window \"{name}\" does not exist"),
            )),
        }
    }

    /// A window that builds on a named one.
    fn merged_window(&self, spec: &WindowSpec) -> Result<WindowSpec> {
        let Some(base) = &spec.base else {
            return Ok(spec.clone());
        };
        let mut merged = self.named_window(&base.text, base.place)?;
        let refused = |message: String| self.error(SqlState::WINDOWING_ERROR, base.place, message);
        if !spec.partition_by.is_empty() {
            return Err(refused(format!(
                "cannot override PARTITION BY clause of window \"{}\"",
                base.text
            )));
        }
        if !spec.order_by.is_empty() {
            if !merged.order_by.is_empty() {
                return Err(refused(format!(
                    "cannot override ORDER BY clause of window \"{}\"",
                    base.text
                )));
            }
            merged.order_by.clone_from(&spec.order_by);
        }
        if merged.frame.is_some() {
            return Err(refused(format!(
                "cannot copy window \"{}\" because it has a frame clause",
                base.text
            )));
        }
        merged.frame.clone_from(&spec.frame);
        merged.base = None;
        Ok(merged)
    }

    fn frame(&mut self, frame: &WindowFrame, spec: &WindowSpec, place: Place) -> Result<Frame> {
        if frame.units == FrameUnits::Groups && spec.order_by.is_empty() {
            return Err(self.error(
                SqlState::WINDOWING_ERROR,
                place,
                "GROUPS mode requires an ORDER BY clause",
            ));
        }
        self.check_bounds(frame, place)?;
        let before = self.enter_clause(Clause::Window);
        let start = self.bound(&frame.start, frame.units, spec, place);
        let end = self.bound(&frame.end, frame.units, spec, place);
        self.enter_clause(before);
        Ok(Frame {
            units: frame.units,
            start: start?,
            end: end?,
            exclusion: frame.exclusion,
        })
    }

    /// The end may not lie before the start, as far as their words tell.
    fn check_bounds(&self, frame: &WindowFrame, place: Place) -> Result<()> {
        let message = match (&frame.start, &frame.end) {
            (WindowBound::CurrentRow, WindowBound::Preceding(_)) => {
                "frame starting from current row cannot have preceding rows"
            }
            (WindowBound::Following(_), WindowBound::Preceding(_)) => {
                "frame starting from following row cannot have preceding rows"
            }
            (WindowBound::Following(_), WindowBound::CurrentRow) => {
                "frame starting from following row cannot have preceding rows"
            }
            _ => return Ok(()),
        };
        Err(self.error(SqlState::WINDOWING_ERROR, place, message))
    }

    fn bound(
        &mut self,
        bound: &WindowBound,
        units: FrameUnits,
        spec: &WindowSpec,
        place: Place,
    ) -> Result<FrameBound> {
        let what = match units {
            FrameUnits::Rows => "ROWS",
            FrameUnits::Range => "RANGE",
            FrameUnits::Groups => "GROUPS",
        };
        let (offset, precedes) = match bound {
            WindowBound::UnboundedPreceding => return Ok(FrameBound::UnboundedPreceding),
            WindowBound::CurrentRow => return Ok(FrameBound::CurrentRow),
            WindowBound::UnboundedFollowing => return Ok(FrameBound::UnboundedFollowing),
            WindowBound::Preceding(offset) => (offset, true),
            WindowBound::Following(offset) => (offset, false),
        };
        let value = match units {
            FrameUnits::Range => self.distance(offset, spec, place)?,
            _ => self.whole_number(offset, what)?,
        };
        let mut names_columns = false;
        crate::plan::visit::columns(&value, &mut |relation, _| {
            let scope = self.scopes.last();
            names_columns |= scope.is_some_and(|scope| scope.relations.contains(&relation));
        });
        if names_columns {
            return Err(self.error(
                SqlState::INVALID_COLUMN_REFERENCE,
                offset.place,
                format!("argument of {what} must not contain variables"),
            ));
        }
        Ok(match precedes {
            true => FrameBound::Preceding(value),
            false => FrameBound::Following(value),
        })
    }

    /// The offset of a RANGE frame, of the type that its one sort key is measured in.
    fn distance(&mut self, offset: &Expr, spec: &WindowSpec, place: Place) -> Result<Expression> {
        let [item] = spec.order_by.as_slice() else {
            return Err(self.error(
                SqlState::WINDOWING_ERROR,
                place,
                "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column",
            ));
        };
        let key = self.expression(&item.by)?;
        let value = self.expression(offset)?;
        let wanted = match &key.ty {
            Type::Int2 | Type::Int4 | Type::Int8 => Type::Int8,
            Type::Float4 | Type::Float8 => Type::Float8,
            Type::Numeric(_) => Type::NUMERIC,
            Type::Date | Type::Time(_) => Type::INTERVAL,
            Type::Timestamp(_) | Type::Timestamptz(_) | Type::Interval(_) => Type::INTERVAL,
            other => {
                let message = format!(
                    "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {}",
                    type_name(other)
                );
                return Err(self.error(SqlState::FEATURE_NOT_SUPPORTED, offset.place, message));
            }
        };
        let fits =
            value.ty == Type::Unknown || coerce::can_coerce(&value.ty, &wanted, Strength::Implicit);
        if !fits {
            let message = format!(
                "RANGE with offset PRECEDING/FOLLOWING is not supported for column type {} and \
                 offset type {}",
                type_name(&key.ty),
                type_name(&value.ty)
            );
            let error = self.error(SqlState::FEATURE_NOT_SUPPORTED, offset.place, message);
            return Err(error.hint("Cast the offset value to an appropriate type."));
        }
        let value = self.coerce(value, &wanted, Strength::Implicit, offset.place)?;
        Ok(evaluate::fold(
            value,
            Volatility::Stable,
            self.binding.context,
        ))
    }
}
