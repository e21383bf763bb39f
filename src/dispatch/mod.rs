//! Runs plans: reads on one replica, writes through the sequencer on all.

use std::sync::Arc;

use crate::catalog::{Catalog, UserKind};
use crate::error::{Error, Result};
use crate::types::id::{ClusterId, NodeId, UserId};

/// The node's entry to everything behind the front ends.
pub struct Dispatch {
    node: NodeId,
}

/// Where this node stands in the group, as `/cluster/pyql/ready` tells it.
#[derive(Clone, Debug)]
pub struct Quorum {
    pub node: String,
    pub voters: Vec<String>,
    /// Voters that do not answer, with the unix time since when.
    pub missing: Vec<(String, f64)>,
    pub in_quorum: bool,
    pub ready: bool,
    /// Unix seconds of this check.
    pub checked: f64,
}

impl Dispatch {
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The replicated state as this node has applied it.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::new(Catalog::default())
    }

    /// Checks with a majority of voters, at most a second.
    pub async fn quorum(&self) -> Quorum {
        Quorum {
            node: String::new(),
            voters: Vec::new(),
            missing: Vec::new(),
            in_quorum: false,
            ready: false,
            checked: 0.0,
        }
    }

    /// Makes a user and its service account; 42710 when the name or email is taken.
    pub async fn create_user(
        &self,
        name: &str,
        email: Option<&str>,
        kind: UserKind,
        password: Option<&str>,
    ) -> Result<UserId> {
        let _ = (name, email, kind, password);
        Err(Error::unsupported("CREATE USER"))
    }

    /// Changes a user's password or kind.
    pub async fn alter_user(
        &self,
        id: UserId,
        password: Option<&str>,
        kind: Option<UserKind>,
    ) -> Result<()> {
        let _ = (id, password, kind);
        Err(Error::unsupported("ALTER USER"))
    }

    /// 2BP01 while the user owns data clusters.
    pub async fn drop_user(&self, id: UserId) -> Result<()> {
        let _ = id;
        Err(Error::unsupported("DROP USER"))
    }

    /// Makes a data cluster with an embedded replica on every node; 42P04 when
    /// the owner has one of this name.
    pub async fn create_cluster(&self, name: &str, owner: UserId) -> Result<ClusterId> {
        let _ = (name, owner);
        Err(Error::unsupported("CREATE DATABASE"))
    }

    pub async fn drop_cluster(&self, id: ClusterId) -> Result<()> {
        let _ = id;
        Err(Error::unsupported("DROP DATABASE"))
    }

    /// Sets with whom a data cluster is shared.
    pub async fn set_access(&self, cluster: ClusterId, access: Vec<UserId>) -> Result<()> {
        let _ = (cluster, access);
        Err(Error::unsupported("GRANT"))
    }
}
