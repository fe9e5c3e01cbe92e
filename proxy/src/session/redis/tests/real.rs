//! The session between a scripted client and a real redis-server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// A redis-server of this test's own, and one connection to it through the session.
struct Real {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Real {
    /// Starts one on a free port; none where redis-server is not installed, which must not be
    /// where `CI` is `true`.
    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                let in_ci = std::env::var_os("CI").is_some_and(|v| v == "true");
                assert!(!in_ci, "redis-server: {error}");
                println!("skipped: redis-server: {error}");
                return None;
            }
        };
        let real = Self { process, port, dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline && real.dir.path().exists());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(real)
    }

    fn through(&self, refusal: Refusal) -> Through {
        let server = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        server.set_nodelay(true).unwrap();
        Through { driver: driver(refusal), server, sent: 0, seen: 0 }
    }

    /// Asks the server itself.
    fn ask(&self, line: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(resp(line).as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A connection: a small blocking relay around the session.
struct Through {
    driver: Driver<Redis>,
    server: TcpStream,
    sent: usize,
    seen: usize,
}

impl Through {
    /// The client sends; what passes goes to the server.
    fn send(&mut self, line: &str) {
        self.driver.client(resp(line));
        self.pass();
    }

    fn pass(&mut self) {
        let out = self.driver.to_server();
        self.server.write_all(&out.as_bytes()[self.sent..]).unwrap();
        self.sent = out.len();
    }

    /// Waits until the client has been told `expected`, and nothing else.
    fn expect(&mut self, expected: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.driver.to_client().len() < self.seen + expected.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{:?}", self.driver.to_client());
            self.server.set_read_timeout(Some(left)).unwrap();
            let mut chunk = [0; 4096];
            let n = self.server.read(&mut chunk).unwrap();
            assert!(n > 0, "{:?}", self.driver.to_client());
            self.driver.server(&chunk[..n]);
            self.pass();
        }
        assert_eq!(&self.driver.to_client()[self.seen..], expected);
        self.seen += expected.len();
    }
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    let Some(real) = Real::start() else { return };
    let mut t = real.through(Refusal::Answer);
    t.send("MULTI;SET k v;BAD x;SET k w;EXEC;GET k");
    t.expect(&format!(
        "+OK\r\n+QUEUED\r\n{}+QUEUED\r\n\
         -EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n",
        noperm(3)
    ));
    t.send("SET k v;BAD y;GET k");
    t.expect(&format!("+OK\r\n{}$1\r\nv\r\n", noperm(8)));
    // Under `close` the transaction never comes to EXEC.
    let mut t = real.through(Refusal::Close);
    t.send("MULTI;SET k spoiled;BAD x;EXEC");
    t.expect(&format!("+OK\r\n+QUEUED\r\n{}", noperm(3)));
    assert!(t.driver.ended.closed);
    drop(t);
    assert_eq!(real.ask("GET k"), "$1\r\nv\r\n");
}

#[test]
fn a_skipped_answer_is_skipped_by_the_server() {
    let Some(real) = Real::start() else { return };
    let mut t = real.through(Refusal::Answer);
    t.send("CLIENT REPLY SKIP;BAD x;PING;CLIENT REPLY OFF;SET k v;CLIENT REPLY ON;BAD y;PING");
    t.expect(&format!("+PONG\r\n+OK\r\n{}+PONG\r\n", noperm(7)));
    t.send("CLIENT REPLY SKIP;SUBSCRIBE a;BAD z;PING");
    t.expect(&format!(
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n{}*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        noperm(11)
    ));
}

#[test]
fn a_refusal_in_subscribed_mode_and_among_messages() {
    let Some(real) = Real::start() else { return };
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut t = real.through(refusal);
        t.send("SUBSCRIBE a;PSUBSCRIBE p*");
        t.expect(
            "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n\
             *3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n",
        );
        real.ask("PUBLISH a m");
        t.expect("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n");
        t.send("BAD x;UNSUBSCRIBE;PUNSUBSCRIBE;GET k");
        match refusal {
            Refusal::Close => {
                t.expect(&noperm(3));
                assert!(t.driver.ended.closed);
            }
            _ => t.expect(&format!(
                "{}*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n\
                 *3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n$-1\r\n",
                noperm(3)
            )),
        }
    }
}

