//! The node's quorum as the routes tell it, in answers and in refusals.

use serde_json::{Value as Json, json};

use crate::dispatch::Quorum;

/// The quorum object in the README's names, and in those of the source.
pub(super) fn quorum_json(quorum: &Quorum) -> Json {
    let health = match (quorum.in_quorum, quorum.ready) {
        (true, true) => "healthy",
        (true, false) => "healing",
        (false, _) => "unhealthy",
    };
    let missing: Vec<Json> = quorum
        .missing
        .iter()
        .map(|(node, since)| json!({"uuid": node, "time": since}))
        .collect();
    json!({
        "health": health,
        "inQuorum": quorum.in_quorum,
        "in_quorum": quorum.in_quorum,
        "lastUpdateTime": quorum.checked,
        "last_update_time": quorum.checked,
        "missing": {"nodes": missing},
        "node": quorum.node,
        "nodes": {"nodes": quorum.voters},
        "ready": quorum.ready,
    })
}
