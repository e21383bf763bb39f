//! Queries made by hand, run on tables made by hand.

use std::sync::Arc;

use rusqlite::Connection;

use super::*;
use crate::engine::sqlite::execution::Execution;
use crate::engine::sqlite::query::{Failure, collect, prepare_connection};
use crate::engine::sqlite::testing::*;
use crate::plan::expression::ExpressionKind;
use crate::types::overlay::{OverlayRow, OverlayTable};
use crate::types::{Row, encode};

fn database() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    prepare_connection(&connection).unwrap();
    let script = r#"
        CREATE TABLE "t" ("id" INTEGER PRIMARY KEY, "na""me" TEXT, "n" TEXT COLLATE pyql_numeric);
        INSERT INTO t VALUES (1, 'b', '10.0'), (2, 'a', '9'), (3, NULL, '10'), (4, 'B', NULL);"#;
    connection.execute_batch(script).unwrap();
    connection
}

fn run(query: &Query) -> Result<Vec<Row>, String> {
    run_over(query, crate::types::overlay::Overlay::default())
}

fn run_over(query: &Query, overlay: crate::types::overlay::Overlay) -> Result<Vec<Row>, String> {
    let overlaid = overlay.tables.iter().map(|(id, t)| (*id, t.truncated));
    let rendered = render(query, &overlaid.collect()).map_err(|e| format!("{e:?}"))?;
    let sql = rendered.sql.clone();
    let execution = Arc::new(Execution {
        rendered: Arc::new(rendered),
        parameters: Arc::from([Value::Int(3)]),
        context: context(),
        overlay: Some(Arc::new(overlay)),
    });
    collect(&database(), &execution).map_err(|failure| match failure {
        Failure::Statement(error) => format!("{error:?} in {sql}"),
        other => format!("{other:?} in {sql}"),
    })
}

fn ints(rows: Result<Vec<Row>, String>) -> Vec<i64> {
    let rows = rows.unwrap();
    rows.iter()
        .map(|row| match row.as_slice() {
            [Value::Int(n), ..] => *n,
            other => panic!("not an integer: {other:?}"),
        })
        .collect()
}

#[test]
fn point_reads_are_plain() {
    let mut point = select(vec![name()]);
    let parameter = Expression {
        kind: ExpressionKind::Parameter(0),
        ty: Type::Int4,
    };
    point.filter = Some(operate("=", id(), parameter));
    let point = query(point);
    let rendered = render(&point, &Overlaid::new()).unwrap();
    assert_eq!(
        rendered.sql,
        r#"SELECT r0."na""me" AS c0 FROM main."t" AS r0 WHERE (r0."id" = ?1)"#
    );
    assert_eq!(run(&point).unwrap(), [[Value::Null]]);
}

#[test]
fn numerics_compare_by_value() {
    let cases = [
        ("=", "10", vec![1, 3]),
        ("<", "9.5", vec![2]),
        (">=", "9.00", vec![1, 2, 3]),
    ];
    for (symbol, right, expected) in cases {
        let mut filtered = select(vec![id()]);
        filtered.filter = Some(operate(symbol, number(), decimal(right)));
        assert_eq!(ints(run(&query(filtered))), expected, "{symbol} {right}");
    }
}

#[test]
fn arithmetic_is_checked() {
    let sums = select(vec![operate("+", id(), int(1))]);
    assert_eq!(ints(run(&query(sums))), [2, 3, 4, 5]);
    let beyond = select(vec![operate("+", id(), int(i64::from(i32::MAX)))]);
    let error = run(&query(beyond)).unwrap_err();
    assert!(error.starts_with("22003: integer out of range"), "{error}");
}

#[test]
fn scalar_subqueries_have_one_row() {
    let scalar = |inner: Query| {
        let ty = inner.columns[0].ty.clone();
        let mut outer = select(vec![Expression {
            kind: ExpressionKind::Scalar(Box::new(inner)),
            ty,
        }]);
        outer.from.clear();
        run(&query(outer))
    };
    let error = scalar(query(select(vec![id()]))).unwrap_err();
    assert!(error.starts_with("21000"), "{error}");
    let mut none = select(vec![id()]);
    none.filter = Some(operate("<", id(), int(0)));
    assert_eq!(scalar(query(none)).unwrap(), [[Value::Null]]);
}

#[test]
fn written_rows_lie_over_the_table() {
    let mut written = OverlayTable::default();
    let mut write = |key: i64, name: Option<&str>| {
        let key = vec![Value::Int(key)];
        let row = name.map(|name| vec![key[0].clone(), Value::text(name), Value::Null]);
        let encoded = encode::encode_key(&key);
        written.rows.insert(encoded, OverlayRow { key, row });
    };
    write(1, None);
    write(2, Some("changed"));
    write(9, Some("new"));
    let overlay = |truncated| {
        let mut written = written.clone();
        written.truncated = truncated;
        crate::types::overlay::Overlay {
            tables: BTreeMap::from([(TableId(16384), Arc::new(written))]),
            spilled: None,
            given: BTreeMap::new(),
        }
    };
    let all = query(select(vec![id(), name()]));
    let mut seen = ints(run_over(&all, overlay(false)));
    seen.sort();
    assert_eq!(seen, [2, 3, 4, 9]);
    let mut seen = ints(run_over(&all, overlay(true)));
    seen.sort();
    assert_eq!(seen, [2, 9]);
    // Each side of an OR may be looked up by itself.
    let text = Expression::constant(Value::text("new"), Type::Text);
    let mut either = select(vec![id(), name()]);
    either.filter = Some(Expression {
        kind: ExpressionKind::Or(vec![operate("=", id(), int(2)), operate("=", name(), text)]),
        ty: Type::Bool,
    });
    let either = query(either);
    for truncated in [false, true] {
        let mut seen = ints(run_over(&either, overlay(truncated)));
        seen.sort();
        assert_eq!(seen, [2, 9]);
    }
    let mut changed = select(vec![id(), name()]);
    changed.filter = Some(operate("=", id(), int(2)));
    let rows = run_over(&query(changed), overlay(false)).unwrap();
    assert_eq!(rows, [[Value::Int(2), Value::text("changed")]]);
}
