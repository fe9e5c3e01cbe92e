//! Learning, with the real program: what the profile has after real traffic, and what becomes of
//! its file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{PATIENCE, Server, Weir, free_port, read_until, serve, skip};

/// A server that finds nothing under `/missing` and takes everything else.
fn server() -> SocketAddr {
    serve(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while let Ok(1) = stream.read(&mut byte) {
            head.push(byte[0]);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let text = String::from_utf8_lossy(&head).into_owned();
            let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).unwrap();
            let status = if text.contains(" /missing") { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            head.clear();
        }
    })
}

/// A directory with room for a profile, and a sidecar that keeps one there.
struct Scene {
    dir: tempfile::TempDir,
    upstream: SocketAddr,
}

impl Scene {
    fn new(upstream: SocketAddr) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), upstream }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn profile(&self) -> PathBuf {
        self.at("learned.yaml")
    }

    fn start(&self, mode: &str, policy: &str, more: &[&str]) -> Learner {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let socket = self.at(&format!("{number}.sock"));
        let (profile, at) = (self.profile(), socket.display().to_string());
        let mut args = vec!["--profile", profile.to_str().unwrap(), "--socket", &at];
        args.extend_from_slice(more);
        let weir = Weir::start_with(mode, policy, &[self.upstream], &args);
        Learner { weir, socket }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.profile()).unwrap()
    }

    fn shapes(&self) -> Shapes {
        shapes(&self.text())
    }
}

struct Learner {
    weir: Weir,
    socket: PathBuf,
}

impl Learner {
    /// Sends so many requests of one kind.
    fn http(&self, method: &str, path: &str, times: usize) {
        for _ in 0..times {
            let mut stream = self.weir.connect();
            write!(stream, "{method} {path} HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
            read_until(&mut stream, b"\r\n\r\n");
        }
    }

    /// Asks at the socket: the status and the body.
    fn ask(&self, method: &str, target: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// Has the profile written now.
    fn write(&self) {
        let (status, body) = self.ask("POST", "/profile");
        assert_eq!(status, 200, "{body}: {}", self.weir.stderr());
    }

    /// Ends it as an orchestrator does.
    fn end(mut self) {
        self.weir.signal("TERM");
        assert_eq!(self.weir.wait(), Some(0), "{}", self.weir.stderr());
    }
}

/// Accepted, rejected and outside, by shape.
type Shapes = BTreeMap<String, [u64; 3]>;

fn shapes(yaml: &str) -> Shapes {
    let profile: Value = serde_saphyr::from_str(yaml).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let sum = |counts: &Value| -> u64 {
        let counts = counts.as_str().unwrap_or_default().split_whitespace();
        counts.map(|count| count.split_once(':').unwrap().1.parse::<u64>().unwrap()).sum()
    };
    let mut all = Shapes::new();
    for port in list(&profile["spec"]["ports"]) {
        for rule in list(&port["rules"]) {
            for shape in list(&rule["shapes"]) {
                let counts = ["accepted", "rejected", "outside"].map(|name| sum(&shape[name]));
                all.insert(shape["at"].as_str().unwrap().to_owned(), counts);
            }
        }
    }
    all
}

fn http_policy(at: SocketAddr) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n    protocol: http\n\
         \x20   allow: ['GET /carts/{{int}}']\n",
        at.port()
    )
}

#[test]
fn a_profile_grows_from_process_to_process() {
    let scene = Scene::new(server());
    let first = scene.start("learn", "", &[]);
    first.http("GET", "/carts/7", 5);
    first.http("GET", "/missing/7", 3);
    let (status, body) = first.ask("GET", "/profile");
    assert_eq!(status, 200);
    assert_eq!(shapes(&body)["GET /carts/{int}"], [5, 0, 0], "{body}");
    assert!(!scene.profile().exists(), "nothing was asked to be written yet");
    let (status, body) = first.ask("POST", "/profile");
    let written: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &written["bytes"]), (200, &scene.text().len().into()));
    let seen = scene.shapes();
    assert_eq!(seen["GET /carts/{int}"], [5, 0, 0]);
    assert_eq!(seen["GET /missing/{int}"], [0, 3, 0]);
    for name in ["learned.yaml", "learned.yaml.key"] {
        assert_eq!(scene.at(name).metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(first.weir.metric("weir_profile_operations_total accepted") == 5.0);
    assert!(first.weir.metric("weir_profile_writes_total success") >= 1.0);
    let (_, config) = first.ask("GET", "/config");
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["profile"], *scene.profile().to_str().unwrap());
    first.http("GET", "/carts/8", 2);
    first.end();
    assert_eq!(scene.shapes()["GET /carts/{int}"], [7, 0, 0], "the end writes what is left");
    let second = scene.start("learn", "", &[]);
    second.http("GET", "/carts/9", 3);
    second.end();
    assert_eq!(scene.shapes()["GET /carts/{int}"], [10, 0, 0]);
    let left = std::fs::read_dir(scene.dir.path()).unwrap().count();
    assert_eq!(left, 2, "the profile, its key, and nothing else");
}

