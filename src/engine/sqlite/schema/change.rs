//! Schema changes on a file: each step of an entry in turn.
//!
//! What SQLite cannot alter is done by building the table anew under another
//! name, copying its rows and renaming it. That needs `foreign_keys` off, so
//! a schema entry has a database transaction to itself; whether existing rows
//! satisfy a new constraint was checked before the log.

use std::sync::Arc;

use rusqlite::params_from_iter;
use rusqlite::types::{ToSqlOutput, Value as SqlValue, ValueRef};

use super::{
    all_names, create_index, create_side_table, create_table, has_side_table, index_name, names,
    side_table_name, storage_type,
};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, Index, PrimaryKey, Schema, Table};
use crate::engine::sqlite::apply::{Conversion, Database, fill_side_table};
use crate::engine::sqlite::{StorageError, quote, stored_row, values};
use crate::types::Value;
use crate::types::id::{ColumnId, ObjectId, TableId};

/// The name of a table while it is built anew.
const REBUILT: &str = "_pyql_rebuilt";

/// Applies a list of changes, one after the other; returns the schema after them.
pub(in crate::engine::sqlite) fn apply(
    database: &Database,
    before: &Arc<Schema>,
    changes: &[SchemaChange],
) -> Result<Arc<Schema>, StorageError> {
    let mut schema = Arc::clone(before);
    for change in changes {
        let step = std::slice::from_ref(change);
        let after = Arc::new(schema.apply(step).map_err(broken)?);
        Step {
            database,
            entry: before,
            before: &schema,
            after: &after,
        }
        .run(change)?;
        schema = after;
    }
    // All steps of an entry make one version.
    Ok(Arc::new(before.apply(changes).map_err(broken)?))
}

fn broken(error: crate::error::Error) -> StorageError {
    StorageError::failed(format!("a schema change does not fit: {error}"))
}

/// One change between two schemas.
struct Step<'a> {
    database: &'a Database,
    /// The schema before all of the entry's changes.
    entry: &'a Schema,
    before: &'a Arc<Schema>,
    after: &'a Arc<Schema>,
}

