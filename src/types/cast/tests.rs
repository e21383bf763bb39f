//! Casts against PostgreSQL's answers.

use super::cases::CASES;
use super::*;
use crate::types::settings::Settings;

fn ty(name: &str) -> Type {
    match name {
        "bool" => Type::Bool,
        "int2" => Type::Int2,
        "int4" => Type::Int4,
        "int8" => Type::Int8,
        "oid" => Type::Oid,
        "float4" => Type::Float4,
        "float8" => Type::Float8,
        "numeric" => Type::NUMERIC,
        "numeric(4,1)" => Type::Numeric(Some((4, 1))),
        "text" => Type::Text,
        "varchar(3)" => Type::Varchar(Some(3)),
        "char(3)" => Type::Char(Some(3)),
        "name" => Type::Name,
        "date" => Type::Date,
        "time" => Type::TIME,
        "time(1)" => Type::Time(Some(1)),
        "timestamp" => Type::TIMESTAMP,
        "timestamp(0)" => Type::Timestamp(Some(0)),
        "timestamptz" => Type::TIMESTAMPTZ,
        "interval" => Type::INTERVAL,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "uuid" => Type::Uuid,
        "bytea" => Type::Bytea,
        "int4[]" => Type::Array(Box::new(Type::Int4)),
        "text[]" => Type::Array(Box::new(Type::Text)),
        "varchar(3)[]" => Type::Array(Box::new(Type::Varchar(Some(3)))),
        other => panic!("no type {other}"),
    }
}

#[test]
fn agrees_with_postgresql() {
    let settings = Settings {
        time_zone: "Europe/Berlin".to_owned(),
        ..Settings::default()
    };
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let mut wrong = Vec::new();
    for (text, from, to, expected) in CASES {
        let (from, to) = (ty(from), ty(to));
        let value = text::input(text, &from, io).unwrap();
        let actual = match cast(&value, &from, &to, true, io) {
            Ok(Value::Null) => "NULL".to_owned(),
            Ok(value) => text::to_text(&value, &to, io),
            Err(error) => format!("{} {}", error.state(), error.message()),
        };
        if actual != *expected {
            wrong.push(format!(
                "{text:?} {from} to {to}: {actual:?}, not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn assignments_do_not_cut() {
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let assign = |value: Value, from: &Type, to: &Type| {
        cast(&value, from, to, false, io).map_err(|error| error.message().to_owned())
    };
    assert_eq!(
        assign(Value::Int(12345), &Type::Int4, &Type::Varchar(Some(3))),
        Err("value too long for type character varying(3)".to_owned())
    );
    assert_eq!(
        assign(Value::text("ab   "), &Type::Text, &Type::Char(Some(3))),
        Ok(Value::text("ab"))
    );
    assert_eq!(
        assign(Value::Null, &Type::Text, &Type::Int4),
        Ok(Value::Null)
    );
}
