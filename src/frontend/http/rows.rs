//! Rows: the routes under `/cluster/{cluster}/table/{table}`.
//!
//! The word after the table is a fixed word or a row's key, which of them
//! depends on the method; so one handler per method tells them apart.

use std::sync::Arc;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::stream;
use serde_json::json;

use super::encode::RowEncoder;
use super::error::{Failure, ok};
use super::request::{Body, Caller, Home};
use super::write::{Running, Write, start};
use super::{Http, clusters, now, system, views};
use crate::catalog::Cluster;
use crate::catalog::schema::Table;
use crate::endpoint::RowStream;
use crate::error::{Error, Result};
use crate::plan::pyql::{self, Json, Translation};
use crate::session::{Reply, Session};
use crate::types::Row;
use crate::types::settings::{Io, Settings};

/// Seconds between 1970-01-01 and 2000-01-01, from which timestamps count.
const UNIX_TO_2000_SECONDS: f64 = 946_684_800.0;

pub(super) fn routes() -> Router<Arc<Http>> {
    Router::new()
        .route(
            "/cluster/{cluster}/table/{table}",
            get(get_table).post(post_table).put(put_table),
        )
        .route(
            "/cluster/{cluster}/table/{table}/{word}",
            get(get_word).post(post_word).delete(delete_word),
        )
}

type Names = Path<(String, String)>;
type NamesAndWord = Path<(String, String, String)>;

async fn get_table(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table)): Names,
) -> Result<Response, Failure> {
    read(&http, &caller, &cluster, &table, Wanted::All).await
}

async fn post_table(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table)): Names,
    body: Body,
) -> Result<Response, Failure> {
    if table == "create" {
        return clusters::create_table(&http, &caller, &cluster, &body).await;
    }
    let change = Change::Insert { own_route: false };
    write(&http, &caller, &cluster, &table, change, &body).await
}

async fn put_table(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table)): Names,
    body: Body,
) -> Result<Response, Failure> {
    let change = Change::Insert { own_route: false };
    write(&http, &caller, &cluster, &table, change, &body).await
}

async fn get_word(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table, word)): NamesAndWord,
) -> Result<Response, Failure> {
    match word.as_str() {
        "select" => read(&http, &caller, &cluster, &table, Wanted::All).await,
        "config" => config(&http, &caller, &cluster, &table),
        "path" => system::paths(&http, &caller, &cluster, &table),
        "endpoints" => system::endpoints(&http, &caller, &cluster, &table),
        key => read(&http, &caller, &cluster, &table, Wanted::Key(key)).await,
    }
}

async fn post_word(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table, word)): NamesAndWord,
    body: Body,
) -> Result<Response, Failure> {
    let change = match word.as_str() {
        "select" => {
            let wanted = body.json().map_err(|_| {
                Failure::error(StatusCode::BAD_REQUEST, "error in cluster table select")
            })?;
            return read(&http, &caller, &cluster, &table, Wanted::Some(&wanted)).await;
        }
        "sync" | "recovery" => return Err(system::automatic(&caller)),
        "insert" => Change::Insert { own_route: true },
        "update" => Change::Update,
        "delete" => Change::Delete,
        key => Change::UpdateKey(key),
    };
    write(&http, &caller, &cluster, &table, change, &body).await
}

async fn delete_word(
    State(http): State<Arc<Http>>,
    caller: Caller,
    Path((cluster, table, word)): NamesAndWord,
) -> Result<Response, Failure> {
    let (change, body) = (Change::DeleteKey(&word), Body(Vec::new()));
    write(&http, &caller, &cluster, &table, change, &body).await
}

