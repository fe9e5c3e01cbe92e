//! `weir policy merge`: several profiles as one.

use std::path::PathBuf;

use super::profiles;
use crate::cli::failure::Failure;
use crate::cli::terminal;

/// Merge the profiles of several replicas, or of several times, into one
///
/// In any order, any number of times: the result is the same. Words that are still hidden can be
/// compared only where the profiles were made with one key (`weir run --profile-key`).
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  weir policy merge replica-1.yaml replica-2.yaml > cart-profile.yaml")]
pub(in crate::cli) struct Args {
    /// The profiles
    #[arg(required = true, value_name = "PROFILE")]
    profiles: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    terminal::print(&profiles::read(&args.profiles)?.to_yaml())
}
