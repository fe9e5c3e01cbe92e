//! `weir limits`: every limit, its default, and what happens when it is reached.

use weir::limits::{Limit, Limits, markdown};

use super::failure::Failure;
use super::terminal;

/// Show every limit: its name for `--limit`, default, range, and what happens when it is reached
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show this one alone
    #[arg(conflicts_with = "markdown")]
    name: Option<String>,

    /// As the page docs/limits.md
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.markdown {
        return terminal::print(&markdown());
    }
    let wanted = |limit: &&Limit| args.name.as_ref().is_none_or(|name| *name == limit.name());
    let text: String = Limits::TABLE.iter().filter(wanted).map(show).collect();
    if text.is_empty() {
        let name = args.name.as_deref().unwrap_or_default();
        return Err(
            Failure::usage(format!("there is no limit `{name}`")).hint("`weir limits` lists them")
        );
    }
    terminal::print(&text)
}

/// A limit in a few lines.
fn show(limit: &Limit) -> String {
    let (least, most) = (limit.range)();
    let value = (limit.show)(&Limits::default());
    format!(
        "{}={value}  ({least} to {most})\n    {}\n    When it is reached: {}.\n",
        limit.name(),
        limit.what.trim(),
        limit.outcome
    )
}
