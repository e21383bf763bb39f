//! ALTER TABLE: constraints, and what existing rows must satisfy.

use std::sync::Arc;

use super::constraint::constraint_names;
use super::define::{Definer, TABLE_RELATION};
use super::table::Draft;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{ForeignKey, Index, IndexColumn, IndexKey, PrimaryKey, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluate::walk;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::query::RelationId;
use crate::plan::statement::SchemaCheck;
use crate::plan::syntax::{KeyOptions, Name, TableConstraint, TableConstraintKind};
use crate::plan::visit;
use crate::types::id::{ColumnId, ObjectId};

impl Definer<'_> {
    pub(super) fn add_constraint(
        &mut self,
        table: &Arc<Table>,
        constraint: &TableConstraint,
    ) -> Result<()> {
        let given = constraint.name.as_ref();
        match &constraint.kind {
            TableConstraintKind::PrimaryKey { columns, options } => {
                self.add_primary_key(table, (columns, options), constraint)
            }
            TableConstraintKind::Unique { columns, options } => {
                let place = constraint.place;
                let index = self.unique_index(table, columns, options, given, place)?;
                self.check_unique(table, &index)?;
                self.change(SchemaChange::AddIndex {
                    table: table.id,
                    index,
                })
            }
            TableConstraintKind::Check(expr) => {
                let (check, condition) = self.check(table, expr, given)?;
                self.check_holds(table, &condition, &check.name, constraint.not_valid)?;
                self.change(SchemaChange::AddCheck {
                    table: table.id,
                    check,
                })
            }
            TableConstraintKind::ForeignKey { columns, reference } => {
                let key = self.foreign_key(table, columns, reference, given)?;
                self.check_foreign_key(table, &key, constraint.not_valid)?;
                self.change(SchemaChange::AddForeignKey {
                    table: table.id,
                    key,
                })
            }
            TableConstraintKind::UsingIndex { primary: true, .. } => Err(Error::unsupported(
                "a primary key made from an existing index",
            )),
            TableConstraintKind::UsingIndex { index, .. } => {
                self.constraint_of_index(table, index, given)
            }
        }
    }

    /// UNIQUE USING INDEX: the index becomes the constraint's, under its name.
    fn constraint_of_index(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        given: Option<&Name>,
    ) -> Result<()> {
        let Some(index) = table.indexes.iter().find(|index| index.name == name.text) else {
            let message = format!("index \"{}\" does not exist", name.text);
            return Err(self.error(SqlState::UNDEFINED_OBJECT, name.place, message));
        };
        let mut index = index.clone();
        let sorted = |column: &IndexColumn| column.descending || column.nulls_first;
        let expression = |column: &IndexColumn| matches!(column.key, IndexKey::Expression(..));
        let refused = if index.constraint {
            Some((
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "index \"{}\" is already associated with a constraint",
                    name.text
                ),
            ))
        } else if !index.unique {
            let message = format!("\"{}\" is not a unique index", name.text);
            Some((SqlState::WRONG_OBJECT_TYPE, message))
        } else if index.columns.iter().any(expression) {
            let message = format!("index \"{}\" contains expressions", name.text);
            Some((SqlState::WRONG_OBJECT_TYPE, message))
        } else if index.predicate.is_some() {
            let message = format!("\"{}\" is a partial index", name.text);
            Some((SqlState::WRONG_OBJECT_TYPE, message))
        } else if index.columns.iter().any(sorted) {
            let message = format!(
                "index \"{}\" column number 1 does not have default sorting behavior",
                name.text
            );
            Some((SqlState::WRONG_OBJECT_TYPE, message))
        } else {
            None
        };
        if let Some((state, message)) = refused {
            return Err(self.error(state, name.place, message));
        }
        self.change(SchemaChange::DropIndex {
            table: table.id,
            index: index.id,
        })?;
        index.constraint = true;
        if let Some(given) = given
            && given.text != index.name
        {
            let old = std::mem::replace(&mut index.name, given.text.clone());
            self.notices.push(format!(
                "ALTER TABLE / ADD CONSTRAINT USING INDEX will rename index \"{old}\" to \"{}\"",
                given.text
            ));
        }
        self.change(SchemaChange::AddIndex {
            table: table.id,
            index,
        })
    }

    /// ALTER CONSTRAINT: when a foreign key is checked.
    pub(super) fn alter_constraint(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        deferral: Option<(bool, bool)>,
    ) -> Result<()> {
        let key = table.foreign_keys.iter().find(|key| key.name == name.text);
        let Some(key) = key else {
            has_constraint(table, &name.text)?;
            return Err(Error::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!(
                    "constraint \"{}\" of relation \"{}\" is not a foreign key constraint",
                    name.text, table.name
                ),
            ));
        };
        let mut key = key.clone();
        let (deferrable, initially_deferred) = deferral.unwrap_or((false, false));
        if (key.deferrable, key.initially_deferred) == (deferrable, initially_deferred) {
            return Ok(());
        }
        self.change(SchemaChange::DropConstraint {
            table: table.id,
            constraint: key.id,
        })?;
        key.deferrable = deferrable;
        key.initially_deferred = initially_deferred;
        self.change(SchemaChange::AddForeignKey {
            table: table.id,
            key,
        })
    }

    fn add_primary_key(
        &mut self,
        table: &Arc<Table>,
        (names, options): (&[Name], &KeyOptions),
        constraint: &TableConstraint,
    ) -> Result<()> {
        if table.primary_key().is_some() {
            return Err(Error::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!(
                    "multiple primary keys for table \"{}\" are not allowed",
                    table.name
                ),
            ));
        }
        let given = constraint.name.as_ref();
        let key = self.primary_key(table, (names, options), given, constraint.place)?;
        for id in &key.columns {
            let Some(column) = table.column(*id).filter(|column| !column.not_null) else {
                continue;
            };
            self.check_not_null(table, column);
            self.change(SchemaChange::SetNotNull {
                table: table.id,
                column: *id,
                not_null: true,
            })?;
        }
        self.check_key(table, &key.columns, &key.name)?;
        if options.deferrable {
            return self.change(SchemaChange::AddIndex {
                table: table.id,
                index: key.into_index(options),
            });
        }
        self.change(SchemaChange::AddPrimaryKey {
            table: table.id,
            id: key.id,
            name: key.name,
            columns: key.columns,
            include: key.include,
        })
    }

    /// Existing rows have no two equal keys.
    pub(super) fn check_key(
        &mut self,
        table: &Table,
        columns: &[ColumnId],
        name: &str,
    ) -> Result<()> {
        let mut keys = Vec::with_capacity(columns.len());
        for id in columns {
            let Some(place) = table.position(*id) else {
                return Err(Error::internal("a key over a column that is not there"));
            };
            keys.push(Expression::column(
                TABLE_RELATION,
                place,
                table.columns[place].ty.clone(),
            ));
        }
        self.push_unique(table, keys, None, (name, false))
    }

    pub(super) fn check_unique(&mut self, table: &Arc<Table>, index: &Index) -> Result<()> {
        let mut keys = Vec::with_capacity(index.columns.len());
        for column in &index.columns {
            keys.push(match &column.key {
                IndexKey::Expression(text, _) => self.stored(text, table)?,
                IndexKey::Column(id) => {
                    let place = table.position(*id).unwrap_or_default();
                    Expression::column(TABLE_RELATION, place, table.columns[place].ty.clone())
                }
            });
        }
        let filter = match &index.predicate {
            Some(text) => Some(self.stored(text, table)?),
            None => None,
        };
        let named = (index.name.as_str(), index.nulls_not_distinct);
        self.push_unique(table, keys, filter, named)
    }

    fn push_unique(
        &mut self,
        table: &Table,
        keys: Vec<Expression>,
        filter: Option<Expression>,
        (name, nulls_not_distinct): (&str, bool),
    ) -> Result<()> {
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            let key = self.in_original(&key, table)?;
            // A generated key differs from row to row by itself.
            if visit::any(&key, &mut draws) {
                return Ok(());
            }
            if !crate::plan::evaluate::is_immutable(&key) {
                return Err(Error::unsupported(
                    "UNIQUE over a column with a volatile default in the same statement",
                ));
            }
            columns.push(key);
        }
        let filter = match filter {
            Some(filter) => Some(self.in_original(&filter, table)?),
            None => None,
        };
        self.checks.push(SchemaCheck::Unique {
            table: table.id,
            columns,
            relation: TABLE_RELATION,
            filter,
            nulls_not_distinct,
            name: name.to_owned(),
        });
        Ok(())
    }

    pub(super) fn check_holds(
        &mut self,
        table: &Table,
        condition: &Expression,
        constraint: &str,
        not_valid: bool,
    ) -> Result<()> {
        let condition = self.in_original(condition, table)?;
        if !crate::plan::evaluate::is_immutable(&condition)
            && self.column_fills.iter().any(|fill| fill.table == table.id)
        {
            // Whoever fills the column checks each row as it becomes.
            return Ok(());
        }
        self.checks.push(SchemaCheck::Holds {
            table: table.id,
            relation: TABLE_RELATION,
            condition,
            constraint: constraint.to_owned(),
            not_valid,
        });
        Ok(())
    }

    /// Each existing row finds its parent.
    fn check_foreign_key(
        &mut self,
        table: &Table,
        key: &ForeignKey,
        not_valid: bool,
    ) -> Result<()> {
        let mut columns = Vec::with_capacity(key.columns.len());
        for id in &key.columns {
            let Some(place) = table.position(*id) else {
                return Ok(());
            };
            let column = &table.columns[place];
            let value = Expression::column(TABLE_RELATION, place, column.ty.clone());
            let value = self.in_original(&value, table)?;
            if value.is_null_constant() && !key.match_full {
                return Ok(());
            }
            if !crate::plan::evaluate::is_immutable(&value) {
                return Err(Error::unsupported(
                    "a foreign key over a column with a volatile default in the same statement",
                ));
            }
            columns.push((column.name.clone(), value));
        }
        let Some(parent) = self.binding.schema.table(key.parent) else {
            return Err(Error::internal("a foreign key without its parent"));
        };
        let places = key.parent_columns.iter().map(|id| parent.position(*id));
        let Some(parent_columns) = places.collect::<Option<Vec<usize>>>() else {
            return Err(Error::unsupported(
                "a foreign key to a column that is added by the same statement",
            ));
        };
        self.checks.push(SchemaCheck::ForeignKey {
            table: table.id,
            relation: TABLE_RELATION,
            columns,
            parent: key.parent,
            parent_columns,
            constraint: key.name.clone(),
            not_valid,
        });
        Ok(())
    }

    /// An expression over the table as it will be, said over the rows that
    /// are there: added and converted columns by what fills them.
    pub(super) fn in_original(&self, expression: &Expression, table: &Table) -> Result<Expression> {
        let mut rewritten = expression.clone();
        let mut lost = false;
        self.rewrite(&mut rewritten, table, &mut lost);
        if lost {
            return Err(Error::internal(
                "a constraint over a column that is not there",
            ));
        }
        Ok(rewritten)
    }

    fn rewrite(&self, expression: &mut Expression, table: &Table, lost: &mut bool) {
        if let ExpressionKind::Column { relation, column } = expression.kind {
            if relation != TABLE_RELATION {
                return;
            }
            let id = table.columns[column].id;
            if let Some(filled) = self.replaced.get(&id) {
                *expression = filled.clone();
                return;
            }
            let base = self.binding.schema.table(table.id);
            match base.and_then(|base| base.position(id)) {
                Some(column) => {
                    expression.kind = ExpressionKind::Column {
                        relation: RelationId(relation.0),
                        column,
                    };
                }
                None => *lost = true,
            }
            return;
        }
        walk::each_child(expression, &mut |child| self.rewrite(child, table, lost));
    }

    pub(super) fn rename_constraint(
        &mut self,
        table: &Arc<Table>,
        from: &Name,
        to: &Name,
    ) -> Result<()> {
        let Some(constraint) = constraint_id(table, &from.text) else {
            return Err(Error::new(
                SqlState::UNDEFINED_OBJECT,
                format!(
                    "constraint \"{}\" for table \"{}\" does not exist",
                    from.text, table.name
                ),
            ));
        };
        self.not_reserved(to)?;
        if constraint_names(table).contains(&to.text) {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!(
                    "constraint \"{}\" for relation \"{}\" already exists",
                    to.text, table.name
                ),
            ));
        }
        self.change(SchemaChange::RenameConstraint {
            table: table.id,
            constraint,
            name: to.text.clone(),
        })
    }

    pub(super) fn drop_constraint(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let what = format!("constraint {} on table {}", name.text, table.name);
        if let PrimaryKey::Declared { name: key, .. } = &table.key
            && *key == name.text
        {
            return self.drop_primary_key(table, &what, cascade);
        }
        let unique = table
            .indexes
            .iter()
            .find(|index| index.constraint && index.name == name.text);
        if let Some(index) = unique {
            self.change(SchemaChange::DropIndex {
                table: table.id,
                index: index.id,
            })?;
            return self.drop_orphaned(table.id, &what, cascade);
        }
        let Some(constraint) = constraint_id(table, &name.text) else {
            let message = format!(
                "constraint \"{}\" of relation \"{}\" does not exist",
                name.text, table.name
            );
            if if_exists {
                self.notices.push(format!("{message}, skipping"));
                return Ok(());
            }
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        };
        self.change(SchemaChange::DropConstraint {
            table: table.id,
            constraint,
        })
    }

    /// The table gets a hidden key instead.
    pub(super) fn drop_primary_key(
        &mut self,
        table: &Arc<Table>,
        what: &str,
        cascade: bool,
    ) -> Result<()> {
        let id = ColumnId(table.next_column);
        let (hidden, sequence) = self.hidden_key(table.id, &table.name, id);
        self.change(SchemaChange::DropPrimaryKey {
            table: table.id,
            hidden,
            sequence,
        })?;
        self.drop_orphaned(table.id, what, cascade)
    }
}

