//! Profiles as the commands take them: read, merged, and how much evidence is asked for.

use std::path::{Path, PathBuf};

use weir_policy::profile::{Criteria, Profile};

use super::files;
use crate::cli::failure::{Excerpt, Failure};

/// Reads profiles and merges them.
///
/// # Errors
/// One cannot be read, with file, line and column.
pub(in crate::cli) fn read(paths: &[PathBuf]) -> Result<Profile, Failure> {
    let mut all = Profile::default();
    for path in paths {
        all.join(&read_one(path)?);
    }
    Ok(all)
}

fn read_one(path: &Path) -> Result<Profile, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the profile {name}: {error}")))?;
    Profile::from_yaml(&name, &text).map_err(|bad| {
        let line = usize::try_from(bad.line).ok().and_then(|n| text.lines().nth(n.checked_sub(1)?));
        let failure = Failure::usage(bad.to_string());
        let failure = match line {
            Some(line) => {
                let text = line.chars().take(120).collect();
                failure.excerpt(Excerpt { line: bad.line, column: bad.column, text })
            }
            None => failure,
        };
        failure.hint("a profile is what `weir run --profile FILE` writes (kind: TrafficProfile)")
    })
}

/// How much evidence a shape needs before it is an entry.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Evidence")]
pub(in crate::cli) struct Evidence {
    /// The traffic was nobody's but the application's: take all that was accepted often enough,
    /// however short the time. For test runs, never for a network that others reach
    #[arg(long)]
    trusted: bool,

    /// How often the server must have accepted a shape
    #[arg(long, value_name = "N", default_value_t = Criteria::default().operations)]
    min_operations: u64,

    /// On how many days it must have been seen, unless several peers or most hours have it
    #[arg(long, value_name = "N", default_value_t = Criteria::default().days)]
    min_days: usize,
}

impl Evidence {
    pub(in crate::cli) fn criteria(self) -> Criteria {
        Criteria {
            trusted: self.trusted,
            operations: self.min_operations,
            days: self.min_days,
            ..Criteria::default()
        }
    }
}

/// A policy file that is added to.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The policy that is added to")]
pub(super) struct Onto {
    /// The policy file. It is replaced by one that has the additions as well: no byte of what is
    /// there changes
    #[arg(long, value_name = "FILE")]
    onto: Option<PathBuf>,

    /// Which policy of the file, where there are several: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", requires = "onto")]
    policy: Option<String>,

    /// Print what the file would be, and leave it alone
    #[arg(long, requires = "onto")]
    dry_run: bool,
}

impl Onto {
    pub(super) fn file(&self) -> Option<&Path> {
        self.onto.as_deref()
    }

    /// Adds to the file and says what was added.
    ///
    /// # Errors
    /// The file cannot be read, added to, or written; it is then as it was.
    pub(super) fn add(&self, learned: &weir_policy::learned::Learned) -> Result<(), Failure> {
        let Some(path) = &self.onto else {
            return Err(Failure::usage("say which policy to add to: --onto FILE"));
        };
        let edited = edited(path, learned, self.policy.as_deref())?;
        if self.dry_run {
            return crate::cli::terminal::print(&edited.text);
        }
        if !edited.added.is_empty() {
            weir::files::replace(path, edited.text.as_bytes()).map_err(|error| {
                Failure::other(format!("cannot write {}: {error}", path.display()))
                    .hint("the file is as it was")
            })?;
        }
        tell(path, &edited)
    }
}

/// What the file would be.
pub(super) fn edited(
    path: &Path,
    learned: &weir_policy::learned::Learned,
    policy: Option<&str>,
) -> Result<weir_policy::edit::Edited, Failure> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    weir_policy::edit::add(&name, &text, learned, policy)
        .map_err(|error| files::not_edited(name, text, &error))
}

fn tell(path: &Path, edited: &weir_policy::edit::Edited) -> Result<(), Failure> {
    use std::fmt::Write as _;

    use crate::cli::failure::Message;
    let mut text = String::new();
    for added in &edited.added {
        let _ = writeln!(text, "{added}");
    }
    let _ = writeln!(
        text,
        "{}: {} added, {} there already",
        path.display(),
        edited.added.len(),
        edited.already
    );
    for side in &edited.governed {
        Message::new(format!(
            "{side} was not governed before, and is now: what no rule of it allows is outside the \
             policy"
        ))
        .warn();
    }
    for left in &edited.left {
        let entries = left.entries.join(", ");
        Message::new(format!(
            "left out: {} :{} {}: {}: {entries}",
            left.side, left.port, left.protocol, left.why
        ))
        .warn();
    }
    crate::cli::terminal::print(&text)
}
