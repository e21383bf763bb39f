//! float4 and float8 as text.
//!
//! Not handled: hexadecimal input (`0x1p3`), which PostgreSQL leaves to the
//! C library; it is refused as a syntax error.

use std::str::FromStr;

use num_bigint::BigUint;

use crate::error::{Error, Result, SqlState};

/// Decimal digits that survive in a float8 and a float4.
const FLOAT8_DIGITS: i32 = 15;
const FLOAT4_DIGITS: i32 = 6;
/// Smaller numbers are printed with an exponent.
const SMALLEST_FIXED_EXPONENT: i32 = -4;

/// Reads a float8.
pub fn parse_f64(text: &str) -> Result<f64> {
    let value: f64 = parse(text, "double precision")?;
    check_range(text, value, "double precision")?;
    Ok(value)
}

/// Reads a float4, rounding once.
pub fn parse_f32(text: &str) -> Result<f32> {
    let value: f32 = parse(text, "real")?;
    check_range(text, f64::from(value), "real")?;
    Ok(value)
}

/// Appends a float8: the shortest digits that read back as it, or, for
/// `extra_digits` below 1, a fixed number of significant digits.
pub fn write_f64(value: f64, extra_digits: i8, out: &mut String) {
    if write_special(value, out) {
        return;
    }
    if extra_digits > 0 {
        let bits = value.to_bits();
        let parts = Parts::new(
            bits & ((1 << 52) - 1),
            (bits >> 52) as i32 & 0x7ff,
            52,
            1023,
        );
        let shortest = parts.shortest(format!("{value:e}"), FLOAT8_DIGITS, |digits| {
            format!("{value:.*e}", digits - 1)
        });
        write_digits(&shortest, FLOAT8_DIGITS, out);
    } else {
        write_rounded(value, FLOAT8_DIGITS + i32::from(extra_digits), out);
    }
}

/// The same for a float4.
pub fn write_f32(value: f32, extra_digits: i8, out: &mut String) {
    let wide = f64::from(value);
    if write_special(wide, out) {
        return;
    }
    if extra_digits > 0 {
        let bits = u64::from(value.to_bits());
        let parts = Parts::new(bits & ((1 << 23) - 1), (bits >> 23) as i32 & 0xff, 23, 127);
        let shortest = parts.shortest(format!("{value:e}"), FLOAT4_DIGITS, |digits| {
            format!("{value:.*e}", digits - 1)
        });
        write_digits(&shortest, FLOAT4_DIGITS, out);
    } else {
        write_rounded(wide, FLOAT4_DIGITS + i32::from(extra_digits), out);
    }
}

/// A float's magnitude as `mantissa * 2^exponent`.
struct Parts {
    mantissa: u64,
    exponent: i32,
    /// The next smaller float is half as far away as the next greater.
    is_power: bool,
}

impl Parts {
    fn new(fraction: u64, biased_exponent: i32, fraction_bits: i32, bias: i32) -> Parts {
        let is_normal = biased_exponent > 0;
        Parts {
            mantissa: fraction | u64::from(is_normal) << fraction_bits,
            exponent: biased_exponent.max(1) - bias - fraction_bits,
            is_power: fraction == 0 && biased_exponent > 1,
        }
    }

    /// Turns Rust's shortest digits into PostgreSQL's: of two that are equally
    /// near the one that ends even, and never a number half-way to the next
    /// float, which reads back only because ties go to even.
    fn shortest(
        &self,
        rust: String,
        safe_digits: i32,
        rounded: impl Fn(usize) -> String,
    ) -> String {
        let mut digits = rust
            .bytes()
            .take_while(|b| *b != b'e')
            .filter(u8::is_ascii_digit)
            .count();
        let mut shortest = rust;
        if digits as i32 > safe_digits {
            let even = rounded(digits);
            if self.is_near(&even, &shortest) {
                shortest = even;
            }
        }
        // 17 digits are never half-way.
        while digits < 17 && self.is_half_way(&shortest) {
            digits += 1;
            shortest = rounded(digits);
        }
        match shortest.split_once('e') {
            Some((mantissa, exponent)) if mantissa.contains('.') => {
                let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
                format!("{mantissa}e{exponent}")
            }
            _ => shortest,
        }
    }

    /// Both differ at most in the last digit, so both read back as the float
    /// unless it lies at a power of two.
    fn is_near(&self, even: &str, shortest: &str) -> bool {
        !self.is_power && even.len() == shortest.len()
    }

    /// Whether a decimal lies exactly between the float and a neighbour.
    fn is_half_way(&self, scientific: &str) -> bool {
        let Some((digits, exponent)) = decimal_parts(scientific) else {
            return false;
        };
        // In quarters of the last place.
        let power = self.exponent - 2;
        let possible = match exponent {
            0..=25 => power >= -1,
            -25..0 => digits % 5 == 0,
            _ => false,
        };
        if !possible || !self.mantissa.is_multiple_of(2) {
            return false;
        }
        let scale = |number: u64, tens: i32, twos: i32| {
            (BigUint::from(number) * BigUint::from(10_u32).pow(tens.max(0) as u32))
                << twos.max(0) as usize
        };
        let decimal = scale(digits, exponent, -power);
        let below = if self.is_power { 1 } else { 2 };
        let edge = |quarters: u64| scale(quarters, -exponent, power) == decimal;
        edge(4 * self.mantissa + 2) || edge(4 * self.mantissa - below)
    }
}

