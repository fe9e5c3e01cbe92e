use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use weir_policy::decide::Mode;

use super::http::serve_admin;
use super::socket::{Socket, serve_socket};
use super::*;
use crate::config::{LogAllowed, LogDetail};
use crate::report::Reporter;
use crate::report::metrics::DialResult;
use crate::report::tap::Room;

struct Sidecar {
    reporter: Arc<Reporter>,
    live: Mutex<Option<Override>>,
    /// The ports that may be probed, and what came of it.
    probed: Mutex<HashMap<u16, Option<DialResult>>>,
}

impl Default for Sidecar {
    fn default() -> Self {
        let (allowed, detail) = (LogAllowed::All, LogDetail::Masked);
        let reporter = Reporter::new(None, allowed, detail, Arc::default()).unwrap();
        Self { reporter, live: Mutex::default(), probed: Mutex::default() }
    }
}

impl Control for Sidecar {
    fn ready(&self) -> bool {
        false
    }
    fn live(&self) -> bool {
        true
    }
    fn metrics(&self) -> &Metrics {
        self.reporter.metrics()
    }
    fn config(&self) -> Value {
        json!({ "mode": "monitor" })
    }
    fn policy(&self) -> Value {
        json!({ "generation": 1 })
    }
    fn probe(&self, port: u16) -> Permit {
        match port {
            1 => Permit::TooMany,
            2 => Permit::Known(DialResult::Refused),
            _ if self.probed.lock().unwrap().contains_key(&port) => {
                Permit::Dial(Duration::from_secs(9))
            }
            _ => Permit::NotListed,
        }
    }
    fn probed(&self, port: u16, result: DialResult) {
        self.probed.lock().unwrap().insert(port, Some(result));
    }
    fn mode(&self) -> ModeState {
        ModeState { configured: Mode::Monitor, live: self.live.lock().unwrap().clone() }
    }
    fn set_mode(&self, change: Override) -> Result<(), String> {
        if change.mode == Mode::Learn {
            return Err("not while it guards".to_owned());
        }
        *self.live.lock().unwrap() = Some(change);
        Ok(())
    }
    fn clear_mode(&self) {
        *self.live.lock().unwrap() = None;
    }
    fn tap(&self, filter: Filter) -> Result<Tap, NoTap> {
        self.reporter.taps().attach(filter, Room { taps: 2, bytes: 1 << 20 })
    }
}

/// Runs `client` on a thread against a socket at `path`.
async fn with_socket<R: Send + 'static>(
    sidecar: &Arc<Sidecar>,
    path: &Path,
    client: impl FnOnce() -> R + Send + 'static,
) -> R {
    let socket = Socket::bind(path).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let control: Arc<dyn Control> = Arc::clone(sidecar) as _;
    let server = tokio::spawn(serve_socket(socket, control, async {
        let _ = stopped.await;
    }));
    let result = tokio::task::spawn_blocking(client).await.unwrap();
    drop(stop);
    server.await.unwrap();
    result
}

#[tokio::test]
async fn the_socket_tells_and_sets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let sidecar = Arc::new(Sidecar::default());
    let at = path.clone();
    with_socket(&sidecar, &path, move || {
        assert_eq!(at.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(client::get(&at, "/config").unwrap(), json!({"mode": "monitor"}));
        assert_eq!(client::get(&at, "/policy").unwrap(), json!({"generation": 1}));
        let plain = json!({"mode": "monitor", "configured": "monitor", "override": null});
        assert_eq!(client::get(&at, "/mode").unwrap(), plain);
        let change = json!({"mode": "enforce", "for": 600, "reason": "a drill"});
        let set = json!({"mode": "enforce", "configured": "monitor", "override": change});
        assert_eq!(client::put(&at, "/mode", &change).unwrap(), set);
        assert_eq!(client::get(&at, "/mode").unwrap(), set);
        assert_eq!(client::delete(&at, "/mode").unwrap(), plain);
        for (bad, status) in [
            (json!({"mode": "learn"}), 409),
            (json!({"mode": "sleep"}), 400),
            (json!({"mode": "enforce", "for": 0}), 400),
            (json!({"mode": "enforce", "for": -1}), 400),
            (json!({"mode": "enforce", "for": u64::MAX}), 400),
            (json!({"mode": "enforce", "til": 1}), 400),
            (json!({"mode": "enforce", "reason": "x".repeat(2000)}), 400),
            (json!({"mode": "enforce", "reason": "x".repeat(20_000)}), 413),
            (json!([]), 400),
        ] {
            match client::put(&at, "/mode", &bad).unwrap_err() {
                client::Error::Refused { status: got, .. } => assert_eq!(got, status, "{bad}"),
                error => panic!("{error}"),
            }
        }
        for (method, target, status) in
            [("GET", "/", 404), ("PUT", "/config", 405), ("DELETE", "/policy", 405)]
        {
            let answer = match method {
                "GET" => client::get(&at, target),
                "PUT" => client::put(&at, target, &json!({})),
                _ => client::delete(&at, target),
            };
            assert!(
                matches!(answer, Err(client::Error::Refused { status: got, .. }) if got == status)
            );
        }
    })
    .await;
    assert!(!path.exists());
    let error = client::get(&path, "/mode").unwrap_err().to_string();
    assert!(error.contains("cannot reach a sidecar at"), "{error}");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = Socket::bind(&path).unwrap();

    let error = Socket::bind(&path).unwrap_err().to_string();
    assert!(error.contains("another process answers"), "{error}");

    // What another put in its place stays.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    drop(socket);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let error = Socket::bind(&path).unwrap_err().to_string();
    assert!(error.contains("something else") && error.contains("weir.sock"), "{error}");
}

