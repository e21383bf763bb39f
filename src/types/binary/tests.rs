//! Binary formats against PostgreSQL's bytes, and against damaged ones.

use super::cases::CASES;
use super::*;
use crate::types::settings::{Io, Settings};

/// Text, type and the bytes that PostgreSQL sends, in hexadecimal.
#[test]
fn agrees_with_postgresql() {
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    for (text, oid, expected) in CASES {
        let ty = Type::from_oid(*oid).unwrap();
        let value = text::input(text, &ty, io).unwrap();
        let mut out = Vec::new();
        send(&value, &ty, &mut out);
        let hexadecimal: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hexadecimal, *expected, "{ty} {text}");
        let received = receive(&out, &ty).unwrap();
        assert!(
            crate::types::compare::same(&received, &value),
            "{ty} {text}"
        );
        // Cut short or with rubbish, it is an error or another value, never a panic.
        for length in 0..out.len() {
            let _ = receive(&out[..length], &ty);
            let mut damaged = out.clone();
            damaged[length] ^= 0xff;
            let _ = receive(&damaged, &ty);
        }
    }
}

#[test]
fn refuses_rubbish() {
    for (bytes, ty) in [
        (&[1, 2, 3][..], Type::Int4),
        (&[0, 0, 0, 1, 9], Type::Int4),
        (&[0xff], Type::Text),
        (&[2, b'1'], Type::Jsonb),
        (&[0x7f, 0xff, 0xff, 0xfe], Type::Date),
        (
            &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 23],
            Type::Array(Box::new(Type::Int4)),
        ),
        (&[0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10], Type::NUMERIC),
    ] {
        assert!(receive(bytes, &ty).is_err(), "{ty}");
    }
}
