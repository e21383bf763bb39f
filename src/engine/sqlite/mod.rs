//! SQLite, embedded: one file per replica.

pub mod collations;
pub mod connections;
pub mod dialect;
pub mod execution;
pub mod functions;
mod plans;
pub mod query;
pub mod read;
pub mod rows;
mod slow;
pub mod values;