/// What a read asks for.
pub(super) enum Wanted<'a> {
    All,
    Key(&'a str),
    Some(&'a Json),
}

/// What a write does.
pub(super) enum Change<'a> {
    /// By `/insert`, or by the table's own route, whose errors differ.
    Insert {
        own_route: bool,
    },
    Update,
    Delete,
    UpdateKey(&'a str),
    DeleteKey(&'a str),
}

async fn read(
    http: &Arc<Http>,
    caller: &Caller,
    name: &str,
    table: &str,
    wanted: Wanted<'_>,
) -> Result<Response, Failure> {
    let cluster = match caller.home(http, name)? {
        Home::System => return views::read(http, table, &wanted),
        Home::Data(cluster) => cluster,
    };
    let definition = find(&cluster, name, table)?;
    if let Wanted::Some(body) = wanted
        && body.get("select").is_none()
    {
        return Err(missing_selection(table));
    }
    let statement = with_io(|io| match wanted {
        Wanted::All => Ok(pyql::select_all(definition)),
        Wanted::Key(key) => pyql::select_key(definition, key, io),
        Wanted::Some(body) => pyql::select(&cluster.schema, definition, body, io),
    });
    let rows = async {
        let statement = statement?;
        let keys = statement.keys.clone();
        let running = start(http, caller, name, statement).await?;
        stream_rows(running, &keys).await
    };
    rows.await.map_err(|error| Failure::read(&error))
}

async fn write(
    http: &Arc<Http>,
    caller: &Caller,
    name: &str,
    table: &str,
    change: Change<'_>,
    body: &Body,
) -> Result<Response, Failure> {
    let cluster = match caller.home(http, name)? {
        Home::System => return views::write(http, table, &change, body).await,
        Home::Data(cluster) => cluster,
    };
    let definition = find(&cluster, name, table)?;
    let input = match change {
        Change::DeleteKey(_) => Json::Null,
        _ => body
            .json()
            .map_err(|error| bad_input(&change, &cluster, table, &error))?,
    };
    let statement = with_io(|io| translate(definition, &change, &input, io));
    let done = match change {
        Change::Insert { .. } => "items added",
        _ => "OK",
    };
    let write = Write {
        http,
        caller,
        name,
        cluster: &cluster,
        table,
        body,
    };
    write.run(statement, done).await
}

fn translate(
    table: &Arc<Table>,
    change: &Change<'_>,
    input: &Json,
    io: Io<'_>,
) -> Result<Translation> {
    match change {
        Change::Insert { .. } => pyql::insert(table, input, io),
        Change::Update => pyql::update(table, input, io),
        Change::Delete => pyql::delete(table, input, io),
        Change::UpdateKey(key) => pyql::update_key(table, key, input, io),
        Change::DeleteKey(key) => pyql::delete_key(table, key, io),
    }
}

/// `GET …/config`.
fn config(http: &Http, caller: &Caller, name: &str, table: &str) -> Result<Response, Failure> {
    let description = match caller.home(http, name)? {
        Home::System => views::describe(&views::View::named(table)?.table()),
        Home::Data(cluster) => {
            let definition = find(&cluster, name, table)?;
            pyql::describe(&cluster.schema, definition)
        }
    };
    Ok(ok(&json!({ table: description })))
}

pub(super) fn find<'a>(
    cluster: &'a Cluster,
    name: &str,
    table: &str,
) -> Result<&'a Arc<Table>, Failure> {
    pyql::table(&cluster.schema, table).map_err(|_| {
        Failure::message(
            StatusCode::NOT_FOUND,
            format!("table {table} was not found in cluster {name}"),
        )
    })
}

pub(super) fn missing_selection(table: &str) -> Failure {
    Failure::warning(
        StatusCode::BAD_REQUEST,
        format!("table {table} select - missing selection"),
    )
}

/// A body that is no JSON, in each route's words.
fn bad_input(change: &Change<'_>, cluster: &Cluster, table: &str, why: &str) -> Failure {
    let status = StatusCode::BAD_REQUEST;
    match change {
        Change::Insert { own_route: false } => Failure::message(
            status,
            format!("missing input for {} {table} insert", cluster.id),
        ),
        Change::UpdateKey(_) => Failure::error(status, "expected json input for request"),
        _ => Failure::error(status, format!("expected json input for request: {why}")),
    }
}

/// Reads texts the same for every client: ISO dates, UTC.
pub(super) fn with_io<T>(run: impl FnOnce(Io<'_>) -> T) -> T {
    let settings = Settings::default();
    run(Io {
        settings: &settings,
        transaction_time: ((now() - UNIX_TO_2000_SECONDS) * 1e6) as i64,
    })
}

/// `{"data":[…]}`, sent as the rows come. An error after the first rows breaks
/// the connection off: the status has left already.
async fn stream_rows(running: Running, keys: &[String]) -> Result<Response> {
    let types = running.plan.columns.iter().map(|column| column.ty.clone());
    let encoder = RowEncoder::new(keys.iter().map(String::as_str), types);
    let mut body = String::from("{\"data\":[");
    let rows = match running.reply {
        Reply::Rows { rows, .. } => rows,
        _ => return Err(Error::internal("a select gave no rows")),
    };
    let body = match rows {
        RowStream::Ready(rows) => {
            append(&encoder, &rows, &mut true, &mut body);
            running.session.close().await;
            body.push_str("]}\n");
            HttpBody::from(body)
        }
        RowStream::Flowing(mut batches) => {
            let mut first = true;
            let batch = batches.recv().await.transpose()?;
            let ended = batch.is_none();
            append(&encoder, &batch.unwrap_or_default(), &mut first, &mut body);
            let state = Flow {
                batches,
                encoder,
                session: Some(running.session),
                first,
                head: Some(body),
                ended,
            };
            HttpBody::from_stream(stream::try_unfold(state, Flow::next))
        }
    };
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// The rest of a result on its way.
struct Flow {
    batches: tokio::sync::mpsc::Receiver<Result<Vec<Row>>>,
    encoder: RowEncoder,
    /// Kept until the end: it owns what runs.
    session: Option<Session>,
    first: bool,
    /// What was made before the status was known to be good.
    head: Option<String>,
    ended: bool,
}

impl Flow {
    async fn next(mut self) -> Result<Option<(String, Flow)>> {
        if let Some(head) = self.head.take() {
            return Ok(Some((head, self)));
        }
        if !self.ended {
            if let Some(batch) = self.batches.recv().await {
                let mut text = String::new();
                append(&self.encoder, &batch?, &mut self.first, &mut text);
                return Ok(Some((text, self)));
            }
            self.ended = true;
        }
        match self.session.take() {
            Some(session) => {
                session.close().await;
                Ok(Some(("]}\n".to_owned(), self)))
            }
            None => Ok(None),
        }
    }
}

fn append(encoder: &RowEncoder, rows: &[Row], first: &mut bool, out: &mut String) {
    for row in rows {
        if !std::mem::take(first) {
            out.push(',');
        }
        encoder.row(row, out);
    }
}
