//! COPY FROM STDIN: rows in bulk into an open transaction.
//!
//! It claims the whole table. Into an empty one nothing has to be looked up on
//! a replica but parents: the rows only have to agree with each other.

use std::sync::Arc;

use super::evaluator::{Attempt, Evaluator, Interrupted};
use super::queries::CHILD;
use crate::catalog::schema::Table;
use crate::dispatch::claim::Mode;
use crate::dispatch::deferral::Pending;
use crate::dispatch::refused::{Refused, cancelled};
use crate::dispatch::rules::{Rules, lookup_any};
use crate::dispatch::transaction::Basis;
use crate::error::Result;
use crate::plan::evaluate::evaluate;
use crate::plan::evaluation::{from_table, plain};
use crate::plan::expression::Expression;
use crate::types::{Array, Row, Type, Value};

/// A COPY under way.
pub struct Copying {
    pub table: Arc<Table>,
    pub columns: Vec<usize>,
    pub defaults: Vec<(usize, Expression)>,
    /// The table held no row when it was claimed.
    pub empty: Option<bool>,
    pub rows: u64,
    /// Foreign keys to look at when it ends.
    pub pending: Pending,
}

impl Evaluator<'_> {
    /// Takes the next rows: values of the COPY's columns in order.
    pub async fn copy_rows(
        &mut self,
        copying: &mut Copying,
        rows: Vec<Row>,
    ) -> Result<(), Refused> {
        self.bring_in(&[copying.table.id]).await?;
        std::mem::swap(&mut self.pending, &mut copying.pending);
        let taken = self.take_rows(copying, rows).await;
        std::mem::swap(&mut self.pending, &mut copying.pending);
        taken
    }

    async fn take_rows(&mut self, copying: &mut Copying, rows: Vec<Row>) -> Result<(), Refused> {
        if copying.empty.is_none() {
            copying.empty = Some(self.claim_empty(&copying.table).await?);
        }
        let rules = self.rules(&copying.table)?;
        let complete = rows.into_iter().map(|row| self.complete(copying, row));
        let rows: Vec<Row> = complete.collect::<Result<_>>()?;
        let empty = copying.empty == Some(true) && !rules.has_deferrable();
        let new = empty
            || self
                .are_new(&rules, &rows)
                .await
                .map_err(Interrupted::into_refused)?;
        for row in rows {
            copying.rows += 1;
            let line = copying.rows;
            let inserted = match new {
                true => self.add_row(&rules, row).await,
                false => self.insert_row(&rules, row).await.map(|_| ()),
            };
            inserted.map_err(Interrupted::into_refused)?;
            if line.is_multiple_of(4096) && self.patience.cancel.is_cancelled() {
                return Err(cancelled().into());
            }
        }
        self.transaction
            .schema
            .get_or_insert_with(|| self.schema.clone());
        self.make_room().await.map_err(Interrupted::into_refused)
    }

    /// Claims the unique keys of rows and looks them all up at once: `true` if
    /// no replica has any. Otherwise, or if some key cannot be looked up so,
    /// each row has to be looked at by itself.
    async fn are_new(&mut self, rules: &Arc<Rules>, rows: &[Row]) -> Attempt<bool> {
        let Some(places) = rules.single_places() else {
            return Ok(false);
        };
        for row in rows {
            for key in rules.unique_keys(row)? {
                let table = rules.table.id;
                self.claim_key(table, key.claim, Mode::Update, Basis::Fresh)
                    .await?;
            }
        }
        for place in places {
            let ty = rules.table.columns[place].ty.without_modifier();
            let values = rows.iter().map(|row| row[place].clone());
            let values = values.filter(|value| !value.is_null()).collect();
            let array = Value::Array(Arc::new(Array::one_dimensional(ty, values)));
            let query = lookup_any(&rules.table, place)?;
            let found = self.committed(&rules.table, &query, &[array]).await?;
            if !found.1.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks at the foreign keys of all rows.
    pub async fn copy_end(&mut self, copying: &mut Copying) -> Result<(), Refused> {
        self.pending = std::mem::take(&mut copying.pending);
        self.check_references()
            .await
            .map_err(Interrupted::into_refused)
    }

    fn complete(&self, copying: &Copying, values: Row) -> Result<Row> {
        let mut row = vec![Value::Null; copying.table.columns.len()];
        for (place, value) in copying.columns.iter().zip(values) {
            row[*place] = value;
        }
        for (place, default) in &copying.defaults {
            row[*place] = evaluate(default, &*self.parameters, &self.context)?;
        }
        Ok(row)
    }

    /// Claims an empty table as a whole, any other for writing rows.
    async fn claim_empty(&mut self, table: &Arc<Table>) -> Result<bool, Refused> {
        if self.is_empty(table).await? {
            self.claim_whole(table.id).await?;
            // It may have been filled before the claim was had.
            return self.is_empty(table).await;
        }
        self.claim_table(table.id, Mode::Intent).await?;
        Ok(false)
    }

    async fn is_empty(&mut self, table: &Arc<Table>) -> Result<bool, Refused> {
        if self.transaction.written.is_truncated(table.id) {
            return Ok(self.transaction.written.count_rows(table.id)? == 0);
        }
        let one = Expression::constant(Value::Int(1), Type::Int4);
        let select = plain(vec![one], vec![from_table(table, CHILD)], None);
        // What came after the transaction's snapshot counts too.
        Ok(self.first_now(select).await?.is_none())
    }
}
