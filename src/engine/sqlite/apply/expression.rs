//! Expressions kept as canonical text, evaluated over a row at apply: CHECKs
//! of point writes, computed assignments, entries of side tables.
//!
//! Only what the row and the parameters determine belongs here; the planner
//! turns everything else into rows.

use std::sync::Arc;

use crate::catalog::schema::{Schema, Table};
use crate::engine::sqlite::StorageError;
use crate::error::{Error, Result};
use crate::types::{Type, Value};

/// An expression over one table's row, parsed once.
pub(super) struct TableExpression {
    text: String,
}

impl TableExpression {
    pub(super) fn parse(
        text: &str,
        _table: &Arc<Table>,
        _schema: &Arc<Schema>,
    ) -> Result<TableExpression> {
        Ok(TableExpression {
            text: text.to_owned(),
        })
    }

    pub(super) fn evaluate(&self, _row: &[Value], _parameters: &[Value]) -> Result<Value> {
        Err(Error::unsupported(&self.text))
    }

    /// As [`Self::evaluate`], in the form that a column of type `ty` holds.
    pub(super) fn assign(&self, row: &[Value], parameters: &[Value], ty: &Type) -> Result<Value> {
        let _ = ty;
        self.evaluate(row, parameters)
    }
}

/// A column's new value as an expression over its table's old row.
pub(in crate::engine::sqlite) fn evaluate_column<'a>(
    text: &str,
    table: &Arc<Table>,
    schema: &Arc<Schema>,
    ty: &'a Type,
) -> Result<impl Fn(&[Value]) -> Result<Value, StorageError> + 'a, StorageError> {
    let failed = |error: Error| StorageError::failed(error.to_string());
    let expression = TableExpression::parse(text, table, schema).map_err(failed)?;
    Ok(move |row: &[Value]| expression.assign(row, &[], ty).map_err(failed))
}
