//! COPY in its text and CSV formats, each way; what is refused, and where.

use bytes::{Bytes, BytesMut};
use futures::{SinkExt, TryStreamExt};
use tokio_postgres::Client;

use crate::cluster::Sandbox;

/// What goes in, by which statement, and how many rows that makes.
const ACCEPTED: &[(&str, &str, u64)] = &[
    (
        "COPY t FROM STDIN",
        "1\tx\t1.5\n2\t\\N\t\\N\n3\ta\\tb\\\\c\\nd\t2\n",
        3,
    ),
    (
        "COPY t (b, a) FROM STDIN WITH (DELIMITER ',', NULL '')",
        "q,10\n,11\nx\\,y,12\n",
        3,
    ),
    ("COPY t (a, b) FROM STDIN", "20\t\\x41\\102\\q\n\\.\n", 1),
    (
        "COPY t (a, b) FROM STDIN CSV",
        "30,\"x \"\"y\"\" z\"\n31,\n32,\"\"\n33,\"two\nlines\"\n",
        4,
    ),
    (
        "COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER, NULL 'NUL', DELIMITER ';', QUOTE '''')",
        "a;b\n40;'q''q'\n41;NUL\n42;'NUL'\n",
        3,
    ),
    (
        "COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER match)",
        "a,b\n50,z\n",
        1,
    ),
    (
        "COPY t (a, b) FROM STDIN WITH (FORMAT text, HEADER)",
        "a\tb\n60\tz\n",
        1,
    ),
];

/// What is refused: its SQLSTATE, and where it stood.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    (
        "COPY t (a, b) FROM STDIN",
        "1\n",
        "22P04",
        "COPY t, line 1: \"1\"",
    ),
    (
        "COPY t (a, b) FROM STDIN",
        "1\tx\ty\n",
        "22P04",
        "COPY t, line 1: \"1\tx\ty\"",
    ),
    (
        "COPY t (a, b) FROM STDIN",
        "1\tx\nz\ty\n",
        "22P02",
        "COPY t, line 2, column a: \"z\"",
    ),
    (
        "COPY t (a) FROM STDIN",
        "99999999999\n",
        "22003",
        "COPY t, line 1, column a: \"99999999999\"",
    ),
    (
        "COPY t (c) FROM STDIN",
        "12345.6\n",
        "22003",
        "COPY t, line 1, column c: \"12345.6\"",
    ),
    (
        "COPY t (a, b) FROM STDIN CSV",
        "1,\"open\n",
        "22P04",
        "COPY t, line 1: \"1,\"open\n\"",
    ),
    (
        "COPY t (a, b) FROM STDIN CSV",
        "1,x,y\n",
        "22P04",
        "COPY t, line 1: \"1,x,y\"",
    ),
];

/// What comes out, once all of [`ACCEPTED`] is in.
const SHOWN: &[(&str, &str)] = &[
    (
        "COPY (SELECT * FROM t WHERE a < 4 ORDER BY a) TO STDOUT",
        "1\tx\t1.50\n2\t\\N\t\\N\n3\ta\\tb\\\\c\\nd\t2.00\n",
    ),
    (
        "COPY (SELECT a, b FROM t WHERE a BETWEEN 10 AND 20 ORDER BY a) TO STDOUT DELIMITER '|' NULL '-'",
        "10|q\n11|-\n12|x,y\n20|ABq\n",
    ),
    (
        "COPY (SELECT a, b FROM t WHERE a BETWEEN 30 AND 42 ORDER BY a) TO STDOUT CSV HEADER",
        "a,b\n30,\"x \"\"y\"\" z\"\n31,\n32,\"\"\n33,\"two\nlines\"\n40,q'q\n41,\n42,NUL\n",
    ),
    (
        "COPY (SELECT a, b FROM t WHERE a >= 50 ORDER BY a) TO STDOUT WITH (FORMAT csv, DELIMITER ';', NULL 'x')",
        "50;z\n60;z\n",
    ),
    (
        "COPY (SELECT 'pg_class'::regclass, 'int4'::regtype, ARRAY['a,b', '\"'], '\\x00ff'::bytea) TO STDOUT",
        "pg_class\tinteger\t{\"a,b\",\"\\\\\"\"}\t\\\\x00ff\n",
    ),
];

pub(crate) async fn run(sandbox: &Sandbox) -> Vec<String> {
    let client = sandbox.client().await;
    client
        .batch_execute("CREATE DATABASE copies")
        .await
        .expect("a data cluster is made");
    let connected = sandbox.client_as("demo", "demo1234", "copies").await;
    let client = connected.expect("it lets in");
    client
        .batch_execute("CREATE TABLE t (a int, b text, c numeric(6,2))")
        .await
        .expect("a table is made");
    let mut wrong = Vec::new();
    for (statement, data, expected) in ACCEPTED {
        match copy_in(&client, statement, data).await {
            Ok(rows) if rows == *expected => {}
            other => wrong.push(format!("{statement}: {other:?}")),
        }
    }
    for (statement, data, state, place) in REFUSED {
        let error = copy_in(&client, statement, data).await.err();
        let told = error.as_ref().and_then(|error| error.as_db_error());
        let told = told.map(|error| (error.code().code(), error.where_().unwrap_or("")));
        if told != Some((*state, *place)) {
            wrong.push(format!("{statement}: {told:?}"));
        }
    }
    for (statement, expected) in SHOWN {
        match copy_out(&client, statement).await {
            Ok(shown) if shown == *expected => {}
            other => wrong.push(format!("{statement}: {other:?}")),
        }
    }
    wrong
}

async fn copy_in(
    client: &Client,
    statement: &str,
    data: &'static str,
) -> Result<u64, tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from_static(data.as_bytes())).await?;
    sink.finish().await
}

async fn copy_out(client: &Client, statement: &str) -> Result<String, tokio_postgres::Error> {
    let rows = client.copy_out(statement).await?;
    let rows: BytesMut = rows
        .try_fold(BytesMut::new(), |mut all, row| async move {
            all.extend_from_slice(&row);
            Ok(all)
        })
        .await?;
    Ok(String::from_utf8_lossy(&rows).into_owned())
}
