//! SET CONSTRAINTS.

use super::Session;
use super::reply::{Reply, done};
use crate::catalog::schema::{PrimaryKey, Schema};
use crate::dispatch::evaluate::Evaluator;
use crate::error::{Error, Result, SqlState};
use crate::types::id::ObjectId;

impl Session {
    pub(super) async fn set_constraints(
        &mut self,
        names: Option<&[String]>,
        deferred: bool,
    ) -> Result<Reply> {
        let schema = self.schema()?;
        let keys = match names {
            None => None,
            Some(names) => Some(deferrable_keys(&schema, names, deferred)?),
        };
        if !self.in_block() {
            let message = "SET CONSTRAINTS can only be used in transaction blocks";
            self.warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message);
            return Ok(done("SET CONSTRAINTS"));
        }
        self.block.set_constraints(keys.as_deref(), deferred);
        if !deferred && self.block.open_transaction().is_some() {
            let keys = keys.as_deref();
            let check = async |evaluator: &mut Evaluator<'_>| evaluator.check_deferred(keys).await;
            self.with_evaluator(check).await?;
        }
        Ok(done("SET CONSTRAINTS"))
    }
}

/// The keys of these names, any number of each.
fn deferrable_keys(schema: &Schema, names: &[String], deferred: bool) -> Result<Vec<ObjectId>> {
    let mut found = Vec::new();
    for name in names {
        let before = found.len();
        let mut fixed = false;
        for table in schema.tables.values() {
            for key in table.foreign_keys.iter().filter(|key| key.name == *name) {
                match key.deferrable {
                    true => found.push(key.id),
                    false => fixed = true,
                }
            }
            let primary = match &table.key {
                PrimaryKey::Declared { name, .. } => Some(name),
                _ => None,
            };
            let mut unique = Vec::new();
            for index in table.indexes.iter().filter(|index| index.constraint) {
                match index.options.deferrable {
                    true if index.name == *name => found.push(index.id),
                    true => {}
                    false => unique.push(index),
                }
            }
            let unique = unique.into_iter();
            let unique = unique.map(|index| &index.name);
            let checks = table.checks.iter().map(|check| &check.name);
            let mut others = unique.chain(checks).chain(primary);
            fixed |= others.any(|other| other == name);
        }
        if fixed && deferred {
            let message = format!("constraint \"{name}\" is not deferrable");
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        if !fixed && found.len() == before {
            let message = format!("constraint \"{name}\" does not exist");
            return Err(Error::new(SqlState::UNDEFINED_OBJECT, message));
        }
    }
    Ok(found)
}
