//! The schema of one data cluster: tables, columns, constraints, sequences.
//!
//! The same structures describe the system relations, so that the planner
//! binds both alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId, SchemaVersion, TableId};

/// Oids below this belong to the system; users' tables start here.
pub const FIRST_USER_OID: u32 = 16384;

/// Everything defined in one data cluster at one schema version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    pub version: SchemaVersion,
    /// The next number for a table, index, constraint or sequence.
    pub next_object: u32,
    pub tables: BTreeMap<TableId, Arc<Table>>,
    pub sequences: BTreeMap<ObjectId, Arc<Sequence>>,
    /// What COMMENT ON said of the objects.
    #[serde(default)]
    pub comments: BTreeMap<Commented, String>,
}

/// What a comment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Commented {
    /// A table, index or sequence by its number.
    Relation(ObjectId),
    Column(TableId, ColumnId),
    Constraint(ObjectId),
    /// Schema public.
    Schema,
    /// The data cluster itself.
    Database,
}

/// Where a relation lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Namespace {
    Public,
    /// What the system shows of itself: `pyql.nodes` and others.
    Pyql,
    PgCatalog,
    InformationSchema,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    pub id: TableId,
    pub namespace: Namespace,
    pub name: String,
    /// In column order; `Value` rows follow it. A dropped column is gone.
    pub columns: Vec<Column>,
    pub next_column: u16,
    pub key: PrimaryKey,
    /// Unique constraints and indexes, without the primary key's.
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    pub checks: Vec<Check>,
}

/// How a table's rows are named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PrimaryKey {
    /// A declared key over these columns.
    Declared {
        id: ObjectId,
        name: String,
        columns: Vec<ColumnId>,
        /// INCLUDE: shown, and nothing more.
        #[serde(default)]
        include: Vec<ColumnId>,
    },
    /// No declared key, or a deferrable one, which rows may lack for a while: the hidden int8 column of this id, last in the row,
    /// numbered by the table's own sequence.
    Hidden {
        column: ColumnId,
        sequence: ObjectId,
    },
    /// A system relation: never written.
    None,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Column {
    pub id: ColumnId,
    pub name: String,
    pub ty: Type,
    pub not_null: bool,
    /// Canonical PostgreSQL text of the default; pinned at each insert.
    pub default: Option<String>,
    pub identity: Option<Identity>,
    /// Never shown and never named by a client.
    pub hidden: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub always: bool,
    pub sequence: ObjectId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    pub id: ObjectId,
    pub name: String,
    pub columns: Vec<IndexColumn>,
    pub unique: bool,
    /// Made by UNIQUE in CREATE or ALTER TABLE rather than CREATE INDEX.
    pub constraint: bool,
    pub nulls_not_distinct: bool,
    /// Canonical PostgreSQL text of a partial index's condition.
    pub predicate: Option<String>,
    #[serde(default)]
    pub options: IndexOptions,
}

/// What few indexes have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexOptions {
    /// It is a primary key's, which is deferrable; the rows have a hidden key.
    pub primary: bool,
    /// Looked at when the statement or the transaction ends.
    pub deferrable: bool,
    pub initially_deferred: bool,
    /// INCLUDE: shown, and nothing more.
    pub include: Vec<ColumnId>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexColumn {
    pub key: IndexKey,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum IndexKey {
    Column(ColumnId),
    /// Canonical PostgreSQL text over the table's columns, and its type.
    Expression(String, Type),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForeignKey {
    pub id: ObjectId,
    pub name: String,
    pub columns: Vec<ColumnId>,
    pub parent: TableId,
    pub parent_columns: Vec<ColumnId>,
    pub on_delete: Action,
    pub on_update: Action,
    pub match_full: bool,
    pub deferrable: bool,
    pub initially_deferred: bool,
}

/// What a foreign key does when its parent row goes or changes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub id: ObjectId,
    pub name: String,
    /// Canonical PostgreSQL text over the table's columns.
    pub expression: String,
}

/// A sequence's definition; its position is a counter of the replicated state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    pub id: ObjectId,
    pub name: String,
    pub ty: Type,
    pub start: i64,
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    pub cycle: bool,
    /// Dropped with this column.
    pub owner: Option<(TableId, ColumnId)>,
    /// Made for a hidden key: never shown.
    pub hidden: bool,
}

impl Schema {
    pub fn empty() -> Schema {
        Schema {
            next_object: FIRST_USER_OID,
            ..Schema::default()
        }
    }

    /// The table of this name; names are case-sensitive here (the parser has folded them).
    pub fn table_named(&self, namespace: Namespace, name: &str) -> Option<&Arc<Table>> {
        self.tables
            .values()
            .find(|table| table.namespace == namespace && table.name == name)
    }

    pub fn table(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    pub fn sequence_named(&self, name: &str) -> Option<&Arc<Sequence>> {
        self.sequences
            .values()
            .find(|sequence| sequence.name == name)
    }

    /// The foreign keys of any table that refer to `parent`, with their table.
    pub fn children_of(&self, parent: TableId) -> impl Iterator<Item = (&Arc<Table>, &ForeignKey)> {
        self.tables.values().flat_map(move |table| {
            let keys = table
                .foreign_keys
                .iter()
                .filter(move |key| key.parent == parent);
            keys.map(move |key| (table, key))
        })
    }
}

impl Table {
    pub fn column_named(&self, name: &str) -> Option<(usize, &Column)> {
        self.columns
            .iter()
            .enumerate()
            .find(|(_, column)| column.name == name && !column.hidden)
    }

    /// Where the column of this id stands in a row.
    pub fn position(&self, id: ColumnId) -> Option<usize> {
        self.columns.iter().position(|column| column.id == id)
    }

    pub fn column(&self, id: ColumnId) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The columns of the primary key, declared or hidden, as places in a row.
    pub fn key_positions(&self) -> Vec<usize> {
        match &self.key {
            PrimaryKey::Declared { columns, .. } => {
                columns.iter().filter_map(|id| self.position(*id)).collect()
            }
            PrimaryKey::Hidden { column, .. } => self.position(*column).into_iter().collect(),
            PrimaryKey::None => Vec::new(),
        }
    }

    /// The columns of the primary key that was declared.
    pub fn primary_key(&self) -> Option<Vec<ColumnId>> {
        if let PrimaryKey::Declared { columns, .. } = &self.key {
            return Some(columns.clone());
        }
        let index = self.indexes.iter().find(|index| index.options.primary)?;
        let columns = index.columns.iter().map(|column| match &column.key {
            IndexKey::Column(id) => Some(*id),
            IndexKey::Expression(..) => None,
        });
        columns.collect()
    }

    /// The columns a client sees.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.hidden)
    }
}
