//! Agreement: one log for the whole group, over openraft, which is named nowhere else.

pub mod command;
