//! One data cluster as its leader runs it: replicas, sequencer, claims, counters.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::claim::Claims;
use super::refused::dropped;
use super::rules::Rules;
use super::sequence::Counters;
use super::write::Sequencer;
use crate::catalog::schema::{Schema, Table};
use crate::catalog::{Cluster, SYSTEM_CLUSTER};
use crate::error::Result;
use crate::log::Log;
use crate::plan::Plan;
use crate::plan::context::Context;
use crate::replica::Replicas;
use crate::runtime::{Runtime, TaskSet};
use crate::types::id::{Boot, ClusterId, NodeId, SchemaVersion, TableId, TransactionId};

/// Bytes that an open transaction keeps in memory, roughly, unless the node
/// was told otherwise.
pub const TRANSACTION_BYTES: usize = 8 << 20;

/// Where large transactions keep their rows, and from when on.
#[derive(Clone, Debug)]
pub struct Space {
    pub directory: PathBuf,
    pub transaction_bytes: usize,
}

/// Everything the leader keeps for one data cluster.
pub struct DataCluster {
    pub id: ClusterId,
    pub runtime: Runtime,
    pub log: Arc<Log>,
    pub replicas: Arc<Replicas>,
    pub sequencer: Sequencer,
    pub claims: Arc<Claims>,
    pub counters: Arc<Counters>,
    pub ids: Arc<TransactionIds>,
    pub space: Arc<Space>,
    /// Owns the waits that outlive their clients.
    pub tasks: TaskSet,
    /// The system's own has no place in the log, and no replicas.
    system: Option<Arc<Cluster>>,
    rules: Mutex<(SchemaVersion, HashMap<TableId, Arc<Rules>>)>,
    drafts: AtomicU64,
}

/// Versions from here on are those of schemas that a transaction has changed
/// and not committed. Each is used once: what was made for one that was rolled
/// back is not taken for a later one.
const DRAFTS: u64 = 1 << 63;

/// Numbers this process's transactions as they go to the log. One that is
/// still open has no id: the log remembers ids by how many entries came since.
pub struct TransactionIds {
    node: NodeId,
    boot: Boot,
    next: AtomicU64,
}

impl TransactionIds {
    pub fn new(node: NodeId, boot: Boot) -> TransactionIds {
        TransactionIds {
            node,
            boot,
            next: AtomicU64::new(1),
        }
    }

    pub fn next(&self) -> TransactionId {
        TransactionId {
            node: self.node,
            boot: self.boot,
            number: self.next.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl DataCluster {
    pub fn new(
        runtime: &Runtime,
        log: &Arc<Log>,
        replicas: Arc<Replicas>,
        definition: &Arc<Cluster>,
        ids: Arc<TransactionIds>,
        space: Arc<Space>,
        tasks: TaskSet,
    ) -> Arc<DataCluster> {
        let counters = Arc::new(Counters::new(definition.counters.clone()));
        let id = definition.id;
        let sequencer =
            Sequencer::start(log.clone(), replicas.clone(), counters.clone(), id, &tasks);
        Arc::new(DataCluster {
            id,
            runtime: runtime.clone(),
            log: log.clone(),
            replicas,
            sequencer,
            claims: Arc::default(),
            counters,
            ids,
            space,
            tasks,
            rules: Mutex::default(),
            drafts: AtomicU64::new(DRAFTS),
            system: (definition.name == SYSTEM_CLUSTER).then(|| definition.clone()),
        })
    }

    /// Shows the system itself, and holds no tables.
    pub fn is_system(&self) -> bool {
        self.system.is_some()
    }

    /// A query of this plan asks no replica of it.
    pub fn is_read_in_memory(&self, plan: &Plan) -> bool {
        plan.system || self.is_system()
    }

    /// The cluster as the log has it; 57P04 once it is dropped.
    pub fn definition(&self) -> Result<Arc<Cluster>> {
        let system = self.system.clone();
        system
            .or_else(|| self.replicas.definition())
            .ok_or_else(dropped)
    }

    /// The version of a schema that only its transaction sees.
    pub fn draft_version(&self) -> SchemaVersion {
        SchemaVersion(self.drafts.fetch_add(1, Ordering::Relaxed))
    }

    /// The compiled constraints of a table at a schema version.
    pub fn rules(
        &self,
        schema: &Arc<Schema>,
        table: &Arc<Table>,
        context: &Arc<Context>,
    ) -> Result<Arc<Rules>> {
        {
            let mut cached = self.rules.lock();
            if cached.0 != schema.version {
                *cached = (schema.version, HashMap::new());
            }
            if let Some(rules) = cached.1.get(&table.id) {
                return Ok(rules.clone());
            }
        }
        let rules = Arc::new(Rules::compile(schema, table, context)?);
        let mut cached = self.rules.lock();
        if cached.0 == schema.version {
            cached.1.insert(table.id, rules.clone());
        }
        Ok(rules)
    }
}
