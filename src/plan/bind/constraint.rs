//! Keys, unique constraints, checks and foreign keys.

use std::sync::Arc;

use super::define::Definer;
use super::naming::{self, joined};
use super::scope::Clause;
use super::table::Draft;
use crate::catalog::schema::{
    Check, ForeignKey, Index, IndexColumn, IndexKey, IndexOptions, PrimaryKey, Table,
};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce;
use crate::plan::expression::Expression;
use crate::plan::function::resolve;
use crate::plan::syntax::{
    KeyOptions, Name, Place, Reference, TableConstraint, TableConstraintKind,
};
use crate::plan::visit;
use crate::types::id::{ColumnId, ObjectId};

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
            TableConstraintKind::PrimaryKey { columns, options } => {
                if table.primary_key().is_some() {
                    return Err(self.error(
                        SqlState::INVALID_TABLE_DEFINITION,
                        constraint.place,
                        format!(
                            "multiple primary keys for table \"{}\" are not allowed",
                            table.name
                        ),
                    ));
                }
                let key = self.primary_key(table, (columns, options), name, constraint.place)?;
                for column in &mut draft.table.columns {
                    column.not_null |= key.columns.contains(&column.id);
                }
                match options.deferrable {
                    true => draft.table.indexes.push(key.into_index(options)),
                    false => {
                        draft.table.key = PrimaryKey::Declared {
                            id: key.id,
                            name: key.name,
                            columns: key.columns,
                            include: key.include,
                        }
                    }
                }
            }
            TableConstraintKind::Unique { columns, options } => {
                let place = constraint.place;
                let index = self.unique_index(table, columns, options, name, place)?;
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

    /// What a primary key over these columns is.
    pub(super) fn primary_key(
        &mut self,
        table: &Table,
        (columns, options): (&[Name], &KeyOptions),
        given: Option<&Name>,
        place: Place,
    ) -> Result<NewKey> {
        Ok(NewKey {
            columns: self.key_columns(table, columns, place)?,
            include: self.included(table, &options.include, place)?,
            name: self.index_name(given, table, "", "pkey")?,
            id: self.object(),
        })
    }

    /// The columns of INCLUDE.
    pub(super) fn included(
        &self,
        table: &Table,
        names: &[Name],
        place: Place,
    ) -> Result<Vec<ColumnId>> {
        let column = |name: &Name| match table.column_named(&name.text) {
            Some((_, column)) => Ok(column.id),
            None => Err(self.error(
                SqlState::UNDEFINED_COLUMN,
                place,
                format!("column \"{}\" named in key does not exist", name.text),
            )),
        };
        names.iter().map(column).collect()
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
        options: &KeyOptions,
        given: Option<&Name>,
        place: Place,
    ) -> Result<Index> {
        let columns = self.key_columns(table, names, place)?;
        let include = self.included(table, &options.include, place)?;
        let texts = joined(
            names
                .iter()
                .chain(&options.include)
                .map(|name| name.text.as_str()),
        );
        let name = self.index_name(given, table, &texts, "key")?;
        Ok(Index {
            id: self.object(),
            name,
            columns: plain_columns(columns),
            unique: true,
            constraint: true,
            nulls_not_distinct: options.nulls_not_distinct,
            predicate: None,
            options: IndexOptions {
                primary: false,
                deferrable: options.deferrable,
                initially_deferred: options.initially_deferred,
                include,
            },
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
            if let Some(kind) = deferrable_over(&parent, &parent_columns) {
                return Err(Error::new(
                    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                    format!(
                        "cannot use a deferrable {kind} for referenced table \"{}\"",
                        parent.name
                    ),
                ));
            }
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
        match parent.primary_key() {
            Some(columns) => Ok(columns),
            None => Err(Error::new(
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
        index.unique
            && !index.options.deferrable
            && index.predicate.is_none()
            && column_ids(index).is_some_and(|ids| same(&ids))
    })
}

/// What a deferrable key over exactly these columns is called.
fn deferrable_over(table: &Table, columns: &[ColumnId]) -> Option<&'static str> {
    let same = |key: Vec<ColumnId>| {
        key.len() == columns.len() && columns.iter().all(|column| key.contains(column))
    };
    let mut indexes = table.indexes.iter().filter(|it| it.options.deferrable);
    let index = indexes.find(|index| column_ids(index).is_some_and(same))?;
    Some(match index.options.primary {
        true => "primary key",
        false => "unique constraint",
    })
}

/// A primary key that is about to be.
pub(super) struct NewKey {
    pub(super) id: ObjectId,
    pub(super) name: String,
    pub(super) columns: Vec<ColumnId>,
    pub(super) include: Vec<ColumnId>,
}

impl NewKey {
    /// A deferrable key is an index over rows that have a hidden key.
    pub(super) fn into_index(self, options: &KeyOptions) -> Index {
        Index {
            id: self.id,
            name: self.name,
            columns: plain_columns(self.columns),
            unique: true,
            constraint: true,
            nulls_not_distinct: false,
            predicate: None,
            options: IndexOptions {
                primary: true,
                deferrable: true,
                initially_deferred: options.initially_deferred,
                include: self.include,
            },
        }
    }
}

fn plain_columns(columns: Vec<ColumnId>) -> Vec<IndexColumn> {
    let plain = |id| IndexColumn {
        key: IndexKey::Column(id),
        descending: false,
        nulls_first: false,
    };
    columns.into_iter().map(plain).collect()
}

/// The columns of an index that has no expression.
pub(super) fn column_ids(index: &Index) -> Option<Vec<ColumnId>> {
    let ids = index.columns.iter().map(|column| match &column.key {
        IndexKey::Column(id) => Some(*id),
        IndexKey::Expression(..) => None,
    });
    ids.collect()
}
