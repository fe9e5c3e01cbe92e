//! On the loopback: Weir in two modes, HAProxy and nothing, with the memory of idle connections.

use std::{
    fmt::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    goal::{Goal, goals},
    load::Client,
    memory::{self, Memory},
    origin::{Ground, Origins},
    rounds::{Figures, Rounds},
    table,
    target::{Kind, Place, Target},
    workload::Workload,
};

use crate::{InRounds, note, room};

const IDLE_CONNECTIONS: usize = 4000;

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    rounds: usize,
    placement: String,
    not_measured: Vec<String>,
    figures: Vec<Figures>,
    memory: Vec<Memory>,
    goals: Vec<Goal>,
}

pub(crate) fn run(options: &InRounds) -> Result<ExitCode, Error> {
    let (findings, workloads) = measure(options)?;
    options.common.show(&findings, &text(&findings, &workloads))?;
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &InRounds) -> Result<(Findings, Vec<Workload>), Error> {
    let (percent, rounds, limit) = if options.quick { (25, 3, 30) } else { (100, 10, 270) };
    let deadline = Instant::now() + Duration::from_secs(limit);
    let room = room()?;
    let cores = Cores::claim();
    let mut missing = Vec::new();
    let origins = Origins::start(room.path(), Ground::loopback()?, &mut missing)?;
    let weir = options.common.weir();
    let place = Place { room: room.path(), origins: &origins, cores, weir: &weir };
    let mut workloads = Workload::all(percent);
    workloads.retain(|workload| origins.address(workload.front).is_some());

    let mut targets = Vec::new();
    for kind in Kind::ALL {
        let label = kind.name().replace(' ', "-");
        targets.extend(Target::start(kind, &label, &place, &mut missing)?);
    }
    let client = Client::new()?;
    let count = options.rounds.unwrap_or(rounds);
    let progress = |round| note(&format!("round {round} of {count}"));
    let yardstick = Kind::Haproxy;
    let rounds =
        Rounds::run(&client, &mut targets, yardstick, &workloads, count, deadline, progress)?;
    drop(targets);
    let memory = idle(&client, &place, &workloads)?;
    let figures = rounds.figures(&workloads);
    let goals = goals(&figures, &memory);
    let findings = Findings {
        rounds: rounds.done,
        placement: cores.describe(),
        not_measured: missing,
        figures,
        memory,
        goals,
    };
    Ok((findings, workloads))
}

fn idle(client: &Client, place: &Place<'_>, workloads: &[Workload]) -> Result<Vec<Memory>, Error> {
    let count = memory::affordable(IDLE_CONNECTIONS);
    let mut found = Vec::new();
    for workload in workloads.iter().filter(|workload| matches!(workload.key, "http" | "redis")) {
        for kind in Kind::ALL {
            note(&format!("{count} idle connections: {}, {}", kind.name(), workload.key));
            found.extend(memory::measure(client, kind, place, workload, count)?);
        }
    }
    Ok(found)
}

fn text(findings: &Findings, workloads: &[Workload]) -> String {
    let mut out = table::head(findings.rounds, &findings.placement);
    out += &table::figures(&findings.figures, workloads, Kind::Haproxy);
    out += &table::memory(&findings.memory);
    out += &table::goals(&findings.goals);
    for missing in &findings.not_measured {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "\nNot measured: {missing}");
    }
    out
}
