//! Expressions kept as canonical text, evaluated over a row at apply: CHECKs
//! of point writes, computed assignments, entries of side tables.
//!
//! Only what the row and the parameters determine belongs here; the planner
//! turns everything else into rows.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::catalog::schema::{Schema, Table};
use crate::error::Result;
use crate::plan::bind::{Binding, table_expression};
use crate::plan::context::{Context, RandomState, Variables};
use crate::plan::evaluate::{Scope, evaluate};
use crate::plan::expression::Expression;
use crate::plan::query::RelationId;
use crate::types::settings::{Io, Settings};
use crate::types::{Type, Value, cast};

/// An expression over one table's row, parsed once.
pub(super) struct TableExpression {
    expression: Expression,
    relation: RelationId,
    context: Context,
}

impl TableExpression {
    pub(super) fn parse(
        text: &str,
        table: &Arc<Table>,
        schema: &Arc<Schema>,
    ) -> Result<TableExpression> {
        let context = constant_context(schema);
        let binding = Binding {
            schema: &context.schema,
            system: &context.system,
            context: &context,
        };
        let (expression, relation) = table_expression(text, table, &binding)?;
        Ok(TableExpression {
            expression,
            relation,
            context,
        })
    }

    pub(super) fn ty(&self) -> &Type {
        &self.expression.ty
    }

    pub(super) fn evaluate(&self, row: &[Value], parameters: &[Value]) -> Result<Value> {
        let scope = RowScope {
            relation: self.relation,
            row,
            parameters,
        };
        evaluate(&self.expression, &scope, &self.context)
    }

    /// As [`Self::evaluate`], in the form that a column of type `ty` holds.
    pub(super) fn assign(&self, row: &[Value], parameters: &[Value], ty: &Type) -> Result<Value> {
        let value = self.evaluate(row, parameters)?;
        let value = if self.ty() == ty || value.is_null() {
            value
        } else {
            let io = Io {
                settings: &self.context.settings,
                transaction_time: 0,
            };
            cast::cast(&value, self.ty(), ty, false, io)?
        };
        Ok(match value {
            Value::Float(0.0) => Value::Float(0.0), // -0 is equal and is stored as 0
            other => other,
        })
    }
}

struct RowScope<'a> {
    relation: RelationId,
    row: &'a [Value],
    parameters: &'a [Value],
}

impl Scope for RowScope<'_> {
    fn column(&self, relation: RelationId, column: usize) -> Option<&Value> {
        (relation == self.relation).then(|| self.row.get(column))?
    }

    fn parameter(&self, index: usize) -> Option<&Value> {
        self.parameters.get(index)
    }
}

/// A context that is the same on every replica: no clock, no chance, no settings.
pub(crate) fn constant_context(schema: &Arc<Schema>) -> Context {
    Context {
        settings: Arc::new(Settings::default()),
        transaction_time: 0,
        statement_time: 0,
        user: Arc::from(""),
        database: Arc::from(""),
        database_oid: 0,
        schema: Arc::clone(schema),
        system: Arc::new(Schema::default()),
        users: Arc::default(),
        random: Mutex::new(RandomState(0)),
        sequences: None,
        variables: Arc::new(NoVariables),
    }
}

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _name: &str) -> Option<String> {
        None
    }
}

/// A column's new value as an expression over its table's old row.
pub struct Conversion {
    expression: TableExpression,
    ty: Type,
}

impl Conversion {
    pub fn parse(
        text: &str,
        table: &Arc<Table>,
        schema: &Arc<Schema>,
        ty: &Type,
    ) -> Result<Conversion> {
        Ok(Conversion {
            expression: TableExpression::parse(text, table, schema)?,
            ty: ty.clone(),
        })
    }

    pub fn of(&self, row: &[Value]) -> Result<Value> {
        self.expression.assign(row, &[], &self.ty)
    }
}
