//! What HTTP/2 goes through.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{calls::Call, client::check, origin::Origin};
use crate::{
    Error,
    affinity::Cores,
    child::Log,
    target::{Fronts, Kind, Target, forwarding, launch, mode_of, program, write},
    workload::Front,
};

const FRONTS: [Front; 2] = [Front::Http2, Front::Grpc];

/// Everything that starting a target needs.
#[derive(Debug)]
pub struct Place<'a> {
    /// A directory for files and logs.
    pub room: &'a Path,
    /// The server behind.
    pub origin: &'a Origin,
    /// Where the proxy runs.
    pub cores: Cores,
    /// The `weir` program.
    pub weir: &'a Path,
}

/// Starts a target; `label` names its files in the room. None if its program is not there, which is added to `missing`.
///
/// # Errors
/// If the program is there and does not start, answers wrongly, or does not do what its mode says.
pub fn start(
    kind: Kind,
    label: &str,
    place: &Place<'_>,
    missing: &mut Vec<String>,
) -> Result<Option<Target>, Error> {
    let origins = Fronts([(Front::Http2, place.origin.http), (Front::Grpc, place.origin.grpc)]);
    let target = if kind == Kind::Direct {
        Target::before(kind, origins, None, place.origin.pid())
    } else {
        let Some(binary) = program(kind, place.weir, missing) else { return Ok(None) };
        let fronts = Fronts::free(FRONTS)?;
        let log = Log::create(place.room.join(format!("{label}.log")))?;
        let (mut command, output) = if kind == Kind::Haproxy {
            (haproxy(&binary, place.room, fronts, origins)?, Some(log.output()?))
        } else {
            let policy = policy(place.room, origins)?;
            (forwarding(&binary, mode_of(kind), fronts, origins, &policy, &log)?, None)
        };
        let program = launch(label, place.room, place.cores, output, &mut command, fronts)?;
        Target::before(kind, fronts, Some((program, log)), place.origin.pid())
    };
    let checked = check(|front| target.address(front), &Call::all(1), kind == Kind::WeirEnforce);
    checked.map_err(|error| Error::Program(format!("{}: {error}", kind.name())))?;
    Ok(Some(target))
}

fn haproxy(binary: &Path, room: &Path, fronts: Fronts, origins: Fronts) -> Result<Command, Error> {
    let file = write(room.join("haproxy.cfg"), include_str!("../../haproxy/http2.cfg"))?;
    let ([http, grpc], [http_origin, grpc_origin]) = (fronts.ports(), origins.ports());
    let mut command = Command::new(binary);
    command
        .args(["-db", "-f"])
        .arg(file)
        .env("BENCH_HTTP2_LISTEN", http)
        .env("BENCH_GRPC_LISTEN", grpc)
        .env("BENCH_HTTP2_ORIGIN", http_origin)
        .env("BENCH_GRPC_ORIGIN", grpc_origin);
    Ok(command)
}

fn policy(room: &Path, origins: Fronts) -> Result<PathBuf, Error> {
    let [http, grpc] = origins.ports();
    let text = include_str!("../../weir/http2.yaml");
    write(room.join("policy.yaml"), &text.replace("@HTTP2@", &http).replace("@GRPC@", &grpc))
}
