//! EXPLAIN with the route, and what the system's relations show of a data cluster.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cluster::DataCluster;
use super::read;
use super::refused::Refused;
use super::transaction::OpenTransaction;
use super::{Call, Dispatch, Ran, point};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::plan::evaluation;
use crate::plan::query::Query;
use crate::plan::statement::{Compound, Statement};
use crate::system::{ReplicaView, View};

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
            Statement::Query(_) if plan.system => {
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
                ..call.again()
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

/// What the system's relations show in a session on a data cluster.
pub(super) fn view(
    dispatch: &Dispatch,
    cluster: &Arc<DataCluster>,
    call: &Call<'_>,
) -> Result<View> {
    let definition = cluster.definition()?;
    let applied = *dispatch.log.applied().borrow();
    let replicas = definition.replicas.values().map(|replica| {
        let member = cluster.replicas.member(replica.id);
        let status = member
            .as_ref()
            .map(|member| member.status())
            .unwrap_or_default();
        let position = status.position;
        let reached = position.as_ref().map_or(0, |position| position.applied.0);
        let progress = status.progress.as_ref();
        let pace = progress.map(|progress| progress.pace(dispatch.runtime.now()));
        let pace = pace.unwrap_or_default();
        ReplicaView {
            id: replica.id,
            endpoint: replica.endpoint,
            engine: replica.engine.name(),
            state: replica.state.name(),
            applied: reached,
            durable: position.as_ref().map_or(0, |position| position.durable.0),
            behind: definition.last_write.0.saturating_sub(reached),
            in_flight: member.map_or(0, |member| member.in_flight.load(Ordering::Relaxed) as u64),
            phase: status.progress.map(|progress| progress.phase.name()),
            rows_done: pace.rows,
            rows_total: pace.of_rows,
            rows_per_second: pace.rows_per_second,
            seconds_left: pace.seconds_left,
            reason: replica.reason.clone(),
        }
    });
    let differences = cluster.replicas.members().into_iter().flat_map(|member| {
        let kept = member.endpoint.kept().into_iter();
        kept.map(move |row| (member.id, row))
    });
    Ok(View {
        differences: differences.collect(),
        catalog: dispatch.catalog(),
        replicas: replicas.collect(),
        cluster: definition,
        schema: call.schema.clone(),
        system: dispatch.system.schema().clone(),
        user: call.user.clone(),
        context: call.context.clone(),
        sessions: dispatch.presences.views(),
        settings: call.settings.clone(),
        claims: cluster.claims.count().1,
        applied,
    })
}
