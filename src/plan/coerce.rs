//! PostgreSQL's cast matrix: what may become what, when, and how a common
//! type is found.

use super::expression::{Expression, ExpressionKind};
use super::function::names::type_name;
use crate::error::{Error, Result, SqlState};
use crate::types::settings::Io;
use crate::types::{Type, Value, cast, text};

/// How much was said to ask for a cast; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Nothing: a function's argument, an operand.
    Implicit,
    /// It goes into a column.
    Assignment,
    /// `CAST` or `::`.
    Explicit,
}

/// `pg_type.typcategory` of strings and of pseudo-types.
pub const STRING: char = 'S';
pub const PSEUDO: char = 'P';

/// Makes `expression` of type `to`, modifier included.
///
/// Literals of unknown type are read at once. A parameter of unknown type is
/// the caller's to settle first.
pub fn coerce(
    expression: Expression,
    to: &Type,
    strength: Strength,
    io: Io<'_>,
) -> Result<Expression> {
    if expression.ty == *to || (expression.ty.same_base(to) && to.modifier() == -1) {
        return Ok(expression);
    }
    if let ExpressionKind::Constant(value) = &expression.kind
        && (expression.ty == Type::Unknown || value.is_null())
    {
        if names_an_object(value, to) {
            return Ok(cast_to(expression, to, strength));
        }
        return literal(value, &expression.ty, to, strength, io);
    }
    if !can_coerce(&expression.ty, to, strength) {
        return Err(cannot(&expression.ty, to, strength));
    }
    Ok(cast_to(expression, to, strength))
}

/// A char(n) as the plain bpchar that a choice among several gives: from here
/// on its blanks are part of its value, since its type does not tell them.
pub fn padded(expression: Expression) -> Expression {
    match &expression.ty {
        Type::Char(Some(_)) => cast_to(expression, &Type::Char(None), Strength::Explicit),
        _ => expression,
    }
}

fn cast_to(expression: Expression, to: &Type, strength: Strength) -> Expression {
    Expression {
        kind: ExpressionKind::Cast {
            operand: Box::new(expression),
            explicit: strength == Strength::Explicit,
        },
        ty: to.clone(),
    }
}

/// A name for a reg type: what it means depends on the schema, which is known
/// when it is evaluated.
fn names_an_object(value: &Value, to: &Type) -> bool {
    to.is_reg() && matches!(value, Value::Text(text) if text.trim().parse::<u32>().is_err())
}

fn literal(
    value: &Value,
    from: &Type,
    to: &Type,
    strength: Strength,
    io: Io<'_>,
) -> Result<Expression> {
    let value = match value {
        Value::Text(text) if *from == Type::Unknown => match to {
            Type::Unknown => value.clone(),
            Type::Char(None) if strength == Strength::Explicit => Value::text(&**text),
            // An interval's modifier says how its text is read.
            Type::Interval(_) => text::input(text, to, io)?,
            _ => {
                let base = to.without_modifier();
                let value = text::input(text, &base, io)?;
                match to.modifier() {
                    -1 => value,
                    _ => cast::cast(&value, &base, to, strength == Strength::Explicit, io)?,
                }
            }
        },
        Value::Null if *from == Type::Unknown || can_coerce(from, to, strength) => Value::Null,
        _ => return Err(cannot(from, to, strength)),
    };
    Ok(Expression::constant(value, to.clone()))
}

fn cannot(from: &Type, to: &Type, strength: Strength) -> Error {
    let (from, to) = (type_name(from), type_name(to));
    match strength {
        Strength::Explicit => Error::new(
            SqlState::CANNOT_COERCE,
            format!("cannot cast type {from} to {to}"),
        ),
        // The binder names the column or the construct where it knows one.
        _ => Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!("cannot convert type {from} to {to}"),
        ),
    }
}

