//! A statement as a query: what must be read to know what it writes.
//!
//! An UPDATE or DELETE becomes a SELECT of the rows it touches, FOR UPDATE a
//! SELECT that also yields the keys to claim. New values are computed in
//! process where that needs nothing but the row, else by the query.

use std::sync::Arc;

use super::evaluate::{is_evaluable, walk};
use super::expression::{Expression, ExpressionKind};
use super::query::{Body, Distinct, From, OutputColumn, Query, RelationId, Select};
use super::statement::{Delete, Returning, Update};
use super::visit;
use crate::catalog::schema::Table;
use crate::error::{Error, Result};

/// How an UPDATE or DELETE is evaluated.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Yields the target's whole row, then `computed`, then `others`.
    pub query: Arc<Query>,
    /// Places in the row whose new values the query yields, in that order.
    pub computed: Vec<usize>,
    /// Columns of other relations that RETURNING or a SET in process needs.
    pub others: Vec<(RelationId, usize)>,
}

/// The evaluation of an UPDATE.
pub fn of_update(update: &Update) -> Result<Evaluation> {
    let own =
        |expression: &Expression| is_evaluable(expression) && only(expression, update.relation);
    let by_query: Vec<&(usize, Expression)> = update
        .set
        .iter()
        .filter(|(_, expression)| !own(expression))
        .collect();
    let target = Target {
        table: &update.table,
        relation: update.relation,
        alias: &update.alias,
        others: &update.from,
        filter: update.filter.as_ref(),
        returning: update.returning.as_ref(),
    };
    let computed = by_query.iter().map(|(place, _)| *place).collect();
    let expressions = by_query
        .into_iter()
        .map(|(_, expression)| expression.clone())
        .collect();
    target.evaluation(update.with.clone(), computed, expressions)
}

/// The evaluation of a DELETE.
pub fn of_delete(delete: &Delete) -> Result<Evaluation> {
    let target = Target {
        table: &delete.table,
        relation: delete.relation,
        alias: &delete.alias,
        others: &delete.using,
        filter: delete.filter.as_ref(),
        returning: delete.returning.as_ref(),
    };
    target.evaluation(delete.with.clone(), Vec::new(), Vec::new())
}

struct Target<'a> {
    table: &'a Arc<Table>,
    relation: RelationId,
    alias: &'a str,
    others: &'a [From],
    filter: Option<&'a Expression>,
    returning: Option<&'a Returning>,
}

impl Target<'_> {
    fn evaluation(
        &self,
        with: Vec<super::query::CommonTable>,
        computed: Vec<usize>,
        expressions: Vec<Expression>,
    ) -> Result<Evaluation> {
        let returned = self.returning.map_or(&[][..], |it| &it.expressions);
        let others = columns_of_others(self.others, returned);
        let mut projection = whole_row(self.table, self.relation);
        projection.extend(expressions);
        projection.extend(others.iter().map(|(column, _)| column.clone()));
        let mut from = vec![From::Table {
            relation: self.relation,
            table: self.table.clone(),
            alias: self.alias.to_owned(),
        }];
        from.extend(self.others.iter().cloned());
        let mut query = of_select(plain(projection, from, self.filter.cloned()));
        query.with = with;
        let others = others.into_iter().map(|(_, place)| place).collect();
        Ok(Evaluation {
            query: Arc::new(query),
            computed,
            others,
        })
    }
}

/// The columns of other relations that expressions name, each once.
pub fn columns_of_others(
    from: &[From],
    expressions: &[Expression],
) -> Vec<(Expression, (RelationId, usize))> {
    let relations = visit::relations_of(from);
    let mut found: Vec<(Expression, (RelationId, usize))> = Vec::new();
    for expression in expressions {
        visit::part_within(expression, &mut |part| {
            if let ExpressionKind::Column { relation, column } = &part.kind
                && relations.contains(relation)
                && !found
                    .iter()
                    .any(|(_, place)| *place == (*relation, *column))
            {
                found.push((part.clone(), (*relation, *column)));
            }
            false
        });
    }
    found
}

