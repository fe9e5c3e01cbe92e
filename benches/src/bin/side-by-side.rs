//! `side-by-side`: Weir beside HAProxy and beside nothing, under the same load. See `docs/benchmarks.md`.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    goal::{Goal, goals},
    load::Client,
    memory::{self, Memory},
    origin::Origins,
    rounds::{Figures, Rounds},
    table,
    target::{Kind, Place, Target},
    workload::Workload,
};

const IDLE_CONNECTIONS: usize = 4000;

/// Measures Weir, HAProxy and a direct connection in interleaved rounds. Figures never make it fail; a wrong answer does.
#[derive(Debug, Parser)]
#[command(name = "side-by-side")]
struct Options {
    /// Three short rounds, in under a minute.
    #[arg(long)]
    quick: bool,
    /// Number of rounds.
    #[arg(long)]
    rounds: Option<usize>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// The weir program; by default the one beside this program.
    #[arg(long)]
    weir: Option<PathBuf>,
}

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

fn main() -> ExitCode {
    let options = Options::parse();
    let shown = measure(&options).and_then(|(findings, workloads)| {
        show(&options, &findings, &workloads)
            .map_err(|source| Error::Io { what: "output".to_owned(), source })
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("side-by-side: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(Findings, Vec<Workload>), Error> {
    let io = |source| Error::Io { what: "a directory for the run".to_owned(), source };
    let (percent, rounds, limit) = if options.quick { (25, 3, 30) } else { (100, 10, 270) };
    let deadline = Instant::now() + Duration::from_secs(limit);
    let room = tempfile::Builder::new().prefix("weir-bench-").tempdir().map_err(io)?;
    fs::set_permissions(room.path(), fs::Permissions::from_mode(0o755)).map_err(io)?;
    let cores = Cores::claim();
    let mut missing = Vec::new();
    let origins = Origins::start(room.path(), &mut missing)?;
    let weir = options.weir.clone().unwrap_or_else(beside_this_program);
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
    let rounds = Rounds::run(&client, &mut targets, &workloads, count, deadline, progress)?;
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

fn beside_this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("weir")
}

fn show(options: &Options, findings: &Findings, workloads: &[Workload]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, findings)?;
        return writeln!(out);
    }
    writeln!(out, "{} rounds; {}", findings.rounds, findings.placement)?;
    writeln!(out, "medians over the rounds (least-greatest); CPU time is the proxy's own")?;
    write!(out, "{}", table::figures(&findings.figures, workloads))?;
    write!(out, "{}", table::memory(&findings.memory))?;
    write!(out, "{}", table::goals(&findings.goals))?;
    for missing in &findings.not_measured {
        writeln!(out, "\nNot measured: {missing}")?;
    }
    Ok(())
}

fn note(text: &str) {
    // Progress is a courtesy: nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{text}");
}
