//! INSERT: every row complete, defaults and generated keys written out.

use std::sync::Arc;

use super::Binder;
use super::returning::runs_twice;
use super::scope::{Clause, Item, Scope};
use crate::catalog::schema::{Index, IndexKey, PrimaryKey, Table};
use crate::error::{Result, SqlState};
use crate::plan::coerce::Strength;
use crate::plan::evaluate::is_evaluable;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::given;
use crate::plan::query::{Body, CommonTable, Distinct, OutputColumn, Query as Bound, RelationId};
use crate::plan::statement::{
    ConflictUpdate, Insert as Planned, InsertColumn, InsertSource, OnConflict as PlannedConflict,
    Statement,
};
use crate::plan::syntax::{
    ConflictTarget, Expr, Insert, Node, OnConflict, Overriding, Place, Query, QueryBody,
};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId};

impl Binder<'_> {
    pub(super) fn insert(&mut self, insert: &Insert) -> Result<(Statement, Vec<OutputColumn>)> {
        let outside = self.commons.len();
        let with = self.with(insert.with.as_ref())?;
        let table = self.written_table(&insert.table)?;
        let targets = match &insert.columns {
            Some(names) => self.written_columns(&table, names)?,
            None => table.visible().map(|(place, _)| place).collect(),
        };
        let source = match &insert.source {
            None => InsertSource::Values(vec![self.row_of_defaults(&table)?]),
            Some(query) => match plain_values(query) {
                Some(rows) => self.insert_values(insert, &table, targets, rows)?,
                None => self.insert_query(insert, &table, targets, query)?,
            },
        };
        let relation = self.relation();
        let alias = insert.alias.as_ref().map(|alias| alias.text.as_str());
        self.scopes.push(Scope {
            items: vec![Item::table(&table, relation, alias)],
            relations: vec![relation],
            ..Scope::default()
        });
        let on_conflict = match &insert.on_conflict {
            Some(conflict) => Some(self.on_conflict(conflict, (relation, &table), &with)?),
            None => None,
        };
        let mut returning = self.returning(&insert.returning)?;
        self.query_returning(&mut returning, (relation, &table), &[], &with)?;
        self.scopes.pop();
        self.commons.truncate(outside);
        let columns = returning.as_ref().map(|r| r.columns.clone());
        let planned = Planned {
            with,
            table,
            relation,
            source,
            on_conflict,
            returning,
        };
        let statement = Statement::Insert(Box::new(planned));
        Ok((statement, columns.unwrap_or_default()))
    }

    fn row_of_defaults(&mut self, table: &Arc<Table>) -> Result<Vec<Expression>> {
        (0..table.columns.len())
            .map(|place| self.default_of(table, place))
            .collect()
    }

    fn check_width(
        &self,
        insert: &Insert,
        targets: usize,
        given: usize,
        place: Place,
    ) -> Result<()> {
        if given > targets {
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                place,
                "INSERT has more expressions than target columns",
            ));
        }
        if given < targets
            && let Some(names) = &insert.columns
        {
            return Err(self.error(
                SqlState::SYNTAX_ERROR,
                names[given].place,
                "INSERT has more target columns than expressions",
            ));
        }
        Ok(())
    }

    fn insert_values(
        &mut self,
        insert: &Insert,
        table: &Arc<Table>,
        targets: Vec<usize>,
        rows: &[Vec<Expr>],
    ) -> Result<InsertSource> {
        // Defaults are the same expressions for every row.
        let defaults = self.row_of_defaults(table)?;
        let width = rows.first().map_or(0, Vec::len);
        self.scopes.push(Scope {
            clause: Clause::Values,
            ..Scope::default()
        });
        let mut planned = Vec::with_capacity(rows.len());
        for row in rows {
            if row.len() != width {
                return Err(self.error(
                    SqlState::SYNTAX_ERROR,
                    row.first().map_or(Place(0), |expr| expr.place),
                    "VALUES lists must all be the same length",
                ));
            }
            let last = row.get(targets.len()).or(row.last());
            let place = last.map_or(Place(0), |expr| expr.place);
            self.check_width(insert, targets.len(), row.len(), place)?;
            let mut full = defaults.clone();
            for (target, expr) in targets.iter().zip(row) {
                let column = &table.columns[*target];
                if matches!(expr.node, Node::Default) {
                    continue;
                }
                match (&column.identity, insert.overriding) {
                    (Some(_), Some(Overriding::User)) => continue,
                    (Some(_), None) => self.identity_allows(column)?,
                    _ => {}
                }
                let value = self.expression(expr)?;
                full[*target] = self.assigned(value, column, super::output::start(expr))?;
            }
            planned.push(full);
        }
        self.scopes.pop();
        Ok(InsertSource::Values(planned))
    }

    fn insert_query(
        &mut self,
        insert: &Insert,
        table: &Arc<Table>,
        targets: Vec<usize>,
        query: &Query,
    ) -> Result<InsertSource> {
        let mut bound = self.query(query, false)?;
        let places = super::output::column_places(query, bound.columns.len());
        let extra = places.get(targets.len()).copied().unwrap_or(query.place);
        self.check_width(insert, targets.len(), bound.columns.len(), extra)?;
        let mut types = Vec::with_capacity(bound.columns.len());
        for ((target, output), place) in targets.iter().zip(&bound.columns).zip(&places) {
            let column = &table.columns[*target];
            self.check_assignable(&output.ty, column, *place)?;
            if column.identity.is_some() && insert.overriding.is_none() {
                self.identity_allows(column)?;
            }
            types.push(column.ty.clone());
        }
        if in_place(&bound) {
            self.coerce_columns(&mut bound, &types, Strength::Assignment, &places)?;
        } else {
            // Untyped literals take the column's type; the rest is converted outside.
            let inner: Vec<Type> = bound
                .columns
                .iter()
                .zip(&types)
                .map(|(column, ty)| match &column.ty {
                    Type::Unknown => ty.clone(),
                    known => known.clone(),
                })
                .collect();
            self.coerce_columns(&mut bound, &inner, Strength::Assignment, &places)?;
            if inner != types {
                self.wrap(&mut bound, &types, Strength::Assignment, &places)?;
            }
        }
        let mut columns = Vec::with_capacity(table.columns.len());
        for place in 0..table.columns.len() {
            let given = targets
                .iter()
                .take(types.len())
                .position(|target| *target == place);
            let overridden = table.columns[place].identity.is_some()
                && insert.overriding == Some(Overriding::User);
            columns.push(match given.filter(|_| !overridden) {
                Some(at) => InsertColumn::Result(at),
                None => InsertColumn::Default(self.default_of(table, place)?),
            });
        }
        Ok(InsertSource::Query {
            query: Box::new(bound),
            columns,
        })
    }

    /// ON CONFLICT, in the scope of the inserted row.
    fn on_conflict(
        &mut self,
        conflict: &OnConflict,
        (relation, table): (RelationId, &Arc<Table>),
        with: &[CommonTable],
    ) -> Result<PlannedConflict> {
        let target = match &conflict.target {
            ConflictTarget::Any => None,
            ConflictTarget::Columns(columns, filter) => {
                Some(self.arbiters(columns, filter.as_ref(), table, conflict.target_place)?)
            }
            ConflictTarget::Constraint(name) => {
                let found = unique_constraint(table, &name.text).ok_or_else(|| {
                    crate::error::Error::new(
                        SqlState::UNDEFINED_OBJECT,
                        format!(
                            "constraint \"{}\" for table \"{}\" does not exist",
                            name.text, table.name
                        ),
                    )
                })?;
                Some(vec![found])
            }
        };
        let Some((set, filter)) = &conflict.update else {
            return Ok(PlannedConflict {
                target,
                update: None,
            });
        };
        let excluded = self.relation();
        let item = Item::table(table, excluded, Some("excluded"));
        self.items().push(item);
        self.note_relation(excluded);
        let set = self.assignments(table, set)?;
        let filter = self.filter(filter.as_ref())?;
        self.items().pop();
        let mut computed = set.iter().map(|(_, value)| value).chain(&filter);
        let query = match computed.all(is_evaluable) {
            true => None,
            false => {
                runs_twice(with)?;
                // Nothing is computed for a row that is not to be set.
                let mut computed: Vec<Expression> = set
                    .iter()
                    .map(|(_, value)| only_if(filter.as_ref(), value))
                    .collect();
                computed.extend(filter.clone());
                let rows = [
                    (self.given(), relation, &**table),
                    (self.given(), excluded, &**table),
                ];
                Some(given::over(&rows, computed, with))
            }
        };
        Ok(PlannedConflict {
            target,
            update: Some(ConflictUpdate {
                excluded,
                set,
                filter,
                query,
            }),
        })
    }

    /// The unique indexes over exactly these columns.
    fn arbiters(
        &mut self,
        columns: &[Expr],
        filter: Option<&Expr>,
        table: &Arc<Table>,
        place: Place,
    ) -> Result<Vec<ObjectId>> {
        let mut ids: Vec<ColumnId> = Vec::with_capacity(columns.len());
        let mut expressions: Vec<Expression> = Vec::new();
        self.enter_clause(Clause::Index);
        for expr in columns {
            match &expr.node {
                Node::Column(path) if path.len() == 1 => {
                    let name = &path[0];
                    let Some((_, column)) = table.column_named(&name.text) else {
                        return Err(self.error(
                            SqlState::UNDEFINED_COLUMN,
                            place,
                            format!("column \"{}\" does not exist", name.text),
                        ));
                    };
                    ids.push(column.id);
                }
                _ => expressions.push(self.expression(expr)?),
            }
        }
        self.enter_clause(Clause::Predicate);
        let filter = match filter {
            Some(filter) => Some(self.condition(filter, "WHERE")?),
            None => None,
        };
        let mut found = Vec::new();
        if let PrimaryKey::Declared {
            id, columns: key, ..
        } = &table.key
            && expressions.is_empty()
            && same_set(key, &ids)
        {
            found.push(*id);
        }
        for index in table.indexes.iter().filter(|index| index.unique) {
            if self.infers(index, table, &ids, &expressions, filter.as_ref())? {
                found.push(index.id);
            }
        }
        if found.is_empty() {
            return Err(crate::error::Error::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ));
        }
        Ok(found)
    }

    fn infers(
        &mut self,
        index: &Index,
        table: &Arc<Table>,
        ids: &[ColumnId],
        expressions: &[Expression],
        filter: Option<&Expression>,
    ) -> Result<bool> {
        let mut columns = Vec::new();
        let mut others = Vec::new();
        let relation = self
            .scopes
            .last()
            .and_then(|scope| scope.relations.first().copied());
        let relation = relation.unwrap_or(RelationId(0));
        for column in &index.columns {
            match &column.key {
                IndexKey::Column(id) => columns.push(*id),
                IndexKey::Expression(text, _) => {
                    others.push(self.table_text(text, table, relation)?);
                }
            }
        }
        let expressions_match = others.iter().all(|one| expressions.contains(one))
            && expressions.iter().all(|one| others.contains(one));
        if !same_set(&columns, ids) || !expressions_match {
            return Ok(false);
        }
        match &index.predicate {
            None => Ok(true),
            Some(text) => {
                let predicate = self.table_text(text, table, relation)?;
                Ok(filter == Some(&predicate))
            }
        }
    }

    /// A stored expression over a table's columns, as this relation's.
    pub(super) fn table_text(
        &self,
        text: &str,
        table: &Arc<Table>,
        relation: RelationId,
    ) -> Result<Expression> {
        let syntax = crate::plan::parse::parse_expression(text)?;
        let mut inner = Binder::new(&self.binding, text, &[]);
        inner.scopes.push(Scope {
            items: vec![Item::table(table, relation, None)],
            relations: vec![relation],
            clause: Clause::Check,
            ..Scope::default()
        });
        inner.expression(&syntax)
    }
}

