//! The golden vectors pin the encoding: a log or a stored hash of an older
//! program must still be understood. They are changed by a new version only.

use super::*;
use crate::types::compare;

fn numeric(text: &str) -> Value {
    Value::Numeric(Numeric::parse(text).unwrap())
}

fn interval(months: i32, days: i32, microseconds: i64) -> Value {
    Value::Interval(Interval {
        months,
        days,
        microseconds,
    })
}

fn array(values: Vec<Value>) -> Value {
    Value::Array(Array::one_dimensional(Type::Int4, values).into())
}

fn golden() -> Vec<(Value, &'static str)> {
    vec![
        (Value::Null, "00"),
        (Value::Bool(false), "01"),
        (Value::Bool(true), "02"),
        (Value::Int(0), "0300"),
        (Value::Int(-1), "0301"),
        (Value::Int(300), "03d804"),
        (Value::Int(i64::MIN), "03ffffffffffffffffff01"),
        (Value::Int(i64::MAX), "03feffffffffffffffff01"),
        (Value::Float(0.0), "040000000000000000"),
        (Value::Float(-0.0), "040000000000000000"),
        (Value::Float(1.5), "043ff8000000000000"),
        (Value::Float(f64::NAN), "047ff8000000000000"),
        (Value::Float(-f64::NAN), "047ff8000000000000"),
        (Value::text(""), "0500"),
        (Value::text("aé"), "050361c3a9"),
        (Value::Bytes([0, 255][..].into()), "060200ff"),
        (Value::Date(-1), "0701"),
        (Value::Date(i32::MAX), "07feffffff0f"),
        (Value::Time(86_400_000_000), "088080bbdd8305"),
        (Value::Timestamp(1), "0902"),
        (Value::Timestamptz(i64::MAX), "0afeffffffffffffffff01"),
        (interval(1, -2, 3), "0b020306"),
        (Value::Uuid([7; 16]), "0c07070707070707070707070707070707"),
        (Value::Json("[1]".into()), "0d035b315d"),
        (Value::Jsonb("{}".into()), "0e027b7d"),
        (
            array(vec![Value::Int(1), Value::Null]),
            "0f17010402020302 00",
        ),
        (array(vec![]), "0f170000"),
        (Value::Record([Value::Null].into()), "100100"),
        (numeric("NaN"), "11"),
        (numeric("-inf"), "12"),
        (numeric("inf"), "13"),
        (numeric("0.00"), "140200"),
        (numeric("12.5"), "1401017d"),
        (numeric("-1000"), "15000203e8"),
    ]
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_vectors() {
    for (value, expected) in golden() {
        let mut out = Vec::new();
        encode_value(&value, &mut out);
        assert_eq!(hexadecimal(&out), expected.replace(' ', ""), "{value:?}");
        let mut input = &out[..];
        let decoded = decode_value(&mut input).unwrap();
        assert!(input.is_empty());
        assert!(compare::same(&decoded, &value), "{value:?}");
        let mut again = Vec::new();
        encode_value(&decoded, &mut again);
        assert_eq!(again, out);
    }
}

#[test]
fn golden_row_and_hash() {
    let row = [Value::Int(1), Value::text("a"), Value::Null];
    let mut out = Vec::new();
    encode_row(&row, &mut out);
    assert_eq!(hexadecimal(&out), "01030302050161 00".replace(' ', ""));
    assert_eq!(decode_row(&out).unwrap(), row);
    assert_eq!(
        format!("{:032x}", row_hash(&row).0),
        "edb764f6972143f993108e2336ee5c20"
    );
}

#[test]
fn keys_are_equal_exactly_for_equal_values() {
    let jsonb = |text: &str| Value::Jsonb(text.into());
    let values = [
        Value::Null,
        Value::Int(1),
        Value::Int(2),
        numeric("1.0"),
        numeric("1.00"),
        numeric("10"),
        numeric("0.0"),
        numeric("0"),
        interval(1, 0, 0),
        interval(0, 30, 0),
        interval(0, 29, 86_400_000_000),
        interval(0, 1, 0),
        Value::Float(0.0),
        Value::Float(-0.0),
        Value::Float(f64::NAN),
        jsonb("[1.0]"),
        jsonb("[1]"),
        jsonb("[\"1.0\"]"),
        array(vec![Value::Int(1)]),
        array(vec![Value::Int(1), Value::Null]),
    ];
    for a in &values {
        for b in &values {
            let kind = std::mem::discriminant(a) == std::mem::discriminant(b);
            let same = kind && compare::same(a, b);
            let keys = (
                encode_key(std::slice::from_ref(a)),
                encode_key(std::slice::from_ref(b)),
            );
            assert_eq!(keys.0 == keys.1, same, "{a:?} {b:?}");
        }
    }
    let ab_c = [Value::text("ab"), Value::text("c")];
    let a_bc = [Value::text("a"), Value::text("bc")];
    assert_ne!(encode_key(&ab_c), encode_key(&a_bc));
}

#[test]
fn rubbish_is_refused() {
    let row: Row = golden().into_iter().map(|(value, _)| value).collect();
    let mut bytes = Vec::new();
    encode_row(&row, &mut bytes);
    for length in 0..bytes.len() {
        assert!(decode_row(&bytes[..length]).is_err());
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[length] ^= 1 << bit;
            // Another value or an error, but never a panic.
            let _ = decode_row(&damaged);
        }
    }
    bytes.push(0);
    assert!(decode_row(&bytes).is_err());
    for rubbish in [
        &[][..],
        &[2, 0],
        &[1, 1],
        &[1, 1, 99],
        // A count and a length that the input does not have.
        &[1, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[1, 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f],
        // A number with a superfluous byte.
        &[1, 1, 3, 0x80, 0],
    ] {
        assert!(decode_row(rubbish).is_err(), "{rubbish:?}");
    }
    let mut deep = vec![1, 1];
    deep.extend([16, 1].repeat(100_000));
    assert!(decode_row(&deep).is_err());
}
