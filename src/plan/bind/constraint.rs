//! Keys, unique constraints, checks and foreign keys.

use std::sync::Arc;

use super::define::Definer;
use super::naming::{self, joined};
use super::scope::Clause;
use super::table::Draft;
use crate::catalog::schema::{Check, ForeignKey, Index, IndexColumn, IndexKey, PrimaryKey, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce;
use crate::plan::expression::Expression;
use crate::plan::function::resolve;
use crate::plan::syntax::{Name, Place, Reference, TableConstraint, TableConstraintKind};
use crate::plan::visit;
use crate::types::id::ColumnId;

impl Definer<'_> {
    /// Adds a constraint to a table that is being created.
    pub(super) fn draft_constraint(
        &mut self,
        draft: &mut Draft,
        constraint: &TableConstraint,
    ) -> Result<()> {
        let name = constraint.name.as_ref();
        let table = &draft.table;
        match &constraint.kind {
            TableConstraintKind::PrimaryKey(columns) => {
                if table.key != PrimaryKey::None {
                    return Err(self.error(
                        SqlState::INVALID_TABLE_DEFINITION,
                        constraint.place,
                        format!(
                            "multiple primary keys for table \"{}\" are not allowed",
                            table.name
                        ),
                    ));
                }
                let columns = self.key_columns(table, columns, constraint.place)?;
                let name = self.index_name(name, table, "", "pkey")?;
                let id = self.object();
                for column in &mut draft.table.columns {
                    column.not_null |= columns.contains(&column.id);
                }
                draft.table.key = PrimaryKey::Declared { id, name, columns };
            }
            TableConstraintKind::Unique {
                columns,
                nulls_not_distinct,
            } => {
                let index =
                    self.unique_index(table, columns, *nulls_not_distinct, name, constraint.place)?;
                draft.table.indexes.push(index);
            }
            TableConstraintKind::Check(expr) => {
                let shared = Self::shared(draft);
                let (check, _) = self.check(&shared, expr, name)?;
                draft.table.checks.push(check);
            }
            TableConstraintKind::ForeignKey { columns, reference } => {
                let shared = Self::shared(draft);
                let key = self.foreign_key(&shared, columns, reference, name)?;
                draft.table.foreign_keys.push(key);
            }
            TableConstraintKind::UsingIndex { .. } => {
                return Err(Error::unsupported("USING INDEX in CREATE TABLE"));
            }
        }
        Ok(())
    }

    /// The columns of a key by name, each once.
    pub(super) fn key_columns(
        &self,
        table: &Table,
        names: &[Name],
        place: Place,
    ) -> Result<Vec<ColumnId>> {
        let mut columns: Vec<ColumnId> = Vec::with_capacity(names.len());
        for name in names {
            let Some((_, column)) = table.column_named(&name.text) else {
                return Err(self.error(
                    SqlState::UNDEFINED_COLUMN,
                    place,
                    format!("column \"{}\" named in key does not exist", name.text),
                ));
            };
            if columns.contains(&column.id) {
                return Err(self.error(
                    SqlState::DUPLICATE_COLUMN,
                    place,
                    format!(
                        "column \"{}\" appears twice in primary key constraint",
                        name.text
                    ),
                ));
            }
            if column.ty == crate::types::Type::Json {
                return Err(no_order(&column.ty.to_string()));
            }
            columns.push(column.id);
        }
        Ok(columns)
    }

    /// The name given for an index, or one made for it.
    pub(super) fn index_name(
        &self,
        given: Option<&Name>,
        table: &Table,
        columns: &str,
        label: &str,
    ) -> Result<String> {
        let taken: Vec<String> = table
            .indexes
            .iter()
            .map(|index| index.name.clone())
            .chain(match &table.key {
                PrimaryKey::Declared { name, .. } => Some(name.clone()),
                _ => None,
            })
            .chain([table.name.clone()])
            .collect();
        let Some(name) = given else {
            return Ok(self.relation_name(&table.name, columns, label, &taken));
        };
        self.not_reserved(name)?;
        if naming::relation_exists(&self.schema, &name.text) || taken.contains(&name.text) {
            return Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{}\" already exists", name.text),
            ));
        }
        Ok(name.text.clone())
    }

    pub(super) fn unique_index(
        &mut self,
        table: &Table,
        names: &[Name],
        nulls_not_distinct: bool,
        given: Option<&Name>,
        place: Place,
    ) -> Result<Index> {
        let columns = self.key_columns(table, names, place)?;
        let texts = joined(names.iter().map(|name| name.text.as_str()));
        let name = self.index_name(given, table, &texts, "key")?;
        Ok(Index {
            id: self.object(),
            name,
            columns: columns
                .into_iter()
                .map(|id| IndexColumn {
                    key: IndexKey::Column(id),
                    descending: false,
                    nulls_first: false,
                })
                .collect(),
            unique: true,
            constraint: true,
            nulls_not_distinct,
            predicate: None,
        })
    }

    /// A check and its condition over the table.
    pub(super) fn check(
        &mut self,
        table: &Arc<Table>,
        expr: &crate::plan::syntax::Expr,
        given: Option<&Name>,
    ) -> Result<(Check, Expression)> {
        let condition = self.condition(expr, table, Clause::Check, "CHECK")?;
        let mut used: Vec<usize> = Vec::new();
        visit::columns(&condition, &mut |_, column| {
            if !used.contains(&column) {
                used.push(column);
            }
        });
        let column = match used.as_slice() {
            [single] => table.columns[*single].name.as_str(),
            _ => "",
        };
        let name = self.free_constraint_name(given, table, column, "check")?;
        let check = Check {
            id: self.object(),
            name,
            expression: self.deparse(&condition, Some(table)),
        };
        Ok((check, condition))
    }

    fn free_constraint_name(
        &self,
        given: Option<&Name>,
        table: &Table,
        columns: &str,
        label: &str,
    ) -> Result<String> {
        let taken = constraint_names(table);
        let Some(name) = given else {
            return Ok(self.constraint_name(&table.name, columns, label, &taken));
        };
        if taken.contains(&name.text) {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!(
                    "constraint \"{}\" for relation \"{}\" already exists",
                    name.text, table.name
                ),
            ));
        }
        Ok(name.text.clone())
    }

    pub(super) fn foreign_key(
        &mut self,
        table: &Arc<Table>,
        names: &[Name],
        reference: &Reference,
        given: Option<&Name>,
    ) -> Result<ForeignKey> {
        let parent = match self.table(&reference.table)? {
            Some(parent) => parent,
            // A table that refers to itself is not in the schema yet.
            None if reference.table.last().is_some_and(|n| n.text == table.name) => {
                Arc::clone(table)
            }
            None => return Err(self.unknown_relation(&reference.table)),
        };
        let columns = self.referencing(table, names)?;
        let parent_columns = self.referenced(&parent, &reference.columns)?;
        if columns.len() != parent_columns.len() {
            return Err(Error::new(
                SqlState::INVALID_FOREIGN_KEY,
                "number of referencing and referenced columns for foreign key disagree",
            ));
        }
        if !is_unique(&parent, &parent_columns) {
            return Err(Error::new(
                SqlState::INVALID_FOREIGN_KEY,
                format!(
                    "there is no unique constraint matching given keys for referenced table \"{}\"",
                    parent.name
                ),
            ));
        }
        let texts = joined(names.iter().map(|name| name.text.as_str()));
        let name = self.free_constraint_name(given, table, &texts, "fkey")?;
        for (own, other) in columns.iter().zip(&parent_columns) {
            comparable(table, *own, &parent, *other, &name)?;
        }
        Ok(ForeignKey {
            id: self.object(),
            name,
            columns,
            parent: parent.id,
            parent_columns,
            on_delete: reference.on_delete,
            on_update: reference.on_update,
            match_full: reference.match_full,
            deferrable: reference.deferrable,
            initially_deferred: reference.initially_deferred,
        })
    }

    fn referencing(&self, table: &Table, names: &[Name]) -> Result<Vec<ColumnId>> {
        names
            .iter()
            .map(|name| match table.column_named(&name.text) {
                Some((_, column)) => Ok(column.id),
                None => Err(Error::new(
                    SqlState::UNDEFINED_COLUMN,
                    format!(
                        "column \"{}\" referenced in foreign key constraint does not exist",
                        name.text
                    ),
                )),
            })
            .collect()
    }

    /// The parent's columns: those named, or its primary key.
    fn referenced(&self, parent: &Table, names: &[Name]) -> Result<Vec<ColumnId>> {
        if !names.is_empty() {
            return self.referencing(parent, names);
        }
        match &parent.key {
            PrimaryKey::Declared { columns, .. } => Ok(columns.clone()),
            _ => Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "there is no primary key for referenced table \"{}\"",
                    parent.name
                ),
            )),
        }
    }
}

