//! `weir demo`: a little shop on this machine, with a sidecar at each of its services, customers
//! who must not notice, and an intruder who must not get anywhere. With `--transparent` it is in
//! pods: network namespaces whose connections `weir init` redirects. The sidecars learn from the
//! customers first, and enforce what they have learned.
//!
//! Nothing that the demo says is taken from what the sidecars say alone: the services keep all
//! that they receive, every attack has a trace of its own, and a refusal counts only if the
//! intruder was told no, the service saw nothing of it, and the traffic log has it.

mod attacks;
mod calls;
mod child;
mod customers;
mod enforce;
mod intruder;
mod learn;
mod log;
mod namespace;
mod origin;
mod report;
mod shop;
mod sidecar;
mod stage;
mod table;
mod town;
mod transcript;
mod trial;
mod tries;
mod workplace;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use weir_policy::decide::Mode;

use attacks::Attack;
pub use child::Child;
use customers::{Customers, Tally};
use report::Outcome;
use shop::Workload;
use stage::Stage;
use town::Town;
use transcript::Transcript;
use trial::Finding;
use workplace::Workplace;

/// The customers have the shop to themselves for this long, before and after the attacks.
const QUIET: Duration = Duration::from_millis(700);
/// Between two attacks.
const PAUSE: Duration = Duration::from_millis(70);
/// The run is given up after this long, `--serve` aside.
const BOUND: Duration = Duration::from_secs(60);

/// What is said when a signal ends the run.
const STOPPED: &str = "stopped by a signal";

/// What `weir demo` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The mode of the sidecars once they have learned.
    pub mode: Mode,
    /// In pods whose connections are redirected: network namespaces of the demo's own.
    pub transparent: bool,
    /// Keep the shop open after the run, until a signal comes.
    pub serve: bool,
    /// Where to put the profiles, policies and logs, and leave them.
    pub keep: Option<PathBuf>,
}

/// Runs the demo and tells about it on standard output; what keeps it from running goes to
/// standard error.
///
/// Success means that every customer request had the expected answer and every attack was
/// refused and logged. Everything that was started is stopped again, also on failure and on
/// SIGINT, SIGTERM and SIGHUP.
pub fn run(options: &Options) -> ExitCode {
    let mut transcript = Transcript::stdout();
    match start(options, &mut transcript) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(words) => {
            transcript.error(&words);
            ExitCode::FAILURE
        }
    }
}

