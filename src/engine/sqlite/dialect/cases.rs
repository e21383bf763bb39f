//! SQL, run through the planner and this engine, against PostgreSQL 15's answers.
//!
//! The files hold queries, a line of dashes and what `psql -At` printed for
//! them there, NULL as ∅; an error as its SQLSTATE and message.

use std::fmt::Write;
use std::sync::Arc;

use rusqlite::Connection;

use super::{Overlaid, render};
use crate::catalog::schema::{Namespace, Schema, Table};
use crate::engine::sqlite::execution::Execution;
use crate::engine::sqlite::query::{Failure, collect, prepare_connection};
use crate::engine::sqlite::testing::{context_of, table_of};
use crate::engine::sqlite::values;
use crate::error::{Error, Result};
use crate::plan::bind::{Binding, plan};
use crate::plan::parse::parse;
use crate::plan::statement::Statement;
use crate::types::settings::{Io, Settings};
use crate::types::{Type, Value, text};

const DEPT: &[(&str, Type)] = &[("id", Type::Int4), ("title", Type::Text)];

const PERSON: &[(&str, Type)] = &[
    ("id", Type::Int4),
    ("name", Type::Text),
    ("dept", Type::Int4),
    ("score", Type::NUMERIC),
    ("height", Type::Float8),
    ("born", Type::Date),
    ("seen", Type::TIMESTAMP),
    ("span", Type::INTERVAL),
    ("data", Type::Jsonb),
    ("uid", Type::Uuid),
    ("raw", Type::Bytea),
    ("active", Type::Bool),
    ("code", Type::Char(Some(4))),
];

const ROWS: &[(&str, &str)] = &[
    ("dept", "1|Sales"),
    ("dept", "2|Labs"),
    ("dept", "3|Empty"),
    (
        "person",
        r#"1|ann|1|1.5|1.6|1990-05-17|2020-01-01 10:00:00|1 mon|{"k": "v", "list": [1, 2]}|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|\x0102|t|ab"#,
    ),
    (
        "person",
        r#"2|Bob|1|10.50|NaN|1985-12-01|2020-07-01 00:00:00.5|30 days|{"k": "w"}|∅|\x|f|abc"#,
    ),
    (
        "person",
        r#"3|cid|2|1.50|1.8|∅|∅|1 day 02:00:00|{"k": "v", "list": [1, 2]}|∅|∅|∅|∅"#,
    ),
    (
        "person",
        "4|∅|∅|∅|∅|2001-01-01|2021-01-01 00:00:00|∅|∅|∅|∅|t|B",
    ),
    (
        "person",
        r#"5|Eve|9|3|-2.5|1990-05-17|infinity|-1 day|[1, "x"]|∅|\xff|f|ab"#,
    ),
];

struct Fixture {
    schema: Arc<Schema>,
    connection: Connection,
}

fn io(settings: &Settings) -> Io<'_> {
    Io {
        settings,
        transaction_time: 0,
    }
}

fn fixture() -> Fixture {
    let connection = Connection::open_in_memory().unwrap();
    prepare_connection(&connection).unwrap();
    let mut schema = Schema::empty();
    for (number, (name, columns)) in (0..).zip([("dept", DEPT), ("person", PERSON)]) {
        let table = table_of(16_400 + number * 10, name, columns);
        connection.execute_batch(&create(&table)).unwrap();
        schema.tables.insert(table.id, table);
    }
    for (name, row) in ROWS {
        let table = schema.table_named(Namespace::Public, name).unwrap();
        let settings = Settings::default();
        let row = row
            .split('|')
            .zip(&table.columns)
            .map(|(cell, column)| match cell {
                "∅" => Value::Null,
                _ => text::input(cell, &column.ty, io(&settings)).unwrap(),
            });
        let row: Vec<Value> = row.collect();
        let stored = row.iter().map(values::encode);
        let places = vec!["?"; row.len()].join(", ");
        let insert = format!("INSERT INTO \"{name}\" VALUES ({places})");
        let stored = rusqlite::params_from_iter(stored);
        connection.execute(&insert, stored).unwrap();
    }
    Fixture {
        schema: Arc::new(schema),
        connection,
    }
}

fn create(table: &Table) -> String {
    crate::engine::sqlite::schema::create_table(table, &Schema::empty(), &table.name, None)
}