impl Step<'_> {
    fn run(&self, change: &SchemaChange) -> Result<(), StorageError> {
        match change {
            SchemaChange::CreateTable(table) => self.create(table.id),
            SchemaChange::DropTable(id) => self.drop_table(*id),
            SchemaChange::RenameTable { table, name } => {
                let old = quote(&self.table_before(*table)?.name);
                self.sql(&format!("ALTER TABLE {old} RENAME TO {}", quote(name)))
            }
            SchemaChange::RenameColumn {
                table,
                column,
                name,
            } => {
                let table = self.table_before(*table)?;
                let column = names(table, &[*column]);
                self.sql(&format!(
                    "ALTER TABLE {} RENAME COLUMN {column} TO {}",
                    quote(&table.name),
                    quote(name)
                ))
            }
            SchemaChange::AddColumn {
                table,
                column,
                fill,
            } => self.add_column(*table, column, fill),
            SchemaChange::SetType {
                table,
                column,
                using,
                ..
            } => self.set_type(*table, *column, using),
            SchemaChange::DropColumn { table, .. }
            | SchemaChange::SetNotNull { table, .. }
            | SchemaChange::AddPrimaryKey { table, .. }
            | SchemaChange::AddForeignKey { table, .. }
            | SchemaChange::DropPrimaryKey { table, .. } => self.rebuild(*table),
            SchemaChange::DropConstraint { table, constraint } => {
                let keys = &self.table_before(*table)?.foreign_keys;
                if keys.iter().any(|key| key.id == *constraint) {
                    self.rebuild(*table)?;
                }
                Ok(())
            }
            SchemaChange::AddIndex { table, index } => {
                let table = self.table_after(*table)?;
                let index = table.indexes.iter().find(|found| found.id == index.id);
                let index = index.ok_or_else(|| StorageError::failed("no such index"))?;
                self.create_index(table, index)
            }
            SchemaChange::DropIndex { table, index } => self.drop_index(*table, *index),
            SchemaChange::SetDefault { .. }
            | SchemaChange::SetIdentity { .. }
            | SchemaChange::RenameIndex { .. }
            | SchemaChange::AddCheck { .. }
            | SchemaChange::RenameConstraint { .. }
            | SchemaChange::CreateSequence(_)
            | SchemaChange::AlterSequence(_)
            | SchemaChange::DropSequence(_)
            | SchemaChange::Comment { .. } => Ok(()),
        }
    }

    fn create(&self, id: TableId) -> Result<(), StorageError> {
        let table = self.table_after(id)?;
        self.sql(&create_table(table, self.after, &table.name, None))?;
        self.create_indexes(table)
    }

    fn drop_table(&self, id: TableId) -> Result<(), StorageError> {
        let table = self.table_before(id)?;
        self.drop_side_tables(table)?;
        self.sql(&format!("DROP TABLE {}", quote(&table.name)))
    }

    /// A column with a constant for all rows; its rows are not rewritten.
    fn add_column(&self, id: TableId, column: &Column, fill: &Value) -> Result<(), StorageError> {
        let table = self.table_after(id)?;
        let mut definition = format!("{} {}", quote(&column.name), storage_type(&column.ty));
        if !fill.is_null() {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            definition.push_str(&format!("{not_null} DEFAULT {}", literal(fill)));
        }
        self.sql(&format!(
            "ALTER TABLE {} ADD COLUMN {definition}",
            quote(&table.name)
        ))
    }

    /// Rewrites a column through its expression, row by row.
    fn set_type(&self, id: TableId, column: ColumnId, using: &str) -> Result<(), StorageError> {
        let (old, new) = (self.table_before(id)?, self.table_after(id)?);
        let place = new.position(column);
        let place = place.ok_or_else(|| StorageError::failed("no such column"))?;
        self.create_rebuilt(new)?;
        let failed = |error: crate::error::Error| StorageError::failed(error.to_string());
        let ty = &new.columns[place].ty;
        let conversion = Conversion::parse(using, old, self.before, ty).map_err(failed)?;
        let places: Vec<String> = (1..=new.columns.len()).map(|n| format!("?{n}")).collect();
        let insert = format!(
            "INSERT INTO {REBUILT} ({}) VALUES ({})",
            all_names(new),
            places.join(", ")
        );
        let select = format!("SELECT {} FROM {}", all_names(old), quote(&old.name));
        let mut statement = self.database.connection().prepare(&select)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let mut row = stored_row(row, old).map_err(broken)?;
            row[place] = conversion.of(&row).map_err(failed)?;
            let parameters = params_from_iter(row.iter().map(values::encode));
            self.database.execute(&insert, parameters)?;
        }
        drop(rows);
        drop(statement);
        self.take_place(old, new)
    }

    /// Builds the table anew as its definition is now, with the rows it has.
    fn rebuild(&self, id: TableId) -> Result<(), StorageError> {
        let (old, new) = (self.table_before(id)?, self.table_after(id)?);
        self.create_rebuilt(new)?;
        let mut sources = Vec::new();
        for column in &new.columns {
            sources.push(match old.column(column.id) {
                Some(column) => quote(&column.name),
                None => source_of_new(old, new, column),
            });
        }
        self.sql(&format!(
            "INSERT INTO {REBUILT} ({}) SELECT {} FROM {}",
            all_names(new),
            sources.join(", "),
            quote(&old.name)
        ))?;
        self.take_place(old, new)
    }

    fn create_rebuilt(&self, new: &Table) -> Result<(), StorageError> {
        let rows = self.entry.table(new.id).map(Arc::as_ref);
        self.sql(&create_table(new, self.after, REBUILT, rows))
    }

    fn take_place(&self, old: &Arc<Table>, new: &Arc<Table>) -> Result<(), StorageError> {
        self.drop_side_tables(old)?;
        self.sql(&format!("DROP TABLE {}", quote(&old.name)))?;
        self.sql(&format!(
            "ALTER TABLE {REBUILT} RENAME TO {}",
            quote(&new.name)
        ))?;
        self.create_indexes(new)
    }

    fn create_indexes(&self, table: &Arc<Table>) -> Result<(), StorageError> {
        for index in &table.indexes {
            self.create_index(table, index)?;
        }
        Ok(())
    }

    fn create_index(&self, table: &Arc<Table>, index: &Index) -> Result<(), StorageError> {
        if let Some(sql) = create_index(table, index) {
            self.sql(&sql)?;
        }
        if has_side_table(index) {
            self.sql(&create_side_table(index.id))?;
            fill_side_table(self.database, table, self.after, index)?;
        }
        Ok(())
    }

    fn drop_index(&self, table: TableId, id: ObjectId) -> Result<(), StorageError> {
        let table = self.table_before(table)?;
        let index = table.indexes.iter().find(|index| index.id == id);
        if index.is_some_and(has_side_table) {
            self.sql(&format!("DROP TABLE {}", quote(&side_table_name(id))))?;
        }
        // An index over expressions has none of SQLite's.
        let name = quote(&index_name(id));
        self.sql(&format!("DROP INDEX IF EXISTS {name}"))
    }

    fn drop_side_tables(&self, table: &Table) -> Result<(), StorageError> {
        for index in table.indexes.iter().filter(|index| has_side_table(index)) {
            let name = quote(&side_table_name(index.id));
            self.sql(&format!("DROP TABLE {name}"))?;
        }
        Ok(())
    }

    fn table_before(&self, id: TableId) -> Result<&Arc<Table>, StorageError> {
        let table = self.before.table(id);
        table.ok_or_else(|| StorageError::failed(format!("no table {id}")))
    }

    fn table_after(&self, id: TableId) -> Result<&Arc<Table>, StorageError> {
        let table = self.after.table(id);
        table.ok_or_else(|| StorageError::failed(format!("no table {id}")))
    }

    fn sql(&self, sql: &str) -> Result<(), StorageError> {
        Ok(self.database.run(sql)?)
    }
}

