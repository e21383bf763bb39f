//! Arguments by name: `make_interval(days => 3)`.
//!
//! Not handled: functions other than those listed here.

use super::Binder;
use crate::error::{Result, SqlState};
use crate::plan::syntax::{Call, Expr, Node, Place};

/// The parameters of functions, and what those that are left out are.
const PARAMETERS: &[(&str, &[&str], Option<&str>)] = &[
    (
        "make_interval",
        &["years", "months", "weeks", "days", "hours", "mins", "secs"],
        Some("0"),
    ),
    ("make_date", &["year", "month", "day"], None),
    ("make_time", &["hour", "min", "sec"], None),
    (
        "make_timestamp",
        &["year", "month", "mday", "hour", "min", "sec"],
        None,
    ),
    (
        "make_timestamptz",
        &["year", "month", "mday", "hour", "min", "sec", "timezone"],
        None,
    ),
    (
        "jsonb_set",
        &["jsonb_in", "path", "replacement", "create_if_missing"],
        None,
    ),
    (
        "jsonb_set_lax",
        &[
            "jsonb_in",
            "path",
            "replacement",
            "create_if_missing",
            "null_value_treatment",
        ],
        None,
    ),
    (
        "jsonb_insert",
        &["jsonb_in", "path", "replacement", "insert_after"],
        None,
    ),
    ("parse_ident", &["str", "strict"], None),
];

impl Binder<'_> {
    /// The call with all its arguments in their places.
    pub(super) fn in_order(&self, name: &str, call: &Call, place: Place) -> Result<Call> {
        let Some((_, parameters, missing)) = PARAMETERS.iter().find(|known| known.0 == name) else {
            return self.unsupported("naming an argument of this function", place);
        };
        let missing_function = || {
            let message = format!("function {name} with these arguments does not exist");
            self.error(SqlState::UNDEFINED_FUNCTION, place, message)
        };
        let first = call.arguments.len() - call.names.len();
        let mut given: Vec<Option<Expr>> = vec![None; parameters.len()];
        for (at, argument) in call.arguments.iter().enumerate() {
            let at = match at.checked_sub(first) {
                None => at,
                Some(named) => {
                    let wanted = &call.names[named].text;
                    let found = parameters.iter().position(|known| known == wanted);
                    found.ok_or_else(missing_function)?
                }
            };
            match given.get_mut(at) {
                Some(free @ None) => *free = Some(argument.clone()),
                Some(Some(_)) => {
                    let message =
                        format!("argument name \"{}\" used more than once", parameters[at]);
                    return Err(self.error(SqlState::SYNTAX_ERROR, place, message));
                }
                None => return Err(missing_function()),
            }
        }
        let last = given
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |last| last + 1);
        let mut arguments = Vec::with_capacity(last);
        for argument in given.into_iter().take(last) {
            arguments.push(match (argument, missing) {
                (Some(argument), _) => argument,
                (None, Some(value)) => Expr {
                    place,
                    node: Node::Integer((*value).to_owned()),
                },
                (None, None) => return Err(missing_function()),
            });
        }
        Ok(Call {
            arguments,
            names: Vec::new(),
            ..call.clone()
        })
    }
}
