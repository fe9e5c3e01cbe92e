//! Interleaved rounds: every target has its turn in each, so that a busy machine disturbs all alike.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    Error,
    load::{Client, Seen},
    process::{awaited_nanos, cpu_nanos, family_nanos, own_nanos},
    stats::Spread,
    target::{Kind, Target},
    workload::{Front, Workload},
};

/// How long a proxy is given after the load to write its last records, which belong to the load's cost.
const SETTLE: Duration = Duration::from_millis(120);
/// The part of a run that warms up.
pub(crate) const WARM_UP_SHARE: usize = 8;

/// A kind of traffic that is measured in rounds.
pub trait Traffic {
    /// Who makes it.
    type Client;

    /// A short name, used in JSON.
    fn key(&self) -> &'static str;

    /// What it is, for a person.
    fn title(&self) -> &'static str;

    /// Where it goes.
    fn front(&self) -> Front;

    /// Requests in a whole run.
    fn requests(&self) -> usize;

    /// Has a whole run at `address`, or a short one that only warms up, and checks every answer.
    ///
    /// # Errors
    /// At a wrong answer, if a connection fails, or if it takes too long.
    fn run(&self, client: &Self::Client, address: SocketAddr, whole: bool) -> Result<Seen, Error>;
}

impl Traffic for Workload {
    type Client = Client;

    fn key(&self) -> &'static str {
        self.key
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn front(&self) -> Front {
        self.front
    }

    fn requests(&self) -> usize {
        self.exchanges * self.requests_each
    }

    fn run(&self, client: &Client, address: SocketAddr, whole: bool) -> Result<Seen, Error> {
        let warm_up = (self.exchanges / WARM_UP_SHARE).max(self.connections);
        client.run(address, self, if whole { self.exchanges } else { warm_up })
    }
}

/// One run of one workload through one target.
#[derive(Debug, Clone, Copy)]
struct Sample {
    requests_per_second: f64,
    p50: u32,
    p99: u32,
    cpu_micros: Option<f64>,
    all_micros: f64,
    records: Option<u64>,
}

/// What the rounds say of one workload through one target.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// [`Traffic::key`].
    pub workload: &'static str,
    /// Through what.
    pub target: Kind,
    /// Requests a second.
    pub requests_per_second: Spread,
    /// Each round's median time of an exchange, in µs.
    pub p50_micros: Spread,
    /// Each round's 99th percentile, in µs.
    pub p99_micros: Spread,
    /// The proxy's own CPU time a request, in µs.
    pub cpu_micros_per_request: Option<Spread>,
    /// That time over the yardstick's in the same round.
    pub cpu_over_yardstick: Option<Spread>,
    /// The CPU time a request of all together, client, proxy and origin, in µs: with what the kernel does on their behalf.
    pub all_cpu_micros_per_request: Spread,
    /// Records in the proxy's log, all rounds together.
    pub records: Option<u64>,
    /// Requests sent, all rounds together.
    pub requests: u64,
}

/// The rounds that were done.
#[derive(Debug)]
pub struct Rounds {
    samples: Vec<(usize, Kind, Vec<Sample>)>,
    yardstick: Kind,
    /// How many rounds fitted into the time.
    pub done: usize,
}

impl Rounds {
    /// Warms up, then has `count` rounds, or fewer if `deadline` comes first; `progress` is told the number of each. The others' CPU
    /// time is set beside that of `yardstick`.
    ///
    /// # Errors
    /// At the first wrong answer, or if a target fails.
    pub fn run<T: Traffic>(
        client: &T::Client,
        targets: &mut [Target],
        yardstick: Kind,
        workloads: &[T],
        count: usize,
        deadline: Instant,
        mut progress: impl FnMut(usize),
    ) -> Result<Self, Error> {
        let mut samples = Vec::new();
        for (index, workload) in workloads.iter().enumerate() {
            for target in &mut *targets {
                workload.run(client, target.address(workload.front()), false)?;
                samples.push((index, target.kind, Vec::with_capacity(count)));
            }
        }
        thread::sleep(SETTLE);
        for target in &mut *targets {
            target.take_records()?;
        }
        let mut rounds = Self { samples, yardstick, done: 0 };
        for round in 0..count {
            if round > 0 && Instant::now() > deadline {
                break;
            }
            progress(round + 1);
            for (index, workload) in workloads.iter().enumerate() {
                for turn in 0..targets.len() {
                    // Whoever follows whom changes from round to round.
                    let turn = (turn + round) % targets.len();
                    let target = &mut targets[turn];
                    let sample = measure(client, target, workload)?;
                    rounds.of(index, target.kind).push(sample);
                }
            }
            rounds.done += 1;
        }
        Ok(rounds)
    }

