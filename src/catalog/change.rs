//! Changes of a schema: the only way one version becomes the next.

use serde::{Deserialize, Serialize};

use super::schema::{Check, Column, Commented, ForeignKey, Identity, Index, Sequence, Table};
use crate::types::id::{ColumnId, ObjectId, TableId};
use crate::types::write::Write;
use crate::types::{Type, Value};

/// Changes of a schema and the rows that were written before the next ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SchemaStep {
    pub changes: Vec<SchemaChange>,
    /// How many of the entry's pieces come before `writes`.
    pub pieces: usize,
    /// Laid out by the schema after these changes.
    pub writes: Vec<Write>,
}

/// One step from a schema to the next. A DDL statement is a list of steps in
/// one log entry; names, numbers and constants are resolved before the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SchemaChange {
    /// A table with its constraints and indexes; sequences it owns come before it.
    CreateTable(Table),
    /// Drops a table, its indexes and the sequences it owns. Foreign keys of
    /// other tables that refer to it are dropped by steps before this one.
    DropTable(TableId),
    RenameTable {
        table: TableId,
        name: String,
    },
    RenameColumn {
        table: TableId,
        column: ColumnId,
        name: String,
    },
    /// Existing rows get `fill`; a column with a default that is not constant
    /// or with an identity is filled by row writes in the same transaction.
    AddColumn {
        table: TableId,
        column: Column,
        fill: Value,
    },
    /// Drops a column. Indexes and constraints over it are dropped by steps before this one.
    DropColumn {
        table: TableId,
        column: ColumnId,
    },
    /// Rewrites the column as `using` (canonical PostgreSQL text over the old row).
    SetType {
        table: TableId,
        column: ColumnId,
        ty: Type,
        using: String,
    },
    SetDefault {
        table: TableId,
        column: ColumnId,
        default: Option<String>,
    },
    SetNotNull {
        table: TableId,
        column: ColumnId,
        not_null: bool,
    },
    SetIdentity {
        table: TableId,
        column: ColumnId,
        identity: Option<Identity>,
    },
    /// Makes these columns the declared key in place of a hidden one.
    AddPrimaryKey {
        table: TableId,
        id: ObjectId,
        name: String,
        columns: Vec<ColumnId>,
        #[serde(default)]
        include: Vec<ColumnId>,
    },
    AddIndex {
        table: TableId,
        index: Index,
    },
    DropIndex {
        table: TableId,
        index: ObjectId,
    },
    RenameIndex {
        table: TableId,
        index: ObjectId,
        name: String,
    },
    AddForeignKey {
        table: TableId,
        key: ForeignKey,
    },
    AddCheck {
        table: TableId,
        check: Check,
    },
    /// A foreign key or check; unique constraints go by `DropIndex`.
    DropConstraint {
        table: TableId,
        constraint: ObjectId,
    },
    RenameConstraint {
        table: TableId,
        constraint: ObjectId,
        name: String,
    },
    /// Gives a table whose declared key goes a hidden key.
    DropPrimaryKey {
        table: TableId,
        hidden: Column,
        sequence: Sequence,
    },
    CreateSequence(Sequence),
    /// Replaces the definition under the same id.
    AlterSequence(Sequence),
    DropSequence(ObjectId),
    /// `None` takes the comment away.
    Comment {
        on: Commented,
        text: Option<String>,
    },
}

impl SchemaChange {
    /// The table that the step makes, changes or drops; `None` for a sequence's.
    pub fn table(&self) -> Option<TableId> {
        match self {
            SchemaChange::CreateTable(table) => Some(table.id),
            SchemaChange::DropTable(table)
            | SchemaChange::RenameTable { table, .. }
            | SchemaChange::RenameColumn { table, .. }
            | SchemaChange::AddColumn { table, .. }
            | SchemaChange::DropColumn { table, .. }
            | SchemaChange::SetType { table, .. }
            | SchemaChange::SetDefault { table, .. }
            | SchemaChange::SetNotNull { table, .. }
            | SchemaChange::SetIdentity { table, .. }
            | SchemaChange::AddPrimaryKey { table, .. }
            | SchemaChange::AddIndex { table, .. }
            | SchemaChange::DropIndex { table, .. }
            | SchemaChange::RenameIndex { table, .. }
            | SchemaChange::AddForeignKey { table, .. }
            | SchemaChange::AddCheck { table, .. }
            | SchemaChange::DropConstraint { table, .. }
            | SchemaChange::RenameConstraint { table, .. }
            | SchemaChange::DropPrimaryKey { table, .. } => Some(*table),
            SchemaChange::CreateSequence(_)
            | SchemaChange::AlterSequence(_)
            | SchemaChange::DropSequence(_)
            | SchemaChange::Comment { .. } => None,
        }
    }
}
