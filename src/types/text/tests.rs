//! Input and output against PostgreSQL's answers, and against damaged texts.

use super::cases::CASES;
use super::*;
use crate::types::settings::{DateFormat, DateOrder, IntervalStyle, Settings};

/// 2026-11-22 15:30:00 UTC.
const NOW: i64 = 848_676_600_000_000;

fn settings(style: &str) -> Settings {
    let mut settings = Settings::default();
    for word in style.split_whitespace() {
        let date_style = &mut settings.date_style;
        match word {
            "sql" => date_style.format = DateFormat::Sql,
            "postgres" => date_style.format = DateFormat::Postgres,
            "german" => date_style.format = DateFormat::German,
            "dmy" => date_style.order = DateOrder::Dmy,
            "ymd" => date_style.order = DateOrder::Ymd,
            "verbose" => settings.interval_style = IntervalStyle::PostgresVerbose,
            "standard" => settings.interval_style = IntervalStyle::SqlStandard,
            "iso8601" => settings.interval_style = IntervalStyle::Iso8601,
            "escape" => settings.bytea_hex = false,
            zone => settings.time_zone = zone.to_owned(),
        }
    }
    settings
}

/// What PostgreSQL would show for `'text'::ty`.
fn shown(text: &str, ty: &Type, style: &str) -> String {
    let settings = settings(style);
    let io = Io {
        settings: &settings,
        transaction_time: NOW,
    };
    match input(text, ty, io) {
        Ok(value) => to_text(&value, ty, io),
        Err(error) => format!("{} {}", error.state(), error.message()),
    }
}

#[test]
fn agrees_with_postgresql() {
    let mut wrong = Vec::new();
    for (ty, style, text, expected) in CASES {
        let ty = match *ty {
            "varchar(3)" => Type::Varchar(Some(3)),
            "char(3)" => Type::Char(Some(3)),
            "numeric(5,2)" => Type::Numeric(Some((5, 2))),
            "time(2)" => Type::Time(Some(2)),
            "timestamp(0)" => Type::Timestamp(Some(0)),
            "interval(1)" => Type::Interval(Some(1)),
            "int4[]" => Type::Array(Box::new(Type::Int4)),
            "text[]" => Type::Array(Box::new(Type::Text)),
            "timestamp[]" => Type::Array(Box::new(Type::TIMESTAMP)),
            "bool" => Type::Bool,
            "int2" => Type::Int2,
            "int4" => Type::Int4,
            "int8" => Type::Int8,
            "float4" => Type::Float4,
            "float8" => Type::Float8,
            "numeric" => Type::NUMERIC,
            "bytea" => Type::Bytea,
            "uuid" => Type::Uuid,
            "oid" => Type::Oid,
            "name" => Type::Name,
            "int2vector" => Type::Int2Vector,
            "jsonb" => Type::Jsonb,
            "date" => Type::Date,
            "time" => Type::TIME,
            "timestamp" => Type::TIMESTAMP,
            "timestamptz" => Type::TIMESTAMPTZ,
            "interval" => Type::INTERVAL,
            other => panic!("no type {other}"),
        };
        let actual = shown(text, &ty, style);
        if actual != *expected {
            wrong.push(format!(
                "{ty} [{style}] {text:?}: {actual:?}, not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn relative_words() {
    for (ty, text, expected) in [
        (Type::TIMESTAMPTZ, "now", "2026-11-22 16:30:00+01"),
        (Type::TIMESTAMP, "now", "2026-11-22 16:30:00"),
        (Type::TIMESTAMP, "tomorrow", "2026-11-23 00:00:00"),
        (Type::TIMESTAMPTZ, "today", "2026-11-22 00:00:00+01"),
        (Type::Date, "yesterday", "2026-11-21"),
        (Type::Date, "now", "2026-11-22"),
        (Type::TIME, "now", "16:30:00"),
        (Type::TIMESTAMP, "today 10:30", "2026-11-22 10:30:00"),
    ] {
        assert_eq!(shown(text, &ty, "Europe/Berlin"), expected, "{text}");
    }
}

#[test]
fn old_bytea_output() {
    assert_eq!(
        shown("\\x00615cff", &Type::Bytea, "escape"),
        "\\000a\\\\\\377"
    );
}

#[test]
fn no_text_panics() {
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: NOW,
    };
    let types: Vec<Type> = (0..4000).filter_map(Type::from_oid).collect();
    let pool: Vec<char> = "0123456789-+:./ TZPeE{}[]\"\\,=xnaé日\u{301}'"
        .chars()
        .collect();
    let mut random = 42_u64;
    let mut draw = |limit: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % limit
    };
    for (_, _, text, _) in CASES {
        for _ in 0..8 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=draw(3) {
                let at = draw(chars.len() + 1);
                match draw(3) {
                    0 if at < chars.len() => {
                        chars.remove(at);
                    }
                    1 if at < chars.len() => chars[at] = pool[draw(pool.len())],
                    _ => chars.insert(at, pool[draw(pool.len())]),
                }
            }
            let damaged: String = chars.into_iter().collect();
            for ty in &types {
                if let Ok(value) = input(&damaged, ty, io) {
                    let shown = to_text(&value, ty, io);
                    let again = input(&shown, ty, io);
                    assert!(again.is_ok(), "{ty}: {damaged:?} gave {shown:?}: {again:?}");
                }
            }
        }
    }
}
