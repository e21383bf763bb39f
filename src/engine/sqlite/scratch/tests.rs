//! Views of moments, returns, and the order of keys.

use super::*;
use crate::catalog::schema::{Column, Namespace, PrimaryKey};
use crate::types::Type;
use crate::types::id::{ColumnId, ObjectId};

const T: TableId = TableId(7);

/// t(k numeric, n int, primary key (k))
fn table() -> Arc<Table> {
    let column = |id, name: &str, ty| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null: false,
        default: None,
        identity: None,
        hidden: false,
    };
    Arc::new(Table {
        id: T,
        namespace: Namespace::Public,
        name: "t".to_owned(),
        next_column: 3,
        columns: vec![
            column(1, "k", Type::Numeric(None)),
            column(2, "n", Type::Int4),
        ],
        key: PrimaryKey::Declared {
            id: ObjectId(9),
            name: "t_pkey".to_owned(),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    })
}

fn key(k: &str) -> Vec<Value> {
    vec![Value::Numeric(k.parse().unwrap())]
}

fn row(k: &str, n: i64) -> Row {
    vec![key(k)[0].clone(), Value::Int(n)]
}

fn seen(view: &Arc<dyn SpilledRows>) -> Vec<i64> {
    let mut numbers = Vec::new();
    let mut after: Option<Row> = None;
    loop {
        let rows = view.rows(T, &[], after.as_ref()).unwrap();
        let Some(last) = rows.last() else {
            return numbers;
        };
        after = Some(last.clone());
        numbers.extend(rows.iter().map(|row| match row[1] {
            Value::Int(n) => n,
            _ => panic!("an integer"),
        }));
    }
}

#[test]
fn a_view_stays_and_a_return_takes_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut scratch = Scratch::create(directory.path(), "one").unwrap();
    scratch.add_table(&table(), &[vec![1]]).unwrap();
    assert!(scratch.add(T, &row("1", 10), 1).unwrap());
    assert!(!scratch.add(T, &row("1.0", 11), 2).unwrap(), "1 is 1.0");
    assert!(scratch.add(T, &row("2", 20), 2).unwrap());
    let early = scratch.view(2).unwrap();
    scratch
        .put(T, &key("1"), Some(&row("1", 12)), 3, true)
        .unwrap();
    scratch.put(T, &key("2"), None, 4, true).unwrap();
    scratch.put(T, &key("3"), None, 5, false).unwrap();
    let late = scratch.view(5).unwrap();
    assert_eq!(seen(&early), [10, 20]);
    assert_eq!(seen(&late), [12]);
    assert!(late.holds(T, &key("3.00")).unwrap());
    assert!(!early.holds(T, &key("3")).unwrap());
    assert!(early.holds(T, &key("2")).unwrap());
    assert_eq!(late.rows(T, &[(1, Value::Int(12))], None).unwrap().len(), 1);
    assert_eq!(late.rows(T, &[(1, Value::Int(10))], None).unwrap().len(), 0);
    scratch.empty(T, 6).unwrap();
    scratch.add(T, &row("4", 40), 7).unwrap();
    assert_eq!(seen(&scratch.view(7).unwrap()), [40]);
    assert_eq!(seen(&late), [12]);
    scratch.return_to(6, 0, |_| true).unwrap();
    assert_eq!(scratch.count_rows(T).unwrap(), 0);
    scratch.return_to(3, 0, |_| true).unwrap();
    assert_eq!(seen(&scratch.view(3).unwrap()), [12, 20]);
    let again = scratch.get(T, &key("1")).unwrap();
    assert_eq!(again.map(|version| version.number), Some(3));
    scratch.return_to(0, 0, |_| true).unwrap();
    assert_eq!(scratch.get(T, &key("1")).unwrap(), None);
    drop((early, late));
    drop(scratch);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_long_view_comes_in_the_order_of_its_keys() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("old.scratch-wal"), "x").unwrap();
    Scratch::clear(directory.path());
    let mut scratch = Scratch::create(directory.path(), "one").unwrap();
    scratch.add_table(&table(), &[]).unwrap();
    for n in 0..1000_u64 {
        let k = (n * 7 % 1000) as i64;
        let added = scratch.add(T, &row(&k.to_string(), k), n + 1).unwrap();
        assert!(added);
    }
    let view = scratch.view(1000).unwrap();
    for n in 0..1000_u64 {
        let k = n.to_string();
        let number = 1001 + n;
        scratch
            .put(T, &key(&k), Some(&row(&k, 5000)), number, true)
            .unwrap();
        if n == 500 {
            scratch.commit().unwrap();
        }
    }
    assert_eq!(seen(&view), (0..1000).collect::<Vec<i64>>());
    let after = scratch.view(1500).unwrap();
    assert_eq!(seen(&after).iter().filter(|n| **n == 5000).count(), 500);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}
