//! SQLite, embedded: one file per replica.

pub mod collations;
pub mod values;
