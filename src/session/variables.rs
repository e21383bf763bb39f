//! The settings of a session by name: SET, SHOW, RESET, and what clients are told of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result, SqlState};
use crate::plan::context::Variables;
use crate::plan::statement::Isolation;
use crate::types::datetime::zone::{Zone, fixed_name};
use crate::types::settings::{DateFormat, DateOrder, DateStyle, IntervalStyle, Settings};

/// The version of PostgreSQL whose behaviour clients may expect.
pub const SERVER_VERSION: &str = "15.8";

/// How many letters a setting's value may have.
const VALUE_BYTES_MAX: usize = 8192;

/// One setting: name, default, how it is checked, description.
struct Definition {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Sent to the client when it changes.
    reported: bool,
    description: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bool,
    Integer(i64, i64),
    /// Milliseconds with units.
    Time,
    /// One of the words after `|`.
    Words(&'static [&'static str]),
    TimeZone,
    DateStyle,
    IntervalStyle,
    /// Only this value is offered.
    Fixed,
    /// May be shown, not set.
    ReadOnly,
}

const fn definition(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        reported: false,
        description,
    }
}

const fn reported(
    name: &'static str,
    default: &'static str,
    kind: Kind,
    description: &'static str,
) -> Definition {
    Definition {
        name,
        default,
        kind,
        reported: true,
        description,
    }
}

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
        "Accepted, without effect.",
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
        Kind::Text,
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

fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS
        .iter()
        .find(|definition| definition.name.eq_ignore_ascii_case(name))
}

/// All settings of one session.
#[derive(Clone, Debug, Default)]
pub struct SessionVariables {
    /// What differs from the default, by the definition's name or, for a
    /// dotted name that nobody defines, by that.
    values: BTreeMap<String, String>,
    /// What the session began with, for RESET.
    initial: BTreeMap<String, String>,
}

impl SessionVariables {
    /// Sets one at the session's start: it is what RESET goes back to.
    pub fn start(&mut self, name: &str, value: &str) -> Result<()> {
        self.set(name, Some(value))?;
        self.initial = self.values.clone();
        Ok(())
    }

    /// Sets what the system itself knows of the session.
    pub fn fix(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
        self.initial = self.values.clone();
    }

    /// Sets a value; `None` is DEFAULT.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let Some(definition) = find(name) else {
            if !name.contains('.') || name.to_ascii_lowercase().starts_with("pyql.") {
                return Err(unknown(name));
            }
            let name = name.to_ascii_lowercase();
            match value {
                Some(value) => self.values.insert(name, checked_length(value)?),
                None => self.values.remove(&name),
            };
            return Ok(());
        };
        match value {
            None => match self.initial.get(definition.name).cloned() {
                Some(initial) => drop(self.values.insert(definition.name.to_owned(), initial)),
                None => drop(self.values.remove(definition.name)),
            },
            Some(value) => {
                let value = normalise(definition, value, &self.settings())?;
                self.values.insert(definition.name.to_owned(), value);
            }
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Result<String> {
        let own = match find(name) {
            Some(definition) => {
                let own = self.values.get(definition.name).cloned();
                Some(own.unwrap_or_else(|| definition.default.to_owned())).map(|value| {
                    if definition.kind == Kind::Time {
                        shown_time(&value)
                    } else {
                        value
                    }
                })
            }
            None => self.values.get(&name.to_ascii_lowercase()).cloned(),
        };
        own.ok_or_else(|| unknown(name))
    }

    /// All of them: name, value, description.
    pub fn all(&self) -> Vec<(&'static str, String, &'static str)> {
        let shown = |definition: &Definition| self.get(definition.name).unwrap_or_default();
        DEFINITIONS
            .iter()
            .map(|d| (d.name, shown(d), d.description))
            .collect()
    }

    pub fn reset_all(&mut self) {
        self.values = self.initial.clone();
    }

    /// The settings that clients are told of.
    pub fn reports(&self) -> Vec<(String, String)> {
        let reported = DEFINITIONS.iter().filter(|definition| definition.reported);
        reported
            .map(|d| (d.name.to_owned(), self.get(d.name).unwrap_or_default()))
            .collect()
    }

    fn raw(&self, name: &'static str) -> &str {
        let default = || find(name).map_or("", |definition| definition.default);
        self.values.get(name).map_or_else(default, String::as_str)
    }

    /// A time limit; `None` for 0.
    pub fn duration(&self, name: &'static str) -> Option<Duration> {
        let milliseconds = self.raw(name).parse::<u64>().unwrap_or(0);
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    pub fn flag(&self, name: &'static str) -> bool {
        self.raw(name) == "on"
    }

    pub fn isolation(&self, name: &'static str) -> Isolation {
        match self.raw(name) {
            "repeatable read" => Isolation::RepeatableRead,
            "serializable" => Isolation::Serializable,
            _ => Isolation::ReadCommitted,
        }
    }

    pub fn consistency(&self) -> &str {
        self.raw("pyql.consistency")
    }

    /// What changes the meaning of values.
    pub fn settings(&self) -> Settings {
        Settings {
            time_zone: self.raw("TimeZone").to_owned(),
            date_style: date_style(self.raw("DateStyle"), Settings::default().date_style)
                .unwrap_or(Settings::default().date_style),
            interval_style: interval_style(self.raw("IntervalStyle"))
                .unwrap_or(IntervalStyle::Postgres),
            extra_float_digits: self.raw("extra_float_digits").parse().unwrap_or(1),
            bytea_hex: self.raw("bytea_output") == "hex",
        }
    }

    /// A view for `current_setting`.
    pub fn shared(&self) -> Arc<dyn Variables> {
        Arc::new(self.clone())
    }
}

impl Variables for SessionVariables {
    fn get(&self, name: &str) -> Option<String> {
        SessionVariables::get(self, name).ok()
    }
}

fn unknown(name: &str) -> Error {
    let message = format!("unrecognized configuration parameter \"{name}\"");
    Error::new(SqlState::UNDEFINED_OBJECT, message)
}

fn invalid(definition: &Definition, value: &str) -> Error {
    let name = definition.name;
    let message = format!("invalid value for parameter \"{name}\": \"{value}\"");
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn checked_length(value: &str) -> Result<String> {
    match value.len() <= VALUE_BYTES_MAX {
        true => Ok(value.to_owned()),
        false => Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "the value is too long",
        )),
    }
}