/// Needs root: only root can become another user.
#[tokio::test]
async fn another_user_is_turned_away() {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs this as root");
        println!("skipped: only root can become another user");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // So that the file's mode is not what keeps the other user out.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("weir.sock");
    let sidecar = Arc::new(Sidecar::default());
    let at = path.clone();
    let [root, nobody] = with_socket(&sidecar, &path, move || {
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o666)).unwrap();
        ["0", "65534"].map(|user| {
            let command = format!(
                "exec setpriv --reuid {user} --clear-groups curl --max-time 9 -s -o /dev/null \
                 -w '%{{http_code}}' --unix-socket {} http://weir/mode",
                at.display()
            );
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        })
    })
    .await;
    assert_eq!((root.as_str(), nobody.as_str()), ("200", "000"));
    let metrics = sidecar.metrics().render();
    assert!(metrics.contains("weir_admin_rejected_total{cause=\"user\"} 1"), "{metrics}");
}

/// The answer to some bytes, up to the end.
async fn exchange(to: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(9), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn with_admin<F: Future<Output = ()>>(
    client: impl FnOnce(std::net::SocketAddr) -> F,
) -> Arc<Sidecar> {
    with_sidecar(Sidecar::default(), client).await
}

async fn with_sidecar<F: Future<Output = ()>>(
    sidecar: Sidecar,
    client: impl FnOnce(std::net::SocketAddr) -> F,
) -> Arc<Sidecar> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let sidecar = Arc::new(sidecar);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve_admin(listener, Arc::clone(&sidecar) as _, async {
        let _ = stopped.await;
    }));
    client(at).await;
    drop(stop);
    server.await.unwrap();
    sidecar
}

