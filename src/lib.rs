//! pyql: one SQL endpoint over full copies of the same rows on different engines.
//!
//! # The life of a statement
//!
//! `UPDATE stocks SET qty = qty + 1 WHERE order_num = 2` from psql:
//!
//! 1. [`frontend::pg`] reads the message and asks its [`session`] to plan the text.
//! 2. [`plan::parse`] makes a syntax tree, [`plan::bind`] resolves names and types
//!    against the data cluster's schema: a [`plan::Plan`], which is data.
//! 3. The session adds what the statement may know ([`plan::context`]: time,
//!    settings, chance) and hands the plan to [`dispatch`], which holds the one
//!    `match` on it.
//! 4. A write by full primary key is a *point write* ([`dispatch::point`]): what
//!    does not depend on the row is pinned to constants, its key is claimed in a
//!    mode that agrees with other point writes. Anything else is evaluated once
//!    ([`dispatch::evaluate`]): as a query on one replica, its keys claimed, its
//!    constraints looked up, its rows kept in the transaction until COMMIT.
//! 5. The sequencer ([`dispatch::write`]) gathers what waits into one entry and
//!    proposes it to the [`log`]: one fsync for the batch.
//! 6. Once agreed, each replica's task ([`replica::deliver`]) sends it to its
//!    [`endpoint`], which applies it with its [`engine`] in one database
//!    transaction together with the applied index, the chain and the outcomes.
//!    The endpoint has usually *prepared* it while the log was at work: then it
//!    only commits.
//! 7. The [`replica::tally`] compares what the replicas say. When all in-sync
//!    replicas have applied it and agree, the claims fall and the client hears.
//!
//! A SELECT goes from [`dispatch::read`] to one in-sync replica that holds a
//! lease; its rows leave when no other in-sync replica is behind on the tables
//! they came from.
//!
//! # Layers
//!
//! Imports point right only, and `tidy.rs` holds the order as a test; files of
//! one layer import each other one way too, but for those that
//! `tidy/circles.rs` lists:
//!
//! `cli → sandbox → node → frontend → session → dispatch → system → replica →
//! log → endpoint → engine → plan → auth → catalog → types → error → tls,
//! metrics, runtime`
//!
//! Invariants, each an absence: nothing in `plan`, `auth`, `catalog` does I/O;
//! front ends never see an endpoint or an engine; nothing behind `session` knows
//! whether a plan came from SQL or JSON; the log's state machine touches no
//! endpoint, clock or randomness (delivery may fail, apply may not); pgwire is
//! named only in `frontend::pg`, openraft only in `log`.
//!
//! # Glossary
//!
//! - **applied index**: how far a replica has applied the log; kept in its own
//!   database, changed in the same transaction as the rows.
//! - **chain**: a hash over all that a replica has applied; equal on all.
//! - **claim**: a key that an open transaction or a write under way holds.
//! - **data cluster**: a named set of tables kept as full copies by its replicas.
//! - **deliverer**: the task that brings entries to one replica.
//! - **endpoint**: what owns one database connection and serves it.
//! - **engine**: the kind of database behind an endpoint.
//! - **incarnation**: one uninterrupted life of an endpoint's database.
//! - **index**: a position in the log.
//! - **lease**: a replica's right to answer strong reads, for half a second.
//! - **leader**: the node that orders writes; **sequencer**: its part that does.
//! - **log**: the agreed entries of the one Raft group over all nodes.
//! - **node**: a process with front ends and a vote.
//! - **opening**: the entry with which a sequencer starts.
//! - **outcome**: success, or an error that the data themselves cause; the same
//!   on every replica. A **fault** is a failure of one replica.
//! - **prepared**: carried out by a replica in a transaction that stays open until
//!   the entry is agreed on; seen by nobody, and rolled back if another one comes.
//! - **plan**: one statement, names resolved, as data.
//! - **point write**: a write by full primary key that needs no look at other rows.
//! - **replica**: one endpoint's copy of one data cluster.
//! - **settled**: the chain that in-sync replicas agreed on at an index.
//! - **stable index**: how far all in-sync replicas have applied the log.

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
