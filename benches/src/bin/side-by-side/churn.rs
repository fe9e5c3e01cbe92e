//! New connections at a steady rate through a transparent sidecar, towards its pod and from it, closed by the client or by the server.

use std::{collections::BTreeMap, fmt::Write, process::ExitCode, thread, time::Duration};

use clap::ValueEnum;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use weir_benches::{
    Error,
    affinity::Cores,
    churn::{self, Passed, Plan},
    load::Closes,
    pods::{Outside, Pod, Tools, impossible},
    process::cpu_nanos,
    watch::{Peaks, Watch, shortages},
    workload::{Front, Workload},
};

use crate::{Common, note, room};

/// For the last records to be written.
const SETTLE: Duration = Duration::from_millis(500);
const LONGEST: i64 = 600;
const FASTEST: i64 = 20_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Five seconds of each instead of a minute.
    #[arg(long)]
    quick: bool,
    /// How long each lasts.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    seconds: Option<u32>,
    /// New connections a second.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=FASTEST))]
    rate: u32,
    /// One side only.
    #[arg(long)]
    side: Option<Side>,
    /// Closed by one of the two only.
    #[arg(long)]
    closes: Option<Closing>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    Inbound,
    Outbound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Closing {
    Client,
    Server,
}

impl From<Closing> for Closes {
    fn from(closing: Closing) -> Self {
        match closing {
            Closing::Client => Self::Client,
            Closing::Server => Self::Server,
        }
    }
}

/// What was found in one run.
#[derive(Debug, Serialize)]
struct Findings {
    side: Side,
    plan: Plan,
    passed: Passed,
    /// Weir's CPU time a connection, in µs.
    cpu_micros: f64,
    at_rest_kib: u64,
    peaks: Peaks,
    descriptor_limit: Option<u64>,
    conntrack_limit: u64,
    /// What the kernel counted in the pod.
    kernel: BTreeMap<String, u64>,
    /// What Weir says of its dials.
    dials: BTreeMap<String, f64>,
    /// Records in Weir's log.
    records: u64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Error> {
    if let Some(why) = impossible() {
        note(&format!("New connections are not tried: {why}"));
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = options.seconds.unwrap_or(if options.quick { 5 } else { 60 });
    let mut found = Vec::new();
    for side in [Side::Inbound, Side::Outbound] {
        for closing in [Closing::Client, Closing::Server] {
            let left_out = options.side.is_some_and(|only| only != side)
                || options.closes.is_some_and(|only| only != closing);
            if !left_out {
                let plan = Plan { rate: options.rate, seconds, closes: closing.into() };
                note(&title(side, plan));
                // Pods of its own: what the last run left in TIME_WAIT is no part of this one.
                found.push(one(options, side, plan)?);
            }
        }
    }
    options.common.show(&found, &found.iter().map(text).collect::<String>())?;
    let whole = found.iter().all(|f| f.passed.served == f.passed.due);
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(options: &Options, side: Side, plan: Plan) -> Result<Findings, Error> {
    let room = room()?;
    let cores = Cores::claim();
    let weir = Tools::publish(&options.common.weir(), room.path())?;
    let tools = Tools { room: room.path(), cores, weir: &weir };
    let outside = Outside::new()?;
    let pod = Pod::new(&outside, 2)?;
    let origins = pod.serve(&room.path().join("guarded"))?;
    let (_others, elsewhere) = outside.serve(&room.path().join("outside"))?;
    let mut target = pod.guard(&outside, tools, &origins)?;
    let (client, destinations) = match side {
        Side::Inbound => (outside.client()?, vec![target.address(Front::Http)]),
        Side::Outbound => (pod.client()?, elsewhere),
    };
    let pid = target.pid().unwrap_or_default();
    target.take_records()?;
    let at_rest_kib = weir_benches::process::resident_kib(pid)?;
    let (kernel, dials) = (shortages(pod.namespace())?, dials(&pod.admin("/metrics")?));
    let watch = Watch::begin(pod.namespace(), pid);
    let before = cpu_nanos(pid)?;
    let passed = churn::run(&client, &destinations, &Workload::small(), plan)?;
    thread::sleep(SETTLE);
    let spent = cpu_nanos(pid)?.saturating_sub(before);
    let peaks = watch.end()?;
    let limit = pod.namespace().read("/proc/sys/net/netfilter/nf_conntrack_max")?;
    Ok(Findings {
        side,
        plan,
        cpu_micros: spent as f64 / 1e3 / passed.due as f64,
        passed,
        at_rest_kib,
        peaks,
        descriptor_limit: getrlimit(Resource::Nofile).current,
        conntrack_limit: limit.trim().parse().unwrap_or(0),
        kernel: shortages(pod.namespace())?
            .into_iter()
            .map(|(name, after)| (name.clone(), after - kernel.get(&name).unwrap_or(&0)))
            .collect(),
        dials: self::dials(&pod.admin("/metrics")?)
            .into_iter()
            .map(|(name, after)| (name.clone(), after - dials.get(&name).unwrap_or(&0.0)))
            .collect(),
        records: target.take_records()?.unwrap_or(0),
    })
}

/// The counters of dials in Weir's metrics.
fn dials(metrics: &str) -> BTreeMap<String, f64> {
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        name.contains("dial").then_some((name.to_owned(), value.parse().ok()?))
    };
    metrics.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

fn title(side: Side, plan: Plan) -> String {
    let side = if side == Side::Inbound { "inbound" } else { "outbound" };
    let closes = if plan.closes == Closes::Client { "client" } else { "server" };
    let (rate, seconds) = (plan.rate, plan.seconds);
    format!("{rate} new connections a second for {seconds} s, {side}, closed by the {closes}")
}

fn text(f: &Findings) -> String {
    let mut out = format!("\n{}\n", title(f.side, f.plan));
    let mut line = |name: &str, text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {name:<12} {text}");
    };
    let p = &f.passed;
    let late = f64::from(p.latest_micros) / 1e3;
    let failed = p.due - p.served;
    let (due, served, rate) = (p.due, p.served, p.rate);
    line("connections", format!("{served} of {due} served, {failed} failed"));
    for (why, count) in &p.failed {
        line("", format!("{count} x {why}"));
    }
    line("pace", format!("{rate:.0} begun a second, the latest {late:.1} ms behind its time"));
    let [p50, p99, longest] = p.times_micros.map(|micros| f64::from(micros) / 1e3);
    let at_once = p.most_at_once;
    line("time", format!("p50 {p50:.2} ms, p99 {p99:.2} ms, longest {longest:.1} ms"));
    line("at once", format!("at most {at_once} connections"));
    line("CPU", format!("{:.1} µs of Weir's a connection", f.cpu_micros));
    let limit = f.descriptor_limit.map_or("no limit".to_owned(), |limit| limit.to_string());
    let Peaks { descriptors, resident_kib, time_wait, conntrack } = f.peaks;
    line("descriptors", format!("at most {descriptors} of Weir's, of {limit}"));
    let [rest, most] = [f.at_rest_kib, resident_kib].map(|kib| kib as f64 / 1024.0);
    line("memory", format!("at most {most:.1} MiB, {rest:.1} MiB at rest"));
    line("TIME_WAIT", format!("at most {time_wait} in the pod"));
    line("conntrack", format!("at most {conntrack} entries in the pod, of {}", f.conntrack_limit));
    for (name, count) in &f.dials {
        line("Weir", format!("{name} {count}"));
    }
    for (name, count) in &f.kernel {
        line("kernel", format!("{name} {count}"));
    }
    line("log", format!("{} records", f.records));
    out
}
