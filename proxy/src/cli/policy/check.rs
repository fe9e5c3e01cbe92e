//! `weir policy check`: whether policy files can be used, and what in them is probably not meant.

use std::fmt::Write as _;
use std::path::PathBuf;

use weir_policy::decide::Mode;
use weir_policy::op::Side;
use weir_policy::{Rule, Snapshot, TrafficPolicy};

use super::files;
use crate::cli::failure::{Failure, Message};
use crate::cli::terminal;

/// Check policy files: every error and warning with its file, line and column
///
/// Several files are checked together, as `weir run` takes them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 if the files can be used, with warnings or without; 2 if not."
)]
pub(in crate::cli) struct Args {
    /// The policy files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (snapshot, texts) = files::compile(&args.files, Mode::default())?;
    for warning in snapshot.warnings() {
        Message::new(warning.to_string()).excerpt(texts.excerpt(&warning.at)).warn();
    }
    terminal::print(&summary(&snapshot))
}

/// A line for each policy.
fn summary(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for policy in snapshot.policies() {
        let mode = policy.mode.map_or("mode as --mode says".to_owned(), |mode| mode.to_string());
        let _ = writeln!(
            text,
            "{}: ok: {}, {mode}; {}; {}",
            policy.at.file,
            policy.full_name(),
            direction(policy, Side::Inbound),
            direction(policy, Side::Outbound),
        );
    }
    text
}

fn direction(policy: &TrafficPolicy, side: Side) -> String {
    let name = match side {
        Side::Inbound => "inbound",
        Side::Outbound => "outbound",
    };
    let Some(rules) = policy.rules(side) else {
        return format!("{name} not governed");
    };
    let sum = |list: fn(&Rule) -> usize| rules.iter().map(list).sum::<usize>();
    let counted =
        |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    format!(
        "{name} {}, {} and {}",
        counted(rules.len(), "rule", "rules"),
        counted(sum(|rule| rule.allow.len()), "allow entry", "allow entries"),
        counted(sum(|rule| rule.deny.len()), "deny entry", "deny entries"),
    )
}
