//! How a schema becomes the next: pure, and the same on every node and replica.
//!
//! Names, numbers and texts were resolved by the planner against the very
//! version that is changed, so a step that does not fit means that the entry
//! and the schema do not belong together; nothing of it is taken.
//!
//! Not handled: texts that name a renamed column. The planner drops and adds
//! the constraints and indexes that hold them around the renaming.

use std::sync::Arc;

use super::change::SchemaChange;
use super::schema::{Column, Commented, Index, PrimaryKey, Schema, Sequence, Table};
use crate::error::{Error, Result};
use crate::types::id::{ColumnId, ObjectId, TableId};

impl Schema {
    /// The schema after these changes: one version later, however many they are.
    pub fn apply(&self, changes: &[SchemaChange]) -> Result<Schema> {
        let mut after = self.clone();
        for change in changes {
            after.step(change)?;
        }
        after.version.0 += 1;
        after.forget_comments();
        Ok(after)
    }

    fn step(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::CreateTable(table) => self.create_table(table),
            SchemaChange::DropTable(id) => {
                self.tables
                    .remove(id)
                    .ok_or_else(|| misfit("table", id.0))?;
                self.sequences
                    .retain(|_, sequence| sequence.owner.is_none_or(|(table, _)| table != *id));
                Ok(())
            }
            SchemaChange::RenameTable { table, name } => {
                self.table_mut(*table)?.name.clone_from(name);
                Ok(())
            }
            SchemaChange::DropColumn { table, column } => self.drop_column(*table, *column),
            SchemaChange::AddPrimaryKey {
                table,
                id,
                name,
                columns,
                include,
            } => {
                let key = PrimaryKey::Declared {
                    id: *id,
                    name: name.clone(),
                    columns: columns.clone(),
                    include: include.clone(),
                };
                self.use_object(*id);
                self.add_primary_key(*table, key, columns)
            }
            SchemaChange::DropPrimaryKey {
                table,
                hidden,
                sequence,
            } => {
                self.put_sequence(sequence);
                let table = self.table_mut(*table)?;
                table.next_column = table.next_column.max(hidden.id.0 + 1);
                table.key = PrimaryKey::Hidden {
                    column: hidden.id,
                    sequence: sequence.id,
                };
                table.columns.push(hidden.clone());
                Ok(())
            }
            SchemaChange::CreateSequence(sequence) | SchemaChange::AlterSequence(sequence) => {
                self.put_sequence(sequence);
                Ok(())
            }
            SchemaChange::DropSequence(id) => {
                let dropped = self.sequences.remove(id);
                dropped.map(drop).ok_or_else(|| misfit("sequence", id.0))
            }
            SchemaChange::Comment { on, text } => {
                match text {
                    Some(text) => self.comments.insert(*on, text.clone()),
                    None => self.comments.remove(on),
                };
                Ok(())
            }
            of_column => self.column_step(of_column),
        }
    }

    /// Comments go with what they are on.
    fn forget_comments(&mut self) {
        if self.comments.is_empty() {
            return;
        }
        let mut comments = std::mem::take(&mut self.comments);
        comments.retain(|on, _| self.is_there(*on));
        self.comments = comments;
    }

    fn is_there(&self, on: Commented) -> bool {
        let mut tables = self.tables.values();
        match on {
            Commented::Schema | Commented::Database => true,
            Commented::Column(table, column) => {
                let table = self.tables.get(&table);
                table.is_some_and(|table| table.column(column).is_some())
            }
            Commented::Relation(id) => {
                self.sequences.contains_key(&id)
                    || tables.any(|table| table.id.0 == id.0 || table.has_index(id))
            }
            Commented::Constraint(id) => tables.any(|table| {
                let mut ids = table.foreign_keys.iter().map(|key| key.id);
                let mut checks = table.checks.iter().map(|check| check.id);
                table.has_index(id) || ids.any(|key| key == id) || checks.any(|check| check == id)
            }),
        }
    }

    fn column_step(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::RenameColumn {
                table,
                column,
                name,
            } => self.column_mut(*table, *column)?.name.clone_from(name),
            SchemaChange::AddColumn { table, column, .. } => {
                self.table_mut(*table)?.add_column(column);
            }
            SchemaChange::SetType {
                table, column, ty, ..
            } => self.column_mut(*table, *column)?.ty = ty.clone(),
            SchemaChange::SetDefault {
                table,
                column,
                default,
            } => self
                .column_mut(*table, *column)?
                .default
                .clone_from(default),
            SchemaChange::SetNotNull {
                table,
                column,
                not_null,
            } => self.column_mut(*table, *column)?.not_null = *not_null,
            SchemaChange::SetIdentity {
                table,
                column,
                identity,
            } => self
                .column_mut(*table, *column)?
                .identity
                .clone_from(identity),
            of_constraint => return self.constraint_step(of_constraint),
        }
        Ok(())
    }

    fn constraint_step(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::AddIndex { table, index } => {
                self.use_object(index.id);
                self.table_mut(*table)?.indexes.push(index.clone());
                Ok(())
            }
            SchemaChange::DropIndex { table, index } => {
                let indexes = &mut self.table_mut(*table)?.indexes;
                remove_one(indexes, |found| found.id == *index)
            }
            SchemaChange::RenameIndex { table, index, name }
            | SchemaChange::RenameConstraint {
                table,
                constraint: index,
                name,
            } => self.table_mut(*table)?.rename_object(*index, name),
            SchemaChange::AddForeignKey { table, key } => {
                self.use_object(key.id);
                self.table_mut(*table)?.foreign_keys.push(key.clone());
                Ok(())
            }
            SchemaChange::AddCheck { table, check } => {
                self.use_object(check.id);
                self.table_mut(*table)?.checks.push(check.clone());
                Ok(())
            }
            SchemaChange::DropConstraint { table, constraint } => {
                let table = self.table_mut(*table)?;
                remove_one(&mut table.foreign_keys, |key| key.id == *constraint)
                    .or_else(|_| remove_one(&mut table.checks, |check| check.id == *constraint))
            }
            _ => Err(Error::internal("a schema change of an unknown kind")),
        }
    }

    fn create_table(&mut self, table: &Table) -> Result<()> {
        let taken = self.tables.contains_key(&table.id)
            || self.table_named(table.namespace, &table.name).is_some();
        if taken {
            return Err(misfit("table", table.id.0));
        }
        self.use_object(ObjectId(table.id.0));
        match table.key {
            PrimaryKey::Declared { id, .. } => self.use_object(id),
            PrimaryKey::Hidden { sequence, .. } => self.use_object(sequence),
            PrimaryKey::None => {}
        }
        let ids = table.indexes.iter().map(|index| index.id);
        let ids = ids.chain(table.foreign_keys.iter().map(|key| key.id));
        for id in ids.chain(table.checks.iter().map(|check| check.id)) {
            self.use_object(id);
        }
        self.tables.insert(table.id, Arc::new(table.clone()));
        Ok(())
    }

    fn drop_column(&mut self, table: TableId, column: ColumnId) -> Result<()> {
        let columns = &mut self.table_mut(table)?.columns;
        remove_one(columns, |found| found.id == column)?;
        let owner = Some((table, column));
        self.sequences.retain(|_, sequence| sequence.owner != owner);
        Ok(())
    }

    fn add_primary_key(
        &mut self,
        id: TableId,
        key: PrimaryKey,
        columns: &[ColumnId],
    ) -> Result<()> {
        let table = self.table_mut(id)?;
        let replaced = std::mem::replace(&mut table.key, key);
        for column in &mut table.columns {
            column.not_null |= columns.contains(&column.id);
        }
        match replaced {
            PrimaryKey::Hidden { column, sequence } => {
                self.drop_column(id, column)?;
                self.sequences.remove(&sequence);
                Ok(())
            }
            _ => Err(misfit("hidden key of table", id.0)),
        }
    }

    fn put_sequence(&mut self, sequence: &Sequence) {
        self.use_object(sequence.id);
        self.sequences
            .insert(sequence.id, Arc::new(sequence.clone()));
    }

    /// Numbers are never used twice.
    fn use_object(&mut self, id: ObjectId) {
        self.next_object = self.next_object.max(id.0 + 1);
    }

    fn table_mut(&mut self, id: TableId) -> Result<&mut Table> {
        let table = self.tables.get_mut(&id);
        table
            .map(Arc::make_mut)
            .ok_or_else(|| misfit("table", id.0))
    }

    fn column_mut(&mut self, table: TableId, id: ColumnId) -> Result<&mut Column> {
        let mut columns = self.table_mut(table)?.columns.iter_mut();
        columns
            .find(|column| column.id == id)
            .ok_or_else(|| misfit("column", u32::from(id.0)))
    }
}

