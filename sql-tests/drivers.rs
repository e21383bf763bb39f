//! Python's drivers against the real program, in a virtual environment made here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cluster::Sandbox;

/// The drivers that the tests are written for, and the modules they bring.
const DRIVERS: &[&str] = &[
    "psycopg[binary]>=3.2,<4",
    "asyncpg>=0.30,<1",
    "sqlalchemy>=2,<3",
    "django>=5,<6",
    "alembic>=1.13,<2",
];
const MODULES: &str = "import psycopg, asyncpg, sqlalchemy, django, alembic";

/// Runs every topic of one script; gives what it printed if one failed.
pub(crate) fn run(sandbox: &Sandbox, script: &str) -> Result<(), String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql-tests/drivers");
    let python = python()?;
    let port = sandbox.pg.to_string();
    let mut command = Command::new(python);
    command.arg(scripts.join(script)).arg(port);
    // Nothing is left beside the scripts.
    finish(command.env("PYTHONDONTWRITEBYTECODE", "1"))
}

/// The environment's interpreter, with the drivers in it.
fn python() -> Result<PathBuf, String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers");
    let python = place.join("bin/python");
    let installed = |python: &Path| {
        let check = Command::new(python).args(["-c", MODULES]).output();
        check.is_ok_and(|output| output.status.success())
    };
    if !installed(&python) {
        finish(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        let install = ["-m", "pip", "install", "--quiet"];
        finish(Command::new(&python).args(install).args(DRIVERS))?;
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
