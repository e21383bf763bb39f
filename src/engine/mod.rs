//! The databases themselves: how each stores values, is asked and is written.

pub mod sqlite;
