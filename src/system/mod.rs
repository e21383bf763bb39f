//! pg_catalog, information_schema and pyql as relations in an in-memory SQLite.
//!
//! Each relation is a list of columns and a function that gives its rows from
//! a [`View`]: the schema and the catalog as the asking user may see them. A
//! query goes through the same planner and dialect as one over a replica; the
//! relations it names are filled for it, nothing else. Never a canned answer.

mod pyql;
mod relation;

use std::sync::Arc;

use crate::catalog::schema::{Namespace, Schema};
use crate::catalog::{Catalog, Cluster, User};
use crate::engine::sqlite::dialect::{self, Overlaid};
use crate::engine::sqlite::execution::Execution;
use crate::engine::sqlite::query::{self, Failure};
use crate::engine::sqlite::values;
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::types::id::{Index, ReplicaId};
use crate::types::{Row, Value};
use relation::Relation;

/// What the system's relations are made of for one query.
pub struct View {
    pub catalog: Arc<Catalog>,
    /// The data cluster of the session, and its schema as the session sees it.
    pub cluster: Arc<Cluster>,
    pub schema: Arc<Schema>,
    pub system: Arc<Schema>,
    pub user: Arc<User>,
    pub replicas: Vec<ReplicaView>,
    pub sessions: Vec<SessionView>,
    /// Name, value, description.
    pub settings: Vec<(String, String, String)>,
    /// Open transactions: id, isolation, rows written.
    pub claims: usize,
    pub applied: Index,
}

/// One replica as `pyql.replicas` shows it.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    pub id: ReplicaId,
    pub endpoint: uuid::Uuid,
    pub engine: &'static str,
    pub state: &'static str,
    pub applied: u64,
    pub durable: u64,
    pub behind: u64,
    pub in_flight: u64,
    pub phase: Option<&'static str>,
    pub reason: Option<String>,
}

/// One client as `pg_stat_activity` shows it.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub id: u64,
    pub user: String,
    pub database: String,
    pub application: String,
    pub state: &'static str,
}

/// The system's relations.
pub struct System {
    schema: Arc<Schema>,
    relations: Vec<Relation>,
}

impl Default for System {
    fn default() -> System {
        System::new()
    }
}

impl System {
    pub fn new() -> System {
        let relations = relation::all();
        let mut schema = Schema::default();
        for relation in &relations {
            let table = relation.table();
            schema.tables.insert(table.id, Arc::new(table));
        }
        System {
            schema: Arc::new(schema),
            relations,
        }
    }

    /// The relations as the planner binds them.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Runs a query over the relations it names.
    pub fn read(
        &self,
        view: &View,
        query: &Query,
        parameters: &Arc<[Value]>,
        context: &Arc<Context>,
    ) -> Result<Vec<Row>> {
        let connection = rusqlite::Connection::open_in_memory().map_err(failed)?;
        query::prepare_connection(&connection).map_err(failed)?;
        for id in dialect::tables(query) {
            if let Some(relation) = self.relations.iter().find(|relation| relation.id() == id) {
                fill(&connection, relation, (relation.rows)(view)).map_err(failed)?;
            }
        }
        let rendered = Arc::new(dialect::render(query, &Overlaid::new())?);
        let execution = Arc::new(Execution {
            rendered,
            parameters: parameters.clone(),
            context: context.clone(),
            overlay: None,
        });
        query::collect(&connection, &execution).map_err(|failure| match failure {
            Failure::Statement(error) => error,
            Failure::Interrupted => {
                Error::new(SqlState::QUERY_CANCELED, "the query was interrupted")
            }
            Failure::Database(message) => Error::internal(message),
        })
    }
}

fn failed(error: rusqlite::Error) -> Error {
    Error::internal(format!("system relations: {error}"))
}

fn fill(
    connection: &rusqlite::Connection,
    relation: &Relation,
    rows: Vec<Row>,
) -> rusqlite::Result<()> {
    let table = relation.table();
    let name = dialect::stored_name(&table);
    let columns = table.columns.iter().map(|column| {
        let collation = values::collation(&column.ty).map(|name| format!(" COLLATE {name}"));
        format!(
            "{}{}",
            dialect::quoted(&column.name),
            collation.unwrap_or_default()
        )
    });
    let columns: Vec<String> = columns.collect();
    connection.execute_batch(&format!("CREATE TABLE {name} ({})", columns.join(", ")))?;
    let places = vec!["?"; table.columns.len()].join(", ");
    let mut insert = connection.prepare(&format!("INSERT INTO {name} VALUES ({places})"))?;
    for row in rows {
        insert.execute(rusqlite::params_from_iter(row.iter().map(values::encode)))?;
    }
    Ok(())
}

/// Names are looked up in the catalogs first, then in `public`.
pub fn is_visible(namespace: Namespace) -> bool {
    matches!(namespace, Namespace::PgCatalog | Namespace::Public)
}
