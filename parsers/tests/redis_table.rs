//! The command table against a real redis-server: it is what the generator writes, and the keys
//! that it finds are those that the server finds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use weir_parsers::redis::{Command, Keys, Table, inline, keys};

#[allow(dead_code)]
#[path = "../examples/redis-commands.rs"]
mod generator;

/// A redis-server of this test's own, stopped when it is dropped.
struct Server {
    process: Child,
    address: String,
    _dir: Dir,
}

struct Dir(std::path::PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts one on a free port; none where redis-server is not installed, which must not be
    /// where `CI` is `true`.
    fn start() -> Option<Self> {
        Self::start_with(&["--save", ""])
    }

    /// The same with these arguments behind all others.
    fn start_with(more: &[&str]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = std::env::temp_dir().join(format!("weir-redis-table-{port}"));
        std::fs::create_dir_all(&dir).unwrap();
        let dir = Dir(dir);
        // A Sentinel wants a file that it can write to.
        std::fs::write(dir.0.join("redis.conf"), "").unwrap();
        let process = Process::new("redis-server")
            .arg(dir.0.join("redis.conf"))
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", dir.0.to_str().unwrap()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = match process {
            Ok(process) => process,
            Err(error) => {
                skip(&format!("redis-server: {error}"));
                return None;
            }
        };
        let server = Self { process, address: format!("127.0.0.1:{port}"), _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < deadline, "redis-server does not accept");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

/// Says that a test did not run, which under `CI` is a failure.
fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "cannot be skipped here: {reason}");
    println!("skipped: {reason}");
}