/// What a column that the old table lacks holds: a hidden key counts the rows
/// in the order of the old key, so that every replica numbers them alike.
fn source_of_new(old: &Table, new: &Table, column: &Column) -> String {
    match &new.key {
        PrimaryKey::Hidden { column: hidden, .. } if *hidden == column.id => {
            let key = names(old, &super::key_columns(old));
            format!("row_number() OVER (ORDER BY {key})")
        }
        _ => "NULL".to_owned(),
    }
}

/// A stored value as SQL text.
fn literal(value: &Value) -> String {
    match values::encode(value) {
        ToSqlOutput::Borrowed(stored) => literal_of(stored),
        ToSqlOutput::Owned(stored) => literal_of(ValueRef::from(&stored)),
        _ => literal_of(ValueRef::from(&SqlValue::Null)),
    }
}

fn literal_of(stored: ValueRef<'_>) -> String {
    match stored {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(i) => format!("({i})"),
        ValueRef::Real(f) if f == f64::INFINITY => "(9e999)".to_owned(),
        ValueRef::Real(f) if f == f64::NEG_INFINITY => "(-9e999)".to_owned(),
        ValueRef::Real(f) => format!("({f:?})"),
        ValueRef::Text(text) => {
            // A NUL would end the statement: such text goes in as bytes.
            if text.contains(&0) {
                return format!("(CAST({} AS TEXT))", blob(text));
            }
            let text = String::from_utf8_lossy(text);
            format!("'{}'", text.replace('\'', "''"))
        }
        ValueRef::Blob(bytes) => blob(bytes),
    }
}

fn blob(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}
