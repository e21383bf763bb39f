//! Nodes, users, data clusters and their replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::command::{Answer, Command};
use super::{Machine, no_cluster};
use crate::catalog::schema::Schema;
use crate::catalog::{
    Cluster, EngineKind, Node, Place, Replica, ReplicaState, SYSTEM_CLUSTER, ScramVerifier, User,
    UserKind,
};
use crate::error::{Error, Result, SqlState};
use crate::types::id::{ClusterId, Index, NodeId, ReplicaId, UserId};

/// Lost votes that are remembered of a replica; three within an hour bar it.
const LOST_VOTES: usize = 8;

impl Machine {
    pub(super) fn directory(&mut self, index: Index, command: &Command) -> Result<Answer> {
        match command {
            Command::Replica { .. } => self.replica(index, command)?,
            Command::AddNode { id, name, address } => self.add_node(*id, name, address)?,
            Command::SetTokenKey(key) => {
                Arc::make_mut(&mut self.catalog).token_key = Some(key.clone());
            }
            Command::SetSystemCluster(id) => {
                Arc::make_mut(&mut self.catalog).system_cluster = Some(*id);
            }
            Command::CreateUser { .. } => self.create_user(command)?,
            Command::AlterUser { id, verifier, kind } => self.alter_user(*id, verifier, *kind)?,
            Command::DropUser { id } => self.drop_user(*id)?,
            Command::CreateCluster { .. } => self.create_cluster(index, command)?,
            Command::DropCluster { id } => {
                let catalog = Arc::make_mut(&mut self.catalog);
                catalog.clusters.remove(id).ok_or_else(no_cluster)?;
            }
            Command::SetAccess { cluster, access } => {
                let cluster = self.cluster_mut(*cluster).ok_or_else(no_cluster)?;
                cluster.access = access.clone();
            }
            other => {
                let message = format!("{other:?} is no change of the directory");
                return Err(Error::internal(message));
            }
        }
        Ok(Answer::default())
    }

