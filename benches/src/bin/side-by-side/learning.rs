//! On the loopback: what learning adds to monitoring.

use std::{
    fmt::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    goal::{Goal, learning},
    load::Client,
    origin::{Ground, Origins},
    rounds::{Figures, Rounds},
    table,
    target::{Kind, Place, Target},
    varied,
};

use crate::{InRounds, note, room};

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    rounds: usize,
    placement: String,
    not_measured: Vec<String>,
    figures: Vec<Figures>,
    goals: Vec<Goal>,
}

pub(crate) fn run(options: &InRounds) -> Result<ExitCode, Error> {
    let (percent, rounds, limit) = if options.quick { (25, 3, 30) } else { (100, 20, 270) };
    let deadline = Instant::now() + Duration::from_secs(limit);
    let room = room()?;
    let cores = Cores::claim();
    let mut missing = Vec::new();
    let origins = Origins::start(room.path(), Ground::loopback()?, &mut missing)?;
    origins.keep(&varied::keys())?;
    let weir = options.common.weir();
    let place = Place { room: room.path(), origins: &origins, cores, weir: &weir };
    let mut workloads = varied::workloads(percent);
    workloads.retain(|workload| origins.address(workload.front).is_some());

    let mut targets = Vec::new();
    for kind in [Kind::Watching, Kind::Learning] {
        let label = kind.name().replace(' ', "-");
        targets.extend(Target::start(kind, &label, &place, &mut missing)?);
    }
    let client = Client::new()?;
    let count = options.rounds.unwrap_or(rounds);
    let progress = |round| note(&format!("round {round} of {count}"));
    let yardstick = Kind::Watching;
    let rounds =
        Rounds::run(&client, &mut targets, yardstick, &workloads, count, deadline, progress)?;
    let figures = rounds.figures(&workloads);
    let findings = Findings {
        rounds: rounds.done,
        placement: cores.describe(),
        not_measured: missing,
        goals: learning(&figures),
        figures,
    };
    let mut text = String::from("Learning beside monitoring, paths and keys that vary\n");
    text += &table::head(findings.rounds, &findings.placement);
    text += &table::figures(&findings.figures, &workloads, yardstick);
    text += &table::goals(&findings.goals);
    for missing in &findings.not_measured {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\nNot measured: {missing}");
    }
    options.common.show(&findings, &text)?;
    Ok(ExitCode::SUCCESS)
}
