//! The clauses of SELECT with a syntax of their own: groups and windows.

use super::{Expr, Name, SortItem};
use crate::plan::expression::{Exclusion, FrameUnits};

/// GROUP BY; the grouping sets of all its items are crossed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupBy {
    /// Equal sets count once.
    pub distinct: bool,
    pub items: Vec<GroupItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GroupItem {
    /// One set: `a`, `(a, b)` or `()`.
    Keys(Vec<Expr>),
    Rollup(Vec<Vec<Expr>>),
    Cube(Vec<Vec<Expr>>),
    Sets(Vec<GroupItem>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    Named(Name),
    Inline(Box<WindowSpec>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct WindowSpec {
    pub base: Option<Name>,
    pub partition_by: Vec<Expr>,
    pub order_by: Vec<SortItem>,
    pub frame: Option<WindowFrame>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WindowFrame {
    pub units: FrameUnits,
    pub start: WindowBound,
    pub end: WindowBound,
    pub exclusion: Exclusion,
}

#[derive(Clone, Debug, PartialEq)]
pub enum WindowBound {
    UnboundedPreceding,
    Preceding(Expr),
    CurrentRow,
    Following(Expr),
    UnboundedFollowing,
}
