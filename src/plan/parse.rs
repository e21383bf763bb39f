//! SQL text → syntax trees, by PostgreSQL 15's grammar.
//!
//! A recursive-descent parser of our own: places for every error, PostgreSQL's
//! precedences and nothing that PostgreSQL refuses. Depth is counted, so that
//! no text can exhaust the stack.
//!
//! Not handled: constructs that answer 0A000 by name, such as MERGE, grouping
//! sets, TABLESAMPLE and data-modifying WITH.

mod alter;
mod comment;
mod create;
mod expression;
mod from;
mod keywords;
mod lexer;
mod query;
mod special;
mod transaction;
mod typename;
mod utility;
mod write;

use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::{Expr, Name, Path, Place, Query, Statement, TypeName};
use keywords::Class;
pub(crate) use keywords::needs_quotes;
pub(crate) use lexer::{MAX_IDENTIFIER_BYTES, position};
use lexer::{Spanned, Token};

/// The longest text of one request that is parsed.
pub const MAX_STATEMENT_BYTES: usize = 64 << 20;

/// How high a syntax tree may grow, operators that follow each other included
/// (they nest to the left). Whatever walks trees and plans later on may thus
/// recurse on the stack of a runtime's worker.
const MAX_HEIGHT: usize = 1000;

/// Canonical text has parentheses around every operator, which count as well.
const MAX_STORED_HEIGHT: usize = 3 * MAX_HEIGHT;

/// How deep the parser itself may recurse.
const MAX_DEPTH: usize = 1000;

/// One statement of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub text: String,
    pub statement: Statement,
}

/// Splits a request into its statements. Blank ones are left out.
pub fn parse(sql: &str) -> Result<Vec<Parsed>> {
    let mut parsed = Vec::new();
    for range in split(sql)? {
        let (base, tokens) = range;
        let text = sql[base..tokens.last().map_or(base, |token| token.end)].to_owned();
        let statement = Parser::new(&text, &tokens, base)
            .whole_statement()
            .map_err(|error| error.behind(&sql[..base]))?;
        parsed.push(Parsed { text, statement });
    }
    Ok(parsed)
}

/// Parses an expression by itself: a stored default, check or index key.
pub(crate) fn parse_expression(text: &str) -> Result<Expr> {
    alone(text, |parser| parser.expression())
}

/// Parses a query that the binder puts in a relation's place.
pub(crate) fn parse_query(text: &str) -> Result<Query> {
    alone(text, |parser| parser.query())
}

/// Parses a type's name, as a `regtype` literal holds it.
pub(crate) fn parse_type(text: &str) -> Result<TypeName> {
    alone(text, |parser| parser.type_name())
}

/// Parses `a.b.c`, as a `regclass` literal holds it.
pub(crate) fn parse_path(text: &str) -> Result<Path> {
    alone(text, |parser| {
        let mut path = vec![parser.label()?];
        while parser.take_mark(".") {
            path.push(parser.label()?);
        }
        Ok(path)
    })
}

