//! Fields of composite values: `(record).field`, and system columns.
//!
//! A record's fields are known where it is made: a ROW, a function that
//! yields columns, a table by its alias; and through subqueries in FROM.
//!
//! Not handled: whole rows as values, and records through common tables.

use super::Binder;
use super::scope::{Item, ItemColumn};
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::Returns;
use crate::plan::query::{Body, Query, RelationId};
use crate::plan::syntax::{Expr, Name, Node, Path};
use crate::types::{Type, Value};

/// Names and types of a record's fields.
pub(super) type Fields = Vec<(String, Type)>;

impl Binder<'_> {
    /// Remembers which columns of a subquery are records, and their fields.
    pub(super) fn note_fields(&mut self, relation: RelationId, query: &Query) {
        let Body::Select(select) = &query.body else {
            return;
        };
        for (place, column) in select.projection.iter().enumerate() {
            if let Some(fields) = self.fields_of(column) {
                self.records.insert((relation, place), fields);
            }
        }
    }

    fn fields_of(&self, expression: &Expression) -> Option<Fields> {
        if expression.ty != Type::Record {
            return None;
        }
        match &expression.kind {
            ExpressionKind::Call { function, .. } => match &function.result {
                Returns::Columns(columns) => Some(columns.clone()),
                _ => None,
            },
            ExpressionKind::Record(items) => {
                let named = items.iter().zip(1..);
                let named = named.map(|(item, number)| (format!("f{number}"), item.ty.clone()));
                Some(named.collect())
            }
            ExpressionKind::Column { relation, column } => {
                self.records.get(&(*relation, *column)).cloned()
            }
            _ => None,
        }
    }

    /// `(operand).field`.
    pub(super) fn field(&mut self, operand: &Expr, name: &Name) -> Result<Expression> {
        if let Some(path) = self.whole_row(operand)? {
            let mut path = path.clone();
            path.push(name.clone());
            return self.column(&path, operand.place);
        }
        let record = self.expression(operand)?;
        let fields = self.known_fields(&record, operand, &name.text)?;
        let place = fields.iter().position(|(field, _)| *field == name.text);
        let Some(place) = place else {
            return Err(self.error(
                SqlState::UNDEFINED_COLUMN,
                operand.place,
                format!(
                    "could not identify column \"{}\" in record data type",
                    name.text
                ),
            ));
        };
        self.field_at(record, place, fields[place].1.clone(), operand)
    }

    /// `(operand).*` in a select list.
    pub(super) fn all_fields(&mut self, operand: &Expr) -> Result<Vec<(String, Expression)>> {
        if let Some(path) = self.whole_row(operand)? {
            let columns = self.star(path, operand.place)?;
            let named = columns.into_iter().map(|c| (c.name, c.expression));
            return Ok(named.collect());
        }
        let record = self.expression(operand)?;
        let fields = self.known_fields(&record, operand, "*")?;
        let mut all = Vec::with_capacity(fields.len());
        for (place, (name, ty)) in fields.into_iter().enumerate() {
            let record = self.copy_of(&record)?;
            all.push((name, self.field_at(record, place, ty, operand)?));
        }
        Ok(all)
    }

    /// The path, if it names a relation in sight and no column.
    fn whole_row<'e>(&self, operand: &'e Expr) -> Result<Option<&'e Path>> {
        let Node::Column(path) = &operand.node else {
            return Ok(None);
        };
        let [name] = path.as_slice() else {
            return Ok(None);
        };
        if self.find_bare(name)?.is_some() {
            return Ok(None);
        }
        let mut items = self.scopes.iter().flat_map(|scope| &scope.items);
        let named = items.any(|item| item.named && item.alias == name.text);
        Ok(named.then_some(path))
    }

    fn known_fields(&self, record: &Expression, operand: &Expr, name: &str) -> Result<Fields> {
        if record.ty != Type::Record {
            return Err(self.error(
                SqlState::WRONG_OBJECT_TYPE,
                operand.place,
                format!(
                    "column notation .{name} applied to type {}, which is not a composite type",
                    record.ty
                ),
            ));
        }
        match self.fields_of(record) {
            Some(fields) => Ok(fields),
            None => self.unsupported("selecting a field of this composite value", operand.place),
        }
    }

    fn field_at(
        &mut self,
        record: Expression,
        place: usize,
        ty: Type,
        operand: &Expr,
    ) -> Result<Expression> {
        if let ExpressionKind::Record(mut items) = record.kind {
            return Ok(items.swap_remove(place));
        }
        let number = Expression::constant(Value::Int(place as i64), Type::Int4);
        let mut field = self.builtin("pyql_field", vec![record, number], operand.place)?;
        field.ty = ty;
        Ok(field)
    }

    /// A column that every stored table has beside its own: only the table's
    /// oid is there, NULL where an outer join found no row.
    pub(super) fn system_column(&self, item: &Item, name: &Name) -> Result<Option<ItemColumn>> {
        let (Some(table), Some(relation)) = (&item.table, item.relation) else {
            return Ok(None);
        };
        match name.text.as_str() {
            "tableoid" => {}
            "ctid" | "xmin" | "xmax" | "cmin" | "cmax" => {
                return self.unsupported(&format!("the system column {}", name.text), name.place);
            }
            _ => return Ok(None),
        }
        let key = table.key_positions().first().copied();
        let place = key.or_else(|| table.columns.iter().position(|column| column.not_null));
        let Some(place) = place else {
            return self.unsupported("tableoid of this relation", name.place);
        };
        let oid = Expression::constant(Value::Int(i64::from(table.id.0)), Type::Oid);
        let there = Expression {
            kind: ExpressionKind::IsNull {
                operand: Box::new(Expression::column(
                    relation,
                    place,
                    table.columns[place].ty.clone(),
                )),
                negated: true,
            },
            ty: Type::Bool,
        };
        Ok(Some(ItemColumn {
            name: name.text.clone(),
            expression: Expression {
                kind: ExpressionKind::Case {
                    branches: vec![(there, oid)],
                    otherwise: None,
                },
                ty: Type::Oid,
            },
            origin: None,
            hidden: false,
        }))
    }

    /// The system column that a bare name means.
    pub(super) fn bare_system_column(&self, name: &Name) -> Result<Option<(ItemColumn, usize)>> {
        for (level, scope) in self.scopes.iter().enumerate().rev() {
            let mut found = None;
            for item in scope.items.iter().filter(|item| item.bare) {
                let Some(column) = self.system_column(item, name)? else {
                    continue;
                };
                if found.is_some() {
                    let message = format!("column reference \"{}\" is ambiguous", name.text);
                    let error: Error = self.error(SqlState::AMBIGUOUS_COLUMN, name.place, message);
                    return Err(error);
                }
                found = Some(column);
            }
            if let Some(column) = found {
                return Ok(Some((column, level)));
            }
        }
        Ok(None)
    }
}
