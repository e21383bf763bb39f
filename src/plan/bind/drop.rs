//! DROP TABLE, INDEX and SEQUENCE, and what depends on them; DROP of what cannot be made.

use super::constraint::is_unique;
use super::define::Definer;
use super::sequence::users_of;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::PrimaryKey;
use crate::error::{Error, Result, SqlState};
use crate::plan::deparse::identifier;
use crate::plan::function::names;
use crate::plan::syntax::{Drop, DropKind, Path};
use crate::types::id::{ObjectId, TableId};

impl Definer<'_> {
    pub(super) fn drop_relations(&mut self, drop: &Drop) -> Result<&'static str> {
        let tag = match drop.kind {
            DropKind::Table => {
                self.drop_tables(drop)?;
                "DROP TABLE"
            }
            DropKind::Index => {
                for path in &drop.paths {
                    self.drop_index(path, drop)?;
                }
                "DROP INDEX"
            }
            DropKind::Sequence => {
                for path in &drop.paths {
                    self.drop_sequence(path, drop)?;
                }
                "DROP SEQUENCE"
            }
            DropKind::Lacking(what) => {
                for path in &drop.paths {
                    self.drop_lacking(what, path, drop)?;
                }
                dropped(what)
            }
        };
        Ok(tag)
    }

    /// Views and types of users do not exist; what PostgreSQL brings along stays.
    fn drop_lacking(&mut self, what: &str, path: &Path, drop: &Drop) -> Result<()> {
        let name = super::dotted(path);
        let brought = match what {
            "view" | "materialized view" => {
                if self.table(path)?.is_some() {
                    return Err(self.wrong_kind(path, what, "table"));
                }
                if self.find_sequence(path).is_some() {
                    return Err(self.wrong_kind(path, what, "sequence"));
                }
                if self.find_index(path).is_some() {
                    return Err(self.wrong_kind(path, what, "index"));
                }
                false
            }
            "schema" => names::namespace_named(&name).is_some(),
            "extension" => matches!(name.as_str(), "plpgsql" | "pyql" | "uuid-ossp"),
            _ => names::type_named(&name).is_some(),
        };
        match brought {
            true => Err(Error::unsupported(dropped(what))),
            false if what == "domain" => self.nothing_there("type", path, drop),
            false => self.nothing_there(what, path, drop),
        }
    }

    /// Nothing of this name: a notice with IF EXISTS, else an error.
    fn nothing_there(&mut self, what: &str, path: &Path, drop: &Drop) -> Result<()> {
        let name = super::dotted(path);
        if drop.if_exists {
            self.notices
                .push(format!("{what} \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        let state = match what {
            "index" | "type" | "extension" => SqlState::UNDEFINED_OBJECT,
            "schema" => SqlState::INVALID_SCHEMA_NAME,
            _ => SqlState::UNDEFINED_TABLE,
        };
        Err(Error::new(
            state,
            format!("{what} \"{name}\" does not exist"),
        ))
    }

    fn wrong_kind(&self, path: &Path, wanted: &str, is: &str) -> Error {
        let name = super::dotted(path);
        let article = if wanted == "index" { "an" } else { "a" };
        Error::new(
            SqlState::WRONG_OBJECT_TYPE,
            format!("\"{name}\" is not {article} {wanted}"),
        )
        .hint(format!(
            "Use DROP {} to remove {} {is}.",
            is.to_uppercase(),
            if is == "index" { "an" } else { "a" }
        ))
    }

    fn drop_tables(&mut self, drop: &Drop) -> Result<()> {
        let mut tables: Vec<TableId> = Vec::with_capacity(drop.paths.len());
        for path in &drop.paths {
            match self.table(path)? {
                Some(table) => {
                    if !tables.contains(&table.id) {
                        tables.push(table.id);
                    }
                }
                None if self.find_index(path).is_some() => {
                    return Err(self.wrong_kind(path, "table", "index"));
                }
                None if self.find_sequence(path).is_some() => {
                    return Err(self.wrong_kind(path, "table", "sequence"));
                }
                None => self.nothing_there("table", path, drop)?,
            }
        }
        for id in &tables {
            self.drop_referring(*id, &tables, drop.cascade)?;
        }
        for id in tables {
            self.change(SchemaChange::DropTable(id))?;
        }
        Ok(())
    }

    /// Foreign keys of tables that stay: dropped by CASCADE, else in the way.
    fn drop_referring(&mut self, id: TableId, going: &[TableId], cascade: bool) -> Result<()> {
        let table = self.current(id)?;
        let referring: Vec<(TableId, String, ObjectId, String)> = self
            .schema
            .children_of(id)
            .filter(|(child, _)| child.id == id || !going.contains(&child.id))
            .filter(|(child, _)| child.id != id)
            .map(|(child, key)| (child.id, child.name.clone(), key.id, key.name.clone()))
            .collect();
        if !referring.is_empty() && !cascade {
            let lines = referring.iter().map(|(_, child, _, key)| {
                format!(
                    "constraint {key} on table {child} depends on table {}",
                    table.name
                )
            });
            let details: Vec<String> = lines.collect();
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop table {} because other objects depend on it",
                    table.name
                ),
            )
            .detail(details.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (child, name, constraint, key) in referring {
            self.notices
                .push(format!("drop cascades to constraint {key} on table {name}"));
            self.change(SchemaChange::DropConstraint {
                table: child,
                constraint,
            })?;
        }
        // Keys between tables that go together fall before the tables.
        let between: Vec<(TableId, ObjectId)> = self
            .schema
            .children_of(id)
            .filter(|(child, _)| child.id != id)
            .map(|(child, key)| (child.id, key.id))
            .collect();
        for (child, constraint) in between {
            self.change(SchemaChange::DropConstraint {
                table: child,
                constraint,
            })?;
        }
        Ok(())
    }

    fn drop_index(&mut self, path: &Path, drop: &Drop) -> Result<()> {
        let Some((table, id)) = self.find_index(path) else {
            if self.table(path)?.is_some() {
                return Err(self.wrong_kind(path, "index", "table"));
            }
            return self.nothing_there("index", path, drop);
        };
        let table = self.current(table)?;
        let name = super::dotted(path);
        let index = table.indexes.iter().find(|index| index.id == id);
        let Some(index) = index.filter(|index| !index.constraint) else {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop index {name} because constraint {name} on table {} requires it",
                    table.name
                ),
            )
            .hint(format!(
                "You can drop constraint {name} on table {} instead.",
                table.name
            )));
        };
        let index = index.id;
        self.change(SchemaChange::DropIndex {
            table: table.id,
            index,
        })?;
        self.drop_orphaned(table.id, &format!("index {name}"), drop.cascade)
    }

    /// Foreign keys whose parent columns are no longer unique.
    pub(super) fn drop_orphaned(
        &mut self,
        parent: TableId,
        what: &str,
        cascade: bool,
    ) -> Result<()> {
        let table = self.current(parent)?;
        let orphaned: Vec<(TableId, String, ObjectId, String)> = self
            .schema
            .children_of(parent)
            .filter(|(_, key)| !is_unique(&table, &key.parent_columns))
            .map(|(child, key)| (child.id, child.name.clone(), key.id, key.name.clone()))
            .collect();
        if orphaned.is_empty() {
            return Ok(());
        }
        if !cascade {
            let lines = orphaned.iter().map(|(_, child, _, key)| {
                format!("constraint {key} on table {child} depends on {what}")
            });
            let details: Vec<String> = lines.collect();
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop {what} because other objects depend on it"),
            )
            .detail(details.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (child, name, constraint, key) in orphaned {
            self.notices
                .push(format!("drop cascades to constraint {key} on table {name}"));
            // Before the index goes, so that no step leaves a key without its parent.
            let before = self.changes.len() - 1;
            self.change(SchemaChange::DropConstraint {
                table: child,
                constraint,
            })?;
            if let Some(change) = self.changes.pop() {
                self.changes.insert(before, change);
            }
        }
        Ok(())
    }

    fn drop_sequence(&mut self, path: &Path, drop: &Drop) -> Result<()> {
        let Some(sequence) = self.find_sequence(path) else {
            if self.table(path)?.is_some() {
                return Err(self.wrong_kind(path, "sequence", "table"));
            }
            return self.nothing_there("sequence", path, drop);
        };
        for table in self.schema.tables.values() {
            for column in &table.columns {
                let identity = column.identity.as_ref();
                let hidden = matches!(table.key, PrimaryKey::Hidden { sequence: id, .. }
                    if id == sequence.id);
                if identity.is_some_and(|identity| identity.sequence == sequence.id) || hidden {
                    return Err(Error::new(
                        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                        format!(
                            "cannot drop sequence {} because column {} of table {} requires it",
                            identifier(&sequence.name),
                            column.name,
                            identifier(&table.name)
                        ),
                    )
                    .hint(format!(
                        "You can drop column {} of table {} instead.",
                        column.name,
                        identifier(&table.name)
                    )));
                }
            }
        }
        let users = users_of(self.schema.tables.values(), &sequence);
        if !users.is_empty() && !drop.cascade {
            let lines = users.iter().map(|(table, column)| {
                format!(
                    "default value for column {column} of table {table} depends on sequence {}",
                    sequence.name
                )
            });
            let details: Vec<String> = lines.collect();
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop sequence {} because other objects depend on it",
                    sequence.name
                ),
            )
            .detail(details.join("\n"))
            .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        for (table, column) in users {
            self.notices.push(format!(
                "drop cascades to default value for column {column} of table {table}"
            ));
            let found = self
                .schema
                .tables
                .values()
                .find(|known| known.name == table);
            let Some(id) =
                found.and_then(|table| Some((table.id, table.column_named(&column)?.1.id)))
            else {
                continue;
            };
            self.change(SchemaChange::SetDefault {
                table: id.0,
                column: id.1,
                default: None,
            })?;
        }
        self.change(SchemaChange::DropSequence(sequence.id))
    }
}

/// The command's tag.
fn dropped(what: &str) -> &'static str {
    match what {
        "view" => "DROP VIEW",
        "materialized view" => "DROP MATERIALIZED VIEW",
        "type" => "DROP TYPE",
        "domain" => "DROP DOMAIN",
        "schema" => "DROP SCHEMA",
        _ => "DROP EXTENSION",
    }
}
