//! `weir policy`: what can be asked of policy files without a sidecar.

mod check;
mod diff;
mod explain;
pub(super) mod files;
mod record;
mod replay;

use super::failure::Failure;

/// Check a policy, explain what it says of an operation, replay a log against it, compare two
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
    Explain(explain::Args),
    Diff(diff::Args),
    Replay(replay::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Replay(args) => replay::run(args),
    }
}
