//! `weir profile`: what a profile says of itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use weir::admin::client;
use weir_policy::profile::{Estimate, Profile, Statistics};

use super::failure::Failure;
use super::policy::profiles::{self, Evidence};
use super::terminal;

/// One operation in so many may be refused by a policy that is called ready.
const ONE_IN: f64 = 10_000.0;

/// Show what a profile has seen, what it has not, and what enforcing now would mean
///
/// For each rule: operations, days, shapes, new shapes a day, the chance that the next hour
/// brings one that was never seen, and how many operations a day a policy made now would refuse.
/// Probes and scrapes (/healthz, /metrics, PING and their like) are in none of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir profile learned.yaml
  weir profile replica-*.yaml               # as one
  weir profile --socket /run/weir/weir.sock # of a running sidecar, as it is now
  weir profile --socket /run/weir/weir.sock --write

The intervals hold 95 % of what comes, as far as hours are like those of the last four days.
Exit status: 0, ready or not; 2 for a bad file.")]
#[command(group(clap::ArgGroup::new("which").required(true).args(["files", "socket"])))]
pub(super) struct Args {
    /// The profiles; several are merged
    #[arg(value_name = "PROFILE")]
    files: Vec<PathBuf>,

    /// Ask the sidecar that has this socket
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Have the sidecar write its profile's file now, before it is shown
    #[arg(long, requires = "socket")]
    write: bool,

    /// Print one JSON object for each rule
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    evidence: Evidence,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let profile = match &args.socket {
        Some(socket) => ask(socket, args.write)?,
        None => profiles::read(&args.files)?,
    };
    let statistics = profile.statistics(&args.evidence.criteria());
    let mut text = String::new();
    for one in &statistics {
        if args.json {
            let _ = writeln!(text, "{}", to_json(one));
        } else {
            let _ = writeln!(text, "{one}\n  {}", verdict(one));
        }
    }
    if statistics.is_empty() && !args.json {
        text.push_str("nothing was seen yet\n");
    }
    terminal::print(&text)
}

fn ask(socket: &Path, write: bool) -> Result<Profile, Failure> {
    if write {
        client::post(socket, "/profile").map_err(Failure::unanswered)?;
    }
    let text = client::text(socket, "/profile").map_err(Failure::unanswered)?;
    Profile::from_yaml(&socket.display().to_string(), &text)
        .map_err(|error| Failure::other(error.to_string()))
}

/// Whether one may dare, in a sentence.
fn verdict(one: &Statistics) -> &'static str {
    if one.is_ready(ONE_IN) {
        "ready: enforcing would refuse at most one operation in 10,000"
    } else {
        "not ready: enforcing may refuse more than one operation in 10,000"
    }
}

fn to_json(one: &Statistics) -> serde_json::Value {
    let estimate = |e: &Estimate| json!({"value": e.value, "low": e.low, "high": e.high});
    json!({
        "side": one.side,
        "port": one.port,
        "protocol": one.protocol,
        "server": one.server,
        "operations": one.operations,
        "at_least": one.at_least,
        "days": one.days,
        "hours": one.hours,
        "shapes": one.shapes,
        "left": one.left,
        "hidden_operations": one.hidden_operations,
        "new_shapes_a_day": one.new_a_day,
        "seconds_since_new": one.since_new,
        "chance_of_new_next_hour": estimate(&one.chance),
        "refusals_a_day": estimate(&one.refusals_a_day),
        "operations_a_day": one.operations_a_day,
        "ready": one.is_ready(ONE_IN),
    })
}