/// VALUES alone, without clauses on top.
fn plain_values(query: &Query) -> Option<&[Vec<Expr>]> {
    let bare = query.with.is_none()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none();
    match &query.body {
        QueryBody::Values(rows) if bare => Some(rows),
        _ => None,
    }
}

/// Whether converting its list changes nothing else about a query.
fn in_place(query: &Bound) -> bool {
    match &query.body {
        Body::Select(select) => select.distinct == Distinct::No,
        Body::Values(_) => query.order_by.is_empty(),
        Body::SetOperation { .. } => false,
    }
}

/// The value where the condition holds, else NULL.
fn only_if(condition: Option<&Expression>, value: &Expression) -> Expression {
    match condition {
        None => value.clone(),
        Some(condition) => Expression {
            kind: ExpressionKind::Case {
                branches: vec![(condition.clone(), value.clone())],
                otherwise: None,
            },
            ty: value.ty.clone(),
        },
    }
}

fn same_set(a: &[ColumnId], b: &[ColumnId]) -> bool {
    a.iter().all(|id| b.contains(id)) && b.iter().all(|id| a.contains(id))
}

fn unique_constraint(table: &Table, name: &str) -> Option<ObjectId> {
    if let PrimaryKey::Declared { id, name: key, .. } = &table.key
        && key == name
    {
        return Some(*id);
    }
    let mut indexes = table.indexes.iter();
    let found = indexes.find(|index| index.name == name && index.unique && index.constraint);
    found.map(|index| index.id)
}
