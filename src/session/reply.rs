//! What statements answer, in the session's own words.

use std::sync::Arc;

use crate::dispatch::Ran;
use crate::endpoint::RowStream;
use crate::error::SqlState;
use crate::plan::Plan;
use crate::plan::statement::{Copy, ExplainFormat, Statement};
use crate::types::Value;

/// What a statement answers.
pub enum Reply {
    /// Rows of the plan's columns. `tag` is complete (`INSERT 0 3`) or, for
    /// `SELECT`, `FETCH` and the like, wants the number of rows behind it.
    Rows {
        rows: RowStream,
        tag: Tag,
    },
    Done {
        tag: Tag,
    },
    /// The client now sends rows: see [`super::Session::copy_rows`].
    CopyIn(Arc<Copy>),
    CopyOut {
        copy: Arc<Copy>,
        rows: RowStream,
    },
    Empty,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Tag {
    Complete(String),
    /// The command, to be followed by the number of rows that were sent.
    Counted(&'static str),
}

/// A message beside the answer: NOTICE or WARNING.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub severity: &'static str,
    pub state: SqlState,
    pub message: String,
}

/// What ReadyForQuery tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    InTransaction,
    Failed,
}

pub(super) fn done(tag: impl Into<String>) -> Reply {
    Reply::Done {
        tag: Tag::Complete(tag.into()),
    }
}

pub(super) fn reply_of(plan: &Plan, ran: Ran) -> Reply {
    match ran {
        Ran::Rows(rows) => match &plan.statement {
            Statement::Copy(copy) => Reply::CopyOut {
                copy: Arc::new(copy.clone()),
                rows,
            },
            _ => Reply::Rows {
                rows,
                tag: Tag::Counted("SELECT"),
            },
        },
        Ran::Lines(lines) => {
            let rows = match &plan.statement {
                Statement::Explain {
                    format: ExplainFormat::Json,
                    ..
                } => vec![vec![explained_as_json(&lines)]],
                _ => lines
                    .into_iter()
                    .map(|line| vec![Value::text(line)])
                    .collect(),
            };
            Reply::Rows {
                rows: RowStream::Ready(rows),
                tag: Tag::Complete("EXPLAIN".to_owned()),
            }
        }
        Ran::Wrote { rows, returning } => {
            let statement = match &plan.statement {
                Statement::Compound(compound) => compound.main(),
                statement => statement,
            };
            let tag = Tag::Complete(match statement {
                Statement::Insert(_) => format!("INSERT 0 {rows}"),
                Statement::Update(_) => format!("UPDATE {rows}"),
                Statement::Delete(_) => format!("DELETE {rows}"),
                Statement::Truncate { .. } => "TRUNCATE TABLE".to_owned(),
                Statement::Schema(schema) if schema.fill.is_some() => format!("SELECT {rows}"),
                Statement::Schema(schema) => schema.tag.to_owned(),
                _ => "SELECT".to_owned(),
            });
            match returning {
                Some(returned) => Reply::Rows {
                    rows: RowStream::Ready(returned),
                    tag,
                },
                None => Reply::Done { tag },
            }
        }
    }
}

/// The route in the frame that readers of PostgreSQL's JSON expect.
fn explained_as_json(lines: &[String]) -> Value {
    let first = lines.first().map_or("", String::as_str);
    let plan = serde_json::json!([{"Plan": {"Node Type": first, "Route": lines}}]);
    Value::Json(format!("{plan:#}").into())
}
