//! COMMENT ON.

use super::Parser;
use super::lexer::Token;
use crate::error::Result;
use crate::plan::syntax::{Comment, CommentObject, Statement};

impl Parser<'_> {
    pub(super) fn comment(&mut self) -> Result<Statement> {
        self.expect_keyword("comment")?;
        self.expect_keyword("on")?;
        const OBJECTS: [&str; 7] = [
            "table",
            "column",
            "index",
            "sequence",
            "constraint",
            "schema",
            "database",
        ];
        let Some(word) = self.take_one_of(&OBJECTS) else {
            return self.unsupported("COMMENT on this kind of object");
        };
        let path = self.path()?;
        let object = match word {
            "table" => CommentObject::Table,
            "column" => CommentObject::Column,
            "index" => CommentObject::Index,
            "sequence" => CommentObject::Sequence,
            "schema" => CommentObject::Schema,
            "database" => CommentObject::Database,
            _ => {
                self.expect_keyword("on")?;
                if self.take_keyword("domain") {
                    return self.unsupported("COMMENT on a domain's constraint");
                }
                CommentObject::Constraint(self.path()?)
            }
        };
        self.expect_keyword("is")?;
        let text = match self.token(0) {
            Token::String(text) => Some(text.clone()),
            _ if self.is_keyword("null") => None,
            _ => return self.unexpected(),
        };
        self.advance();
        // An empty one is none, as in PostgreSQL.
        let text = text.filter(|text| !text.is_empty());
        Ok(Statement::Comment(Comment { object, path, text }))
    }
}