    fn replica(&mut self, index: Index, command: &Command) -> Result<()> {
        let Command::Replica {
            cluster,
            replica,
            state,
            incarnation,
            lost_vote_at,
            reason,
        } = command
        else {
            return Ok(());
        };
        let cluster = self.cluster(*cluster)?;
        let known = cluster.replicas.get(replica).ok_or_else(|| {
            let message = format!("replica {replica} does not exist");
            Error::new(SqlState::UNDEFINED_OBJECT, message)
        })?;
        let leaves = known.state == ReplicaState::InSync && *state != ReplicaState::InSync;
        if leaves && cluster.in_sync().count() == 1 {
            return Err(Error::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("replica {replica} is the last one in sync"),
            ));
        }
        let id = cluster.id;
        let changed = self.cluster_mut(id);
        let Some(changed) = changed.and_then(|cluster| cluster.replicas.get_mut(replica)) else {
            return Ok(());
        };
        let another_life = incarnation.is_some() && *incarnation != changed.incarnation;
        if changed.state != *state || another_life {
            changed.since = index;
        }
        if changed.state == ReplicaState::Barred && *state == ReplicaState::OutOfSync {
            // An operator has it repaired: what was before is forgiven.
            changed.lost_votes_at.clear();
        }
        changed.state = *state;
        changed.incarnation = incarnation.or(changed.incarnation);
        changed.reason = reason.clone();
        if let Some(at) = lost_vote_at {
            changed.lost_votes_at.push(*at);
            let surplus = changed.lost_votes_at.len().saturating_sub(LOST_VOTES);
            changed.lost_votes_at.drain(..surplus);
        }
        Ok(())
    }

    fn add_node(&mut self, id: NodeId, name: &str, address: &str) -> Result<()> {
        let taken = |node: &Node| (node.id == id) != (node.name == name);
        if self.catalog.nodes.values().any(taken) {
            return Err(Error::new(
                SqlState::DUPLICATE_OBJECT,
                format!("node {id} or node name \"{name}\" was used before"),
            ));
        }
        let nodes = &mut Arc::make_mut(&mut self.catalog).nodes;
        let boot = nodes.get(&id).and_then(|node| node.boot);
        nodes.insert(
            id,
            Node {
                id,
                name: name.to_owned(),
                address: address.to_owned(),
                boot,
            },
        );
        Ok(())
    }

    fn create_user(&mut self, command: &Command) -> Result<()> {
        let Command::CreateUser {
            id,
            service,
            name,
            email,
            kind,
            verifier,
        } = command
        else {
            return Ok(());
        };
        let users = &self.catalog.users;
        let duplicate = |message: String| Err(Error::new(SqlState::DUPLICATE_OBJECT, message));
        if self.catalog.user_named(name).is_some() {
            return duplicate(format!("role \"{name}\" already exists"));
        }
        if let Some(email) = email
            && users
                .values()
                .any(|user| user.email.as_ref() == Some(email))
        {
            return duplicate(format!("a role with email \"{email}\" already exists"));
        }
        if users.contains_key(id) || users.contains_key(service) || id == service {
            return duplicate(format!("role {id} already exists"));
        }
        let user = User {
            id: *id,
            name: name.clone(),
            email: email.clone(),
            kind: *kind,
            parent: None,
            verifier: verifier.clone(),
        };
        let account = User {
            id: *service,
            name: String::new(),
            email: None,
            kind: UserKind::Service,
            parent: Some(*id),
            verifier: None,
        };
        let users = Arc::make_mut(&mut Arc::make_mut(&mut self.catalog).users);
        users.insert(*id, Arc::new(user));
        users.insert(*service, Arc::new(account));
        Ok(())
    }

    fn alter_user(
        &mut self,
        id: UserId,
        verifier: &Option<ScramVerifier>,
        kind: Option<UserKind>,
    ) -> Result<()> {
        if !self.catalog.users.contains_key(&id) {
            return Err(no_user(id));
        }
        let users = Arc::make_mut(&mut Arc::make_mut(&mut self.catalog).users);
        if let Some(user) = users.get_mut(&id).map(Arc::make_mut) {
            if verifier.is_some() {
                user.verifier.clone_from(verifier);
            }
            user.kind = kind.unwrap_or(user.kind);
        }
        Ok(())
    }

    fn drop_user(&mut self, id: UserId) -> Result<()> {
        let user = self.catalog.users.get(&id).ok_or_else(|| no_user(id))?;
        let mut gone = vec![id];
        let accounts = self.catalog.users.values();
        gone.extend(accounts.filter(|it| it.parent == Some(id)).map(|it| it.id));
        let mut clusters = self.catalog.clusters.values();
        if let Some(owned) = clusters.find(|cluster| gone.contains(&cluster.owner)) {
            return Err(Error::new(
                SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "role \"{}\" cannot be dropped because some objects depend on it: owner of database {}",
                    user.name, owned.name
                ),
            ));
        }
        let shared: Vec<ClusterId> = self
            .catalog
            .clusters
            .values()
            .filter(|cluster| cluster.access.iter().any(|user| gone.contains(user)))
            .map(|cluster| cluster.id)
            .collect();
        for cluster in shared {
            if let Some(cluster) = self.cluster_mut(cluster) {
                cluster.access.retain(|user| !gone.contains(user));
            }
        }
        let users = Arc::make_mut(&mut Arc::make_mut(&mut self.catalog).users);
        users.retain(|id, _| !gone.contains(id));
        Ok(())
    }

    fn create_cluster(&mut self, index: Index, command: &Command) -> Result<()> {
        let Command::CreateCluster {
            id,
            name,
            owner,
            created,
            created_by,
            replicas,
        } = command
        else {
            return Ok(());
        };
        if !self.catalog.users.contains_key(owner) {
            return Err(no_user(*owner));
        }
        let same = |it: &Arc<Cluster>| it.id == *id || (it.owner == *owner && it.name == *name);
        if name == SYSTEM_CLUSTER || self.catalog.clusters.values().any(same) {
            return Err(Error::new(
                SqlState::DUPLICATE_DATABASE,
                format!("database \"{name}\" already exists"),
            ));
        }
        if replicas.is_empty() {
            return Err(Error::internal("a data cluster needs a replica"));
        }
        let remote = |(_, place): &(_, Place)| matches!(place, Place::Remote(_));
        if replicas.iter().any(remote) {
            return Err(Error::unsupported("a data cluster on a remote endpoint"));
        }
        let catalog = Arc::make_mut(&mut self.catalog);
        let mut known = BTreeMap::new();
        for (endpoint, place) in replicas {
            let id = ReplicaId(catalog.next_replica);
            catalog.next_replica += 1;
            known.insert(id, empty_replica(id, *endpoint, place, index));
        }
        let cluster = Cluster {
            id: *id,
            name: name.clone(),
            owner: *owner,
            access: Vec::new(),
            created: created.clone(),
            created_by: created_by.clone(),
            schema: Arc::new(Schema::empty()),
            counters: BTreeMap::new(),
            replicas: known,
            settled: None,
            voids: BTreeMap::new(),
            undo: None,
            voided_versions: Vec::new(),
            born: index,
            last_write: index,
        };
        catalog.clusters.insert(*id, Arc::new(cluster));
        Ok(())
    }
}

/// A replica of a cluster that is born at `index`: in sync, since both are empty.
fn empty_replica(id: ReplicaId, endpoint: uuid::Uuid, place: &Place, index: Index) -> Replica {
    Replica {
        id,
        endpoint,
        engine: EngineKind::Sqlite,
        place: place.clone(),
        state: ReplicaState::InSync,
        incarnation: None,
        since: index,
        lost_votes_at: Vec::new(),
        reason: None,
    }
}

fn no_user(id: UserId) -> Error {
    Error::new(
        SqlState::UNDEFINED_OBJECT,
        format!("role {id} does not exist"),
    )
}
