//! The tables of cluster `pyql`: what the system says of itself, without secrets.
//!
//! Rows are made from the replicated state at each request. They are read
//! only, but for `access` of `clusters`: see [`share`]. Joins are not handled.

mod rows;
mod share;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value as JsonValue;

use super::Http;
use super::encode::RowEncoder;
use super::error::Failure;
use super::rows::{Wanted, missing_selection, with_io};
use crate::catalog::schema::{Column, Namespace, PrimaryKey, Schema, Table};
use crate::catalog::{Catalog, SYSTEM_CLUSTER};
use crate::error::{Error, Result};
use crate::plan::pyql::{self, Condition, Json, Scope};
use crate::types::id::{ColumnId, ObjectId, TableId};
use crate::types::{Row, Type};

pub(super) use share::write;

/// One table of cluster `pyql`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Clusters,
    Endpoints,
    Tables,
    State,
    Transactions,
    Jobs,
    Auth,
}

impl View {
    pub(super) const ALL: [View; 7] = [
        View::Clusters,
        View::Endpoints,
        View::Tables,
        View::State,
        View::Transactions,
        View::Jobs,
        View::Auth,
    ];

    pub(super) fn named(name: &str) -> Result<View, Failure> {
        let found = View::ALL.into_iter().find(|view| view.name() == name);
        found.ok_or_else(|| {
            Failure::message(
                StatusCode::NOT_FOUND,
                format!("table {name} was not found in cluster {SYSTEM_CLUSTER}"),
            )
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            View::Clusters => "clusters",
            View::Endpoints => "endpoints",
            View::Tables => "tables",
            View::State => "state",
            View::Transactions => "transactions",
            View::Jobs => "jobs",
            View::Auth => "auth",
        }
    }

    /// Names and types, the key first.
    fn columns(self) -> &'static [(&'static str, Type)] {
        use Type::{Bool, Float8, Text};
        match self {
            View::Clusters => &[
                ("id", Text),
                ("name", Text),
                ("owner", Text),
                ("access", Text),
                ("key", Text),
                ("created_by_endpoint", Text),
                ("create_date", Text),
            ],
            View::Endpoints => &[
                ("uuid", Text),
                ("db_name", Text),
                ("path", Text),
                ("token", Text),
                ("cluster", Text),
            ],
            View::Tables => &[
                ("id", Text),
                ("name", Text),
                ("database", Text),
                ("cluster", Text),
                ("config", Text),
                ("consistency", Bool),
                ("is_paused", Bool),
            ],
            View::State => &[
                ("name", Text),
                ("state", Text),
                ("in_sync", Bool),
                ("table_name", Text),
                ("cluster", Text),
                ("uuid", Text),
                ("last_mod_time", Float8),
            ],
            View::Transactions => &[
                ("uuid", Text),
                ("endpoint", Text),
                ("table_name", Text),
                ("cluster", Text),
                ("timestamp", Float8),
                ("txn", Text),
            ],
            View::Jobs => &[
                ("id", Text),
                ("name", Text),
                ("type", Text),
                ("status", Text),
                ("node", Text),
                ("action", Text),
                ("config", Text),
                ("start_time", Float8),
                ("next_run_time", Float8),
                ("last_error", Text),
            ],
            View::Auth => &[
                ("id", Text),
                ("username", Text),
                ("email", Text),
                ("type", Text),
                ("password", Text),
                ("parent", Text),
            ],
        }
    }

    /// The view as a table that PYQL can be read against.
    pub(super) fn table(self) -> Arc<Table> {
        let number = |at: usize| ColumnId(u16::try_from(at + 1).unwrap_or(u16::MAX));
        let columns: Vec<Column> = self
            .columns()
            .iter()
            .enumerate()
            .map(|(at, (name, ty))| Column {
                id: number(at),
                name: (*name).to_owned(),
                ty: ty.clone(),
                not_null: at == 0,
                default: None,
                identity: None,
                hidden: false,
            })
            .collect();
        Arc::new(Table {
            id: TableId(0),
            namespace: Namespace::Pyql,
            name: self.name().to_owned(),
            next_column: number(columns.len()).0,
            columns,
            key: PrimaryKey::Declared {
                id: ObjectId(0),
                name: format!("{}_pkey", self.name()),
                columns: vec![number(0)],
                include: Vec::new(),
            },
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
        })
    }

    /// Its rows now.
    fn rows(self, catalog: &Catalog) -> Result<Vec<Row>> {
        Ok(match self {
            View::Clusters => rows::cluster_rows(catalog),
            View::Endpoints => rows::endpoint_rows(catalog),
            View::Tables => rows::table_rows(catalog),
            View::State => rows::state_rows(catalog),
            View::Transactions if rows::everything_in_sync(catalog) => Vec::new(),
            View::Transactions => {
                return Err(Error::unsupported(
                    "listing the writes that an endpoint lacks",
                ));
            }
            View::Jobs => rows::job_rows(catalog),
            View::Auth => rows::user_rows(catalog),
        })
    }
}

