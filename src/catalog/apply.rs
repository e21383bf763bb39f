//! A schema and its changes → the next version. Pure and deterministic: the
//! log's state machine and every replica do this alike.

use std::sync::Arc;

use super::change::SchemaChange;
use super::schema::{Column, ForeignKey, IndexKey, PrimaryKey, Schema, Sequence, Table};
use crate::error::{Error, Result, SqlState};
use crate::types::id::{ColumnId, ObjectId, SchemaVersion, TableId};

impl Schema {
    /// The schema after these changes, one version later. Changes that do not
    /// fit this schema are refused as a whole.
    pub fn apply(&self, changes: &[SchemaChange]) -> Result<Schema> {
        let mut next = self.clone();
        for change in changes {
            next.change(change)?;
        }
        next.version = SchemaVersion(self.version.0 + 1);
        Ok(next)
    }

    fn change(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::CreateTable(table) => self.create_table(table),
            SchemaChange::DropTable(table) => self.drop_table(*table),
            SchemaChange::RenameTable { table, name } => {
                self.table_mut(*table)?.name.clone_from(name);
                Ok(())
            }
            SchemaChange::CreateSequence(sequence) => self.create_sequence(sequence),
            SchemaChange::AlterSequence(sequence) => match self.sequences.get_mut(&sequence.id) {
                Some(known) => {
                    *known = Arc::new(sequence.clone());
                    Ok(())
                }
                None => Err(missing("sequence", sequence.id)),
            },
            SchemaChange::DropSequence(id) => match self.sequences.remove(id) {
                Some(_) => Ok(()),
                None => Err(missing("sequence", *id)),
            },
            SchemaChange::RenameColumn { .. }
            | SchemaChange::AddColumn { .. }
            | SchemaChange::DropColumn { .. }
            | SchemaChange::SetType { .. }
            | SchemaChange::SetDefault { .. }
            | SchemaChange::SetNotNull { .. }
            | SchemaChange::SetIdentity { .. } => self.change_column(change),
            _ => self.change_constraint(change),
        }
    }

    fn create_table(&mut self, table: &Table) -> Result<()> {
        if self.tables.contains_key(&table.id) {
            return Err(Error::internal(format!("table {} exists", table.id)));
        }
        self.note(table.id.0);
        if let PrimaryKey::Declared { id, .. } = &table.key {
            self.note(id.0);
        }
        let indexes = table.indexes.iter().map(|index| index.id);
        let keys = table.foreign_keys.iter().map(|key| key.id);
        let checks = table.checks.iter().map(|check| check.id);
        for id in indexes.chain(keys).chain(checks) {
            self.note(id.0);
        }
        self.tables.insert(table.id, Arc::new(table.clone()));
        Ok(())
    }

    /// Numbers are never used twice.
    fn note(&mut self, used: u32) {
        self.next_object = self.next_object.max(used.saturating_add(1));
    }

    fn drop_table(&mut self, id: TableId) -> Result<()> {
        let Some(table) = self.tables.remove(&id) else {
            return Err(missing("table", id));
        };
        let hidden = match table.key {
            PrimaryKey::Hidden { sequence, .. } => Some(sequence),
            _ => None,
        };
        self.sequences.retain(|sequence, definition| {
            Some(*sequence) != hidden && definition.owner.is_none_or(|(owner, _)| owner != id)
        });
        Ok(())
    }

    fn create_sequence(&mut self, sequence: &Sequence) -> Result<()> {
        self.note(sequence.id.0);
        let before = self
            .sequences
            .insert(sequence.id, Arc::new(sequence.clone()));
        match before {
            None => Ok(()),
            Some(_) => Err(Error::internal(format!("sequence {} exists", sequence.id))),
        }
    }

    fn table_mut(&mut self, id: TableId) -> Result<&mut Table> {
        match self.tables.get_mut(&id) {
            Some(table) => Ok(Arc::make_mut(table)),
            None => Err(missing("table", id)),
        }
    }

    fn column_mut(&mut self, table: TableId, id: ColumnId) -> Result<&mut Column> {
        let columns = &mut self.table_mut(table)?.columns;
        match columns.iter_mut().find(|column| column.id == id) {
            Some(column) => Ok(column),
            None => Err(missing("column", id)),
        }
    }

    fn change_column(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::RenameColumn {
                table,
                column,
                name,
            } => self.column_mut(*table, *column)?.name.clone_from(name),
            SchemaChange::AddColumn { table, column, .. } => {
                let table = self.table_mut(*table)?;
                table.next_column = table.next_column.max(column.id.0 + 1);
                // A hidden key stays last in the row.
                let hidden = table.columns.last().is_some_and(|last| last.hidden);
                let place = table.columns.len() - usize::from(hidden);
                table.columns.insert(place, column.clone());
            }
            SchemaChange::DropColumn { table, column } => self.drop_column(*table, *column)?,
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
            _ => return Err(Error::internal("not a change of a column")),
        }
        Ok(())
    }

    fn drop_column(&mut self, table: TableId, column: ColumnId) -> Result<()> {
        let definition = self.table_mut(table)?;
        let used = definition.indexes.iter().any(|index| {
            let mut keys = index.columns.iter().map(|column| &column.key);
            keys.any(|key| *key == IndexKey::Column(column))
        });
        let referring = |key: &ForeignKey| key.columns.contains(&column);
        if used || definition.foreign_keys.iter().any(referring) {
            return Err(Error::internal("a dropped column still has constraints"));
        }
        let before = definition.columns.len();
        definition.columns.retain(|known| known.id != column);
        if definition.columns.len() == before {
            return Err(missing("column", column));
        }
        self.sequences
            .retain(|_, sequence| sequence.owner != Some((table, column)));
        Ok(())
    }

    fn change_constraint(&mut self, change: &SchemaChange) -> Result<()> {
        match change {
            SchemaChange::AddPrimaryKey {
                table,
                id,
                name,
                columns,
            } => self.add_primary_key(*table, *id, name, columns),
            SchemaChange::DropPrimaryKey {
                table,
                hidden,
                sequence,
            } => {
                self.create_sequence(sequence)?;
                let table = self.table_mut(*table)?;
                table.next_column = table.next_column.max(hidden.id.0 + 1);
                table.key = PrimaryKey::Hidden {
                    column: hidden.id,
                    sequence: sequence.id,
                };
                table.columns.push(hidden.clone());
                Ok(())
            }
            SchemaChange::AddIndex { table, index } => {
                self.note(index.id.0);
                self.table_mut(*table)?.indexes.push(index.clone());
                Ok(())
            }
            SchemaChange::DropIndex { table, index } => {
                let indexes = &mut self.table_mut(*table)?.indexes;
                let before = indexes.len();
                indexes.retain(|known| known.id != *index);
                if indexes.len() == before {
                    return Err(missing("index", *index));
                }
                Ok(())
            }
            SchemaChange::RenameIndex { table, index, name } => {
                let table = self.table_mut(*table)?;
                let mut indexes = table.indexes.iter_mut();
                match indexes.find(|known| known.id == *index) {
                    Some(known) => {
                        known.name.clone_from(name);
                        Ok(())
                    }
                    None => table.rename_key(*index, name),
                }
            }
            SchemaChange::AddForeignKey { table, key } => {
                self.note(key.id.0);
                self.table_mut(*table)?.foreign_keys.push(key.clone());
                Ok(())
            }
            SchemaChange::AddCheck { table, check } => {
                self.note(check.id.0);
                self.table_mut(*table)?.checks.push(check.clone());
                Ok(())
            }
            SchemaChange::DropConstraint { table, constraint } => {
                self.table_mut(*table)?.drop_constraint(*constraint)
            }
            SchemaChange::RenameConstraint {
                table,
                constraint,
                name,
            } => self.table_mut(*table)?.rename_constraint(*constraint, name),
            _ => Err(Error::internal("not a change of a constraint")),
        }
    }

    /// The declared key takes the place of a hidden one, whose column goes.
    fn add_primary_key(
        &mut self,
        id: TableId,
        key: ObjectId,
        name: &str,
        columns: &[ColumnId],
    ) -> Result<()> {
        self.note(key.0);
        let table = self.table_mut(id)?;
        let declared = PrimaryKey::Declared {
            id: key,
            name: name.to_owned(),
            columns: columns.to_vec(),
        };
        match std::mem::replace(&mut table.key, declared) {
            PrimaryKey::Hidden { column, sequence } => {
                table.columns.retain(|known| known.id != column);
                self.sequences.remove(&sequence);
                Ok(())
            }
            PrimaryKey::None => Ok(()),
            PrimaryKey::Declared { .. } => Err(Error::internal("the table has a primary key")),
        }
    }
}

