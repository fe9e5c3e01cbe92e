//! Redis between real clients and a real server: redis-cli, redis-benchmark and raw sockets
//! through a sidecar in enforce.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{Server, Weir, connect, program, read_all, read_until};

fn policy(upstream: SocketAddr, refusal: &str, allow: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 mode: enforce\n  refusal: {refusal}\n  inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n\
         \x20   protocol: redis\n    allow: {allow}\n",
        upstream.port()
    )
}

const SHOP: &str = "[PING, HELLO, MULTI, EXEC, DISCARD, 'GET cart:*', 'SET cart:*', 'INCR cart:*', \
                    'LPUSH list:*', 'BLPOP list:*', 'SUBSCRIBE &news', UNSUBSCRIBE, 'CLIENT|REPLY']";

/// A server with a sidecar before it, and a connection that asks the server itself.
struct Shop {
    weir: Weir,
    direct: TcpStream,
    _redis: Server,
}

impl Shop {
    fn open(refusal: &str) -> Option<Self> {
        let redis = Server::redis(&[])?;
        let weir = Weir::start("learn", &policy(redis.at, refusal, SHOP), redis.at);
        let direct = connect(redis.at);
        Some(Self { weir, direct, _redis: redis })
    }

    /// What the server itself says of `key`.
    fn exists(&mut self, key: &str) -> bool {
        write!(self.direct, "EXISTS {key}\r\n").unwrap();
        read_until(&mut self.direct, b"\r\n") == b":1\r\n"
    }

    /// The id in a refusal, which the log must have.
    fn logged(&self, refusal: &str) {
        assert!(refusal.starts_with("-NOPERM "), "{refusal}");
        let id = refusal.split("id ").nth(1).unwrap().split(')').next().unwrap().to_owned();
        let record = self.weir.record("logged", |record| record["id"] == id.as_str());
        assert_eq!(record["verdict"], "refused");
    }
}

/// Commands in RESP, pipelined in one write.
fn send(stream: &mut TcpStream, commands: &[&[&str]]) {
    let mut bytes = Vec::new();
    for command in commands {
        write!(bytes, "*{}\r\n", command.len()).unwrap();
        for argument in *command {
            write!(bytes, "${}\r\n{argument}\r\n", argument.len()).unwrap();
        }
    }
    stream.write_all(&bytes).unwrap();
}

fn line(stream: &mut TcpStream) -> String {
    String::from_utf8(read_until(stream, b"\r\n")).unwrap()
}

#[test]
fn a_refused_command_spoils_its_transaction_as_the_server_does_it() {
    let Some(mut shop) = Shop::open("answer") else { return };
    let mut stream = shop.weir.connect();
    send(&mut stream, &[&["MULTI"], &["SET", "cart:1", "x"], &["FLUSHALL"], &["EXEC"], &["PING"]]);
    assert_eq!(line(&mut stream), "+OK\r\n");
    assert_eq!(line(&mut stream), "+QUEUED\r\n");
    shop.logged(&line(&mut stream));
    assert!(line(&mut stream).starts_with("-EXECABORT"));
    assert_eq!(line(&mut stream), "+PONG\r\n");
    assert!(!shop.exists("cart:1"), "nothing of the transaction happened");
}

#[test]
fn refusals_in_a_deep_pipeline_stand_in_their_places() {
    let Some(mut shop) = Shop::open("answer") else { return };
    let mut stream = shop.weir.connect();
    let set: &[&str] = &["SET", "cart:1", "x"];
    let refused: &[&str] = &["SET", "other", "x"];
    let commands: Vec<_> = (0..500).map(|n| if n % 5 == 4 { refused } else { set }).collect();
    send(&mut stream, &commands);
    for n in 0..500 {
        let answer = line(&mut stream);
        if n % 5 == 4 {
            assert!(answer.starts_with("-NOPERM "), "{n}: {answer}");
        } else {
            assert_eq!(answer, "+OK\r\n", "{n}");
        }
    }
    assert!(!shop.exists("other"));
}

