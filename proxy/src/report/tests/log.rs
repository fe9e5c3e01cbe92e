//! Where records go, and what becomes of them there.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::*;

const WAIT: Duration = Duration::from_secs(10);

fn count(metrics: &str, name: &str) -> u64 {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_new_file_is_its_owners_alone() {
    let log = Log::new(LogAllowed::All);
    let mode = log.path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn records_are_appended_behind_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "{\"old\":1}\n{\"broken").unwrap();
    let reporter = reporter(&path, LogAllowed::All, LogDetail::Masked);
    transact(&mut conn(&reporter), http("GET", "/"), ALLOWED);
    assert!(reporter.close(WAIT));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..2], ["{\"old\":1}", "{\"broken"]);
    assert!(lines[2].starts_with("{\"schema\"") && lines.len() == 3);
}

#[test]
fn an_unwritable_file_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("no/such/directory/log");
    let target = Target::File(path.clone());
    let error = Reporter::new(Some(target), LogAllowed::All, LogDetail::Masked, Arc::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("No such file"), "{error}");
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let target = Target::File(path);
    let error = Reporter::new(Some(target), LogAllowed::All, LogDetail::Masked, Arc::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("nobody reads"), "{error}");
}

#[test]
fn allowed_records_are_thinned_and_others_are_not() {
    for (allowed, expected) in [
        (LogAllowed::All, 10),
        (LogAllowed::Sample(5), 2),
        (LogAllowed::Off, 0),
        (LogAllowed::Summary, 1),
    ] {
        let log = Log::new(allowed);
        let mut conn = log.conn();
        for _ in 0..10 {
            transact(&mut conn, http("GET", "/a"), ALLOWED);
        }
        transact(&mut conn, http("GET", "/b"), REFUSED);
        transact(
            &mut conn,
            http("GET", "/b"),
            Outcome { verdict: Verdict::WouldRefuse, ..REFUSED },
        );
        let unread =
            Outcome { verdict: Verdict::Unread, reason: Reason::Unread("body_limit"), entry: None };
        transact(&mut conn, http("GET", "/b"), unread);
        let records = log.read();
        let of = |verdict| records.iter().filter(|r| r["verdict"] == verdict).count();
        assert_eq!(of("allowed"), expected, "{allowed:?}");
        assert_eq!((of("refused"), of("would-refuse"), of("unread")), (1, 1, 1));
        if allowed == LogAllowed::Summary {
            let summary = records.iter().find(|r| r["verdict"] == "allowed").unwrap();
            assert_eq!(summary["count"], 10);
            assert_eq!(summary["op"], "GET /a");
            assert_eq!(summary["duration_us"], 15_000);
        }
    }
}

/// An allowed operation whose body or answer then breaks a rule has its texts in the log even
/// where the log has no allowed ones.
#[test]
fn a_late_refusal_has_its_texts() {
    let log = Log::new(LogAllowed::Off);
    let mut conn = log.conn();
    let now = Instant::now();
    let operation = Operation::Http(http("POST", "/upload"));
    let detail = Detail::default();
    let mut transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, ALLOWED);
    transaction.verdict = Verdict::Refused;
    transaction.reason = Reason::Inspector("virus");
    transaction.entry = None;
    conn.end(now, transaction);
    let record = &log.read()[0];
    assert_eq!((&record["op"], &record["reason"]), (&"POST /upload".into(), &"virus".into()));
    assert!(record.get("decided_by").is_none());
}

#[test]
fn a_rotated_file_is_opened_anew() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    transact(&mut conn, http("GET", "/before"), ALLOWED);
    log.reporter.flush();
    wait_for(|| !std::fs::read(&log.path).unwrap().is_empty());
    let rotated = log.path.with_extension("1");
    std::fs::rename(&log.path, &rotated).unwrap();
    log.reporter.reopen();
    wait_for(|| log.path.exists());
    transact(&mut conn, http("GET", "/after"), ALLOWED);
    assert_eq!(lines(&rotated)[0]["op"], "GET /before");
    assert_eq!(log.read()[0]["op"], "GET /after");
}