#[test]
fn a_changed_profile_is_written_without_being_asked() {
    let scene = Scene::new(server());
    let learner = scene.start("learn", "", &[]);
    learner.http("GET", "/carts/7", 3);
    learner.weir.until("written", || scene.profile().exists());
    assert_eq!(scene.shapes()["GET /carts/{int}"], [3, 0, 0]);
}

fn redis(stream: &mut TcpStream, words: &[&str]) -> String {
    let mut bytes = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| bytes += &format!("${}\r\n{word}\r\n", word.len()));
    stream.write_all(bytes.as_bytes()).unwrap();
    String::from_utf8(read_until(stream, b"\r\n")).unwrap()
}

#[test]
fn commands_that_redis_refuses_are_rejected() {
    let Some(server) = Server::redis(&[]) else { return };
    let scene = Scene::new(server.at);
    let learner = scene.start("learn", "", &[]);
    let mut stream = learner.weir.connect();
    assert_eq!(redis(&mut stream, &["SELECT", "2"]), "+OK\r\n");
    for _ in 0..4 {
        assert_eq!(redis(&mut stream, &["SET", "cart:7", "x"]), "+OK\r\n");
        assert!(redis(&mut stream, &["LPUSH", "cart:7", "x"]).starts_with("-WRONGTYPE"));
    }
    learner.write();
    let seen = scene.shapes();
    assert_eq!(seen["SET cart:{int}"], [4, 0, 0], "{seen:#?}");
    assert_eq!(seen["LPUSH cart:{int}"], [0, 4, 0], "{seen:#?}");
    assert!(scene.text().contains("databases:\n"), "{}", scene.text());
}

#[test]
fn monitor_and_enforce_keep_what_is_outside() {
    let scene = Scene::new(server());
    let policy = http_policy(scene.upstream);
    for (mode, expected) in [("monitor", 3), ("enforce", 6)] {
        let learner = scene.start(mode, &policy, &[]);
        learner.http("GET", "/carts/7", 3);
        learner.http("DELETE", "/carts/7", 3);
        learner.http("GET", "/carts/../x", 1);
        learner.end();
        let seen = scene.shapes();
        assert_eq!(seen["DELETE /carts/{int}"], [0, expected, expected], "{seen:#?}");
        assert!(!seen.contains_key("GET /carts/{int}"), "{seen:#?}");
    }
}

/// Runs the program with a profile where it cannot go on: the exit status and what it says.
fn refused(profile: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--admin", "off", "--traffic-log", "off"])
        .args(["--forward", "127.0.0.1:0=127.0.0.1:9", "--profile"])
        .arg(profile)
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_broken_at_the_start_is_told_and_left_alone() {
    let scene = Scene::new(server());
    let path = scene.profile();
    let broken = "apiVersion: weir.dev/v1alpha1\nkind: TrafficProfile\nspec:\n  sports: []\n";
    std::fs::write(&path, broken).unwrap();
    let (status, told) = refused(&path);
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("learned.yaml:4:3") && told.contains("hint: "), "{told}");
    assert_eq!(scene.text(), broken);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(scene.at("learned.yaml.key"), "secret").unwrap();
    let (status, told) = refused(&path);
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("learned.yaml.key:1:1: no key") && told.contains("hint: "), "{told}");
    let (status, told) = refused(&scene.at("nowhere/p.yaml"));
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("cannot write the profile") && told.contains("hint: "), "{told}");
    let (status, told) = refused(scene.dir.path());
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("no regular file"), "{told}");
}

