//! Rows of COPY FROM STDIN, found in bytes that come in any pieces.

use bytes::{Buf, BytesMut};

use super::fields::{Field, Layout};
use crate::error::{Error, Result, SqlState};
use crate::frontend::pg::message::{Reader, text};
use crate::plan::statement::{Copy, CopyFormat, CopyHeader};
use crate::types::settings::Io;
use crate::types::{Row, Type, Value, binary, text as text_format};

/// How a binary stream begins.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The flag of a binary stream that has oids, and all others that would
/// change its meaning.
const CRITICAL_FLAGS: i32 = 0xffff_0000_u32 as i32;

/// The longest line or binary row that we wait for.
const MAX_ROW: usize = 256 * 1024 * 1024;

/// Bytes of input that make a batch.
const BATCH_SIZE: usize = 256 * 1024;

/// A column that the stream fills.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) ty: Type,
}

/// What has come and is no row yet.
pub(super) struct Input {
    pending: BytesMut,
    /// How much of `pending` is known to hold no whole row.
    searched: usize,
    columns: Vec<Column>,
    format: Format,
    header: CopyHeader,
    /// Lines or binary rows so far, the header among them.
    line: u64,
    /// The client has ended its stream.
    closed: bool,
    /// The stream has said itself that it ends here.
    ended: bool,
}

enum Format {
    Lines(Layout),
    Binary,
}

impl Input {
    pub(super) fn new(copy: &Copy, columns: Vec<Column>) -> Input {
        let format = match copy.format {
            CopyFormat::Text => Format::Lines(Layout::new(copy, false)),
            CopyFormat::Csv => Format::Lines(Layout::new(copy, true)),
            CopyFormat::Binary => Format::Binary,
        };
        Input {
            pending: BytesMut::new(),
            searched: 0,
            columns,
            format,
            header: copy.header,
            line: 0,
            closed: false,
            ended: false,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.pending.extend_from_slice(bytes);
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.searched = 0;
    }

    /// Enough has come for a batch. A long row is looked through again only
    /// when it has grown by half.
    pub(super) fn is_due(&self) -> bool {
        let waiting = self.pending.len() - self.searched;
        waiting >= BATCH_SIZE.max(self.searched / 2)
    }

    /// At most `limit` rows; none when the next is not there yet.
    pub(super) fn rows(&mut self, limit: usize, io: Io<'_>) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while rows.len() < limit && !self.ended {
            let row = match self.format {
                Format::Lines(_) => self.line(io)?,
                Format::Binary => self.tuple()?,
            };
            match row {
                Some(Some(row)) => rows.push(row),
                Some(None) => {}
                None => {
                    self.searched = self.pending.len();
                    if self.searched > MAX_ROW {
                        return Err(Error::new(
                            SqlState::PROGRAM_LIMIT_EXCEEDED,
                            "a row of COPY data is too long",
                        ));
                    }
                    break;
                }
            }
        }
        Ok(rows)
    }

    /// The next line's row; `Some(None)` for a line that is none.
    fn line(&mut self, io: Io<'_>) -> Result<Option<Option<Row>>> {
        let Format::Lines(layout) = &self.format else {
            return Ok(None);
        };
        let Some((length, with_end)) = layout.line(&self.pending, self.closed) else {
            return Ok(None);
        };
        let line = self.pending.split_to(with_end);
        let line = &line[..length];
        self.searched = 0;
        self.line += 1;
        if line == b"\\." {
            self.ended = true;
            return Ok(Some(None));
        }
        if self.line == 1 && self.header != CopyHeader::No {
            if self.header == CopyHeader::Match {
                self.check_header(&layout.fields(line)?)?;
            }
            return Ok(Some(None));
        }
        let fields = layout.fields(line)?;
        let row = fields
            .iter()
            .zip(&self.columns)
            .map(|(field, column)| self.value(field, column, io))
            .collect::<Result<Row>>()?;
        if fields.len() > self.columns.len() {
            return Err(bad("extra data after last expected column"));
        }
        if let Some(missing) = self.columns.get(fields.len()) {
            return Err(bad(format!("missing data for column \"{}\"", missing.name)));
        }
        Ok(Some(Some(row)))
    }

