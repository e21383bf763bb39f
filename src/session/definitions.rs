//! The settings that exist: name, default, how a value is checked.

use super::definition::{Definition, Kind, definition, reported};
use super::tuning::TUNING;
use crate::plan::function::SERVER_VERSION;

const ISOLATION: &[&str] = &[
    "read committed",
    "repeatable read",
    "serializable",
    "read uncommitted",
];
const MESSAGES: &[&str] = &[
    "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
];

static DEFINITIONS: &[Definition] = &[
    reported(
        "application_name",
        "",
        Kind::Text,
        "Name of the application, for monitoring.",
    ),
    definition(
        "bytea_output",
        "hex",
        Kind::Words(&["hex", "escape"]),
        "Output format of bytea.",
    ),
    definition(
        "check_function_bodies",
        "on",
        Kind::Bool,
        "Accepted; there are no functions to check.",
    ),
    reported(
        "client_encoding",
        "UTF8",
        Kind::Fixed,
        "The client's character set.",
    ),
    definition(
        "client_min_messages",
        "notice",
        Kind::Words(MESSAGES),
        "Least level of messages sent.",
    ),
    reported(
        "DateStyle",
        "ISO, MDY",
        Kind::DateStyle,
        "How dates are printed and read.",
    ),
    definition(
        "default_table_access_method",
        "heap",
        Kind::Text,
        "Accepted, without effect.",
    ),
    definition(
        "default_tablespace",
        "",
        Kind::Text,
        "Accepted, without effect.",
    ),
    definition(
        "default_transaction_isolation",
        "read committed",
        Kind::Words(ISOLATION),
        "Isolation of new transactions.",
    ),
    reported(
        "default_transaction_read_only",
        "off",
        Kind::Bool,
        "Whether new transactions only read.",
    ),
    definition(
        "default_transaction_deferrable",
        "off",
        Kind::Bool,
        "Accepted, without effect.",
    ),
    definition(
        "extra_float_digits",
        "1",
        Kind::Integer(-15, 3),
        "Digits of printed floats.",
    ),
    definition(
        "idle_in_transaction_session_timeout",
        "60000",
        Kind::Time,
        "Longest idle time in a transaction; 0: none.",
    ),
    definition(
        "idle_session_timeout",
        "0",
        Kind::Time,
        "Longest idle time outside a transaction; 0: none.",
    ),
    reported("in_hot_standby", "off", Kind::ReadOnly, "Never a standby."),
    reported(
        "integer_datetimes",
        "on",
        Kind::ReadOnly,
        "Times are integers.",
    ),
    reported(
        "IntervalStyle",
        "postgres",
        Kind::IntervalStyle,
        "How intervals are printed.",
    ),
    reported(
        "is_superuser",
        "off",
        Kind::ReadOnly,
        "Whether the user administers.",
    ),
    definition("jit", "off", Kind::Bool, "Accepted, without effect."),
    definition(
        "lc_collate",
        "C",
        Kind::ReadOnly,
        "Order of texts: by bytes.",
    ),
    definition("lc_ctype", "C", Kind::ReadOnly, "Character classes."),
    definition(
        "lc_messages",
        "C",
        Kind::Text,
        "Language of messages: English.",
    ),
    definition("lc_monetary", "C", Kind::Text, "Accepted, without effect."),
    definition("lc_numeric", "C", Kind::Text, "Accepted, without effect."),
    definition("lc_time", "C", Kind::Text, "Accepted, without effect."),
    definition(
        "lock_timeout",
        "0",
        Kind::Time,
        "Longest wait for another transaction's claim; 0: none.",
    ),
    definition(
        "max_identifier_length",
        "63",
        Kind::ReadOnly,
        "Longest name, in bytes.",
    ),
    definition(
        "max_index_keys",
        "32",
        Kind::ReadOnly,
        "Most columns of an index.",
    ),
    definition(
        "pyql.consistency",
        "strong",
        Kind::Words(&["strong", "quorum", "session", "any"]),
        "How fresh reads are.",
    ),
    definition(
        "row_security",
        "on",
        Kind::Bool,
        "Accepted; there are no policies.",
    ),
    definition(
        "search_path",
        "\"$user\", public",
        Kind::SearchPath,
        "Only public is searched, after the catalogs.",
    ),
    reported(
        "server_encoding",
        "UTF8",
        Kind::ReadOnly,
        "The server's character set.",
    ),
    reported(
        "server_version",
        SERVER_VERSION,
        Kind::ReadOnly,
        "The PostgreSQL version we answer as.",
    ),
    definition(
        "server_version_num",
        "150008",
        Kind::ReadOnly,
        "The same as a number.",
    ),
    reported(
        "session_authorization",
        "",
        Kind::ReadOnly,
        "The session's user.",
    ),
    reported(
        "standard_conforming_strings",
        "on",
        Kind::Fixed,
        "Backslashes are plain in strings.",
    ),
    definition(
        "statement_timeout",
        "0",
        Kind::Time,
        "Longest run of a statement; 0: none.",
    ),
    definition(
        "synchronize_seqscans",
        "on",
        Kind::Bool,
        "Accepted, without effect.",
    ),
    definition(
        "synchronous_commit",
        "on",
        Kind::Words(&["on", "off", "local", "remote_write", "remote_apply"]),
        "Accepted: every commit is durable in the log.",
    ),
    reported(
        "TimeZone",
        "UTC",
        Kind::TimeZone,
        "The session's time zone.",
    ),
    definition(
        "transaction_deferrable",
        "off",
        Kind::Bool,
        "Accepted, without effect.",
    ),
    definition(
        "transaction_isolation",
        "read committed",
        Kind::Words(ISOLATION),
        "This transaction's isolation.",
    ),
    definition(
        "transaction_read_only",
        "off",
        Kind::Bool,
        "Whether this transaction only reads.",
    ),
    definition("work_mem", "4MB", Kind::Text, "Accepted, without effect."),
    definition(
        "maintenance_work_mem",
        "64MB",
        Kind::Text,
        "Accepted, without effect.",
    ),
    definition(
        "xmloption",
        "content",
        Kind::Words(&["content", "document"]),
        "Accepted, without effect.",
    ),
];

/// All settings that there are.
pub(super) fn all() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter().chain(TUNING)
}

pub(super) fn find(name: &str) -> Option<&'static Definition> {
    all().find(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// PostgreSQL has a setting of this name, and we have not.
pub(super) fn is_unbuilt(name: &str) -> bool {
    UNBUILT
        .lines()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// The names of PostgreSQL's other settings.
const UNBUILT: &str = include_str!("unbuilt.txt");
