//! `weir policy replay`: what policies say of the traffic in a log.

mod lines;
mod masked;
mod tally;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde_json::json;
use weir_policy::decide::Mode;

use super::files;
use crate::cli::failure::{Failure, Message};
use crate::cli::terminal;
use lines::{Lines, Progress};
use masked::Outcome;
pub(super) use masked::{Judge, Said};
use tally::Tally;

/// Replay a traffic log: which of its operations policies allow, refuse, or cannot be told of
///
/// The log masks values, and may leave out what decides: then an operation is undecidable, with the
/// reason. It is decided for all values that a record may stand for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir policy replay cart.yaml traffic.jsonl
  weir policy replay cart.yaml shared.yaml traffic.jsonl --fail-on-refusal
  zcat traffic-*.gz | weir policy replay cart.yaml - --json

Whatever became of them then, all operations in the log are decided anew, as of today: an entry that
has expired allows nothing. Names in `host` peers are not resolved. With `--log-detail full` on
`weir run` fewer are undecidable.

Exit status: 0; 1 with --fail-on-refusal if an operation is refused; 2 for wrong usage or bad files.")]
pub(in crate::cli) struct Args {
    /// The policy files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The traffic log; `-` for standard input
    #[arg(value_name = "LOG")]
    log: PathBuf,

    /// End with status 1 if an operation is refused
    #[arg(long)]
    fail_on_refusal: bool,

    /// One JSON object for each group, and one for the totals
    #[arg(long)]
    json: bool,

    /// Tell of each record first, by its id
    #[arg(long)]
    each: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // What a refusal would be in another mode is what replay tells of.
    let (snapshot, texts) = files::compile(&args.files, Mode::Enforce)?;
    for warning in snapshot.warnings() {
        Message::new(warning.to_string()).excerpt(texts.excerpt(&warning.at)).warn();
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut tally = Tally::default();
    let mut lines = Lines::open(&args.log)?;
    let mut progress = Progress::new(lines.length());
    let mut judge = Judge::new(&snapshot);
    while let Some((number, line)) = lines.next()? {
        match judge.line(line) {
            Ok(Some(outcome)) => {
                tally.add(&outcome);
                if args.each && each(&outcome, args.json, &mut out).is_err() {
                    return Ok(());
                }
            }
            Ok(None) => tally.again(),
            Err(why) => tally.broken(number, why),
        }
        progress.tell(number, lines.read());
    }
    progress.end();
    let name = match args.log.display().to_string() {
        name if name == "-" => "standard input".to_owned(),
        name => name,
    };
    tally.warn(&name);
    if tally.operations() == 0 {
        return Err(Failure::usage(format!("{name} has no record that can be replayed")).hint(
            "a traffic log is what `weir run --traffic-log` writes; allowed operations are left \
             out with `--log-allowed off`",
        ));
    }
    let text = if args.json { tally.json() } else { tally.text() };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::other(format!("cannot write to standard output: {error}")));
        }
        _ => {}
    }
    match tally.refused() {
        n if n > 0 && args.fail_on_refusal => Err(Failure::other(format!(
            "{n} of {} operations in {name} would be refused",
            tally.operations()
        ))),
        _ => Ok(()),
    }
}

/// A line for one record.
fn each(outcome: &Outcome<'_>, json: bool, out: &mut impl Write) -> io::Result<()> {
    let id = outcome.id.as_deref().unwrap_or("-");
    let (result, reason) = (outcome.said.result(), outcome.said.reason());
    if json {
        let line = json!({"id": outcome.id.as_deref(), "result": result, "reason": reason,
            "count": outcome.count});
        return writeln!(out, "{line}");
    }
    match reason {
        "" => writeln!(out, "{id} {result}"),
        reason => writeln!(out, "{id} {result} {}", terminal::shown(reason)),
    }
}