#[test]
fn records_from_ended_threads_arrive() {
    let log = Log::new(LogAllowed::All);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = log.conn();
                for _ in 0..1000 {
                    transact(&mut conn, http("GET", "/"), ALLOWED);
                }
                log.reporter.flush();
            });
        }
    });
    let records = log.read();
    assert_eq!(records.len(), 4000);
    let mut ids: Vec<_> = records.iter().map(|r| r["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4000);
}

#[test]
fn a_full_disk_drops_and_counts() {
    let path = Path::new("/dev/full");
    let reporter = reporter(path, LogAllowed::All, LogDetail::Masked);
    let mut conn = conn(&reporter);
    for _ in 0..10 {
        transact(&mut conn, http("GET", "/"), ALLOWED);
        reporter.flush();
    }
    assert!(reporter.close(WAIT));
    let metrics = reporter.metrics().render();
    assert_eq!(count(&metrics, "weir_traffic_log_dropped_total"), 10);
    assert_eq!(count(&metrics, "weir_traffic_log_written_total"), 0);
    assert!(count(&metrics, "weir_traffic_log_errors_total") >= 1);
}

/// A file that may not grow, in the middle of a line, and then may again: the test runs itself
/// under a limit of the shell's.
#[test]
fn a_line_cut_by_a_full_disk_is_completed() {
    const FILE: &str = "WEIR_TEST_FULL_DISK";
    if let Some(path) = std::env::var_os(FILE) {
        return fill_and_go_on(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let command = "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" --exact --nocapture \
                   report::tests::log::a_line_cut_by_a_full_disk_is_completed";
    let output = std::process::Command::new("sh")
        .args(["-c", command])
        .arg(std::env::current_exe().unwrap())
        .env(FILE, &path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let ops: Vec<_> = lines(&path).iter().map(|record| record["op"].to_string()).collect();
    assert!(
        ops.contains(&"\"GET /before\"".to_owned()) && ops.contains(&"\"GET /after\"".to_owned())
    );
}

fn fill_and_go_on(path: &Path) {
    let reporter = reporter(path, LogAllowed::All, LogDetail::Masked);
    let mut conn = conn(&reporter);
    let metric = |name: &str| count(&reporter.metrics().render(), name);
    for _ in 0..100 {
        transact(&mut conn, http("GET", "/before"), ALLOWED);
    }
    reporter.flush();
    wait_for(|| metric("weir_traffic_log_errors_total") > 0);
    let full = std::fs::read(path).unwrap();
    assert!(!full.ends_with(b"\n"), "the limit falls into a line");
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    for _ in 0..100 {
        transact(&mut conn, http("GET", "/after"), ALLOWED);
    }
    assert!(reporter.close(WAIT));
    let (written, dropped) =
        (metric("weir_traffic_log_written_total"), metric("weir_traffic_log_dropped_total"));
    assert_eq!(written, lines(path).len() as u64);
    assert_eq!(written + dropped, 200);
    assert!(written > 100 && dropped > 0, "{written} {dropped}");
}

/// A reader that does not read: nobody waits for it, and what it misses is counted. When it
/// reads again, every line is whole.
#[test]
fn a_slow_reader_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = fifo(dir.path());
    let nonblocking = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&path, nonblocking, rustix::fs::Mode::empty()).unwrap();
    let reporter = reporter(&path, LogAllowed::All, LogDetail::Masked);
    let mut conn = conn(&reporter);
    let total = 20_000;
    let mut slowest = Duration::ZERO;
    for _ in 0..total {
        let start = Instant::now();
        transact(&mut conn, http("GET", "/"), ALLOWED);
        slowest = slowest.max(start.elapsed());
    }
    reporter.flush();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let dropped = || count(&reporter.metrics().render(), "weir_traffic_log_dropped_total");
    assert!(dropped() > 0);

    let mut text = Vec::new();
    let closing = std::thread::spawn({
        let reporter = Arc::clone(&reporter);
        move || reporter.close(WAIT)
    });
    let mut reader = std::fs::File::from(reader);
    let mut chunk = vec![0; 64 << 10];
    while let Ok(n) = reader.read(&mut chunk).or_else(|error| {
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        std::thread::sleep(Duration::from_millis(1));
        Ok::<_, ()>(usize::MAX)
    }) {
        match n {
            0 => break,
            usize::MAX => {}
            n => text.extend_from_slice(&chunk[..n]),
        }
    }
    assert!(closing.join().unwrap());
    let text = String::from_utf8(text).unwrap();
    let mut records = 0;
    for line in text.lines() {
        serde_json::from_str::<Value>(line).unwrap();
        records += 1;
    }
    assert_eq!(records + dropped(), total);
}

fn fifo(dir: &Path) -> PathBuf {
    let path = dir.join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    path
}

fn wait_for(condition: impl Fn() -> bool) {
    let until = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < until, "it did not come about");
        std::thread::sleep(Duration::from_millis(2));
    }
}
