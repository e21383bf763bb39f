//! ParameterDescription and RowDescription: what a statement takes and gives.

use super::encode::{Format, Formats};
use super::frame::{put_empty, put_message, put_string};
use crate::plan::Plan;
use crate::plan::query::OutputColumn;
use crate::plan::statement::Statement;

/// The plan answers rows, if only of no columns. COPY has columns, but sends
/// them its own way.
pub(super) fn returns_rows(plan: &Plan) -> bool {
    match plan.statement {
        Statement::Query(_) => true,
        Statement::Copy(_) => false,
        Statement::Compound(ref compound) if matches!(compound.main(), Statement::Query(_)) => true,
        _ => !plan.columns.is_empty(),
    }
}

/// Appends ParameterDescription.
pub(super) fn put_parameters(out: &mut Vec<u8>, plan: &Plan) {
    put_message(out, b't', |out| {
        out.extend_from_slice(&(plan.parameters.len() as u16).to_be_bytes());
        for ty in &plan.parameters {
            out.extend_from_slice(&ty.oid().to_be_bytes());
        }
    });
}

/// Appends RowDescription, or NoData for a plan that gives no rows.
pub(super) fn put_result(out: &mut Vec<u8>, plan: &Plan, formats: &Formats) {
    if returns_rows(plan) {
        put_columns(out, &plan.columns, formats);
    } else {
        put_empty(out, b'n');
    }
}

/// Appends RowDescription.
pub(super) fn put_columns(out: &mut Vec<u8>, columns: &[OutputColumn], formats: &Formats) {
    put_message(out, b'T', |out| {
        out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
        for (place, column) in columns.iter().enumerate() {
            put_column(out, column, formats.of(place));
        }
    });
}

fn put_column(out: &mut Vec<u8>, column: &OutputColumn, format: Format) {
    let (table, attribute) = column.origin.unwrap_or((0, 0));
    put_string(out, &column.name);
    out.extend_from_slice(&table.to_be_bytes());
    out.extend_from_slice(&attribute.to_be_bytes());
    out.extend_from_slice(&column.ty.oid().to_be_bytes());
    out.extend_from_slice(&column.ty.length().to_be_bytes());
    out.extend_from_slice(&column.ty.modifier().to_be_bytes());
    out.extend_from_slice(&format.code().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use pgwire::messages::data::RowDescription;
    use pgwire::messages::{DecodeContext, Message, ProtocolVersion};

    use super::*;
    use crate::types::Type;

    #[test]
    fn columns_read_back() {
        let columns = [
            OutputColumn {
                name: "a".to_owned(),
                ty: Type::Varchar(Some(20)),
                origin: Some((16384, 2)),
            },
            OutputColumn {
                name: "?column?".to_owned(),
                ty: Type::Int8,
                origin: None,
            },
        ];
        let mut out = Vec::new();
        put_columns(&mut out, &columns, &Formats::All(Format::Binary));
        let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_0);
        let mut bytes = BytesMut::from(&out[..]);
        let read = RowDescription::decode(&mut bytes, &context)
            .unwrap()
            .unwrap();
        assert!(bytes.is_empty());
        let [a, b] = &read.fields[..] else {
            panic!("two columns");
        };
        assert_eq!((a.name.as_str(), a.table_id, a.column_id), ("a", 16384, 2));
        assert_eq!((a.type_id, a.type_size, a.type_modifier), (1043, -1, 24));
        assert_eq!((b.type_id, b.type_size, b.type_modifier), (20, 8, -1));
        assert_eq!((b.table_id, b.column_id, b.format_code), (0, 0, 1));
    }
}
