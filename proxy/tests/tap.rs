//! `weir tap` beside real traffic: what it shows, what it leaves out, and what it costs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::Value;
use support::{PATIENCE, Weir, connect, read_until, serve};

/// An HTTP server that answers `/missing` with 404 and all else with 200.
fn http() -> SocketAddr {
    serve(|mut stream| {
        loop {
            let mut head = Vec::new();
            let mut byte = [0; 1];
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => return,
                }
            }
            let status = if head.starts_with(b"GET /missing") { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A Redis server that knows GET, and LPUSH, which it answers with an error.
fn redis() -> SocketAddr {
    serve(|stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let mut stream = stream;
        while let Some(count) = lines.next() {
            let count: usize = count[1..].parse().unwrap();
            let words: Vec<String> = lines.by_ref().take(2 * count).collect();
            let answer = match words[1].as_str() {
                "GET" => "+OK\r\n".to_owned(),
                "LPUSH" => "-WRONGTYPE no list\r\n".to_owned(),
                other => format!("-ERR unknown command '{other}'\r\n"),
            };
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// A sidecar before both, with a socket.
struct Tapped {
    weir: Weir,
    _dir: tempfile::TempDir,
    socket: PathBuf,
    http: SocketAddr,
    redis: SocketAddr,
}

impl Tapped {
    /// Allows `GET` over HTTP and all of Redis but FLUSHALL.
    fn start(mode: &str, more: &[&str]) -> Self {
        let (http, redis) = (http(), redis());
        let policy = format!(
            "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
             \x20 inbound:\n\
             \x20 - {{from: [{{any: true}}], ports: [{}], protocol: http, allow: ['GET /*']}}\n\
             \x20 - {{from: [{{any: true}}], ports: [{}], protocol: redis, allow: ['GET *', 'LPUSH *']}}\n",
            http.port(),
            redis.port()
        );
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("weir.sock");
        // Records of several threads have no order among them.
        let flags = [&["--workers", "1", "--socket", socket.to_str().unwrap()], more].concat();
        let weir = Weir::start_with(mode, &policy, &[http, redis], &flags);
        Self { weir, _dir: dir, socket, http, redis }
    }

    fn tap(&self, args: &[&str]) -> Tap {
        let before = self.weir.metric("weir_taps");
        let tap = Tap::start(&self.socket, args);
        self.weir.until("tapped", || self.weir.metric("weir_taps") > before);
        tap
    }

    fn connect_http(&self) -> TcpStream {
        connect(self.weir.listen[0])
    }

    fn connect_redis(&self) -> TcpStream {
        connect(self.weir.listen[1])
    }

    /// One of everything: two HTTP requests that are answered, one refused; the same of Redis.
    fn traffic(&self) {
        for (method, path) in [("GET", "/carts/7"), ("GET", "/missing"), ("DELETE", "/carts/7")] {
            request(&mut self.connect_http(), method, path);
        }
        let mut redis = self.connect_redis();
        for words in [&["GET", "cart:7"][..], &["LPUSH", "cart:7", "a"], &["FLUSHALL"]] {
            command(&mut redis, words);
        }
    }
}

fn request(stream: &mut TcpStream, method: &str, path: &str) -> Vec<u8> {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_until(stream, b"\r\n\r\n");
    if head.starts_with(b"HTTP/1.1 403") {
        return head;
    }
    let mut body = [0; 2];
    stream.read_exact(&mut body).unwrap();
    [head.as_slice(), &body].concat()
}

fn command(stream: &mut TcpStream, words: &[&str]) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(command.as_bytes()).unwrap();
    read_until(stream, b"\r\n")
}

/// `weir tap` as a process, whose lines are read as they come.
struct Tap {
    child: Child,
    lines: Receiver<String>,
}

impl Tap {
    fn start(socket: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("tap").arg("--socket").arg(socket).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (found, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = found.send(line);
            }
        });
        Self { child, lines }
    }

    fn record(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a record");
        serde_json::from_str(&line).expect(&line)
    }

    /// The records up to its end.
    fn records(&self) -> Vec<Value> {
        self.lines.iter().map(|line| serde_json::from_str(&line).expect(&line)).collect()
    }

    /// Their operations.
    fn ops(&self) -> Vec<String> {
        self.records().iter().map(|record| record["op"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for its end: the exit status, and what it said on standard error.
    fn wait(&mut self) -> (Option<i32>, String) {
        let end = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "the tap does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CARTS: &str = "GET /carts/{int}";
const MISSING: &str = "GET /missing";
const DELETE: &str = "DELETE /carts/{int}";
const GET: &str = "GET cart:{int}";
const LPUSH: &str = "LPUSH cart:{int}";
const FLUSHALL: &str = "FLUSHALL";

/// Sixteen taps at once, each with a filter of its own.
#[test]
fn every_filter_takes_its_own() {
    let tapped = Tapped::start("enforce", &[]);
    let (http, redis) = (tapped.http.port().to_string(), tapped.redis.port().to_string());
    let all = [CARTS, MISSING, DELETE, GET, LPUSH, FLUSHALL];
    let cases: [(&[&str], &[&str]); 16] = [
        (&[], &all),
        (&["--protocol", "http"], &[CARTS, MISSING, DELETE]),
        (&["--protocol", "redis", "--protocol", "tls"], &[GET, LPUSH, FLUSHALL]),
        (&["--side", "inbound", "--port", &redis], &[GET, LPUSH, FLUSHALL]),
        (&["--side", "outbound"], &[]),
        (&["--port", &http, "--port", "1"], &[CARTS, MISSING, DELETE]),
        (&["--peer", "127.0.0.0/8", "--peer", "10.0.0.1"], &all),
        (&["--peer", "10.0.0.0/8"], &[]),
        (&["--verdict", "refused"], &[DELETE, FLUSHALL]),
        (&["--verdict", "allowed", "--verdict", "unread"], &[CARTS, MISSING, GET, LPUSH]),
        (&["--op", "*carts/*"], &[CARTS, DELETE]),
        (&["--op", "GET *"], &[CARTS, MISSING, GET]),
        // What was refused has no answer of the server's.
        (&["--status", "4xx", "--status", "wrongtype"], &[MISSING, LPUSH]),
        (&["--status", ">=200", "--status", "ok"], &[CARTS, MISSING, GET]),
        (&["--slower-than", "0s", "--protocol", "http", "--op", "GET *"], &[CARTS, MISSING]),
        (&["--slower-than", "1h"], &[]),
    ];
    let taps = cases.map(|(args, expected)| (tapped.tap(args), args, expected));
    tapped.traffic();
    tapped.weir.signal("INT");
    for (tap, args, expected) in taps {
        let mut ops = tap.ops();
        ops.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(ops, expected, "{args:?}");
    }
}

#[test]
fn taps_beside_each_other_have_the_lines_of_the_log() {
    let tapped = Tapped::start("enforce", &[]);
    let refused = tapped.tap(&["--verdict", "refused", "--count", "2"]);
    let redis = tapped.tap(&["--protocol", "redis", "--count", "3"]);
    tapped.traffic();
    tapped.weir.record("logged", |record| record["op"] == FLUSHALL);
    for (mut tap, wanted) in [(refused, ("verdict", "refused")), (redis, ("protocol", "redis"))] {
        assert_eq!(tap.wait(), (Some(0), String::new()));
        let got = tap.records();
        let mut logged = tapped.weir.records();
        logged.retain(|record| record[wanted.0] == wanted.1);
        assert_eq!(got, logged);
    }
    tapped.weir.until("left", || tapped.weir.metric("weir_taps") == 0.0);
}

#[test]
fn there_is_no_need_of_a_log() {
    let (upstream, dir) = (http(), tempfile::tempdir().unwrap());
    let socket = dir.path().join("weir.sock");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["run", "--traffic-log", "off", "--socket", socket.to_str().unwrap()]);
    let admin = support::free_port();
    command.args(["--admin", &admin.to_string()]);
    command.args(["--forward", &format!("127.0.0.1:0={upstream}")]);
    let weir = Weir::launch(command, dir, admin, None);
    let tap = Tap::start(&socket, &["--count", "1"]);
    weir.until("tapped", || weir.metric("weir_taps") == 1.0);
    request(&mut weir.connect(), "GET", "/carts/7?token=s3cret");
    let record = tap.record();
    assert_eq!((&record["op"], &record["status"]), (&CARTS.into(), &"200".into()));
    assert_eq!(record["detail"], "/carts/{int}?token={}");
}

#[test]
fn what_the_log_thins_out_a_tap_has() {
    let tapped = Tapped::start("monitor", &["--log-allowed", "off"]);
    let mut tap = tapped.tap(&["--count", "6"]);
    tapped.traffic();
    assert_eq!((tap.wait(), tap.ops().len()), ((Some(0), String::new()), 6));
    tapped.weir.record("logged", |record| record["op"] == FLUSHALL);
    assert!(tapped.weir.records().iter().all(|record| record["verdict"] == "would-refuse"));
}

/// A tap that reads its answer's head and nothing more.
fn deaf(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /tap?protocol=http HTTP/1.1\r\nHost: weir\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", head.escape_ascii());
    stream
}

#[test]
fn a_tap_that_does_not_read_takes_nothing_from_anybody() {
    let tapped = Tapped::start("enforce", &["--limit", "tap-bytes=128KiB", "--log-allowed", "off"]);
    let deaf = deaf(&tapped.socket);
    let other = tapped.tap(&["--op", "GET /last"]);
    let mut stream = tapped.connect_http();
    let dropped = || tapped.weir.metric("weir_tap_dropped_total");
    let mut send = |n: u32| {
        let request = "GET /carts/7 HTTP/1.1\r\nHost: shop\r\n\r\n";
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for _ in 0..n {
            // A few at once, so that it goes fast; every answer is read.
            stream.write_all(request.repeat(50).as_bytes()).unwrap();
            let mut answers = vec![0; answer.len() * 50];
            stream.read_exact(&mut answers).unwrap();
            assert_eq!(answers, answer.repeat(50));
        }
        50 * u64::from(n)
    };
    let (mut sent, end) = (0, Instant::now() + PATIENCE);
    while dropped() == 0.0 {
        assert!(Instant::now() < end, "nothing was dropped of {sent}");
        sent += send(20);
    }
    let before = tapped.weir.resident();
    sent += send(200);
    let after = tapped.weir.resident();
    assert!(after < before + (8 << 20), "{before} to {after} bytes");
    // The others go on: a tap that does read, and who asks for something else.
    request(&mut tapped.connect_http(), "GET", "/last");
    assert_eq!(other.record()["op"], "GET /last");
    let (status, _) = tapped.weir.get("/ready").unwrap();
    assert_eq!(status, 200);
    // Once it reads it has what waited, is told of the rest, and all of it is whole.
    let (mut got, mut told) = (0, 0);
    let mut lines = BufReader::new(deaf).lines().map(Result::unwrap).filter(|line| line.len() > 9);
    while got + told < sent {
        let line = lines.next().unwrap();
        let record: Value = serde_json::from_str(&line).expect(&line);
        if record["schema"] == "weir.dev/tap/v1" {
            told += record["dropped"].as_u64().unwrap();
        } else {
            assert!(record["op"] == CARTS || record["op"] == "GET /last", "{line}");
            got += u64::from(record["op"] == CARTS);
        }
    }
    // The record of /last may have been among what was dropped.
    assert!(told > 0 && got + told <= sent + 1, "{got} and {told} of {sent}");
}

#[test]
fn a_tap_ends_with_the_sidecar_and_has_the_last_record() {
    let mut tapped = Tapped::start("enforce", &["--grace", "9s"]);
    let mut tap = tapped.tap(&[]);
    let mut stream = tapped.connect_http();
    request(&mut stream, "GET", "/carts/7");
    tapped.weir.signal("TERM");
    request(&mut stream, "GET", "/missing");
    drop(stream);
    assert_eq!(tapped.weir.wait(), Some(0));
    assert_eq!(tap.wait(), (Some(1), "weir: error: the sidecar has ended\n".to_owned()));
    assert_eq!(tap.ops(), [CARTS, MISSING]);
}

#[test]
fn an_interrupt_ends_it_well() {
    let tapped = Tapped::start("enforce", &[]);
    let mut tap = tapped.tap(&[]);
    request(&mut tapped.connect_http(), "GET", "/carts/7");
    assert_eq!(tap.record()["op"], CARTS);
    let pid = tap.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(tap.wait(), (Some(0), String::new()));
}

#[test]
fn a_tap_that_is_cut_off_says_so() {
    let tapped = Tapped::start("enforce", &[]);
    let mut tap = tapped.tap(&[]);
    tapped.weir.signal("KILL");
    let gone = "weir: error: the sidecar is gone, without a word\n";
    assert_eq!(tap.wait(), (Some(1), gone.to_owned()));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let tapped = Tapped::start("enforce", &[]);
    let mut command = Command::new("sh");
    command.arg("-c").arg("\"$0\" tap --socket \"$1\" | head -n 1");
    command.arg(env!("CARGO_BIN_EXE_weir")).arg(&tapped.socket);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tapped.weir.until("tapped", || tapped.weir.metric("weir_taps") == 1.0);
    tapped.traffic();
    // What it writes to a reader that is gone tells it.
    tapped.weir.until("left", || {
        tapped.traffic();
        tapped.weir.metric("weir_taps") == 0.0
    });
    child.wait().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn what_keeps_it_from_starting_is_told() {
    let tapped = Tapped::start("enforce", &["--limit", "taps=1"]);
    let one = tapped.tap(&[]);
    let mut more = Tap::start(&tapped.socket, &[]);
    let (status, said) = more.wait();
    assert_eq!(status, Some(1));
    assert!(said.contains("(429): 1 taps are attached") && said.contains("`taps`"), "{said}");
    assert_eq!(tapped.weir.metric("weir_limit_reached_total limit=\"taps\""), 1.0);
    drop(one);

    let (status, said) = Tap::start(Path::new("/nonexistent/weir.sock"), &[]).wait();
    assert_eq!(status, Some(1));
    assert!(said.contains("cannot reach a sidecar at /nonexistent/weir.sock"), "{said}");
    assert!(said.contains("hint: name the socket"), "{said}");

    for (args, expected) in [
        (["--protocol", "smtp"], "[possible values: http, grpc, redis, tls, opaque]"),
        (["--verdict", "no"], "[possible values: allowed, would-refuse, refused, unread]"),
        (["--peer", "10.0.0.0/33"], "not an address or a range"),
        (["--status", "5000"], "`5000` is not a status"),
        (["--slower-than", "5"], "`5` is not a duration"),
        (["--count", "0"], "--count"),
        (["--op", ""], "write a pattern"),
    ] {
        let (status, said) = Tap::start(&tapped.socket, &args).wait();
        assert_eq!(status, Some(2), "{args:?}: {said}");
        assert!(said.starts_with("weir: error: ") && said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_terminal_has_a_table() {
    let Some(script) = support::program("script") else { return };
    let tapped = Tapped::start("enforce", &[]);
    let mut command = Command::new(script);
    let tap = format!(
        "stty cols 110; exec {} tap --socket {} --count 6",
        env!("CARGO_BIN_EXE_weir"),
        tapped.socket.display()
    );
    command.args(["-qec", &tap, "/dev/null"]).env("NO_COLOR", "1");
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tapped.weir.until("tapped", || tapped.weir.metric("weir_taps") == 1.0);
    tapped.traffic();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[0].starts_with("UTC          SIDE PEER      PORT"), "{text}");
    let row = |op| *lines.iter().find(|line| line.contains(op)).expect(&text);
    assert!(row(DELETE).ends_with(" refused not_allowed"), "{text}");
    assert!(row(LPUSH).contains(" WRONGTYPE ") && row(LPUSH).ends_with(LPUSH), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}
