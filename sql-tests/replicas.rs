//! The replicas' own files, looked at from behind, and clients' notes of what
//! they were told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tokio_postgres::Client;

/// A replica's file under a sandbox's data directory; it has one data cluster.
pub(crate) fn file(data: &Path, replica: usize) -> PathBuf {
    let entries = std::fs::read_dir(data.join("replicas")).expect("replicas have a directory");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "db"))
        .collect();
    paths.sort_unstable();
    paths.swap_remove(replica)
}

/// All that a replica holds: its chain and each table's rows in some fixed order.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    chain: Vec<u8>,
    tables: BTreeMap<String, Vec<String>>,
}

pub(crate) fn content(path: &Path) -> Content {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let file = Connection::open_with_flags(path, flags).expect("a replica's file opens");
    let chain = file.query_row("SELECT chain FROM _pyql_position", [], |row| row.get(0));
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' \
                 AND name NOT LIKE '\\_pyql\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut names = file.prepare(names).expect("it is SQLite's");
    let names = names.query_map([], |row| row.get::<_, String>(0));
    let names: Vec<String> = names.expect("a query runs").flatten().collect();
    let tables = names
        .into_iter()
        .map(|name| (name.clone(), rows(&file, &name)))
        .collect();
    Content {
        chain: chain.expect("a replica has a chain"),
        tables,
    }
}

fn rows(file: &Connection, table: &str) -> Vec<String> {
    let mut select = file
        .prepare(&format!("SELECT * FROM \"{table}\" NOT INDEXED"))
        .expect("a table is readable");
    let width = select.column_count();
    let line = |row: &rusqlite::Row<'_>| {
        let values = (0..width).map(|place| row.get::<_, rusqlite::types::Value>(place));
        Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
    };
    let mut rows: Vec<String> = select
        .query_map([], line)
        .and_then(Iterator::collect)
        .expect("rows are readable");
    rows.sort_unstable();
    rows
}

/// What differs between the three replicas of a sandbox that has ended.
pub(crate) fn differences(data: &Path) -> Vec<String> {
    let first = content(&file(data, 0));
    let mut wrong = Vec::new();
    for replica in 1..3 {
        let other = content(&file(data, replica));
        if first.chain != other.chain {
            wrong.push(format!(
                "replica {replica} has another chain than replica 0"
            ));
        }
        for (table, rows) in &first.tables {
            let others = other.tables.get(table);
            if others != Some(rows) {
                let others = others.map(Vec::len);
                let count = rows.len();
                wrong.push(format!(
                    "table {table}: {count} rows in replica 0, {others:?} in replica {replica}, not the same"
                ));
            }
        }
        if first.tables.len() != other.tables.len() {
            wrong.push(format!("replica {replica} has other tables than replica 0"));
        }
    }
    wrong
}

/// The states of all replicas, in their order.
pub(crate) async fn states(client: &Client) -> Vec<String> {
    let asked = "SELECT state FROM pyql.replicas ORDER BY id";
    let rows = client.query(asked, &[]).await.expect("the system answers");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until all three replicas are in sync; `false` when that takes too long.
pub(crate) async fn heals(client: &Client, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let states = states(client).await;
        if states.len() == 3 && states.iter().all(|state| state == "in_sync") {
            return true;
        }
        if Instant::now() > deadline {
            eprintln!("replicas are {states:?}");
            return false;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a client was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Done,
    /// Certainly nothing was done.
    Refused,
    Unknown,
}

impl Told {
    pub(crate) fn of<T>(result: &Result<T, tokio_postgres::Error>) -> Told {
        match result {
            Ok(_) => Told::Done,
            Err(error) => match error.code().map(|code| code.code()) {
                Some("08007" | "57P01") | None => Told::Unknown,
                Some(_) => Told::Refused,
            },
        }
    }
}
