//! What is refused is told in its own stream, and all others pass.

use h2::client;
use tonic::Code;

use crate::client::Client;
use crate::echo::{Echo, Note};
use crate::frames::*;
use crate::raw::Raw;
use crate::scene::{ECHO, WEB, guard_echo, guard_patiently, guard_web, logged, noise, run};
use crate::visitor::{Visitor, ask, whole};
use crate::web::Web;

#[test]
fn a_refused_call_is_told_so_with_an_id() {
    let echo = Echo::start();
    let weir = guard_echo(echo.at);
    run(async {
        let mut client = Client::connect(weir.at()).await;
        client.unary("Unary", Note::default()).await.unwrap();
        let status = client.unary("Admin", Note::new("secret", 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        let record = logged(&weir, status.message());
        assert_eq!(
            (&record["op"], &record["reason"]),
            (&"weir.test.Echo/Admin".into(), &"not_allowed".into(),)
        );
        assert!(!status.message().contains("Admin"), "it tells nothing of the policy");
        // The connection goes on.
        client.unary("Unary", Note::default()).await.unwrap();
    });
    assert_eq!((echo.seen.calls("Unary"), echo.seen.calls("Admin")), (2, 0));
}

#[test]
fn refused_calls_that_stream_end_at_once() {
    let echo = Echo::start();
    let policy =
        ECHO.replace("weir.test.Echo/Bidi, ", "").replace("weir.test.Echo/ClientStream, ", "");
    let weir = guard_patiently("grpc", &policy, echo.at);
    run(async {
        let mut client = Client::connect(weir.at()).await;
        for n in 0..20 {
            let notes =
                move || tokio_stream::iter((0..100).map(move |m| Note::new(noise(m, 10_000), n)));
            let status = client.client_stream(notes()).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied);
            let status = client.bidi(notes()).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied);
            // The client has not ended its half, and never will.
            let status = client.bidi(tokio_stream::pending()).await.unwrap_err();
            assert_eq!(status.code(), Code::PermissionDenied);
            let note = Note::new(noise(n.into(), 100_000), n);
            assert_eq!(client.unary("Unary", note.clone()).await.unwrap().into_inner(), note);
        }
    });
    assert_eq!(echo.seen.calls("Bidi") + echo.seen.calls("ClientStream"), 0);
}

#[test]
fn a_refused_request_is_answered_by_one_frame() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.get(1, "/private");
    let answer = raw.answer(1);
    assert_eq!((&*answer.status, answer.frames, answer.reset), ("403", 1, None), "{answer:?}");
    raw.post(3, "/private/7");
    let answer = raw.answer(3);
    assert_eq!((&*answer.status, answer.frames, answer.reset), ("403", 1, None), "{answer:?}");
    raw.get(5, "/ok");
    assert_eq!(raw.answer(5).body, b"ok");
    let record = weir.record("the refusal", |r| r["op"] == "POST /private/{int}");
    assert_eq!((&record["verdict"], &record["reason"]), (&"refused".into(), &"not_allowed".into()));
    assert_eq!(web.received().len(), 1);
}