#[test]
fn what_gets_broken_meanwhile_is_not_overwritten() {
    let scene = Scene::new(server());
    let learner = scene.start("learn", "", &[]);
    learner.http("GET", "/carts/7", 2);
    learner.write();
    let good = scene.text();
    std::fs::write(scene.profile(), "nonsense: [").unwrap();
    learner.http("GET", "/carts/7", 2);
    for _ in 0..2 {
        let (status, told) = learner.ask("POST", "/profile");
        assert_eq!(status, 503);
        assert!(told.contains("is no profile any more"), "{told}");
    }
    assert_eq!(scene.text(), "nonsense: [");
    assert!(learner.weir.metric("weir_profile_writes_total broken") >= 2.0);
    let told = learner.weir.stderr().matches("cannot be written").count();
    assert_eq!(told, 1, "{}", learner.weir.stderr());
    std::fs::write(scene.profile(), good).unwrap();
    learner.write();
    assert_eq!(scene.shapes()["GET /carts/{int}"], [4, 0, 0]);
    learner.weir.until("told", || learner.weir.stderr().contains("written again"));
}

#[test]
fn two_processes_lose_nothing_of_one_profile() {
    let scene = Scene::new(server());
    let learners = [scene.start("learn", "", &[]), scene.start("learn", "", &[])];
    for round in 0..4 {
        std::thread::scope(|scope| {
            for (i, learner) in learners.iter().enumerate() {
                scope.spawn(move || {
                    learner.http("GET", &format!("/{}/{round}", ["left", "right"][i]), 3);
                    learner.http("GET", "/both/7", 2);
                    learner.write();
                });
            }
        });
    }
    let [first, second] = learners;
    first.http("GET", "/both/7", 1);
    second.http("GET", "/both/7", 1);
    std::thread::scope(|scope| {
        scope.spawn(|| first.end());
        scope.spawn(|| second.end());
    });
    let seen = scene.shapes();
    assert_eq!(seen["GET /left/{int}"], [12, 0, 0], "{seen:#?}");
    assert_eq!(seen["GET /right/{int}"], [12, 0, 0], "{seen:#?}");
    assert_eq!(seen["GET /both/{int}"], [18, 0, 0], "{seen:#?}");
}

#[test]
fn a_symbolic_link_is_followed() {
    let scene = Scene::new(server());
    std::fs::create_dir(scene.at("kept")).unwrap();
    std::os::unix::fs::symlink("kept/p.yaml", scene.profile()).unwrap();
    let learner = scene.start("learn", "", &[]);
    learner.http("GET", "/carts/7", 3);
    learner.write();
    assert!(scene.profile().is_symlink());
    let text = std::fs::read_to_string(scene.at("kept/p.yaml")).unwrap();
    assert_eq!(shapes(&text)["GET /carts/{int}"], [3, 0, 0]);
}

/// A sidecar whose profile is on a file system of 64 KiB, which nobody else sees.
fn on_a_small_disk(scene: &Scene) -> Option<(Learner, PathBuf)> {
    if !rustix::process::geteuid().is_root() {
        skip("a small disk needs root");
        return None;
    }
    let (disk, socket, admin) = (scene.at("disk"), scene.at("s.sock"), free_port());
    std::fs::create_dir(&disk).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" && exec \"$@\"";
    command.args(["--mount", "--", "sh", "-c", script]).arg(&disk);
    command.arg(env!("CARGO_BIN_EXE_weir")).args(["run", "--admin"]).arg(admin.to_string());
    command.arg("--traffic-log").arg(dir.path().join("traffic.jsonl"));
    command.arg("--forward").arg(format!("127.0.0.1:0={}", scene.upstream));
    command.arg("--profile").arg(disk.join("p.yaml")).arg("--socket").arg(&socket);
    let weir = Weir::launch(command, dir, admin, None);
    let seen = PathBuf::from(format!("/proc/{}/root", weir.pid()));
    let seen = seen.join(disk.strip_prefix("/").unwrap());
    Some((Learner { weir, socket }, seen))
}

