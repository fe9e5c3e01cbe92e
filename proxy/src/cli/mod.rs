//! The command line: what is asked for, who does it, and how the end is told.

use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

mod completion;
mod demo;
mod failure;
mod init;
mod limits;
mod mode;
mod policy;
mod profile;
mod run;
mod tap;
mod terminal;

use failure::Failure;

/// A build sets `WEIR_VERSION` to name its commit; any other is known by its version alone.
const VERSION: &str = match option_env!("WEIR_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXAMPLES: &str = "\
Examples:
  See what two services say to each other, without touching it:
    weir run --forward 127.0.0.1:6380=127.0.0.1:6379

  Learn what is normal, and make a policy of it:
    weir run --forward 127.0.0.1:8081=127.0.0.1:8080 --profile learned.yaml
    weir profile learned.yaml
    weir policy from-profile learned.yaml > cart.yaml

  Refuse what a policy does not allow:
    weir policy check cart.yaml
    weir run --forward 127.0.0.1:8081=127.0.0.1:8080 --policy cart.yaml --mode enforce

  Watch what a running sidecar refuses:
    weir tap --verdict refused

Exit status: 0 done; 2 wrong usage or a bad file; 1 anything else.";

/// A layer 7 inspection sidecar: it reads each HTTP request and Redis command that passes, judges
/// it by a policy, and refuses what the policy does not allow.
#[derive(Debug, Parser)]
#[command(name = "weir", version = VERSION, styles = STYLES, max_term_width = 100)]
#[command(after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Init(Box<init::Args>),
    Profile(profile::Args),
    Policy(policy::Args),
    Mode(mode::Args),
    Tap(Box<tap::Args>),
    Demo(demo::Args),
    Limits(limits::Args),
    Completion(completion::Args),
}

/// Does what the command line asks for.
pub(crate) fn main() -> ExitCode {
    let done = match Cli::try_parse() {
        Ok(cli) => match cli.command {
            Command::Run(args) => run::run(*args),
            Command::Init(args) => init::run(&args),
            Command::Profile(args) => profile::run(&args),
            Command::Policy(args) => policy::run(&args),
            Command::Mode(args) => mode::run(&args),
            Command::Tap(args) => tap::run(&args),
            Command::Demo(args) => return demo::run(args),
            Command::Limits(args) => limits::run(&args),
            Command::Completion(args) => completion::run(&args, &mut Cli::command()),
        },
        Err(error) => told_by_clap(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Help and version are answers; the rest is wrong usage, told in this program's style.
fn told_by_clap(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render();
    if !error.use_stderr() {
        return terminal::print(&terminal::stdout_text(&text));
    }
    let text = terminal::stderr_text(&text);
    // Without a command the whole help is the answer, and still the usage was wrong.
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    Err(Failure::rendered(if help { text } else { format!("weir: {text}") }))
}
