//! The settings of a session by name: SET, SHOW, RESET, and what clients are told of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::definition::{Definition, Kind};
use super::definitions::{self, find, is_unbuilt};
use crate::error::{Error, Result, SqlState};
use crate::plan::context::Variables;
use crate::plan::statement::Isolation;
use crate::types::datetime::zone::{Zone, fixed_name};
use crate::types::settings::{DateFormat, DateOrder, DateStyle, IntervalStyle, Settings};

/// How many letters a setting's value may have.
const VALUE_BYTES_MAX: usize = 8192;

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
        definitions::all()
            .map(|d| (d.name, shown(d), d.description))
            .collect()
    }

    pub fn reset_all(&mut self) {
        self.values = self.initial.clone();
    }

    /// The settings that clients are told of.
    pub fn reports(&self) -> Vec<(String, String)> {
        let reported = definitions::all().filter(|definition| definition.reported);
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
        Isolation::named(self.raw(name)).unwrap_or(Isolation::ReadCommitted)
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
    if is_unbuilt(name) {
        return Error::unsupported(format!("the setting {name}"));
    }
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
        Kind::Bool => on_or_off(boolean(definition.name, &lower)?).to_owned(),
        Kind::Integer(min, max) => integer(definition, &value, min, max)?,
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
        Kind::SearchPath => search_path(value)?,
        Kind::Fixed => fixed(definition, &lower)?,
        Kind::ReadOnly => {
            let message = format!("parameter \"{}\" cannot be changed", definition.name);
            return Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
    })
}

/// Names are looked for in public only: another path would be another result.
fn search_path(value: String) -> Result<String> {
    const SEARCHED: [&str; 5] = ["", "$user", "public", "pg_catalog", "pg_temp"];
    let names = value.split(',').map(|name| name.trim().trim_matches('"'));
    let mut others = names.filter(|name| !SEARCHED.contains(name));
    match others.next() {
        None => Ok(value),
        Some(other) => Err(Error::unsupported(format!(
            "search_path with schema \"{other}\""
        ))),
    }
}

/// A Boolean as PostgreSQL reads it: words may be cut short where that leaves
/// no doubt.
pub(super) fn boolean(name: &str, value: &str) -> Result<bool> {
    let lower = value.to_ascii_lowercase();
    let is = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    let on = is("true", 1) || is("yes", 1) || is("on", 2) || lower == "1";
    let off = is("false", 1) || is("no", 1) || is("off", 2) || lower == "0";
    match on || off {
        true => Ok(on),
        false => {
            let message = format!("parameter \"{name}\" requires a Boolean value");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
    }
}

pub(super) fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn integer(definition: &Definition, value: &str, min: i64, max: i64) -> Result<String> {
    let number = value
        .trim()
        .parse::<i64>()
        .map_err(|_| invalid(definition, value))?;
    if !(min..=max).contains(&number) {
        let name = definition.name;
        let message = format!(
            "{number} is outside the valid range for parameter \"{name}\" ({min} .. {max})"
        );
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(number.to_string())
}

/// The one value that is offered, however it is spelled.
fn fixed(definition: &Definition, lower: &str) -> Result<String> {
    // Encodings are compared by their letters and digits alone, quotes left out too.
    let bare: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    let same = bare == definition.default.to_ascii_lowercase()
        || (definition.name == "client_encoding" && bare == "unicode")
        || (definition.name == "standard_conforming_strings"
            && ["true", "1", "yes"].contains(&lower));
    match same {
        true => Ok(definition.default.to_owned()),
        false => {
            let what = format!("{} other than {}", definition.name, definition.default);
            Err(Error::unsupported(what))
        }
    }
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
        for utf8 in ["utf-8", "'utf-8'", "UTF_8", "Unicode"] {
            variables.set("client_encoding", Some(utf8)).unwrap();
        }
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
    fn booleans_may_be_cut_short() {
        for (text, expected) in [
            ("t", Some(true)),
            ("TRU", Some(true)),
            ("y", Some(true)),
            ("on", Some(true)),
            ("1", Some(true)),
            ("f", Some(false)),
            ("n", Some(false)),
            ("of", Some(false)),
            ("off", Some(false)),
            ("0", Some(false)),
            ("o", None),
            ("", None),
            ("truer", None),
            ("10", None),
        ] {
            assert_eq!(boolean("x", text).ok(), expected, "{text}");
        }
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
