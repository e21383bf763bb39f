//! Programs that come with PostgreSQL 15. pg_dump and psql: a data cluster dumped,
//! loaded into another and dumped again is the same text. createdb and its like
//! connect to the database of the system itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::cluster::Sandbox;

/// Where Debian's packages put the programs; `PG_BIN` says otherwise.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// Every kind of column, key and default, with rows that need escapes.
const TABLES: &str = include_str!("dump/tables.sql");

/// Gives what went wrong.
pub(crate) fn round_trips(sandbox: &Sandbox, directory: &Path) -> Vec<String> {
    let run = || -> Result<Vec<String>, String> {
        psql(sandbox, "company", &["-c", "CREATE DATABASE source"])?;
        psql(sandbox, "source", &["-c", TABLES])?;
        let first = dump(sandbox, "source", &[])?;
        let mut wrong = Vec::new();
        for (database, options) in [("by_copy", &[][..]), ("by_insert", &["--inserts"])] {
            let path = directory.join(database);
            let text = dump(sandbox, "source", options)?;
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            let create = format!("CREATE DATABASE {database}");
            psql(sandbox, "company", &["-c", &create])?;
            psql(sandbox, database, &["-f", &path.to_string_lossy()])?;
            let again = dump(sandbox, database, &[])?;
            let differ = first.lines().zip(again.lines()).find(|(a, b)| a != b);
            wrong.extend(differ.map(|(a, b)| format!("{database}: {b}, was {a}")));
        }
        Ok(wrong)
    };
    run().unwrap_or_else(|error| vec![error])
}

/// What an admin does with data clusters and users, connected to the database
/// of the system itself by its name and by those that programs take for granted.
pub(crate) fn administration(sandbox: &Sandbox) -> Vec<String> {
    let run = || -> Result<Vec<String>, String> {
        finish(program(sandbox, "createdb").arg("shop"))?;
        let listed = finish(program(sandbox, "psql").args(["-X", "-l"]))?;
        finish(program(sandbox, "dropdb").arg("shop"))?;
        let mut wrong = Vec::new();
        if !listed.contains("shop") || !listed.contains("company") {
            wrong.push(format!("psql -l: {listed}"));
        }
        let admin = |statement: &str| {
            let mut psql = program(sandbox, "psql");
            psql.args([
                "-X", "-A", "-t", "-U", "admin", "-d", "pyql", "-c", statement,
            ]);
            finish(psql.env("PGPASSWORD", "abcd1234"))
        };
        let shown = "SELECT current_database(), count(*), bool_and(datname <> '') FROM pg_database";
        let cases = [
            ("CREATE USER ann PASSWORD 'abcd1234'", Ok("CREATE ROLE")),
            ("SELECT name FROM pyql.users WHERE name = 'ann'", Ok("ann")),
            (shown, Ok("pyql|2|t")),
            ("SELECT sum(g) FROM generate_series(1, 10) AS g", Ok("55")),
            (
                "COPY (SELECT name FROM pyql.clusters) TO STDOUT",
                Ok("pyql\ncompany"),
            ),
            (
                "SELECT cluster, count(*) FROM pyql.replicas GROUP BY 1",
                Ok("company|3"),
            ),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT",
                Ok("BEGIN\n1\nCOMMIT"),
            ),
            ("EXPLAIN SELECT 1", Ok("System relations, in memory")),
            (
                "CREATE TABLE t (a int)",
                Err("database of the system itself"),
            ),
            (
                "CREATE TABLE t AS SELECT 1",
                Err("database of the system itself"),
            ),
            (
                "INSERT INTO t VALUES (1)",
                Err("relation \"t\" does not exist"),
            ),
            ("UPDATE pyql.users SET name = 'x'", Err("ERROR")),
            ("DROP USER ann", Ok("DROP ROLE")),
        ];
        for (statement, expected) in cases {
            match (admin(statement), expected) {
                (Ok(said), Ok(wanted)) if said.trim() == wanted => {}
                (Err(said), Err(wanted)) if said.contains(wanted) => {}
                (said, wanted) => wrong.push(format!("{statement}: {said:?}, not {wanted:?}")),
            }
        }
        Ok(wrong)
    };
    run().unwrap_or_else(|error| vec![error])
}

/// Without the lines that name a number of the run's own.
fn dump(sandbox: &Sandbox, database: &str, options: &[&str]) -> Result<String, String> {
    let text = finish(program(sandbox, "pg_dump").args(options).arg(database))?;
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn psql(sandbox: &Sandbox, database: &str, options: &[&str]) -> Result<String, String> {
    let quiet = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database];
    finish(program(sandbox, "psql").args(quiet).args(options))
}

fn program(sandbox: &Sandbox, name: &str) -> Command {
    let programs = PathBuf::from(std::env::var("PG_BIN").unwrap_or(PROGRAMS.to_owned()));
    let installed = programs.join(name);
    let mut command = match installed.exists() {
        true => Command::new(installed),
        // Debian wraps what clients use.
        false => Command::new(name),
    };
    let port = sandbox.pg.to_string();
    command.args(["-h", "127.0.0.1", "-p", &port, "-U", "demo"]);
    command.env("PGPASSWORD", "demo1234");
    command
}

fn finish(command: &mut Command) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().map_err(|error| error.to_string())?;
    match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&stderr).into_owned()),
    }
}
