//! The load: a closed loop, each connection asking again when its answer is whole and right.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::timeout,
};

use crate::{
    Error,
    answer::{Reading, Wrong},
    netns::Namespace,
    source::Sources,
    stats::quantile,
    workload::Workload,
};

/// A run that takes longer than this has hung.
const RUN_LIMIT: Duration = Duration::from_secs(60);
const READ_BUFFER: usize = 256 * 1024;

/// What a client saw in one run.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Median time of an exchange, in µs.
    pub p50: u32,
    /// The time that 99 of 100 exchanges did not exceed, in µs.
    pub p99: u32,
}

/// The client's side: one thread, the calling one.
#[derive(Debug)]
pub struct Client {
    runtime: Runtime,
    place: Option<Namespace>,
    sources: Arc<Sources>,
}

impl Client {
    /// A client that runs on the calling thread.
    ///
    /// # Errors
    /// If the system gives no event queue.
    pub fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("the client's runtime"))?;
        Ok(Self { runtime, place: None, sources: Arc::default() })
    }

    /// A client that lives in a namespace and connects from these sources.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn inside(place: Namespace, sources: Sources) -> Result<Self, Error> {
        Ok(Self { place: Some(place), sources: Arc::new(sources), ..Self::new()? })
    }

    /// Where its connections come from.
    pub(crate) fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// Sends `exchanges` exchanges of `workload` to `address` and checks every answer. Connecting is not timed,
    /// unless each exchange has a connection of its own.
    ///
    /// # Errors
    /// At the first wrong answer, if a connection fails, or after a minute.
    pub fn run(
        &self,
        address: SocketAddr,
        workload: &Workload,
        exchanges: usize,
    ) -> Result<Seen, Error> {
        self.within(RUN_LIMIT, async {
            let mut ready = Vec::with_capacity(workload.connections);
            for _ in 0..if workload.afresh { 0 } else { workload.connections } {
                ready.push(Connection::open(&self.sources, address).await?);
            }
            let start = Instant::now();
            let mut running = JoinSet::new();
            let mut ready = ready.into_iter();
            for index in 0..workload.connections {
                let (workload, share) =
                    (workload.clone(), share(exchanges, workload.connections, index));
                match ready.next() {
                    Some(connection) => running.spawn(connection.repeat(workload, index, share)),
                    None => running.spawn(afresh(self.sources.clone(), address, workload, share)),
                };
            }
            let mut times = Vec::with_capacity(exchanges);
            while let Some(joined) = running.join_next().await {
                let part =
                    joined.map_err(|error| Error::Program(format!("the client: {error}")))?;
                times.append(&mut part?);
            }
            let elapsed = start.elapsed();
            Ok(Seen { elapsed, p50: quantile(&mut times, 500), p99: quantile(&mut times, 990) })
        })
    }

    /// Opens `count` connections, one after another, and has one exchange on each. They stay open until the result is dropped.
    ///
    /// # Errors
    /// As for [`Client::run`].
    pub fn hold(
        &self,
        address: SocketAddr,
        workload: &Workload,
        count: usize,
    ) -> Result<Held, Error> {
        self.within(RUN_LIMIT, async {
            let mut buffer = vec![0; READ_BUFFER];
            let mut held = Vec::with_capacity(count);
            for _ in 0..count {
                let mut connection = Connection::open(&self.sources, address).await?;
                connection.exchange(workload, held.len(), &mut buffer).await?;
                held.push(connection.stream);
            }
            Ok(Held { _streams: held })
        })
    }

    /// Does `work` in the client's place.
    ///
    /// # Errors
    /// Those of `work`, or that `limit` has passed.
    pub(crate) fn within<T: Send>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let late = |_| Error::Program(format!("no end after {} s", limit.as_secs()));
        let run = || self.runtime.block_on(async { timeout(limit, work).await.map_err(late)? });
        match &self.place {
            Some(place) => place.enter(run)?,
            None => run(),
        }
    }
}

/// Who ends a connection. On that side its addresses and ports stay taken for a minute (TIME_WAIT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closes {
    /// The client, once it has its answer.
    Client,
    /// The server, behind its answer.
    Server,
}

