//! Definitions: each DDL statement as steps from one schema to the next.
//!
//! The steps are tried on a working copy while they are made, so that each
//! part of a statement sees what the parts before it have done.

use std::collections::HashMap;
use std::sync::Arc;

use super::scope::{Clause, Item, Scope};
use super::{Binder, Binding};
use crate::catalog::change::SchemaChange;
use crate::catalog::schema::{Namespace, Schema, Table};
use crate::error::{Error, Result, SqlState};
use crate::plan::deparse;
use crate::plan::expression::Expression;
use crate::plan::parse;
use crate::plan::query::{OutputColumn, Query, RelationId};
use crate::plan::statement::{ColumnFill, SchemaCheck, SchemaStatement, Statement as Planned};
use crate::plan::syntax::{Expr, Name, Place, Statement, TypeName};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId, TableId};

/// Names that begin so are this system's own.
const RESERVED_PREFIX: &str = "_pyql_";

/// The relation that stored expressions over a table speak of.
pub(super) const TABLE_RELATION: RelationId = RelationId(0);

/// A definition in the making.
pub(super) struct Definer<'a> {
    pub(super) binding: Binding<'a>,
    pub(super) text: &'a str,
    /// The schema as far as the steps have brought it.
    pub(super) schema: Arc<Schema>,
    pub(super) changes: Vec<SchemaChange>,
    pub(super) checks: Vec<SchemaCheck>,
    pub(super) notices: Vec<String>,
    pub(super) fill: Option<Box<Query>>,
    pub(super) column_fills: Vec<ColumnFill>,
    pub(super) restarts: Vec<(ObjectId, i64)>,
    /// Columns that are added or converted, by what existing rows get in them.
    pub(super) replaced: HashMap<ColumnId, Expression>,
    pub(super) next_object: u32,
}

impl Binder<'_> {
    pub(super) fn define(&mut self, statement: &Statement) -> Result<(Planned, Vec<OutputColumn>)> {
        let mut definer = Definer {
            binding: self.binding,
            text: self.text,
            schema: Arc::clone(self.binding.schema),
            changes: Vec::new(),
            checks: Vec::new(),
            notices: Vec::new(),
            fill: None,
            column_fills: Vec::new(),
            restarts: Vec::new(),
            replaced: HashMap::new(),
            next_object: self.binding.schema.next_object,
        };
        let tag = match statement {
            Statement::CreateTable(create) => definer.create_table(create)?,
            Statement::CreateTableAs(create) => {
                if create
                    .query
                    .with
                    .as_ref()
                    .is_some_and(super::compound::writes)
                {
                    let what = "CREATE TABLE AS with a data-modifying statement in WITH";
                    return Err(Error::unsupported(what));
                }
                let query = self.query(&create.query, true)?;
                definer.create_table_as(create, query)?
            }
            Statement::CreateIndex(create) => definer.create_index(create)?,
            Statement::CreateSequence {
                path,
                if_not_exists,
                options,
            } => definer.create_sequence(path, *if_not_exists, options)?,
            Statement::AlterTable(alter) => definer.alter_table(alter)?,
            Statement::AlterIndexRename {
                path,
                name,
                if_exists,
            } => definer.rename_index(path, name, *if_exists)?,
            Statement::AlterSequence {
                path,
                if_exists,
                options,
                rename,
            } => definer.alter_sequence(path, *if_exists, options, rename.as_ref())?,
            Statement::Drop(drop) => definer.drop_relations(drop)?,
            Statement::Comment(comment) => definer.comment(comment)?,
            _ => return Err(Error::unsupported("this statement")),
        };
        for table in definer.touched() {
            if self.binding.schema.tables.contains_key(&table) && !self.tables.contains(&table) {
                self.tables.push(table);
            }
        }
        Ok((definer.finish(tag), Vec::new()))
    }
}

impl<'a> Definer<'a> {
    fn finish(self, tag: &'static str) -> Planned {
        let idle = self.changes.is_empty() && self.restarts.is_empty();
        if idle && self.notices.len() <= 1 {
            let notice = self.notices.into_iter().next();
            return Planned::Nothing { tag, notice };
        }
        Planned::Schema(SchemaStatement {
            changes: self.changes,
            checks: self.checks,
            tag,
            notices: self.notices,
            fill: self.fill,
            column_fills: self.column_fills,
            restarts: self.restarts,
        })
    }

    /// The tables that the steps change.
    fn touched(&self) -> Vec<TableId> {
        let tables = self.changes.iter().filter_map(SchemaChange::table);
        tables.collect()
    }

    /// Takes one step, on the working copy too.
    pub(super) fn change(&mut self, change: SchemaChange) -> Result<()> {
        let mut next = self.schema.apply(std::slice::from_ref(&change))?;
        next.version = self.schema.version;
        self.schema = Arc::new(next);
        self.next_object = self.next_object.max(self.schema.next_object);
        self.changes.push(change);
        Ok(())
    }

