//! ALTER TABLE: identity columns.

use std::sync::Arc;

use super::define::Definer;
use super::sequence::new_sequence;
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Column, Identity, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::{Name, SequenceOption};

impl Definer<'_> {
    pub(super) fn add_identity(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        always: bool,
        options: &[SequenceOption],
    ) -> Result<()> {
        let column = self.column(table, name)?.clone();
        let refused = |state, message: String| Err(Error::new(state, message));
        if !column.not_null {
            return refused(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "column \"{}\" of relation \"{}\" must be declared NOT NULL before identity can be added",
                    column.name, table.name
                ),
            );
        }
        if column.identity.is_some() || column.default.is_some() {
            let what = if column.identity.is_some() {
                "is already an identity column"
            } else {
                "already has a default value"
            };
            return refused(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "column \"{}\" of relation \"{}\" {what}",
                    column.name, table.name
                ),
            );
        }
        if !column.ty.is_integer() {
            return refused(
                SqlState::INVALID_PARAMETER_VALUE,
                "identity column type must be smallint, integer, or bigint".to_owned(),
            );
        }
        let id = self.object();
        let sequence_name = self.identity_name(options, &table.name, &column.name, &[])?;
        let mut sequence = new_sequence(id, &sequence_name, column.ty.clone());
        sequence.owner = Some((table.id, column.id));
        self.set_options(&mut sequence, options, true)?;
        self.change(SchemaChange::CreateSequence(sequence))?;
        self.change(SchemaChange::SetIdentity {
            table: table.id,
            column: column.id,
            identity: Some(Identity {
                always,
                sequence: id,
            }),
        })
    }

    fn identity_of(&self, table: &Table, column: &Column) -> Result<Identity> {
        column.identity.clone().ok_or_else(|| {
            Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!(
                    "column \"{}\" of relation \"{}\" is not an identity column",
                    column.name, table.name
                ),
            )
        })
    }

    pub(super) fn set_identity(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        always: Option<bool>,
        options: &[SequenceOption],
    ) -> Result<()> {
        let column = self.column(table, name)?.clone();
        let identity = self.identity_of(table, &column)?;
        if let Some(model) = self.schema.sequences.get(&identity.sequence).cloned()
            && !options.is_empty()
        {
            let mut sequence = model.as_ref().clone();
            self.set_options(&mut sequence, options, false)?;
            if sequence != *model {
                self.change(SchemaChange::AlterSequence(sequence))?;
            }
        }
        let Some(always) = always.filter(|always| *always != identity.always) else {
            return Ok(());
        };
        self.change(SchemaChange::SetIdentity {
            table: table.id,
            column: column.id,
            identity: Some(Identity { always, ..identity }),
        })
    }

    pub(super) fn drop_identity(
        &mut self,
        table: &Arc<Table>,
        name: &Name,
        if_exists: bool,
    ) -> Result<()> {
        let column = self.column(table, name)?.clone();
        let identity = match self.identity_of(table, &column) {
            Ok(identity) => identity,
            Err(error) if if_exists => {
                self.notices.push(format!("{}, skipping", error.message()));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.change(SchemaChange::SetIdentity {
            table: table.id,
            column: column.id,
            identity: None,
        })?;
        self.change(SchemaChange::DropSequence(identity.sequence))
    }
}
