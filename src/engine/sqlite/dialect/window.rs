//! Window functions: those that SQLite has under the same names.
//!
//! Not handled: aggregates over windows that SQLite does not compute alike
//! (`avg`, `sum` of bigint, numeric or floats, lists), RANGE frames with an
//! offset over anything but numbers.

use super::Renderer;
use super::select::direction;
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
    pub(super) fn window(&mut self, window: &Window) -> Result<String> {
        let name = window.function.name;
        let mut sql = if SHARED.contains(&name) {
            format!("{name}({})", self.list(&window.arguments)?)
        } else {
            self.native_aggregate(window.function, &window.arguments, false)?
                .ok_or_else(|| Error::unsupported(format_args!("{name} as a window function")))?
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
