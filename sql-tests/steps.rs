//! Random transactions that change a table and its rows in turn, against a
//! model; and the same again and again while the process is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::Client;

use crate::cluster::Sandbox;
use crate::replicas::{self, Told};

/// Transactions of the comparison with the model.
const TRANSACTIONS: usize = 60;

/// Keys, few so that they meet.
const KEYS: i64 = 40;

/// What the second half keeps of a transaction's rows in memory: next to nothing.
const MEMORY: &str = "1000";

/// Kills, each after a random time.
const KILLS: usize = 6;

/// The table as it should be.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    rows: BTreeMap<i64, (i64, Option<i64>)>,
    /// The other name of the table and of its third column.
    renamed: bool,
    extra: Option<Extra>,
    unique: bool,
    keyed: bool,
    wide: bool,
}

/// The column that comes and goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Extra {
    renamed: bool,
    text: bool,
    not_null: bool,
}

impl Model {
    fn table(&self) -> &'static str {
        if self.renamed { "steps_too" } else { "steps" }
    }

    fn column(&self) -> Option<&'static str> {
        let extra = self.extra?;
        Some(if extra.renamed { "other" } else { "extra" })
    }

    fn has_twins(&self) -> bool {
        let values: BTreeSet<i64> = self.rows.values().map(|(v, _)| *v).collect();
        values.len() < self.rows.len()
    }

    fn has_nulls(&self) -> bool {
        self.rows.values().any(|(_, e)| e.is_none())
    }

    fn largest(&self) -> i64 {
        self.rows.values().map(|(v, _)| *v).max().unwrap_or(0)
    }
}

/// A statement, what is there after it, and the error that it meets instead.
struct Step {
    statement: String,
    after: Model,
    error: Option<&'static str>,
}

fn step(random: &mut StdRng, before: &Model) -> Option<Step> {
    match random.random_range(0..100) {
        0..50 => rows(random, before),
        _ => schema(random, before),
    }
}

/// Changes rows.
fn rows(random: &mut StdRng, before: &Model) -> Option<Step> {
    let mut after = before.clone();
    let (table, column) = (before.table(), before.column());
    let (id, part) = (random.random_range(0..KEYS), random.random_range(0..4));
    let mut error = None;
    let statement = match random.random_range(0..12) {
        0..4 => {
            let v = random.random_range(0..60);
            let taken = before.rows.contains_key(&id);
            let twin = before.unique && before.rows.values().any(|(other, _)| *other == v);
            if taken && !before.keyed {
                return None;
            }
            error = (taken || twin).then_some("23505");
            let extra = column.map(|_| random.random_range(0..9_i64));
            after.rows.insert(id, (v, extra));
            match (column, before.extra) {
                (Some(column), Some(Extra { text: true, .. })) => {
                    let extra = extra.unwrap_or(0);
                    format!("INSERT INTO {table} (id, v, {column}) VALUES ({id}, {v}, '{extra}')")
                }
                (Some(column), _) => {
                    let extra = extra.unwrap_or(0);
                    format!("INSERT INTO {table} (id, v, {column}) VALUES ({id}, {v}, {extra})")
                }
                (None, _) => format!("INSERT INTO {table} (id, v) VALUES ({id}, {v})"),
            }
        }
        4 | 5 => {
            // No value meets another on the way.
            let more = before.largest() + 1;
            let hit = |(id, _): &(&i64, &mut (i64, Option<i64>))| **id % 4 == part;
            for (_, (v, _)) in after.rows.iter_mut().filter(hit) {
                *v += more;
            }
            format!("UPDATE {table} SET v = v + {more} WHERE id % 4 = {part}")
        }
        6 | 7 => {
            let column = column?;
            for (_, e) in after.rows.values_mut() {
                *e = Some(e.unwrap_or(-1) + 1);
            }
            match before.extra?.text {
                true => format!(
                    "UPDATE {table} SET {column} = (coalesce({column}::bigint, -1) + 1)::text"
                ),
                false => format!("UPDATE {table} SET {column} = coalesce({column}, -1) + 1"),
            }
        }
        8 | 9 => {
            after.rows.retain(|id, _| *id % 4 != part);
            format!("DELETE FROM {table} WHERE id % 4 = {part}")
        }
        10 => {
            let to = id + 1000;
            let row = after.rows.remove(&id)?;
            if after.rows.insert(to, row).is_some() {
                return None;
            }
            format!("UPDATE {table} SET id = {to} WHERE id = {id}")
        }
        _ if random.random_bool(0.2) => {
            after.rows.clear();
            format!("TRUNCATE {table}")
        }
        _ => return None,
    };
    Some(Step {
        statement,
        after,
        error,
    })
}

