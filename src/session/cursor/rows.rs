//! The rows of one cursor, and where it stands among them.
//!
//! Positions are PostgreSQL's: 0 before the first row, n on the n-th, one past
//! the last at the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::session::cancel::check_cancel;
use crate::types::{Row, Value};

/// What the cursors of a session may hold of rows: enough for results that
/// people scroll through, little enough for many sessions at once.
pub(super) const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a cursor that was not declared SCROLL keeps to go back to.
pub(super) const RECENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes held by all cursors of a session.
#[derive(Clone, Default)]
pub(in crate::session) struct Budget(Arc<AtomicUsize>);

/// Which of the rows it has passed a cursor keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum Keep {
    Nothing,
    /// All, until they are [`RECENT_BYTES_MAX`]; then none any more.
    Recent,
    All,
}

pub(in crate::session) struct CursorRows {
    /// Rows from number `dropped + 1` on.
    kept: VecDeque<Row>,
    dropped: u64,
    more: Option<RowStream>,
    position: u64,
    keep: Keep,
    bytes: usize,
    budget: Budget,
}

/// How many rows were passed, and those that were asked for.
type Passed = (u64, Vec<Row>);

impl CursorRows {
    pub(in crate::session) fn new(rows: RowStream, keep: Keep, budget: Budget) -> CursorRows {
        CursorRows {
            kept: VecDeque::new(),
            dropped: 0,
            more: Some(rows),
            position: 0,
            keep,
            bytes: 0,
            budget,
        }
    }

    /// So many rows onward, or backward if negative; 0 is the current row again.
    pub(in crate::session) async fn step(
        &mut self,
        count: i64,
        take: bool,
        token: &CancellationToken,
    ) -> Result<Passed> {
        match count {
            0 => self.current(take),
            1.. => self.forward(count.unsigned_abs(), take, token).await,
            _ => self.backward(count.unsigned_abs(), take),
        }
    }

    /// The row of this number, from the end if negative, 0 is before the first.
    pub(in crate::session) async fn absolute(
        &mut self,
        place: i64,
        take: bool,
        token: &CancellationToken,
    ) -> Result<Passed> {
        let distance = place.unsigned_abs();
        if place < 0 {
            self.forward(u64::MAX, false, token).await?;
            self.backward(distance - 1, false)?;
            return self.backward(1, take);
        }
        if distance <= self.position {
            self.must_scroll()?;
            self.position = distance.saturating_sub(1);
        } else {
            let between = distance - self.position - 1;
            self.forward(between, false, token).await?;
        }
        match distance {
            0 => Ok((0, Vec::new())),
            _ => self.forward(1, take, token).await,
        }
    }

    /// The row so many behind the current one.
    pub(in crate::session) async fn relative(
        &mut self,
        by: i64,
        take: bool,
        token: &CancellationToken,
    ) -> Result<Passed> {
        let distance = by.unsigned_abs();
        match by {
            0 => self.current(take),
            1.. => {
                self.forward(distance - 1, false, token).await?;
                self.forward(1, take, token).await
            }
            _ => {
                self.backward(distance - 1, false)?;
                self.backward(1, take)
            }
        }
    }

