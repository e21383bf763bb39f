//! SELECT, VALUES, TABLE, WITH and set operations.

use super::Parser;
use super::expression::expr;
use super::keywords;
use super::lexer::Token;
use crate::error::{Error, Result, SqlState};
use crate::plan::query::{LockStrength, LockWait, SetOperator};
use crate::plan::syntax::{
    CommonBody, CommonTable, Distinct, Expr, FromItem, GroupBy, GroupItem, Lock, Name, Node, Query,
    QueryBody, Select, SortItem, Target, With,
};

impl Parser<'_> {
    /// Whether a query stands here, behind a parenthesis that has been read.
    pub(super) fn starts_query(&self) -> bool {
        self.is_query(true)
    }

    /// Whether the parenthesis that stands here opens a query rather than an
    /// expression, a list or a join.
    pub(super) fn starts_parenthesized_query(&self) -> bool {
        self.is_query(false)
    }

    /// Looks behind the leading parentheses, and then at what follows each of
    /// them once closed: UNION and the like go on with a query.
    fn is_query(&self, enclosed: bool) -> bool {
        let mut opened = 0;
        while self.mark_ahead(opened, "(") {
            opened += 1;
        }
        if !matches!(
            self.word(opened),
            Some("select" | "values" | "with" | "table")
        ) {
            return false;
        }
        if opened == 0 {
            return enclosed;
        }
        let mut depth = 0usize;
        let mut ahead = 0usize;
        loop {
            match self.token(ahead) {
                Token::Punctuation("(") => depth += 1,
                Token::Punctuation(")") => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && !enclosed {
                        return true;
                    }
                    if depth < opened && !self.mark_ahead(ahead + 1, ")") {
                        return matches!(
                            self.word(ahead + 1),
                            Some(
                                "union"
                                    | "intersect"
                                    | "except"
                                    | "order"
                                    | "limit"
                                    | "offset"
                                    | "fetch"
                                    | "for"
                            )
                        );
                    }
                    if depth == 0 {
                        return true;
                    }
                }
                Token::End => return true,
                _ => {}
            }
            ahead += 1;
        }
    }

    pub(super) fn query(&mut self) -> Result<Query> {
        self.nested(Self::query_here)
    }

    fn query_here(&mut self) -> Result<Query> {
        let with = self.with()?;
        self.query_after(with)
    }

    /// A query whose WITH has been read.
    pub(super) fn query_after(&mut self, with: Option<With>) -> Result<Query> {
        let place = self.place();
        let mut query = self.set_operation(0)?;
        let plain = query.with.is_none()
            && query.order_by.is_empty()
            && query.limit.is_none()
            && query.offset.is_none()
            && query.locks.is_empty();
        if plain {
            query.with = with;
            self.query_tail(&mut query)?;
            return Ok(query);
        }
        // A parenthesised query with clauses of its own: these come on top.
        let start = self.at;
        let mut outer = Query {
            place,
            with: None,
            body: QueryBody::Values(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            locks: Vec::new(),
        };
        self.query_tail(&mut outer)?;
        let clash = |name: &str| {
            Err(Error::new(
                SqlState::SYNTAX_ERROR,
                format!("multiple {name} clauses not allowed"),
            ))
        };
        if with.is_some() {
            if query.with.is_some() {
                return clash("WITH");
            }
            query.with = with;
        }
        if self.at == start {
            return Ok(query);
        }
        if !outer.order_by.is_empty() {
            if !query.order_by.is_empty() {
                return clash("ORDER BY");
            }
            query.order_by = outer.order_by;
        }
        if outer.limit.is_some() {
            if query.limit.is_some() {
                return clash("LIMIT");
            }
            query.limit = outer.limit;
        }
        if outer.offset.is_some() {
            if query.offset.is_some() {
                return clash("OFFSET");
            }
            query.offset = outer.offset;
        }
        query.locks.extend(outer.locks);
        Ok(query)
    }

    pub(super) fn with(&mut self) -> Result<Option<With>> {
        if !self.take_keyword("with") {
            return Ok(None);
        }
        let recursive = self.take_keyword("recursive");
        let tables = self.list(Self::common_table)?;
        Ok(Some(With { recursive, tables }))
    }

    fn common_table(&mut self) -> Result<CommonTable> {
        let name = self.name()?;
        let columns = if self.is_mark("(") {
            self.parenthesized(Self::name)?
        } else {
            Vec::new()
        };
        self.expect_keyword("as")?;
        let materialized = if self.take_keywords(&["not", "materialized"]) {
            Some(false)
        } else if self.take_keyword("materialized") {
            Some(true)
        } else {
            None
        };
        self.expect_mark("(")?;
        let body = self.nested(Self::common_body)?;
        self.expect_mark(")")?;
        if matches!(self.word(0), Some("search" | "cycle")) {
            return self.unsupported("SEARCH or CYCLE");
        }
        Ok(CommonTable {
            name,
            columns,
            materialized,
            body,
        })
    }

    /// A query, or a statement that writes; either may have a WITH of its own.
    fn common_body(&mut self) -> Result<CommonBody> {
        let with = self.with()?;
        let statement = match self.word(0) {
            Some("insert") => self.insert(with)?,
            Some("update") => self.update(with)?,
            Some("delete") => self.delete(with)?,
            _ => return Ok(CommonBody::Query(Box::new(self.query_after(with)?))),
        };
        Ok(CommonBody::Writes(Box::new(statement)))
    }

    /// UNION and EXCEPT bind alike, INTERSECT tighter; all to the left.
    fn set_operation(&mut self, least: u8) -> Result<Query> {
        let mut left = self.query_primary()?;
        loop {
            let (operator, level) = match self.word(0) {
                Some("union") => (SetOperator::Union, 0),
                Some("except") => (SetOperator::Except, 0),
                Some("intersect") => (SetOperator::Intersect, 1),
                _ => return Ok(left),
            };
            if level < least {
                return Ok(left);
            }
            self.grow()?;
            let place = self.place();
            self.advance();
            let all = self.take_keyword("all");
            if !all {
                self.take_keyword("distinct");
            }
            let right = self.nested(|parser| parser.set_operation(level + 1))?;
            left = Query {
                place,
                with: None,
                body: QueryBody::SetOperation {
                    operator,
                    all,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                order_by: Vec::new(),
                limit: None,
                offset: None,
                locks: Vec::new(),
            };
        }
    }

    fn query_primary(&mut self) -> Result<Query> {
        let place = self.place();
        if self.take_mark("(") {
            let query = self.query()?;
            self.expect_mark(")")?;
            return Ok(query);
        }
        let body = match self.word(0) {
            Some("select") => QueryBody::Select(Box::new(self.select()?)),
            Some("values") => {
                self.advance();
                QueryBody::Values(self.list(|parser| parser.parenthesized(Self::expression))?)
            }
            Some("table") => {
                self.advance();
                QueryBody::Select(Box::new(self.whole_table()?))
            }
            _ => return self.unexpected(),
        };
        Ok(Query {
            place,
            with: None,
            body,
            order_by: Vec::new(),
            limit: None,
            offset: None,
            locks: Vec::new(),
        })
    }

    /// TABLE name: SELECT * FROM name.
    fn whole_table(&mut self) -> Result<Select> {
        let place = self.place();
        self.take_keyword("only");
        let path = self.path()?;
        Ok(Select {
            distinct: Distinct::No,
            targets: vec![Target {
                expr: expr(place, Node::Star(Vec::new())),
                alias: None,
            }],
            from: vec![FromItem::Table { path, alias: None }],
            filter: None,
            group_by: GroupBy::default(),
            having: None,
            windows: Vec::new(),
        })
    }

    fn select(&mut self) -> Result<Select> {
        self.expect_keyword("select")?;
        let distinct = if self.take_keyword("distinct") {
            if self.take_keyword("on") {
                Distinct::On(self.parenthesized(Self::expression)?)
            } else {
                Distinct::Rows
            }
        } else {
            self.take_keyword("all");
            Distinct::No
        };
        let targets = if self.at_end() || self.is_mark(")") || self.ends_targets() {
            Vec::new()
        } else {
            self.list(Self::target)?
        };
        if self.is_keyword("into") {
            return self.unsupported("SELECT INTO");
        }
        let from = if self.take_keyword("from") {
            self.list(Self::relation_item)?
        } else {
            Vec::new()
        };
        let filter = self.where_clause()?;
        let group_by = if self.take_keyword("group") {
            self.expect_keyword("by")?;
            self.group_by()?
        } else {
            GroupBy::default()
        };
        let having = if self.take_keyword("having") {
            Some(self.expression()?)
        } else {
            None
        };
        let windows = if self.take_keyword("window") {
            self.list(Self::named_window)?
        } else {
            Vec::new()
        };
        Ok(Select {
            distinct,
            targets,
            from,
            filter,
            group_by,
            having,
            windows,
        })
    }

    /// An empty select list is PostgreSQL's: what follows may come at once.
    fn ends_targets(&self) -> bool {
        matches!(
            self.word(0),
            Some(
                "from"
                    | "where"
                    | "group"
                    | "having"
                    | "window"
                    | "union"
                    | "intersect"
                    | "except"
                    | "order"
                    | "limit"
                    | "offset"
                    | "fetch"
                    | "for"
                    | "into"
            )
        )
    }

    pub(super) fn where_clause(&mut self) -> Result<Option<Expr>> {
        if !self.take_keyword("where") {
            return Ok(None);
        }
        if self.are_keywords(&["current", "of"]) {
            return self.unsupported("WHERE CURRENT OF");
        }
        self.expression().map(Some)
    }

    fn group_by(&mut self) -> Result<GroupBy> {
        let distinct = self.take_keyword("distinct");
        if !distinct {
            self.take_keyword("all");
        }
        let items = self.list(Self::group_item)?;
        Ok(GroupBy { distinct, items })
    }

    fn group_item(&mut self) -> Result<GroupItem> {
        let spreads = self.mark_ahead(1, "(");
        Ok(match self.word(0) {
            Some("rollup") if spreads => {
                self.advance();
                GroupItem::Rollup(self.parenthesized(Self::group_keys)?)
            }
            Some("cube") if spreads => {
                self.advance();
                GroupItem::Cube(self.parenthesized(Self::group_keys)?)
            }
            _ if self.take_keywords(&["grouping", "sets"]) => {
                GroupItem::Sets(self.parenthesized(|parser| parser.nested(Self::group_item))?)
            }
            _ => GroupItem::Keys(self.group_keys()?),
        })
    }

    /// `a`, `(a, b)` or `()`.
    fn group_keys(&mut self) -> Result<Vec<Expr>> {
        if self.is_mark("(") && self.mark_ahead(1, ")") {
            self.advance();
            self.advance();
            return Ok(Vec::new());
        }
        let key = self.expression()?;
        Ok(match key.node {
            Node::Row(items) => items,
            _ => vec![key],
        })
    }

    fn named_window(&mut self) -> Result<(Name, crate::plan::syntax::WindowSpec)> {
        let name = self.name()?;
        self.expect_keyword("as")?;
        Ok((name, self.window_spec()?))
    }

    /// A select list or RETURNING item.
    pub(super) fn target(&mut self) -> Result<Target> {
        if self.is_operator("*") {
            let place = self.place();
            self.advance();
            return Ok(Target {
                expr: expr(place, Node::Star(Vec::new())),
                alias: None,
            });
        }
        let expr = self.expression()?;
        let bare = match self.token(0) {
            Token::Word {
                text,
                class: Some(_),
            } => keywords::is_bare_label(text),
            Token::Word { class: None, .. } => true,
            _ => false,
        };
        let alias = if self.take_keyword("as") || bare {
            Some(self.label()?)
        } else {
            None
        };
        Ok(Target { expr, alias })
    }

    pub(super) fn sort_item(&mut self) -> Result<SortItem> {
        let by = self.expression()?;
        if self.is_keyword("using") {
            return self.using_operator(by);
        }
        let descending = self.take_one_of(&["asc", "desc"]) == Some("desc");
        let nulls_first = self.nulls_order()?;
        Ok(SortItem {
            by,
            descending,
            nulls_first,
        })
    }

    pub(super) fn nulls_order(&mut self) -> Result<Option<bool>> {
        if self.take_keywords(&["nulls", "first"]) {
            return Ok(Some(true));
        }
        Ok(self.take_keywords(&["nulls", "last"]).then_some(false))
    }

    fn using_operator(&mut self, by: Expr) -> Result<SortItem> {
        self.advance();
        let descending = match self.token(0) {
            Token::Operator(symbol) if symbol == "<" => false,
            Token::Operator(symbol) if symbol == ">" => true,
            _ => return self.unsupported("ORDER BY USING"),
        };
        self.advance();
        let nulls_first = self.nulls_order()?;
        Ok(SortItem {
            by,
            descending,
            nulls_first,
        })
    }

    /// ORDER BY, LIMIT, OFFSET, FETCH and FOR, in the orders PostgreSQL takes.
    fn query_tail(&mut self, query: &mut Query) -> Result<()> {
        if self.take_keyword("order") {
            self.expect_keyword("by")?;
            query.order_by = self.list(Self::sort_item)?;
        }
        let mut limited = false;
        loop {
            if self.is_keyword("limit") && !limited {
                let at = self.position();
                self.advance();
                limited = true;
                if !self.take_keyword("all") {
                    query.limit = Some(self.expression()?);
                }
                if self.is_mark(",") {
                    return Err(Error::new(
                        SqlState::SYNTAX_ERROR,
                        "LIMIT #,# syntax is not supported",
                    )
                    .hint("Use separate LIMIT and OFFSET clauses.")
                    .at(Some(at)));
                }
            } else if self.is_keyword("offset") && query.offset.is_none() {
                self.advance();
                query.offset = Some(self.expression()?);
                self.take_one_of(&["row", "rows"]);
            } else if self.is_keyword("fetch") && !limited {
                limited = true;
                query.limit = Some(self.fetch_first()?);
            } else if self.is_keyword("for") {
                if !self.lock(query)? {
                    return Ok(());
                }
            } else {
                return Ok(());
            }
        }
    }

    /// FETCH { FIRST | NEXT } \[n\] { ROW | ROWS } ONLY.
    fn fetch_first(&mut self) -> Result<Expr> {
        self.expect_keyword("fetch")?;
        if self.take_one_of(&["first", "next"]).is_none() {
            return self.unexpected();
        }
        let place = self.place();
        let count = if matches!(self.word(0), Some("row" | "rows")) {
            expr(place, Node::Integer("1".to_owned()))
        } else {
            self.primary()?
        };
        if self.take_one_of(&["row", "rows"]).is_none() {
            return self.unexpected();
        }
        if self.take_keywords(&["with", "ties"]) {
            return self.unsupported("WITH TIES");
        }
        self.expect_keyword("only")?;
        Ok(count)
    }

    /// FOR UPDATE and its weaker forms; false for FOR READ ONLY.
    fn lock(&mut self, query: &mut Query) -> Result<bool> {
        let place = self.place();
        self.expect_keyword("for")?;
        if self.take_keywords(&["read", "only"]) {
            return Ok(true);
        }
        let strength = if self.take_keyword("update") {
            LockStrength::Update
        } else if self.take_keywords(&["no", "key", "update"]) {
            LockStrength::NoKeyUpdate
        } else if self.take_keyword("share") {
            LockStrength::Share
        } else if self.take_keywords(&["key", "share"]) {
            LockStrength::KeyShare
        } else {
            return self.unexpected();
        };
        let of = if self.take_keyword("of") {
            self.paths()?
        } else {
            Vec::new()
        };
        let wait = if self.take_keyword("nowait") {
            LockWait::NoWait
        } else if self.take_keywords(&["skip", "locked"]) {
            LockWait::SkipLocked
        } else {
            LockWait::Wait
        };
        query.locks.push(Lock {
            strength,
            of,
            wait,
            place,
        });
        Ok(true)
    }
}
