//! Rows of COPY TO STDOUT in each of its formats.

use super::input::SIGNATURE;
use crate::plan::query::OutputColumn;
use crate::plan::statement::{Copy, CopyFormat, CopyHeader};
use crate::types::settings::Io;
use crate::types::{Row, Type, Value, binary, text};

pub(super) struct Output<'a> {
    copy: &'a Copy,
    columns: &'a [OutputColumn],
    io: Io<'a>,
    /// A binary stream has begun.
    started: bool,
    /// Reused for values before their escapes.
    scratch: String,
}

impl<'a> Output<'a> {
    pub(super) fn new(copy: &'a Copy, columns: &'a [OutputColumn], io: Io<'a>) -> Output<'a> {
        Output {
            copy,
            columns,
            io,
            started: false,
            scratch: String::new(),
        }
    }

    pub(super) fn has_header_line(&self) -> bool {
        self.copy.format != CopyFormat::Binary && self.copy.header != CopyHeader::No
    }

    pub(super) fn put_header_line(&self, out: &mut Vec<u8>) {
        for (place, column) in self.columns.iter().enumerate() {
            self.put_delimiter(out, place);
            self.put_field(out, &column.name);
        }
        out.push(b'\n');
    }

    pub(super) fn put_row(&mut self, out: &mut Vec<u8>, row: &Row) {
        if self.copy.format == CopyFormat::Binary {
            return self.put_tuple(out, row);
        }
        for (place, (value, column)) in row.iter().zip(self.columns).enumerate() {
            self.put_delimiter(out, place);
            if value.is_null() {
                out.extend_from_slice(self.copy.null.as_bytes());
                continue;
            }
            if let (Value::Text(text), Type::Text | Type::Varchar(_)) = (value, &column.ty) {
                self.put_field(out, text);
                continue;
            }
            self.scratch.clear();
            text::output(value, &column.ty, self.io, &mut self.scratch);
            self.put_field(out, &self.scratch);
        }
        out.push(b'\n');
    }

    /// What stands before a binary stream's first row, or its trailer, in the
    /// same message: drivers count on that.
    fn put_signature(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0; 8]);
        }
    }

    /// The end of a binary stream.
    pub(super) fn put_trailer(&mut self, out: &mut Vec<u8>) {
        self.put_signature(out);
        out.extend_from_slice(&(-1_i16).to_be_bytes());
    }

    fn put_delimiter(&self, out: &mut Vec<u8>, place: usize) {
        if place > 0 {
            out.push(self.copy.delimiter);
        }
    }

    fn put_field(&self, out: &mut Vec<u8>, field: &str) {
        if self.copy.format == CopyFormat::Csv {
            return self.put_csv(out, field);
        }
        for byte in field.bytes() {
            let escaped = match byte {
                8 => b'b',
                12 => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                11 => b'v',
                b'\\' => b'\\',
                byte if byte == self.copy.delimiter => byte,
                byte => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }

    fn put_csv(&self, out: &mut Vec<u8>, field: &str) {
        let special = |byte: u8| {
            byte == self.copy.delimiter || byte == self.copy.quote || byte == b'\n' || byte == b'\r'
        };
        let lone_end = self.columns.len() == 1 && field == "\\.";
        if field != self.copy.null && !lone_end && !field.bytes().any(special) {
            return out.extend_from_slice(field.as_bytes());
        }
        out.push(self.copy.quote);
        for byte in field.bytes() {
            if byte == self.copy.quote || byte == self.copy.escape {
                out.push(self.copy.escape);
            }
            out.push(byte);
        }
        out.push(self.copy.quote);
    }

    fn put_tuple(&mut self, out: &mut Vec<u8>, row: &Row) {
        self.put_signature(out);
        out.extend_from_slice(&(row.len() as i16).to_be_bytes());
        for (value, column) in row.iter().zip(self.columns) {
            if value.is_null() {
                out.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            binary::send(value, &column.ty, out);
            let length = (out.len() - start - 4) as u32;
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::query::{Body, Query};
    use crate::plan::statement::CopyDirection;
    use crate::types::settings::Settings;

    fn written(format: CopyFormat, header: CopyHeader, row: Vec<Value>) -> String {
        let columns: Vec<OutputColumn> = ["a", "b,"][..row.len()]
            .iter()
            .map(|name| OutputColumn {
                name: (*name).to_owned(),
                ty: Type::Text,
                origin: None,
            })
            .collect();
        let query = Query {
            with: Vec::new(),
            body: Body::Values(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: columns.clone(),
            locks: Vec::new(),
        };
        let csv = format == CopyFormat::Csv;
        let copy = Copy {
            direction: CopyDirection::Out {
                query: Box::new(query),
            },
            format,
            delimiter: if csv { b',' } else { b'\t' },
            null: if csv { "" } else { "\\N" }.to_owned(),
            header,
            quote: b'"',
            escape: b'"',
        };
        let settings = Settings::default();
        let io = Io {
            settings: &settings,
            transaction_time: 0,
        };
        let mut output = Output::new(&copy, &columns, io);
        let mut out = Vec::new();
        if output.has_header_line() {
            output.put_header_line(&mut out);
        }
        output.put_row(&mut out, &row);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn escapes_and_quotes() {
        let row = |a: &str| vec![Value::text(a), Value::Null];
        for (a, text, csv) in [
            ("x", "x\t\\N\n", "x,\n"),
            ("a\tb\\", "a\\tb\\\\\t\\N\n", "a\tb\\,\n"),
            ("a\"b\nc", "a\"b\\nc\t\\N\n", "\"a\"\"b\nc\",\n"),
            ("", "\t\\N\n", "\"\",\n"),
        ] {
            assert_eq!(written(CopyFormat::Text, CopyHeader::No, row(a)), text);
            assert_eq!(written(CopyFormat::Csv, CopyHeader::No, row(a)), csv);
        }
        assert_eq!(
            written(CopyFormat::Csv, CopyHeader::Yes, row("x")),
            "a,\"b,\"\nx,\n"
        );
        let lone = vec![Value::text("\\.")];
        assert_eq!(written(CopyFormat::Csv, CopyHeader::No, lone), "\"\\.\"\n");
    }
}
