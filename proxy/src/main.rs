//! The `weir` program.

use std::process::ExitCode;

mod cli;

/// Its memory comes back after a burst of connections, which glibc's does not; the figures are in
/// docs/benchmarks.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
