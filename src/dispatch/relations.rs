//! The system's relations: what they show of a data cluster, and queries over them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Dispatch;
use super::cluster::DataCluster;
use super::refused::Refused;
use super::run::{Call, Ran};
use crate::catalog::{Cluster, Replica};
use crate::endpoint::RowStream;
use crate::error::Result;
use crate::plan::query::Query;
use crate::plan::statement::Statement;
use crate::plan::{Derived, Plan};
use crate::system::{ReplicaView, View};

impl Dispatch {
    /// The plan with the rows of the system's relations in it, for a replica.
    pub(super) fn inlined(&self, view: &View, plan: &Plan) -> Result<Plan> {
        let mut statement = plan.statement.clone();
        match &mut statement {
            Statement::Explain { plan, .. } => *plan = Arc::new(self.inlined(view, plan)?),
            statement => self.system.inline(view, statement)?,
        }
        Ok(Plan {
            statement,
            system: false,
            derived: Derived::default(),
            ..plan.clone()
        })
    }

    pub(super) fn system_query(
        &self,
        cluster: &Arc<DataCluster>,
        call: &Call<'_>,
        query: &Query,
    ) -> Result<Ran, Refused> {
        let view = self.view(cluster, call)?;
        let rows = self
            .system
            .read(&view, query, &call.parameters, &call.context)?;
        Ok(Ran::Rows(RowStream::Ready(rows)))
    }

    /// What the system's relations show in a session on a data cluster.
    pub(super) fn view(&self, cluster: &Arc<DataCluster>, call: &Call<'_>) -> Result<View> {
        let definition = cluster.definition()?;
        let shown = self.shown(cluster, call);
        let differences = shown.iter().flat_map(|shown| shown.replicas.members());
        let differences = differences.flat_map(|member| {
            let kept = member.endpoint.kept().into_iter();
            kept.map(move |row| (member.id, row))
        });
        Ok(View {
            differences: differences.collect(),
            catalog: self.catalog(),
            replicas: shown
                .iter()
                .flat_map(|shown| self.replicas_of(shown))
                .collect(),
            cluster: definition,
            schema: call.schema.clone(),
            system: self.system.schema().clone(),
            user: call.user.clone(),
            context: call.context.clone(),
            sessions: self.presences.views(),
            settings: call.settings.clone(),
            claims: cluster.claims.count().1,
            applied: *self.log.applied().borrow(),
        })
    }

    /// The data clusters whose replicas a session sees: its own; in the database
    /// of the system itself all that its user may see.
    fn shown(&self, cluster: &Arc<DataCluster>, call: &Call<'_>) -> Vec<Arc<DataCluster>> {
        if !cluster.is_system() {
            return vec![cluster.clone()];
        }
        let may_see = |shown: &Arc<DataCluster>| {
            let definition = shown.definition();
            definition.is_ok_and(|it| it.is_visible_to(&call.user))
        };
        let mut shown: Vec<_> = self.clusters.iter().map(|entry| entry.clone()).collect();
        shown.retain(may_see);
        shown.sort_by_key(|shown| shown.id);
        shown
    }

    /// The replicas of a data cluster that was not dropped.
    fn replicas_of(&self, cluster: &DataCluster) -> Vec<ReplicaView> {
        let Ok(definition) = cluster.definition() else {
            return Vec::new();
        };
        let replicas = definition.replicas.values();
        replicas
            .map(|replica| self.replica_view(cluster, &definition, replica))
            .collect()
    }

    fn replica_view(
        &self,
        cluster: &DataCluster,
        definition: &Cluster,
        replica: &Replica,
    ) -> ReplicaView {
        let member = cluster.replicas.member(replica.id);
        let status = member
            .as_ref()
            .map(|member| member.status())
            .unwrap_or_default();
        let position = status.position;
        let reached = position.as_ref().map_or(0, |position| position.applied.0);
        let progress = status.progress.as_ref();
        let pace = progress.map(|progress| progress.pace(self.runtime.now()));
        let pace = pace.unwrap_or_default();
        ReplicaView {
            id: replica.id,
            cluster: definition.name.clone(),
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
    }
}
