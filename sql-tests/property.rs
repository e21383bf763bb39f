//! Random transactions of several clients at once, with schema changes in
//! between: each client keeps a model of what it was told is committed, which
//! must be what is there; the replicas must be equal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_postgres::{Client, Error};

use crate::cluster::Sandbox;
use crate::replicas;

/// How long clients write.
const DURATION: Duration = Duration::from_secs(12);

/// Each client's keys are its own: from its number times this.
const RANGE: i64 = 1000;

/// Rows of `tally`, shared by all clients.
const TALLIES: i64 = 3;

/// How much of everything there is; drawn, so that seeds differ in more than order.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    clients: i64,
    /// Keys of a client, few so that they meet.
    keys: i64,
    /// Values of the unique column, shared by all clients.
    unique: i64,
}

impl Sizes {
    fn draw(random: &mut StdRng) -> Sizes {
        Sizes {
            clients: random.random_range(2..8),
            keys: random.random_range(4..24),
            unique: random.random_range(20..160),
        }
    }
}

const TABLES: [&str; 7] = [
    "CREATE TABLE p0 (id bigint PRIMARY KEY, u bigint UNIQUE, v bigint NOT NULL)",
    "CREATE TABLE p1 (id bigint PRIMARY KEY, p bigint REFERENCES p0 (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE p2 (id bigint PRIMARY KEY, p bigint REFERENCES p1 (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE p3 (id bigint PRIMARY KEY, p bigint REFERENCES p2 (id) ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE shape (id bigint PRIMARY KEY, v bigint)",
    "CREATE TABLE tally (id bigint PRIMARY KEY, n bigint NOT NULL)",
    "INSERT INTO tally SELECT g, 0 FROM generate_series(0, 2) AS g",
];

/// What a client believes is there: rows of p0, and of p1 to p3 with their parents.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    rows: BTreeMap<i64, (i64, i64)>,
    children: [BTreeMap<i64, i64>; 3],
    /// What it added to `tally`, to which all add.
    added: i64,
}

impl Model {
    fn parents(&self, level: usize) -> Vec<i64> {
        match level {
            0 => self.rows.keys().copied().collect(),
            level => self.children[level - 1].keys().copied().collect(),
        }
    }

    /// Children at a level follow a parent's new key, or go with it.
    fn parent_moved(&mut self, level: usize, from: i64, to: Option<i64>) {
        if level == 3 {
            return;
        }
        let hit: Vec<i64> = self.children[level]
            .iter()
            .filter(|(_, parent)| **parent == from)
            .map(|(id, _)| *id)
            .collect();
        for id in hit {
            match to {
                Some(to) => drop(self.children[level].insert(id, to)),
                None => {
                    self.children[level].remove(&id);
                    self.parent_moved(level + 1, id, None);
                }
            }
        }
    }
}

/// One statement and, if it succeeds, the model after it.
type Step = (String, Model);

fn pick(random: &mut StdRng, from: &[i64]) -> Option<i64> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())])
}

/// A random statement of a client.
fn step(random: &mut StdRng, sizes: Sizes, client: i64, before: &Model) -> Option<Step> {
    let mut after = before.clone();
    let fresh = client * RANGE + random.random_range(0..sizes.keys);
    let (u, v) = (
        random.random_range(0..sizes.unique),
        random.random_range(0..1000_i64),
    );
    let known = before.parents(0);
    let statement = match random.random_range(0..10) {
        0 | 1 => {
            after.rows.insert(fresh, (u, v));
            format!("INSERT INTO p0 VALUES ({fresh}, {u}, {v})")
        }
        2 => {
            let kept = before.rows.get(&fresh).map_or(u, |(u, _)| *u);
            after.rows.insert(fresh, (kept, v));
            format!(
                "INSERT INTO p0 VALUES ({fresh}, {u}, {v}) ON CONFLICT (id) DO UPDATE SET v = excluded.v"
            )
        }
        3 | 4 => {
            let level = random.random_range(0..3);
            let parent = pick(random, &before.parents(level))?;
            after.children[level].insert(fresh, parent);
            format!("INSERT INTO p{} VALUES ({fresh}, {parent})", level + 1)
        }
        5 => {
            let id = pick(random, &known)?;
            after.rows.remove(&id);
            after.parent_moved(0, id, None);
            format!("DELETE FROM p0 WHERE id = {id}")
        }
        6 => {
            let id = pick(random, &known).filter(|id| *id != fresh)?;
            let row = after.rows.remove(&id)?;
            after.rows.insert(fresh, row);
            after.parent_moved(0, id, Some(fresh));
            format!("UPDATE p0 SET id = {fresh} WHERE id = {id}")
        }
        7 => {
            for (_, value) in after.rows.values_mut() {
                *value += 1;
            }
            let (from, to) = (client * RANGE, client * RANGE + RANGE);
            format!("UPDATE p0 SET v = v + 1 WHERE id >= {from} AND id < {to}")
        }
        8 => {
            let (n, id) = (random.random_range(1..5), random.random_range(0..TALLIES));
            after.added += n;
            format!("UPDATE tally SET n = n + {n} WHERE id = {id}")
        }
        _ => {
            let a = pick(random, &known)?;
            let b = pick(random, &known).filter(|b| *b != a)?;
            let (u, w) = (before.rows[&a].0, before.rows[&b].0);
            after.rows.get_mut(&a)?.0 = w;
            after.rows.get_mut(&b)?.0 = u;
            // One string is one transaction; nobody else has the client's own number below zero.
            format!(
                "UPDATE p0 SET u = -{a} - 1 WHERE id = {a}; UPDATE p0 SET u = {u} WHERE id = {b}; UPDATE p0 SET u = {w} WHERE id = {a}"
            )
        }
    };
    Some((statement, after))
}

