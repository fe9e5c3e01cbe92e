//! HTTP/2 requests by h2 and hyper: they pass as if no sidecar were there.

use bytes::Bytes;
use h2::client::Builder;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::scene::{each_way, guard, noise, run, ways};
use crate::support::Weir;
use crate::visitor::{Visitor, ask, rest, whole};
use crate::web::{Web, big, finish, list, pass};

#[test]
fn bodies_of_all_sizes_come_back() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let visitor = Visitor::connect(at).await;
        assert_eq!(visitor.get("/ok").await.unwrap().body, b"ok");
        assert_eq!(visitor.get("/status/404").await.unwrap().status, 404);
        for n in 0..60usize {
            visitor.echo("/echo", noise(n as u64, n * n * n)).await;
        }
        visitor.echo("/echo", noise(1, 16 << 20)).await;
        assert!(visitor.get("/bytes/16777216").await.unwrap().body == noise(16 << 20, 16 << 20));
    });
}

#[test]
fn hyper_is_answered() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder
            .initial_stream_window_size(1 << 20)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        for n in 0..40usize {
            let body = noise(n as u64, n * n * 100);
            let request = ask("POST", "/echo").header("content-length", body.len());
            let request = request.body(Full::new(body.clone())).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
        }
    });
}

#[test]
fn the_server_sees_what_the_client_sent() {
    let web = Web::start();
    each_way("http", web.at, |at| {
        let web = web.clone();
        async move {
            let visitor = Visitor::connect(at).await;
            for n in 0..50 {
                let path = format!("/ok/{}-{n}", at.port());
                let request = ask("POST", &path)
                    .header("x-first", "always the same")
                    .header("cookie", format!("a={n}"))
                    .header("x-round", format!("{}{}", n / 5, "r".repeat(n * 7)))
                    .header("cookie", "b=2")
                    .header("x-high", hyper::http::HeaderValue::from_bytes(b"caf\xe9 \t~").unwrap())
                    .body(())
                    .unwrap();
                let (headers, trailers) = (list(request.headers()), big(20_000));
                let body = noise(n as u64, 1000);
                let got =
                    visitor.post(request, body.clone(), Some(trailers.clone())).await.unwrap();
                assert_eq!(got.body, b"ok");
                let received = web.ended(&path);
                assert_eq!((&*received.method, &*received.authority), ("POST", "a"));
                assert_eq!(received.fields, headers);
                assert_eq!(received.trailers, list(&trailers));
                assert!(received.body == body);
            }
        }
    });
}

#[test]
fn trailers_over_16_kib_arrive_whole() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let visitor = Visitor::connect(at).await;
        let got = visitor.get("/trailers/40000").await.unwrap();
        assert_eq!((got.body, got.trailers), (b"ok".to_vec(), Some(big(40_000))));
        let request = ask("POST", "/echo").body(()).unwrap();
        let got = visitor.post(request, noise(1, 100), Some(big(40_000))).await.unwrap();
        assert_eq!(got.trailers, Some(big(40_000)));
    });
}

#[test]
fn a_thousand_streams_at_once_share_a_connection() {
    let web = Web::start();
    each_way("http", web.at, |at| {
        let web = web.clone();
        async move {
            let before = web.connections();
            let visitor = Visitor::connect(at).await;
            assert_eq!(visitor.get("/ok").await.unwrap().body, b"ok");
            let mut open = Vec::new();
            for n in 0..1000 {
                let path = format!("/echo/{n}");
                let request = ask("POST", &path).header("x-n", n % 40).body(()).unwrap();
                let (answer, mut send) = visitor.begin(request, false).await.unwrap();
                pass(&mut send, noise(n, 50)).await.unwrap();
                open.push((n, answer, send));
            }
            let mut answers = Vec::new();
            for (n, answer, send) in open {
                answers.push((n, answer.await.unwrap().into_body(), send));
            }
            // All are open. Those that came last end first.
            for (n, mut content, mut send) in answers.into_iter().rev() {
                pass(&mut send, noise(n, 60)).await.unwrap();
                finish(&mut send, None).unwrap();
                let all = [noise(n, 50), noise(n, 60)].concat();
                assert!(rest(&mut content).await.unwrap() == all, "{n}");
            }
            assert_eq!(web.connections(), before + 1);
        }
    });
}

#[test]
fn a_cancelled_stream_is_one_for_the_server() {
    let web = Web::start();
    each_way("http", web.at, |at| {
        let web = web.clone();
        async move {
            let visitor = Visitor::connect(at).await;
            let other = ask("POST", "/echo/other").body(()).unwrap();
            let (answer, mut other) = visitor.begin(other, false).await.unwrap();
            let path = format!("/hold/{}", at.port());
            let (_unanswered, mut send) =
                visitor.begin(ask("POST", &path).body(()).unwrap(), false).await.unwrap();
            pass(&mut send, Bytes::from_static(b"some")).await.unwrap();
            let begun = web.clone();
            let copy = path.clone();
            tokio::task::spawn_blocking(move || begun.begun(&copy)).await.unwrap();
            send.send_reset(h2::Reason::CANCEL);
            let received = tokio::task::spawn_blocking(move || web.ended(&path)).await.unwrap();
            assert!(received.end.unwrap().unwrap_err().contains("no longer needed"));
            finish(&mut other, None).unwrap();
            assert_eq!(whole(answer).await.unwrap().status, 200);
        }
    });
}

#[test]
fn the_goodbye_of_a_server_reaches_the_client() {
    for way in ways() {
        let web = Web::start();
        let weir = guard(&way, "http", web.at);
        let at = weir.as_ref().map_or(web.at, Weir::at);
        run(async {
            let stream = tokio::net::TcpStream::connect(at).await.unwrap();
            let (send, connection) = Builder::new().handshake(stream).await.unwrap();
            let connection = tokio::spawn(connection);
            let visitor = Visitor(send);
            let request = ask("GET", "/hold/x").body(()).unwrap();
            let (answer, _) = visitor.begin(request, true).await.unwrap();
            let waiting = web.clone();
            tokio::task::spawn_blocking(move || waiting.begun("/hold/x")).await.unwrap();
            web.shut_down();
            // The goodbye comes before the answer, and then there are no new streams.
            while visitor.get("/ok").await.is_ok() {}
            web.release();
            assert_eq!(whole(answer).await.unwrap().body, b"ok");
            connection.await.unwrap().unwrap();
        });
    }
}

#[test]
fn pings_come_back() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let (send, mut connection) = Builder::new().handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        for _ in 0..20 {
            pings.ping(h2::Ping::opaque()).await.unwrap();
        }
        Visitor(send).get("/ok").await.unwrap();
    });
}
