//! How one table lies in a scratch file: a table of the latest versions and
//! one of those that came before, and the statements over them.

use std::sync::Arc;

use rusqlite::types::{ToSql, ToSqlOutput, Value as SqlValue};
use rusqlite::{Connection, Statement, params_from_iter};

use super::super::schema::storage_type;
use super::super::{quote, stored_row, values};
use super::{Version, broken};
use crate::catalog::schema::Table;
use crate::error::Result;
use crate::types::{Row, Value};

/// How a table lies in the file.
pub struct Layout {
    pub(super) number: i64,
    pub(super) table: Arc<Table>,
    pub(super) key: Vec<usize>,
    pub(super) insert: String,
    pub(super) replace: String,
    pub(super) supersede: String,
    pub(super) get: String,
    pub(super) holds: String,
}

impl Layout {
    pub(super) fn new(table: &Arc<Table>, number: i64) -> Layout {
        let mut layout = Layout {
            number,
            table: table.clone(),
            key: table.key_positions(),
            insert: String::new(),
            replace: String::new(),
            supersede: String::new(),
            get: String::new(),
            holds: String::new(),
        };
        let (columns, latest, older) = (layout.columns(), layout.latest(), layout.older());
        let width = table.columns.len();
        let places: Vec<String> = (1..=width + 2).map(|place| format!("?{place}")).collect();
        let places = places.join(", ");
        let all = format!("{columns}, _pyql_live, _pyql_number");
        layout.insert = format!("INSERT OR IGNORE INTO {latest} ({all}) VALUES ({places})");
        layout.replace = format!("INSERT OR REPLACE INTO {latest} ({all}) VALUES ({places})");
        let has_key = layout.has_key();
        let next = layout.key.len() + 1;
        layout.supersede = format!(
            "INSERT INTO {older} ({all}, _pyql_over) SELECT {all}, ?{next} FROM {latest} WHERE {has_key}"
        );
        layout.get = format!("SELECT {all} FROM {latest} WHERE {has_key}");
        layout.holds = format!(
            "SELECT 1 FROM {latest} WHERE {has_key} AND _pyql_number <= ?{next} UNION ALL \
             SELECT 1 FROM {older} WHERE {has_key} AND _pyql_number <= ?{next} AND _pyql_over > ?{next}"
        );
        layout
    }

    pub(super) fn latest(&self) -> String {
        format!("latest_{}", self.number)
    }

    pub(super) fn older(&self) -> String {
        format!("older_{}", self.number)
    }

    pub(super) fn columns(&self) -> String {
        self.names(0..self.table.columns.len())
    }

