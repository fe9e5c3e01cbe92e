//! `weir policy explain`: why an operation is decided as it is.

use std::path::PathBuf;

use weir::config::values;
use weir_policy::Snapshot;
use weir_policy::decide::Decision;
use weir_policy::explain::{Explanation, explain};
use weir_policy::suggest::{Nothing, suggest};
use weir_policy::text::OpText;

use super::files;
use super::record::Record;
use super::replay::{Judge, Said};
use crate::cli::failure::Failure;
use crate::cli::terminal;

/// Explain what policies say of an operation: which rules and entries were looked at, which
/// decides, and what would allow it
///
/// For an operation that is refused it shows the lines that would allow it, as its shape, and where
/// they belong. They have been tried.
#[derive(Debug, clap::Args)]
#[command(after_help = "Operations are written SIDE PEER :PORT PROTOCOL and then, by protocol:
  inbound 10.0.0.7 :8080 http cart.shop GET /carts/7     the host (or -), method, path
  inbound 10.0.0.7 :9090 grpc cart.shop shop.Cart/AddItem  the host (- for none), service/method
  outbound 10.9.0.5 :6379 redis db0 SET cart:7           the database, command, keys
  outbound 192.0.2.1 :443 tls sni shop.example           the server name, or none
  outbound 192.0.2.1 :5671 opaque                        the connection as such

Examples:
  weir policy explain cart.yaml --op 'inbound 10.0.0.7 :8080 http cart.shop GET /carts/7'
  weir policy explain cart.yaml --log traffic.jsonl --id 3b2a3eec2-1")]
#[command(group(clap::ArgGroup::new("what").required(true).args(["op", "log"])))]
pub(in crate::cli) struct Args {
    /// The policy files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The operation
    #[arg(long, value_name = "OPERATION")]
    op: Option<String>,

    /// A traffic log, to explain an operation in it; `-` for standard input
    #[arg(long, value_name = "LOG", requires = "id")]
    log: Option<PathBuf>,

    /// The id of the operation's record: what a refusal tells the client
    #[arg(long, value_name = "ID", requires = "log")]
    id: Option<String>,

    /// The mode where the policies name none
    #[arg(long, value_enum, default_value = "learn", value_name = "MODE")]
    mode: values::Mode,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (snapshot, _) = files::compile(&args.files, args.mode.into())?;
    match (&args.op, &args.log, &args.id) {
        (Some(op), ..) => {
            let op = op.parse().map_err(|error| {
                Failure::usage(format!("--op: {error}"))
                    .hint("as in 'inbound 10.0.0.7 :8080 http cart.shop GET /carts/7'")
            })?;
            terminal::print(&format!("{}\n{}", why(&snapshot, &op), remedy(&snapshot, &op)))
        }
        (None, Some(log), Some(id)) => of_record(&snapshot, &Record::find(log, id)?),
        _ => Err(Failure::usage("say what to explain: --op, or --log and --id")),
    }
}

fn why(snapshot: &Snapshot, op: &OpText) -> Explanation {
    explain(snapshot, &op.endpoint, &op.op.operation())
}

/// What would allow it, if something does and it is not.
fn remedy(snapshot: &Snapshot, op: &OpText) -> String {
    match suggest(snapshot, &op.endpoint, &op.op.operation()) {
        Ok(suggestion) => format!("{suggestion}\n"),
        Err(Nothing::Allowed) => String::new(),
        Err(nothing) => format!("{nothing}\n"),
    }
}

fn of_record(snapshot: &Snapshot, record: &Record) -> Result<(), Failure> {
    terminal::print(&format!("{}\n", record.summary()))?;
    let text = record.operation().map_err(|why| {
        Failure::other(format!("it cannot be decided from its record: {why}"))
            .hint("`--log-detail full` logs operations as they were sent, secrets left out")
    })?;
    let op: OpText = text.parse().map_err(|error| {
        Failure::other(format!("it cannot be decided from its record: {error} in `{text}`"))
    })?;
    let explanation = why(snapshot, &op);
    let mut told = format!("taken as: {text}\n{explanation}\n");
    let says = match explanation.decision {
        Decision::Allowed(_) => "entry",
        Decision::Ungoverned => "ungoverned",
        Decision::Violation(violation, _) => violation.label(),
    };
    if record.reason() != says {
        told.push_str(&format!(
            "but the record's reason is {}: these are not the policies of then, or what decided \
             is not in the log\n",
            record.reason()
        ));
    }
    // Taken as one value; others may be decided otherwise.
    if let Ok(Some(outcome)) = Judge::new(snapshot).line(record.json().as_bytes())
        && let Said::Undecidable(why) = &outcome.said
    {
        told.push_str(&format!("the record alone does not tell: {why}\n"));
    }
    told.push_str(&remedy(snapshot, &op));
    terminal::print(&told)
}