    /// All that is left. Where nothing has to be kept of many rows, the first
    /// of them and the stream of the others.
    pub(in crate::session) async fn take_all(
        &mut self,
        token: &CancellationToken,
    ) -> Result<(Vec<Row>, Option<mpsc::Receiver<Result<Vec<Row>>>>)> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(row) = self.next(token).await? {
            bytes += row_bytes(&row);
            taken.push(row);
            if self.keep != Keep::Nothing || bytes < RECENT_BYTES_MAX {
                continue;
            }
            if let Some(RowStream::Flowing(_)) = &self.more {
                taken.extend(self.kept.drain(..));
                self.account(0);
                // The stream is given away: this is the end.
                self.dropped = self.position;
                self.position += 1;
                if let Some(RowStream::Flowing(rest)) = self.more.take() {
                    return Ok((taken, Some(rest)));
                }
            }
        }
        Ok((taken, None))
    }

    /// Reads to the end, so that nothing flows any more; stays where it is.
    pub(in crate::session) async fn take_in(&mut self, token: &CancellationToken) -> Result<()> {
        if self.keep == Keep::Recent {
            self.keep = Keep::All;
        }
        while self.more.is_some() {
            self.pull(token).await?;
        }
        Ok(())
    }

    async fn forward(
        &mut self,
        count: u64,
        take: bool,
        token: &CancellationToken,
    ) -> Result<Passed> {
        let mut taken = Vec::new();
        let mut passed = 0;
        let mut bytes = 0;
        while passed < count {
            let Some(row) = self.next(token).await? else {
                break;
            };
            passed += 1;
            if take {
                bytes += row_bytes(&row);
                check_size(bytes)?;
                taken.push(row);
            }
        }
        Ok((passed, taken))
    }

    fn backward(&mut self, count: u64, take: bool) -> Result<Passed> {
        if count == 0 {
            return Ok((0, Vec::new()));
        }
        self.must_scroll()?;
        let passed = count.min(self.position.saturating_sub(1));
        let first = self.position.saturating_sub(1);
        let taken = match take {
            true => (0..passed)
                .filter_map(|back| self.kept.get((first - back - 1) as usize).cloned())
                .collect(),
            false => Vec::new(),
        };
        self.position = match passed == count {
            true => self.position - passed,
            false => 0,
        };
        Ok((passed, taken))
    }

    /// The current row, if the cursor stands on one.
    fn current(&mut self, take: bool) -> Result<Passed> {
        if take && self.position > 0 {
            self.must_scroll()?;
        }
        let on_row = self.position > 0 && self.position <= self.dropped + self.kept.len() as u64;
        if !on_row || !take {
            return Ok((u64::from(on_row), Vec::new()));
        }
        let place = (self.position - self.dropped - 1) as usize;
        Ok((1, self.kept.get(place).cloned().into_iter().collect()))
    }

    /// Steps onto the next row and gives it, or past the end.
    async fn next(&mut self, token: &CancellationToken) -> Result<Option<Row>> {
        loop {
            let place = (self.position - self.dropped) as usize;
            if place < self.kept.len() {
                self.position += 1;
                if self.keep != Keep::Nothing {
                    return Ok(self.kept.get(place).cloned());
                }
                let row = self.kept.pop_front();
                self.dropped += 1;
                self.account(self.bytes - row.as_deref().map_or(0, row_bytes).min(self.bytes));
                return Ok(row);
            }
            if place > self.kept.len() {
                return Ok(None);
            }
            if self.more.is_none() {
                self.position += 1;
                return Ok(None);
            }
            self.pull(token).await?;
        }
    }

    /// Takes in what comes next.
    async fn pull(&mut self, token: &CancellationToken) -> Result<()> {
        check_cancel(token)?;
        let batch = match &mut self.more {
            None => return Ok(()),
            Some(RowStream::Ready(rows)) => {
                let rows = std::mem::take(rows);
                self.more = None;
                rows
            }
            Some(RowStream::Flowing(batches)) => match batches.recv().await {
                Some(batch) => batch?,
                None => {
                    self.more = None;
                    return Ok(());
                }
            },
        };
        let bytes = batch.iter().map(|row| row_bytes(row)).sum::<usize>();
        self.kept.extend(batch);
        self.account(self.bytes + bytes);
        if self.keep == Keep::Recent && self.bytes > RECENT_BYTES_MAX {
            self.forget();
        }
        check_size(self.budget.0.load(Ordering::Relaxed))
    }

    /// From now on there is no way back.
    fn forget(&mut self) {
        self.keep = Keep::Nothing;
        let passed = ((self.position - self.dropped) as usize).min(self.kept.len());
        let bytes: usize = self.kept.drain(..passed).map(|row| row_bytes(&row)).sum();
        self.dropped += passed as u64;
        self.account(self.bytes - bytes.min(self.bytes));
    }

    fn must_scroll(&self) -> Result<()> {
        if self.keep != Keep::Nothing || self.position == 0 {
            return Ok(());
        }
        Err(Error::new(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "cursor can only scan forward",
        )
        .hint("Declare it with SCROLL option to enable backward scan."))
    }

    fn account(&mut self, bytes: usize) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for CursorRows {
    fn drop(&mut self) {
        self.account(0);
    }
}

fn check_size(bytes: usize) -> Result<()> {
    match bytes <= HELD_BYTES_MAX {
        true => Ok(()),
        false => Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("cursors of a session hold at most {HELD_BYTES_MAX} bytes of rows"),
        )),
    }
}

