//! Window functions: SQLite's own under the same names, aggregates as
//! `pyql_fold_over`.
//!
//! Not handled: RANGE frames with an offset over anything but numbers.

use super::compute::call;
use super::select::direction;
use super::{Fold, FoldKind, Renderer};
use crate::error::{Error, Result};
use crate::plan::expression::{Expression, Frame, FrameBound, FrameUnits, Window};
use crate::types::Type;

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
        if !window.order_by.is_empty() {
            let mut keys = Vec::new();
            for (key, descending, nulls_first) in &window.order_by {
                keys.push(self.collated(key)? + direction(*descending, *nulls_first));
            }
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        if let Some(frame) = &window.frame {
            parts.push(self.frame(frame, &window.order_by)?);
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

    fn frame(&mut self, frame: &Frame, order_by: &[(Expression, bool, bool)]) -> Result<String> {
        let units = match frame.units {
            FrameUnits::Rows => "ROWS",
            FrameUnits::Range => "RANGE",
            FrameUnits::Groups => "GROUPS",
        };
        let has_offset = [&frame.start, &frame.end]
            .into_iter()
            .any(|bound| matches!(bound, FrameBound::Preceding(_) | FrameBound::Following(_)));
        let over_numbers = order_by.iter().all(|(key, _, _)| {
            key.ty.is_integer() || matches!(key.ty, Type::Float4 | Type::Float8)
        });
        if has_offset && frame.units == FrameUnits::Range && !over_numbers {
            return Err(Error::unsupported(
                "a RANGE frame with an offset over this type",
            ));
        }
        let start = self.bound(&frame.start)?;
        let end = self.bound(&frame.end)?;
        Ok(format!("{units} BETWEEN {start} AND {end}"))
    }

    fn bound(&mut self, bound: &FrameBound) -> Result<String> {
        Ok(match bound {
            FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
            FrameBound::Preceding(offset) => format!("{} PRECEDING", self.expression(offset)?),
            FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            FrameBound::Following(offset) => format!("{} FOLLOWING", self.expression(offset)?),
            FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
        })
    }
}
