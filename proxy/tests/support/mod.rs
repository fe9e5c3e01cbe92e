//! What the end-to-end tests share: a sidecar as a child process, and real servers beside it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

pub mod demo;
pub mod dns;
pub mod netns;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take that should take moments, on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running sidecar with a policy, a traffic log and an admin endpoint of its own.
pub struct Weir {
    child: Child,
    command: Command,
    dir: tempfile::TempDir,
    stderr: Arc<Mutex<String>>,
    /// Where it runs, if not in the machine's own network namespace.
    namespace: Option<netns::Namespace>,
    /// Where each forward listens, in order.
    pub listen: Vec<SocketAddr>,
    /// Where the admin endpoint listens.
    pub admin: SocketAddr,
}

impl Weir {
    /// Starts `weir run` before `upstream` in this mode, with this policy text (none if empty).
    pub fn start(mode: &str, policy: &str, upstream: SocketAddr) -> Self {
        Self::start_with(mode, policy, &[upstream], &[])
    }

    /// The same with several forwards and further arguments.
    pub fn start_with(mode: &str, policy: &str, upstreams: &[SocketAddr], more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let admin = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("run").args(["--mode", mode]).arg("--admin").arg(admin.to_string());
        command.arg("--traffic-log").arg(dir.path().join("traffic.jsonl"));
        if !policy.is_empty() {
            std::fs::write(dir.path().join("policy.yaml"), policy).unwrap();
            command.arg("--policy").arg(dir.path().join("policy.yaml"));
        }
        for upstream in upstreams {
            command.arg("--forward").arg(format!("127.0.0.1:0={upstream}"));
        }
        command.args(more);
        Self::launch(command, dir, admin, None)
    }

    /// Starts the program by this command, in this namespace, and waits until it is ready.
    pub fn launch(
        mut command: Command,
        dir: tempfile::TempDir,
        admin: SocketAddr,
        namespace: Option<netns::Namespace>,
    ) -> Self {
        let stderr = Arc::new(Mutex::new(String::new()));
        let (child, addresses) = spawn(&mut command, namespace.as_ref(), &stderr);
        let mut weir = Self { child, command, dir, stderr, namespace, listen: Vec::new(), admin };
        let forwards = weir.command.get_args().filter(|arg| *arg == "--forward").count();
        for _ in 0..forwards {
            let address = addresses.recv_timeout(PATIENCE);
            let address =
                address.unwrap_or_else(|_| panic!("weir did not start: {}", weir.stderr()));
            weir.listen.push(address);
        }
        weir.until_ready();
        weir
    }

    /// Starts the program again as it was, once it has ended, and waits until it is ready.
    pub fn restart(&mut self) {
        self.wait();
        (self.child, _) = spawn(&mut self.command, self.namespace.as_ref(), &self.stderr);
        self.until_ready();
    }

    /// Whether `/ready` says so.
    pub fn is_ready(&self) -> bool {
        self.get("/ready").is_some_and(|(status, _)| status == 200)
    }

    fn until_ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.is_ready() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < end,
                "weir did not start ({ended:?}): {}",
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where the first forward listens.
    pub fn at(&self) -> SocketAddr {
        self.listen[0]
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A directory that lives as long as the sidecar.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Connects through the first forward.
    pub fn connect(&self) -> TcpStream {
        connect(self.at())
    }

    /// What the program said on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Sends a signal, by its name in kill(1).
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Replaces the policy and reloads it.
    pub fn reload(&self, policy: &str) {
        let before = self.metric("weir_policy_generation");
        std::fs::write(self.dir.path().join("policy.yaml"), policy).unwrap();
        self.signal("HUP");
        self.until("reloaded", || self.metric("weir_policy_generation") > before);
    }

    /// The traffic log's records so far.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("traffic.jsonl")).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Waits for a record that satisfies `wanted`, and answers it.
    pub fn record(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.until(what, || {
            found = self.records().into_iter().find(&wanted);
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until `done`, or fails naming `what` with all that is known.
    pub fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(
                Instant::now() < end,
                "not {what}; program log:\n{}\ntraffic log:\n{:#?}",
                self.stderr(),
                self.records()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// GETs a path of the admin endpoint: the status and the body.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let connect = || TcpStream::connect(self.admin);
        let stream = self.namespace.as_ref().map_or_else(connect, |place| place.enter(connect));
        let mut stream = stream.ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.get(9..12)?.parse().ok()?;
        let body = answer.split_once("\r\n\r\n")?.1.to_owned();
        Some((status, body))
    }

    /// The sum of a metric's samples whose name and labels contain all of `name`'s words, which
    /// are separated by spaces: `weir_x_total side="inbound"`.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.get("/metrics").expect("metrics");
        let mut words = name.split(' ');
        let metric = words.next().unwrap();
        let words: Vec<_> = words.collect();
        body.lines()
            .filter(|line| {
                let end = line.find(['{', ' ']).unwrap_or(line.len());
                &line[..end] == metric && words.iter().all(|word| line.contains(word))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// Waits for the process to end by itself, and answers its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE * 2;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("weir did not end: {}", self.stderr())
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the command, copies what it says on standard error, and answers where it listens.
fn spawn(
    command: &mut Command,
    namespace: Option<&netns::Namespace>,
    stderr: &Arc<Mutex<String>>,
) -> (Child, Receiver<SocketAddr>) {
    command.stderr(Stdio::piped());
    let spawned = match namespace {
        Some(namespace) => namespace.enter(|| command.spawn()),
        None => command.spawn(),
    };
    let mut child = spawned.unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap());
    let (found, addresses) = channel();
    let copy = stderr.clone();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            if let Some(at) = listen_address(&line) {
                let _ = found.send(at);
            }
            copy.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    (child, addresses)
}

/// The listening address in a line of the program's JSON log.
fn listen_address(line: &str) -> Option<SocketAddr> {
    let value: Value = serde_json::from_str(line).ok()?;
    let fields = value.get("fields").unwrap_or(&value);
    let message = fields.get("message")?.as_str()?;
    (message == "forwarding").then_some(())?;
    fields.get("listen")?.as_str()?.parse().ok()
}

/// A loopback address that nobody listens at.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Connects, with timeouts, so that a test fails rather than hangs.
pub fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads until the stream ends. A reset counts as an end.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..n]);
    }
    bytes
}

/// Reads until `bytes` ends with `end`.
pub fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(end) {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&bytes)),
        }
    }
    bytes
}

