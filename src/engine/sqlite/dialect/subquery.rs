//! Subqueries as expressions: scalar, EXISTS, ARRAY, ANY and ALL.

use super::compute::call;
use super::expression::{UNPADDED, comparison, not};
use super::{Binding, Fold, FoldKind, Relation, Renderer, alias, walk};
use crate::error::{Error, Result};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::FunctionRef;
use crate::plan::query::{Body, Query, RelationId};
use crate::types::{Array, Type, Value};

impl Renderer<'_> {
    pub(super) fn subquery(&mut self, expression: &Expression) -> Result<String> {
        use ExpressionKind as K;
        match &expression.kind {
            K::AnyQuery {
                operands,
                query,
                operators,
                all,
            } => self.any_query(operands, query, operators, *all),
            K::Exists { query, negated } => self.exists(query, *negated),
            K::Scalar(query) => self.scalar(query),
            K::ArrayQuery(query) => self.array_query(query, &expression.ty),
            _ => Err(Error::internal("an expression is taken for a subquery")),
        }
    }

    fn exists(&mut self, query: &Query, negated: bool) -> Result<String> {
        let inner = self.query(query)?;
        let word = if negated { "NOT EXISTS" } else { "EXISTS" };
        Ok(format!("({word} ({inner}))"))
    }

    /// SQLite would take the first of several rows; PostgreSQL refuses them.
    fn scalar(&mut self, query: &Query) -> Result<String> {
        let inner = self.query(query)?;
        Ok(match has_at_most_one_row(query) {
            true => format!("({inner})"),
            false => format!("(SELECT pyql_single(c0) FROM ({inner}))"),
        })
    }

    fn array_query(&mut self, query: &Query, ty: &Type) -> Result<String> {
        let inner = self.query(query)?;
        let argument = query.columns.first().map(|c| c.ty.clone());
        let element = argument.clone().unwrap_or(Type::Unknown);
        let number = self.out.folds.len();
        self.out.folds.push(Fold {
            kind: FoldKind::Array,
            arguments: argument.into_iter().collect(),
            result: ty.clone(),
            distinct: false,
            order: Vec::new(),
        });
        let gathered = call("pyql_fold", number, &["c0".to_owned()]);
        let empty = Array::one_dimensional(element, Vec::new());
        let empty = self.bind(Binding::Constant(Value::Array(empty.into())));
        Ok(format!(
            "coalesce((SELECT {gathered} FROM ({inner})), {empty})"
        ))
    }

    fn any_query(
        &mut self,
        operands: &[Expression],
        query: &Query,
        operators: &[FunctionRef],
        all: bool,
    ) -> Result<String> {
        let symbols = operators.iter().zip(operands).zip(&query.columns);
        let wanted = if all { "<>" } else { "=" };
        let is_in = symbols
            .into_iter()
            .all(|((op, left), right)| comparison(*op, &left.ty, &right.ty) == Some(wanted));
        if is_in && operands.len() == query.columns.len() {
            let mut sides = Vec::new();
            for (operand, column) in operands.iter().zip(&query.columns) {
                sides.push(match column.ty {
                    Type::Char(None) => format!("{} COLLATE {UNPADDED}", self.expression(operand)?),
                    _ => self.collated(operand)?,
                });
            }
            let sides = match sides.as_slice() {
                [one] => one.clone(),
                many => format!("({})", many.join(", ")),
            };
            let inner = self.query(query)?;
            return Ok(format!("({sides}{} IN ({inner}))", not(all)));
        }
        let ([operand], [operator], [column]) = (operands, operators, query.columns.as_slice())
        else {
            return Err(Error::unsupported(
                "this comparison of a row with a subquery",
            ));
        };
        self.compared_with_each(operand, *operator, query, &column.ty, all)
    }

    /// Any true wins for ANY, any false for ALL; then any unknown; three-valued.
    fn compared_with_each(
        &mut self,
        operand: &Expression,
        operator: FunctionRef,
        query: &Query,
        ty: &Type,
        all: bool,
    ) -> Result<String> {
        let inner = self.query(query)?;
        self.made += 1;
        let relation = RelationId(u32::MAX / 2 + self.made);
        self.relations.insert(relation, Relation::Derived);
        let condition = Expression {
            kind: ExpressionKind::Call {
                function: operator,
                arguments: vec![operand.clone(), Expression::column(relation, 0, ty.clone())],
            },
            ty: Type::Bool,
        };
        let condition = self.expression(&condition)?;
        let each = format!(
            "SELECT {condition} AS b FROM ({inner}) AS {}",
            alias(relation)
        );
        let (decided, otherwise) = if all {
            ("min(b) = 0", 1)
        } else {
            ("max(b) = 1", 0)
        };
        let value = 1 - otherwise;
        Ok(format!(
            "(SELECT CASE WHEN {decided} THEN {value} WHEN count(*) > count(b) THEN NULL \
             ELSE {otherwise} END FROM ({each}))"
        ))
    }
}

fn has_at_most_one_row(query: &Query) -> bool {
    let limited = match query.limit.as_ref().map(|limit| &limit.kind) {
        Some(ExpressionKind::Constant(Value::Int(n))) => *n <= 1,
        _ => false,
    };
    let single = match &query.body {
        Body::Select(select) => {
            let set_call = |e: &Expression| walk::any(e, &walk::is_set_call);
            let grand_total = select.grouped && select.group_by.is_empty();
            let no_rows_read = select.from.is_empty() && !select.grouped;
            (grand_total || no_rows_read) && !select.projection.iter().any(set_call)
        }
        Body::Values(rows) => rows.len() <= 1,
        Body::SetOperation { .. } => false,
    };
    limited || single
}
