//! Runs `.slt` files through the wire, by the simple and the extended protocol.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use pyql::types::settings::{Io, Settings};
use pyql::types::{Type, binary, text};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType};
use tokio_postgres::types::FromSql;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::cluster::Sandbox;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Simple,
    Extended,
}

pub(crate) struct Connection {
    client: Client,
    protocol: Protocol,
}

impl Connection {
    pub(crate) fn new(client: Client, protocol: Protocol) -> Connection {
        Connection { client, protocol }
    }
}

type Output = DBOutput<DefaultColumnType>;

#[async_trait]
impl AsyncDB for Connection {
    type Error = tokio_postgres::Error;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<Output, Self::Error> {
        match self.protocol {
            Protocol::Simple => simple(&self.client, sql).await,
            Protocol::Extended => extended(&self.client, sql).await,
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.protocol {
            Protocol::Simple => "simple",
            Protocol::Extended => "extended",
        }
    }

    async fn sleep(duration: std::time::Duration) {
        tokio::time::sleep(duration).await;
    }

    fn error_sql_state(error: &Self::Error) -> Option<String> {
        error.code().map(|code| code.code().to_owned())
    }
}

fn shown(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\n', "\\n"),
    }
}

async fn simple(client: &Client, sql: &str) -> Result<Output, tokio_postgres::Error> {
    let mut rows = Vec::new();
    let mut columns = None;
    let mut affected = 0;
    for message in client.simple_query(sql).await? {
        match message {
            SimpleQueryMessage::RowDescription(described) => columns = Some(described.len()),
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|place| shown(row.get(place))).collect());
            }
            SimpleQueryMessage::CommandComplete(count) => affected = count,
            _ => {}
        }
    }
    Ok(match columns {
        Some(count) => DBOutput::Rows {
            types: vec![DefaultColumnType::Any; count],
            rows,
        },
        None => DBOutput::StatementComplete(affected),
    })
}

/// A value as it came over the wire, in binary.
struct Raw(Option<Vec<u8>>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Raw, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(Some(raw.to_vec())))
    }

    fn from_sql_null(
        _: &tokio_postgres::types::Type,
    ) -> Result<Raw, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &tokio_postgres::types::Type) -> bool {
        true
    }
}

async fn extended(client: &Client, sql: &str) -> Result<Output, tokio_postgres::Error> {
    let statement = client.prepare(sql).await?;
    if statement.columns().is_empty() {
        return Ok(DBOutput::StatementComplete(
            client.execute(&statement, &[]).await?,
        ));
    }
    let types: Vec<Type> = statement
        .columns()
        .iter()
        .map(|column| Type::from_oid(column.type_().oid()).expect("a type we send is one we know"))
        .collect();
    let settings = Settings::default();
    let io = Io {
        settings: &settings,
        transaction_time: 0,
    };
    let mut rows = Vec::new();
    for row in client.query(&statement, &[]).await? {
        let mut values = Vec::with_capacity(types.len());
        for (place, ty) in types.iter().enumerate() {
            let Raw(raw) = row.get(place);
            values.push(match raw {
                None => shown(None),
                Some(raw) => {
                    let value = binary::receive(&raw, ty).expect("what we send we can read");
                    let mut out = String::new();
                    text::output(&value, ty, io, &mut out);
                    shown(Some(&out))
                }
            });
        }
        rows.push(values);
    }
    Ok(DBOutput::Rows {
        types: vec![DefaultColumnType::Any; types.len()],
        rows,
    })
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Runs every script in a data cluster of its own; gives what differed.
pub(crate) async fn run(sandbox: &Sandbox, protocol: Protocol) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests");
    let only = std::env::var("SLT").ok();
    let mut wrong = Vec::new();
    for script in scripts(&root) {
        let name = script
            .strip_prefix(&root)
            .expect("it lies there")
            .to_string_lossy()
            .into_owned();
        if only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        let admin = sandbox.client().await;
        let database = format!("{}_{protocol:?}", name.replace(['/', '.'], "_")).to_lowercase();
        admin
            .simple_query(&format!("CREATE DATABASE {database}"))
            .await
            .expect("a data cluster is made");
        let mut runner = sqllogictest::Runner::new(|| async {
            let client = sandbox.client_as("demo", "demo1234", &database).await?;
            Ok(Connection::new(client, protocol))
        });
        if let Err(error) = runner.run_file_async(&script).await {
            wrong.push(format!("{name} ({protocol:?}): {error}"));
        }
        drop(runner);
    }
    wrong
}
