//! Window functions: SQLite's own under the same names, aggregates as
//! `pyql_fold_over`.
//!
//! Not handled: RANGE frames with an offset over numeric and interval, or in
//! months; sums of an int8 and its offset out of int8's range, which SQLite
//! rounds.

use super::compute::call;
use super::select::direction;
use super::{Fold, FoldKind, Renderer};
use crate::error::{Error, Result};
use crate::plan::expression::{
    Exclusion, Expression, ExpressionKind, Frame, FrameBound, FrameUnits, Window,
};
use crate::types::datetime::MICROSECONDS_PER_DAY;
use crate::types::{Type, Value};

/// i64's least, which has no decimal literal in SQLite.
const LEAST: &str = "0x8000000000000000";

/// The same in both, given the same frame.
const SHARED: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

impl Renderer<'_> {
    pub(super) fn window(&mut self, window: &Window, result: &Type) -> Result<String> {
        let name = window.function.name;
        let mut sql = if SHARED.contains(&name) {
            format!("{name}({})", self.list(&window.arguments)?)
        } else {
            match self.native_aggregate(window.function, &window.arguments, false)? {
                Some(native) => native,
                None if window.function.is_aggregate() => self.fold_over(window, result)?,
                None => {
                    return Err(Error::unsupported(format_args!(
                        "{name} as a window function"
                    )));
                }
            }
        };
        if let Some(filter) = &window.filter {
            let filter = self.expression(filter)?;
            sql.push_str(&format!(" FILTER (WHERE {filter})"));
        }
        let mut parts = Vec::new();
        if !window.partition_by.is_empty() {
            let mut keys = Vec::new();
            for key in &window.partition_by {
                keys.push(self.collated(key)?);
            }
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        let measured = window.frame.as_ref().is_some_and(has_distance);
        if !window.order_by.is_empty() {
            let mut keys = Vec::new();
            for (key, descending, nulls_first) in &window.order_by {
                let key = match measured {
                    true => self.measured(key)?,
                    false => self.collated(key)?,
                };
                keys.push(key + direction(*descending, *nulls_first));
            }
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if let Some(frame) = &window.frame {
            parts.push(self.frame(frame)?);
        }
        Ok(format!("{sql} OVER ({})", parts.join(" ")))
    }

    fn fold_over(&mut self, window: &Window, result: &Type) -> Result<String> {
        let mut arguments = Vec::new();
        for argument in &window.arguments {
            arguments.push(self.expression(argument)?);
        }
        let number = self.out.folds.len();
        self.out.folds.push(Fold {
            kind: FoldKind::Aggregate(window.function),
            arguments: window.arguments.iter().map(|a| a.ty.clone()).collect(),
            result: result.clone(),
            distinct: false,
            order: Vec::new(),
        });
        Ok(call("pyql_fold_over", number, &arguments))
    }

    /// A sort key as a number that the offsets of a RANGE frame add to.
    fn measured(&mut self, key: &Expression) -> Result<String> {
        let sql = self.expression(key)?;
        match &key.ty {
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8 => Ok(sql),
            Type::Time(_) => Ok(sql),
            // What is infinite stays so, whatever is added.
            Type::Timestamp(_) | Type::Timestamptz(_) => Ok(format!(
                "(CASE {sql} WHEN {} THEN 9e999 WHEN {LEAST} THEN -9e999 ELSE {sql} END)",
                i64::MAX
            )),
            Type::Date => Ok(format!(
                "(CASE {sql} WHEN {} THEN 9e999 WHEN ({}) THEN -9e999 \
                 ELSE {sql} * {MICROSECONDS_PER_DAY} END)",
                i32::MAX,
                i32::MIN
            )),
            ty => Err(Error::unsupported(format_args!(
                "a RANGE frame with an offset over type {ty}"
            ))),
        }
    }

    fn frame(&mut self, frame: &Frame) -> Result<String> {
        let units = match frame.units {
            FrameUnits::Rows => "ROWS",
            FrameUnits::Range => "RANGE",
            FrameUnits::Groups => "GROUPS",
        };
        let exclusion = match frame.exclusion {
            Exclusion::NoOthers => "",
            Exclusion::CurrentRow => " EXCLUDE CURRENT ROW",
            Exclusion::Group => " EXCLUDE GROUP",
            Exclusion::Ties => " EXCLUDE TIES",
        };
        let start = self.bound(&frame.start)?;
        let end = self.bound(&frame.end)?;
        Ok(format!("{units} BETWEEN {start} AND {end}{exclusion}"))
    }

    fn offset(&mut self, offset: &Expression) -> Result<String> {
        match (&offset.ty, &offset.kind) {
            (Type::Interval(_), ExpressionKind::Constant(Value::Interval(span))) => {
                let days = i128::from(span.days) * i128::from(MICROSECONDS_PER_DAY);
                let whole = i64::try_from(days + i128::from(span.microseconds));
                match whole {
                    Ok(microseconds) if span.months == 0 => Ok(microseconds.to_string()),
                    _ => Err(Error::unsupported("a RANGE frame with an offset in months")),
                }
            }
            (Type::Interval(_) | Type::Numeric(_), _) => Err(Error::unsupported(
                "a RANGE frame with an offset of this type that is no constant",
            )),
            _ => self.expression(offset),
        }
    }

    fn bound(&mut self, bound: &FrameBound) -> Result<String> {
        Ok(match bound {
            FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
            FrameBound::Preceding(offset) => format!("{} PRECEDING", self.offset(offset)?),
            FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            FrameBound::Following(offset) => format!("{} FOLLOWING", self.offset(offset)?),
            FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
        })
    }
}

/// A RANGE frame whose bounds lie some distance off.
fn has_distance(frame: &Frame) -> bool {
    let mut bounds = [&frame.start, &frame.end].into_iter();
    frame.units == FrameUnits::Range
        && bounds.any(|bound| matches!(bound, FrameBound::Preceding(_) | FrameBound::Following(_)))
}
