//! Standard output and error: colours for people, plain text for everything else.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write as _};

use clap::builder::StyledStr;

use super::failure::Failure;

/// Whether text on standard output may have colours.
pub(super) fn stdout_colours() -> bool {
    colours(&io::stdout())
}

/// Whether text on standard error may have colours.
pub(super) fn stderr_colours() -> bool {
    colours(&io::stderr())
}

/// On a terminal, unless `NO_COLOR` is set (https://no-color.org).
fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Clap's text as standard output takes it.
pub(super) fn stdout_text(text: &StyledStr) -> String {
    if stdout_colours() { text.ansi().to_string() } else { text.to_string() }
}

/// Clap's text as standard error takes it.
pub(super) fn stderr_text(text: &StyledStr) -> String {
    if stderr_colours() { text.ansi().to_string() } else { text.to_string() }
}

/// Whether standard output is a terminal.
pub(super) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How many columns standard output has now; 80 where it does not say.
pub(super) fn stdout_width() -> usize {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => 80,
    }
}

/// A text from a file that anyone may have written to, without what a terminal would obey.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let escape =
        |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Writes to standard output. A reader that has gone away (`weir … | head`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    write(text.as_bytes()).map(drop)
}

/// Writes to standard output. Answers whether anybody still reads it.
pub(super) fn write(bytes: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::other(format!("cannot write to standard output: {error}"))),
    }
}
