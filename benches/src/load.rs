//! The load: a closed loop, each connection asking again when its answer is whole and right.

use std::{
    net::SocketAddr,
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
}

impl Client {
    /// A client that runs on the calling thread.
    ///
    /// # Errors
    /// If the system gives no event queue.
    pub fn new() -> Result<Self, Error> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.map_err(Error::io("the client's runtime"))? })
    }

    /// Sends `exchanges` exchanges of `workload` to `address` and checks every answer. Connecting is not timed.
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
            for _ in 0..workload.connections {
                ready.push(Connection::open(address).await?);
            }
            let start = Instant::now();
            let mut running = JoinSet::new();
            for (index, connection) in ready.into_iter().enumerate() {
                let share = share(exchanges, workload.connections, index);
                running.spawn(connection.repeat(workload.clone(), share));
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
                let mut connection = Connection::open(address).await?;
                connection.exchange(workload, &mut buffer).await?;
                held.push(connection.stream);
            }
            Ok(Held { _streams: held })
        })
    }

    fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = |_| Error::Program(format!("no end after {} s", limit.as_secs()));
        self.runtime.block_on(async { timeout(limit, work).await.map_err(late)? })
    }
}

/// Idle connections, closed when dropped.
#[derive(Debug)]
pub struct Held {
    _streams: Vec<TcpStream>,
}

struct Connection {
    stream: TcpStream,
    reading: Reading,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Error> {
        let connected = TcpStream::connect(address).await;
        let stream = connected.map_err(Error::io(format!("connecting to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("TCP_NODELAY"))?;
        Ok(Self { stream, reading: Reading::default() })
    }

    /// Has `count` exchanges in a row; the time of each, in µs.
    async fn repeat(mut self, workload: Workload, count: usize) -> Result<Vec<u32>, Error> {
        let mut buffer = vec![0; READ_BUFFER];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            self.exchange(&workload, &mut buffer).await?;
            times.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(times)
    }

    async fn exchange(&mut self, workload: &Workload, buffer: &mut [u8]) -> Result<(), Error> {
        self.stream.write_all(&workload.request).await.map_err(Error::io("sending"))?;
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
        let (length, connections) = (workload.request.len(), workload.connections);
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
