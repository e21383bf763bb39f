//! A change of the schema inside a transaction, and the rows around it.
//!
//! The log gets changes and rows in the order in which they were made. To the
//! transaction itself, a table that it has laid out anew is what it took in:
//! when the table is first used after the change, its rows are read as the
//! replicas have them, each is laid out as the changes since would, and all
//! of them lie over the table like written ones. The whole table is claimed,
//! so they stay what they are. Taken-in rows are not logged; a replica lays
//! out its own.
//!
//! Where a change moves keys and rows are written, the table is taken in
//! before, so that what was deleted need not be remembered by its key.
//!
//! Not handled: tables that were only renamed could be read where they are.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::Arc;

use super::evaluator::{Evaluator, Interrupted};
use super::found::Found;
use super::queries::CHILD;
use crate::catalog::Counter;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Schema, Table};
use crate::dispatch::deferral::{Deferred, ForeignCheck};
use crate::dispatch::read::{self, Question};
use crate::dispatch::refused::Refused;
use crate::dispatch::relaid::{Relaid, Shift, sort_by_key};
use crate::dispatch::rules::Rules;
use crate::endpoint::Level;
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::{NoScope, evaluate};
use crate::plan::evaluation::{from_table, of_select, plain, whole_row};
use crate::plan::statement::ColumnFill;
use crate::types::id::{ColumnId, TableId};
use crate::types::{Row, Value};

