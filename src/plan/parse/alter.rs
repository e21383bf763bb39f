//! ALTER TABLE, INDEX and SEQUENCE; DROP.

use super::Parser;
use crate::error::Result;
use crate::plan::syntax::{AlterAction, AlterTable, Drop, DropKind, Statement};

impl Parser<'_> {
    pub(super) fn alter_table(&mut self) -> Result<Statement> {
        let if_exists = self.if_exists();
        self.take_keyword("only");
        let path = self.path()?;
        let actions = if self.take_keyword("rename") {
            vec![self.rename()?]
        } else {
            self.list(Self::alter_action)?
        };
        Ok(Statement::AlterTable(Box::new(AlterTable {
            path,
            if_exists,
            actions,
        })))
    }

    fn rename(&mut self) -> Result<AlterAction> {
        if self.take_keyword("to") {
            return Ok(AlterAction::RenameTable(self.name()?));
        }
        let constraint = self.take_keyword("constraint");
        if !constraint {
            self.take_keyword("column");
        }
        let from = self.name()?;
        self.expect_keyword("to")?;
        let to = self.name()?;
        Ok(if constraint {
            AlterAction::RenameConstraint { from, to }
        } else {
            AlterAction::RenameColumn { from, to }
        })
    }

    fn alter_action(&mut self) -> Result<AlterAction> {
        match self.word(0) {
            Some("add") => {
                self.advance();
                self.alter_add()
            }
            Some("drop") => {
                self.advance();
                self.alter_drop()
            }
            Some("alter") if self.word(1) == Some("constraint") => {
                self.expect_keywords(&["alter", "constraint"])?;
                let name = self.name()?;
                let deferral = self.deferral()?;
                Ok(AlterAction::AlterConstraint { name, deferral })
            }
            Some("alter") => {
                self.advance();
                self.take_keyword("column");
                self.alter_column()
            }
            Some("validate") => {
                self.expect_keywords(&["validate", "constraint"])?;
                Ok(AlterAction::ValidateConstraint(self.name()?))
            }
            Some("owner") => {
                self.expect_keywords(&["owner", "to"])?;
                self.label()?;
                Ok(AlterAction::Nothing)
            }
            Some("cluster") => {
                self.expect_keywords(&["cluster", "on"])?;
                self.name()?;
                Ok(AlterAction::Nothing)
            }
            Some("set") => {
                self.advance();
                if self.is_mark("(") {
                    self.parameters()?;
                    return Ok(AlterAction::Nothing);
                }
                if self.take_keywords(&["without", "cluster"])
                    || self.take_one_of(&["logged", "unlogged"]).is_some()
                {
                    return Ok(AlterAction::Nothing);
                }
                self.unsupported("this form of ALTER TABLE SET")
            }
            Some("reset") => {
                self.advance();
                self.parameters()?;
                Ok(AlterAction::Nothing)
            }
            _ if self.alters_nothing()? => Ok(AlterAction::Nothing),
            Some(
                "enable" | "disable" | "inherit" | "no" | "force" | "attach" | "detach" | "of"
                | "not",
            ) => self.unsupported("this form of ALTER TABLE"),
            _ => self.unexpected(),
        }
    }

    /// Takes a form that could never show: there are no triggers of users, no
    /// row security, no replication by rows.
    fn alters_nothing(&mut self) -> Result<bool> {
        if self.take_keywords(&["replica", "identity"]) {
            if self.take_keywords(&["using", "index"]) {
                self.name()?;
            } else {
                self.label()?;
            }
            return Ok(true);
        }
        Ok(self.take_keywords(&["enable", "trigger", "all"])
            || self.take_keywords(&["enable", "trigger", "user"])
            || self.take_keywords(&["disable", "trigger", "user"])
            || self.take_keywords(&["disable", "row", "level", "security"])
            || self.take_keywords(&["no", "force", "row", "level", "security"]))
    }

    fn alter_add(&mut self) -> Result<AlterAction> {
        if matches!(
            self.word(0),
            Some("constraint" | "check" | "unique" | "primary" | "foreign" | "exclude")
        ) {
            return self.table_constraint().map(AlterAction::AddConstraint);
        }
        self.take_keyword("column");
        let if_not_exists = self.if_not_exists();
        Ok(AlterAction::AddColumn {
            definition: self.column_definition()?,
            if_not_exists,
        })
    }

    fn alter_drop(&mut self) -> Result<AlterAction> {
        let constraint = self.take_keyword("constraint");
        if !constraint {
            self.take_keyword("column");
        }
        let if_exists = self.if_exists();
        let name = self.name()?;
        let cascade = self.cascade();
        Ok(if constraint {
            AlterAction::DropConstraint {
                name,
                if_exists,
                cascade,
            }
        } else {
            AlterAction::DropColumn {
                name,
                if_exists,
                cascade,
            }
        })
    }

    fn alter_column(&mut self) -> Result<AlterAction> {
        let column = self.name()?;
        if self.take_keywords(&["set", "default"]) {
            let default = Some(self.expression()?);
            return Ok(AlterAction::SetDefault { column, default });
        }
        if self.take_keywords(&["drop", "default"]) {
            let default = None;
            return Ok(AlterAction::SetDefault { column, default });
        }
        if self.take_keywords(&["set", "not", "null"]) {
            let not_null = true;
            return Ok(AlterAction::SetNotNull { column, not_null });
        }
        if self.take_keywords(&["drop", "not", "null"]) {
            let not_null = false;
            return Ok(AlterAction::SetNotNull { column, not_null });
        }
        if self.take_keywords(&["drop", "identity"]) {
            let if_exists = self.if_exists();
            return Ok(AlterAction::DropIdentity { column, if_exists });
        }
        if self.take_keywords(&["set", "data", "type"]) || self.take_keyword("type") {
            let ty = self.type_name()?;
            if self.take_keyword("collate") {
                return self.unsupported("COLLATE in ALTER COLUMN TYPE");
            }
            let using = if self.take_keyword("using") {
                Some(self.expression()?)
            } else {
                None
            };
            return Ok(AlterAction::SetType { column, ty, using });
        }
        self.alter_generated(column)
    }

    /// Identity and storage of a column.
    fn alter_generated(&mut self, column: crate::plan::syntax::Name) -> Result<AlterAction> {
        if self.take_keywords(&["add", "generated"]) {
            let always = self.take_keyword("always");
            if !always {
                self.expect_keywords(&["by", "default"])?;
            }
            self.expect_keywords(&["as", "identity"])?;
            let options = self.identity_options()?;
            return Ok(AlterAction::AddIdentity {
                column,
                always,
                options,
            });
        }
        if self.take_keywords(&["set", "generated"]) {
            let always = self.take_keyword("always");
            if !always {
                self.expect_keywords(&["by", "default"])?;
            }
            return Ok(AlterAction::SetIdentity {
                column,
                always: Some(always),
                options: Vec::new(),
            });
        }
        if self.take_keyword("restart") {
            self.take_keyword("with");
            let value = if self.at_end() || self.is_mark(",") {
                None
            } else {
                Some(self.signed_integer()?)
            };
            return Ok(AlterAction::SetIdentity {
                column,
                always: None,
                options: vec![crate::plan::syntax::SequenceOption::Restart(value)],
            });
        }
        if self.take_keywords(&["set", "statistics"]) {
            self.signed_integer()?;
            return Ok(AlterAction::Nothing);
        }
        if self.take_keywords(&["set", "storage"]) || self.take_keywords(&["set", "compression"]) {
            self.label()?;
            return Ok(AlterAction::Nothing);
        }
        if self.is_keyword("set") {
            self.advance();
            if self.is_mark("(") {
                self.parameters()?;
                return Ok(AlterAction::Nothing);
            }
            return self.unsupported("this form of ALTER COLUMN SET");
        }
        self.unexpected()
    }

    pub(super) fn alter_index(&mut self) -> Result<Statement> {
        let if_exists = self.if_exists();
        let path = self.path()?;
        if self.take_keywords(&["rename", "to"]) {
            let name = self.name()?;
            return Ok(Statement::AlterIndexRename {
                path,
                name,
                if_exists,
            });
        }
        if self.take_one_of(&["set", "reset"]).is_some() && self.is_mark("(") {
            self.parameters()?;
            return Ok(Statement::Nothing { tag: "ALTER INDEX" });
        }
        self.unsupported("this form of ALTER INDEX")
    }

    pub(super) fn alter_sequence(&mut self) -> Result<Statement> {
        let if_exists = self.if_exists();
        let path = self.path()?;
        let mut rename = None;
        let mut options = Vec::new();
        if self.take_keywords(&["rename", "to"]) {
            rename = Some(self.name()?);
        } else if self.take_keywords(&["owner", "to"]) {
            self.label()?;
        } else {
            options = self.sequence_options()?;
            if options.is_empty() {
                return self.unexpected();
            }
        }
        Ok(Statement::AlterSequence {
            path,
            if_exists,
            options,
            rename,
        })
    }

    /// What follows DROP TABLE, INDEX or SEQUENCE.
    pub(super) fn drop_relations(&mut self, kind: DropKind) -> Result<Statement> {
        if kind == DropKind::Index {
            self.take_keyword("concurrently");
        }
        let if_exists = self.if_exists();
        let paths = self.paths()?;
        let cascade = self.cascade();
        Ok(Statement::Drop(Drop {
            kind,
            paths,
            if_exists,
            cascade,
        }))
    }
}
