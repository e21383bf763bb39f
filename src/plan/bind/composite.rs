//! Fields of composite values: `(record).field`, and system columns.
//!
//! A record's fields are known where it is made: a ROW, a function that
//! yields columns, a table by its alias; and through subqueries in FROM.
//!
//! A whole row as a value is a cast of a ROW of its columns: its type names
//! them, and it compares as a value, not column by column.
//!
//! A relation without a column that is never null gets one more where a whole
//! row of it may be missing.
//!
//! Not handled: records of unknown fields through common tables.

use super::Binder;
use super::scope::{Item, ItemColumn};
use crate::catalog::schema::Table;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::{FunctionRef, Returns};
use crate::plan::query::{Body, Distinct, From, OutputColumn, Query, RelationId, Select};
use crate::plan::syntax::{Expr, Name, Node, Path, Place};
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
        match &expression.ty {
            Type::Row(fields) => return Some(fields.clone()),
            Type::Record => {}
            _ => return None,
        }
        match &expression.kind {
            ExpressionKind::Call { function, .. } => match &function.result {
                Returns::Columns(columns) => Some(columns.clone()),
                _ => None,
            },
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
        if !record.ty.is_record() {
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

    /// The row of the relation that a path names, as one value.
    pub(super) fn whole_row_of(&mut self, path: &Path, place: Place) -> Result<Expression> {
        let (level, item) = self.qualified_item(path, path)?;
        let columns: Vec<ItemColumn> = item.visible().cloned().collect();
        for column in &columns {
            self.note_use(column, level, place, Some(item.alias.clone()));
        }
        let present = self.presence(&item, level, place)?;
        let fields = columns.iter();
        let fields = fields.map(|column| (column.name.clone(), column.expression.ty.clone()));
        let ty = Type::Row(fields.collect());
        let items = columns.into_iter().map(|column| column.expression);
        let row = Expression {
            kind: ExpressionKind::Record(items.collect()),
            ty: ty.clone(),
        };
        let value = Expression {
            kind: ExpressionKind::Cast {
                operand: Box::new(row),
                explicit: false,
            },
            ty: ty.clone(),
        };
        Ok(match present {
            None => value,
            Some(present) => Expression {
                kind: ExpressionKind::Case {
                    branches: vec![(present, value)],
                    otherwise: None,
                },
                ty,
            },
        })
    }

    /// What tells whether an outer join has found a row of the item; `None` if
    /// it always has one.
    fn presence(&mut self, item: &Item, level: usize, place: Place) -> Result<Option<Expression>> {
        let nullable = item.relation.filter(|relation| {
            let scope = self.scopes.get(level);
            scope.is_some_and(|scope| scope.nullable.contains(relation))
        });
        let Some(relation) = nullable else {
            return Ok(None);
        };
        let stored = item.table.as_deref();
        match stored.and_then(|table| presence_in(table, relation)) {
            Some(present) => Ok(Some(present)),
            None => self.marked_presence(item, relation, level, place).map(Some),
        }
    }

    /// The mark that a relation gets beside its columns: see `mark_rows`.
    fn marked_presence(
        &mut self,
        item: &Item,
        relation: RelationId,
        level: usize,
        place: Place,
    ) -> Result<Expression> {
        let scope = self.scopes.get_mut(level);
        let Some(scope) = scope.filter(|scope| scope.markable) else {
            return self.unsupported("a whole row that an outer join may leave out", place);
        };
        let columns = item.columns.iter().map(|column| OutputColumn {
            name: column.name.clone(),
            ty: column.expression.ty.clone(),
            origin: None,
        });
        scope.marked.insert(relation, columns.collect());
        let mark = Expression::column(relation, item.columns.len(), Type::Bool);
        Ok(Expression {
            kind: ExpressionKind::IsNull {
                operand: Box::new(mark),
                negated: true,
            },
            ty: Type::Bool,
        })
    }

    /// Gives the relations that were asked for it one more column, which is
    /// true in every row of theirs.
    pub(super) fn mark_rows(&mut self, from: &mut From) {
        if self
            .scopes
            .last()
            .is_none_or(|scope| scope.marked.is_empty())
        {
            return;
        }
        if let From::Join { left, right, .. } = from {
            self.mark_rows(left);
            self.mark_rows(right);
            return;
        }
        let within = self.relation();
        let mut inner = from.clone();
        let (relation, alias, is_lateral) = match &mut inner {
            From::Table {
                relation, alias, ..
            }
            | From::Common {
                relation, alias, ..
            } => (relation, alias, false),
            From::Subquery {
                relation,
                alias,
                lateral,
                ..
            } => (relation, alias, std::mem::take(lateral)),
            From::Function {
                relation, alias, ..
            } => (relation, alias, true),
            From::Join { .. } => return,
        };
        let scope = self.scopes.last();
        let columns = scope.and_then(|scope| scope.marked.get(relation));
        let Some(columns) = columns.cloned() else {
            return;
        };
        let (outer, alias) = (std::mem::replace(relation, within), alias.clone());
        *from = From::Subquery {
            relation: outer,
            query: Box::new(marked(inner, within, columns)),
            alias,
            lateral: is_lateral,
        };
    }

    /// Rows compare by all their fields, so each must have an equality.
    pub(super) fn comparable_rows(
        &self,
        function: FunctionRef,
        arguments: &[Expression],
        places: &[Place],
    ) -> Result<()> {
        if function.operator.is_none() || !function.name.starts_with("record_") {
            return Ok(());
        }
        for (argument, place) in arguments.iter().zip(places) {
            if let Type::Row(fields) = &argument.ty {
                fields
                    .iter()
                    .try_for_each(|(_, ty)| self.groupable(ty, *place))?;
            }
        }
        Ok(())
    }

    /// The type of a polymorphic call over rows, whose fields stay known.
    pub(super) fn with_fields(
        &self,
        function: FunctionRef,
        arguments: &[Expression],
        result: Type,
    ) -> Type {
        let row = arguments.iter().find_map(|argument| match &argument.ty {
            row @ Type::Row(_) => Some(row.clone()),
            Type::Array(element) if matches!(**element, Type::Row(_)) => Some((**element).clone()),
            _ => None,
        });
        let follows = !matches!(function.result, Returns::Of(_) | Returns::Columns(_));
        match (row, &result) {
            (Some(row), Type::Record) if follows => row,
            (Some(row), Type::Array(element)) if follows && **element == Type::Record => {
                Type::Array(Box::new(row))
            }
            _ => result,
        }
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
        let Some(there) = presence_in(table, relation) else {
            return self.unsupported("tableoid of this relation", name.place);
        };
        let oid = Expression::constant(Value::Int(i64::from(table.id.0)), Type::Oid);
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

/// The columns of an item and a mark.
fn marked(item: From, relation: RelationId, mut columns: Vec<OutputColumn>) -> Query {
    let places = columns.iter().enumerate();
    let shown = places.map(|(at, column)| Expression::column(relation, at, column.ty.clone()));
    let mut projection: Vec<Expression> = shown.collect();
    projection.push(Expression::constant(Value::Bool(true), Type::Bool));
    columns.push(OutputColumn {
        name: "mark".to_owned(),
        ty: Type::Bool,
        origin: None,
    });
    Query {
        body: Body::Select(Box::new(Select {
            distinct: Distinct::No,
            projection,
            from: vec![item],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        })),
        columns,
        ..Query::nothing()
    }
}

/// A column of the table is not null: it has a row here.
fn presence_in(table: &Table, relation: RelationId) -> Option<Expression> {
    let key = table.key_positions().first().copied();
    let place = key.or_else(|| table.columns.iter().position(|column| column.not_null))?;
    let column = Expression::column(relation, place, table.columns[place].ty.clone());
    Some(Expression {
        kind: ExpressionKind::IsNull {
            operand: Box::new(column),
            negated: true,
        },
        ty: Type::Bool,
    })
}
