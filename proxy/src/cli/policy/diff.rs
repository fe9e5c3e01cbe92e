//! `weir policy diff`: what two policies allow differently.

use std::fmt::Write as _;
use std::path::PathBuf;

use weir::config::values;
use weir_policy::diff::{Diff, Effect, diff};

use super::files;
use crate::cli::failure::Failure;
use crate::cli::terminal;

/// Compare what two policies allow: the sets, whatever their order and spelling
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  weir policy diff cart.yaml cart-next.yaml

What is allowed more stands first; + is in the new file alone, - in the old alone. Where it cannot
be ruled out that something is a difference, it is shown.")]
pub(in crate::cli) struct Args {
    /// The policy as it is
    old: PathBuf,

    /// The policy as it is to be
    new: PathBuf,

    /// The mode where a policy names none
    #[arg(long, value_enum, default_value = "learn", value_name = "MODE")]
    mode: values::Mode,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mode = args.mode.into();
    let [old, new] =
        [&args.old, &args.new].map(|path| files::compile(std::slice::from_ref(path), mode));
    let ((old, _), (new, _)) = (old?, new?);
    terminal::print(&words(&diff(old.policies(), new.policies(), mode)))
}

fn words(diff: &Diff) -> String {
    if diff.settings.is_empty() && diff.changes.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut text = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(text, "{title}:");
            lines.iter().for_each(|line| _ = writeln!(text, "  {line}"));
        }
    };
    let of = |effect| {
        let changes = diff.changes.iter().filter(move |change| change.effect == effect);
        changes.map(ToString::to_string).collect()
    };
    section("settings", diff.settings.clone());
    section("allows more", of(Effect::Wider));
    section("allows less", of(Effect::Narrower));
    section("allows the same in other words", of(Effect::Same));
    text
}
