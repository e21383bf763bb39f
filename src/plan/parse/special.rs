//! Primaries: literals, names, calls, and the syntax that keywords bring.

use super::Parser;
use super::expression::expr;
use super::keywords::Class;
use super::lexer::Token;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Exclusion, FrameUnits};
use crate::plan::syntax::{
    Call, Expr, Name, Node, Over, Path, Place, TypeName, WindowBound, WindowFrame, WindowSpec,
};

/// A plain call of a function of pg_catalog.
pub(super) fn call(place: Place, name: &str, arguments: Vec<Expr>) -> Expr {
    let name = Name {
        text: name.to_owned(),
        place,
    };
    expr(
        place,
        Node::Call(Box::new(plain_call(vec![name], arguments))),
    )
}

fn plain_call(name: Path, arguments: Vec<Expr>) -> Call {
    Call {
        name,
        arguments,
        names: Vec::new(),
        star: false,
        distinct: false,
        variadic: false,
        order_by: Vec::new(),
        within: Vec::new(),
        filter: None,
        over: None,
    }
}

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Result<Expr> {
        let place = self.place();
        let node = match self.token(0) {
            Token::Integer(digits) => Node::Integer(digits.clone()),
            Token::Decimal(digits) => Node::Decimal(digits.clone()),
            Token::String(text) => Node::String(text.clone()),
            Token::Parameter(number) => Node::Parameter(*number),
            Token::Punctuation("(") => return self.parenthesis(),
            Token::Operator(symbol) if symbol == "*" => return self.unexpected(),
            Token::Word { class: Some(_), .. } => return self.keyword_primary(),
            Token::Word { class: None, .. } => return self.named(),
            _ => return self.unexpected(),
        };
        self.advance();
        Ok(expr(place, node))
    }

    /// `(expression)`, `(query)` or `(a, b)`.
    fn parenthesis(&mut self) -> Result<Expr> {
        let place = self.place();
        if self.starts_parenthesized_query() {
            self.expect_mark("(")?;
            let query = Box::new(self.query()?);
            self.expect_mark(")")?;
            return Ok(expr(place, Node::Scalar(query)));
        }
        let mut items = self.parenthesized(Self::expression)?;
        match (items.pop(), items.is_empty()) {
            (Some(single), true) => Ok(single),
            (Some(last), false) => {
                items.push(last);
                Ok(expr(place, Node::Row(items)))
            }
            (None, _) => self.unexpected(),
        }
    }

    fn keyword_primary(&mut self) -> Result<Expr> {
        let place = self.place();
        let Some(word) = self.word(0) else {
            return self.unexpected();
        };
        let followed_by_parenthesis = self.mark_ahead(1, "(");
        let node = match word {
            "null" => Node::Null,
            "true" => Node::Bool(true),
            "false" => Node::Bool(false),
            "default" => Node::Default,
            "case" => return self.case(),
            "array" => return self.array(),
            "row" if followed_by_parenthesis => return self.row(),
            "exists" if followed_by_parenthesis => {
                self.advance();
                self.expect_mark("(")?;
                let query = Box::new(self.query()?);
                self.expect_mark(")")?;
                return Ok(expr(place, Node::Exists(query)));
            }
            "cast" if followed_by_parenthesis => return self.cast(),
            "coalesce" | "greatest" | "least" | "nullif" if followed_by_parenthesis => {
                return self.conditional();
            }
            "extract" | "position" | "substring" | "trim" | "overlay"
                if followed_by_parenthesis =>
            {
                return self.keyword_call();
            }
            "cast" if followed_by_parenthesis => {
                self.at += 2;
                let operand = Box::new(self.expression()?);
                self.expect_keyword("as")?;
                let ty = self.type_name()?;
                self.expect_mark(")")?;
                return Ok(expr(place, Node::Cast { operand, ty }));
            }
            "treat" if followed_by_parenthesis => return self.unsupported("TREAT"),
            "grouping" if followed_by_parenthesis => {
                self.advance();
                let keys = self.parenthesized(Self::expression)?;
                return Ok(expr(place, Node::Grouping(keys)));
            }
            "normalize" if followed_by_parenthesis => return self.unsupported("NORMALIZE"),
            "xmlelement" | "xmlforest" | "xmlconcat" | "xmlparse" | "xmlserialize"
            | "xmlexists" | "xmlpi" | "xmlroot"
                if followed_by_parenthesis =>
            {
                return self.unsupported("XML");
            }
            _ => {
                if let Some(special) = self.special()? {
                    return Ok(special);
                }
                return self.typed_literal_or_name();
            }
        };
        self.advance();
        Ok(expr(place, node))
    }

    /// CURRENT_TIMESTAMP(3), CURRENT_USER and the like.
    fn special(&mut self) -> Result<Option<Expr>> {
        const NAMES: [&str; 12] = [
            "current_date",
            "current_time",
            "current_timestamp",
            "localtime",
            "localtimestamp",
            "current_role",
            "current_user",
            "session_user",
            "user",
            "current_catalog",
            "current_schema",
            "",
        ];
        let place = self.place();
        if self.is_keyword("current_schema") && self.mark_ahead(1, "(") {
            return Ok(None);
        }
        let Some(name) = self.take_one_of(&NAMES) else {
            return Ok(None);
        };
        let mut precision = None;
        if name.contains("time") && self.is_mark("(") {
            let digits = self.parenthesized(Self::signed_integer)?;
            precision = digits.first().map(|digits| (*digits).clamp(0, 6) as u8);
        }
        Ok(Some(expr(place, Node::Special { name, precision })))
    }

    /// `CAST(expression AS type)`.
    fn cast(&mut self) -> Result<Expr> {
        let place = self.place();
        self.advance();
        self.expect_mark("(")?;
        let operand = Box::new(self.expression()?);
        self.expect_keyword("as")?;
        let ty = self.type_name()?;
        self.expect_mark(")")?;
        Ok(expr(place, Node::Cast { operand, ty }))
    }

    fn case(&mut self) -> Result<Expr> {
        let place = self.place();
        self.expect_keyword("case")?;
        let operand = if self.is_keyword("when") {
            None
        } else {
            Some(Box::new(self.expression()?))
        };
        let mut branches = Vec::new();
        while self.take_keyword("when") {
            let condition = self.expression()?;
            self.expect_keyword("then")?;
            branches.push((condition, self.expression()?));
        }
        if branches.is_empty() {
            return self.unexpected();
        }
        let otherwise = if self.take_keyword("else") {
            Some(Box::new(self.expression()?))
        } else {
            None
        };
        self.expect_keyword("end")?;
        Ok(expr(
            place,
            Node::Case {
                operand,
                branches,
                otherwise,
            },
        ))
    }

    fn array(&mut self) -> Result<Expr> {
        let place = self.place();
        self.expect_keyword("array")?;
        if self.take_mark("(") {
            let query = Box::new(self.query()?);
            self.expect_mark(")")?;
            return Ok(expr(place, Node::ArrayQuery(query)));
        }
        self.array_elements(place)
    }

    /// `[a, b]`, or nested `[[a], [b]]`.
    fn array_elements(&mut self, place: Place) -> Result<Expr> {
        self.expect_mark("[")?;
        let mut elements = Vec::new();
        if !self.is_mark("]") {
            elements = self.list(|parser| {
                let place = parser.place();
                if parser.is_mark("[") {
                    parser.nested(|parser| parser.array_elements(place))
                } else {
                    parser.expression()
                }
            })?;
        }
        self.expect_mark("]")?;
        Ok(expr(place, Node::Array(elements)))
    }

    fn row(&mut self) -> Result<Expr> {
        let place = self.place();
        self.expect_keyword("row")?;
        self.expect_mark("(")?;
        let items = if self.is_mark(")") {
            Vec::new()
        } else {
            self.expressions()?
        };
        self.expect_mark(")")?;
        Ok(expr(place, Node::Row(items)))
    }

    fn conditional(&mut self) -> Result<Expr> {
        let place = self.place();
        let keyword = self.label()?.text;
        let mut arguments = self.parenthesized(Self::expression)?;
        let node = match keyword.as_str() {
            "coalesce" => Node::Coalesce(arguments),
            "nullif" => {
                let (Some(right), Some(left), true) =
                    (arguments.pop(), arguments.pop(), arguments.is_empty())
                else {
                    return self.unexpected();
                };
                Node::NullIf(Box::new(left), Box::new(right))
            }
            keyword => Node::Extreme {
                greatest: keyword == "greatest",
                arguments,
            },
        };
        Ok(expr(place, node))
    }

    /// EXTRACT, POSITION, SUBSTRING, TRIM, OVERLAY with their own argument syntax.
    fn keyword_call(&mut self) -> Result<Expr> {
        let place = self.place();
        let keyword = self.label()?.text;
        self.expect_mark("(")?;
        let (name, arguments) = match keyword.as_str() {
            "extract" => ("extract", self.extract_arguments()?),
            "position" => {
                let needle = self.restricted_expression()?;
                self.expect_keyword("in")?;
                ("position", vec![self.restricted_expression()?, needle])
            }
            "substring" => ("substring", self.substring_arguments()?),
            "overlay" => ("overlay", self.overlay_arguments()?),
            _ => self.trim_arguments()?,
        };
        self.expect_mark(")")?;
        Ok(call(place, name, arguments))
    }

    fn extract_arguments(&mut self) -> Result<Vec<Expr>> {
        let place = self.place();
        let field = match self.token(0) {
            Token::String(text) => {
                self.advance();
                text.clone()
            }
            _ => self.label()?.text,
        };
        self.expect_keyword("from")?;
        Ok(vec![expr(place, Node::String(field)), self.expression()?])
    }

    fn substring_arguments(&mut self) -> Result<Vec<Expr>> {
        let text = self.expression()?;
        let mut start = None;
        let mut length = None;
        if self.is_mark(",") {
            let mut arguments = vec![text];
            while self.take_mark(",") {
                arguments.push(self.expression()?);
            }
            return Ok(arguments);
        }
        if self.take_keyword("similar") {
            let pattern = self.expression()?;
            self.expect_keyword("escape")?;
            return Ok(vec![text, pattern, self.expression()?]);
        }
        loop {
            if start.is_none() && self.take_keyword("from") {
                start = Some(self.expression()?);
            } else if length.is_none() && self.take_keyword("for") {
                length = Some(self.expression()?);
            } else {
                break;
            }
        }
        let place = text.place;
        Ok(match (start, length) {
            (Some(start), Some(length)) => vec![text, start, length],
            (Some(start), None) => vec![text, start],
            (None, Some(length)) => {
                vec![text, expr(place, Node::Integer("1".to_owned())), length]
            }
            (None, None) => return self.unexpected(),
        })
    }

    fn overlay_arguments(&mut self) -> Result<Vec<Expr>> {
        let mut arguments = vec![self.expression()?];
        if self.take_keyword("placing") {
            arguments.push(self.expression()?);
            self.expect_keyword("from")?;
            arguments.push(self.expression()?);
            if self.take_keyword("for") {
                arguments.push(self.expression()?);
            }
        } else {
            while self.take_mark(",") {
                arguments.push(self.expression()?);
            }
        }
        Ok(arguments)
    }

    fn trim_arguments(&mut self) -> Result<(&'static str, Vec<Expr>)> {
        let name = match self.take_one_of(&["both", "leading", "trailing"]) {
            Some("leading") => "ltrim",
            Some("trailing") => "rtrim",
            _ => "btrim",
        };
        if self.take_keyword("from") {
            return Ok((name, self.expressions()?));
        }
        let first = self.expression()?;
        if self.take_keyword("from") {
            let mut arguments = self.expressions()?;
            arguments.push(first);
            return Ok((name, arguments));
        }
        let mut arguments = vec![first];
        while self.take_mark(",") {
            arguments.push(self.expression()?);
        }
        Ok((name, arguments))
    }

    /// `date '…'`, `interval '1' day`, or a column or call.
    fn typed_literal_or_name(&mut self) -> Result<Expr> {
        let place = self.place();
        let start = self.at;
        if self.could_be_type()
            && let Ok(mut ty) = self.type_name()
            && ty.dimensions == 0
            && let Token::String(text) = self.token(0)
        {
            let text = text.clone();
            let literal = expr(self.place(), Node::String(text));
            self.advance();
            if ty.path.last().is_some_and(|name| name == "interval") && ty.fields.is_none() {
                self.interval_fields(&mut ty)?;
            }
            return Ok(expr(
                place,
                Node::Cast {
                    operand: Box::new(literal),
                    ty,
                },
            ));
        }
        self.at = start;
        self.named()
    }

    /// A quick look whether a typed literal may start here, to spare the attempt.
    fn could_be_type(&self) -> bool {
        match self.token(1) {
            Token::String(_) => true,
            Token::Punctuation("." | "(") | Token::Word { .. } => {
                let mut ahead = 1;
                let mut depth = 0usize;
                while ahead < 12 {
                    match self.token(ahead) {
                        Token::String(_) => return depth == 0,
                        Token::Punctuation("(") => depth += 1,
                        Token::Punctuation(")") if depth > 0 => depth -= 1,
                        Token::Punctuation("." | ",") | Token::Integer(_) => {}
                        Token::Word { .. } if depth == 0 => {}
                        _ => return false,
                    }
                    ahead += 1;
                }
                false
            }
            _ => false,
        }
    }

    /// A column, `t.*` or a call.
    fn named(&mut self) -> Result<Expr> {
        let place = self.place();
        let first = self.name_of(&[Class::Unreserved, Class::ColumnName, Class::TypeOrFunction])?;
        let mut path = vec![first];
        while self.is_mark(".") {
            self.advance();
            if self.take_operator("*") {
                return Ok(expr(place, Node::Star(path)));
            }
            path.push(self.label()?);
        }
        if self.is_mark("(") {
            return self.call_after(place, path);
        }
        let first_class = match (path.len(), path.first()) {
            (1, Some(name)) => self.class_of(name),
            _ => None,
        };
        if first_class == Some(Class::TypeOrFunction) {
            return self.unexpected();
        }
        Ok(expr(place, Node::Column(path)))
    }

    /// The class under which a name was read; quoted ones have none.
    fn class_of(&self, name: &Name) -> Option<Class> {
        match self.tokens.get(self.at.checked_sub(1)?) {
            Some(spanned) if spanned.start - self.base == name.place.0 as usize => {
                match &spanned.token {
                    Token::Word { class, .. } => *class,
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// A call's arguments and what may follow them.
    pub(super) fn call_after(&mut self, place: Place, name: Path) -> Result<Expr> {
        let mut call = plain_call(name, Vec::new());
        self.expect_mark("(")?;
        if self.take_operator("*") {
            call.star = true;
        } else if !self.is_mark(")") {
            call.distinct = self.take_keyword("distinct");
            if !call.distinct {
                self.take_keyword("all");
            }
            let (variadic, names) = (&mut call.variadic, &mut call.names);
            call.arguments = self.list(|parser| parser.argument(variadic, names))?;
            if self.take_keywords(&["order", "by"]) {
                call.order_by = self.list(Self::sort_item)?;
            }
        }
        self.expect_mark(")")?;
        if self.take_keywords(&["within", "group"]) {
            self.within_group(&mut call)?;
        }
        if self.is_keyword("filter") && self.mark_ahead(1, "(") {
            self.advance();
            self.expect_mark("(")?;
            self.expect_keyword("where")?;
            call.filter = Some(self.expression()?);
            self.expect_mark(")")?;
        }
        if self.take_keyword("over") {
            call.over = Some(if self.is_mark("(") {
                Over::Inline(Box::new(self.window_spec()?))
            } else {
                Over::Named(self.name()?)
            });
        }
        Ok(expr(place, Node::Call(Box::new(call))))
    }

    fn within_group(&mut self, call: &mut Call) -> Result<()> {
        let place = self.place();
        self.expect_mark("(")?;
        self.expect_keyword("order")?;
        self.expect_keyword("by")?;
        call.within = self.list(Self::sort_item)?;
        self.expect_mark(")")?;
        let message = if !call.order_by.is_empty() {
            "cannot use multiple ORDER BY clauses with WITHIN GROUP"
        } else if call.distinct {
            "cannot use DISTINCT with WITHIN GROUP"
        } else if call.variadic {
            "cannot use VARIADIC with WITHIN GROUP"
        } else {
            return Ok(());
        };
        let position = super::position(self.text, place);
        Err(Error::new(SqlState::SYNTAX_ERROR, message).at(Some(position)))
    }

    fn argument(&mut self, variadic: &mut bool, names: &mut Vec<Name>) -> Result<Expr> {
        if self.take_keyword("variadic") {
            *variadic = true;
        }
        let named = matches!(self.token(0), Token::Word { .. })
            && (self.mark_ahead(1, "=>") || self.mark_ahead(1, ":="));
        if named {
            names.push(self.label()?);
            self.advance();
        } else if !names.is_empty() {
            let message = "positional argument cannot follow named argument";
            let position = super::position(self.text, self.place());
            return Err(Error::new(SqlState::SYNTAX_ERROR, message).at(Some(position)));
        }
        self.expression()
    }

    pub(super) fn window_spec(&mut self) -> Result<WindowSpec> {
        self.expect_mark("(")?;
        let unnamed = ["partition", "order", "rows", "range", "groups"]
            .iter()
            .any(|keyword| self.is_keyword(keyword));
        let base = if !unnamed && self.is_name() {
            Some(self.name()?)
        } else {
            None
        };
        let mut spec = WindowSpec {
            base,
            partition_by: Vec::new(),
            order_by: Vec::new(),
            frame: None,
        };
        if self.take_keywords(&["partition", "by"]) {
            spec.partition_by = self.expressions()?;
        }
        if self.take_keywords(&["order", "by"]) {
            spec.order_by = self.list(Self::sort_item)?;
        }
        let units = match self.take_one_of(&["rows", "range", "groups"]) {
            Some("rows") => Some(FrameUnits::Rows),
            Some("range") => Some(FrameUnits::Range),
            Some(_) => Some(FrameUnits::Groups),
            None => None,
        };
        if let Some(units) = units {
            spec.frame = Some(self.window_frame(units)?);
        }
        self.expect_mark(")")?;
        Ok(spec)
    }

    fn window_frame(&mut self, units: FrameUnits) -> Result<WindowFrame> {
        let (start, end) = if self.take_keyword("between") {
            let start = self.window_bound()?;
            self.expect_keyword("and")?;
            (start, self.window_bound()?)
        } else {
            (self.window_bound()?, WindowBound::CurrentRow)
        };
        let exclusion = self.exclusion()?;
        if start == WindowBound::UnboundedFollowing {
            return Err(Error::new(
                SqlState::WINDOWING_ERROR,
                "frame start cannot be UNBOUNDED FOLLOWING",
            ));
        }
        if end == WindowBound::UnboundedPreceding {
            return Err(Error::new(
                SqlState::WINDOWING_ERROR,
                "frame end cannot be UNBOUNDED PRECEDING",
            ));
        }
        Ok(WindowFrame {
            units,
            start,
            end,
            exclusion,
        })
    }

    fn exclusion(&mut self) -> Result<Exclusion> {
        if !self.take_keyword("exclude") {
            return Ok(Exclusion::NoOthers);
        }
        if self.take_keywords(&["current", "row"]) {
            return Ok(Exclusion::CurrentRow);
        }
        if self.take_keywords(&["no", "others"]) {
            return Ok(Exclusion::NoOthers);
        }
        match self.take_one_of(&["group", "ties"]) {
            Some("group") => Ok(Exclusion::Group),
            Some(_) => Ok(Exclusion::Ties),
            None => self.unexpected(),
        }
    }

    fn window_bound(&mut self) -> Result<WindowBound> {
        if self.take_keywords(&["unbounded", "preceding"]) {
            return Ok(WindowBound::UnboundedPreceding);
        }
        if self.take_keywords(&["unbounded", "following"]) {
            return Ok(WindowBound::UnboundedFollowing);
        }
        if self.take_keywords(&["current", "row"]) {
            return Ok(WindowBound::CurrentRow);
        }
        let offset = self.expression()?;
        if self.take_keyword("preceding") {
            return Ok(WindowBound::Preceding(offset));
        }
        self.expect_keyword("following")?;
        Ok(WindowBound::Following(offset))
    }

    /// The fields behind an interval literal or type, e.g. `day to second(3)`.
    pub(super) fn interval_fields(&mut self, ty: &mut TypeName) -> Result<()> {
        const FIELDS: [&str; 6] = ["year", "month", "day", "hour", "minute", "second"];
        let Some(first) = self.take_one_of(&FIELDS) else {
            return Ok(());
        };
        let mut last = first;
        if self.take_keyword("to") {
            match self.take_one_of(&FIELDS) {
                Some(field) => last = field,
                None => return self.unexpected(),
            }
        }
        if last == "second" && self.is_mark("(") {
            ty.modifiers = self.parenthesized(Self::signed_integer)?;
        }
        ty.fields = Some(if first == last {
            first.to_owned()
        } else {
            format!("{first} to {last}")
        });
        Ok(())
    }
}
