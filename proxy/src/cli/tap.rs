//! `weir tap`: the transactions of a running sidecar, as they end.

use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use weir::admin::stream::{self, Body};
use weir::config::values::Span;
use weir::defaults;
use weir::report::Verdict;
use weir::report::tap::{Answers, Filter, Glob, NOTICE, filter};
use weir_policy::op::{Protocol, Side};

use super::failure::{Failure, Message};
use super::terminal;

mod table;

use table::Table;

/// Show what passes through a running sidecar, over its Unix socket: each transaction as it ends
///
/// A table on a terminal, and otherwise the lines of the traffic log (docs/traffic-log.md), also
/// of what --log-allowed leaves out of it. Of a flag that is given again, one must match.
///
/// The traffic does not wait for a tap. One that is read too slowly loses records and says how
/// many.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Whatever passes:
    weir tap --socket weir.sock

  What was refused, or would be:
    weir tap --verdict refused --verdict would-refuse

  Slow or failed requests for carts from one range:
    weir tap --protocol http --op 'GET /carts/*' --peer 10.0.0.0/8 --slower-than 100ms
    weir tap --op '*/carts*' --status 5xx --status 429

  Which gRPC calls are refused their right, by servers or by Weir:
    weir tap --protocol grpc --status PERMISSION_DENIED

  The next hundred Redis commands, as JSON:
    weir tap --protocol redis --count 100 | jq -r .op | sort | uniq -c

Exit status: 0 after --count records, SIGINT (Ctrl-C), or when nobody reads on; 1 when the sidecar
ends or is not there.")]
pub(super) struct Args {
    /// The sidecar's socket, as its --socket names it
    #[arg(long, value_name = "PATH", default_value = defaults::SOCKET)]
    socket: PathBuf,

    /// Spoken in this protocol
    #[arg(long, value_parser = words(filter::protocols, filter::protocol))]
    protocol: Vec<Protocol>,

    /// Towards the pod, or from it
    #[arg(long, value_parser = words(filter::sides, filter::side))]
    side: Vec<Side>,

    /// With this address at the other end, or one of this range
    #[arg(long, value_name = "ADDR|CIDR", value_parser = filter::peer)]
    peer: Vec<IpNet>,

    /// To this port of the server
    #[arg(long)]
    port: Vec<u16>,

    /// With this verdict
    #[arg(long, value_parser = words(filter::verdicts, filter::verdict))]
    verdict: Vec<Verdict>,

    /// Of this shape, as the log has it in `op`; `*` is any run of characters
    #[arg(long, value_name = "GLOB")]
    op: Vec<Glob>,

    /// Answered so: 503, UNAVAILABLE, WRONGTYPE, ok; a class as 5xx; or a comparison as '>=400'
    #[arg(long)]
    status: Vec<Answers>,

    /// Slower than this, from the first byte of the request to the last of its answer
    #[arg(long, value_name = "DURATION")]
    slower_than: Option<Span>,

    /// End after so many records
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// JSON lines on a terminal too
    #[arg(long)]
    json: bool,
}

/// Reads one of a few words.
fn words<T: Clone + Send + Sync + 'static, W: Iterator<Item = &'static str>>(
    all: fn() -> W,
    read: fn(&str) -> Result<T, String>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all()).try_map(move |word| read(&word))
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let filter = Filter {
        protocols: args.protocol.clone(),
        sides: args.side.clone(),
        peers: args.peer.clone(),
        ports: args.port.clone(),
        verdicts: args.verdict.clone(),
        ops: args.op.clone(),
        statuses: args.status.clone(),
        slower_than: args.slower_than.map(|span| span.0),
    };
    let target = format!("/tap?{}", filter.to_query());
    let body = stream::open(&args.socket, &target).map_err(Failure::unanswered)?;
    let view = if args.json || !terminal::stdout_is_terminal() {
        View::Lines
    } else {
        View::Table(Table::new(terminal::stdout_colours()))
    };
    until_interrupted(body, view, args.count)
        .unwrap_or_else(|error| Err(Failure::other(format!("cannot start: {error}"))))
}

/// Shows records on a thread of its own, as writing them may take for ever.
fn until_interrupted(
    body: Body,
    view: View,
    count: Option<u64>,
) -> io::Result<Result<(), Failure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("tap".to_owned()).spawn(move || {
            // If nobody is there any more, the process is ending.
            let _ = done.send(show(body, view, count));
        })?;
        Ok(tokio::select! {
            biased;
            shown = ended => shown.unwrap_or(Ok(())),
            _ = interrupt.recv() => Ok(()),
        })
    })
}

/// How records are shown.
enum View {
    Lines,
    Table(Table),
}

/// Shows what comes, a batch at a time.
fn show(body: Body, mut view: View, count: Option<u64>) -> Result<(), Failure> {
    let mut body = BufReader::with_capacity(64 << 10, body);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    let mut left = count.unwrap_or(u64::MAX);
    if let View::Table(table) = &mut view {
        out.extend_from_slice(table.header(terminal::stdout_width()).as_bytes());
        terminal::write(&out)?;
        out.clear();
    }
    loop {
        line.clear();
        match body.read_until(b'\n', &mut line) {
            Ok(0) => return Err(Failure::other("the sidecar has ended")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Failure::other("the sidecar is gone, without a word"));
            }
            Err(error) => return Err(Failure::other(format!("cannot read on: {error}"))),
        }
        let notice = line.starts_with(NOTICE.as_bytes());
        match &mut view {
            View::Lines => out.extend_from_slice(&line),
            View::Table(table) => match serde_json::from_slice::<Value>(&line) {
                Ok(told) if notice => warn(&told),
                Ok(record) => {
                    let row = table.row(&record, terminal::stdout_width());
                    out.extend_from_slice(row.as_bytes());
                }
                Err(_) => return Err(Failure::other("what came is no record")),
            },
        }
        left -= u64::from(!notice);
        if left == 0 || memchr::memchr(b'\n', body.buffer()).is_none() {
            if !terminal::write(&out)? || left == 0 {
                return Ok(());
            }
            out.clear();
        }
    }
}

/// Beside the table: what it does not have.
fn warn(notice: &Value) {
    let dropped = notice["dropped"].as_u64().unwrap_or_default();
    Message::new(format!("{dropped} records are missing here: they came too fast")).warn();
}
