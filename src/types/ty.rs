//! The neutral types: PostgreSQL's, with PostgreSQL's names, oids and modifiers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A data type with its modifier.
///
/// The first group may be the type of a stored column; the second appears in
/// expressions and in the system catalogs only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Precision (1 to 1000) and scale (-1000 to 1000), if limited.
    Numeric(Option<(u16, i16)>),
    Text,
    /// At most so many characters, if limited.
    Varchar(Option<u32>),
    /// Exactly so many characters, blank-padded; `None` only in expressions.
    Char(Option<u32>),
    Bytea,
    Date,
    /// Digits after the second, 0 to 6, if limited; likewise below.
    Time(Option<u8>),
    Timestamp(Option<u8>),
    Timestamptz(Option<u8>),
    Interval(Option<u8>),
    Uuid,
    Json,
    Jsonb,

    Oid,
    Name,
    /// The one-byte type that PostgreSQL writes as `"char"`.
    InternalChar,
    Regclass,
    Regtype,
    Regproc,
    Regnamespace,
    /// A function with its argument types.
    Regprocedure,
    Regrole,
    Int2Vector,
    OidVector,
    Array(Box<Type>),
    /// A row value such as `(1, 'a')`.
    Record,
    /// A row value whose fields' names and types are known.
    Row(Vec<(String, Type)>),
    /// A string literal or parameter whose type the context has not fixed.
    Unknown,
    Void,
}

impl Type {
    pub const NUMERIC: Type = Type::Numeric(None);
    pub const VARCHAR: Type = Type::Varchar(None);
    pub const TIME: Type = Type::Time(None);
    pub const TIMESTAMP: Type = Type::Timestamp(None);
    pub const TIMESTAMPTZ: Type = Type::Timestamptz(None);
    pub const INTERVAL: Type = Type::Interval(None);

    /// A type by its catalog name, without a modifier.
    pub fn named(name: &str) -> Option<Type> {
        Some(match name {
            "bool" => Type::Bool,
            "int2" => Type::Int2,
            "int4" => Type::Int4,
            "int8" => Type::Int8,
            "float4" => Type::Float4,
            "float8" => Type::Float8,
            "numeric" => Type::NUMERIC,
            "text" => Type::Text,
            "varchar" => Type::VARCHAR,
            "bpchar" => Type::Char(None),
            "char" => Type::InternalChar,
            "bytea" => Type::Bytea,
            "date" => Type::Date,
            "time" => Type::TIME,
            "timestamp" => Type::TIMESTAMP,
            "timestamptz" => Type::TIMESTAMPTZ,
            "interval" => Type::INTERVAL,
            "uuid" => Type::Uuid,
            "json" => Type::Json,
            "jsonb" => Type::Jsonb,
            "oid" => Type::Oid,
            "name" => Type::Name,
            "regclass" => Type::Regclass,
            "regtype" => Type::Regtype,
            "regproc" => Type::Regproc,
            "regnamespace" => Type::Regnamespace,
            "regprocedure" => Type::Regprocedure,
            "regrole" => Type::Regrole,
            "int2vector" => Type::Int2Vector,
            "oidvector" => Type::OidVector,
            "record" => Type::Record,
            "unknown" => Type::Unknown,
            "void" => Type::Void,
            _ => return None,
        })
    }

    /// PostgreSQL's oid of this type.
    pub fn oid(&self) -> u32 {
        match self {
            Type::Bool => 16,
            Type::Bytea => 17,
            Type::InternalChar => 18,
            Type::Name => 19,
            Type::Int8 => 20,
            Type::Int2 => 21,
            Type::Int2Vector => 22,
            Type::Int4 => 23,
            Type::Regproc => 24,
            Type::Text => 25,
            Type::Oid => 26,
            Type::OidVector => 30,
            Type::Json => 114,
            Type::Float4 => 700,
            Type::Float8 => 701,
            Type::Unknown => 705,
            Type::Char(_) => 1042,
            Type::Varchar(_) => 1043,
            Type::Date => 1082,
            Type::Time(_) => 1083,
            Type::Timestamp(_) => 1114,
            Type::Timestamptz(_) => 1184,
            Type::Interval(_) => 1186,
            Type::Numeric(_) => 1700,
            Type::Regclass => 2205,
            Type::Regtype => 2206,
            Type::Record | Type::Row(_) => 2249,
            Type::Void => 2278,
            Type::Uuid => 2950,
            Type::Jsonb => 3802,
            Type::Regnamespace => 4089,
            Type::Regprocedure => 2202,
            Type::Regrole => 4096,
            Type::Array(element) => element.array_oid(),
        }
    }

