//! CREATE TABLE, INDEX and SEQUENCE, and the constraints they share with ALTER TABLE.

use super::Parser;
use super::keywords::Class;
use super::lexer::Token;
use crate::catalog::schema::Action;
use crate::error::{Error, Result, SqlState};
use crate::plan::syntax::{
    ColumnConstraint, ColumnConstraintKind, ColumnDefinition, CreateIndex, CreateTable,
    CreateTableAs, KeyOptions, LikeOption, Name, Path, Place, Reference, SequenceOption, SortItem,
    Statement, TableConstraint, TableConstraintKind, TableElement,
};

impl Parser<'_> {
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.take_keywords(&["if", "not", "exists"])
    }

    pub(super) fn if_exists(&mut self) -> bool {
        self.take_keywords(&["if", "exists"])
    }

    /// What follows CREATE … TABLE.
    pub(super) fn create_table(&mut self) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let path = self.path()?;
        if self.is_keyword("of") {
            return self.unsupported("CREATE TABLE OF");
        }
        if self.are_keywords(&["partition", "of"]) {
            return self.unsupported("PARTITION OF");
        }
        let columns_then_as = self.is_keyword("as") || self.names_then_as();
        if columns_then_as {
            return self.create_table_as(path, if_not_exists);
        }
        self.expect_mark("(")?;
        let elements = if self.is_mark(")") {
            Vec::new()
        } else {
            self.list(Self::table_element)?
        };
        self.expect_mark(")")?;
        if self.is_keyword("inherits") {
            return self.unsupported("INHERITS");
        }
        if self.is_keyword("partition") {
            return self.unsupported("PARTITION BY");
        }
        self.storage_options()?;
        Ok(Statement::CreateTable(Box::new(CreateTable {
            path,
            if_not_exists,
            elements,
        })))
    }

    /// `(a, b) AS` of CREATE TABLE AS.
    fn names_then_as(&self) -> bool {
        let mut ahead = 0;
        if !self.mark_ahead(0, "(") {
            return matches!(self.word(0), Some("with" | "using" | "tablespace"));
        }
        loop {
            match self.token(ahead + 1) {
                Token::Word { .. } => {}
                _ => return false,
            }
            ahead += 2;
            if self.mark_ahead(ahead, ")") {
                return matches!(self.word(ahead + 1), Some("as" | "with" | "using"));
            }
            if !self.mark_ahead(ahead, ",") {
                return false;
            }
        }
    }

    fn create_table_as(&mut self, path: Path, if_not_exists: bool) -> Result<Statement> {
        let columns = if self.is_mark("(") {
            self.parenthesized(Self::name)?
        } else {
            Vec::new()
        };
        self.storage_options()?;
        self.expect_keyword("as")?;
        if self.is_keyword("execute") {
            return self.unsupported("CREATE TABLE AS EXECUTE");
        }
        let query = self.query()?;
        let with_data = if self.take_keywords(&["with", "no", "data"]) {
            false
        } else {
            self.take_keywords(&["with", "data"]);
            true
        };
        Ok(Statement::CreateTableAs(Box::new(CreateTableAs {
            path,
            if_not_exists,
            columns,
            query,
            with_data,
        })))
    }

    /// WITH (fillfactor = 70), USING heap, TABLESPACE x, ON COMMIT …: change no result.
    pub(super) fn storage_options(&mut self) -> Result<()> {
        loop {
            if self.is_keyword("with") && self.mark_ahead(1, "(") {
                self.advance();
                self.parameters()?;
            } else if self.take_keywords(&["without", "oids"]) {
            } else if self.take_one_of(&["using", "tablespace"]).is_some() {
                self.name()?;
            } else if self.is_keyword("on") && self.word(1) == Some("commit") {
                return self.unsupported("ON COMMIT");
            } else {
                return Ok(());
            }
        }
    }

    /// `(name = value, …)`.
    pub(super) fn parameters(&mut self) -> Result<()> {
        self.parenthesized(|parser| {
            parser.label()?;
            while parser.take_mark(".") {
                parser.label()?;
            }
            if parser.take_operator("=") {
                if matches!(
                    parser.token(0),
                    Token::Word { .. } | Token::String(_) | Token::Decimal(_)
                ) {
                    parser.advance();
                } else {
                    parser.signed_integer()?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn table_element(&mut self) -> Result<TableElement> {
        if self.take_keyword("like") {
            return self.like();
        }
        if self.starts_table_constraint() {
            return self.table_constraint().map(TableElement::Constraint);
        }
        self.column_definition().map(TableElement::Column)
    }

    fn starts_table_constraint(&self) -> bool {
        matches!(
            self.word(0),
            Some("constraint" | "check" | "unique" | "primary" | "foreign" | "exclude")
        ) && (!self.is_keyword("exclude") || self.word(1) == Some("using"))
    }

    fn like(&mut self) -> Result<TableElement> {
        let path = self.path()?;
        let mut options = Vec::new();
        while let Some(verb) = self.take_one_of(&["including", "excluding"]) {
            let part = self.label()?.text;
            let parts: &[LikeOption] = match part.as_str() {
                "all" => &[
                    LikeOption::Defaults,
                    LikeOption::Constraints,
                    LikeOption::Identity,
                    LikeOption::Indexes,
                ],
                "defaults" => &[LikeOption::Defaults],
                "constraints" => &[LikeOption::Constraints],
                "identity" => &[LikeOption::Identity],
                "indexes" => &[LikeOption::Indexes],
                "comments" | "statistics" | "storage" | "compression" | "generated" => &[],
                _ => return self.unexpected(),
            };
            options.retain(|option| !parts.contains(option));
            if verb == "including" {
                options.extend_from_slice(parts);
            }
        }
        Ok(TableElement::Like(path, options))
    }

    pub(super) fn column_definition(&mut self) -> Result<ColumnDefinition> {
        let name = self.name()?;
        let ty = self.type_name()?;
        let mut constraints = Vec::new();
        while let Some(constraint) = self.column_constraint(&mut constraints)? {
            constraints.push(constraint);
        }
        Ok(ColumnDefinition {
            name,
            ty,
            constraints,
        })
    }

    fn column_constraint(
        &mut self,
        before: &mut [ColumnConstraint],
    ) -> Result<Option<ColumnConstraint>> {
        let name = if self.take_keyword("constraint") {
            Some(self.name()?)
        } else {
            None
        };
        let place = self.place();
        if let Some(deferral) = self.deferral()? {
            return self.defer_last(before, deferral, place);
        }
        let kind = if self.take_keywords(&["not", "null"]) {
            ColumnConstraintKind::NotNull
        } else if self.take_keyword("null") {
            ColumnConstraintKind::Null
        } else if self.take_keyword("default") {
            ColumnConstraintKind::Default(self.restricted_expression()?)
        } else if self.take_keyword("generated") {
            self.generated()?
        } else if self.take_keyword("check") {
            let mut condition = self.parenthesized(Self::expression)?;
            self.take_keywords(&["no", "inherit"]);
            match (condition.pop(), condition.is_empty()) {
                (Some(condition), true) => ColumnConstraintKind::Check(condition),
                _ => return self.unexpected(),
            }
        } else if self.take_keyword("unique") {
            let nulls_not_distinct = self.nulls_not_distinct();
            self.index_parameters()?;
            ColumnConstraintKind::Unique(KeyOptions {
                nulls_not_distinct,
                ..KeyOptions::default()
            })
        } else if self.take_keywords(&["primary", "key"]) {
            self.index_parameters()?;
            ColumnConstraintKind::PrimaryKey(KeyOptions::default())
        } else if self.is_keyword("references") {
            ColumnConstraintKind::References(self.reference()?)
        } else if self.take_keyword("collate") {
            ColumnConstraintKind::Collate(self.path()?)
        } else if name.is_some() {
            return self.unexpected();
        } else if matches!(self.word(0), Some("storage" | "compression")) {
            self.advance();
            self.label()?;
            return self.column_constraint(before);
        } else {
            return Ok(None);
        };
        Ok(Some(ColumnConstraint { name, place, kind }))
    }

    /// DEFERRABLE and its kin speak of the constraint before them.
    fn defer_last(
        &mut self,
        before: &mut [ColumnConstraint],
        (deferrable, initially_deferred): (bool, bool),
        place: Place,
    ) -> Result<Option<ColumnConstraint>> {
        match before.last_mut().map(|constraint| &mut constraint.kind) {
            Some(ColumnConstraintKind::References(reference)) => {
                reference.deferrable = deferrable;
                reference.initially_deferred = initially_deferred;
            }
            Some(
                ColumnConstraintKind::Unique(options) | ColumnConstraintKind::PrimaryKey(options),
            ) => {
                options.deferrable = deferrable;
                options.initially_deferred = initially_deferred;
            }
            Some(_) => {
                let clause = match (deferrable, initially_deferred) {
                    (_, true) => "INITIALLY DEFERRED",
                    (true, _) => "DEFERRABLE",
                    _ => "NOT DEFERRABLE",
                };
                return Err(self.failure(place, format!("misplaced {clause} clause")));
            }
            None => {}
        }
        self.column_constraint(before)
    }

    fn generated(&mut self) -> Result<ColumnConstraintKind> {
        let always = self.take_keyword("always");
        if !always {
            self.expect_keywords(&["by", "default"])?;
        }
        self.expect_keyword("as")?;
        if self.is_mark("(") {
            return self.unsupported("a generated column");
        }
        self.expect_keyword("identity")?;
        let options = self.identity_options()?;
        Ok(ColumnConstraintKind::Identity { always, options })
    }

    pub(super) fn identity_options(&mut self) -> Result<Vec<SequenceOption>> {
        if !self.take_mark("(") {
            return Ok(Vec::new());
        }
        let options = self.sequence_options()?;
        self.expect_mark(")")?;
        Ok(options)
    }

    fn nulls_not_distinct(&mut self) -> bool {
        if self.take_keywords(&["nulls", "not", "distinct"]) {
            return true;
        }
        self.take_keywords(&["nulls", "distinct"]);
        false
    }

    /// WITH (fillfactor), USING INDEX TABLESPACE of a key.
    fn index_parameters(&mut self) -> Result<()> {
        if self.is_keyword("with") && self.mark_ahead(1, "(") {
            self.advance();
            self.parameters()?;
        }
        if self.take_keywords(&["using", "index", "tablespace"]) {
            self.name()?;
        }
        Ok(())
    }

    /// \[NOT\] DEFERRABLE \[INITIALLY DEFERRED | IMMEDIATE\].
    pub(super) fn deferral(&mut self) -> Result<Option<(bool, bool)>> {
        let mut deferrable = None;
        let mut deferred = None;
        loop {
            if self.take_keywords(&["not", "deferrable"]) {
                deferrable = Some(false);
            } else if self.take_keyword("deferrable") {
                deferrable = Some(true);
            } else if self.take_keywords(&["initially", "deferred"]) {
                deferred = Some(true);
            } else if self.take_keywords(&["initially", "immediate"]) {
                deferred = Some(false);
            } else {
                break;
            }
        }
        if deferrable == Some(false) && deferred == Some(true) {
            let place = self.place();
            return Err(self.failure(
                place,
                "constraint declared INITIALLY DEFERRED must be DEFERRABLE",
            ));
        }
        if deferrable.is_none() && deferred.is_none() {
            return Ok(None);
        }
        let initially = deferred.unwrap_or(false);
        Ok(Some((deferrable.unwrap_or(initially), initially)))
    }

    pub(super) fn table_constraint(&mut self) -> Result<TableConstraint> {
        let name = if self.take_keyword("constraint") {
            Some(self.name()?)
        } else {
            None
        };
        let place = self.place();
        let mut kind = match self.word(0) {
            Some("check") => {
                self.advance();
                self.expect_mark("(")?;
                let condition = self.expression()?;
                self.expect_mark(")")?;
                TableConstraintKind::Check(condition)
            }
            Some("unique") => {
                self.advance();
                let nulls_not_distinct = self.nulls_not_distinct();
                if self.take_keywords(&["using", "index"]) {
                    let index = self.name()?;
                    TableConstraintKind::UsingIndex {
                        primary: false,
                        index,
                    }
                } else {
                    let (columns, options) = self.key_columns()?;
                    TableConstraintKind::Unique {
                        columns,
                        options: KeyOptions {
                            nulls_not_distinct,
                            ..options
                        },
                    }
                }
            }
            Some("primary") => {
                self.expect_keywords(&["primary", "key"])?;
                if self.take_keywords(&["using", "index"]) {
                    let index = self.name()?;
                    TableConstraintKind::UsingIndex {
                        primary: true,
                        index,
                    }
                } else {
                    let (columns, options) = self.key_columns()?;
                    TableConstraintKind::PrimaryKey { columns, options }
                }
            }
            Some("foreign") => {
                self.expect_keywords(&["foreign", "key"])?;
                TableConstraintKind::ForeignKey {
                    columns: self.parenthesized(Self::name)?,
                    reference: self.reference()?,
                }
            }
            Some("exclude") => return self.unsupported("EXCLUDE"),
            _ => return self.unexpected(),
        };
        let not_valid = self.constraint_attributes(&mut kind)?;
        Ok(TableConstraint {
            name,
            place,
            kind,
            not_valid,
        })
    }

    /// NOT VALID, NO INHERIT and deferral behind a constraint; whether NOT VALID was said.
    fn constraint_attributes(&mut self, kind: &mut TableConstraintKind) -> Result<bool> {
        let mut not_valid = false;
        loop {
            if self.take_keywords(&["not", "valid"]) {
                not_valid = true;
            } else if self.take_keywords(&["no", "inherit"]) {
            } else if let Some((deferrable, deferred)) = self.deferral()? {
                match kind {
                    TableConstraintKind::ForeignKey { reference, .. } => {
                        reference.deferrable = deferrable;
                        reference.initially_deferred = deferred;
                    }
                    TableConstraintKind::Unique { options, .. }
                    | TableConstraintKind::PrimaryKey { options, .. } => {
                        options.deferrable = deferrable;
                        options.initially_deferred = deferred;
                    }
                    TableConstraintKind::UsingIndex { .. } if deferrable => {
                        return self.unsupported("a deferrable constraint of an existing index");
                    }
                    TableConstraintKind::Check(_) if deferrable => {
                        return Err(Error::new(
                            SqlState::FEATURE_NOT_SUPPORTED,
                            "CHECK constraints cannot be marked DEFERRABLE",
                        ));
                    }
                    _ => {}
                }
            } else {
                break;
            }
        }
        Ok(not_valid)
    }

    fn key_columns(&mut self) -> Result<(Vec<Name>, KeyOptions)> {
        let columns = self.parenthesized(Self::name)?;
        let include = self.included_columns()?;
        self.index_parameters()?;
        let options = KeyOptions {
            include,
            ..KeyOptions::default()
        };
        Ok((columns, options))
    }

    /// INCLUDE (columns) of an index.
    fn included_columns(&mut self) -> Result<Vec<Name>> {
        match self.take_keyword("include") {
            true => self.parenthesized(Self::included_column),
            false => Ok(Vec::new()),
        }
    }

    fn included_column(&mut self) -> Result<Name> {
        if self.is_mark("(") {
            return Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "expressions are not supported in included columns",
            ));
        }
        self.name()
    }

    /// REFERENCES table [(columns)] [MATCH …] [ON DELETE …] [ON UPDATE …].
    fn reference(&mut self) -> Result<Reference> {
        self.expect_keyword("references")?;
        let table = self.path()?;
        let columns = if self.is_mark("(") {
            self.parenthesized(Self::name)?
        } else {
            Vec::new()
        };
        let mut reference = Reference {
            table,
            columns,
            on_delete: Action::NoAction,
            on_update: Action::NoAction,
            match_full: false,
            deferrable: false,
            initially_deferred: false,
        };
        loop {
            if self.take_keyword("match") {
                match self.take_one_of(&["full", "simple"]) {
                    Some(kind) => reference.match_full = kind == "full",
                    None => return self.unsupported("MATCH PARTIAL"),
                }
            } else if self.take_keywords(&["on", "delete"]) {
                reference.on_delete = self.action()?;
            } else if self.take_keywords(&["on", "update"]) {
                reference.on_update = self.action()?;
            } else {
                return Ok(reference);
            }
        }
    }

    fn action(&mut self) -> Result<Action> {
        let action = if self.take_keywords(&["no", "action"]) {
            Action::NoAction
        } else if self.take_keyword("restrict") {
            Action::Restrict
        } else if self.take_keyword("cascade") {
            Action::Cascade
        } else if self.take_keywords(&["set", "null"]) {
            Action::SetNull
        } else if self.take_keywords(&["set", "default"]) {
            Action::SetDefault
        } else {
            return self.unexpected();
        };
        if self.is_mark("(") {
            return self.unsupported("a column list of a foreign key's action");
        }
        Ok(action)
    }

    /// What follows CREATE \[UNIQUE\] INDEX.
    pub(super) fn create_index(&mut self, unique: bool) -> Result<Statement> {
        self.take_keyword("concurrently");
        let if_not_exists = self.if_not_exists();
        let name = if self.is_keyword("on") {
            None
        } else {
            Some(self.name()?)
        };
        self.expect_keyword("on")?;
        self.take_keyword("only");
        let table = self.path()?;
        let method = if self.take_keyword("using") {
            Some(self.name()?)
        } else {
            None
        };
        let columns = self.parenthesized(Self::index_column)?;
        let include = self.included_columns()?;
        let nulls_not_distinct = self.nulls_not_distinct();
        self.storage_options()?;
        let filter = self.where_clause()?;
        Ok(Statement::CreateIndex(Box::new(CreateIndex {
            name,
            table,
            if_not_exists,
            unique,
            nulls_not_distinct,
            columns,
            include,
            filter,
            method,
        })))
    }

    fn index_column(&mut self) -> Result<SortItem> {
        let by = self.expression()?;
        let ordered = matches!(self.word(0), Some("asc" | "desc" | "nulls"));
        if !ordered && self.is_name() {
            let class = self.name_of(&[Class::Unreserved, Class::TypeOrFunction])?;
            // Collations are "C", under which text_pattern_ops and its kin are the default order.
            if !class.text.ends_with("_ops") {
                return self.unsupported("an operator class");
            }
        }
        let descending = self.take_one_of(&["asc", "desc"]) == Some("desc");
        let nulls_first = self.nulls_order()?;
        Ok(SortItem {
            by,
            descending,
            nulls_first,
        })
    }

    /// The options of CREATE or ALTER SEQUENCE, in any order.
    pub(super) fn sequence_options(&mut self) -> Result<Vec<SequenceOption>> {
        let mut options = Vec::new();
        while let Some(word) = self.word(0) {
            let option = match word {
                "as" => {
                    self.advance();
                    SequenceOption::Type(self.type_name()?)
                }
                "start" => {
                    self.advance();
                    self.take_keyword("with");
                    SequenceOption::Start(self.signed_integer()?)
                }
                "restart" => {
                    self.advance();
                    let given = self.take_keyword("with")
                        || matches!(self.token(0), Token::Integer(_) | Token::Operator(_));
                    SequenceOption::Restart(if given {
                        Some(self.signed_integer()?)
                    } else {
                        None
                    })
                }
                "increment" => {
                    self.advance();
                    self.take_keyword("by");
                    SequenceOption::Increment(self.signed_integer()?)
                }
                "minvalue" => {
                    self.advance();
                    SequenceOption::Min(Some(self.signed_integer()?))
                }
                "maxvalue" => {
                    self.advance();
                    SequenceOption::Max(Some(self.signed_integer()?))
                }
                "cache" => {
                    self.advance();
                    self.signed_integer()?;
                    continue;
                }
                "cycle" => {
                    self.advance();
                    SequenceOption::Cycle(true)
                }
                "no" => {
                    self.advance();
                    match self.take_one_of(&["minvalue", "maxvalue", "cycle"]) {
                        Some("minvalue") => SequenceOption::Min(None),
                        Some("maxvalue") => SequenceOption::Max(None),
                        Some(_) => SequenceOption::Cycle(false),
                        None => return self.unexpected(),
                    }
                }
                "owned" => {
                    self.expect_keywords(&["owned", "by"])?;
                    if self.take_keyword("none") {
                        SequenceOption::OwnedBy(None)
                    } else {
                        SequenceOption::OwnedBy(Some(self.path()?))
                    }
                }
                "sequence" if self.word(1) == Some("name") => {
                    self.expect_keywords(&["sequence", "name"])?;
                    SequenceOption::Name(self.path()?)
                }
                _ => break,
            };
            options.push(option);
        }
        Ok(options)
    }
}
