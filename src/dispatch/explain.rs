//! EXPLAIN: which way a plan goes.

use std::sync::Arc;

use super::cluster::DataCluster;
use super::read;
use super::refused::Refused;
use super::run::{Call, Ran};
use super::transaction::OpenTransaction;
use super::{Dispatch, point};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::plan::evaluation;
use crate::plan::query::Query;
use crate::plan::statement::{Compound, Statement};

impl Dispatch {
    /// What would happen to a plan: which way it goes, which replica, and what
    /// the engine is asked. With ANALYZE it is also run, and what it writes stays.
    pub(super) async fn explain(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        plan: &Arc<Plan>,
        analyze: bool,
        transaction: Option<&mut OpenTransaction>,
    ) -> Result<Ran, Refused> {
        let mut lines = Vec::new();
        match &plan.statement {
            Statement::Query(_) if cluster.is_read_in_memory(plan) => {
                lines.push("System relations, in memory".to_owned())
            }
            Statement::Query(query) => {
                lines.push(
                    if query.locks.is_empty() {
                        "Read on one replica"
                    } else {
                        "Evaluate and claim rows"
                    }
                    .to_owned(),
                );
                self.explain_read(cluster, query, &mut lines).await?;
            }
            statement => {
                self.explain_write(cluster, call, statement, &mut lines)
                    .await?
            }
        }
        if analyze {
            let inner = Call {
                plan,
                ..call.clone()
            };
            let began = self.runtime.now();
            let rows = match Box::pin(self.run(cluster, &inner, transaction)).await? {
                Ran::Rows(stream) => read::collect(stream).await?.len() as u64,
                Ran::Wrote { rows, .. } => rows,
                Ran::Lines(_) => 0,
            };
            let took = self.runtime.now().since(began);
            lines.push(format!("Rows: {rows}"));
            lines.push(format!(
                "Execution Time: {:.3} ms",
                took.as_secs_f64() * 1e3
            ));
        }
        Ok(Ran::Lines(lines))
    }

    async fn explain_read(
        &self,
        cluster: &DataCluster,
        query: &Query,
        lines: &mut Vec<String>,
    ) -> Result<()> {
        let Some(member) = read::candidates(cluster).into_iter().next() else {
            return Err(Error::unavailable("no replica is in sync"));
        };
        lines.push(format!(
            "  Replica: {} ({})",
            member.id,
            member.endpoint.engine().name()
        ));
        let asked = member.endpoint.explain(query).await?;
        lines.extend(asked.lines().map(|line| format!("  Engine: {line}")));
        Ok(())
    }

    async fn explain_write(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        statement: &Statement,
        lines: &mut Vec<String>,
    ) -> Result<()> {
        let caller = point::Caller {
            cluster,
            schema: &call.schema,
            context: &call.context,
            parameters: &call.parameters,
        };
        let in_sync = cluster.definition()?.in_sync().count();
        if let Some(point) = caller.recognise(statement)? {
            lines.push(format!(
                "Point write, ordered by the log, applied by {in_sync} replicas"
            ));
            lines.extend(
                point
                    .describe()
                    .into_iter()
                    .map(|line| format!("  Pinned: {line}")),
            );
            return Ok(());
        }
        if let Statement::Compound(compound) = statement {
            return self.explain_steps(cluster, compound, lines).await;
        }
        let evaluation = match statement {
            Statement::Update(update) => Some(evaluation::of_update(update)?),
            Statement::Delete(delete) => Some(evaluation::of_delete(delete)?),
            Statement::Insert(_) | Statement::Truncate { .. } | Statement::Schema(_) => None,
            _ => return Err(Error::unsupported("EXPLAIN of this statement")),
        };
        lines.push(format!(
            "Evaluated once, logged as rows, applied by {in_sync} replicas"
        ));
        if let Some(evaluation) = evaluation {
            self.explain_read(cluster, &evaluation.query, lines).await?;
        }
        Ok(())
    }

    async fn explain_steps(
        &self,
        cluster: &Arc<DataCluster>,
        compound: &Compound,
        lines: &mut Vec<String>,
    ) -> Result<()> {
        let in_sync = cluster.definition()?.in_sync().count();
        lines.push(format!(
            "Evaluated on one snapshot in {} steps, logged as rows, applied by {in_sync} replicas",
            compound.steps.len()
        ));
        for step in &compound.steps {
            let (name, query) = match &step.plan.statement {
                Statement::Update(update) => ("Update", Some(evaluation::of_update(update)?.query)),
                Statement::Delete(delete) => ("Delete", Some(evaluation::of_delete(delete)?.query)),
                Statement::Query(query) => ("Query", Some(step.plan.shared_query(query))),
                _ => ("Insert", None),
            };
            lines.push(format!("{name} Step"));
            if let Some(query) = query {
                self.explain_read(cluster, &query, lines).await?;
            }
        }
        Ok(())
    }
}
