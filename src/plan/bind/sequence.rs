//! Sequences, and those that serial and identity columns bring.

use std::sync::Arc;

use super::define::Definer;
use super::naming;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Namespace, Sequence, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::deparse;
use crate::plan::syntax::{Name, Path, SequenceOption};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId, TableId};

/// The name of the hidden key column of a table without a declared key.
pub(super) const HIDDEN_KEY: &str = "_pyql_key";

impl Definer<'_> {
    pub(super) fn create_sequence(
        &mut self,
        path: &Path,
        if_not_exists: bool,
        options: &[SequenceOption],
    ) -> Result<&'static str> {
        const TAG: &str = "CREATE SEQUENCE";
        let name = self.new_name(path)?;
        if naming::relation_exists(&self.schema, &name.text) {
            return self.already_there(name, if_not_exists, TAG);
        }
        let id = self.object();
        let mut sequence = new_sequence(id, &name.text, Type::Int8);
        self.set_options(&mut sequence, options, true)?;
        self.change(SchemaChange::CreateSequence(sequence))?;
        Ok(TAG)
    }

    /// The name of an identity column's sequence: as its options say, or a new one.
    pub(super) fn identity_name(
        &self,
        options: &[SequenceOption],
        table: &str,
        column: &str,
        taken: &[String],
    ) -> Result<String> {
        let named = options.iter().find_map(|option| match option {
            SequenceOption::Name(path) => Some(path),
            _ => None,
        });
        let Some(path) = named else {
            return Ok(self.relation_name(table, column, "seq", taken));
        };
        let name = self.new_name(path)?;
        if naming::relation_exists(&self.schema, &name.text) || taken.contains(&name.text) {
            return Err(duplicate(name));
        }
        Ok(name.text.clone())
    }

    /// IF NOT EXISTS leaves a notice; else it is an error.
    pub(super) fn already_there(
        &mut self,
        name: &Name,
        if_not_exists: bool,
        tag: &'static str,
    ) -> Result<&'static str> {
        if if_not_exists {
            self.notices.push(format!(
                "relation \"{}\" already exists, skipping",
                name.text
            ));
            return Ok(tag);
        }
        Err(duplicate(name))
    }

    pub(super) fn alter_sequence(
        &mut self,
        path: &Path,
        if_exists: bool,
        options: &[SequenceOption],
        rename: Option<&Name>,
    ) -> Result<&'static str> {
        const TAG: &str = "ALTER SEQUENCE";
        let Some(found) = self.find_sequence(path) else {
            if if_exists {
                self.notices.push(format!(
                    "relation \"{}\" does not exist, skipping",
                    super::dotted(path)
                ));
                return Ok(TAG);
            }
            return Err(self.unknown_relation(path));
        };
        let mut sequence = found.as_ref().clone();
        self.set_options(&mut sequence, options, false)?;
        if let Some(name) = rename {
            self.not_reserved(name)?;
            if naming::relation_exists(&self.schema, &name.text) {
                return self.already_there(name, false, TAG);
            }
            sequence.name.clone_from(&name.text);
        }
        if sequence != *found {
            self.redefine(&found, sequence)?;
        }
        Ok(TAG)
    }

    /// Replaces a sequence's definition; defaults that name it follow.
    fn redefine(&mut self, before: &Sequence, sequence: Sequence) -> Result<()> {
        let renamed = before.name != sequence.name;
        let mut defaults = Vec::new();
        if renamed {
            let old = next_value_text(&before.name);
            let new = next_value_text(&sequence.name);
            for table in self.schema.tables.values() {
                for column in &table.columns {
                    let Some(text) = &column.default else {
                        continue;
                    };
                    if text.contains(&deparse::literal(&deparse::identifier(&before.name))) {
                        let default = Some(text.replace(&old, &new));
                        defaults.push((table.id, column.id, default));
                    }
                }
            }
        }
        self.change(SchemaChange::AlterSequence(sequence))?;
        for (table, column, default) in defaults {
            self.change(SchemaChange::SetDefault {
                table,
                column,
                default,
            })?;
        }
        Ok(())
    }

    pub(super) fn find_sequence(&self, path: &Path) -> Option<Arc<Sequence>> {
        let (name, qualifiers) = path.split_last()?;
        let public = qualifiers
            .last()
            .is_none_or(|schema| schema.text == "public");
        let found = self.schema.sequence_named(&name.text)?;
        Some(Arc::clone(found)).filter(|sequence| public && !sequence.hidden)
    }

    /// Sets a sequence's options and checks that they agree.
    pub(super) fn set_options(
        &mut self,
        sequence: &mut Sequence,
        options: &[SequenceOption],
        new: bool,
    ) -> Result<()> {
        let mut start = None;
        let mut restart = None;
        let (mut min, mut max) = (None, None);
        for option in options {
            match option {
                SequenceOption::Type(name) => {
                    let before = limits(&sequence.ty);
                    sequence.ty = self.type_name(name)?;
                    if !sequence.ty.is_integer() {
                        return Err(invalid(
                            "sequence type must be smallint, integer, or bigint".to_owned(),
                        ));
                    }
                    // A bound that was the old type's own moves with the type.
                    let after = limits(&sequence.ty);
                    if sequence.max == before.1 {
                        sequence.max = after.1;
                    }
                    if sequence.min == before.0 {
                        sequence.min = after.0;
                    }
                }
                SequenceOption::Start(value) => start = Some(*value),
                SequenceOption::Restart(value) => restart = Some(*value),
                SequenceOption::Increment(value) => sequence.increment = *value,
                SequenceOption::Min(value) => min = Some(*value),
                SequenceOption::Max(value) => max = Some(*value),
                SequenceOption::Name(_) => named_by_identity(sequence)?,
                SequenceOption::Cycle(cycle) => sequence.cycle = *cycle,
                SequenceOption::OwnedBy(owner) => {
                    sequence.owner = owner.as_ref().map(|path| self.owner(path)).transpose()?;
                }
            }
        }
        if sequence.increment == 0 {
            return Err(invalid("INCREMENT must not be zero".to_owned()));
        }
        let (least, most) = limits(&sequence.ty);
        let ascending = sequence.increment > 0;
        match (min, new) {
            (Some(Some(value)), _) => sequence.min = value,
            (Some(None), _) | (None, true) => sequence.min = if ascending { 1 } else { least },
            (None, false) => {}
        }
        match (max, new) {
            (Some(Some(value)), _) => sequence.max = value,
            (Some(None), _) | (None, true) => sequence.max = if ascending { most } else { -1 },
            (None, false) => {}
        }
        match start {
            Some(value) => sequence.start = value,
            None if new => {
                sequence.start = if ascending {
                    sequence.min
                } else {
                    sequence.max
                }
            }
            None => {}
        }
        check_bounds(sequence)?;
        if let Some(value) = restart {
            let value = value.unwrap_or(sequence.start);
            if !(sequence.min..=sequence.max).contains(&value) {
                return Err(outside("RESTART", value, sequence));
            }
            self.restarts.push((sequence.id, value));
        }
        Ok(())
    }

    /// OWNED BY table.column.
    fn owner(&self, path: &Path) -> Result<(TableId, ColumnId)> {
        let Some((column, table_path)) = path.split_last().filter(|(_, table)| !table.is_empty())
        else {
            return Err(
                Error::new(SqlState::SYNTAX_ERROR, "invalid OWNED BY option")
                    .hint("Specify OWNED BY table.column or OWNED BY NONE."),
            );
        };
        let Some(table) = self.table(table_path)? else {
            return Err(self.unknown_relation(table_path));
        };
        match table.column_named(&column.text) {
            Some((_, found)) => Ok((table.id, found.id)),
            None => Err(Error::new(
                SqlState::UNDEFINED_COLUMN,
                format!(
                    "column \"{}\" of relation \"{}\" does not exist",
                    column.text, table.name
                ),
            )),
        }
    }

    /// The hidden key column of a table and the sequence that numbers it.
    pub(super) fn hidden_key(
        &mut self,
        table: TableId,
        name: &str,
        column: ColumnId,
    ) -> (crate::catalog::schema::Column, Sequence) {
        let id = self.object();
        let sequence_name = self.relation_name(name, HIDDEN_KEY, "seq", &[]);
        let sequence = Sequence {
            owner: Some((table, column)),
            hidden: true,
            ..new_sequence(id, &sequence_name, Type::Int8)
        };
        let column = crate::catalog::schema::Column {
            id: column,
            name: HIDDEN_KEY.to_owned(),
            ty: Type::Int8,
            not_null: true,
            default: None,
            identity: None,
            hidden: true,
        };
        (column, sequence)
    }
}