/// Errors that a statement may well meet: it has then done nothing.
fn is_expected(error: &Error) -> bool {
    let code = error.code().map(|code| code.code());
    matches!(code, Some("23505" | "23503" | "40001" | "40P01"))
}

struct Writer {
    sizes: Sizes,
    number: i64,
    client: Client,
    random: StdRng,
    model: Model,
    wrong: Vec<String>,
    committed: Arc<AtomicU64>,
    /// What it did since it last compared, for people.
    history: Vec<String>,
}

impl Writer {
    /// Its own rows must be what it was told.
    async fn compare(&mut self) {
        let mut found = read_model(&self.client, self.number).await;
        found.added = self.model.added;
        if found != self.model {
            let (number, told, did) = (self.number, &self.model, self.history.join("\n  "));
            let wrong =
                format!("client {number} was told {told:?}, sees {found:?}, after\n  {did}");
            self.wrong.push(wrong);
        }
        self.history.clear();
    }

    async fn run(mut self, stopped: &AtomicBool) -> (i64, Model, Vec<String>) {
        while !stopped.load(Ordering::Relaxed) && self.wrong.is_empty() {
            match self.random.random_range(0..3) {
                0 => self.transaction().await,
                _ => self.single().await,
            }
            self.compare().await;
        }
        (self.number, self.model, self.wrong)
    }