/// Names no column but those of one relation.
fn only(expression: &Expression, relation: RelationId) -> bool {
    walk::all(expression, &mut |part| match &part.kind {
        ExpressionKind::Column {
            relation: named, ..
        } => *named == relation,
        _ => true,
    })
}

/// All columns of a table, hidden ones too.
pub fn whole_row(table: &Table, relation: RelationId) -> Vec<Expression> {
    let columns = table.columns.iter().enumerate();
    columns
        .map(|(place, column)| Expression::column(relation, place, column.ty.clone()))
        .collect()
}

/// A table under its own name.
pub fn from_table(table: &Arc<Table>, relation: RelationId) -> From {
    From::Table {
        relation,
        table: table.clone(),
        alias: table.name.clone(),
    }
}

/// A SELECT of expressions without grouping.
pub fn plain(projection: Vec<Expression>, from: Vec<From>, filter: Option<Expression>) -> Select {
    Select {
        distinct: Distinct::No,
        projection,
        from,
        filter,
        group_by: Vec::new(),
        grouped: false,
        having: None,
    }
}

/// A query of one SELECT, its columns named by their places.
pub fn of_select(select: Select) -> Query {
    let columns = select
        .projection
        .iter()
        .enumerate()
        .map(|(place, expression)| OutputColumn {
            name: format!("c{place}"),
            ty: expression.ty.clone(),
            origin: None,
        });
    Query {
        with: Vec::new(),
        columns: columns.collect(),
        body: Body::Select(Box::new(select)),
        order_by: Vec::new(),
        limit: None,
        offset: None,
        locks: Vec::new(),
    }
}

/// A relation whose rows a query locks, and where its key stands in the result.
#[derive(Clone, Debug)]
pub struct LockedKey {
    pub table: Arc<Table>,
    pub lock: usize,
    pub places: Vec<usize>,
}

/// A query with FOR UPDATE or the like: yields also the keys of the rows it locks.
pub fn of_locks(query: &Query) -> Result<(Arc<Query>, Vec<LockedKey>)> {
    let mut query = query.clone();
    let Body::Select(select) = &mut query.body else {
        return Err(Error::unsupported(
            "FOR UPDATE over a set operation or VALUES",
        ));
    };
    if select.grouped || select.distinct != Distinct::No {
        return Err(Error::unsupported(
            "FOR UPDATE with GROUP BY, DISTINCT or aggregates",
        ));
    }
    let sort_only = select.projection.split_off(query.columns.len());
    let width = query.columns.len();
    let mut keys = Vec::new();
    let mut added = Vec::new();
    for (number, lock) in query.locks.iter().enumerate() {
        for relation in &lock.relations {
            let Some(table) = select
                .from
                .iter()
                .find_map(|from| table_of(from, *relation))
            else {
                return Err(Error::unsupported("FOR UPDATE of a subquery or function"));
            };
            let places = table.key_positions();
            let first = width + added.len();
            let expressions = places.iter().map(|place| {
                Expression::column(*relation, *place, table.columns[*place].ty.clone())
            });
            added.extend(expressions);
            let places = (first..width + added.len()).collect();
            keys.push(LockedKey {
                table: table.clone(),
                lock: number,
                places,
            });
        }
    }
    for sort in &mut query.order_by {
        if let super::query::SortBy::Column(place) = &mut sort.by
            && *place >= width
        {
            *place += added.len();
        }
    }
    for (place, expression) in added.iter().enumerate() {
        let name = format!("k{place}");
        query.columns.push(OutputColumn {
            name,
            ty: expression.ty.clone(),
            origin: None,
        });
    }
    select.projection.extend(added);
    select.projection.extend(sort_only);
    query.locks.clear();
    Ok((Arc::new(query), keys))
}

fn table_of(from: &From, wanted: RelationId) -> Option<&Arc<Table>> {
    match from {
        From::Table {
            relation, table, ..
        } => (*relation == wanted).then_some(table),
        From::Join { left, right, .. } => {
            table_of(left, wanted).or_else(|| table_of(right, wanted))
        }
        _ => None,
    }
}
