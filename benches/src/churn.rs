//! New connections at a steady pace, whether or not the earlier ones have ended: an open loop, as many clients make it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    Error,
    load::{Client, Closes, Connection, micros},
    source::Sources,
    stats::quantile,
    workload::Workload,
};

/// A connection that takes longer than this has failed.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);
/// More than this at once are not begun, and have failed: something stands still.
const MOST_AT_ONCE: usize = 4000;
const TICK: Duration = Duration::from_millis(1);
const READ_BUFFER: usize = 4 * 1024;

/// How many connections, how fast, and who closes them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Plan {
    /// New connections a second.
    pub rate: u32,
    /// For how long.
    pub seconds: u32,
    /// Who closes first.
    pub closes: Closes,
}

impl Plan {
    fn total(self) -> usize {
        self.rate as usize * self.seconds as usize
    }

    /// How many are due when this much time has passed.
    fn due(self, elapsed: Duration) -> usize {
        let rate = u128::from(self.rate);
        let due = usize::try_from(elapsed.as_micros() * rate / 1_000_000).unwrap_or(usize::MAX);
        due.saturating_add(1).min(self.total())
    }
}

/// What became of the connections.
#[derive(Debug, Clone, Serialize)]
pub struct Passed {
    /// Those that were due.
    pub due: usize,
    /// Those that had their right answer and an end in order on both sides.
    pub served: usize,
    /// The others, by what went wrong.
    pub failed: BTreeMap<String, usize>,
    /// Connections begun a second.
    pub rate: f64,
    /// How late the latest began, in µs.
    pub latest_micros: u32,
    /// The most that were open at once.
    pub most_at_once: usize,
    /// The time from connecting to the end: median, 99 of 100, the longest; in µs.
    pub times_micros: [u32; 3],
}

/// Begins the connections of `plan` from `client`, in turn to each of `destinations`, each for one exchange of `workload`.
///
/// # Errors
/// If the client itself cannot go on. That connections fail is not an error but a finding.
pub fn run(
    client: &Client,
    destinations: &[SocketAddr],
    workload: &Workload,
    plan: Plan,
) -> Result<Passed, Error> {
    let workload = match plan.closes {
        Closes::Client => workload.clone(),
        Closes::Server => workload.clone().closed_by_server(),
    };
    let limit = Duration::from_secs(plan.seconds.into()) + 3 * CONNECTION_LIMIT;
    let sources = client.sources().clone();
    let pace = Pace { plan, sources, workload: Arc::new(workload), destinations };
    client.within(limit, pace.keep())
}

struct Pace<'a> {
    plan: Plan,
    sources: Arc<Sources>,
    workload: Arc<Workload>,
    destinations: &'a [SocketAddr],
}

#[derive(Default)]
struct Tally {
    times: Vec<u32>,
    failed: BTreeMap<String, usize>,
    most_at_once: usize,
    latest: Duration,
}

impl Pace<'_> {
    async fn keep(self) -> Result<Passed, Error> {
        let mut running = JoinSet::new();
        let mut tally = Tally::default();
        let mut ticks = tokio::time::interval(TICK);
        let (start, mut begun) = (Instant::now(), 0);
        while begun < self.plan.total() {
            ticks.tick().await;
            while begun < self.plan.due(start.elapsed()) {
                tally.begins(start, begun, self.plan);
                if running.len() < MOST_AT_ONCE {
                    running.spawn(self.one(begun));
                } else {
                    tally.fails(format!("not begun: {MOST_AT_ONCE} others were open"));
                }
                begun += 1;
            }
            tally.most_at_once = tally.most_at_once.max(running.len());
            while let Some(ended) = running.try_join_next() {
                tally.ends(ended);
            }
        }
        let lasted = start.elapsed();
        while let Some(ended) = running.join_next().await {
            tally.ends(ended);
        }
        Ok(tally.passed(self.plan, lasted))
    }

    fn one(&self, index: usize) -> impl Future<Output = Result<u32, Error>> + use<> {
        let address = self.destinations[index % self.destinations.len()];
        let (sources, workload) = (self.sources.clone(), self.workload.clone());
        let closes = self.plan.closes;
        async move {
            let start = Instant::now();
            let whole = async {
                let connection = Connection::open(&sources, address).await?;
                connection.only(&workload, closes, &mut [0; READ_BUFFER]).await
            };
            let late = |_| Error::Program("no end after 10 s".to_owned());
            timeout(CONNECTION_LIMIT, whole).await.map_err(late)??;
            Ok(micros(start.elapsed()))
        }
    }
}

impl Tally {
    fn begins(&mut self, start: Instant, index: usize, plan: Plan) {
        let due = Duration::from_secs_f64(index as f64 / f64::from(plan.rate));
        self.latest = self.latest.max(start.elapsed().saturating_sub(due));
    }

    fn ends(&mut self, ended: Result<Result<u32, Error>, JoinError>) {
        match ended {
            Ok(Ok(time)) => self.times.push(time),
            Ok(Err(error)) => self.fails(error.to_string()),
            Err(error) => self.fails(format!("the client: {error}")),
        }
    }

    fn fails(&mut self, why: String) {
        *self.failed.entry(why).or_default() += 1;
    }

    fn passed(mut self, plan: Plan, lasted: Duration) -> Passed {
        Passed {
            due: plan.total(),
            served: self.times.len(),
            failed: self.failed,
            rate: plan.total() as f64 / lasted.as_secs_f64(),
            latest_micros: micros(self.latest),
            most_at_once: self.most_at_once,
            times_micros: [500, 990, 1000].map(|per_mille| quantile(&mut self.times, per_mille)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    use super::*;
    use crate::{
        answer::Expected,
        workload::{http_get, small_file},
    };

    /// Serves connections; every one whose number is divided by `spoilt` is dropped without an answer.
    fn origin(spoilt: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let body = small_file();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut request = vec![0; http_get("/carts/7").len()];
                stream.read_exact(&mut request).unwrap();
                if (number + 1) % spoilt != 0 {
                    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
                    let _ = stream.read(&mut [0]);
                }
            }
        });
        address
    }

    #[test]
    fn what_fails_is_counted_and_ends_nothing() {
        let plan = Plan { rate: 200, seconds: 1, closes: Closes::Client };
        let client = Client::new().unwrap();
        let workload = Workload::small();
        assert!(matches!(&*workload.expected, Expected::Http(_)));
        let passed = run(&client, &[origin(50)], &workload, plan).unwrap();
        assert_eq!((passed.due, passed.served), (200, 196));
        let failed: Vec<_> = passed.failed.into_iter().collect();
        let closed = "wrong answer: connection closed after 0 bytes of content";
        assert_eq!(failed, [(closed.to_owned(), 4)]);
    }

    #[test]
    fn connections_are_due_one_after_the_other() {
        let plan = Plan { rate: 2000, seconds: 2, closes: Closes::Server };
        assert_eq!(plan.due(Duration::ZERO), 1);
        assert_eq!(plan.due(Duration::from_millis(10)), 21);
        assert_eq!(plan.due(Duration::from_secs(9)), 4000);
    }
}