/// Draws a value that it never draws again.
fn draws(part: &Expression) -> bool {
    matches!(&part.kind, ExpressionKind::Call { function, .. }
        if matches!(function.name, "nextval" | "gen_random_uuid"))
}

/// VALIDATE CONSTRAINT: all constraints hold for all rows, if they are there.
pub(super) fn has_constraint(table: &Table, name: &str) -> Result<()> {
    match constraint_id(table, name) {
        Some(_) => Ok(()),
        None => Err(Error::new(
            SqlState::UNDEFINED_OBJECT,
            format!(
                "constraint \"{name}\" of relation \"{}\" does not exist",
                table.name
            ),
        )),
    }
}

fn constraint_id(table: &Table, name: &str) -> Option<ObjectId> {
    if let PrimaryKey::Declared { id, name: key, .. } = &table.key
        && key == name
    {
        return Some(*id);
    }
    let checks = table.checks.iter().map(|check| (&check.name, check.id));
    let keys = table.foreign_keys.iter().map(|key| (&key.name, key.id));
    let indexes = table.indexes.iter().filter(|index| index.constraint);
    let indexes = indexes.map(|index| (&index.name, index.id));
    let mut all = checks.chain(keys).chain(indexes);
    all.find(|(known, _)| *known == name).map(|(_, id)| id)
}

impl Draft {
    /// A draft over a table that is there, to add a column to.
    pub(super) fn of(table: &Table) -> Draft {
        Draft {
            table: table.clone(),
            sequences: Vec::new(),
            constraints: Vec::new(),
            copied: Vec::new(),
        }
    }
}
