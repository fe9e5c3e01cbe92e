//! `weir policy from-profile`: the policy that was learned.

use std::path::PathBuf;

use weir::config::values;
use weir_policy::write::{Metadata, policy};

use super::profiles::{self, Evidence, Onto};
use crate::cli::failure::{Failure, Message};
use crate::cli::terminal;

/// Write the policy that a profile makes: each entry with its evidence, each rule with its
/// statistics, and what is left to you as comments
///
/// The policy is printed; it has no mode unless --mode names one. With --onto what is new is
/// added to a policy that you have: nothing of it changes, and what it allows already is not
/// added again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir policy from-profile learned.yaml > cart.yaml
  weir policy from-profile replica-*.yaml --name cart --namespace shop --mode monitor > cart.yaml
  weir policy from-profile learned.yaml --onto cart.yaml
  weir policy from-profile test-run.yaml --trusted > cart.yaml")]
pub(in crate::cli) struct Args {
    /// The profiles; several are merged
    #[arg(required = true, value_name = "PROFILE")]
    profiles: Vec<PathBuf>,

    /// The policy's name
    #[arg(long, default_value = "learned", value_name = "NAME", conflicts_with = "onto")]
    name: String,

    /// Its namespace
    #[arg(long, value_name = "NAME", conflicts_with = "onto")]
    namespace: Option<String>,

    /// Its mode
    #[arg(long, value_enum, value_name = "MODE", conflicts_with = "onto")]
    mode: Option<values::Mode>,

    #[command(flatten)]
    onto: Onto,

    #[command(flatten)]
    evidence: Evidence,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let profile = profiles::read(&args.profiles)?;
    if profile.is_empty() {
        Message::new("nothing was learned yet: the policy would govern nothing").warn();
    }
    let learned = profile.learned(&args.evidence.criteria());
    if args.onto.file().is_some() {
        return args.onto.add(&learned);
    }
    let left: usize = learned.rules.iter().map(|rule| rule.left.len()).sum();
    if left > 0 {
        let shapes = if left == 1 { "1 shape is" } else { &format!("{left} shapes are") };
        Message::new(format!(
            "{shapes} left to you, as comments in the policy: see `weir policy pending`"
        ))
        .warn();
    }
    let metadata = Metadata {
        name: args.name.clone(),
        namespace: args.namespace.clone(),
        mode: args.mode.map(Into::into),
    };
    let text = policy(&learned, &metadata);
    // A name that no policy can have makes none.
    if let Err(errors) = weir_policy::parse("the policy", &text)
        && let Some(error) = errors.0.first()
    {
        let flag = error.field.replace("metadata.", "--");
        let (found, expected) = (&error.found, &error.expected);
        return Err(Failure::usage(format!("{flag}: found {found}, expected {expected}")));
    }
    terminal::print(&text)
}
