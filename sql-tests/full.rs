//! A full disk: writes are refused, reads go on, and once there is room again
//! writes are taken and all replicas are in sync, with equal rows.
//!
//! Needs a file system of its own; where none can be mounted it says so and
//! passes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::cluster::Sandbox;
use crate::replicas;

/// What the file system holds.
const SIZE: u64 = 160 << 20;

/// How long until a full disk, or room on it, is noticed.
const NOTICE_MAX: Duration = Duration::from_secs(10);

/// A small file system in memory; gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> Option<Mounted> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "pyql-test"])
            .arg(at)
            .output();
        let done = mounted.is_ok_and(|it| it.status.success());
        done.then(|| Mounted(at.to_owned()))
    }

    fn grow(&self) {
        let larger = format!("remount,size={}", SIZE * 4);
        let mut grown = Command::new("mount");
        let grown = grown.args(["-o", &larger]).arg(&self.0).status();
        assert!(grown.is_ok_and(|it| it.success()));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Another program takes all there is.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).expect("a file can be made");
    let block = vec![7; 64 << 10];
    while file.write_all(&block).is_ok() {}
    while file.write_all(&block[..512]).is_ok() {}
}

/// A client that writes rows of some size.
struct Writing {
    client: tokio_postgres::Client,
    sent: i32,
    told: i64,
}

impl Writing {
    async fn add(&mut self) -> Result<(), tokio_postgres::Error> {
        self.sent += 1;
        let sql = "INSERT INTO full_t VALUES ($1, repeat('x', 100000))";
        self.client.execute(sql, &[&self.sent]).await?;
        self.told += 1;
        Ok(())
    }

    async fn rows(&self) -> i64 {
        let rows = self
            .client
            .query_one("SELECT count(*) FROM full_t", &[])
            .await;
        rows.expect("reads go on").get(0)
    }

    /// Writes until it hears 53100. One that was in the log when the disk
    /// filled may not be known to be done, and replicas may be at a loss before
    /// the log is.
    async fn until_refused(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            assert!(Instant::now() < deadline, "writes are never refused");
            match self.add().await.map_err(|it| it.code().cloned()) {
                Err(Some(code)) if code == SqlState::DISK_FULL => return,
                Err(Some(code)) => assert!(["08007", "57P03"].contains(&code.code()), "{code:?}"),
                Err(None) => panic!("the connection broke off"),
                Ok(()) => {}
            }
        }
    }

    /// Longer than a lease holds: reads do not live on what was granted before.
    async fn reads_go_on(&self) {
        let reading = Instant::now();
        while reading.elapsed() < Duration::from_secs(2) {
            let rows = self.rows().await;
            assert!(rows >= self.told, "{rows} rows of {}", self.told);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_taken(&mut self) {
        let deadline = Instant::now() + NOTICE_MAX;
        while self.add().await.is_err() {
            assert!(Instant::now() < deadline, "writes are not taken again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) async fn a_full_disk_stops_writes_alone(directory: &Path) {
    let Some(mounted) = Mounted::new(directory) else {
        eprintln!("skipped: no file system can be mounted here");
        return;
    };
    let data = mounted.0.join("data");
    let mut sandbox = Sandbox::on(&data);
    let client = sandbox.client().await;
    client
        .batch_execute("CREATE TABLE full_t (id int PRIMARY KEY, filling text)")
        .await
        .expect("there is room");
    let mut writing = Writing {
        client,
        sent: 0,
        told: 0,
    };
    writing.add().await.expect("there is room");
    // First another program is to blame, then the client itself.
    let filler = mounted.0.join("filler");
    fill(&filler);
    writing.until_refused().await;
    writing.reads_go_on().await;
    std::fs::remove_file(&filler).expect("the other program gives way");
    writing.until_taken().await;
    writing.until_refused().await;
    writing.reads_go_on().await;
    mounted.grow();
    writing.until_taken().await;
    let healed = replicas::heals(&writing.client, Duration::from_secs(60)).await;
    assert!(healed, "all replicas are in sync again");
    let rows = writing.rows().await;
    let Writing { client, sent, told } = writing;
    assert!(
        (told..=sent.into()).contains(&rows),
        "{rows} of {told} to {sent}"
    );
    drop(client);
    assert!(sandbox.terminate(), "it ends cleanly");
    assert_eq!(replicas::differences(&data), Vec::<String>::new());
}