    /// Runs a statement; `true` when it was done.
    async fn try_to(&mut self, statement: &str) -> bool {
        let done = self.client.simple_query(statement).await;
        let told = match &done {
            Ok(messages) => messages.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::CommandComplete(rows) => Some(rows.to_string()),
                _ => None,
            }),
            Err(error) => error.code().map(|code| code.code().to_owned()),
        };
        self.history
            .push(format!("{statement}: {}", told.unwrap_or_default()));
        match done {
            Ok(_) => true,
            Err(error) => {
                if !is_expected(&error) {
                    let did = self.history.join("\n  ");
                    self.wrong
                        .push(format!("{statement}: {error:?}, after\n  {did}"));
                }
                false
            }
        }
    }

    async fn single(&mut self) {
        let Some((statement, after)) = step(&mut self.random, self.sizes, self.number, &self.model)
        else {
            return;
        };
        if self.try_to(&statement).await {
            self.model = after;
            self.committed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn transaction(&mut self) {
        let mut model = self.model.clone();
        let begin = match self.random.random_range(0..8) {
            0 => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            1 => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            _ => "BEGIN",
        };
        if !self.try_to(begin).await {
            return;
        }
        for _ in 0..self.random.random_range(1..6) {
            let Some((statement, after)) = step(&mut self.random, self.sizes, self.number, &model)
            else {
                continue;
            };
            let guarded = self.random.random_bool(0.3);
            if guarded && !self.try_to("SAVEPOINT s").await {
                break;
            }
            if self.try_to(&statement).await {
                let undone = guarded && self.random.random_bool(0.5);
                match undone && self.try_to("ROLLBACK TO s").await {
                    true => {}
                    false => model = after,
                }
            } else if !(guarded && self.try_to("ROLLBACK TO s").await) {
                self.try_to("ROLLBACK").await;
                return;
            }
        }
        if self.random.random_bool(0.1) {
            self.try_to("ROLLBACK").await;
        } else if self.try_to("COMMIT").await {
            self.model = model;
            self.committed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Changes the schema, of a table of its own and of one that all use.
async fn change_schema(client: Client, stopped: Arc<AtomicBool>) -> Vec<String> {
    let changes = [
        "ALTER TABLE shape ADD COLUMN extra text DEFAULT 'x'",
        "INSERT INTO shape SELECT g, g FROM generate_series(1, 20) AS g ON CONFLICT DO NOTHING",
        "CREATE INDEX by_v ON p0 (v)",
        "UPDATE shape SET extra = 'y' WHERE id < 10",
        "CREATE TABLE passing (id bigint PRIMARY KEY, v text)",
        "INSERT INTO passing VALUES (1, 'a'), (2, 'b')",
        "ALTER TABLE shape DROP COLUMN extra",
        "DROP TABLE passing",
        "DROP INDEX by_v",
    ];
    let mut wrong = Vec::new();
    'all: loop {
        for change in changes {
            // A statement that other writes keep overtaking may be tried again.
            let mut tries = 0;
            while let Err(error) = client.batch_execute(change).await {
                tries += 1;
                if tries > 20 || !is_expected(&error) {
                    wrong.push(format!("{change}: {error:?}"));
                    break 'all;
                }
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        if stopped.load(Ordering::Relaxed) {
            break;
        }
    }
    wrong
}

pub(crate) async fn models_are_what_is_there(data: &Path, seed: u64) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(seed);
    let sizes = Sizes::draw(&mut random);
    println!("seed {seed}: {sizes:?}");
    let mut sandbox = Sandbox::on(data);
    let asker = sandbox.client().await;
    for statement in TABLES {
        asker
            .batch_execute(statement)
            .await
            .expect("tables are made");
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let committed = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for number in 0..sizes.clients {
        let client = Writer {
            sizes,
            number,
            client: sandbox.client().await,
            random: StdRng::seed_from_u64(random.random()),
            model: Model::default(),
            wrong: Vec::new(),
            committed: committed.clone(),
            history: Vec::new(),
        };
        let stopped = stopped.clone();
        clients.push(tokio::task::spawn(
            async move { client.run(&stopped).await },
        ));
    }
    let schema = tokio::task::spawn(change_schema(sandbox.client().await, stopped.clone()));
    tokio::time::sleep(DURATION).await;
    stopped.store(true, Ordering::Relaxed);
    let mut wrong = schema.await.expect("it ends");
    let mut added = 0;
    for client in clients {
        let (number, model, met) = client.await.expect("a client ends");
        wrong.extend(met);
        added += model.added;
        let mut found = read_model(&asker, number).await;
        found.added = model.added;
        if found != model {
            wrong.push(format!(
                "client {number} was told {model:?}, there is {found:?}"
            ));
        }
    }
    let sum = "SELECT sum(n)::bigint FROM tally";
    let found = asker.query_one(sum, &[]).await.expect("tally is readable");
    if found.get::<_, i64>(0) != added {
        wrong.push(format!("{added} were added to tally, there is {found:?}"));
    }
    println!("{} transactions", committed.load(Ordering::Relaxed));
    wrong.extend(broken_rules(&asker).await);
    if !replicas::heals(&asker, Duration::from_secs(10)).await {
        wrong.push("a replica was taken out".to_owned());
    }
    drop(asker);
    if !tokio::task::block_in_place(|| sandbox.terminate()) {
        wrong.push("the end was not clean".to_owned());
    }
    wrong.extend(replicas::differences(data));
    wrong
}

async fn read_model(client: &Client, number: i64) -> Model {
    let mut model = Model::default();
    let (from, to) = (number * RANGE, number * RANGE + RANGE);
    let rows = "SELECT id, u, v FROM p0 WHERE id >= $1 AND id < $2";
    let rows = client.query(rows, &[&from, &to]).await;
    for row in rows.expect("p0 is readable") {
        model.rows.insert(row.get(0), (row.get(1), row.get(2)));
    }
    for level in 0..3 {
        let rows = format!(
            "SELECT id, p FROM p{} WHERE id >= $1 AND id < $2",
            level + 1
        );
        let rows = client.query(&rows, &[&from, &to]).await;
        for row in rows.expect("children are readable") {
            model.children[level].insert(row.get(0), row.get(1));
        }
    }
    model
}

/// Orphans and duplicates, found by query.
async fn broken_rules(client: &Client) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut checks: Vec<String> = (1..4)
        .map(|level| {
            let parent = level - 1;
            format!("SELECT count(*) FROM p{level} c LEFT JOIN p{parent} p ON p.id = c.p WHERE p.id IS NULL AND c.p IS NOT NULL")
        })
        .collect();
    checks.push(
        "SELECT count(*) FROM (SELECT u FROM p0 GROUP BY u HAVING count(*) > 1) AS d".to_owned(),
    );
    for check in checks {
        let found = client.query_one(&check, &[]).await;
        let count: i64 = found.expect("a check runs").get(0);
        if count != 0 {
            wrong.push(format!("{check}: {count}"));
        }
    }
    wrong
}