#[test]
fn a_full_disk_spoils_nothing() {
    let scene = Scene::new(server());
    let Some((learner, disk)) = on_a_small_disk(&scene) else { return };
    learner.http("GET", "/carts/7", 3);
    learner.write();
    let good = std::fs::read_to_string(disk.join("p.yaml")).unwrap();
    let mut filler = std::fs::File::create(disk.join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    learner.http("GET", "/carts/7", 3);
    for _ in 0..2 {
        let (status, told) = learner.ask("POST", "/profile");
        assert_eq!(status, 503);
        assert!(told.contains("No space left"), "{told}");
    }
    assert_eq!(std::fs::read_to_string(disk.join("p.yaml")).unwrap(), good);
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 3, "profile, key and filler");
    assert_eq!(learner.weir.stderr().matches("cannot be written").count(), 1);
    assert!(learner.weir.metric("weir_profile_writes_total failure") >= 2.0);
    drop(filler);
    std::fs::remove_file(disk.join("filler")).unwrap();
    learner.write();
    let text = std::fs::read_to_string(disk.join("p.yaml")).unwrap();
    assert_eq!(shapes(&text)["GET /carts/{int}"], [6, 0, 0]);
}

#[test]
fn a_word_is_shown_once_three_operations_had_it() {
    let scene = Scene::new(server());
    let learner = scene.start("learn", "", &[]);
    learner.http("GET", "/pangolin/7", 2);
    learner.weir.record("hidden", |record| record["op"] == "GET /{new}/{int}");
    learner.write();
    assert!(!scene.text().contains("pangolin") && scene.shapes()["GET /{new}/{int}"] == [2, 0, 0]);
    learner.http("GET", "/pangolin/7", 1);
    learner.write();
    assert_eq!(scene.shapes()["GET /pangolin/{int}"], [3, 0, 0], "{}", scene.text());
    learner.http("GET", "/pangolin/7", 1);
    let shown = learner.weir.record("shown", |record| record["op"] == "GET /pangolin/{int}");
    assert_eq!(shown["detail"], "/pangolin/{int}");
}

/// Words that no class takes: nothing but that they are new keeps them secret.
const SECRETS: [&str; 7] =
    ["swordfish", "opensesame", "correcthorse", "hunter-two", "xyzzy", "abracadabra", "mellon"];

#[test]
fn secrets_are_nowhere() {
    let Some(store) = Server::redis(&[]) else { return };
    for mode in ["learn", "monitor", "enforce"] {
        let scene = Scene::new(server());
        let policy = http_policy(scene.upstream);
        let learner = scene.start(mode, &policy, &["--log", "debug"]);
        let mut answers = String::new();
        for request in [
            "GET /carts/7?q=opensesame HTTP/1.1\r\nHost: a\r\nCookie: s=correcthorse\r\n\r\n",
            "GET /reset/swordfish HTTP/1.1\r\nHost: a\r\nX-Token: correcthorse\r\n\r\n",
            "GET /reset;swordfish=opensesame/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /carts/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhunter-two",
            "POST /login/%73wordfish HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nxyzzy",
        ] {
            let mut stream = learner.weir.connect();
            stream.write_all(request.as_bytes()).unwrap();
            answers += &String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        }
        let shop = Scene::new(store.at);
        let policy = policy_of_the_store(store.at);
        let keeper = shop.start(mode, &policy, &["--log", "debug"]);
        let mut stream = keeper.weir.connect();
        for command in [
            &["SET", "cart:7", "mellon"][..],
            &["SET", "session:abracadabra", "mellon"],
            &["GET", "abracadabra"],
            &["PUBLISH", "news:abracadabra", "mellon"],
            &["EVAL", "return 'mellon'", "0"],
        ] {
            stream = keeper.weir.connect();
            answers += &redis(&mut stream, command);
        }
        drop(stream);
        for (scene, learner) in [(&scene, learner), (&shop, keeper)] {
            learner.write();
            let mut places = vec![("answers", answers.clone()), ("profile", scene.text())];
            for target in ["/config", "/policy", "/profile", "/mode"] {
                places.push((target, learner.ask("GET", target).1));
            }
            places.push(("/metrics", learner.weir.get("/metrics").unwrap().1));
            let log = learner.weir.dir().join("traffic.jsonl");
            learner.weir.until("five records", || learner.weir.records().len() >= 5);
            places.push(("traffic log", std::fs::read_to_string(log).unwrap()));
            places.push(("program log", learner.weir.stderr()));
            for (place, text) in places {
                for secret in SECRETS {
                    assert!(!text.contains(secret), "{secret} in {place}, {mode}: {text}");
                }
            }
            learner.end();
        }
    }
}

fn policy_of_the_store(at: SocketAddr) -> String {
    http_policy(at)
        .replace("protocol: http", "protocol: redis")
        .replace("'GET /carts/{int}'", "'SET cart:{int}'")
}