/// Makes the place, plays, and takes the place away again unless someone wants it.
fn start(options: &Options, transcript: &mut Transcript) -> Result<bool, String> {
    let town = if options.transparent { Some(Town::build()?) } else { None };
    let run = random_word().map_err(|error| format!("no random word: {error}"))?;
    let place = Workplace::new(options.keep.as_deref(), &run);
    let mut place = place.map_err(|error| format!("no place for the demo's files: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let result = runtime.block_on(perform(options, transcript, &mut place, &run, town));
    // What went wrong is in the logs: then they stay. (That monitor refuses nothing is no fault.)
    match &result {
        Ok(true) => {}
        Ok(false) if options.mode != Mode::Enforce => {}
        Err(words) if words == STOPPED => {}
        Ok(false) | Err(_) => place.keep(),
    }
    if place.stays() {
        transcript
            .line(&format!("\nThe profiles, policies and logs are in {}", place.dir().display()));
    }
    result
}

/// Sets the stage, plays, sums up, and stays open if asked to. Answers whether all held.
async fn perform(
    options: &Options,
    transcript: &mut Transcript,
    place: &mut Workplace,
    run: &str,
    town: Option<Town>,
) -> Result<bool, String> {
    let mut stop = Stop::listen().map_err(|error| format!("no signals: {error}"))?;
    let mut stage = tokio::select! {
        stage = Stage::set(place, town) => stage?,
        () = stop.comes() => return Err(STOPPED.to_owned()),
    };
    report::opening(transcript, &stage, place, options.mode);
    let outcome = tokio::select! {
        outcome = play(&mut stage, place, options.mode, transcript, run) => outcome?,
        () = stop.comes() => return Err(STOPPED.to_owned()),
        () = tokio::time::sleep(BOUND) => return Err("given up: it takes too long".to_owned()),
    };
    report::summary(transcript, &outcome, options.mode);
    if !options.transparent && rustix::process::geteuid().is_root() {
        report::more(transcript);
    }
    if options.serve || place.stays() {
        report::question(transcript, &stage, place, &outcome);
    }
    if options.serve {
        // For `weir policy pending`: else it takes ten seconds.
        stage.write_profiles().await?;
        stage.stop_recording();
        report::invitation(transcript, &stage, place);
        stop.comes().await;
    }
    Ok(outcome.holds())
}

/// The run itself: customers all along; the sidecars learn from them, and then the attacks come
/// one by one.
async fn play(
    stage: &mut Stage,
    place: &Workplace,
    mode: Mode,
    transcript: &mut Transcript,
    run: &str,
) -> Result<Outcome, String> {
    let began = Instant::now();
    let words = |error: io::Error| error.to_string();
    let customers = Customers::enter(&stage.doors().map_err(words)?);
    let lessons = learn::watch(stage, transcript).await?;
    let policies = lessons.iter().map(|lesson| Ok((lesson.of, enforce::policy(lesson, mode)?)));
    let policies: Vec<(Workload, String)> = policies.collect::<Result<_, String>>()?;
    report::lessons(transcript, &lessons, &policies);
    let took = enforce::switch(stage, place, &policies).await?;
    report::switched(transcript, mode, took);
    let before = customers.tally().requests;
    tokio::time::sleep(QUIET).await;
    report::progress(transcript, &customers.tally());

    let mut attacks = attacks::all(run);
    tries::add(&mut attacks, stage, run);
    let mut findings = attack(stage, transcript, &attacks).await.map_err(words)?;
    transcript.line("");
    report::progress(transcript, &customers.tally());
    tokio::time::sleep(QUIET).await;
    let tally = customers.leave().await;
    let outcome = count(stage, &attacks, &mut findings, tally, before).await.map_err(words)?;
    Ok(Outcome { took: began.elapsed(), ..outcome })
}

/// Tries the attacks one by one.
async fn attack(
    stage: &mut Stage,
    transcript: &mut Transcript,
    attacks: &[Attack],
) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (n, attack) in attacks.iter().enumerate() {
        let finding = stage.attack(attack).await?;
        report::attack(transcript, n + 1, attack, &finding);
        findings.push(finding);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(findings)
}

/// Asks once more, now that all is quiet, and counts: nothing may have arrived late.
async fn count(
    stage: &mut Stage,
    attacks: &[Attack],
    findings: &mut [Finding],
    tally: Tally,
    before: u64,
) -> io::Result<Outcome> {
    for (attack, finding) in attacks.iter().zip(&mut *findings) {
        finding.reached = stage.reached(attack)?;
    }
    let served = stage.operations(Workload::Frontend)?;
    let records = findings.iter().filter_map(|finding| finding.record.as_ref());
    let known: Vec<String> = records.map(|record| record.conn.clone()).collect();
    let (logged, by_entry) = stage.logged(tally.requests).await?;
    Ok(Outcome {
        served: u64::try_from(served).unwrap_or(u64::MAX),
        logged,
        by_entry,
        since: tally.requests - before,
        attacks: attacks.len(),
        refused: findings.iter().filter(|finding| finding.refused()).count(),
        reached: findings.iter().filter(|finding| finding.reached.is_some()).count(),
        example: example(attacks, findings),
        recorded: findings.iter().filter(|finding| finding.record.is_some()).count(),
        others: stage.others(&known)?,
        tally,
        took: Duration::ZERO,
    })
}

/// The first attack whose record has an operation.
fn example(attacks: &[Attack], findings: &[Finding]) -> Option<(Workload, String)> {
    let mut pairs = attacks.iter().zip(findings);
    pairs.find_map(|(attack, finding)| {
        let record = finding.record.as_ref().filter(|record| record.op.is_some())?;
        Some((attack.guard?, record.id.clone()))
    })
}

/// A word of letters and digits that no other run has.
fn random_word() -> io::Result<String> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("w{:08x}x", u32::from_be_bytes(bytes)))
}

/// The signals that end the demo.
struct Stop([tokio::signal::unix::Signal; 3]);

impl Stop {
    fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn comes(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
