//! Python's driver against the real program, in a virtual environment made here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cluster::Sandbox;

/// The driver that the tests are written for.
const DRIVER: &str = "psycopg[binary]>=3.2,<4";

/// Runs every topic of `psycopg/test_driver.py`; gives what it printed if one failed.
pub(crate) fn run(sandbox: &Sandbox) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/psycopg/test_driver.py");
    let python = python()?;
    let port = sandbox.pg.to_string();
    finish(Command::new(python).arg(script).arg(port))
}

/// The environment's interpreter, with the driver in it.
fn python() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("psycopg");
    let python = place.join("bin/python");
    let installed = |python: &Path| {
        let check = Command::new(python).args(["-c", "import psycopg"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if !installed(&python) {
        finish(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        finish(Command::new(&python).args(["-m", "pip", "install", "--quiet", DRIVER]))?;
    }
    Ok(python)
}

fn finish(command: &mut Command) -> Result<(), String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let (out, err) = (
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr),
    );
    Err(format!("{status}\n{out}{err}"))
}
