//! What replicas' files say of themselves before anything is opened: how far
//! the log must reach at least.
//!
//! A log that was lost or put back from an older copy would be taken for the
//! whole truth, and replicas that are ahead of it for equal ones. One file
//! alone may be damaged: what counts is what most replicas of a data cluster
//! have applied.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::engine::sqlite::connections::ReadConnection;
use crate::engine::sqlite::position;
use crate::types::id::{ClusterId, Index, ReplicaId};

/// How the files of replicas end.
const ENDING: &str = ".db";

/// Where a replica's file lies.
pub fn path(directory: &Path, cluster: ClusterId, replica: ReplicaId) -> PathBuf {
    directory.join(format!("{cluster}-{replica}{ENDING}"))
}

/// The entry that most replicas of some data cluster have applied.
pub fn applied_by_most(directory: &Path) -> Index {
    let mut clusters: HashMap<String, Vec<Index>> = HashMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((cluster, _)) = name
            .strip_suffix(ENDING)
            .and_then(|name| name.rsplit_once('-'))
        else {
            continue;
        };
        // One that cannot be read says nothing; it will be repaired.
        if let Some(applied) = applied(&entry.path()) {
            let of_cluster = clusters.entry(cluster.to_owned()).or_default();
            of_cluster.push(applied);
        }
    }
    let most = clusters.into_values().filter_map(|mut applied| {
        applied.sort_unstable_by(|a, b| b.cmp(a));
        applied.get(applied.len() / 2).copied()
    });
    most.max().unwrap_or_default()
}

fn applied(path: &Path) -> Option<Index> {
    let connection = ReadConnection::open(path).ok()?;
    position::applied(connection.connection()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sqlite::writer::Writer;

    #[test]
    fn most_replicas_decide() {
        let directory = tempfile::tempdir().unwrap();
        let cluster = ClusterId(uuid::Uuid::from_u128(7));
        let make = |replica: u64, applied: u64| {
            let path = path(directory.path(), cluster, ReplicaId(replica));
            drop(Writer::open(&path, Index(applied)).unwrap());
        };
        assert_eq!(applied_by_most(directory.path()), Index(0));
        make(0, 10);
        assert_eq!(applied_by_most(directory.path()), Index(10));
        make(1, 12);
        make(2, u64::from(u32::MAX));
        assert_eq!(applied_by_most(directory.path()), Index(12));
        std::fs::write(directory.path().join("x-9.db"), "no database").unwrap();
        std::fs::write(directory.path().join("other"), "").unwrap();
        assert_eq!(applied_by_most(directory.path()), Index(12));
        assert_eq!(applied_by_most(Path::new("/nowhere")), Index(0));
    }
}
