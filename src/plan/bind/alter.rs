//! ALTER TABLE: columns and names. Constraints are in `alter_constraint`.

use std::sync::Arc;

use super::alter_constraint::has_constraint;
use super::define::{Definer, TABLE_RELATION};
use super::naming;
use super::scope::Clause;
use super::sequence::next_value_text;
use super::table::Draft;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, IndexKey, PrimaryKey, Sequence, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::evaluate;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::statement::{ColumnFill, SchemaCheck};
use crate::plan::syntax::{AlterAction, AlterTable, ColumnDefinition, Expr, Name, Place, TypeName};
use crate::plan::visit;
use crate::types::id::TableId;
use crate::types::{Type, Value};

impl Definer<'_> {
    pub(super) fn alter_table(&mut self, alter: &AlterTable) -> Result<&'static str> {
        const TAG: &str = "ALTER TABLE";
        let Some(table) = self.table(&alter.path)? else {
            if let Some(sequence) = self.find_sequence(&alter.path) {
                return self.alter_as_sequence(alter, &sequence);
            }
            if alter.if_exists {
                self.notices.push(format!(
                    "relation \"{}\" does not exist, skipping",
                    super::dotted(&alter.path)
                ));
                return Ok(TAG);
            }
            return Err(self.unknown_relation(&alter.path));
        };
        for action in &alter.actions {
            self.alter_action(table.id, action)?;
        }
        Ok(TAG)
    }

    /// ALTER TABLE takes a sequence too, for what any relation has.
    fn alter_as_sequence(
        &mut self,
        alter: &AlterTable,
        sequence: &Sequence,
    ) -> Result<&'static str> {
        for action in &alter.actions {
            match action {
                AlterAction::Nothing => {}
                AlterAction::RenameTable(name) => {
                    self.alter_sequence(&alter.path, false, &[], Some(name))?;
                }
                _ => {
                    let message = format!("\"{}\" is not a table", sequence.name);
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
            }
        }
        Ok("ALTER TABLE")
    }

    fn alter_action(&mut self, id: TableId, action: &AlterAction) -> Result<()> {
        let table = self.current(id)?;
        match action {
            AlterAction::AddColumn {
                definition,
                if_not_exists,
            } => self.add_column(&table, definition, *if_not_exists),
            AlterAction::DropColumn {
                name,
                if_exists,
                cascade,
            } => self.drop_column(&table, name, *if_exists, *cascade),
            AlterAction::RenameColumn { from, to } => self.rename_column(&table, from, to),
            AlterAction::RenameTable(name) => self.rename_table(&table, name),
            AlterAction::SetDefault { column, default } => {
                self.set_default(&table, column, default.as_ref())
            }
            AlterAction::SetNotNull { column, not_null } => {
                self.set_not_null(&table, column, *not_null)
            }
            AlterAction::SetType { column, ty, using } => {
                self.set_type(&table, column, ty, using.as_ref())
            }
            AlterAction::AddIdentity {
                column,
                always,
                options,
            } => self.add_identity(&table, column, *always, options),
            AlterAction::SetIdentity {
                column,
                always,
                options,
            } => self.set_identity(&table, column, *always, options),
            AlterAction::DropIdentity { column, if_exists } => {
                self.drop_identity(&table, column, *if_exists)
            }
            AlterAction::RenameConstraint { from, to } => self.rename_constraint(&table, from, to),
            AlterAction::AddConstraint(constraint) => self.add_constraint(&table, constraint),
            AlterAction::DropConstraint {
                name,
                if_exists,
                cascade,
            } => self.drop_constraint(&table, name, *if_exists, *cascade),
            AlterAction::AlterConstraint { name, deferral } => {
                self.alter_constraint(&table, name, *deferral)
            }
            AlterAction::ValidateConstraint(name) => has_constraint(&table, &name.text),
            AlterAction::Nothing => Ok(()),
        }
    }

    /// A column of the table by its name.
    pub(super) fn column<'t>(&self, table: &'t Table, name: &Name) -> Result<&'t Column> {
        match table.column_named(&name.text) {
            Some((_, column)) => Ok(column),
            None => Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    name.text, table.name
                ),
            )),
        }
    }

    fn add_column(
        &mut self,
        table: &Arc<Table>,
        definition: &ColumnDefinition,
        if_not_exists: bool,
    ) -> Result<()> {
        if table.column_named(&definition.name.text).is_some() {
            let message = format!(
                "column \"{}\" of relation \"{}\" already exists",
                definition.name.text, table.name
            );
            if if_not_exists {
                self.notices.push(format!("{message}, skipping"));
                return Ok(());
            }
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let mut draft = Draft::of(table);
        self.draft_column(&mut draft, definition)?;
        let Some(column) = draft.table.columns.pop() else {
            return Err(Error::internal("a column was not drafted"));
        };
        for sequence in draft.sequences {
            self.change(SchemaChange::CreateSequence(sequence))?;
        }
        let filled = self.filling(&column)?;
        let fill = match &filled.kind {
            ExpressionKind::Constant(value) => value.clone(),
            _ => Value::Null,
        };
        if column.not_null && filled.is_null_constant() {
            self.checks.push(SchemaCheck::NoRows {
                table: table.id,
                column: column.name.clone(),
            });
        }
        if !matches!(filled.kind, ExpressionKind::Constant(_)) {
            self.column_fills.push(ColumnFill {
                table: table.id,
                column: column.id,
                value: filled.clone(),
            });
        }
        self.replaced.insert(column.id, filled);
        self.change(SchemaChange::AddColumn {
            table: table.id,
            column,
            fill,
        })?;
        for constraint in &draft.constraints {
            let table = self.current(table.id)?;
            self.add_constraint(&table, constraint)?;
        }
        Ok(())
    }

    /// What existing rows get in a new column: a constant where it is one.
    fn filling(&self, column: &Column) -> Result<Expression> {
        let text = match (&column.identity, &column.default) {
            (Some(identity), _) => {
                let sequence = self.schema.sequences.get(&identity.sequence);
                let name = sequence.map_or("", |sequence| sequence.name.as_str());
                next_value_text(name)
            }
            (None, Some(text)) => text.clone(),
            (None, None) => return Ok(Expression::constant(Value::Null, column.ty.clone())),
        };
        let value = self.binder(None, Clause::Default, |binder| {
            let value = binder.stored_expression(&text)?;
            binder.coerce(value, &column.ty, Strength::Assignment, Place(0))
        })?;
        if !evaluate::is_immutable(&value) {
            return Ok(value);
        }
        let constant = evaluate::evaluate(&value, &evaluate::NoScope, self.binding.context)?;
        Ok(Expression::constant(constant, column.ty.clone()))
    }

    fn drop_column(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        if_exists: bool,
        cascade: bool,
    ) -> Result<()> {
        let column = match self.column(table, name) {
            Ok(column) => column.clone(),
            Err(error) if if_exists => {
                self.notices.push(format!("{}, skipping", error.message()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let place = table.position(column.id).unwrap_or_default();
        let what = format!("column {} of table {}", column.name, table.name);
        for key in &table.foreign_keys {
            let own = key.parent == table.id && key.parent_columns.contains(&column.id);
            if own || key.columns.contains(&column.id) {
                self.change(SchemaChange::DropConstraint {
                    table: table.id,
                    constraint: key.id,
                })?;
            }
        }
        for check in &table.checks {
            if self.mentions(&check.expression, table, place)? {
                self.change(SchemaChange::DropConstraint {
                    table: table.id,
                    constraint: check.id,
                })?;
            }
        }
        for index in &table.indexes {
            let mut used = false;
            for key in &index.columns {
                used |= match &key.key {
                    IndexKey::Column(id) => *id == column.id,
                    IndexKey::Expression(text, _) => self.mentions(text, table, place)?,
                };
            }
            if let Some(predicate) = &index.predicate {
                used |= self.mentions(predicate, table, place)?;
            }
            used |= index.options.include.contains(&column.id);
            if used {
                self.change(SchemaChange::DropIndex {
                    table: table.id,
                    index: index.id,
                })?;
                self.drop_orphaned(table.id, &what, cascade)?;
            }
        }
        if let PrimaryKey::Declared {
            columns, include, ..
        } = &table.key
            && (columns.contains(&column.id) || include.contains(&column.id))
        {
            self.drop_primary_key(table, &what, cascade)?;
        }
        self.change(SchemaChange::DropColumn {
            table: table.id,
            column: column.id,
        })
    }

    /// Whether a stored text names the column at a place.
    fn mentions(&self, text: &str, table: &Arc<Table>, place: usize) -> Result<bool> {
        let expression = self.stored(text, table)?;
        let mut found = false;
        visit::columns(&expression, &mut |_, column| found |= column == place);
        Ok(found)
    }

    fn rename_column(&mut self, table: &Arc<Table>, from: &Name, to: &Name) -> Result<()> {
        let Some((_, column)) = table.column_named(&from.text) else {
            return Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!("column \"{}\" does not exist", from.text),
            ));
        };
        let column = column.clone();
        self.not_reserved(to)?;
        if table.column_named(&to.text).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!(
                    "column \"{}\" of relation \"{}\" already exists",
                    to.text, table.name
                ),
            ));
        }
        let place = table.position(column.id).unwrap_or_default();
        let mut renamed = table.as_ref().clone();
        renamed.columns[place].name.clone_from(&to.text);
        // Texts that name the column go before and come back with its new name.
        let mut after = Vec::new();
        for check in &table.checks {
            if self.mentions(&check.expression, table, place)? {
                let expression = self.stored(&check.expression, table)?;
                let mut check = check.clone();
                check.expression = self.deparse(&expression, Some(&renamed));
                self.change(SchemaChange::DropConstraint {
                    table: table.id,
                    constraint: check.id,
                })?;
                after.push(SchemaChange::AddCheck {
                    table: table.id,
                    check,
                });
            }
        }
        for index in &table.indexes {
            let mut index = index.clone();
            let mut changed = false;
            let texts = index
                .columns
                .iter_mut()
                .filter_map(|key| match &mut key.key {
                    IndexKey::Expression(text, _) => Some(text),
                    IndexKey::Column(_) => None,
                });
            for text in texts.chain(&mut index.predicate) {
                if self.mentions(text, table, place)? {
                    let expression = self.stored(text, table)?;
                    *text = self.deparse(&expression, Some(&renamed));
                    changed = true;
                }
            }
            if changed {
                self.change(SchemaChange::DropIndex {
                    table: table.id,
                    index: index.id,
                })?;
                after.push(SchemaChange::AddIndex {
                    table: table.id,
                    index,
                });
            }
        }
        self.change(SchemaChange::RenameColumn {
            table: table.id,
            column: column.id,
            name: to.text.clone(),
        })?;
        after.into_iter().try_for_each(|change| self.change(change))
    }

    fn rename_table(&mut self, table: &Arc<Table>, name: &Name) -> Result<()> {
        self.not_reserved(name)?;
        if naming::relation_exists(&self.schema, &name.text) {
            return Err(Error::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{}\" already exists", name.text),
            ));
        }
        self.change(SchemaChange::RenameTable {
            table: table.id,
            name: name.text.clone(),
        })
    }

    fn set_default(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        default: Option<&Expr>,
    ) -> Result<()> {
        let column = self.column(table, name)?;
        if column.identity.is_some() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "column \"{}\" of relation \"{}\" is an identity column",
                    column.name, table.name
                ),
            )
            .hint("Use ALTER TABLE ... ALTER COLUMN ... DROP IDENTITY instead."));
        }
        let default = match default {
            Some(expr) => self.default_text(expr, column)?,
            None => None,
        };
        self.change(SchemaChange::SetDefault {
            table: table.id,
            column: column.id,
            default,
        })
    }

    fn set_not_null(&mut self, table: &Arc<Table>, name: &Name, not_null: bool) -> Result<()> {
        let column = self.column(table, name)?;
        if column.not_null == not_null {
            return Ok(());
        }
        if not_null {
            self.check_not_null(table, column);
        } else {
            if let Some(columns) = table.primary_key()
                && columns.contains(&column.id)
            {
                return Err(Error::new(
                    SqlState::INVALID_TABLE_DEFINITION,
                    format!("column \"{}\" is in a primary key", column.name),
                ));
            }
            if column.identity.is_some() {
                return Err(Error::new(
                    SqlState::SYNTAX_ERROR,
                    format!(
                        "column \"{}\" of relation \"{}\" is an identity column",
                        column.name, table.name
                    ),
                ));
            }
        }
        self.change(SchemaChange::SetNotNull {
            table: table.id,
            column: column.id,
            not_null,
        })
    }

    /// Existing rows must have a value.
    pub(super) fn check_not_null(&mut self, table: &Table, column: &Column) {
        if let Some(filled) = self.replaced.get(&column.id) {
            if filled.is_null_constant() {
                self.checks.push(SchemaCheck::NoRows {
                    table: table.id,
                    column: column.name.clone(),
                });
            }
            return;
        }
        let base = self.binding.schema.table(table.id);
        if let Some(place) = base.and_then(|base| base.position(column.id)) {
            self.checks.push(SchemaCheck::NotNull {
                table: table.id,
                column: place,
            });
        }
    }

    fn set_type(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        ty: &TypeName,
        using: Option<&Expr>,
    ) -> Result<()> {
        let column = self.column(table, name)?.clone();
        let ty = self.type_name(ty)?;
        let place = table.position(column.id).unwrap_or_default();
        self.check_type_change(table, &column, &ty)?;
        let (value, at) = match using {
            Some(expr) => {
                let value = self.binder(Some(table), Clause::Transform, |binder| {
                    binder.expression(expr)
                })?;
                (value, expr.place)
            }
            None => {
                let own = Expression::column(TABLE_RELATION, place, column.ty.clone());
                (own, name.place)
            }
        };
        convertible(&value, &column, &ty, using.is_some())?;
        let value = self.binder(Some(table), Clause::Transform, |binder| {
            binder.coerce(value, &ty, Strength::Assignment, at)
        })?;
        let using = self.deparse(&value, Some(table));
        let default = self.converted_default(&column, &ty)?;
        // Every row must convert; the condition itself always holds.
        let original = self.in_original(&value, table)?;
        let null = |negated| Expression {
            kind: ExpressionKind::IsNull {
                operand: Box::new(original.clone()),
                negated,
            },
            ty: Type::Bool,
        };
        self.checks.push(SchemaCheck::Holds {
            table: table.id,
            relation: TABLE_RELATION,
            condition: Expression {
                kind: ExpressionKind::Or(vec![null(false), null(true)]),
                ty: Type::Bool,
            },
            constraint: String::new(),
            not_valid: false,
        });
        self.replaced.insert(column.id, original);
        if default.is_some() {
            self.change(SchemaChange::SetDefault {
                table: table.id,
                column: column.id,
                default: None,
            })?;
        }
        self.change(SchemaChange::SetType {
            table: table.id,
            column: column.id,
            ty,
            using,
        })?;
        if let Some(default) = default {
            self.change(SchemaChange::SetDefault {
                table: table.id,
                column: column.id,
                default: Some(default),
            })?;
        }
        self.recheck(table.id, &column)
    }

    /// Keys between tables keep their types; so do generated columns.
    fn check_type_change(&self, table: &Table, column: &Column, ty: &Type) -> Result<()> {
        if column.ty.same_base(ty) {
            return Ok(());
        }
        let child = table
            .foreign_keys
            .iter()
            .any(|key| key.columns.contains(&column.id));
        let parent = self
            .schema
            .children_of(table.id)
            .any(|(_, key)| key.parent_columns.contains(&column.id));
        if child || parent {
            return Err(Error::unsupported(
                "changing the type of a column of a foreign key",
            ));
        }
        if column.identity.is_some() && !ty.is_integer() {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        Ok(())
    }

    fn converted_default(&self, column: &Column, ty: &Type) -> Result<Option<String>> {
        let Some(text) = &column.default else {
            return Ok(None);
        };
        let value = self.binder(None, Clause::Default, |binder| {
            let value = binder.stored_expression(text)?;
            if !coerce::can_coerce(&value.ty, ty, Strength::Assignment) {
                return Err(Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "default for column \"{}\" cannot be cast automatically to type {ty}",
                        column.name
                    ),
                ));
            }
            binder.coerce(
                value,
                &ty.without_modifier(),
                Strength::Assignment,
                Place(0),
            )
        })?;
        Ok(Some(self.deparse(&value, None)))
    }

    /// Checks and unique indexes over a column must still hold after its
    /// values changed; their texts are bound anew.
    fn recheck(&mut self, id: TableId, column: &Column) -> Result<()> {
        let table = self.current(id)?;
        let place = table.position(column.id).unwrap_or_default();
        for check in &table.checks {
            if self.mentions(&check.expression, &table, place)? {
                let condition = self.stored(&check.expression, &table)?;
                self.check_holds(&table, &condition, &check.name, false)?;
            }
        }
        for index in &table.indexes {
            let mut retyped = index.clone();
            for key in &mut retyped.columns {
                if let IndexKey::Expression(text, ty) = &mut key.key
                    && self.mentions(text, &table, place)?
                {
                    *ty = self.stored(text, &table)?.ty;
                }
            }
            if retyped != *index {
                self.change(SchemaChange::DropIndex {
                    table: table.id,
                    index: index.id,
                })?;
                self.change(SchemaChange::AddIndex {
                    table: table.id,
                    index: retyped,
                })?;
            }
            if index.unique {
                self.check_unique(&table, index)?;
            }
        }
        if let PrimaryKey::Declared { columns, name, .. } = &table.key
            && columns.contains(&column.id)
        {
            let (columns, name) = (columns.clone(), name.clone());
            self.check_key(&table, &columns, &name)?;
        }
        Ok(())
    }
}

/// A column's values, or what USING makes of them, become the new type by assignment.
fn convertible(value: &Expression, column: &Column, ty: &Type, using: bool) -> Result<()> {
    if coerce::can_coerce(&value.ty, ty, Strength::Assignment) {
        return Ok(());
    }
    let (what, hint) = if using {
        (
            "result of USING clause for column",
            "You might need to add an explicit cast.".to_owned(),
        )
    } else {
        let name = crate::plan::deparse::identifier(&column.name);
        (
            "column",
            format!("You might need to specify \"USING {name}::{ty}\"."),
        )
    };
    Err(Error::new(
        SqlState::DATATYPE_MISMATCH,
        format!(
            "{what} \"{}\" cannot be cast automatically to type {ty}",
            column.name
        ),
    )
    .hint(hint))
}