/// A program that a test needs. Absent: the test is skipped, saying so, and fails under CI=true.
pub fn program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// Says why a test is skipped; under CI=true that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped under CI: {why}");
    eprintln!("skipped: {why}");
}

/// A real server as a child process, ended with the value.
pub struct Server {
    child: Child,
    _dir: tempfile::TempDir,
    /// Where it listens.
    pub at: SocketAddr,
}

impl Server {
    /// redis-server without persistence.
    pub fn redis(more: &[&str]) -> Option<Self> {
        let program = program("redis-server")?;
        let (dir, at) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(program);
        command.args(["--port", &at.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(dir.path());
        command.args(more).stdout(Stdio::null());
        Some(Self::start(None, command, dir, at))
    }

    /// nginx with one static file at `/file` and `/small`, and what `locations` adds.
    pub fn nginx(locations: &str) -> Option<Self> {
        let at = free_port();
        Self::nginx_at(None, at, &format!("listen {at};"), locations)
    }

    /// The same for HTTP/2 with prior knowledge.
    pub fn nginx_http2(locations: &str) -> Option<Self> {
        let at = free_port();
        Self::nginx_at(None, at, &format!("listen {at} http2;"), locations)
    }

    /// The same at a port of a pod's addresses.
    pub fn nginx_in(pod: &netns::Pod, port: u16, locations: &str) -> Option<Self> {
        let listen = format!("listen {port}; listen [::]:{port};");
        Self::nginx_at(Some(pod), SocketAddr::from(([127, 0, 0, 1], port)), &listen, locations)
    }

    fn nginx_at(
        pod: Option<&netns::Pod>,
        at: SocketAddr,
        listen: &str,
        locations: &str,
    ) -> Option<Self> {
        let program = program("nginx")?;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display();
        std::fs::write(dir.path().join("small"), "small\n").unwrap();
        let config = format!(
            "daemon off; worker_processes 1; master_process off; pid {root}/pid; error_log stderr;\n\
             events {{ worker_connections 16384; }}\n\
             http {{ access_log off; client_body_temp_path {root}; proxy_temp_path {root};\n\
             fastcgi_temp_path {root}; uwsgi_temp_path {root}; scgi_temp_path {root};\n\
             client_max_body_size 2g; keepalive_requests 1000000;\n\
             server {{ {listen} root {root};\n{locations}\n}} }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(dir.path());
        command.arg("-c").arg(dir.path().join("nginx.conf")).stderr(Stdio::null());
        Some(Self::start(pod, command, dir, at))
    }

    /// Starts a server, in a pod if there is one, and waits until it listens at `at`, asking from
    /// there.
    pub fn start(
        pod: Option<&netns::Pod>,
        mut command: Command,
        dir: tempfile::TempDir,
        at: SocketAddr,
    ) -> Self {
        let spawned = match pod {
            Some(pod) => pod.enter(|| command.spawn()),
            None => command.spawn(),
        };
        let server = Self { child: spawned.unwrap(), _dir: dir, at };
        let connects = || match pod {
            Some(pod) => pod.try_connect(at).is_ok(),
            None => TcpStream::connect(at).is_ok(),
        };
        let end = Instant::now() + PATIENCE;
        while !connects() {
            assert!(Instant::now() < end, "the server at {at} did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The directory that the server serves or works in.
    pub fn dir(&self) -> &Path {
        self._dir.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server of the test's own: each connection is handed to `serve` in a thread of its own.
pub fn serve(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_nodelay(true).unwrap();
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    at
}
