//! INSERT, UPDATE and DELETE.

use super::{Expr, FromItem, Name, Path, Place, Query, Target, With};

#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub with: Option<With>,
    pub table: Path,
    pub alias: Option<Name>,
    pub columns: Option<Vec<Name>>,
    pub overriding: Option<Overriding>,
    /// `None` is DEFAULT VALUES.
    pub source: Option<Query>,
    pub on_conflict: Option<OnConflict>,
    pub returning: Vec<Target>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overriding {
    User,
    System,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OnConflict {
    pub place: Place,
    pub target_place: Place,
    pub target: ConflictTarget,
    /// `None` is DO NOTHING.
    pub update: Option<(Vec<Assignment>, Option<Expr>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConflictTarget {
    Any,
    Columns(Vec<Expr>, Option<Expr>),
    Constraint(Name),
}

/// `a = …` or `(a, b) = …`.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub columns: Vec<Name>,
    pub multiple: bool,
    pub value: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    pub with: Option<With>,
    pub table: Path,
    pub alias: Option<Name>,
    pub set: Vec<Assignment>,
    pub from: Vec<FromItem>,
    pub filter: Option<Expr>,
    pub returning: Vec<Target>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    pub with: Option<With>,
    pub table: Path,
    pub alias: Option<Name>,
    pub using: Vec<FromItem>,
    pub filter: Option<Expr>,
    pub returning: Vec<Target>,
}
