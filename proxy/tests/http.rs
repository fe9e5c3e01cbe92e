//! HTTP/1.1 between real clients and servers: curl, nginx and hyper on either side of a sidecar.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::{PATIENCE, Server, Weir, program, read_all, read_until, serve};

const POLICY: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web}
spec:
  mode: enforce
  inbound:
  - from: [{any: true}]
    ports: [PORT]
    protocol: http
    allow: ["GET /small", "HEAD /small", "GET /big", "POST /echo", "GET /api/*", "PUT /upload",
            {op: "GET /ws", upgrade: websocket}]
"#;

/// The policy for a server.
fn policy(at: SocketAddr) -> String {
    POLICY.replace("PORT", &at.port().to_string())
}

/// A server that answers every head with `ok`, and what it received.
fn recorder() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let copy = received.clone();
    let at = serve(move |mut stream| {
        let mut seen = Vec::new();
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            copy.lock().unwrap().push(byte[0]);
            seen.push(byte[0]);
            if seen.ends_with(b"\r\n\r\n") {
                seen.clear();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    (at, received)
}

fn text(received: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&received.lock().unwrap()).into_owned()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The `id` of a problem document.
fn id(answer: &str) -> &str {
    let (_, rest) = answer.split_once("\"id\":\"").expect(answer);
    rest.split('"').next().unwrap()
}

/// Sends all, and answers everything that comes back until the end.
fn exchange(weir: &Weir, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = weir.connect();
    stream.write_all(bytes.as_ref()).unwrap();
    String::from_utf8_lossy(&read_all(&mut stream)).into_owned()
}

fn curl(arguments: &[&str]) -> Option<String> {
    let output = Command::new(program("curl")?)
        .args(["--silent", "--show-error", "--max-time", "20"])
        .args(arguments)
        .output()
        .unwrap();
    Some(
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn curl_meets_nginx() {
    let Some(nginx) = Server::nginx("") else { return };
    let weir = Weir::start("monitor", &policy(nginx.at), nginx.at);
    let url = |path: &str| format!("http://{}{path}", weir.at());
    let Some(answer) = curl(&[&url("/small"), &url("/small"), "-I", &url("/small")]) else {
        return;
    };
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert_eq!(curl(&[&url("/small")]).unwrap(), "small\n");
    for (arguments, reason) in [
        (&["/private"][..], "not_allowed"),
        (&["-X", "DELETE", "/small"], "not_allowed"),
        (&["--path-as-is", "/api/%2e%2e/private"], "ambiguous_path"),
        (&["--path-as-is", "/api/../private"], "ambiguous_path"),
        (&["-H", "X-HTTP-Method-Override: DELETE", "/small"], "override_header"),
        (&["--http2", "/small"], "upgrade_not_permitted"),
    ] {
        let (path, flags) = arguments.split_last().unwrap();
        let url = url(path);
        let mut all = vec!["-i"];
        all.extend_from_slice(flags);
        all.push(&url);
        let answer = curl(&all).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{arguments:?}: {answer}");
        assert!(answer.contains("application/problem+json"));
        let told = id(&answer).to_owned();
        let record = weir.record("the refusal", |r| r["id"] == *told);
        assert_eq!((&record["verdict"], &record["reason"]), (&"refused".into(), &reason.into()));
    }
}

#[test]
fn the_refusal_of_an_upload_reaches_curl() {
    let Some(nginx) = Server::nginx("") else { return };
    let weir = Weir::start("monitor", &policy(nginx.at), nginx.at);
    let big = weir.dir().join("big");
    std::fs::File::create(&big).unwrap().set_len(64 << 20).unwrap();
    let url = format!("http://{}/refused", weir.at());
    for expect in ["Expect:", "Expect: 100-continue"] {
        let file = big.display().to_string();
        let Some(answer) = curl(&["-i", "-T", &file, "-H", expect, &url]) else { return };
        assert!(answer.contains("HTTP/1.1 403 Forbidden"), "{answer}");
        id(&answer);
    }
}

#[test]
fn a_big_body_passes_in_constant_memory() {
    const SIZE: u64 = 1 << 30;
    let Some(nginx) = Server::nginx("") else { return };
    std::fs::File::create(nginx.dir().join("big")).unwrap().set_len(SIZE).unwrap();
    let weir = Weir::start("monitor", &policy(nginx.at), nginx.at);
    assert!(
        exchange(&weir, get("/small").replace("Host", "Connection: close\r\nHost"))
            .ends_with("small\n")
    );
    let before = weir.resident();
    let mut stream = weir.connect();
    stream.write_all(get("/big").as_bytes()).unwrap();
    read_until(&mut stream, b"\r\n\r\n");
    let mut chunk = vec![0; 1 << 18];
    let (mut left, mut most) = (SIZE, 0);
    while left > 0 {
        let read = stream.read(&mut chunk).unwrap() as u64;
        assert!(read > 0, "{left} bytes are missing");
        if (left / (64 << 20)) != (left - read) / (64 << 20) {
            most = most.max(weir.resident());
        }
        left -= read;
    }
    assert!(most < before + (4 << 20), "{before} bytes resident before, {most} during");
    let record = weir.record("the transfer", |r| r["op"] == "GET /big");
    assert!(record["bytes_out"].as_u64().unwrap() > SIZE);
}

#[test]
fn a_refusal_in_a_deep_pipeline() {
    let (at, received) = recorder();
    let before: String = (0..50).map(|n| get(&format!("/api/{n}"))).collect();
    let after: String = (50..60).map(|n| get(&format!("/api/{n}"))).collect();
    let weir = Weir::start("monitor", &policy(at), at);
    let answer = exchange(&weir, format!("{before}{}{after}", get("/private")));
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 50);
    assert_eq!(answer.matches("HTTP/1.1 403").count(), 1);
    assert!(answer.rfind("200 OK") < answer.find("403 Forbidden"));
    assert_eq!(text(&received), before);

    received.lock().unwrap().clear();
    let weir =
        Weir::start("monitor", &policy(at).replace("  mode:", "  refusal: answer\n  mode:"), at);
    let mut stream = weir.connect();
    stream.write_all(format!("{before}{}{after}", get("/private")).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    let codes: Vec<_> =
        answer.match_indices("HTTP/1.1 ").map(|(i, m)| &answer[i + m.len()..][..3]).collect();
    let expected: Vec<_> = (0..61).map(|n| if n == 50 { "403" } else { "200" }).collect();
    assert_eq!(codes, expected);
    assert_eq!(text(&received), before + &after);
}

#[test]
fn smuggling_does_not_reach_the_server() {
    let (at, received) = recorder();
    let weir = Weir::start("monitor", &policy(at), at);
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    for (request, reason) in [
        (
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /private HTTP/1.1\r\n",
            "content_length_with_transfer_encoding",
        ),
        ("Content-Length: 4\r\nContent-Length: 5\r\n\r\n", "content_length_repeated"),
        ("Transfer-Encoding: chunked, identity\r\n\r\n", "transfer_encoding_unsupported"),
        ("Transfer-Encoding : chunked\r\n\r\n", "space_before_colon"),
        ("X: a\nTransfer-Encoding: chunked\r\n\r\n", "bare_lf"),
        ("X: a\r\n Transfer-Encoding: chunked\r\n\r\n", "obs_fold"),
    ] {
        let answer = exchange(&weir, format!("{post}{request}"));
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 501 "),
            "{answer}"
        );
        assert!(!answer.contains(reason), "the client is not told why");
        let told = id(&answer).to_owned();
        assert_eq!(weir.record("the refusal", |r| r["id"] == *told)["reason"], reason);
    }
    assert_eq!(text(&received), "");
}

#[test]
fn one_byte_at_a_time_is_judged_the_same() {
    let (at, received) = recorder();
    let weir = Weir::start("monitor", &policy(at), at);
    let mut stream = weir.connect();
    for byte in (get("/api/a") + &get("/private")).as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("403 Forbidden"), "{answer}");
    assert_eq!(text(&received), get("/api/a"));
}

#[test]
fn silence_does_not_loosen_anything() {
    let (at, received) = recorder();
    let weir = Weir::start_with(
        "monitor",
        &policy(at),
        &[at],
        &["--limit", "slow-head=5s", "--limit", "half-close-idle=5s"],
    );
    let mut idle = weir.connect();
    let mut slow = weir.connect();
    slow.write_all(b"GET /api/a HTT").unwrap();
    let started = Instant::now();
    let answer = String::from_utf8_lossy(&read_all(&mut slow)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(started.elapsed() >= Duration::from_secs(4));
    std::thread::sleep(Duration::from_secs(20).saturating_sub(started.elapsed()));
    idle.write_all(get("/private").as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&mut idle)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(text(&received), "");
}

#[test]
fn a_changed_policy_reaches_a_live_connection() {
    let (at, _) = recorder();
    let weir = Weir::start("monitor", &policy(at), at);
    let mut stream = weir.connect();
    stream.write_all(get("/api/a").as_bytes()).unwrap();
    read_until(&mut stream, b"ok");
    weir.reload(&policy(at).replace("\"GET /api/*\", ", ""));
    stream.write_all(get("/api/a").as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn a_websocket_passes_where_it_is_permitted() {
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switch.as_bytes()).unwrap();
        let mut frame = [0; 5];
        stream.read_exact(&mut frame).unwrap();
        stream.write_all(&frame).unwrap();
    });
    let weir = Weir::start("monitor", &policy(at), at);
    let mut stream = weir.connect();
    let head =
        |path| get(path).replace("Host", "Connection: Upgrade\r\nUpgrade: websocket\r\nHost");
    // The frame comes before the answer: it must wait, as it would not if it were HTTP.
    stream.write_all((head("/ws") + "frame").as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&mut stream)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("frame"), "{answer}");
    let started = weir.record("the upgrade", |r| r["reason"] == "upgraded");
    assert_eq!(started["verdict"], "unread");
    assert!(exchange(&weir, head("/api/ws")).starts_with("HTTP/1.1 403 "));
}

#[test]
fn malformed_answers_are_a_bad_gateway() {
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok");
        let _ = stream.read(&mut [0]);
    });
    let weir = Weir::start("monitor", &policy(at), at);
    let answer = exchange(&weir, get("/api/a"));
    assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway"), "{answer}");
    let weir = Weir::start("monitor", &policy(at).replace("enforce", "monitor"), at);
    let mut stream = weir.connect();
    stream.write_all(get("/api/a").as_bytes()).unwrap();
    read_until(&mut stream, b"Content-Length: 3\r\n\r\nok");
    let record = weir.record("it", |r| r["reason"] == "content_length_repeated");
    assert_eq!(record["verdict"], "would-refuse");
}

