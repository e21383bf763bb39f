//! Schema changes: checked on a replica, kept in the transaction, logged alone in their entry.
//!
//! One transaction changes the schema at a time; it claims the schema and the
//! tables it changes, so open transactions that write to them go first. The
//! changed schema shows in the transaction at once, and so do the rows of a
//! table that it lays out anew; see `step`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::evaluator::{Evaluator, Interrupted};
use super::queries::{CHILD, count_of_rows};
use crate::catalog::Counter;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{PrimaryKey, Table};
use crate::dispatch::claim::{ClaimKey, Contended, Mode};
use crate::dispatch::refused::Refused;
use crate::dispatch::transaction::Basis;
use crate::engine::sqlite::schema::check_storable;
use crate::plan::evaluation::{from_table, of_select, plain};
use crate::plan::query::Query;
use crate::plan::statement::SchemaStatement;
use crate::types::id::TableId;
use crate::types::{Row, Value};

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
            Some(query) => Some(self.rows_locked(Arc::new(Query::clone(query))).await?),
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
        let from = vec![from_table(&table, CHILD)];
        let mut select = plain(vec![count_of_rows()?], from, None);
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
        if let PrimaryKey::Hidden { sequence, .. } = &table.key {
            let count = self.transaction.written.count_rows(table.id)? as i64;
            let counter = Counter {
                last_value: count.max(1),
                is_called: count > 0,
            };
            self.transaction.sequences.own(*sequence, counter);
        }
        Ok(())
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
