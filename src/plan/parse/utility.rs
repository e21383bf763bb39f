//! Which statement stands here; administration and maintenance.

use super::Parser;
use super::lexer::Token;
use crate::error::Result;
use crate::plan::statement::{AdminStatement, ExplainFormat};
use crate::plan::syntax::{DropKind, Statement};

/// What CREATE DATABASE may ask for: it is what there is.
const UTF8: &[&str] = &["utf8", "utf-8", "unicode", "6", "default"];
const LOCALE_C: &[&str] = &["c", "posix", "default"];
const TEMPLATES: &[&str] = &["template0", "template1", "default"];

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let Some(word) = self.word(0) else {
            if self.is_mark("(") {
                return Ok(Statement::Query(Box::new(self.query()?)));
            }
            return self.unexpected();
        };
        match word {
            "select" | "values" | "table" => Ok(Statement::Query(Box::new(self.query()?))),
            "with" => self.with_statement(),
            "insert" => self.insert(None),
            "update" => self.update(None),
            "delete" => self.delete(None),
            "truncate" => self.truncate(),
            "copy" => self.copy(),
            "create" => self.create(),
            "alter" => self.alter(),
            "drop" => self.drop_statement(),
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint"
            | "release" => self.transaction(word),
            "set" => self.set(),
            "show" => self.show(),
            "reset" => self.reset(),
            "discard" => self.discard(),
            "prepare" => self.prepare(),
            "execute" => self.execute(),
            "deallocate" => self.deallocate(),
            "declare" => self.declare(),
            "fetch" => self.fetch(false),
            "move" => self.fetch(true),
            "close" => self.close(),
            "lock" => self.lock_table(),
            "explain" => self.explain(),
            "comment" => self.comment(),
            "unlisten" => self.unlisten(),
            "grant" => self.grant(false),
            "revoke" => self.grant(true),
            "vacuum" | "analyze" | "analyse" | "checkpoint" | "reindex" | "cluster" => {
                self.maintenance(word)
            }
            _ => self.refused(word),
        }
    }

    /// Statements of PostgreSQL that are not built, by their names.
    fn refused(&mut self, word: &str) -> Result<Statement> {
        let name = match word {
            "merge" => "MERGE",
            "do" => "DO",
            "call" => "CALL",
            "listen" => "LISTEN",
            "notify" => "NOTIFY",
            "refresh" => "REFRESH MATERIALIZED VIEW",
            "import" => "IMPORT FOREIGN SCHEMA",
            "load" => "LOAD",
            "reassign" => "REASSIGN OWNED",
            "security" => "SECURITY LABEL",
            _ => return self.unexpected(),
        };
        self.unsupported(name)
    }

    fn with_statement(&mut self) -> Result<Statement> {
        let with = self.with()?;
        match self.word(0) {
            Some("insert") => self.insert(with),
            Some("update") => self.update(with),
            Some("delete") => self.delete(with),
            Some("merge") => self.unsupported("MERGE"),
            _ => Ok(Statement::Query(Box::new(
                self.nested(|parser| parser.query_after(with))?,
            ))),
        }
    }

    /// Nothing is ever listened to; pools send it when they take a connection back.
    fn unlisten(&mut self) -> Result<Statement> {
        self.expect_keyword("unlisten")?;
        if !self.take_operator("*") {
            self.name()?;
        }
        Ok(Statement::Nothing { tag: "UNLISTEN" })
    }

    fn explain(&mut self) -> Result<Statement> {
        self.expect_keyword("explain")?;
        let mut analyze = false;
        let mut format = ExplainFormat::Text;
        if self.is_mark("(") && !self.starts_parenthesized_query() {
            self.expect_mark("(")?;
            self.list(|parser| {
                let place = parser.place();
                match parser.label()?.text.as_str() {
                    "analyze" => analyze = parser.boolean_option()?,
                    "format" => {
                        format = match parser.word_or_string()?.as_str() {
                            "text" => ExplainFormat::Text,
                            "json" => ExplainFormat::Json,
                            _ => return parser.unsupported("this format of EXPLAIN"),
                        };
                    }
                    "verbose" | "costs" | "settings" | "buffers" | "wal" | "timing" | "summary" => {
                        parser.boolean_option()?;
                    }
                    option => {
                        return Err(parser
                            .failure(place, format!("unrecognized EXPLAIN option \"{option}\"")));
                    }
                }
                Ok(())
            })?;
            self.expect_mark(")")?;
        } else {
            analyze = self.take_one_of(&["analyze", "analyse"]).is_some();
            self.take_keyword("verbose");
        }
        let explainable = matches!(
            self.word(0),
            Some(
                "select" | "values" | "with" | "table" | "insert" | "update" | "delete" | "create"
            )
        ) || self.is_mark("(");
        if !explainable {
            if matches!(self.word(0), Some("execute" | "declare")) {
                return self.unsupported("EXPLAIN of EXECUTE or DECLARE");
            }
            return self.unexpected();
        }
        let statement = Box::new(self.nested(Self::statement)?);
        Ok(Statement::Explain {
            statement,
            analyze,
            format,
        })
    }

    fn create(&mut self) -> Result<Statement> {
        self.expect_keyword("create")?;
        if self.take_keywords(&["unique", "index"]) {
            return self.create_index(true);
        }
        let temporary = matches!(
            self.word(0),
            Some("temp" | "temporary" | "local" | "global")
        );
        if temporary {
            return self.unsupported("a temporary table");
        }
        self.take_keyword("unlogged");
        match self.word(0) {
            Some("table") => {
                self.advance();
                self.create_table()
            }
            Some("index") => {
                self.advance();
                self.create_index(false)
            }
            Some("sequence") => {
                self.advance();
                let if_not_exists = self.if_not_exists();
                let path = self.path()?;
                let options = self.sequence_options()?;
                Ok(Statement::CreateSequence {
                    path,
                    if_not_exists,
                    options,
                })
            }
            Some("database") => {
                self.advance();
                self.create_database()
            }
            Some("user" | "role") => {
                self.advance();
                self.create_user()
            }
            Some("extension") => self.create_extension(),
            Some("schema") if self.are_keywords(&["schema", "if", "not", "exists", "public"]) => {
                self.at += 5;
                Ok(Statement::Nothing {
                    tag: "CREATE SCHEMA",
                })
            }
            Some(_) => self.refused_object("CREATE"),
            None => self.unexpected(),
        }
    }

    /// plpgsql is there in PostgreSQL and asked for by dumps; of uuid-ossp the
    /// function that is called, uuid_generate_v4, is built in. Others are not.
    fn create_extension(&mut self) -> Result<Statement> {
        self.advance();
        let quiet = self.if_not_exists();
        let name = self.name()?.text;
        if name != "uuid-ossp" && (name != "plpgsql" || !quiet) {
            return self.unsupported("CREATE EXTENSION");
        }
        while !self.at_end() {
            self.advance();
        }
        Ok(Statement::Nothing {
            tag: "CREATE EXTENSION",
        })
    }

    /// Refuses CREATE, ALTER or DROP of an object that PostgreSQL has and we lack.
    fn refused_object(&mut self, verb: &str) -> Result<Statement> {
        let object = match self.word(0) {
            Some("or") => "OR REPLACE",
            Some("materialized") => "MATERIALIZED VIEW",
            Some("event") => "EVENT TRIGGER",
            Some("foreign") => "FOREIGN TABLE",
            Some("text") => "TEXT SEARCH",
            Some("default") => "DEFAULT PRIVILEGES",
            Some(
                word @ ("view" | "schema" | "function" | "procedure" | "trigger" | "type"
                | "domain" | "extension" | "rule" | "policy" | "aggregate" | "operator"
                | "cast" | "collation" | "conversion" | "language" | "publication"
                | "subscription" | "server" | "tablespace" | "statistics" | "access"
                | "transform" | "recursive" | "constraint" | "system" | "group" | "owned"
                | "large" | "routine" | "trusted"),
            ) => {
                let construct = format!("{verb} {}", word.to_ascii_uppercase());
                return self.unsupported(&construct);
            }
            _ => return self.unexpected(),
        };
        self.unsupported(&format!("{verb} {object}"))
    }

    /// The value of an option that has one meaning only.
    fn fixed_option(&mut self, offered: &[&str], what: &str) -> Result<()> {
        let value = self.setting_value()?;
        let offers = |value: &String| offered.iter().any(|it| it.eq_ignore_ascii_case(value));
        match value.as_ref().is_none_or(offers) {
            true => Ok(()),
            false => {
                self.at -= 1;
                self.unsupported(what)
            }
        }
    }

    fn create_database(&mut self) -> Result<Statement> {
        let name = self.name()?.text;
        let mut owner = None;
        self.take_keyword("with");
        while !self.at_end() {
            let option = self.label()?.text;
            self.take_operator("=");
            match option.as_str() {
                "owner" => owner = Some(self.label()?.text),
                "encoding" => self.fixed_option(UTF8, "an encoding other than UTF8")?,
                "lc_collate" | "lc_ctype" | "locale" => {
                    self.fixed_option(LOCALE_C, "a locale other than \"C\"")?;
                }
                "template" => self.fixed_option(TEMPLATES, "a template")?,
                "tablespace" | "allow_connections" | "is_template" | "strategy" => {
                    self.advance();
                }
                "connection" => {
                    self.expect_keyword("limit")?;
                    self.take_operator("=");
                    self.signed_integer()?;
                }
                _ => {
                    self.at -= 1;
                    return self.unexpected();
                }
            }
        }
        Ok(Statement::Admin(AdminStatement::CreateDatabase {
            name,
            owner,
        }))
    }

    fn create_user(&mut self) -> Result<Statement> {
        let name = self.name()?.text;
        let (password, admin) = self.user_options()?;
        Ok(Statement::Admin(AdminStatement::CreateUser {
            name,
            password,
            admin: admin.unwrap_or(false),
        }))
    }

    /// The password and whether it is an administrator, if said.
    fn user_options(&mut self) -> Result<(Option<String>, Option<bool>)> {
        self.take_keyword("with");
        let mut password = None;
        let mut admin = None;
        while let Some(word) = self.word(0) {
            self.advance();
            match word {
                "encrypted" => {}
                "password" => {
                    if !self.take_keyword("null") {
                        password = Some(self.string()?);
                    }
                }
                "superuser" => admin = Some(true),
                "nosuperuser" => admin = Some(false),
                "login" | "createdb" | "inherit" | "nocreatedb" | "nocreaterole"
                | "noreplication" | "nobypassrls" => {}
                "connection" => {
                    self.expect_keyword("limit")?;
                    self.signed_integer()?;
                }
                "nologin" | "createrole" | "noinherit" | "replication" | "bypassrls" | "valid"
                | "in" | "role" | "admin" | "user" | "sysid" => {
                    self.at -= 1;
                    return self.unsupported(&format!("role option {}", word.to_uppercase()));
                }
                _ => {
                    self.at -= 1;
                    return Err(
                        self.failure(self.place(), format!("unrecognized role option \"{word}\""))
                    );
                }
            }
        }
        Ok((password, admin))
    }

    fn alter(&mut self) -> Result<Statement> {
        self.expect_keyword("alter")?;
        match self.word(0) {
            Some("table") => {
                self.advance();
                self.alter_table()
            }
            Some("index") => {
                self.advance();
                self.alter_index()
            }
            Some("sequence") => {
                self.advance();
                self.alter_sequence()
            }
            Some("user" | "role") => {
                self.advance();
                let name = self.label()?.text;
                if matches!(self.word(0), Some("set" | "reset" | "rename" | "in")) {
                    return self.unsupported("this form of ALTER ROLE");
                }
                let (password, admin) = self.user_options()?;
                Ok(Statement::Admin(AdminStatement::AlterUser {
                    name,
                    password,
                    admin,
                }))
            }
            Some("database") => self.unsupported("ALTER DATABASE"),
            Some(_) => self.refused_object("ALTER"),
            None => self.unexpected(),
        }
    }

    fn drop_statement(&mut self) -> Result<Statement> {
        self.expect_keyword("drop")?;
        let kind = match self.word(0) {
            Some("table") => DropKind::Table,
            Some("index") => DropKind::Index,
            Some("sequence") => DropKind::Sequence,
            Some("database") => {
                self.advance();
                let if_exists = self.if_exists();
                let name = self.name()?.text;
                self.take_keyword("with");
                if self.is_mark("(") {
                    self.parenthesized(|parser| parser.expect_keyword("force"))?;
                }
                return Ok(Statement::Admin(AdminStatement::DropDatabase {
                    name,
                    if_exists,
                }));
            }
            Some("user" | "role") => {
                self.advance();
                let if_exists = self.if_exists();
                let name = self.name()?.text;
                if self.is_mark(",") {
                    return self.unsupported("dropping several users at once");
                }
                return Ok(Statement::Admin(AdminStatement::DropUser {
                    name,
                    if_exists,
                }));
            }
            Some("view") => DropKind::Lacking("view"),
            Some("materialized") if self.word(1) == Some("view") => {
                self.advance();
                DropKind::Lacking("materialized view")
            }
            Some("type") => DropKind::Lacking("type"),
            Some("domain") => DropKind::Lacking("domain"),
            Some("schema") => DropKind::Lacking("schema"),
            Some("extension") => DropKind::Lacking("extension"),
            Some(_) => return self.refused_object("DROP"),
            None => return self.unexpected(),
        };
        self.advance();
        self.drop_relations(kind)
    }

    /// GRANT or REVOKE CONNECT ON DATABASE; rights on tables are not handled.
    fn grant(&mut self, revoke: bool) -> Result<Statement> {
        self.advance();
        let verb = if revoke { "REVOKE" } else { "GRANT" };
        if self.are_keywords(&["grant", "option", "for"]) {
            return self.unsupported("GRANT OPTION");
        }
        let right = self.label()?.text;
        self.take_keyword("privileges");
        if !self.take_keywords(&["on", "database"]) || !matches!(right.as_str(), "connect" | "all")
        {
            return self.unsupported(&format!("{verb} other than CONNECT ON DATABASE"));
        }
        let database = self.name()?.text;
        if self.is_mark(",") {
            return self.unsupported(&format!("{verb} on several databases at once"));
        }
        self.expect_keyword(if revoke { "from" } else { "to" })?;
        let users = self.list(|parser| Ok(parser.label()?.text))?;
        self.cascade();
        if self.are_keywords(&["with", "grant", "option"]) {
            return self.unsupported("GRANT OPTION");
        }
        Ok(Statement::Admin(AdminStatement::Grant {
            database,
            users,
            revoke,
        }))
    }

    /// VACUUM, ANALYZE, CHECKPOINT, REINDEX, CLUSTER: only the names are looked at.
    fn maintenance(&mut self, word: &str) -> Result<Statement> {
        self.advance();
        let mut tables = Vec::new();
        if self.is_mark("(") {
            self.parenthesized(|parser| {
                parser.label()?;
                match parser.token(0) {
                    Token::Integer(_)
                    | Token::Decimal(_)
                    | Token::String(_)
                    | Token::Word { .. } => parser.advance(),
                    _ => {}
                }
                Ok(())
            })?;
        }
        let tag = match word {
            "vacuum" => {
                while self
                    .take_one_of(&["full", "freeze", "verbose", "analyze", "analyse"])
                    .is_some()
                {}
                "VACUUM"
            }
            "checkpoint" => return Ok(maintained("CHECKPOINT")),
            "reindex" => {
                let Some(kind) =
                    self.take_one_of(&["index", "table", "schema", "database", "system"])
                else {
                    return self.unexpected();
                };
                self.take_keyword("concurrently");
                if kind != "table" {
                    if !self.at_end() {
                        self.path()?;
                    }
                    return Ok(maintained("REINDEX"));
                }
                "REINDEX"
            }
            "cluster" => {
                self.take_keyword("verbose");
                "CLUSTER"
            }
            _ => {
                self.take_keyword("verbose");
                "ANALYZE"
            }
        };
        if !self.at_end() {
            tables = self.list(|parser| {
                let path = parser.path()?;
                if parser.is_mark("(") {
                    parser.parenthesized(Self::name)?;
                }
                Ok(path)
            })?;
        }
        if tag == "CLUSTER" && self.take_keyword("using") {
            self.name()?;
        }
        Ok(Statement::Maintenance { tag, tables })
    }
}

fn maintained(tag: &'static str) -> Statement {
    Statement::Maintenance {
        tag,
        tables: Vec::new(),
    }
}
