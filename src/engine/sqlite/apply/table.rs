//! What applying needs to know of a table, worked out once per schema version.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::expression::TableExpression;
use crate::catalog::schema::{Check, ForeignKey, Index, IndexKey, PrimaryKey, Schema, Table};
use crate::engine::sqlite::quote;
use crate::engine::sqlite::schema::{all_names, has_side_table, side_table_name};
use crate::error::Result;
use crate::types::id::{ObjectId, TableId};

/// Parsed expressions of point updates kept per table; a client that never
/// repeats a text must not fill the memory.
const EXPRESSION_LIMIT: usize = 256;

/// The tables of one schema version, as far as they were used.
pub(in crate::engine::sqlite) struct Tables {
    schema: Arc<Schema>,
    tables: HashMap<TableId, Arc<StoredTable>>,
}

/// One table: the texts of its statements and its constraints.
pub(super) struct StoredTable {
    pub(super) table: Arc<Table>,
    /// Places of the key's columns in a row.
    pub(super) key: Vec<usize>,
    pub(super) select: String,
    pub(super) insert: String,
    pub(super) delete: String,
    /// Keys and unique indexes in the order in which PostgreSQL checks them.
    pub(super) uniques: Vec<Unique>,
    pub(super) checks: Vec<(Check, TableExpression)>,
    /// Foreign keys of other tables (and this one) that refer to it.
    pub(super) children: Vec<(Arc<Table>, ForeignKey)>,
    updates: Mutex<HashMap<Vec<usize>, Arc<str>>>,
    expressions: Mutex<HashMap<Arc<str>, Arc<TableExpression>>>,
}

/// A key or a unique index.
pub(super) struct Unique {
    pub(super) id: ObjectId,
    pub(super) name: String,
    pub(super) parts: Vec<UniquePart>,
    pub(super) nulls_not_distinct: bool,
    /// A partial index's condition.
    pub(super) predicate: Option<TableExpression>,
    /// Looked at when the transaction ends.
    pub(super) deferrable: bool,
    /// Enforced by this side table rather than by an index of SQLite.
    pub(super) side_table: Option<String>,
}

pub(super) enum UniquePart {
    /// A place in the row.
    Column(usize),
    /// An expression and its text.
    Expression(Box<TableExpression>, String),
}

impl Tables {
    pub(in crate::engine::sqlite) fn new(schema: Arc<Schema>) -> Tables {
        Tables {
            schema,
            tables: HashMap::new(),
        }
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// `None`: no such table in this schema.
    pub(super) fn get(&mut self, id: TableId) -> Result<Option<Arc<StoredTable>>> {
        if let Some(table) = self.tables.get(&id) {
            return Ok(Some(Arc::clone(table)));
        }
        let Some(table) = self.schema.table(id) else {
            return Ok(None);
        };
        let stored = Arc::new(StoredTable::new(table, &self.schema)?);
        self.tables.insert(id, Arc::clone(&stored));
        Ok(Some(stored))
    }
}

impl StoredTable {
    pub(super) fn new(table: &Arc<Table>, schema: &Arc<Schema>) -> Result<StoredTable> {
        let key = table.key_positions();
        let by_key = conditions(table, &key, 1);
        let (name, columns) = (quote(&table.name), all_names(table));
        let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
        let mut checks = Vec::new();
        for check in &table.checks {
            let condition = TableExpression::parse(&check.expression, table, schema)?;
            checks.push((check.clone(), condition));
        }
        // PostgreSQL checks them by name.
        checks.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let children = schema.children_of(table.id);
        Ok(StoredTable {
            select: format!("SELECT {columns} FROM {name} WHERE {by_key}"),
            insert: format!(
                "INSERT INTO {name} ({columns}) VALUES ({})",
                places.join(", ")
            ),
            delete: format!("DELETE FROM {name} WHERE {by_key}"),
            uniques: uniques(table, schema)?,
            checks,
            children: children.map(|(t, k)| (Arc::clone(t), k.clone())).collect(),
            updates: Mutex::default(),
            expressions: Mutex::default(),
            key,
            table: Arc::clone(table),
        })
    }

    /// Whether a foreign key starts or ends here, so that its rows must be remembered.
    pub(super) fn has_references(&self) -> bool {
        !self.children.is_empty() || !self.table.foreign_keys.is_empty()
    }

