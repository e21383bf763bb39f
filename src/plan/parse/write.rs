//! INSERT, UPDATE, DELETE, TRUNCATE and COPY.

use super::Parser;
use super::lexer::Token;
use crate::error::{Error, Result, SqlState};
use crate::plan::statement::{CopyFormat, CopyHeader};
use crate::plan::syntax::{
    Assignment, ConflictTarget, Copy, CopySource, Delete, Insert, Name, Node, OnConflict,
    Overriding, Path, Statement, Target, Update, With,
};

impl Parser<'_> {
    pub(super) fn insert(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect_keywords(&["insert", "into"])?;
        let table = self.path()?;
        let alias = if self.take_keyword("as") {
            Some(self.name()?)
        } else {
            None
        };
        let columns = if self.is_mark("(") && !self.starts_parenthesized_query() {
            Some(self.parenthesized(Self::target_column)?)
        } else {
            None
        };
        let overriding = if self.take_keyword("overriding") {
            let kind = match self.take_one_of(&["user", "system"]) {
                Some("user") => Overriding::User,
                Some(_) => Overriding::System,
                None => return self.unexpected(),
            };
            self.expect_keyword("value")?;
            Some(kind)
        } else {
            None
        };
        let source = if self.take_keywords(&["default", "values"]) {
            None
        } else {
            Some(self.query()?)
        };
        let on_conflict = self.on_conflict()?;
        let returning = self.returning()?;
        Ok(Statement::Insert(Box::new(Insert {
            with,
            table,
            alias,
            columns,
            overriding,
            source,
            on_conflict,
            returning,
        })))
    }

    /// A column to be written; elements and fields of it are not handled.
    fn target_column(&mut self) -> Result<Name> {
        let name = self.name()?;
        if self.is_mark("[") || self.is_mark(".") {
            return self.unsupported("assigning to a part of a column");
        }
        Ok(name)
    }

    fn returning(&mut self) -> Result<Vec<Target>> {
        if self.take_keyword("returning") {
            self.list(Self::target)
        } else {
            Ok(Vec::new())
        }
    }

    fn on_conflict(&mut self) -> Result<Option<OnConflict>> {
        let place = self.place();
        if !self.take_keywords(&["on", "conflict"]) {
            return Ok(None);
        }
        let target_place = self.place();
        let target = if self.is_mark("(") {
            let columns = self.parenthesized(|parser| {
                let column = parser.expression()?;
                if parser.is_name() || matches!(column.node, Node::Collate { .. }) {
                    return parser.unsupported("a collation or operator class in ON CONFLICT");
                }
                Ok(column)
            })?;
            ConflictTarget::Columns(columns, self.where_clause()?)
        } else if self.take_keywords(&["on", "constraint"]) {
            ConflictTarget::Constraint(self.name()?)
        } else {
            ConflictTarget::Any
        };
        self.expect_keyword("do")?;
        if self.take_keyword("nothing") {
            return Ok(Some(OnConflict {
                place,
                target_place,
                target,
                update: None,
            }));
        }
        self.expect_keywords(&["update", "set"])?;
        if target == ConflictTarget::Any {
            return Err(self
                .failure(
                    place,
                    "ON CONFLICT DO UPDATE requires inference specification or constraint name",
                )
                .hint("For example, ON CONFLICT (column_name)."));
        }
        let set = self.list(Self::assignment)?;
        let filter = self.where_clause()?;
        Ok(Some(OnConflict {
            place,
            target_place,
            target,
            update: Some((set, filter)),
        }))
    }

    fn assignment(&mut self) -> Result<Assignment> {
        let (columns, multiple) = if self.is_mark("(") {
            (self.parenthesized(Self::target_column)?, true)
        } else {
            (vec![self.target_column()?], false)
        };
        if !self.take_operator("=") {
            return self.unexpected();
        }
        let value = self.expression()?;
        Ok(Assignment {
            columns,
            multiple,
            value,
        })
    }

    /// The table of UPDATE or DELETE, and its alias.
    fn written_table(&mut self, next: &str) -> Result<(Path, Option<Name>)> {
        self.take_keyword("only");
        let table = self.path()?;
        self.take_operator("*");
        let alias = if self.take_keyword("as") || (self.is_name() && !self.is_keyword(next)) {
            Some(self.name()?)
        } else {
            None
        };
        Ok((table, alias))
    }

    pub(super) fn update(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect_keyword("update")?;
        let (table, alias) = self.written_table("set")?;
        self.expect_keyword("set")?;
        let set = self.list(Self::assignment)?;
        let from = if self.take_keyword("from") {
            self.list(Self::relation_item)?
        } else {
            Vec::new()
        };
        let filter = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Statement::Update(Box::new(Update {
            with,
            table,
            alias,
            set,
            from,
            filter,
            returning,
        })))
    }

    pub(super) fn delete(&mut self, with: Option<With>) -> Result<Statement> {
        self.expect_keywords(&["delete", "from"])?;
        let (table, alias) = self.written_table("using")?;
        let using = if self.take_keyword("using") {
            self.list(Self::relation_item)?
        } else {
            Vec::new()
        };
        let filter = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Statement::Delete(Box::new(Delete {
            with,
            table,
            alias,
            using,
            filter,
            returning,
        })))
    }

    /// Tables without inheritance: `ONLY` and `*` mean nothing.
    pub(super) fn table_list(&mut self) -> Result<Vec<Path>> {
        self.list(|parser| {
            parser.take_keyword("only");
            let path = parser.path()?;
            parser.take_operator("*");
            Ok(path)
        })
    }

    pub(super) fn truncate(&mut self) -> Result<Statement> {
        self.expect_keyword("truncate")?;
        self.take_keyword("table");
        let tables = self.table_list()?;
        let restart_identity = self.take_keywords(&["restart", "identity"]);
        if !restart_identity {
            self.take_keywords(&["continue", "identity"]);
        }
        let cascade = self.cascade();
        Ok(Statement::Truncate {
            tables,
            restart_identity,
            cascade,
        })
    }

    /// `CASCADE` or `RESTRICT`; true for the first.
    pub(super) fn cascade(&mut self) -> bool {
        self.take_one_of(&["cascade", "restrict"]) == Some("cascade")
    }

    pub(super) fn copy(&mut self) -> Result<Statement> {
        self.expect_keyword("copy")?;
        let old_binary = self.take_keyword("binary");
        let source = if self.is_mark("(") {
            self.expect_mark("(")?;
            if matches!(self.word(0), Some("insert" | "update" | "delete")) {
                return self.unsupported("COPY from a data-modifying statement");
            }
            let query = self.query()?;
            self.expect_mark(")")?;
            CopySource::Query(Box::new(query))
        } else {
            let path = self.path()?;
            let columns = if self.is_mark("(") {
                Some(self.parenthesized(Self::name)?)
            } else {
                None
            };
            CopySource::Table(path, columns)
        };
        let from = match (self.take_one_of(&["from", "to"]), &source) {
            (Some("from"), CopySource::Table(..)) => true,
            (Some("to"), _) => false,
            _ => return self.unexpected(),
        };
        let peer = if from { "stdin" } else { "stdout" };
        if !self.take_keyword(peer) && self.take_one_of(&["stdin", "stdout"]).is_none() {
            return match self.token(0) {
                Token::String(_) => self.unsupported("COPY with a file of the server"),
                _ if self.is_keyword("program") => self.unsupported("COPY PROGRAM"),
                _ => self.unexpected(),
            };
        }
        let mut copy = Copy {
            source,
            from,
            format: if old_binary {
                CopyFormat::Binary
            } else {
                CopyFormat::Text
            },
            delimiter: None,
            null: None,
            header: CopyHeader::No,
            quote: None,
            escape: None,
            filter: None,
        };
        let with = self.take_keyword("with");
        if self.is_mark("(") {
            self.expect_mark("(")?;
            self.list(|parser| parser.copy_option(&mut copy))?;
            self.expect_mark(")")?;
        } else {
            let any = self.old_copy_options(&mut copy)?;
            if with && !any && !self.at_end() {
                return self.unexpected();
            }
        }
        if from {
            copy.filter = self.where_clause()?;
        }
        Ok(Statement::Copy(Box::new(copy)))
    }

    /// `FORMAT csv`, `HEADER`, `DELIMITER ','` in the list of options.
    fn copy_option(&mut self, copy: &mut Copy) -> Result<()> {
        let place = self.place();
        let option = self.label()?.text;
        match option.as_str() {
            "format" => {
                let format = self.word_or_string()?;
                copy.format = match format.as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        return Err(Error::new(
                            SqlState::INVALID_PARAMETER_VALUE,
                            format!("COPY format \"{format}\" not recognized"),
                        )
                        .at(Some(super::position(self.text, place))));
                    }
                };
            }
            "freeze" => {
                self.boolean_option()?;
            }
            "delimiter" => copy.delimiter = Some(self.string()?),
            "null" => copy.null = Some(self.string()?),
            "quote" => copy.quote = Some(self.string()?),
            "escape" => copy.escape = Some(self.string()?),
            "header" => {
                copy.header = if self.take_keyword("match") {
                    CopyHeader::Match
                } else if self.boolean_option()? {
                    CopyHeader::Yes
                } else {
                    CopyHeader::No
                };
            }
            "encoding" => {
                let encoding = self.word_or_string()?;
                self.utf8_only(&encoding)?;
            }
            "force_quote" | "force_not_null" | "force_null" => {
                return self.unsupported("a FORCE option of COPY");
            }
            _ => {
                return Err(self.failure(place, format!("option \"{option}\" not recognized")));
            }
        }
        Ok(())
    }

    fn utf8_only(&self, encoding: &str) -> Result<()> {
        let plain = encoding.to_ascii_lowercase().replace(['-', '_'], "");
        match plain.as_str() {
            "utf8" | "unicode" | "sqlascii" => Ok(()),
            _ => self.unsupported("an encoding other than UTF8"),
        }
    }

    pub(super) fn word_or_string(&mut self) -> Result<String> {
        match self.token(0) {
            Token::String(_) => self.string(),
            _ => Ok(self.label()?.text),
        }
    }

    /// An option's value: none is true.
    pub(super) fn boolean_option(&mut self) -> Result<bool> {
        let value = match self.token(0) {
            Token::String(text) | Token::Integer(text) => text.to_ascii_lowercase(),
            Token::Word { text, .. } => text.clone(),
            _ => return Ok(true),
        };
        let place = self.place();
        self.advance();
        match value.as_str() {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err(self.failure(place, "option requires a Boolean value")),
        }
    }

    /// The options of PostgreSQL before 9.0: `DELIMITER AS ',' NULL '' CSV HEADER`.
    fn old_copy_options(&mut self, copy: &mut Copy) -> Result<bool> {
        let mut any = false;
        loop {
            let Some(word) = self.word(0) else {
                return Ok(any);
            };
            match word {
                "binary" => copy.format = CopyFormat::Binary,
                "csv" => copy.format = CopyFormat::Csv,
                "header" => copy.header = CopyHeader::Yes,
                "freeze" => {}
                "delimiter" | "delimiters" | "null" | "quote" | "escape" | "encoding" => {
                    self.advance();
                    self.take_keyword("as");
                    let value = self.string()?;
                    match word {
                        "null" => copy.null = Some(value),
                        "quote" => copy.quote = Some(value),
                        "escape" => copy.escape = Some(value),
                        "encoding" => self.utf8_only(&value)?,
                        _ => copy.delimiter = Some(value),
                    }
                    any = true;
                    continue;
                }
                "force" => return self.unsupported("a FORCE option of COPY"),
                _ => return Ok(any),
            }
            self.advance();
            any = true;
        }
    }
}