/// A cast of this strength exists.
pub fn can_coerce(from: &Type, to: &Type, strength: Strength) -> bool {
    if from.same_base(to) || *from == Type::Unknown {
        return true;
    }
    if let Some(needed) = in_catalog(from, to) {
        return strength >= needed;
    }
    match (from, to) {
        (Type::Array(from), Type::Array(to)) if can_coerce(from, to, strength) => return true,
        (Type::Void, _) | (_, Type::Void) => return false,
        _ => {}
    }
    // Through the type's text.
    (category(to) == STRING && strength >= Strength::Assignment)
        || (category(from) == STRING && strength == Strength::Explicit && !to.is_record())
}

/// What `pg_cast` says.
pub fn in_catalog(from: &Type, to: &Type) -> Option<Strength> {
    use Strength::{Assignment, Explicit, Implicit};
    use Type::{
        Array, Bool, Char, Date, Float4, Float8, Int2, Int2Vector, Int4, Int8, InternalChar,
        Interval, Json, Jsonb, Name, Numeric, Oid, OidVector, Regclass, Regnamespace, Regproc,
        Regprocedure, Regrole, Regtype, Text, Time, Timestamp, Timestamptz, Varchar,
    };
    Some(match (from, to) {
        (Int2, Int4 | Int8 | Float4 | Float8 | Numeric(_)) => Implicit,
        (Int4, Int8 | Float4 | Float8 | Numeric(_)) => Implicit,
        (Int8, Float4 | Float8 | Numeric(_)) => Implicit,
        (Numeric(_), Float4 | Float8) | (Float4, Float8) => Implicit,
        (Int4, Int2) | (Int8, Int2 | Int4) | (Numeric(_), Int2 | Int4 | Int8) => Assignment,
        (Float4 | Float8, Int2 | Int4 | Int8 | Numeric(_)) | (Float8, Float4) => Assignment,
        (
            Int2 | Int4 | Int8,
            Oid | Regclass | Regtype | Regproc | Regnamespace | Regprocedure | Regrole,
        ) => Implicit,
        (Regproc, Regprocedure) | (Regprocedure, Regproc) => Implicit,
        (Oid, Regclass | Regtype | Regproc | Regnamespace | Regprocedure | Regrole) => Implicit,
        (Regclass | Regtype | Regproc | Regnamespace | Regprocedure | Regrole, Oid) => Implicit,
        (
            Oid | Regclass | Regtype | Regproc | Regnamespace | Regprocedure | Regrole,
            Int4 | Int8,
        ) => Assignment,
        (Bool, Int4) | (Int4, Bool) | (InternalChar, Int4) | (Int4, InternalChar) => Explicit,
        (Bool, Text | Varchar(_) | Char(_)) => Assignment,
        (Text, Char(_) | Varchar(_) | Name | Regclass) => Implicit,
        (Varchar(_), Text | Char(_) | Name | Regclass) => Implicit,
        (Char(_), Text | Varchar(_) | Name) => Implicit,
        (Name | InternalChar, Text) => Implicit,
        (Name | InternalChar, Char(_) | Varchar(_)) => Assignment,
        (Text | Char(_) | Varchar(_), InternalChar) => Assignment,
        (Date, Timestamp(_) | Timestamptz(_)) => Implicit,
        (Timestamp(_), Timestamptz(_)) | (Time(_), Interval(_)) => Implicit,
        (Timestamp(_), Date | Time(_)) => Assignment,
        (Timestamptz(_), Date | Time(_) | Timestamp(_)) => Assignment,
        (Interval(_), Time(_)) | (Json, Jsonb) | (Jsonb, Json) => Assignment,
        (Jsonb, Bool | Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_)) => Explicit,
        (Int2Vector, Array(element)) if **element == Int2 => Implicit,
        (OidVector, Array(element)) if **element == Oid => Implicit,
        _ => return None,
    })
}

