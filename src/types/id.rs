//! Identifiers, one newtype each, so that a term is never taken for an index.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

number_id! {
    /// A node of the group; never used twice.
    NodeId(u64);
    /// One start of a node's process, drawn at random.
    Boot(u64);
    /// A position in the log.
    Index(u64);
    /// A term of the log's leadership.
    Term(u64);
    /// One uninterrupted life of an endpoint's database, drawn at random.
    Incarnation(u64);
    /// Counts the schema changes of one data cluster.
    SchemaVersion(u64);
    /// A table of a data cluster; never used twice within it. Also its oid.
    TableId(u32);
    /// A column of a table; never used twice within it. Also its attnum.
    ColumnId(u16);
    /// An index, constraint or sequence; shares its numbers with tables.
    ObjectId(u32);
    /// A replica of a data cluster; never used twice.
    ReplicaId(u64);
    /// A client session of one boot of a node.
    SessionId(u64);
}

/// A data cluster, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub Uuid);

/// A user, whatever the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub Uuid);

impl ClusterId {
    /// The number under which the catalogs show it, as a database.
    pub fn oid(&self) -> u32 {
        folded(self.0)
    }
}

impl UserId {
    /// The number under which the catalogs show it, as a role.
    pub fn oid(&self) -> u32 {
        folded(self.0)
    }
}

/// A uuid in 31 bits, above the numbers of the system and of tables; two of a
/// few thousand hardly ever meet.
fn folded(uuid: Uuid) -> u32 {
    const LEAST: u32 = 1 << 30;
    let (high, low) = uuid.as_u64_pair();
    let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    LEAST | (mixed >> 34) as u32
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one client transaction for ever, so that a repeat is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransactionId {
    pub node: NodeId,
    pub boot: Boot,
    pub number: u64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:x}.{}", self.node, self.boot.0, self.number)
    }
}
