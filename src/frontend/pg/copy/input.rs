//! Rows of COPY FROM STDIN, found in bytes that come in any pieces.

use std::borrow::Cow;

use bytes::{Buf, BytesMut};

use super::fields::{Field, Layout};
use crate::error::{Error, Result, SqlState};
use crate::frontend::pg::message::{Reader, text_value};
use crate::plan::statement::{Copy, CopyDirection, CopyFormat, CopyHeader};
use crate::types::settings::Io;
use crate::types::{Row, Type, Value, binary};

/// How a binary stream begins.
pub(super) const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The flag of a binary stream that has oids, and all others that would
/// change its meaning.
const CRITICAL_FLAGS: i32 = 0xffff_0000_u32 as i32;

/// The longest line or binary row that we wait for.
const MAX_ROW: usize = 256 * 1024 * 1024;

/// Bytes of input that make a batch.
const BATCH_SIZE: usize = 256 * 1024;

/// Characters of a line or value that an error's context shows, as in PostgreSQL.
const MAX_CONTEXT: usize = 100;

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
    table: String,
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
        let table = match &copy.direction {
            CopyDirection::In { table, .. } => table.name.clone(),
            CopyDirection::Out { .. } => String::new(),
        };
        Input {
            pending: BytesMut::new(),
            searched: 0,
            table,
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
        self.row(layout, line, io).map(|row| Some(Some(row)))
    }

    fn row(&self, layout: &Layout, line: &[u8], io: Io<'_>) -> Result<Row> {
        let whole_line = |error: Error| {
            let line = String::from_utf8_lossy(line);
            let line = shortened(&line);
            error.context(format!("{}: \"{line}\"", self.place()))
        };
        let fields = layout.fields(line).map_err(whole_line)?;
        let row = fields
            .iter()
            .zip(&self.columns)
            .map(|(field, column)| self.value(field, column, io))
            .collect::<Result<Row>>()?;
        if fields.len() > self.columns.len() {
            return Err(whole_line(bad("extra data after last expected column")));
        }
        if let Some(missing) = self.columns.get(fields.len()) {
            let message = format!("missing data for column \"{}\"", missing.name);
            return Err(whole_line(bad(message)));
        }
        Ok(row)
    }

    fn place(&self) -> String {
        format!("COPY {}, line {}", self.table, self.line)
    }

    /// Where the next row would have stood.
    pub(super) fn next_place(&self) -> String {
        format!("COPY {}, line {}", self.table, self.line + 1)
    }

    fn value(&self, field: &Field<'_>, column: &Column, io: Io<'_>) -> Result<Value> {
        let Some(bytes) = field else {
            return Ok(Value::Null);
        };
        text_value(bytes, &column.ty, io).map_err(|error| {
            let text = String::from_utf8_lossy(bytes);
            let text = shortened(&text);
            error.context(format!(
                "{}, column {}: \"{text}\"",
                self.place(),
                column.name
            ))
        })
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

/// As much of a text as an error's context shows.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MAX_CONTEXT) {
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::settings::Settings;

    fn input(csv: bool, header: CopyHeader) -> Input {
        let layout = Layout::of(csv);
        Input {
            pending: BytesMut::new(),
            searched: 0,
            table: "t".to_owned(),
            columns: ["a", "b"]
                .map(|name| Column {
                    name: name.to_owned(),
                    ty: Type::Text,
                })
                .into(),
            format: Format::Lines(layout),
            header,
            line: 0,
            closed: false,
            ended: false,
        }
    }

    /// The rows, as `a|b`, when the bytes come in pieces of this size.
    fn rows(mut input: Input, bytes: &[u8], piece: usize) -> Result<Vec<String>> {
        let settings = Settings::default();
        let io = Io {
            settings: &settings,
            transaction_time: 0,
        };
        let mut rows = Vec::new();
        for piece in bytes.chunks(piece) {
            input.push(piece);
            rows.extend(input.rows(2, io)?);
        }
        input.close();
        loop {
            match input.rows(2, io)? {
                more if more.is_empty() => break,
                more => rows.extend(more),
            }
        }
        let text = |value: &Value| match value {
            Value::Text(text) => text.to_string(),
            other => format!("{other:?}"),
        };
        Ok(rows
            .iter()
            .map(|row| row.iter().map(text).collect::<Vec<_>>().join("|"))
            .collect())
    }

    #[test]
    fn pieces_mean_nothing() {
        for piece in 1..40 {
            let text = input(false, CopyHeader::No);
            assert_eq!(
                rows(text, b"1\tx\\\ny\r\n\\N\tz\n3\tlast", piece).unwrap(),
                ["1|x\ny", "Null|z", "3|last"]
            );
            let csv = input(true, CopyHeader::Match);
            assert_eq!(
                rows(csv, b"a,b\n1,\"x\n\"\"y\"\n,z\n\\.\nrest", piece).unwrap(),
                ["1|x\n\"y", "Null|z"]
            );
        }
    }

    #[test]
    fn lines_that_do_not_fit() {
        for (bytes, message, context) in [
            (
                &b"1\t2\n1\n"[..],
                "missing data for column \"b\"",
                "COPY t, line 2: \"1\"",
            ),
            (
                b"1\t2\t3\n",
                "extra data after last expected column",
                "COPY t, line 1: \"1\t2\t3\"",
            ),
        ] {
            let error = rows(input(false, CopyHeader::No), bytes, 99).unwrap_err();
            assert_eq!(error.state(), SqlState::BAD_COPY_FILE_FORMAT);
            assert_eq!(error.message(), message);
            assert_eq!(error.report().context.as_deref(), Some(context));
        }
        let wrong = rows(input(true, CopyHeader::Match), b"a,c\n1,2\n", 99);
        assert_eq!(
            wrong.unwrap_err().message(),
            "column name mismatch in header line field 2: got \"c\", expected \"b\""
        );
    }
}