/// The cast changes the type's name only: values of both look the same, and
/// no modifier has to be met. An engine need not render it.
pub fn is_relabel(from: &Type, to: &Type) -> bool {
    use Type::{Char, InternalChar, Name, Oid, Text, Unknown, Varchar};
    match (from, to) {
        // One is kept without its blanks, the other with them.
        (Char(Some(_)), Char(None)) | (Char(None), Text | Varchar(None)) => return false,
        _ if from == to || (from.same_base(to) && to.modifier() == -1) => return true,
        _ => {}
    }
    match (from, to) {
        (Text | Varchar(_) | Name | Char(_), Text | Varchar(None)) => true,
        (InternalChar | Unknown, Text | Varchar(None)) => true,
        (Type::Int2, Type::Int4 | Type::Int8) | (Type::Int4, Type::Int8) => true,
        (Oid, Type::Int8) | (Type::Float4, Type::Float8) => true,
        (
            Type::Regclass
            | Type::Regtype
            | Type::Regproc
            | Type::Regnamespace
            | Type::Regprocedure
            | Type::Regrole,
            Oid | Type::Int8,
        ) => true,
        (Type::Array(from), Type::Array(to)) => from.is_string() && is_relabel(from, to),
        _ => false,
    }
}

/// `pg_type.typcategory`.
pub fn category(ty: &Type) -> char {
    match ty {
        Type::Bool => 'B',
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8 => 'N',
        Type::Numeric(_) | Type::Oid | Type::Regclass | Type::Regtype => 'N',
        Type::Regproc | Type::Regnamespace | Type::Regprocedure | Type::Regrole => 'N',
        Type::Text | Type::Varchar(_) | Type::Char(_) | Type::Name => STRING,
        Type::Date | Type::Time(_) | Type::Timestamp(_) | Type::Timestamptz(_) => 'D',
        Type::Interval(_) => 'T',
        Type::Bytea | Type::Uuid | Type::Json | Type::Jsonb => 'U',
        Type::InternalChar => 'Z',
        Type::Array(_) | Type::Int2Vector | Type::OidVector => 'A',
        Type::Record | Type::Row(_) | Type::Void => PSEUDO,
        Type::Unknown => 'X',
    }
}

/// `pg_type.typispreferred`.
pub fn is_preferred(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Bool
            | Type::Text
            | Type::Float8
            | Type::Oid
            | Type::Timestamptz(_)
            | Type::Interval(_)
    )
}

