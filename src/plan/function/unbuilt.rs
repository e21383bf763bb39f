//! Functions that PostgreSQL has and we do not: their calls answer 0A000
//! rather than that they do not exist.

/// Names, and beginnings of names that end in `*`.
const NAMES: &[&str] = &[
    "currtid2",
    "current_query",
    "is_normalized",
    "json_populate_record*",
    "json_to_record*",
    "jsonb_path_*",
    "jsonb_populate_record*",
    "jsonb_to_record*",
    "lo_*",
    "normalize",
    "pg_advisory_*",
    "pg_cancel_backend",
    "pg_column_size",
    "pg_current_wal*",
    "pg_export_snapshot",
    "pg_identify_object",
    "pg_notify",
    "pg_reload_conf",
    "pg_sequence_parameters",
    "pg_terminate_backend",
    "pg_timezone_*",
    "pg_try_advisory_*",
    "plainto_tsquery",
    "setseed",
    "timeofday",
    "to_ascii",
    "to_tsquery",
    "to_tsvector",
    "ts_*",
    "txid_*",
    "xml*",
];

/// PostgreSQL knows a function of this name that is not built here.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *known,
    })
}
