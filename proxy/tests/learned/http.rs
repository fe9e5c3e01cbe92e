//! A hyper application with some twenty endpoints and several clients: learned, enforced, and
//! nothing of what it answered in order is refused.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::scene::{arg, end, refused, replayed, said};
use crate::support::{PATIENCE, Weir, serve};

/// As many clients, each with an address of its own.
const CLIENTS: usize = 4;
/// As many users: more than a list that anybody would write.
const USERS: usize = 150;
/// Words that came once or twice.
const SECRETS: [&str; 6] =
    ["swordfish", "opensesame", "correcthorse", "hunter-two", "abracadabra", "mellon"];

/// The application: what it has, by the path's shape.
fn status(method: &str, path: &str) -> u16 {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (method, parts.as_slice()) {
        ("GET", ["" | "offers" | "search"] | ["static", ..] | ["reset", _])
        | ("GET" | "OPTIONS", ["api", "carts", _])
        | ("GET" | "HEAD", ["api", "blobs", _])
        | ("GET", ["api", "orders", _] | ["users", _, "profile" | "avatar.png"])
        | ("GET", ["reports", _] | ["export", _]) => 200,
        ("POST", ["api", "carts" | "orders"] | ["login" | "logout"]) => 201,
        ("POST", ["api", "carts", _, "items"]) => 201,
        ("PUT", ["api", "orders", _, "address"]) | ("PATCH", ["users", _, "settings"]) => 204,
        ("DELETE", ["api", "carts", _, "items", _]) => 204,
        // It fails for some.
        ("GET", ["api", "flaky", id]) if !id.ends_with('3') => 200,
        ("GET", ["api", "flaky", _] | ["broken"]) => 500,
        _ => 404,
    }
}

fn application() -> SocketAddr {
    serve(|stream| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            stream.set_nonblocking(true).unwrap();
            let io = TokioIo::new(tokio::net::TcpStream::from_std(stream).unwrap());
            let service = hyper::service::service_fn(|request: Request<Incoming>| async {
                let status = status(request.method().as_str(), request.uri().path());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut answer = Response::new(Full::new(body));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                if status == 204 {
                    *answer.body_mut() = Full::default();
                }
                Ok::<_, Infallible>(answer)
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    })
}

fn user(n: usize) -> String {
    const SYLLABLES: [&str; 6] = ["ra", "mo", "lin", "ta", "ves", "ko"];
    [n % 6, n / 6 % 6, n / 36 % 6, 1 + n % 5].map(|n| SYLLABLES[n]).concat()
}

/// What the client `client` asks in its round `n`: method, target, body.
fn requests(client: usize, n: usize) -> Vec<(&'static str, String, &'static str)> {
    let id = 1 + client * 1000 + n * 7;
    let uuid = format!("0f8fad5b-d9cb-469f-a165-7086{:08x}", id * 7919);
    let hex = format!("{:040x}", id * 104_729);
    let (user, other) = (user(n % USERS), user((n * 31 + client) % USERS));
    let mut all = vec![
        ("GET", "/".to_owned(), ""),
        ("GET", "/offers".to_owned(), ""),
        ("GET", format!("/search?q={id}&sort=price"), ""),
        ("GET", format!("/api/carts/{id}"), ""),
        ("OPTIONS", format!("/api/carts/{id}"), ""),
        ("POST", "/api/carts".to_owned(), "{\"user\": 7}"),
        ("POST", format!("/api/carts/{id}/items"), "{\"item\": 12, \"count\": 3}"),
        ("DELETE", format!("/api/carts/{id}/items/{n}"), ""),
        ("POST", "/api/orders".to_owned(), "{\"cart\": 7}"),
        ("GET", format!("/api/orders/{uuid}"), ""),
        ("PUT", format!("/api/orders/{uuid}/address"), "somewhere"),
        ("GET", format!("/api/blobs/{hex}"), ""),
        ("HEAD", format!("/api/blobs/{hex}"), ""),
        ("GET", format!("/users/{user}/profile"), ""),
        ("GET", format!("/users/{user}/avatar.png"), ""),
        ("PATCH", format!("/users/{other}/settings"), "{\"theme\": \"dark\"}"),
        ("GET", format!("/reports/2026-11-{:02}", 1 + n % 28), ""),
        ("GET", format!("/export/ada{n}@example.org"), ""),
        ("GET", "/static/css/site.css".to_owned(), ""),
        ("GET", "/static/js/app.js".to_owned(), ""),
        ("POST", "/login".to_owned(), "user=ada&password=mellon"),
        ("POST", "/logout".to_owned(), ""),
        ("GET", format!("/api/flaky/{n}"), ""),
    ];
    if n.is_multiple_of(10) {
        // What the application does not have, or cannot do.
        all.push(("GET", format!("/api/carts/{id}/missing"), ""));
        all.push(("GET", "/wp-admin/setup.php".to_owned(), ""));
        all.push(("POST", "/offers".to_owned(), "x"));
        all.push(("GET", "/broken".to_owned(), ""));
    }
    all
}

/// Has all clients go through their rounds at once: how many answers had which status.
fn traffic(weir: &Weir, rounds: usize, secrets: bool) -> BTreeMap<u16, usize> {
    let at = weir.at();
    let client = move |client: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let work = converse(at, client, rounds, secrets);
            tokio::time::timeout(PATIENCE * 3, work).await.expect("in time")
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(|n| std::thread::spawn(move || client(n))).collect();
    let mut all = BTreeMap::new();
    for client in clients {
        for status in client.join().unwrap() {
            *all.entry(status).or_default() += 1;
        }
    }
    all
}

type Sender = hyper::client::conn::http1::SendRequest<Full<Bytes>>;

/// A connection of the client's own address.
async fn connect(at: SocketAddr, client: usize) -> Sender {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let octet = 11 + u8::try_from(client).unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, octet), 0))).unwrap();
    let io = TokioIo::new(socket.connect(at).await.unwrap());
    let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One client's requests, over one connection as long as none is refused.
