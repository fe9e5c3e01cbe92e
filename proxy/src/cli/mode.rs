//! `weir mode`: shows or sets the mode of a running sidecar.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use weir::admin::client::{self, Error};
use weir::config::{units, values};
use weir::defaults;

use super::failure::Failure;
use super::terminal;

/// Show or set a running sidecar's mode, over its Unix socket
///
/// A mode that is set here holds for every rule, whatever the policy says, until it is cleared,
/// its time is over, or the sidecar ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir mode --socket weir.sock
  weir mode --socket weir.sock monitor --for 10m --reason 'checkout is refused, see OPS-17'
  weir mode --socket weir.sock clear")]
pub(super) struct Args {
    /// What to do
    #[arg(value_enum, default_value = "show", value_name = "show|learn|monitor|enforce|clear")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    what: What,

    /// The sidecar's socket, as its --socket names it
    #[arg(long, value_name = "PATH", default_value = defaults::SOCKET)]
    socket: PathBuf,

    /// Set the mode for so long only
    #[arg(long = "for", value_name = "DURATION")]
    duration: Option<values::Span>,

    /// Why, for the sidecar's log and for whoever asks
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Print the sidecar's answer as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Show,
    Learn,
    Monitor,
    Enforce,
    Clear,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let answer = match args.what {
        What::Show | What::Clear if args.duration.is_some() || args.reason.is_some() => {
            return Err(Failure::usage("--for and --reason go with a mode that is set")
                .hint("as in `weir mode monitor --for 10m --reason 'a drill'`"));
        }
        What::Show => client::get(&args.socket, "/mode"),
        What::Clear => client::delete(&args.socket, "/mode"),
        What::Learn => set(args, "learn"),
        What::Monitor => set(args, "monitor"),
        What::Enforce => set(args, "enforce"),
    };
    let answer = answer.map_err(Failure::unanswered)?;
    terminal::print(&if args.json { format!("{answer}\n") } else { words(&answer) })
}

fn set(args: &Args, mode: &str) -> Result<Value, Error> {
    // The sidecar counts in seconds: a part of one is a whole one, so that it is never none.
    let seconds = args.duration.map(|span| span.0.as_millis().div_ceil(1000));
    let seconds = seconds.map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
    client::put(
        &args.socket,
        "/mode",
        &json!({ "mode": mode, "for": seconds, "reason": args.reason }),
    )
}

/// The answer in words.
fn words(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let configured = text(&answer["configured"]);
    let live = &answer["override"];
    if live.is_null() {
        return format!("{configured}, where the policy names no other mode\n");
    }
    let until = match live["for"].as_u64() {
        Some(left) => format!("for another {}", units::show_duration(Duration::from_secs(left))),
        None => "until it is cleared".to_owned(),
    };
    let reason = live["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
    let mode = text(&live["mode"]);
    format!(
        "{mode} for every rule, {until}{reason}\nthen again as the policy says, else {configured}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_in_words() {
        let plain = json!({"mode": "monitor", "configured": "monitor", "override": null});
        assert_eq!(words(&plain), "monitor, where the policy names no other mode\n");
        let set = json!({"mode": "enforce", "configured": "monitor",
            "override": {"mode": "enforce", "for": 600, "reason": "a drill"}});
        assert_eq!(
            words(&set),
            "enforce for every rule, for another 10m: a drill\n\
             then again as the policy says, else monitor\n"
        );
        let set = json!({"mode": "learn", "configured": "learn",
            "override": {"mode": "learn", "for": null, "reason": null}});
        assert!(words(&set).starts_with("learn for every rule, until it is cleared\n"));
    }
}
