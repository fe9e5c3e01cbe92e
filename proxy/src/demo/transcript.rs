//! What the demo says, and how: plain lines, coloured on a terminal unless `NO_COLOR` is set.

use std::io::{IsTerminal, Write};

/// Where the demo's lines go.
pub(super) struct Transcript {
    out: Box<dyn Write>,
    terminal: bool,
    colours: bool,
}

/// How a piece of a line looks.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// By the way.
    Quiet,
    /// A heading.
    Strong,
}

impl Transcript {
    /// To standard output.
    pub(super) fn stdout() -> Self {
        let out = std::io::stdout();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = out.is_terminal();
        Self { terminal, colours: terminal && !plain, out: Box::new(out) }
    }

    /// Writes a line. A reader that has gone away does not stop the demo.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    /// Writes lines in place of the last `over`, where that can be; else below them.
    pub(super) fn redraw(&mut self, over: usize, lines: &[String]) {
        let clear = if self.terminal { "\x1b[K" } else { "" };
        if self.terminal && over > 0 {
            let _ = write!(self.out, "\x1b[{over}A");
        }
        for line in lines {
            let _ = writeln!(self.out, "{line}{clear}");
        }
        let _ = self.out.flush();
    }

    /// Writes what went wrong to standard error.
    pub(super) fn error(&mut self, text: &str) {
        let _ = writeln!(std::io::stderr(), "weir demo: {text}");
    }

    /// `text` in a tone, for use in a line.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Text of the intruder's as a terminal may have it: control characters are escaped, and what is
/// too long is cut.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(110) {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Transcript, printable};

    #[test]
    fn lines_are_replaced_on_a_terminal_alone() {
        for (terminal, expected) in [(false, "a\nb\n"), (true, "a\u{1b}[K\n\u{1b}[1Ab\u{1b}[K\n")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let out = Box::new(file.reopen().unwrap());
            let mut transcript = Transcript { out, terminal, colours: false };
            transcript.redraw(0, &["a".to_owned()]);
            transcript.redraw(1, &["b".to_owned()]);
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        assert_eq!(printable("it's \x1b[31m\0"), "it's \\u{1b}[31m\\u{0}");
        assert_eq!(printable(&"x".repeat(1000)).len(), 110);
    }
}
