//! `weir demo`: the little shop that is guarded and attacked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use weir::demo;

use super::failure::Failure;

/// Guard a small shop on this machine by what is learned there, attack it, and show what happened
///
/// Starts a front end, a cart service, a store and a stock (HTTP, Redis, gRPC), each behind a `weir
/// run` that learns. Customers buy; what was learned becomes the policies, and is enforced; then an
/// intruder in the front end tries what it should not. Needs no root and no other program, and
/// leaves nothing behind.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 if every customer was served and every attack refused; 1 if not, as in monitor
mode, which refuses nothing."
)]
pub(super) struct Args {
    /// The mode of the sidecars once they have learned
    #[arg(long, value_enum, default_value = "enforce", value_name = "MODE")]
    mode: Mode,

    /// Put each service in a pod (a network namespace) whose connections are redirected to Weir,
    /// as beside a real pod; needs root, and `ip`
    #[arg(long)]
    transparent: bool,

    /// Keep the shop open after the run, to try by hand, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// Put the profiles, policies and logs here, and leave them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    #[command(subcommand)]
    part: Option<Part>,
}

/// What the demo calls this program for.
#[derive(Debug, clap::Subcommand)]
enum Part {
    #[command(hide = true)]
    Child(Child),
}

/// Become a part of a running demo that ends with it
#[derive(Debug, clap::Args)]
struct Child {
    /// The demo's process
    #[arg(long)]
    parent: i32,

    /// The network namespace to enter
    #[arg(long)]
    netns: Option<PathBuf>,

    /// The user to become
    #[arg(long)]
    uid: Option<u32>,

    /// What this program is told then
    #[arg(last = true, required = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Mode {
    /// Refuse nothing, and log what enforce would refuse
    Monitor,
    /// Refuse what the policies do not allow
    Enforce,
}

pub(super) fn run(args: Args) -> ExitCode {
    if let Some(Part::Child(child)) = args.part {
        let Child { parent, netns, uid, arguments } = child;
        let error = demo::Child { parent, netns, uid, arguments }.become_it();
        return Failure::other(format!("a part of the demo cannot start: {error}")).tell();
    }
    let mode = match args.mode {
        Mode::Monitor => weir_policy::decide::Mode::Monitor,
        Mode::Enforce => weir_policy::decide::Mode::Enforce,
    };
    let Args { transparent, serve, keep, .. } = args;
    demo::run(&demo::Options { mode, transparent, serve, keep })
}