/// Changes the table.
fn schema(random: &mut StdRng, before: &Model) -> Option<Step> {
    let mut after = before.clone();
    let table = before.table();
    let mut error = None;
    let change = match random.random_range(0..11) {
        0..5 => return extra_column(random, before),
        5 => {
            after.renamed = !before.renamed;
            format!("RENAME TO {}", after.table())
        }
        6 => {
            after.unique = !before.unique;
            error = (after.unique && before.has_twins()).then_some("23505");
            match after.unique {
                true => "ADD CONSTRAINT steps_v UNIQUE (v)".to_owned(),
                false => "DROP CONSTRAINT steps_v".to_owned(),
            }
        }
        7 => {
            after.wide = !before.wide;
            let ty = if after.wide { "bigint" } else { "int" };
            format!("ALTER COLUMN id TYPE {ty}")
        }
        8 => {
            after.keyed = !before.keyed;
            match after.keyed {
                true => "ADD CONSTRAINT steps_key PRIMARY KEY (id)".to_owned(),
                false => "DROP CONSTRAINT steps_key".to_owned(),
            }
        }
        9 => {
            let statement = format!(
                "ALTER TABLE {table} ADD COLUMN counted serial; ALTER TABLE {table} DROP COLUMN counted"
            );
            return Some(Step {
                statement,
                after,
                error,
            });
        }
        _ => return None,
    };
    Some(Step {
        statement: format!("ALTER TABLE {table} {change}"),
        after,
        error,
    })
}

/// Changes the column that comes and goes.
fn extra_column(random: &mut StdRng, before: &Model) -> Option<Step> {
    let mut after = before.clone();
    let mut error = None;
    let change = match (random.random_range(0..5), before.extra, before.column()) {
        (0 | 1, None, _) => {
            after.extra = Some(Extra::default());
            for (_, e) in after.rows.values_mut() {
                *e = Some(7);
            }
            "ADD COLUMN extra bigint DEFAULT 7".to_owned()
        }
        (2, None, _) => {
            after.extra = Some(Extra::default());
            "ADD COLUMN extra bigint".to_owned()
        }
        (0, Some(_), Some(column)) => {
            after.extra = None;
            for (_, e) in after.rows.values_mut() {
                *e = None;
            }
            format!("DROP COLUMN {column}")
        }
        (1 | 2, Some(extra), Some(column)) => {
            let text = !extra.text;
            after.extra = Some(Extra { text, ..extra });
            let ty = if text { "text" } else { "bigint" };
            format!(
                "ALTER COLUMN {column} DROP DEFAULT, ALTER COLUMN {column} TYPE {ty} USING {column}::{ty}"
            )
        }
        (3, Some(extra), Some(column)) => {
            let renamed = !extra.renamed;
            after.extra = Some(Extra { renamed, ..extra });
            format!("RENAME {column} TO {}", after.column()?)
        }
        (4, Some(extra), Some(column)) => {
            let not_null = !extra.not_null;
            after.extra = Some(Extra { not_null, ..extra });
            error = (not_null && before.has_nulls()).then_some("23502");
            let word = if not_null { "SET" } else { "DROP" };
            format!("ALTER COLUMN {column} {word} NOT NULL")
        }
        _ => return None,
    };
    Some(Step {
        statement: format!("ALTER TABLE {} {change}", before.table()),
        after,
        error,
    })
}

/// What is there, as far as rows go.
async fn found(
    client: &Client,
    model: &Model,
) -> Result<BTreeMap<i64, (i64, Option<i64>)>, String> {
    let column = model.column().unwrap_or("NULL");
    let table = model.table();
    let rows = format!("SELECT id::bigint, v, {column}::text::bigint FROM {table}");
    let rows = client.query(&rows, &[]).await;
    let rows = rows.map_err(|error| format!("{error:?}"))?;
    let row = |row: &tokio_postgres::Row| (row.get(0), (row.get(1), row.get(2)));
    Ok(rows.iter().map(row).collect())
}

