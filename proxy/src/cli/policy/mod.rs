//! `weir policy`: what can be asked of policy files without a sidecar.

mod check;
mod files;

use super::failure::Failure;

/// Check a policy, explain what it says of an operation, compare two
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(check::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
    }
}
