//! A writing statement inside an open transaction: evaluated as a query,
//! claimed, checked, and kept as rows.
//!
//! [`Evaluator`] is one statement at work; each file adds what one kind of
//! statement does, on top of what the files below it offer:
//!
//! - `statement` runs a writing statement, again where something had changed,
//!   as `insert`, `change` or, if it is of several steps, `compound`;
//! - `schema` and `step` change the schema, which rows that are there may
//!   forbid (`existing`); `copy` takes rows in bulk;
//! - `locking` claims what a query yields; `portions` and `room` see to it that
//!   nothing grows without bound;
//! - `constraint` puts rows in and out, with `upsert` for ON CONFLICT,
//!   `reference` for foreign keys, and `deferred` for what is looked at later;
//! - `lookup` finds rows by their keys; `returning` says what was written;
//! - `evaluator` claims and asks, also what `queries` has; `moment`, `found`, `scope` and `writing` are
//!   what all of them hand on.

mod change;
mod compound;
mod constraint;
pub mod copy;
mod deferred;
mod evaluator;
mod existing;
mod found;
mod insert;
mod locking;
mod lookup;
mod moment;
mod portions;
mod queries;
mod reference;
mod returning;
mod room;
mod schema;
mod scope;
mod statement;
mod step;
mod upsert;
mod writing;

pub use evaluator::{Done, Evaluator};
pub(super) use scope::Relations;
pub use writing::Writing;
