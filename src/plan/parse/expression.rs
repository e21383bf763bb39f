//! Expressions, by precedence climbing over PostgreSQL's table.

use super::Parser;
use super::lexer::Token;
use crate::error::Result;
use crate::plan::syntax::{Expr, LikeOperator, Node, Place, Quantified};

/// Binding strengths, weakest first (PostgreSQL's documentation, 4.1.6).
mod strength {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const IS: u8 = 4;
    pub(super) const COMPARISON: u8 = 5;
    pub(super) const BETWEEN: u8 = 6;
    pub(super) const OTHER: u8 = 7;
    pub(super) const SUM: u8 = 8;
    pub(super) const PRODUCT: u8 = 9;
    pub(super) const POWER: u8 = 10;
    pub(super) const AT: u8 = 11;
    pub(super) const COLLATE: u8 = 12;
    pub(super) const UNARY: u8 = 13;
}

/// Which operators an expression may hold: `b_expr` lacks AND, IN, LIKE and the like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Restricted,
}

pub(super) fn expr(place: Place, node: Node) -> Expr {
    Expr { place, node }
}

fn boxed(expression: Expr) -> Box<Expr> {
    Box::new(expression)
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expr> {
        self.climb(strength::OR, Kind::Full)
    }

    /// PostgreSQL's `b_expr`: where a following word would be ambiguous.
    pub(super) fn restricted_expression(&mut self) -> Result<Expr> {
        self.climb(strength::OR, Kind::Restricted)
    }

    pub(super) fn expressions(&mut self) -> Result<Vec<Expr>> {
        self.list(Self::expression)
    }

    fn climb(&mut self, least: u8, kind: Kind) -> Result<Expr> {
        self.nested(|parser| parser.climb_here(least, kind))
    }

    fn climb_here(&mut self, least: u8, kind: Kind) -> Result<Expr> {
        let mut left = self.prefix(kind)?;
        // Comparisons and BETWEEN do not associate: a second one is an error.
        let mut limit = u8::MAX;
        while let Some(level) = self.infix_strength(kind) {
            if level < least || level >= limit {
                break;
            }
            left = self.infix(left, level, kind)?;
            self.grow()?;
            limit = match level {
                strength::COMPARISON | strength::BETWEEN => level,
                _ => u8::MAX,
            };
        }
        Ok(left)
    }

    fn prefix(&mut self, kind: Kind) -> Result<Expr> {
        let place = self.place();
        if kind == Kind::Full && self.take_keyword("not") {
            let operand = self.climb(strength::NOT, kind)?;
            return Ok(expr(place, Node::Not(boxed(operand))));
        }
        let Some(symbol) = self.operator_symbol()? else {
            return self.postfixed();
        };
        let operand = match symbol.as_str() {
            "-" | "+" => self.climb(strength::UNARY, kind)?,
            _ => self.climb(strength::OTHER + 1, kind)?,
        };
        Ok(match (symbol.as_str(), operand.node) {
            ("-", Node::Integer(digits)) => expr(place, Node::Integer(negated(digits))),
            ("-", Node::Decimal(digits)) => expr(place, Node::Decimal(negated(digits))),
            (_, node) => {
                let right = boxed(expr(operand.place, node));
                expr(
                    place,
                    Node::Operator {
                        symbol,
                        left: None,
                        right,
                    },
                )
            }
        })
    }

    /// Takes an operator: a symbol, or `OPERATOR(pg_catalog.symbol)`.
    fn operator_symbol(&mut self) -> Result<Option<String>> {
        if let Token::Operator(symbol) = self.token(0) {
            self.advance();
            return Ok(Some(symbol.clone()));
        }
        if !(self.is_keyword("operator") && self.mark_ahead(1, "(")) {
            return Ok(None);
        }
        self.at += 2;
        while self.is_name() {
            let schema = self.name()?;
            if schema.text != "pg_catalog" {
                return self.unsupported("an operator of another schema");
            }
            self.expect_mark(".")?;
        }
        let Token::Operator(symbol) = self.token(0) else {
            return self.unexpected();
        };
        self.advance();
        self.expect_mark(")")?;
        Ok(Some(symbol.clone()))
    }

    /// How strongly the next token binds as an infix operator.
    fn infix_strength(&self, kind: Kind) -> Option<u8> {
        if let Token::Operator(symbol) = self.token(0) {
            return Some(match symbol.as_str() {
                "<" | ">" | "=" | "<=" | ">=" | "<>" => strength::COMPARISON,
                "+" | "-" => strength::SUM,
                "*" | "/" | "%" => strength::PRODUCT,
                "^" => strength::POWER,
                _ => strength::OTHER,
            });
        }
        let full = kind == Kind::Full;
        Some(match self.word(0)? {
            "or" if full => strength::OR,
            "and" if full => strength::AND,
            "is" if full || self.is_distinct_from() => strength::IS,
            "isnull" | "notnull" if full => strength::IS,
            "between" | "in" | "like" | "ilike" | "overlaps" if full => strength::BETWEEN,
            "similar" if full && self.word(1) == Some("to") => strength::BETWEEN,
            "not" if full => match self.word(1)? {
                "between" | "in" | "like" | "ilike" => strength::BETWEEN,
                "similar" if self.word(2) == Some("to") => strength::BETWEEN,
                _ => return None,
            },
            "operator" if self.mark_ahead(1, "(") => strength::OTHER,
            "at" if full && self.are_keywords(&["at", "time", "zone"]) => strength::AT,
            "collate" if full => strength::COLLATE,
            _ => return None,
        })
    }

    fn is_distinct_from(&self) -> bool {
        self.are_keywords(&["is", "distinct", "from"])
            || self.are_keywords(&["is", "not", "distinct", "from"])
    }

    fn infix(&mut self, left: Expr, level: u8, kind: Kind) -> Result<Expr> {
        let place = self.place();
        match level {
            strength::OR | strength::AND => self.junction(left, level),
            strength::IS => self.test(left, kind),
            strength::BETWEEN => self.matching(left),
            strength::AT => {
                self.at += 3;
                let zone = self.climb(strength::AT + 1, kind)?;
                Ok(super::special::call(place, "timezone", vec![zone, left]))
            }
            strength::COLLATE => {
                self.advance();
                let collation = self.path()?;
                let operand = boxed(left);
                Ok(expr(place, Node::Collate { operand, collation }))
            }
            _ => self.binary(left, level, kind),
        }
    }

    /// AND and OR of any number of operands, as one flat list.
    fn junction(&mut self, first: Expr, level: u8) -> Result<Expr> {
        let keyword = if level == strength::OR { "or" } else { "and" };
        let place = first.place;
        let mut operands = vec![first];
        while self.take_keyword(keyword) {
            operands.push(self.climb(level + 1, Kind::Full)?);
        }
        Ok(expr(
            place,
            match level {
                strength::OR => Node::Or(operands),
                _ => Node::And(operands),
            },
        ))
    }

    fn binary(&mut self, left: Expr, level: u8, kind: Kind) -> Result<Expr> {
        let place = self.place();
        let Some(symbol) = self.operator_symbol()? else {
            return self.unexpected();
        };
        if kind == Kind::Full
            && let Some(quantifier) = self.take_one_of(&["any", "some", "all"])
        {
            self.expect_mark("(")?;
            let right = if self.starts_query() {
                Quantified::Query(Box::new(self.query()?))
            } else {
                Quantified::Array(boxed(self.expression()?))
            };
            self.expect_mark(")")?;
            return Ok(expr(
                place,
                Node::Quantified {
                    left: boxed(left),
                    symbol,
                    all: quantifier == "all",
                    right,
                },
            ));
        }
        let right = self.climb(level + 1, kind)?;
        Ok(expr(
            place,
            Node::Operator {
                symbol,
                left: Some(boxed(left)),
                right: boxed(right),
            },
        ))
    }

    /// IS …, ISNULL, NOTNULL.
    fn test(&mut self, left: Expr, kind: Kind) -> Result<Expr> {
        let place = self.place();
        let operand = boxed(left);
        if let Some(short) = self.take_one_of(&["isnull", "notnull"]) {
            let negated = short == "notnull";
            return Ok(expr(place, Node::IsNull { operand, negated }));
        }
        self.expect_keyword("is")?;
        let negated = self.take_keyword("not");
        if self.take_keywords(&["distinct", "from"]) {
            let right = boxed(self.climb(strength::IS + 1, kind)?);
            return Ok(expr(
                place,
                Node::IsDistinct {
                    left: operand,
                    right,
                    negated,
                },
            ));
        }
        let value = match self.word(0) {
            Some("null") => {
                self.advance();
                return Ok(expr(place, Node::IsNull { operand, negated }));
            }
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some("unknown") => None,
            Some("json" | "document" | "normalized" | "nfc" | "nfd" | "nfkc" | "nfkd") => {
                return self.unsupported("IS JSON, DOCUMENT or NORMALIZED");
            }
            _ => return self.unexpected(),
        };
        self.advance();
        Ok(expr(
            place,
            Node::IsTruth {
                operand,
                value,
                negated,
            },
        ))
    }

    /// \[NOT\] BETWEEN, IN, LIKE, ILIKE, SIMILAR TO.
    fn matching(&mut self, left: Expr) -> Result<Expr> {
        let place = self.place();
        if self.is_keyword("overlaps") {
            return self.overlaps(left);
        }
        let negated = self.take_keyword("not");
        let operand = boxed(left);
        let node = match self.word(0) {
            Some("between") => {
                self.advance();
                let symmetric = self.take_keyword("symmetric");
                if !symmetric {
                    self.take_keyword("asymmetric");
                }
                let low = boxed(self.restricted_expression()?);
                self.expect_keyword("and")?;
                let high = boxed(self.climb(strength::BETWEEN + 1, Kind::Full)?);
                Node::Between {
                    operand,
                    low,
                    high,
                    negated,
                    symmetric,
                }
            }
            Some("in") => {
                self.advance();
                self.membership(operand, negated)?
            }
            _ => self.pattern_match(operand, negated)?,
        };
        Ok(expr(place, node))
    }

    /// `(start, end) OVERLAPS (start, length)`.
    fn overlaps(&mut self, left: Expr) -> Result<Expr> {
        let place = self.place();
        let start = left.place;
        let Node::Row(mut arguments) = left.node else {
            return self.unexpected();
        };
        self.advance();
        if arguments.len() != 2 {
            let message = "wrong number of parameters on left side of OVERLAPS expression";
            return Err(self.failure(start, message));
        }
        let right = self.climb(strength::BETWEEN + 1, Kind::Full)?;
        let other_side = right.place;
        match right.node {
            Node::Row(items) if items.len() == 2 => arguments.extend(items),
            Node::Row(_) => {
                let message = "wrong number of parameters on right side of OVERLAPS expression";
                return Err(self.failure(other_side, message));
            }
            _ => return self.unexpected(),
        }
        Ok(super::special::call(place, "overlaps", arguments))
    }

    fn membership(&mut self, operand: Box<Expr>, negated: bool) -> Result<Node> {
        self.expect_mark("(")?;
        let node = if self.starts_query() {
            Node::InQuery {
                operand,
                query: Box::new(self.query()?),
                negated,
            }
        } else {
            Node::InList {
                operand,
                list: self.expressions()?,
                negated,
            }
        };
        self.expect_mark(")")?;
        Ok(node)
    }

    fn pattern_match(&mut self, operand: Box<Expr>, negated: bool) -> Result<Node> {
        let operator = match self.take_one_of(&["like", "ilike", "similar"]) {
            Some("like") => LikeOperator::Like,
            Some("ilike") => LikeOperator::ILike,
            _ => {
                self.expect_keyword("to")?;
                LikeOperator::Similar
            }
        };
        let pattern = boxed(self.climb(strength::BETWEEN + 1, Kind::Full)?);
        let escape = if self.take_keyword("escape") {
            Some(boxed(self.climb(strength::BETWEEN + 1, Kind::Full)?))
        } else {
            None
        };
        Ok(Node::Like {
            operator,
            operand,
            pattern,
            escape,
            negated,
        })
    }

    /// A primary with its subscripts and casts.
    fn postfixed(&mut self) -> Result<Expr> {
        let indirect =
            self.is_mark("(") || matches!(self.token(0), Token::Parameter(_) | Token::String(_));
        let mut operand = self.primary()?;
        let mut indirect = indirect && !matches!(operand.node, Node::String(_));
        loop {
            let place = self.place();
            if self.take_mark("::") {
                let ty = self.type_name()?;
                self.grow()?;
                operand = expr(
                    place,
                    Node::Cast {
                        operand: boxed(operand),
                        ty,
                    },
                );
            } else if self.take_mark("[") {
                operand = self.subscripts(operand)?;
            } else if indirect && self.take_mark(".") {
                let operand_before = boxed(operand);
                let field = match self.take_operator("*") {
                    true => None,
                    false => Some(self.label()?),
                };
                self.grow()?;
                indirect = field.is_some();
                operand = expr(
                    operand_before.place,
                    Node::Field {
                        operand: operand_before,
                        field,
                    },
                );
            } else if self.is_mark(".") {
                return self.unexpected();
            } else {
                return Ok(operand);
            }
        }
    }

    /// `index]`, and the subscripts behind it. One slice alone: as one of
    /// several it would be of another dimension.
    fn subscripts(&mut self, operand: Expr) -> Result<Expr> {
        let (mut operand, mut count, mut sliced) = (operand, 0, false);
        loop {
            operand = self.subscript(operand)?;
            self.grow()?;
            count += 1;
            sliced |= matches!(operand.node, Node::Slice { .. });
            if sliced && count > 1 {
                return self.unsupported("a slice among several subscripts");
            }
            if !self.take_mark("[") {
                return Ok(operand);
            }
        }
    }

    fn subscript(&mut self, operand: Expr) -> Result<Expr> {
        let place = operand.place;
        let operand = boxed(operand);
        let lower = if self.is_mark(":") {
            None
        } else {
            Some(boxed(self.expression()?))
        };
        let node = if self.take_mark(":") {
            let upper = if self.is_mark("]") {
                None
            } else {
                Some(boxed(self.expression()?))
            };
            Node::Slice {
                operand,
                lower,
                upper,
            }
        } else {
            match lower {
                Some(index) => Node::Subscript { operand, index },
                None => return self.unexpected(),
            }
        };
        self.expect_mark("]")?;
        Ok(expr(place, node))
    }
}

/// A minus before a number becomes part of it; two cancel out.
fn negated(digits: String) -> String {
    match digits.strip_prefix('-') {
        Some(positive) => positive.to_owned(),
        None => format!("-{digits}"),
    }
}
