//! RETURNING, and values for the columns of a table.

use std::sync::Arc;

use super::Binder;
use super::compound::is_volatile;
use super::scope::{Clause, Scope};
use crate::catalog::schema::{Column, PrimaryKey, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::evaluate::is_evaluable;
use crate::plan::evaluation::columns_of_others;
use crate::plan::expression::Expression;
use crate::plan::query::{CommonTable, From, RelationId};
use crate::plan::statement::Returning;
use crate::plan::syntax::{Name, Place, Target};
use crate::plan::{given, parse};
use crate::types::id::ObjectId;
use crate::types::{Type, Value};

impl Binder<'_> {
    pub(super) fn returning(&mut self, list: &[Target]) -> Result<Option<Returning>> {
        if list.is_empty() {
            return Ok(None);
        }
        self.enter_clause(Clause::Returning);
        let mut targets = self.targets(list)?;
        self.resolve_targets(&mut targets)?;
        Ok(Some(Returning {
            expressions: targets.expressions,
            columns: targets.columns,
            query: None,
        }))
    }

    /// RETURNING that needs a replica becomes a query over the written rows.
    pub(super) fn query_returning(
        &mut self,
        returning: &mut Option<Returning>,
        (relation, table): (RelationId, &Table),
        from: &[From],
        with: &[CommonTable],
    ) -> Result<()> {
        let Some(returning) = returning else {
            return Ok(());
        };
        if returning.expressions.iter().all(is_evaluable) {
            return Ok(());
        }
        runs_twice(with)?;
        let others = columns_of_others(from, &returning.expressions);
        let id = self.given();
        let row = (relation, table);
        returning.query = Some(given::beside(
            id,
            row,
            &others,
            &returning.expressions,
            with,
        ));
        Ok(())
    }

    /// The places of named columns, each once.
    pub(super) fn written_columns(&self, table: &Table, names: &[Name]) -> Result<Vec<usize>> {
        let mut places: Vec<usize> = Vec::with_capacity(names.len());
        for name in names {
            let place = self.written_column(table, name)?;
            if places.contains(&place) {
                return Err(self.error(
                    SqlState::DUPLICATE_COLUMN,
                    name.place,
                    format!("column \"{}\" specified more than once", name.text),
                ));
            }
            places.push(place);
        }
        Ok(places)
    }

    pub(super) fn written_column(&self, table: &Table, name: &Name) -> Result<usize> {
        match table.column_named(&name.text) {
            Some((place, _)) => Ok(place),
            None => Err(self.error(
                SqlState::UNDEFINED_COLUMN,
                name.place,
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    name.text, table.name
                ),
            )),
        }
    }

    /// A value made what its column holds.
    pub(super) fn assigned(
        &mut self,
        value: Expression,
        column: &Column,
        place: Place,
    ) -> Result<Expression> {
        self.check_assignable(&value.ty, column, place)?;
        self.coerce(value, &column.ty, Strength::Assignment, place)
    }

    pub(super) fn check_assignable(
        &self,
        from: &Type,
        column: &Column,
        place: Place,
    ) -> Result<()> {
        if coerce::can_coerce(from, &column.ty, Strength::Assignment) {
            return Ok(());
        }
        Err(self
            .error(
                SqlState::DATATYPE_MISMATCH,
                place,
                format!(
                    "column \"{}\" is of type {} but expression is of type {}",
                    column.name,
                    column.ty.without_modifier(),
                    from.without_modifier()
                ),
            )
            .hint("You will need to rewrite or cast the expression."))
    }

    /// What a column gets when nothing is given for it.
    pub(super) fn default_of(&mut self, table: &Arc<Table>, place: usize) -> Result<Expression> {
        let column = &table.columns[place];
        if let PrimaryKey::Hidden {
            column: hidden,
            sequence,
        } = table.key
            && column.id == hidden
        {
            return self.next_value(sequence);
        }
        if let Some(identity) = &column.identity {
            let value = self.next_value(identity.sequence)?;
            return self.coerce(value, &column.ty, Strength::Assignment, Place(0));
        }
        let Some(text) = &column.default else {
            return Ok(Expression::constant(Value::Null, column.ty.clone()));
        };
        let value = self.stored_expression(text)?;
        self.coerce(value, &column.ty, Strength::Assignment, Place(0))
    }

    /// An expression of the schema that names no column.
    pub(super) fn stored_expression(&self, text: &str) -> Result<Expression> {
        let syntax = parse::parse_expression(text)?;
        let mut inner = Binder::new(&self.binding, text, &[]);
        inner.scopes.push(Scope {
            clause: Clause::Default,
            ..Scope::default()
        });
        inner.expression(&syntax)
    }

    pub(super) fn next_value(&mut self, sequence: ObjectId) -> Result<Expression> {
        let oid = Value::Int(i64::from(sequence.0));
        let argument = Expression::constant(oid, Type::Regclass);
        self.builtin("nextval", vec![argument], Place(0))
    }

    /// Refuses a value for a column that is always generated.
    pub(super) fn identity_allows(&self, column: &Column) -> Result<()> {
        match &column.identity {
            Some(identity) if identity.always => Err(Error::new(
                SqlState::GENERATED_ALWAYS,
                format!(
                    "cannot insert a non-DEFAULT value into column \"{}\"",
                    column.name
                ),
            )
            .detail(format!(
                "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                column.name
            ))
            .hint("Use OVERRIDING SYSTEM VALUE to override.")),
            _ => Ok(()),
        }
    }
}

/// The common tables of a statement are read again for what it computes of
/// the written rows: they must not change.
pub(super) fn runs_twice(with: &[CommonTable]) -> Result<()> {
    match with.iter().any(|common| is_volatile(&common.query)) {
        true => Err(Error::unsupported(
            "a subquery over written rows beside a volatile WITH query",
        )),
        false => Ok(()),
    }
}
