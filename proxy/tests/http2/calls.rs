//! gRPC calls of every kind by tonic: they pass as if no sidecar were there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Request};

use crate::client::{Client, collect};
use crate::echo::{Echo, Note, big_trailers};
use crate::scene::{each_way, guard, noise, run, ways};
use crate::support::Weir;

#[test]
fn calls_of_all_four_kinds_are_answered() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        let note = Note::new("hello", 7);
        assert_eq!(client.unary("Unary", note.clone()).await.unwrap().into_inner(), note);

        let answer = client.server_stream("ServerStream", Note::new("x", 500)).await.unwrap();
        let (notes, end) = collect(answer).await;
        assert!(end.is_none() && notes.iter().map(|note| note.number).eq(0..500));

        let notes = (0..500).map(|n| Note::new(noise(n, 100), 0));
        let sum = client.client_stream(tokio_stream::iter(notes)).await.unwrap();
        let all: Vec<u8> = (0..500).flat_map(|n| noise(n, 100)).collect();
        assert_eq!(sum, Note::new(all, 500));

        let notes: Vec<_> = (0..500).map(|n| Note::new(noise(n.into(), 300), n)).collect();
        let answer = client.bidi(tokio_stream::iter(notes.clone())).await.unwrap();
        assert_eq!(collect(answer).await.0, notes);
    });
}

/// Each message waits for the answer to the one before it.
#[test]
fn a_conversation_is_not_held_up() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let notes = tokio_stream::wrappers::ReceiverStream::new(receive);
        let mut answer = client.bidi(notes).await.unwrap();
        for n in 0..200 {
            let note = Note::new(noise(n.into(), 50), n);
            send.send(note.clone()).await.unwrap();
            assert_eq!(answer.message().await.unwrap().unwrap(), note);
        }
        drop(send);
        assert_eq!(answer.message().await.unwrap(), None);
    });
}

#[test]
fn messages_of_16_mib_pass_both_ways() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        let note = Note::new(noise(1, 16 << 20), 1);
        let back = client.unary("Unary", note.clone()).await.unwrap().into_inner();
        assert!(back == note);
        let answer = client.bidi(tokio_stream::iter([note.clone(), note.clone()])).await.unwrap();
        assert!(collect(answer).await.0 == [note.clone(), note]);
    });
}

#[test]
fn every_status_arrives_with_its_message() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        for code in 1..=16 {
            let status = client.unary("Fail", Note::new("", code)).await.unwrap_err();
            assert_eq!(status.code(), Code::from(i32::try_from(code).unwrap()));
            assert_eq!(status.message(), "as wanted: 100% \u{fc}");
        }
    });
}

#[test]
fn trailers_over_16_kib_arrive_whole() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        let answer = client.server_stream("BigTrailers", Note::new("x", 1)).await.unwrap();
        let (notes, end) = collect(answer).await;
        assert_eq!(notes, [Note::new("x", 1)]);
        let end = end.unwrap();
        assert_eq!(end.code(), Code::Aborted);
        for (name, value) in big_trailers().as_ref() {
            assert_eq!(
                end.metadata().get(name.as_str()).map(|v| v.as_bytes()),
                Some(value.as_bytes())
            );
        }
    });
}

#[test]
fn deadlines_and_cancellations_reach_the_server() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| {
        let seen = echo.seen.clone();
        async move {
            let mut client = Client::connect(at).await;
            let before = seen.cancelled.load(Ordering::Relaxed);
            let mut request = Request::new(Note::new("x", 60_000));
            request.set_timeout(Duration::from_millis(300));
            let status = client.unary("Slow", request).await.unwrap_err();
            assert!([Code::Cancelled, Code::DeadlineExceeded].contains(&status.code()));
            let mut other = client.clone();
            let call = async move { other.unary("Slow", Note::new("x", 60_000)).await };
            assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
            while seen.cancelled.load(Ordering::Relaxed) < before + 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            client.unary("Unary", Note::new("x", 1)).await.unwrap();
        }
    });
}

#[test]
fn a_thousand_calls_at_once_share_a_connection() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let mut client = Client::connect(at).await;
        client.unary("Unary", Note::default()).await.unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..1000 {
            let mut client = client.clone();
            calls.spawn(async move {
                let (send, receive) = tokio::sync::mpsc::channel(1);
                let notes = tokio_stream::wrappers::ReceiverStream::new(receive);
                let mut answer = client.bidi(notes).await.unwrap();
                let note = Note::new(noise(n.into(), 100 + n as usize % 400), n);
                send.send(note.clone()).await.unwrap();
                assert_eq!(answer.message().await.unwrap(), Some(note.clone()));
                (send, answer, note)
            });
        }
        // All are open before the first goes on.
        for (send, mut answer, note) in calls.join_all().await {
            send.send(note.clone()).await.unwrap();
            drop(send);
            assert_eq!(answer.message().await.unwrap(), Some(note));
            assert_eq!(answer.message().await.unwrap(), None);
        }
    });
}

#[test]
fn a_server_that_shuts_down_answers_what_is_under_way() {
    for way in ways() {
        let mut echo = Echo::start();
        let weir = guard(&way, "grpc", echo.at);
        let at = weir.as_ref().map_or(echo.at, Weir::at);
        run(async move {
            let mut client = Client::connect(at).await;
            client.unary("Unary", Note::default()).await.unwrap();
            let mut other = client.clone();
            let slow =
                tokio::spawn(async move { other.unary("Slow", Note::new("late", 1000)).await });
            while echo.seen.calls("Slow") == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            echo.shut_down();
            assert_eq!(slow.await.unwrap().unwrap().into_inner().body, Bytes::from("late"));
        });
    }
}

#[test]
fn pings_keep_a_connection_alive() {
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| async move {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{at}")).unwrap();
        let endpoint = endpoint
            .http2_keep_alive_interval(Duration::from_millis(100))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let mut client = Client::connect_by(endpoint).await;
        client.unary("Slow", Note::new("x", 1500)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.unary("Unary", Note::default()).await.unwrap();
    });
}