/// A text that holds one thing and nothing else.
fn alone<T>(text: &str, read: impl FnOnce(&mut Parser<'_>) -> Result<T>) -> Result<T> {
    check_size(text)?;
    let mut tokens = lexer::tokens(text)?;
    tokens.pop();
    let mut parser = Parser::new(text, &tokens, 0);
    parser.max_height = MAX_STORED_HEIGHT;
    let read = read(&mut parser)?;
    parser.expect_end()?;
    Ok(read)
}

fn check_size(sql: &str) -> Result<()> {
    if sql.len() > MAX_STATEMENT_BYTES {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("a statement may have at most {MAX_STATEMENT_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// The tokens of each statement and the byte where it starts.
fn split(sql: &str) -> Result<Vec<(usize, Vec<Spanned>)>> {
    check_size(sql)?;
    let mut statements = Vec::new();
    let mut current: Vec<Spanned> = Vec::new();
    for token in lexer::tokens(sql)? {
        if !matches!(token.token, Token::End | Token::Punctuation(";")) {
            current.push(token);
        } else if let Some(first) = current.first() {
            statements.push((first.start, std::mem::take(&mut current)));
        }
    }
    Ok(statements)
}

/// A cursor over one statement's tokens.
struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Spanned],
    at: usize,
    /// Where the statement starts in the text its tokens were read from.
    base: usize,
    depth: usize,
    /// The height of what has been read at this level.
    height: usize,
    max_height: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, tokens: &'a [Spanned], base: usize) -> Parser<'a> {
        Parser {
            text,
            tokens,
            at: 0,
            base,
            depth: 0,
            height: 0,
            max_height: MAX_HEIGHT,
        }
    }

    fn whole_statement(&mut self) -> Result<Statement> {
        let statement = self.statement()?;
        self.expect_end()?;
        Ok(statement)
    }

    fn token(&self, ahead: usize) -> &'a Token {
        const END: &Token = &Token::End;
        self.tokens
            .get(self.at + ahead)
            .map_or(END, |spanned| &spanned.token)
    }

    /// Where the next token starts.
    fn place(&self) -> Place {
        let start = self
            .tokens
            .get(self.at)
            .map(|token| token.start - self.base);
        Place(start.unwrap_or(self.text.len()) as u32)
    }

    /// Where the last token ended.
    fn end(&self) -> usize {
        match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some(token) => token.end - self.base,
            None => 0,
        }
    }

    /// The source from the next token to the end of the statement.
    fn rest_of_text(&self) -> &'a str {
        &self.text[self.place().0 as usize..]
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn at_end(&self) -> bool {
        *self.token(0) == Token::End
    }

    /// PostgreSQL's syntax error at the next token.
    fn unexpected<T>(&self) -> Result<T> {
        Err(self.unexpected_error())
    }

    fn unexpected_error(&self) -> Error {
        let message = match self.tokens.get(self.at) {
            Some(token) => {
                let near = &self.text[token.start - self.base..token.end - self.base];
                format!("syntax error at or near \"{near}\"")
            }
            None => "syntax error at end of input".to_owned(),
        };
        Error::new(SqlState::SYNTAX_ERROR, message).at(Some(self.position()))
    }

    /// A syntax error with its own words, at a place.
    fn failure(&self, place: Place, message: impl Into<String>) -> Error {
        Error::new(SqlState::SYNTAX_ERROR, message).at(Some(position(self.text, place)))
    }

    fn unsupported<T>(&self, construct: &str) -> Result<T> {
        Err(Error::unsupported(construct).at(Some(self.position())))
    }

    fn position(&self) -> u32 {
        position(self.text, self.place())
    }

    fn expect_end(&self) -> Result<()> {
        if self.at_end() {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(too_complex());
        }
        let beside = std::mem::replace(&mut self.height, 0);
        self.depth += 1;
        let result = inner(self)?;
        self.depth -= 1;
        self.grow()?;
        self.height = self.height.max(beside);
        Ok(result)
    }

    /// What has been read at this level becomes a part of something on top.
    fn grow(&mut self) -> Result<()> {
        self.height += 1;
        if self.height > self.max_height {
            return Err(too_complex());
        }
        Ok(())
    }

    /// The next token, if it is an unquoted word.
    fn word(&self, ahead: usize) -> Option<&'a str> {
        match self.token(ahead) {
            Token::Word {
                text,
                class: Some(_),
            } => Some(text),
            _ => None,
        }
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        self.word(0) == Some(keyword)
    }

    /// Whether these words come next.
    fn are_keywords(&self, keywords: &[&str]) -> bool {
        keywords
            .iter()
            .enumerate()
            .all(|(ahead, keyword)| self.word(ahead) == Some(keyword))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        self.take_keywords(&[keyword])
    }

    /// Takes these words if they come next, all of them or none.
    fn take_keywords(&mut self, keywords: &[&str]) -> bool {
        let there = self.are_keywords(keywords);
        if there {
            self.at += keywords.len();
        }
        there
    }

    fn expect_keyword(&mut self, keyword: &str) -> Result<()> {
        if self.take_keyword(keyword) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    fn expect_keywords(&mut self, keywords: &[&str]) -> Result<()> {
        keywords
            .iter()
            .try_for_each(|keyword| self.expect_keyword(keyword))
    }

    /// Takes the one of these words that comes next.
    fn take_one_of(&mut self, keywords: &[&'static str]) -> Option<&'static str> {
        let found = keywords.iter().find(|keyword| self.is_keyword(keyword));
        if found.is_some() {
            self.advance();
        }
        found.copied()
    }

    fn is_mark(&self, mark: &str) -> bool {
        matches!(self.token(0), Token::Punctuation(found) if *found == mark)
    }

    fn mark_ahead(&self, ahead: usize, mark: &str) -> bool {
        matches!(self.token(ahead), Token::Punctuation(found) if *found == mark)
    }

    fn take_mark(&mut self, mark: &str) -> bool {
        let there = self.is_mark(mark);
        if there {
            self.advance();
        }
        there
    }

    fn expect_mark(&mut self, mark: &str) -> Result<()> {
        if self.take_mark(mark) {
            Ok(())
        } else {
            self.unexpected()
        }
    }

    fn is_operator(&self, symbol: &str) -> bool {
        matches!(self.token(0), Token::Operator(found) if found == symbol)
    }

    fn take_operator(&mut self, symbol: &str) -> bool {
        let there = self.is_operator(symbol);
        if there {
            self.advance();
        }
        there
    }

    /// A name of one of these classes; quoted names always are.
    fn name_of(&mut self, classes: &[Class]) -> Result<Name> {
        match self.token(0) {
            Token::Word { text, class } if class.is_none_or(|class| classes.contains(&class)) => {
                let name = Name {
                    text: text.clone(),
                    place: self.place(),
                };
                self.advance();
                Ok(name)
            }
            _ => self.unexpected(),
        }
    }

    /// ColId: the name of a column, table or the like.
    fn name(&mut self) -> Result<Name> {
        self.name_of(&[Class::Unreserved, Class::ColumnName])
    }

    /// ColLabel: any word at all.
    fn label(&mut self) -> Result<Name> {
        self.name_of(&[
            Class::Unreserved,
            Class::ColumnName,
            Class::TypeOrFunction,
            Class::Reserved,
        ])
    }

    fn is_name(&self) -> bool {
        matches!(
            self.token(0),
            Token::Word {
                class: None | Some(Class::Unreserved | Class::ColumnName),
                ..
            }
        )
    }

    /// `a.b.c`.
    fn path(&mut self) -> Result<Path> {
        let mut path = vec![self.name()?];
        while self.take_mark(".") {
            path.push(self.label()?);
        }
        Ok(path)
    }

    /// One or more, separated by commas.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_mark(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A list in parentheses.
    fn parenthesized<T>(&mut self, item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.expect_mark("(")?;
        let items = self.list(item)?;
        self.expect_mark(")")?;
        Ok(items)
    }

    fn paths(&mut self) -> Result<Vec<Path>> {
        self.list(Self::path)
    }

    fn string(&mut self) -> Result<String> {
        match self.token(0) {
            Token::String(text) => {
                self.advance();
                Ok(text.clone())
            }
            _ => self.unexpected(),
        }
    }

    /// A whole number with an optional sign.
    fn signed_integer(&mut self) -> Result<i64> {
        let place = self.place();
        let negative = self.take_operator("-");
        if !negative {
            self.take_operator("+");
        }
        let Token::Integer(digits) = self.token(0) else {
            return self.unexpected();
        };
        self.advance();
        let sign = if negative { "-" } else { "" };
        format!("{sign}{digits}").parse().map_err(|_| {
            Error::new(
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("value \"{sign}{digits}\" is out of range for type bigint"),
            )
            .at(Some(position(self.text, place)))
        })
    }
}

fn too_complex() -> Error {
    Error::new(
        SqlState::STATEMENT_TOO_COMPLEX,
        "stack depth limit exceeded",
    )
    .hint("Nest the statement's expressions and queries less deeply.")
}

#[cfg(test)]
mod tests;
