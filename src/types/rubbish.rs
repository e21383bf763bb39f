//! Damaged texts and bytes of every type: an error or a value that can be
//! used, never a panic. What is tried is drawn from a fixed seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::settings::{DateFormat, DateOrder, DateStyle, IntervalStyle, Io, Settings};
use super::{Type, Value, binary, cast, compare, encode, text};

/// Damaged variants of one text or value.
const VARIANTS: usize = 2;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % count.max(1) as u64) as usize
    }
}

/// Every type that reads text, with some modifiers.
fn types() -> Vec<Type> {
    let mut all: Vec<Type> = (0..5_000).filter_map(Type::from_oid).collect();
    all.extend([
        Type::Numeric(Some((5, 2))),
        Type::Numeric(Some((1000, -1000))),
        Type::Numeric(Some((3, 1000))),
        Type::Varchar(Some(2)),
        Type::Char(Some(3)),
        Type::Time(Some(0)),
        Type::Timestamp(Some(0)),
        Type::Timestamptz(Some(3)),
        Type::Interval(Some(0)),
    ]);
    all
}

const SEEDS: &[&str] = &[
    "",
    "t",
    "-0",
    "12",
    "-32768",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "-1.5e-320",
    "NaN",
    "infinity",
    "-infinity",
    "0.000000000000000000000000000001",
    "1e900",
    "1e-900",
    "123456789.987654321",
    "\\x00ff",
    "\\001\\\\",
    "{1,2,NULL}",
    "[0:1][-3:-2]={{a,b},{\"c\",d}}",
    "{{{{{{1}}}}}}",
    "1 2 3",
    "2000-01-01",
    "5874897-12-31",
    "4714-11-24 BC",
    "J2451187",
    "Jan 8 1999",
    "99.08.01",
    "epoch",
    "tomorrow",
    "now",
    "24:00:00",
    "23:59:59.9999999",
    "040506.789-08:30",
    "04:05 PM America/New_York",
    "allballs",
    "294276-12-31 23:59:59.999999+15:59:59",
    "2001-02-03T04:05:06.789Z",
    "Mon Feb 10 17:32:01 1997 PST8PDT",
    "19990108T040506+14",
    "1 year 2 mons -3 days 04:05:06.7 ago",
    "P1Y2M3DT4H5M6.7S",
    "P-178956970Y-8M-2147483648DT-2562047788H",
    "@ 1.5 centuries .25 weeks",
    "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807",
    "1-2 3 4:05:06",
    "9223372036854775807 us",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "{\"a\":[1,-2.5e10,null,true,\"\\u00e4\\ud83d\\ude00\"],\"b\":{}}",
    "[[[[]]]]",
    "\"x\"",
    "äöü€😀",
    "(1,\"a b\",)",
];

const PIECES: &[&str] = &[
    "0",
    "9",
    "99999999999999999999",
    "-",
    "+",
    ".",
    ":",
    "/",
    ",",
    " ",
    "e",
    "E+",
    "T",
    "Z",
    "BC",
    "AM",
    "PM",
    "ago",
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    "=",
    "(",
    ")",
    "\\u",
    "\\ud83d",
    "\u{0}",
    "ä",
    "😀",
    "\u{301}",
    "x",
    "J",
    "P",
    "W",
    "infinity",
    "year",
    "days",
    "us",
    "Europe/Berlin",
    "-infinity",
    "1e9",
    "null",
    "true",
];

fn damaged(seed: &str, random: &mut Random) -> String {
    let mut characters: Vec<char> = seed.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(characters.len() + 1);
        let piece = PIECES[random.below(PIECES.len())];
        match random.below(4) {
            0 => drop(characters.splice(at..at, piece.chars())),
            1 => characters.truncate(at),
            2 if at < characters.len() => drop(characters.remove(at)),
            3 if at < characters.len() => drop(characters.splice(at..=at, piece.chars())),
            _ => characters.extend_from_within(at..),
        }
    }
    characters.into_iter().collect()
}

fn settings() -> Vec<Settings> {
    let styles = [
        (DateFormat::Iso, IntervalStyle::Postgres),
        (DateFormat::Sql, IntervalStyle::SqlStandard),
        (DateFormat::Postgres, IntervalStyle::PostgresVerbose),
        (DateFormat::German, IntervalStyle::Iso8601),
    ];
    let with = |(format, interval_style)| Settings {
        date_style: DateStyle {
            format,
            order: DateOrder::Mdy,
        },
        interval_style,
        ..Settings::default()
    };
    styles.into_iter().map(with).collect()
}

