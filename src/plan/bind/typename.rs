//! Type names.

use super::Binder;
use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::TypeName;
use crate::types::Type;

/// The longest varchar or char that PostgreSQL declares.
const MAX_CHARACTERS: i64 = 10_485_760;

/// PostgreSQL's types that are not there.
const UNBUILT: &[&str] = &[
    "aclitem",
    "bit",
    "varbit",
    "box",
    "cid",
    "cidr",
    "circle",
    "inet",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "path",
    "point",
    "polygon",
    "pg_lsn",
    "pg_node_tree",
    "pg_snapshot",
    "refcursor",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regoper",
    "regoperator",
    "tid",
    "timetz",
    "tsquery",
    "tsvector",
    "txid_snapshot",
    "xid",
    "xid8",
    "xml",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "jsonpath",
    "any",
    "anyarray",
    "anyelement",
    "anynonarray",
    "anyenum",
    "anyrange",
    "anymultirange",
    "anycompatible",
    "anycompatiblearray",
    "cstring",
    "internal",
    "trigger",
    "event_trigger",
    "language_handler",
    "fdw_handler",
    "index_am_handler",
    "tsm_handler",
    "table_am_handler",
    "pg_ddl_command",
];

impl Binder<'_> {
    pub(super) fn type_name(&self, name: &TypeName) -> Result<Type> {
        let mut ty = self.element_type(name)?;
        if name.dimensions > 0 {
            if matches!(ty, Type::Array(_)) || ty.array_oid() == 0 {
                return self.unsupported(&format!("an array of {ty}"), name.place);
            }
            ty = Type::Array(Box::new(ty));
        }
        Ok(ty)
    }

    fn element_type(&self, name: &TypeName) -> Result<Type> {
        let unknown = || {
            if let [.., word] = name.path.as_slice()
                && UNBUILT.contains(&word.trim_start_matches('_'))
            {
                let position = self.position(name.place);
                return Error::unsupported(format!("type {word}")).at(position);
            }
            self.error(
                SqlState::UNDEFINED_OBJECT,
                name.place,
                format!("type \"{}\" does not exist", name.path.join(".")),
            )
        };
        let word = match name.path.as_slice() {
            [word] => word.as_str(),
            [schema, word] if schema == "pg_catalog" => word.as_str(),
            _ => return Err(unknown()),
        };
        if let Some(element) = word.strip_prefix('_')
            && let Some(element) = Type::named(element)
            && element.array_oid() != 0
        {
            return Ok(Type::Array(Box::new(element)));
        }
        let modifiers = name.modifiers.as_slice();
        let ty = match word {
            "varchar" => Type::Varchar(self.characters(name, "varchar")?),
            "bpchar" => Type::Char(self.characters(name, "char")?),
            "numeric" => Type::Numeric(self.numeric(name)?),
            "time" => Type::Time(self.precision(name, "TIME")?),
            "timestamp" => Type::Timestamp(self.precision(name, "TIMESTAMP")?),
            "timestamptz" => Type::Timestamptz(self.precision(name, "TIMESTAMP")?),
            "interval" => Type::Interval(self.precision(name, "INTERVAL")?),
            word => {
                let ty = Type::named(word).ok_or_else(unknown)?;
                if !modifiers.is_empty() {
                    return Err(self.error(
                        SqlState::SYNTAX_ERROR,
                        name.place,
                        format!("type modifier is not allowed for type \"{word}\""),
                    ));
                }
                ty
            }
        };
        Ok(ty)
    }

    fn invalid(&self, name: &TypeName, message: String) -> crate::error::Error {
        self.error(SqlState::INVALID_PARAMETER_VALUE, name.place, message)
    }

    fn characters(&self, name: &TypeName, word: &str) -> Result<Option<u32>> {
        match name.modifiers.as_slice() {
            [] => Ok(None),
            [length] if *length < 1 => {
                Err(self.invalid(name, format!("length for type {word} must be at least 1")))
            }
            [length] if *length > MAX_CHARACTERS => Err(self.invalid(
                name,
                format!("length for type {word} cannot exceed {MAX_CHARACTERS}"),
            )),
            [length] => Ok(u32::try_from(*length).ok()),
            _ => Err(self.invalid(name, "invalid type modifier".to_owned())),
        }
    }

    fn numeric(&self, name: &TypeName) -> Result<Option<(u16, i16)>> {
        let (precision, scale) = match name.modifiers.as_slice() {
            [] => return Ok(None),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return Err(self.invalid(name, "invalid NUMERIC type modifier".to_owned())),
        };
        if !(1..=1000).contains(&precision) {
            return Err(self.invalid(
                name,
                format!("NUMERIC precision {precision} must be between 1 and 1000"),
            ));
        }
        if !(-1000..=1000).contains(&scale) {
            return Err(self.invalid(
                name,
                format!("NUMERIC scale {scale} must be between -1000 and 1000"),
            ));
        }
        Ok(Some((precision as u16, scale as i16)))
    }

    fn precision(&self, name: &TypeName, word: &str) -> Result<Option<u8>> {
        match name.modifiers.as_slice() {
            [] => Ok(None),
            [digits] if *digits < 0 => Err(self.invalid(
                name,
                format!("{word}({digits}) precision must not be negative"),
            )),
            [digits] => Ok(Some((*digits).min(6) as u8)),
            _ => Err(self.invalid(name, "invalid type modifier".to_owned())),
        }
    }
}