#[test]
fn secrets_are_in_no_log() {
    let (at, _) = recorder();
    let weir = Weir::start("monitor", &policy(at), at);
    let secret = "c2VjcmV0LXRva2Vu";
    let fields = format!("Authorization: Bearer {secret}\r\nCookie: sid={secret}\r\nHost");
    let closed = get("/api/a").replace("Host", &format!("Connection: close\r\n{fields}"));
    let mut stream = weir.connect();
    stream.write_all(closed.as_bytes()).unwrap();
    read_until(&mut stream, b"ok");
    drop(stream);
    exchange(&weir, get("/private").replace("Host", &fields));
    exchange(&weir, get(&format!("http://user:{secret}@a/api/a")));
    exchange(&weir, get("/private").replace("Host", &format!("X: \0\r\n{fields}")));
    weir.until("four records", || weir.records().len() >= 4);
    let log = format!("{:?}{}", weir.records(), weir.stderr());
    assert!(!log.contains(secret), "{log}");
}

#[test]
fn a_drain_says_goodbye_in_the_protocol() {
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        std::thread::sleep(Duration::from_millis(3500));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        let _ = stream.read(&mut [0]);
    });
    let mut weir = Weir::start_with("monitor", &policy(at), &[at], &["--grace", "5s"]);
    let mut idle = weir.connect();
    let mut busy = weir.connect();
    std::thread::sleep(Duration::from_millis(500));
    weir.signal("TERM");
    // Weir goes on until the grace period is nearly over; then what is idle ends, and what is
    // under way is told.
    std::thread::sleep(Duration::from_millis(500));
    busy.write_all(get("/api/a").as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&read_all(&mut busy)).into_owned();
    assert!(answer.contains("Connection: close") && answer.ends_with("ok"), "{answer}");
    assert_eq!(read_all(&mut idle), b"");
    assert_eq!(weir.wait(), Some(0));
}

