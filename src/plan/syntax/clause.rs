//! Small syntax of its own: groups, windows, COMMENT ON.

use super::{Expr, Name, Path, SortItem};
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

/// COMMENT ON; `None` takes the comment away.
#[derive(Clone, Debug, PartialEq)]
pub struct Comment {
    pub object: CommentObject,
    pub path: Path,
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CommentObject {
    Table,
    Column,
    Index,
    Sequence,
    /// Of this table.
    Constraint(Path),
    Schema,
    Database,
}
