//! `where`: conditions on columns, all of which must hold.

use std::cmp::Ordering;

use super::json::Json;
use super::value::comparand;
use super::{Scope, Translation};
use crate::error::{Error, Result, SqlState};
use crate::types::compare::compare;
use crate::types::settings::Io;
use crate::types::{Type, Value};

/// How many values all lists of one `where` may have: what every engine takes
/// as parameters of one statement.
const MAX_LISTED_VALUES: usize = 10_000;
/// How many conditions one `where` may have.
const MAX_CONDITIONS: usize = 1_000;

/// A test of one column of the scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    table: usize,
    column: usize,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    IsNull,
    /// An SQL comparison; a null operand never holds.
    Compare(&'static str, Value, Type),
    In {
        values: Vec<(Value, Type)>,
        negated: bool,
    },
    /// The pieces between the wildcards.
    Like {
        pieces: Vec<String>,
        negated: bool,
    },
}

/// Reads an object of equalities, or a list of such objects and of
/// `[column, operator, value]`.
pub fn conditions(json: &Json, scope: &Scope, io: Io<'_>) -> Result<Vec<Condition>> {
    let mut reading = Reading {
        scope,
        io,
        listed: 0,
        conditions: Vec::new(),
    };
    match json {
        Json::Object(members) => reading.equalities(members)?,
        Json::List(list) => {
            for item in list {
                match item {
                    Json::Object(members) => reading.equalities(members)?,
                    Json::List(parts) => reading.operation(parts)?,
                    _ => return Err(wrong_shape()),
                }
            }
        }
        _ => return Err(wrong_shape()),
    }
    Ok(reading.conditions)
}

/// A `where` being read.
struct Reading<'a> {
    scope: &'a Scope,
    io: Io<'a>,
    /// Values in lists so far.
    listed: usize,
    conditions: Vec<Condition>,
}

impl Reading<'_> {
    fn equalities(&mut self, members: &[(String, Json)]) -> Result<()> {
        for (name, value) in members {
            let (table, column) = self.scope.resolve(name)?;
            let condition = Condition::equal(self.scope, table, column, value, self.io)?;
            self.push(condition)?;
        }
        Ok(())
    }

    fn push(&mut self, condition: Condition) -> Result<()> {
        if self.conditions.len() == MAX_CONDITIONS {
            return Err(Error::new(
                SqlState::STATEMENT_TOO_COMPLEX,
                format!("more than {MAX_CONDITIONS} conditions"),
            ));
        }
        self.conditions.push(condition);
        Ok(())
    }

    /// `[column, operator, value]`.
    fn operation(&mut self, parts: &[Json]) -> Result<()> {
        let [Json::Text(name), Json::Text(operator), value] = parts else {
            return Err(wrong_shape());
        };
        let (table, column) = self.scope.resolve(name)?;
        let definition = self.scope.column(table, column);
        let test = match (operator.as_str(), value) {
            ("in" | "not in", Json::List(list)) => {
                self.listed += list.len();
                if self.listed > MAX_LISTED_VALUES {
                    return Err(Error::new(
                        SqlState::TOO_MANY_ARGUMENTS,
                        format!("more than {MAX_LISTED_VALUES} values in lists"),
                    ));
                }
                let values = list
                    .iter()
                    .map(|value| comparand(value, definition, self.io));
                Test::In {
                    values: values.collect::<Result<_>>()?,
                    negated: operator == "not in",
                }
            }
            ("like" | "not like", Json::Text(pattern)) => Test::Like {
                pieces: pieces(pattern),
                negated: operator == "not like",
            },
            ("in" | "not in" | "like" | "not like", _) => return Err(wrong_shape()),
            (operator, value) => {
                let operator = comparison(operator)?;
                let (value, ty) = comparand(value, definition, self.io)?;
                Test::Compare(operator, value, ty)
            }
        };
        self.push(Condition {
            table,
            column,
            test,
        })
    }
}

/// A comparison as SQL spells it.
fn comparison(operator: &str) -> Result<&'static str> {
    Ok(match operator {
        "=" | "==" => "=",
        "<>" | "!=" => "<>",
        ">" => ">",
        ">=" => ">=",
        "<" => "<",
        "<=" => "<=",
        other => {
            return Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!(
                    "unknown operator '{other}', expected one of = == <> != > >= < <= in, not in, like, not like"
                ),
            ));
        }
    })
}