impl Table {
    fn rename_key(&mut self, key: ObjectId, to: &str) -> Result<()> {
        match &mut self.key {
            PrimaryKey::Declared { id, name, .. } if *id == key => {
                to.clone_into(name);
                Ok(())
            }
            _ => Err(missing("index", key)),
        }
    }

    fn drop_constraint(&mut self, constraint: ObjectId) -> Result<()> {
        let before = self.foreign_keys.len() + self.checks.len();
        self.foreign_keys.retain(|key| key.id != constraint);
        self.checks.retain(|check| check.id != constraint);
        if before == self.foreign_keys.len() + self.checks.len() {
            return Err(missing("constraint", constraint));
        }
        Ok(())
    }

    fn rename_constraint(&mut self, constraint: ObjectId, to: &str) -> Result<()> {
        let mut keys = self.foreign_keys.iter_mut();
        if let Some(key) = keys.find(|key| key.id == constraint) {
            to.clone_into(&mut key.name);
            return Ok(());
        }
        let mut checks = self.checks.iter_mut();
        if let Some(check) = checks.find(|check| check.id == constraint) {
            to.clone_into(&mut check.name);
            return Ok(());
        }
        let mut indexes = self.indexes.iter_mut();
        if let Some(index) = indexes.find(|index| index.id == constraint) {
            to.clone_into(&mut index.name);
            return Ok(());
        }
        self.rename_key(constraint, to)
    }
}