#[test]
fn a_refusal_behind_a_blocking_command_waits_for_it() {
    let Some(real) = Real::start() else { return };
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut t = real.through(refusal);
        t.send("BLPOP q 0;BAD x;PING");
        real.ask("RPUSH q v");
        let popped = "*2\r\n$1\r\nq\r\n$1\r\nv\r\n";
        match refusal {
            Refusal::Close => t.expect(&format!("{popped}{}", noperm(2))),
            _ => t.expect(&format!("{popped}{}+PONG\r\n", noperm(2))),
        }
        assert_eq!(t.driver.ended.closed, refusal == Refusal::Close);
    }
}

#[test]
fn a_script_cannot_pass_for_the_substitute() {
    let Some(real) = Real::start() else { return };
    let mut t = real.through(Refusal::Answer);
    let text = UNKNOWN.trim_end().trim_start_matches('-').replace('\'', "\\'");
    let script = format!("return redis.error_reply('{text}')");
    let command = format!("EVAL \"{}\" 0", script.replace('\\', "\\\\"));
    t.send(&format!("{command};BAD x;PING"));
    let forged = format!("{}\r\n", UNKNOWN.trim_end());
    t.expect(&format!("{forged}{}+PONG\r\n", noperm(2)));
}

#[test]
fn resp3_pushes_and_switches() {
    let Some(real) = Real::start() else { return };
    let mut t = real.through(Refusal::Answer);
    t.send("HELLO 3 SETNAME x");
    // The greeting has ids of the server's own: only its end is certain.
    while !t.driver.to_client().ends_with("modules\r\n*0\r\n") {
        let mut chunk = [0; 4096];
        let n = t.server.read(&mut chunk).unwrap();
        t.driver.server(&chunk[..n]);
    }
    t.seen = t.driver.to_client().len();
    t.send("SUBSCRIBE a b;GET k;BAD x");
    let push = |word: &str, topic: &str, count: u32| {
        format!(">3\r\n${}\r\n{word}\r\n${}\r\n{topic}\r\n:{count}\r\n", word.len(), topic.len())
    };
    let before = push("subscribe", "a", 1) + &push("subscribe", "b", 2) + "_\r\n" + &noperm(4);
    t.expect(&before);
    t.send("UNSUBSCRIBE;RESET;PING");
    // The server leaves them in an order of its own.
    let after = push("unsubscribe", "a", 1).len() * 2 + "+RESET\r\n+PONG\r\n".len();
    let deadline = Instant::now() + Duration::from_secs(10);
    while t.driver.to_client().len() < t.seen + after && Instant::now() < deadline {
        let mut chunk = [0; 4096];
        let n = t.server.read(&mut chunk).unwrap();
        t.driver.server(&chunk[..n]);
    }
    assert!(t.driver.to_client().ends_with("+RESET\r\n+PONG\r\n"));
    assert!(t.driver.close().iter().all(|r| r.complete));
}

#[test]
fn a_big_value_arrives_and_a_big_violation_does_not() {
    let Some(real) = Real::start() else { return };
    let mut t = real.through(Refusal::Close);
    t.driver.inspectors.push(Literal::content("evil"));
    t.send(&format!("SET big {}", "v".repeat(200_000)));
    t.expect("+OK\r\n");
    assert_eq!(real.ask("STRLEN big"), ":200000\r\n");
    t.send(&format!("SET bad {}evil", "v".repeat(200_000)));
    t.expect(&noperm(2));
    assert!(t.driver.ended.server_reset);
    drop(t);
    assert_eq!(real.ask("EXISTS bad"), ":0\r\n");
}
