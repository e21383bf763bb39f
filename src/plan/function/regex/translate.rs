//! PostgreSQL's advanced regular expressions in the words of the regex crate.
//!
//! Not handled, and refused: back references, lookaround, collating
//! elements, and embedded options other than at the start.

use crate::error::{Error, Result, SqlState};

/// What the flags argument says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Flags {
    pub(super) global: bool,
    pub(super) ignore_case: bool,
    /// `.` and negated brackets stop at a newline.
    pub(super) newline_stops: bool,
    /// `^` and `$` match at each line.
    pub(super) newline_anchors: bool,
    pub(super) expanded: bool,
    pub(super) literal: bool,
}

/// A translated expression and what decides how its matches are chosen.
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) lazy: usize,
    pub(super) greedy: usize,
    pub(super) alternation: bool,
    /// Capturing groups so far.
    pub(super) groups: usize,
}

impl Flags {
    pub(super) fn parse(text: &str) -> Result<Flags> {
        let mut flags = Flags::default();
        for c in text.chars() {
            flags.set(c)?;
        }
        Ok(flags)
    }

    fn set(&mut self, c: char) -> Result<()> {
        match c {
            'g' => self.global = true,
            'i' => self.ignore_case = true,
            'c' => self.ignore_case = false,
            'n' | 'm' => (self.newline_stops, self.newline_anchors) = (true, true),
            'p' => (self.newline_stops, self.newline_anchors) = (true, false),
            'w' => (self.newline_stops, self.newline_anchors) = (false, true),
            's' => (self.newline_stops, self.newline_anchors) = (false, false),
            'x' => self.expanded = true,
            't' => self.expanded = false,
            'q' => self.literal = true,
            'e' | 'b' => return Err(Error::unsupported("the regular expression option e or b")),
            _ => {
                return Err(Error::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("invalid regular expression option: \"{c}\""),
                ));
            }
        }
        Ok(())
    }
}

pub(super) fn invalid(reason: &str) -> Error {
    Error::new(
        SqlState::INVALID_REGULAR_EXPRESSION,
        format!("invalid regular expression: {reason}"),
    )
}

/// Translates; the flags may be changed by `(?…)` at the start. With
/// `reversed` alternatives come last first; groups are named `g1`, `g2`….
pub(super) fn translate(pattern: &str, flags: &mut Flags, reversed: bool) -> Result<Translated> {
    let mut rest = pattern;
    if let Some(literal) = rest.strip_prefix("***=") {
        flags.literal = true;
        rest = literal;
    } else if let Some(plain) = rest.strip_prefix("***:") {
        rest = plain;
    }
    if let Some(options) = rest.strip_prefix("(?")
        && options.starts_with(|c: char| c.is_ascii_lowercase())
        && let Some((options, after)) = options.split_once(')')
    {
        for c in options.chars() {
            flags.set(c)?;
        }
        rest = after;
    }
    let mut translator = Translator {
        characters: rest.chars().collect(),
        place: 0,
        open: vec![Level::default()],
        reversed,
        flags: *flags,
        out: Translated {
            text: String::with_capacity(rest.len() + 8),
            lazy: 0,
            greedy: 0,
            alternation: false,
            groups: 0,
        },
    };
    match flags.literal {
        true => translator.out.text = regex::escape(rest),
        false => translator.run()?,
    }
    Ok(translator.out)
}

/// Where the content of an open group, and each of its alternatives after the
/// first, starts in the output.
#[derive(Default)]
struct Level {
    start: usize,
    alternatives: Vec<usize>,
}

struct Translator {
    characters: Vec<char>,
    place: usize,
    /// The whole, and the open groups in it.
    open: Vec<Level>,
    reversed: bool,
    flags: Flags,
    out: Translated,
}