#[test]
fn with_close_earlier_answers_and_the_refusal_arrive_and_nothing_after() {
    let Some(mut shop) = Shop::open("close") else { return };
    let mut stream = shop.weir.connect();
    send(
        &mut stream,
        &[&["SET", "cart:1", "x"], &["GET", "cart:1"], &["KEYS", "*"], &["SET", "cart:2", "y"]],
    );
    let answers = String::from_utf8(read_all(&mut stream)).unwrap();
    let refusal = answers.strip_prefix("+OK\r\n$1\r\nx\r\n").expect(&answers);
    assert_eq!(refusal.matches("\r\n").count(), 1, "{refusal}");
    shop.logged(refusal);
    assert!(shop.exists("cart:1"));
    assert!(!shop.exists("cart:2"));
}

#[test]
fn refusals_are_told_in_subscribed_mode_and_behind_a_blocking_command() {
    for refusal in ["answer", "close"] {
        let Some(mut shop) = Shop::open(refusal) else { return };
        let mut stream = shop.weir.connect();
        send(&mut stream, &[&["SUBSCRIBE", "news"]]);
        read_until(&mut stream, b":1\r\n");
        send(&mut stream, &[&["FLUSHALL"]]);
        shop.logged(&line(&mut stream));
        if refusal == "answer" {
            send(&mut stream, &[&["PING"]]);
            read_until(&mut stream, b"$4\r\npong\r\n$0\r\n\r\n");
        }

        let mut stream = shop.weir.connect();
        send(&mut stream, &[&["BLPOP", "list:a", "1"], &["FLUSHALL"]]);
        assert_eq!(line(&mut stream), "*-1\r\n", "the blocking command runs out first");
        shop.logged(&line(&mut stream));
        send(&mut shop.direct, &[&["SET", "still", "here"]]);
        line(&mut shop.direct);
        assert!(shop.exists("still"));
    }
}

#[test]
fn a_refusal_under_skip_is_not_answered_and_the_order_holds() {
    let Some(mut shop) = Shop::open("answer") else { return };
    let mut stream = shop.weir.connect();
    send(
        &mut stream,
        &[&["CLIENT", "REPLY", "SKIP"], &["SET", "other", "x"], &["SET", "cart:1", "x"], &["PING"]],
    );
    assert_eq!(line(&mut stream), "+OK\r\n");
    assert_eq!(line(&mut stream), "+PONG\r\n");
    assert!(!shop.exists("other"));
    let record = shop.weir.record("logged", |record| record["verdict"] == "refused");
    assert_eq!(record["status"], "unanswered");
}

#[test]
fn redis_cli_and_redis_benchmark_do_not_notice_a_sidecar() {
    let (Some(cli), Some(benchmark)) = (program("redis-cli"), program("redis-benchmark")) else {
        return;
    };
    let Some(redis) = Server::redis(&[]) else { return };
    let allow = "[PING, HELLO, 'CONFIG|GET', 'COMMAND|DOCS', COMMAND, 'SET *', 'GET *', 'INCR *', 'LPUSH *', \
                 'LPOP *', 'SADD *', 'HSET *', 'MSET *', 'LRANGE *']";
    let weir = Weir::start("learn", &policy(redis.at, "answer", allow), redis.at);
    let port = weir.at().port().to_string();
    let run = |program: &std::path::Path, arguments: &[&str]| {
        let output = Command::new(program)
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    assert_eq!(run(&cli, &["SET", "a", "b"]).trim(), "OK");
    assert_eq!(run(&cli, &["-3", "GET", "a"]).trim(), "b");
    assert!(run(&cli, &["FLUSHALL"]).contains("NOPERM"));

    let tests = [
        "-q",
        "-n",
        "2000",
        "-c",
        "20",
        "-t",
        "ping,set,get,incr,lpush,lpop,sadd,hset,lrange_100,mset",
    ];
    for pipeline in ["1", "16"] {
        let said = run(&benchmark, &[&tests[..], &["-P", pipeline]].concat());
        assert!(said.contains("GET: ") && !said.contains("rror"), "{said}");
    }
    let refused: Vec<_> =
        weir.records().into_iter().filter(|record| record["verdict"] == "refused").collect();
    assert_eq!(refused.len(), 1, "only FLUSHALL: {refused:#?}");
}
