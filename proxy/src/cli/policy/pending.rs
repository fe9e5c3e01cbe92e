//! `weir policy pending`: what was seen and no policy has yet.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;
use weir_policy::learned::{Learned, LearnedEntry, LearnedRule};

use super::profiles::{self, Evidence};
use crate::cli::failure::Failure;
use crate::cli::terminal;

/// List what a profile leaves to you: shapes that were refused or would have been, that the
/// server never accepted, or that have too little evidence
///
/// In monitor and enforce a sidecar with --profile keeps what is outside the policy there. Take
/// what you know to be right with `weir policy accept`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir policy pending learned.yaml
  weir policy pending learned.yaml --policy cart.yaml    # without what cart.yaml allows")]
pub(in crate::cli) struct Args {
    /// The profiles; several are merged
    #[arg(required = true, value_name = "PROFILE")]
    profiles: Vec<PathBuf>,

    /// Leave out what this policy file allows already
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Print one JSON object for each
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    evidence: Evidence,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let learned = profiles::read(&args.profiles)?.learned(&args.evidence.criteria());
    let mut text = String::new();
    for rule in &learned.rules {
        let pending = pending(rule, args)?;
        if args.json {
            pending.iter().for_each(|(entry, why)| line(rule, entry, why, &mut text));
        } else if !pending.is_empty() {
            section(rule, &pending, &mut text);
        }
    }
    if text.is_empty() && !args.json {
        text.push_str("nothing is pending\n");
    }
    terminal::print(&text)
}

type Pending<'a> = Vec<&'a (LearnedEntry, String)>;

/// What of a rule is left to a person, and not allowed by the policy that was named.
fn pending<'a>(rule: &'a LearnedRule, args: &Args) -> Result<Pending<'a>, Failure> {
    let mut pending = Vec::new();
    for left in &rule.left {
        let known = match &args.policy {
            Some(path) => {
                let one = LearnedRule {
                    entries: vec![left.0.clone()],
                    left: Vec::new(),
                    notes: Vec::new(),
                    ..rule.clone()
                };
                let edited = profiles::edited(path, &Learned { rules: vec![one] }, None)?;
                edited.added.is_empty() && edited.left.is_empty()
            }
            None => false,
        };
        if !known {
            pending.push(left);
        }
    }
    Ok(pending)
}

/// Where a rule is, in words.
pub(super) fn place(rule: &LearnedRule) -> String {
    let peers = match rule.peers.as_slice() {
        [] => "any peer".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    let way = match rule.side {
        weir_policy::op::Side::Inbound => "from",
        weir_policy::op::Side::Outbound => "to",
    };
    format!("{} :{} {} {way} {peers}", rule.side, rule.port, rule.protocol)
}

fn section(rule: &LearnedRule, pending: &[&(LearnedEntry, String)], text: &mut String) {
    let _ = writeln!(text, "{}", place(rule));
    let width =
        pending.iter().map(|(entry, _)| entry.op.chars().count()).max().unwrap_or(0).min(60);
    for (entry, why) in pending {
        let _ = writeln!(text, "  {:width$}  {}; {why}", entry.op, entry.evidence);
    }
}

fn line(rule: &LearnedRule, entry: &LearnedEntry, why: &str, text: &mut String) {
    let object = json!({
        "side": rule.side,
        "port": rule.port,
        "protocol": rule.protocol,
        "peers": rule.peers,
        "entry": entry.op,
        "permit": entry.permit,
        "overrideHeaders": entry.override_headers,
        "upgrade": entry.upgrade.then_some("websocket"),
        "operations": entry.evidence.operations,
        "distinct_peers": entry.evidence.peers,
        "first": entry.evidence.first,
        "last": entry.evidence.last,
        "why": why,
    });
    let _ = writeln!(text, "{object}");
}
