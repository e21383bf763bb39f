//! Picks the replica that answers a read.
//!
//! In-sync replicas come in the order of requests in flight. One that may not
//! answer now (no lease, behind) is passed over for the next; when none may,
//! all are asked again until the limit. One whose schema has moved on answers
//! too, as long as the tables of the question are what they were.
//!
//! Not handled: moving a read that has already sent rows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::cluster::DataCluster;
use super::refused::{Refused, cancelled};
use crate::catalog::schema::Schema;
use crate::endpoint::{Level, Overlay, Read, ReadError, RowStream, Rows, SnapshotId};
use crate::engine::sqlite::dialect::tables;
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::replica::Member;
use crate::runtime::Moment;
use crate::types::id::{Index, SchemaVersion, TableId};
use crate::types::{Row, Value};

/// How long a read waits for a replica that may answer.
const READ_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long it rests between rounds over the replicas.
const ROUND_WAIT: Duration = Duration::from_millis(5);

/// A replica of which nothing has been heard yet.
const UNKNOWN: ReadError = ReadError::NotNow("not known yet");

/// A query with all that a replica needs to run it.
#[derive(Clone)]
pub struct Question {
    pub query: Arc<Query>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    pub schema: SchemaVersion,
    pub level: Level,
    pub overlay: Option<Arc<Overlay>>,
    pub snapshot: Option<HeldSnapshot>,
    pub cancel: CancellationToken,
}

impl Question {
    /// Whether it means the same under a later schema: all of its tables are as
    /// they were when it was planned.
    fn holds_under(&self, now: &Schema) -> bool {
        let then = &self.context.schema;
        let same = |table: &TableId| then.table(*table) == now.table(*table);
        // A transaction's own changes are in no replica's schema.
        then.version == self.schema && tables(&self.query).iter().all(same)
    }
}

/// A snapshot that a transaction holds open on a replica.
#[derive(Clone)]
pub struct HeldSnapshot {
    pub member: Arc<Member>,
    pub id: SnapshotId,
    pub index: Index,
}

/// Asks one replica after the other.
pub async fn read(cluster: &DataCluster, question: &Question) -> Result<Rows, Refused> {
    if let Some(held) = &question.snapshot {
        return match ask(&held.member, question, question.schema).await {
            Ok(rows) => Ok(rows),
            Err(ReadError::Statement(error)) => Err(Refused::Error(error)),
            Err(ReadError::Schema(_)) => Err(Refused::Replan),
            Err(error) => Err(Refused::Error(Error::new(
                SqlState::SERIALIZATION_FAILURE,
                format!("the transaction's snapshot is gone: {error}"),
            ))),
        };
    }
    let mut search = Search::of(cluster, question.schema);
    'rounds: loop {
        for member in candidates(cluster) {
            match ask(&member, question, search.schema).await {
                Ok(rows) => return Ok(rows),
                Err(ReadError::Schema(has))
                    if has > search.schema && search.moves_on(question)? =>
                {
                    if has == search.schema {
                        continue 'rounds;
                    }
                }
                Err(error) => search.pass_over(&member, error)?,
            }
        }
        if question.cancel.is_cancelled() {
            return Err(cancelled().into());
        }
        search.rest("no replica may answer the read now").await?;
    }
}

/// A search for a replica that answers, in rounds over those in sync.
struct Search<'a> {
    cluster: &'a DataCluster,
    /// The one that was planned against, or a later one that serves as well.
    schema: SchemaVersion,
    deadline: Moment,
    /// A replica of this round has an older schema, and may come to ours.
    behind: bool,
    /// Why the last replica that was asked did not answer.
    reason: Option<String>,
}

