//! Schema changes: checked on a replica, kept in the transaction, logged alone in their entry.
//!
//! One transaction changes the schema at a time; it claims the schema and the
//! tables it changes, so open transactions that write to them go first. The
//! changed schema shows in the transaction at once, and so do the rows of a
//! table that it lays out anew; see `step`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::evaluator::{Evaluator, Interrupted};
use crate::catalog::Counter;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::Table;
use crate::dispatch::claim::{ClaimKey, Contended, Mode};
use crate::dispatch::refused::Refused;
use crate::dispatch::transaction::Basis;
use crate::engine::sqlite::schema::check_storable;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluation::{of_select, plain};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::{From, JoinKind, Query, RelationId};
use crate::plan::statement::{SchemaCheck, SchemaStatement};
use crate::types::id::TableId;
use crate::types::{Row, Type, Value};

/// The relations of the queries that check rows.
pub(super) const CHILD: RelationId = RelationId(u32::MAX - 1);
const PARENT: RelationId = RelationId(u32::MAX - 2);

impl Evaluator<'_> {
    /// Takes a schema statement into the transaction.
    pub async fn change_schema(&mut self, statement: &SchemaStatement) -> Result<u64, Refused> {
        let patience = self.patience.clone();
        let claim = self.transaction.claim(
            ClaimKey::schema(),
            Mode::Update,
            Basis::Fresh,
            Contended::Wait,
            &patience,
        );
        claim.await?;
        for table in tables_changed(&statement.changes) {
            self.claim_table(table, Mode::Update).await?;
        }
        let current = self.transaction.cluster.definition()?.schema.clone();
        if self.transaction.changes.is_empty() && current.version != self.schema.version {
            return Err(Refused::Replan);
        }
        for check in &statement.checks {
            self.check_rows(check).await?;
        }
        for change in &statement.changes {
            self.count_hidden_keys(change).await?;
        }
        let filling = match &statement.fill {
            Some(query) => Some(self.fill_rows(query).await?),
            None => None,
        };
        check_storable(&self.schema.apply(&statement.changes)?)?;
        let sequences = &self.transaction.sequences;
        for (sequence, next) in &statement.restarts {
            let counter = Counter {
                last_value: *next,
                is_called: false,
            };
            sequences.own(*sequence, counter);
        }
        for change in &statement.changes {
            self.take_change(change, &statement.column_fills).await?;
        }
        let count = filling.as_ref().map_or(0, |rows| rows.len() as u64);
        if let Some(rows) = filling {
            self.fill(&statement.changes, rows).await?;
        }
        Ok(count)
    }

    /// The rows of a table that gets a hidden key are numbered from 1, so its
    /// counter goes on behind them.
    async fn count_hidden_keys(&mut self, change: &SchemaChange) -> Result<(), Refused> {
        let SchemaChange::DropPrimaryKey {
            table, sequence, ..
        } = change
        else {
            return Ok(());
        };
        // Made by this statement's transaction: counted where it was filled.
        if self.schema.table(*table).is_none() {
            return Ok(());
        }
        let table = self.table(*table).await?;
        let count = Expression {
            kind: ExpressionKind::Aggregate(Box::new(crate::plan::expression::Aggregate {
                function: resolve::function("count", &[])?.function,
                arguments: Vec::new(),
                direct: 0,
                distinct: false,
                filter: None,
                order_by: Vec::new(),
            })),
            ty: Type::Int8,
        };
        let mut select = plain(vec![count], vec![table_item(&table, CHILD)], None);
        select.grouped = true;
        let rows = self.rows_now(of_select(select)).await?;
        if let Some([Value::Int(count @ 1..)]) = rows.first().map(Vec::as_slice) {
            let counter = Counter {
                last_value: *count,
                is_called: true,
            };
            self.transaction.sequences.own(sequence.id, counter);
        }
        Ok(())
    }

    async fn fill_rows(&mut self, query: &Query) -> Result<Vec<Row>, Refused> {
        self.rows_locked(Arc::new(query.clone())).await
    }

    /// CREATE TABLE AS: the rows get hidden keys and go in as written rows.
    async fn fill(&mut self, changes: &[SchemaChange], rows: Vec<Row>) -> Result<(), Refused> {
        let Some(created) = created(changes).next() else {
            return Ok(());
        };
        let Some(table) = self.schema.table(created.id).cloned() else {
            return Ok(());
        };
        let rules = self.rules(&table)?;
        for (number, mut row) in rows.into_iter().enumerate() {
            // Only a hidden key is not in the query's result.
            row.resize(table.columns.len(), Value::Int(number as i64 + 1));
            self.transaction
                .written
                .put(&rules, rules.key_of(&row), None, Some(row))?;
            self.make_room().await.map_err(Interrupted::into_refused)?;
        }
        if let crate::catalog::schema::PrimaryKey::Hidden { sequence, .. } = &table.key {
            let count = self.transaction.written.count_rows(table.id)? as i64;
            let counter = Counter {
                last_value: count.max(1),
                is_called: count > 0,
            };
            self.transaction.sequences.own(*sequence, counter);
        }
        Ok(())
    }

    async fn check_rows(&mut self, check: &SchemaCheck) -> Result<(), Refused> {
        match check {
            SchemaCheck::NotNull { table, column } => {
                let table = self.table(*table).await?;
                let column = &table.columns[*column];
                let place = table.position(column.id).unwrap_or_default();
                let operand = Expression::column(CHILD, place, column.ty.clone());
                let null = is_null(operand);
                match self.any_row(&table, CHILD, null).await? {
                    Some(_) => Err(contains_nulls(&column.name, &table).into()),
                    None => Ok(()),
                }
            }
            SchemaCheck::NoRows { table, column } => {
                let table = self.table(*table).await?;
                let any = Expression::constant(Value::Bool(true), Type::Bool);
                match self.any_row(&table, CHILD, any).await? {
                    Some(_) => Err(contains_nulls(column, &table).into()),
                    None => Ok(()),
                }
            }
            SchemaCheck::Holds {
                table,
                relation,
                condition,
                constraint,
                not_valid,
            } => {
                let table = self.table(*table).await?;
                let outcome = self.check_holds(&table, *relation, condition, constraint);
                unless_not_valid(outcome.await, *not_valid)
            }
            SchemaCheck::Unique {
                table,
                columns,
                relation,
                filter,
                nulls_not_distinct,
                name,
            } => {
                let table = (&self.table(*table).await?, *relation);
                let named = (name.as_str(), *nulls_not_distinct);
                self.check_unique(table, columns, filter.as_ref(), named)
                    .await
            }
            SchemaCheck::ForeignKey { not_valid, .. } => {
                let outcome = self.check_foreign_key(check).await;
                unless_not_valid(outcome, *not_valid)
            }
        }
    }

    async fn check_holds(
        &mut self,
        table: &Arc<Table>,
        relation: RelationId,
        condition: &Expression,
        constraint: &str,
    ) -> Result<(), Refused> {
        let violated = Expression {
            kind: ExpressionKind::IsTruth {
                operand: Box::new(condition.clone()),
                value: Some(false),
                negated: false,
            },
            ty: Type::Bool,
        };
        if self.any_row(table, relation, violated).await?.is_some() {
            let message = format!(
                "check constraint \"{constraint}\" of relation \"{}\" is violated by some row",
                table.name
            );
            let error = Error::new(SqlState::CHECK_VIOLATION, message);
            return Err(error.table(&table.name).constraint(constraint).into());
        }
        Ok(())
    }

    /// A table whose rows are to be looked at.
    async fn table(&mut self, id: TableId) -> Result<Arc<Table>, Refused> {
        let table = self.schema.table(id).cloned();
        let table = table.ok_or_else(|| Error::internal("a check names no table"))?;
        self.bring_in(&[id]).await?;
        Ok(table)
    }

    async fn any_row(
        &mut self,
        table: &Arc<Table>,
        relation: RelationId,
        condition: Expression,
    ) -> Result<Option<Row>, Refused> {
        let from = vec![table_item(table, relation)];
        let one = Expression::constant(Value::Int(1), Type::Int4);
        let mut query = of_select(plain(vec![one.clone()], from, Some(condition)));
        query.limit = Some(Expression::constant(Value::Int(1), Type::Int8));
        Ok(self.rows_now(query).await?.into_iter().next())
    }

    async fn check_unique(
        &mut self,
        (table, relation): (&Arc<Table>, RelationId),
        columns: &[Expression],
        filter: Option<&Expression>,
        (name, nulls_not_distinct): (&str, bool),
    ) -> Result<(), Refused> {
        let from = vec![table_item(table, relation)];
        let known = columns.iter().filter(|_| !nulls_not_distinct);
        let mut conditions: Vec<Expression> =
            known.map(|column| not(is_null(column.clone()))).collect();
        conditions.extend(filter.cloned());
        let mut select = plain(columns.to_vec(), from, Some(and(conditions)));
        let count = resolve::function("count", &[])?.function;
        let counted = Expression {
            kind: ExpressionKind::Aggregate(Box::new(crate::plan::expression::Aggregate {
                function: count,
                arguments: Vec::new(),
                direct: 0,
                distinct: false,
                filter: None,
                order_by: Vec::new(),
            })),
            ty: Type::Int8,
        };
        let more = resolve::operator(">", &[Type::Int8, Type::Int8])?.function;
        let one = Expression::constant(Value::Int(1), Type::Int8);
        select.group_by = columns.to_vec();
        select.grouped = true;
        select.having = Some(Expression {
            kind: ExpressionKind::Call {
                function: more,
                arguments: vec![counted, one],
            },
            ty: Type::Bool,
        });
        let mut query = of_select(select);
        query.limit = Some(Expression::constant(Value::Int(1), Type::Int8));
        let Some(row) = self.rows_now(query).await?.into_iter().next() else {
            return Ok(());
        };
        let values = columns.iter().zip(&row).map(|(column, value)| {
            let mut out = String::new();
            match value {
                Value::Null => out.push_str("null"),
                value => {
                    crate::types::text::output(value, &column.ty, self.context.io(), &mut out);
                }
            }
            out
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let names = columns.iter().map(|column| match &column.kind {
            ExpressionKind::Column { column, .. } => table.columns[*column].name.clone(),
            _ => "expression".to_owned(),
        });
        let names = names.collect::<Vec<_>>().join(", ");
        let message = format!("could not create unique index \"{name}\"");
        Err(Error::new(SqlState::UNIQUE_VIOLATION, message)
            .detail(format!("Key ({names})=({values}) is duplicated."))
            .table(&table.name)
            .constraint(name)
            .into())
    }

    /// Looks for a child without a parent by an outer join.
    async fn check_foreign_key(&mut self, check: &SchemaCheck) -> Result<(), Refused> {
        let SchemaCheck::ForeignKey {
            table,
            relation,
            columns,
            parent,
            parent_columns,
            constraint,
            ..
        } = check
        else {
            return Ok(());
        };
        let (child, parent) = (&self.table(*table).await?, &self.table(*parent).await?);
        let mut matches = Vec::with_capacity(columns.len());
        let mut conditions = Vec::with_capacity(columns.len() + 1);
        let mut shown = Vec::with_capacity(columns.len());
        for ((_, left), parent_column) in columns.iter().zip(parent_columns) {
            let right = Expression::column(
                PARENT,
                *parent_column,
                parent.columns[*parent_column].ty.clone(),
            );
            let types = [left.ty.without_modifier(), right.ty.without_modifier()];
            let equal = resolve::operator("=", &types)?.function;
            conditions.push(not(is_null(left.clone())));
            shown.push(left.clone());
            matches.push(Expression {
                kind: ExpressionKind::Call {
                    function: equal,
                    arguments: vec![left.clone(), right],
                },
                ty: Type::Bool,
            });
        }
        let missing = Expression::column(
            PARENT,
            parent_columns[0],
            parent.columns[parent_columns[0]].ty.clone(),
        );
        conditions.push(is_null(missing));
        let join = From::Join {
            kind: JoinKind::Left,
            left: Box::new(table_item(child, *relation)),
            right: Box::new(table_item(parent, PARENT)),
            on: Some(and(matches)),
        };
        let mut query = of_select(plain(shown.clone(), vec![join], Some(and(conditions))));
        query.limit = Some(Expression::constant(Value::Int(1), Type::Int8));
        let Some(row) = self.rows_now(query).await?.into_iter().next() else {
            return Ok(());
        };
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values = shown.iter().zip(&row).map(|(column, value)| {
            let mut out = String::new();
            crate::types::text::output(value, &column.ty, self.context.io(), &mut out);
            out
        });
        let values = values.collect::<Vec<_>>().join(", ");
        Err(orphan(child, parent, constraint, &names.join(", "), &values).into())
    }
}

fn orphan(child: &Table, parent: &Table, constraint: &str, names: &str, values: &str) -> Error {
    let (child, parent) = (&child.name, &parent.name);
    let message = format!(
        "insert or update on table \"{child}\" violates foreign key constraint \"{constraint}\""
    );
    Error::new(SqlState::FOREIGN_KEY_VIOLATION, message)
        .detail(format!(
            "Key ({names})=({values}) is not present in table \"{parent}\"."
        ))
        .table(child)
        .constraint(constraint)
}

fn contains_nulls(column: &str, table: &Table) -> Error {
    let message = format!(
        "column \"{column}\" of relation \"{}\" contains null values",
        table.name
    );
    Error::new(SqlState::NOT_NULL_VIOLATION, message)
        .table(&table.name)
        .column(column)
}

/// NOT VALID would let rows stay that violate the constraint; that every row
/// satisfies every constraint is relied on.
fn unless_not_valid(outcome: Result<(), Refused>, not_valid: bool) -> Result<(), Refused> {
    match outcome {
        Err(Refused::Error(error)) if not_valid && error.state().class() == *b"23" => {
            Err(Error::unsupported("NOT VALID over rows that violate the constraint").into())
        }
        outcome => outcome,
    }
}

pub(super) fn table_item(table: &Arc<Table>, relation: RelationId) -> From {
    From::Table {
        relation,
        table: table.clone(),
        alias: table.name.clone(),
    }
}

fn is_null(operand: Expression) -> Expression {
    let kind = ExpressionKind::IsNull {
        operand: Box::new(operand),
        negated: false,
    };
    Expression {
        kind,
        ty: Type::Bool,
    }
}

fn not(operand: Expression) -> Expression {
    Expression {
        kind: ExpressionKind::Not(Box::new(operand)),
        ty: Type::Bool,
    }
}

fn and(conditions: Vec<Expression>) -> Expression {
    Expression {
        kind: ExpressionKind::And(conditions),
        ty: Type::Bool,
    }
}

fn created(changes: &[SchemaChange]) -> impl Iterator<Item = &Table> {
    changes.iter().filter_map(|change| match change {
        SchemaChange::CreateTable(table) => Some(table),
        _ => None,
    })
}

/// The existing tables that changes are about.
fn tables_changed(changes: &[SchemaChange]) -> BTreeSet<TableId> {
    let new: BTreeSet<TableId> = created(changes).map(|table| table.id).collect();
    let referenced = |change: &SchemaChange| match change {
        SchemaChange::AddForeignKey { key, .. } => vec![key.parent],
        SchemaChange::CreateTable(table) => {
            table.foreign_keys.iter().map(|key| key.parent).collect()
        }
        _ => Vec::new(),
    };
    let own = changes.iter().filter_map(SchemaChange::table);
    let others = changes.iter().flat_map(referenced);
    own.chain(others)
        .filter(|table| !new.contains(table))
        .collect()
}
