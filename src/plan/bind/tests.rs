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
    for line in cases
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
    {
        let (sql, expected) = line.split_once(" => ").unwrap_or((line, ""));
        let sql = sql.trim_end_matches(" =>");
        let found = answer(sql);
        if found.trim() != expected.trim() {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
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

#[test]
fn definitions_are_accepted_as_by_postgresql() {
    let setup = Setup::new(include_str!("cases/setup.sql"));
    check(include_str!("cases/definitions.txt"), |sql| {
        match setup.plan(sql) {
            Ok(plan) => {
                if let Statement::Schema(schema) = &plan.statement {
                    setup.schema.apply(&schema.changes).unwrap();
                }
                "ok".to_owned()
            }
            Err(error) => complaint(&error),
        }
    });
}

#[test]
fn statements_by_key_are_recognised() {
    let setup = Setup::new(include_str!("cases/setup.sql"));
    let writes = [
        ("INSERT INTO pairs VALUES (1, $1, 'z')", true),
        (
            "INSERT INTO employees (name) VALUES ('x') RETURNING id",
            true,
        ),
        ("INSERT INTO pairs SELECT 1, 2, 'z'", false),
        ("INSERT INTO pairs VALUES ((SELECT 1), 2, 'z')", false),
        ("UPDATE pairs SET z = $1 WHERE x = 1 AND y = $2", true),
        ("UPDATE pairs SET z = z || 'x' WHERE y = 1 AND 2 = x", true),
        ("UPDATE pairs SET x = 2 WHERE x = 1 AND y = 2", false),
        ("UPDATE pairs SET z = 'x' WHERE x = 1", false),
        (
            "UPDATE pairs SET z = 'x' WHERE x = 1 AND y = 2 AND z = 'y'",
            false,
        ),
        ("UPDATE pairs SET z = 'x' WHERE x = 1 AND y = x", false),
        ("UPDATE pairs SET z = 'x' WHERE x = 1 OR y = 2", false),
        ("DELETE FROM departments WHERE id = 1 + $1", true),
        ("DELETE FROM departments WHERE id = 1.5", false),
        ("DELETE FROM departments WHERE id > 1", false),
        ("DELETE FROM plain WHERE a = 1", false),
    ];
    for (sql, expected) in writes {
        let plan = setup.plan(sql).unwrap();
        let point = crate::plan::point::write(&plan.statement);
        assert_eq!(point.is_some(), expected, "{sql}");
    }
    let reads = [
        ("SELECT name FROM departments WHERE id = $1", true),
        ("SELECT z FROM pairs WHERE y = 1 AND x = 2", true),
        ("SELECT z FROM pairs WHERE x = 2", false),
        ("SELECT count(*) FROM departments WHERE id = 1", false),
        (
            "SELECT name FROM departments WHERE id = 1 FOR UPDATE",
            false,
        ),
    ];
    for (sql, expected) in reads {
        let plan = setup.plan(sql).unwrap();
        let Statement::Query(query) = &plan.statement else {
            panic!("{sql}");
        };
        assert_eq!(crate::plan::point::read(query).is_some(), expected, "{sql}");
    }
}

#[test]
fn stored_texts_are_canonical() {
    let mut setup = Setup::new(include_str!("cases/setup.sql"));
    setup
        .run(
            "CREATE TABLE t (a int DEFAULT 1 + 2 CHECK (a > 0 AND a IN (1, 2)), \
             b varchar(3) DEFAULT 'x', c bigint DEFAULT 5, d serial, \
             e text CHECK (e LIKE 'x%' OR e IS NULL), f numeric(5,2) DEFAULT -1.5); \
             CREATE INDEX ON t (lower(e)) WHERE a <> 3; \
             ALTER TABLE t RENAME COLUMN e TO \"E\"",
        )
        .unwrap();
    let table = setup
        .schema
        .table_named(crate::catalog::schema::Namespace::Public, "t")
        .unwrap();
    let defaults: Vec<Option<&str>> = table.columns.iter().map(|c| c.default.as_deref()).collect();
    assert_eq!(
        defaults,
        [
            Some("(1 + 2)"),
            Some("'x'::character varying"),
            Some("'5'::bigint"),
            Some("nextval('t_d_seq'::regclass)"),
            None,
            Some("'-1.5'::numeric"),
            None,
        ]
    );
    let checks: Vec<&str> = table.checks.iter().map(|c| c.expression.as_str()).collect();
    assert_eq!(
        checks,
        [
            "((a > 0) AND (a IN (1, 2)))",
            "((\"E\" ~~ 'x%'::text) OR (\"E\" IS NULL))"
        ]
    );
    let names: Vec<&str> = table.checks.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["t_a_check", "t_e_check"]);
    assert_eq!(table.indexes[0].name, "t_lower_idx");
    assert_eq!(table.indexes[0].predicate.as_deref(), Some("(a <> 3)"));
}

/// What the parser lets through is bound and printed on a worker's stack.
#[test]
fn the_deepest_statements_fit_the_stack() {
    let deep = |open: &str, middle: &str, close: &str, count: usize| {
        format!(
            "SELECT {}{middle}{}",
            open.repeat(count),
            close.repeat(count)
        )
    };
    let texts = [
        deep("(", "1", ")", 900),
        deep("", "1", " + 1", 900),
        deep("CASE WHEN true THEN ", "1", " END", 900),
        deep("(SELECT ", "1", ")", 300),
        deep("coalesce(", "1", ")", 900),
        deep("", "1", " UNION ALL SELECT 1", 900),
    ];
    let run = move || {
        let setup = Setup::new(include_str!("cases/setup.sql"));
        for text in &texts {
            match setup.plan(text) {
                Ok(plan) => {
                    let Statement::Query(query) = &plan.statement else {
                        panic!("{text}");
                    };
                    let text = deparse::query(query, &setup.schema);
                    // What is stored may be read again.
                    if let Some(stored) = text.strip_suffix(" AS \"?column?\"") {
                        parse::parse_expression(&stored["SELECT ".len()..]).unwrap();
                    }
                }
                Err(error) => panic!("{text}: {error:?}"),
            }
        }
    };
    let thread = std::thread::Builder::new().stack_size(crate::runtime::STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap();
}
