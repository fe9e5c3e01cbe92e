//! The program as its users meet it: what it says, where, and how it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

fn weir(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .env_remove("WEIR_LOG")
        .output()
        .expect("the program runs")
}

/// Exit status, standard output, standard error.
fn told(args: &[&str]) -> (i32, String, String) {
    let output = weir(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_are_answers() {
    let (status, out, err) = told(&["--help"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains("Examples:") && out.contains("Exit status: 0 done"), "{out}");
    let (status, out, _) = told(&["--version"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("weir 0.1.0"), "{out}");
}

#[test]
fn wrong_usage_is_told_on_standard_error_with_status_2() {
    for (args, expected) in [
        (&["--frobnicate"][..], "weir: error: unexpected argument '--frobnicate'"),
        (&["polizy"], "a similar subcommand exists: 'policy'"),
        (&["completion", "ksh"], "[possible values: bash"),
    ] {
        let (status, out, err) = told(args);
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("weir: error: ") && err.contains(expected), "{args:?}: {err}");
    }
    let (status, out, err) = told(&[]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("Usage: weir <COMMAND>"), "{err}");
}

#[test]
fn nothing_has_colours_that_is_not_for_a_terminal() {
    for args in [&["--help"][..], &["--frobnicate"], &["limits"]] {
        let output = weir(args);
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{args:?}");
    }
}

#[test]
fn limits_are_listed_and_make_the_page() {
    let (status, out, _) = told(&["limits"]);
    assert_eq!(status, 0);
    assert!(out.contains("head-bytes=64KiB"), "{out}");
    let (status, out, _) = told(&["limits", "linger"]);
    assert_eq!((status, out.lines().count()), (0, 3), "{out}");
    let (status, _, err) = told(&["limits", "lingers"]);
    assert_eq!(status, 2);
    assert!(err.contains("no limit `lingers`") && err.contains("hint: `weir limits`"), "{err}");
    let (_, page, _) = told(&["limits", "--markdown"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
    assert_eq!(page, std::fs::read_to_string(path).unwrap());
}

#[test]
fn completion_knows_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = told(&["completion", shell]);
        assert_eq!(status, 0);
        assert!(out.contains("limits") && out.contains("completion"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["completion", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// Runs `weir run` with a forward to nowhere and these arguments besides.
fn run(args: &[&str]) -> (i32, String, String) {
    told(&[&["run", "--forward", "127.0.0.1:0=127.0.0.1:9"], args].concat())
}

#[test]
fn run_says_what_is_wrong_with_its_flags() {
    for (args, expected) in [
        (&["--limit", "head-bytes=1"][..], "limit `head-bytes`: `1` is outside 1KiB to 1MiB"),
        (&["--limit", "heads=1"], "there is no limit `heads`"),
        (&["--grace", "soon"], "`soon` is not a duration"),
        (&["--memory", "lots"], "`lots` is not a size"),
        (&["--mode", "strict"], "[possible values: learn, monitor, enforce]"),
        (&["--log-allowed", "sample:0"], "`sample:100` logs one in a hundred"),
        (&["--log", "loud"], "`loud` is not a level"),
        (&["--forward", "localhost:1=127.0.0.1:2"], "`localhost:1` is not an IP address and port"),
        (&["--workers", "0"], "weir: error: workers: must be from 1 to 64"),
        (&["--config", "/nonexistent/weir.yaml"], "cannot read /nonexistent/weir.yaml"),
    ] {
        let (status, out, err) = run(args);
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.starts_with("weir: error: ") && err.contains(expected), "{args:?}: {err}");
    }
}

#[test]
fn forwards_and_the_redirect_exclude_each_other() {
    let forward = "127.0.0.1:1=127.0.0.1:2";
    for port in ["--inbound-port", "--outbound-port"] {
        let (status, _, err) = told(&["run", "--forward", forward, port, "7"]);
        assert_eq!(status, 2);
        let name = port.trim_start_matches('-');
        assert!(err.contains(&format!("`{name}` is for what `weir init` redirects")), "{err}");
    }
    let (status, _, err) = told(&["run", "--inbound-port", "7", "--outbound-port", "7"]);
    assert_eq!(status, 2);
    assert!(err.contains("--inbound-port and --outbound-port are both 7"), "{err}");
}

#[test]
fn an_error_in_the_configuration_shows_its_place() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), "mode: enforce\ngrace: soon\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (status, _, err) = run(&["--config", path]);
    assert_eq!(status, 2);
    let expected = format!(
        "weir: error: {path}:2:8: `soon` is not a duration: write a number and a unit, as in \
         `500ms`, `5s` or `2m`\n   |\n 2 | grace: soon\n   |        ^\n"
    );
    assert_eq!(err, expected);
}

#[test]
fn a_port_in_use_is_told_with_status_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    for (args, what) in [
        (["--admin", "off", "--forward", &format!("{at}=127.0.0.1:9")], "--forward"),
        (["--admin", &at.to_string(), "--traffic-log", "off"], "--admin"),
    ] {
        let (status, _, err) = run(&args);
        assert_eq!(status, 1, "{err}");
        let expected = format!("weir: error: cannot listen at {at} for {what}: ");
        assert!(err.contains(&expected) && err.contains("hint: another program"), "{err}");
    }
}

#[test]
fn an_unwritable_traffic_log_is_told_with_status_1() {
    let (status, _, err) = run(&["--admin", "off", "--traffic-log", "/nonexistent/t.log"]);
    assert_eq!(status, 1, "{err}");
    assert!(err.contains("/nonexistent/t.log") && err.contains("hint: "), "{err}");
}

/// A running sidecar, and what it says on standard error. It ends with the test.
struct Sidecar {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Sidecar {
    /// Starts one and waits until it runs.
    fn start(args: &[&str], log: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["run", "--forward", "127.0.0.1:0=127.0.0.1:9", "--admin=off"]).args(args);
        command.env_remove("WEIR_LOG").envs(log.map(|level| ("WEIR_LOG", level)));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || stderr.lines().try_for_each(|line| sender.send(line.unwrap())));
        let mut sidecar = Self { child, lines, said: String::new() };
        sidecar.wait_for("weir runs");
        sidecar
    }

    /// Reads on until a line has this text, for at most 20 s.
    fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(text) {
                return;
            }
        }
        panic!("no {text:?} in {}", self.said);
    }

    /// Ends it with SIGTERM: its exit status, and all that it said.
    fn end(mut self) -> (i32, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.said.extend(self.lines.iter().map(|line| line + "\n"));
        (self.child.wait().unwrap().code().unwrap(), std::mem::take(&mut self.said))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // After `end` there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a sidecar, lets it say that it runs, ends it.
fn started(args: &[&str], log: Option<&str>) -> (i32, String) {
    Sidecar::start(args, log).end()
}

#[test]
fn a_flag_wins_over_the_configuration() {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), "mode: enforce\nworkers: 1\n").unwrap();
    let path = file.path().to_str().unwrap();
    let (status, said) = started(&["--config", path], None);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(r#""mode":"enforce""#) && said.contains(r#""workers":1"#), "{said}");
    let (_, said) = started(&["--config", path, "--mode", "monitor"], None);
    assert!(said.contains(r#""mode":"monitor""#) && said.contains(r#""workers":1"#), "{said}");
}

#[test]
fn the_programs_log_is_json_where_nobody_sits() {
    let (status, said) = started(&["--log", "weir=debug,hyper=info"], None);
    assert_eq!(status, 0, "{said}");
    assert!(said.lines().count() >= 2, "{said}");
    for line in said.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["level"].is_string() && value["message"].is_string(), "{line}");
    }
    // Of a flag and the environment the flag wins.
    let (_, said) = started(&["--log", "info"], Some("error"));
    assert!(said.contains("weir runs"), "{said}");
}

const POLICY: &str = "\
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: enforce
  inbound:
  - from: [{any: true}]
    ports: [8080]
    protocol: http
    allow: [\"GET /carts/{int}\", \"GET /live\"]
    deny: [\"GET /live\"]
";

fn policy(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn a_policy_that_can_be_used_is_summed_up() {
    let file = policy(POLICY);
    let path = file.path().to_str().unwrap();
    let (status, out, err) = told(&["policy", "check", path]);
    assert_eq!((status, err.as_str()), (0, ""));
    let expected = format!(
        "{path}: ok: shop/cart, enforce; inbound 1 rule, 2 allow entries and 1 deny entry; \
         outbound not governed\n"
    );
    assert_eq!(out, expected);
}

#[test]
fn every_error_of_every_policy_is_shown_in_place() {
    let one = policy(&POLICY.replace("8080", "80800").replace("enforce", "strict"));
    let two = policy(&POLICY.replace("allow:", "alow:"));
    let [one, two] = [&one, &two].map(|file| file.path().to_str().unwrap());
    let (status, out, err) = told(&["policy", "check", one, two]);
    assert_eq!((status, out.as_str()), (2, ""));
    for (path, place, line, mark) in [
        (one, "5:9", " 5 |   mode: strict", "          ^"),
        (one, "8:13", " 8 |     ports: [80800]", "              ^"),
        (two, "10:5", " 10 |     alow: [", "      ^"),
    ] {
        assert!(err.contains(&format!("weir: error: {path}:{place}: ")), "{err}");
        assert!(err.contains(line) && err.contains(&format!("|{}", &mark[1..])), "{err}");
    }
    assert!(err.contains("expected \"allow\""), "{err}");
}

#[test]
fn run_refuses_a_bad_policy_and_shows_the_place() {
    let file = policy(&POLICY.replace("allow:", "alow:"));
    let path = file.path().to_str().unwrap();
    let (status, _, err) = run(&["--admin", "off", "--policy", path]);
    assert_eq!(status, 2, "{err}");
    assert!(err.contains(&format!("weir: error: {path}:10:5: ")), "{err}");
    assert!(err.contains(" 10 |     alow: ["), "{err}");
    let (status, _, err) = run(&["--admin", "off", "--policy", "/nonexistent/p.yaml"]);
    assert_eq!(status, 2, "{err}");
    assert!(err.contains("cannot read /nonexistent/p.yaml"), "{err}");
}

#[test]
fn a_warning_is_told_and_is_no_failure() {
    let file = policy(&POLICY.replace("{any: true}", "{workload: frontend}"));
    let (status, out, err) = told(&["policy", "check", file.path().to_str().unwrap()]);
    assert_eq!(status, 0, "{err}");
    assert!(err.starts_with("weir: warning: ") && err.contains("workload"), "{err}");
    assert!(out.contains("ok: shop/cart"), "{out}");
}

#[test]
fn a_policy_that_is_not_there_is_a_bad_file() {
    let (status, _, err) = told(&["policy", "check", "/nonexistent/p.yaml"]);
    assert_eq!(status, 2);
    assert!(err.contains("cannot read /nonexistent/p.yaml"), "{err}");
}

#[test]
fn mode_says_which_sidecar_it_cannot_reach() {
    let (status, _, err) = told(&["mode", "--socket", "/nonexistent/weir.sock"]);
    assert_eq!(status, 1);
    assert!(err.contains("/nonexistent/weir.sock") && err.contains("hint: "), "{err}");
    let (status, _, err) = told(&["mode", "clear", "--for", "5m"]);
    assert_eq!(status, 2);
    assert!(err.contains("--for and --reason go with a mode"), "{err}");
}

#[test]
fn decisions_are_explained() {
    let file = policy(POLICY);
    let path = file.path().to_str().unwrap();
    for (op, conclusion) in [
        ("GET /carts/7", "allowed by shop/cart spec.inbound[0] \"GET /carts/{int}\"\n"),
        (
            "GET /carts/x",
            "refused: no entry allows it (not_allowed)\nthis would allow it, in \
             spec.inbound[0].allow of shop/cart (PATH:10:33):\n    - \"GET /carts/x\"\n",
        ),
        (
            "GET /live",
            "narrow shop/cart spec.inbound[0] \"GET /live\" (PATH:11:12), or remove it\n",
        ),
    ] {
        let op = format!("inbound 10.0.0.7 :8080 http cart.shop {op}");
        let (status, out, err) = told(&["policy", "explain", path, "--op", &op]);
        assert_eq!((status, err.as_str()), (0, ""), "{op}");
        let conclusion = conclusion.replace("PATH", path);
        assert!(out.starts_with(&format!("{path}:1:1: ")) && out.ends_with(&conclusion), "{out}");
    }
    let (status, _, err) = told(&["policy", "explain", path, "--op", "inbound x"]);
    assert_eq!(status, 2);
    assert!(err.contains("expected the peer's address") && err.contains("hint: "), "{err}");
    let (status, _, _) = told(&["policy", "explain", path]);
    assert_eq!(status, 2);
}

#[test]
fn records_of_the_traffic_log_are_explained() {
    let file = policy(POLICY);
    let path = file.path().to_str().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let record = |id: &str, op: &str, reason: &str| {
        serde_json::json!({
            "schema": "weir.dev/traffic/v1", "time": "2026-01-02T03:04:05.000006Z", "id": id,
            "side": "inbound", "peer": "10.0.0.7", "port": 8080, "protocol": "http",
            "host": "cart.shop", "op": format!("GET {op}"), "detail": format!("{op}?x={{}}"),
            "verdict": "refused", "reason": reason, "mode": "enforce",
        })
    };
    let records = [
        record("a-1", "/admin/{int}", "not_allowed"),
        record("a-2", "/carts/{int}", "not_allowed"),
        record("a-3", "/admin;k={}", "not_allowed"),
    ];
    std::fs::write(log.path(), records.map(|record| format!("{record}\n")).concat()).unwrap();
    let explain = |id: &str| {
        told(&["policy", "explain", path, "--log", log.path().to_str().unwrap(), "--id", id])
    };
    let (status, out, _) = explain("a-1");
    assert_eq!(status, 0);
    assert!(out.contains("refused: no entry allows it (not_allowed)\n"), "{out}");
    assert!(out.ends_with(":\n    - \"GET /admin/{int}\"\n"), "{out}");
    let (status, out, _) = explain("a-2");
    assert_eq!(status, 0);
    assert!(out.contains("allowed by") && out.contains("but the record's reason is"), "{out}");
    let (status, _, err) = explain("a-3");
    assert_eq!(status, 1);
    assert!(err.contains("cannot be decided") && err.contains("--log-detail full"), "{err}");
    let (status, _, err) = explain("a-4");
    assert_eq!(status, 1);
    assert!(err.contains("no record of id a-4"), "{err}");
}

#[test]
fn differences_are_told_by_what_they_allow() {
    let old = policy(POLICY);
    let new = policy(&POLICY.replace("\"GET /live\"]\n    deny", "\"POST /carts\"]\n    deny"));
    let [old, new] = [&old, &new].map(|file| file.path().to_str().unwrap());
    let (status, out, _) = told(&["policy", "diff", old, new]);
    assert_eq!(status, 0);
    let expected = "allows more:\n  + inbound :8080 http from any: POST /carts\n\
                    allows less:\n  - inbound :8080 http from any: GET /live\n";
    assert_eq!(out, expected);
    let (_, out, _) = told(&["policy", "diff", old, old]);
    assert_eq!(out, "no difference\n");
    let (status, _, _) = told(&["policy", "diff", old, "/nonexistent/p.yaml"]);
    assert_eq!(status, 2);
}

#[test]
fn the_mode_of_a_running_sidecar_is_shown_set_and_cleared() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("weir.sock");
    let socket = socket.to_str().unwrap();
    let sidecar = Sidecar::start(&["--socket", socket, "--mode", "monitor"], None);
    let mode = |args: &[&str]| {
        let (status, out, err) = told(&[&["mode", "--socket", socket], args].concat());
        assert_eq!((status, err.as_str()), (0, ""), "{args:?}");
        out
    };
    assert_eq!(mode(&[]), "monitor, where the policy names no other mode\n");
    let out = mode(&["enforce", "--for", "10m", "--reason", "a drill"]);
    assert!(out.starts_with("enforce for every rule, for another "), "{out}");
    assert!(out.contains(": a drill\n") && out.ends_with("else monitor\n"), "{out}");
    let shown: serde_json::Value = serde_json::from_str(&mode(&["show", "--json"])).unwrap();
    assert_eq!(shown["mode"], "enforce");
    assert_eq!(mode(&["clear"]), "monitor, where the policy names no other mode\n");
    assert_eq!(sidecar.end().0, 0);
    assert!(!std::path::Path::new(socket).exists());
}

#[test]
fn a_changed_file_is_read_again_and_an_error_in_it_changes_nothing() {
    let file = policy(POLICY);
    let path = file.path().to_str().unwrap();
    let mut sidecar = Sidecar::start(&["--policy", path], None);
    std::fs::write(path, POLICY.replace("8080", "80800")).unwrap();
    sidecar.wait_for("not reloaded");
    assert!(sidecar.said.contains(&format!("{path}:8:13: ")), "{}", sidecar.said);
    std::fs::write(path, POLICY.replace("8080", "8081")).unwrap();
    sidecar.wait_for("\"reloaded\"");
    assert_eq!(sidecar.end().0, 0);
}

#[test]
fn the_page_of_the_command_line_has_every_flag_of_run() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, help, _) = told(&["run", "--help"]);
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let mut count = 0;
    for flag in flags.map(|flag| flag.split([' ', '[']).next().unwrap()) {
        assert!(page.contains(&format!("`--{flag}")), "--{flag}");
        count += 1;
    }
    assert!(count >= 16, "{help}");
}
