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
use crate::catalog::schema::Schema;
use crate::endpoint::{Level, Overlay, Read, ReadError, RowStream, Rows, SnapshotId};
use crate::engine::sqlite::dialect::tables;
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Context;
use crate::plan::query::Query;
use crate::replica::Member;
use crate::types::id::{Index, SchemaVersion, TableId};
use crate::types::{Row, Value};

/// How long a read waits for a replica that may answer.
const READ_WAIT_MAX: Duration = Duration::from_secs(5);

/// How long it rests between rounds over the replicas.
const ROUND_WAIT: Duration = Duration::from_millis(5);

/// A query with all that a replica needs to run it.
#[derive(Clone)]
pub struct Question {
    pub query: Arc<Query>,
    pub parameters: Arc<[Value]>,
    pub context: Arc<Context>,
    pub schema: SchemaVersion,
    pub level: Level,
    pub overlay: Option<Arc<Overlay>>,
    pub snapshot: Option<Held>,
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
pub struct Held {
    pub member: Arc<Member>,
    pub id: SnapshotId,
    pub index: Index,
}

/// Why a read failed, as far as the caller can do something about it.
#[derive(Debug)]
pub enum Refused {
    /// The schema moved: plan again.
    Replan,
    Error(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Error(error)
    }
}

impl Refused {
    /// For callers that cannot plan again.
    pub fn into_error(self) -> Error {
        match self {
            Refused::Error(error) => error,
            Refused::Replan => Error::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to a concurrent schema change",
            ),
        }
    }
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
    let deadline = cluster.runtime.now() + READ_WAIT_MAX;
    let mut schema = question.schema;
    'rounds: loop {
        let mut behind = false;
        for member in candidates(cluster) {
            match ask(&member, question, schema).await {
                Ok(rows) => return Ok(rows),
                Err(ReadError::Statement(error)) => return Err(Refused::Error(error)),
                Err(ReadError::Schema(has)) if has > schema => {
                    let now = cluster.definition()?.schema.clone();
                    if !question.holds_under(&now) {
                        return Err(Refused::Replan);
                    }
                    schema = now.version;
                    if has == schema {
                        continue 'rounds;
                    }
                    behind = true;
                }
                Err(ReadError::Schema(_)) => behind = true,
                Err(error) => tracing::debug!(replica = %member.id, %error, "read passed on"),
            }
        }
        if question.cancel.is_cancelled() {
            return Err(Refused::Error(cancelled()));
        }
        let newer = cluster.definition()?.schema.version > schema;
        if newer && !behind {
            return Err(Refused::Replan);
        }
        if cluster.runtime.now() >= deadline {
            return Err(Refused::Error(Error::unavailable(
                "no replica may answer the read now",
            )));
        }
        cluster.runtime.sleep(ROUND_WAIT).await;
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

pub fn cancelled() -> Error {
    Error::new(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request",
    )
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
    let incarnation = member
        .incarnation()
        .ok_or(ReadError::NotNow("not known yet"))?;
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
) -> Result<Held, Refused> {
    let deadline = cluster.runtime.now() + READ_WAIT_MAX;
    loop {
        let mut behind = false;
        for member in candidates(cluster) {
            let Some(incarnation) = member.incarnation() else {
                continue;
            };
            let opened = member.endpoint.open_snapshot(level, incarnation, schema);
            match opened.await {
                Ok((id, index)) => return Ok(Held { member, id, index }),
                Err(ReadError::Statement(error)) => return Err(error.into()),
                Err(ReadError::Schema(has)) if has > schema => return Err(Refused::Replan),
                Err(ReadError::Schema(_)) => behind = true,
                Err(error) => tracing::debug!(replica = %member.id, %error, "snapshot passed on"),
            }
        }
        let newer = cluster.definition()?.schema.version > schema;
        if newer && !behind {
            return Err(Refused::Replan);
        }
        if cluster.runtime.now() >= deadline {
            return Err(Error::unavailable("no replica may open a snapshot now").into());
        }
        cluster.runtime.sleep(ROUND_WAIT).await;
    }
}
