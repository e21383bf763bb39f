//! SQLite, embedded: one file per replica.

pub mod collations;
pub mod dialect;
pub mod execution;
pub mod functions;
pub mod query;
pub mod rows;
pub mod values;
