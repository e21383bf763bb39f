//! pyql: one SQL endpoint over copies of the same rows on different engines.

pub mod auth;
pub mod catalog;
pub mod cli;
pub mod dispatch;
pub mod endpoint;
pub mod engine;
pub mod error;
pub mod frontend;
pub mod log;
pub mod metrics;
pub mod node;
pub mod plan;
pub mod replica;
pub mod runtime;
pub mod sandbox;
pub mod session;
pub mod system;
pub mod tls;
pub mod types;

pub use cli::run;

#[cfg(test)]
mod tidy;