    pub(super) fn has_side_tables(&self) -> bool {
        self.uniques
            .iter()
            .any(|unique| unique.side_table.is_some())
    }

    pub(super) fn has_deferrable(&self) -> bool {
        self.uniques.iter().any(|unique| unique.deferrable)
    }

    /// Whether a unique constraint depends on this place of a row.
    pub(super) fn is_in_unique(&self, place: usize) -> bool {
        self.uniques.iter().any(|unique| {
            unique.predicate.is_some()
                || unique.parts.iter().any(|part| match part {
                    UniquePart::Column(column) => *column == place,
                    UniquePart::Expression(..) => true,
                })
        })
    }

    /// UPDATE of these places of a row; the key comes after their values.
    pub(super) fn update(&self, places: &[usize]) -> Arc<str> {
        if let Some(text) = self.updates.lock().get(places) {
            return Arc::clone(text);
        }
        let set: Vec<String> = places
            .iter()
            .enumerate()
            .map(|(n, place)| format!("{} = ?{}", quote(&self.table.columns[*place].name), n + 1))
            .collect();
        let text: Arc<str> = Arc::from(format!(
            "UPDATE {} SET {} WHERE {}",
            quote(&self.table.name),
            set.join(", "),
            conditions(&self.table, &self.key, places.len() + 1),
        ));
        let mut updates = self.updates.lock();
        if updates.len() >= EXPRESSION_LIMIT {
            updates.clear();
        }
        updates.insert(places.to_vec(), Arc::clone(&text));
        text
    }

    pub(super) fn expression(
        &self,
        text: &Arc<str>,
        schema: &Arc<Schema>,
    ) -> Result<Arc<TableExpression>> {
        if let Some(known) = self.expressions.lock().get(text) {
            return Ok(Arc::clone(known));
        }
        let parsed = Arc::new(TableExpression::parse(text, &self.table, schema)?);
        let mut expressions = self.expressions.lock();
        if expressions.len() >= EXPRESSION_LIMIT {
            expressions.clear();
        }
        expressions.insert(Arc::clone(text), Arc::clone(&parsed));
        Ok(parsed)
    }
}

/// `"a" = ?n AND …` for these places of a row.
pub(super) fn conditions(table: &Table, places: &[usize], first: usize) -> String {
    let conditions: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(n, place)| format!("{} = ?{}", quote(&table.columns[*place].name), first + n))
        .collect();
    conditions.join(" AND ")
}

fn uniques(table: &Arc<Table>, schema: &Arc<Schema>) -> Result<Vec<Unique>> {
    let mut uniques = Vec::new();
    if let PrimaryKey::Declared {
        id, name, columns, ..
    } = &table.key
    {
        let places = columns.iter().filter_map(|id| table.position(*id));
        uniques.push(Unique {
            id: *id,
            name: name.clone(),
            parts: places.map(UniquePart::Column).collect(),
            nulls_not_distinct: false,
            predicate: None,
            deferrable: false,
            side_table: None,
        });
    }
    for index in table.indexes.iter().filter(|index| index.unique) {
        uniques.push(unique(index, table, schema)?);
    }
    uniques.sort_by_key(|unique| unique.id);
    Ok(uniques)
}

pub(super) fn unique(index: &Index, table: &Arc<Table>, schema: &Arc<Schema>) -> Result<Unique> {
    let mut parts = Vec::new();
    for part in &index.columns {
        parts.push(match &part.key {
            IndexKey::Column(id) => {
                let place = table.position(*id);
                UniquePart::Column(place.ok_or_else(|| {
                    crate::error::Error::internal(format!("index {} has no column", index.name))
                })?)
            }
            IndexKey::Expression(text, _) => {
                let expression = TableExpression::parse(text, table, schema)?;
                UniquePart::Expression(Box::new(expression), text.clone())
            }
        });
    }
    let predicate = index.predicate.as_deref();
    Ok(Unique {
        id: index.id,
        name: index.name.clone(),
        parts,
        nulls_not_distinct: index.nulls_not_distinct,
        predicate: predicate
            .map(|text| TableExpression::parse(text, table, schema))
            .transpose()?,
        deferrable: index.options.deferrable,
        side_table: has_side_table(index).then(|| side_table_name(index.id)),
    })
}
