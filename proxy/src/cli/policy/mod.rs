//! `weir policy`: what can be asked of policy files without a sidecar.

mod accept;
mod check;
mod diff;
mod explain;
pub(super) mod files;
mod from_profile;
mod merge;
mod pending;
pub(super) mod profiles;
mod record;
mod replay;

use super::failure::Failure;

/// Check policies, explain and compare them, replay logs, and make policies from what was learned
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
    FromProfile(from_profile::Args),
    Pending(pending::Args),
    Accept(accept::Args),
    Merge(merge::Args),
    Explain(explain::Args),
    Diff(diff::Args),
    Replay(replay::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::FromProfile(args) => from_profile::run(args),
        Command::Pending(args) => pending::run(args),
        Command::Accept(args) => accept::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Replay(args) => replay::run(args),
    }
}