    /// PostgreSQL's oid of the array type over this type; 0 where there is none.
    pub fn array_oid(&self) -> u32 {
        match self {
            Type::Bool => 1000,
            Type::Bytea => 1001,
            Type::InternalChar => 1002,
            Type::Name => 1003,
            Type::Int2 => 1005,
            Type::Int2Vector => 1006,
            Type::Int4 => 1007,
            Type::Regproc => 1008,
            Type::Text => 1009,
            Type::OidVector => 1013,
            Type::Char(_) => 1014,
            Type::Varchar(_) => 1015,
            Type::Int8 => 1016,
            Type::Float4 => 1021,
            Type::Float8 => 1022,
            Type::Oid => 1028,
            Type::Timestamp(_) => 1115,
            Type::Date => 1182,
            Type::Time(_) => 1183,
            Type::Timestamptz(_) => 1185,
            Type::Interval(_) => 1187,
            Type::Json => 199,
            Type::Numeric(_) => 1231,
            Type::Regclass => 2210,
            Type::Regtype => 2211,
            Type::Record | Type::Row(_) => 2287,
            Type::Uuid => 2951,
            Type::Jsonb => 3807,
            Type::Regnamespace => 4090,
            Type::Regprocedure => 2207,
            Type::Regrole => 4097,
            Type::Array(_) | Type::Unknown | Type::Void => 0,
        }
    }

    /// The type with this oid, without a modifier; `None` for what we lack.
    pub fn from_oid(oid: u32) -> Option<Type> {
        const ALL: [Type; 33] = [
            Type::Bool,
            Type::Bytea,
            Type::InternalChar,
            Type::Name,
            Type::Int8,
            Type::Int2,
            Type::Int2Vector,
            Type::Int4,
            Type::Regproc,
            Type::Text,
            Type::Oid,
            Type::OidVector,
            Type::Json,
            Type::Float4,
            Type::Float8,
            Type::Unknown,
            Type::Char(None),
            Type::Varchar(None),
            Type::Date,
            Type::TIME,
            Type::TIMESTAMP,
            Type::TIMESTAMPTZ,
            Type::INTERVAL,
            Type::NUMERIC,
            Type::Regclass,
            Type::Regtype,
            Type::Record,
            Type::Void,
            Type::Uuid,
            Type::Jsonb,
            Type::Regnamespace,
            Type::Regprocedure,
            Type::Regrole,
        ];
        ALL.iter().find(|ty| ty.oid() == oid).cloned().or_else(|| {
            ALL.iter()
                .find(|ty| ty.array_oid() == oid && oid != 0)
                .map(|ty| Type::Array(Box::new(ty.clone())))
        })
    }

    /// PostgreSQL's `atttypmod`: -1 without a modifier.
    pub fn modifier(&self) -> i32 {
        match self {
            Type::Numeric(Some((precision, scale))) => {
                ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4
            }
            Type::Varchar(Some(n)) | Type::Char(Some(n)) => *n as i32 + 4,
            Type::Time(Some(p)) | Type::Timestamp(Some(p)) | Type::Timestamptz(Some(p)) => {
                i32::from(*p)
            }
            Type::Interval(Some(p)) => (0x7fff << 16) | i32::from(*p),
            Type::Array(element) => element.modifier(),
            _ => -1,
        }
    }

    /// Size in bytes as `pg_type.typlen` has it; -1 when variable.
    pub fn length(&self) -> i16 {
        match self {
            Type::Bool | Type::InternalChar => 1,
            Type::Int2 => 2,
            Type::Int4 | Type::Float4 | Type::Date | Type::Oid => 4,
            Type::Regclass | Type::Regtype | Type::Regproc | Type::Regnamespace | Type::Void => 4,
            Type::Regprocedure | Type::Regrole => 4,
            Type::Int8 | Type::Float8 | Type::Time(_) => 8,
            Type::Timestamp(_) | Type::Timestamptz(_) => 8,
            Type::Interval(_) | Type::Uuid => 16,
            Type::Name => 64,
            Type::Unknown => -2,
            _ => -1,
        }
    }

    /// This type without its modifier, arrays included.
    pub fn without_modifier(&self) -> Type {
        match self {
            Type::Numeric(_) => Type::NUMERIC,
            Type::Varchar(_) => Type::VARCHAR,
            Type::Char(_) => Type::Char(None),
            Type::Time(_) => Type::TIME,
            Type::Timestamp(_) => Type::TIMESTAMP,
            Type::Timestamptz(_) => Type::TIMESTAMPTZ,
            Type::Interval(_) => Type::INTERVAL,
            Type::Array(element) => Type::Array(Box::new(element.without_modifier())),
            Type::Row(_) => Type::Record,
            other => other.clone(),
        }
    }

    /// Equal apart from modifiers.
    pub fn same_base(&self, other: &Type) -> bool {
        self.oid() == other.oid()
    }

    /// May be the type of a stored column.
    pub fn is_storable(&self) -> bool {
        matches!(
            self,
            Type::Bool
                | Type::Int2
                | Type::Int4
                | Type::Int8
                | Type::Float4
                | Type::Float8
                | Type::Numeric(_)
                | Type::Text
                | Type::Varchar(_)
                | Type::Char(_)
                | Type::Bytea
                | Type::Date
                | Type::Time(_)
                | Type::Timestamp(_)
                | Type::Timestamptz(_)
                | Type::Interval(_)
                | Type::Uuid
                | Type::Json
                | Type::Jsonb
        )
    }