    pub(super) fn names(&self, places: impl IntoIterator<Item = usize>) -> String {
        let names = places.into_iter().map(|place| self.name(place));
        names.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn name(&self, place: usize) -> String {
        quote(&self.table.columns[place].name)
    }

    pub(super) fn has_key(&self) -> String {
        let parts = self.key.iter().zip(1..);
        let parts = parts.map(|(place, number)| format!("{} = ?{number}", self.name(*place)));
        parts.collect::<Vec<_>>().join(" AND ")
    }

    pub(super) fn create(&self, searched: &[Vec<usize>]) -> String {
        let columns: Vec<String> = (0..self.table.columns.len())
            .map(|place| {
                let ty = storage_type(&self.table.columns[place].ty);
                format!("{} {ty}", self.name(place))
            })
            .collect();
        let (columns, key) = (columns.join(", "), self.names(self.key.iter().copied()));
        let (latest, older) = (self.latest(), self.older());
        let both = format!("{columns}, _pyql_live INTEGER, _pyql_number INTEGER");
        let mut sql = format!(
            "CREATE TABLE {latest} ({both}, PRIMARY KEY ({key})) WITHOUT ROWID;
             CREATE TABLE {older} ({both}, _pyql_over INTEGER,
                 PRIMARY KEY ({key}, _pyql_over)) WITHOUT ROWID;"
        );
        for (number, places) in searched.iter().enumerate() {
            let names = self.names(places.iter().copied());
            sql.push_str(&format!(
                "CREATE INDEX {latest}_{number} ON {latest} ({names});"
            ));
        }
        sql
    }

    pub(super) fn bind(&self, statement: &mut Statement<'_>, row: &Row, number: u64) -> Result<()> {
        let bound = row.iter().map(values::encode).chain(marks(true, number));
        bind(statement, bound)
    }

    pub(super) fn bind_deleted(
        &self,
        statement: &mut Statement<'_>,
        key: &[Value],
        number: u64,
    ) -> Result<()> {
        let mut row = vec![Value::Null; self.table.columns.len()];
        for (place, value) in self.key.iter().zip(key) {
            row[*place] = value.clone();
        }
        let bound = row.iter().map(values::encode).chain(marks(false, number));
        bind(statement, bound)
    }

    pub(super) fn key_of(&self, stored: &rusqlite::Row<'_>) -> Result<Vec<Value>> {
        let part = |place: &usize| {
            let value = stored.get_ref(*place).map_err(broken)?;
            values::decode(value, &self.table.columns[*place].ty)
        };
        self.key.iter().map(part).collect()
    }

    pub(super) fn version(&self, stored: &rusqlite::Row<'_>) -> Result<Version> {
        let width = self.table.columns.len();
        let live: bool = stored.get(width).map_err(broken)?;
        let number: i64 = stored.get(width + 1).map_err(broken)?;
        Ok(Version {
            row: match live {
                true => Some(stored_row(stored, &self.table)?),
                false => None,
            },
            number: number as u64,
        })
    }

    /// Live rows after the change `number`, in the order of their keys.
    pub(super) fn select(
        &self,
        connection: &Connection,
        equal: &[(usize, Value)],
        after: Option<&Row>,
        number: u64,
        limit: Option<usize>,
    ) -> Result<Vec<Row>> {
        let columns = self.columns();
        let key = self.names(self.key.iter().copied());
        let mut bound: Vec<ToSqlOutput<'_>> = Vec::new();
        let mut conditions = String::from("_pyql_live");
        for (place, value) in equal {
            bound.push(values::encode(value));
            conditions.push_str(&format!(" AND {} = ?{}", self.name(*place), bound.len()));
        }
        if let Some(after) = after {
            let first = bound.len() + 1;
            bound.extend(self.key.iter().map(|place| values::encode(&after[*place])));
            let places: Vec<String> = (first..=bound.len()).map(|n| format!("?{n}")).collect();
            conditions.push_str(&format!(" AND ({key}) > ({})", places.join(", ")));
        }
        let (latest, older) = (self.latest(), self.older());
        let mut sql = format!("SELECT {columns} FROM {latest} WHERE {conditions}");
        if number != u64::MAX {
            bound.push(ToSqlOutput::Owned(SqlValue::Integer(number as i64)));
            let n = bound.len();
            sql.push_str(&format!(
                " AND _pyql_number <= ?{n} UNION ALL SELECT {columns} FROM {older} \
                 WHERE {conditions} AND _pyql_number <= ?{n} AND _pyql_over > ?{n}"
            ));
        }
        if let Some(limit) = limit {
            let order: Vec<String> = self
                .key
                .iter()
                .map(|place| (place + 1).to_string())
                .collect();
            sql.push_str(&format!(" ORDER BY {} LIMIT {limit}", order.join(", ")));
        }
        let mut statement = connection.prepare_cached(&sql).map_err(broken)?;
        let mut stored = statement.query(params_from_iter(bound)).map_err(broken)?;
        let mut rows = Vec::new();
        while let Some(row) = stored.next().map_err(broken)? {
            rows.push(stored_row(row, &self.table)?);
        }
        Ok(rows)
    }
}

fn marks(live: bool, number: u64) -> [ToSqlOutput<'static>; 2] {
    [i64::from(live), number as i64].map(|mark| ToSqlOutput::Owned(SqlValue::Integer(mark)))
}

pub(super) fn bind<'a>(
    statement: &mut Statement<'_>,
    bound: impl Iterator<Item = ToSqlOutput<'a>>,
) -> Result<()> {
    for (value, place) in bound.zip(1..) {
        statement
            .raw_bind_parameter(place, &value as &dyn ToSql)
            .map_err(broken)?;
    }
    Ok(())
}
