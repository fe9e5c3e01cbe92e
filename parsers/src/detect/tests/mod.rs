mod client_hello;
mod proxy_header;
mod slicing;

use super::*;

/// A run of one leg's bytes, and whether the leg ends after them.
#[derive(Clone, Debug)]
struct Run {
    client: bool,
    bytes: Vec<u8>,
    eof: bool,
}

fn client(bytes: &[u8]) -> Run {
    Run { client: true, bytes: bytes.to_vec(), eof: false }
}

fn server(bytes: &[u8]) -> Run {
    Run { client: false, bytes: bytes.to_vec(), eof: false }
}

fn end(run: Run) -> Run {
    Run { eof: true, ..run }
}

/// Hands the runs in, each cut into reads of the lengths that `cut` gives, and answers the last
/// word and the PROXY header.
fn feed(
    runs: &[Run],
    budget: usize,
    passed: bool,
    mut cut: impl FnMut() -> usize,
) -> (Detection, Option<proxy::Header>) {
    let mut detector = Detector::new(budget, false);
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    let mut header = None;
    let mut last = Detection::More { server_first: false };
    for run in runs {
        let mut left = run.bytes.as_slice();
        loop {
            let (now, later) = left.split_at(cut().min(left.len()));
            left = later;
            let eof = run.eof && left.is_empty();
            if run.client {
                from_client.extend_from_slice(now);
                last = detector.client(ClientBytes { data: &from_client, eof, passed });
                if let Detection::Proxy(found) = last {
                    header = Some(found);
                    from_client.drain(..found.len);
                    last = detector.client(ClientBytes { data: &from_client, eof, passed });
                }
            } else {
                from_server.extend_from_slice(now);
                last = detector.server(&from_server, eof);
            }
            if left.is_empty() {
                break;
            }
        }
    }
    (last, header)
}

fn detect(runs: &[Run]) -> Detection {
    let whole = feed(runs, 1 << 15, true, || usize::MAX);
    let bytewise = feed(runs, 1 << 15, true, || 1);
    assert_eq!(whole, bytewise, "{runs:?}");
    whole.0
}

const MORE: Detection = Detection::More { server_first: false };
const UNRECOGNISED: Detection = Detection::Unknown(Unknown::Unrecognised);

#[test]
fn request_lines_are_http_whatever_is_wrong_with_them() {
    for line in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"GET / HTTP/1.0\n",
        b"GET / HTTP/1.1\rHost: x",
        b"SET x HTTP/1.1\r\n",
        b"GET /\0 HTTP/1.1\r\n",
        b"GET  /  http/1.1 \r\n",
        b"GET\t/\tHTTP/1.1\r\n",
        b"GET / HTTP/1.1 x\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX",
        b"\r\n\r\nGET / HTTP/1.1\r\n",
        b"POST /p HTTP/1.1\r\n\r\nbody",
    ] {
        assert_eq!(detect(&[client(line)]), Detection::Http1, "{}", line.escape_ascii());
    }
}

#[test]
fn every_truncation_of_a_request_line_is_undecided() {
    let line = b"OPTIONS * HTTP/1.1\r";
    for n in 0..line.len() {
        assert_eq!(detect(&[client(&line[..n])]), MORE, "{n}");
    }
    assert_eq!(detect(&[client(line)]), Detection::Http1);
}

#[test]
fn http2_needs_its_whole_preface() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for n in 0..preface.len() {
        assert_eq!(detect(&[client(&preface[..n])]), MORE, "{n}");
    }
    assert_eq!(detect(&[client(preface)]), Detection::Http2);
}