/// All that may be done with a value that was taken.
fn exercise(value: &Value, ty: &Type, types: &[Type], settings: &[Settings]) {
    for settings in settings {
        let io = Io {
            settings,
            transaction_time: 0,
        };
        let printed = text::to_text(value, ty, io);
        let _ = text::input(&printed, ty, io);
    }
    let io = Io {
        settings: &settings[0],
        transaction_time: 0,
    };
    let mut sent = Vec::new();
    binary::send(value, ty, &mut sent);
    let mut encoded = Vec::new();
    encode::encode_value(value, &mut encoded);
    let decoded = encode::decode_value(&mut &encoded[..]).expect("what was encoded decodes");
    assert!(compare::same(&decoded, value), "{decoded:?} for {value:?}");
    encode::encode_key(std::slice::from_ref(value));
    let _ = compare::compare(value, value);
    for to in types {
        let _ = cast::cast(value, ty, to, true, io);
        let _ = cast::cast(value, ty, to, false, io);
    }
}

fn told(done: std::thread::Result<()>, what: &str, wrong: &mut Vec<String>) {
    if let Err(panic) = done {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        wrong.push(format!("{what}: {}", text.unwrap_or_default()));
    }
}

#[test]
fn damaged_texts_and_bytes_of_every_type() {
    let (types, settings) = (types(), settings());
    let mut random = Random(15);
    let mut wrong = Vec::new();
    for ty in &types {
        for seed in SEEDS {
            for variant in 0..=VARIANTS {
                let given = match variant {
                    0 => (*seed).to_owned(),
                    _ => damaged(seed, &mut random),
                };
                let run = || {
                    let io = Io {
                        settings: &settings[given.len() % settings.len()],
                        transaction_time: 0,
                    };
                    if let Ok(value) = text::input(&given, ty, io) {
                        exercise(&value, ty, &types, &settings);
                    }
                };
                let shown: String = given.chars().take(80).collect();
                told(
                    catch_unwind(AssertUnwindSafe(run)),
                    &format!("{ty} {shown:?}"),
                    &mut wrong,
                );
            }
        }
        for _ in 0..VARIANTS * 50 {
            let mut bytes: Vec<u8> = (0..random.below(40))
                .map(|_| [0, 0, 0, 1, 0x7f, 0x80, 0xff, b'a'][random.below(8)])
                .collect();
            if random.below(3) == 0 {
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = random.below(256) as u8);
            }
            let run = || {
                if let Ok(value) = binary::receive(&bytes, ty) {
                    exercise(&value, ty, &types, &settings);
                }
                if let Ok(value) = encode::decode_value(&mut &bytes[..]) {
                    exercise(&value, &text::natural_type(&value), &types, &settings);
                }
            };
            told(
                catch_unwind(AssertUnwindSafe(run)),
                &format!("{ty} {bytes:?}"),
                &mut wrong,
            );
        }
        wrong.sort();
        wrong.dedup();
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn damaged_encodings_and_json() {
    let settings = settings();
    let io = Io {
        settings: &settings[0],
        transaction_time: 0,
    };
    let types = [Type::Text];
    let mut random = Random(16);
    let mut wrong = Vec::new();
    for ty in self::types() {
        for seed in SEEDS {
            let Ok(value) = text::input(seed, &ty, io) else {
                continue;
            };
            let mut encoded = Vec::new();
            encode::encode_value(&value, &mut encoded);
            let mut sent = Vec::new();
            binary::send(&value, &ty, &mut sent);
            for _ in 0..VARIANTS {
                let mut bytes = encoded.clone();
                let mut wire = sent.clone();
                for damaged in [&mut bytes, &mut wire] {
                    if damaged.is_empty() {
                        continue;
                    }
                    let at = random.below(damaged.len());
                    match random.below(3) {
                        0 => damaged[at] ^= 1 << random.below(8),
                        1 => damaged.truncate(at),
                        _ => damaged[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    }
                }
                let run = || {
                    if let Ok(value) = encode::decode_value(&mut &bytes[..]) {
                        exercise(&value, &text::natural_type(&value), &types, &settings);
                    }
                    if let Ok(value) = binary::receive(&wire, &ty) {
                        exercise(&value, &ty, &types, &settings);
                    }
                };
                let shown: Vec<u8> = bytes.iter().copied().take(60).collect();
                told(
                    catch_unwind(AssertUnwindSafe(run)),
                    &format!("{ty} {shown:?}"),
                    &mut wrong,
                );
            }
        }
    }
    for depth in [10, 900, 1_100, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for ty in [Type::Json, Type::Jsonb] {
                if let Ok(value) = text::input(&deep, &ty, io) {
                    exercise(&value, &ty, &types, &settings[..1]);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
