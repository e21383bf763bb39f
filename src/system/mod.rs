//! pg_catalog, information_schema and pyql as relations in an in-memory SQLite.
//!
//! Each relation is a list of columns and a function that gives its rows from
//! a [`View`]: the schema and the catalog as the asking user may see them. A
//! query goes through the same planner and dialect as one over a replica; the
//! relations it names are filled for it, nothing else. Never a canned answer.

mod filled;
mod information_schema;
mod inline;
mod object;
mod pg_catalog;
mod pg_type;
mod pyql;
mod relation;
mod value;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalog::schema::{Schema, Table};
use crate::catalog::{Catalog, Cluster, User};
use crate::engine::sqlite::dialect::{self, Overlaid};
use crate::engine::sqlite::execution::Execution;
use crate::engine::sqlite::query::{self, Failure};
use crate::engine::sqlite::values;
use crate::error::{Error, Result, SqlState};
use crate::plan::bind::{self, Binding};
use crate::plan::context::Context;
use crate::plan::function::names;
use crate::plan::query::Query;
use crate::plan::visit;
use crate::types::difference::Difference;
use crate::types::id::{ColumnId, Index, ReplicaId};
use crate::types::{Row, Value};
use filled::{Filled, Kept};
use relation::Relation;

/// What the system's relations are made of for one query.
pub struct View {
    pub catalog: Arc<Catalog>,
    /// The data cluster of the session, and its schema as the session sees it.
    pub cluster: Arc<Cluster>,
    pub schema: Arc<Schema>,
    pub system: Arc<Schema>,
    pub user: Arc<User>,
    pub context: Arc<Context>,
    pub replicas: Vec<ReplicaView>,
    /// Rows kept of replicas that lost votes.
    pub differences: Vec<(ReplicaId, Difference)>,
    pub sessions: Vec<SessionView>,
    /// Name, value, description.
    pub settings: Vec<(String, String, String)>,
    /// Open transactions: id, isolation, rows written.
    pub claims: usize,
    pub applied: Index,
}

impl View {
    /// The data clusters that the user owns or shares, and the session's own;
    /// for an admin all of them.
    fn clusters(&self) -> impl Iterator<Item = &Cluster> {
        let user = &self.user;
        let clusters = self.catalog.clusters.values().map(|cluster| &**cluster);
        let seen = clusters.filter(|cluster| cluster.is_visible_to(user));
        // The one of the system itself is not among them.
        let own = (!self.catalog.clusters.contains_key(&self.cluster.id)).then_some(&*self.cluster);
        own.into_iter().chain(seen)
    }

    /// The role that owns what is in the session's data cluster.
    fn owner(&self) -> u32 {
        self.cluster.owner.oid()
    }

    fn role_name(&self, oid: u32) -> String {
        let name = names::role_name(oid, &self.catalog.users);
        name.map_or_else(|| format!("unknown (OID={oid})"), str::to_owned)
    }

    /// The columns that an expression over a table names, in the table's order.
    fn mentioned(&self, table: &Table, expression: &str) -> Vec<ColumnId> {
        let context = &self.context;
        let binding = Binding {
            schema: &self.schema,
            system: &self.system,
            context,
        };
        let table = Arc::new(table.clone());
        let Ok((expression, _)) = bind::table_expression(expression, &table, &binding) else {
            return Vec::new();
        };
        let mut places = BTreeSet::new();
        visit::columns(&expression, &mut |_, place| {
            places.insert(place);
        });
        places
            .iter()
            .filter_map(|place| table.columns.get(*place))
            .map(|c| c.id)
            .collect()
    }
}

/// One replica as `pyql.replicas` shows it.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    pub id: ReplicaId,
    /// The name of its data cluster.
    pub cluster: String,
    pub endpoint: uuid::Uuid,
    pub engine: &'static str,
    pub state: &'static str,
    pub applied: u64,
    pub durable: u64,
    pub behind: u64,
    pub in_flight: u64,
    pub phase: Option<&'static str>,
    /// Rows copied, how many there are, how fast, and for how long yet.
    pub rows_done: Option<u64>,
    pub rows_total: Option<u64>,
    pub rows_per_second: Option<f64>,
    pub seconds_left: Option<f64>,
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
    filled: Filled,
}

impl Default for System {
    fn default() -> System {
        System::new()
    }
}

impl System {
    pub fn new() -> System {
        let mut schema = Schema::default();
        for relation in relation::all() {
            schema
                .tables
                .insert(relation.table.id, Arc::new(relation.table.clone()));
        }
        System {
            schema: Arc::new(schema),
            filled: Filled::default(),
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
        let mut kept = match self.filled.take(view) {
            Some(kept) => kept,
            None => {
                let connection = rusqlite::Connection::open_in_memory().map_err(failed)?;
                query::prepare_connection(&connection).map_err(failed)?;
                Kept::new(connection, view)
            }
        };
        let mut moving = Vec::new();
        for id in dialect::tables(query) {
            let named = |relation: &&Relation| relation.table.id == id;
            let Some(relation) = relation::all().iter().find(named) else {
                continue;
            };
            if kept.relations.contains(&id) {
                continue;
            }
            fill(&kept.connection, relation, relation.rows(view)).map_err(failed)?;
            if filled::stays(relation) {
                kept.relations.insert(id);
            } else {
                moving.push(relation);
            }
        }
        let rows = run(&kept.connection, query, parameters, context)?;
        for relation in moving {
            let name = dialect::stored_name(&relation.table);
            let dropped = kept.connection.execute_batch(&format!("DROP TABLE {name}"));
            dropped.map_err(failed)?;
        }
        self.filled.put(kept);
        Ok(rows)
    }
}

/// One query over relations that are filled.
fn run(
    connection: &rusqlite::Connection,
    query: &Query,
    parameters: &Arc<[Value]>,
    context: &Arc<Context>,
) -> Result<Vec<Row>> {
    let rendered = Arc::new(dialect::render(query, &Overlaid::new())?);
    let execution = Arc::new(Execution {
        rendered,
        parameters: parameters.clone(),
        context: context.clone(),
        overlay: None,
    });
    query::collect(connection, &execution).map_err(|failure| match failure {
        Failure::Statement(error) => error,
        Failure::Interrupted => Error::new(SqlState::QUERY_CANCELED, "the query was interrupted"),
        Failure::Database(message) => Error::internal(message),
    })
}

fn failed(error: rusqlite::Error) -> Error {
    Error::internal(format!("system relations: {error}"))
}

fn fill(
    connection: &rusqlite::Connection,
    relation: &Relation,
    rows: Vec<Row>,
) -> rusqlite::Result<()> {
    let table = &relation.table;
    let name = dialect::stored_name(table);
    let columns = table.columns.iter().map(|column| {
        let collation = values::collation(&column.ty).map(|name| format!(" COLLATE {name}"));
        format!(
            "{}{}",
            dialect::quoted(&column.name),
            collation.unwrap_or_default()
        )
    });
    let columns: Vec<String> = columns.collect();
    // All rows in one transaction, or each would be one.
    connection.execute_batch(&format!("CREATE TABLE {name} ({})", columns.join(", ")))?;
    let transaction = connection.unchecked_transaction()?;
    let places = vec!["?"; table.columns.len()].join(", ");
    let mut insert = connection.prepare(&format!("INSERT INTO {name} VALUES ({places})"))?;
    for row in rows {
        insert.execute(rusqlite::params_from_iter(row.iter().map(values::encode)))?;
    }
    drop(insert);
    transaction.commit()
}
