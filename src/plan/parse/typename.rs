//! Type names, in all the spellings of the SQL standard.

use super::Parser;
use super::keywords::Class;
use super::lexer::Token;
use crate::error::Result;
use crate::plan::syntax::TypeName;

impl Parser<'_> {
    pub(super) fn type_name(&mut self) -> Result<TypeName> {
        let place = self.place();
        if self.is_keyword("setof") {
            return self.unsupported("SETOF");
        }
        let mut ty = TypeName {
            place,
            path: Vec::new(),
            modifiers: Vec::new(),
            dimensions: 0,
            fields: None,
        };
        match self.word(0) {
            Some(word) if is_builtin(word) => {
                self.advance();
                self.builtin(&mut ty, word)?;
            }
            _ => self.generic(&mut ty)?,
        }
        while self.is_mark("[") {
            self.advance();
            if let Token::Integer(_) = self.token(0) {
                self.advance();
            }
            self.expect_mark("]")?;
            ty.dimensions += 1;
        }
        if ty.dimensions == 0 && self.take_keyword("array") {
            ty.dimensions = 1;
            if self.take_mark("[") {
                self.signed_integer()?;
                self.expect_mark("]")?;
            }
        }
        Ok(ty)
    }

    fn generic(&mut self, ty: &mut TypeName) -> Result<()> {
        let name = self.name_of(&[Class::Unreserved, Class::TypeOrFunction])?;
        ty.path.push(name.text);
        while self.take_mark(".") {
            ty.path.push(self.label()?.text);
        }
        self.modifiers(ty)
    }

    fn modifiers(&mut self, ty: &mut TypeName) -> Result<()> {
        if self.is_mark("(") {
            ty.modifiers = self.parenthesized(Self::signed_integer)?;
        }
        Ok(())
    }

    /// A type whose name is grammar: it lives in pg_catalog whatever the path.
    fn builtin(&mut self, ty: &mut TypeName, word: &str) -> Result<()> {
        let varying = |parser: &mut Self| {
            if parser.take_keyword("varying") {
                "varchar"
            } else {
                "bpchar"
            }
        };
        let name = match word {
            "int" | "integer" => "int4",
            "smallint" => "int2",
            "bigint" => "int8",
            "real" => "float4",
            "boolean" => "bool",
            "dec" | "decimal" | "numeric" => "numeric",
            "varchar" => "varchar",
            "char" | "character" | "nchar" => varying(self),
            "national" => {
                if self.take_one_of(&["char", "character"]).is_none() {
                    return self.unexpected();
                }
                varying(self)
            }
            "double" => {
                self.expect_keyword("precision")?;
                "float8"
            }
            "float" => return self.float(ty),
            "bit" => return self.unsupported("type bit"),
            "time" | "timestamp" => return self.time(ty, word),
            _ => {
                ty.path = vec!["interval".to_owned()];
                self.modifiers(ty)?;
                return self.interval_fields(ty);
            }
        };
        ty.path = vec![name.to_owned()];
        self.modifiers(ty)?;
        if name == "bpchar" && ty.modifiers.is_empty() {
            ty.modifiers.push(1);
        }
        Ok(())
    }

    fn float(&mut self, ty: &mut TypeName) -> Result<()> {
        let place = self.place();
        self.modifiers(ty)?;
        let name = match ty.modifiers.first() {
            None | Some(25..=53) => "float8",
            Some(1..=24) => "float4",
            Some(bits) if *bits < 1 => {
                return Err(self.failure(place, "precision for type float must be at least 1 bit"));
            }
            Some(_) => {
                return Err(
                    self.failure(place, "precision for type float must be less than 54 bits")
                );
            }
        };
        ty.modifiers.clear();
        ty.path = vec![name.to_owned()];
        Ok(())
    }

    fn time(&mut self, ty: &mut TypeName, word: &str) -> Result<()> {
        self.modifiers(ty)?;
        let zoned = self.take_keywords(&["with", "time", "zone"]);
        if !zoned {
            self.take_keywords(&["without", "time", "zone"]);
        }
        if zoned && word == "time" {
            return self.unsupported("type time with time zone");
        }
        let name = if zoned { "timestamptz" } else { word };
        ty.path = vec![name.to_owned()];
        Ok(())
    }
}

/// Type names that are key words with a syntax of their own.
fn is_builtin(word: &str) -> bool {
    matches!(
        word,
        "int"
            | "integer"
            | "smallint"
            | "bigint"
            | "real"
            | "float"
            | "double"
            | "decimal"
            | "dec"
            | "numeric"
            | "boolean"
            | "bit"
            | "char"
            | "character"
            | "varchar"
            | "national"
            | "nchar"
            | "time"
            | "timestamp"
            | "interval"
    )
}
