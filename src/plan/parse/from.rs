//! FROM: tables, subqueries, functions and joins.

use super::Parser;
use super::keywords::Class;
use super::lexer::Token;
use crate::error::{Error, Result, SqlState};
use crate::plan::query::JoinKind;
use crate::plan::syntax::{Alias, FromItem, JoinCondition, Name};

impl Parser<'_> {
    pub(super) fn relation_item(&mut self) -> Result<FromItem> {
        self.nested(|parser| {
            let first = parser.relation_primary()?;
            parser.joined(first)
        })
    }

    /// The joins that follow an item.
    fn joined(&mut self, mut left: FromItem) -> Result<FromItem> {
        loop {
            let place = self.place();
            let natural = self.take_keyword("natural");
            let kind = match self.word(0) {
                Some("cross") if !natural => {
                    self.advance();
                    JoinKind::Cross
                }
                Some("inner") => {
                    self.advance();
                    JoinKind::Inner
                }
                Some("join") => JoinKind::Inner,
                Some("left") => self.outer(JoinKind::Left),
                Some("right") => self.outer(JoinKind::Right),
                Some("full") => self.outer(JoinKind::Full),
                _ if natural => return self.unexpected(),
                _ => return Ok(left),
            };
            self.expect_keyword("join")?;
            self.grow()?;
            // Without a condition of its own yet, a further join belongs to the right side.
            let right = if natural || kind == JoinKind::Cross {
                self.relation_primary()?
            } else {
                self.nested(Self::right_side)?
            };
            let (condition, alias) = self.join_condition(natural, kind)?;
            left = FromItem::Join {
                kind,
                left: Box::new(left),
                right: Box::new(right),
                condition,
                alias,
                place,
            };
        }
    }

    /// `b JOIN c ON …` in `a JOIN b JOIN c ON … ON …`.
    fn right_side(&mut self) -> Result<FromItem> {
        let primary = self.relation_primary()?;
        if matches!(self.word(0), Some("on" | "using")) {
            return Ok(primary);
        }
        self.joined(primary)
    }

    fn outer(&mut self, kind: JoinKind) -> JoinKind {
        self.advance();
        self.take_keyword("outer");
        kind
    }

    fn join_condition(
        &mut self,
        natural: bool,
        kind: JoinKind,
    ) -> Result<(JoinCondition, Option<Alias>)> {
        if natural {
            return Ok((JoinCondition::Natural, None));
        }
        if kind == JoinKind::Cross {
            return Ok((JoinCondition::None, None));
        }
        if self.take_keyword("using") {
            let columns = self.parenthesized(Self::name)?;
            if self.is_keyword("as") {
                return self.unsupported("an alias for JOIN USING");
            }
            return Ok((JoinCondition::Using(columns), None));
        }
        self.expect_keyword("on")?;
        Ok((JoinCondition::On(Box::new(self.expression()?)), None))
    }

    fn relation_primary(&mut self) -> Result<FromItem> {
        let lateral = self.take_keyword("lateral");
        let place = self.place();
        if self.is_mark("(") {
            if self.starts_parenthesized_query() {
                self.expect_mark("(")?;
                let query = Box::new(self.query()?);
                self.expect_mark(")")?;
                let alias = self.alias()?;
                if alias.is_none() {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "subquery in FROM must have an alias",
                    )
                    .hint("For example, FROM (SELECT ...) [AS] foo.")
                    .at(Some(super::position(self.text, place))));
                }
                return Ok(FromItem::Subquery {
                    query,
                    alias,
                    lateral,
                    place,
                });
            }
            self.expect_mark("(")?;
            let mut item = self.relation_item()?;
            self.expect_mark(")")?;
            match &mut item {
                FromItem::Join { alias, .. } => *alias = self.alias()?,
                _ => return self.unexpected(),
            }
            return Ok(item);
        }
        if self.are_keywords(&["rows", "from"]) && self.mark_ahead(2, "(") {
            self.at += 2;
            let mut calls = self.parenthesized(Self::rows_from_call)?.into_iter();
            let Some(call) = calls.next() else {
                return self.unexpected();
            };
            return self.function_item(call, calls.collect(), lateral);
        }
        self.table_or_function(lateral)
    }

    fn table_or_function(&mut self, lateral: bool) -> Result<FromItem> {
        let place = self.place();
        let only = self.take_keyword("only");
        let parenthesis = only && self.take_mark("(");
        let special = match self.word(0) {
            Some(word) => self.mark_ahead(1, "(") && is_function_keyword(word),
            None => false,
        };
        let starts_special = matches!(
            self.word(0),
            Some(
                "current_date"
                    | "current_timestamp"
                    | "current_user"
                    | "session_user"
                    | "user"
                    | "current_role"
                    | "current_catalog"
                    | "localtimestamp"
                    | "localtime"
            )
        );
        if special || starts_special {
            let call = self.primary()?;
            return self.function_item(call, Vec::new(), lateral);
        }
        let mut path =
            vec![self.name_of(&[Class::Unreserved, Class::ColumnName, Class::TypeOrFunction])?];
        while self.take_mark(".") {
            path.push(self.label()?);
        }
        if self.is_mark("(") {
            let call = self.call_after(place, path)?;
            return self.function_item(call, Vec::new(), lateral);
        }
        if parenthesis {
            self.expect_mark(")")?;
        }
        self.take_operator("*");
        let alias = self.alias()?;
        if self.is_keyword("tablesample") {
            return self.unsupported("TABLESAMPLE");
        }
        Ok(FromItem::Table { path, alias })
    }

    /// One call of ROWS FROM.
    fn rows_from_call(&mut self) -> Result<crate::plan::syntax::Expr> {
        let call = self.primary()?;
        if self.is_keyword("as") {
            return self.unsupported("a column definition list");
        }
        match call.node {
            crate::plan::syntax::Node::Call(_) => Ok(call),
            _ => self.unexpected(),
        }
    }

    fn function_item(
        &mut self,
        call: crate::plan::syntax::Expr,
        more: Vec<crate::plan::syntax::Expr>,
        lateral: bool,
    ) -> Result<FromItem> {
        let ordinality = self.take_keywords(&["with", "ordinality"]);
        let alias = match self.is_keyword("as") && self.mark_ahead(1, "(") {
            true => {
                self.advance();
                let name = match &call.node {
                    crate::plan::syntax::Node::Call(call) => call.name.last().cloned(),
                    _ => None,
                };
                match name {
                    Some(name) => Some(self.column_definitions(name)?),
                    None => return self.unexpected(),
                }
            }
            false => self.alias_with(true)?,
        };
        Ok(FromItem::Function {
            call,
            more,
            alias,
            ordinality,
            lateral,
        })
    }

    /// `[AS] name [(columns)]`.
    fn alias(&mut self) -> Result<Option<Alias>> {
        self.alias_with(false)
    }

    /// The same; a function's columns may come with their types.
    fn alias_with(&mut self, types: bool) -> Result<Option<Alias>> {
        let explicit = self.take_keyword("as");
        if !explicit && !self.is_name() {
            return Ok(None);
        }
        let name = self.name()?;
        let mut columns = Vec::new();
        if self.is_mark("(") {
            let is_definition = matches!(self.token(2), Token::Word { .. } | Token::String(_));
            if types && is_definition && matches!(self.token(1), Token::Word { .. }) {
                return self.column_definitions(name).map(Some);
            }
            self.expect_mark("(")?;
            columns = self.list(Self::name)?;
            self.expect_mark(")")?;
        }
        Ok(Some(Alias {
            name,
            columns,
            types: Vec::new(),
        }))
    }

    /// `(a int, b text)` of a function whose rows it describes.
    fn column_definitions(&mut self, name: Name) -> Result<Alias> {
        let defined = self.parenthesized(|parser| Ok((parser.name()?, parser.type_name()?)))?;
        let (columns, types) = defined.into_iter().unzip();
        Ok(Alias {
            name,
            columns,
            types,
        })
    }
}

/// Calls whose name is a key word.
fn is_function_keyword(word: &str) -> bool {
    matches!(
        word,
        "coalesce"
            | "greatest"
            | "least"
            | "nullif"
            | "extract"
            | "substring"
            | "trim"
            | "position"
            | "overlay"
    )
}
