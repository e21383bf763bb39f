//! `pyql_fold_over`: any aggregate of the registry over a window's frame.
//!
//! The frame's rows are kept and folded anew when the frame has moved, since
//! an aggregate cannot take a row back: cost grows with the frame's length.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags, WindowAggregate};

use super::execution::{self, Execution};
use super::functions::{self, Stored, VARIADIC};
use crate::error::{Error, Result, SqlState};
use crate::types::Value;

/// Rows that one frame may hold.
const MAX_FRAME_ROWS: usize = 1_000_000;

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_window_function("pyql_fold_over", VARIADIC, flags, FoldsOver)
}

struct FoldsOver;

struct Frame {
    execution: Arc<Execution>,
    number: usize,
    rows: VecDeque<Vec<Value>>,
    /// The value over `rows`, until they change.
    known: Option<Value>,
}

type State = AssertUnwindSafe<Frame>;

impl Aggregate<State, Option<Stored>> for FoldsOver {
    fn init(&self, call: &mut Context<'_>) -> rusqlite::Result<State> {
        execution::with(|execution| {
            Ok(AssertUnwindSafe(Frame {
                execution: execution.clone(),
                number: functions::number(call)?,
                rows: VecDeque::new(),
                known: None,
            }))
        })
    }

    fn step(&self, call: &mut Context<'_>, frame: &mut State) -> rusqlite::Result<()> {
        frame.0.add(call).map_err(execution::fail)
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        frame: Option<State>,
    ) -> rusqlite::Result<Option<Stored>> {
        match frame {
            Some(mut frame) => frame.0.value().map_err(execution::fail),
            None => Ok(None),
        }
    }
}

impl WindowAggregate<State, Option<Stored>> for FoldsOver {
    fn value(&self, frame: Option<&mut State>) -> rusqlite::Result<Option<Stored>> {
        match frame {
            Some(frame) => frame.0.value().map_err(execution::fail),
            None => Ok(None),
        }
    }

    fn inverse(&self, _: &mut Context<'_>, frame: &mut State) -> rusqlite::Result<()> {
        frame.0.rows.pop_front();
        frame.0.known = None;
        Ok(())
    }
}

impl Frame {
    fn add(&mut self, call: &Context<'_>) -> Result<()> {
        if self.rows.len() >= MAX_FRAME_ROWS {
            return Err(Error::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                "a window's frame holds too many rows",
            ));
        }
        let fold = functions::fold(&self.execution, self.number)?;
        let row = functions::arguments(call, fold.arguments.iter())?;
        self.rows.push_back(row);
        self.known = None;
        Ok(())
    }

    fn value(&mut self) -> Result<Option<Stored>> {
        if self.known.is_none() {
            self.known = Some(self.folded()?);
        }
        Ok(self.known.clone().map(Stored))
    }

    fn folded(&self) -> Result<Value> {
        let fold = functions::fold(&self.execution, self.number)?;
        let mut accumulator = functions::start(&self.execution, fold)?
            .ok_or_else(|| Error::internal("a window's function is no aggregate"))?;
        let mut empty = true;
        for row in &self.rows {
            if !functions::is_skipped(fold, row) {
                accumulator.step(row)?;
                empty = false;
            }
        }
        // As over no rows at all: NULL of all aggregates that come here.
        match empty {
            true => Ok(Value::Null),
            false => accumulator.finish(),
        }
    }
}