    pub(super) fn object(&mut self) -> ObjectId {
        let id = ObjectId(self.next_object);
        self.next_object += 1;
        id
    }

    pub(super) fn error(&self, state: SqlState, place: Place, message: impl Into<String>) -> Error {
        Error::new(state, message).at(Some(parse::position(self.text, place)))
    }

    /// A binder over the working copy, for an expression of the statement.
    pub(super) fn binder<T>(
        &self,
        table: Option<&Arc<Table>>,
        clause: Clause,
        bind: impl FnOnce(&mut Binder<'_>) -> Result<T>,
    ) -> Result<T> {
        let binding = Binding {
            schema: &self.schema,
            ..self.binding
        };
        let mut binder = Binder::new(&binding, self.text, &[]);
        let relation = binder.relation();
        binder.scopes.push(Scope {
            items: table
                .map(|table| Item::table(table, relation, None))
                .into_iter()
                .collect(),
            relations: vec![relation],
            clause,
            ..Scope::default()
        });
        let bound = bind(&mut binder)?;
        match binder.parameters.is_empty() {
            true => Ok(bound),
            false => Err(Error::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter ${}", binder.parameters.len()),
            )),
        }
    }

    /// A condition over a table's columns.
    pub(super) fn condition(
        &self,
        expr: &Expr,
        table: &Arc<Table>,
        clause: Clause,
        what: &str,
    ) -> Result<Expression> {
        self.binder(Some(table), clause, |binder| binder.condition(expr, what))
    }

    pub(super) fn deparse(&self, expression: &Expression, table: Option<&Table>) -> String {
        let table = table.map(|table| (table, TABLE_RELATION));
        deparse::expression(expression, &self.schema, table)
    }

    /// A stored text over a table's columns.
    pub(super) fn stored(&self, text: &str, table: &Arc<Table>) -> Result<Expression> {
        let binding = Binding {
            schema: &self.schema,
            ..self.binding
        };
        Binder::new(&binding, text, &[]).table_text(text, table, TABLE_RELATION)
    }

    pub(super) fn type_name(&self, name: &TypeName) -> Result<Type> {
        let ty = self.binder(None, Clause::Default, |binder| binder.type_name(name))?;
        if ty.is_storable() {
            return Ok(ty);
        }
        match ty {
            Type::Unknown | Type::Record | Type::Row(_) | Type::Void => Err(Error::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column has pseudo-type {ty}"),
            )),
            ty => Err(Error::unsupported(format!("a column of type {ty}"))
                .at(Some(parse::position(self.text, name.place)))),
        }
    }

    /// The name of something to be made: in `public`, not one of the system's.
    pub(super) fn new_name<'n>(&self, path: &'n [Name]) -> Result<&'n Name> {
        let Some((name, qualifiers)) = path.split_last() else {
            return Err(Error::internal("a definition without a name"));
        };
        let namespace = match qualifiers {
            [] => Some(Namespace::Public),
            qualifiers => self.binder(None, Clause::Default, |b| b.namespace(qualifiers))?,
        };
        match namespace {
            Some(Namespace::Public) => {}
            Some(_) => {
                return Err(Error::new(
                    SqlState::INSUFFICIENT_PRIVILEGE,
                    format!("permission denied for schema {}", qualifiers[0].text),
                ));
            }
            None => {
                let schema = &qualifiers[qualifiers.len() - 1];
                return Err(self.error(
                    SqlState::INVALID_SCHEMA_NAME,
                    schema.place,
                    format!("schema \"{}\" does not exist", schema.text),
                ));
            }
        }
        self.not_reserved(name)?;
        Ok(name)
    }

    pub(super) fn not_reserved(&self, name: &Name) -> Result<()> {
        if name.text.starts_with(RESERVED_PREFIX) {
            return Err(self
                .error(
                    SqlState::RESERVED_NAME,
                    name.place,
                    format!("unacceptable name \"{}\"", name.text),
                )
                .detail(format!("The prefix \"{RESERVED_PREFIX}\" is reserved.")));
        }
        Ok(())
    }

    /// The user table that a path names.
    pub(super) fn table(&self, path: &[Name]) -> Result<Option<Arc<Table>>> {
        let path = path.to_vec();
        let binding = Binding {
            schema: &self.schema,
            ..self.binding
        };
        let binder = Binder::new(&binding, self.text, &[]);
        match binder.find_table(&path)? {
            Some(table) if table.namespace != Namespace::Public => Err(Error::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{}\" is a system catalog", table.name),
            )),
            found => Ok(found.cloned()),
        }
    }

    pub(super) fn unknown_relation(&self, path: &[Name]) -> Error {
        Error::new(
            SqlState::UNDEFINED_TABLE,
            format!(
                "relation \"{}\" does not exist",
                super::dotted(&path.to_vec())
            ),
        )
    }

    /// The working copy's state of a table.
    pub(super) fn current(&self, id: TableId) -> Result<Arc<Table>> {
        let table = self.schema.table(id).cloned();
        table.ok_or_else(|| Error::internal("a table is gone from its own definition"))
    }
}