impl<'a> Search<'a> {
    fn of(cluster: &'a DataCluster, schema: SchemaVersion) -> Search<'a> {
        Search {
            cluster,
            schema,
            deadline: cluster.runtime.now() + READ_WAIT_MAX,
            behind: false,
            reason: None,
        }
    }

    /// Goes on under the schema of now, if the question means the same there.
    fn moves_on(&mut self, question: &Question) -> Result<bool> {
        let now = self.cluster.definition()?.schema.clone();
        let same = question.holds_under(&now);
        if same {
            self.schema = now.version;
            self.behind = true;
        }
        Ok(same)
    }

    /// Notes why a replica did not answer; fails where no other would.
    fn pass_over(&mut self, member: &Member, error: ReadError) -> Result<(), Refused> {
        match error {
            ReadError::Statement(error) => return Err(error.into()),
            ReadError::Schema(has) if has > self.schema => return Err(Refused::Replan),
            ReadError::Schema(_) => self.behind = true,
            ReadError::NotNow(_) | ReadError::Failed(_) => {}
        }
        tracing::debug!(replica = %member.id, %error, "passed over");
        self.reason = Some(format!("Replica {}: {error}.", member.id));
        Ok(())
    }

    /// Waits for the next round; fails where there is no use in one.
    async fn rest(&mut self, refused: &str) -> Result<(), Refused> {
        let behind = std::mem::take(&mut self.behind);
        let newer = self.cluster.definition()?.schema.version > self.schema;
        if newer && !behind {
            return Err(Refused::Replan);
        }
        if self.cluster.runtime.now() >= self.deadline {
            let error = Error::unavailable(refused);
            return Err(match self.reason.take() {
                Some(reason) => error.detail(reason).into(),
                None => error.into(),
            });
        }
        self.cluster.runtime.sleep(ROUND_WAIT).await;
        Ok(())
    }
}

/// Reads all rows at once.
pub async fn read_all(
    cluster: &DataCluster,
    question: &Question,
) -> Result<(Index, Vec<Row>), Refused> {
    let rows = read(cluster, question).await?;
    Ok((rows.index, collect(rows.stream).await?))
}

/// Drains a stream of rows.
pub async fn collect(stream: RowStream) -> Result<Vec<Row>> {
    match stream {
        RowStream::Ready(rows) => Ok(rows),
        RowStream::Flowing(mut batches) => {
            let mut rows = Vec::new();
            while let Some(batch) = batches.recv().await {
                rows.extend(batch?);
            }
            Ok(rows)
        }
    }
}

/// In-sync replicas, the least busy first.
pub fn candidates(cluster: &DataCluster) -> Vec<Arc<Member>> {
    let Some(definition) = cluster.replicas.definition() else {
        return Vec::new();
    };
    let in_sync = definition.in_sync();
    let mut members: Vec<Arc<Member>> = in_sync
        .filter_map(|replica| cluster.replicas.member(replica.id))
        .collect();
    members.sort_by_key(|member| member.in_flight.load(Ordering::Relaxed));
    members
}

async fn ask(
    member: &Arc<Member>,
    question: &Question,
    schema: SchemaVersion,
) -> Result<Rows, ReadError> {
    let incarnation = member.incarnation().ok_or(UNKNOWN)?;
    let request = Read {
        incarnation,
        level: question.level,
        schema,
        query: question.query.clone(),
        parameters: question.parameters.clone(),
        context: question.context.clone(),
        overlay: question.overlay.clone(),
        snapshot: question.snapshot.as_ref().map(|held| held.id),
        cancel: question.cancel.clone(),
    };
    let _busy = Busy::on(member);
    member.endpoint.read(request).await
}

/// Counts a read in flight.
struct Busy<'a>(&'a Member);

impl<'a> Busy<'a> {
    fn on(member: &'a Member) -> Busy<'a> {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Busy(member)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Opens a snapshot on the least busy replica that may and has this schema.
pub async fn hold_snapshot(
    cluster: &DataCluster,
    level: Level,
    schema: SchemaVersion,
) -> Result<HeldSnapshot, Refused> {
    let mut search = Search::of(cluster, schema);
    loop {
        for member in candidates(cluster) {
            match open(&member, level, schema).await {
                Ok((id, index)) => return Ok(HeldSnapshot { member, id, index }),
                Err(error) => search.pass_over(&member, error)?,
            }
        }
        search.rest("no replica may open a snapshot now").await?;
    }
}

async fn open(
    member: &Member,
    level: Level,
    schema: SchemaVersion,
) -> Result<(SnapshotId, Index), ReadError> {
    let incarnation = member.incarnation().ok_or(UNKNOWN)?;
    let endpoint = &member.endpoint;
    endpoint.open_snapshot(level, incarnation, schema).await
}
