//! SQL's own patterns (SIMILAR TO) as regular expressions.
//!
//! Not handled: the separators `\"` of SUBSTRING … SIMILAR.

use crate::error::{Error, Result, SqlState};
use crate::plan::function::like::invalid_escape;
use crate::types::Value;

/// What `x SIMILAR TO pattern ESCAPE escape` matches x with.
pub(super) fn similar_to_escape(pattern: &str, escape: Option<&str>) -> Result<Value> {
    let escape = match escape {
        None => Some('\\'),
        Some(text) => {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (first, None) => first,
                _ => return Err(invalid_escape()),
            }
        }
    };
    let mut out = String::from("^(?:");
    let mut characters = pattern.chars().peekable();
    let mut in_bracket = false;
    while let Some(c) = characters.next() {
        if Some(c) == escape {
            match characters.next() {
                Some('"') => {
                    return Err(Error::unsupported("a separator in a SIMILAR TO pattern"));
                }
                Some(literal) => out.extend(['\\', literal]),
                None => {
                    return Err(Error::new(
                        SqlState::INVALID_ESCAPE_SEQUENCE,
                        "invalid escape string",
                    ));
                }
            }
        } else if in_bracket {
            if c == '\\' {
                out.push('\\');
            }
            out.push(c);
            in_bracket = c != ']';
        } else {
            match c {
                '[' => {
                    out.push('[');
                    in_bracket = true;
                    if let Some(c) = characters.next_if(|c| *c == '^') {
                        out.push(c);
                    }
                    if let Some(c) = characters.next_if(|c| *c == ']') {
                        out.push(c);
                    }
                }
                '%' => out.push_str(".*"),
                '_' => out.push('.'),
                '(' => out.push_str("(?:"),
                '\\' | '.' | '^' | '$' => out.extend(['\\', c]),
                c => out.push(c),
            }
        }
    }
    out.push_str(")$");
    Ok(Value::text(out))
}
