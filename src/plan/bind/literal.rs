//! Literals, and names of objects inside them (`'t'::regclass`).

use super::Binder;
use crate::catalog::schema::Namespace;
use crate::error::{Error, Result, SqlState};
use crate::plan::coerce::Strength;
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::parse;
use crate::plan::syntax::{Name, Path, Place};
use crate::types::{Numeric, Type, Value};

impl Binder<'_> {
    /// int4 if it fits, else int8, else numeric.
    pub(super) fn integer(&self, digits: &str, place: Place) -> Result<Expression> {
        Ok(match digits.parse::<i64>() {
            Ok(value) if i32::try_from(value).is_ok() => {
                Expression::constant(Value::Int(value), Type::Int4)
            }
            Ok(value) => Expression::constant(Value::Int(value), Type::Int8),
            Err(_) => return self.decimal(digits, place),
        })
    }

    pub(super) fn decimal(&self, digits: &str, place: Place) -> Result<Expression> {
        let number = Numeric::parse(digits).map_err(|error| error.at(self.position(place)))?;
        Ok(Expression::constant(Value::Numeric(number), Type::NUMERIC))
    }

    /// `$n`, of the type it is known to have.
    pub(super) fn parameter(&mut self, number: u32, place: Place) -> Result<Expression> {
        let Some(index) = (number as usize).checked_sub(1) else {
            return Err(self.error(
                SqlState::UNDEFINED_PARAMETER,
                place,
                "there is no parameter $0",
            ));
        };
        if self.parameters.len() <= index {
            self.parameters.resize(index + 1, None);
        }
        let ty = self.parameters[index].clone().unwrap_or(Type::Unknown);
        Ok(Expression {
            kind: ExpressionKind::Parameter(index),
            ty,
        })
    }

    /// CURRENT_DATE and its kin as the functions and casts they stand for.
    pub(super) fn special(
        &mut self,
        name: &str,
        precision: Option<u8>,
        place: Place,
    ) -> Result<Expression> {
        let (function, ty) = match name {
            "current_timestamp" => ("now", Type::Timestamptz(precision)),
            "localtimestamp" => ("now", Type::Timestamp(precision)),
            "localtime" => ("now", Type::Time(precision)),
            "current_date" => ("now", Type::Date),
            "current_time" => return self.unsupported("CURRENT_TIME", place),
            "user" | "current_role" => ("current_user", Type::Name),
            "current_catalog" => ("current_database", Type::Name),
            other => (other, Type::Name),
        };
        let call = self.builtin(function, Vec::new(), place)?;
        self.coerce(call, &ty, Strength::Explicit, place)
    }

    /// A literal that names an object, as the oid it means now.
    pub(super) fn named_object(
        &self,
        expression: &Expression,
        to: &Type,
        place: Place,
    ) -> Result<Option<Expression>> {
        let ExpressionKind::Constant(Value::Text(text)) = &expression.kind else {
            return Ok(None);
        };
        if !matches!(to, Type::Regclass | Type::Regtype | Type::Regnamespace) {
            return Ok(None);
        }
        let oid = match (text.parse::<u32>(), to) {
            (Ok(oid), _) => oid,
            (Err(_), Type::Regclass) => self.relation_oid(text, place)?,
            (Err(_), Type::Regtype) => {
                let name = parse::parse_type(text).map_err(|e| e.at(self.position(place)))?;
                self.type_name(&name)?.oid()
            }
            (Err(_), _) => namespace_oid(text).ok_or_else(|| {
                self.error(
                    SqlState::INVALID_SCHEMA_NAME,
                    place,
                    format!("schema \"{text}\" does not exist"),
                )
            })?,
        };
        let value = Value::Int(i64::from(oid));
        Ok(Some(Expression::constant(value, to.clone())))
    }

    /// The oid of the table, index or sequence that a text names.
    fn relation_oid(&self, text: &str, place: Place) -> Result<u32> {
        let path = parse::parse_path(text).map_err(|_| {
            Error::new(SqlState::INVALID_NAME, "invalid name syntax").at(self.position(place))
        })?;
        if let Some(table) = self.find_table(&path)? {
            return Ok(table.id.0);
        }
        self.other_relation(&path)?.ok_or_else(|| {
            self.error(
                SqlState::UNDEFINED_TABLE,
                place,
                format!("relation \"{}\" does not exist", super::dotted(&path)),
            )
        })
    }

    /// The number of a sequence or index.
    fn other_relation(&self, path: &Path) -> Result<Option<u32>> {
        let Some((Name { text, .. }, qualifiers)) = path.split_last() else {
            return Ok(None);
        };
        if !qualifiers.is_empty() && self.namespace(qualifiers)? != Some(Namespace::Public) {
            return Ok(None);
        }
        let schema = self.binding.schema;
        if let Some(sequence) = schema.sequence_named(text) {
            return Ok(Some(sequence.id.0));
        }
        Ok(schema.tables.values().find_map(|table| {
            if let crate::catalog::schema::PrimaryKey::Declared { id, name, .. } = &table.key
                && name == text
            {
                return Some(id.0);
            }
            let mut indexes = table.indexes.iter();
            indexes
                .find(|index| index.name == *text)
                .map(|index| index.id.0)
        }))
    }
}

/// PostgreSQL's fixed oids of namespaces, and those of this system.
fn namespace_oid(name: &str) -> Option<u32> {
    Some(match name {
        "pg_catalog" => 11,
        "public" => 2200,
        "information_schema" => 13_000,
        "pyql" => 13_001,
        _ => return None,
    })
}
