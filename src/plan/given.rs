//! Rows at hand as a relation: what a statement gave, for queries that go on
//! from there.
//!
//! A replica has no such table. Whoever runs the query hands it the rows
//! beside it, under the table's id.

use std::sync::Arc;

use super::evaluation::{from_table, of_select, plain, whole_row};
use super::expression::{Expression, ExpressionKind};
use super::query::{CommonTable, OutputColumn, Query, RelationId};
use super::visit;
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Table};
use crate::types::Type;
use crate::types::id::{ColumnId, TableId};

/// Ids of such tables count down from here, far from those of stored ones.
const LAST_ID: u32 = u32::MAX - 1;

/// The id of a plan's given table of this number.
pub fn id(number: u32) -> TableId {
    TableId(LAST_ID - number)
}

/// Expressions that need a replica, over rows at hand.
#[derive(Clone, Debug)]
pub struct Given {
    /// What the rows are called, one table for each relation.
    pub tables: Vec<TableId>,
    pub query: Arc<Query>,
}

/// A table of columns of these types.
pub fn table<'a>(id: TableId, types: impl Iterator<Item = &'a Type>) -> Arc<Table> {
    let columns: Vec<Column> = types
        .zip(1..)
        .map(|(ty, number)| Column {
            id: ColumnId(number),
            name: format!("c{number}"),
            ty: ty.clone(),
            not_null: false,
            default: None,
            identity: None,
            hidden: false,
        })
        .collect();
    Arc::new(Table {
        id,
        namespace: Namespace::Public,
        name: "given".to_owned(),
        next_column: columns.len() as u16 + 1,
        columns,
        key: PrimaryKey::None,
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    })
}

/// The query of a common table that yields the rows as they are.
pub fn all_rows(id: TableId, relation: RelationId, columns: &[OutputColumn]) -> Query {
    let table = table(id, columns.iter().map(|column| &column.ty));
    let projection = whole_row(&table, relation);
    let mut query = of_select(plain(projection, vec![from_table(&table, relation)], None));
    query.columns = columns.to_vec();
    query
}

/// Expressions over rows of one relation, beside which stand `others`: single
/// columns of other relations.
pub fn beside(
    id: TableId,
    (relation, row): (RelationId, &Table),
    others: &[(Expression, (RelationId, usize))],
    expressions: &[Expression],
    with: &[CommonTable],
) -> Given {
    let width = row.columns.len();
    let own = row.columns.iter().map(|column| &column.ty);
    let types = own.chain(others.iter().map(|(column, _)| &column.ty));
    let table = table(id, types);
    let select = plain(
        expressions.to_vec(),
        vec![from_table(&table, relation)],
        None,
    );
    let mut query = of_select(select);
    visit::each_expression_mut(&mut query, &mut |part| {
        if let ExpressionKind::Column {
            relation: named,
            column,
        } = &mut part.kind
            && let Some(place) = others
                .iter()
                .position(|(_, other)| *other == (*named, *column))
        {
            *named = relation;
            *column = width + place;
        }
    });
    query.with = with.to_vec();
    Given {
        tables: vec![id],
        query: Arc::new(query),
    }
}

/// Expressions over one row of each of several relations.
pub fn over(
    relations: &[(TableId, RelationId, &Table)],
    expressions: Vec<Expression>,
    with: &[CommonTable],
) -> Given {
    let items = relations.iter().map(|(id, relation, row)| {
        let types = row.columns.iter().map(|column| &column.ty);
        from_table(&table(*id, types), *relation)
    });
    let mut query = of_select(plain(expressions, items.collect(), None));
    query.with = with.to_vec();
    Given {
        tables: relations.iter().map(|(id, ..)| *id).collect(),
        query: Arc::new(query),
    }
}
