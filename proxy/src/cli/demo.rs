//! `weir demo`: the little shop that is guarded and attacked.

use std::path::PathBuf;
use std::process::ExitCode;

use weir::demo;

/// Guard a small shop on this machine, attack it, and show what happened
///
/// Starts a front end, a cart service and a store, each behind a `weir run` with a policy of its
/// own. Customers buy; an intruder in the front end tries what it should not. Needs no root and no
/// other program, and leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 if every customer was served and every attack refused; 1 if not, as in monitor
mode, which refuses nothing."
)]
pub(super) struct Args {
    /// The mode of the sidecars
    #[arg(long, value_enum, default_value = "enforce", value_name = "MODE")]
    mode: Mode,

    /// Keep the shop open after the run, to try by hand, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// Put the policies and logs here, and leave them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// Refuse nothing, and log what enforce would refuse
    Monitor,
    /// Refuse what the policies do not allow
    Enforce,
}

pub(super) fn run(args: Args) -> ExitCode {
    let mode = match args.mode {
        Mode::Monitor => weir_policy::decide::Mode::Monitor,
        Mode::Enforce => weir_policy::decide::Mode::Enforce,
    };
    demo::run(&demo::Options { mode, serve: args.serve, keep: args.keep })
}
