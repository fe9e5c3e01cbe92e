//! The program's own log, on standard error: for people on a terminal, JSON lines otherwise.
//!
//! Lines go through a bounded queue to a thread that writes them, so that a standard error which
//! nobody reads never stops a thread that carries traffic. Lines that find no room are dropped
//! and counted in the next line that does.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How many lines wait for a slow reader.
const QUEUE: usize = 1024;
/// How long the end of the program waits for the last lines to be written.
const FLUSH: Duration = Duration::from_millis(500);

/// Which events are logged: a level, or directives as tracing-subscriber reads them
/// (`weir=debug,hyper=info`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Filter(String);

impl Default for Filter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        directives(text).map(|_| Self(text.to_owned()))
    }
}

impl TryFrom<String> for Filter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A level alone is Weir's: what it stands on says no more than warnings.
fn directives(text: &str) -> Result<EnvFilter, String> {
    let wrong = || {
        format!(
            "`{text}` is not a level: write error, warn, info, debug, trace, or directives such as `weir=debug,hyper=info`"
        )
    };
    let spelled = match LevelFilter::from_str(text) {
        Ok(_) if text.is_empty() => return Err(wrong()),
        Ok(level) if level <= LevelFilter::WARN => level.to_string(),
        Ok(level) => format!("warn,weir={level}"),
        Err(_) if text.contains('=') => text.to_owned(),
        Err(_) => return Err(wrong()),
    };
    EnvFilter::try_new(spelled).map_err(|_| wrong())
}

/// Starts the log for the whole process. Keep the guard until the end of `main`: when it goes, the
/// last lines are written.
///
/// # Errors
/// A log was started before, or its thread cannot be.
pub fn start(filter: &Filter) -> io::Result<Guard> {
    let terminal = io::stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (sender, receiver) = sync_channel(QUEUE);
    std::thread::Builder::new()
        .name("program-log".to_owned())
        .spawn(move || write_lines(&receiver, &mut io::stderr()))?;
    let queue = Queue { sender: sender.clone(), dropped: Arc::default() };
    let filter = directives(&filter.0).map_err(io::Error::other)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue);
    let started = if terminal {
        log.compact().with_ansi(colours).with_target(false).try_init()
    } else {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    started.map_err(io::Error::other)?;
    Ok(Guard(sender))
}

/// Writes the last lines when it is dropped.
#[derive(Debug)]
pub struct Guard(SyncSender<Message>);

impl Drop for Guard {
    fn drop(&mut self) {
        let (done, finished) = sync_channel(1);
        if self.0.try_send(Message::Flush(done)).is_ok() {
            // Either way the program ends: a reader that stands still does not hold it up.
            let _ = finished.recv_timeout(FLUSH);
        }
    }
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

fn write_lines(lines: &Receiver<Message>, out: &mut impl Write) {
    while let Ok(message) = lines.recv() {
        match message {
            // There is nowhere to tell that standard error cannot be written.
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// Gives the subscriber something to write to: each event is one write.
struct Queue {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Queue;

    fn make_writer(&'a self) -> &'a Queue {
        self
    }
}

impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.dropped.swap(0, Relaxed);
        let mut bytes = Vec::with_capacity(line.len());
        if dropped > 0 {
            bytes.extend_from_slice(format!("{{\"level\":\"WARN\",\"message\":\"{dropped} lines of the program's log were dropped\"}}\n").as_bytes());
        }
        bytes.extend_from_slice(line);
        if self.sender.try_send(Message::Line(bytes)).is_err() {
            self.dropped.fetch_add(dropped + 1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_read() {
        for text in ["error", "warn", "info", "DEBUG", "trace", "off", "weir=debug,hyper=info"] {
            assert!(text.parse::<Filter>().is_ok(), "{text}");
        }
        for text in ["", "loud", "weir=loud", "info,debug"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_level_is_weirs_own() {
        assert_eq!(directives("debug").unwrap().to_string(), "weir=debug,warn");
        assert_eq!(directives("error").unwrap().to_string(), "error");
    }

    #[test]
    fn a_full_queue_drops_and_says_so() {
        let (sender, receiver) = sync_channel(1);
        let queue = Queue { sender, dropped: Arc::default() };
        for line in ["one\n", "two\n", "three\n"] {
            (&queue).write_all(line.as_bytes()).unwrap();
        }
        let Message::Line(line) = receiver.try_recv().unwrap() else { panic!() };
        assert_eq!(line, b"one\n");
        (&queue).write_all(b"four\n").unwrap();
        let Message::Line(line) = receiver.try_recv().unwrap() else { panic!() };
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains("2 lines") && line.ends_with("four\n"), "{line}");
    }

    #[test]
    fn lines_are_written_in_order_before_a_flush_is_answered() {
        let (sender, receiver) = sync_channel(8);
        let (done, finished) = sync_channel(1);
        sender.send(Message::Line(b"a\n".to_vec())).unwrap();
        sender.send(Message::Line(b"b\n".to_vec())).unwrap();
        sender.send(Message::Flush(done)).unwrap();
        drop(sender);
        let mut out = Vec::new();
        write_lines(&receiver, &mut out);
        assert_eq!(out, b"a\nb\n");
        assert_eq!(finished.try_recv(), Ok(()));
    }
}