/// `-1.25e-3` as 125 and -5.
fn decimal_parts(scientific: &str) -> Option<(u64, i32)> {
    let (mantissa, exponent) = scientific.split_once('e')?;
    let mantissa = mantissa.trim_start_matches('-');
    let exponent: i32 = exponent.parse().ok()?;
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{integer}{fraction}").parse().ok()?;
    Some((digits, exponent - fraction.len() as i32))
}

fn parse<T: FromStr>(text: &str, type_name: &str) -> Result<T> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    // Rust reads the same syntax, the words included.
    trimmed.parse().map_err(|_| {
        Error::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        )
    })
}

/// Overflow and underflow are errors, not infinity and zero.
fn check_range(text: &str, value: f64, type_name: &str) -> Result<()> {
    let is_lost = if value.is_infinite() {
        // A word for infinity has no digits.
        text.bytes().any(|b| b.is_ascii_digit())
    } else if value == 0.0 {
        text.bytes()
            .take_while(|b| !matches!(b, b'e' | b'E'))
            .any(|b| matches!(b, b'1'..=b'9'))
    } else {
        false
    };
    if is_lost {
        let text = text.trim();
        return Err(Error::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("\"{text}\" is out of range for type {type_name}"),
        ));
    }
    Ok(())
}

fn write_special(value: f64, out: &mut String) -> bool {
    let word = if value.is_nan() {
        "NaN"
    } else if value == f64::INFINITY {
        "Infinity"
    } else if value == f64::NEG_INFINITY {
        "-Infinity"
    } else if value == 0.0 {
        if value.is_sign_negative() { "-0" } else { "0" }
    } else {
        return false;
    };
    out.push_str(word);
    true
}

/// C's `%.{digits}g`.
fn write_rounded(value: f64, digits: i32, out: &mut String) {
    let digits = digits.max(1);
    let text = format!("{value:.*e}", digits as usize - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    write_digits(&format!("{mantissa}e{exponent}"), digits, out);
}

/// Lays out Rust's scientific notation as PostgreSQL does: fixed point for
/// exponents from -4 to below `fixed_limit`, else with an exponent of two digits.
fn write_digits(scientific: &str, fixed_limit: i32, out: &mut String) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.push('-');
    }
    if !(SMALLEST_FIXED_EXPONENT..fixed_limit).contains(&exponent) {
        out.push_str(unsigned);
        let sign = if exponent < 0 { '-' } else { '+' };
        out.push_str(&format!("e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    let (first, rest) = unsigned.split_at(1);
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let zeros = |count: usize| std::iter::repeat_n('0', count);
    if exponent < 0 {
        out.push_str("0.");
        out.extend(zeros(exponent.unsigned_abs() as usize - 1));
        out.push_str(first);
        out.push_str(rest);
        return;
    }
    let integer_rest = exponent as usize;
    out.push_str(first);
    if rest.len() > integer_rest {
        out.push_str(&rest[..integer_rest]);
        out.push('.');
        out.push_str(&rest[integer_rest..]);
    } else {
        out.push_str(rest);
        out.extend(zeros(integer_rest - rest.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_postgresql() {
        for (value, expected) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.0 / 3.0, "0.3333333333333333"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
            // Half-way to a neighbour, and equally near two.
            (45_308_226_736_825_296.0, "4.5308226736825296e+16"),
            (838_873_295_822_786.0 + 0.25, "838873295822786.2"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = String::new();
            write_f64(value, 1, &mut out);
            assert_eq!(out, expected);
        }
        for (value, expected) in [
            (1e5_f32, "100000"),
            (1e6, "1e+06"),
            (0.1, "0.1"),
            (16_777_216.0, "1.6777216e+07"),
            (226_783_008.0, "2.2678301e+08"),
            (2_466_673.0 + 0.25, "2.4666732e+06"),
            (8_388_608.0, "8.388608e+06"),
        ] {
            let mut out = String::new();
            write_f32(value, 1, &mut out);
            assert_eq!(out, expected);
        }
        let mut out = String::new();
        write_f64(1.0 / 3.0, 0, &mut out);
        write_f64(1e15, -2, &mut out);
        assert_eq!(out, "0.3333333333333331e+15");
    }

    #[test]
    fn reads_as_postgresql() {
        for (text, value) in [
            (" 1.5 ", 1.5),
            ("1e3", 1000.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            (".5", 0.5),
            ("5.", 5.0),
            ("0e999", 0.0),
        ] {
            assert_eq!(parse_f64(text).unwrap(), value, "{text}");
        }
        assert!(parse_f64("NaN").unwrap().is_nan());
        for (text, expected) in [
            (
                "",
                "22P02 invalid input syntax for type double precision: \"\"",
            ),
            (
                "1x",
                "22P02 invalid input syntax for type double precision: \"1x\"",
            ),
            (
                "1e400",
                "22003 \"1e400\" is out of range for type double precision",
            ),
            (
                "1e-400",
                "22003 \"1e-400\" is out of range for type double precision",
            ),
        ] {
            let error = parse_f64(text).unwrap_err();
            assert_eq!(format!("{} {}", error.state(), error.message()), expected);
        }
        assert!(parse_f32("1e39").is_err());
    }
}
