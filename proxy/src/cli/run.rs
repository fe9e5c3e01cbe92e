//! `weir run`: the sidecar.

use std::io;
use std::path::PathBuf;

use weir::capability;
use weir::config::{self, Options, Source};
use weir::learn::StartError;
use weir::program_log;
use weir::run::{Error, Extras};

use super::failure::{Excerpt, Failure};
use super::policy::files;

/// Run the sidecar: accept connections, forward them, read, judge and log what they say
///
/// Without --forward it takes the connections of its pod, both ways, that `weir init` redirects to
/// it. With --forward it stands before single servers, for trying it out.
///
/// Modes: `learn` and `monitor` pass every byte as it comes and read alongside; `enforce` holds
/// each operation until it is judged, and refuses what the policy does not allow.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  Guard a pod whose connections `weir init` redirects, as the user that it exempts:
    weir run --policy cart.yaml --mode enforce

  Watch what is said to a Redis server, one JSON line for each command:
    weir run --forward 127.0.0.1:6380=127.0.0.1:6379

  Log what enforcing a policy would refuse, and refuse nothing:
    weir run --forward 127.0.0.1:8081=127.0.0.1:8080 --policy cart.yaml --mode monitor

  Learn what a server is asked, in a profile that a policy can be made of:
    weir run --forward 127.0.0.1:8081=127.0.0.1:8080 --profile learned.yaml

  Settings from a file, with one of them changed:
    weir run --config weir.yaml --mode enforce

SIGHUP, or a change of a policy or the configuration, reads them again; a file with an error
leaves what was in force. SIGTERM ends after the connections did, or after --grace.")]
pub(super) struct Args {
    /// Read settings from a file, under the names of these flags; a flag wins over the file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let source = Source { flags: args.options, file: args.config };
    let settings = source.load().map_err(bad_settings)?;
    // Before there are threads, which keep the rights that they were started with.
    give_up_rights().map_err(|error| Failure::other(format!("cannot give up rights: {error}")))?;
    give_memory_back();
    let _log = program_log::start(&settings.log)
        .map_err(|error| Failure::other(format!("cannot start the program's log: {error}")))?;
    let (policies, mode) = (settings.policies.clone(), settings.mode);
    weir::run::run(settings, Extras::default()).map_err(|error| match error {
        // Told with the lines that are meant.
        Error::Policy(_) => match files::compile(&policies, mode) {
            Err(failure) => failure,
            Ok(_) => ended(error),
        },
        error => ended(error),
    })
}

/// What relays a pod's traffic needs no right to change where traffic goes, and starts no program
/// that could have more rights than itself.
fn give_up_rights() -> io::Result<()> {
    capability::drop_net_admin()?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// Has a thread of the allocator's give memory back after a burst. It is started here, so that it
/// has no more rights than the others.
fn give_memory_back() {
    // Without it memory goes back when connections come or go: later, and still.
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}

fn bad_settings(error: config::Error) -> Failure {
    let failure = Failure::usage(error.to_string());
    match error {
        config::Error::File { line, column, source_line: text, .. } => {
            failure.excerpt(Excerpt { line, column, text })
        }
        _ => failure,
    }
}

fn ended(error: Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::Listen { what, source, .. } => match listen_hint(what, &source) {
            Some(hint) => Failure::other(message).hint(hint),
            None => Failure::other(message),
        },
        Error::Socket { .. } => Failure::other(message)
            .hint("its directory must exist and be writable; --socket names another place"),
        Error::Policy(_) | Error::RedisCommands { .. } => Failure::usage(message),
        Error::Profile(error) => bad_profile(error),
        Error::TrafficLog(_) => Failure::other(message).hint(
            "its directory must exist and be writable; --traffic-log names another file, or `off`",
        ),
        Error::Looping | Error::Start(_) => Failure::other(message),
    }
}

fn bad_profile(error: StartError) -> Failure {
    let message = error.to_string();
    match error {
        StartError::Broken(bad) => {
            let failure = Failure::usage(message)
                .hint("mend it, or move it away and a new one is begun; --profile names another");
            let line = usize::try_from(bad.line).unwrap_or(usize::MAX).saturating_sub(1);
            let text = std::fs::read_to_string(&bad.file).unwrap_or_default();
            match text.lines().nth(line) {
                Some(text) => {
                    let (line, column) = (bad.line, bad.column);
                    let text = text.chars().take(120).collect();
                    failure.excerpt(Excerpt { line, column, text })
                }
                None => failure,
            }
        }
        StartError::Key(_) => Failure::usage(message).hint(
            "put back the key that the profile was learned with, or move it away and a new one is \
             made: what is still hidden in the profile is forgotten then",
        ),
        StartError::Read { .. } => Failure::usage(message).hint(
            "it must be a file that this user may read; --profile and --profile-key name others",
        ),
        StartError::Write { .. } => Failure::other(message)
            .hint("its directory must exist and be writable: files in it are replaced whole"),
        StartError::Start(_) => Failure::other(message),
    }
}

/// What to do when an address cannot be listened at.
fn listen_hint(what: &str, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::AddrInUse => Some(format!(
            "another program listens there (`ss -ltnp` names it): stop it, or choose another address with {what}"
        )),
        io::ErrorKind::AddrNotAvailable if what == "--outbound-port" => {
            Some("the loopback interface is down: `ip link set lo up`".to_owned())
        }
        io::ErrorKind::AddrNotAvailable => {
            Some(format!("the address is not this machine's: choose another with {what}"))
        }
        io::ErrorKind::PermissionDenied => {
            Some(format!("ports below 1024 need a privilege: choose another with {what}"))
        }
        _ => None,
    }
}