impl Evaluator<'_> {
    /// Takes one change of the schema into the transaction, and fills the
    /// column that it adds.
    pub(super) async fn take_change(
        &mut self,
        change: &SchemaChange,
        fills: &[ColumnFill],
    ) -> Result<(), Refused> {
        let before = self.schema.clone();
        let mut after = before.apply(slice::from_ref(change))?;
        after.version = self.transaction.cluster.draft_version();
        let after = Arc::new(after);
        self.refuse_pending(change)?;
        let relaid = Relaid::of(change, &before, &after)?.map(Arc::new);
        if let Some(relaid) = &relaid
            && relaid.moves_keys()
            && self.transaction.written.holds(relaid.table)
            && !self.transaction.written.is_truncated(relaid.table)
        {
            let nothing = Shift::default();
            self.transaction.begin_step(None, &nothing).await?;
            self.take_in(relaid.table).await?;
        }
        let shift = Shift {
            created: match change {
                SchemaChange::CreateTable(table) => Some(table.id),
                _ => None,
            },
            dropped: match change {
                SchemaChange::DropTable(table) => Some(*table),
                _ => None,
            },
            relaid,
            rules: self.rules_around(change, &before, &after)?,
        };
        let transaction = &mut *self.transaction;
        transaction.base.get_or_insert_with(|| before.clone());
        transaction.begin_step(Some(change), &shift).await?;
        transaction.schema = Some(after.clone());
        for (id, sequence) in &after.sequences {
            if !before.sequences.contains_key(id) && !transaction.sequences.owns(*id) {
                let counter = Counter::before_first(sequence);
                transaction.sequences.own(*id, counter);
            }
        }
        self.schema = after;
        let SchemaChange::AddColumn { table, column, .. } = change else {
            return Ok(());
        };
        match fills.iter().find(|fill| fill.column == column.id) {
            Some(fill) => self.fill_column(*table, fill).await,
            None => Ok(()),
        }
    }

    /// What is asked of the rows of the tables around a change, of those that
    /// the transaction has written to.
    fn rules_around(
        &self,
        change: &SchemaChange,
        before: &Schema,
        after: &Arc<Schema>,
    ) -> Result<BTreeMap<TableId, Arc<Rules>>> {
        let mut around = BTreeSet::new();
        if let Some(table) = change.table() {
            around.insert(table);
            for schema in [before, &**after] {
                let parents = schema.table(table).into_iter();
                let parents = parents.flat_map(|table| &table.foreign_keys);
                around.extend(parents.map(|key| key.parent));
                around.extend(schema.children_of(table).map(|(child, _)| child.id));
            }
        }
        let mut rules = BTreeMap::new();
        for id in around {
            if let Some(table) = after.table(id)
                && self.transaction.written.holds(id)
            {
                let compiled = self
                    .transaction
                    .cluster
                    .rules(after, table, &self.context)?;
                rules.insert(id, compiled);
            }
        }
        Ok(rules)
    }

    /// Keys that were put off hold values as they were; PostgreSQL refuses any
    /// change then.
    fn refuse_pending(&self, change: &SchemaChange) -> Result<()> {
        let Some(table) = change.table() else {
            return Ok(());
        };
        let converted = |id: TableId, columns: &[ColumnId]| match change {
            SchemaChange::SetType { column, .. } => id == table && columns.contains(column),
            _ => false,
        };
        let concerns = |deferred: &Deferred| match deferred {
            Deferred::Foreign(ForeignCheck { reference, .. }) => {
                let key = &reference.key;
                converted(reference.child.id, &key.columns)
                    || converted(key.parent, &key.parent_columns)
            }
            Deferred::Unique(check) => check.rules.table.id == table,
        };
        let pending = self.transaction.deferred.iter().any(concerns);
        if !pending {
            return Ok(());
        }
        let name = self.schema.table(table).map_or("", |table| &table.name);
        let message =
            format!("cannot ALTER TABLE \"{name}\" because it has pending trigger events");
        Err(Error::new(SqlState::OBJECT_IN_USE, message))
    }

    /// Takes in those of these tables that changes have laid out anew.
    pub(in crate::dispatch) async fn bring_in(
        &mut self,
        tables: &[TableId],
    ) -> Result<(), Refused> {
        if self.transaction.relaid.is_empty() {
            return Ok(());
        }
        for table in tables {
            let relaid = &self.transaction.relaid;
            if relaid.iter().any(|it| it.table == *table)
                && !self.transaction.written.is_truncated(*table)
            {
                self.take_in(*table).await?;
            }
        }
        Ok(())
    }

    /// Makes all rows of a table rows of the transaction.
    async fn take_in(&mut self, id: TableId) -> Result<(), Refused> {
        let base = self.transaction.stored_schema(&self.schema);
        let (Some(old), Some(table)) = (base.table(id).cloned(), self.schema.table(id).cloned())
        else {
            return Err(Error::internal("a table to take in is not there").into());
        };
        let rules = self.rules(&table)?;
        let relaid = self.transaction.relaid_of(id);
        let mut portions = self.stored_rows(&old).await?;
        // Where rows are counted all must be there.
        let counts = relaid.iter().any(|it| it.counts());
        let moved = relaid.iter().any(|it| it.moves_keys());
        let mut all = Vec::new();
        let key = old.key_positions();
        loop {
            let mut rows = portions.next().await?;
            if rows.is_empty() {
                break;
            }
            // What was written over need not convert. Had its key moved, all
            // would have been taken in then.
            if !moved && self.transaction.written.holds(id) {
                let mut unknown = Vec::with_capacity(rows.len());
                for row in rows {
                    let key: Vec<Value> = key.iter().map(|place| row[*place].clone()).collect();
                    if !self.transaction.written.knows(id, &key)? {
                        unknown.push(row);
                    }
                }
                rows = unknown;
            }
            if counts {
                all.extend(rows);
                continue;
            }
            for row in laid_out(rows, &relaid)? {
                self.transaction.written.take_in(&rules, row)?;
                Box::pin(self.make_room())
                    .await
                    .map_err(Interrupted::into_refused)?;
            }
        }
        for row in laid_out(all, &relaid)? {
            self.transaction.written.take_in(&rules, row)?;
            Box::pin(self.make_room())
                .await
                .map_err(Interrupted::into_refused)?;
        }
        self.transaction.written.is_all_of(id);
        Ok(())
    }

    /// A table's rows as the replicas have them.
    async fn stored_rows(&mut self, table: &Arc<Table>) -> Result<Found, Refused> {
        let cluster = self.transaction.cluster.clone();
        let snapshot = self.transaction.snapshot(&self.schema).await?;
        let level = match &snapshot {
            Some(held) => Level::Evaluate(held.index),
            None => Level::Evaluate(cluster.replicas.stable()),
        };
        let from = vec![from_table(table, CHILD)];
        let question = Question {
            query: Arc::new(of_select(plain(whole_row(table, CHILD), from, None))),
            parameters: Arc::from([]),
            context: self.context.clone(),
            schema: self.transaction.read_version(&self.schema, &[table.id])?,
            level,
            overlay: None,
            snapshot,
            cancel: self.patience.cancel.clone(),
        };
        Ok(Found::portions(read::read(&cluster, &question).await?))
    }

    /// A new column whose values differ from row to row.
    async fn fill_column(&mut self, id: TableId, fill: &ColumnFill) -> Result<(), Refused> {
        if !self.transaction.written.is_truncated(id) {
            self.take_in(id).await?;
        }
        let Some(table) = self.schema.table(id).cloned() else {
            return Err(Error::internal("a filled table is gone").into());
        };
        let rules = self.rules(&table)?;
        let context = self.context.over(&self.schema);
        let place = table.position(fill.column).unwrap_or_default();
        let mut last: Option<Row> = None;
        loop {
            let rows = self.transaction.written.next_rows(&table, last.as_ref())?;
            let Some(end) = rows.last() else {
                return Ok(());
            };
            last = Some(end.clone());
            let at_once = self.transaction.written.bulk().is_none();
            for row in rows {
                let mut filled = row.clone();
                filled[place] = evaluate(&fill.value, &NoScope, &context)?;
                rules.check(&filled, &context)?;
                let (key, written) = (rules.key_of(&row), &mut self.transaction.written);
                written.put(&rules, key, Some(&row), Some(filled))?;
                self.make_room().await.map_err(Interrupted::into_refused)?;
            }
            if at_once {
                return Ok(());
            }
        }
    }
}

/// Rows of a replica as changes, one after the other, lay them out.
fn laid_out(mut rows: Vec<Row>, relaid: &[Arc<Relaid>]) -> Result<Vec<Row>> {
    for step in relaid {
        if step.counts() {
            sort_by_key(&step.from, &mut rows);
        }
        for (row, number) in rows.iter_mut().zip(1..) {
            *row = step.row(row, number)?;
        }
    }
    Ok(rows)
}
