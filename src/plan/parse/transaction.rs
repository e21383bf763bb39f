//! Transactions, cursors, prepared statements and settings.

use super::Parser;
use super::lexer::Token;
use crate::error::Result;
use crate::plan::statement::{
    FetchCount, Isolation, SessionStatement, TransactionModes, TransactionStatement,
};
use crate::plan::syntax::Statement;

impl Parser<'_> {
    /// BEGIN, START TRANSACTION, COMMIT, END, ROLLBACK, ABORT, SAVEPOINT, RELEASE.
    pub(super) fn transaction(&mut self, word: &str) -> Result<Statement> {
        self.advance();
        let statement = match word {
            "begin" => {
                self.take_one_of(&["work", "transaction"]);
                TransactionStatement::Begin(self.transaction_modes()?)
            }
            "start" => {
                self.expect_keyword("transaction")?;
                TransactionStatement::Begin(self.transaction_modes()?)
            }
            "commit" | "end" => {
                if self.is_keyword("prepared") {
                    return self.unsupported("COMMIT PREPARED");
                }
                TransactionStatement::Commit {
                    and_chain: self.and_chain()?,
                }
            }
            "rollback" | "abort" => {
                if self.is_keyword("prepared") {
                    return self.unsupported("ROLLBACK PREPARED");
                }
                self.take_one_of(&["work", "transaction"]);
                if word == "rollback" && self.take_keyword("to") {
                    self.take_keyword("savepoint");
                    TransactionStatement::RollbackTo(self.name()?.text)
                } else {
                    TransactionStatement::Rollback {
                        and_chain: self.and_chain()?,
                    }
                }
            }
            "savepoint" => TransactionStatement::Savepoint(self.name()?.text),
            _ => {
                self.take_keyword("savepoint");
                TransactionStatement::Release(self.name()?.text)
            }
        };
        Ok(Statement::Transaction(statement))
    }

    fn and_chain(&mut self) -> Result<bool> {
        self.take_one_of(&["work", "transaction"]);
        if !self.take_keyword("and") {
            return Ok(false);
        }
        let chain = !self.take_keyword("no");
        self.expect_keyword("chain")?;
        Ok(chain)
    }

    fn transaction_modes(&mut self) -> Result<TransactionModes> {
        let mut modes = TransactionModes::default();
        loop {
            if self.take_keywords(&["isolation", "level"]) {
                modes.isolation = Some(self.isolation()?);
            } else if self.take_keywords(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if self.take_keywords(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if self.take_keywords(&["not", "deferrable"]) {
                modes.deferrable = Some(false);
            } else if self.take_keyword("deferrable") {
                modes.deferrable = Some(true);
            } else {
                return Ok(modes);
            }
            self.take_mark(",");
        }
    }

    fn isolation(&mut self) -> Result<Isolation> {
        if self.take_keyword("serializable") {
            Ok(Isolation::Serializable)
        } else if self.take_keywords(&["repeatable", "read"]) {
            Ok(Isolation::RepeatableRead)
        } else if self.take_keywords(&["read", "committed"])
            || self.take_keywords(&["read", "uncommitted"])
        {
            Ok(Isolation::ReadCommitted)
        } else {
            self.unexpected()
        }
    }

    /// SET in all its forms.
    pub(super) fn set(&mut self) -> Result<Statement> {
        self.expect_keyword("set")?;
        if self.take_keyword("constraints") {
            return self.set_constraints();
        }
        if self.take_keyword("transaction") {
            if self.is_keyword("snapshot") {
                return self.unsupported("SET TRANSACTION SNAPSHOT");
            }
            let modes = self.transaction_modes()?;
            return Ok(Statement::Transaction(TransactionStatement::Modes(modes)));
        }
        if self.take_keywords(&["session", "characteristics", "as", "transaction"]) {
            let modes = self.transaction_modes()?;
            return Ok(Statement::Transaction(TransactionStatement::SessionModes(
                modes,
            )));
        }
        let local = self.take_one_of(&["session", "local"]) == Some("local");
        if self.take_keyword("authorization") {
            return self.unsupported("SET SESSION AUTHORIZATION");
        }
        let (name, value) = if self.take_keywords(&["time", "zone"]) {
            ("timezone".to_owned(), self.time_zone()?)
        } else if self.take_keyword("names") {
            let value = match self.token(0) {
                Token::End => None,
                _ => self.setting_value()?,
            };
            ("client_encoding".to_owned(), value)
        } else {
            let name = self.setting_name()?;
            if name != "role" || self.is_operator("=") || self.is_keyword("to") {
                let equals = self.take_operator("=");
                if !equals {
                    self.expect_keyword("to")?;
                }
            }
            (name, self.setting_value()?)
        };
        Ok(Statement::Session(SessionStatement::Set {
            name,
            value,
            local,
        }))
    }

    fn set_constraints(&mut self) -> Result<Statement> {
        let names = if self.take_keyword("all") {
            None
        } else {
            let paths = self.paths()?;
            let last = paths.into_iter().filter_map(|mut path| path.pop());
            Some(last.map(|name| name.text).collect())
        };
        let deferred = match self.take_one_of(&["deferred", "immediate"]) {
            Some(mode) => mode == "deferred",
            None => return self.unexpected(),
        };
        Ok(Statement::Transaction(TransactionStatement::Constraints {
            names,
            deferred,
        }))
    }

    /// A setting's name, with the prefix of an extension or of this system.
    fn setting_name(&mut self) -> Result<String> {
        let mut name = self.label()?.text;
        while self.take_mark(".") {
            name.push('.');
            name.push_str(&self.label()?.text);
        }
        Ok(name)
    }

    /// One or more values, joined by commas; `None` is DEFAULT.
    pub(super) fn setting_value(&mut self) -> Result<Option<String>> {
        if self.take_keyword("default") {
            return Ok(None);
        }
        let values = self.list(|parser| match parser.token(0) {
            Token::String(_) => parser.string(),
            Token::Decimal(digits) => {
                parser.advance();
                Ok(digits.clone())
            }
            Token::Operator(sign)
                if matches!(sign.as_str(), "-" | "+")
                    && matches!(parser.token(1), Token::Decimal(_)) =>
            {
                parser.advance();
                let Token::Decimal(digits) = parser.token(0) else {
                    return parser.unexpected();
                };
                parser.advance();
                Ok(format!("{sign}{digits}"))
            }
            Token::Integer(_) | Token::Operator(_) => Ok(parser.signed_integer()?.to_string()),
            _ => Ok(parser.label()?.text),
        })?;
        Ok(Some(values.join(", ")))
    }

    /// TIME ZONE 'x' | n | INTERVAL '…' | LOCAL | DEFAULT.
    fn time_zone(&mut self) -> Result<Option<String>> {
        if self.take_one_of(&["local", "default"]).is_some() {
            return Ok(None);
        }
        if self.take_keyword("interval") {
            let text = self.string()?;
            if self.take_keywords(&["hour", "to", "minute"]) || self.at_end() {
                return Ok(Some(text));
            }
            return self.unexpected();
        }
        self.setting_value()
    }

    pub(super) fn show(&mut self) -> Result<Statement> {
        self.expect_keyword("show")?;
        let statement = if self.take_keyword("all") {
            SessionStatement::ShowAll
        } else {
            SessionStatement::Show {
                name: self.spoken_setting()?,
            }
        };
        Ok(Statement::Session(statement))
    }

    /// A setting as SHOW and RESET name it.
    fn spoken_setting(&mut self) -> Result<String> {
        if self.take_keywords(&["time", "zone"]) {
            return Ok("timezone".to_owned());
        }
        if self.take_keywords(&["transaction", "isolation", "level"]) {
            return Ok("transaction_isolation".to_owned());
        }
        if self.take_keywords(&["session", "authorization"]) {
            return Ok("session_authorization".to_owned());
        }
        self.setting_name()
    }

    pub(super) fn reset(&mut self) -> Result<Statement> {
        self.expect_keyword("reset")?;
        let statement = if self.take_keyword("all") {
            SessionStatement::ResetAll
        } else {
            SessionStatement::Reset {
                name: self.spoken_setting()?,
            }
        };
        Ok(Statement::Session(statement))
    }

    pub(super) fn discard(&mut self) -> Result<Statement> {
        self.expect_keyword("discard")?;
        let what = match self.take_one_of(&["all", "plans", "sequences", "temp", "temporary"]) {
            Some("all") => "ALL",
            Some("plans") => "PLANS",
            Some("sequences") => "SEQUENCES",
            Some(_) => "TEMP",
            None => return self.unexpected(),
        };
        Ok(Statement::Session(SessionStatement::Discard(what)))
    }

    pub(super) fn prepare(&mut self) -> Result<Statement> {
        self.expect_keyword("prepare")?;
        if self.is_keyword("transaction") && matches!(self.token(1), Token::String(_)) {
            return self.unsupported("PREPARE TRANSACTION");
        }
        let name = self.name()?.text;
        let types = if self.is_mark("(") {
            self.parenthesized(Self::type_name)?
        } else {
            Vec::new()
        };
        self.expect_keyword("as")?;
        let text = self.preparable()?;
        Ok(Statement::Prepare { name, types, text })
    }

    /// The rest of the statement, checked to be one that can be prepared.
    fn preparable(&mut self) -> Result<String> {
        let text = self.rest_of_text().to_owned();
        let preparable = matches!(
            self.word(0),
            Some("select" | "values" | "with" | "table" | "insert" | "update" | "delete")
        ) || self.is_mark("(");
        if !preparable {
            return self.unexpected();
        }
        self.nested(Self::statement)?;
        Ok(text)
    }

    pub(super) fn execute(&mut self) -> Result<Statement> {
        self.expect_keyword("execute")?;
        let name = self.name()?.text;
        let arguments = if self.is_mark("(") {
            self.parenthesized(|parser| {
                let start = parser.place().0 as usize;
                parser.expression()?;
                Ok(parser.text[start..parser.end()].to_owned())
            })?
        } else {
            Vec::new()
        };
        Ok(Statement::Session(SessionStatement::Execute {
            name,
            arguments,
        }))
    }

    pub(super) fn deallocate(&mut self) -> Result<Statement> {
        self.expect_keyword("deallocate")?;
        self.take_keyword("prepare");
        let name = if self.take_keyword("all") {
            None
        } else {
            Some(self.name()?.text)
        };
        Ok(Statement::Session(SessionStatement::Deallocate(name)))
    }

    pub(super) fn declare(&mut self) -> Result<Statement> {
        self.expect_keyword("declare")?;
        let name = self.name()?.text;
        let (mut binary, mut scroll, mut hold) = (false, None, false);
        loop {
            if self.take_keyword("binary") {
                binary = true;
            } else if self.take_one_of(&["insensitive", "asensitive"]).is_some() {
            } else if self.take_keywords(&["no", "scroll"]) {
                scroll = Some(false);
            } else if self.take_keyword("scroll") {
                scroll = Some(true);
            } else {
                break;
            }
        }
        self.expect_keyword("cursor")?;
        if self.take_keywords(&["with", "hold"]) {
            hold = true;
        } else {
            self.take_keywords(&["without", "hold"]);
        }
        self.expect_keyword("for")?;
        let text = self.rest_of_text().to_owned();
        self.query()?;
        Ok(Statement::Session(SessionStatement::Declare {
            name,
            text,
            scroll,
            hold,
            binary,
        }))
    }

    /// FETCH and MOVE.
    pub(super) fn fetch(&mut self, move_only: bool) -> Result<Statement> {
        self.advance();
        let count = self.fetch_count()?;
        self.take_one_of(&["from", "in"]);
        let name = self.name()?.text;
        Ok(Statement::Session(SessionStatement::Fetch {
            name,
            count,
            move_only,
        }))
    }

    fn fetch_count(&mut self) -> Result<FetchCount> {
        // A cursor may have the name of a direction: FETCH next.
        let named = matches!(self.token(1), Token::End) || self.mark_ahead(1, ";");
        let direction = self.word(0).filter(|_| !named);
        let fixed = match direction {
            Some("next") => FetchCount::Rows(1),
            Some("prior") => FetchCount::Rows(-1),
            Some("first") => FetchCount::Absolute(1),
            Some("last") => FetchCount::Absolute(-1),
            Some("all") => FetchCount::ALL,
            Some("forward") => return self.fetch_way(1, FetchCount::ALL),
            Some("backward") => return self.fetch_way(-1, FetchCount::BACKWARD_ALL),
            Some("absolute") => {
                self.advance();
                return Ok(FetchCount::Absolute(self.signed_integer()?));
            }
            Some("relative") => {
                self.advance();
                return Ok(FetchCount::Relative(self.signed_integer()?));
            }
            _ if self.is_integer() => return Ok(FetchCount::Rows(self.signed_integer()?)),
            _ => return Ok(FetchCount::Rows(1)),
        };
        self.advance();
        Ok(fixed)
    }

    /// What follows FORWARD and BACKWARD: a count, ALL, or nothing for one.
    fn fetch_way(&mut self, sign: i64, all: FetchCount) -> Result<FetchCount> {
        self.advance();
        if self.take_keyword("all") {
            return Ok(all);
        }
        let count = match self.is_integer() {
            true => self.signed_integer()?,
            false => 1,
        };
        Ok(FetchCount::Rows(count.saturating_mul(sign)))
    }

    fn is_integer(&self) -> bool {
        matches!(self.token(0), Token::Integer(_) | Token::Operator(_))
    }

    pub(super) fn close(&mut self) -> Result<Statement> {
        self.expect_keyword("close")?;
        let name = if self.take_keyword("all") {
            None
        } else {
            Some(self.name()?.text)
        };
        Ok(Statement::Session(SessionStatement::Close(name)))
    }

    pub(super) fn lock_table(&mut self) -> Result<Statement> {
        self.expect_keyword("lock")?;
        self.take_keyword("table");
        let tables = self.table_list()?;
        let mut exclusive = true;
        if self.take_keyword("in") {
            let start = self.at;
            while !self.is_keyword("mode") && !self.at_end() {
                self.advance();
            }
            let words: Vec<&str> = (start..self.at)
                .filter_map(|at| match &self.tokens[at].token {
                    Token::Word { text, .. } => Some(text.as_str()),
                    _ => None,
                })
                .collect();
            exclusive = match words.join(" ").as_str() {
                "access share" | "row share" | "row exclusive" | "share" => false,
                "share update exclusive"
                | "share row exclusive"
                | "exclusive"
                | "access exclusive" => true,
                _ => {
                    self.at = start;
                    return self.unexpected();
                }
            };
            self.expect_keyword("mode")?;
        }
        let no_wait = self.take_keyword("nowait");
        Ok(Statement::Lock {
            tables,
            exclusive,
            no_wait,
        })
    }
}
