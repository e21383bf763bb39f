//! What administrators and owners change of the catalog: users, data clusters, sharing.

use std::time::Duration;

use super::Dispatch;
use crate::auth;
use crate::catalog::{Place, UserKind};
use crate::error::{Error, Result, SqlState};
use crate::log::command::Command;
use crate::types::datetime::format::write_date;
use crate::types::datetime::{MICROSECONDS_PER_DAY, UNIX_EPOCH_DAYS};
use crate::types::id::{ClusterId, UserId};
use crate::types::settings::Settings;

/// How long a new data cluster may take to be usable.
const CLUSTER_READY_MAX: Duration = Duration::from_secs(10);

impl Dispatch {
    /// Makes a user and its service account; 42710 when the name or email is taken.
    pub async fn create_user(
        &self,
        name: &str,
        email: Option<&str>,
        kind: UserKind,
        password: Option<&str>,
    ) -> Result<UserId> {
        if name.is_empty() || name.contains('/') {
            return Err(Error::new(
                SqlState::INVALID_NAME,
                "a user name is not empty and has no /",
            ));
        }
        let id = UserId(self.runtime.random_uuid());
        let command = Command::CreateUser {
            id,
            service: UserId(self.runtime.random_uuid()),
            name: name.to_owned(),
            email: email.map(str::to_owned),
            kind,
            verifier: password.map(|password| self.verifier(password)),
        };
        self.agree(command).await?;
        Ok(id)
    }

    fn verifier(&self, password: &str) -> crate::catalog::ScramVerifier {
        let mut salt = [0; 16];
        self.runtime.random_bytes(&mut salt);
        auth::password::verifier(password, &salt)
    }

    /// Changes a user's password or kind.
    pub async fn alter_user(
        &self,
        id: UserId,
        password: Option<&str>,
        kind: Option<UserKind>,
    ) -> Result<()> {
        let verifier = password.map(|password| self.verifier(password));
        self.agree(Command::AlterUser { id, verifier, kind }).await
    }

    /// 2BP01 while the user owns data clusters.
    pub async fn drop_user(&self, id: UserId) -> Result<()> {
        self.agree(Command::DropUser { id }).await
    }

    /// Makes a data cluster with embedded replicas on this node; 42P04 when
    /// the owner has one of this name. It is usable when this returns.
    pub async fn create_cluster(&self, name: &str, owner: UserId) -> Result<ClusterId> {
        if name.is_empty() || name.contains('/') {
            let message = "a data cluster's name is not empty and has no /";
            return Err(Error::new(SqlState::INVALID_NAME, message));
        }
        let id = ClusterId(self.runtime.random_uuid());
        let place = Place::Embedded(self.node);
        let replicas =
            (0..self.embedded_replicas).map(|_| (self.runtime.random_uuid(), place.clone()));
        let days = self.runtime.unix_micros().div_euclid(MICROSECONDS_PER_DAY);
        let catalog = self.catalog();
        let created_by = catalog.nodes.get(&self.node).map(|node| node.name.clone());
        let command = Command::CreateCluster {
            id,
            name: name.to_owned(),
            owner,
            created: iso_date(days),
            created_by: created_by.unwrap_or_default(),
            replicas: replicas.collect(),
        };
        self.agree(command).await?;
        if let Err(error) = self.open_clusters().await
            && self.cluster(id).is_err()
        {
            return Err(error);
        }
        let deadline = self.runtime.now() + CLUSTER_READY_MAX;
        while !self.is_served(id) {
            if self.runtime.now() >= deadline {
                return Err(Error::unavailable(
                    "the data cluster exists but does not serve yet",
                ));
            }
            self.runtime.sleep(Duration::from_millis(2)).await;
        }
        Ok(id)
    }

    pub async fn drop_cluster(&self, id: ClusterId) -> Result<()> {
        self.agree(Command::DropCluster { id }).await?;
        // That another one cannot be opened is told where it is.
        let _ = self.open_clusters().await;
        Ok(())
    }

    /// Sets with whom a data cluster is shared.
    pub async fn set_access(&self, cluster: ClusterId, access: Vec<UserId>) -> Result<()> {
        self.agree(Command::SetAccess { cluster, access }).await
    }

    /// Proposes a change of the catalog; its refusal is the caller's error.
    pub async fn agree(&self, command: Command) -> Result<()> {
        let proposed = self.log.propose(command).await?;
        match proposed.answer.refused {
            None => Ok(()),
            Some((state, message)) => Err(Error::new(SqlState(state), message)),
        }
    }
}

/// `YYYY-MM-DD` of days since 1970-01-01.
fn iso_date(unix_days: i64) -> String {
    let mut text = String::new();
    let days = i32::try_from(unix_days + i64::from(UNIX_EPOCH_DAYS)).unwrap_or(0);
    write_date(days, Settings::default().date_style, &mut text);
    text
}
