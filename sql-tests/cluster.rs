//! A sandbox of the tests' own: the real program on free ports, killed on drop.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a sandbox may take to serve.
const START_MAX: Duration = Duration::from_secs(30);

/// How long a clean end may take.
const STOP_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Sandbox {
    child: Child,
    pub(crate) pg: u16,
    pub(crate) http: u16,
    data: Option<PathBuf>,
    extra: Vec<String>,
}

impl Sandbox {
    /// Starts a sandbox that forgets its data.
    pub(crate) fn start() -> Sandbox {
        Sandbox::launch(None, &[])
    }

    /// Starts a sandbox on a directory, fresh or to be resumed.
    pub(crate) fn on(data: &Path) -> Sandbox {
        Sandbox::launch(Some(data), &[])
    }

    /// One on a directory with further flags.
    pub(crate) fn with(data: &Path, extra: &[String]) -> Sandbox {
        Sandbox::launch(Some(data), extra)
    }

    fn launch(data: Option<&Path>, extra: &[String]) -> Sandbox {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyql"));
        command
            .args(["sandbox", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(extra);
        if let Some(data) = data {
            command.arg("--data").arg(data);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("pyql starts");
        let (pg, http) = ports(&mut child);
        let data = data.map(Path::to_owned);
        Sandbox {
            child,
            pg,
            http,
            data,
            extra: extra.to_vec(),
        }
    }

    /// kill -9, at whatever it does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same directory after a kill.
    pub(crate) fn restart(&mut self) {
        let again = Sandbox::launch(self.data.as_deref(), &self.extra);
        let old = std::mem::replace(self, again);
        drop(old);
    }

    /// Ends it by a signal and waits; the exit was clean.
    pub(crate) fn terminate(&mut self) -> bool {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// What the program takes in memory now.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the program lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("the system tells what it takes")
            / 1024
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// A connection as the sandbox's user to its data cluster.
    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        self.client_as("demo", "demo1234", "company")
            .await
            .expect("the sandbox takes its user")
    }

    pub(crate) async fn client_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.pg)
            .user(user)
            .password(password)
            .dbname(database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        #[allow(clippy::disallowed_methods)] // ends with its client
        tokio::spawn(connection);
        Ok(client)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the ports out of the lines that are made for pasting.
fn ports(child: &mut Child) -> (u16, u16) {
    let out = child.stdout.take().expect("its output is piped");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let deadline = Instant::now() + START_MAX;
    let (mut pg, mut http) = (None, None);
    while pg.is_none() || http.is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = receiver
            .recv_timeout(left)
            .expect("the sandbox says where it serves");
        let number = |text: &str| -> Option<u16> {
            text.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
                .parse()
                .ok()
        };
        if let Some((_, rest)) = line.split_once(" port=") {
            pg = number(rest);
        }
        if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
            http = number(rest);
        }
    }
    (pg.expect("found"), http.expect("found"))
}