/// `*` stands for any text; a pattern without any means "contains".
fn pieces(pattern: &str) -> Vec<String> {
    if pattern.contains('*') {
        pattern.split('*').map(str::to_owned).collect()
    } else {
        vec![String::new(), pattern.to_owned(), String::new()]
    }
}

fn wrong_shape() -> Error {
    Error::new(
        SqlState::SYNTAX_ERROR,
        "where must be {\"column\": value} or a list of such objects and of [\"column\", \"operator\", value]",
    )
}

impl Condition {
    /// Equality; with null, IS NULL.
    pub(super) fn equal(
        scope: &Scope,
        table: usize,
        column: usize,
        value: &Json,
        io: Io<'_>,
    ) -> Result<Condition> {
        let test = if *value == Json::Null {
            Test::IsNull
        } else {
            let (value, ty) = comparand(value, scope.column(table, column), io)?;
            Test::Compare("=", value, ty)
        };
        Ok(Condition {
            table,
            column,
            test,
        })
    }

    pub(super) fn render(self, scope: &Scope, translation: &mut Translation) {
        let name = scope.name(self.table, self.column);
        match self.test {
            Test::IsNull => {
                translation.sql.push_str(&name);
                translation.sql.push_str(" IS NULL");
            }
            Test::Compare(operator, value, ty) => {
                translation.sql.push_str(&format!("{name} {operator} "));
                translation.push_parameter(value, ty);
            }
            // An empty list matches nothing, negated or not: so the original
            // answers, and it is the safe side for a delete.
            Test::In { values, .. } if values.is_empty() => translation.sql.push_str("FALSE"),
            Test::In { values, negated } => {
                translation.sql.push_str(&name);
                translation
                    .sql
                    .push_str(if negated { " NOT IN (" } else { " IN (" });
                for (number, (value, ty)) in values.into_iter().enumerate() {
                    translation
                        .sql
                        .push_str(if number == 0 { "" } else { ", " });
                    translation.push_parameter(value, ty);
                }
                translation.sql.push(')');
            }
            Test::Like { pieces, negated } => {
                if scope.column(self.table, self.column).ty.is_string() {
                    translation.sql.push_str(&name);
                } else {
                    translation.sql.push_str(&format!("{name}::text"));
                }
                translation
                    .sql
                    .push_str(if negated { " NOT LIKE " } else { " LIKE " });
                let escaped: Vec<String> = pieces.iter().map(|piece| escape(piece)).collect();
                translation.push_parameter(Value::text(escaped.join("%")), Type::Text);
            }
        }
    }

    /// Whether it holds for a row of the scope's own table, for relations
    /// that no engine keeps.
    pub fn holds(&self, row: &[Value]) -> bool {
        let value = row.get(self.column).unwrap_or(&Value::Null);
        match &self.test {
            Test::IsNull => value.is_null(),
            _ if value.is_null() => false,
            Test::Compare(operator, operand, _) => {
                !operand.is_null() && ordered(operator, compare(value, operand))
            }
            Test::In { values, .. } if values.is_empty() => false,
            Test::In { values, negated } => {
                let found = values
                    .iter()
                    .any(|(item, _)| !item.is_null() && compare(value, item) == Ordering::Equal);
                let unknown = !found && values.iter().any(|(item, _)| item.is_null());
                found != *negated && !unknown
            }
            Test::Like { pieces, negated } => match value {
                Value::Text(text) => matches(pieces, text) != *negated,
                _ => false,
            },
        }
    }
}

fn ordered(operator: &str, ordering: Ordering) -> bool {
    match operator {
        "=" => ordering.is_eq(),
        "<>" => ordering.is_ne(),
        ">" => ordering.is_gt(),
        ">=" => ordering.is_ge(),
        "<" => ordering.is_lt(),
        _ => ordering.is_le(),
    }
}

/// A piece of a pattern that stands for itself in LIKE.
fn escape(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    for character in piece.chars() {
        if matches!(character, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Whether a text consists of the pieces with anything between them.
fn matches(pieces: &[String], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return pieces.first().is_some_and(|piece| piece == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for piece in middle {
        let Some(at) = rest.find(piece.as_str()) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last.as_str())
}
