//! UNION, INTERSECT and EXCEPT, with and without ALL; functions that yield
//! rows in a SELECT list.

use std::borrow::Cow;

use super::select::{is_bare_select, with_collation};
use super::{Renderer, alias, walk};
use crate::engine::sqlite::values::collation;
use crate::error::{Error, Result};
use crate::plan::evaluate::walk::each_child;
use crate::plan::expression::Expression;
use crate::plan::query::{Body, From, Query, RelationId, Select, SetOperator};
use crate::types::Type;

impl Renderer<'_> {
    /// A set operation and its ORDER BY.
    pub(super) fn set_query(&mut self, query: &Query) -> Result<String> {
        let body = self.set_operation(query)?;
        Ok(body + &self.order_by(&query.order_by, query, None)?)
    }

    fn set_operation(&mut self, query: &Query) -> Result<String> {
        let Body::SetOperation {
            operator,
            all,
            left,
            right,
        } = &query.body
        else {
            return self.arm(query);
        };
        let word = match (operator, all) {
            (SetOperator::Union, true) => "UNION ALL",
            (SetOperator::Union, false) if has_many_forms(query) => {
                // SQLite's UNION keeps the last of equal rows, PostgreSQL the first.
                let (left, right) = (self.arm(left)?, self.arm(right)?);
                let columns = columns_again(query);
                return Ok(format!(
                    "SELECT DISTINCT {columns} FROM ({left} UNION ALL {right})"
                ));
            }
            (SetOperator::Union, false) => "UNION",
            (SetOperator::Intersect, false) => "INTERSECT",
            (SetOperator::Except, false) => "EXCEPT",
            (SetOperator::Intersect, true) => return self.counted("INTERSECT", left, right),
            (SetOperator::Except, true) => return self.counted("EXCEPT", left, right),
        };
        // SQLite's operators all bind alike and to the left.
        let left_is_chain = matches!(left.body, Body::SetOperation { .. })
            && left.with.is_empty()
            && left.order_by.is_empty()
            && left.limit.is_none()
            && left.offset.is_none()
            && !is_counted(left);
        let left = match left_is_chain {
            true => self.set_operation(left)?,
            false => self.arm(left)?,
        };
        Ok(format!("{left} {word} {}", self.arm(right)?))
    }

    /// One side of a set operation, its columns under their types' orders.
    pub(super) fn arm(&mut self, query: &Query) -> Result<String> {
        match &query.body {
            Body::Select(select) if is_bare_select(query) => {
                let distinct = matches!(select.distinct, crate::plan::query::Distinct::Rows);
                self.select(query, select, distinct, true)
            }
            Body::Values(rows) if is_bare_select(query) => self.values(rows, true),
            _ => {
                let inner = self.query(query)?;
                Ok(format!("SELECT {} FROM ({inner})", columns_again(query)))
            }
        }
    }

    /// INTERSECT ALL and EXCEPT ALL: each repetition of a row gets a number.
    fn counted(&mut self, word: &str, left: &Query, right: &Query) -> Result<String> {
        let names: Vec<String> = (0..left.columns.len()).map(|n| format!("c{n}")).collect();
        let names = names.join(", ");
        let mut numbered = |query: &Query| -> Result<String> {
            let keys: Vec<String> = query
                .columns
                .iter()
                .enumerate()
                .map(|(place, c)| with_collation(format!("c{place}"), &c.ty))
                .collect();
            let keys = keys.join(", ");
            let arm = self.arm(query)?;
            Ok(format!(
                "SELECT {keys}, row_number() OVER (PARTITION BY {keys}) AS n FROM ({arm})"
            ))
        };
        let (left, right) = (numbered(left)?, numbered(right)?);
        let shown: Vec<String> = names.split(", ").map(|n| format!("{n} AS {n}")).collect();
        let shown = shown.join(", ");
        let names = format!("{names}, n");
        Ok(format!(
            "SELECT {shown} FROM (WITH s({names}) AS ({left} {word} {right}) SELECT * FROM s)"
        ))
    }

    /// A SELECT whose list calls functions that yield rows, with these moved
    /// into FROM, where they run side by side.
    pub(super) fn without_set_calls<'a>(&mut self, select: &'a Select) -> Result<Cow<'a, Select>> {
        let has_set_call = |e: &Expression| walk::any(e, &walk::is_set_call);
        if !select.projection.iter().any(has_set_call) {
            return Ok(Cow::Borrowed(select));
        }
        if select.grouped {
            return Err(Error::unsupported(
                "a set-returning function in a grouped query's select list",
            ));
        }
        self.made += 1;
        let relation = RelationId(u32::MAX / 2 + self.made);
        let mut calls = Vec::new();
        let mut changed = select.clone();
        for column in &mut changed.projection {
            take_set_calls(column, relation, &mut calls);
        }
        self.side_by_side.insert(relation, calls.clone());
        let Some(first) = calls.into_iter().next() else {
            return Ok(Cow::Borrowed(select));
        };
        changed.from.push(From::Function {
            relation,
            call: first,
            more: Vec::new(),
            alias: alias(relation),
            columns: Vec::new(),
            ordinality: false,
            lateral: true,
        });
        Ok(Cow::Owned(changed))
    }
}

fn take_set_calls(expression: &mut Expression, relation: RelationId, calls: &mut Vec<Expression>) {
    if !walk::is_set_call(expression) {
        return each_child(expression, &mut |child| {
            take_set_calls(child, relation, calls);
        });
    }
    let column = Expression::column(relation, calls.len(), expression.ty.clone());
    calls.push(std::mem::replace(expression, column));
}

/// A query's columns, selected from it under their types' orders.
fn columns_again(query: &Query) -> String {
    let columns = query.columns.iter().enumerate().map(|(place, column)| {
        let name = with_collation(format!("c{place}"), &column.ty);
        format!("{name} AS c{place}")
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// Has a column whose equal values may look different, like 1.5 and 1.50.
fn has_many_forms(query: &Query) -> bool {
    let mut columns = query.columns.iter();
    columns.any(|column| collation(&column.ty).is_some() || column.ty == Type::Char(None))
}

fn is_counted(query: &Query) -> bool {
    matches!(
        query.body,
        Body::SetOperation {
            operator: SetOperator::Intersect | SetOperator::Except,
            all: true,
            ..
        }
    )
}
