//! The tables a select reads, how they join, and under which keys columns go back.

use std::sync::Arc;

use super::json::Json;
use super::{quote, relation, table, unknown_column};
use crate::catalog::schema::{Column, Schema, Table};
use crate::error::{Error, Result, SqlState};

/// How many tables one select may join.
const MAX_TABLES: usize = 64;

/// The URL's table and those joined to it.
pub struct Scope {
    tables: Vec<Joined>,
}

struct Joined {
    table: Arc<Table>,
    /// Equalities of (table, column) pairs; empty for the URL's table.
    on: Vec<[(usize, usize); 2]>,
    /// Columns that `*` leaves out: the left side of a pair shows their value.
    dropped: Vec<usize>,
}

impl Scope {
    /// One table.
    pub fn of(table: &Arc<Table>) -> Scope {
        Scope {
            tables: vec![Joined {
                table: table.clone(),
                on: Vec::new(),
                dropped: Vec::new(),
            }],
        }
    }

    /// A table and what a `join` member adds: a table's name, by foreign key,
    /// or `{"table": {"a.x": "b.y", …}, …}`.
    pub(super) fn new(schema: &Schema, base: &Arc<Table>, join: Option<&Json>) -> Result<Scope> {
        let mut scope = Scope::of(base);
        match join {
            None | Some(Json::Null) => {}
            Some(Json::Text(name)) => scope.join_by_foreign_key(schema, name)?,
            Some(Json::Object(joins)) => scope.join_by_columns(schema, joins)?,
            Some(_) => return Err(wrong_shape()),
        }
        Ok(scope)
    }

    fn join_by_foreign_key(&mut self, schema: &Schema, name: &str) -> Result<()> {
        let joined = self.add(schema, name)?;
        let (base, parent) = (&self.tables[0].table, &self.tables[joined].table);
        let key = base
            .foreign_keys
            .iter()
            .find(|key| key.parent == parent.id)
            .ok_or_else(|| {
                Error::new(
                    SqlState::INVALID_FOREIGN_KEY,
                    format!("table {} has no foreign key to table {name}", base.name),
                )
            })?;
        let mut on = Vec::new();
        let mut dropped = Vec::new();
        for (local, other) in key.columns.iter().zip(&key.parent_columns) {
            if let (Some(local), Some(other)) = (base.position(*local), parent.position(*other)) {
                on.push([(0, local), (joined, other)]);
                dropped.push(other);
            }
        }
        self.tables[joined].on = on;
        self.tables[joined].dropped = dropped;
        Ok(())
    }

    /// Clients whose maps have no order may name a table before the one it
    /// joins to: a pair is a condition of the later of its tables.
    fn join_by_columns(&mut self, schema: &Schema, joins: &[(String, Json)]) -> Result<()> {
        let mut places = Vec::with_capacity(joins.len());
        for (name, _) in joins {
            places.push(self.add(schema, name)?);
        }
        for (joined, (_, pairs)) in places.into_iter().zip(joins) {
            let pairs = match pairs {
                Json::Object(pairs) if !pairs.is_empty() => pairs,
                _ => return Err(wrong_shape()),
            };
            for (left, right) in pairs {
                let right = right.as_text().ok_or_else(wrong_shape)?;
                let (left, right) = (self.prefixed(left)?, self.prefixed(right)?);
                self.tables[left.0.max(right.0)].on.push([left, right]);
                if right.0 == joined {
                    self.tables[joined].dropped.push(right.1);
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, schema: &Schema, name: &str) -> Result<usize> {
        let table = table(schema, name)?.clone();
        if self.tables.iter().any(|joined| joined.table.id == table.id) {
            return Err(Error::new(
                SqlState::DUPLICATE_ALIAS,
                format!("table {name} is joined more than once"),
            ));
        }
        if self.tables.len() == MAX_TABLES {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("more than {MAX_TABLES} tables in a join"),
            ));
        }
        self.tables.push(Joined {
            table,
            on: Vec::new(),
            dropped: Vec::new(),
        });
        Ok(self.tables.len() - 1)
    }

    pub(super) fn base(&self) -> &Arc<Table> {
        &self.tables[0].table
    }

    pub(super) fn column(&self, table: usize, column: usize) -> &Column {
        &self.tables[table].table.columns[column]
    }

    /// Finds `column` of the URL's table or `table.column` of any.
    pub(super) fn resolve(&self, name: &str) -> Result<(usize, usize)> {
        let mut with_it = self
            .tables
            .iter()
            .enumerate()
            .filter_map(|(number, joined)| Some((number, joined.table.column_named(name)?.0)));
        match (with_it.next(), with_it.next()) {
            (Some(found @ (0, _)), None) => Ok(found),
            (Some((0, _)), Some(_)) => Err(Error::new(
                SqlState::AMBIGUOUS_COLUMN,
                format!("column reference '{name}' is ambiguous"),
            )
            .column(name)),
            _ => self.prefixed(name),
        }
    }

    /// Finds `table.column`.
    fn prefixed(&self, name: &str) -> Result<(usize, usize)> {
        for (number, joined) in self.tables.iter().enumerate() {
            let rest = name.strip_prefix(joined.table.name.as_str());
            if let Some(column) = rest.and_then(|rest| rest.strip_prefix('.')) {
                return match joined.table.column_named(column) {
                    Some((position, _)) => Ok((number, position)),
                    None => Err(unknown_column(&joined.table, column)),
                };
            }
        }
        Err(unknown_column(self.base(), name))
    }

    /// What `*` means: keys, tables and columns.
    pub(super) fn all_columns(&self) -> Vec<(String, usize, usize)> {
        let mut columns = Vec::new();
        for (number, joined) in self.tables.iter().enumerate() {
            for (position, column) in joined.table.visible() {
                if joined.dropped.contains(&position) {
                    continue;
                }
                let key = if self.tables.len() == 1 {
                    column.name.clone()
                } else {
                    format!("{}.{}", joined.table.name, column.name)
                };
                columns.push((key, number, position));
            }
        }
        columns
    }

    /// A column as a statement names it.
    pub(super) fn name(&self, table: usize, column: usize) -> String {
        let definition = self.column(table, column);
        let table = &self.tables[table].table;
        format!("{}.{}", quote(&table.name), quote(&definition.name))
    }

    pub(super) fn render_from(&self, sql: &mut String) {
        sql.push_str(&relation(self.base()));
        for joined in &self.tables[1..] {
            if joined.on.is_empty() {
                sql.push_str(&format!(" CROSS JOIN {}", relation(&joined.table)));
                continue;
            }
            sql.push_str(&format!(" JOIN {} ON ", relation(&joined.table)));
            for (number, [left, right]) in joined.on.iter().enumerate() {
                sql.push_str(if number == 0 { "" } else { " AND " });
                let (left, right) = (self.name(left.0, left.1), self.name(right.0, right.1));
                sql.push_str(&format!("{left} = {right}"));
            }
        }
    }

    /// The declared key columns of all tables, in order.
    pub(super) fn key_order(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (number, joined) in self.tables.iter().enumerate() {
            for position in joined.table.key_positions() {
                if !joined.table.columns[position].hidden {
                    names.push(self.name(number, position));
                }
            }
        }
        names
    }
}

fn wrong_shape() -> Error {
    Error::new(
        SqlState::SYNTAX_ERROR,
        "join must be a table or {\"table\": {\"a.column\": \"b.column\"}}",
    )
}