/// Keys are compared across the two tables: their types must be of one kind.
fn comparable(
    table: &Table,
    own: ColumnId,
    parent: &Table,
    other: ColumnId,
    name: &str,
) -> Result<()> {
    let (Some(own), Some(other)) = (table.column(own), parent.column(other)) else {
        return Err(Error::internal(
            "a foreign key over columns that are not there",
        ));
    };
    let types = [other.ty.clone(), own.ty.clone()];
    let same_kind = coerce::category(&own.ty) == coerce::category(&other.ty);
    if same_kind && resolve::operator("=", &types).is_ok() {
        return Ok(());
    }
    Err(Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!("foreign key constraint \"{name}\" cannot be implemented"),
    )
    .detail(format!(
        "Key columns \"{}\" and \"{}\" are of incompatible types: {} and {}.",
        own.name,
        other.name,
        own.ty.without_modifier(),
        other.ty.without_modifier()
    )))
}

pub(super) fn no_order(ty: &str) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("data type {ty} has no default operator class for access method \"btree\""),
    )
    .hint(
        "You must specify an operator class for the index or define a default operator class for the data type.",
    )
}

/// All names of a table's constraints.
pub(super) fn constraint_names(table: &Table) -> Vec<String> {
    let checks = table.checks.iter().map(|check| check.name.clone());
    let keys = table.foreign_keys.iter().map(|key| key.name.clone());
    let unique = table.indexes.iter().filter(|index| index.constraint);
    let primary = match &table.key {
        PrimaryKey::Declared { name, .. } => Some(name.clone()),
        _ => None,
    };
    checks
        .chain(keys)
        .chain(unique.map(|index| index.name.clone()))
        .chain(primary)
        .collect()
}

/// Whether a key or whole unique index is over exactly these columns.
pub(super) fn is_unique(table: &Table, columns: &[ColumnId]) -> bool {
    let same = |key: &[ColumnId]| {
        key.len() == columns.len() && columns.iter().all(|column| key.contains(column))
    };
    if let PrimaryKey::Declared { columns: key, .. } = &table.key
        && same(key)
    {
        return true;
    }
    table.indexes.iter().any(|index| {
        index.unique && index.predicate.is_none() && column_ids(index).is_some_and(|ids| same(&ids))
    })
}

/// The columns of an index that has no expression.
pub(super) fn column_ids(index: &Index) -> Option<Vec<ColumnId>> {
    let ids = index.columns.iter().map(|column| match &column.key {
        IndexKey::Column(id) => Some(*id),
        IndexKey::Expression(..) => None,
    });
    ids.collect()
}