    /// An oid that prints as the name of what it numbers.
    pub fn is_reg(&self) -> bool {
        matches!(
            self,
            Type::Regclass
                | Type::Regtype
                | Type::Regproc
                | Type::Regnamespace
                | Type::Regprocedure
                | Type::Regrole
        )
    }

    /// A row value, whether its fields are known or not.
    pub fn is_record(&self) -> bool {
        matches!(self, Type::Record | Type::Row(_))
    }

    /// The type of a row value's field, as far as it is known.
    pub fn field(&self, place: usize) -> Option<&(String, Type)> {
        match self {
            Type::Row(fields) => fields.get(place),
            _ => None,
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, Type::Int2 | Type::Int4 | Type::Int8)
    }

    pub fn is_number(&self) -> bool {
        self.is_integer() || matches!(self, Type::Float4 | Type::Float8 | Type::Numeric(_))
    }

    pub fn is_string(&self) -> bool {
        matches!(
            self,
            Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Name | Type::InternalChar
        )
    }

    /// `pg_type.typname`, e.g. `int4`, `_text`.
    pub fn catalog_name(&self) -> String {
        let name = match self {
            Type::Bool => "bool",
            Type::Int2 => "int2",
            Type::Int4 => "int4",
            Type::Int8 => "int8",
            Type::Float4 => "float4",
            Type::Float8 => "float8",
            Type::Numeric(_) => "numeric",
            Type::Text => "text",
            Type::Varchar(_) => "varchar",
            Type::Char(_) => "bpchar",
            Type::Bytea => "bytea",
            Type::Date => "date",
            Type::Time(_) => "time",
            Type::Timestamp(_) => "timestamp",
            Type::Timestamptz(_) => "timestamptz",
            Type::Interval(_) => "interval",
            Type::Uuid => "uuid",
            Type::Json => "json",
            Type::Jsonb => "jsonb",
            Type::Oid => "oid",
            Type::Name => "name",
            Type::InternalChar => "char",
            Type::Regclass => "regclass",
            Type::Regtype => "regtype",
            Type::Regproc => "regproc",
            Type::Regnamespace => "regnamespace",
            Type::Regprocedure => "regprocedure",
            Type::Regrole => "regrole",
            Type::Int2Vector => "int2vector",
            Type::OidVector => "oidvector",
            Type::Record | Type::Row(_) => "record",
            Type::Unknown => "unknown",
            Type::Void => "void",
            Type::Array(element) => return format!("_{}", element.catalog_name()),
        };
        name.to_owned()
    }
}

/// As `format_type` prints it, e.g. `character varying(20)`, `integer[]`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn digits(p: &Option<u8>) -> String {
            p.map(|p| format!("({p})")).unwrap_or_default()
        }
        match self {
            Type::Bool => f.write_str("boolean"),
            Type::Int2 => f.write_str("smallint"),
            Type::Int4 => f.write_str("integer"),
            Type::Int8 => f.write_str("bigint"),
            Type::Float4 => f.write_str("real"),
            Type::Float8 => f.write_str("double precision"),
            Type::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Type::Varchar(None) => f.write_str("character varying"),
            Type::Varchar(Some(n)) => write!(f, "character varying({n})"),
            Type::Char(None) => f.write_str("bpchar"),
            Type::Char(Some(n)) => write!(f, "character({n})"),
            Type::Time(p) => write!(f, "time{} without time zone", digits(p)),
            Type::Timestamp(p) => write!(f, "timestamp{} without time zone", digits(p)),
            Type::Timestamptz(p) => write!(f, "timestamp{} with time zone", digits(p)),
            Type::Interval(p) => write!(f, "interval{}", digits(p)),
            Type::InternalChar => f.write_str("\"char\""),
            Type::Array(element) => write!(f, "{element}[]"),
            other => f.write_str(&other.catalog_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_round_trip() {
        for oid in [
            16, 17, 20, 23, 25, 1042, 1043, 1082, 1184, 1700, 2950, 3802, 1007, 1231, 705,
        ] {
            assert_eq!(Type::from_oid(oid).map(|ty| ty.oid()), Some(oid));
        }
        assert_eq!(Type::from_oid(0), None);
        assert_eq!(Type::from_oid(600), None);
    }

    #[test]
    fn modifiers_are_postgresql_s() {
        assert_eq!(Type::Numeric(Some((10, 2))).modifier(), 655_366);
        assert_eq!(Type::Varchar(Some(20)).modifier(), 24);
        assert_eq!(Type::Text.modifier(), -1);
        assert_eq!(
            Type::Timestamp(Some(3)).to_string(),
            "timestamp(3) without time zone"
        );
    }
}