    fn value(&self, field: &Field<'_>, column: &Column, io: Io<'_>) -> Result<Value> {
        let Some(bytes) = field else {
            return Ok(Value::Null);
        };
        let text = text(bytes)?;
        if text.contains('\0') {
            return Err(Error::new(
                SqlState::CHARACTER_NOT_IN_REPERTOIRE,
                "invalid byte sequence for encoding \"UTF8\": 0x00",
            ));
        }
        text_format::input(text, &column.ty, io)
    }

    fn check_header(&self, fields: &[Field<'_>]) -> Result<()> {
        if fields.len() != self.columns.len() {
            return Err(bad(format!(
                "wrong number of fields in header line: got {}, expected {}",
                fields.len(),
                self.columns.len()
            )));
        }
        for (place, (field, column)) in fields.iter().zip(&self.columns).enumerate() {
            let name = field.as_ref().map(|name| String::from_utf8_lossy(name));
            if name.as_deref() != Some(&column.name) {
                return Err(bad(format!(
                    "column name mismatch in header line field {}: got {}, expected \"{}\"",
                    place + 1,
                    name.map_or("null value".to_owned(), |name| format!("\"{name}\"")),
                    column.name
                )));
            }
        }
        Ok(())
    }

    /// The next binary row; `Some(None)` for the header and the trailer.
    fn tuple(&mut self) -> Result<Option<Option<Row>>> {
        let before = self.pending.len();
        let mut reader = Reader::new(&self.pending);
        let read = if self.line == 0 {
            header(&mut reader).map(|()| None)
        } else {
            tuple(&mut reader, &self.columns)
        };
        let used = before - reader.rest().len();
        match read {
            // The error of a short read: the rest has yet to come.
            Err(error) if error.state() == SqlState::PROTOCOL_VIOLATION => {
                if self.closed && before > 0 {
                    return Err(bad("unexpected EOF in COPY data"));
                }
                Ok(None)
            }
            Err(error) => Err(error),
            Ok(row) => {
                self.ended = row.is_none() && self.line > 0;
                self.line += 1;
                self.searched = 0;
                self.pending.advance(used);
                Ok(Some(row))
            }
        }
    }
}

fn header(reader: &mut Reader<'_>) -> Result<()> {
    if reader.bytes(SIGNATURE.len())? != SIGNATURE {
        return Err(bad("COPY file signature not recognized"));
    }
    let flags = reader.i32()?;
    if flags & CRITICAL_FLAGS != 0 {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    let extension = usize::try_from(reader.i32()?)
        .map_err(|_| bad("invalid COPY file header (wrong length)"))?;
    reader.bytes(extension).map(drop)
}

/// One row, or `None` for the trailer.
fn tuple(reader: &mut Reader<'_>, columns: &[Column]) -> Result<Option<Row>> {
    let count = reader.i16()?;
    if count == -1 {
        return Ok(None);
    }
    if usize::try_from(count) != Ok(columns.len()) {
        return Err(bad(format!(
            "row field count is {count}, expected {}",
            columns.len()
        )));
    }
    // All of it first, so that a value's own error is not taken for a short read.
    let values = columns
        .iter()
        .map(|_| reader.value())
        .collect::<Result<Vec<_>>>()?;
    let row = values
        .iter()
        .zip(columns)
        .map(|(value, column)| match value {
            None => Ok(Value::Null),
            Some(bytes) => binary::receive(bytes, &column.ty).map_err(not_a_short_read),
        })
        .collect::<Result<_>>()?;
    Ok(Some(row))
}

fn not_a_short_read(error: Error) -> Error {
    match error.state() {
        SqlState::PROTOCOL_VIOLATION => Error::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            error.message().to_owned(),
        ),
        _ => error,
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}
