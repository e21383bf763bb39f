//! A PostgreSQL 15 of the tests' own, as installed: fsync on, on a free port.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian's packages put the server; `PG_BIN` says otherwise.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// How long it may take to serve.
const START_MAX: Duration = Duration::from_secs(30);

/// The user to run as when the tests run as root, which PostgreSQL refuses.
const USERS: [&str; 2] = ["postgres", "nobody"];

pub(super) struct Postgres {
    child: Child,
    pub(super) port: u16,
    _directory: tempfile::TempDir,
}

impl Postgres {
    pub(super) fn start() -> Postgres {
        let programs = PathBuf::from(std::env::var("PG_BIN").unwrap_or(PROGRAMS.to_owned()));
        let directory = tempfile::Builder::new()
            .prefix("pyql-pg")
            .tempdir()
            .expect("a directory");
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).expect("as root");
        }
        let data = directory.path().join("data");
        let made = command(&programs.join("initdb"), user, directory.path())
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=test",
                "--locale=C",
                "-E",
                "UTF8",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("PostgreSQL 15 is installed");
        assert!(made.success(), "initdb makes a cluster");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let child = command(&programs.join("postgres"), user, directory.path())
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "unix_socket_directories=",
            ])
            .args([
                "-c",
                "deadlock_timeout=100ms",
                "-c",
                "log_min_messages=panic",
            ])
            .args(["-c", &format!("port={port}")])
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL starts");
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < START_MAX, "PostgreSQL serves");
            std::thread::sleep(Duration::from_millis(50));
        }
        Postgres {
            child,
            port,
            _directory: directory,
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: nothing in it is to be kept.
        let _ = Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

fn command(program: &Path, user: Option<(u32, u32)>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// When we are root: whom to be instead.
fn unprivileged() -> Option<(u32, u32)> {
    let own = std::fs::metadata("/proc/self").expect("Linux has it");
    if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("there are users");
    USERS.iter().find_map(|name| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(str::parse);
        Some((ids.next()?.ok()?, ids.next()?.ok()?))
    })
}