#[test]
fn a_server_of_http2_may_speak_first() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for settings in [
        &b"\0\0\0\x04\0\0\0\0\0"[..],
        b"\0\0\x06\x04\0\0\0\0\0\0\x05\0\0\x40\0",
        b"\0\x01\x02\x04\xfe\x80\0\0\0",
    ] {
        for n in 1..=settings.len() {
            assert_eq!(detect(&[server(&settings[..n])]), MORE, "{n}");
            for m in 0..preface.len() {
                let (begun, rest) = preface.split_at(m);
                let said = [client(begun), server(&settings[..n])];
                assert_eq!(detect(&said), MORE, "{n} {m}");
                let [first, second] = said;
                assert_eq!(detect(&[first, second, client(rest)]), Detection::Http2, "{n} {m}");
            }
        }
        let header = client(b"PROXY UNKNOWN\r\n");
        let behind = [server(settings), header, client(preface)];
        assert_eq!(detect(&behind), Detection::Http2);
        assert_eq!(detect(&[server(settings), client(b"GET / HTTP/1.1\r")]), Detection::Http1);
        assert_eq!(detect(&[end(client(b"")), end(server(settings))]), Detection::Http2);
    }
    for no_settings in [
        &b"\0\0\x05\x04"[..],
        b"\0\0\x06\x00",
        b"\0\0\0\x04\x01",
        b"\0\0\0\x04\0\x01",
        b"\0\0\0\x04\0\0\0\0\x01",
        b"\x01\0\x02\x04",
    ] {
        let other = Detection::ServerFirst(Greeting::Other);
        assert_eq!(detect(&[server(no_settings)]), other, "{}", no_settings.escape_ascii());
    }
}

