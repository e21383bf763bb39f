//! Point writes: the fast path of autocommit statements.
//!
//! An INSERT of constants, or an UPDATE or DELETE by full primary key, goes to
//! the sequencer as it is; replicas find conflicts when they apply it. It
//! claims in modes that agree with other point writes, so it only waits for
//! open transactions. Whatever needs a look at other rows is no point write.

use std::sync::Arc;

use super::claim::{ClaimKey, Contended, Held, Mode};
use super::cluster::DataCluster;
use super::evaluate::{Done, Relations};
use super::order::{Content, Order};
use super::refused::Refused;
use super::rules::Rules;
use super::submit::submit;
use super::transaction::{Basis, OpenTransaction, Patience};
use crate::catalog::schema::Schema;
use crate::error::Result;
use crate::plan::context::Context;
use crate::plan::deparse;
use crate::plan::evaluate::{evaluate, is_evaluable};
use crate::plan::pin;
use crate::plan::point::{self, Point};
use crate::plan::statement::{Insert, InsertSource, Isolation, Statement, Update};
use crate::types::id::TableId;
use crate::types::write::{Assigned, Assignment, Write};
use crate::types::{Row, Value};

/// Rows of an INSERT that may still be a point write; more go by evaluation.
const POINT_ROWS_MAX: usize = 1000;

/// A point write, ready for the sequencer.
pub struct PointWrite {
    write: Write,
    claims: Vec<(ClaimKey, Mode)>,
    /// Rows for RETURNING.
    returning: Vec<Row>,
}

impl PointWrite {
    /// What will be logged, for EXPLAIN.
    pub fn describe(&self) -> Vec<String> {
        match &self.write {
            Write::Insert { rows, .. } => vec![format!("{} rows of constants", rows.len())],
            Write::Update { set, .. } => set
                .iter()
                .map(|assignment| match &assignment.value {
                    Assigned::Constant(_) => format!("column {} = a constant", assignment.column),
                    Assigned::Expression { text, .. } => {
                        format!("column {} = {text}", assignment.column)
                    }
                })
                .collect(),
            _ => vec!["a key".to_owned()],
        }
    }
}

/// What a point write knows of its statement.
pub struct Caller<'a> {
    pub cluster: &'a Arc<DataCluster>,
    pub schema: &'a Arc<Schema>,
    pub context: &'a Arc<Context>,
    pub parameters: &'a [Value],
}

