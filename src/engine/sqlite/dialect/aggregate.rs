//! Aggregates: SQLite's own where they agree, else `pyql_fold`.

use super::compute::call;
use super::expression::aggregate_class;
use super::{Fold, FoldKey, FoldKind, Renderer};
use crate::error::Result;
use crate::plan::expression::{Aggregate, Expression};
use crate::plan::function::FunctionRef;
use crate::types::Type;

impl Renderer<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, result: &Type) -> Result<String> {
        let native =
            self.native_aggregate(aggregate.function, &aggregate.arguments, aggregate.distinct)?;
        let sql = match native {
            Some(sql) => sql,
            None => self.fold(aggregate, result)?,
        };
        match &aggregate.filter {
            Some(filter) => {
                let filter = self.expression(filter)?;
                Ok(format!("{sql} FILTER (WHERE {filter})"))
            }
            None => Ok(sql),
        }
    }

    /// The aggregate in SQLite's words, if it has the same.
    pub(super) fn native_aggregate(
        &mut self,
        function: FunctionRef,
        arguments: &[Expression],
        distinct: bool,
    ) -> Result<Option<String>> {
        let name = match (function.name, arguments) {
            ("count", []) => return Ok(Some("count(*)".to_owned())),
            ("count", [argument]) if aggregate_class(&argument.ty) => "count",
            ("sum", [argument]) if matches!(argument.ty, Type::Int2 | Type::Int4) => "sum",
            ("min", [argument]) if has_one_form(&argument.ty) => "min",
            ("max", [argument]) if has_one_form(&argument.ty) => "max",
            ("bool_and" | "every", [_]) => "min",
            ("bool_or", [_]) => "max",
            _ => return Ok(None),
        };
        let mut sql = format!("{name}({}", if distinct { "DISTINCT " } else { "" });
        for argument in arguments {
            sql.push_str(&self.collated(argument)?);
        }
        sql.push(')');
        Ok(Some(sql))
    }

    fn fold(&mut self, aggregate: &Aggregate, result: &Type) -> Result<String> {
        let mut arguments = Vec::new();
        for argument in &aggregate.arguments {
            arguments.push(self.expression(argument)?);
        }
        let mut order = Vec::new();
        for (key, descending, nulls_first) in &aggregate.order_by {
            arguments.push(self.expression(key)?);
            order.push(FoldKey {
                ty: key.ty.clone(),
                descending: *descending,
                nulls_first: *nulls_first,
            });
        }
        let number = self.out.folds.len();
        self.out.folds.push(Fold {
            kind: FoldKind::Aggregate(aggregate.function),
            arguments: aggregate.arguments.iter().map(|a| a.ty.clone()).collect(),
            result: result.clone(),
            distinct: aggregate.distinct,
            order,
        });
        Ok(call("pyql_fold", number, &arguments))
    }
}

/// Equal values look alike, so that it does not matter which of them is taken:
/// not so 1.5 and 1.50, or a month and 30 days.
fn has_one_form(ty: &Type) -> bool {
    let many_forms = matches!(
        ty,
        Type::Numeric(None) | Type::Interval(_) | Type::Array(_) | Type::Char(None)
    );
    aggregate_class(ty) && !many_forms
}