struct Run {
    client: Client,
    random: StdRng,
    /// What it did since the last COMMIT.
    did: Vec<String>,
}

impl Run {
    async fn tell(&mut self, statement: &str) -> Result<(), String> {
        let done = self.client.batch_execute(statement).await;
        let code = |error: &tokio_postgres::Error| match error.as_db_error() {
            Some(error) => format!("{} {}", error.code().code(), error.message()),
            None => error.to_string(),
        };
        let told = done.map_err(|error| code(&error));
        self.did.push(format!("{statement}: {told:?}"));
        told
    }

    async fn compare(&mut self, model: &Model) -> Result<(), String> {
        let there = found(&self.client, model).await;
        self.did
            .push(format!("looked: {}", there == Ok(model.rows.clone())));
        if there.as_ref() == Ok(&model.rows) {
            return Ok(());
        }
        let did = self.did.join("\n  ");
        Err(format!("{model:?}, there is {there:?}, after\n  {did}"))
    }

    /// One transaction; the model after it.
    async fn transaction(&mut self, before: &Model) -> Result<Model, String> {
        self.did.clear();
        let isolation = match self.random.random_range(0..6) {
            0 => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            1 => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            _ => "BEGIN",
        };
        self.tell(isolation).await?;
        let mut model = before.clone();
        let mut saved = None;
        for _ in 0..self.random.random_range(2..14) {
            let Some(step) = step(&mut self.random, &model) else {
                continue;
            };
            if self.random.random_bool(0.2) || step.error.is_some() {
                self.tell("SAVEPOINT s").await?;
                saved = Some(model.clone());
            }
            let told = self.tell(&step.statement).await;
            let met = told.as_ref().err().and_then(|told| told.get(..5));
            if met != step.error {
                let did = self.did.join("\n  ");
                return Err(format!("not {:?}, after\n  {did}", step.error));
            }
            let back = step.error.is_some() || self.random.random_bool(0.1);
            if !back {
                model = step.after;
            } else if let Some(saved) = &saved {
                self.tell("ROLLBACK TO s").await?;
                model = saved.clone();
            } else {
                model = step.after;
            }
            if self.random.random_bool(0.3) {
                self.compare(&model).await?;
            }
        }
        match self.random.random_bool(0.1) {
            true => {
                self.tell("ROLLBACK").await?;
                model = before.clone();
            }
            false => {
                let committed = self.tell("COMMIT").await;
                committed.map_err(|_| self.did.join("\n  "))?;
            }
        }
        self.compare(&model).await?;
        Ok(model)
    }
}

pub(crate) async fn steps_are_what_the_model_says(data: &Path, seed: u64) -> Vec<String> {
    println!("seed {seed}");
    let mut wrong = Vec::new();
    let mut random = StdRng::seed_from_u64(seed);
    for memory in [None, Some(MEMORY)] {
        let data = data.join(memory.unwrap_or("default"));
        let extra = memory.map(|memory| ["--transaction-memory".to_owned(), memory.to_owned()]);
        let mut sandbox = Sandbox::with(&data, extra.as_ref().map_or(&[], |extra| extra));
        let client = sandbox.client().await;
        let made =
            "CREATE TABLE steps (id int CONSTRAINT steps_key PRIMARY KEY, v bigint NOT NULL)";
        client.batch_execute(made).await.expect("a table is made");
        let mut run = Run {
            client,
            random: StdRng::seed_from_u64(random.random()),
            did: Vec::new(),
        };
        let mut model = Model {
            keyed: true,
            ..Model::default()
        };
        for _ in 0..TRANSACTIONS {
            match run.transaction(&model).await {
                Ok(after) => model = after,
                Err(what) => {
                    wrong.push(what);
                    break;
                }
            }
        }
        if !replicas::heals(&sandbox.client().await, Duration::from_secs(10)).await {
            wrong.push("a replica was taken out".to_owned());
        }
        drop(run);
        if !tokio::task::block_in_place(|| sandbox.terminate()) {
            wrong.push("the end was not clean".to_owned());
        }
        wrong.extend(replicas::differences(&data));
    }
    wrong
}