/// A client that reads nothing keeps its connection from being flushed, and not the process from
/// ending: behind the grace period an orchestrator kills, and what was cut would not be logged.
#[test]
fn no_client_holds_the_end_up_beyond_the_grace_period() {
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
        while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
    });
    let mut weir = Weir::start_with("monitor", &policy(at), &[at], &["--grace", "3s"]);
    let mut client = weir.connect();
    client.write_all(get("/api/a").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    weir.signal("TERM");
    assert_eq!(weir.wait(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3900), "{took:?}");
    drop(client);
}

#[test]
fn hyper_meets_hyper() {
    let at = hyper_server();
    let weir = Weir::start("monitor", &policy(at), at);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, hyper_client(weir.at())).await });
    done.expect("in time");
    weir.until("all answered", || {
        weir.records().iter().filter(|r| r["complete"] == true && r["verdict"] == "allowed").count()
            == 40
    });
}

/// Forty requests with bodies of all sizes over one connection.
async fn hyper_client(at: SocketAddr) {
    use http_body_util::{BodyExt, Full};
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for n in 0..40usize {
        let body = vec![b'x'; n * n * 100];
        let mut request = hyper::Request::post("/echo").header("host", "a");
        if n % 3 == 0 {
            request = request.header("transfer-encoding", "chunked");
        }
        let request = request.body(Full::new(bytes::Bytes::from(body.clone()))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let back = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(back.len(), body.len());
    }
}

/// Answers a request with its own body, streamed.
fn hyper_server() -> SocketAddr {
    serve(|stream: TcpStream| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let io = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
            let echo = hyper::service::service_fn(
                |request: hyper::Request<hyper::body::Incoming>| async {
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(request.into_body()))
                },
            );
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, echo).await;
        });
    })
}

