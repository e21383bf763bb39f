//! COMMENT ON: what is said of a table, column, index, sequence, constraint,
//! of schema public or of the data cluster.

use super::define::Definer;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Commented, Namespace, PrimaryKey, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::{Comment, CommentObject, Path};
use crate::types::id::ObjectId;

impl Definer<'_> {
    pub(super) fn comment(&mut self, comment: &Comment) -> Result<&'static str> {
        let on = match &comment.object {
            CommentObject::Table => Commented::Relation(ObjectId(self.own(&comment.path)?.id.0)),
            CommentObject::Column => self.commented_column(&comment.path)?,
            CommentObject::Index => Commented::Relation(self.index_of(&comment.path)?),
            CommentObject::Sequence => Commented::Relation(self.sequence_of(&comment.path)?),
            CommentObject::Constraint(table) => self.constraint_of(table, &comment.path)?,
            CommentObject::Schema => self.commented_schema(&comment.path)?,
            CommentObject::Database => self.commented_database(&comment.path)?,
        };
        self.change(SchemaChange::Comment {
            on,
            text: comment.text.clone(),
        })?;
        Ok("COMMENT")
    }

    fn own(&self, path: &Path) -> Result<Table> {
        let (name, schema) = named(path);
        let is_public = schema.is_none_or(|schema| schema == "public");
        let table = self.schema.table_named(Namespace::Public, name);
        match table.filter(|_| is_public) {
            Some(table) => Ok(Table::clone(table)),
            None => {
                let is_other = self.schema.sequence_named(name).is_some()
                    || self
                        .schema
                        .tables
                        .values()
                        .any(|t| index_named(t, name).is_some());
                Err(match is_other && is_public {
                    true => wrong_kind(name, "a table"),
                    false => missing(SqlState::UNDEFINED_TABLE, "relation", path),
                })
            }
        }
    }

    fn commented_column(&self, path: &Path) -> Result<Commented> {
        let Some((column, table)) = path.split_last().filter(|(_, table)| !table.is_empty()) else {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "column name must be qualified",
            ));
        };
        let table = self.own(&table.to_vec())?;
        match table.column_named(&column.text) {
            Some((_, found)) => Ok(Commented::Column(table.id, found.id)),
            None => Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    column.text, table.name
                ),
            )),
        }
    }

    fn index_of(&self, path: &Path) -> Result<ObjectId> {
        let (name, _) = named(path);
        let mut tables = self.schema.tables.values();
        match tables.find_map(|table| index_named(table, name)) {
            Some(id) => Ok(id),
            None if self.schema.table_named(Namespace::Public, name).is_some() => {
                Err(wrong_kind(name, "an index"))
            }
            None => Err(missing(SqlState::UNDEFINED_TABLE, "relation", path)),
        }
    }

    fn sequence_of(&self, path: &Path) -> Result<ObjectId> {
        let (name, _) = named(path);
        match self.schema.sequence_named(name).filter(|s| !s.hidden) {
            Some(sequence) => Ok(sequence.id),
            None if self.schema.table_named(Namespace::Public, name).is_some() => {
                Err(wrong_kind(name, "a sequence"))
            }
            None => Err(missing(SqlState::UNDEFINED_TABLE, "relation", path)),
        }
    }

    fn constraint_of(&self, table: &Path, path: &Path) -> Result<Commented> {
        let table = self.own(table)?;
        let (name, _) = named(path);
        let mut indexes = table.indexes.iter().filter(|index| index.constraint);
        let mut keys = table.foreign_keys.iter();
        let mut checks = table.checks.iter();
        let found = match &table.key {
            PrimaryKey::Declared { id, name: key, .. } if key == name => Some(*id),
            _ => None,
        };
        let found = found
            .or_else(|| indexes.find(|i| i.name == name).map(|index| index.id))
            .or_else(|| keys.find(|key| key.name == name).map(|key| key.id))
            .or_else(|| {
                checks
                    .find(|check| check.name == name)
                    .map(|check| check.id)
            });
        found.map(Commented::Constraint).ok_or_else(|| {
            Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "constraint \"{name}\" for table \"{}\" does not exist",
                    table.name
                ),
            )
        })
    }

    fn commented_schema(&self, path: &Path) -> Result<Commented> {
        match named(path).0 {
            "public" => Ok(Commented::Schema),
            name @ ("pg_catalog" | "information_schema" | "pyql") => Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("must be owner of schema {name}"),
            )),
            _ => Err(missing(SqlState::INVALID_SCHEMA_NAME, "schema", path)),
        }
    }

    /// Comments are part of a data cluster's schema, so only on the session's own.
    fn commented_database(&self, path: &Path) -> Result<Commented> {
        match named(path).0 == &*self.binding.context.database {
            true => Ok(Commented::Database),
            false => Err(Error::unsupported("COMMENT on another database")),
        }
    }
}

/// The name and the schema before it.
fn named(path: &Path) -> (&str, Option<&str>) {
    match path.as_slice() {
        [.., schema, name] => (&name.text, Some(&schema.text)),
        [name] => (&name.text, None),
        [] => ("", None),
    }
}

fn index_named(table: &Table, name: &str) -> Option<ObjectId> {
    match &table.key {
        PrimaryKey::Declared { id, name: key, .. } if key == name => return Some(*id),
        _ => {}
    }
    let mut indexes = table.indexes.iter();
    indexes
        .find(|index| index.name == name)
        .map(|index| index.id)
}

fn missing(state: SqlState, what: &str, path: &Path) -> Error {
    let name = super::dotted(path);
    Error::new(state, format!("{what} \"{name}\" does not exist"))
}

fn wrong_kind(name: &str, wanted: &str) -> Error {
    Error::new(
        SqlState::WRONG_OBJECT_TYPE,
        format!("\"{name}\" is not {wanted}"),
    )
}
