//! What tonic calls is learned and enforced, and nothing of it is refused.

use std::io::Read as _;
use std::process::Command;

use tonic::Code;

use crate::client::{Client, collect};
use crate::echo::{Echo, Note};
use crate::raw::Raw;
use crate::scene::{not_allowed, run};
use crate::support::Weir;
use crate::web::Web;

async fn traffic(client: &mut Client) {
    for n in 0..20 {
        client.unary("Unary", Note::new("x", n)).await.unwrap();
        client.client_stream(tokio_stream::iter([Note::new("x", n)])).await.unwrap();
        let answer = client.server_stream("ServerStream", Note::new("x", n)).await.unwrap();
        assert_eq!(collect(answer).await.0.len(), n as usize);
        let answer = client.bidi(tokio_stream::iter([Note::new("x", n)])).await.unwrap();
        assert_eq!(collect(answer).await.0.len(), 1);
    }
}

#[test]
fn calls_are_learned_and_enforced() {
    let echo = Echo::start();
    let dir = tempfile::tempdir().unwrap();
    let (profile, policy) = (dir.path().join("profile.yaml"), dir.path().join("policy.yaml"));
    let (profile, policy) = (profile.to_str().unwrap(), policy.to_str().unwrap());
    let mut learner = Weir::start_with("learn", "", &[echo.at], &["--profile", profile]);
    run(async {
        let mut client = Client::connect(learner.at()).await;
        traffic(&mut client).await;
        // Never answered in order, and so not learned.
        assert!(client.unary("Missing", Note::default()).await.is_err());
    });
    learner.signal("TERM");
    assert_eq!(learner.wait(), Some(0));
    assert!(not_allowed(&learner).is_empty(), "{:#?}", not_allowed(&learner));

    let made = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["policy", "from-profile", profile, "--trusted", "--mode", "enforce"])
        .output()
        .unwrap();
    let text = String::from_utf8(made.stdout).unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(text.contains("protocol: grpc") && !text.contains("Missing"), "{text}");
    std::fs::write(policy, &text).unwrap();

    let guard = Weir::start_with("enforce", "", &[echo.at], &["--policy", policy]);
    run(async {
        let mut client = Client::connect(guard.at()).await;
        traffic(&mut client).await;
        let blamed = not_allowed(&guard);
        assert!(blamed.is_empty(), "{text}: {blamed:#?}");
        for method in ["Missing", "Admin"] {
            let status = client.unary(method, Note::default()).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied, "{method}");
        }
    });
    assert_eq!(echo.seen.calls("Admin"), 0);
}

/// The client says nothing before it has the server's SETTINGS.
#[test]
fn a_server_that_speaks_first_is_read_where_nothing_governs() {
    let web = Web::start();
    for mode in ["learn", "monitor"] {
        let weir = Weir::start(mode, "", web.at);
        // One that looks whether the port is open.
        let mut probe = Raw::bare(weir.at());
        probe.stream.read_exact(&mut [0; 9]).unwrap();
        drop(probe);
        let mut client = Raw::bare(weir.at());
        let mut head = [0; 9];
        client.stream.peek(&mut head).unwrap();
        assert_eq!(head[3], crate::frames::SETTINGS);
        client.greet(&[]);
        client.get(1, "/ok");
        assert_eq!(client.answer(1).status, "200");
        drop(client);
        let record = weir.record("read", |record| record["op"] == "GET /ok");
        assert_eq!((&record["protocol"], &record["complete"]), (&"http".into(), &true.into()));
        assert_eq!(weir.records().len(), 1, "{:#?}", weir.records());
    }
}
