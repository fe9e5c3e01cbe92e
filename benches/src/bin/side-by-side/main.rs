//! `side-by-side`: Weir beside HAProxy and beside nothing, learning beside not learning, HTTP/2, between pods, and under new connections without end.
//! See `docs/benchmarks.md`.

mod churn;
mod http2;
mod learning;
mod local;
mod pods;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde::Serialize;
use tempfile::TempDir;
use weir_benches::{Error, ending};

/// Measures Weir, HAProxy and a direct connection in interleaved rounds. Figures never make it fail; a wrong answer does.
#[derive(Debug, Parser)]
#[command(name = "side-by-side", args_conflicts_with_subcommands = true)]
struct Options {
    #[command(flatten)]
    local: InRounds,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Weir in learn, with a profile, beside Weir in monitor.
    Learning(InRounds),
    /// HTTP/2 and gRPC: Weir in two modes, HAProxy and nothing.
    Http2(InRounds),
    /// The server behind them.
    #[command(name = "http2-origin", hide = true)]
    Http2Origin(http2::Addresses),
    /// Weir behind the redirect beside a forward and a direct connection, from pod to pod. Needs root.
    Pods(InRounds),
    /// New connections at a steady rate through the redirect; fails if one of them does. Needs root.
    Churn(churn::Options),
}

/// What those that measure in rounds have in common.
#[derive(Debug, clap::Args)]
struct InRounds {
    /// Three short rounds, in under a minute.
    #[arg(long)]
    quick: bool,
    /// Number of rounds.
    #[arg(long)]
    rounds: Option<usize>,
    #[command(flatten)]
    common: Common,
}

/// What all have in common.
#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The weir program; by default the one beside this program.
    #[arg(long)]
    weir: Option<PathBuf>,
}

impl Common {
    fn weir(&self) -> PathBuf {
        let beside = || std::env::current_exe().unwrap_or_default().with_file_name("weir");
        self.weir.clone().unwrap_or_else(beside)
    }

    /// Prints what was found, as JSON or as `text` has it.
    fn show(&self, findings: &impl Serialize, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut out, findings)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(out))
        } else {
            write!(out, "{text}")
        };
        written.map_err(|source| Error::Io { what: "output".to_owned(), source })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.command {
        None => local::run(&options.local),
        Some(Command::Learning(options)) => learning::run(options),
        Some(Command::Http2(options)) => http2::run(options),
        Some(Command::Http2Origin(at)) => http2::serve(at),
        Some(Command::Pods(options)) => pods::run(options),
        Some(Command::Churn(options)) => churn::run(options),
    };
    match done {
        Ok(status) => status,
        Err(error) => {
            note(&format!("side-by-side: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A directory for the run, which a signal removes too.
fn room() -> Result<TempDir, Error> {
    let io = |source| Error::Io { what: "a directory for the run".to_owned(), source };
    let room = tempfile::Builder::new().prefix("weir-bench-").tempdir().map_err(io)?;
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).map_err(io)?;
    ending::watch(room.path())?;
    Ok(room)
}

fn note(text: &str) {
    // Progress is a courtesy: nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{text}");
}