#[test]
fn a_refused_call_is_answered_by_trailers_alone() {
    let echo = Echo::start();
    let weir = guard_echo(echo.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    raw.head(1, &block(&request("POST", "/weir.test.Echo/Admin", &fields)), false);
    let answer = raw.answer(1);
    assert_eq!((&*answer.status, answer.frames, answer.reset), ("200", 1, None), "{answer:?}");
    assert_eq!(answer.field("grpc-status"), Some("7"));
    assert!(answer.field("content-type").unwrap().starts_with("application/grpc"));
    logged(&weir, answer.field("grpc-message").unwrap());
}

/// A hundred requests at once with one among them that is refused. What each says is indexed, and
/// spoken of again later.
async fn hundred(visitor: &Visitor, web: &Web, round: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        if n == 50 {
            let refused = ask("POST", "/private")
                .header("x-n", format!("secret {round}"))
                .header("x-token", format!("token {round}"));
            let (visitor, refused) = (visitor.clone(), refused.body(()).unwrap());
            tasks.spawn(async move {
                let got = visitor.post(refused, noise(1, 3000), None).await.unwrap();
                assert_eq!((got.status, got.body.len()), (403, 0));
            });
        }
        let request = ask("POST", &format!("/echo/{round}/{n}"))
            .header("x-n", format!("secret {}", (round + n) % 7))
            .header("x-token", format!("token {}", n % 9))
            .body(())
            .unwrap();
        let (visitor, web) = (visitor.clone(), web.clone());
        tasks.spawn(async move {
            let body = noise(n as u64, n * n);
            let path = request.uri().path().to_owned();
            let got = visitor.post(request, body.clone(), None).await.unwrap();
            assert_eq!(
                (got.status, got.field("x-n")),
                (200, &*format!("secret {}", (round + n) % 7))
            );
            assert!(got.body == body);
            let received = web.ended(&path);
            assert_eq!(received.field("x-token"), Some(&*format!("token {}", n % 9)));
            assert!(received.body == body);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[test]
fn one_of_a_hundred_is_refused_and_all_others_are_whole() {
    let web = Web::start();
    let weir = guard_web(web.at);
    run(async {
        let visitor = Visitor::connect(weir.at()).await;
        for round in 0..4 {
            hundred(&visitor, &web, round).await;
        }
    });
    assert!(!web.received().iter().any(|received| received.path == "/private"));
    assert_eq!(web.connections(), 1);
}

#[test]
fn the_same_with_tables_of_all_sizes() {
    for (servers, clients) in [(0, 4096), (64, 0), (65_536, 65_536), (4096, 100)] {
        let mut builder = h2::server::Builder::new();
        let web = Web::start_by(builder.header_table_size(servers).data_frame_budget(1 << 24));
        let weir = guard_web(web.at);
        run(async {
            let mut builder = client::Builder::new();
            let visitor = Visitor::connect_by(weir.at(), builder.header_table_size(clients)).await;
            for round in 0..2 {
                hundred(&visitor, &web, round).await;
            }
        });
    }
}

#[test]
fn the_same_by_a_client_that_indexes_nothing_or_everything() {
    for line in [Line::Plain, Line::Never, Line::Indexed] {
        let web = Web::start();
        let weir = guard_web(web.at);
        let mut raw = Raw::connect(weir.at(), &[]);
        let mut stream = 1;
        for round in 0..4 {
            let first = stream;
            for n in 0..100 {
                let (n_text, path) = (n.to_string(), format!("/echo/{round}/{n}"));
                let path = if n == 50 { "/private" } else { &path };
                let mut block = Vec::new();
                for (name, value) in request("POST", path, &[("x-n", &n_text)]) {
                    literal(&mut block, line, name.as_bytes(), value.as_bytes());
                }
                raw.head(stream, &block, false);
                stream += 2;
            }
            for n in (0..100).rev() {
                raw.room(300);
                raw.send(DATA, END_STREAM, first + 2 * n, &noise(n.into(), 300));
            }
            for n in 0..100 {
                let answer = raw.answer(first + 2 * n);
                if n == 50 {
                    assert_eq!((&*answer.status, answer.body.len()), ("403", 0));
                    continue;
                }
                assert_eq!((&*answer.status, answer.field("x-n")), ("200", Some(&*n.to_string())));
                assert_eq!(answer.body, noise(n.into(), 300));
            }
        }
        assert_eq!(web.received().len(), 4 * 99);
    }
}

#[test]
fn the_same_while_the_server_changes_its_mind_about_the_table() {
    let server = crate::byhand::changing_server();
    let weir = guard_patiently("http", WEB, server);
    run(async {
        let visitor = Visitor::connect(weir.at()).await;
        for n in 0..300 {
            let value = format!("value-{}", n / 3);
            let path = if n % 4 == 3 { "/private" } else { "/ok" };
            let request = ask("GET", path).header("x-n", &value).header("x-same", "s".repeat(100));
            let (answer, _) = visitor.begin(request.body(()).unwrap(), true).await.unwrap();
            let got = whole(answer).await.unwrap();
            if n % 4 == 3 {
                assert_eq!(got.status, 403);
            } else {
                assert_eq!(
                    (got.status, got.field("x-n"), got.body.clone()),
                    (200, &*value, value.clone().into_bytes())
                );
                assert_eq!(got.trailers.unwrap()["x-end"], *value);
            }
        }
    });
}
