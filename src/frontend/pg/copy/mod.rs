//! COPY: the sub-protocol in which rows travel as a stream of bytes.
//!
//! Where one CopyData ends and the next begins means nothing: [`input`] finds
//! the rows, whatever the format; [`output`] writes them.
//!
//! Not handled: clients in another encoding, FORCE_QUOTE and its kin.

mod fields;
mod input;
mod output;

use std::sync::Arc;

use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};

use super::connection::{Connection, attended};
use super::encode::{put_empty, put_message};
use super::error::{Stop, protocol_violation};
use super::message::lone_string;
use super::rows::RowSource;
use super::startup::put;
use super::wire::{FLUSH_SIZE, protocol_fatal};
use crate::endpoint::RowStream;
use crate::error::{Error, Result, SqlState};
use crate::plan::statement::{Copy, CopyDirection, CopyFormat};
use crate::types::settings::Io;
use input::{Column, Input};
use output::Output;

/// Rows handed to the session at a time.
const BATCH_ROWS: usize = 1000;

/// How a client ends its stream.
enum End {
    Done,
    Failed(String),
}

impl Connection {
    /// Takes the rows of COPY FROM STDIN; gives their number.
    pub(super) async fn copy_in(&mut self, copy: &Arc<Copy>) -> Result<u64, Stop> {
        let columns = columns_in(copy)?;
        let format = format_code(copy);
        let formats = vec![i16::from(format); columns.len()];
        let response = CopyInResponse::new(format, formats.len() as i16, formats);
        put(&mut self.wire, &response)?;
        self.wire.flush().await?;
        let mut input = Input::new(copy, columns);
        let failure = match self.receive(&mut input).await {
            Ok(End::Done) => return Ok(self.copy_end(None).await?),
            Ok(End::Failed(message)) => Error::new(
                SqlState::QUERY_CANCELED,
                format!("COPY from stdin failed: {message}"),
            )
            .context(input.next_place()),
            Err(Stop::Statement(error)) => error,
            Err(stop) => return Err(stop),
        };
        // What the session says to that is no news: it is told why above.
        let _ = self.copy_end(Some(failure.message().to_owned())).await;
        Err(failure.into())
    }

    async fn copy_end(&mut self, failed: Option<String>) -> Result<u64> {
        let canceller = self.session.canceller();
        let end = self.session.copy_end(failed);
        attended(&mut self.wire, &canceller, end).await
    }

    async fn receive(&mut self, input: &mut Input) -> Result<End, Stop> {
        let mut stopped = std::pin::pin!(self.session.copy_stopped());
        loop {
            let frame = tokio::select! {
                biased;
                error = &mut stopped => return Err(error.context(input.next_place()).into()),
                frame = self.next_frame() => frame?,
            };
            let end = match frame.tag {
                b'd' => {
                    input.push(&frame.body);
                    None
                }
                b'c' => {
                    input.close();
                    Some(End::Done)
                }
                b'f' => return Ok(End::Failed(lone_string(&frame.body)?.to_owned())),
                // Drivers that send Sync or Flush too early are forgiven.
                b'H' | b'S' => continue,
                other => {
                    let error = protocol_violation(format!(
                        "unexpected message type 0x{other:02X} during COPY from stdin"
                    ));
                    self.fail(&error.context(input.next_place()));
                    return Err(protocol_fatal(
                        "terminating connection because protocol synchronization was lost",
                    ));
                }
            };
            self.take_batches(input, end.is_some()).await?;
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Hands rows on once there are enough of them, at the end all of them.
    async fn take_batches(&mut self, input: &mut Input, all: bool) -> Result<(), Stop> {
        while input.is_due() || all {
            let settings = Arc::clone(self.session.settings());
            let io = Io {
                settings: &settings,
                transaction_time: self.session.transaction_time(),
            };
            let rows = input.rows(BATCH_ROWS, io)?;
            if rows.is_empty() {
                return Ok(());
            }
            let canceller = self.session.canceller();
            let take = self.session.copy_rows(rows);
            attended(&mut self.wire, &canceller, take).await?;
        }
        Ok(())
    }

    /// Sends the rows of COPY TO STDOUT; gives their number.
    pub(super) async fn copy_out(
        &mut self,
        copy: &Arc<Copy>,
        rows: RowStream,
    ) -> Result<u64, Stop> {
        let CopyDirection::Out { query } = &copy.direction else {
            return Err(Error::internal("rows for a COPY FROM STDIN").into());
        };
        let format = format_code(copy);
        let formats = vec![i16::from(format); query.columns.len()];
        put(
            &mut self.wire,
            &CopyOutResponse::new(format, formats.len() as i16, formats),
        )?;
        let settings = Arc::clone(self.session.settings());
        let io = Io {
            settings: &settings,
            transaction_time: self.session.transaction_time(),
        };
        let mut output = Output::new(copy, &query.columns, io);
        if output.has_header_line() {
            put_message(&mut self.wire.out, b'd', |out| output.put_header_line(out));
        }
        let mut source = RowSource::from(rows);
        let mut count = 0;
        loop {
            while let Some(row) = source.ready() {
                put_message(&mut self.wire.out, b'd', |out| output.put_row(out, &row));
                count += 1;
                if self.wire.out.len() >= FLUSH_SIZE {
                    self.wire.flush().await?;
                }
            }
            let canceller = self.session.canceller();
            if !attended(&mut self.wire, &canceller, source.wait()).await? {
                break;
            }
        }
        if copy.format == CopyFormat::Binary {
            put_message(&mut self.wire.out, b'd', |out| output.put_trailer(out));
        }
        put_empty(&mut self.wire.out, b'c');
        Ok(count)
    }
}

fn format_code(copy: &Copy) -> i8 {
    i8::from(copy.format == CopyFormat::Binary)
}

fn columns_in(copy: &Copy) -> Result<Vec<Column>> {
    let CopyDirection::In { table, columns, .. } = &copy.direction else {
        return Err(Error::internal("COPY TO STDOUT asks for rows"));
    };
    columns
        .iter()
        .map(|place| {
            let column = table
                .columns
                .get(*place)
                .ok_or_else(|| Error::internal("COPY names a column that the table lacks"))?;
            Ok(Column {
                name: column.name.clone(),
                ty: column.ty.clone(),
            })
        })
        .collect()
}