fn normalise(definition: &Definition, value: &str, settings: &Settings) -> Result<String> {
    let value = checked_length(value)?;
    let lower = value.to_ascii_lowercase();
    Ok(match definition.kind {
        Kind::Text => value,
        Kind::Bool => match lower.as_str() {
            "on" | "true" | "yes" | "1" | "t" | "y" => "on".to_owned(),
            "off" | "false" | "no" | "0" | "f" | "n" => "off".to_owned(),
            _ => {
                let message = format!("parameter \"{}\" requires a Boolean value", definition.name);
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        },
        Kind::Integer(min, max) => {
            let number: i64 = value
                .trim()
                .parse()
                .map_err(|_| invalid(definition, &value))?;
            if !(min..=max).contains(&number) {
                let name = definition.name;
                let message = format!(
                    "{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})"
                );
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            number.to_string()
        }
        Kind::Time => time(&lower)
            .ok_or_else(|| invalid(definition, &value))?
            .to_string(),
        Kind::Words(words) => {
            let known = words.contains(&lower.as_str());
            if known {
                lower
            } else {
                return Err(invalid(definition, &value));
            }
        }
        Kind::TimeZone => {
            let zone = if lower == "default" || lower == "local" {
                "UTC".to_owned()
            } else {
                hours_east(&value).unwrap_or(value)
            };
            Zone::of(&zone).map_err(|_| invalid(definition, &zone))?;
            zone
        }
        Kind::DateStyle => {
            let style = date_style(&value, settings.date_style);
            style_text(style.ok_or_else(|| invalid(definition, &value))?)
        }
        Kind::IntervalStyle => {
            interval_style(&lower).ok_or_else(|| invalid(definition, &value))?;
            lower
        }
        Kind::Fixed => {
            let same = lower.replace(['-', '_'], "") == definition.default.to_ascii_lowercase()
                || (definition.name == "client_encoding" && lower == "unicode")
                || (definition.name == "standard_conforming_strings"
                    && ["true", "1", "yes"].contains(&lower.as_str()));
            match same {
                true => definition.default.to_owned(),
                false => {
                    let what = format!("{} other than {}", definition.name, definition.default);
                    return Err(Error::unsupported(what));
                }
            }
        }
        Kind::ReadOnly => {
            let message = format!("parameter \"{}\" cannot be changed", definition.name);
            return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
    })
}

/// Milliseconds of `10`, `10ms`, `5s`, `2min`, `1h`, `1d`.
fn time(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: f64 = digits.trim().parse().ok()?;
    let factor = match text[digits.len()..].trim() {
        "" | "ms" => 1.0,
        "us" => 0.001,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let milliseconds = (number * factor).round();
    (0.0..=2_147_483_647.0)
        .contains(&milliseconds)
        .then_some(milliseconds as u64)
}

/// As SHOW prints it: in the largest unit that divides it.
fn shown_time(milliseconds: &str) -> String {
    let Ok(number) = milliseconds.parse::<u64>() else {
        return milliseconds.to_owned();
    };
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
        (1, "ms"),
    ];
    let unit = units
        .iter()
        .find(|(size, _)| number > 0 && number % size == 0);
    unit.map_or_else(
        || "0".to_owned(),
        |(size, name)| format!("{}{name}", number / size),
    )
}

/// A bare number is a zone that many hours east of Greenwich.
fn hours_east(text: &str) -> Option<String> {
    let hours: f64 = text.trim().parse().ok()?;
    let known = hours.abs() < 168.0;
    known.then(|| fixed_name((hours * 3600.0) as i32))
}

fn date_style(text: &str, now: DateStyle) -> Option<DateStyle> {
    let mut style = now;
    for word in text.split(',') {
        match word.trim().to_ascii_lowercase().as_str() {
            "iso" => style.format = DateFormat::Iso,
            "sql" => style.format = DateFormat::Sql,
            "postgres" => style.format = DateFormat::Postgres,
            "german" => {
                style = DateStyle {
                    format: DateFormat::German,
                    order: DateOrder::Dmy,
                }
            }
            "mdy" | "us" | "noneuro" | "noneuropean" => style.order = DateOrder::Mdy,
            "dmy" | "euro" | "european" => style.order = DateOrder::Dmy,
            "ymd" => style.order = DateOrder::Ymd,
            "default" => style = Settings::default().date_style,
            _ => return None,
        }
    }
    Some(style)
}

fn style_text(style: DateStyle) -> String {
    let format = match style.format {
        DateFormat::Iso => "ISO",
        DateFormat::Sql => "SQL",
        DateFormat::Postgres => "Postgres",
        DateFormat::German => "German",
    };
    let order = match style.order {
        DateOrder::Mdy => "MDY",
        DateOrder::Dmy => "DMY",
        DateOrder::Ymd => "YMD",
    };
    format!("{format}, {order}")
}

fn interval_style(text: &str) -> Option<IntervalStyle> {
    Some(match text {
        "postgres" => IntervalStyle::Postgres,
        "postgres_verbose" => IntervalStyle::PostgresVerbose,
        "sql_standard" => IntervalStyle::SqlStandard,
        "iso_8601" => IntervalStyle::Iso8601,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_normalised() {
        let mut variables = SessionVariables::default();
        variables.set("statement_timeout", Some("2min")).unwrap();
        assert_eq!(variables.get("STATEMENT_TIMEOUT").unwrap(), "2min");
        assert_eq!(
            variables.duration("statement_timeout"),
            Some(Duration::from_secs(120))
        );
        variables.set("datestyle", Some("german")).unwrap();
        assert_eq!(variables.get("DateStyle").unwrap(), "German, DMY");
        variables.set("datestyle", Some("iso")).unwrap();
        assert_eq!(variables.get("DateStyle").unwrap(), "ISO, DMY");
        variables.set("client_encoding", Some("utf-8")).unwrap();
        for (name, value, state) in [
            ("no_such", "1", "42704"),
            ("pyql.no_such", "1", "42704"),
            ("client_encoding", "LATIN1", "0A000"),
            ("extra_float_digits", "9", "22023"),
            ("server_version", "16", "55P02"),
            ("default_transaction_read_only", "maybe", "22023"),
        ] {
            assert_eq!(
                variables
                    .set(name, Some(value))
                    .unwrap_err()
                    .state()
                    .as_str(),
                state,
                "{name}"
            );
        }
        variables.set("my.own", Some("x")).unwrap();
        assert_eq!(variables.get("my.own").unwrap(), "x");
    }

    #[test]
    fn reset_goes_back_to_the_start() {
        let mut variables = SessionVariables::default();
        variables.start("application_name", "psql").unwrap();
        variables.set("application_name", Some("other")).unwrap();
        variables.set("application_name", None).unwrap();
        assert_eq!(variables.get("application_name").unwrap(), "psql");
        variables.set("DateStyle", Some("sql, dmy")).unwrap();
        variables.reset_all();
        assert_eq!(variables.get("DateStyle").unwrap(), "ISO, MDY");
    }
}
