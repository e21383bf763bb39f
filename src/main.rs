//! The `pyql` program.

fn main() -> std::process::ExitCode {
    pyql::run()
}
