//! UPDATE and DELETE.

use std::sync::Arc;

use super::Binder;
use super::scope::{Clause, Item, Scope};
use crate::catalog::schema::Table;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::{
    Body, Distinct, From, OutputColumn, Query as Bound, RelationId, Select as BoundSelect,
};
use crate::plan::statement::{Delete as PlannedDelete, Statement, Update as PlannedUpdate};
use crate::plan::syntax::{Assignment, Delete, Expr, Name, Node, Update};

impl Binder<'_> {
    pub(super) fn update(&mut self, update: &Update) -> Result<(Statement, Vec<OutputColumn>)> {
        let outside = self.commons.len();
        let with = self.with(update.with.as_ref())?;
        let (table, relation, alias) = self.enter_written(&update.table, update.alias.as_ref())?;
        let from = self.other_relations(&update.from)?;
        let set = self.assignments(&table, &update.set)?;
        let filter = self.filter(update.filter.as_ref())?;
        let mut returning = self.returning(&update.returning)?;
        self.query_returning(&mut returning, (relation, &table), &from, &with)?;
        self.scopes.pop();
        self.commons.truncate(outside);
        let columns = returning.as_ref().map(|r| r.columns.clone());
        let planned = PlannedUpdate {
            with,
            table,
            relation,
            alias,
            set,
            from,
            filter,
            returning,
        };
        let statement = Statement::Update(Box::new(planned));
        Ok((statement, columns.unwrap_or_default()))
    }

    pub(super) fn delete(&mut self, delete: &Delete) -> Result<(Statement, Vec<OutputColumn>)> {
        let outside = self.commons.len();
        let with = self.with(delete.with.as_ref())?;
        let (table, relation, alias) = self.enter_written(&delete.table, delete.alias.as_ref())?;
        let using = self.other_relations(&delete.using)?;
        let filter = self.filter(delete.filter.as_ref())?;
        let mut returning = self.returning(&delete.returning)?;
        self.query_returning(&mut returning, (relation, &table), &using, &with)?;
        self.scopes.pop();
        self.commons.truncate(outside);
        let columns = returning.as_ref().map(|r| r.columns.clone());
        let planned = PlannedDelete {
            with,
            table,
            relation,
            alias,
            using,
            filter,
            returning,
        };
        let statement = Statement::Delete(Box::new(planned));
        Ok((statement, columns.unwrap_or_default()))
    }

    /// Opens the scope of a statement that changes a table's rows.
    fn enter_written(
        &mut self,
        path: &[Name],
        alias: Option<&Name>,
    ) -> Result<(Arc<Table>, RelationId, String)> {
        let table = self.written_table(&path.to_vec())?;
        let relation = self.relation();
        let item = Item::table(&table, relation, alias.map(|alias| alias.text.as_str()));
        let alias = item.alias.clone();
        self.scopes.push(Scope {
            items: vec![item],
            relations: vec![relation],
            ..Scope::default()
        });
        Ok((table, relation, alias))
    }

    /// FROM of UPDATE, USING of DELETE: beside the table, which LATERAL cannot see.
    fn other_relations(&mut self, list: &[crate::plan::syntax::FromItem]) -> Result<Vec<From>> {
        let table = std::mem::take(self.items());
        let from = self.bind_from(list)?;
        let others = std::mem::replace(self.items(), table);
        for item in others {
            let clash = self.items().iter().any(|known| known.alias == item.alias);
            if clash && item.named {
                return Err(Error::new(
                    SqlState::DUPLICATE_ALIAS,
                    format!("table name \"{}\" specified more than once", item.alias),
                ));
            }
            self.items().push(item);
        }
        Ok(from)
    }

    /// SET: each column's place and its new value.
    pub(super) fn assignments(
        &mut self,
        table: &Arc<Table>,
        list: &[Assignment],
    ) -> Result<Vec<(usize, Expression)>> {
        let mut set: Vec<(usize, Expression)> = Vec::with_capacity(list.len());
        for assignment in list {
            for (name, value) in self.assignment(table, assignment)? {
                let at = self.written_column(table, name)?;
                if set.iter().any(|(known, _)| *known == at) {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        format!("multiple assignments to same column \"{}\"", name.text),
                    ));
                }
                set.push((at, value));
            }
        }
        Ok(set)
    }

    fn assignment<'s>(
        &mut self,
        table: &Arc<Table>,
        assignment: &'s Assignment,
    ) -> Result<Vec<(&'s Name, Expression)>> {
        self.enter_clause(Clause::Set);
        if !assignment.multiple {
            let name = &assignment.columns[0];
            let value = self.new_value(table, name, &assignment.value)?;
            return Ok(vec![(name, value)]);
        }
        match &assignment.value.node {
            Node::Row(items) => {
                self.check_count(assignment, items.len())?;
                let pairs = assignment.columns.iter().zip(items);
                pairs
                    .map(|(name, item)| Ok((name, self.new_value(table, name, item)?)))
                    .collect()
            }
            Node::Scalar(query) => {
                let query = self.query(query, false)?;
                self.check_count(assignment, query.columns.len())?;
                let mut values = Vec::with_capacity(assignment.columns.len());
                for (at, name) in assignment.columns.iter().enumerate() {
                    let place = self.written_column(table, name)?;
                    let value = self.column_of_query(&query, at);
                    let column = &table.columns[place];
                    values.push((name, self.assigned(value, column, assignment.value.place)?));
                }
                Ok(values)
            }
            _ if assignment.columns.len() == 1 => {
                let name = &assignment.columns[0];
                let value = self.new_value(table, name, &assignment.value)?;
                Ok(vec![(name, value)])
            }
            _ => Err(self.error(
                SqlState::FEATURE_NOT_SUPPORTED,
                assignment.value.place,
                "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
            )),
        }
    }

    fn check_count(&self, assignment: &Assignment, given: usize) -> Result<()> {
        if given == assignment.columns.len() {
            return Ok(());
        }
        Err(self.error(
            SqlState::SYNTAX_ERROR,
            assignment.value.place,
            "number of columns does not match number of values",
        ))
    }

    /// One column of a query's only row.
    fn column_of_query(&mut self, query: &Bound, at: usize) -> Expression {
        let relation = self.relation();
        let column = query.columns[at].clone();
        let ty = column.ty.clone();
        let select = BoundSelect {
            distinct: Distinct::No,
            projection: vec![Expression::column(relation, at, ty.clone())],
            from: vec![From::Subquery {
                relation,
                query: Box::new(query.clone()),
                alias: "source".to_owned(),
                lateral: false,
            }],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        };
        let query = Bound {
            with: Vec::new(),
            body: Body::Select(Box::new(select)),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: vec![column],
            locks: Vec::new(),
        };
        Expression {
            kind: ExpressionKind::Scalar(Box::new(query)),
            ty,
        }
    }

    fn new_value(&mut self, table: &Arc<Table>, name: &Name, value: &Expr) -> Result<Expression> {
        let place = self.written_column(table, name)?;
        let column = &table.columns[place];
        if matches!(value.node, Node::Default) {
            return self.default_of(table, place);
        }
        if column
            .identity
            .as_ref()
            .is_some_and(|identity| identity.always)
        {
            return Err(Error::new(
                SqlState::GENERATED_ALWAYS,
                format!("column \"{}\" can only be updated to DEFAULT", column.name),
            )
            .detail(format!(
                "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
                column.name
            )));
        }
        let bound = self.expression(value)?;
        self.assigned(bound, column, super::output::start(value))
    }
}