impl Table {
    /// After the others, before a hidden key.
    fn add_column(&mut self, column: &Column) {
        self.next_column = self.next_column.max(column.id.0 + 1);
        let hidden = self.columns.iter().position(|found| found.hidden);
        let place = hidden.unwrap_or(self.columns.len());
        self.columns.insert(place, column.clone());
    }

    /// An index of this number, the primary key's included.
    fn has_index(&self, id: ObjectId) -> bool {
        matches!(&self.key, PrimaryKey::Declared { id: key, .. } if *key == id)
            || self.indexes.iter().any(|index| index.id == id)
    }

    fn rename_object(&mut self, id: ObjectId, name: &str) -> Result<()> {
        let mut indexes = self.indexes.iter_mut();
        let index = indexes.find(|index: &&mut Index| index.id == id);
        let mut keys = self.foreign_keys.iter_mut();
        let mut checks = self.checks.iter_mut();
        let found = match &mut self.key {
            PrimaryKey::Declared { id: key, name, .. } if *key == id => Some(name),
            _ => None,
        };
        let found = found
            .or(index.map(|index| &mut index.name))
            .or_else(|| keys.find(|key| key.id == id).map(|key| &mut key.name))
            .or_else(|| checks.find(|c| c.id == id).map(|check| &mut check.name));
        let found = found.ok_or_else(|| misfit("constraint", id.0))?;
        name.clone_into(found);
        Ok(())
    }
}

