//! Redis's own benchmark: what it does is learned, enforced, and nothing of it refused.

use std::io::Write as _;
use std::process::Command;

use crate::scene::{arg, end, replayed, said};
use crate::support::{Server, Weir, program, read_until};

/// The whole default suite, as it is, with random keys, and pipelined.
const RUNS: [&[&str]; 3] = [&[], &["-r", "5000"], &["-r", "5000", "-P", "16"]];

/// Runs the suite through a sidecar. It ends at the first error.
fn benchmark(weir: &Weir) {
    let program = program("redis-benchmark").unwrap();
    for run in RUNS {
        let output = Command::new(&program)
            .args(["-h", "127.0.0.1", "-p", &weir.at().port().to_string()])
            .args(["-n", "300", "-c", "8", "-q"])
            .args(run)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{run:?}: {told}");
        assert!(!told.to_lowercase().contains("err") && !told.contains("WARNING"), "{told}");
        for test in ["PING_INLINE", "SET", "INCR", "ZPOPMIN", "LRANGE_600", "MSET"] {
            assert!(told.contains(test), "{test} was not run: {told}");
        }
    }
}

#[test]
fn the_benchmark_is_learned_and_enforced() {
    let (Some(server), Some(_)) = (Server::redis(&[]), program("redis-benchmark")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let (profile, policy) = (dir.path().join("profile.yaml"), dir.path().join("policy.yaml"));
    let args = ["--profile", arg(&profile)];
    let mut learner = Weir::start_with("learn", "", &[server.at], &args);
    benchmark(&learner);
    end(&mut learner);

    let made = ["policy", "from-profile", arg(&profile), "--trusted", "--mode", "enforce"];
    std::fs::write(&policy, said(&made)).unwrap();
    let text = std::fs::read_to_string(&policy).unwrap();
    assert!(text.contains("mode: enforce") && text.contains("SET key:{int}"), "{text}");
    // The first keys of each kind were written without their words, which nobody knew yet: how
    // many depends on when they got known.
    let [allowed, refused, unknown] = replayed(&policy, &learner);
    assert!(allowed > 0 && refused == 0, "{allowed} {refused} {unknown}: {text}");

    let args = ["--policy", arg(&policy)];
    let mut guard = Weir::start_with("enforce", "", &[server.at], &args);
    benchmark(&guard);
    let before = guard.metric("weir_operations_total");
    assert!(before > 10_000.0, "{before}");
    assert!(guard.metric("weir_operations_total refused") == 0.0);
    for command in ["FLUSHALL", "KEYS *", "CONFIG SET dir /etc", "GET other:7"] {
        let mut stream = guard.connect();
        write!(stream, "{command}\r\n").unwrap();
        let answer = String::from_utf8(read_until(&mut stream, b"\r\n")).unwrap();
        assert!(answer.starts_with("-NOPERM weir refused this command"), "{command}: {answer}");
    }
    end(&mut guard);
    let ops: Vec<String> =
        crate::scene::refused(&guard).iter().map(|r| r["op"].to_string()).collect();
    assert_eq!(ops.len(), 4, "{ops:#?}");
    assert_eq!(replayed(&policy, &guard)[1..], [4, 0]);
}
