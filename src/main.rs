//! The `pyql` program.

/// Values are made on one thread and dropped on another all the time, which
/// the C library's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    pyql::run()
}
