//! `pyql sandbox`.

use std::io::Write;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::dispatch::cluster::TRANSACTION_BYTES;
use crate::error::{Error, Result, SqlState};
use crate::node::{Node, NodeConfig};
use crate::runtime::Runtime;
use crate::sandbox::{self, ADMIN, CLUSTER, DEMO};

/// Replicas that a sandbox may hold.
const REPLICAS_MAX: usize = 9;

#[derive(Args)]
pub(super) struct Sandbox {
    /// Where PostgreSQL clients connect.
    #[arg(long, env = "PYQL_PG", default_value = "127.0.0.1:5433")]
    pg: String,
    /// Where REST clients connect.
    #[arg(long, env = "PYQL_HTTP", default_value = "127.0.0.1:8080")]
    http: String,
    /// Keeps the data here; without it a temporary directory is used and removed.
    #[arg(long, env = "PYQL_DATA")]
    data: Option<PathBuf>,
    /// Copies of each data cluster.
    #[arg(long, env = "PYQL_REPLICAS", default_value_t = 3)]
    replicas: usize,
    /// A certificate chain (PEM) for PostgreSQL clients that ask for TLS;
    /// without it one is made that nobody vouches for.
    #[arg(long, env = "PYQL_TLS_CERT", requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "PYQL_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Bytes of written rows that an open transaction keeps in memory; one
    /// that writes more claims whole tables and keeps its rows on disk.
    #[arg(long, env = "PYQL_TRANSACTION_MEMORY", default_value_t = TRANSACTION_BYTES)]
    transaction_memory: usize,
}

impl Sandbox {
    pub(super) fn run(self) -> ExitCode {
        let runtime = Runtime::real();
        let outcome = runtime.block_on(self.serve(&runtime));
        match outcome
            .map_err(|error| error.to_string())
            .and_then(|served| served.map_err(|e| e.to_string()))
        {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                let _ = writeln!(std::io::stderr(), "pyql: {message}");
                ExitCode::FAILURE
            }
        }
    }

    async fn serve(self, runtime: &Runtime) -> Result<()> {
        if !(1..=REPLICAS_MAX).contains(&self.replicas) {
            let message = format!("--replicas must be between 1 and {REPLICAS_MAX}");
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        let temporary =
            match &self.data {
                Some(_) => None,
                None => Some(tempfile::Builder::new().prefix("pyql-").tempdir().map_err(
                    |error| {
                        Error::new(
                            SqlState::IO_ERROR,
                            format!("no temporary directory: {error}"),
                        )
                    },
                )?),
            };
        let data = match (&self.data, &temporary) {
            (Some(data), _) => data.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => return Err(Error::internal("no data directory")),
        };
        let config = NodeConfig {
            data,
            pg: address(&self.pg)?,
            http: address(&self.http)?,
            replicas: self.replicas,
            tls: self.tls_cert.zip(self.tls_key),
            transaction_bytes: self.transaction_memory,
        };
        let node = Node::start(&config, runtime).await?;
        sandbox::prepare(&node.dispatch).await?;
        greet(&node, self.data.as_deref());
        let stopped = tokio::select! {
            stopped = wait_for_signal() => stopped,
            error = node.failed() => Err(error),
        };
        node.stop().await;
        drop(temporary);
        stopped
    }
}

/// Ends at SIGINT or SIGTERM.
async fn wait_for_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Error::internal(format!("no signal handler: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// An address with or without `http://`.
fn address(text: &str) -> Result<std::net::SocketAddr> {
    let bare = text
        .strip_prefix("http://")
        .unwrap_or(text)
        .trim_end_matches('/');
    // A name such as localhost is looked up.
    let found = bare
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    found.ok_or_else(|| {
        let message = format!("\"{text}\" is no address such as 127.0.0.1:5433");
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
    })
}

/// Prints lines that can be pasted.
fn greet(node: &Node, data: Option<&std::path::Path>) {
    let (pg, http) = (node.pg, node.http);
    let kept = match data {
        Some(path) => format!("Data is kept in {}.", path.display()),
        None => "Data is removed at the end; --data DIR keeps it.".to_owned(),
    };
    let text = format!(
        "pyql sandbox is ready. {kept}

  psql \"host={host} port={port} user={user} password={password} dbname={CLUSTER}\"

  curl -H \"Authentication: Basic $(echo '{user}:{password}' | base64)\" http://{http}/cluster/{CLUSTER}/table/employees

Admin: {admin} / {admin_password}. Ctrl-C ends it.
",
        host = pg.ip(),
        port = pg.port(),
        user = DEMO.0,
        password = DEMO.1,
        admin = ADMIN.0,
        admin_password = ADMIN.1,
    );
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
