//! JSON against PostgreSQL's answers.

use super::cases::{PAIRS, TEXTS, VALUES};
use super::navigate::{array_length, as_text, element, entries, field, path};
use super::*;

#[test]
fn canonical_text() {
    for (given, expected) in [
        (
            " { \"b\":1 , \"aa\":2,\"a\":[1.50,1e2,-0] } ",
            r#"{"a": [1.50, 100, 0], "b": 1, "aa": 2}"#,
        ),
        (r#"{"a":1,"a":2}"#, r#"{"a": 2}"#),
        ("[]", "[]"),
        ("{}", "{}"),
        (r#""\u0041\n\u001f\/\ud83d\ude00""#, "\"A\\n\\u001f/😀\""),
        ("null", "null"),
        ("12.0", "12.0"),
    ] {
        assert_eq!(&*canonical(given).unwrap(), expected);
        assert_eq!(&*canonical(expected).unwrap(), expected);
    }
}

#[test]
fn errors_are_postgresql_s() {
    for (given, detail) in [
        ("", "The input string ended unexpectedly."),
        ("{", "The input string ended unexpectedly."),
        ("abc", "Token \"abc\" is invalid."),
        ("[1,]", "Expected JSON value, but found \"]\"."),
        ("{\"a\" 1}", "Expected \":\", but found \"1\"."),
        ("{1:2}", "Expected string or \"}\", but found \"1\"."),
        ("{\"a\":1,}", "Expected string, but found \"}\"."),
        ("[1 2]", "Expected \",\" or \"]\", but found \"2\"."),
        ("{\"a\":1]", "Expected \",\" or \"}\", but found \"]\"."),
        ("1 2", "Expected end of input, but found \"2\"."),
        ("01", "Token \"01\" is invalid."),
        ("1.", "Token \"1.\" is invalid."),
        ("-", "Token \"-\" is invalid."),
        ("\"abc", "Token \"\"abc\" is invalid."),
        ("\"\\x\"", "Escape sequence \"\\x\" is invalid."),
        ("\"a\nb\"", "Character with value 0x0a must be escaped."),
        (
            "\"\\u12\"",
            "\"\\u\" must be followed by four hexadecimal digits.",
        ),
    ] {
        let error = validate(given).unwrap_err();
        assert_eq!(error.message(), "invalid input syntax for type json");
        assert_eq!(error.report().detail.as_deref(), Some(detail), "{given}");
    }
    assert_eq!(parse("\"\\u0000\"").unwrap_err().state().as_str(), "22P05");
    assert!(validate("\"\\u0000\"").is_ok());
    assert!(parse("\"\\ud83d\"").is_err());
    assert!(parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn order_is_postgresql_s() {
    let ascending = [
        "[]",
        "null",
        "\"a\"",
        "\"b\"",
        "1",
        "2",
        "false",
        "true",
        "[1]",
        "[null, 1]",
        "[1, 2]",
        "{}",
        r#"{"a": 1}"#,
        r#"{"a": 2}"#,
        r#"{"b": 1}"#,
        r#"{"a": 1, "b": 1}"#,
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(compare("[1.0]", "[1.00]"), Ordering::Equal);
    assert_eq!(key_form("[1.0]"), key_form("[1.00]"));
}

#[test]
fn containment() {
    for (whole, part, expected) in [
        (
            r#"{"a": 1, "b": [1, 2, {"c": 3}]}"#,
            r#"{"b": [2, {"c": 3}]}"#,
            true,
        ),
        (r#"{"a": 1}"#, r#"{"a": 2}"#, false),
        (r#"["foo", "bar"]"#, r#""bar""#, true),
        (r#""bar""#, r#"["bar"]"#, false),
        ("[1, [2]]", "[2]", false),
        ("[1, [1, 2]]", "[[2]]", true),
        (r#"{"a": []}"#, r#"{"a": 1}"#, false),
        ("1", "1.0", true),
    ] {
        assert_eq!(
            parse(whole).unwrap().contains(&parse(part).unwrap()),
            expected,
            "{whole} @> {part}"
        );
    }
    assert!(parse(r#"["x"]"#).unwrap().exists("x"));
    assert!(!parse(r#"{"y": "x"}"#).unwrap().exists("x"));
}

#[test]
fn navigation() {
    let json = r#" {"a" : {"b\n":[1, "x\"]", null]}, "c": true, "c": false} "#;
    assert_eq!(field(json, "c"), Some("false"));
    assert_eq!(field(json, "d"), None);
    let list = path(json, ["a", "b\n"]).unwrap();
    assert_eq!(list, r#"[1, "x\"]", null]"#);
    assert_eq!(element(list, -1), Some("null"));
    assert_eq!(element(list, 3), None);
    assert_eq!(as_text(element(list, 1).unwrap()).unwrap(), "x\"]");
    assert_eq!(as_text("null"), None);
    assert_eq!(array_length(list).unwrap(), 3);
    assert_eq!(array_length("[]").unwrap(), 0);
    assert_eq!(entries(json).count(), 3);
    assert_eq!(
        array_length("1").unwrap_err().message(),
        "cannot get array length of a scalar"
    );
}

#[test]
fn changes() {
    use super::change::Placement;
    let json = |text: &str| parse(text).unwrap();
    let set = |text: &str, path: &[&str], value: &str, how| {
        json(text)
            .with_path(path, json(value), how)
            .map(|json| json.to_text())
            .unwrap_or_else(|error| error.message().to_owned())
    };
    let create = Placement::Set { create: true };
    assert_eq!(
        set(r#"{"a": [1, 2]}"#, &["a", "-1"], "9", create),
        r#"{"a": [1, 9]}"#
    );
    assert_eq!(
        set(r#"{"a": 1}"#, &["b"], "2", create),
        r#"{"a": 1, "b": 2}"#
    );
    assert_eq!(set(r#"{"a": 1}"#, &["b", "c"], "2", create), r#"{"a": 1}"#);
    assert_eq!(
        set("[1]", &["x"], "2", create),
        "path element at position 1 is not an integer: \"x\""
    );
    assert_eq!(
        set("[1, 2]", &["0"], "9", Placement::Insert { after: true }),
        "[1, 9, 2]"
    );
    assert_eq!(json("[1]").concat(json("{}")).to_text(), "[1, {}]");
    assert_eq!(
        json(r#"{"a": 1, "b": null}"#).strip_nulls().to_text(),
        r#"{"a": 1}"#
    );
    assert_eq!(json("[1]").pretty(), "[\n    1\n]");
}

#[test]
fn to_json() {
    use crate::types::settings::{Io, Settings};
    use crate::types::{Type, Value, text};
    let settings = Settings {
        time_zone: "Asia/Kolkata".to_owned(),
        ..Settings::default()
    };
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let ints = Type::Array(Box::new(Type::Int4));
    for (literal, ty, expected) in [
        ("1.50", Type::NUMERIC, "1.50"),
        ("NaN", Type::Float8, "\"NaN\""),
        ("1e300", Type::Float8, "1e+300"),
        ("t", Type::Bool, "true"),
        ("a\"b", Type::Text, "\"a\\\"b\""),
        ("2020-01-02", Type::Date, "\"2020-01-02\""),
        (
            "2020-01-02 03:04:05",
            Type::TIMESTAMP,
            "\"2020-01-02T03:04:05\"",
        ),
        (
            "2020-01-02 03:04:05+00",
            Type::TIMESTAMPTZ,
            "\"2020-01-02T08:34:05+05:30\"",
        ),
        ("infinity", Type::TIMESTAMP, "\"infinity\""),
        ("1 day", Type::INTERVAL, "\"1 day\""),
        ("[1,  2]", Type::Json, "[1,  2]"),
        ("{{1,2},{3,NULL}}", ints, "[[1,2],[3,null]]"),
    ] {
        let value = text::input(literal, &ty, io).unwrap();
        let mut out = String::new();
        build::write_value(&value, &ty, io, &mut out);
        assert_eq!(out, expected);
    }
    let utc = Settings::default();
    let io = Io {
        settings: &utc,
        transaction_time: 0,
    };
    let mut out = String::new();
    build::write_value(&Value::Timestamptz(0), &Type::TIMESTAMPTZ, io, &mut out);
    assert_eq!(out, "\"2000-01-01T00:00:00+00:00\"");
}

#[test]
fn agrees_with_postgresql() {
    let mut wrong = Vec::new();
    for (given, expected) in TEXTS {
        let actual = match canonical(given) {
            Ok(text) => text.to_string(),
            Err(error) => {
                let detail = error.report().detail.as_deref().unwrap_or("");
                format!("{} {}|{detail}", error.state(), error.message())
            }
        };
        if actual != *expected {
            wrong.push(format!("{given:?}: {actual:?}, not {expected:?}"));
        }
    }
    for (a, row) in VALUES.iter().zip(PAIRS) {
        for (i, b) in VALUES.iter().enumerate() {
            let (left, right) = (parse(a).unwrap(), parse(b).unwrap());
            let order = match left.compare(&right) {
                Ordering::Less => '<',
                Ordering::Equal => '=',
                Ordering::Greater => '>',
            };
            let contains = if left.contains(&right) { 't' } else { 'f' };
            let actual = format!("{order}{contains}");
            if actual != row[2 * i..2 * i + 2] {
                wrong.push(format!(
                    "{a} and {b}: {actual}, not {}",
                    &row[2 * i..2 * i + 2]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