async fn converse(at: SocketAddr, client: usize, rounds: usize, secrets: bool) -> Vec<u16> {
    let mut sender = connect(at, client).await;
    let mut answers = Vec::new();
    let mut all: Vec<_> = (0..rounds).flat_map(|n| requests(client, n)).collect();
    if secrets && client == 0 {
        all.push(("GET", "/reset/swordfish".to_owned(), ""));
        all.push(("GET", "/reset/opensesame?t=correcthorse".to_owned(), ""));
        all.push(("GET", "/static/hunter-two".to_owned(), ""));
        all.push(("GET", "/api/carts/abracadabra".to_owned(), ""));
    }
    for (method, target, body) in all {
        let request = Request::builder().method(method).uri(&target).header("host", "shop.example");
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let (status, path) = (answer.status().as_u16(), target.split('?').next().unwrap());
        answers.push(status);
        assert!(status == 403 || status == self::status(method, path), "{method} {target}");
        let back = answer.into_body().collect().await.unwrap().to_bytes();
        if status == 403 {
            sender = connect(at, client).await;
        }
        assert!(method == "HEAD" || status == 204 || status == 403 || back == body, "{target}");
    }
    answers
}

fn entries(policy: &Path) -> Vec<String> {
    let policy: serde_json::Value =
        serde_saphyr::from_str(&std::fs::read_to_string(policy).unwrap()).unwrap();
    let allow = policy["spec"]["inbound"][0]["allow"].as_array().unwrap();
    allow.iter().map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_application_is_learned_and_enforced() {
    let application = application();
    let dir = tempfile::tempdir().unwrap();
    let (profile, policy) = (dir.path().join("profile.yaml"), dir.path().join("policy.yaml"));
    let args = ["--profile", arg(&profile)];
    let mut learner = Weir::start_with("learn", "", &[application], &args);
    let learned = traffic(&learner, USERS, true);
    end(&mut learner);
    assert!(learned[&404] > 20 && learned[&500] > 20 && !learned.contains_key(&403), "{learned:?}");

    let made = ["policy", "from-profile", arg(&profile), "--trusted", "--mode", "enforce"];
    let text = said(&made);
    std::fs::write(&policy, &text).unwrap();
    assert_eq!(
        entries(&policy),
        [
            "DELETE /api/carts/{int}/items/{int}",
            "GET /",
            "GET /api/blobs/{hex}",
            "GET /api/carts/{int}",
            "GET /api/flaky/{int}",
            "GET /api/orders/{uuid}",
            "GET /export/{email}",
            "GET /offers",
            "GET /reports/{date}",
            "GET /search",
            "GET /static/css/site.css",
            "GET /static/js/app.js",
            "GET /users/{}/avatar.png",
            "GET /users/{}/profile",
            "HEAD /api/blobs/{hex}",
            "OPTIONS /api/carts/{int}",
            "PATCH /users/{}/settings",
            "POST /api/carts",
            "POST /api/carts/{int}/items",
            "POST /api/orders",
            "POST /login",
            "POST /logout",
            "PUT /api/orders/{uuid}/address",
        ],
        "{text}"
    );
    let profile = std::fs::read_to_string(&profile).unwrap();
    for secret in SECRETS {
        assert!(!text.contains(secret) && !profile.contains(secret), "{secret}");
    }

    let args = ["--policy", arg(&policy)];
    let mut guard = Weir::start_with("enforce", "", &[application], &args);
    let enforced = traffic(&guard, USERS / 3, false);
    end(&mut guard);
    // Refused is what the application never answered in order, and nothing else.
    let never = CLIENTS * USERS / 3 / 10 * 4;
    assert_eq!(enforced.get(&403), Some(&never), "{enforced:?}");
    assert_eq!(enforced.get(&404), None, "{enforced:?}");
    let refused = refused(&guard);
    assert_eq!(refused.len(), never);
    for record in refused {
        let op = record["op"].as_str().unwrap();
        let expected = ["/missing", "/wp-admin/setup.php", "POST /offers", "GET /broken"];
        assert!(expected.iter().any(|end| op.ends_with(end)), "{record}");
    }
    let total = enforced.values().sum::<usize>() as u64;
    assert_eq!(replayed(&policy, &guard), [total - never as u64, never as u64, 0]);
}