/// Has `count` exchanges, each on a connection of its own that the client closes; the time of each from connecting to the end, in µs.
async fn afresh(
    sources: Arc<Sources>,
    address: SocketAddr,
    workload: Workload,
    count: usize,
) -> Result<Vec<u32>, Error> {
    let mut buffer = vec![0; READ_BUFFER];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let connection = Connection::open(&sources, address).await?;
        connection.only(&workload, Closes::Client, &mut buffer).await?;
        times.push(micros(start.elapsed()));
    }
    Ok(times)
}

/// A time in µs.
pub(crate) fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Idle connections, closed when dropped.
#[derive(Debug)]
pub struct Held {
    _streams: Vec<TcpStream>,
}

/// A connection of the client's.
pub(crate) struct Connection {
    stream: TcpStream,
    reading: Reading,
}

impl Connection {
    /// Connects from the next source.
    pub(crate) async fn open(sources: &Sources, address: SocketAddr) -> Result<Self, Error> {
        let connected = sources.connect(address).await;
        let stream = connected.map_err(Error::io(format!("connecting to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("TCP_NODELAY"))?;
        Ok(Self { stream, reading: Reading::default() })
    }

    /// Has `count` exchanges in a row, as the connection `index` of all; the time of each, in µs.
    async fn repeat(
        mut self,
        workload: Workload,
        index: usize,
        count: usize,
    ) -> Result<Vec<u32>, Error> {
        let mut buffer = vec![0; READ_BUFFER];
        let mut times = Vec::with_capacity(count);
        for turn in 0..count {
            let start = Instant::now();
            let turn = index + turn * workload.connections;
            self.exchange(&workload, turn, &mut buffer).await?;
            times.push(micros(start.elapsed()));
        }
        Ok(times)
    }

    /// Has one exchange and sees the connection to its end, in order on both sides.
    pub(crate) async fn only(
        mut self,
        workload: &Workload,
        closes: Closes,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        self.exchange(workload, 0, buffer).await?;
        if closes == Closes::Client {
            self.stream.shutdown().await.map_err(Error::io("closing"))?;
        }
        match self.stream.read(buffer).await.map_err(Error::io("the end"))? {
            0 => Ok(()),
            more => Err(Wrong::Excess(more).into()),
        }
    }

    async fn exchange(
        &mut self,
        workload: &Workload,
        turn: usize,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        self.stream.write_all(workload.request(turn)).await.map_err(Error::io("sending"))?;
        self.reading.reset();
        loop {
            let read = self.stream.read(buffer).await.map_err(Error::io("receiving"))?;
            if read == 0 {
                return Err(Wrong::Closed(self.reading.content()).into());
            }
            if self.reading.feed(&buffer[..read], &workload.expected)? {
                return Ok(());
            }
        }
    }
}

/// How many of `total` the connection `index` of `connections` has to do: all together make the total.
fn share(total: usize, connections: usize, index: usize) -> usize {
    total / connections + usize::from(index < total % connections)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    /// Serves `connections` connections, each request with the right reply but the request number `spoilt`.
    fn origin(workload: &Workload, spoilt: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let crate::answer::Expected::Exact(reply) = (*workload.expected).clone() else {
            unreachable!()
        };
        let (length, connections) = (workload.request(0).len(), workload.connections);
        let served = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().take(connections) {
                let (mut stream, mut reply) = (stream.unwrap(), reply.clone());
                let served = Arc::clone(&served);
                thread::spawn(move || {
                    let mut request = vec![0; length];
                    while stream.read_exact(&mut request).is_ok() {
                        if served.fetch_add(1, Ordering::Relaxed) + 1 == spoilt {
                            reply[0] = b'-';
                        }
                        if stream.write_all(&reply).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn redis() -> Workload {
        Workload::all(1).into_iter().find(|w| w.key == "redis").unwrap()
    }

    #[test]
    fn right_answers_are_timed() {
        let workload = redis();
        let seen = Client::new().unwrap().run(origin(&workload, 0), &workload, 321).unwrap();
        assert!(seen.p50 > 0 && seen.p50 <= seen.p99);
        assert!(seen.elapsed >= Duration::from_micros(seen.p99.into()));
    }

    #[test]
    fn one_wrong_answer_ends_the_run() {
        let workload = redis();
        let result = Client::new().unwrap().run(origin(&workload, 200), &workload, 321);
        assert!(matches!(result, Err(Error::Answer(Wrong::Content { .. }))));
    }

    #[test]
    fn shares_make_the_total() {
        for total in [1, 31, 32, 100, 999] {
            assert_eq!((0..32).map(|index| share(total, 32, index)).sum::<usize>(), total);
        }
    }
}
