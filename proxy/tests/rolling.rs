//! A rolling restart under load: the clients of two guarded pods notice nothing of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use support::netns::{Namespace, Network, Pod};
use support::{PATIENCE, Server, Weir};

const POLICY: &str = "apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop}
spec:
  inbound:
  - {from: [{any: true}], ports: [80], protocol: http, allow: [GET /small]}
  outbound:
  - {to: [{any: true}], ports: [80], protocol: http, allow: [GET /small]}
  - {to: [{any: true}], ports: [15902], protocol: http, allow: [GET /ready]}
";

/// A server's pod, as the balancer in the client's pod sees it.
struct Backend {
    at: SocketAddr,
    admin: SocketAddr,
    ready: AtomicBool,
}

/// The clients' pod: it asks each backend's `/ready`, and sends requests to those that are.
struct Balancer {
    place: Namespace,
    backends: Vec<Backend>,
    stop: AtomicBool,
    turn: AtomicUsize,
    answered: AtomicUsize,
}

/// How a client treats its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// A new one for each request.
    Fresh,
    /// Kept until the balancer finds its backend unready, or the server ends it.
    Pooled,
    /// Kept until the server ends it.
    Clinging,
}

/// A kept connection, and the number of its backend.
type Kept = Option<(TcpStream, usize)>;

impl Balancer {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn is_ready(&self, backend: usize) -> bool {
        self.backends[backend].ready.load(Ordering::SeqCst)
    }

    fn watch(&self) {
        while !self.stopped() {
            for backend in &self.backends {
                let ready = self.connect(backend.admin).and_then(|s| get(&s, "/ready"));
                let ready = ready.is_ok_and(|answer| answer.status == 200);
                backend.ready.store(ready, Ordering::SeqCst);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        self.place.try_connect(to)
    }

    fn choose(&self) -> usize {
        loop {
            let turn = self.turn.fetch_add(1, Ordering::SeqCst) % self.backends.len();
            if self.is_ready(turn) {
                return turn;
            }
        }
    }

    /// Requests without end. Answers the first that fails.
    fn work(&self, habit: Habit) -> Result<()> {
        let mut kept = None;
        while !self.stopped() {
            self.request(habit, &mut kept)
                .map_err(|error| Error::new(error.kind(), format!("{habit:?}: {error}")))?;
            self.answered.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn request(&self, habit: Habit, kept: &mut Kept) -> Result<()> {
        if habit == Habit::Pooled {
            kept.take_if(|(_, backend)| !self.is_ready(*backend));
        }
        let (stream, backend, used) = match kept.take() {
            Some((stream, backend)) => (stream, backend, true),
            None => {
                let backend = self.choose();
                (self.connect(self.backends[backend].at)?, backend, false)
            }
        };
        let answer = match get(&stream, "/small") {
            // Every client must be ready for the end of an idle connection (RFC 9112 section
            // 9.3.1): what was not answered at all is asked again on a new one.
            Err(error) if used && error.kind() == ErrorKind::NotConnected => {
                return self.request(habit, &mut None);
            }
            answer => answer?,
        };
        if (answer.status, &answer.body[..]) != (200, b"small\n") {
            return Err(Error::other(format!("{} from {backend}", answer.status)));
        }
        if habit != Habit::Fresh && !answer.last {
            *kept = Some((stream, backend));
        }
        Ok(())
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Whether the server said that it closes the connection.
    last: bool,
}

/// One request and its whole answer. `NotConnected`: the connection had ended before it.
fn get(mut stream: &TcpStream, path: &str) -> Result<Answer> {
    let ended = |error| Error::new(ErrorKind::NotConnected, error);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").map_err(ended)?;
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) if head.is_empty() => return Err(ended(ErrorKind::UnexpectedEof.into())),
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if head.is_empty() => return Err(ended(error)),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let length = field("content-length: ").and_then(|value| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok(Answer { status, body, last: field("connection: ") == Some("close") })
}

/// The balancer at work, in threads of its own.
struct Load {
    balancer: Arc<Balancer>,
    watching: JoinHandle<()>,
    workers: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(client: &Pod, servers: &[Pod], habits: &[Habit]) -> Self {
        let backend = |pod: &Pod| Backend {
            at: pod.at(80),
            admin: pod.at(weir::defaults::ADMIN_PORT),
            ready: AtomicBool::new(false),
        };
        let balancer = Arc::new(Balancer {
            place: Namespace::clone(client),
            backends: servers.iter().map(backend).collect(),
            stop: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
        });
        let watcher = balancer.clone();
        let watching = thread::spawn(move || watcher.watch());
        let worker = |habit: &Habit| {
            let (balancer, habit) = (balancer.clone(), *habit);
            thread::spawn(move || balancer.work(habit))
        };
        Self { workers: habits.iter().map(worker).collect(), watching, balancer }
    }

    /// Waits until so many more requests are answered.
    fn more(&self, requests: usize) {
        let answered = || self.balancer.answered.load(Ordering::SeqCst);
        let (goal, end) = (answered() + requests, Instant::now() + PATIENCE);
        while answered() < goal && !self.workers.iter().any(JoinHandle::is_finished) {
            assert!(Instant::now() < end, "the clients stand still");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the balancer finds the backend ready.
    fn until_ready(&self, backend: usize) {
        let end = Instant::now() + PATIENCE;
        while !self.balancer.is_ready(backend) {
            assert!(Instant::now() < end, "not ready again");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(self) -> Vec<Result<()>> {
        self.balancer.stop.store(true, Ordering::SeqCst);
        self.watching.join().unwrap();
        self.workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    }
}

/// Restarts the pods' sidecars and servers one after another while clients of these habits are
/// at work. No request may fail.
fn restart_under_load(habits: &[Habit]) {
    let Some(network) = Network::new() else { return };
    let (client, servers) = (network.pod(), [network.pod(), network.pod()]);
    let _outbound = client.guarded(POLICY);
    let start = |pod: &Pod| Server::nginx_in(pod, 80, "");
    let mut nginx = Vec::new();
    for pod in &servers {
        let Some(server) = start(pod) else { return };
        nginx.push(server);
    }
    let mut weirs: Vec<Weir> = servers
        .iter()
        .map(|pod| {
            pod.init(&[]);
            pod.weir("enforce", POLICY, &["--grace", "5s"])
        })
        .collect();
    let load = Load::start(&client, &servers, habits);
    load.more(50);
    for (n, weir) in weirs.iter_mut().enumerate() {
        weir.signal("TERM");
        assert_eq!(weir.wait(), Some(0), "{}", weir.stderr());
        // The application ends behind its sidecar, and both are started again.
        nginx[n].kill();
        load.more(50);
        nginx[n] = start(&servers[n]).unwrap();
        weir.restart();
        load.until_ready(n);
        load.more(50);
    }
    for worker in load.end() {
        worker.unwrap();
    }
    let answered = |weir: &Weir| weir.records().iter().filter(|r| r["op"] == "GET /small").count();
    assert!(weirs.iter().all(|weir| answered(weir) > 50));
}

#[test]
fn clients_with_a_connection_for_each_request_see_no_restart() {
    restart_under_load(&[Habit::Fresh]);
}

#[test]
fn clients_that_keep_connections_see_no_restart() {
    restart_under_load(&[Habit::Pooled, Habit::Pooled, Habit::Clinging, Habit::Clinging]);
}
