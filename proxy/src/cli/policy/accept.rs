//! `weir policy accept`: takes what a profile left to a person into a policy.

use std::path::PathBuf;

use weir_policy::learned::{Learned, LearnedRule};
use weir_policy::op::Side;

use super::pending::place;
use super::profiles::{self, Evidence, Onto};
use crate::cli::failure::{Failure, Message};

/// Take entries of a profile into a policy file, with peers, port and evidence as they were seen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir policy pending learned.yaml
  weir policy accept learned.yaml --onto cart.yaml 'GET /carts/{int}/export'
  weir policy accept learned.yaml --onto cart.yaml --port 6379 'INCR hits:{date}'")]
pub(in crate::cli) struct Args {
    /// The profile
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,

    /// The entries, as `weir policy pending` writes them
    #[arg(required = true, value_name = "ENTRY")]
    entries: Vec<String>,

    /// Only where they were seen at this port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Only where they were seen on this side: inbound or outbound
    #[arg(long, value_name = "SIDE")]
    side: Option<Side>,

    #[command(flatten)]
    onto: Onto,

    #[command(flatten)]
    evidence: Evidence,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.onto.file().is_none() {
        return Err(Failure::usage("say which policy to add to: --onto FILE"));
    }
    let profile = profiles::read(std::slice::from_ref(&args.profile))?;
    let learned = profile.learned(&args.evidence.criteria());
    let mut rules: Vec<LearnedRule> = Vec::new();
    for entry in &args.entries {
        let found: Vec<LearnedRule> =
            learned.rules.iter().filter_map(|rule| with(rule, entry, args)).collect();
        match found.as_slice() {
            [] => return Err(not_there(entry, &learned)),
            [_] => {}
            [..] => {
                let places: Vec<String> = found.iter().map(place).collect();
                Message::new(format!("{entry:?} was seen at {}: added to each", places.join(", ")))
                    .warn();
            }
        }
        rules.extend(found);
    }
    args.onto.add(&Learned { rules })
}

/// The rule with this entry alone, if it has it.
fn with(rule: &LearnedRule, entry: &str, args: &Args) -> Option<LearnedRule> {
    if args.port.is_some_and(|port| port != rule.port)
        || args.side.is_some_and(|side| side != rule.side)
    {
        return None;
    }
    let mut all = rule.left.iter().map(|(entry, _)| entry).chain(&rule.entries);
    let found = all.find(|known| known.op == entry)?;
    let entries = vec![found.clone()];
    Some(LearnedRule { entries, left: Vec::new(), notes: Vec::new(), ..rule.clone() })
}

fn not_there(entry: &str, learned: &Learned) -> Failure {
    let all = learned.rules.iter().flat_map(|rule| rule.left.iter().map(|(entry, _)| &entry.op));
    let first = |op: &str| op.split([' ', '/']).next().map(str::to_owned);
    let like: Vec<&str> =
        all.filter(|op| first(op) == first(entry)).map(String::as_str).take(3).collect();
    let failure = Failure::usage(format!("the profile has no {entry:?}"));
    match like.as_slice() {
        [] => failure.hint("`weir policy pending PROFILE` lists what there is"),
        like => failure.hint(format!("it has {}", like.join(", "))),
    }
}