/// The type that CASE, UNION, COALESCE, ARRAY… give branches of these types;
/// `what` names the construct in the error. Unknown ones alone become text.
pub fn common_type(types: &[Type], what: &str) -> Result<Type> {
    let mut known = types.iter().filter(|ty| **ty != Type::Unknown);
    let Some(first) = known.next() else {
        return Ok(Type::Text);
    };
    if types.iter().all(|ty| ty == first) {
        return Ok(first.clone());
    }
    let mut chosen = first.without_modifier();
    for ty in known {
        let ty = ty.without_modifier();
        if ty == chosen {
            continue;
        }
        if category(&ty) != category(&chosen) {
            return Err(Error::new(
                SqlState::DATATYPE_MISMATCH,
                format!(
                    "{what} types {} and {} cannot be matched",
                    type_name(&chosen),
                    type_name(&ty)
                ),
            ));
        }
        if !is_preferred(&chosen)
            && can_coerce(&chosen, &ty, Strength::Implicit)
            && !can_coerce(&ty, &chosen, Strength::Implicit)
        {
            chosen = ty;
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::settings::Settings;

    fn with_io<T>(run: impl FnOnce(Io<'_>) -> T) -> T {
        run(Io {
            settings: &Settings::default(),
            transaction_time: 0,
        })
    }

    fn array(element: Type) -> Type {
        Type::Array(Box::new(element))
    }

    #[test]
    fn strengths_are_postgresql_s() {
        use Strength::{Assignment, Explicit, Implicit};
        let cases = [
            (Type::Int4, Type::Int8, Some(Implicit)),
            (Type::Int8, Type::Int4, Some(Assignment)),
            (Type::Int4, Type::Bool, Some(Explicit)),
            (Type::Int4, Type::Text, Some(Assignment)),
            (Type::Text, Type::Int4, Some(Explicit)),
            (Type::Varchar(Some(3)), Type::Text, Some(Implicit)),
            (Type::Bool, Type::Int8, None),
            (Type::Date, Type::TIMESTAMPTZ, Some(Implicit)),
            (Type::TIMESTAMPTZ, Type::Date, Some(Assignment)),
            (Type::Uuid, Type::Int4, None),
            (Type::Jsonb, Type::Int4, Some(Explicit)),
            (Type::Json, Type::Jsonb, Some(Assignment)),
            (array(Type::Int4), array(Type::Int8), Some(Implicit)),
            (array(Type::Int4), Type::Text, Some(Assignment)),
            (Type::Float8, Type::NUMERIC, Some(Assignment)),
            (Type::Int2Vector, array(Type::Int2), Some(Implicit)),
        ];
        for (from, to, least) in cases {
            for strength in [Implicit, Assignment, Explicit] {
                let expected = least.is_some_and(|least| strength >= least);
                assert_eq!(
                    can_coerce(&from, &to, strength),
                    expected,
                    "{from} {to} {strength:?}"
                );
            }
        }
    }

    #[test]
    fn common_types_are_postgresql_s() {
        let cases: &[(&[Type], &str)] = &[
            (&[Type::Int4, Type::Int8], "bigint"),
            (
                &[Type::Int4, Type::NUMERIC, Type::Float8],
                "double precision",
            ),
            (&[Type::Unknown, Type::Unknown], "text"),
            (&[Type::Unknown, Type::Date], "date"),
            (
                &[Type::Varchar(Some(3)), Type::Varchar(Some(3))],
                "character varying(3)",
            ),
            (
                &[Type::Varchar(Some(3)), Type::Varchar(Some(4))],
                "character varying",
            ),
            (&[Type::VARCHAR, Type::Text], "character varying"),
            (&[Type::Date, Type::TIMESTAMPTZ], "timestamp with time zone"),
            (
                &[Type::Int4, Type::Text],
                "CASE types integer and text cannot be matched",
            ),
            (
                &[Type::Bool, Type::Char(None)],
                "CASE types boolean and character cannot be matched",
            ),
        ];
        for (types, expected) in cases {
            let answer = match common_type(types, "CASE") {
                Ok(ty) => ty.to_string(),
                Err(error) => error.message().to_owned(),
            };
            assert_eq!(answer, *expected, "{types:?}");
        }
    }

    #[test]
    fn literals_are_read_at_once() {
        let unknown = |text: &str| Expression::constant(Value::text(text), Type::Unknown);
        let read = |text: &str, ty: Type, strength| {
            with_io(|io| coerce(unknown(text), &ty, strength, io).map(|e| e.kind))
        };
        let constant = |value| Ok::<_, String>(ExpressionKind::Constant(value));
        let told = |result: Result<ExpressionKind>| result.map_err(|e| e.to_string());
        assert_eq!(
            told(read("12", Type::Int4, Strength::Implicit)),
            constant(Value::Int(12))
        );
        assert_eq!(
            told(read("abcd", Type::Varchar(Some(3)), Strength::Explicit)),
            constant(Value::text("abc"))
        );
        assert_eq!(
            told(read("abcd", Type::Varchar(Some(3)), Strength::Assignment)),
            Err("value too long for type character varying(3) (22001)".to_owned())
        );
        assert_eq!(
            told(read("x", Type::Int4, Strength::Implicit)),
            Err("invalid input syntax for type integer: \"x\" (22P02)".to_owned())
        );
    }

    #[test]
    fn casts_appear_only_where_types_differ() {
        let column = |ty: Type| Expression::column(super::super::query::RelationId(0), 0, ty);
        let to = |from: Type, to: Type| {
            with_io(|io| coerce(column(from), &to, Strength::Explicit, io).map(|e| e.kind))
        };
        let is_cast =
            |kind: Result<ExpressionKind>| matches!(kind, Ok(ExpressionKind::Cast { .. }));
        assert!(!is_cast(to(Type::Int4, Type::Int4)));
        assert!(!is_cast(to(Type::Varchar(Some(3)), Type::VARCHAR)));
        assert!(is_cast(to(Type::VARCHAR, Type::Varchar(Some(3)))));
        assert!(is_cast(to(Type::Int4, Type::Int8)));
        let error = to(Type::Uuid, Type::Int4).err().map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some("cannot cast type uuid to integer (42846)")
        );
    }
}
