//! Running statements, and the answer to a write.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value as Json, json};

use super::Http;
use super::error::{Failure, ok};
use super::plans::PlanCache;
use super::request::{Body, Caller};
use crate::catalog::Cluster;
use crate::error::Result;
use crate::plan::Plan;
use crate::plan::pyql::Translation;
use crate::plan::statement::Statement;
use crate::session::{Reply, Session};
use crate::types::id::ClusterId;

/// How long a statement may run before it is cancelled, in milliseconds.
const STATEMENT_LIMIT_MILLISECONDS: &str = "60000";

/// A session of one request's statement, planned and begun.
pub(super) struct Running {
    pub(super) session: Session,
    pub(super) plan: Arc<Plan>,
    pub(super) reply: Reply,
}

/// Plans and starts a statement on the data cluster of this name.
pub(super) async fn start(
    http: &Http,
    caller: &Caller,
    cluster: &str,
    statement: Translation,
) -> Result<Running> {
    let startup = [
        ("application_name".to_owned(), "rest".to_owned()),
        (
            "statement_timeout".to_owned(),
            STATEMENT_LIMIT_MILLISECONDS.to_owned(),
        ),
    ];
    let user = caller.user.clone();
    let mut session = Session::open(http.dispatch.clone(), user, cluster, &startup)?;
    let plan = plan(http, &mut session, &statement)?;
    let reply = session.execute(&plan, statement.parameters).await?;
    Ok(Running {
        session,
        plan,
        reply,
    })
}

/// The statement's plan: an earlier one that still holds, or a new one.
fn plan(http: &Http, session: &mut Session, statement: &Translation) -> Result<Arc<Plan>> {
    let Some(key) = PlanCache::key(session.definition()?.id, statement) else {
        return session.plan(&statement.sql, &statement.types);
    };
    if let Some(plan) = http.plans.get(&key)
        && session.is_current(&plan)
    {
        return Ok(plan);
    }
    let plan = session.plan(&statement.sql, &statement.types)?;
    if !matches!(plan.statement, Statement::Schema(_)) {
        http.plans.keep(key, plan.clone());
    }
    Ok(plan)
}

/// Runs a statement that returns nothing.
pub(super) async fn run(
    http: &Http,
    caller: &Caller,
    cluster: &str,
    statement: Translation,
) -> Result<()> {
    let running = start(http, caller, cluster, statement).await?;
    running.session.close().await;
    Ok(())
}

/// A write to one table, as its route names it.
pub(super) struct Write<'a> {
    pub(super) http: &'a Http,
    pub(super) caller: &'a Caller,
    /// The name in the path.
    pub(super) name: &'a str,
    pub(super) cluster: &'a Cluster,
    pub(super) table: &'a str,
    pub(super) body: &'a Body,
}

impl Write<'_> {
    /// Runs it, and says for each endpoint in sync that it is done: a write is
    /// acknowledged once all of them have applied it.
    pub(super) async fn run(
        &self,
        statement: Result<Translation>,
        done: &str,
    ) -> Result<Response, Failure> {
        let result = match statement {
            Ok(statement) => run(self.http, self.caller, self.name, statement).await,
            Err(error) => Err(error),
        };
        let endpoints = endpoints(self.http, self.cluster.id);
        match result {
            Ok(()) => Ok(ok(&acknowledged(&endpoints, done))),
            Err(error) => {
                let body = self.body.echo();
                Err(Failure::write(&error, &endpoints, self.table, &body))
            }
        }
    }
}

/// `{"consistency": true, "message": {"<endpoint>": …}}`. Consistency is what
/// every table has: all replicas apply one order.
pub(super) fn acknowledged(endpoints: &[String], done: &str) -> Json {
    let content = json!({"message": {"message": done, "status": 200}, "status": 200});
    let message: Map<String, Json> = endpoints
        .iter()
        .map(|endpoint| {
            let entry = json!({"content": content, "status": 200});
            (endpoint.clone(), entry)
        })
        .collect();
    json!({"consistency": true, "message": message})
}

/// The endpoints of a data cluster that are in sync now.
fn endpoints(http: &Http, cluster: ClusterId) -> Vec<String> {
    let catalog = http.dispatch.catalog();
    catalog.cluster(cluster).map_or_else(Vec::new, |cluster| {
        let replicas = cluster.in_sync();
        replicas.map(|it| it.endpoint.to_string()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_for_each_endpoint() {
        assert_eq!(
            acknowledged(&["a".to_owned()], "items added").to_string(),
            "{\"consistency\":true,\"message\":{\"a\":{\"content\":{\"message\":\
             {\"message\":\"items added\",\"status\":200},\"status\":200},\"status\":200}}}"
        );
    }
}