fn answer(fixture: &Fixture, sql: &str) -> Result<String> {
    let context = context_of(fixture.schema.clone());
    let binding = Binding {
        schema: &fixture.schema,
        system: &context.system,
        context: &context,
    };
    let mut parsed = parse(sql)?;
    let plan = plan(&parsed.remove(0), &binding, &[])?;
    let Statement::Query(query) = plan.statement else {
        return Err(Error::unsupported("all but queries, here"));
    };
    let rendered = render(&query, &Overlaid::new())?;
    let engine_sql = rendered.sql.clone();
    let execution = Arc::new(Execution {
        rendered: Arc::new(rendered),
        parameters: Arc::from([]),
        context: context.clone(),
        overlay: None,
    });
    let rows = collect(&fixture.connection, &execution).map_err(|failure| match failure {
        Failure::Statement(error) => error,
        other => Error::internal(format!("{other:?} in {engine_sql}")),
    })?;
    let mut lines = Vec::new();
    for row in rows {
        let mut cells = Vec::new();
        for (value, column) in row.iter().zip(&plan.columns) {
            let mut cell = String::new();
            match value {
                Value::Null => cell.push('∅'),
                _ => text::output(value, &column.ty, context.io(), &mut cell),
            }
            cells.push(cell);
        }
        lines.push(cells.join("|"));
    }
    Ok(lines.join("\n"))
}

/// Runs a file of cases; lists all that differ.
fn check(cases: &str) {
    let fixture = fixture();
    let mut differences = String::new();
    for case in cases.trim_end().split("\n\n") {
        let (sql, expected) = case.split_once("\n----\n").unwrap_or((case, ""));
        let sql = sql.trim_end_matches("\n----");
        let found = answer(&fixture, sql).unwrap_or_else(|error| {
            let state = error.state();
            format!("{state}: {}", error.message())
        });
        if found != expected {
            write!(
                differences,
                "\n{sql}\n-- expected\n{expected}\n-- found\n{found}\n"
            )
            .unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn selects_answer_as_postgresql_does() {
    check(include_str!("cases/select.txt"));
}

#[test]
fn windows_answer_as_postgresql_does() {
    check(include_str!("cases/window.txt"));
}

#[test]
fn collations_and_nesting_answer_as_postgresql_does() {
    check(include_str!("cases/subtle.txt"));
}

/// What is deep, long or wide ends in rows or in an error, never in a fault.
#[test]
fn large_queries_end() {
    // On the stack that queries run on.
    let thread = std::thread::Builder::new().stack_size(crate::runtime::STACK_BYTES);
    thread.spawn(run_large_queries).unwrap().join().unwrap();
}

fn run_large_queries() {
    let fixture = fixture();
    let sum = vec!["id"; 300].join(" + ");
    let either = vec!["id = 1"; 5_000].join(" or ");
    let list = (0..20_000)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let rows = (0..20_000)
        .map(|n| format!("({n})"))
        .collect::<Vec<_>>()
        .join(", ");
    let nested = (0..80).fold("select 1 as x".to_owned(), |inner, n| {
        format!("select x + 1 as x from ({inner}) s{n}")
    });
    let scalar = (0..40).fold("1".to_owned(), |inner, _| format!("(select {inner} + 1)"));
    let cases = (0..100).fold("id".to_owned(), |inner, n| {
        format!("case when score = {n} then 0 else {inner} end")
    });
    let unions = vec!["select 1"; 600].join(" union all ");
    let columns = (0..1600)
        .map(|n| format!("{n} as c{n}"))
        .collect::<Vec<_>>()
        .join(", ");
    let tables = (0..70)
        .map(|n| format!("dept d{n}"))
        .collect::<Vec<_>>()
        .join(", ");
    let queries = [
        (format!("select {sum} from person where id = 1"), "300"),
        (format!("select id from person where {either}"), "1"),
        (
            format!("select count(*) from person where id in ({list})"),
            "5",
        ),
        (
            format!("select count(*) from person where score in ({list})"),
            "1",
        ),
        (
            format!("select count(*) from (values {rows}) v(x)"),
            "20000",
        ),
        (nested, "81"),
        (format!("select {scalar}"), "41"),
        (format!("select {cases} from person where id = 4"), "4"),
        (format!("select count(*) from ({unions}) u"), "600"),
        (format!("select count(*) from (select {columns}) s"), "1"),
        (format!("select 1 from {tables} limit 1"), "1"),
    ];
    for (sql, expected) in queries {
        let found = answer(&fixture, &sql).map_err(|error| error.state().to_string());
        let refused = ["54001", "54000", "54011"];
        let ended = match &found {
            Ok(found) => found == expected,
            Err(state) => refused.contains(&state.as_str()),
        };
        let start = sql.chars().take(60).collect::<String>();
        assert!(ended, "{start}: {found:?}");
    }
}
