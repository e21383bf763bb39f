//! Client protocols: they decode, call the session, encode.

pub mod http;
