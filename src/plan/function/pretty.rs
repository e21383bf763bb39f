//! Expressions' canonical text with fewer parentheses, as psql asks for it.
//!
//! Only what the eye stumbles over goes: the outermost pair, and those around
//! the parts of AND and OR where precedence says the same.

/// The text of an expression without the parentheses that mean nothing.
pub fn pretty(text: &str) -> String {
    let inner = unwrapped(text);
    for (word, keeps) in [(" OR ", &[][..]), (" AND ", &[" OR "][..])] {
        let parts = split(inner, word);
        if parts.len() > 1 {
            let parts: Vec<String> = parts.iter().map(|part| operand(part, keeps)).collect();
            return parts.join(word);
        }
    }
    inner.to_owned()
}

/// A part of a junction; one that binds weaker keeps its parentheses.
fn operand(text: &str, keeps: &[&str]) -> String {
    let inner = unwrapped(text);
    if keeps.iter().any(|word| split(inner, word).len() > 1) {
        return format!("({})", pretty(inner));
    }
    pretty(inner)
}

/// Without the pair of parentheses that is around all of it.
fn unwrapped(text: &str) -> &str {
    let Some(inner) = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
    else {
        return text;
    };
    let mut lowest = 0;
    walk(inner, |depth, _, _| lowest = lowest.min(depth));
    if lowest < 0 { text } else { inner }
}

/// Splits at a word outside of parentheses and quotes.
fn split<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    // Inside CASE and BETWEEN, AND is no junction.
    if ["CASE ", "BETWEEN "].iter().any(|sign| text.contains(sign)) {
        return vec![text];
    }
    let mut parts = Vec::new();
    let mut start = 0;
    walk(text, |depth, at, _| {
        if depth == 0 && at >= start && text[at..].starts_with(word) {
            parts.push(&text[start..at]);
            start = at + word.len();
        }
    });
    parts.push(&text[start..]);
    parts
}

/// Visits each character outside of quotes with the depth after it.
fn walk(text: &str, mut visit: impl FnMut(i32, usize, char)) {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => continue,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth -= 1,
            _ => {}
        }
        visit(depth, at, c);
    }
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn parentheses_go_where_they_mean_nothing() {
        let cases = [
            ("(a > 0)", "a > 0"),
            ("((a > 0) AND (b > 0))", "a > 0 AND b > 0"),
            (
                "((a > 0) AND ((b > 0) OR (c > 0)))",
                "a > 0 AND (b > 0 OR c > 0)",
            ),
            (
                "(((a > 0) AND (b > 0)) OR (c > 0))",
                "a > 0 AND b > 0 OR c > 0",
            ),
            ("(lower(a) = 'x) AND (y')", "lower(a) = 'x) AND (y'"),
            ("((a + b) > c)", "(a + b) > c"),
            ("(a) + (b)", "(a) + (b)"),
            ("lower(a)", "lower(a)"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(pretty(text), expected, "{text}");
        }
    }
}