pub(super) fn describe(table: &Table) -> JsonValue {
    pyql::describe(&Schema::default(), table)
}

/// Answers a read of one of the tables.
pub(super) fn read(http: &Http, table: &str, wanted: &Wanted<'_>) -> Result<Response, Failure> {
    let view = View::named(table)?;
    let text = answer(view, wanted, &http.dispatch.catalog())?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

fn answer(view: View, wanted: &Wanted<'_>, catalog: &Catalog) -> Result<String, Failure> {
    if let Wanted::Some(body) = wanted
        && body.get("select").is_none()
    {
        return Err(missing_selection(view.name()));
    }
    let (keys, columns, conditions) =
        asked(&view.table(), wanted).map_err(|error| Failure::read(&error))?;
    let rows = view.rows(catalog).map_err(|error| Failure::read(&error))?;
    let types = columns.iter().map(|at| view.columns()[*at].1.clone());
    let encoder = RowEncoder::new(keys.iter().map(String::as_str), types);
    let mut text = String::from("{\"data\":[");
    let mut first = true;
    for row in &rows {
        if conditions.iter().all(|condition| condition.holds(row)) {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            let shown: Row = columns.iter().map(|at| row[*at].clone()).collect();
            encoder.row(&shown, &mut text);
        }
    }
    text.push_str("]}\n");
    Ok(text)
}

/// Keys, places of the columns, and conditions of a read.
type Asked = (Vec<String>, Vec<usize>, Vec<Condition>);

fn asked(table: &Arc<Table>, wanted: &Wanted<'_>) -> Result<Asked> {
    let scope = Scope::of(table);
    let everything = Json::List(vec![Json::Text("*".to_owned())]);
    let (selected, conditions) = match wanted {
        Wanted::All => (&everything, Vec::new()),
        Wanted::Key(key) => {
            let key = Json::Text((*key).to_owned());
            let named = Json::Object(vec![(table.columns[0].name.clone(), key)]);
            let found = with_io(|io| pyql::conditions(&named, &scope, io))?;
            (&everything, found)
        }
        Wanted::Some(body) => {
            if body.get("join").is_some_and(|join| *join != Json::Null) {
                return Err(Error::unsupported("joining tables of cluster pyql"));
            }
            let conditions = match body.get("where") {
                Some(condition) => with_io(|io| pyql::conditions(condition, &scope, io))?,
                None => Vec::new(),
            };
            (body.get("select").unwrap_or(&everything), conditions)
        }
    };
    let columns = pyql::selection(&scope, selected)?;
    let (keys, places) = columns
        .into_iter()
        .map(|(key, _, place)| (key, place))
        .unzip();
    Ok((keys, places, conditions))
}

pub(super) fn read_only(table: &str) -> Failure {
    Failure::message(
        StatusCode::FORBIDDEN,
        format!("table {table} of cluster {SYSTEM_CLUSTER} is read only"),
    )
}

#[cfg(test)]
mod tests;
