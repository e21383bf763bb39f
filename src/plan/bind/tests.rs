//! Statements against PostgreSQL 15's answers.
//!
//! Each line of a case file is `statement => answer`: the output columns and
//! parameter types that PREPARE and Describe tell, or `!SQLSTATE message @place
//! # hint`. Every query is also printed and bound again: its text is a fixed point.

use std::sync::Arc;

use super::{Binding, plan};
use crate::catalog::schema::Schema;
use crate::error::{Error, Result};
use crate::plan::context::Context;
use crate::plan::function::tests::context;
use crate::plan::statement::Statement;
use crate::plan::{Plan, deparse, parse};
use crate::types::Type;

struct Setup {
    schema: Arc<Schema>,
    context: Context,
}

impl Setup {
    fn new(sql: &str) -> Setup {
        let mut setup = Setup {
            schema: Arc::new(Schema::empty()),
            context: context(),
        };
        setup.run(sql).unwrap();
        setup
    }

    /// Applies definitions one after the other.
    fn run(&mut self, sql: &str) -> Result<()> {
        for parsed in parse::parse(sql)? {
            if let Statement::Schema(schema) = self.bind(&parsed, &[])?.statement {
                self.schema = Arc::new(self.schema.apply(&schema.changes)?);
            }
        }
        Ok(())
    }

    fn bind(&self, parsed: &parse::Parsed, types: &[Option<Type>]) -> Result<Plan> {
        let system = Arc::new(Schema::empty());
        let binding = Binding {
            schema: &self.schema,
            system: &system,
            context: &self.context,
        };
        plan(parsed, &binding, types)
    }

    fn plan(&self, sql: &str) -> Result<Plan> {
        let parsed = parse::parse(sql)?;
        match parsed.as_slice() {
            [one] => self.bind(one, &[]),
            _ => Err(Error::internal("not one statement")),
        }
    }

    fn describe(&self, sql: &str) -> String {
        match self.plan(sql) {
            Ok(plan) => {
                self.round_trip(sql, &plan);
                description(&plan)
            }
            Err(error) => complaint(&error),
        }
    }

    /// The text of a query is bound to a query of the same text.
    fn round_trip(&self, sql: &str, first: &Plan) {
        let Statement::Query(query) = &first.statement else {
            return;
        };
        let text = deparse::query(query, &self.schema);
        let types: Vec<Option<Type>> = first.parameters.iter().cloned().map(Some).collect();
        let parsed = parse::parse(&text).unwrap_or_else(|error| panic!("{sql}\n{text}\n{error:?}"));
        let again = self
            .bind(&parsed[0], &types)
            .unwrap_or_else(|error| panic!("{sql}\n{text}\n{error:?}"));
        let Statement::Query(again_query) = &again.statement else {
            panic!("{text}");
        };
        let again_text = deparse::query(again_query, &self.schema);
        assert_eq!(text, again_text, "of {sql}");
        let kinds = |plan: &Plan| -> Vec<(String, Type)> {
            let columns = plan.columns.iter();
            columns.map(|c| (c.name.clone(), c.ty.clone())).collect()
        };
        assert_eq!(kinds(first), kinds(&again), "of {sql}\n{text}");
    }
}

fn description(plan: &Plan) -> String {
    let columns: Vec<String> = plan
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, shown(&column.ty)))
        .collect();
    let parameters: Vec<String> = plan.parameters.iter().map(shown).collect();
    match parameters.is_empty() {
        true => columns.join(", "),
        false => format!("{} ({})", columns.join(", "), parameters.join(", ")),
    }
}

/// `format_type` without a modifier.
fn shown(ty: &Type) -> String {
    match ty.without_modifier() {
        Type::Char(_) => "character".to_owned(),
        ty => ty.to_string(),
    }
}

fn complaint(error: &Error) -> String {
    let report = error.report();
    let mut text = format!("!{} {}", report.state, report.message);
    if let Some(position) = report.position {
        text.push_str(&format!(" @{position}"));
    }
    if let Some(hint) = &report.hint {
        text.push_str(&format!(" # {hint}"));
    }
    text
}

/// Compares each line; all differences are told at once.
fn check(cases: &str, mut answer: impl FnMut(&str) -> String) {
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with("--")) {
        let (sql, expected) = line.split_once(" => ").unwrap_or((line, ""));
        let sql = sql.trim_end_matches(" =>");
        let found = answer(sql);
        if found.trim() != expected.trim() {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn queries_are_described_as_by_postgresql() {
    let setup = Setup::new(include_str!("cases/setup.sql"));
    check(include_str!("cases/queries.txt"), |sql| setup.describe(sql));
}

#[test]
fn writes_are_described_as_by_postgresql() {
    let setup = Setup::new(include_str!("cases/setup.sql"));
    check(include_str!("cases/writes.txt"), |sql| setup.describe(sql));
}
