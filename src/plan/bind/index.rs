//! CREATE INDEX and ALTER INDEX … RENAME.

use std::sync::Arc;

use super::constraint::no_order;
use super::define::{Definer, TABLE_RELATION};
use super::naming::{self, joined};
use super::scope::Clause;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Index, IndexColumn, IndexKey, IndexOptions, PrimaryKey, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::statement::SchemaCheck;
use crate::plan::syntax::{CreateIndex, Name, Node, Path, SortItem};
use crate::plan::visit;
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId, TableId};

impl Definer<'_> {
    pub(super) fn create_index(&mut self, create: &CreateIndex) -> Result<&'static str> {
        const TAG: &str = "CREATE INDEX";
        let Some(table) = self.table(&create.table)? else {
            return Err(self.unknown_relation(&create.table));
        };
        self.method(create)?;
        if let Some(name) = &create.name
            && naming::relation_exists(&self.schema, &name.text)
        {
            return self.already_there(name, create.if_not_exists, TAG);
        }
        let mut columns = Vec::with_capacity(create.columns.len());
        let mut keys = Vec::with_capacity(create.columns.len());
        for item in &create.columns {
            let (column, key) = self.index_column(item, &table)?;
            columns.push(column);
            keys.push(key);
        }
        let filter = match &create.filter {
            Some(filter) => {
                let condition = self.condition(filter, &table, Clause::Predicate, "WHERE")?;
                immutable(
                    &condition,
                    "functions in index predicate must be marked IMMUTABLE",
                )?;
                Some(condition)
            }
            None => None,
        };
        let mut include = Vec::with_capacity(create.include.len());
        for name in &create.include {
            let Some((_, column)) = table.column_named(&name.text) else {
                return Err(Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{}\" does not exist", name.text),
                ));
            };
            include.push(column.id);
        }
        let mut index = Index {
            id: self.object(),
            name: String::new(),
            columns,
            unique: create.unique,
            constraint: false,
            nulls_not_distinct: create.nulls_not_distinct,
            predicate: filter
                .as_ref()
                .map(|filter| self.deparse(filter, Some(&table))),
            options: IndexOptions {
                include,
                ..IndexOptions::default()
            },
        };
        let names = key_names(&table, &index);
        index.name = self.index_name(create.name.as_ref(), &table, &names, "idx")?;
        if index.unique {
            self.checks.push(SchemaCheck::Unique {
                table: table.id,
                columns: keys,
                relation: TABLE_RELATION,
                filter,
                nulls_not_distinct: index.nulls_not_distinct,
                name: index.name.clone(),
            });
        }
        self.change(SchemaChange::AddIndex {
            table: table.id,
            index,
        })?;
        Ok(TAG)
    }

    /// Only the order of a B-tree is there; hash gives the same answers.
    fn method(&self, create: &CreateIndex) -> Result<()> {
        match create
            .method
            .as_ref()
            .map(|name| (name, name.text.as_str()))
        {
            None | Some((_, "btree")) => Ok(()),
            Some((_, "hash")) if !create.unique => Ok(()),
            Some((_, method @ ("hash" | "gist" | "gin" | "brin" | "spgist"))) => {
                Err(Error::unsupported(format!("an index by {method}")))
            }
            Some((_, method)) => Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!("access method \"{method}\" does not exist"),
            )),
        }
    }

    fn index_column(
        &self,
        item: &SortItem,
        table: &Arc<Table>,
    ) -> Result<(IndexColumn, Expression)> {
        let bound = self.binder(Some(table), Clause::Index, |binder| {
            if let Node::Column(path) = &item.by.node
                && let [name] = path.as_slice()
                && table.column_named(&name.text).is_none()
            {
                // PostgreSQL gives no place here.
                return Err(Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!("column \"{}\" does not exist", name.text),
                ));
            }
            let bound = binder.expression(&item.by)?;
            binder.resolve_unknown(bound, item.by.place)
        })?;
        if bound.ty == Type::Json {
            return Err(no_order("json"));
        }
        let key = match bound.kind {
            ExpressionKind::Column { column, .. } => IndexKey::Column(table.columns[column].id),
            _ => {
                immutable(
                    &bound,
                    "functions in index expression must be marked IMMUTABLE",
                )?;
                IndexKey::Expression(self.deparse(&bound, Some(table)), bound.ty.clone())
            }
        };
        let column = IndexColumn {
            key,
            descending: item.descending,
            nulls_first: item.nulls_first.unwrap_or(item.descending),
        };
        Ok((column, bound))
    }

    pub(super) fn rename_index(
        &mut self,
        path: &Path,
        name: &Name,
        if_exists: bool,
    ) -> Result<&'static str> {
        const TAG: &str = "ALTER INDEX";
        let Some((table, index)) = self.find_index(path) else {
            if if_exists {
                self.notices.push(format!(
                    "relation \"{}\" does not exist, skipping",
                    super::dotted(path)
                ));
                return Ok(TAG);
            }
            return Err(self.unknown_relation(path));
        };
        self.not_reserved(name)?;
        if naming::relation_exists(&self.schema, &name.text) {
            return self.already_there(name, false, TAG);
        }
        self.change(SchemaChange::RenameIndex {
            table,
            index,
            name: name.text.clone(),
        })?;
        Ok(TAG)
    }

    /// The table and number of an index or primary key by its name.
    pub(super) fn find_index(&self, path: &Path) -> Option<(TableId, ObjectId)> {
        let (name, qualifiers) = path.split_last()?;
        if qualifiers
            .last()
            .is_some_and(|schema| schema.text != "public")
        {
            return None;
        }
        self.schema.tables.values().find_map(|table| {
            if let PrimaryKey::Declared { id, name: key, .. } = &table.key
                && *key == name.text
            {
                return Some((table.id, *id));
            }
            let mut indexes = table.indexes.iter();
            let found = indexes.find(|index| index.name == name.text)?;
            Some((table.id, found.id))
        })
    }
}

/// The names that an index's own name is made of.
pub(super) fn key_names(table: &Table, index: &Index) -> String {
    let name = |id: &ColumnId| table.column(*id).map_or("", |column| column.name.as_str());
    let included = index.options.include.iter().map(name);
    let names = index.columns.iter().map(|column| match &column.key {
        IndexKey::Column(id) => name(id),
        IndexKey::Expression(text, _) => {
            // A call gives its name, anything else is "expr".
            match text.split_once('(') {
                Some((name, _)) if !name.is_empty() && name.bytes().all(is_word) => name,
                _ => "expr",
            }
        }
    });
    joined(names.chain(included))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Stored keys must not change by themselves.
fn immutable(expression: &Expression, message: &str) -> Result<()> {
    if visit::any(expression, &mut |part| {
        matches!(part.kind, ExpressionKind::Parameter(_))
    }) || !evaluate::is_immutable(expression)
    {
        return Err(Error::new(SqlState::INVALID_OBJECT_DEFINITION, message));
    }
    Ok(())
}