#[test]
fn resp_arrays_are_redis() {
    for bytes in [&b"*1\r\n$4\r\nPING\r\n"[..], b"*-1\r\n", b"\r\n*0\r\n", b"*1\r"] {
        assert_eq!(detect(&[client(bytes)]), Detection::Redis, "{}", bytes.escape_ascii());
    }
    for bytes in [&b"*\r\n"[..], b"*-\r\n", b"*1x\r\n", b"*1 2\r\n"] {
        assert_eq!(detect(&[client(bytes)]), UNRECOGNISED, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_inline_command_needs_the_servers_confirmation() {
    assert_eq!(detect(&[client(b"PING\r\n")]), MORE);
    assert_eq!(detect(&[client(b"GET /\r\n")]), MORE);
    for reply in [
        &b"+PONG\r\n"[..],
        b"$-1\r\n",
        b":12\r\n",
        b"*2\r\n",
        b"-ERR unknown command 'x'\r\n",
        b"%7\r\n",
        b"_\r\n",
    ] {
        let runs = [client(b"GET foo\n"), server(reply)];
        assert_eq!(detect(&runs), Detection::Redis, "{}", reply.escape_ascii());
    }
    for other in [
        &b"END\r\n"[..],
        b"+\x01\r\n",
        b":\r\n",
        b"$x\r\n",
        b"+PONG\n",
        b"250 ok\r\n",
        b"<html>",
        &[b'+'; 600],
    ] {
        let runs = [client(b"GET foo\r\n"), server(other)];
        assert_eq!(detect(&runs), UNRECOGNISED, "{}", other.escape_ascii());
    }
}

#[test]
fn held_text_that_is_no_request_is_unknown_at_once() {
    let held = feed(&[client(b"PING\r\n")], 1 << 15, false, || 1);
    assert_eq!(held.0, UNRECOGNISED);
}

#[test]
fn a_declared_inline_command_is_redis() {
    let mut detector = Detector::new(1 << 15, true);
    let mut look = |data| detector.client(ClientBytes { data, eof: false, passed: false });
    assert_eq!(look(b"PING"), MORE);
    assert_eq!(look(b"PING\r"), Detection::Redis);
}

#[test]
fn a_server_that_speaks_first_is_known_by_its_greeting() {
    for (bytes, greeting) in [
        (&b"SSH-2.0-x\r\n"[..], Greeting::Ssh),
        (b"220 mail ESMTP\r\n", Greeting::Mail),
        (b"220-ftp\r\n", Greeting::Mail),
        (b"* OK IMAP4", Greeting::Imap),
        (b"+OK POP3", Greeting::Pop3),
        (b"\x4a\0\0\0\x0a8.0.36\0", Greeting::Mysql),
        (b"\x45\0\0\0\xff\x10\x04Too many", Greeting::Mysql),
        (b"hello", Greeting::Other),
        (b"\xff\xfb\x01", Greeting::Other),
    ] {
        let found = Detection::ServerFirst(greeting);
        assert_eq!(detect(&[server(bytes)]), found, "{}", bytes.escape_ascii());
        assert_eq!(detect(&[server(bytes), client(b"GET / HTTP/1.1\r\n")]), found);
    }
}

#[test]
fn a_server_that_says_one_byte_is_not_waited_for_once_the_client_speaks() {
    assert_eq!(detect(&[server(b"2")]), Detection::More { server_first: true });
    let other = Detection::ServerFirst(Greeting::Other);
    assert_eq!(detect(&[server(b"2"), client(b"x")]), other);
    assert_eq!(detect(&[end(server(b"2"))]), other);
}

#[test]
fn unsolicited_answers_of_http_and_redis_are_theirs() {
    let timeout = b"HTTP/1.1 408 Request Timeout\r\n";
    assert_eq!(detect(&[server(timeout)]), Detection::Http1);
    assert_eq!(detect(&[client(b"GET /"), server(timeout)]), Detection::Http1);
    assert_eq!(detect(&[server(b"H"), client(b"GET / HTTP/1.1\r")]), Detection::Http1);
    let full = b"-ERR max number of clients reached\r\n";
    assert_eq!(detect(&[server(full)]), Detection::Redis);
    assert_eq!(detect(&[client(b"*1"), server(full)]), Detection::Redis);
}

#[test]
fn a_server_that_answers_half_a_head_settles_it() {
    assert_eq!(detect(&[client(b"hello"), server(b"hi")]), UNRECOGNISED);
    assert_eq!(detect(&[client(b"SSH-2.0-c\r\n"), server(b"SSH-2.0-s\r\n")]), UNRECOGNISED);
}

#[test]
fn binary_and_odd_text_are_unknown_at_once() {
    for bytes in
        [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"\x80", b" GET", b"GET\0", b"\"PING\"", b"\x16\x02"]
    {
        assert_eq!(detect(&[client(bytes)]), UNRECOGNISED, "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_budget_ends_it() {
    let long = [b"GET /".as_slice(), &[b'a'; 100]].concat();
    let budget = Detection::Unknown(Unknown::Budget);
    for cut in [1, 7, 1000] {
        assert_eq!(feed(&[client(&long)], 105, true, || cut).0, budget);
        assert_eq!(feed(&[client(&long)], 106, true, || cut).0, MORE);
    }
    let flood = b"PING\r\n".repeat(20);
    assert_eq!(feed(&[client(&flood)], 64, true, || 5).0, budget);
}

#[test]
fn ends_settle_it() {
    let truncated = Detection::Unknown(Unknown::Truncated);
    assert_eq!(detect(&[end(client(b"GET"))]), truncated);
    assert_eq!(detect(&[end(client(b"PING\r\n"))]), MORE);
    assert_eq!(detect(&[end(client(b"PING\r\n")), server(b"+PONG\r\n")]), Detection::Redis);
    assert_eq!(detect(&[client(b"QUIT\r\n"), end(server(b""))]), truncated);
    assert_eq!(detect(&[end(client(b""))]), MORE);
    assert_eq!(detect(&[end(client(b"")), end(server(b""))]), Detection::Silent);
    assert_eq!(detect(&[end(server(b"")), end(client(b""))]), Detection::Silent);
    let late = [end(client(b"")), server(b"SSH-2.0-x\r\n")];
    assert_eq!(detect(&late), Detection::ServerFirst(Greeting::Ssh));
}