impl Caller<'_> {
    /// The statement as a point write, if it is one.
    pub fn recognise(&self, statement: &Statement) -> Result<Option<PointWrite>> {
        match statement {
            // Values that it drew before it waits for a TRUNCATE would be lost.
            Statement::Insert(insert) => match self.is_table_free(insert.table.id) {
                true => self.insert(insert),
                false => Ok(None),
            },
            Statement::Update(update) => self.update(statement, update),
            Statement::Delete(delete) if delete.returning.is_none() => {
                let rules = self
                    .cluster
                    .rules(self.schema, &delete.table, self.context)?;
                let Some(key) = self.key(statement, &rules)? else {
                    return Ok(None);
                };
                if !rules.children.is_empty() {
                    return Ok(None);
                }
                let claims = vec![
                    (ClaimKey::table(rules.table.id), Mode::Intent),
                    (ClaimKey::primary(rules.table.id, &key), Mode::PointKey),
                ];
                let write = Write::Delete {
                    table: rules.table.id,
                    key,
                };
                Ok(Some(PointWrite {
                    write,
                    claims,
                    returning: Vec::new(),
                }))
            }
            _ => Ok(None),
        }
    }

    fn is_table_free(&self, table: TableId) -> bool {
        let table = [(ClaimKey::table(table), Mode::Intent)];
        self.cluster.claims.is_free_for_point(&table)
    }

    fn insert(&self, insert: &Insert) -> Result<Option<PointWrite>> {
        let InsertSource::Values(rows) = &insert.source else {
            return Ok(None);
        };
        let simple = insert.on_conflict.is_none()
            && insert.with.is_empty()
            && rows.len() <= POINT_ROWS_MAX
            && rows.iter().flatten().all(is_evaluable);
        if !simple {
            return Ok(None);
        }
        let rules = self
            .cluster
            .rules(self.schema, &insert.table, self.context)?;
        if rules.parents.iter().any(|parent| parent.key.deferrable) {
            return Ok(None);
        }
        let mut claims = vec![(ClaimKey::table(rules.table.id), Mode::Intent)];
        let mut complete = Vec::with_capacity(rows.len());
        let mut returned = Vec::new();
        for row in rows {
            let values = row
                .iter()
                .map(|e| evaluate(e, self.parameters, self.context));
            let row = values.collect::<Result<Row>>()?;
            rules.check(&row, self.context)?;
            claims.extend(
                rules
                    .unique_keys(&row)?
                    .into_iter()
                    .map(|key| (key.claim, Mode::PointKey)),
            );
            for reference in &rules.parents {
                if let Some(values) = reference.child_values(&row)? {
                    claims.push((reference.parent_claim(&values), Mode::KeyShare));
                }
            }
            if let Some(returning) = &insert.returning {
                if !returning.expressions.iter().all(is_evaluable) {
                    return Ok(None);
                }
                let relations = [(insert.relation, row.as_slice())];
                let scope = Relations {
                    relations: &relations,
                    others: &[],
                    parameters: self.parameters,
                };
                let values = returning
                    .expressions
                    .iter()
                    .map(|e| evaluate(e, &scope, self.context));
                returned.push(values.collect::<Result<Row>>()?);
            }
            complete.push(row);
        }
        // A row that refers to another of its own statement is fine: foreign
        // keys are looked at when the statement ends.
        let write = Write::Insert {
            table: rules.table.id,
            rows: complete,
        };
        Ok(Some(PointWrite {
            write,
            claims,
            returning: returned,
        }))
    }

    fn update(&self, statement: &Statement, update: &Update) -> Result<Option<PointWrite>> {
        if update.returning.is_some() || !update.set.iter().all(|(_, e)| is_evaluable(e)) {
            return Ok(None);
        }
        let rules = self
            .cluster
            .rules(self.schema, &update.table, self.context)?;
        let Some(key) = self.key(statement, &rules)? else {
            return Ok(None);
        };
        if update
            .set
            .iter()
            .any(|(place, _)| concerns_key(&rules, *place))
        {
            return Ok(None);
        }
        let mut set = Vec::with_capacity(update.set.len());
        for (place, expression) in &update.set {
            let Some(pinned) = pin::pin(expression, self.parameters, self.context)? else {
                return Ok(None);
            };
            let value = match pinned.expression.kind {
                crate::plan::expression::ExpressionKind::Parameter(0) => {
                    Assigned::Constant(pinned.parameters.into_iter().next().unwrap_or(Value::Null))
                }
                _ => {
                    let row = Some((&*update.table, update.relation));
                    let text = deparse::expression(&pinned.expression, self.schema, row);
                    Assigned::Expression {
                        text: text.into(),
                        parameters: pinned.parameters,
                    }
                }
            };
            set.push(Assignment {
                column: *place as u16,
                value,
            });
        }
        let claims = vec![
            (ClaimKey::table(rules.table.id), Mode::Intent),
            (ClaimKey::primary(rules.table.id, &key), Mode::Point),
        ];
        let write = Write::Update {
            table: rules.table.id,
            key,
            set,
        };
        Ok(Some(PointWrite {
            write,
            claims,
            returning: Vec::new(),
        }))
    }

    /// The primary key that an UPDATE or DELETE names in full.
    fn key(&self, statement: &Statement, rules: &Rules) -> Result<Option<Vec<Value>>> {
        let expressions = match point::write(statement) {
            Some(Point::Update { key, .. } | Point::Delete { key, .. }) => key,
            _ => return Ok(None),
        };
        if expressions.len() != rules.key.len() {
            return Ok(None);
        }
        let values = expressions
            .iter()
            .map(|e| evaluate(e, self.parameters, self.context));
        let values = values.collect::<Result<Vec<Value>>>()?;
        // `= NULL` matches nothing; the general path says so with no special case.
        Ok((!values.iter().any(Value::is_null)).then_some(values))
    }
}

/// Is the column part of a unique or foreign key, at either end?
fn concerns_key(rules: &Rules, place: usize) -> bool {
    rules.is_in_unique(place)
        || rules
            .parents
            .iter()
            .any(|parent| parent.child_places.contains(&place))
        || rules
            .children
            .iter()
            .any(|child| child.parent_places.contains(&place))
}

/// Submits a point write and waits for its outcome. `None`: it drew values
/// (`drew`) from a sequence that whoever it must wait for may restart.
pub async fn run(
    caller: &Caller<'_>,
    point: PointWrite,
    drew: bool,
    patience: &Patience,
) -> Result<Option<Done>, Refused> {
    let held = if caller.cluster.claims.try_claim_point(&point.claims) {
        Held::Point(point.claims)
    } else if drew {
        return Ok(None);
    } else {
        // Dropped early, it lets go of what it has claimed so far.
        let waiter = OpenTransaction::new(caller.cluster.clone(), Isolation::ReadCommitted, false);
        for (key, mode) in &point.claims {
            let claimed = waiter.claim(*key, *mode, Basis::Fresh, Contended::Wait, patience);
            claimed.await?;
        }
        Held::Of(waiter.keep_claims())
    };
    let order = Order {
        id: caller.cluster.ids.next(),
        content: Content::Writes(vec![point.write]),
        schema: caller.schema.clone(),
        read: None,
        counters: Vec::new(),
    };
    let decided = submit(caller.cluster, held, order).await?;
    let rows = decided
        .1
        .result
        .map(|applied| applied.rows.iter().sum())
        .unwrap_or_default();
    Ok(Some(Done {
        rows,
        returning: point.returning,
    }))
}
