//! How a system relation is described.

use super::{View, pyql};
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Table};
use crate::types::id::{ColumnId, TableId};
use crate::types::{Row, Type};

/// A relation of the system: what it is called, its columns, its rows.
pub struct Relation {
    pub oid: u32,
    pub namespace: Namespace,
    pub name: &'static str,
    pub columns: Vec<(&'static str, Type)>,
    pub rows: fn(&View) -> Vec<Row>,
}

impl Relation {
    pub fn id(&self) -> TableId {
        TableId(self.oid)
    }

    /// As the planner binds it.
    pub fn table(&self) -> Table {
        let columns = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, (name, ty))| Column {
                id: ColumnId(place as u16 + 1),
                name: (*name).to_owned(),
                ty: ty.clone(),
                not_null: false,
                default: None,
                identity: None,
                hidden: false,
            });
        Table {
            id: self.id(),
            namespace: self.namespace,
            name: self.name.to_owned(),
            columns: columns.collect(),
            next_column: self.columns.len() as u16 + 1,
            key: PrimaryKey::None,
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        }
    }
}

/// All of them.
pub fn all() -> Vec<Relation> {
    pyql::relations()
}
