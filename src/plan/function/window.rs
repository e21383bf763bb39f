//! Functions that only mean something with OVER; engines compute them.

use super::definition::{Definition, window};

pub(super) const TABLES: &[&[Definition]] = &[&[
    window("row_number", "-> int8"),
    window("rank", "-> int8"),
    window("dense_rank", "-> int8"),
    window("percent_rank", "-> float8"),
    window("cume_dist", "-> float8"),
    window("ntile", "int4 -> int4"),
    window("lag", "anyelement -> anyelement"),
    window("lag", "anyelement int4 -> anyelement"),
    window("lag", "anycompatible int4 anycompatible -> anycompatible"),
    window("lead", "anyelement -> anyelement"),
    window("lead", "anyelement int4 -> anyelement"),
    window("lead", "anycompatible int4 anycompatible -> anycompatible"),
    window("first_value", "anyelement -> anyelement"),
    window("last_value", "anyelement -> anyelement"),
    window("nth_value", "anyelement int4 -> anyelement"),
]];
