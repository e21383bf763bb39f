//! What the catalogs list: relations with their kinds, indexes and keys as one sees them.

use crate::catalog::schema::{
    Column, ForeignKey, IndexColumn, IndexKey, Namespace, PrimaryKey, Schema, Sequence, Table,
};
use crate::plan::function::names;
pub(crate) use crate::plan::function::names::{DATABASE_OWNER_ROLE, SYSTEM_ROLE};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId};

use super::{View, relation};

/// A table or system relation.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) table: &'a Table,
    /// `r` or `v`.
    pub(crate) kind: char,
    pub(crate) owner: u32,
}

impl Shown<'_> {
    pub(crate) fn oid(&self) -> u32 {
        self.table.id.0
    }

    pub(crate) fn namespace(&self) -> u32 {
        names::namespace_oid(self.table.namespace)
    }

    pub(crate) fn is_system(&self) -> bool {
        self.table.namespace != Namespace::Public
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = &Column> {
        self.table.columns.iter().filter(|column| !column.hidden)
    }
}

/// The tables of the data cluster, then the system's relations.
pub(crate) fn relations(view: &View) -> impl Iterator<Item = Shown<'_>> {
    let system = relation::all().iter().map(|relation| Shown {
        table: &relation.table,
        kind: relation.kind,
        owner: SYSTEM_ROLE,
    });
    tables(view).chain(system)
}

/// The tables of the data cluster.
pub(crate) fn tables(view: &View) -> impl Iterator<Item = Shown<'_>> {
    let owner = view.owner();
    let tables = view.schema.tables.values();
    tables.map(move |table| Shown {
        table,
        kind: 'r',
        owner,
    })
}

/// The sequences that a client may see.
pub(crate) fn sequences(schema: &Schema) -> impl Iterator<Item = &Sequence> {
    let sequences = schema.sequences.values();
    sequences
        .map(|sequence| &**sequence)
        .filter(|sequence| !sequence.hidden)
}

/// An index, the primary key's included.
pub(crate) struct ShownIndex<'a> {
    pub(crate) id: ObjectId,
    pub(crate) name: &'a str,
    pub(crate) primary: bool,
    pub(crate) unique: bool,
    /// Belongs to a constraint.
    pub(crate) constraint: bool,
    pub(crate) nulls_not_distinct: bool,
    pub(crate) columns: Vec<IndexColumn>,
    pub(crate) include: &'a [ColumnId],
    pub(crate) deferrable: bool,
    pub(crate) initially_deferred: bool,
    pub(crate) predicate: Option<&'a str>,
}

/// The indexes of a table, the primary key's first.
pub(crate) fn indexes(table: &Table) -> Vec<ShownIndex<'_>> {
    let mut shown = Vec::new();
    if let PrimaryKey::Declared {
        id,
        name,
        columns,
        include,
    } = &table.key
    {
        let plain = |id: &ColumnId| IndexColumn {
            key: IndexKey::Column(*id),
            descending: false,
            nulls_first: false,
        };
        shown.push(ShownIndex {
            id: *id,
            name,
            primary: true,
            unique: true,
            constraint: true,
            nulls_not_distinct: false,
            columns: columns.iter().map(plain).collect(),
            include,
            deferrable: false,
            initially_deferred: false,
            predicate: None,
        });
    }
    shown.extend(table.indexes.iter().map(|index| ShownIndex {
        id: index.id,
        name: &index.name,
        primary: index.options.primary,
        unique: index.unique,
        constraint: index.constraint,
        nulls_not_distinct: index.nulls_not_distinct,
        columns: index.columns.clone(),
        include: &index.options.include,
        deferrable: index.options.deferrable,
        initially_deferred: index.options.initially_deferred,
        predicate: index.predicate.as_deref(),
    }));
    shown
}

impl ShownIndex<'_> {
    /// The columns by number; 0 stands for an expression.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> {
        self.columns.iter().map(|column| match &column.key {
            IndexKey::Column(id) => id.0.into(),
            IndexKey::Expression(..) => 0,
        })
    }

    /// The same with the columns of INCLUDE behind them.
    pub(crate) fn all_numbers(&self) -> impl Iterator<Item = i64> {
        let included = self.include.iter().map(|id| i64::from(id.0));
        self.numbers().chain(included)
    }

    /// The columns by id; `None` when there is an expression.
    fn ids(&self) -> Option<Vec<ColumnId>> {
        let ids = self.columns.iter().map(|column| match &column.key {
            IndexKey::Column(id) => Some(*id),
            IndexKey::Expression(..) => None,
        });
        ids.collect()
    }

    /// Name and type of each column, as `pg_attribute` has them.
    pub(crate) fn attributes(&self, table: &Table) -> Vec<(String, Type)> {
        let stored = |id: &ColumnId| match table.column(*id) {
            Some(column) => (column.name.clone(), column.ty.clone()),
            None => ("?".to_owned(), Type::Unknown),
        };
        let attributes = self.columns.iter().map(|column| match &column.key {
            IndexKey::Column(id) => stored(id),
            IndexKey::Expression(text, ty) => (expression_name(text), ty.clone()),
        });
        let attributes = attributes.chain(self.include.iter().map(stored));
        let mut named: Vec<(String, Type)> = Vec::new();
        for (name, ty) in attributes {
            let taken = |name: &str| named.iter().any(|(other, _)| other == name);
            let numbered = (1..).map(|number| format!("{name}{number}"));
            let mut names = std::iter::once(name.clone()).chain(numbered);
            let free = names.find(|name| !taken(name)).unwrap_or(name);
            named.push((free, ty));
        }
        named
    }
}

/// A call is named by its function, anything else `expr`.
fn expression_name(text: &str) -> String {
    let name = text.split('(').next().unwrap_or_default().trim();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match !name.is_empty() && text.ends_with(')') && name.chars().all(word) {
        true => name.to_owned(),
        false => "expr".to_owned(),
    }
}

/// The unique index that a foreign key refers to.
pub(crate) fn referenced_index<'a>(schema: &'a Schema, key: &ForeignKey) -> Option<ShownIndex<'a>> {
    let parent = schema.table(key.parent)?;
    let mut wanted = key.parent_columns.clone();
    wanted.sort_unstable();
    indexes(parent).into_iter().find(|index| {
        let ids = index.ids().map(|mut ids| {
            ids.sort_unstable();
            ids
        });
        index.unique && index.predicate.is_none() && ids.as_ref() == Some(&wanted)
    })
}