#[tokio::test]
async fn the_endpoint_has_metrics_and_health_alone() {
    with_admin(|at| async move {
        for (request, expected) in [
            ("GET /live", "HTTP/1.1 200"),
            ("GET /ready", "HTTP/1.1 503"),
            ("HEAD /metrics", "HTTP/1.1 200"),
            ("GET /metrics?x", "HTTP/1.1 200"),
            ("GET /mode", "HTTP/1.1 404"),
            ("PUT /mode", "HTTP/1.1 404"),
            ("GET /config", "HTTP/1.1 404"),
            ("GET /", "HTTP/1.1 404"),
            ("POST /metrics", "HTTP/1.1 405"),
            ("DELETE /live", "HTTP/1.1 405"),
            ("\x01\x02 garbage", "HTTP/1.1 400"),
        ] {
            let request = format!("{request} HTTP/1.1\r\nHost: weir\r\n\r\n");
            let answer = exchange(at, request.as_bytes()).await;
            assert!(answer.starts_with(expected), "{request}: {answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            match request.split(' ').next().unwrap() {
                "HEAD" => assert!(body.is_empty()),
                "GET" if request.starts_with("GET /metrics") => {
                    assert!(body.contains("weir_build_info{version="), "{body}");
                }
                _ => {}
            }
        }
        let long = vec![b'a'; 100_000];
        let answer = exchange(at, &[b"GET /", long.as_slice()].concat()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_probe_dials_the_address_at_which_it_was_asked() {
    let application = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = application.local_addr().unwrap().port();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = gone.local_addr().unwrap().port();
    drop(gone);
    let sidecar = Sidecar::default();
    *sidecar.probed.lock().unwrap() = HashMap::from([(open, None), (closed, None)]);
    let sidecar = with_sidecar(sidecar, |at| async move {
        for (request, expected, body) in [
            (format!("GET /probe/tcp/{open}"), "200", "open\n"),
            (format!("HEAD /probe/tcp/{open}"), "200", ""),
            (format!("GET /probe/tcp/{closed}"), "503", "not open: refused\n"),
            ("GET /probe/tcp/2".to_owned(), "503", "not open: refused\n"),
            ("GET /probe/tcp/1".to_owned(), "429", "too many probes\n"),
            ("GET /probe/tcp/65535".to_owned(), "404", "not a port to probe\n"),
            ("GET /probe/tcp/65536".to_owned(), "404", "not found\n"),
            ("GET /probe/tcp/".to_owned(), "404", "not found\n"),
            (format!("POST /probe/tcp/{open}"), "405", "GET or HEAD\n"),
        ] {
            let asked = format!("{request} HTTP/1.1\r\nHost: weir\r\n\r\n");
            let answer = exchange(at, asked.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{request}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{request}: {answer}");
            assert_eq!(answer.contains("retry-after: 1"), expected == "429", "{answer}");
        }
    })
    .await;
    let results = sidecar.probed.lock().unwrap().clone();
    let expected =
        [(open, Some(DialResult::Connected)), (closed, Some(DialResult::Refused))].into();
    assert_eq!(results, expected);
    let (accepted, _) = application.accept().await.unwrap();
    drop(accepted);
}

#[tokio::test]
async fn a_crowd_that_says_nothing_does_not_keep_probes_out() {
    let sidecar = with_admin(|at| async move {
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(TcpStream::connect(at).await.unwrap());
        }
        let start = Instant::now();
        let answer = exchange(at, b"GET /live HTTP/1.1\r\nHost: weir\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    })
    .await;
    let metrics = sidecar.metrics().render();
    assert!(metrics.contains("weir_admin_rejected_total{cause=\"busy\"} 137"), "{metrics}");
}

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() {
    with_admin(|at| async move {
        let start = Instant::now();
        let mut stream = TcpStream::connect(at).await.unwrap();
        stream.write_all(b"GET /live HT").await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let took = start.elapsed();
        assert!((4..9).contains(&took.as_secs()), "{took:?}");
    })
    .await;
}

/// Asks for a tap, and answers once it is attached.
fn tap(at: &Path, filter: &str) -> Result<stream::Body, client::Error> {
    stream::open(at, &format!("/tap?{filter}"))
}

#[tokio::test]
async fn taps_are_bounded_and_end_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let sidecar = Arc::new(Sidecar::default());
    let hub = tokio::spawn(Arc::clone(sidecar.reporter.taps()).run());
    let (at, asked) = (path.clone(), Arc::clone(&sidecar));
    let mut body = with_socket(&sidecar, &path, move || {
        let status = |answer: Result<_, _>| match answer.map(|_: stream::Body| ()) {
            Err(client::Error::Refused { status, reason }) => (status, reason),
            other => panic!("{other:?}"),
        };
        let (code, reason) = status(tap(&at, "colour=red"));
        assert_eq!((code, reason.as_str()), (400, "there is no filter `colour`"));
        let first = tap(&at, "op=GET%20*").unwrap();
        let second = tap(&at, "").unwrap();
        let (code, reason) = status(tap(&at, ""));
        assert!(code == 429 && reason.contains("limit `taps`"), "{reason}");
        // One that goes away leaves its place, without a record that would have to be written.
        drop(first);
        let end = Instant::now() + Duration::from_secs(9);
        while tap(&at, "").is_err() {
            assert!(Instant::now() < end, "the place is not free");
            std::thread::sleep(Duration::from_millis(10));
        }
        asked.reporter.taps().close();
        second
    })
    .await;
    hub.await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut body, &mut text).map(|_| text)
    });
    assert_eq!(read.await.unwrap().unwrap(), "", "it ends in order");
}

#[tokio::test]
async fn a_crowd_does_not_end_a_tap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weir.sock");
    let sidecar = Arc::new(Sidecar::default());
    let at = path.clone();
    with_socket(&sidecar, &path, move || {
        let _tap = tap(&at, "").unwrap();
        let silent = |_| std::os::unix::net::UnixStream::connect(&at).unwrap();
        let _crowd: Vec<_> = (0..200).map(silent).collect();
        assert_eq!(client::get(&at, "/config").unwrap(), json!({"mode": "monitor"}));
        let _second = tap(&at, "").unwrap();
        assert!(tap(&at, "").is_err(), "the first of two is still there");
    })
    .await;
    // Of 200 silent ones and one that asks, 64 find room beside the taps.
    let metrics = sidecar.metrics().render();
    assert!(metrics.contains("weir_admin_rejected_total{cause=\"busy\"} 137"), "{metrics}");
}