/// About what a row takes in memory.
fn row_bytes(row: &[Value]) -> usize {
    let behind = row.iter().map(value_bytes).sum::<usize>();
    std::mem::size_of::<Row>() + std::mem::size_of_val(row) + behind
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) | Value::Jsonb(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Numeric(_) => 32,
        Value::Array(array) => row_bytes(&array.values),
        Value::Record(values) => row_bytes(values),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::statement::FetchCount;

    fn cursor(count: i64, keep: Keep) -> CursorRows {
        let rows = (1..=count).map(|n| vec![Value::Int(n)]).collect();
        CursorRows::new(RowStream::Ready(rows), keep, Budget::default())
    }

    fn shown((passed, rows): Passed) -> String {
        let numbers = rows.iter().map(|row| match row.as_slice() {
            [Value::Int(number)] => number.to_string(),
            other => format!("{other:?}"),
        });
        format!("{passed}:{}", numbers.collect::<Vec<_>>().join(","))
    }

    /// What PostgreSQL 15 answers, step by step, over five rows.
    #[tokio::test]
    async fn scrolling() {
        use FetchCount as F;
        let token = CancellationToken::new();
        let walks: &[&[(F, &str)]] = &[
            &[
                (F::Rows(0), "0:"),
                (F::Rows(2), "2:1,2"),
                (F::Rows(0), "1:2"),
                (F::Rows(-1), "1:1"),
                (F::Rows(-1), "0:"),
                (F::Rows(1), "1:1"),
                (F::ALL, "4:2,3,4,5"),
                (F::Rows(0), "0:"),
                (F::Rows(1), "0:"),
                (F::Rows(-2), "2:5,4"),
                (F::BACKWARD_ALL, "3:3,2,1"),
                (F::Rows(1), "1:1"),
            ],
            &[
                (F::Absolute(3), "1:3"),
                (F::Absolute(1), "1:1"),
                (F::Absolute(-1), "1:5"),
                (F::Absolute(-5), "1:1"),
                (F::Absolute(-6), "0:"),
                (F::Rows(1), "1:1"),
                (F::Absolute(9), "0:"),
                (F::Rows(-1), "1:5"),
                (F::Absolute(0), "0:"),
                (F::Rows(1), "1:1"),
                (F::Absolute(5), "1:5"),
                (F::Rows(1), "0:"),
                (F::Absolute(5), "1:5"),
            ],
            &[
                (F::Relative(2), "1:2"),
                (F::Relative(0), "1:2"),
                (F::Relative(-1), "1:1"),
                (F::Relative(-1), "0:"),
                (F::Relative(6), "0:"),
                (F::Relative(-1), "1:5"),
                (F::Relative(i64::MAX), "0:"),
                (F::Relative(i64::MIN), "0:"),
                (F::Rows(i64::MIN), "0:"),
            ],
        ];
        for walk in walks {
            for keep in [Keep::All, Keep::Recent] {
                let mut rows = cursor(5, keep);
                for (step, expected) in *walk {
                    let passed = match *step {
                        F::Rows(count) => rows.step(count, true, &token).await,
                        F::Absolute(place) => rows.absolute(place, true, &token).await,
                        F::Relative(by) => rows.relative(by, true, &token).await,
                    };
                    assert_eq!(shown(passed.unwrap()), *expected, "{step:?} of {walk:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn forward_only() {
        let token = CancellationToken::new();
        let mut rows = cursor(5, Keep::Nothing);
        assert_eq!(shown(rows.step(-1, true, &token).await.unwrap()), "0:");
        assert_eq!(shown(rows.absolute(2, true, &token).await.unwrap()), "1:2");
        assert_eq!(shown(rows.step(0, false, &token).await.unwrap()), "1:");
        for (wrong, place) in [(-1, 1), (0, 2)] {
            let states = [
                rows.step(wrong, true, &token).await.unwrap_err().state(),
                rows.absolute(place, true, &token)
                    .await
                    .unwrap_err()
                    .state(),
            ];
            assert_eq!(states, [SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE; 2]);
        }
        assert_eq!(shown(rows.step(9, true, &token).await.unwrap()), "3:3,4,5");
        assert_eq!(rows.budget.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_is_held_is_bounded() {
        let token = CancellationToken::new();
        let (sender, receiver) = mpsc::channel(1);
        let budget = Budget::default();
        let mut rows = CursorRows::new(RowStream::Flowing(receiver), Keep::All, budget.clone());
        let text: Arc<str> = "x".repeat(RECENT_BYTES_MAX).into();
        let sending = async {
            while sender
                .send(Ok(vec![vec![Value::Text(text.clone())]]))
                .await
                .is_ok()
            {}
        };
        let failed = tokio::select! {
            failed = rows.take_in(&token) => failed.unwrap_err(),
            () = sending => panic!("nothing bounded it"),
        };
        assert_eq!(failed.state(), SqlState::PROGRAM_LIMIT_EXCEEDED);
        drop(rows);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
