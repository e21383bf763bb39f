//! Do the rows that are there satisfy a constraint that is to come?

use std::sync::Arc;

use super::evaluator::Evaluator;
use super::queries::{CHILD, PARENT, count_of_rows};
use crate::catalog::schema::Table;
use crate::dispatch::refused::Refused;
use crate::dispatch::rules::shown;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluation::{from_table, plain};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::resolve;
use crate::plan::query::{From, JoinKind, RelationId};
use crate::plan::statement::SchemaCheck;
use crate::types::id::TableId;
use crate::types::{Row, Type, Value};

impl Evaluator<'_> {
    pub(super) async fn check_rows(&mut self, check: &SchemaCheck) -> Result<(), Refused> {
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
    pub(super) async fn table(&mut self, id: TableId) -> Result<Arc<Table>, Refused> {
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
        let one = Expression::constant(Value::Int(1), Type::Int4);
        let from = vec![from_table(table, relation)];
        self.first_now(plain(vec![one], from, Some(condition)))
            .await
    }

    async fn check_unique(
        &mut self,
        (table, relation): (&Arc<Table>, RelationId),
        columns: &[Expression],
        filter: Option<&Expression>,
        (name, nulls_not_distinct): (&str, bool),
    ) -> Result<(), Refused> {
        let from = vec![from_table(table, relation)];
        let known = columns.iter().filter(|_| !nulls_not_distinct);
        let mut conditions: Vec<Expression> =
            known.map(|column| not(is_null(column.clone()))).collect();
        conditions.extend(filter.cloned());
        let mut select = plain(columns.to_vec(), from, Some(and(conditions)));
        let counted = count_of_rows()?;
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
        let Some(row) = self.first_now(select).await? else {
            return Ok(());
        };
        let values = self.shown(columns, &row);
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
            left: Box::new(from_table(child, *relation)),
            right: Box::new(from_table(parent, PARENT)),
            on: Some(and(matches)),
        };
        let select = plain(shown.clone(), vec![join], Some(and(conditions)));
        let Some(row) = self.first_now(select).await? else {
            return Ok(());
        };
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values = self.shown(&shown, &row);
        Err(orphan(child, parent, constraint, &names.join(", "), &values).into())
    }

    fn shown(&self, columns: &[Expression], row: &Row) -> String {
        let values = columns.iter().zip(row);
        let values = values.map(|(column, value)| shown(value, &column.ty, &self.context));
        values.collect::<Vec<_>>().join(", ")
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