/// SEQUENCE NAME is for the sequences that identity columns make.
fn named_by_identity(sequence: &Sequence) -> Result<()> {
    match sequence.owner {
        Some(_) => Ok(()),
        None => Err(Error::new(
            SqlState::SYNTAX_ERROR,
            "invalid sequence option SEQUENCE NAME",
        )),
    }
}

fn duplicate(name: &Name) -> Error {
    let message = format!("relation \"{}\" already exists", name.text);
    Error::new(SqlState::DUPLICATE_TABLE, message)
}

/// A sequence from 1 upwards.
pub(super) fn new_sequence(id: ObjectId, name: &str, ty: Type) -> Sequence {
    let (_, max) = limits(&ty);
    Sequence {
        id,
        name: name.to_owned(),
        ty,
        start: 1,
        increment: 1,
        min: 1,
        max,
        cycle: false,
        owner: None,
        hidden: false,
    }
}

/// The default that takes a sequence's next value.
pub(super) fn next_value_text(sequence: &str) -> String {
    let name = deparse::literal(&deparse::identifier(sequence));
    format!("nextval({name}::regclass)")
}

fn limits(ty: &Type) -> (i64, i64) {
    match ty {
        Type::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn outside(what: &str, value: i64, sequence: &Sequence) -> Error {
    if value < sequence.min {
        invalid(format!(
            "{what} value ({value}) cannot be less than MINVALUE ({})",
            sequence.min
        ))
    } else {
        invalid(format!(
            "{what} value ({value}) cannot be greater than MAXVALUE ({})",
            sequence.max
        ))
    }
}

fn check_bounds(sequence: &Sequence) -> Result<()> {
    let (least, most) = limits(&sequence.ty);
    for (what, value) in [("MAXVALUE", sequence.max), ("MINVALUE", sequence.min)] {
        if !(least..=most).contains(&value) {
            return Err(invalid(format!(
                "{what} ({value}) is out of range for sequence data type {}",
                sequence.ty
            )));
        }
    }
    if sequence.min >= sequence.max {
        return Err(invalid(format!(
            "MINVALUE ({}) must be less than MAXVALUE ({})",
            sequence.min, sequence.max
        )));
    }
    if !(sequence.min..=sequence.max).contains(&sequence.start) {
        return Err(outside("START", sequence.start, sequence));
    }
    Ok(())
}

/// Whether a table's text or column depends on a sequence.
pub(super) fn users_of<'t>(
    tables: impl Iterator<Item = &'t Arc<Table>>,
    sequence: &Sequence,
) -> Vec<(String, String)> {
    let name = deparse::literal(&deparse::identifier(&sequence.name));
    let mut users = Vec::new();
    for table in tables.filter(|table| table.namespace == Namespace::Public) {
        for column in &table.columns {
            let default = column.default.as_ref();
            if default.is_some_and(|text| text.contains(&name)) {
                users.push((table.name.clone(), column.name.clone()));
            }
        }
    }
    users
}