#[test]
fn the_table_is_what_the_generator_writes() {
    let Some(server) = Server::start() else { return };
    let generated = generator::generate(&server.address).unwrap();
    let checked_in = include_str!("../src/redis/commands.txt");
    let version = |text: &str| text.split_whitespace().nth(5).map(str::to_owned);
    if version(&generated) != version(checked_in) {
        return skip(&format!("the server is Redis {:?}", version(&generated)));
    }
    for (ours, theirs) in checked_in.lines().zip(generated.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(checked_in.len(), generated.len());
}

#[test]
fn the_sentinels_table_is_what_the_generator_writes() {
    let Some(sentinel) = Server::start_with(&["--sentinel"]) else { return };
    let generated = generator::generate(&sentinel.address).unwrap();
    let theirs: Vec<_> = generated.lines().filter(|line| line.starts_with("sentinel")).collect();
    let checked_in = include_str!("../src/redis/sentinel.txt");
    if !generated.contains("Redis 7.0.15,") {
        return skip("the server is another Redis");
    }
    let ours: Vec<_> = checked_in.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(ours, theirs);
}

/// Command lines with keys in every place that key specifications know.
const LINES: &[&str] = &[
    "GET a",
    "SET a b",
    "SET a b EX 10 NX GET",
    "GETDEL a",
    "GETEX a EX 1",
    "APPEND a b",
    "INCRBY a 1",
    "MGET a b c",
    "MSET a 1 b 2 c 3",
    "MSETNX a 1 b 2",
    "DEL a b",
    "UNLINK a",
    "EXISTS a a",
    "EXPIRE a 10 NX",
    "RENAME a b",
    "COPY a b DB 1 REPLACE",
    "DUMP a",
    "RESTORE a 0 x",
    "TYPE a",
    "TOUCH a b",
    "OBJECT ENCODING a",
    "OBJECT FREQ a",
    "MEMORY USAGE a SAMPLES 1",
    "SETRANGE a 1 b",
    "LCS a b LEN",
    "BITOP AND d a b c",
    "BITFIELD a GET u8 0",
    "BITCOUNT a 0 1",
    "PFADD a b c",
    "PFCOUNT a b",
    "PFMERGE d a b",
    "LPUSH a b c",
    "LMOVE a b LEFT RIGHT",
    "BLMOVE a b LEFT RIGHT 0",
    "RPOPLPUSH a b",
    "BLPOP a b c 0",
    "BRPOPLPUSH a b 0",
    "LMPOP 2 a b LEFT COUNT 2",
    "BLMPOP 0 2 a b LEFT",
    "LPOS a b",
    "SADD a b",
    "SMOVE a b c",
    "SINTER a b c",
    "SINTERCARD 2 a b LIMIT 1",
    "SUNIONSTORE d a b",
    "SSCAN a 0 MATCH x",
    "HSET a f v g w",
    "HGETALL a",
    "HSCAN a 0",
    "ZADD a NX 1 m",
    "ZRANGE a 0 1 WITHSCORES",
    "ZRANGESTORE d a 0 1",
    "ZUNION 2 a b WEIGHTS 1 2",
    "ZUNIONSTORE d 2 a b AGGREGATE MAX",
    "ZINTERSTORE d 1 a",
    "ZINTERCARD 2 a b",
    "ZDIFFSTORE d 2 a b",
    "ZDIFF 2 a b",
    "ZMPOP 1 a MIN",
    "BZMPOP 0 1 a MIN",
    "BZPOPMIN a b 0",
    "GEOADD a 0 0 m",
    "GEOSEARCH a FROMMEMBER m BYRADIUS 1 m",
    "GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 m",
    "GEORADIUS a 0 0 1 m",
    "GEORADIUS a 0 0 1 m STORE d",
    "GEORADIUS a 0 0 1 m COUNT 1 STOREDIST d",
    "GEORADIUSBYMEMBER a m 1 m STORE d",
    "XADD a * f v",
    "XREAD COUNT 1 STREAMS a b 0 0",
    "XREAD BLOCK 0 STREAMS a 0",
    "XREADGROUP GROUP g c COUNT 1 STREAMS a >",
    "XREADGROUP GROUP STREAMS c STREAMS a b > >",
    "XGROUP CREATE a g 0 MKSTREAM",
    "XINFO STREAM a FULL",
    "XACK a g 1",
    "XCLAIM a g c 0 1",
    "EVAL s 2 a b c d",
    "EVALSHA x 1 a b",
    "EVAL_RO s 1 a",
    "FCALL f 2 a b c",
    "FCALL_RO f 1 a",
    "WATCH a b",
    "SORT a",
    "SORT a LIMIT 0 1 STORE d",
    "SORT_RO a BY x",
    "MIGRATE h 1 a 0 10",
    "MIGRATE h 1 '' 0 10 KEYS a b",
    "GETSET a b",
    "SUBSTR a 0 1",
    "PERSIST a",
    "PEXPIRETIME a",
    "RESTORE-ASKING a 0 x",
];

#[test]
fn keys_are_those_that_the_server_finds() {
    let Some(server) = Server::start() else { return };
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let mut unknown = Vec::new();
    for line in LINES {
        let mut raw = Vec::new();
        inline(format!("{line}\r\n").as_bytes(), &mut raw).unwrap();
        let command = Command::new(&raw).unwrap();
        let info = Table::builtin().resolve(&command).info;
        let server_keys = get_keys(&mut stream, &command);
        match keys(info, &command) {
            Keys::Known(keys) => {
                let ours: Vec<_> = keys.map(<[u8]>::to_vec).collect();
                assert_eq!(ours, server_keys, "{line}");
            }
            Keys::Unknown => unknown.push(line.split(' ').next().unwrap()),
        }
    }
    assert_eq!(unknown, ["SORT", "SORT", "SORT_RO", "MIGRATE", "MIGRATE"]);
}

/// Asks `COMMAND GETKEYS`.
fn get_keys(stream: &mut TcpStream, command: &Command<'_>) -> Vec<Vec<u8>> {
    let mut ask = Vec::new();
    write!(ask, "*{}\r\n$7\r\nCOMMAND\r\n$7\r\nGETKEYS\r\n", command.argc() + 2).unwrap();
    for arg in command.args() {
        write!(ask, "${}\r\n", arg.len()).unwrap();
        ask.extend_from_slice(arg);
        ask.extend_from_slice(b"\r\n");
    }
    stream.write_all(&ask).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    // The answer, an array of bulk strings, has the form of a command.
    let mut answer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        answer.extend_from_slice(&chunk[..n]);
        assert!(n > 0 && !answer.starts_with(b"-"), "{}", String::from_utf8_lossy(&answer));
        if let Ok(answer) = Command::new(&answer) {
            return answer.args().map(<[u8]>::to_vec).collect();
        }
    }
}