    fn of(&mut self, index: usize, kind: Kind) -> &mut Vec<Sample> {
        let at = self.samples.iter().position(|(i, k, _)| (*i, *k) == (index, kind));
        let at = at.unwrap_or_else(|| {
            self.samples.push((index, kind, Vec::new()));
            self.samples.len() - 1
        });
        &mut self.samples[at].2
    }

    /// The figures, by workload, then by target.
    pub fn figures(&self, workloads: &[impl Traffic]) -> Vec<Figures> {
        self.samples
            .iter()
            .filter_map(|(index, kind, samples)| {
                let workload = &workloads[*index];
                let yardstick =
                    self.samples.iter().find(|(i, k, _)| i == index && *k == self.yardstick);
                summary(workload, *kind, samples, yardstick.map(|(_, _, samples)| &**samples))
            })
            .collect()
    }
}

fn measure<T: Traffic>(
    client: &T::Client,
    target: &mut Target,
    workload: &T,
) -> Result<Sample, Error> {
    let blame =
        |error| Error::Program(format!("{}, {}: {error}", target.kind.name(), workload.key()));
    let before = target.pid().map(cpu_nanos).transpose()?;
    let all_before = all_nanos(target, workload.front())?;
    let seen = workload.run(client, target.address(workload.front()), true).map_err(blame)?;
    thread::sleep(SETTLE);
    let after = target.pid().map(cpu_nanos).transpose()?;
    let all_after = all_nanos(target, workload.front())?;
    let requests = workload.requests() as f64;
    let spent = |(before, after): (u64, u64)| after.saturating_sub(before) as f64 / 1e3 / requests;
    Ok(Sample {
        requests_per_second: requests / seen.elapsed.as_secs_f64(),
        p50: seen.p50,
        p99: seen.p99,
        cpu_micros: before.zip(after).map(spent),
        all_micros: spent((all_before, all_after)),
        records: target.take_records()?,
    })
}

/// The CPU time of everything that takes part: this process, or a program that it starts and awaits, is the client.
fn all_nanos(target: &Target, front: Front) -> Result<u64, Error> {
    let proxy = target.pid().map(cpu_nanos).transpose()?.unwrap_or(0);
    let origin = target.origin(front).map(family_nanos).transpose()?.unwrap_or(0);
    Ok(proxy + origin + own_nanos() + awaited_nanos()?)
}

fn summary(
    workload: &impl Traffic,
    target: Kind,
    samples: &[Sample],
    yardstick: Option<&[Sample]>,
) -> Option<Figures> {
    let over = |(own, other): (&Sample, &Sample)| Some(own.cpu_micros? / other.cpu_micros?);
    Some(Figures {
        workload: workload.key(),
        target,
        requests_per_second: Spread::of(samples.iter().map(|s| s.requests_per_second))?,
        p50_micros: Spread::of(samples.iter().map(|s| s.p50.into()))?,
        p99_micros: Spread::of(samples.iter().map(|s| s.p99.into()))?,
        cpu_micros_per_request: Spread::of(samples.iter().filter_map(|s| s.cpu_micros)),
        cpu_over_yardstick: yardstick
            .and_then(|other| Spread::of(samples.iter().zip(other).filter_map(over))),
        all_cpu_micros_per_request: Spread::of(samples.iter().map(|s| s.all_micros))?,
        records: samples.iter().map(|s| s.records).sum(),
        requests: (workload.requests() * samples.len()) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu: Option<f64>) -> Sample {
        Sample {
            requests_per_second: 1.0,
            p50: 1,
            p99: 2,
            cpu_micros: cpu,
            all_micros: 20.0,
            records: Some(5),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let workload = &Workload::all(1)[0];
        let own = [sample(Some(10.0)), sample(Some(30.0)), sample(Some(12.0))];
        let other = [sample(Some(10.0)), sample(Some(20.0)), sample(Some(10.0))];
        let figures = summary(workload, Kind::WeirEnforce, &own, Some(&other)).unwrap();
        let ratio = figures.cpu_over_yardstick.unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (1.2, 1.0, 1.5));
        assert_eq!(figures.records, Some(15));
    }

    #[test]
    fn without_a_yardstick_there_is_no_ratio() {
        let workload = &Workload::all(1)[0];
        let figures = summary(workload, Kind::Direct, &[sample(None)], None).unwrap();
        assert!(figures.cpu_over_yardstick.is_none() && figures.cpu_micros_per_request.is_none());
    }
}