fn missing(what: &str, id: impl std::fmt::Display) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("{what} {id} is not in the schema"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::schema::Namespace;
    use crate::types::Type;

    fn table() -> Table {
        let column = |id: u16, name: &str, hidden| Column {
            id: ColumnId(id),
            name: name.to_owned(),
            ty: Type::Int8,
            not_null: hidden,
            default: None,
            identity: None,
            hidden,
        };
        Table {
            id: TableId(20_000),
            namespace: Namespace::Public,
            name: "t".to_owned(),
            columns: vec![column(1, "a", false), column(2, "_pyql_key", true)],
            next_column: 3,
            key: PrimaryKey::Hidden {
                column: ColumnId(2),
                sequence: ObjectId(20_001),
            },
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        }
    }

    #[test]
    fn versions_and_numbers_grow() {
        let schema = Schema::empty();
        let made = schema.apply(&[SchemaChange::CreateTable(table())]).unwrap();
        assert_eq!(made.version.0, 1);
        assert_eq!(made.next_object, 20_001);
        let column = Column {
            id: ColumnId(3),
            name: "b".to_owned(),
            hidden: false,
            ..table().columns[0].clone()
        };
        let added = made
            .apply(&[SchemaChange::AddColumn {
                table: TableId(20_000),
                column,
                fill: crate::types::Value::Null,
            }])
            .unwrap();
        let names: Vec<_> = added.tables[&TableId(20_000)]
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "_pyql_key"]);
        let keyed = added
            .apply(&[SchemaChange::AddPrimaryKey {
                table: TableId(20_000),
                id: ObjectId(20_005),
                name: "t_pkey".to_owned(),
                columns: vec![ColumnId(1)],
            }])
            .unwrap();
        assert_eq!(keyed.tables[&TableId(20_000)].key_positions(), [0]);
        assert_eq!(keyed.tables[&TableId(20_000)].columns.len(), 2);
        assert_eq!(keyed.next_object, 20_006);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let schema = Schema::empty();
        assert!(
            schema
                .apply(&[SchemaChange::DropTable(TableId(7))])
                .is_err()
        );
        let twice = [
            SchemaChange::CreateTable(table()),
            SchemaChange::CreateTable(table()),
        ];
        assert!(schema.apply(&twice).is_err());
        assert_eq!(schema, Schema::empty());
    }
}
