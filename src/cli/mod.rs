//! The command line: subcommands, their flags and environment variables.

mod sandbox;

use std::io::IsTerminal;

use clap::{Parser, Subcommand};

/// One SQL endpoint over copies of the same rows.
#[derive(Parser)]
#[command(name = "pyql", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a local cluster with three embedded replicas and sample data.
    Sandbox(sandbox::Sandbox),
}

/// Runs what the command line asks for; the process's exit code.
pub fn run() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    match arguments.command {
        Command::Sandbox(sandbox) => sandbox.run(),
    }
}

/// Structured logs on standard error; `RUST_LOG` chooses what.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,openraft=error"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Only fails when a test has set one before.
    let _ = subscriber.try_init();
}
