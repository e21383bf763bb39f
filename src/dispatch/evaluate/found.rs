//! The rows that a statement's query finds, at once or in portions.

use std::collections::HashSet;

use crate::dispatch::rules::Rules;
use crate::endpoint::{RowStream, Rows};
use crate::error::Result;
use crate::plan::query::{Body, From, Query};
use crate::types::id::Index;
use crate::types::{Row, encode};

/// Rows of one portion.
const PORTION_ROWS: usize = 1000;

/// The rows that a statement's query finds: all at once, or in portions.
pub(super) struct Found {
    /// Where they were read.
    pub index: Index,
    ready: Vec<Row>,
    /// What is still to come, when they are many.
    stream: Option<RowStream>,
}

impl Found {
    /// The rows of a query that needed no look at a table.
    pub(super) fn at_once(index: Index, rows: Vec<Row>) -> Found {
        Found {
            index,
            ready: rows,
            stream: None,
        }
    }

    /// The rows of a query in portions.
    pub(super) fn portions(rows: Rows) -> Found {
        Found {
            index: rows.index,
            ready: Vec::new(),
            stream: Some(rows.stream),
        }
    }

    /// None at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Row>> {
        let Some(stream) = &mut self.stream else {
            return Ok(std::mem::take(&mut self.ready));
        };
        let mut ended = false;
        while self.ready.len() < PORTION_ROWS && !ended {
            match stream {
                RowStream::Ready(rows) => {
                    self.ready.append(rows);
                    ended = true;
                }
                RowStream::Flowing(batches) => match batches.recv().await {
                    Some(batch) => self.ready.extend(batch?),
                    None => ended = true,
                },
            }
        }
        let rest = self.ready.split_off(self.ready.len().min(PORTION_ROWS));
        Ok(std::mem::replace(&mut self.ready, rest))
    }
}

/// Which rows of the target were met before.
pub(super) enum Seen {
    /// A query of the target alone meets each once.
    Never,
    Keys(HashSet<u128>),
}

impl Seen {
    pub(super) fn of(query: &Query) -> Seen {
        match &query.body {
            Body::Select(select) if matches!(&select.from[..], [From::Table { .. }]) => Seen::Never,
            _ => Seen::Keys(HashSet::new()),
        }
    }

    /// The rows of the target, each by the first match it has, and what the
    /// query yields beside it.
    pub(super) fn first(&mut self, rules: &Rules, rows: Vec<Row>) -> Vec<(Row, Row)> {
        let width = rules.table.columns.len();
        let mut found = Vec::with_capacity(rows.len());
        for mut row in rows {
            let rest = row.split_off(width);
            let new = match self {
                Seen::Never => true,
                Seen::Keys(keys) => keys.insert(encode::row_hash(&rules.key_of(&row)).0),
            };
            if new {
                found.push((row, rest));
            }
        }
        found
    }
}
