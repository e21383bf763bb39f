//! CREATE TABLE and CREATE TABLE AS.

use std::sync::Arc;

use super::define::Definer;
use super::naming;
use super::scope::Clause;
use super::sequence::{HIDDEN_KEY, new_sequence, next_value_text};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, Identity, IndexKey, Namespace, PrimaryKey, Sequence, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::{self, Strength};
use crate::plan::query::Query;
use crate::plan::syntax::{
    ColumnConstraintKind, ColumnDefinition, CreateTable, CreateTableAs, Expr, KeyOptions,
    LikeOption, Name, Path, Place, SequenceOption, TableConstraint, TableConstraintKind,
    TableElement,
};
use crate::types::Type;
use crate::types::id::{ColumnId, TableId};

/// The most columns of a table, as in PostgreSQL.
const MAX_COLUMNS: usize = 1600;

/// A table in the making.
pub(super) struct Draft {
    pub(super) table: Table,
    pub(super) sequences: Vec<Sequence>,
    /// Constraints that wait until all columns are known.
    pub(super) constraints: Vec<TableConstraint>,
    /// Indexes taken over from LIKE … INCLUDING INDEXES.
    pub(super) copied: Vec<crate::catalog::schema::Index>,
}

impl Definer<'_> {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<&'static str> {
        const TAG: &str = "CREATE TABLE";
        let name = self.new_name(&create.path)?;
        if naming::relation_exists(&self.schema, &name.text) {
            return self.already_there(name, create.if_not_exists, TAG);
        }
        let mut draft = self.draft(&name.text);
        for element in &create.elements {
            match element {
                TableElement::Column(definition) => self.draft_column(&mut draft, definition)?,
                TableElement::Constraint(constraint) => {
                    draft.constraints.push(constraint.clone());
                }
                TableElement::Like(path, options) => self.like(&mut draft, path, options)?,
            }
        }
        self.finish_table(draft)?;
        Ok(TAG)
    }

    fn draft(&mut self, name: &str) -> Draft {
        Draft {
            table: Table {
                id: TableId(self.object().0),
                namespace: Namespace::Public,
                name: name.to_owned(),
                columns: Vec::new(),
                next_column: 1,
                key: PrimaryKey::None,
                indexes: Vec::new(),
                foreign_keys: Vec::new(),
                checks: Vec::new(),
            },
            sequences: Vec::new(),
            constraints: Vec::new(),
            copied: Vec::new(),
        }
    }

    /// Adds a column and puts its constraints with those of the table.
    pub(super) fn draft_column(
        &mut self,
        draft: &mut Draft,
        definition: &ColumnDefinition,
    ) -> Result<()> {
        let name = &definition.name;
        self.not_reserved(name)?;
        if draft.table.column_named(&name.text).is_some() {
            return Err(Error::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{}\" specified more than once", name.text),
            ));
        }
        let serial = serial_type(&definition.ty.path);
        let ty = match &serial {
            Some(ty) => ty.clone(),
            None => self.type_name(&definition.ty)?,
        };
        if draft.table.columns.len() >= MAX_COLUMNS {
            return Err(Error::new(
                SqlState::TOO_MANY_COLUMNS,
                format!("tables can have at most {MAX_COLUMNS} columns"),
            ));
        }
        let mut column = Column {
            id: ColumnId(draft.table.next_column),
            name: name.text.clone(),
            ty,
            not_null: serial.is_some(),
            default: None,
            identity: None,
            hidden: false,
        };
        draft.table.next_column += 1;
        if serial.is_some() {
            let sequence = self.own_sequence(draft, &column, &[])?;
            column.default = Some(next_value_text(&sequence.name));
            draft.sequences.push(sequence);
        }
        self.column_constraints(draft, &mut column, definition)?;
        draft.table.columns.push(column);
        Ok(())
    }

    fn column_constraints(
        &mut self,
        draft: &mut Draft,
        column: &mut Column,
        definition: &ColumnDefinition,
    ) -> Result<()> {
        let (mut null, mut not_null) = (false, column.not_null);
        let clash = |what: &str, place: Place, definer: &Self, table: &str| {
            let name = &definition.name.text;
            let message = format!("{what} for column \"{name}\" of table \"{table}\"");
            definer.error(SqlState::SYNTAX_ERROR, place, message)
        };
        for constraint in &definition.constraints {
            let own = vec![definition.name.clone()];
            null |= constraint.kind == ColumnConstraintKind::Null;
            not_null |= constraint.kind == ColumnConstraintKind::NotNull;
            let kind = match &constraint.kind {
                ColumnConstraintKind::NotNull | ColumnConstraintKind::Null => None,
                ColumnConstraintKind::Default(expr) => {
                    if column.default.is_some() || column.identity.is_some() {
                        let what = "multiple default values specified";
                        return Err(clash(what, constraint.place, self, &draft.table.name));
                    }
                    column.default = self.default_text(expr, column)?;
                    None
                }
                ColumnConstraintKind::Identity { always, options } => {
                    if column.default.is_some() || column.identity.is_some() {
                        let what = "both default and identity specified";
                        return Err(clash(what, constraint.place, self, &draft.table.name));
                    }
                    self.draft_identity(draft, column, *always, options)?;
                    not_null = true;
                    None
                }
                ColumnConstraintKind::Check(expr) => Some(TableConstraintKind::Check(expr.clone())),
                ColumnConstraintKind::Unique(options) => Some(TableConstraintKind::Unique {
                    columns: own,
                    options: options.clone(),
                }),
                ColumnConstraintKind::PrimaryKey(options) => {
                    Some(TableConstraintKind::PrimaryKey {
                        columns: own,
                        options: options.clone(),
                    })
                }
                ColumnConstraintKind::References(reference) => {
                    Some(TableConstraintKind::ForeignKey {
                        columns: own,
                        reference: reference.clone(),
                    })
                }
                ColumnConstraintKind::Collate(path) => {
                    self.collation(path)?;
                    None
                }
            };
            if null && not_null {
                let what = "conflicting NULL/NOT NULL declarations";
                return Err(clash(what, constraint.place, self, &draft.table.name));
            }
            if let Some(kind) = kind {
                draft.constraints.push(TableConstraint {
                    name: constraint.name.clone(),
                    place: constraint.place,
                    kind,
                    not_valid: false,
                });
            }
        }
        column.not_null = not_null;
        Ok(())
    }

    fn draft_identity(
        &mut self,
        draft: &mut Draft,
        column: &mut Column,
        always: bool,
        options: &[SequenceOption],
    ) -> Result<()> {
        if !column.ty.is_integer() {
            return Err(Error::new(
                SqlState::INVALID_PARAMETER_VALUE,
                "identity column type must be smallint, integer, or bigint",
            ));
        }
        let sequence = self.own_sequence(draft, column, options)?;
        column.identity = Some(Identity {
            always,
            sequence: sequence.id,
        });
        draft.sequences.push(sequence);
        Ok(())
    }

    fn collation(&self, path: &Path) -> Result<()> {
        match path.last().map(|name| name.text.as_str()) {
            Some("C" | "POSIX" | "default" | "ucs_basic") => Ok(()),
            _ => Err(Error::unsupported(format!(
                "collation \"{}\"",
                super::dotted(path)
            ))),
        }
    }

    /// The sequence that a serial or identity column owns.
    fn own_sequence(
        &mut self,
        draft: &Draft,
        column: &Column,
        options: &[SequenceOption],
    ) -> Result<Sequence> {
        let id = self.object();
        let taken: Vec<String> = draft.sequences.iter().map(|s| s.name.clone()).collect();
        let name = self.identity_name(options, &draft.table.name, &column.name, &taken)?;
        let mut sequence = new_sequence(id, &name, column.ty.clone());
        sequence.owner = Some((draft.table.id, column.id));
        self.set_options(&mut sequence, options, true)?;
        Ok(sequence)
    }

    /// The canonical text of a default; none for NULL.
    pub(super) fn default_text(&self, expr: &Expr, column: &Column) -> Result<Option<String>> {
        let value = self.binder(None, Clause::Default, |binder| {
            let value = binder.expression(expr).map_err(|error| {
                match error.state() {
                    // No column is in sight: PostgreSQL says so.
                    SqlState::UNDEFINED_COLUMN => Error::new(
                        SqlState::FEATURE_NOT_SUPPORTED,
                        "cannot use column reference in DEFAULT expression",
                    )
                    .at(error.report().position),
                    _ => error,
                }
            })?;
            if !coerce::can_coerce(&value.ty, &column.ty, Strength::Assignment) {
                return Err(Error::new(
                    SqlState::DATATYPE_MISMATCH,
                    format!(
                        "column \"{}\" is of type {} but default expression is of type {}",
                        column.name,
                        column.ty.without_modifier(),
                        value.ty.without_modifier()
                    ),
                )
                .hint("You will need to rewrite or cast the expression."));
            }
            // Length is checked when the default is used, as in PostgreSQL.
            let base = column.ty.without_modifier();
            binder.coerce(value, &base, Strength::Assignment, expr.place)
        })?;
        if value.is_null_constant() {
            return Ok(None);
        }
        Ok(Some(self.deparse(&value, None)))
    }

    /// LIKE source: its columns, and what INCLUDING asks for.
    fn like(&mut self, draft: &mut Draft, path: &Path, options: &[LikeOption]) -> Result<()> {
        let Some(source) = self.table(path)? else {
            let place = path.first().map_or(Place(0), |name| name.place);
            let position = crate::plan::parse::position(self.text, place);
            return Err(self.unknown_relation(path).at(Some(position)));
        };
        let mut renumbered: Vec<(ColumnId, ColumnId)> = Vec::new();
        for (_, original) in source.visible() {
            if draft.table.column_named(&original.name).is_some() {
                return Err(Error::new(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column \"{}\" specified more than once", original.name),
                ));
            }
            let mut column = Column {
                id: ColumnId(draft.table.next_column),
                default: None,
                identity: None,
                ..original.clone()
            };
            draft.table.next_column += 1;
            renumbered.push((original.id, column.id));
            if options.contains(&LikeOption::Defaults) {
                column.default.clone_from(&original.default);
            }
            if let Some(identity) = &original.identity
                && options.contains(&LikeOption::Identity)
            {
                let mut sequence = self.own_sequence(draft, &column, &[])?;
                if let Some(model) = self.schema.sequences.get(&identity.sequence) {
                    sequence = Sequence {
                        id: sequence.id,
                        name: sequence.name,
                        owner: sequence.owner,
                        ..model.as_ref().clone()
                    };
                }
                column.identity = Some(Identity {
                    always: identity.always,
                    sequence: sequence.id,
                });
                draft.sequences.push(sequence);
            }
            draft.table.columns.push(column);
        }
        if options.contains(&LikeOption::Constraints) {
            for check in &source.checks {
                let id = self.object();
                draft.table.checks.push(crate::catalog::schema::Check {
                    id,
                    ..check.clone()
                });
            }
        }
        if options.contains(&LikeOption::Indexes) {
            self.like_indexes(draft, &source, &renumbered);
        }
        Ok(())
    }

    fn like_indexes(
        &mut self,
        draft: &mut Draft,
        source: &Table,
        renumbered: &[(ColumnId, ColumnId)],
    ) {
        if let PrimaryKey::Declared {
            columns, include, ..
        } = &source.key
        {
            let names = |ids: &[ColumnId]| {
                let columns = ids.iter().filter_map(|id| source.column(*id));
                let names = columns.map(|column| Name {
                    text: column.name.clone(),
                    place: Place(0),
                });
                names.collect()
            };
            draft.constraints.push(TableConstraint {
                name: None,
                place: Place(0),
                kind: TableConstraintKind::PrimaryKey {
                    columns: names(columns),
                    options: KeyOptions {
                        include: names(include),
                        ..KeyOptions::default()
                    },
                },
                not_valid: false,
            });
        }
        for index in &source.indexes {
            let mut copy = index.clone();
            copy.id = self.object();
            let keys = copy.columns.iter_mut();
            let keys = keys.filter_map(|column| match &mut column.key {
                IndexKey::Column(id) => Some(id),
                IndexKey::Expression(..) => None,
            });
            for id in keys.chain(&mut copy.options.include) {
                if let Some((_, new)) = renumbered.iter().find(|(old, _)| old == id) {
                    *id = *new;
                }
            }
            draft.copied.push(copy);
        }
    }

    /// Constraints, a key for all, and the steps.
    fn finish_table(&mut self, mut draft: Draft) -> Result<()> {
        for constraint in std::mem::take(&mut draft.constraints) {
            self.draft_constraint(&mut draft, &constraint)?;
        }
        for mut index in std::mem::take(&mut draft.copied) {
            let names = super::index::key_names(&draft.table, &index);
            let (names, label) = match (index.options.primary, index.constraint) {
                (true, _) => (String::new(), "pkey"),
                (_, true) => (names, "key"),
                _ => (names, "idx"),
            };
            let taken: Vec<String> = draft.table.indexes.iter().map(|i| i.name.clone()).collect();
            index.name = self.relation_name(&draft.table.name, &names, label, &taken);
            draft.table.indexes.push(index);
        }
        if draft.table.key == PrimaryKey::None {
            let id = ColumnId(draft.table.next_column);
            draft.table.next_column += 1;
            let (column, sequence) = self.hidden_key(draft.table.id, &draft.table.name, id);
            draft.table.key = PrimaryKey::Hidden {
                column: id,
                sequence: sequence.id,
            };
            draft.table.columns.push(column);
            draft.sequences.push(sequence);
        }
        for sequence in draft.sequences {
            self.change(SchemaChange::CreateSequence(sequence))?;
        }
        self.change(SchemaChange::CreateTable(draft.table))
    }

    pub(super) fn create_table_as(
        &mut self,
        create: &CreateTableAs,
        query: Query,
    ) -> Result<&'static str> {
        const TAG: &str = "CREATE TABLE AS";
        let name = self.new_name(&create.path)?;
        if naming::relation_exists(&self.schema, &name.text) {
            return self.already_there(name, create.if_not_exists, TAG);
        }
        if create.columns.len() > query.columns.len() {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                "too many column names were specified",
            ));
        }
        let mut draft = self.draft(&name.text);
        for (at, output) in query.columns.iter().enumerate() {
            let given = create.columns.get(at).map(|name| name.text.clone());
            let column = given.unwrap_or_else(|| output.name.clone());
            if draft.table.column_named(&column).is_some() || column == HIDDEN_KEY {
                return Err(Error::new(
                    SqlState::DUPLICATE_COLUMN,
                    format!("column \"{column}\" specified more than once"),
                ));
            }
            if !output.ty.is_storable() {
                return Err(Error::unsupported(format!(
                    "a column of type {}",
                    output.ty
                )));
            }
            draft.table.columns.push(Column {
                id: ColumnId(draft.table.next_column),
                name: column,
                ty: output.ty.clone(),
                not_null: false,
                default: None,
                identity: None,
                hidden: false,
            });
            draft.table.next_column += 1;
        }
        self.finish_table(draft)?;
        if !create.with_data {
            return Ok(TAG);
        }
        self.fill = Some(Box::new(query));
        Ok("SELECT")
    }

    /// A draft's table as expressions over it see it.
    pub(super) fn shared(draft: &Draft) -> Arc<Table> {
        Arc::new(draft.table.clone())
    }
}

/// The integer type behind `serial` and its kin.
fn serial_type(path: &[String]) -> Option<Type> {
    let [name] = path else {
        return None;
    };
    match name.as_str() {
        "serial" | "serial4" => Some(Type::Int4),
        "bigserial" | "serial8" => Some(Type::Int8),
        "smallserial" | "serial2" => Some(Type::Int2),
        _ => None,
    }
}
