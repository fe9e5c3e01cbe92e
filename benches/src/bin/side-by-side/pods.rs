//! From pod to pod: what the redirect adds to a forward, and a forward to nothing.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    pods::{Outside, Pod, Tools, impossible},
    rounds::{Figures, Rounds},
    table,
    target::Kind,
    workload::Workload,
};

use crate::{InRounds, note, room};

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    rounds: usize,
    placement: String,
    figures: Vec<Figures>,
}

pub(crate) fn run(options: &InRounds) -> Result<ExitCode, Error> {
    if let Some(why) = impossible() {
        note(&format!("The transparent path is not measured: {why}"));
        return Ok(ExitCode::SUCCESS);
    }
    let (findings, workloads) = measure(options)?;
    let mut text = String::from("From pod to pod, over a pair of interfaces, in enforce\n");
    text += &table::head(findings.rounds, &findings.placement);
    text += &table::figures(&findings.figures, &workloads, Kind::PodForward);
    options.common.show(&findings, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn measure(options: &InRounds) -> Result<(Findings, Vec<Workload>), Error> {
    let (percent, rounds, limit) = if options.quick { (25, 3, 30) } else { (100, 10, 180) };
    let deadline = Instant::now() + Duration::from_secs(limit);
    let room = room()?;
    let cores = Cores::claim();
    let weir = Tools::publish(&options.common.weir(), room.path())?;
    let tools = Tools { room: room.path(), cores, weir: &weir };

    let outside = Outside::new()?;
    // The plain pod has no rules: where there are any, connection tracking costs the direct way too.
    let (plain, guarded) = (Pod::new(&outside, 1)?, Pod::new(&outside, 2)?);
    let open = plain.serve(&room.path().join("plain"))?;
    let behind = guarded.serve(&room.path().join("guarded"))?;
    let mut targets = vec![
        plain.direct(&open),
        plain.forward(&outside, tools, &open)?,
        guarded.guard(&outside, tools, &behind)?,
    ];
    let mut workloads = Workload::in_pods(percent);
    workloads.retain(|workload| open.address(workload.front).is_some());

    let client = outside.client()?;
    let count = options.rounds.unwrap_or(rounds);
    let progress = |round| note(&format!("round {round} of {count}"));
    let yardstick = Kind::PodForward;
    let rounds =
        Rounds::run(&client, &mut targets, yardstick, &workloads, count, deadline, progress)?;
    let figures = rounds.figures(&workloads);
    Ok((Findings { rounds: rounds.done, placement: cores.describe(), figures }, workloads))
}
