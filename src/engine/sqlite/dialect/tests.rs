//! SQL as rendered, and its answers.