fn remove_one<T>(list: &mut Vec<T>, is_it: impl FnMut(&T) -> bool) -> Result<()> {
    let place = list.iter().position(is_it);
    let place = place.ok_or_else(|| misfit("object", 0))?;
    list.remove(place);
    Ok(())
}

fn misfit(what: &str, id: u32) -> Error {
    Error::internal(format!("a schema change does not fit: {what} {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::{Check, IndexColumn, IndexKey, Namespace};
    use crate::types::{Type, Value};

    const TABLE: TableId = TableId(16384);

    fn column(id: u16, name: &str, hidden: bool) -> Column {
        Column {
            id: ColumnId(id),
            name: name.to_owned(),
            ty: Type::Int4,
            not_null: hidden,
            default: None,
            identity: None,
            hidden,
        }
    }

    /// `t(a int)` with a hidden key.
    fn create() -> Vec<SchemaChange> {
        let sequence = Sequence {
            id: ObjectId(16385),
            name: "t__pyql_key_seq".to_owned(),
            ty: Type::Int8,
            start: 1,
            increment: 1,
            min: 1,
            max: i64::MAX,
            cycle: false,
            owner: Some((TABLE, ColumnId(2))),
            hidden: true,
        };
        let table = Table {
            id: TABLE,
            namespace: Namespace::Public,
            name: "t".to_owned(),
            columns: vec![column(1, "a", false), column(2, "_pyql_key", true)],
            next_column: 3,
            key: PrimaryKey::Hidden {
                column: ColumnId(2),
                sequence: sequence.id,
            },
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        };
        vec![
            SchemaChange::CreateSequence(sequence),
            SchemaChange::CreateTable(table),
        ]
    }

    fn names(schema: &Schema) -> Vec<&str> {
        let columns = &schema.tables[&TABLE].columns;
        columns.iter().map(|column| column.name.as_str()).collect()
    }

    #[test]
    fn a_list_of_changes_is_one_version() {
        let first = Schema::empty().apply(&create()).unwrap();
        assert_eq!((first.version.0, first.next_object), (1, 16386));
        let add = SchemaChange::AddColumn {
            table: TABLE,
            column: column(3, "b", false),
            fill: Value::Null,
        };
        let key = SchemaChange::AddPrimaryKey {
            table: TABLE,
            id: ObjectId(16390),
            name: "t_pkey".to_owned(),
            columns: vec![ColumnId(3)],
            include: Vec::new(),
        };
        let second = first.apply(std::slice::from_ref(&add)).unwrap();
        assert_eq!(names(&second), ["a", "b", "_pyql_key"]);
        let both = first.apply(&[add, key]).unwrap();
        assert_eq!((both.version.0, both.next_object), (2, 16391));
        assert_eq!(names(&both), ["a", "b"]);
        assert!(both.tables[&TABLE].columns[1].not_null);
        assert!(both.sequences.is_empty());
        let none = both.apply(&[SchemaChange::DropTable(TABLE)]).unwrap();
        assert!(none.tables.is_empty());
    }

    #[test]
    fn constraints_come_and_go_by_number() {
        let first = Schema::empty().apply(&create()).unwrap();
        let index = Index {
            id: ObjectId(16386),
            name: "t_a_key".to_owned(),
            columns: vec![IndexColumn {
                key: IndexKey::Column(ColumnId(1)),
                descending: false,
                nulls_first: false,
            }],
            unique: true,
            constraint: true,
            nulls_not_distinct: false,
            predicate: None,
            options: Default::default(),
        };
        let check = Check {
            id: ObjectId(16387),
            name: "t_a_check".to_owned(),
            expression: "a > 0".to_owned(),
        };
        let (table, constraint) = (TABLE, check.id);
        let with = first
            .apply(&[
                SchemaChange::AddIndex { table, index },
                SchemaChange::AddCheck { table, check },
                SchemaChange::RenameConstraint {
                    table,
                    constraint,
                    name: "positive".to_owned(),
                },
            ])
            .unwrap();
        assert_eq!(with.tables[&table].checks[0].name, "positive");
        let drop = SchemaChange::DropConstraint { table, constraint };
        let without = with.apply(std::slice::from_ref(&drop)).unwrap();
        assert!(without.tables[&table].checks.is_empty());
        assert!(without.apply(&[drop]).is_err());
        assert!(with.apply(&create()).is_err());
    }
}
