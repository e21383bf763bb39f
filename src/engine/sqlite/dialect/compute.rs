//! Expressions that SQLite would compute differently: handed to the planner's
//! evaluator as a whole.

use super::{Binding, Computed, LEAVES, Renderer, walk};
use crate::error::{Error, Result};
use crate::plan::evaluate::walk::each_child;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::types::Type;

/// Arguments of one call: below SQLite's own limit.
const MAX_LEAVES: usize = 900;

impl Renderer<'_> {
    /// A call that evaluates the whole expression over the columns, aggregates
    /// and subqueries in it.
    pub(super) fn computed(&mut self, expression: &Expression) -> Result<String> {
        if self.lazy == 0 && walk::is_fixed(expression) {
            return Ok(self.bind(Binding::Computed(expression.clone())));
        }
        let mut leaves = Leaves::default();
        let mut expression = expression.clone();
        self.over_leaves(&mut expression, &mut leaves)?;
        let volatile = walk::any(&expression, &walk::is_volatile_call);
        let name = if volatile {
            "pyql_compute_volatile"
        } else {
            "pyql_compute"
        };
        let number = self.out.computed.len();
        self.out.computed.push(Computed {
            expression,
            leaves: leaves.types,
        });
        Ok(call(name, number, &leaves.sql))
    }

    /// Replaces everything that comes from rows by the columns of [`LEAVES`].
    pub(super) fn over_leaves(
        &mut self,
        expression: &mut Expression,
        leaves: &mut Leaves,
    ) -> Result<()> {
        let is_column = matches!(expression.kind, ExpressionKind::Column { .. });
        if is_column || walk::needs_engine(expression) {
            let sql = self.expression(expression)?;
            *expression = leaves.place(sql, &expression.ty)?;
            return Ok(());
        }
        if walk::is_set_call(expression) {
            return Err(Error::unsupported("a set-returning function at this place"));
        }
        self.children_over_leaves(expression, leaves)
    }

    pub(super) fn children_over_leaves(
        &mut self,
        expression: &mut Expression,
        leaves: &mut Leaves,
    ) -> Result<()> {
        let mut outcome = Ok(());
        each_child(expression, &mut |child| {
            if outcome.is_ok() {
                outcome = self.over_leaves(child, leaves);
            }
        });
        outcome
    }
}

/// A call of one of our own functions: the number of what it refers to, then arguments.
pub(super) fn call(name: &str, number: usize, arguments: &[String]) -> String {
    let mut sql = format!("{name}({number}");
    for argument in arguments {
        sql.push_str(", ");
        sql.push_str(argument);
    }
    sql.push(')');
    sql
}

/// The arguments of a call, each once.
#[derive(Default)]
pub(super) struct Leaves {
    pub(super) sql: Vec<String>,
    pub(super) types: Vec<Type>,
}

impl Leaves {
    fn place(&mut self, sql: String, ty: &Type) -> Result<Expression> {
        let known = self.sql.iter().position(|known| *known == sql);
        let place = known.unwrap_or(self.sql.len());
        if place >= MAX_LEAVES {
            return Err(Error::unsupported(format_args!(
                "an expression over more than {MAX_LEAVES} columns"
            )));
        }
        if known.is_none() {
            self.sql.push(sql);
            self.types.push(ty.clone());
        }
        Ok(Expression::column(LEAVES, place, ty.clone()))
    }
}
