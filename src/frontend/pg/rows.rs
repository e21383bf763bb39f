//! Sends rows as they come: never a whole result in memory.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::connection::{Connection, attended};
use super::encode::{Encoder, Formats, put_complete, put_complete_counted};
use super::error::Stop;
use super::wire::FLUSH_SIZE;
use crate::endpoint::RowStream;
use crate::error::Result;
use crate::plan::Plan;
use crate::session::Tag;
use crate::types::Row;
use crate::types::settings::Io;

/// Rows on their way, with a place to stop and go on.
pub(super) struct RowSource {
    ready: std::vec::IntoIter<Row>,
    more: Option<mpsc::Receiver<Result<Vec<Row>>>>,
}

/// How far a run of [`Connection::send_rows`] came.
pub(super) struct Sent {
    pub(super) rows: u64,
    /// The limit stopped it; there may be more.
    pub(super) stopped: bool,
}

impl From<RowStream> for RowSource {
    fn from(stream: RowStream) -> RowSource {
        match stream {
            RowStream::Ready(rows) => RowSource {
                ready: rows.into_iter(),
                more: None,
            },
            RowStream::Flowing(more) => RowSource {
                ready: Vec::new().into_iter(),
                more: Some(more),
            },
        }
    }
}

impl RowSource {
    /// The next row among those that are here.
    pub(super) fn ready(&mut self) -> Option<Row> {
        self.ready.next()
    }

    /// Waits for more rows; false at the end.
    pub(super) async fn wait(&mut self) -> Result<bool> {
        let Some(more) = &mut self.more else {
            return Ok(false);
        };
        match more.recv().await {
            Some(rows) => {
                self.ready = rows?.into_iter();
                Ok(true)
            }
            None => {
                self.more = None;
                Ok(false)
            }
        }
    }
}

impl Connection {
    /// Sends rows up to the limit or their end.
    pub(super) async fn send_rows(
        &mut self,
        source: &mut RowSource,
        plan: &Plan,
        formats: &Formats,
        limit: Option<usize>,
    ) -> Result<Sent, Stop> {
        let settings = Arc::clone(self.session.settings());
        let names = self
            .session
            .naming(&mut plan.columns.iter().map(|column| &column.ty))?;
        let mut encoder = Encoder {
            names,
            columns: &plan.columns,
            formats,
            io: Io {
                settings: &settings,
                transaction_time: self.session.transaction_time(),
            },
            scratch: &mut self.scratch,
        };
        let limit = limit.map_or(u64::MAX, |limit| limit as u64);
        let mut rows = 0;
        loop {
            while let Some(row) = source.ready() {
                encoder.put_row(&mut self.wire.out, &row)?;
                rows += 1;
                if self.wire.out.len() >= FLUSH_SIZE {
                    self.wire.flush().await?;
                }
                if rows == limit {
                    return Ok(Sent {
                        rows,
                        stopped: true,
                    });
                }
            }
            if source.more.is_none() {
                break;
            }
            let canceller = self.session.canceller();
            if !attended(&mut self.wire, &canceller, source.wait()).await? {
                break;
            }
        }
        Ok(Sent {
            rows,
            stopped: false,
        })
    }

    /// Appends CommandComplete, after the notices of its statement.
    pub(super) fn put_tag(&mut self, tag: &Tag, rows: u64) {
        self.put_notices();
        match tag {
            Tag::Complete(tag) => put_complete(&mut self.wire.out, tag),
            Tag::Counted(command) => put_complete_counted(&mut self.wire.out, command, rows),
        }
    }
}