#[test]
fn what_waits_behind_an_unanswered_offer_does_not_outlive_both_ends() {
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let weir = Weir::start("monitor", &policy(at), at);
    let mut stream = weir.connect();
    let offer = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(format!("{offer}more").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"");
    weir.until("closed", || weir.metric("weir_connections_open") == 0.0);
}

/// Such a server leaves the rest of a pipeline unread until its answer has been taken. What of
/// the pipeline waits for it must not keep Weir from reading that answer.
#[test]
fn a_refusal_behind_a_long_pipeline_does_not_stop_the_answer_before_it() {
    const LENGTH: usize = 24 << 20;
    let at = serve(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").unwrap();
        if stream.write_all(&vec![b'x'; LENGTH]).is_ok() {
            read_all(&mut stream);
        }
    });
    let answer = policy(at).replace("mode: enforce", "mode: enforce\n  refusal: answer");
    let weir = Weir::start("monitor", &answer, at);
    let mut stream = weir.connect();
    let mut writer = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        let long = format!("GET /big HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(30_000));
        let pair = long + &get("/secret");
        let _ = writer.write_all(get("/big").as_bytes());
        while writer.write_all(pair.as_bytes()).is_ok() {}
    });
    std::thread::sleep(Duration::from_secs(1));
    read_until(&mut stream, b"\r\n\r\n");
    let mut taken = 0;
    let mut chunk = vec![0; 1 << 20];
    while taken < LENGTH {
        taken += stream.read(&mut chunk).unwrap();
    }
}

#[test]
fn nobody_is_let_in_once_goodbye_is_said() {
    let weir = {
        let (at, _) = recorder();
        Weir::start_with("monitor", &policy(at), &[at], &["--grace", "5s"])
    };
    let mut busy = weir.connect();
    busy.write_all(b"GET /api/a HTTP/1.1\r\n").unwrap();
    let begun = Instant::now();
    weir.signal("TERM");
    std::thread::sleep(Duration::from_secs(1));
    drop(weir.connect());
    weir.until("closed to newcomers", || TcpStream::connect(weir.at()).is_err());
    assert!(begun.elapsed() < Duration::from_millis(4500), "only as it ended");
}
