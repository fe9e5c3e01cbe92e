//! How a command fails: what is told, and the exit status.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use weir::admin::client::Error;

use super::terminal;

/// Wrong usage, or a bad file.
const USAGE: u8 = 2;
/// Anything else.
const OTHER: u8 = 1;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    status: u8,
    told: Told,
}

#[derive(Debug)]
enum Told {
    /// Messages in this program's style.
    Messages(Vec<Message>),
    /// What clap has rendered.
    Rendered(String),
}

/// Something to tell, with the place that is meant and what to do about it.
#[derive(Debug)]
pub(super) struct Message {
    text: String,
    excerpt: Option<Excerpt>,
    hint: Option<String>,
}

/// A line of a file, with the place in it that is meant.
#[derive(Clone, Debug)]
pub(super) struct Excerpt {
    /// The line's number, from 1.
    pub(super) line: u64,
    /// The column in characters, from 1.
    pub(super) column: u64,
    /// The line's text.
    pub(super) text: String,
}

impl Excerpt {
    /// The line under its number, and a mark under the column.
    fn show(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let column = usize::try_from(self.column).unwrap_or(usize::MAX);
        let before = self.text.chars().take(column.saturating_sub(1));
        // Tabs stay tabs, so that the mark stands under its place however wide they are.
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!(" {margin} |\n {number} | {}\n {margin} | {indent}^\n", self.text)
    }
}

impl Message {
    /// A message without a place or a hint.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), excerpt: None, hint: None }
    }

    /// Shows the line of a file that is meant.
    pub(super) fn excerpt(self, excerpt: Option<Excerpt>) -> Self {
        Self { excerpt, ..self }
    }

    /// Tells it on standard error as a warning.
    pub(super) fn warn(&self) {
        tell(&self.show("warning", terminal::stderr_colours()));
    }

    fn show(&self, kind: &str, colours: bool) -> String {
        let excerpt = self.excerpt.as_ref().map(Excerpt::show).unwrap_or_default();
        let hint = self.hint.as_ref().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        format!("{} {}\n{excerpt}{hint}", label(kind, colours), self.text)
    }
}

impl Failure {
    /// Wrong usage or a bad file.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Anything else.
    pub(super) fn other(message: impl Into<String>) -> Self {
        Self::new(OTHER, message)
    }

    /// Wrong usage, as clap tells it.
    pub(super) fn rendered(text: String) -> Self {
        Self { status: USAGE, told: Told::Rendered(text) }
    }

    /// A running sidecar did not do what it was asked for.
    pub(super) fn unanswered(error: Error) -> Self {
        let failure = Self::other(error.to_string());
        match error {
            Error::Refused { status: 400, .. } => Self { status: USAGE, ..failure },
            Error::Unreachable { error, .. } if error.kind() == ErrorKind::PermissionDenied => {
                failure.hint("ask as the sidecar's own user or root, as it answers nobody else")
            }
            Error::Unreachable { .. } => {
                failure.hint("name the socket of a running `weir run --socket PATH` with --socket")
            }
            _ => failure,
        }
    }

    /// Bad files, with everything that is wrong in them.
    pub(super) fn files(messages: Vec<Message>) -> Self {
        Self { status: USAGE, told: Told::Messages(messages) }
    }

    fn new(status: u8, message: impl Into<String>) -> Self {
        Self { status, told: Told::Messages(vec![Message::new(message)]) }
    }

    /// Shows the line of a file that is meant.
    pub(super) fn excerpt(mut self, new: Excerpt) -> Self {
        if let Some(message) = self.last() {
            message.excerpt = Some(new);
        }
        self
    }

    /// Says what to do about it.
    pub(super) fn hint(mut self, new: impl Into<String>) -> Self {
        if let Some(message) = self.last() {
            message.hint = Some(new.into());
        }
        self
    }

    fn last(&mut self) -> Option<&mut Message> {
        match &mut self.told {
            Told::Messages(messages) => messages.last_mut(),
            Told::Rendered(_) => None,
        }
    }

    /// Tells it on standard error and gives the exit status.
    pub(super) fn tell(self) -> ExitCode {
        tell(&self.show(terminal::stderr_colours()));
        ExitCode::from(self.status)
    }

    fn show(&self, colours: bool) -> String {
        match &self.told {
            Told::Rendered(text) => text.clone(),
            Told::Messages(messages) => {
                messages.iter().map(|message| message.show("error", colours)).collect()
            }
        }
    }
}

fn tell(text: &str) {
    // If standard error is gone there is nobody to tell; the exit status remains.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// What a message on standard error begins with: `weir: error:` or `weir: warning:`.
fn label(kind: &str, colours: bool) -> String {
    match (colours, kind) {
        (false, _) => format!("weir: {kind}:"),
        (true, "error") => format!("weir: \x1b[1;31m{kind}:\x1b[0m"),
        (true, _) => format!("weir: \x1b[1;33m{kind}:\x1b[0m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_message_place_and_hint() {
        let text = "grace:\tsoon".to_owned();
        let failure = Failure::usage("weir.yaml:12:8: bad")
            .excerpt(Excerpt { line: 12, column: 8, text })
            .hint("do this");
        let expected = "weir: error: weir.yaml:12:8: bad\n    |\n 12 | grace:\tsoon\n    |       \t^\n  hint: do this\n";
        assert_eq!(failure.show(false), expected);
        assert_eq!(failure.status, 2);
    }

    #[test]
    fn colours_only_where_asked_for() {
        let failure = Failure::other("no");
        assert_eq!(failure.show(false), "weir: error: no\n");
        assert!(failure.show(true).contains("\x1b["));
    }
}
