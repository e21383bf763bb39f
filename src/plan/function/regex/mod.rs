//! Regular expressions: `~` and its kin, regexp_*, SIMILAR TO.
//!
//! The regex crate prefers the first alternative, PostgreSQL the longest
//! match. Where it matters which, the end of the match is looked for with an
//! automaton that knows them all. What mixes greedy and lazy parts has rules
//! of its own in PostgreSQL and is refused, except by tests that ask only
//! whether there is a match.

mod functions;
mod similar;
mod translate;

use std::rc::Rc;

use regex::{Captures, Regex};
use regex_automata::hybrid::dfa;
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::definition::Definition;
use super::memo::Memo;
use crate::error::{Error, Result};
use translate::{Flags, invalid, translate};

pub(super) const TABLES: &[&[Definition]] = &[functions::OPERATORS, functions::FUNCTIONS];

/// The largest program an expression may compile to, in bytes.
const MAXIMUM_PROGRAM: usize = 4 << 20;

thread_local! {
    static EXPRESSIONS: Memo<(String, Flags), Expression> = Memo::new();
}

/// A compiled expression.
struct Expression {
    regex: Regex,
    text: String,
    /// With alternatives last first, if it has any and groups too.
    reversed: Option<String>,
    ignore_case: bool,
    choice: Choice,
}

/// How the end of a match is chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// There is only one, or the first found is PostgreSQL's.
    First,
    Longest,
    /// PostgreSQL's rule is another than either.
    Unknown,
}

impl Expression {
    /// From the thread's cache, or compiled anew.
    fn get(pattern: &str, mut flags: Flags) -> Result<Rc<Expression>> {
        flags.global = false;
        let key = (pattern.to_owned(), flags);
        EXPRESSIONS.with(|known| known.get(&key, || Expression::compile(pattern, flags)))
    }

    fn compile(pattern: &str, mut flags: Flags) -> Result<Expression> {
        let translated = translate(pattern, &mut flags, false)?;
        let ambiguous = translated.alternation && translated.groups > 0;
        let reversed = match ambiguous {
            true => Some(translate(pattern, &mut flags, true)?.text),
            false => None,
        };
        let regex = regex::RegexBuilder::new(&translated.text)
            .case_insensitive(flags.ignore_case)
            .size_limit(MAXIMUM_PROGRAM)
            .build()
            .map_err(|_| invalid("it is malformed or too complex"))?;
        let choice = match (translated.lazy, translated.greedy, translated.alternation) {
            (0, 0, false) | (0, 1, false) | (1, 0, false) => Choice::First,
            (0, ..) => Choice::Longest,
            _ => Choice::Unknown,
        };
        Ok(Expression {
            regex,
            text: translated.text,
            reversed,
            ignore_case: flags.ignore_case,
            choice,
        })
    }

    fn is_match(&self, source: &str) -> bool {
        self.regex.is_match(source)
    }

    /// Groups beside the whole.
    fn groups(&self) -> usize {
        self.regex.captures_len() - 1
    }

    /// The first match at or after a byte offset, with its groups.
    fn find(&self, source: &str, from: usize) -> Result<Option<Match>> {
        if from > source.len() {
            return Ok(None);
        }
        let Some(captures) = self.regex.captures_at(source, from) else {
            return Ok(None);
        };
        let found = Match::new(&captures, 0);
        match self.choice {
            Choice::First => Ok(Some(found)),
            Choice::Unknown => Err(Error::unsupported(
                "a regular expression of greedy and non-greedy parts here",
            )),
            Choice::Longest => self.lengthen(source, found).map(Some),
        }
    }

    /// The longest match that starts where this one does.
    fn lengthen(&self, source: &str, found: Match) -> Result<Match> {
        let (start, end) = found.whole();
        let failed = || invalid("it is too complex");
        let longest = dfa::DFA::builder()
            .configure(dfa::Config::new().match_kind(MatchKind::All))
            .thompson(thompson::Config::new().nfa_size_limit(Some(MAXIMUM_PROGRAM)))
            .syntax(syntax::Config::new().case_insensitive(self.ignore_case))
            .build(&self.text);
        // Unicode word boundaries are beyond this automaton; with them the
        // first match is tried against each longer end instead.
        let longest = match longest {
            Ok(automaton) => {
                let mut cache = automaton.create_cache();
                let input = Input::new(source).range(start..).anchored(Anchored::Yes);
                let half = automaton.try_search_fwd(&mut cache, &input);
                half.map_err(|_| failed())?
                    .map_or(end, |half| half.offset())
            }
            Err(_) => return self.lengthen_by_trial(source, found),
        };
        if longest <= end && self.reversed.is_none() {
            return Ok(found);
        }
        self.within(source, start, longest.max(end))
    }

    /// The match over just this range, whose groups must not depend on which
    /// alternative is tried first: PostgreSQL makes earlier groups longest.
    fn within(&self, source: &str, start: usize, end: usize) -> Result<Match> {
        let part = &source[start..end];
        let find = |text: &str| -> Result<Match> {
            let captures = self
                .exact(text)?
                .captures(part)
                .map(|c| Match::new(&c, start));
            captures.ok_or_else(|| Error::unsupported("this regular expression here"))
        };
        let found = find(&self.text)?;
        if let Some(reversed) = &self.reversed
            && find(reversed)?.0 != found.0
        {
            return Err(Error::unsupported(
                "a regular expression whose groups depend on the choice of an alternative",
            ));
        }
        Ok(found)
    }

    fn lengthen_by_trial(&self, source: &str, found: Match) -> Result<Match> {
        let (start, end) = found.whole();
        let exact = self.exact(&self.text)?;
        let ends = source[end..].char_indices().skip(1).map(|(at, _)| end + at);
        let mut ends: Vec<usize> = ends.chain([source.len()]).collect();
        ends.reverse();
        for longer in ends.into_iter().filter(|longer| *longer > end) {
            if exact.is_match(&source[start..longer]) {
                return self.within(source, start, longer);
            }
        }
        match self.reversed {
            Some(_) => self.within(source, start, end),
            None => Ok(found),
        }
    }

    /// An expression over a whole text.
    fn exact(&self, text: &str) -> Result<Regex> {
        regex::RegexBuilder::new(&format!("\\A(?:{text})\\z"))
            .case_insensitive(self.ignore_case)
            .size_limit(MAXIMUM_PROGRAM)
            .build()
            .map_err(|_| invalid("it is too complex"))
    }
}

/// Byte ranges of a match and its groups.
struct Match(Vec<Option<(usize, usize)>>);

impl Match {
    fn new(captures: &Captures<'_>, offset: usize) -> Match {
        let range = |group: regex::Match<'_>| (group.start() + offset, group.end() + offset);
        let groups = (1..captures.len()).map(|n| captures.name(&format!("g{n}")).map(range));
        Match(
            std::iter::once(captures.get(0).map(range))
                .chain(groups)
                .collect(),
        )
    }

    fn whole(&self) -> (usize, usize) {
        self.0.first().copied().flatten().unwrap_or_default()
    }
}

/// All matches from a byte offset on, at most `limit`. After an empty match
/// the search goes on one character further; PostgreSQL skips an empty match
/// that touches the one before only in splitting, which sees to that itself.
fn find_all(
    expression: &Expression,
    source: &str,
    mut from: usize,
    limit: usize,
) -> Result<Vec<Match>> {
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(next) = expression.find(source, from)? else {
            break;
        };
        let (start, end) = next.whole();
        from = match end > start {
            true => end,
            false => end + source[end..].chars().next().map_or(1, char::len_utf8),
        };
        found.push(next);
    }
    Ok(found)
}
