//! On the loopback: HTTP/2 and gRPC through Weir in two modes, HAProxy and nothing, with the memory of idle streams.

use std::{
    fmt::Write,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    goal::{self, Goal},
    http2::{
        calls::Call,
        h2load::H2load,
        idle::{self, Idle},
        origin::{self, Origin},
        target::{Place, start},
    },
    rounds::{Figures, Rounds},
    table,
    target::Kind,
};

use crate::{InRounds, note, room};

const IDLE_STREAMS: usize = 1000;

/// Where the origin listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Addresses {
    addresses: Vec<SocketAddr>,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    rounds: usize,
    placement: String,
    not_measured: Vec<String>,
    figures: Vec<Figures>,
    idle: Vec<Idle>,
    goals: Vec<Goal>,
}

pub(crate) fn serve(at: &Addresses) -> Result<ExitCode, Error> {
    origin::serve(&at.addresses)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(options: &InRounds) -> Result<ExitCode, Error> {
    let room = room()?;
    let Some(client) = H2load::new(room.path()) else {
        note("HTTP/2 is not measured: h2load is not installed (nghttp2-client)");
        return Ok(ExitCode::SUCCESS);
    };
    let (percent, rounds, limit) = if options.quick { (25, 3, 60) } else { (100, 10, 270) };
    let deadline = Instant::now() + Duration::from_secs(limit);
    let cores = Cores::claim();
    let own = std::env::current_exe();
    let own = own.map_err(|source| Error::Io { what: "this program".to_owned(), source })?;
    let origin = Origin::start(&own, room.path())?;
    let weir = options.common.weir();
    let place = Place { room: room.path(), origin: &origin, cores, weir: &weir };
    let (calls, mut targets, mut missing) = (Call::all(percent), Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let label = kind.name().replace(' ', "-");
        targets.extend(start(kind, &label, &place, &mut missing)?);
    }
    let count = options.rounds.unwrap_or(rounds);
    let progress = |round| note(&format!("round {round} of {count}"));
    let yardstick = Kind::Haproxy;
    let rounds = Rounds::run(&client, &mut targets, yardstick, &calls, count, deadline, progress)?;
    drop(targets);
    let mut idle = Vec::new();
    for kind in Kind::ALL {
        note(&format!("{IDLE_STREAMS} idle streams: {}", kind.name()));
        idle.extend(idle::measure(kind, &place, IDLE_STREAMS)?);
    }
    let figures = rounds.figures(&calls);
    let findings = Findings {
        rounds: rounds.done,
        placement: cores.describe(),
        not_measured: missing,
        goals: goal::http2(&figures, &idle),
        figures,
        idle,
    };
    options.common.show(&findings, &text(&findings, &calls))?;
    Ok(ExitCode::SUCCESS)
}

fn text(findings: &Findings, calls: &[Call]) -> String {
    let mut out = String::from("HTTP/2 and gRPC, h2load with 4 connections of 32 streams\n");
    out += &table::head(findings.rounds, &findings.placement);
    out += &table::figures(&findings.figures, calls, Kind::Haproxy);
    out += &table::streams(&findings.idle);
    out += &table::goals(&findings.goals);
    for missing in &findings.not_measured {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\nNot measured: {missing}");
    }
    out
}
