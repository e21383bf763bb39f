//! Arithmetic and functions against PostgreSQL's answers.

use std::cmp::Ordering;

use super::*;

fn n(text: &str) -> Numeric {
    Numeric::parse(text).unwrap()
}

fn shown(result: Result<Numeric>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("{} {}", error.state(), error.message()),
    }
}

#[test]
fn parses_and_prints() {
    for (text, printed) in [
        ("0", "0"),
        ("-0.00", "0.00"),
        (" 12.340 ", "12.340"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+1e3", "1000"),
        ("1.5e-3", "0.0015"),
        ("123.45e1", "1234.5"),
        ("0e10", "0"),
        ("nan", "NaN"),
        ("-inf", "-Infinity"),
        ("+Infinity", "Infinity"),
        (
            "123456789012345678901234567890123456789012.5",
            "123456789012345678901234567890123456789012.5",
        ),
    ] {
        assert_eq!(n(text).to_string(), printed, "{text}");
    }
    for bad in ["", ".", "1x", "1e", "--1", "1.2.3", "e5", "1 2", "0x1"] {
        assert_eq!(
            shown(Numeric::parse(bad)),
            format!("22P02 invalid input syntax for type numeric: \"{bad}\"")
        );
    }
    let (long, fine) = (
        "9".repeat(20_000_000),
        format!("0.{}", "1".repeat(20_000_000)),
    );
    for big in [
        "1e131072",
        "1e-16384",
        "1e999999999999",
        "1e9223372036854775807",
        "1e-9223372036854775808",
        &long,
        &fine,
    ] {
        assert_eq!(
            shown(Numeric::parse(big)),
            "22003 value overflows numeric format"
        );
    }
    assert_eq!(n(&format!("{}7", "0".repeat(200_000))).to_string(), "7");
    assert_eq!(n("1e131071").to_string().len(), 131_072);
    assert_eq!(n("1e-16383").scale(), Some(16_383));
}

#[test]
fn arithmetic_has_postgresql_s_scales() {
    // Expectations from PostgreSQL 15.
    for (a, b, sum, product, quotient, rest) in [
        ("1", "3", "4", "3", "0.33333333333333333333", "1"),
        (
            "10.0",
            "2.50",
            "12.50",
            "25.000",
            "4.0000000000000000",
            "0.00",
        ),
        ("-7", "2", "-5", "-14", "-3.5000000000000000", "-1"),
        (
            "123456789",
            "0.0001",
            "123456789.0001",
            "12345.6789",
            "1234567890000.00000000",
            "0.0000",
        ),
        ("1", "NaN", "NaN", "NaN", "NaN", "NaN"),
        (
            "Infinity",
            "-2",
            "Infinity",
            "-Infinity",
            "-Infinity",
            "NaN",
        ),
        ("5", "-inf", "-Infinity", "-Infinity", "0", "5"),
        (
            "1",
            "0",
            "1",
            "0",
            "22012 division by zero",
            "22012 division by zero",
        ),
        ("0.0", "5", "5.0", "0.0", "0.00000000000000000000", "0.0"),
    ] {
        let (a, b) = (n(a), n(b));
        assert_eq!(shown(a.add(&b)), sum, "{a}+{b}");
        assert_eq!(shown(a.mul(&b)), product, "{a}*{b}");
        assert_eq!(shown(a.div(&b)), quotient, "{a}/{b}");
        assert_eq!(shown(a.rem(&b)), rest, "{a}%{b}");
    }
    assert_eq!(shown(n("-9").div_trunc(&n("2.5"))), "-3");
    assert_eq!(
        shown(n("1e131071").mul(&n("10"))),
        "22003 value overflows numeric format"
    );
}

#[test]
fn rounds() {
    for (value, places, rounded, cut) in [
        ("1.5", 0, "2", "1"),
        ("-1.5", 0, "-2", "-1"),
        ("2.449", 1, "2.4", "2.4"),
        ("1.5", 5, "1.50000", "1.50000"),
        ("1550", -2, "1600", "1500"),
        ("49", -2, "0", "0"),
        ("NaN", 2, "NaN", "NaN"),
    ] {
        assert_eq!(shown(n(value).round(places)), rounded, "{value} {places}");
        assert_eq!(shown(n(value).trunc(places)), cut, "{value} {places}");
    }
    assert_eq!(shown(n("-1.1").floor()), "-2");
    assert_eq!(shown(n("-1.1").ceil()), "-1");
    assert_eq!(shown(n("1.1").ceil()), "2");
    assert_eq!(shown(n("-0.5").ceil()), "0");
}

#[test]
fn fits_precision_and_scale() {
    assert_eq!(shown(n("123.456").fit(5, 2)), "123.46");
    assert_eq!(shown(n("1").fit(5, 2)), "1.00");
    assert_eq!(shown(n("12345").fit(3, -2)), "12300");
    assert_eq!(shown(n("NaN").fit(3, 0)), "NaN");
    let error = n("999.995").fit(5, 2).unwrap_err();
    assert_eq!(error.message(), "numeric field overflow");
    assert_eq!(
        error.report().detail.as_deref(),
        Some("A field with precision 5, scale 2 must round to an absolute value less than 10^3.")
    );
    let error = n("1").fit(2, 2).unwrap_err();
    assert!(
        error
            .report()
            .detail
            .as_deref()
            .unwrap()
            .ends_with("less than 1.")
    );
}

#[test]
fn compares_by_value() {
    let order = [
        "-inf", "-2", "-0.5", "0", "0.10", "1.0", "1e30", "inf", "nan",
    ];
    for (i, a) in order.iter().enumerate() {
        for (j, b) in order.iter().enumerate() {
            assert_eq!(n(a).compare(&n(b)), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(n("1.0").compare(&n("1.000")), Ordering::Equal);
    assert_eq!(n("1.500").trimmed(), n("1.5"));
    assert_eq!(n("1e100").add(&n("0.000")).unwrap().trimmed(), n("1e100"));
    assert_eq!(n("0.00").trimmed(), n("0"));
}

#[test]
fn converts() {
    for (float, text) in [
        (0.1, "0.1"),
        (1e20, "100000000000000000000"),
        (1.0 / 3.0, "0.333333333333333"),
        (-2.5e-7, "-0.00000025"),
        (123_456_789.123_456_79, "123456789.123457"),
        (0.0, "0"),
    ] {
        assert_eq!(Numeric::from_f64(float).to_string(), text);
    }
    assert_eq!(Numeric::from_f32(0.1).to_string(), "0.1");
    for text in [
        "0.1",
        "123456789012345678901234567890",
        "-1e-300",
        "2.5",
        "1e400",
    ] {
        let float: f64 = text.parse().unwrap();
        assert_eq!(n(text).to_f64(), float, "{text}");
    }
    assert_eq!(n("2.5").to_i64().unwrap(), 3);
    assert_eq!(n("-2.5").to_i64().unwrap(), -3);
    assert_eq!(
        n("1e19").to_i64().unwrap_err().message(),
        "bigint out of range"
    );
    assert_eq!(
        n("nan").to_i64().unwrap_err().message(),
        "cannot convert NaN to bigint"
    );
}

#[test]
fn functions_agree_with_postgresql() {
    for (actual, expected) in [
        (n("2").sqrt(), "1.414213562373095"),
        (n("0").sqrt(), "0.000000000000000"),
        (
            n("-1").sqrt(),
            "2201F cannot take square root of a negative number",
        ),
        (n("1").exp(), "2.7182818284590452"),
        (n("-10.5").exp(), "0.00002753644934974716"),
        (
            n("100").exp(),
            "26881171418161354484126255515800135873611119",
        ),
        (n("2").ln(), "0.6931471805599453"),
        (n("1.0001").ln(), "0.00009999500033330834"),
        (n("0").ln(), "2201E cannot take logarithm of zero"),
        (n("100").log10(), "2.0000000000000000"),
        (n("2").log(&n("64")), "6.0000000000000000"),
        (n("1").log(&n("64")), "22012 division by zero"),
        (n("2").power(&n("3")), "8.0000000000000000"),
        (n("2").power(&n("-3")), "0.1250000000000000"),
        (n("2").power(&n("0.5")), "1.4142135623730950"),
        (n("-2").power(&n("3.0")), "-8.0000000000000000"),
        (
            n("-2").power(&n("0.5")),
            "2201F a negative number raised to a non-integer power yields a complex result",
        ),
        (n("0").power(&n("0")), "1.0000000000000000"),
        (n("1.000001").power(&n("1000000")), "2.7182804693193769"),
        (
            n("10").power(&n("200000")),
            "22003 value overflows numeric format",
        ),
        (n("nan").power(&n("0")), "1"),
    ] {
        assert_eq!(shown(actual), expected);
    }
}

#[test]
fn the_largest_exponentials_are_exact() {
    // From Python's decimal module.
    let digits = n("5900").exp().unwrap().to_string();
    assert_eq!(digits.len(), 2563);
    assert_eq!(&digits[2028..2043], "874094196514876");
}