impl Translator {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.place).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.place += usize::from(c.is_some());
        c
    }

    fn run(&mut self) -> Result<()> {
        let mut quantifiable = false;
        while let Some(c) = self.next() {
            match c {
                '\\' => quantifiable = self.escape()?,
                '[' => {
                    self.bracket()?;
                    quantifiable = true;
                }
                '(' => {
                    self.group()?;
                    quantifiable = false;
                }
                ')' if self.open.len() > 1 => {
                    self.close();
                    self.out.text.push(')');
                    quantifiable = true;
                }
                ')' => return Err(invalid("parentheses () not balanced")),
                '*' | '+' | '?' => {
                    self.quantified(quantifiable)?;
                    self.out.text.push(c);
                    self.laziness();
                    quantifiable = false;
                }
                '{' if self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                    self.quantified(quantifiable)?;
                    self.bound()?;
                    quantifiable = false;
                }
                '|' => {
                    self.out.alternation = true;
                    self.out.text.push('|');
                    let next = self.out.text.len();
                    if let Some(level) = self.open.last_mut() {
                        level.alternatives.push(next);
                    }
                    quantifiable = false;
                }
                '.' => {
                    let any = if self.flags.newline_stops {
                        "[^\\n]"
                    } else {
                        "(?s:.)"
                    };
                    self.out.text.push_str(any);
                    quantifiable = true;
                }
                '^' | '$' => {
                    self.anchor(c);
                    quantifiable = false;
                }
                '#' if self.flags.expanded => while self.next().is_some_and(|c| c != '\n') {},
                c if self.flags.expanded && c.is_whitespace() => {}
                c => {
                    push_literal(&mut self.out.text, c);
                    quantifiable = true;
                }
            }
        }
        if self.open.len() > 1 {
            return Err(invalid("parentheses () not balanced"));
        }
        self.close();
        Ok(())
    }

    /// Ends a group or the whole.
    fn close(&mut self) {
        let Some(level) = self.open.pop() else { return };
        if !self.reversed || level.alternatives.is_empty() {
            return;
        }
        let mut ends: Vec<usize> = level.alternatives.iter().map(|next| next - 1).collect();
        ends.push(self.out.text.len());
        let starts = std::iter::once(level.start).chain(level.alternatives);
        let mut parts: Vec<&str> = starts
            .zip(ends)
            .map(|(start, end)| &self.out.text[start..end])
            .collect();
        parts.reverse();
        let joined = parts.join("|");
        self.out.text.truncate(level.start);
        self.out.text.push_str(&joined);
    }

    fn anchor(&mut self, c: char) {
        self.out
            .text
            .push_str(match (c, self.flags.newline_anchors) {
                ('^', true) => "(?m:^)",
                ('^', false) => "\\A",
                (_, true) => "(?m:$)",
                (_, false) => "\\z",
            });
    }

    fn quantified(&mut self, quantifiable: bool) -> Result<()> {
        match quantifiable {
            true => Ok(()),
            false => Err(invalid("quantifier operand invalid")),
        }
    }

    /// A `?` after a quantifier makes it take the least.
    fn laziness(&mut self) {
        if self.peek() == Some('?') {
            self.place += 1;
            self.out.text.push('?');
            self.out.lazy += 1;
        } else {
            self.out.greedy += 1;
        }
    }

    /// `{m}`, `{m,}`, `{m,n}`, after the brace.
    fn bound(&mut self) -> Result<()> {
        let mut inner = String::new();
        loop {
            match self.next() {
                Some('}') => break,
                Some(c) if c.is_ascii_digit() || c == ',' => inner.push(c),
                _ => return Err(invalid("invalid repetition count(s)")),
            }
        }
        /// PostgreSQL's DUPMAX.
        const LARGEST: u32 = 255;
        let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= LARGEST);
        let valid = match inner.split_once(',') {
            None => count(&inner).is_some(),
            Some((low, "")) => count(low).is_some(),
            Some((low, high)) => match (count(low), count(high)) {
                (Some(low), Some(high)) => low <= high,
                _ => false,
            },
        };
        if !valid {
            return Err(invalid("invalid repetition count(s)"));
        }
        self.out.text.push_str(&format!("{{{inner}}}"));
        match inner.contains(',') {
            true => self.laziness(),
            false if self.peek() == Some('?') => self.place += 1,
            false => {}
        }
        Ok(())
    }

    fn group(&mut self) -> Result<()> {
        if self.peek() != Some('?') {
            self.out.groups += 1;
            self.out
                .text
                .push_str(&format!("(?P<g{}>", self.out.groups));
            self.open_level();
            return Ok(());
        }
        self.place += 1;
        match self.next() {
            Some(':') => {
                self.out.text.push_str("(?:");
                self.open_level();
                Ok(())
            }
            Some('=' | '!' | '<') => Err(Error::unsupported("lookaround in a regular expression")),
            _ => Err(invalid("quantifier operand invalid")),
        }
    }

    fn open_level(&mut self) {
        self.open.push(Level {
            start: self.out.text.len(),
            alternatives: Vec::new(),
        });
    }

    /// True if a quantifier may follow.
    fn escape(&mut self) -> Result<bool> {
        let Some(c) = self.next() else {
            return Err(invalid("invalid escape \\ sequence"));
        };
        let assertion = match c {
            'A' => Some("\\A"),
            'Z' => Some("\\z"),
            'm' => Some("\\b{start}"),
            'M' => Some("\\b{end}"),
            'y' => Some("\\b"),
            'Y' => Some("\\B"),
            _ => None,
        };
        if let Some(assertion) = assertion {
            self.out.text.push_str(assertion);
            return Ok(false);
        }
        match c {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => self.out.text.extend(['\\', c]),
            '1'..='9' => {
                return Err(Error::unsupported(
                    "a back reference in a regular expression",
                ));
            }
            _ => {
                let literal = self.character_escape(c)?;
                push_literal(&mut self.out.text, literal);
            }
        }
        Ok(true)
    }

    /// The character that `\c` stands for, after `c` has been taken.
    fn character_escape(&mut self, c: char) -> Result<char> {
        let digits = match c {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'B' => return Ok('\\'),
            'e' => return Ok('\u{1b}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '0' => return Ok('\0'),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c if c.is_alphanumeric() => return Err(invalid("invalid escape \\ sequence")),
            c => return Ok(c),
        };
        let mut code = 0;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                break;
            };
            self.place += 1;
            code = code * 16 + digit;
        }
        char::from_u32(code).ok_or_else(|| invalid("invalid escape \\ sequence"))
    }

    /// A bracket expression, after `[`.
    fn bracket(&mut self) -> Result<()> {
        let mut class = String::from("[");
        if self.peek() == Some('^') {
            self.place += 1;
            class.push('^');
            if self.flags.newline_stops {
                class.push_str("\\n");
            }
        }
        let mut first = true;
        loop {
            let unbalanced = || invalid("brackets [] not balanced");
            match self.next().ok_or_else(unbalanced)? {
                ']' if !first => break,
                '[' if self.peek() == Some(':') => {
                    let rest: String = self.characters[self.place..].iter().collect();
                    let end = rest.find(":]").ok_or_else(unbalanced)?;
                    let name = &rest[1..end];
                    const NAMES: [&str; 13] = [
                        "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print",
                        "punct", "space", "upper", "xdigit", "word",
                    ];
                    if !NAMES.contains(&name) {
                        return Err(invalid("invalid character class"));
                    }
                    class.push_str(unicode_class(name));
                    self.place += rest[..end + 2].chars().count();
                }
                '[' if matches!(self.peek(), Some('.' | '=')) => {
                    return Err(Error::unsupported(
                        "a collating element in a regular expression",
                    ));
                }
                '-' if !first && self.peek() != Some(']') => class.push('-'),
                '\\' => match self.next().ok_or_else(unbalanced)? {
                    c @ ('d' | 's' | 'w') => class.extend(['\\', c]),
                    c => {
                        let literal = self.character_escape(c)?;
                        push_class_literal(&mut class, literal);
                    }
                },
                c => push_class_literal(&mut class, c),
            }
            first = false;
        }
        class.push(']');
        self.out.text.push_str(&class);
        Ok(())
    }
}

fn unicode_class(name: &str) -> &'static str {
    match name {
        "alnum" => "\\p{Alphabetic}\\p{Nd}",
        "alpha" => "\\p{Alphabetic}",
        "blank" => "\\t ",
        "cntrl" => "\\p{Cc}",
        "digit" => "0-9",
        "graph" => "\\p{L}\\p{M}\\p{N}\\p{S}\\p{P}",
        "lower" => "\\p{Lowercase}",
        "print" => "\\p{L}\\p{M}\\p{N}\\p{S}\\p{P} ",
        "punct" => "[[:punct:]]",
        "space" => "\\s",
        "upper" => "\\p{Uppercase}",
        "xdigit" => "0-9A-Fa-f",
        _ => "\\w",
    }
}

fn push_literal(out: &mut String, c: char) {
    if regex_syntax_character(c) {
        out.push('\\');
    }
    out.push(c);
}

fn push_class_literal(out: &mut String, c: char) {
    if matches!(c, '[' | ']' | '^' | '-' | '&' | '~' | '\\') {
        out.push('\\');
    }
    out.push(c);
}

fn regex_syntax_character(c: char) -> bool {
    matches!(
        c,
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
    )
}