/// The number of the latest migration that is there, if it is there whole.
async fn migrated(client: &Client) -> Result<i64, String> {
    let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'moved' AND column_name LIKE 'c%'";
    let columns = client.query(columns, &[]).await;
    let columns = columns.map_err(|error| format!("{error:?}"))?;
    let [column] = &columns[..] else {
        return Err(format!("there are {} columns", columns.len()));
    };
    let column: String = column.get(0);
    let number: i64 = column[1..].parse().map_err(|_| column.clone())?;
    let rows = format!(
        "SELECT count(*), count(*) FILTER (WHERE {column} = id + {number}), (SELECT max(n) FROM moves) FROM moved"
    );
    let rows = client.query_one(&rows, &[]).await;
    let rows = rows.map_err(|error| format!("{error:?}"))?;
    let (all, fit, logged): (i64, i64, i64) = (rows.get(0), rows.get(1), rows.get(2));
    match all == number + 1 && fit == all && logged == number {
        true => Ok(number),
        false => Err(format!(
            "half of migration {number}: {fit} of {all} rows, {logged} in the list"
        )),
    }
}

/// From one migration to the next: schema and rows in turn.
fn migration(number: i64) -> String {
    let next = number + 1;
    format!(
        "BEGIN;
         INSERT INTO moved (id, c{number}) VALUES ({next}, 0);
         ALTER TABLE moved ADD COLUMN c{next} bigint;
         UPDATE moved SET c{next} = c{number} + 1 WHERE id < {next};
         INSERT INTO moves VALUES ({next});
         UPDATE moved SET c{next} = id + {next} WHERE c{next} IS NULL;
         ALTER TABLE moved ALTER COLUMN c{next} SET NOT NULL;
         SAVEPOINT s;
         TRUNCATE moved;
         ALTER TABLE moved DROP COLUMN c{next};
         ROLLBACK TO s;
         CREATE UNIQUE INDEX moved_{next} ON moved (c{next});
         ALTER TABLE moved DROP COLUMN c{number};
         ALTER TABLE moved RENAME TO away;
         UPDATE away SET c{next} = -c{next};
         UPDATE away SET c{next} = -c{next};
         ALTER TABLE away RENAME TO moved;
         COMMIT"
    )
}

pub(crate) async fn kills_leave_whole_migrations(data: &Path, seed: u64) -> Vec<String> {
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut sandbox = Sandbox::on(data);
    let client = sandbox.client().await;
    let made = "CREATE TABLE moved (id bigint PRIMARY KEY, c0 bigint NOT NULL);
        CREATE TABLE moves (n bigint PRIMARY KEY);
        INSERT INTO moved VALUES (0, 0);
        INSERT INTO moves VALUES (0)";
    client.batch_execute(made).await.expect("tables are made");
    let (mut wrong, mut number) = (Vec::new(), 0);
    for _ in 0..KILLS {
        let client = sandbox.client().await;
        let load = Duration::from_millis(random.random_range(50..900));
        let migrating = tokio::task::spawn(async move {
            // Nobody may use a column's name of an earlier one meanwhile.
            let mut at = number;
            loop {
                let told = Told::of(&client.batch_execute(&migration(at)).await);
                match told {
                    Told::Done => at += 1,
                    told => return (at, told),
                }
            }
        });
        tokio::time::sleep(load).await;
        sandbox.kill();
        let (at, told) = migrating.await.expect("it ends with its connection");
        sandbox.restart();
        let client = sandbox.client().await;
        match migrated(&client).await {
            Err(what) => return vec![what],
            Ok(found) => {
                let most = at + i64::from(told == Told::Unknown);
                if found < at || found > most {
                    wrong.push(format!("told {at} and then {told:?}, there is {found}"));
                }
                number = found;
            }
        }
    }
    println!("{number} migrations");
    let client = sandbox.client().await;
    if number == 0 || client.batch_execute(&migration(number)).await.is_err() {
        wrong.push("no migration could be made".to_owned());
    }
    if !replicas::heals(&client, Duration::from_secs(10)).await {
        wrong.push("a replica was taken out".to_owned());
    }
    drop(client);
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        wrong.push("the end was not clean".to_owned());
    }
    wrong.extend(replicas::differences(data));
    wrong
}
